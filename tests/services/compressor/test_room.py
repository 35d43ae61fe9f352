"""Space for workspace jobs: totals, limits of entries and inodes, and no connection held while a disk is read."""

import asyncio
import errno
import os
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.compressor import publication
from services.compressor.emptying import removed
from services.compressor.expiry import Expiry
from services.compressor.publication import Plan
from services.compressor.workspace import withdraw
from shared.archiving import engine
from shared.domain.requests import CompressRequest, ExtractRequest, PackRequest
from shared.files import trees, usage
from shared.files.manifest import Entry, Manifest
from shared.files.manifest_deletion import NEW, Kept
from shared.files.paths import Root
from shared.files.trees import Measured
from shared.files.usage import Usages
from shared.infra.db import CONNECTIONS_PER_PROCESS, POOL_SIZE
from shared.service import jobs
from tests.services.compressor.station import Station, disk
from tests.services.compressor.workroom import Workroom
from tests.services.lanes import cleaned, reserved, state_is, waits
from tests.support.kernel import Kernel, eventually
from tests.support.stuck import Stuck


async def walked(kernel: Kernel, room: Workroom) -> None:
    """Measure the workspace and treat it as large from now on: only jobs change its total."""
    await Usages(await kernel.db("compressor"), room.tools.bench.workspaces)._walk(room.owner, None, asyncio.to_thread)


async def total(kernel: Kernel, room: Workroom) -> Measured:
    return (await usage.known(await kernel.db("compressor"), room.owner)).amount


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every workspace as large: no walk runs before an answer."""
    monkeypatch.setattr(usage, "SMALL_ENTRIES", 0)


def zipped(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, name)


async def test_jobs_keep_the_total(kernel: Kernel, room: Workroom, large: None) -> None:
    """A pack, the deletion of its folder, an extraction into new folders, an expired pack: the total always equals a walk's."""
    room.folder("Scans")
    room.folder("Kept")
    await walked(kernel, room)
    pack = await room.job(PackRequest(root=Root.WORKSPACE, path="Scans", format="zip", level=1), keep_source=False)
    kept = await room.job(PackRequest(root=Root.WORKSPACE, path="Kept", format="7z", level=1))
    volumes = CompressRequest(root=Root.WORKSPACE, paths=["Kept"], output="v.7z", format="7z", level=1, volume_bytes=1 << 20)
    async with room.lanes():
        for job in (pack, kept, await room.job(volumes)):
            await state_is(kernel, job, "completed")
        seen = await total(kernel, room)
        await walked(kernel, room)
        assert await total(kernel, room) == seen

        job = await room.job(ExtractRequest(root=Root.WORKSPACE, path="Scans.zip", destination="new/deep"))
        await state_is(kernel, job, "completed")
        seen = await total(kernel, room)
        await walked(kernel, room)
        found = await total(kernel, room)
        assert (found.total_bytes, found.entries) == (seen.total_bytes, seen.entries)

    await kernel.force(kept, completed_at=datetime.now(UTC) - timedelta(days=8))
    made = room.home / "Kept.7z"
    os.utime(made, (made.stat().st_atime, made.stat().st_mtime - 8 * 86400))
    await Expiry(await kernel.db("compressor"), room.tools.bench, days=7).run_now()
    assert not made.exists()
    seen = await total(kernel, room)
    await walked(kernel, room)
    assert await total(kernel, room) == seen


def test_folders_count_as_kept_where_a_file_is() -> None:
    """When in doubt, too little is subtracted, not too much."""
    facts: dict[str, Any] = {"mode": 0o700, "mtime_ns": 0, "ctime_ns": 0, "inode": 1, "uid": 0, "gid": 0, "links": 1}
    entries = [
        Entry(path=b"", type="directory", size=0, **facts),
        Entry(path=b"a", type="file", size=10, **facts),
        Entry(path=b"b", type="file", size=200, **facts),
    ]
    document = Manifest("folder", "/folder", entries, [])
    assert removed(document, []) == (210, 2, 3)
    assert removed(document, [Kept(b"b", "changed")]) == (10, 1, 1)
    assert removed(document, [Kept(b"c", NEW)]) == (210, 2, 2)


async def test_an_archive_with_too_many_entries_is_refused(kernel: Kernel, room: Workroom) -> None:
    """Folders that exist only in paths count. Nothing is unpacked or stays reserved. With enough room it is unpacked."""
    zipped(room.home / "a.zip", "x/y/one", "x/y/two")
    room.tools.room.entries = 6  # the archive itself plus five
    refused = await room.job(ExtractRequest(root=Root.WORKSPACE, path="a.zip", destination="new/deep"))
    async with room.lanes():
        row = await state_is(kernel, refused, "failed")
        await cleaned(kernel, refused, "compressor")
        assert row["error_message"] == (
            "Too many files: this adds 6 files and folders, and 5 more are possible (your workspace may hold 6)."
            " Delete some, or ask an admin for a higher limit."
        )
        assert (room.files(), room.leftovers(), await reserved(kernel, refused)) == (["a.zip"], [], 0)
        room.tools.room.entries = 7
        job = await room.job(ExtractRequest(root=Root.WORKSPACE, path="a.zip", destination="new/deep"))
        await state_is(kernel, job, "completed")
    assert len(room.files()) == 7


