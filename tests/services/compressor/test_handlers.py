"""The compressor's lane with real engines, file system and 7-Zip: queued -> compressed, every other ending, and every crash."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.compressor import handlers
from shared.errors import PermanentError, Waiting
from shared.files import apart, handles, manifest
from shared.service.rpc import ClockSeen, DestinationState
from tests.services.compressor.station import Station
from tests.services.lanes import EXPIRED, cleaned, dies_at, lines, peer, reserved, state_is, waits
from tests.shared.rows import evidence
from tests.support.kernel import Kernel, eventually


async def test_a_folder_becomes_a_tested_recorded_archive(kernel: Kernel, station: Station) -> None:
    """Each state once; archive and sidecar match the record; the copy is removed; only the archive stays reserved."""
    folder = station.folder("Ä b*[x]'")
    job = await station.job(folder)

    async with station.lane():
        row = await state_is(kernel, job, "compressed")

    assert await kernel.states(job) == ["queued", "copying", "compressing", "verifying", "compressed"]
    archive = Path(row["archive_path"])
    recorded = await kernel.owner.fetchrow("SELECT * FROM archives WHERE job_id = $1", job)
    assert (recorded["attempt"], row["archive_attempt"], row["lease_owner"]) == (1, 1, None)
    assert recorded["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    sidecar = archive.with_name(archive.name + ".manifest.json")
    assert recorded["manifest_sha256"] == hashlib.sha256(sidecar.read_bytes()).hexdigest()
    assert [e.path for e in manifest.unpack(recorded["manifest"], recorded["manifest_sha256"]).entries] == [
        b"",
        b"a.txt",
        b"deep",
        b"deep/b.bin",
    ]
    assert len(station.staged()) == 2
    assert await reserved(kernel, job) == recorded["size"] + recorded["manifest_size"]


@pytest.mark.parametrize("point", ["compressor.copied", "compressor.packed", "compressor.published", "transition.compressed.after"])
async def test_a_killed_compressor_is_followed_by_another(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The next attempt starts anew and leaves one recorded archive and no old files. A commit that was made counts."""
    job = await station.job(station.folder())
    await dies_at(monkeypatch, point, station.lane())
    await kernel.force(job, **EXPIRED)

    async with station.lane():
        row = await state_is(kernel, job, "compressed")

    attempt = 1 if point == "transition.compressed.after" else 2
    archive = f"archives/{job}/{attempt}/Scans.tar.7z"
    assert row["archive_attempt"] == attempt
    assert station.staged() == [archive, f"{archive}.manifest.json"]
    assert await kernel.owner.fetchval("SELECT count(*) FROM archives WHERE job_id = $1", job) == 1


async def test_an_attempt_of_an_older_version_is_followed_by_a_new_one(kernel: Kernel, station: Station) -> None:
    """It was killed before the upgrade. Its unfinished archive, named after the folder, is removed and the job is packed again."""
    job = await station.job(station.folder())
    await kernel.force(job, status="compressing", attempt=1, lease_owner="killed", **EXPIRED)
    old = station.places.archive(job, 1, "Scans")
    old = old.with_name(f"{old.name}.{'a1' * 16}.partial")
    old.parent.mkdir(parents=True)
    old.write_bytes(b"half an archive")

    async with station.lane():
        row = await state_is(kernel, job, "compressed")

    archive = f"archives/{job}/{row['archive_attempt']}/Scans.tar.7z"
    assert (row["archive_attempt"], station.staged()) == (2, [archive, f"{archive}.manifest.json"])


