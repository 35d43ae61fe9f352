"""Real engines for tests: one Postgres and one NATS server per test session (and per xdist worker), started in ~0.6 s.

Fixtures (made available to every test by tests/conftest.py):

- `pg`: a PostgresEngine. `await pg.create_database()` -> superuser DSN of an empty database; `await pg.create_database("name")` copies a
  template made once with `await pg.template("name", build)`, `build(dsn)` being a coroutine function that fills it.
- `database`: the DSN of an empty database of this test's own, dropped afterwards.
- `nats`: a NatsEngine with the real permissions, stream and durables.
  `await nats.connect("scanner")` -> client;
  `nats.passwords[user]`, `nats.url`; `await nats.reset()` empties the stream. Clients from `connect` are closed by the fixture at the end.
"""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from nats.aio.client import Client

from devstack import postgres
from devstack.nats_server import NatsServer
from devstack.postgres import Postgres
from shared.infra.nats_permissions import PROVISION, STREAM, inbox_prefix
from shared.infra.provision import provision


async def eventually(condition: Callable[[], Awaitable[object]], what: str, timeout_s: float = 60.0) -> None:
    """Poll until `condition` returns a true value. A failure names the awaited condition and the last value."""
    deadline = time.monotonic() + timeout_s
    while not (seen := await condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}; last seen: {seen!r}"
        await asyncio.sleep(0.02)


@contextmanager
def data_dir() -> Iterator[Path]:
    """A DATA_DIR that Postgres' own account can reach (pytest's tmp_path is 0700). It is removed with its database."""
    path = Path(tempfile.mkdtemp(prefix="cs-archiver-test-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        postgres.destroy(path)
        shutil.rmtree(path)


class PostgresEngine:
    """A running server on which tests create and drop databases."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._templates: set[str] = set()

    async def create_database(self, template: str | None = None) -> str:
        """Create a database with an unused name, empty or a copy of `template`. Return the superuser's DSN."""
        name = f"test_{uuid4().hex}"

        async def made() -> bool:
            try:
                await self._execute(f'CREATE DATABASE {name} TEMPLATE "{template or "template0"}"')
            except asyncpg.ObjectInUseError:  # a connection that is just closing, or autovacuum
                return False
            return True

        await eventually(made, f"a copy of {template}")
        return self.server.dsn(name)

    async def drop_database(self, dsn: str) -> None:
        """Drop it, even with open connections."""
        await self._execute(f"DROP DATABASE IF EXISTS {urlsplit(dsn).path[1:]} WITH (FORCE)")

    async def template(self, name: str, build: Callable[[str], Awaitable[None]]) -> str:
        """Create the database `name` once per session and fill it with `build(dsn)`. `build` must close its connections."""
        if name not in self._templates:
            await self._execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
            await build(self.server.dsn(name))
            self._templates.add(name)
        return name

    def dsn_as(self, dsn: str, user: str, password: str) -> str:
        """Return the DSN of the same database for another role."""
        parts = urlsplit(dsn)
        return urlunsplit(parts._replace(netloc=f"{user}:{password}@127.0.0.1:{self.server.port}"))

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.server.dsn())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class NatsEngine:
    """A running server with the real permission table."""

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.url = server.url
        self.passwords = server.passwords
        self._clients: list[Client] = []

    async def connect(self, user: str, prefix: str | None = None, **options: object) -> Client:
        """Return a client logged in as `user`, with its inbox prefix unless another `prefix` is given."""
        usual = {"password": self.passwords[user], "inbox_prefix": prefix or inbox_prefix(user), "connect_timeout": 60}
        client = Client()
        try:
            await client.connect(self.url, user=user, **usual | {"allow_reconnect": False, "error_cb": _silent} | options)
        except BaseException:
            if client._transport is not None:  # nats-py leaves it open after a refused login
                client._transport.close()
            raise
        self._clients.append(client)
        return client

    async def reset(self) -> None:
        """Recreate an empty stream with fresh durables.

        A deleted stream that is recreated at once sometimes still holds its old events (nats-server 2.15.1, 5 of 200). In that
        case, delete it again.
        """
        client = await self.connect(PROVISION)
        stream = client.jetstream(timeout=60)

        async def emptied() -> bool:
            await stream.delete_stream(STREAM)
            await provision(self.url, self.passwords[PROVISION])
            return bool((await stream.stream_info(STREAM)).state.messages == 0)

        await eventually(emptied, "an empty stream")
        await client.close()

    async def close(self) -> None:
        """Close every client that `connect` returned."""
        while self._clients:
            await self._clients.pop().close()


async def _silent(_error: Exception) -> None:
    """Tests check refused permissions themselves; nats-py would print them."""


@asynccontextmanager
async def postgres_server(*, durable: bool = False) -> AsyncIterator[PostgresEngine]:
    """A server in its own directory, which is removed at the end."""
    with data_dir() as path:
        server = Postgres(path, durable=durable)
        await server.initialise()
        await server.start()
        try:
            yield PostgresEngine(server)
        finally:
            await server.stop()


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[None]:
    """Mount a separate file system at `path`, which is created. Raises CalledProcessError where none can be mounted."""
    path.mkdir()
    options = f"size={megabytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def can_mount() -> bool:
    """Return whether a small disk can be mounted here. Root can, outside most containers."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            with small_disk(Path(directory) / "disk", 1):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def fill(directory: Path) -> Path:
    """Fill a disk completely. Return the file whose removal frees the space."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


@asynccontextmanager
async def postgres_on_a_small_disk(megabytes: int = 192) -> AsyncIterator[tuple[PostgresEngine, Path]]:
    """A server whose whole cluster is on a disk of that size, and the disk."""
    with data_dir() as path, small_disk(path / "postgres", megabytes):
        server = Postgres(path, durable=False)
        await server.initialise()
        await server.start()
        try:
            yield PostgresEngine(server), path / "postgres"
        finally:
            await server.stop()


@asynccontextmanager
async def nats_server(*, durable: bool = False) -> AsyncIterator[NatsEngine]:
    """A provisioned server in its own directory, which is removed at the end."""
    with data_dir() as path:
        server = NatsServer(path, durable=durable)
        await server.start()
        engine = NatsEngine(server)
        try:
            await provision(server.url, server.passwords[PROVISION])
            yield engine
        finally:
            await engine.close()
            await server.stop()


@pytest.fixture(scope="session")
async def pg() -> AsyncIterator[PostgresEngine]:
    async with postgres_server() as engine:
        yield engine


@pytest.fixture(scope="session", name="nats")
async def nats_engine() -> AsyncIterator[NatsEngine]:
    async with nats_server() as engine:
        yield engine


@pytest.fixture
async def database(pg: PostgresEngine) -> AsyncIterator[str]:
    dsn = await pg.create_database()
    yield dsn
    await pg.drop_database(dsn)
