"""Headers and bodies that are too large or too slow, responses that take too long, and other sites' pages."""

import asyncio
import contextlib
import itertools
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect

from services.gateway import app, gate
from services.gateway.gate import Gate
from tests.services.gateway.conftest import Gateway, problem, second


async def test_a_body_too_large(gateway: Gateway) -> None:
    """413, with or without an announced length."""

    async def drip() -> Any:
        for _ in range(200):
            yield b" " * 1024

    for body in (b" " * 200_000, drip()):
        problem(
            await gateway.ask("POST", "/api/jobs", content=body, headers={"Content-Type": "application/json"}), 413, "too-large"
        )


async def test_a_body_that_is_no_json(gateway: Gateway) -> None:
    """Another content type: 415. Wrong bytes, endless nesting or numbers, an empty body: 400. Never 500."""
    good = b'{"name": "x", "scope": "read"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense", "application/jsonx"):
        answer = await gateway.ask("POST", "/api/tokens", content=good, headers={"Content-Type": kind})
        problem(answer, 415, "unsupported-media-type")
    for body in (
        b"",
        b"{",
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b"[" * 60_000,
        b'{"name": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
    ):
        answer = await gateway.ask("POST", "/api/tokens", content=body, headers={"Content-Type": "Application/JSON; charset=utf-8"})
        assert answer.status_code == 400, (body[:20], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/files/auto-archive", {"everything": 0}, "everything"),
        ("/api/config", {"max_upload_retries": "5"}, "max_upload_retries"),
    ],
)
async def test_a_body_of_other_types(gateway: Gateway, path: str, body: dict[str, Any], field: str) -> None:
    """Types that the document does not allow are refused, even where the meaning could be guessed."""
    answer = await gateway.ask("PUT", path, json=body)
    problem(answer, 400, "validation-failed")
    assert [found["field"] for found in answer.json()["errors"]] == [field]


