"""A lane on the real engines: claim, work, hand over, and every way in which work can end."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from shared.domain import events
from shared.domain.lifecycle import COMPRESS_LANE, DELETE_LANE, Status
from shared.domain.retry import Limits
from shared.errors import Fenced, Operation, PermanentError, TransientError, Waiting
from shared.infra.db import Named
from shared.infra.outbox import relay
from shared.service.work import Work
from shared.service.worker import Rules, Worker
from tests.shared.rows import proven
from tests.support.kernel import MANIFEST_SHA, MD5, SHA, Kernel, eventually

Handle = Callable[[Work], Awaitable[None]]


def rules(**changes: Any) -> Rules:
    values: dict[str, Any] = {
        "limit": 1,
        "lease_seconds": 60.0,
        "poll_seconds": 5.0,
        "max_crashes": 5,
        "retries": Limits(compression=2, delay_s=0.01),
        "operation": Operation.COMPRESSION,
    }
    return Rules(**(values | changes))


@asynccontextmanager
async def lane(kernel: Kernel, handle: Handle, instance: str = "compressor-1", **changes: Any) -> AsyncIterator[Worker]:
    db, bus = await kernel.db("compressor"), await kernel.bus("compressor")
    worker = Worker(db, bus, COMPRESS_LANE, rules(**changes), instance)
    await bus.on_nudge(worker.wake)
    bus.wake_on_events(worker.wake)
    tasks = [asyncio.create_task(relay(db, bus)), asyncio.create_task(worker.run(handle))]
    try:
        yield worker
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def compress(work: Work) -> None:
    """Do a compressor's work without files."""
    await work.advance(Status.COPYING, "Copying")
    await work.advance(Status.COMPRESSING, "Compressing")
    await work.advance(Status.VERIFYING, "Testing")

    async def facts(session: Any) -> None:
        await session.connection.execute(
            "INSERT INTO archives VALUES ($1, $2, '/a', 5, $3, $4, 7, $5, $4, 'm', 1, 1)",
            work.id,
            work.attempt,
            SHA,
            MD5,
            MANIFEST_SHA,
        )
        await session.connection.execute("UPDATE jobs SET archive_attempt = $2 WHERE id = $1", work.id, work.attempt)

    await work.advance(Status.COMPRESSED, "Waiting for upload", facts=facts, keep_lease=False)


async def status_is(kernel: Kernel, job_id: UUID, status: str) -> Any:
    return await eventually(lambda: kernel.row(job_id), lambda row: row["status"] == status, f"job to become {status}")


async def test_work_is_claimed_done_and_announced_in_order(kernel: Kernel) -> None:
    """Three jobs pass one lane in FIFO order. The stream holds each state once, gap-free per job."""
    jobs = [await kernel.job() for _ in range(3)]

    async with lane(kernel, compress):
        for job in jobs:
            row = await status_is(kernel, job, "compressed")
            assert row["lease_owner"] is None
            assert row["progress_percent"] == 75

        subscriber = await kernel.nats.connect("subscriber")
        subscription = await subscriber.jetstream().subscribe("job.>", stream="JOBS", ordered_consumer=True)
        seen = [events.decode((await subscription.next_msg(timeout=60)).data) for _ in range(15)]

    for job in jobs:
        mine = [e for e in seen if e.data.job_id == job]
        assert [e.data.version for e in mine] == [1, 2, 3, 4, 5]
        assert [e.data.status for e in mine] == ["queued", "copying", "compressing", "verifying", "compressed"]
    started = [e.data.job_id for e in seen if e.data.status == "copying"]
    assert started == jobs