async def test_an_archive_that_gets_more_entries_after_it_was_looked_into(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most the reserved number of entries is unpacked."""
    zipped(room.home / "a.zip", "one", "two")
    reserve = room.tools.room.reserve

    async def swapped(work: Any, need: Any) -> None:
        await reserve(work, need)
        zipped(room.home / "a.zip", "one", "two", "three")

    monkeypatch.setattr(room.tools.room, "reserve", swapped)
    job = await room.job(ExtractRequest(root=Root.WORKSPACE, path="a.zip", destination=""))
    async with room.lanes():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")
    assert "more than 2 entries" in row["error_message"]
    assert (room.files(), room.leftovers()) == (["a.zip"], [])


async def test_an_extraction_waits_for_inodes(kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits before the first file is written. Other reservations count as used. It continues when there are enough inodes."""
    zipped(room.home / "a.zip", "one", "two")
    other = await room.job(ExtractRequest(root=Root.WORKSPACE, path="b.zip", destination=""), owner=(await room.user("eve"))[0])
    promise = "INSERT INTO reservations (job_id, filesystem, bytes, entries) VALUES ($1, $2, 0, 10)"
    await kernel.owner.execute(promise, other, room.tools.room._ledger.workspaces)
    await kernel.force(other, paused=True)
    disk(monkeypatch, free=1 << 40, inodes=100, free_inodes=12)
    job = await room.job(ExtractRequest(root=Root.WORKSPACE, path="a.zip", destination=""))
    async with room.lanes():
        row = await waits(kernel, job, "1 more file or folder (inodes)")
        assert (row["status"], row["missing_bytes"], room.files()) == ("queued", 0, ["a.zip"])
        disk(monkeypatch, free=1 << 40, inodes=100, free_inodes=13)
        await state_is(kernel, job, "completed")


async def test_a_disk_that_runs_out_of_inodes_is_waited_for(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others used them during the extraction. The reason names inodes, not bytes, because there are enough bytes."""
    zipped(room.home / "a.zip", "one")

    async def full(*_: Any, **__: Any) -> None:
        disk(monkeypatch, free=1 << 40, inodes=100, free_inodes=0)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(engine, "extract", full)
    job = await room.job(ExtractRequest(root=Root.WORKSPACE, path="a.zip", destination=""))
    async with room.lanes():
        await waits(kernel, job, "must take 1 more file or folder (inodes)")


async def test_a_copy_waits_for_inodes(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive job needs one inode per entry of its folder. A file system that can never have so many fails it with a sentence."""
    disk(monkeypatch, free=1 << 40, inodes=100, free_inodes=3)
    job = await station.job(station.folder())
    async with station.lane():
        row = await waits(kernel, job, "more files and folders (inodes)")
        assert row["status"] == "queued"
        disk(monkeypatch, free=1 << 40, inodes=3, free_inodes=3)
        assert "even empty that file system takes 3" in (await state_is(kernel, job, "failed"))["error_message"]


async def idle_connections(kernel: Kernel) -> int:
    """Return the compressor's connections that hold a transaction open and are idle in it."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cs_compressor' AND state = 'idle in transaction'"
    query += " AND datname = current_database()"
    return int(await kernel.owner.fetchval(query))


async def test_a_walk_holds_no_connection(kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, stuck: Stuck) -> None:
    """None is held while a small workspace is walked, however slowly, or while its disk is queried."""
    (room.home / "big").write_bytes(b"x" * 1000)
    monkeypatch.setattr(trees, "measure_up_to", lambda *_: stuck() or usage.NOTHING)
    job = await room.job(CompressRequest(root=Root.WORKSPACE, paths=["big"], output="big.zip", format="zip", level=1))
    async with room.lanes():
        await eventually(lambda: asyncio.sleep(0, stuck.waiting), bool, "the walk")
        assert await idle_connections(kernel) == 0
        stuck.go.set()
        await state_is(kernel, job, "completed")


async def test_what_is_taken_back_slowly_holds_no_pooled_connection(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, stuck: Stuck
) -> None:
    """All unpacked files are checked under the lock of names. The pool stays free for leases and other jobs."""
    monkeypatch.setattr(publication, "take_back", lambda *_: stuck() or [])
    db = await kernel.db("compressor")
    job = await jobs.load(db, await room.job(ExtractRequest(root=Root.WORKSPACE, path="a.zip", destination="")))
    assert job is not None
    plan = Plan(directory="", pieces=[], newest_ns=0, result={})
    waiting = [
        asyncio.ensure_future(
            withdraw(db, room.tools.bench, msgspec.structs.replace(job, created_by_id=owner), 1, plan, asyncio.to_thread)
        )
        for owner in [room.owner, *[(await room.user(f"user{number}"))[0] for number in range(db.size)]]
    ]
    most = CONNECTIONS_PER_PROCESS - POOL_SIZE - 1  # the others wait without a connection
    await eventually(lambda: asyncio.sleep(0, stuck.waiting), lambda n: n == most, "as many taken back as may be at once")
    assert db._pool.get_size() - db._pool.get_idle_size() == 0
    assert await db.value("ping") is not None
    stuck.go.set()
    await asyncio.gather(*waiting)


async def test_two_packs_at_once_get_two_names(kernel: Kernel, room: Workroom) -> None:
    """The name is chosen without a connection and checked again under the lock."""
    jobs = []
    for parent in "abcd":
        room.folder(f"{parent}/Same")
        jobs.append(await room.job(PackRequest(root=Root.WORKSPACE, path=f"{parent}/Same", format="zip", level=1)))
    async with room.lanes(limit=4):
        for job in jobs:
            await state_is(kernel, job, "completed")
    assert sorted(path.name for path in room.home.glob("*.zip")) == ["Same.zip", "Same_1.zip", "Same_2.zip", "Same_3.zip"]
