"""Named SQL: every statement parses, each role may run its own and nothing else, and the pool survives the server's death."""

import ast
import asyncio
import importlib
import os
import re
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints
from uuid import UUID

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from shared.domain.lifecycle import Role
from shared.errors import ConfigurationError, DatabaseAway
from shared.infra.db import (
    CONNECTIONS_PER_PROCESS,
    POOL_SIZE,
    Database,
    Named,
    bound,
    database_errors,
    load_queries,
    refusal,
    resolved,
    too_few_connections,
    typed,
)
from tests.support.engines import PostgresEngine, postgres_server
from tests.support.kernel import Kernel, eventually

ROOT = Path(__file__).parents[3]
SHARED = ROOT / "shared" / "infra" / "queries.sql"
SQL_FILES = [SHARED, *sorted(ROOT.glob("services/*/queries.sql"))]

# Statements of shared/infra/queries.sql that a role does not need and that its grants refuse.
OF_A_LANE = {"fail_crashed", "reclaim", "claim", "renew", "release", "not_a_crash", "transition", "progress"}
OF_A_DELETION = {"begin_deletion", "record_kept"}
OF_A_CLEANUP = {"claim_cleanup", "renew_cleanup", "finish_cleanup", "postpone_cleanup"}
OF_A_STAGING = {"see_staging", "lose_stagings", "forget_stagings", "adopt_archive"}
OF_A_WORKSPACE = {"usage_added", "usage_removed", "usage_walked"}
REFUSED = {
    Role.COMPRESSOR: set[str](),
    Role.UPLOADER: OF_A_DELETION | OF_A_WORKSPACE,
    Role.SCANNER: OF_A_CLEANUP | OF_A_STAGING | OF_A_WORKSPACE,
    Role.GATEWAY: OF_A_LANE | OF_A_DELETION | OF_A_CLEANUP | OF_A_STAGING,
}


@pytest.mark.parametrize("file", SQL_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_block_has_a_name_and_a_purpose(file: Path) -> None:
    """A misspelt header would silently become part of the previous statement."""
    text = file.read_text(encoding="utf-8")
    queries = load_queries(file)

    assert queries
    headers = [line for line in text.splitlines() if re.match(r"--\s*\S+\s*--\s*$", line)]
    patterns = [re.sub("@[a-z]+", "[a-z]+", header) for header in headers]  # a header with variants stands for several names
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, f"-- {name} --") for name in queries)] == []
    assert [name for name in queries if sum(bool(re.fullmatch(pattern, f"-- {name} --")) for pattern in patterns) != 1] == []
    without_purpose = [name for name, statement in queries.items() if not statement.startswith("-- ")]
    assert without_purpose == []


def test_a_block_with_variants_is_several_queries(tmp_path: Path) -> None:
    """Each variant is inserted everywhere."""
    block = "-- by_@key --\n-- What it does.\n-- @key: name = lower(name); age = age, id\nSELECT @key ORDER BY @key\n"
    (tmp_path / "a.sql").write_text(block)

    assert load_queries(tmp_path / "a.sql") == {
        "by_name": "-- What it does.\nSELECT lower(name) ORDER BY lower(name)",
        "by_age": "-- What it does.\nSELECT age, id ORDER BY age, id",
    }


def test_a_name_written_twice_is_an_error(tmp_path: Path) -> None:
    """Within a file and across files."""
    (tmp_path / "a.sql").write_text("-- one --\nSELECT 1\n")
    (tmp_path / "b.sql").write_text("-- two --\nSELECT 2;\n\n-- one --\nSELECT 3\n")
    assert load_queries(tmp_path / "a.sql") == {"one": "SELECT 1"}
    with pytest.raises(ValueError, match="query one is written twice"):
        load_queries(tmp_path / "a.sql", tmp_path / "b.sql")


