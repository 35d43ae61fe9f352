"""The uploader's lane with the real SDK against the emulator: proof or no proof, every false report, every wait, every ending."""

import hashlib
import json
from datetime import datetime, timedelta, tzinfo
from typing import Any

import msgspec
import pytest

from services.uploader.__main__ import Answers
from services.uploader.model import RecheckPolicy
from shared import units
from shared.domain.retry import Limits
from shared.errors import PermanentError, Waiting
from shared.infra import clock_skew
from shared.service.rpc import AskDestination, RecheckSize, ReleaseDestination
from tests.services.lanes import EXPIRED, cleaned, dies_at, lines, reserved, state_is, waits
from tests.services.uploader.station import CONTENT, SIDECAR, Station
from tests.support.emulator import eventually as at_last
from tests.support.kernel import Kernel, eventually

FOR_EVER = -1


def fault(kind: str, action: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "action": action, **more}


async def test_a_clock_far_off_sends_and_removes_nothing(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads and clean-ups wait with a sentence that says what to set, use no retry, and continue by themselves."""
    sent, ended = await station.job(), await station.job("Ended")
    await kernel.force(ended, status="cancelled")
    await kernel.owner.execute("INSERT INTO cleanups (job_id, role) VALUES ($1, 'uploader')", ended)
    words = "This machine's clock is 3h behind the database's. Set both by NTP"
    reason = "SELECT coalesce(reason, '') FROM cleanups WHERE job_id = $1"

    class Late(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) - timedelta(hours=3)

    monkeypatch.setattr(clock_skew, "datetime", Late)
    async with station.lane():
        await waits(kernel, sent, words)
        await eventually(lambda: kernel.owner.fetchval(reason, ended), lambda text: words in text, "the clean-up to wait")
        assert await station.tasks(sent) == []
        monkeypatch.setattr(clock_skew, "datetime", datetime)
        row = await state_is(kernel, sent, "verified")
        await cleaned(kernel, ended, "uploader")
    assert (row["retry_count"], row["connection_retry_count"], row["crash_count"]) == (0, 0, 0)


async def test_an_archive_is_sent_proven_and_only_then_removed_locally(kernel: Kernel, station: Station) -> None:
    """The attempt that verified it records three rows about this archive. Only then are local files and reservation removed."""
    job = await station.job()
    async with station.lane():
        row = await state_is(kernel, job, "verified")

    assert await kernel.states(job) == ["queued", "uploading", "upload_verifying", "verified"]
    rows = await kernel.owner.fetch("SELECT * FROM verifications WHERE job_id = $1", job)
    assert {r["kind"] for r in rows} == {"task", "remote", "content"}
    assert {r["archive_sha256"] for r in rows} == {hashlib.sha256(CONTENT).hexdigest()}
    assert {r["attempt"] for r in rows} == {row["verified_attempt"]} == {2}
    assert station.remote().read_bytes() == CONTENT
    assert station.remote().with_name("Scans.tar.7z.manifest.json").read_bytes() == SIDECAR
    assert (await station.destination(job), await reserved(kernel, job), station.staged()) == ("verified", 0, [])
    assert await station.purposes(job) == ["transfer", "recheck"]
    assert (row["globus_task_id"], row["archive_path"]) == ((await station.tasks(job))[0]["task_id"], None)
    assert "deleted" in (await lines(kernel, job, "delete_archive"))[0]


@pytest.mark.parametrize("point", ["uploader.proven", "uploader.evidence", "uploader.local_removed", "transition.verified.before"])
async def test_the_evidence_is_complete_before_the_local_archive_goes(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Killed at each step, there are three rows or none. With none, the archive is still there, and the next attempt completes."""
    job = await station.job()
    await dies_at(monkeypatch, point, station.lane())
    rows = await kernel.owner.fetchval("SELECT count(*) FROM verifications WHERE job_id = $1", job)
    local = [path for path in station.staged() if path.is_file()]
    assert (rows, len(local)) == {"uploader.proven": (0, 2), "uploader.evidence": (3, 2)}.get(point, (3, 0))
    await kernel.force(job, **EXPIRED)

    async with station.lane():
        await state_is(kernel, job, "verified")

    assert await station.purposes(job) == ["transfer", "recheck"]
    assert station.staged() == []


LIES = {
    "truncated": fault("data", "truncate", fraction=0.005, when="after_verify", times=1, path="7z$"),
    "one byte": fault("data", "flip", when="after_verify", times=1, path="7z$"),
    "empty": fault("data", "empty", when="after_verify", times=1, path="7z$"),
    "sidecar gone": fault("data", "delete", when="after_verify", times=1, path="json$"),
    "transit": fault("data", "flip", when="before_verify", times=1, path="7z$"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_did_not_arrive_is_found_and_put_right(kernel: Kernel, station: Station, lie: str) -> None:
    """The task SUCCEEDED but the file is wrong: it is refused or repaired and read again. In the end the remote equals the record."""
    station.emulator.control.set_faults(LIES[lie])
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert station.remote().read_bytes() == CONTENT
    assert station.remote().with_name("Scans.tar.7z.manifest.json").read_bytes() == SIDECAR


async def test_a_flip_that_is_repaired_is_read_once_more(kernel: Kernel, station: Station) -> None:
    """The second reading moved bytes, so it proves nothing. A third one moves nothing."""
    station.emulator.control.set_faults(LIES["one byte"])
    job = await station.job()
    async with station.lane():
        row = await state_is(kernel, job, "verified")

    assert await station.purposes(job) == ["transfer", "recheck", "recheck"]
    assert len(await lines(kernel, job, "recheck_repaired")) == 1
    assert row["retry_count"] == 0


async def test_a_destination_that_goes_on_lying_fails_the_job(kernel: Kernel, station: Station) -> None:
    """Every written file is damaged despite the checksum: no proof, budget spent, no remote file left. The local archive stays."""
    station.emulator.control.set_faults(fault("data", "flip", when="after_verify", times=FOR_EVER, path="7z$"))
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "uploader")

    assert await kernel.owner.fetchval("SELECT count(*) FROM verifications WHERE job_id = $1 AND voided_at IS NULL", job) == 0
    assert (station.remote().exists(), await station.destination(job)) == (False, "released")
    assert len([path for path in station.staged() if path.is_file()]) == 2


async def test_a_directory_of_the_archives_name_is_no_archive(kernel: Kernel, station: Station) -> None:
    """A directory is never this job's file. The job fails; the directory and its content stay."""
    station.remote().mkdir(parents=True)
    (station.remote() / "inside").write_text("x")
    job = await station.job()
    async with station.lane():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "uploader")

    assert "not this job's" in row["error_message"]
    assert (station.remote() / "inside").exists()
    assert await station.tasks(job) == []


async def test_a_foreign_file_is_never_replaced(kernel: Kernel, station: Station) -> None:
    """It exists before the first submit: nothing is sent, and the job fails and reports what it found."""
    foreign = station.foreign()
    job = await station.job()
    async with station.lane():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "uploader")

    assert "15 bytes" in row["error_message"]
    assert (foreign.read_bytes(), await station.tasks(job)) == (b"somebody else's", [])


