"""Submissions through every crash: an id is stored before use, becomes at most one task, and blocks new ones until it ends."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.uploader.model import DeleteRequest, Purpose, Submission, TaskView
from services.uploader.submissions import Stored, owns
from shared.domain.retry import Limits
from shared.errors import Fenced, Waiting
from tests.services.lanes import EXPIRED, dies_at, state_is
from tests.services.uploader.station import CONTENT, Station
from tests.services.uploader.test_handlers import fault
from tests.shared.rows import past_the_guard
from tests.support.kernel import PLACE, Kernel, eventually

KEY = PLACE.key("/One/Two/Scans.tar.7z")


async def _crash(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, point: str) -> UUID:
    job = await station.job()
    await dies_at(monkeypatch, point, station.lane())
    await kernel.force(job, **EXPIRED)
    return job


@pytest.mark.parametrize(
    "point",
    ["uploader.stored", "uploader.transfer.sent", "uploader.recheck_stored", "uploader.recheck.sent", "transition.uploading.after"],
)
async def test_a_crash_between_store_and_end_makes_no_second_task(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Before and after the send, for transfer and recheck: the stored id is found or sent again, never replaced."""
    job = await _crash(kernel, station, monkeypatch, point)
    before = [row["submission_id"] for row in await station.tasks(job)]

    async with station.lane():
        await state_is(kernel, job, "verified")

    assert await station.purposes(job) == ["transfer", "recheck"]
    assert [row["submission_id"] for row in await station.tasks(job)][: len(before)] == before
    assert len(station.emulator.control.tasks()) == 2
    assert station.remote().read_bytes() == CONTENT


