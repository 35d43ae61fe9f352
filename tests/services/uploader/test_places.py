"""Ownership includes the place: a transfer to one collection and base path gives no rights at another."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.uploader.__main__ import Answers
from shared.domain.destinations import Elsewhere, RemotePlace, elsewhere_text
from shared.errors import Waiting
from shared.service import jobs
from shared.service.rpc import AskDestination, RecheckSize
from tests.services.lanes import EXPIRED, cleaned, dies_at, just_expired, lines, state_is, waits
from tests.services.uploader.station import CONTENT, SIDECAR, Station
from tests.services.uploader.test_handlers import FOR_EVER, fault
from tests.shared.rows import past_the_guard
from tests.support.emulator import DESTINATION
from tests.support.kernel import PLACE, Kernel, eventually

OTHER = "de570000-0000-4000-8000-000000000002"
PATH = "One/Two/Scans.tar.7z"
ELSEWHERE = {"another collection": RemotePlace(OTHER, "/tape"), "another base path": RemotePlace(DESTINATION, "/disk")}


@pytest.fixture(params=list(ELSEWHERE))
def new(request: pytest.FixtureRequest, station: Station) -> Iterator[RemotePlace]:
    """The place that changed settings name. It shares either the collection or the base path with the first."""
    root = station.emulator.destination.with_name("other")
    collections = station.emulator.collections()
    station.emulator.control.configure(collections={**collections, OTHER: {"root": str(root), "display_name": "Disk"}})
    yield ELSEWHERE[request.param]
    shutil.rmtree(root, ignore_errors=True)


def at(station: Station, place: RemotePlace) -> Path:
    """Return the archive's path at a place."""
    root = station.emulator.destination
    return (root if place.endpoint == DESTINATION else root.with_name("other")) / place.base.strip("/") / PATH


def put(archive: Path) -> None:
    """Put somebody else's files there under the archive's and the sidecar's names, equal to the job's."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(CONTENT)
    archive.with_name(archive.name + ".manifest.json").write_bytes(SIDECAR)


async def arrived(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, **columns: Any) -> UUID:
    """A job whose files arrived at the first place and are not proven."""
    job = await station.job()
    await dies_at(monkeypatch, "uploader.proven", station.lane())
    await kernel.force(job, **{**just_expired(), **columns})
    return job


async def places(kernel: Kernel, job: UUID) -> list[tuple[str, str, str]]:
    """Return state and place of each destination of a job, oldest first."""
    rows = await kernel.owner.fetch(
        "SELECT d.state, p.endpoint, p.base_path FROM destinations d JOIN remote_places p ON p.id = d.place"
        " WHERE d.job_id = $1 ORDER BY p.id",
        job,
    )
    return [tuple(row) for row in rows]


def row(state: str, place: RemotePlace) -> tuple[str, str, str]:
    return (state, place.endpoint, place.base)


async def test_a_job_that_has_sent_something_stays_at_its_place(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, new: RemotePlace
) -> None:
    """Equal foreign files at the new place do not count as the job's. The proof is about the place that the job sent to."""
    job = await arrived(kernel, station, monkeypatch)
    put(at(station, new))
    await station.move(new)
    asked = len(station.emulator.control.requests(path="/v0.10"))
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert await places(kernel, job) == [row("verified", PLACE)]
    about = (
        "SELECT DISTINCT p.endpoint, p.base_path FROM verifications v JOIN remote_places p ON p.id = v.place WHERE v.job_id = $1"
    )
    assert [tuple(found) for found in await kernel.owner.fetch(about, job)] == [(PLACE.endpoint, PLACE.base)]
    looked = [str(request) for request in station.emulator.control.requests(path="/v0.10")[asked:]]
    assert looked
    assert not [request for request in looked if new.endpoint == OTHER and OTHER in request]


async def test_files_lost_at_the_old_place_are_not_found_at_the_new_one(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, new: RemotePlace
) -> None:
    """The transfer succeeded at the old place and its files are gone. Equal files at the new place prove nothing."""
    job = await arrived(kernel, station, monkeypatch)
    put(at(station, new))
    shutil.rmtree(at(station, PLACE).parent)
    await station.move(new)
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert at(station, PLACE).read_bytes() == CONTENT  # sent again, to the old place
    assert (await station.purposes(job)).count("transfer") == 2


async def test_a_job_that_has_sent_nothing_follows_the_settings(kernel: Kernel, station: Station, new: RemotePlace) -> None:
    """It held a path and nothing more: it goes to the new place, and the old one is released."""
    job = await station.job()
    await station.move(new)
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert await places(kernel, job) == [row("released", PLACE), row("verified", new)]
    assert (at(station, new).read_bytes(), at(station, PLACE).exists()) == (CONTENT, False)