async def test_no_clear_answer_means_waiting(kernel: Kernel, station: Station) -> None:
    """The destination does not say: nothing is sent, no retry is used, and the job continues once the answer is clear."""
    station.emulator.control.set_faults(fault("fs", "disconnected", operation="stat", times=FOR_EVER))
    job = await station.job()
    async with station.lane():
        row = await waits(kernel, job, "no clear answer")
        assert (row["status"], row["retry_count"], await station.tasks(job)) == ("compressed", 0, [])
        await eventually(lambda: kernel.row(job), lambda now: now["attempt"] > row["attempt"] + 2, "it to look again")
        assert len(await lines(kernel, job, "waiting")) == 1
        station.emulator.control.set_faults()
        await kernel.force(job, not_before=EXPIRED["lease_until"])
        await state_is(kernel, job, "verified")


async def test_without_a_second_reading_the_job_says_so(kernel: Kernel, station: Station) -> None:
    """REMOTE_RECHECK=never: only one task, and a warning on the job."""
    station.change(policy=RecheckPolicy.NEVER)
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert await station.purposes(job) == ["transfer"]
    assert "REMOTE_RECHECK is off" in (await lines(kernel, job, "recheck_off"))[0]


async def test_staging_that_keeps_losing_archives_ends(kernel: Kernel, station: Station) -> None:
    """It is made again as often as compression is retried. Then the job fails and names the disk; a manual retry counts anew."""
    station.change(most_archives=lambda: 2)
    job = await station.job()
    (station.archives / str(job) / "1" / "Scans.tar.7z").unlink()
    for number in (1, 2):
        # Once it was made again, and once the compressor found it where the uploader did not: both count.
        if number == 1:
            await kernel.archive(job, 2, archive_path=f"{job}/2/Scans.tar.7z", staging=station.staging)
        await kernel.owner.execute(
            "INSERT INTO job_logs (job_id, level, action, message, data) VALUES ($1, 'WARNING', 'transition', 'x', $2)",
            job,
            json.dumps({"from": "compressed", "to": "queued", "attempt": number}),
        )
    async with station.lane():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "uploader")
    assert "3 times" in row["error_message"]
    assert str(station.archives) in row["error_message"]

    await kernel.owner.execute(
        "INSERT INTO job_logs (job_id, level, action, message) VALUES ($1, 'INFO', 'retry_requested', 'x')", job
    )
    await kernel.owner.execute("DELETE FROM cleanups WHERE job_id = $1", job)  # no compressor runs here
    await kernel.force(job, status="compressed")
    async with station.lane():
        await state_is(kernel, job, "queued")


