"""Behind a reverse proxy: only the configured proxy may report the client's address and the use of HTTPS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect

from services.gateway.auth import throttle
from services.gateway.gate import SESSION_COOKIE
from tests.services.gateway.conftest import PASSWORD, Gateway, second
from tests.services.gateway.test_users import name_of, user

PROXY = "127.0.0.2"
CLIENT = "127.0.0.3"
STRANGER = "127.0.0.4"
FORGED = {"X-Forwarded-For": "203.0.113.66", "X-Forwarded-Proto": "https"}
WRONG = "not the password"


class ReverseProxy:
    """A small proxy that ends HTTPS. It adds the client's address and the scheme to each connection's first request."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Yield its address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        host, port = self._upstream.hostname, self._upstream.port
        above, to = await asyncio.open_connection(host, port, local_addr=(PROXY, 0))
        with contextlib.closing(writer), contextlib.closing(to):
            lines = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n").split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith(b"x-forwarded-proto:")]
            to.write(b"\r\n".join([*kept, f"X-Forwarded-For: {client}".encode(), b"X-Forwarded-Proto: https", b"", b""]))
            await asyncio.gather(_copy(reader, to), _copy(above, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


@pytest.fixture
async def direct(gateway: Gateway, tmp_path: Path) -> AsyncIterator[str]:
    """A gateway that trusts only the proxy. Yield its own address."""
    async with second(gateway, tmp_path, FORWARDED_ALLOW_IPS=f"192.0.2.0/24, {PROXY}") as url:
        yield url


@pytest.fixture
async def proxied(direct: str) -> AsyncIterator[str]:
    async with ReverseProxy(direct).serving() as url:
        yield url


async def _login(url: str, address: str, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    """Log in from this loopback address over one connection."""
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=60) as client:
        body = {"username": name, "password": password, "cookie": True}
        return await client.post("/api/auth/login", json=body, headers=headers)


async def _audited(gateway: Gateway, name: str) -> list[tuple[str, str]]:
    found = "SELECT action, address FROM audit WHERE actor = $1 AND action LIKE 'login%' ORDER BY id"
    return [(row["action"], row["address"]) for row in await gateway.kernel.owner.fetch(found, name)]


async def _has_failed(gateway: Gateway, address: str) -> bool:
    found = "SELECT count(*) FROM login_failures WHERE key = $1"
    return bool(await gateway.kernel.owner.fetchval(found, throttle.address_key(address)))


async def test_proxy_is_believed(gateway: Gateway, proxied: str) -> None:
    """Cookie, HSTS, audit and throttle use the client behind the proxy, even if that client sends forged headers itself."""
    name = await name_of(gateway, (await user(gateway))[0])

    for headers in ({}, FORGED, {**FORGED, "X-Forwarded-Proto": "http"}):
        answer = await _login(proxied, CLIENT, name, **headers)
        assert answer.status_code == 200, answer.text
        assert "secure" in answer.headers["set-cookie"].lower()
        assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert (await _login(proxied, CLIENT, name, WRONG)).status_code == 401

    assert await _audited(gateway, name) == [("login", CLIENT)] * 3 + [("login_failed", CLIENT)]
    assert await _has_failed(gateway, CLIENT)
    assert not await _has_failed(gateway, PROXY)
    socket = proxied.replace("http", "ws") + "/ws/jobs"
    cookie = {"Cookie": f"{SESSION_COOKIE}={_value(answer)}"}
    own = {**cookie, "Origin": proxied}
    async with connect(socket, additional_headers=own, proxy=None) as watching, asyncio.timeout(60):
        assert "snapshot" in str(await watching.recv())


def _value(answer: httpx.Response) -> str:
    """Return a Secure cookie's value, which no client keeps that connected without HTTPS."""
    return answer.headers["set-cookie"].partition("=")[2].partition(";")[0]


async def test_stranger_cannot_forge(gateway: Gateway, direct: str) -> None:
    """Headers of a client that is no configured proxy change nothing, from this machine or from elsewhere."""
    name = await name_of(gateway, (await user(gateway))[0])

    for address in ("127.0.0.1", STRANGER):
        answer = await _login(direct, address, name, **FORGED)
        assert answer.status_code == 200, answer.text
        assert "secure" not in answer.headers["set-cookie"].lower()
        assert "strict-transport-security" not in answer.headers
    assert (await _login(direct, STRANGER, name, WRONG, **FORGED)).status_code == 401

    assert await _audited(gateway, name) == [("login", "127.0.0.1"), ("login", STRANGER), ("login_failed", STRANGER)]
    assert not await _has_failed(gateway, FORGED["X-Forwarded-For"])


async def test_nobody_is_believed(gateway: Gateway, tmp_path: Path) -> None:
    """The word none removes the trust in this machine's own proxies too."""
    name = await name_of(gateway, (await user(gateway))[0])
    async with second(gateway, tmp_path, FORWARDED_ALLOW_IPS="none") as url, ReverseProxy(url).serving() as proxied:
        answer = await _login(proxied, CLIENT, name)

    assert "secure" not in answer.headers["set-cookie"].lower()
    assert await _audited(gateway, name) == [("login", PROXY)]
