"""An idle stack: its cost, and the time of its next start compared with its two engines alone."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import watching
from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack
from devstack.nats_server import NatsServer
from devstack.postgres import Postgres

_SETTLE_S = 2.0  # the first scan, the first look for work


def run(options: Options, _: Path, stack: Stack) -> Iterator[Figure]:
    """Yield the ratio of a second start, then the processor seconds and memory of each idle process."""
    started, engines = list[float](), list[float]()
    stack.start()
    for _round in range(options.rounds):
        stack.stop()
        engines.append(asyncio.run(_engines_alone(stack.data)))
        stack.start()
        started.append(stack.started_in_s)
    time.sleep(min(_SETTLE_S, options.idle_s))
    before = watching.processor_seconds(stack.data)
    time.sleep(options.idle_s)
    after = watching.processor_seconds(stack.data)
    used = {name: after[name] - before.get(name, 0.0) for name in sorted(after)}
    yield Beside("idle, a second `up` until it is ready", started, engines, "starting Postgres and NATS alone")
    yield parts(f"idle, processor time in {options.idle_s:g} s", "s", [used])
    yield parts("idle, memory (RSS)", "MiB", [dict(sorted(watching.resident(stack.data).items()))])


async def _engines_alone(data: Path) -> float:
    database, nats = Postgres(data, say=_silent), NatsServer(data, say=_silent)
    began = time.monotonic()
    try:
        await database.initialise()
        await asyncio.gather(database.start(), nats.start())
        return time.monotonic() - began
    finally:
        await nats.stop()
        await database.stop()


def _silent(_: str) -> None:
    return