@pytest.mark.parametrize(
    ("written", "text", "names"),
    [
        ("SELECT :b, :a, :b", "SELECT $1, $2, $1", ("b", "a")),
        ("SELECT :a::text, now()::date", "SELECT $1::text, now()::date", ("a",)),
        ("-- Of :nobody.\nSELECT :a /* :b */ -- :c", "-- Of :nobody.\nSELECT $1 /* :b */ -- :c", ("a",)),
        ("SELECT ':a', 'it''s :b', E'\\':c', \":d\", :e", "SELECT ':a', 'it''s :b', E'\\':c', \":d\", $1", ("e",)),
        ("SELECT $$ :a $$, $x$ :b $ $x$, :c", "SELECT $$ :a $$, $x$ :b $ $x$, $1", ("c",)),
        ("SELECT list[1:two] FROM x WHERE y = :z1", "SELECT list[1:two] FROM x WHERE y = $1", ("z1",)),
        ("SELECT a = ANY(:ids::uuid[]) OR b=:b", "SELECT a = ANY($1::uuid[]) OR b=$2", ("ids", "b")),
    ],
)
def test_named_parameters_are_numbered_by_first_use(written: str, text: str, names: tuple[str, ...]) -> None:
    """Casts, slices, quotes and comments stay unchanged."""
    query = resolved("one", written)

    assert isinstance(query, Named)
    assert (str(query), query.text, query.names) == (text, text, names)


def test_a_statement_has_one_kind_of_parameters(tmp_path: Path) -> None:
    """Numbers beside names would be ambiguous. Numbers in a comment or in quotes do not count."""
    assert not isinstance(resolved("one", "SELECT $1, ':a'"), Named)
    assert isinstance(resolved("one", "-- $1 job.\nSELECT :a, '$1'"), Named)
    (tmp_path / "a.sql").write_text("-- both --\nSELECT $1, :a\n")
    with pytest.raises(ValueError, match="query both has parameters with names and with numbers"):
        load_queries(tmp_path / "a.sql")


@pytest.mark.parametrize(
    ("args", "named", "said"),
    [
        ((), {"a": 1}, "query one: lacks b"),
        ((), {"a": 1, "b": 2, "c": 3}, "query one: does not know c"),
        ((1, 2), {}, "query one: takes no positional arguments but got 2; lacks a; lacks b"),
    ],
)
def test_a_wrong_argument_is_an_error_that_names_the_query(args: tuple[int, ...], named: dict[str, int], said: str) -> None:
    """The error comes before anything is sent."""
    with pytest.raises(TypeError, match=re.escape(said)):
        bound("one", resolved("one", "SELECT :a, :b"), args, named)


def test_arguments_are_put_in_order() -> None:
    """By name for one kind of statement, by position for the other."""
    assert bound("one", resolved("one", "SELECT :b, :a"), (), {"a": 1, "b": 2}) == ("SELECT $1, $2", (2, 1))
    assert bound("one", "SELECT $1", (1,), {}) == ("SELECT $1", (1,))
    with pytest.raises(TypeError, match="query one has no named parameters, so it does not know a"):
        bound("one", "SELECT $1", (), {"a": 1})


MOST_NUMBERED = 8


@pytest.mark.parametrize("file", [file for file in SQL_FILES if file.parent.name != "gateway"], ids=lambda file: file.parent.name)
def test_many_parameters_have_names(file: Path) -> None:
    """The ninth argument could be confused with the tenth."""
    counts = {
        name: max([int(number) for number in re.findall(r"\$(\d+)", query)], default=0)
        for name, query in load_queries(file).items()
        if not isinstance(query, Named)
    }

    assert {name: count for name, count in counts.items() if count > MOST_NUMBERED} == {}


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
    """All of the service's own statements, and exactly those shared ones that it needs."""
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
            await connection.prepare(str(statement))
    finally:
        await connection.close()

    assert wrong == {}


COLUMNS: dict[type, set[str]] = {
    UUID: {"uuid"},
    str: {"text"},
    int: {"int4", "int8"},
    float: {"float8"},
    bool: {"bool"},
    bytes: {"bytea"},
    datetime: {"timestamptz"},
}
"""Which types of Postgres become which of ours; anything else is a document."""
CLAIMED = [("shared.service.worker", "Job", "claim"), ("shared.service.jobs", "Job", "job")]


def typed_queries() -> Iterator[tuple[str, str, str]]:
    """Return every `.one(Shape, "query")` and `.many(Shape, "query")`, as module, shape and query."""
    yield from CLAIMED
    for path in sorted([*ROOT.glob("services/*/**/*.py"), *ROOT.glob("shared/service/*.py")]):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="one" | "many"), args=[shape, ast.Constant(value=str() as query), *_]):
                    yield module, ast.unparse(shape), query


