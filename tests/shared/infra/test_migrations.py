"""Migrations as commands, as an operator runs them."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from shared.domain.destinations import RemotePlace
from shared.domain.lifecycle import Role
from tests.support.engines import PostgresEngine

ROOT = Path(__file__).parents[3]
ALEMBIC = [sys.executable, "-m", "alembic", "upgrade", "head"]
ALEMBIC_TO = [sys.executable, "-m", "alembic", "upgrade"]
MIGRATE = [sys.executable, "-m", "shared.infra.migrate"]


async def command(argv: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {"PATH": os.environ["PATH"], **environment}
    return await asyncio.to_thread(
        subprocess.run, argv, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )


async def tables(dsn: str) -> dict[str, int]:
    """Return every table and its number of columns."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT table_name, count(*) FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1"
        )
    finally:
        await connection.close()
    return {row[0]: row[1] for row in rows}


async def test_alembic_upgrade_head_on_an_empty_database_and_again(database: str) -> None:
    """It needs only DATABASE_URL, with or without parameters. The second run changes nothing."""
    first = await command(ALEMBIC, DATABASE_URL=f"{database}?sslmode=prefer&application_name=migration")
    assert first.returncode == 0, first.stderr
    made = await tables(database)
    assert {"jobs", "archives", "verifications", "destinations", "outbox", "edges", "alembic_version"} <= set(made)

    again = await command(ALEMBIC, DATABASE_URL=database)
    assert again.returncode == 0, again.stderr
    assert await tables(database) == made


async def test_an_archive_of_version_0011_keeps_its_row(database: str) -> None:
    """Upgraded with data, the row is unchanged. It has no staging until a service sees its file, and otherwise still never changes."""
    done = await command([*ALEMBIC[:-1], "0011"], DATABASE_URL=database)
    assert done.returncode == 0, done.stderr
    connection = await asyncpg.connect(database)
    try:
        job = await connection.fetchval(
            "INSERT INTO jobs (folder_name, source_path, destination_path, created_by) VALUES ('A', '/n/A', '/A', 'ada') RETURNING id"
        )
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(
            "INSERT INTO archives (job_id, attempt, archive_path, size, sha256, md5, manifest_size, manifest_sha256, manifest_md5,"
            " manifest, file_count, total_bytes) VALUES ($1, 1, '/storage/archives/x/1/A.tar.7z', 5, $2, $3, 7, $2, $3, 'm', 1, 1)",
            job,
            "a" * 64,
            "b" * 32,
        )
        await connection.execute("RESET session_replication_role")

        done = await command(ALEMBIC, DATABASE_URL=database)
        assert done.returncode == 0, done.stderr

        row = await connection.fetchrow("SELECT archive_path, staging FROM archives WHERE job_id = $1", job)
        assert tuple(row) == ("/storage/archives/x/1/A.tar.7z", None)
        await connection.execute("UPDATE archives SET staging = gen_random_uuid()")
        for change in ("staging = NULL", "staging = gen_random_uuid()", "size = 6"):
            with pytest.raises(asyncpg.PostgresError, match="never changed"):
                await connection.execute(f"UPDATE archives SET {change}")
    finally:
        await connection.close()


async def test_migrate_sets_the_roles_passwords(pg: PostgresEngine) -> None:
    """`python -m shared.infra.migrate` sets schema and passwords with any characters. A second run with the same values is harmless."""
    # Roles belong to the server. So this database is only checked, and the other tests' fixture sets the same passwords.
    passwords = {role: f"pw-{role}" for role in Role}
    environment = {f"CS_{role.upper()}_PASSWORD": password for role, password in passwords.items()}
    dsn = await pg.create_database()
    try:
        for _ in range(2):
            done = await command(MIGRATE, DATABASE_URL=dsn, **environment)
            assert done.returncode == 0, done.stderr
            assert not [password for password in passwords.values() if password in done.stdout + done.stderr]
        for role, password in passwords.items():
            connection = await asyncpg.connect(pg.dsn_as(dsn, f"cs_{role}", password))
            assert await connection.fetchval("SELECT current_user") == f"cs_{role}"
            assert await connection.fetchval("SELECT count(*) FROM jobs") == 0
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("CREATE TABLE mine (n integer)")
            await connection.close()
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(pg.dsn_as(dsn, f"cs_{role}", "wrong"))
    finally:
        await pg.drop_database(dsn)


async def test_migrate_names_all_that_is_missing() -> None:
    """No traceback: one sentence with every name."""
    done = await command(MIGRATE, CS_SCANNER_PASSWORD="x")

    assert done.returncode != 0
    assert done.stderr.strip() == "Set DATABASE_URL, CS_COMPRESSOR_PASSWORD, CS_UPLOADER_PASSWORD, CS_GATEWAY_PASSWORD."


async def test_only_the_gateway_sees_passwords_and_tokens(pg: PostgresEngine, kernel: object) -> None:
    """The other services cannot read `users` and `revoked_tokens`."""
    dsn = await pg.create_database("migrated")
    try:
        for role in Role:
            connection = await asyncpg.connect(pg.dsn_as(dsn, f"cs_{role}", f"pw-{role}"))
            seen = [
                await connection.fetchval(f"SELECT has_table_privilege('{table}', 'SELECT')")
                for table in ("users", "revoked_tokens")
            ]
            await connection.close()
            assert seen == [role is Role.GATEWAY] * 2, role
    finally:
        await pg.drop_database(dsn)