async def test_a_new_job_uses_the_new_place(kernel: Kernel, station: Station, new: RemotePlace) -> None:
    """It was requested after the change, so none of its files is ever at the old place."""
    await station.move(new)
    job = await station.job(hold=False)
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert await places(kernel, job) == [row("verified", new)]
    assert (at(station, new).read_bytes(), at(station, PLACE).exists()) == (CONTENT, False)


async def test_a_clean_up_removes_at_its_own_place(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, new: RemotePlace
) -> None:
    """The job's files at the old place are removed. Files under the same names at the new place are another's and stay."""
    job = await arrived(kernel, station, monkeypatch, cancel_requested_by="eve")
    put(at(station, new))
    await station.move(new)
    async with station.lane():
        await state_is(kernel, job, "cancelled")
        await cleaned(kernel, job, "uploader")

    assert (at(station, PLACE).exists(), at(station, new).read_bytes()) == (False, CONTENT)
    assert await places(kernel, job) == [row("released", PLACE)]


async def test_an_old_proof_is_checked_at_its_own_place(kernel: Kernel, station: Station, new: RemotePlace) -> None:
    """The new place is empty, and a file of the same name there says nothing about the proven one."""
    job = await station.job()
    async with station.lane():
        await state_is(kernel, job, "verified")
    await station.move(new)
    answers = Answers(await kernel.db("uploader"), station.tools)
    question = msgspec.json.encode(RecheckSize(job))
    assert (await answers.recheck_size(question)).ok

    put(at(station, new))
    at(station, PLACE).unlink()
    assert not (await answers.recheck_size(question)).ok