def shape_of(module: str, written: str) -> type[msgspec.Struct]:
    """Return the struct that a module means by a name."""
    found: Any = importlib.import_module(module)
    for name in written.split("."):
        found = getattr(found, name)
    assert issubclass(found, msgspec.Struct)
    return found


def columns_for(hint: Any) -> set[str]:
    """Return the column types that a field may be read from. Pure."""
    (kind,) = [one for one in get_args(hint) if one is not NoneType] if NoneType in get_args(hint) else [hint]
    return next((COLUMNS[base] for base in getattr(kind, "__mro__", ()) if base in COLUMNS), {"jsonb"})


def wrong_columns(shape: type[msgspec.Struct], columns: dict[str, str]) -> list[str]:
    """Return the fields that the query's columns lack or have with another type. Pure."""
    fields = get_type_hints(shape).items()
    return [f"{name}: {columns.get(name)} for {hint}" for name, hint in fields if columns.get(name) not in columns_for(hint)]


def test_a_struct_that_does_not_fit_its_query_is_found() -> None:
    """The comparison below can fail: a missing column, and one of another type."""

    class Row(msgspec.Struct):
        id: UUID
        size: int | None
        at: str

    assert wrong_columns(Row, {"id": "uuid", "size": "int8", "at": "text", "more": "text"}) == []
    assert len(wrong_columns(Row, {"id": "uuid", "size": "text", "at": "timestamptz"})) == 2
    assert len(wrong_columns(Row, {"id": "uuid", "at": "text"})) == 1


@pytest.mark.parametrize("role", [Role.SCANNER, Role.COMPRESSOR, Role.UPLOADER])
async def test_typed_rows_have_the_columns_of_their_queries(kernel: Kernel, role: Role) -> None:
    """Each field is a column of that name and type, so that no row is refused at run time."""
    queries = load_queries(SHARED, ROOT / "services" / role / "queries.sql")
    mine = [found for found in typed_queries() if found[0].startswith(("shared.", f"services.{role}."))]
    connection = await asyncpg.connect(kernel.url(role))
    wrong = {}
    try:
        for module, written, query in mine:
            attributes = (await connection.prepare(str(queries[query]))).get_attributes()
            found = wrong_columns(shape_of(module, written), {one.name: one.type.name for one in attributes})
            if found:
                wrong[module, query] = found
    finally:
        await connection.close()

    assert wrong == {}
    assert len(mine) > len(CLAIMED) + 4


def test_a_row_that_does_not_fit_names_query_and_column() -> None:
    """The error is raised at once."""

    class Row(msgspec.Struct):
        id: int

    assert typed(Row, "one", {"id": 1, "more": 2}) == Row(1)
    for row in ({"id": "1"}, {"more": 2}):
        with pytest.raises(TypeError, match=r"query one does not give a Row: .*id"):
            typed(Row, "one", row)


async def test_rows_values_and_json(kernel: Kernel) -> None:
    """Jsonb is read and written as Python objects. A failed transaction leaves nothing."""
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
    """A wrong password or database is a settings error. Waiting would not help, and the password is not shown."""
    right = kernel.url("scanner")
    for url in (right.replace("pw-scanner", "hidden"), right.rpartition("/")[0] + "/no_such_database"):
        with pytest.raises(ConfigurationError, match="Postgres refuses DATABASE_URL") as refused:
            await Database.connect(url)
        assert "hidden" not in str(refused.value)


async def test_postgres_killed_and_restarted() -> None:
    """Kill -9: calls fail with errors known as "away". The same pool works once the server is back; connect waits for it."""
    async with postgres_server() as engine:
        db = await Database.connect(engine.server.dsn(), size=3)
        try:
            assert await db.value("ping") == 1
            sleeping = asyncio.create_task(_sleep(db))
            await eventually(lambda: _sleepers(db), lambda n: n == 1, "the query to run")
            assert engine.server.pid is not None
            os.kill(engine.server.pid, signal.SIGKILL)
            error = (await asyncio.gather(sleeping, return_exceptions=True))[0]
            assert isinstance(error, DatabaseAway)

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
    except DatabaseAway as exc:
        return exc


