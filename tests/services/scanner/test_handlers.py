"""The scanner's lane: the only deletion on the NAS, everything that must hold before it, and every crash in between."""

import asyncio
import errno
import threading
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from services.scanner import deletion, handlers, marker
from services.scanner.catalog import Catalog
from shared import faults
from shared.domain.retry import Limits
from shared.errors import Operation, PermanentError, TransientError, Waiting
from shared.files import apart
from shared.files.manifest import ArchiveFacts, write_sidecar
from shared.infra.db import Session
from shared.service.reporting import Reporter
from shared.service.rpc import Inspect, SizeChecked
from tests.services.lanes import EXPIRED, dies_at, lines, state_is, waits
from tests.services.scanner.station import OLD, Station
from tests.shared.rows import past_the_guard
from tests.support.kernel import MD5, SHA, Kernel, eventually

MARKER = "Project-ARCHIVED-TO-GLOBUS.txt"
ALL = ["deep/two", "one"]


async def test_a_proven_folder_is_emptied_and_only_its_marker_stays(kernel: Kernel, station: Station) -> None:
    """Every deletion is a line of the job's log with path, size and result. The catalog is updated at once."""
    job = await station.job()
    async with station.lane():
        row = await state_is(kernel, job, "completed")
        listed = "SELECT is_archived FROM folders WHERE path = $1"
        await eventually(lambda: kernel.owner.fetchval(listed, str(station.folder)), bool, "the catalog to know")

    assert station.names() == [MARKER]
    assert await kernel.states(job) == ["queued", "deleting_source", "completed"]
    assert (row["kept_count"], row["progress_percent"], row["first_unlink_at"] is not None) == (0, 100, True)
    assert sorted(await lines(kernel, job, "delete_file")) == ["deep/two: deleted", "one: deleted"]
    assert await lines(kernel, job, "delete_directory") == ["deep: deleted"]
    assert station.asked == 0


async def test_kept_files_are_counted_and_logged(kernel: Kernel, station: Station) -> None:
    """Changed and new files stay, each with its reason. The job completes and says what to do."""
    job = await station.job()
    station.put("one", b"written after the copy")
    station.put("new", b"came later")
    async with station.lane():
        row = await state_is(kernel, job, "completed")

    assert station.names() == [MARKER, "new", "one"]
    assert row["kept_count"] == 2
    assert row["current_operation"].startswith("Completed; kept 2 files")
    assert "new folder" in row["current_operation"]
    assert await lines(kernel, job, "source_kept") == ["Kept new: added after the copy.", "Kept one: changed after the copy."]


async def test_a_job_that_keeps_its_source_touches_nothing(kernel: Kernel, station: Station) -> None:
    """keep_source: straight from verified to completed, no marker."""
    job = await station.job(keep_source=True)
    async with station.lane():
        await state_is(kernel, job, "completed")

    assert station.names() == ALL


@pytest.mark.parametrize("what", ["changed", "gone"])
async def test_nothing_deletable_fails_and_leaves_no_marker(kernel: Kernel, station: Station, what: str) -> None:
    """All files changed, or the folder is missing: the job fails with a sentence before it takes any step."""
    job = await station.job()
    if what == "changed":
        for name in ALL:
            station.put(name, b"another content")
    else:
        station.folder.rename(station.folder.with_name("elsewhere"))
    async with station.lane():
        row = await state_is(kernel, job, "failed")

    assert "Nothing was deleted" in row["error_message"]
    assert await kernel.states(job) == ["queued", "failed"]
    assert not station.folder.exists() or station.names() == ALL


