"""A stack with nothing to do: what it costs, and how long its next start takes beside its two engines alone."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import watching
from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack, workplace
from devstack.nats_server import NatsServer
from devstack.postgres import Postgres


def run(options: Options) -> Iterator[Figure]:
    """Yield the ratio of a second start, then processor seconds and memory of each process while nothing happens."""
    started, engines = list[float](), list[float]()
    with workplace() as place, Stack(place) as stack:
        for _ in range(options.rounds):
            stack.stop()
            engines.append(asyncio.run(_engines_alone(stack.data)))
            stack.start()
            started.append(stack.started_in_s)
        time.sleep(min(2.0, options.idle_s))  # the first scan
        before = watching.processor_seconds(stack.data)
        time.sleep(options.idle_s)
        after = watching.processor_seconds(stack.data)
        memory = watching.resident(stack.data)
    used = {name: after[name] - before.get(name, 0.0) for name in sorted(after)}
    yield Beside("idle, a second `up` until it is ready", started, engines, "starting Postgres and NATS alone")
    yield parts(f"idle, processor time in {options.idle_s:g} s", "s", [used])
    yield parts("idle, memory (RSS)", "MiB", [dict(sorted(memory.items()))])


async def _engines_alone(data: Path) -> float:
    database, nats = Postgres(data), NatsServer(data)
    began = time.monotonic()
    try:
        await database.initialise()
        await asyncio.gather(database.start(), nats.start())
        return time.monotonic() - began
    finally:
        await nats.stop()
        await database.stop()