async def test_names_that_the_staging_cannot_hold_are_refused_before_the_copy(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encrypting staging file system takes 143 bytes: for the folder's name with the sidecar's suffix, and for each name in it."""

    def longest(handle: int) -> int:
        return 255 if Path(f"/proc/self/fd/{handle}").readlink().is_relative_to(station.base) else 143

    monkeypatch.setattr(handles, "longest_name", longest)
    held, own, inside = station.folder("h" * 120), station.folder("o" * 123), station.folder()
    (held / ("h" * 143)).write_text("as long as may be")
    (inside / ("i" * 144)).write_text("one byte too long")
    jobs = [await station.job(folder) for folder in (held, own, inside)]

    async with station.lane():
        await state_is(kernel, jobs[0], "compressed")
        failed = [await state_is(kernel, job, "failed") for job in jobs[1:]]

    for row, name in zip(failed, (own.name, "i" * 144), strict=True):
        assert row["error_message"].startswith("The staging's file system takes names of 143 bytes at most")
        assert name in row["error_message"]
        assert await kernel.states(row["id"]) == ["queued", "failed"]


async def test_the_manifest_says_when_each_file_was_read(kernel: Kernel, station: Station) -> None:
    """By the NAS's clock, which the scanner reports, and by the local clock: before the first file was read."""
    stamp = 1_600_000_000 * 10**9

    def told(_question: bytes) -> ClockSeen:
        return ClockSeen(stamp, 4_000_000)

    await peer(kernel, "scanner", "clock", told)
    began = time.time_ns()
    job = await station.job(station.folder())
    async with station.lane():
        await state_is(kernel, job, "compressed")

    recorded = await kernel.owner.fetchrow("SELECT manifest, manifest_sha256 FROM archives WHERE job_id = $1", job)
    made = manifest.unpack(recorded["manifest"], recorded["manifest_sha256"])
    assert made.clock is not None
    assert (made.clock.server_ns, made.clock.granularity_ns) == (stamp, 4_000_000)
    assert abs(made.clock.our_ns - began) < 600 * 10**9
    read = [(entry.read_from_ns, entry.read_to_ns) for entry in made.entries if entry.type == "file"]
    assert all(first is not None and last is not None and began <= first <= last <= time.time_ns() for first, last in read)
    assert not await lines(kernel, job, "clock_unknown")


async def test_without_the_scanner_nobody_knows_the_nas_time(kernel: Kernel, station: Station) -> None:
    """The copy continues. The manifest has no clock, so every file is read again before its deletion."""
    job = await station.job(station.folder())
    async with station.lane():
        await state_is(kernel, job, "compressed")

    recorded = await kernel.owner.fetchrow("SELECT manifest, manifest_sha256 FROM archives WHERE job_id = $1", job)
    assert manifest.unpack(recorded["manifest"], recorded["manifest_sha256"]).clock is None
    assert "The scanner is not running" in (await lines(kernel, job, "clock_unknown"))[0]


@pytest.mark.parametrize("name", [".archived", "Scans-ARCHIVED-TO-GLOBUS.txt"])
async def test_a_folder_with_a_marker_is_not_copied(kernel: Kernel, station: Station, name: str) -> None:
    """The marker came after the request: another installation archived the folder. The job fails before it copies."""
    folder = station.folder()
    job = await station.job(folder)
    (folder / name).write_text("archived by somebody")
    async with station.lane():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")

    assert "archived already" in row["error_message"]
    assert name in row["error_message"]
    assert await kernel.states(job) == ["queued", "failed"]
    assert (row["error_code"], station.staged()) == ("archived-already", [])


async def test_a_marker_that_comes_during_the_copy_fails_the_job(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes the folder like any other file. The check before the next pass recognises it."""
    folder = station.folder()
    real = handlers.copy_tree

    def disturbed(*args: Any, **kwargs: Any) -> Any:
        (folder / "Other-ARCHIVED-TO-GLOBUS.txt").write_text("archived by somebody")
        return real(*args, **kwargs)

    monkeypatch.setattr(handlers, "copy_tree", disturbed)
    job = await station.job(folder)
    async with station.lane():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")

    assert "archived already" in row["error_message"]
    assert len(await lines(kernel, job, "source_changed")) == 1
    assert station.staged() == []


async def test_markers_below_the_top_are_ordinary_files(kernel: Kernel, station: Station) -> None:
    """An archived folder that was moved into this one says nothing about this one."""
    folder = station.folder()
    (folder / "deep" / "Old-ARCHIVED-TO-GLOBUS.txt").write_text("of another folder")
    job = await station.job(folder)
    async with station.lane():
        await state_is(kernel, job, "compressed")


async def test_a_folder_in_use_three_times_fails(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass logs a warning. After the third, the job fails with the sentence, and its space is released."""
    folder = station.folder()
    real, passes = handlers.copy_tree, 0

    def disturbed(*args: Any, **kwargs: Any) -> Any:
        nonlocal passes
        passes += 1
        (folder / f"new {passes}").write_text("written meanwhile")
        return real(*args, **kwargs)

    monkeypatch.setattr(handlers, "copy_tree", disturbed)
    job = await station.job(folder)
    async with station.lane():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")

    assert passes == 3
    assert "in use" in row["error_message"]
    assert len(await lines(kernel, job, "source_changed")) == 3
    assert (station.staged(), await reserved(kernel, job)) == ([], 0)
    assert row["retry_count"] == 0


async def test_a_folder_that_changes_once_is_copied_as_it_became(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second pass scans and reserves again. Its bytes and files are the recorded ones."""
    folder = station.folder()
    real, sums = handlers.copy_tree, []

    def disturbed(*args: Any, **kwargs: Any) -> Any:
        if not sums:
            (folder / "grown").write_bytes(b"x" * 5000)
        sums.append(None)
        return real(*args, **kwargs)

    monkeypatch.setattr(handlers, "copy_tree", disturbed)
    job = await station.job(folder)
    async with station.lane():
        row = await state_is(kernel, job, "compressed")

    recorded = await kernel.owner.fetchrow("SELECT file_count, total_bytes FROM archives WHERE job_id = $1", job)
    assert (
        (row["file_count"], row["folder_size_bytes"])
        == (recorded["file_count"], recorded["total_bytes"])
        == (3, 600 + 10240 + 5000)
    )


async def _compressed_once(kernel: Kernel, station: Station) -> tuple[Any, Path]:
    job = await station.job(station.folder())
    async with station.lane():
        row = await state_is(kernel, job, "compressed")
    await kernel.force(job, status="queued")
    return job, Path(row["archive_path"])


async def test_an_intact_archive_of_an_earlier_attempt_is_used_again(kernel: Kernel, station: Station) -> None:
    """It is hashed again, not made again: queued goes straight to compressed, and the ledger has its space."""
    job, archive = await _compressed_once(kernel, station)
    await kernel.owner.execute("DELETE FROM reservations")

    async with station.lane():
        row = await state_is(kernel, job, "compressed")

    assert (row["attempt"], row["archive_attempt"]) == (2, 1)
    assert (await kernel.states(job))[-2:] == ["compressed", "compressed"]
    assert await reserved(kernel, job) > archive.stat().st_size


@pytest.mark.parametrize("damage", ["archive", "sidecar", "gone"])
async def test_a_damaged_archive_is_made_again(kernel: Kernel, station: Station, damage: str) -> None:
    """After one flipped byte in either file, or with a file missing, the earlier archive is removed and the folder is archived again."""
    job, archive = await _compressed_once(kernel, station)
    broken = archive.with_name(archive.name + ".manifest.json") if damage == "sidecar" else archive
    if damage == "gone":
        broken.unlink()
    else:
        content = bytearray(broken.read_bytes())
        content[len(content) // 2] ^= 1
        broken.write_bytes(content)

    async with station.lane():
        row = await state_is(kernel, job, "compressed")

    assert row["archive_attempt"] == 2
    assert not broken.exists()
    assert Path(row["archive_path"]).exists()


async def test_complete_evidence_never_copies(kernel: Kernel, station: Station) -> None:
    """Nothing local is needed: no source is read or has to exist, and the uploader is not asked."""
    station.answer = PermanentError("nobody should ask")
    job = await kernel.job(source_path=str(station.base / "One" / "Two" / "gone"))
    await kernel.archive(job)
    await evidence(kernel, job)
    await kernel.force(job, attempt=1)

    async with station.lane():
        await state_is(kernel, job, "compressed")

    assert await kernel.states(job) == ["queued", "compressed"]
    assert await lines(kernel, job, "evidence_complete")


async def test_the_destination_is_asked_before_copying(kernel: Kernel, station: Station) -> None:
    """Unknown and no reply both wait. A foreign file fails the job; its own file is no obstacle. Nothing is copied meanwhile."""
    station.answer = DestinationState("unknown", "Globus is away.")
    job = await station.job(station.folder())
    async with station.lane():
        row = await waits(kernel, job, "Globus is away")
        assert (row["status"], row["retry_count"], station.staged()) == ("queued", 0, [])
        station.answer = DestinationState("foreign", "a file of 3 bytes.")
        await kernel.force(job, not_before=EXPIRED["lease_until"])
        row = await state_is(kernel, job, "failed")
        assert "a file of 3 bytes" in row["error_message"]

        station.answer = DestinationState("own")
        await state_is(kernel, await station.job(station.folder("Other")), "compressed")


async def test_without_the_uploader_the_job_waits(kernel: Kernel, tmp_path: Path) -> None:
    """Nobody replies: no retry is used, and the reason is shown."""
    station = Station(kernel, tmp_path)
    await station.open()
    job = await station.job(station.folder())
    async with station.lane():
        row = await waits(kernel, job, "uploader is not running")

    assert (row["status"], row["retry_count"], row["connection_retry_count"]) == ("queued", 0, 0)


async def test_an_unmounted_nas_waits_and_a_gone_folder_fails(kernel: Kernel, station: Station) -> None:
    """Without its sentinel the NAS counts as absent, so no empty folder is archived. A missing folder fails with a sentence."""
    folder = station.folder()
    job = await station.job(folder)
    sentinel = station.base / ".cs-archiver-nas-id"
    sentinel.rename(station.base.parent / "aside")
    async with station.lane():
        assert (await waits(kernel, job, "NAS"))["status"] == "queued"
        folder.rename(folder.with_name("moved"))
        (station.base.parent / "aside").rename(sentinel)
        await kernel.force(job, not_before=EXPIRED["lease_until"])
        row = await state_is(kernel, job, "failed")

    assert row["error_message"] == f"{folder} is gone, or is no plain folder any more."


async def test_what_the_format_cannot_hold_is_refused_before_copying(kernel: Kernel, station: Station) -> None:
    """A FIFO refuses the job. Nothing is reserved and nothing copied."""
    folder = station.folder()
    os.mkfifo(folder / "pipe")
    job = await station.job(folder)
    async with station.lane():
        row = await state_is(kernel, job, "failed")

    assert "pipe" in row["error_message"]
    assert await kernel.states(job) == ["queued", "failed"]
    assert (station.staged(), await reserved(kernel, job)) == ([], 0)


async def test_an_archive_that_is_not_what_was_copied_is_never_handed_over(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is added to the copy. 7-Zip accepts it, the comparison does not. After the retry budget the artefact is in failed/."""
    real = handlers.copy_tree

    def with_more(folder: int, target: Path, *args: Any, **kwargs: Any) -> Any:
        entries = real(folder, target, *args, **kwargs)
        target.chmod(0o700)
        (target / "smuggled").write_text("x")
        return entries

    monkeypatch.setattr(handlers, "copy_tree", with_more)
    job = await station.job(station.folder())
    async with station.lane():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")

    assert "smuggled" in row["error_message"]
    assert row["retry_count"] == 2
    assert await kernel.owner.fetchval("SELECT count(*) FROM archives WHERE job_id = $1", job) == 0
    kept = station.places.failed / str(job)
    assert sorted(path.name for path in kept.iterdir()) == ["3", "error.log"]


async def test_cancel_while_copying_leaves_nothing(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy stops at its next step. Files and reservation are removed; the source is untouched."""
    folder = station.folder()
    real = handlers.copy_tree

    def endless(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        while True:
            kwargs["stop"]()

    monkeypatch.setattr(handlers, "copy_tree", endless)
    job = await station.job(folder)
    async with station.lane():
        await eventually(lambda: _count(station), lambda n: n == 2, "a copy")
        await kernel.owner.execute("UPDATE jobs SET cancel_requested_by = 'eve' WHERE id = $1", job)
        await state_is(kernel, job, "cancelled")
        await cleaned(kernel, job, "compressor")

    assert (station.staged(), await reserved(kernel, job)) == ([], 0)
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "deep"]


async def _count(station: Station) -> int:
    return len(station.staged())


async def test_a_full_disk_waits(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while copying does not fail the job: it is queued again with the reason and uses no retry."""

    def full(*_args: Any, **_kwargs: Any) -> Any:
        raise Waiting("Copying stopped: no space left.")

    monkeypatch.setattr(handlers, "copy_tree", full)
    job = await station.job(station.folder())
    async with station.lane(poll_seconds=60.0):  # it is not checked again meanwhile
        row = await waits(kernel, job, "no space left")

    assert (row["status"], row["retry_count"]) == ("queued", 0)
    assert await kernel.states(job) == ["queued", "copying", "queued"]


@pytest.mark.parametrize("where", ["One", "One/Two/Scans/deep", "mounted"])
async def test_what_holds_a_place_of_ours_is_never_copied(kernel: Kernel, station: Station, where: str) -> None:
    """The check runs again when copying begins, above the folder and in it, by the mark and by the current service directories."""
    folder = station.folder()
    if where == "mounted":
        station.tools = msgspec.structs.replace(station.tools, own={"STORAGE_BASE_PATH": folder / "deep"})
    else:
        apart.mark(station.base / where)
    job = await station.job(folder)
    async with station.lane():
        row = await state_is(kernel, job, "failed")

    assert "CS Archiver" in row["error_message"]
    assert await kernel.states(job) == ["queued", "failed"]
    assert station.staged() == []
