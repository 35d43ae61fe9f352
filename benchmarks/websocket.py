"""Many browsers on one gateway: latency from send to receive, compared with a minimal uvicorn server that sends the same bytes.

The reference is a bare ASGI application in its own process. It creates each message itself and sends it to every socket. The
gateway's messages come the whole way: a separate process publishes them on the bus, as a worker does. Both sides have the same
clients, which parse frames with minimal work. Every message is stamped with the machine's monotonic clock where it is created.
The messages are log lines as long as a job's update: only they are never merged with the next message, so every client must get
every one. Each round runs the gateway without and with one more client that never reads.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import msgspec

from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack
from benchmarks.watching import highest
from services.gateway.schemas.live import LogMessage
from shared.domain.events import LogLine

_UPDATES_PER_S = 20
_PADDING = "x" * 500  # a job's update has about 700 bytes
_JOB = UUID(int=1)  # an unknown job: its lines are shown to admins
_MARK = b'"message":"benchmark '
_LATE_S = 30.0
_AT_ONCE = 50  # concurrent connection attempts


class Plan(msgspec.Struct, frozen=True):
    """The input of the sending process, on stdin: the number of messages, and where to send them."""

    messages: int
    port: int
    user: str = ""
    password: str = ""


async def _say(plan: Plan, send: Callable[[str], Any]) -> None:
    began = time.monotonic()
    for number in range(plan.messages):
        await asyncio.sleep(max(0.0, began + number / _UPDATES_PER_S - time.monotonic()))
        await send(f"benchmark {number} {time.monotonic()} {_PADDING}")


async def _on_the_bus(plan: Plan) -> None:
    import nats  # noqa: PLC0415 - only this process needs it

    bus = await nats.connect(
        f"nats://127.0.0.1:{plan.port}", user=plan.user, password=plan.password, inbox_prefix=f"_INBOX_{plan.user}".encode()
    )

    async def send(text: str) -> None:
        line = LogLine(job_id=_JOB, timestamp=datetime.now(UTC), level="INFO", action="benchmark", message=text)
        await bus.publish(f"live.log.{_JOB}", msgspec.json.encode(line))

    await _say(plan, send)
    await bus.drain()


async def _bare(plan: Plan) -> None:
    """Run the reference: a WebSocket for each client; any other request starts the messages."""
    import uvicorn  # noqa: PLC0415 - only this process needs it

    senders: set[Any] = set()

    async def send(text: str) -> None:
        message = msgspec.json.encode(LogMessage(_JOB, datetime.now(UTC), "INFO", text)).decode()
        for each in tuple(senders):
            await each({"type": "websocket.send", "text": message})

    async def app(scope: Any, receive: Any, reply: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await reply({"type": "websocket.accept"})
            senders.add(reply)
            while (await receive())["type"] != "websocket.disconnect":
                pass
            senders.discard(reply)
            return
        await _say(plan, send)
        await reply({"type": "http.response.start", "status": 204, "headers": []})
        await reply({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(app, port=plan.port, log_level="error", lifespan="off", ws_per_message_deflate=False)
    await uvicorn.Server(config).serve()


class _Crowd:
    """All clients of one run."""

    def __init__(self, clients: int, messages: int) -> None:
        self.clients = clients
        self.messages = messages
        self.delays: list[float] = []
        self.saw_last = 0
        self.done = asyncio.Event()

    def heard(self, number: int, sent_at: float, now: float) -> None:
        self.delays.append(now - sent_at)
        if number == self.messages - 1:
            self.saw_last += 1
            if self.saw_last == self.clients:
                self.done.set()


class _Ear(asyncio.Protocol):
    """One client. It does so little work per message that the server dominates the measurement."""

    def __init__(self, crowd: _Crowd, path: str) -> None:
        self._crowd = crowd
        self._path = path
        self._rest = b""
        self._transport: Any = None
        self.open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(_handshake(self._path))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        data = self._rest + data if self._rest else data
        at = 0
        if not self.open.done():
            at = data.find(b"\r\n\r\n") + 4
            if at == 3:
                self._rest = data
                return
            self.open.set_result(data.startswith(b"HTTP/1.1 101"))
        while (found := _frame(data, at)) is not None:
            begin, end = found
            if data[at] == 0x89:  # a ping; the mask of the reply is zero
                self._transport.write(b"\x8a" + bytes([0x80 | (end - begin)]) + bytes(4) + data[begin:end])
            elif (mark := data.find(_MARK, begin, end)) >= 0:
                number, sent_at, _ = data[mark + len(_MARK) : mark + len(_MARK) + 60].split(b" ", 2)
                self._crowd.heard(int(number), float(sent_at), now)
            at = end
        self._rest = data[at:]

    def abort(self) -> None:
        self._transport.abort()


def _frame(data: bytes, at: int) -> tuple[int, int] | None:
    """Return the start and end of the content of the frame at `at`, or None while the frame is incomplete."""
    if len(data) < at + 4:
        return None
    length, begin = data[at + 1], at + 2
    if length >= 126:
        wide = 2 if length == 126 else 8
        length, begin = int.from_bytes(data[begin : begin + wide]), begin + wide
    return (begin, begin + length) if len(data) >= begin + length else None


def _handshake(path: str) -> bytes:
    lines = ["Host: localhost", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]).encode()


@asynccontextmanager
async def _crowded(port: int, path: str, options: Options) -> AsyncIterator[_Crowd]:
    """Connect all clients."""
    crowd = _Crowd(options.clients, max(1, int(options.watch_s * _UPDATES_PER_S)))
    loop = asyncio.get_running_loop()
    ears: list[_Ear] = []
    try:
        while len(ears) < options.clients:
            some = min(_AT_ONCE, options.clients - len(ears))
            made = [await loop.create_connection(lambda: _Ear(crowd, path), "127.0.0.1", port) for _ in range(some)]
            ears += [ear for _, ear in made]
            assert all(await asyncio.gather(*(ear.open for _, ear in made))), "a client was refused"
        yield crowd
    finally:
        for ear in ears:
            ear.abort()


def _never_reads(port: int, path: str) -> socket.socket:
    """Connect a client with a small window that completes its handshake and then reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(_handshake(path))
    assert sock.recv(12) == b"HTTP/1.1 101"
    return sock