@pytest.mark.parametrize("damage", ["missing", "different"])
async def test_a_local_archive_that_is_not_the_recorded_one_is_not_sent(kernel: Kernel, station: Station, damage: str) -> None:
    """It is hashed again before sending: the job is archived again, and nothing reaches Globus."""
    job = await station.job()
    archive = station.archives / str(job) / "1" / "Scans.tar.7z"
    if damage == "missing":
        archive.unlink()
    else:
        archive.write_bytes(CONTENT[:-1] + b"!")
    async with station.lane():
        row = await state_is(kernel, job, "queued")

    assert "archived again" in row["wait_reason"]
    assert (await station.tasks(job), station.remote().exists()) == ([], False)


async def test_complete_evidence_needs_nothing_local_and_no_globus(kernel: Kernel, station: Station) -> None:
    """A proven job that was retried completes at once."""
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")
        before = await station.tasks(job)
        await kernel.force(job, status="compressed")
        await state_is(kernel, job, "verified")

    assert await station.tasks(job) == before


# A running task ---------------------------------------------------------------------------------------------------------------------


async def test_a_hard_fault_is_cancelled_and_the_try_costs(kernel: Kernel, station: Station) -> None:
    """PERMISSION_DENIED does not end: the uploader cancels the task before it starts a new one. After the fix, the next one arrives."""
    station.emulator.control.set_faults(fault("task", "faulting", code="PERMISSION_DENIED", type="TRANSFER", times=1))
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")

    first, second = [row for row in await station.tasks(job) if row["purpose"] == "transfer"]
    assert (first["status"], second["status"]) == ("FAILED", "SUCCEEDED")
    assert first["ended_at"] <= second["created_at"]
    assert "PERMISSION_DENIED" in (await lines(kernel, job, "task_cancelled"))[0]


async def test_each_event_of_globus_is_logged_once(kernel: Kernel, station: Station) -> None:
    """A task that keeps faulting adds one event per fault. Polling again repeats none of them."""
    station.emulator.control.set_faults(fault("task", "faulting", code="CONNECTION_BROKEN", type="TRANSFER", times=1))
    job = await station.job()
    query = "SELECT data ->> 'time' AS time, data ->> 'code' AS code FROM job_logs WHERE job_id = $1 AND action = 'globus_event'"
    async with station.lane():
        await eventually(lambda: kernel.owner.fetch(query, job), lambda rows: len(rows) >= 4, "four events")
        station.emulator.control.set_faults()
        await state_is(kernel, job, "verified")

    seen = [(row["time"], row["code"]) for row in await kernel.owner.fetch(query, job)]
    assert len(seen) == len(set(seen))


async def test_an_inactive_task_is_cancelled(kernel: Kernel, station: Station) -> None:
    """INACTIVE never ends by itself. The reason names what to renew."""
    station.emulator.control.set_faults(fault("task", "inactive", type="TRANSFER", times=1))
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert "credentials" in (await lines(kernel, job, "task_cancelled"))[0]