async def _stopped_server(engine: PostgresEngine) -> None:
    """A service starts before its database, waits, logs this, and connects when the database is up."""
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
        (asyncpg.InvalidCachedStatementError("x"), True),  # a migration ran; the next try plans again
        (ConnectionResetError(), True),
        (FileNotFoundError(), False),  # a file of the work, not the database
        (TimeoutError(), False),  # anything may time out
        (asyncpg.UniqueViolationError("x"), False),
        (asyncpg.FeatureNotSupportedError("x"), False),
        (ValueError(), False),
    ],
)
def test_which_errors_mean_that_the_database_is_away(error: Exception, away: bool) -> None:
    """Errors with no other cause, and other errors only if a driver call raised them."""
    more = [OSError] if isinstance(error, ConnectionError) else []
    with pytest.raises(DatabaseAway if away else type(error)), database_errors(*more):
        raise error


async def test_an_error_of_the_work_inside_a_transaction_stays_what_it_is(kernel: Kernel) -> None:
    """A full staging disk or a slow program is not the database's error."""
    db = await kernel.db("compressor")
    for error in (FileNotFoundError("a file"), TimeoutError("a program"), ConnectionResetError("Globus")):
        with pytest.raises(type(error)):
            async with db.transaction():
                raise error


async def test_a_start_that_would_exceed_the_connections_says_so(kernel: Kernel) -> None:
    """The server's own figures, and all live processes. One more than fits is refused with what to change."""
    db = await kernel.db("scanner")
    await kernel.owner.execute(
        "INSERT INTO service_instances SELECT 'compressor@' || n, 'compressor', '1', now(), now() - interval '1 day' * (n = 1)::int"
        " FROM generate_series(1, 9) AS n"
    )
    row = await db.row("connection_room")
    assert row is not None
    assert (row["room"], row["processes"]) == (97, 8)
    assert too_few_connections(row["room"], row["processes"]) is None
    problem = too_few_connections(row["room"], 9)
    assert problem is not None
    assert f"{9 * CONNECTIONS_PER_PROCESS} connections" in problem
    assert "Raise max_connections by 2 or more" in problem


async def test_a_process_holds_no_more_connections_than_are_counted(kernel: Kernel) -> None:
    """The pool is full, the relay has its connection, and more tasks want a connection of their own than are allowed."""
    db = await Database.connect(kernel.url("scanner"))
    relays = await db.dedicated()
    counting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cs_scanner' AND datname = current_database()"
    release = asyncio.Event()
    turns = 0

    async def apart() -> None:
        nonlocal turns
        async with db.apart():
            turns += 1
            await release.wait()

    many = 2 * CONNECTIONS_PER_PROCESS
    slow = [asyncio.create_task(apart()) for _ in range(many)]
    sleeping = [asyncio.create_task(_sleep(db)) for _ in range(many)]
    try:
        await eventually(lambda: kernel.owner.fetchval(counting), lambda n: n >= CONNECTIONS_PER_PROCESS, "all connections")
        assert turns <= CONNECTIONS_PER_PROCESS - POOL_SIZE - 1
        assert await kernel.owner.fetchval(counting) == CONNECTIONS_PER_PROCESS
        release.set()
        await asyncio.wait_for(asyncio.gather(*slow), 60)
        assert turns == many, "each has its turn"
    finally:
        for task in (*slow, *sleeping):
            task.cancel()
        await asyncio.gather(*slow, *sleeping, return_exceptions=True)
        await relays.close()
        await db.close()


CLASSES = ("08", "28", "53", "57", "58", "XX")
"""Classes of SQLSTATE that say nothing about a statement, whatever code follows."""
ALSO = {"25006", "25P03", "25P04", "3D000", "40000", "40001", "40003", "40P01", "55006", "55P03"}


def test_the_list_of_refusals() -> None:
    """Every code that the driver knows is a refusal with a sentence that says what to do, or an error in the statement."""
    known = {getattr(error, "sqlstate", None) or "" for error in vars(asyncpg).values()} | {"CS001", "CS002", "CS003", "53999"}

    for sqlstate in known - {""}:
        why, is_refusal = refusal(sqlstate), sqlstate.startswith(CLASSES) or sqlstate in ALSO
        assert (why is not None) == is_refusal, sqlstate
        assert why is None or re.fullmatch(r"The database\b.+[.;] .+\.", why.message), sqlstate
