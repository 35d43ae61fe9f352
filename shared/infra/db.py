"""Postgres: named SQL, a pool that survives a restart of the server, and the classification of errors."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import asyncpg
import msgspec

from shared import log, units
from shared.errors import DISK_FULL, ConfigurationError, DatabaseAway
from shared.infra import tls

logger = log.get(__name__)


class Refusal(NamedTuple):
    """Why the database refuses a statement now, in the form that DatabaseAway reports."""

    kind: str
    message: str
    lasts: bool = True


_AWAY = Refusal("away", "The database (Postgres) does not answer. Nothing is lost; try again in a moment.", lasts=False)
_BUSY = Refusal("busy", "The database is too busy to answer now. Try again in a moment.", lasts=False)
_FULL = Refusal(
    DISK_FULL, "The database's disk is full. Free some space on the disk that Postgres uses; work then goes on by itself."
)
_RESOURCES = Refusal("resources", "The database has reached a limit of its server. See the log of Postgres.")
_MEMORY = Refusal(
    "memory", "The database is out of memory. Give the machine of Postgres more memory, or stop other programs there."
)
_CONNECTIONS = Refusal(
    "connections", "The database takes no more connections. Raise max_connections in Postgres, or run fewer processes."
)
_READ_ONLY = Refusal(
    "read_only", "The database is read-only, as after a failover. Point DATABASE_URL to the server that takes writes."
)
_STOPPING = Refusal("stopping", "The database stops or starts now. Nothing is lost; try again in a moment.", lasts=False)
_SYSTEM = Refusal("system", "The database met an error of its disk or of its machine. See the log of Postgres.")
_INTERNAL = Refusal("internal", "The database reports an internal error; its files may be damaged. See the log of Postgres.")
_LOGIN = Refusal("login", "The database does not accept the login of this service any more. Check the password in DATABASE_URL.")
_GONE = Refusal("gone", "The database that DATABASE_URL names does not exist now. Restore it, or correct DATABASE_URL.")
_WORK = None  # a judgement about the statement: a defect of ours, or a rule that it would break

# SQLSTATE, or its first characters, and its meaning. The longest match counts. Appendix A of the Postgres manual lists all codes.
_REFUSALS: dict[str, Refusal | None] = {
    "08": _AWAY,
    "0A000": _WORK,
    "25006": _READ_ONLY,
    "25P03": _AWAY,  # idle_in_transaction_session_timeout: the server ended the session
    "25P04": _BUSY,  # transaction_timeout
    "28": _LOGIN,
    "3D000": _GONE,
    "40": _BUSY,  # serialization failure, deadlock, rolled back
    "40002": _WORK,  # rolled back by a constraint
    "53": _RESOURCES,
    "53100": _FULL,
    "53200": _MEMORY,
    "53300": _CONNECTIONS,
    "55006": _BUSY,  # object in use
    "55P03": _BUSY,  # lock_timeout
    "57": _STOPPING,
    "57014": _BUSY,  # statement_timeout
    "57P05": _AWAY,  # idle_session_timeout
    "58": _SYSTEM,
    "XX": _INTERNAL,
}


_SETTINGS = {_LOGIN.kind, _GONE.kind}
"""Kinds that mean wrong settings when they occur at the start."""


def refusal(sqlstate: str) -> Refusal | None:
    """Return why the database refuses a statement now; None if its answer is a judgement about the statement. Pure.

    This is the only list of such answers. None of them may fail a job, end a loop or end a process.
    """
    for length in (5, 2):
        if sqlstate[:length] in _REFUSALS:
            return _REFUSALS[sqlstate[:length]]
    return None


def refusal_of(error: BaseException) -> Refusal | None:
    """Return the same for any exception of a driver call.

    Use it only for driver calls: elsewhere OSError and TimeoutError have other meanings.
    """
    match error:
        case asyncpg.InvalidCachedStatementError():  # a migration ran meanwhile; the next try makes a new plan
            return _BUSY
        case asyncpg.PostgresError():
            return refusal(error.sqlstate or "")
        # Errors of the driver itself, measured when a server is killed (InternalClientError is not a PostgresError).
        case OSError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return _AWAY
    return None


_DRIVER: tuple[type[Exception], ...] = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@contextmanager
def database_errors(*more: type[Exception]) -> Iterator[None]:
    """Raise DatabaseAway in place of a driver exception when the database refuses the call now.

    `more`: OSError if the block contains only driver calls; elsewhere an OSError may come from a file.
    """
    try:
        yield
    except (*_DRIVER, *more) as exc:
        why = refusal_of(exc)
        if why is None:
            raise
        raise DatabaseAway(why.message, why.kind, lasts=why.lasts) from exc


_HEADER = re.compile(r"^-- ([a-z][a-z0-9_]*(?:@[a-z]+)?) --$", re.MULTILINE)
_VARIANTS = re.compile(r"^-- @(?P<word>[a-z]+): (?P<variants>.+)\n", re.MULTILINE)


# A part to skip as a whole, a parameter by number, or a parameter by name (not `::cast`, not `a[1:n]`).
_TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/
    |\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"
    |\$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?(tag)(?P=tag))\$
    |(?P<number>\$\d+)
    |(?<![\w:\])]):(?P<name>[a-z_][a-z0-9_]*)""",
    re.DOTALL | re.VERBOSE,
)