async def test_all_changed_between_judging_and_deleting(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run judges again. It fails from deleting_source before any unlink, and no marker stays."""
    job = await station.job()
    await dies_at(monkeypatch, "transition.deleting_source.after", station.lane())
    for name in ALL:
        station.put(name, b"another content")
    await kernel.force(job, **EXPIRED)
    async with station.lane():
        await state_is(kernel, job, "failed")

    assert station.names() == ALL


async def test_a_foreign_marker_fails_the_job_before_any_unlink(kernel: Kernel, station: Station) -> None:
    """A user's file has the marker's name: nothing is deleted, and that file stays unchanged."""
    job = await station.job()
    (station.folder / MARKER).write_text("mine")
    async with station.lane():
        row = await state_is(kernel, job, "failed")

    assert "Nothing was deleted" in row["error_message"]
    assert (station.folder / MARKER).read_text() == "mine"
    assert station.names() == sorted([*ALL, MARKER])


# Evidence --------------------------------------------------------------------------------------------------------------------------


async def test_old_evidence_is_asked_for_again(kernel: Kernel, station: Station) -> None:
    """If it is older than 15 minutes, the sizes at the destination are checked first. If they are right, the job continues."""
    job = await station.job()
    await past_the_guard(kernel, OLD, job)
    async with station.lane():
        await state_is(kernel, job, "completed")

    assert station.asked == 1
    assert await lines(kernel, job, "evidence_rechecked")


async def test_a_wrong_size_at_the_destination_fails_and_deletes_nothing(kernel: Kernel, station: Station) -> None:
    """The proof no longer holds."""
    job = await station.job()
    await past_the_guard(kernel, OLD, job)
    station.answer = SizeChecked(ok=False, detail="99 bytes instead of 100.")
    async with station.lane():
        row = await state_is(kernel, job, "failed")

    assert "99 bytes" in row["error_message"]
    assert station.names() == ALL


async def test_no_answer_about_old_evidence_waits(kernel: Kernel, station: Station) -> None:
    """The uploader cannot tell: no retry is used, nothing is deleted, and the job continues when it can."""
    job = await station.job()
    await past_the_guard(kernel, OLD, job)
    station.answer = Waiting("Globus is away.", 0.05)
    async with station.lane():
        row = await waits(kernel, job, "Globus is away")
        assert (row["status"], row["connection_retry_count"], station.names()) == ("verified", 0, ALL)
        station.answer = SizeChecked(ok=True)
        await state_is(kernel, job, "completed")


async def test_without_the_uploader_old_evidence_waits(kernel: Kernel, tmp_path: Path) -> None:
    """Nobody replies: the job waits in verified, whatever its budget of connection errors."""
    station = Station(kernel, tmp_path)
    await station.open()
    job = await station.job()
    await past_the_guard(kernel, OLD, job)
    async with station.lane():
        await waits(kernel, job, "uploader is not running")
        tries = (await kernel.row(job))["attempt"]
        row = await eventually(lambda: kernel.row(job), lambda row: row["attempt"] >= tries + 4, "several tries")

    assert (row["status"], station.names()) == ("verified", ALL)


async def test_incomplete_or_foreign_evidence_deletes_nothing(kernel: Kernel, station: Station) -> None:
    """A voided row, or a manifest of another folder: the job fails and every file stays."""
    job = await station.job()
    await past_the_guard(kernel, "UPDATE verifications SET voided_at = now() WHERE job_id = $1 AND kind = 'content'", job)
    async with station.lane():
        row = await state_is(kernel, job, "failed")
    assert "not complete" in row["error_message"]

    await kernel.owner.execute("DELETE FROM cleanups")
    await past_the_guard(kernel, "UPDATE verifications SET voided_at = NULL WHERE job_id = $1", job)
    await kernel.force(job, status="verified", source_path=f"{station.base}/a/b/Other")
    async with station.lane():
        row = await state_is(kernel, job, "failed")
    assert "nothing is deleted" in row["error_message"]
    assert station.names() == ALL


async def test_another_manifest_than_the_proven_one_deletes_nothing(kernel: Kernel, station: Station) -> None:
    """Its digest differs from the evidence: somebody changed the record, or the disk did."""
    job = await station.job()
    other = msgspec.structs.replace(station.manifest, warnings=["not this one"])
    _, packed = write_sidecar(station.root / "other.json", other, ArchiveFacts("Project.tar.7z", 100, SHA, MD5), str(job), 1)
    await past_the_guard(kernel, "UPDATE archives SET manifest = $2 WHERE job_id = $1", job, packed)
    async with station.lane():
        row = await state_is(kernel, job, "failed")

    assert "SHA-256" in row["error_message"]
    assert station.names() == ALL


# The NAS ---------------------------------------------------------------------------------------------------------------------------


async def test_an_unmounted_nas_waits(kernel: Kernel, station: Station) -> None:
    """This is no failure: the job stays verified with the reason and continues when the NAS is back. Nothing is adopted meanwhile."""
    job = await station.job()
    station.unmount()
    async with station.lane():
        row = await waits(kernel, job, "NAS")
        assert (row["status"], row["retry_count"], row["connection_retry_count"]) == ("verified", 0, 0)
        assert station.names() == ALL
        station.mount()
        await state_is(kernel, job, "completed")


async def test_a_base_without_a_known_id_deletes_nothing(kernel: Kernel, station: Station) -> None:
    """The database lost the NAS's id (an older backup). A deletion creates no new id on whatever is mounted."""
    job = await station.job()
    station.unmount()
    await kernel.owner.execute("DELETE FROM nas_bases")
    async with station.lane():
        row = await waits(kernel, job, "has not been scanned")

    assert (row["status"], station.names()) == ("verified", ALL)
    assert not (station.base / ".cs-archiver-nas-id").exists()


# Crashes, stops and controls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "visit"),
    [
        ("transition.deleting_source.after", 1),
        ("marker.temporary", 1),
        ("deletion.marker_written", 1),
        ("deletion.begun", 1),
        ("deletion.renamed", 1),
        ("deletion.unlinked", 1),
        ("deletion.unlinked", 2),
        ("deletion.directory", 1),
        ("deletion.final_marker", 1),
        ("transition.completed.before", 1),
    ],
)
async def test_a_killed_deletion_is_taken_over_where_it_was(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, point: str, visit: int
) -> None:
    """It never returns to an earlier state: attempt + 1, one marker, everything in the manifest deleted, nothing else."""
    job = await station.job()
    station.put("came later", b"new")
    await dies_at(monkeypatch, point, station.lane(), visit)
    assert (await kernel.row(job))["status"] == "deleting_source"
    await kernel.force(job, **EXPIRED)
    async with station.lane():
        row = await state_is(kernel, job, "completed")

    assert station.names() == [MARKER, "came later"]
    assert await kernel.states(job) == ["queued", "deleting_source", "completed"]
    assert (row["attempt"], row["kept_count"]) == (3, 1)


