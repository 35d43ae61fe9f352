"""NATS and Postgres over TLS, with certificates of a test authority: accepted if right, refused in a sentence at start if not.

Embedded Postgres is built without TLS. A small gate in front of it speaks Postgres' TLS negotiation, as for some managed
servers.
"""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from devstack import nats_server
from devstack.nats_server import NatsServer
from shared.domain.lifecycle import Role
from shared.errors import ConfigurationError
from shared.infra import nats_config, tls
from shared.infra.bus import Bus
from shared.infra.db import Database
from shared.infra.nats_permissions import PROVISION
from shared.infra.provision import provision
from shared.infra.settings import Nats, load
from tests.support.certificates import Authority, Pair
from tests.support.engines import data_dir

ROOT = Path(__file__).parents[3]
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def ours(directory: Path) -> Authority:
    return Authority(directory, "ours")


@pytest.fixture(scope="module")
def foreign(directory: Path) -> Authority:
    return Authority(directory, "foreign")


# NATS -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def nats_tls(ours: Authority) -> AsyncIterator[NatsServer]:
    """A NATS server with the real configuration that requires TLS and a client certificate. Its certificate names only `localhost`."""
    server = ours.sign("nats", "localhost")
    document = nats_config.document

    def with_tls(*arguments: object, **options: object) -> dict[str, object]:
        files = {"cert_file": str(server.certificate), "key_file": str(server.key), "ca_file": str(ours.file), "verify": True}
        return document(*arguments, **options) | {"tls": files}  # type: ignore[arg-type]  # as given

    with data_dir() as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(nats_server.nats_config, "document", with_tls)
        running = NatsServer(path, durable=False)
        await running.start()
        try:
            yield running
        finally:
            await running.stop()


def nats_settings(url: str, ca: Path, client: Pair | None) -> Nats:
    environment = {"NATS_URL": url, "NATS_PASSWORD": "x", "NATS_TLS_CA": str(ca)}
    if client is not None:
        environment |= {"NATS_TLS_CERT": str(client.certificate), "NATS_TLS_KEY": str(client.key)}
    return load(Nats, environment)


async def test_nats_is_used_over_tls(nats_tls: NatsServer, ours: Authority) -> None:
    """Provisioning and a service: both sides verify the other, and the connection continues after the server's restart."""
    url = f"tls://localhost:{nats_tls.port}"
    trusted = tls.nats_context(nats_settings(url, ours.file, ours.sign("client")))

    await provision(url, nats_tls.passwords[PROVISION], trusted=trusted)
    bus = await Bus.connect(url, "scanner", nats_tls.passwords["scanner"], trusted=trusted)
    try:
        assert isinstance(bus.connection._transport._io_writer.get_extra_info("ssl_object"), ssl.SSLObject)
        await bus.nudge("scanner")
        await bus.connection.flush(timeout=60)
    finally:
        await bus.close()


@pytest.mark.parametrize(
    ("scheme", "host", "ca", "client", "words"),
    [
        ("tls", "localhost", "foreign", "ours", "its certificate is not accepted: unable to get local issuer certificate"),
        ("tls", "127.0.0.1", "ours", "ours", "its certificate is not accepted: IP address mismatch"),
        ("tls", "localhost", "ours", None, "it does not accept our certificate"),
        ("tls", "localhost", "ours", "foreign", "it does not accept our certificate"),
        ("nats", "localhost", None, None, "demands TLS. Write tls:// in NATS_URL"),
    ],
)
async def test_nats_is_refused_at_start(
    nats_tls: NatsServer, request: pytest.FixtureRequest, scheme: str, host: str, ca: str | None, client: str | None, words: str
) -> None:
    """The wrong authority, the wrong host, no client certificate or a foreign one: reported once, not retried."""
    url = f"{scheme}://{host}:{nats_tls.port}"
    trusted = None
    if ca is not None:
        pair = request.getfixturevalue(client).sign("client") if client else None
        trusted = tls.nats_context(nats_settings(url, request.getfixturevalue(ca).file, pair))

    with pytest.raises(ConfigurationError, match=words):
        await asyncio.wait_for(Bus.connect(url, "scanner", nats_tls.passwords["scanner"], trusted=trusted), 120)
    with pytest.raises(ConfigurationError, match=words):
        await asyncio.wait_for(provision(url, nats_tls.passwords[PROVISION], trusted=trusted), 120)


async def test_nats_without_tls_never_sees_a_password(ours: Authority) -> None:
    """A server that does not require TLS is refused at start. On a reconnect nothing is sent to it."""
    heard, until_silent = bytearray(), asyncio.Event()
    ended: list[bytes] = []
    greeting = b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"tls_available":true}\r\n'

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        heard.extend(await reader.read())
        writer.close()
        ended.append(bytes(heard))
        if len(ended) == 2:
            until_silent.set()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        url = f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        trusted = tls.nats_context(nats_settings(url, ours.file, None))
        with pytest.raises(ConfigurationError, match="does not demand TLS"):
            await asyncio.wait_for(Bus.connect(url, "scanner", "secret", trusted=trusted), 120)
        client = tls._OnlyWithTls()
        with pytest.raises(tls.NatsError, match="does not require TLS any more"):
            await client.connect(url, tls=trusted, user="scanner", password="secret", allow_reconnect=False)
        client._transport.close()  # nats-py leaves it open
        await until_silent.wait()

    assert bytes(heard) == b""