async def test_a_transient_error_is_retried_until_its_budget_is_spent(kernel: Kernel) -> None:
    """Budget 2: three tries, then failed with the reason. Each retry is a log line and an event."""
    job = await kernel.job()
    tries = 0

    async def handle(work: Work) -> None:
        nonlocal tries
        tries += 1
        await work.advance(Status.COPYING, "Copying")
        raise TransientError("the cable wobbled", Operation.COMPRESSION)

    async with lane(kernel, handle):
        row = await status_is(kernel, job, "failed")

    assert tries == 3
    assert row["error_message"] == "the cable wobbled (gave up after 2 retries)"
    assert await kernel.states(job) == ["queued", "copying", "queued", "copying", "queued", "copying", "failed"]


async def test_a_permanent_error_fails_at_once_and_owes_clean_up(kernel: Kernel) -> None:
    """No retry. Both services that may have left files owe a clean-up."""
    job = await kernel.job()

    async def handle(work: Work) -> None:
        raise PermanentError("a socket lies in the folder")

    async with lane(kernel, handle):
        row = await status_is(kernel, job, "failed")

    assert row["error_message"] == "a socket lies in the folder"
    owed = await kernel.owner.fetch("SELECT role FROM cleanups WHERE job_id = $1 ORDER BY role", job)
    assert [r["role"] for r in owed] == ["compressor", "uploader"]


async def test_waiting_keeps_the_job_queued_with_its_reason(kernel: Kernel) -> None:
    """Waiting changes no state and uses no retry. The reason and the missing bytes are recorded."""
    job = await kernel.job()
    looks = 0

    async def handle(work: Work) -> None:
        nonlocal looks
        looks += 1
        raise Waiting("waiting for disk space", retry_after_s=0.05, missing_bytes=4096)

    async def looked() -> int:
        return looks

    async with lane(kernel, handle):
        await eventually(looked, lambda n: n >= 4, "the handler to be asked four times")
        row = await kernel.row(job)

    assert (row["status"], row["wait_reason"], row["missing_bytes"], row["retry_count"]) == (
        "queued",
        "waiting for disk space",
        4096,
        0,
    )
    assert await kernel.states(job) == ["queued"]


async def test_a_wait_is_logged_when_its_reason_changes(kernel: Kernel) -> None:
    """The log gets one line per reason, however often the job is checked and the missing bytes change."""
    job = await kernel.job()
    looks = 0

    async def handle(work: Work) -> None:
        nonlocal looks
        looks += 1
        if looks <= 4:
            raise Waiting(f"waiting for disk space: {looks} bytes", retry_after_s=0.02, missing_bytes=looks)
        raise Waiting("waiting for the destination", retry_after_s=0.02)

    async def looked() -> int:
        return looks

    async with lane(kernel, handle):
        await eventually(looked, lambda n: n >= 9, "the handler to be asked nine times")

    rows = await kernel.owner.fetch("SELECT message FROM job_logs WHERE job_id = $1 AND action = 'waiting' ORDER BY id", job)
    assert [row["message"] for row in rows] == ["waiting for disk space: 1 bytes", "waiting for the destination"]


async def test_a_delay_that_ends_during_a_round_is_not_missed(kernel: Kernel) -> None:
    """When a short delay ends, the next check does not wait for a whole poll interval."""
    await kernel.job()
    looks = 0

    async def handle(work: Work) -> None:
        nonlocal looks
        looks += 1
        raise Waiting("not yet", retry_after_s=(looks % 9) / 1000)

    async def looked() -> int:
        return looks

    async with lane(kernel, handle, poll_seconds=600.0):
        await eventually(looked, lambda n: n >= 100, "the handler to be asked a hundred times", 200)


async def test_cancel_stops_running_work(kernel: Kernel) -> None:
    """A cancel request reaches the worker with its next renewal and ends the job as cancelled."""
    job = await kernel.job()
    stopped = asyncio.Event()

    async def handle(work: Work) -> None:
        await work.advance(Status.COPYING, "Copying")
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with lane(kernel, handle):
        await status_is(kernel, job, "copying")
        await kernel.owner.execute("UPDATE jobs SET cancel_requested_by = 'bob' WHERE id = $1", job)
        await status_is(kernel, job, "cancelled")

    assert stopped.is_set()