async def test_a_deletion_that_cannot_go_on_never_fails_once_begun(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The NAS fails after the first unlink, more often than any budget: one alarm in the log, retries, completed in the end."""
    job = await station.job()
    await dies_at(monkeypatch, "deletion.unlinked", station.lane())
    await kernel.force(job, **EXPIRED)
    real = deletion.run
    broken = OSError(errno.EIO, "Input/output error")

    def failing(*_: Any) -> Any:
        raise broken

    monkeypatch.setattr(deletion, "run", failing)
    async with station.lane():
        await eventually(lambda: lines(kernel, job, "deletion_stuck"), any, "the alarm")
        row = await kernel.row(job)
        assert row["status"] == "deleting_source"
        await eventually(lambda: kernel.row(job), lambda now: now["attempt"] > row["attempt"] + 2, "it to be tried again")
        assert len(await lines(kernel, job, "deletion_stuck")) == 1
        monkeypatch.setattr(deletion, "run", real)
        await state_is(kernel, job, "completed")

    assert station.names() == [MARKER]


async def test_a_failure_before_the_first_unlink_takes_the_marker_back(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The NAS keeps failing just after the marker was written. The budget is spent, the job fails, and no false marker stays."""
    job = await station.job()
    real = marker.write_in_progress

    def written_then_broken(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(marker, "write_in_progress", written_then_broken)
    async with station.lane():
        await state_is(kernel, job, "failed")

    assert station.names() == ALL


class Defect(Exception):  # noqa: N818 - stands for any exception that is not ours
    """An unforeseen error."""


ENDINGS = {
    "a refusal of the database": lambda: asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    "a full disk": lambda: asyncpg.DiskFullError("could not extend file"),
    "a defect": Defect,
    "a wait": lambda: Waiting("The NAS's clock stands still.", 30.0),
    "a loss": lambda: TransientError("The NAS failed.", Operation.CONNECTION),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_whatever_ends_a_run_before_the_first_unlink_takes_the_marker_back(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The start cannot be committed: the folder is full, and no marker in it claims otherwise."""
    await station.job()
    seen: list[bool] = []

    def refused(_reporter: Reporter) -> None:
        seen.append((station.folder / MARKER).exists())
        error = ENDINGS[ending]()
        raise error

    monkeypatch.setattr(Reporter, "_begin", refused)
    async with station.lane(retries=Limits(compression=0, upload=0, connection=0, delay_s=30)):

        async def names() -> list[str]:
            return station.names() if seen else []

        await eventually(names, lambda left: left == ALL, "the marker to be gone")
    assert seen[0]


@pytest.mark.parametrize("step", ["proof", "manifest", "base"])
async def test_a_takeover_that_fails_early_takes_the_marker_back(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A dead run left its marker. The next run fails before it reads the folder."""
    job = await station.job()
    await dies_at(monkeypatch, "deletion.marker_written", station.lane())
    assert station.names() == sorted([MARKER, *ALL])
    if step == "proof":
        await past_the_guard(kernel, "UPDATE verifications SET voided_at = now() WHERE job_id = $1 AND kind = 'content'", job)
    elif step == "manifest":
        await past_the_guard(kernel, "UPDATE archives SET manifest = 'damaged' WHERE job_id = $1", job)
    else:
        await past_the_guard(kernel, OLD, job)
        station.answer = SizeChecked(ok=False, detail="99 bytes instead of 100.")
    await kernel.force(job, **EXPIRED)
    async with station.lane():
        await state_is(kernel, job, "failed")

    assert station.names() == ALL


async def test_a_beginning_whose_answer_was_lost_keeps_the_marker(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start was committed although the run got an error. The marker stays, and the job continues."""
    job = await station.job()
    begin = Reporter._begin

    def lost(reporter: Reporter) -> None:
        begin(reporter)
        raise Defect

    async with station.lane(retries=Limits(compression=0, upload=0, connection=0, delay_s=0.1)):
        with monkeypatch.context() as patch:
            patch.setattr(Reporter, "_begin", lost)
            row = await eventually(
                lambda: kernel.row(job), lambda row: row["first_unlink_at"] is not None and row["lease_owner"] is None, "an end"
            )
            assert (row["status"], station.names()) == ("deleting_source", sorted([MARKER, *ALL]))
        await state_is(kernel, job, "completed")
    assert station.names() == [MARKER]


async def test_a_run_that_lost_its_job_leaves_the_marker_to_the_next(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker has taken over the job and relies on the marker, which is the same file."""
    job = await station.job()

    def overtaken(*_: Any) -> Any:
        (station.folder / MARKER).write_text(f"Job ID: {job}\n")
        asyncio.run(taken_over())
        raise Defect

    async def taken_over() -> None:
        connection = await asyncpg.connect(kernel.dsn)
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("UPDATE jobs SET attempt = attempt + 1, lease_owner = 'another' WHERE id = $1", job)
        await connection.close()

    monkeypatch.setattr(deletion, "run", overtaken)
    async with station.lane() as worker:

        async def over() -> bool:
            return (await kernel.row(job))["lease_owner"] == "another" and not worker.running

        await eventually(over, bool, "the run to end")
    assert station.names() == sorted([MARKER, *ALL])


async def test_a_run_that_wakes_up_late_leaves_no_marker_of_a_failed_job(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stopped before its marker had its name. Meanwhile another worker took over, found nothing to delete and failed the job."""
    job = await station.job()
    still, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def stands_still(name: str) -> None:
        if name == "marker.temporary" and not still.is_set():
            loop.call_soon_threadsafe(still.set)
            go_on.wait(60)

    monkeypatch.setattr(faults, "point", stands_still)
    async with station.lane() as late:
        try:
            async with asyncio.timeout(60):
                await still.wait()
            for name in ALL:
                station.put(name, b"another content")
            await kernel.force(job, **EXPIRED)
            async with station.lane():
                await state_is(kernel, job, "failed")
            assert station.names() == ALL
        finally:
            go_on.set()

        async def over() -> bool:
            return not late.running

        await eventually(over, bool, "the late run to end")
    assert station.names() == ALL
    assert (await kernel.row(job))["status"] == "failed"


async def test_a_marker_nobody_can_ask_about_stays(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database refuses, nobody knows whether the deletion has begun. The job waits and does not fail."""
    job = await station.job()
    real = Session.row

    async def refusing(session: Session, name: str, *args: Any, **named: Any) -> Any:
        if name == "lock_deletion":
            raise asyncpg.DiskFullError("could not extend file")
        return await real(session, name, *args, **named)

    def refused(_reporter: Reporter) -> None:
        raise Defect

    begin = Reporter._begin
    monkeypatch.setattr(Session, "row", refusing)
    monkeypatch.setattr(Reporter, "_begin", refused)
    async with station.lane():
        row = await waits(kernel, job, "is not known")
        assert (row["status"], station.names()) == ("deleting_source", sorted([MARKER, *ALL]))
        monkeypatch.setattr(Session, "row", real)
        monkeypatch.setattr(Reporter, "_begin", begin)
        await state_is(kernel, job, "completed")


async def test_a_marker_that_cannot_be_taken_back_keeps_the_job_alive(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed job would leave a full folder that looks archived. The job waits with the reason until the marker is removed."""
    job = await station.job()
    real = marker.remove_own

    def stuck(*_: Any) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    await dies_at(monkeypatch, "deletion.marker_written", station.lane())
    for name in ALL:
        station.put(name, b"another content")
    await kernel.force(job, **EXPIRED)
    monkeypatch.setattr(marker, "remove_own", stuck)
    async with station.lane():
        row = await waits(kernel, job, "marker cannot be removed")
        assert row["status"] == "deleting_source"
        monkeypatch.setattr(marker, "remove_own", real)
        await state_is(kernel, job, "failed")

    assert station.names() == ALL


async def test_a_cancel_while_leased_ends_cancelled(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request comes just before the scanner's step. It releases the job and the gateway cancels it; never failed, nothing deleted."""
    job = await station.job()
    reached, go = asyncio.Event(), asyncio.Event()
    judge = handlers._judge

    async def slowly(*args: Any) -> None:
        await judge(*args)
        reached.set()
        await go.wait()

    monkeypatch.setattr(handlers, "_judge", slowly)
    async with station.lane():
        await reached.wait()
        await kernel.owner.execute("UPDATE jobs SET cancel_requested_by = 'eve' WHERE id = $1", job)
        go.set()
        await eventually(lambda: kernel.row(job), lambda row: row["lease_owner"] is None, "the scanner to let go")
        gateway = await kernel.db("gateway")
        async with gateway.transaction() as session:
            assert [row["id"] for row in await session.rows("cancel_let_go")] == [job]

    assert (await kernel.states(job))[-1] == "cancelled"
    assert (station.names(), await lines(kernel, job, "delete_file")) == (ALL, [])


async def test_a_deletion_whose_workers_die_is_an_alarm(kernel: Kernel, station: Station) -> None:
    """Five crashes fail other jobs. Here they raise an alarm, and the deletion is taken over again."""
    job = await station.job(crash_count=6)
    async with station.lane():
        await state_is(kernel, job, "completed")

    assert "6 times" in (await lines(kernel, job, "crashing"))[0]


async def test_what_goes_wrong_after_the_end_changes_nothing(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the emptied folder fails. The job still completes and logs nothing else."""

    async def broken(_path: str) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(station.catalog, "look_again", broken)
    job = await station.job()
    async with station.lane() as worker:
        await state_is(kernel, job, "completed")

        async def idle() -> bool:
            return not worker.running

        await eventually(idle, bool, "the worker to be done")

    row = await kernel.row(job)
    assert (row["status"], row["error_message"], row["wait_reason"]) == ("completed", None, None)


@pytest.mark.parametrize("where", ["base", "level", "folder", "below", "mounted"])
async def test_what_holds_a_place_of_ours_is_never_emptied(kernel: Kernel, station: Station, where: str) -> None:
    """A service directory appeared after the copy, above the folder or in it. The job fails before its marker; nothing is deleted."""
    job = await station.job()
    if where == "mounted":
        station.tools = msgspec.structs.replace(station.tools, own={"STORAGE_BASE_PATH": station.folder / "deep" / "storage"})
    else:
        above = {"base": station.base, "level": station.folder.parent, "folder": station.folder, "below": station.folder / "deep"}
        apart.mark(above[where])
    async with station.lane():
        row = await state_is(kernel, job, "failed")

    assert "CS Archiver" in row["error_message"]
    assert row["first_unlink_at"] is None
    assert set(station.names()) - {".cs-archiver-place", "deep/.cs-archiver-place"} == set(ALL)


async def test_a_folder_that_our_storage_lies_in_is_refused_on_request(kernel: Kernel, station: Station) -> None:
    """Mounts since the start count: places are compared again at every request."""
    await station.catalog.refresh()
    own = {"STORAGE_BASE_PATH": station.folder / "deep"}
    catalog = Catalog(await kernel.db("scanner"), station.base, 900, own)

    with pytest.raises(PermanentError, match=r"Project is not archived: .*STORAGE_BASE_PATH is .*deep"):
        await catalog.inspect(Inspect(str(station.folder)))