async def test_work_whose_collection_is_out_of_reach_waits_and_is_named(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent to the new place instead. The service's start reports the obstacle and the fix."""
    job = await arrived(kernel, station, monkeypatch)
    new = ELSEWHERE["another base path"]
    station.emulator.control.set_faults(fault("fs", "denied", operation="stat", path="^/tape/", times=FOR_EVER))
    await station.move(new)
    (found,) = await (await kernel.db("uploader")).rows("work_elsewhere")
    work = msgspec.convert(dict(found), Elsewhere)
    assert (work.endpoint, work.base_path, work.jobs, work.owed, work.job_id) == (PLACE.endpoint, PLACE.base, 1, 0, job)
    assert "1 job has sent files to /tape" in elsewhere_text(work)
    assert "cs-archiver cancel" in elsewhere_text(work)

    await kernel.owner.execute("UPDATE jobs SET cancel_requested_by = 'eve' WHERE id = $1", job)
    reason = "SELECT reason FROM cleanups WHERE job_id = $1 AND role = 'uploader'"
    async with station.lane():
        await state_is(kernel, job, "cancelled")
        await eventually(lambda: kernel.owner.fetchval(reason, job), lambda text: text and "no clear answer" in text, "the wait")
        (found,) = await (await kernel.db("uploader")).rows("work_elsewhere")
        owed = msgspec.convert(dict(found), Elsewhere)
        assert (owed.jobs, owed.owed) == (0, 1)
        assert "cs-archiver cancel" not in elsewhere_text(owed), "an ended job cannot be cancelled"
        station.emulator.control.set_faults()
        await kernel.owner.execute("UPDATE cleanups SET not_before = '-infinity'")
        await cleaned(kernel, job, "uploader")

    assert not at(station, PLACE).exists()
    assert await (await kernel.db("uploader")).rows("work_elsewhere") == []


async def test_a_job_of_an_unknown_place_waits(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place of its transfer was not recorded, so no file counts as this job's. Nothing is sent or removed."""
    job = await arrived(kernel, station, monkeypatch)
    await past_the_guard(kernel, "UPDATE destinations SET place = NULL WHERE job_id = $1", job)
    async with station.lane():
        await waits(kernel, job, "Nobody knows on which collection")
        await kernel.owner.execute("UPDATE jobs SET cancel_requested_by = 'eve' WHERE id = $1", job)
        await state_is(kernel, job, "cancelled")
        reason = "SELECT reason FROM cleanups WHERE job_id = $1 AND role = 'uploader'"
        await eventually(lambda: kernel.owner.fetchval(reason, job), lambda text: text and "Nobody knows" in text, "the wait")

    assert at(station, PLACE).read_bytes() == CONTENT
    assert await station.purposes(job) == ["transfer", "recheck"]


async def test_a_path_that_was_held_before_any_place_was_known_gets_one(kernel: Kernel, station: Station) -> None:
    """It was requested before the first uploader ever started. Nothing was sent, so the job follows the settings."""
    job = await station.job()
    unplaced = "UPDATE destinations SET place = NULL, key = '/one/two/scans.tar.7z' WHERE job_id = $1"
    await past_the_guard(kernel, unplaced, job)
    async with station.lane():
        await state_is(kernel, job, "verified")

    assert await places(kernel, job) == [row("verified", PLACE)]


async def test_a_transfer_that_moved_nothing_owns_nothing(kernel: Kernel, station: Station) -> None:
    """Equal files appeared after the check. Globus skips both, the job fails, and every clean-up leaves them."""
    station.emulator.control.set_faults(fault("fs", "not_found", operation="stat", times=2))
    put(at(station, PLACE))
    job = await station.job()
    async with station.lane():
        failed = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "uploader")

    assert "not this job's" in failed["error_message"]
    assert await station.purposes(job) == ["transfer"]
    assert (at(station, PLACE).read_bytes(), await places(kernel, job)) == (CONTENT, [row("released", PLACE)])


# Waiting for another's clean-up ------------------------------------------------------------------------------------------------------


async def test_a_job_waits_for_anothers_clean_up_and_goes_on(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks before copying and before sending: busy while a cancelled upload's files are removed. Then the new job gets the path."""
    first = await arrived(kernel, station, monkeypatch, cancel_requested_by="eve")
    station.emulator.control.set_faults(fault("task", "stall", type="DELETE"))
    answers = Answers(await kernel.db("uploader"), station.tools)
    async with station.lane():
        await state_is(kernel, first, "cancelled")
        await eventually(lambda: station.destination(first), lambda state: state == "removing", "the removal")
        second = await station.job(hold=False)
        question = msgspec.json.encode(AskDestination(f"/{PATH}", second))
        answer = await answers.destination(question)
        assert (answer.state, str(first) in answer.detail) == ("busy", True)
        seen = await waits(kernel, second, str(first))
        assert (seen["status"], seen["retry_count"]) == ("compressed", 0)

        station.emulator.control.set_faults()
        await kernel.owner.execute("UPDATE cleanups SET not_before = '-infinity'")
        await cleaned(kernel, first, "uploader")
        await kernel.force(second, not_before=EXPIRED["lease_until"])
        await state_is(kernel, second, "verified")

    assert await places(kernel, second) == [row("verified", PLACE)]
    assert len([text for text in await lines(kernel, second, "waiting") if str(first) in text]) == 1


async def test_a_job_whose_path_was_proven_by_another_fails(kernel: Kernel, station: Station) -> None:
    """While it waited, another job's archive was proven there. That archive is never replaced."""
    first = await station.job()
    async with station.lane():
        await state_is(kernel, first, "verified")
        second = await station.job(hold=False)
        failed = await state_is(kernel, second, "failed")

    assert f"proven archive of job {first}" in failed["error_message"]


async def test_a_job_that_ended_takes_no_place(kernel: Kernel, station: Station) -> None:
    """On request, the uploader holds nothing for it. A live job whose path is taken is told to wait."""
    job = await station.job(hold=False, status="failed")
    answers = Answers(await kernel.db("uploader"), station.tools)
    assert (await answers.destination(msgspec.json.encode(AskDestination(f"/{PATH}", job)))).state == "absent"
    assert await places(kernel, job) == []

    holder, waiting = await station.job(), await station.job(hold=False)
    live = await jobs.load(await kernel.db("uploader"), waiting)
    assert live is not None
    with pytest.raises(Waiting, match=f"until job {holder}"):
        await station.tools.submissions.hold(live)


# A listing that is older than the transfer ---------------------------------------------------------------------------------------------


async def test_a_clean_up_does_not_believe_a_stale_listing(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing says "not found" just after a transfer. The removal is sent anyway, and no orphan stays."""
    job = await arrived(kernel, station, monkeypatch, crash_count=4)
    station.emulator.control.set_faults(fault("fs", "stale", operation="stat", seconds=3600))
    async with station.lane():
        await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "uploader")

    assert not list(at(station, PLACE).parent.iterdir())
    assert (await station.purposes(job))[-1] == "removal"
    assert await places(kernel, job) == [row("released", PLACE)]


async def test_a_part_of_a_file_that_a_stale_listing_hides_is_removed(kernel: Kernel, station: Station) -> None:
    """A transfer cancelled half-way leaves a part of the archive. It is removed although the listing did not show it."""
    stall, stale = fault("task", "stall", type="TRANSFER", at_bytes=1), fault("fs", "stale", operation="stat", seconds=3600)
    station.emulator.control.set_faults(stall, stale)
    job = await station.job()
    async with station.lane():
        await eventually(_exists(at(station, PLACE)), bool, "a part of the file")
        await kernel.owner.execute("UPDATE jobs SET cancel_requested_by = 'eve' WHERE id = $1", job)
        await state_is(kernel, job, "cancelled")
        await cleaned(kernel, job, "uploader")

    assert not list(at(station, PLACE).parent.iterdir())


def _exists(path: Path) -> Any:
    async def look() -> bool:
        return path.exists()

    return look