async def test_the_deadline_and_our_own_timer(kernel: Kernel, station: Station) -> None:
    """Globus stalls past the deadline. The uploader's timer ends the task although Globus does not."""
    station.emulator.control.set_faults(fault("task", "stall", type="TRANSFER", times=1))
    limits = station.tools.limits
    station.change(
        limits=msgspec.structs.replace(limits, grace_s=-13 * 3600.0)
    )  # the deadline, 12 hours from now, has passed on the local clock
    job = await station.job()
    async with station.lane(retries=Limits(upload=3, delay_s=600.0)):  # one retry, not the whole budget
        await eventually(lambda: kernel.row(job), lambda row: row["retry_count"] == 1, "the first try to end")
    station.change(limits=limits)
    station.emulator.control.set_faults()
    await kernel.force(job, not_before=EXPIRED["lease_until"])
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert (await station.tasks(job))[0]["status"] == "FAILED"
    assert "deadline" in (await lines(kernel, job, "task_cancelled"))[0]


@pytest.mark.parametrize(("looks", "said"), [(0, "waiting"), (1, "globus_says")])
async def test_an_outage_while_globus_works_costs_nothing(kernel: Kernel, station: Station, looks: int, said: str) -> None:
    """Globus does not respond for longer than any budget. The task continues there and is neither cancelled nor sent again."""
    blind = {"kind": "http", "action": "status", "path": r"/task/[^/]+$", "status": 503, "after": looks, "times": 20}
    station.emulator.control.set_faults(blind)
    job = await station.job()
    async with station.lane():
        row = await state_is(kernel, job, "verified", timeout=200)

    assert (row["retry_count"], row["connection_retry_count"]) == (0, 0)
    assert await station.purposes(job) == ["transfer", "recheck"]
    assert any("503" in line for line in await lines(kernel, job, said))


async def test_a_paused_task_is_shown_and_waited_for(kernel: Kernel, station: Station) -> None:
    """An administrator's pause is no failure: the job shows the reason, nothing is cancelled, and it continues afterwards."""
    station.emulator.control.set_faults(fault("task", "pause", details="Maintenance until noon", type="TRANSFER"))
    job = await station.job()
    async with station.lane():
        await eventually(lambda: lines(kernel, job, "globus_says"), lambda said: any("noon" in text for text in said), "the pause")
        station.emulator.control.set_faults()
        row = await state_is(kernel, job, "verified")

    assert (row["retry_count"], await station.purposes(job)) == (0, ["transfer", "recheck"])


@pytest.mark.parametrize("refusal", ["fail", "reject"])
async def test_an_algorithm_that_is_refused_is_followed_by_the_next(kernel: Kernel, station: Station, refusal: str) -> None:
    """The collection does not support SHA-256: MD5 proves the arrival, and no retry is used."""
    limited = station.emulator.collections(destination={"checksum_algorithms": ["MD5"], "unsupported_algorithm": refusal})
    station.emulator.control.configure(collections=limited)
    try:
        job = await station.job()
        async with station.lane():
            row = await state_is(kernel, job, "verified")
    finally:
        every = station.emulator.collections(destination={"checksum_algorithms": ["SHA256", "MD5"]})
        station.emulator.control.configure(collections=every)

    assert row["retry_count"] == 0
    assert (await station.tasks(job))[0]["algorithm_refused"]


async def test_a_pause_takes_the_transfer_off_globus(kernel: Kernel, station: Station) -> None:
    """The status stays, nobody holds the job, the task is cancelled. After a resume another task arrives, and no retry is used."""
    station.emulator.control.set_faults(fault("task", "stall", type="TRANSFER", times=1))
    job = await station.job()
    async with station.lane():
        await eventually(lambda: kernel.row(job), lambda row: row["globus_task_id"] is not None, "a task")
        await kernel.owner.execute("UPDATE jobs SET paused = true WHERE id = $1", job)
        row = await eventually(lambda: kernel.row(job), lambda row: row["lease_owner"] is None, "to be let go")
        assert row["status"] == "uploading"
        at_last(station.emulator.control.tasks, lambda tasks: tasks[0]["status"] == "FAILED")
        station.emulator.control.set_faults()
        await kernel.owner.execute("UPDATE jobs SET paused = false WHERE id = $1", job)
        row = await state_is(kernel, job, "verified")

    assert (row["retry_count"], row["crash_count"]) == (0, 0)
    assert await station.purposes(job) == ["transfer", "transfer", "recheck"]


