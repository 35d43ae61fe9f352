"""What ended jobs leave on the staging disks: what is kept, what is removed and when. A retry in between loses nothing."""

import errno
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from services.compressor import staging
from services.compressor.cleanup import Cleaner
from tests.services.compressor.station import Station
from tests.services.lanes import EXPIRED, lines, reserved
from tests.support.folders import below
from tests.support.kernel import Kernel

NOW = EXPIRED["lease_until"]


async def _left(kernel: Kernel, station: Station, status: str, recorded: bool = False, made: str = "", **columns: Any) -> UUID:
    """Create a job of two attempts: a copy and a half-made archive (`made`) of the second, and an archive of the first."""
    path = columns.pop("source_path", f"/nas/One/Two/{status}")
    job = await kernel.job(source_path=path, destination_path=f"{path}.tar.7z", folder_name="Scans")
    first = station.places.archive(job, 1, "Scans")
    unfinished = station.places.archive(job, 2, "Scans")
    for file in (first, unfinished.with_name(made or unfinished.name), station.places.copy(job, 2, "Scans") / "a"):
        file.parent.mkdir(parents=True)
        file.write_text("x")
    if recorded:
        await kernel.archive(job, archive_path=str(first))
    await kernel.owner.execute("INSERT INTO reservations VALUES ($1, 'x', 5000, 0)", job)
    await kernel.force(job, **{"status": status, "attempt": 2, "completed_at": NOW, **columns})
    return job


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in below(root) if path.is_file() and not path.name.startswith(".cs-"))


async def test_a_failed_jobs_artefacts_go_to_failed_with_its_log(kernel: Kernel, station: Station) -> None:
    """Untested artefacts of every attempt are moved under the job's name, the copy is removed, error.log records the reason."""
    job = await _left(kernel, station, "failed")
    await kernel.owner.execute("INSERT INTO job_logs (job_id, level, action, message) VALUES ($1, 'ERROR', 'x', 'it broke')", job)

    await station.cleaner.settle(job)

    assert station.staged() == []
    assert _files(station.places.failed) == [f"{job}/{name}" for name in ("1/Scans.tar.7z", "2/Scans.tar.7z", "error.log")]
    assert "ERROR it broke" in (station.places.failed / str(job) / "error.log").read_text()
    assert await reserved(kernel, job) == 0


@pytest.mark.parametrize("made", [f"{'a1' * 16}.partial", f"Scans.tar.7z.{'a1' * 16}.partial"], ids=["new", "before the upgrade"])
async def test_unfinished_archives_go_whatever_their_name(kernel: Kernel, station: Station, made: str) -> None:
    """Older versions named them after the folder. A failed job's are moved to failed/; a cancelled or waiting job's are removed."""
    failed = await _left(kernel, station, "failed", made=made)
    cancelled = await _left(kernel, station, "cancelled", made=made)
    waiting = await _left(kernel, station, "queued", made=made, completed_at=None)

    await station.cleaner.settle(failed)
    await station.cleaner.settle(cancelled)
    await station.cleaner.sweep_now()

    assert station.staged() == []
    assert f"{failed}/2/{made}" in _files(station.places.failed)
    assert await reserved(kernel, waiting) == 0


async def test_a_tested_archive_survives_failure_and_stays_reserved(kernel: Kernel, station: Station) -> None:
    """It is kept for a retry. Only the untested archive is moved away."""
    job = await _left(kernel, station, "failed", recorded=True)

    await station.cleaner.settle(job)

    assert station.staged() == [f"archives/{job}/1/Scans.tar.7z"]
    assert await reserved(kernel, job) == 110  # the recorded sizes of the archive and the sidecar


async def test_a_cancelled_job_keeps_nothing(kernel: Kernel, station: Station) -> None:
    """Nothing is moved to failed/. The uploader removes a recorded archive, because its task may still read it. No space is held."""
    job = await _left(kernel, station, "cancelled", recorded=True)

    await station.cleaner.settle(job)

    assert station.staged() == [f"archives/{job}/1/Scans.tar.7z"]
    assert _files(station.places.failed) == []
    assert await reserved(kernel, job) == 0