async def test_a_running_task_is_adopted(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uploader dies while Globus continues. The next attempt watches the same task."""
    station.emulator.control.set_faults(fault("task", "stall", type="TRANSFER", times=1))
    job = await _crash(kernel, station, monkeypatch, "uploader.transfer.sent")
    async with station.lane():
        await eventually(lambda: kernel.row(job), lambda row: row["status"] == "uploading" and row["attempt"] > 2, "the adoption")
        station.emulator.control.set_faults()
        await state_is(kernel, job, "verified")

    assert len(station.emulator.control.tasks()) == 2


async def test_an_answer_that_got_lost_is_no_second_transfer(kernel: Kernel, station: Station) -> None:
    """Globus accepted it and the connection died. The task is found by its label."""
    station.emulator.control.set_faults(fault("http", "lost_response", method="POST", path="/transfer$", times=1))
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert len(station.emulator.control.tasks()) == 2


async def test_an_id_of_another_archive_is_settled_before_anything_new(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stored, Globus never saw it, and the archive has changed since: it is sent, cancelled, and only then replaced."""
    job = await _crash(kernel, station, monkeypatch, "uploader.stored")
    station.emulator.control.set_faults(fault("task", "stall", type="TRANSFER", times=1))
    await past_the_guard(kernel, "UPDATE globus_tasks SET archive_attempt = NULL WHERE job_id = $1", job)

    async with station.lane():
        await state_is(kernel, job, "verified")

    old, new, _ = await station.tasks(job)
    assert (old["status"], new["status"]) == ("FAILED", "SUCCEEDED")
    assert old["ended_at"] <= new["created_at"]


async def test_a_document_that_is_refused_now_is_followed_by_a_new_one(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The uploader was away past the deadline of its stored document. Globus refuses it, and the job continues with a fresh id."""
    job = await _crash(kernel, station, monkeypatch, "uploader.stored")
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    await past_the_guard(kernel, "UPDATE globus_tasks SET request = request || jsonb_build_object('deadline', $1::text)", past)

    async with station.lane():
        await state_is(kernel, job, "verified")

    statuses = [row["status"] for row in await station.tasks(job) if row["purpose"] == "transfer"]
    assert statuses in (["REFUSED", "SUCCEEDED"], ["FAILED", "SUCCEEDED"])


async def test_no_new_id_while_a_task_is_open_that_globus_forgot(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown task counts as running until its deadline has passed. Then it counts as ended, never as a success."""
    job = await _crash(kernel, station, monkeypatch, "uploader.transfer.sent")
    await past_the_guard(kernel, "UPDATE globus_tasks SET task_id = $2, detail = NULL WHERE job_id = $1", job, str(uuid4()))
    async with station.lane(retries=Limits(upload=3, delay_s=600.0)):  # one retry, not the whole budget
        await eventually(lambda: kernel.row(job), lambda row: row["retry_count"] > 0, "a try that found nothing")
    assert await station.purposes(job) == ["transfer"]
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    await past_the_guard(kernel, "UPDATE globus_tasks SET request = request || jsonb_build_object('deadline', $1::text)", past)
    await kernel.force(job, not_before=EXPIRED["lease_until"])
    async with station.lane():
        await state_is(kernel, job, "verified")

    first = (await station.tasks(job))[0]
    assert (first["status"], first["detail"]["fatal_error"]["code"] if isinstance(first["detail"], dict) else "GONE") == (
        "FAILED",
        "GONE",
    )


async def test_a_crash_amid_a_removal_goes_on_with_an_empty_destination(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal was stored, sent or done, and the place is not held again. The next attempt ends it first, then sends anew."""
    for number, point in enumerate(["uploader.removal_stored", "uploader.removal.sent"]):
        name = f"Scans {number}"
        job = await station.job(name)
        async with station.lane():
            await state_is(kernel, job, "verified")
        await _unprove(kernel, job, station, name)
        await dies_at(monkeypatch, point, station.lane())
        await kernel.force(job, **EXPIRED)
        async with station.lane():
            await state_is(kernel, job, "verified")

        assert await station.purposes(job) == ["transfer", "recheck", "removal", "transfer", "recheck"]
        assert (await station.destination(job), station.remote(name).read_bytes()) == ("verified", CONTENT)


async def _unprove(kernel: Kernel, job: UUID, station: Station, name: str) -> None:
    """As if the verification had refused the arrived file and asked for a fresh copy."""
    await past_the_guard(kernel, "DELETE FROM verifications WHERE job_id = $1", job)
    await past_the_guard(kernel, "UPDATE destinations SET state = 'held' WHERE job_id = $1", job)
    why = (
        'UPDATE globus_tasks SET rejected = \'{"reason": "x", "remove_first": true}\' WHERE job_id = $1 AND purpose = \'transfer\''
    )
    await past_the_guard(kernel, why, job)
    archive = station.archives / str(job) / "1" / f"{name}.tar.7z"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(CONTENT)
    archive.with_name(archive.name + ".manifest.json").write_bytes(b'{"manifest": true}\n')
    await kernel.force(job, status="compressed", verified_attempt=None)


async def test_a_file_found_after_ours_was_gone_is_anothers(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transfer left nothing, as the clean-up saw. A user then put a file there: a retry neither replaces nor verifies it."""
    job = await _crash(kernel, station, monkeypatch, "uploader.transfer.sent")
    await eventually(lambda: _finished(station), lambda done: done, "the transfer to end")
    await station.tools.submissions.load(KEY, job)  # which closes its row
    station.remote().unlink()
    station.remote().with_name("Scans.tar.7z.manifest.json").unlink()
    await station.tools.submissions.clean(KEY, job, 2)
    foreign = station.foreign(content=b"x" * len(CONTENT))

    async with station.lane():
        row = await state_is(kernel, job, "failed")

    assert "not this job's" in row["error_message"]
    assert foreign.read_bytes() == b"x" * len(CONTENT)


async def _finished(station: Station) -> bool:
    return all(task["status"] == "SUCCEEDED" for task in station.emulator.control.tasks())


async def test_an_unfinished_submission_is_not_sent_onto_a_foreign_file(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might run for a moment before it is cancelled. The job fails, and its clean-up waits for the deadline instead."""
    job = await _crash(kernel, station, monkeypatch, "uploader.stored")
    foreign = station.foreign()
    async with station.lane():
        await state_is(kernel, job, "failed")
        reason = "SELECT reason FROM cleanups WHERE job_id = $1 AND role = 'uploader'"
        await eventually(
            lambda: kernel.owner.fetchval(reason, job), lambda text: text and "may still begin" in text, "the clean-up"
        )
        assert await station.destination(job) == "held"
        past = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
        await past_the_guard(kernel, "UPDATE globus_tasks SET request = request || jsonb_build_object('deadline', $1::text)", past)
        await kernel.owner.execute("UPDATE cleanups SET not_before = '-infinity'")
        await eventually(lambda: station.destination(job), lambda state: state == "released", "the end of the clean-up")

    assert foreign.read_bytes() == b"somebody else's"
    assert station.emulator.control.tasks() == []


async def test_a_fenced_attempt_removes_and_sends_nothing(kernel: Kernel, station: Station) -> None:
    """A late worker's removal is refused, and so is its note of an empty place."""
    job = await station.job(attempt=5)
    place = station.tools.submissions.by_settings("/One/Two/Scans.tar.7z")
    with pytest.raises(Fenced):
        await station.tools.submissions.remove(place, job, 4)
    await station.tools.submissions.clean(KEY, job, 4)

    assert await station.tasks(job) == []
    assert await kernel.owner.fetchval("SELECT clean_since FROM destinations WHERE job_id = $1", job) is None


async def test_a_retry_and_a_clean_up_agree_on_the_destination(kernel: Kernel, station: Station) -> None:
    """The second one sees the first one's result: a live job holds its place, an ended job releases it."""
    job = await station.job(status="failed")
    await station.tools.submissions.clean(KEY, job, 1)
    assert await station.destination(job) == "released"

    await past_the_guard(kernel, "UPDATE destinations SET state = 'removing' WHERE job_id = $1", job)
    await kernel.force(job, status="queued")
    await station.tools.submissions.clean(KEY, job, 1)
    assert await station.destination(job) == "held"


async def test_a_submission_without_a_task_never_counts_as_ended(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It also makes no file at the destination this job's."""
    job = await _crash(kernel, station, monkeypatch, "uploader.stored")
    (stored,) = await station.tools.submissions.load(KEY, job)
    assert (stored.is_open, stored.view.is_unknown, owns([stored], job)) == (True, True, False)
    with pytest.raises(Waiting):
        await station.tools.submissions.end(stored)


def test_what_makes_a_file_ours() -> None:
    """Globus accepted a transfer of this job to this place that may have moved something. Nothing was removed or missing since."""
    job = uuid4()
    request = DeleteRequest(submission_id="s", label="l", endpoint="e", paths=("p",), deadline="2030-01-01T00:00:00+00:00")

    def stored(purpose: Purpose, status: str | None, *, counts: bool = True, here: bool = True, **figures: int) -> Stored:
        task = TaskView(task_id="t", status=status, **figures) if status else None
        view = Submission(submission_id="s", purpose=purpose, task=task)
        return Stored(view, job, 1, request, is_open=False, algorithm_refused=False, counts=counts, here=here)

    sent, gone = stored(Purpose.TRANSFER, "FAILED"), stored(Purpose.REMOVAL, "SUCCEEDED")
    assert owns([sent], job)
    assert owns([sent, stored(Purpose.REMOVAL, "FAILED")], job)
    assert not owns([sent, gone], job)
    assert owns([sent, gone, sent], job)
    assert not owns([stored(Purpose.TRANSFER, None)], job)
    assert not owns([stored(Purpose.TRANSFER, "SUCCEEDED", counts=False)], job)
    assert not owns([sent], uuid4())
    assert not owns([stored(Purpose.TRANSFER, "SUCCEEDED", here=False)], job)
    nothing = {"files_transferred": 0, "bytes_transferred": 0}
    for ended in ("SUCCEEDED", "FAILED"):
        assert not owns([stored(Purpose.TRANSFER, ended, **nothing)], job)
        assert owns([stored(Purpose.TRANSFER, ended, **nothing | {"bytes_transferred": 1})], job)
        assert owns([stored(Purpose.TRANSFER, ended, files_transferred=0)], job)  # a missing statement proves nothing
    assert owns([stored(Purpose.TRANSFER, "ACTIVE", **nothing)], job)  # it may still move something
    assert owns([sent, stored(Purpose.TRANSFER, "SUCCEEDED", **nothing)], job)