# What others ask ---------------------------------------------------------------------------------------------------------------------


async def test_others_are_told_whose_the_destination_is(kernel: Kernel, station: Station) -> None:
    """absent, foreign, own, unknown: a file belongs to a job only after Globus accepted its transfer."""
    answers = Answers(await kernel.db("uploader"), station.tools)
    job = await station.job()

    async def asked(**more: Any) -> str:
        question = AskDestination("/One/Two/Scans.tar.7z", **more)
        return str((await answers.destination(msgspec.json.encode(question))).state)

    assert await asked(job_id=job) == "absent"
    station.foreign()
    assert (await asked(), await asked(job_id=job)) == ("foreign", "foreign")
    station.remote().unlink()
    async with station.lane():
        await state_is(kernel, job, "verified")
    assert (await asked(), await asked(job_id=job)) == ("foreign", "own")
    station.emulator.control.set_faults(fault("fs", "disconnected", times=FOR_EVER))
    assert await asked(job_id=job) == "unknown"


async def test_sizes_are_checked_again_on_request(kernel: Kernel, station: Station) -> None:
    """Right, wrong, missing; no clear answer means wait, neither yes nor no. The path of the local files does not matter."""
    answers = Answers(await kernel.db("uploader"), station.tools)
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")
    await kernel.owner.execute("ALTER TABLE archives DISABLE TRIGGER USER")
    await kernel.owner.execute("UPDATE archives SET archive_path = '/elsewhere/x.tar.7z'")
    question = msgspec.json.encode(RecheckSize(job))
    assert (await answers.recheck_size(question)).ok

    station.remote().write_bytes(CONTENT[:-1])
    wrong = await answers.recheck_size(question)
    assert (wrong.ok, units.exact_size(len(CONTENT) - 1) in wrong.detail) == (False, True)
    station.remote().unlink()
    assert not (await answers.recheck_size(question)).ok

    station.emulator.control.set_faults(fault("fs", "denied", operation="stat", times=FOR_EVER))
    with pytest.raises(Waiting):
        await answers.recheck_size(question)


async def test_a_place_is_released_only_where_nothing_is(kernel: Kernel, station: Station) -> None:
    """Custody 3: it is refused while the archive or its sidecar exists or the answer is unclear, and before the job has ended."""
    answers = Answers(await kernel.db("uploader"), station.tools)
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")
    question = msgspec.json.encode(ReleaseDestination(job))
    with pytest.raises(PermanentError, match="not empty"):
        await answers.release_destination(question)
    station.remote().unlink()
    with pytest.raises(PermanentError, match="not empty"):  # the sidecar is there
        await answers.release_destination(question)
    station.remote().with_name(station.remote().name + ".manifest.json").unlink()
    station.emulator.control.set_faults(fault("fs", "disconnected", times=FOR_EVER))
    with pytest.raises(Waiting):
        await answers.release_destination(question)
    station.emulator.control.set_faults()
    with pytest.raises(PermanentError, match="has not ended"):
        await answers.release_destination(question)

    await kernel.force(job, status="completed")
    assert (await answers.release_destination(question)).path == "/One/Two/Scans.tar.7z"
    assert await kernel.owner.fetchval("SELECT complete_evidence($1)", job) is None


async def test_evidence_is_immutable(kernel: Kernel, station: Station) -> None:
    """No service can change, delete or void recorded rows."""
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")
    db = await kernel.db("uploader")
    for statement in (
        "UPDATE verifications SET archive_sha256 = 'x' WHERE job_id = $1",
        "UPDATE verifications SET voided_at = now() WHERE job_id = $1",
        "DELETE FROM verifications WHERE job_id = $1",
    ):
        with pytest.raises(Exception, match=r"permission denied|never"):
            async with db.transaction() as session:
                await session.connection.execute(statement, job)