async def test_values_that_nobody_can_mean(gateway: Gateway) -> None:
    """NUL, wrong UTF-8, endless numbers and times outside the calendar in path and query: 400 or 404."""
    queries = (
        "q=%00",
        "user=%00",
        "limit=" + "9" * 4000,
        "offset=-1",
        "from=NaN",
        "from=1e300",
        "to=0.5",
        "cursor=%00",
        "cursor=-1",
    )
    paths = [f"/api/jobs?{query}" for query in queries]
    paths += ["/api/jobs/%00", "/api/jobs/%ff", "/api/audit?action=%00", "/api/audit?cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"]
    for path in (*paths, "/api/jobs?from=0001-01-01T00:00:00%2B14:00", f"/api/events?after={2**80}"):
        answer = await gateway.ask("GET", path)
        assert answer.status_code in {400, 404}, (path[:60], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_methods_are_named(gateway: Gateway) -> None:
    """405 and OPTIONS list exactly the methods that the document gives an address."""
    document = (await gateway.ask("GET", "/schema/openapi.json", token="")).json()
    for template, item in document["paths"].items():
        path = re.sub(r"{\w+}", "00000000-0000-4000-8000-000000000000", template)
        expected = {verb.upper() for verb in item} | {"OPTIONS"}
        for method in ("OPTIONS", "TRACE"):
            answer = await gateway.ask(method, path)
            assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == expected, (method, path)
        problem(answer, 405, "method-not-allowed")


async def test_a_body_too_slow(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 when the body does not arrive in time. The slot is released."""
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.3)
    where = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"POST /api/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    answer = await asyncio.wait_for(reader.readline(), 60)
    writer.close()

    assert answer == b"HTTP/1.1 408 Request Timeout\r\n"


async def test_an_answer_that_takes_too_long(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with a sentence. A response that has begun may take any time."""
    monkeypatch.setattr(gate, "ANSWER_SECONDS", 0.3)
    gateway.peers.scanning = asyncio.Event()
    try:
        answer = await gateway.ask("GET", "/api/folders?refresh=true")
    finally:
        gateway.peers.scanning.set()
        gateway.peers.scanning = None
    assert "given up" in problem(answer, 503, "unavailable")

    async def slow(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        loop = asyncio.get_running_loop()
        later = loop.create_future()
        loop.call_later(0.5, later.set_result, None)
        await later
        await send({"type": "http.response.body", "body": b"whole"})

    front: Any = Gate(slow, slow, None, None)  # type: ignore[arg-type] # pages need nobody's identity
    async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://t") as client:
        assert (await client.get("/page")).text == "whole"


async def test_other_sites_are_told_nothing(gateway: Gateway) -> None:
    """No CORS: no header lets another site read a response or send more than a form could."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    for method, address in (("OPTIONS", "/api/jobs"), ("GET", "/api/jobs"), ("OPTIONS", "/api/auth/login"), ("GET", "/")):
        answer = await gateway.ask(method, address, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control-")], address


def test_nothing_listens_elsewhere(gateway: Gateway) -> None:
    """The gateway of these tests listens on its configured address, and nowhere else."""
    port = urlsplit(gateway.url).port
    assert port is not None
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", port)) != 0


def test_the_body_of_an_answer_does_not_wait() -> None:
    """Headers and body are two writes. Without TCP_NODELAY the second waits 40 ms for the client's acknowledgement of the first."""
    with (
        app.listening("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as mine,
    ):
        assert mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


# Slow headers ------------------------------------------------------------------------------------------------------------------------

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEAD_SECONDS = 2.0
"""Long enough for a whole request on a slow machine that sends it in one piece, short enough to wait for."""


@pytest.fixture
async def hurried(gateway: Gateway, tmp_path: Path) -> AsyncIterator[str]:
    """A gateway that waits `HEAD_SECONDS` for request headers. Yield its address."""
    async with second(gateway, tmp_path, REQUEST_HEAD_SECONDS=str(HEAD_SECONDS)) as url:
        yield url


@contextlib.asynccontextmanager
async def raw(url: str) -> AsyncIterator[Connection]:
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def dripped(connection: Connection, begin: bytes) -> bytes:
    """Send `begin` and then one header line at a time, endlessly. Return everything received until the server closes."""
    reader, writer = connection
    answer = b""
    writer.write(begin)
    async with asyncio.timeout(60):
        with contextlib.suppress(OSError):  # closed while a line was on its way: the last data may be lost
            for n in itertools.count():
                writer.write(f"X-{n}: 1\r\n".encode())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        piece = await reader.read(65536)
                        if not piece:
                            break
                        answer += piece
    return answer


HEALTH = b"GET /api/health HTTP/1.1\r\nHost: x\r\n"


async def test_a_head_too_slow(hurried: str) -> None:
    """Started but unfinished headers: 408 as a problem document and a closed connection, also after a response.

    Dripping does not help.
    """

    async def stopped(begin: bytes) -> None:
        async with raw(hurried) as (reader, writer), asyncio.timeout(60):
            writer.write(begin)
            head, _, body = (await reader.read()).rpartition(b"\r\n\r\n")
        assert head.count(b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\n") == 1, head
        assert head.count(b"HTTP/1.1") == begin.count(b"GET"), head
        assert json.loads(body)["type"] == "too-slow"

    async def dripping(begin: bytes) -> None:
        async with raw(hurried) as connection:
            answers = await dripped(connection, begin)
        assert answers.count(b"HTTP/1.1 200") == begin.count(b"GET") - 1, answers

    begins = (HEALTH, HEALTH + b"\r\n" + HEALTH)
    await asyncio.gather(*(ask(begin) for ask in (stopped, dripping) for begin in begins))


async def test_a_connection_nobody_uses(hurried: str) -> None:
    """A connection that is silent from the start, or after a response, is closed without a reply."""

    async def silent(begin: bytes) -> None:
        async with raw(hurried) as (reader, writer), asyncio.timeout(60):
            writer.write(begin)
            assert (await reader.read()).count(b"HTTP/1.1") == begin.count(b"GET")

    await asyncio.gather(silent(b""), silent(HEALTH + b"\r\n"))


async def test_the_rest_of_a_refused_body(hurried: str) -> None:
    """A request whose body was not read cannot hold its slot by sending that body endlessly."""
    begin = b"POST /api/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    async with raw(hurried) as connection:
        answers = await dripped(connection, begin)
    assert answers.startswith(b"HTTP/1.1 401")
    assert answers.count(b"HTTP/1.1") == 1


async def test_what_lasts_may_last(gateway: Gateway, hurried: str) -> None:
    """WebSockets and streams stay open once requested. So does a connection that is reused again and again."""
    headers = {"Authorization": f"Bearer {gateway.token}"}
    where = f"{hurried.replace('http', 'ws')}/ws/jobs"
    loop = asyncio.get_running_loop()
    async with (
        connect(where, additional_headers=headers, proxy=None) as socket_,
        httpx.AsyncClient(base_url=hurried, headers=headers, timeout=60) as client,
        client.stream("GET", "/api/stream") as stream,
    ):
        lines = stream.aiter_lines()
        ended = loop.time() + 1.5 * HEAD_SECONDS
        while loop.time() < ended:
            assert (await client.get("/api/health")).status_code == 200
        job = (await gateway.request())["job_id"]
        async with asyncio.timeout(60):
            while job not in str(await socket_.recv()):
                pass
            while job not in await anext(lines):
                pass
