"""Migrations as commands, as an operator runs them."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from shared.lifecycle import Role
from tests.support.engines import PostgresEngine

ROOT = Path(__file__).parents[2]
ALEMBIC = [sys.executable, "-m", "alembic", "upgrade", "head"]
MIGRATE = [sys.executable, "-m", "shared.migrate"]


async def command(argv: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {"PATH": os.environ["PATH"], **environment}
    return await asyncio.to_thread(
        subprocess.run, argv, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )


async def tables(dsn: str) -> dict[str, int]:
    """Every table and its number of columns."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT table_name, count(*) FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1"
        )
    finally:
        await connection.close()
    return {row[0]: row[1] for row in rows}


async def test_alembic_upgrade_head_on_an_empty_database_and_again(database: str) -> None:
    """DATABASE_URL is all it needs, parameters in it included; the second run changes nothing."""
    first = await command(ALEMBIC, DATABASE_URL=f"{database}?sslmode=prefer&application_name=migration")
    assert first.returncode == 0, first.stderr
    made = await tables(database)
    assert {"jobs", "archives", "verifications", "destinations", "outbox", "edges", "alembic_version"} <= set(made)

    again = await command(ALEMBIC, DATABASE_URL=database)
    assert again.returncode == 0, again.stderr
    assert await tables(database) == made


async def test_migrate_sets_the_roles_passwords(pg: PostgresEngine) -> None:
    """`python -m shared.migrate`: schema and passwords, whatever characters they hold; again with the same values, no harm."""
    # Roles belong to the server: a database that is only looked at, and passwords the other tests' fixture sets as well.
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
    """`users` and `revoked_tokens` are closed to the other services."""
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
