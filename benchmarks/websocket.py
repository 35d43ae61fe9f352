"""Many browsers on one gateway, beside the least that uvicorn needs to send the same bytes to as many: latency from send to receive.

Reference: a bare ASGI application whose only work is to send each text to every socket, in a process of its own, with the same clients
in the same rounds. One client of the gateway's never reads: it must change nothing for the others. What is sent are log lines, the one
message that is never merged with the next: every client has to get every one.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import UUID

import httpx
import msgspec
import nats
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack
from benchmarks.watching import resident
from shared.events import LogLine

_UPDATES_PER_S = 20


async def _bare(port: int) -> None:
    """The reference: POST / sends its body to every socket."""
    import uvicorn  # noqa: PLC0415 - only the reference's own process needs it

    senders: set[Any] = set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            senders.add(send)
            while (await receive())["type"] != "websocket.disconnect":
                pass
            senders.discard(send)
            return
        body = (await receive())["body"].decode()
        for each in tuple(senders):
            await each({"type": "websocket.send", "text": body})
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(app, port=port, log_level="error", lifespan="off", ws_per_message_deflate=False)
    await uvicorn.Server(config).serve()


def _stamp(text: str) -> tuple[int, float] | None:
    """(number, when it was sent) of one of our updates."""
    message = json.loads(text)
    stamped = str(message.get("message", "")).split()
    if len(stamped) != 3 or stamped[0] != "benchmark":
        return None
    return int(stamped[1]), float(stamped[2])


class _Crowd:
    """All clients of one round."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.delays: list[float] = []
        self.newest: dict[int, int] = {}
        self.done = asyncio.Event()

    async def listen(self, number: int, client: ClientConnection, clients: int) -> None:
        async for text in client:
            if (seen := _stamp(str(text))) is not None:
                self.delays.append(time.time() - seen[1])
                self.newest[number] = seen[0]
                if seen[0] == self.last and sum(n == self.last for n in self.newest.values()) == clients:
                    self.done.set()
                if seen[0] == self.last:
                    return


async def _round(address: str, clients: int, seconds: float, say: Any, *, stalled: bool) -> tuple[list[float], float]:
    """(delays, share of clients that saw the last state)."""
    last = max(1, int(seconds * _UPDATES_PER_S)) - 1
    crowd = _Crowd(last)
    options: dict[str, Any] = {"proxy": None, "compression": None, "max_queue": 4096, "open_timeout": 60, "ping_interval": None}
    sockets: list[ClientConnection] = []
    for start in range(0, clients, 50):
        sockets += await asyncio.gather(*(connect(address, **options) for _ in range(min(50, clients - start))))
    blocked = await connect(address, **options | {"max_queue": 1}) if stalled else None  # nobody reads it
    listeners = [asyncio.create_task(crowd.listen(n, client, clients)) for n, client in enumerate(sockets)]
    began = time.monotonic()
    for number in range(last + 1):
        await say(f"benchmark {number} {time.time()}")
        await asyncio.sleep(max(0.0, began + (number + 1) / _UPDATES_PER_S - time.monotonic()))
    with suppress(TimeoutError):
        await asyncio.wait_for(crowd.done.wait(), 30)
    for task in listeners:
        task.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    if blocked is not None:
        blocked.transport.abort()
    await asyncio.gather(*(client.close() for client in sockets), return_exceptions=True)
    return crowd.delays, sum(n == last for n in crowd.newest.values()) / clients


def run(options: Options, _place: Path, stack: Stack) -> Iterator[Figure]:
    """Rounds of both, in turn; delays in seconds, and the share of clients that saw the last message."""
    stack.start()
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    shares: list[dict[str, float]] = []
    memory: list[dict[str, float]] = []
    for _ in range(options.rounds):
        delays, share = asyncio.run(_ours(options, stack))
        memory.append({"gateway": resident(stack.data).get("gateway", 0.0)})
        reference, theirs_share = asyncio.run(_theirs(options))
        ours.append(delays)
        theirs.append(reference)
        shares.append({"gateway, % of last messages": 100 * share, "bare uvicorn, % of last messages": 100 * theirs_share})
    what = f"{options.clients} sockets, {_UPDATES_PER_S} messages/s for {options.watch_s:g} s, send to receive"
    for name, cut in (("p50", 49), ("p99", 98)):
        picked = [[quantiles(delays, n=100)[cut] for delays in each] for each in (ours, theirs)]
        yield Beside(f"{what}, {name}", picked[0], picked[1], "a bare uvicorn broadcast")
    yield parts("live messages that came", "%", shares)
    yield parts("memory after each round", "MiB of the gateway", memory)


async def _ours(options: Options, stack: Stack) -> tuple[list[float], float]:
    ports = msgspec.json.decode((stack.data / "run" / "ports.json").read_bytes())
    password = (stack.data / "secrets" / "nats_compressor").read_text().strip()
    bus = await nats.connect(
        f"nats://127.0.0.1:{ports['nats']}", user="compressor", password=password, inbox_prefix="_INBOX_compressor"
    )
    job = UUID(int=1)  # nobody's: lines of unknown jobs are shown to admins

    async def say(text: str) -> None:
        line = LogLine(job_id=job, timestamp=datetime.now(UTC), level="INFO", action="benchmark", message=text)
        await bus.publish(f"live.log.{job}", msgspec.json.encode(line))

    address = stack.address.replace("http", "ws") + f"/ws/jobs?token={stack.token}"
    try:
        return await _round(address, options.clients, options.watch_s, say, stalled=True)
    finally:
        await bus.close()


async def _theirs(options: Options) -> tuple[list[float], float]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.websocket", str(port)),
        cwd=Path(__file__).parents[1],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            shape = {"type": "log", "job_id": str(UUID(int=1)), "timestamp": datetime.now(UTC).isoformat(), "level": "INFO"}

            async def say(text: str) -> None:
                await client.post("/", content=json.dumps({**shape, "message": text}))

            await _answering(client)
            return await _round(f"ws://127.0.0.1:{port}/", options.clients, options.watch_s, say, stalled=False)
    finally:
        process.terminate()
        await process.wait()


async def _answering(client: httpx.AsyncClient) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            await client.post("/", content="{}")
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    asyncio.run(_bare(int(sys.argv[1])))