async def test_cancel_of_a_job_nobody_holds_does_not_wait_for_a_busy_lane(kernel: Kernel) -> None:
    """The lane is full. A paused job in the middle of its work is still cancelled."""
    busy, other = await kernel.job(), await kernel.job()
    await kernel.force(other, status="copying", attempt=1, paused=True)

    async def handle(work: Work) -> None:
        await work.advance(Status.COPYING, "Copying")
        await asyncio.Event().wait()

    async with lane(kernel, handle) as worker:
        await status_is(kernel, busy, "copying")
        await kernel.owner.execute("UPDATE jobs SET cancel_requested_by = 'bob' WHERE id = $1", other)
        worker.wake()
        await status_is(kernel, other, "cancelled")


async def test_a_silent_worker_loses_its_job_to_another(kernel: Kernel) -> None:
    """An expired lease is a crash: back to queued, claimed with the next attempt. Five in a row fail the job."""
    job = await kernel.job()
    await kernel.force(job, status="compressing", attempt=3, lease_owner="dead@host:1", crash_count=2)
    await kernel.owner.execute("UPDATE jobs SET lease_until = now() - interval '1 s' WHERE id = $1", job)
    doomed = await kernel.job()
    await kernel.force(doomed, status="compressing", attempt=9, lease_owner="dead@host:1", crash_count=4)
    await kernel.owner.execute("UPDATE jobs SET lease_until = now() - interval '1 s' WHERE id = $1", doomed)

    async with lane(kernel, compress):
        row = await status_is(kernel, job, "compressed")
        lost = await status_is(kernel, doomed, "failed")

    assert row["attempt"] == 4
    assert row["crash_count"] == 0
    assert "crashed 5 times" in lost["error_message"]


async def test_the_watchdog_stops_work_when_the_database_is_away(kernel: Kernel) -> None:
    """No renewal for 0.7 of the lease: the work stops, without writing anything, before another service starts it."""
    job = await kernel.job()
    happened: list[str] = []

    async def handle(work: Work) -> None:
        happened.append(f"attempt {work.attempt} begins")
        if work.attempt > 1:
            await work.advance(Status.FAILED, "Failed", keep_lease=False, error="enough")
            return
        await work.advance(Status.COPYING, "Copying")
        # The effect of a dead database on renewals, without stopping the other tests' server.
        work.db.queries["renew"] = "SELECT pg_sleep(20), $1::uuid, $2::int, $3::text, $4::float8"
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        happened.append("the watchdog")
        work.db.queries["renew"] = renew
        raise asyncio.CancelledError

    db = await kernel.db("compressor")
    renew = db.queries["renew"]
    try:
        async with lane(kernel, handle, lease_seconds=2.0):
            await status_is(kernel, job, "copying")
            async with lane(kernel, handle, "compressor-2", lease_seconds=2.0):
                await status_is(kernel, job, "failed")
    finally:
        db.queries["renew"] = renew

    assert happened == ["attempt 1 begins", "the watchdog", "attempt 2 begins"]
    assert await kernel.states(job) == ["queued", "copying", "queued", "failed"]


async def test_a_thread_stops_by_itself_when_the_event_loop_hangs(kernel: Kernel) -> None:
    """The lease cannot be renewed and no watchdog fires. The working thread checks the clock and stops in time."""
    job = await kernel.job()
    stopped: list[str] = []

    async def handle(work: Work) -> None:
        def go_on() -> None:
            try:
                while True:
                    work.stop()
            except Fenced as exc:
                stopped.append(str(exc))

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        thread.join(30)  # blocks the event loop
        await work.advance(Status.COPYING, "Copying")

    async with lane(kernel, handle, lease_seconds=2.0) as worker:
        await eventually(lambda: _same(stopped), bool, "the thread stopped")
        assert stopped == ["The lease could not be renewed in time."]
        assert worker.rules.limit == 1
    assert "copying" not in await kernel.states(job)