class Named(str):
    """A statement with named parameters in the driver's form: `:name` has become `$n`. names: in the order of their numbers."""

    __slots__ = ("names", "text")
    names: tuple[str, ...]
    text: str  # the same text; the driver takes no subclass

    def __new__(cls, text: str, names: tuple[str, ...]) -> Self:
        self = super().__new__(cls, text)
        self.names, self.text = names, text
        return self


def resolved(name: str, text: str) -> str:
    """Number the named parameters of a statement, by first use. A statement without any is returned unchanged. Pure.

    name: for the error. Raises ValueError for a statement that has parameters of both kinds.
    """
    numbers: dict[str, int] = {}
    by_number: set[str] = set()

    def number(found: re.Match[str]) -> str:
        if found["number"]:
            by_number.add(found["number"])
        if not found["name"]:
            return found[0]
        return f"${numbers.setdefault(found['name'], len(numbers) + 1)}"

    text = _TOKEN.sub(number, text)
    if numbers and by_number:
        raise ValueError(f"query {name} has parameters with names and with numbers")
    return Named(text, tuple(numbers)) if numbers else text


def bound(name: str, query: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the text and the ordered arguments for the driver. Pure.

    Raises TypeError that names the query when an argument is missing, is unknown, or is passed by
    position although parameters have names.
    """
    if not isinstance(query, Named):
        if named:
            raise TypeError(f"query {name} has no named parameters, so it does not know {', '.join(sorted(named))}")
        return query, args
    wrong = [
        *([f"takes no positional arguments but got {len(args)}"] if args else []),
        *(f"lacks {missing}" for missing in query.names if missing not in named),
        *(f"does not know {unknown}" for unknown in named if unknown not in query.names),
    ]
    if wrong:
        raise TypeError(f"query {name}: {'; '.join(wrong)}")
    return query.text, tuple(named[each] for each in query.names)


def load_queries(*files: Path) -> dict[str, str]:
    """Read `-- name --` blocks. The same name twice is an error. A block with `:name` in it becomes a `Named`.

    A block `-- name_@word --` with a line `-- @word: a = X; b = Y` is two queries, `name_a` and `name_b`. X and Y replace `@word`
    in them.
    """
    queries: dict[str, str] = {}
    for file in files:
        parts = _HEADER.split(file.read_text(encoding="utf-8"))
        for header, block in zip(parts[1::2], parts[2::2], strict=True):
            for name, text in _variants(header, block):
                if name in queries:
                    raise ValueError(f"query {name} is written twice")
                queries[name] = resolved(name, text.strip())
    return queries


def _variants(name: str, text: str) -> Iterator[tuple[str, str]]:
    found = _VARIANTS.search(text)
    if found is None:
        yield name, text
        return
    text = text.replace(found[0], "")
    for variant in found["variants"].split("; "):
        key, _, meaning = variant.partition(" = ")
        yield name.replace(f"@{found['word']}", key), text.replace(f"@{found['word']}", meaning)


async def _prepare(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, encoder=lambda value: msgspec.json.encode(value).decode(), decoder=msgspec.json.decode, schema="pg_catalog"
        )


R = TypeVar("R", bound=msgspec.Struct)


def typed(shape: type[R], name: str, row: Any) -> R:
    """Return a row of a query as a struct. Columns that the struct does not have are left out. Pure.

    Raises TypeError that names query and column when one is missing or has another type.
    """
    try:
        return msgspec.convert(dict(row), shape)
    except msgspec.ValidationError as exc:
        raise TypeError(f"query {name} does not give a {shape.__name__}: {exc}") from exc


class Session:
    """Named queries on one connection. All raise DatabaseAway when the database refuses them now.

    A query with named parameters takes one keyword argument for each; any other takes its arguments by position.
    """

    def __init__(self, connection: Any, queries: dict[str, str]) -> None:
        self.connection = connection
        self._queries = queries

    async def rows(self, name: str, /, *args: Any, **named: Any) -> list[Any]:
        text, values = bound(name, self._queries[name], args, named)
        with database_errors(OSError):
            return list(await self.connection.fetch(text, *values))

    async def row(self, name: str, /, *args: Any, **named: Any) -> Any | None:
        text, values = bound(name, self._queries[name], args, named)
        with database_errors(OSError):
            return await self.connection.fetchrow(text, *values)

    async def value(self, name: str, /, *args: Any, **named: Any) -> Any:
        text, values = bound(name, self._queries[name], args, named)
        with database_errors(OSError):
            return await self.connection.fetchval(text, *values)

    async def many(self, shape: type[R], name: str, /, *args: Any, **named: Any) -> list[R]:
        """Return the rows as structs. Raises TypeError where `typed` does."""
        return [typed(shape, name, row) for row in await self.rows(name, *args, **named)]

    async def one(self, shape: type[R], name: str, /, *args: Any, **named: Any) -> R | None:
        """Return the first row as a struct, None when there is none. Raises TypeError where `typed` does."""
        row = await self.row(name, *args, **named)
        return None if row is None else typed(shape, name, row)

    async def run(self, name: str, /, *args: Any, **named: Any) -> str:
        """Run a statement. Returns the server's tag, e.g. `UPDATE 1`."""
        text, values = bound(name, self._queries[name], args, named)
        with database_errors(OSError):
            return str(await self.connection.execute(text, *values))


POOL_SIZE = 8
_APART = 2
CONNECTIONS_PER_PROCESS = POOL_SIZE + 1 + _APART
"""The most connections of one service process: its pool, the relay's connection, and those that `Database.apart` opens."""


def too_few_connections(room: int, processes: int) -> str | None:
    """Return what to change if the server has too few connections for all service processes; None if they suffice. Pure."""
    needed = processes * CONNECTIONS_PER_PROCESS
    if needed <= room:
        return None
    return (
        f"{units.counted(processes, 'service process', 'service processes')} may need "
        f"{units.counted(needed, 'connection')} to Postgres, which gives them {room}. "
        f"Raise max_connections by {needed - room} or more, or run fewer processes."
    )


class Database:
    """The pool and the queries of one service. All methods raise DatabaseAway when the database refuses a call now."""

    def __init__(self, pool: Any, queries: dict[str, str], url: str) -> None:
        self._pool = pool
        self.queries = queries
        self._url = url
        self._places_apart = asyncio.Semaphore(_APART)
        self._refused_at: float | None = None
        self.refused: DatabaseAway | None = None
        """Why the server last refused a call for a lasting reason (a full disk, say). None once `probe` has passed."""

    @classmethod
    async def connect(cls, url: str, *files: Path, size: int = POOL_SIZE) -> "Database":
        """Open the pool. Waits for a server that is not there yet, and logs that.

        Raises ConfigurationError when the server is there but does not accept this user, password or database, or when one of the
        two does not accept the other's certificate.
        """
        tls.check_database_files(url)
        queries = load_queries(Path(__file__).with_name("queries.sql"), *files)
        delay = 0.1
        refused_at: float | None = None
        while True:
            try:
                with database_errors(OSError):
                    pool = await asyncpg.create_pool(url, min_size=1, max_size=size, command_timeout=30, timeout=5, init=_prepare)
                    database = cls(pool, queries, url)
                    database._refused_at = refused_at
                    return database
            except DatabaseAway as exc:
                refused_at = time.monotonic()
                if exc.kind in _SETTINGS:
                    raise ConfigurationError(f"Postgres refuses DATABASE_URL: {exc.__cause__}") from exc
                tls.check_database_error(exc.__cause__ or exc)
                logger.warning("database_unreachable", message=f"{exc} Trying again.", error=repr(exc.__cause__))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)

    @property
    def size(self) -> int:
        """Return the most connections that the pool opens."""
        return int(self._pool.get_max_size())

    async def dedicated(self) -> Any:
        """Open a connection outside the pool, for LISTEN and session locks. The caller closes it."""
        with database_errors(OSError):
            connection = await asyncpg.connect(self._url, timeout=5)
            await _prepare(connection)
            return connection

    async def close(self) -> None:
        try:
            with database_errors(OSError):
                await asyncio.wait_for(self._pool.close(), 3)
        except DatabaseAway:
            self._pool.terminate()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        try:
            with database_errors(OSError):
                connection = await self._pool.acquire(timeout=10)
            try:
                with database_errors():
                    yield Session(connection, self.queries)
            finally:
                with database_errors(OSError):
                    await self._pool.release(connection)
        except DatabaseAway as exc:
            self._refused_at = time.monotonic()
            if exc.lasts:
                self.refused = exc
            raise

    @property
    def seconds_since_refusal(self) -> float | None:
        """Return the seconds since the server last refused, or did not answer, a call of this process.

        None: that never happened.
        """
        return None if self._refused_at is None else time.monotonic() - self._refused_at

    async def probe(self) -> None:
        """Check whether the server accepts work again after a refusal, and whether its disk has any space left.

        Reads work on a full disk. So this makes the server write 1 MB into a temporary file. Raises DatabaseAway.
        """
        before = self.refused
        async with self.transaction() as session:
            await session.run("little_memory")
            await session.run("spill")
        if self.refused is before:
            self.refused = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self.session() as session:
            transaction = session.connection.transaction()
            with database_errors(OSError):
                await transaction.start()
            try:
                yield session
            except BaseException:
                # Without a connection the server rolls back by itself.
                with suppress(DatabaseAway), database_errors(OSError):
                    await transaction.rollback()
                raise
            with database_errors(OSError):
                await transaction.commit()

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Session]:
        """Open a transaction on its own connection, for locks that are held while something slow runs.

        CONNECTIONS_PER_PROCESS limits how many are open at once. Further callers wait for their turn.
        """
        async with self._places_apart:
            connection = await self.dedicated()
            try:
                with database_errors():
                    await connection.execute("SET idle_in_transaction_session_timeout = 0")
                    async with connection.transaction():
                        yield Session(connection, self.queries)
            finally:
                try:
                    with database_errors(OSError):
                        await connection.close(timeout=3)
                except DatabaseAway:
                    connection.terminate()

    async def rows(self, name: str, /, *args: Any, **named: Any) -> list[Any]:
        async with self.session() as session:
            return await session.rows(name, *args, **named)

    async def row(self, name: str, /, *args: Any, **named: Any) -> Any | None:
        async with self.session() as session:
            return await session.row(name, *args, **named)

    async def many(self, shape: type[R], name: str, /, *args: Any, **named: Any) -> list[R]:
        async with self.session() as session:
            return await session.many(shape, name, *args, **named)

    async def one(self, shape: type[R], name: str, /, *args: Any, **named: Any) -> R | None:
        async with self.session() as session:
            return await session.one(shape, name, *args, **named)

    async def value(self, name: str, /, *args: Any, **named: Any) -> Any:
        async with self.session() as session:
            return await session.value(name, *args, **named)

    async def run(self, name: str, /, *args: Any, **named: Any) -> str:
        async with self.session() as session:
            return await session.run(name, *args, **named)