def test_settings_of_nats_that_do_not_fit(ours: Authority, tmp_path: Path) -> None:
    """All are reported at once: files without tls://, half a pair. A file that is no certificate is named with its setting."""
    with pytest.raises(
        ConfigurationError, match=r"(?s)NATS_TLS_CA, NATS_TLS_KEY: set, but NATS_URL .*NATS_TLS_CERT, NATS_TLS_KEY: set both"
    ):
        load(Nats, {"NATS_URL": "nats://x", "NATS_TLS_CA": str(ours.file), "NATS_TLS_KEY": "/k"})
    with pytest.raises(ConfigurationError, match=r"NATS_TLS_CA: .*missing\.pem cannot be used"):
        tls.nats_context(nats_settings("tls://x", tmp_path / "missing.pem", None))
    (tmp_path / "wrong.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"NATS_TLS_CERT and NATS_TLS_KEY: .*wrong\.pem"):
        tls.nats_context(nats_settings("tls://x", ours.file, Pair(tmp_path / "wrong.pem", tmp_path / "wrong.pem")))


# Postgres -------------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def gate(pair: Pair | None, port: int) -> AsyncIterator[int]:
    """Postgres' TLS negotiation in front of the server at `port`. None: a server without TLS. Yields the gate's port."""
    open_: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        try:
            assert await reader.readexactly(8) == SSL_REQUEST
            writer.write(b"S" if pair else b"N")
            if pair is None:
                return
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*pair)
            await writer.start_tls(context)
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, behind_writer), pump(behind_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_:
            writer.close()


def over_tls(dsn: str, port: int, host: str, ca: Path, mode: str = "verify-full") -> str:
    parts = urlsplit(dsn)
    user = f"{parts.username}:{parts.password}"
    return f"postgresql://{user}@{host}:{port}{parts.path}?sslmode={mode}&sslrootcert={quote(str(ca))}"


async def test_postgres_is_used_over_tls(database: str, ours: Authority) -> None:
    """`python -m shared.infra.migrate` creates schema and roles. Then a service's pool works, and so does its LISTEN connection."""
    passwords = {f"CS_{role.upper()}_PASSWORD": f"pw-{role}" for role in Role}
    async with gate(ours.sign("postgres", "localhost"), urlsplit(database).port or 0) as port:
        url = over_tls(database, port, "localhost", ours.file)
        migrate = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shared.infra.migrate",
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": url, **passwords},
        )
        assert await migrate.wait() == 0
        db = await Database.connect(url, size=1)
        try:
            assert await db.value("is_migrated") is True
            connection = await db.dedicated()
            assert await connection.fetchval("SELECT 1") == 1
            await connection.close()
        finally:
            await db.close()


@pytest.mark.parametrize(
    ("ca", "host", "server", "words"),
    [
        ("foreign", "localhost", "localhost", "its certificate is not accepted: unable to get local issuer certificate"),
        ("ours", "127.0.0.1", "localhost", "its certificate is not accepted: IP address mismatch"),
        ("ours", "localhost", None, "it offers no TLS"),
    ],
)
async def test_postgres_is_refused_at_start(
    database: str, ours: Authority, request: pytest.FixtureRequest, ca: str, host: str, server: str | None, words: str
) -> None:
    """The wrong authority, the wrong host, no TLS: a service and the migrations report it once and end."""
    async with gate(ours.sign("postgres", server) if server else None, urlsplit(database).port or 0) as port:
        url = over_tls(database, port, host, request.getfixturevalue(ca).file)
        with pytest.raises(ConfigurationError, match=f"Postgres cannot be used: {words}"):
            await asyncio.wait_for(Database.connect(url), 120)
        passwords = {f"CS_{role.upper()}_PASSWORD": "x" for role in Role}
        migrate = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shared.infra.migrate", cwd=ROOT, stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": url, **passwords},
        )  # fmt: skip
        _, said = await migrate.communicate()

    assert migrate.returncode != 0
    assert said.decode().startswith(f"Postgres cannot be used: {words}")
    assert len(said.decode().strip().splitlines()) == 1


async def test_postgres_files_and_words_that_cannot_be_used(ours: Authority, tmp_path: Path) -> None:
    """A missing CA file, an unknown mode: nothing waits for a server."""
    with pytest.raises(ConfigurationError, match=r"sslrootcert in DATABASE_URL: .*missing\.pem cannot be used"):
        await Database.connect(over_tls("postgresql://u:p@x/d", 1, "localhost", tmp_path / "missing.pem"))
    with pytest.raises(ConfigurationError, match="`sslmode` parameter must be one of"):
        await Database.connect(over_tls("postgresql://u:p@x/d", 1, "localhost", ours.file, "verify_everything"))


def test_an_error_that_may_pass_is_no_refusal() -> None:
    """A connection that is cut during a handshake, a server that is away."""
    assert tls.refusal(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")) is None
    assert tls.refusal(ConnectionRefusedError(111, "refused")) is None
    assert tls.refusal(asyncpg.CannotConnectNowError("starting up")) is None