async def test_destinations_get_their_places_from_what_was_submitted(database: str) -> None:
    """A database of version 0011 with data: stored documents name collection and base path. Without them the place stays unknown."""
    assert (await command([*ALEMBIC_TO, "0011"], DATABASE_URL=database)).returncode == 0
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("SET session_replication_role = replica")
        jobs = {name: await _old_job(connection, name) for name in ("moved", "proven", "mixed", "removing", "silent", "refused")}
        await _old_task(connection, jobs["moved"], "transfer", "a", "/old", ended=True)
        await _old_task(connection, jobs["moved"], "transfer", "b", "/Stra\u00dfe")  # still open: the place of the work
        proof = await _old_task(connection, jobs["proven"], "transfer", "a", "", ended=True)
        await _old_task(connection, jobs["proven"], "recheck", "a", "", ended=True, task_id="again")
        await _old_proof(connection, jobs["proven"], proof, "again")
        mixed = await _old_task(connection, jobs["mixed"], "transfer", "a", "/old", ended=True)
        await _old_task(connection, jobs["mixed"], "recheck", "b", "/old", ended=True, task_id="elsewhere")
        await _old_proof(connection, jobs["mixed"], mixed, "elsewhere")
        await _old_task(connection, jobs["removing"], "removal", "b", "/old")
        await _old_task(connection, jobs["refused"], "transfer", "typo", "/old", ended=True, status="REFUSED")

        upgraded = await command(ALEMBIC, DATABASE_URL=database)
        assert upgraded.returncode == 0, upgraded.stderr

        rows = await connection.fetch(
            "SELECT d.path, d.key, p.endpoint, p.base_path FROM destinations d LEFT JOIN remote_places p ON p.id = d.place"
        )
        assert {row["path"].split("/")[-1]: tuple(row)[1:] for row in rows} == {
            "moved.7z": ("b:/strasse/one/two/moved.7z", "b", "/Stra\u00dfe"),
            "proven.7z": ("a:/one/two/proven.7z", "a", "/"),
            "mixed.7z": ("b:/old/one/two/mixed.7z", "b", "/old"),
            "removing.7z": ("b:/old/one/two/removing.7z", "b", "/old"),
            "silent.7z": ("/one/two/silent.7z", None, None),
            "refused.7z": ("/one/two/refused.7z", None, None),
        }
        for key, place in (
            ("a:/one/two/proven.7z", RemotePlace("a", "/")),
            ("b:/strasse/one/two/moved.7z", RemotePlace("b", "/Stra\u00dfe")),
        ):
            path = f"/One/Two/{key.rpartition('/')[2]}"
            assert place.key(path) == key  # as the services make it
        lost = "SELECT count(*) FROM globus_tasks t LEFT JOIN destinations d ON d.key = t.destination_key WHERE d.key IS NULL"
        assert await connection.fetchval(lost) == 0
        proofs = {name: await connection.fetchval("SELECT complete_evidence($1)", job) for name, job in jobs.items()}
        assert proofs == {**dict.fromkeys(jobs, None), "proven": 1}
        names = "SELECT bool_and(tgenabled = 'O') FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = ANY($1::regclass[])"
        assert await connection.fetchval(names, ["destinations", "globus_tasks", "verifications"])
    finally:
        await connection.close()


async def _old_job(connection: asyncpg.Connection, name: str) -> UUID:
    path = f"/One/Two/{name}.7z"
    job: UUID = await connection.fetchval(
        "INSERT INTO jobs (folder_name, source_path, destination_path, created_by) VALUES ($1, $2, $3, 'ada') RETURNING id",
        *(name, f"/nas/One/Two/{name}", path),
    )
    await connection.execute("INSERT INTO destinations (key, path, job_id, state) VALUES (lower($1), $1, $2, 'held')", path, job)
    return job


async def _old_task(
    connection: asyncpg.Connection,
    job: UUID,
    purpose: str,
    endpoint: str,
    base: str,
    *,
    ended: bool = False,
    task_id: str | None = None,
    status: str | None = None,
) -> UUID:
    """Store a submission as an uploader of that version did. Return its id."""
    path = await connection.fetchval("SELECT destination_path FROM jobs WHERE id = $1", job)
    names = [f"{base}{path}", f"{base}{path}.manifest.json"]
    body: dict[str, object] = {"destination_endpoint": endpoint, "items": [{"destination_path": name} for name in names]}
    if purpose == "removal":
        body = {"endpoint": endpoint, "paths": names}
    submission: UUID = await connection.fetchval(
        "INSERT INTO globus_tasks (submission_id, job_id, attempt, purpose, destination_key, request, task_id, status, ended_at)"
        " SELECT gen_random_uuid(), $1, 1, $2, key, $3, $4, $5, CASE WHEN $6 THEN now() END FROM destinations WHERE job_id = $1"
        " RETURNING submission_id",
        *(job, purpose, json.dumps(body), task_id, status, ended),
    )
    return submission


async def _old_proof(connection: asyncpg.Connection, job: UUID, submission: UUID, recheck: str) -> None:
    """Record the three rows that prove an archive, as an uploader of that version did."""
    await connection.execute(
        "INSERT INTO archives (job_id, attempt, archive_path, size, sha256, md5, manifest_size, manifest_sha256, manifest_md5,"
        " manifest, file_count, total_bytes) VALUES ($1, 1, '/a', 1, $2, $3, 1, $2, $3, 'x', 1, 1)",
        *(job, "a" * 64, "c" * 32),
    )
    said = {"task": {"submission_id": str(submission)}, "remote": {}, "content": {"recheck_task_id": recheck}}
    for kind, evidence in said.items():
        await connection.execute(
            "INSERT INTO verifications (job_id, attempt, kind, archive_attempt, archive_sha256, manifest_sha256, evidence)"
            " VALUES ($1, 1, $2, 1, $3, $3, $4)",
            *(job, kind, "a" * 64, json.dumps(evidence)),
        )
