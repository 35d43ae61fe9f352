"""Named SQL: every statement parses, and each role may run what it has to and nothing else; the pool survives the server's death."""

import asyncio
import os
import re
import signal
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs

from shared.db import CONNECTION_ERRORS, Database, is_database_away, load_queries
from shared.errors import ConfigurationError
from shared.lifecycle import Role
from tests.support.engines import PostgresEngine, postgres_server
from tests.support.kernel import Kernel, eventually

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "shared" / "queries.sql"
SQL_FILES = [SHARED, *sorted(ROOT.glob("services/*/queries.sql"))]

# Statements of shared/queries.sql that are not a role's business, and that its grants therefore refuse.
OF_A_LANE = {"fail_crashed", "reclaim", "claim", "renew", "release", "transition", "progress"}
OF_A_DELETION = {"begin_deletion", "record_kept"}
OF_A_CLEANUP = {"claim_cleanup", "renew_cleanup", "finish_cleanup", "postpone_cleanup"}
REFUSED = {
    Role.COMPRESSOR: set[str](),
    Role.UPLOADER: OF_A_DELETION,
    Role.SCANNER: OF_A_CLEANUP,
    Role.GATEWAY: OF_A_LANE | OF_A_DELETION | OF_A_CLEANUP,
}


@pytest.mark.parametrize("file", SQL_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_block_has_a_name_and_a_purpose(file: Path) -> None:
    """A header that is misspelt would silently become part of the statement before it."""
    text = file.read_text(encoding="utf-8")
    queries = load_queries(file)

    assert queries
    assert [line for line in text.splitlines() if re.match(r"--\s*\S+\s*--\s*$", line)] == [f"-- {name} --" for name in queries]
    without_purpose = [name for name, statement in queries.items() if not statement.startswith("-- ")]
    assert without_purpose == []


def test_a_name_written_twice_is_an_error(tmp_path: Path) -> None:
    """Within a file and across files."""
    (tmp_path / "a.sql").write_text("-- one --\nSELECT 1\n")
    (tmp_path / "b.sql").write_text("-- two --\nSELECT 2;\n\n-- one --\nSELECT 3\n")
    assert load_queries(tmp_path / "a.sql") == {"one": "SELECT 1"}
    with pytest.raises(ValueError, match="query one is written twice"):
        load_queries(tmp_path / "a.sql", tmp_path / "b.sql")


async def explained(connection: asyncpg.Connection, statement: str) -> str:
    """Plan a statement with the role's own rights: syntax, names, types and grants are checked, nothing runs."""
    try:
        await connection.execute(f"EXPLAIN (GENERIC_PLAN) {statement}")
    except asyncpg.InsufficientPrivilegeError:
        return "refused"
    except asyncpg.PostgresError as exc:
        return f"{exc.sqlstate}: {exc}"
    return "ok"


@pytest.mark.parametrize("role", list(Role))
async def test_every_query_runs_as_the_role_that_owns_it(kernel: Kernel, role: Role) -> None:
    """All of the service's own statements, and of the shared ones exactly those that are its business."""
    own = ROOT / "services" / role / "queries.sql"
    wrong = {}
    connection = await asyncpg.connect(kernel.url(role))
    try:
        for name, statement in load_queries(SHARED).items():
            answer, wanted = await explained(connection, statement), "refused" if name in REFUSED[role] else "ok"
            if answer != wanted:
                wrong[name] = f"{answer}, not {wanted}"
        for name, statement in (load_queries(own) if own.exists() else {}).items():
            answer = await explained(connection, statement)
            if answer != "ok":
                wrong[name] = answer
            await connection.prepare(statement)
    finally:
        await connection.close()

    assert wrong == {}


async def test_rows_values_and_json(kernel: Kernel) -> None:
    """Jsonb goes in and comes out as Python objects; a transaction that fails leaves nothing."""
    job = await kernel.job()
    db = await kernel.db("compressor")
    data = {"bytes": 1, "names": ["ä", None]}
    await db.run("log", job, "INFO", "looked", "Looked.", data)
    async with db.session() as session:
        assert await session.connection.fetchval("SELECT data FROM job_logs WHERE action = 'looked'") == data
        row = await session.row("state_of", job)
        assert row is not None
        assert row["status"] == "queued"
        assert await session.value("ping") == 1
        assert await session.rows("state_of", job) == [row]

    async def failing() -> None:
        async with db.transaction() as session:
            await session.run("log", job, "INFO", "undone", "Undone.", None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert await kernel.owner.fetchval("SELECT count(*) FROM job_logs WHERE action = 'undone'") == 0


async def test_a_refused_login_is_said_at_once(kernel: Kernel) -> None:
    """A wrong password or database is the settings' fault: waiting would not help, and the password is not shown."""
    right = kernel.url("scanner")
    for url in (right.replace("pw-scanner", "hidden"), right.rpartition("/")[0] + "/no_such_database"):
        with pytest.raises(ConfigurationError, match="Postgres refuses DATABASE_URL") as refused:
            await Database.connect(url)
        assert "hidden" not in str(refused.value)


async def test_postgres_killed_and_restarted() -> None:
    """Kill -9: calls fail with errors known as "away", and the same pool works once the server is back; connect waits for it."""
    async with postgres_server() as engine:
        db = await Database.connect(engine.server.dsn(), size=3)
        try:
            assert await db.value("ping") == 1
            sleeping = asyncio.create_task(_sleep(db))
            await eventually(lambda: _sleepers(db), lambda n: n == 1, "the query to run")
            assert engine.server.pid is not None
            os.kill(engine.server.pid, signal.SIGKILL)
            error = (await asyncio.gather(sleeping, return_exceptions=True))[0]
            assert isinstance(error, CONNECTION_ERRORS)

            await eventually(lambda: _ping(db), lambda answer: answer == 1, "the pool to work again")

            await _stopped_server(engine)
        finally:
            await db.close()


async def _sleep(db: Database) -> None:
    async with db.session() as session:
        await session.connection.execute("SELECT pg_sleep(60)")


async def _sleepers(db: Database) -> int:
    async with db.session() as session:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
        return int(await session.connection.fetchval(statement))


async def _ping(db: Database) -> object:
    try:
        return await db.value("ping")
    except CONNECTION_ERRORS as exc:
        return exc


async def _stopped_server(engine: PostgresEngine) -> None:
    """A service that starts before its database waits, says so, and connects when it comes."""
    await engine.server.stop()
    with capture_logs() as logs:
        connecting = asyncio.create_task(Database.connect(engine.server.dsn()))

        async def said() -> bool:
            return any(line["event"] == "database_unreachable" for line in logs)

        await eventually(said, bool, "the wait to be logged")
    await engine.server.start()
    late = await asyncio.wait_for(connecting, 60)
    assert await late.value("ping") == 1
    await late.close()


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (asyncpg.ConnectionDoesNotExistError("x"), True),
        (asyncpg.CannotConnectNowError("x"), True),
        (asyncpg.InternalClientError("x"), True),
        (ConnectionResetError(), True),
        (FileNotFoundError(), False),  # a file of the work, not the database
        (TimeoutError(), False),  # anything may time out
        (asyncpg.UniqueViolationError("x"), False),
        (ValueError(), False),
    ],
)
def test_which_errors_mean_that_the_database_is_away(error: Exception, away: bool) -> None:
    """Only those that can come from nothing else."""
    assert is_database_away(error) is away
