"""Postgres: named SQL, a pool that outlives a restart of the server, and errors told apart."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from shared import log, tls
from shared.errors import ConfigurationError

logger = log.get(__name__)

# All that a killed, stopped or starting server raises, measured (facts: InternalClientError is not a PostgresError).
# Use it only around calls of the database: OSError and TimeoutError mean other things elsewhere.
CONNECTION_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    # Too busy to answer now (lock_timeout, statement_timeout, a deadlock): as good as away.
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    TimeoutError,
)
_REFUSALS = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


def is_database_away(error: BaseException) -> bool:
    """True when an error that may come from anywhere surely means that the database does not answer."""
    return isinstance(error, CONNECTION_ERRORS) and (
        isinstance(error, ConnectionError) or not isinstance(error, OSError | TimeoutError)
    )


_HEADER = re.compile(r"^-- ([a-z][a-z0-9_]*) --$", re.MULTILINE)


def load_queries(*files: Path) -> dict[str, str]:
    """Read `-- name --` blocks; the same name twice is an error."""
    queries: dict[str, str] = {}
    for file in files:
        parts = _HEADER.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            if name in queries:
                raise ValueError(f"query {name} is written twice")
            queries[name] = text.strip()
    return queries


async def _prepare(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, encoder=lambda value: msgspec.json.encode(value).decode(), decoder=msgspec.json.decode, schema="pg_catalog"
        )


class Session:
    """Named queries on one connection."""

    def __init__(self, connection: Any, queries: dict[str, str]) -> None:
        self.connection = connection
        self._queries = queries

    async def rows(self, name: str, *args: Any) -> list[Any]:
        return list(await self.connection.fetch(self._queries[name], *args))

    async def row(self, name: str, *args: Any) -> Any | None:
        return await self.connection.fetchrow(self._queries[name], *args)

    async def value(self, name: str, *args: Any) -> Any:
        return await self.connection.fetchval(self._queries[name], *args)

    async def run(self, name: str, *args: Any) -> str:
        """Run a statement; the server's tag comes back, e.g. `UPDATE 1`."""
        return str(await self.connection.execute(self._queries[name], *args))

    async def many(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        await self.connection.executemany(self._queries[name], rows)


class Database:
    """The pool and the queries of one service."""

    def __init__(self, pool: Any, queries: dict[str, str], url: str) -> None:
        self._pool = pool
        self.queries = queries
        self._url = url

    @classmethod
    async def connect(cls, url: str, *files: Path, size: int = 8) -> "Database":
        """Open the pool; waits for a server that is not there yet and says so in the log.

        Raises ConfigurationError when the server is there but does not take this user, password or database, or when one of the
        two does not accept the other's certificate.
        """
        tls.check_database_files(url)
        queries = load_queries(Path(__file__).with_name("queries.sql"), *files)
        delay = 0.1
        while True:
            try:
                pool = await asyncpg.create_pool(url, min_size=1, max_size=size, command_timeout=30, timeout=5, init=_prepare)
                return cls(pool, queries, url)
            except _REFUSALS as exc:
                raise ConfigurationError(f"Postgres refuses DATABASE_URL: {exc}") from exc
            except CONNECTION_ERRORS as exc:
                tls.check_database_error(exc)
                logger.warning("database_unreachable", message="Postgres does not answer yet; trying again.", error=repr(exc))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)

    @property
    def size(self) -> int:
        """The most connections that the pool opens."""
        return int(self._pool.get_max_size())

    async def dedicated(self) -> Any:
        """Open a connection outside the pool, for LISTEN and session locks. The caller closes it."""
        connection = await asyncpg.connect(self._url, timeout=5)
        await _prepare(connection)
        return connection

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), 3)
        except CONNECTION_ERRORS:
            self._pool.terminate()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        async with self._pool.acquire(timeout=10) as connection:
            yield Session(connection, self.queries)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            yield Session(connection, self.queries)

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Session]:
        """A transaction on a connection of its own: for locks that are held while something slow runs."""
        connection = await self.dedicated()
        try:
            await connection.execute("SET idle_in_transaction_session_timeout = 0")
            async with connection.transaction():
                yield Session(connection, self.queries)
        finally:
            try:
                await connection.close(timeout=3)
            except CONNECTION_ERRORS:
                connection.terminate()

    async def rows(self, name: str, *args: Any) -> list[Any]:
        async with self.session() as session:
            return await session.rows(name, *args)

    async def row(self, name: str, *args: Any) -> Any | None:
        async with self.session() as session:
            return await session.row(name, *args)

    async def value(self, name: str, *args: Any) -> Any:
        async with self.session() as session:
            return await session.value(name, *args)

    async def run(self, name: str, *args: Any) -> str:
        async with self.session() as session:
            return await session.run(name, *args)