async def test_a_late_answer_to_a_claim_takes_its_time_from_the_lease(kernel: Kernel) -> None:
    """The lease began when the database took the claim. A reply after 0.7 of it finds the work stopped."""
    job = await kernel.job()
    seen: list[str] = []

    async def handle(work: Work) -> None:
        try:
            work.stop()
            seen.append("went on")
        except Fenced:
            seen.append("stopped")
        raise PermanentError("enough")

    db = await kernel.db("compressor")
    claim = db.queries["claim"]
    assert isinstance(claim, Named)
    late = f"WITH late AS ({claim}) SELECT late.* FROM late, LATERAL (SELECT pg_sleep(1.6)) slow"
    db.queries["claim"] = Named(late, claim.names)
    try:
        async with lane(kernel, handle, lease_seconds=2.0):
            await eventually(lambda: _same(seen), bool, "the claimed job in hand")
    finally:
        db.queries["claim"] = claim
    assert seen[0] == "stopped"
    assert (await kernel.states(job))[0] == "queued"


async def _same(seen: list[str]) -> list[str]:
    return seen


async def test_a_stopping_service_lets_go_at_once(kernel: Kernel) -> None:
    """On SIGTERM the lease is released and the crash budget is unchanged. The next worker starts without waiting for the lease."""
    job = await kernel.job()

    async def hang(work: Work) -> None:
        await work.advance(Status.COPYING, "Copying")
        await asyncio.Event().wait()

    async with lane(kernel, hang, lease_seconds=600.0):
        await status_is(kernel, job, "copying")
    row = await kernel.row(job)
    assert (row["lease_owner"], row["status"]) == (None, "copying")

    async with lane(kernel, compress, "compressor-2", lease_seconds=600.0):
        row = await status_is(kernel, job, "compressed")
    assert row["crash_count"] == 0


async def test_one_refused_job_keeps_no_other_from_its_cancel(kernel: Kernel) -> None:
    """The database refuses to change one job. Another's cancel is handled in the same round, and the lane continues."""
    refused, cancelled, next_one = await kernel.job(), await kernel.job(), await kernel.job()
    await kernel.owner.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE OF status ON jobs FOR EACH ROW"
        f" WHEN (OLD.id = '{refused}') EXECUTE FUNCTION refuse()"
    )
    for job in (refused, cancelled):
        await kernel.force(job, cancel_requested_by="ada")

    async with lane(kernel, compress):
        await status_is(kernel, cancelled, "cancelled")
        await status_is(kernel, next_one, "compressed")

    assert (await kernel.row(refused))["status"] == "queued"


async def test_chores_that_fail_do_not_stop_the_lane(kernel: Kernel) -> None:
    """Once-per-round work has a defect. Jobs are still processed."""
    job, db, bus = await kernel.job(), await kernel.db("compressor"), await kernel.bus("compressor")
    worker = Worker(db, bus, COMPRESS_LANE, rules(), "compressor-1")

    async def chores() -> None:
        raise ValueError("nobody foresaw this")

    task = asyncio.create_task(worker.run(compress, each_round=chores))
    try:
        await status_is(kernel, job, "compressed")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_crash_warning_that_is_refused_costs_no_slot(kernel: Kernel) -> None:
    """The log refuses the alarm about a deletion whose workers die. The deletion is still taken over, and the slot is released."""
    job = await proven(kernel, status="deleting_source", crash_count=5)
    await kernel.owner.execute("REVOKE INSERT ON job_logs FROM cs_scanner")
    seen = []

    async def handle(work: Work) -> None:
        seen.append(work.id)

    worker = Worker(await kernel.db("scanner"), await kernel.bus("scanner"), DELETE_LANE, rules(), "scanner-1")
    task = asyncio.create_task(worker.run(handle))
    try:

        async def at_work() -> tuple[list[UUID], int]:
            return seen, len(worker.running)

        await eventually(at_work, lambda now: now == ([job], 0), "the deletion to be taken over and its slot to be free")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