@asynccontextmanager
async def _process(role: str, plan: Plan) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.websocket", role),
        cwd=Path(__file__).parents[1],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(plan))
    process.stdin.close()
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _ours(options: Options, stack: Stack, *, stalled: bool) -> _Crowd:
    port, path = urlsplit(stack.address).port or 0, f"/ws/jobs?token={stack.token}"
    password = (stack.data / "secrets" / "nats_compressor").read_text().strip()
    async with _crowded(port, path, options) as crowd:
        silent = _never_reads(port, path) if stalled else None
        async with _process("bus", Plan(crowd.messages, stack.port("nats"), "compressor", password)) as speaker:
            await speaker.wait()
            await _come(crowd)
        if silent is not None:
            silent.close()
    return crowd


async def _theirs(options: Options) -> _Crowd:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with _process("bare", Plan(max(1, int(options.watch_s * _UPDATES_PER_S)), port)):
        await _listening(port)
        async with _crowded(port, "/", options) as crowd:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.0\r\n\r\n")
            await reader.read()
            writer.close()
            await _come(crowd)
    return crowd


async def _come(crowd: _Crowd) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(crowd.done.wait(), _LATE_S)


async def _listening(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def _let_many_watch(stack: Stack, clients: int) -> None:
    """Raise the limit of connections: unlike in a team, all clients are one user here."""
    headers = {"Authorization": f"Bearer {stack.token}"}
    body = {"user_streams_limit": clients + 100}
    httpx.put(f"{stack.address}/api/config", json=body, headers=headers, trust_env=False).raise_for_status()


def run(options: Options, _place: Path, stack: Stack) -> Iterator[Figure]:
    """Yield rounds of all three, in turn: delays in seconds, and the share of messages, and of clients' last ones, that arrived."""
    stack.start()
    _let_many_watch(stack, options.clients)
    crowds: dict[str, list[_Crowd]] = {"alone": [], "stalled": [], "bare": []}
    memory: list[dict[str, float]] = []
    for _ in range(options.rounds):
        crowds["bare"].append(asyncio.run(_theirs(options)))
        crowds["alone"].append(asyncio.run(_ours(options, stack, stalled=False)))
        crowds["stalled"].append(asyncio.run(_ours(options, stack, stalled=True)))
        memory.append({"gateway": highest(stack.data)["gateway"]})
    what = f"{options.clients:,} sockets, {_UPDATES_PER_S} messages/s for {options.watch_s:g} s, send to receive"
    for name, cut in (("p50", 49), ("p99", 98)):
        picked = {side: [quantiles(crowd.delays, n=100)[cut] for crowd in each] for side, each in crowds.items()}
        yield Beside(f"{what}, {name}", picked["alone"], picked["bare"], "a bare uvicorn broadcast")
        yield Beside(
            f"{what}, one more client never reads, {name}", picked["stalled"], picked["alone"], "the same without that client"
        )
    shares = [{side: _shares(each[n]) for side, each in crowds.items()} for n in range(options.rounds)]
    for name in ("messages", "last messages"):
        yield parts(f"live {name} that came", "%", [{side: share[name] for side, share in one.items()} for one in shares])
    yield parts("highest memory so far", "MiB of the gateway", memory)


def _shares(crowd: _Crowd) -> dict[str, float]:
    everything = crowd.messages * crowd.clients
    return {"messages": 100 * len(crowd.delays) / everything, "last messages": 100 * crowd.saw_last / crowd.clients}


if __name__ == "__main__":
    asyncio.run({"bus": _on_the_bus, "bare": _bare}[sys.argv[1]](msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))
