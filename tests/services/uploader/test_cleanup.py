"""Clean-up of an ended job at Globus and at the destination: only its own unverified files go; a proof is permanent."""

from typing import Any
from uuid import UUID

import pytest

from tests.services.lanes import EXPIRED, cleaned, dies_at, just_expired, lines, reserved, state_is
from tests.services.uploader.station import CONTENT, Station
from tests.services.uploader.test_handlers import FOR_EVER, fault
from tests.shared.rows import evidence
from tests.support.kernel import Kernel, eventually

CANCEL = "UPDATE jobs SET cancel_requested_by = 'eve' WHERE id = $1"


async def _arrived(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, **columns: Any) -> UUID:
    """A job whose transfer has ended without a recorded proof: its unverified files are at the destination."""
    job = await station.job()
    await dies_at(monkeypatch, "uploader.proven", station.lane())
    assert station.remote().read_bytes() == CONTENT
    await kernel.force(job, **{**just_expired(), **columns})
    return job


async def test_a_cancelled_upload_leaves_nothing_anywhere(kernel: Kernel, station: Station) -> None:
    """The running task is ended, local files and reservation are removed, the destination is released; each deletion is in the log."""
    station.emulator.control.set_faults(fault("task", "stall", type="TRANSFER", at_bytes=1))
    job = await station.job()
    async with station.lane():
        await eventually(lambda: kernel.row(job), lambda row: row["globus_task_id"] is not None, "a task")
        await kernel.owner.execute(CANCEL, job)
        await state_is(kernel, job, "cancelled")
        await cleaned(kernel, job, "uploader")

    assert {task["status"] for task in station.emulator.control.tasks() if task["type"] == "TRANSFER"} == {"FAILED"}
    assert (station.staged(), station.remote().exists()) == ([], False)
    assert (await station.destination(job), await reserved(kernel, job)) == ("released", 0)
    assert len(await lines(kernel, job, "delete_archive")) == 1


