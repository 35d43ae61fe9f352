"""One service's lane inside the test: the real worker on the real engines, small peers for its neighbours, and kills at fault points."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from shared import faults
from shared.domain.lifecycle import Lane
from shared.domain.retry import Limits
from shared.errors import Operation
from shared.service.stagings import Sight
from shared.service.work import Work
from shared.service.worker import Rules, Worker
from tests.support.kernel import Kernel, eventually

Handle = Callable[[Work], Awaitable[None]]
# After a lane has ended, nobody holds its jobs any more, whatever their leases say.
EXPIRED = {"lease_until": datetime.now(UTC) - timedelta(hours=1)}


def just_expired() -> dict[str, Any]:
    """A lease that ended just now, while the database was up, so that its end counts as a crash."""
    return {"lease_until": datetime.now(UTC)}


class Killed(BaseException):
    """Simulate kill -9 for a handler: no code catches it, so nothing is settled and the lease stays."""


def rules(**changes: Any) -> Rules:
    values: dict[str, Any] = {
        "limit": 1,
        "lease_seconds": 60.0,  # lost only where a test says so, however slow the machine is
        "poll_seconds": 0.2,
        "max_crashes": 5,
        "retries": Limits(compression=2, upload=3, connection=2, delay_s=0.02),
        "operation": Operation.CONNECTION,
    }
    return Rules(**(values | changes))


@asynccontextmanager
async def running(
    kernel: Kernel,
    lane: Lane,
    handle: Handle,
    cleanup: Any = None,
    each_round: Any = None,
    archives: Path | None = None,
    **changes: Any,
) -> AsyncIterator[Worker]:
    """Run a lane of its service until the block ends. `archives`: the archives directory of its staging."""
    bus = await kernel.bus(lane.role)
    db, instance = await kernel.db(lane.role), f"{lane.role}-test"
    sight = None if archives is None else Sight(db, lane.role, instance, archives)
    worker = Worker(db, bus, lane, rules(**changes), instance, sight)
    await bus.on_nudge(worker.wake)
    task = asyncio.create_task(worker.run(handle, cleanup, each_round))
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def peer(kernel: Kernel, role: str, name: str, answer: Callable[[bytes], msgspec.Struct]) -> None:
    """Answer one request for another service until the test ends. An exception that `answer` raises is the refusal."""
    bus = await kernel.bus(role)

    async def served(question: bytes) -> msgspec.Struct:
        return answer(question)

    await bus.serve(name, served)
    await bus.connection.flush()


async def dies_at(monkeypatch: pytest.MonkeyPatch, point: str, lane: Any, visit: int = 1) -> None:
    """Run `lane` until it reaches that fault point for the n-th time, and end it there as kill -9 does.

    From then on no lane of the process starts anything. The kill must finish before the lane is stopped: a lane that is stopped
    during its work releases the job cleanly.
    """
    loop, hit, seen, dead = asyncio.get_running_loop(), asyncio.Event(), 0, False
    real_round, real_spawn = Worker._round, Worker._spawn

    def reached(name: str) -> None:
        nonlocal seen, dead
        seen += name == point
        if name == point and seen >= visit:
            dead = True
            loop.call_soon_threadsafe(hit.set)
            raise Killed(point)

    async def a_round(*args: Any) -> None:
        if not dead:
            await real_round(*args)

    def spawn(worker: Worker, coroutine: Any) -> None:
        if dead:  # it claimed this job when the kill came
            coroutine.close()
        else:
            real_spawn(worker, coroutine)

    with monkeypatch.context() as patch:
        patch.setattr(faults, "point", reached)
        patch.setattr(Worker, "_round", a_round)
        patch.setattr(Worker, "_spawn", spawn)
        async with lane as held, asyncio.timeout(60):
            await hit.wait()
            workers: tuple[Worker, ...] = held if isinstance(held, tuple) else (held,)

            async def at_work() -> int:
                return sum(len(worker._tasks) for worker in workers)

            await eventually(at_work, lambda n: n == 0, "the death to be over")


async def state_is(kernel: Kernel, job: UUID, status: str, timeout: float = 60.0) -> Any:
    return await eventually(lambda: kernel.row(job), lambda row: row["status"] == status, f"job to become {status}", timeout)


async def waits(kernel: Kernel, job: UUID, words: str) -> Any:
    """Return the job's row once it waits for a reason with these words and nobody holds it."""
    return await eventually(
        lambda: kernel.row(job), lambda row: row["lease_owner"] is None and words in (row["wait_reason"] or ""), f"to wait: {words}"
    )


async def cleaned(kernel: Kernel, job: UUID, role: str) -> None:
    """Wait until this role owes no clean-up."""
    count = "SELECT count(*) FROM cleanups WHERE job_id = $1 AND role = $2"
    await eventually(lambda: kernel.owner.fetchval(count, job, role), lambda n: n == 0, f"{role} to clean up")


async def lines(kernel: Kernel, job: UUID, action: str) -> list[str]:
    rows = await kernel.owner.fetch("SELECT message FROM job_logs WHERE job_id = $1 AND action = $2 ORDER BY id", job, action)
    return [row["message"] for row in rows]


async def reserved(kernel: Kernel, job: UUID) -> int:
    return int(await kernel.owner.fetchval("SELECT coalesce(sum(bytes), 0) FROM reservations WHERE job_id = $1", job))
