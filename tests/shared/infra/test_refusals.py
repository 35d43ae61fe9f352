"""A database refusal never fails a job: each kind of refusal at each kind of statement, as real server replies."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.gateway.live import hub as live_hub
from services.gateway.records.host_stats import HostStats
from services.gateway.records.store import Store
from shared.domain.lifecycle import COMPRESS_LANE, Role, Status
from shared.errors import DatabaseAway, Waiting
from shared.infra import runtime_settings
from shared.infra.bus import Bus
from shared.infra.db import Database, Named
from shared.infra.outbox import relay
from shared.infra.runtime_settings import RuntimeSettings
from shared.service import runtime
from shared.service import work as works
from shared.service import worker as workers
from shared.service.work import Work
from tests.services.lanes import cleaned, running
from tests.shared.service.test_worker import compress, lane, status_is
from tests.support.kernel import Kernel, eventually

CODES = [
    *("08006", "25006", "25P03", "28000", "3D000", "40001", "40P01", "53100", "53200", "53300", "53400"),
    *("55006", "55P03", "57014", "57P01", "57P02", "57P03", "58030", "XX000"),
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pause after every refusal."""
    monkeypatch.setattr(workers, "_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(works, "_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(live_hub, "_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(live_hub, "_RESYNC_SECONDS", 0.05)
    monkeypatch.setattr(runtime_settings, "_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(runtime, "_SEEN_SECONDS", 0.02)


# A sequence keeps its count through a rollback. The n-th call answers with the n-th code.
REFUSE = """
CREATE SEQUENCE refusals MINVALUE 0 START 0;
CREATE FUNCTION refuse() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  codes text[] := '{%s}';
  n bigint := nextval('refusals');
BEGIN
  RAISE EXCEPTION 'refused' USING ERRCODE = codes[1 + n %% cardinality(codes)];
END $$"""


@asynccontextmanager
async def refusing(kernel: Kernel, db: Database, name: str) -> AsyncIterator[None]:
    """Let the server answer a named statement with each of CODES in turn. Restore it afterwards."""
    await kernel.owner.execute("DROP FUNCTION IF EXISTS refuse(); DROP SEQUENCE IF EXISTS refusals")
    await kernel.owner.execute(REFUSE % ",".join(CODES))
    real = db.queries[name]
    async with db.session() as session:
        parameters = (await session.connection.prepare(str(real))).get_parameters()
    typed = "".join(f", ${n}::{kind.schema}.{kind.name}" for n, kind in enumerate(parameters, 1))
    refused = f"SELECT refuse(){typed}"
    db.queries[name] = Named(refused, real.names) if isinstance(real, Named) else refused
    try:
        yield

        async def calls() -> Any:
            return await kernel.owner.fetchrow("SELECT last_value, is_called FROM refusals")

        await eventually(calls, lambda seen: seen["is_called"] and seen["last_value"] >= len(CODES) - 1, f"{name}: every refusal")
    finally:
        db.queries[name] = real


async def facts_and_log(work: Work) -> None:
    """Do the compressor's work, with a log line and a read on the way."""
    await work.info("started", "Began.")
    await compress(work)


@pytest.mark.parametrize("name", ["next_due", "lock_claims", "count_lane", "claim", "state_of", "transition", "log", "reclaim"])
async def test_a_lane_outlives_every_refusal(kernel: Kernel, name: str) -> None:
    """Claim, transition, log and the rest of a round: the lane and the job continue normally."""
    db = await kernel.db("compressor")
    async with lane(kernel, facts_and_log, poll_seconds=0.5):
        async with refusing(kernel, db, name):
            job = await kernel.job()
        row = await status_is(kernel, job, "compressed")

    assert (row["crash_count"], row["retry_count"], row["connection_retry_count"], row["error_message"]) == (0, 0, 0, None)
    assert await kernel.states(job) == ["queued", "copying", "compressing", "verifying", "compressed"]


async def test_facts_of_a_transition_are_refused(kernel: Kernel) -> None:
    """Facts of a change of state are refused inside its transaction. Change and facts are written together, later and once."""
    db = await kernel.db("compressor")
    db.queries["fact"] = "SELECT 1"

    async def handle(work: Work) -> None:
        await work.advance(Status.COPYING, "Copying", facts=lambda session: session.value("fact"))
        await work.advance(Status.FAILED, "Failed", keep_lease=False, error="enough")

    async with lane(kernel, handle):
        async with refusing(kernel, db, "fact"):
            job = await kernel.job()
        row = await status_is(kernel, job, "failed")
    del db.queries["fact"]

    assert row["error_message"] == "enough"
    assert await kernel.states(job) == ["queued", "copying", "failed"]


@pytest.mark.parametrize("name", ["job", "release"])
async def test_a_call_of_the_work_itself_is_refused(kernel: Kernel, name: str) -> None:
    """A handler asks without a retry, or the lane releases its job. The job waits with the database's reason and continues."""
    db = await kernel.db("compressor")
    reasons = set()

    async def handle(work: Work) -> None:
        reasons.add(work.job.wait_reason)
        if work.attempt == 1 and name == "release":
            raise DatabaseAway("The database's disk is full.", "disk_full", lasts=False)
        await db.row("job", work.id)
        await compress(work)

    async with lane(kernel, handle, poll_seconds=0.02):
        async with refusing(kernel, db, name):
            job = await kernel.job()
        row = await status_is(kernel, job, "compressed")

    assert (row["crash_count"], row["retry_count"], row["connection_retry_count"]) == (0, 0, 0)
    assert any("database" in reason for reason in reasons if reason)


async def test_refused_renewals_are_no_crash(kernel: Kernel) -> None:
    """Five leases in a row expire because the database refuses renewals. The job does not fail as one that kills its workers."""
    db = await kernel.db("compressor")
    job = await kernel.job()
    await kernel.force(job, crash_count=4)

    async def handle(work: Work) -> None:
        await asyncio.Event().wait()

    async with lane(kernel, handle, lease_seconds=1.0, poll_seconds=0.2), refusing(kernel, db, "renew"):
        attempt = await eventually(lambda: kernel.row(job), lambda row: row["attempt"] >= 6, "six attempts")
        assert attempt["status"] == "queued"
    async with lane(kernel, compress, "compressor-2"):
        row = await status_is(kernel, job, "compressed")

    assert "failed" not in await kernel.states(job)
    assert row["error_message"] is None


STATEMENTS_OF_A_CLEANUP = ["next_cleanup_due", "claim_cleanup", "renew_cleanup", "finish_cleanup", "postpone_cleanup"]


@pytest.mark.parametrize("name", STATEMENTS_OF_A_CLEANUP)
async def test_a_clean_up_outlives_every_refusal(kernel: Kernel, name: str) -> None:
    """It completes in the end, never twice at the same time, and the lane continues with jobs."""
    db = await kernel.db("compressor")
    job = await kernel.job()
    await kernel.force(job, status="cancelled", completed_at=datetime.now(UTC))
    passed = asyncio.Event()
    at_once: list[int] = []
    running_now = 0

    async def settle(_: UUID) -> None:
        nonlocal running_now
        running_now += 1
        at_once.append(running_now)
        try:
            if name == "renew_cleanup":
                await passed.wait()
            if name == "postpone_cleanup" and not passed.is_set():
                raise Waiting("It is not done yet.", 0.01)
        finally:
            running_now -= 1

    async with running(kernel, COMPRESS_LANE, compress, settle, lease_seconds=0.3, poll_seconds=0.05):
        async with refusing(kernel, db, name):
            await kernel.owner.execute("INSERT INTO cleanups (job_id, role) VALUES ($1, 'compressor')", job)
        passed.set()
        await cleaned(kernel, job, "compressor")

    assert set(at_once) == {1}


EXPIRED = {"lease_owner": "compressor-2", "crash_count": 4, "attempt": 7}


async def test_an_outage_fails_no_job_of_another_worker(kernel: Kernel) -> None:
    """The database refuses all services and a lease expires. The next worker takes the job without counting a crash."""
    db = await kernel.db("compressor")
    job = await kernel.job()
    crashes = []

    async def handle(work: Work) -> None:
        crashes.append(work.job.crash_count)
        await compress(work)

    async with refusing(kernel, db, "ping"):

        async def refused() -> bool:
            with suppress(DatabaseAway):
                await db.value("ping")
            return db.seconds_since_refusal is not None

        ended = datetime.now(UTC) - timedelta(seconds=1)
        await kernel.force(job, status="copying", lease_until=ended, **EXPIRED)
        for _ in CODES:
            await eventually(refused, bool, "a refusal")
    async with lane(kernel, handle):
        row = await status_is(kernel, job, "compressed")

    assert crashes == [4]
    assert row["error_message"] is None


@pytest.mark.parametrize("status", ["queued", "copying"])
async def test_a_lease_that_ended_while_the_server_was_down_is_no_crash(kernel: Kernel, status: str) -> None:
    """A process that starts after the outage sees the server's own start time."""
    job = await kernel.job()
    started = await kernel.owner.fetchval("SELECT pg_postmaster_start_time()")
    await kernel.force(job, status=status, lease_until=started - timedelta(seconds=1), **EXPIRED)
    crashes = []

    async def handle(work: Work) -> None:
        crashes.append(work.job.crash_count)
        await compress(work)

    async with lane(kernel, handle):
        await status_is(kernel, job, "compressed")

    assert crashes == [4]


async def test_a_worker_that_dies_long_after_a_refusal_has_crashed(kernel: Kernel) -> None:
    """The database accepted renewals during its whole last lease. The fifth crash in a row fails the job."""
    db = await kernel.db("compressor")
    job = await kernel.job()
    await kernel.force(job, status="copying", lease_until=datetime.now(UTC) - timedelta(seconds=1), **EXPIRED)
    db._refused_at = time.monotonic() - 3600

    async with lane(kernel, compress):
        row = await status_is(kernel, job, "failed")

    assert "crashed 5 times" in row["error_message"]


async def test_a_crash_that_another_worker_counted_is_taken_back(kernel: Kernel) -> None:
    """A worker was refused its renewals, and another one took the job. Only the count changes; the other keeps its lease."""
    job = await kernel.job()
    await kernel.force(job, attempt=3, crash_count=4, lease_owner="other")
    db = await kernel.db("compressor")

    assert await db.run("not_a_crash", job, 2, "compressor-1") == "UPDATE 1"
    row = await kernel.row(job)
    assert (row["crash_count"], row["lease_owner"]) == (3, "other")
    assert await db.run("not_a_crash", job, 3, "other") == "UPDATE 1"
    row = await kernel.row(job)
    assert (row["crash_count"], row["lease_owner"]) == (3, None)


@pytest.mark.parametrize("name", ["lead", "outbox_todo", "outbox_sent", "outbox_last"])
async def test_the_relay_outlives_every_refusal(kernel: Kernel, name: str) -> None:
    """Nothing is lost or duplicated, whichever of its statements is refused."""
    db, bus = await kernel.db("uploader"), await kernel.bus("uploader")
    async with refusing(kernel, db, name):
        task = asyncio.create_task(relay(db, bus))

        async def alive() -> bool:
            await kernel.job()  # a published event whose record was refused is matched by id, so there is always a next one
            return not task.done()

        await _until_refused(kernel, alive)
    try:
        todo = "SELECT count(*) FROM outbox WHERE stream_seq IS NULL"
        await eventually(lambda: kernel.owner.fetchval(todo), lambda n: n == 0, "the outbox to be empty")
        sequences = [row[0] for row in await kernel.owner.fetch("SELECT stream_seq FROM outbox ORDER BY id")]
        assert sequences == list(range(1, len(sequences) + 1))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_refused(kernel: Kernel, alive: Callable[[], Awaitable[bool]]) -> None:
    async def seen() -> tuple[bool, int]:
        return await alive(), await kernel.owner.fetchval("SELECT last_value FROM refusals")

    assert (await eventually(seen, lambda now: not now[0] or now[1] >= len(CODES) - 1, "every refusal, the task alive"))[0]


@pytest.mark.parametrize("name", ["live_versions", "outbox_last"])
async def test_the_live_view_outlives_every_refusal(kernel: Kernel, name: str, tmp_path: Path) -> None:
    """The hub reports that it does not follow, and follows again."""
    db, bus = await kernel.db("gateway"), await kernel.bus("gateway")
    store = Store(db)
    hub = live_hub.Hub(store, bus, HostStats(store, tmp_path))
    task = asyncio.create_task(hub.run())

    async def alive() -> bool:
        return not task.done()

    async def following() -> bool:
        return hub.is_following

    try:
        async with refusing(kernel, db, name):
            await _until_refused(kernel, alive)
        await eventually(following, bool, "the hub to follow again")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_settings_outlive_every_refusal(kernel: Kernel) -> None:
    """The admin's values arrive after the refusals."""
    db, bus = await kernel.db("compressor"), await kernel.bus("compressor")
    tuned = RuntimeSettings()
    task = asyncio.create_task(tuned.keep(db, bus))

    async def alive() -> bool:
        return not task.done()

    async def limit() -> int:
        return tuned.get("compress_limit", 1)

    await tuned.loaded.wait()
    try:
        async with refusing(kernel, db, "runtime_settings"):
            await kernel.owner.execute("INSERT INTO runtime_settings (name, value, set_by) VALUES ('compress_limit', '7', 'ada')")
            nudge = await kernel.bus("gateway")
            await nudge.nudge("compressor")
            await _until_refused(kernel, alive)
        assert await eventually(limit, lambda n: n == 7, "the new limit") == 7
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_signs_of_life_outlive_every_refusal(kernel: Kernel) -> None:
    """They are sent again, and meanwhile the health response gives the reason."""
    db = await kernel.db("scanner")
    process: runtime.Runtime[Any] = runtime.Runtime(Role.SCANNER, None, db, Bus(None, "scanner"), "scanner@test")
    task = asyncio.create_task(runtime._sign_of_life(process))

    async def alive() -> bool:
        return not task.done()

    async def refused() -> Any:
        return db.refused

    try:
        async with refusing(kernel, db, "seen"):
            await eventually(refused, bool, "a lasting refusal to be remembered")
            await _until_refused(kernel, alive)
        await eventually(refused, lambda why: why is None, "the refusal to be forgotten once the probe passes")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("method", ["rows", "row", "value", "run"])
async def test_a_query_of_the_work_is_repeated(kernel: Kernel, method: str) -> None:
    """Each kind of query, until the database answers."""
    db = await kernel.db("compressor")
    answers = []

    async def handle(work: Work) -> None:
        answers.append(await getattr(work, method)("clock"))
        await work.advance(Status.FAILED, "Failed", keep_lease=False, error="enough")

    async with lane(kernel, handle):
        async with refusing(kernel, db, "clock"):
            job = await kernel.job()
        row = await status_is(kernel, job, "failed")

    assert row["error_message"] == "enough"
    assert row["attempt"] == 1
    assert len(answers) == 1