async def test_unverified_files_of_a_failed_job_are_removed(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored removal deletes both names. The tested local archive stays for a retry."""
    job = await _arrived(kernel, station, monkeypatch, crash_count=4)
    async with station.lane():
        await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "uploader")

    assert not list(station.remote().parent.iterdir())
    assert (await station.purposes(job))[-1] == "removal"
    assert await station.destination(job) == "released"
    assert len([path for path in station.staged() if path.is_file()]) == 2


async def test_a_proven_archive_is_never_removed(kernel: Kernel, station: Station) -> None:
    """The cancel came after the third row was committed: the remote file stays in every state, and the local copy is removed."""
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")
        gateway = await kernel.db("gateway")
        async with gateway.transaction() as session:
            await session.connection.execute("UPDATE jobs SET status = 'cancelled', cancel_requested_by = 'eve' WHERE id = $1", job)
        await cleaned(kernel, job, "uploader")

    assert station.remote().read_bytes() == CONTENT
    assert await station.destination(job) == "verified"
    assert "removal" not in await station.purposes(job)


async def test_a_foreign_file_is_never_touched(kernel: Kernel, station: Station) -> None:
    """A job fails or is cancelled without having sent anything. The file at the destination is another's and stays."""
    foreign = station.foreign()
    failed = await station.job()
    async with station.lane():
        await state_is(kernel, failed, "failed")
        await cleaned(kernel, failed, "uploader")
        await kernel.force(failed, status="compressed", cancel_requested_by="eve")
        await kernel.owner.execute("UPDATE destinations SET state = 'held'")
        await state_is(kernel, failed, "cancelled")
        await cleaned(kernel, failed, "uploader")

    assert foreign.read_bytes() == b"somebody else's"
    assert station.emulator.control.tasks() == []


async def test_a_retry_during_the_removal_keeps_the_place(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is queued again while its old files are being removed. It waits with the reason, then holds the empty destination."""
    job = await _arrived(kernel, station, monkeypatch, crash_count=4)
    station.emulator.control.set_faults(fault("task", "stall", type="DELETE"))
    async with station.lane():
        await state_is(kernel, job, "failed")
        await eventually(lambda: station.destination(job), lambda state: state == "removing", "the removal")
        gateway = await kernel.db("gateway")
        async with gateway.transaction() as session:
            assert await session.row("keep_destination", job) is not None
            await session.row("retry_job", job)
        row = await kernel.row(job)
        assert (row["status"], row["wait_reason"]) == ("queued", "what the last try left behind is being cleaned up")
        station.emulator.control.set_faults()
        await cleaned(kernel, job, "uploader")

    assert (await station.destination(job), station.remote().exists()) == ("held", False)


@pytest.mark.parametrize("point", ["uploader.cleanup_removal_stored", "uploader.removal.sent"])
async def test_a_crash_amid_the_clean_up(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """The removal was stored or sent: the next clean-up finishes that same removal."""
    job = await _arrived(kernel, station, monkeypatch, crash_count=4)
    await dies_at(monkeypatch, point, station.lane())
    await kernel.owner.execute("UPDATE cleanups SET lease_until = now() - interval '1 hour'")
    async with station.lane():
        await cleaned(kernel, job, "uploader")

    assert (await station.purposes(job)).count("removal") == 1
    assert (await station.destination(job), station.remote().exists()) == ("released", False)


async def test_an_id_never_seen_at_globus_is_sent_and_cancelled(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id was stored before the crash and never sent, so it might still become a task. It is sent, cancelled and leaves nothing."""
    job = await station.job()
    await dies_at(monkeypatch, "uploader.stored", station.lane())
    await kernel.force(job, **EXPIRED, cancel_requested_by="eve")
    async with station.lane():
        await state_is(kernel, job, "cancelled")
        await cleaned(kernel, job, "uploader")

    assert len([task for task in station.emulator.control.tasks() if task["type"] == "TRANSFER"]) == 1
    assert (station.remote().exists(), await station.destination(job)) == (False, "released")


async def test_no_clear_answer_keeps_the_destination(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the destination's content is unknown, it is neither emptied nor given to another job."""
    job = await _arrived(kernel, station, monkeypatch, crash_count=4)
    station.emulator.control.set_faults(fault("fs", "disconnected", operation="stat", times=FOR_EVER))
    reason = "SELECT reason FROM cleanups WHERE job_id = $1 AND role = 'uploader'"
    async with station.lane():
        await state_is(kernel, job, "failed")
        await eventually(lambda: kernel.owner.fetchval(reason, job), lambda text: text and "no clear answer" in text, "the wait")
        assert await station.destination(job) == "held"
        station.emulator.control.set_faults()
        await kernel.owner.execute("UPDATE cleanups SET not_before = '-infinity'")
        await cleaned(kernel, job, "uploader")

    assert await station.destination(job) == "released"


async def test_a_removal_that_is_refused_is_tried_with_growing_pauses(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each removal is a separate task at Globus, so it is not retried every second."""
    job = await _arrived(kernel, station, monkeypatch, crash_count=4)
    station.emulator.control.set_faults(fault("task", "fail", code="PERMISSION_DENIED", type="DELETE"))
    delay = "SELECT extract(epoch FROM not_before - now()) FROM cleanups WHERE job_id = $1 AND role = 'uploader'"
    async with station.lane(poll_seconds=10.0):
        await state_is(kernel, job, "failed")
        await eventually(lambda: kernel.owner.fetchval(delay, job), lambda left: left is not None and left > 1.5, "a longer pause")

    assert station.remote().exists()
    assert await station.destination(job) == "removing"


async def test_a_proof_needs_no_clean_up(kernel: Kernel, station: Station) -> None:
    """A proven job failed because nothing could be deleted. The clean-up neither asks nor changes anything at Globus."""
    job = await station.job(status="failed")
    await evidence(kernel, job)
    await kernel.owner.execute("INSERT INTO cleanups (job_id, role) VALUES ($1, 'uploader')", job)
    async with station.lane():
        await cleaned(kernel, job, "uploader")

    assert station.emulator.control.requests(path="/v0.10") == []