async def test_a_newer_attempt_is_never_touched(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean-up or a sweep was decided before a retry. The files that attempt 3 writes stay, in temp and in archives."""
    job = await _left(kernel, station, "failed", completed_at=NOW - timedelta(days=40))
    newer = [station.places.archive(job, 3, "Scans"), station.places.copy(job, 3, "Scans") / "a"]
    for file in newer:
        file.parent.mkdir(parents=True)
        file.write_text("new")

    await station.cleaner.settle(job)
    await kernel.owner.execute("DELETE FROM cleanups")
    await station.cleaner.sweep_now()

    assert station.staged() == [f"archives/{job}/3/Scans.tar.7z", f"temp/{job}/3/Scans/a"]


async def test_links_of_a_killed_reader_are_swept(station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed reader leaves a folder of links to an archive's volumes. The sweep removes it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / "cs-archiver-volumes-dead"
    dead.mkdir()
    (dead / "a.7z.001").symlink_to("/proc/self/fd/5")
    os.utime(dead, (0, 0))

    await station.cleaner.sweep_now()

    assert not dead.exists()


async def test_failed_on_another_disk_and_failed_that_is_full(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Artefacts are moved across disks. Where a move is impossible they are removed, and the clean-up still ends."""
    job = await _left(kernel, station, "failed")

    def other_disk(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", other_disk)
    await station.cleaner.settle(job)
    assert f"{job}/2/Scans.tar.7z" in _files(station.places.failed)

    again = await _left(kernel, station, "failed", source_path="/nas/One/Two/again")
    station.places.failed.joinpath(str(again)).mkdir()
    station.places.failed.joinpath(str(again), "2").write_text("in the way")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("shutil.copytree", lambda *_, **__: (_ for _ in ()).throw(full))
    await station.cleaner.settle(again)
    assert station.staged() == []
    assert _files(station.places.failed / str(again)) == ["error.log"]


async def test_retention(kernel: Kernel, station: Station) -> None:
    """After FAILED_RETENTION_DAYS, and not before, a failed job's archive, log and reservation are removed. The job's log says so."""
    young = await _left(kernel, station, "failed", recorded=True, completed_at=NOW - timedelta(days=29))
    old = await _left(
        kernel, station, "failed", recorded=True, completed_at=NOW - timedelta(days=31), source_path="/nas/One/Two/old"
    )
    for job in (young, old):
        await station.cleaner.settle(job)
    await kernel.owner.execute("DELETE FROM cleanups")

    await station.cleaner.sweep_now()

    assert station.staged() == [f"archives/{young}/1/Scans.tar.7z"]
    assert not (station.places.failed / str(old)).exists()
    assert (station.places.failed / str(young) / "error.log").exists()
    assert (await reserved(kernel, old), await reserved(kernel, young)) == (0, 110)
    assert await lines(kernel, old, "delete_archive") == ["Removed the archive of this failed job from staging."]


async def test_leftovers_of_other_endings_go_at_once(kernel: Kernel, station: Station) -> None:
    """Files that a completed or cancelled job left (a kill during its own removal) are removed without any retention."""
    for status in ("completed", "cancelled"):
        await _left(kernel, station, status, recorded=status == "completed")
    await kernel.owner.execute("DELETE FROM cleanups")

    await station.cleaner.sweep_now()

    assert station.staged() == []


async def test_a_job_back_in_the_queue_holds_back_nothing(kernel: Kernel, station: Station) -> None:
    """An interrupted attempt's files and reservation are removed while the job waits. Its recorded archive and a running job are kept."""
    waiting = await _left(kernel, station, "queued", recorded=True)
    at_work = await _left(
        kernel, station, "queued", lease_owner="x", lease_until=NOW + timedelta(days=36_500), source_path="/nas/One/Two/busy"
    )

    await station.cleaner.sweep_now()

    assert [file for file in station.staged() if str(waiting) in file] == [f"archives/{waiting}/1/Scans.tar.7z"]
    assert len([file for file in station.staged() if str(at_work) in file]) == 3
    assert (await reserved(kernel, waiting), await reserved(kernel, at_work)) == (0, 5000)


async def test_what_is_not_ours_stays(kernel: Kernel, station: Station) -> None:
    """The sweep skips names that belong to no job, and jobs that still owe a clean-up."""
    (station.places.temp / "notes").write_text("mine")
    (station.places.temp / "00000000-0000-4000-8000-000000000000").mkdir()
    owing = await _left(kernel, station, "completed")
    await kernel.owner.execute("INSERT INTO cleanups (job_id, role) VALUES ($1, 'compressor')", owing)

    await station.cleaner.sweep_now()

    assert "temp/notes" in station.staged()
    assert any(str(owing) in file for file in station.staged())
    assert (station.places.temp / "00000000-0000-4000-8000-000000000000").exists()


async def test_a_sweep_that_fails_stops_no_lane(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep runs beside the lane, logs its errors in the service's log, and runs again later."""

    async def broken(_: Cleaner) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Cleaner, "sweep_now", broken)
    await station.cleaner.sweep()
    assert station.cleaner._sweeping is not None
    await station.cleaner._sweeping


async def test_one_leftover_that_cannot_be_removed_keeps_no_other(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy is on a damaged disk and a root cannot be listed. The same sweep removes everything else."""
    stuck, other = [await _left(kernel, station, "completed", source_path=f"/nas/One/Two/{name}") for name in ("stuck", "other")]
    shutil.rmtree(station.places.failed)
    real = staging.remove

    def remove(path: Path, stop: Any) -> None:
        if path.is_relative_to(station.places.temp / str(stuck)):
            raise OSError(errno.EIO, "Input/output error", str(path))
        real(path, stop)

    monkeypatch.setattr(staging, "remove", remove)

    with capture_logs() as logs:
        await station.cleaner.sweep_now()
        await station.cleaner.sweep_now()

    assert station.staged() == [f"temp/{stuck}/2/Scans/a"]
    assert [await reserved(kernel, job) for job in (stuck, other)] == [0, 0]
    assert [line["row"] for line in logs if line["event"] == "row_left_out"] == [
        f"({station.places.temp!r}, {stuck!r})",
        str(station.places.failed),
    ]
