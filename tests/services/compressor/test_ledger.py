"""The space ledger: who may write how much, who waits, and that space is released."""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from services.compressor.ledger import Ledger
from shared.archiving import space
from shared.domain.lifecycle import COMPRESS_LANE, Status
from shared.service import stagings
from shared.service.work import Work
from shared.service.worker import Worker
from tests.services.compressor.station import MIB, Station, disk
from tests.services.lanes import EXPIRED, reserved, running, state_is, waits
from tests.support.kernel import Kernel, eventually

SIZE = 4 * MIB
NEED = space.required_bytes(SIZE)
LONG_AGO = EXPIRED["lease_until"] - timedelta(days=2)


class Holders:
    """A lane whose jobs reserve their folder's size and hold it until they are released."""

    def __init__(self, station: Station, ledger: Ledger) -> None:
        self.ledger = ledger
        self.go = asyncio.Event()
        self.station = station

    async def handle(self, work: Work) -> None:
        await self.ledger.reserve(work, work.job.folder_size_bytes)
        await work.advance(Status.COPYING, "Copying")
        await self.go.wait()
        await work.advance(Status.FAILED, "Failed", keep_lease=False, error="let go")

    def lane(self, limit: int = 2) -> AbstractAsyncContextManager[Worker]:
        return running(self.station.kernel, COMPRESS_LANE, self.handle, self.station.cleaner.settle, limit=limit, pass_hours=24.0)


@pytest.fixture
def holders(station: Station) -> Holders:
    return Holders(station, station.tools.ledger)


async def _job(kernel: Kernel, size: int = SIZE) -> UUID:
    return await kernel.job(folder_size_bytes=size)


async def test_two_jobs_never_take_the_last_bytes(kernel: Kernel, holders: Holders, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is space for one and a half. One job continues; the other stays queued with the missing bytes and runs once it fits."""
    disk(monkeypatch, free=NEED * 3 // 2)
    one, two = await _job(kernel), await _job(kernel)
    async with holders.lane():
        copying = "SELECT id FROM jobs WHERE status = 'copying'"
        winner = await eventually(lambda: kernel.owner.fetchval(copying), lambda found: found is not None, "one to copy")
        one, two = (one, two) if winner == one else (two, one)
        row = await waits(kernel, two, "disk space")
        assert (row["status"], row["missing_bytes"]) == ("queued", NEED - NEED // 2)
        assert (row["retry_count"], row["waiting_for_space_since"] is not None) == (0, True)
        assert (await reserved(kernel, one), await reserved(kernel, two)) == (NEED, 0)
        holders.go.set()
        await state_is(kernel, two, "failed")

    assert (await kernel.row(two))["missing_bytes"] is None


async def test_two_compressors_on_one_staging_share_the_ledger(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reservations name the staging, not the host: a second process sees the first one's reservation."""
    (station.places.archives / stagings.ID_FILE).rename(station.places.failed / stagings.ID_FILE)  # where older versions stored it
    assert Ledger(station.places, 0, 0.05).staging == station.tools.ledger.staging
    disk(monkeypatch, free=NEED * 3 // 2)
    one, two = await _job(kernel), await _job(kernel)
    first, second = Holders(station, station.tools.ledger), Holders(station, Ledger(station.places, 0, 0.05))
    async with first.lane(limit=1):
        await state_is(kernel, one, "copying")
        async with second.lane():
            assert (await waits(kernel, two, "disk space"))["missing_bytes"] > 0


async def test_what_can_never_fit_fails_with_a_sentence(kernel: Kernel, holders: Holders, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs more than the whole disk: it fails instead of waiting permanently, and blocks no other job."""
    disk(monkeypatch, free=NEED * 3, most=NEED * 3)
    giant, small = await _job(kernel, 400 * MIB), await _job(kernel)
    async with holders.lane():
        row = await state_is(kernel, giant, "failed")
        await state_is(kernel, small, "copying")

    assert "MIN_FREE_SPACE_GB" in row["error_message"]
    assert "even empty that disk offers" in row["error_message"]


async def test_smaller_jobs_pass_for_a_day_then_the_head_blocks(
    kernel: Kernel, holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smaller jobs overtake a job that lacks space for 24 hours, not longer. When its space is there, it runs first."""
    disk(monkeypatch, free=2 * NEED)
    big, small = await _job(kernel, 100 * MIB), await _job(kernel)
    async with holders.lane():
        await state_is(kernel, small, "copying")
        await waits(kernel, big, "disk space")
        await kernel.force(big, waiting_for_space_since=LONG_AGO)
        late = await _job(kernel)
        tries = (await kernel.row(big))["attempt"]
        await eventually(lambda: kernel.row(big), lambda row: row["attempt"] > tries + 2, "the head to be looked at again")
        assert (await kernel.row(late))["attempt"] == 0

        disk(monkeypatch, free=space.required_bytes(100 * MIB) + 2 * NEED)
        await state_is(kernel, big, "copying")
        holders.go.set()
        await state_is(kernel, late, "failed")


async def test_a_head_that_waits_for_something_else_blocks_nobody(
    kernel: Kernel, holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day ago it lacked space; now it waits for the NAS. The next job runs."""
    disk(monkeypatch, free=10 * NEED)
    head = await _job(kernel)
    past, later = LONG_AGO, LONG_AGO + timedelta(days=36_500)
    await kernel.force(head, waiting_for_space_since=past, not_before=later, missing_bytes=None, wait_reason="the NAS")
    small = await _job(kernel)
    async with holders.lane():
        await state_is(kernel, small, "copying")


async def test_what_is_written_counts_once(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes on the disk already reduce its free space. Only bytes that are still to be written are reserved."""
    disk(monkeypatch, free=NEED + NEED // 2)
    one = await _job(kernel)
    holder = Holders(station, station.tools.ledger)
    async with holder.lane():
        await state_is(kernel, one, "copying")
        two = await _job(kernel)
        await waits(kernel, two, "disk space")
        await kernel.owner.execute("UPDATE reservations SET written = bytes / 2 + 1 WHERE job_id = $1", one)
        await state_is(kernel, two, "copying")


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_every_ending_gives_space_back(
    kernel: Kernel, holders: Holders, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """A job that fails or is cancelled while it holds space owes a clean-up, which ends the reservation."""
    disk(monkeypatch, free=10 * NEED)
    job = await _job(kernel)
    async with holders.lane():
        await state_is(kernel, job, "copying")
        assert await reserved(kernel, job) == NEED
        if ending == "failed":
            holders.go.set()
        else:
            await kernel.owner.execute("UPDATE jobs SET cancel_requested_by = 'eve' WHERE id = $1", job)
        await state_is(kernel, job, ending)
        await eventually(lambda: reserved(kernel, job), lambda n: n == 0, "the reservation to end")


async def test_a_new_attempt_that_must_wait_holds_nothing_back(kernel: Kernel, station: Station, tmp_path: Path) -> None:
    """A reservation of an earlier attempt ends when its files are gone, even if the job then waits for the NAS."""
    folder = station.folder()
    job = await station.job(folder)
    await kernel.owner.execute("INSERT INTO reservations VALUES ($1, 'x', 1000000, 0)", job)
    stale = station.places.copy(job, 0, "Scans")
    stale.mkdir(parents=True)
    (station.base / ".cs-archiver-nas-id").rename(tmp_path / "aside")
    async with station.lane():
        await waits(kernel, job, "NAS")

    assert (await reserved(kernel, job), stale.exists()) == (0, False)
