"""The catalog: scans on request and on schedule, reports of unreadable folders, and the identity of the NAS."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.scanner import discovery
from services.scanner.catalog import Catalog
from shared.errors import PermanentError, Waiting
from shared.files import mount
from shared.service.rpc import Inspect
from tests.services.scanner.emptying import NAS_ID
from tests.services.scanner.station import Station
from tests.support.kernel import Kernel, eventually

SENTINEL = "SELECT sentinel::text FROM nas_bases"


async def _scans(kernel: Kernel) -> int:
    return int(await kernel.owner.fetchval("SELECT count(*) FROM scans"))


class _Slow:
    """A scan that starts, reads the folders, and then waits to be released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.go, self.count = asyncio.Event(), asyncio.Event(), 0
        self._real, self._loop = discovery.scan, asyncio.get_running_loop()
        monkeypatch.setattr(discovery, "scan", self._scan)

    def _scan(self, *args: Any) -> Any:
        self.count += 1
        seen = self._real(*args)
        self._loop.call_soon_threadsafe(self.began.set)
        asyncio.run_coroutine_threadsafe(self.go.wait(), self._loop).result(60)
        return seen


async def test_a_scan_records_folders_and_forgets_what_is_gone(kernel: Kernel, station: Station) -> None:
    """Sizes and counts are the folder's. A folder that vanished is no longer offered."""
    answer = await station.catalog.refresh()
    row = await kernel.owner.fetchrow("SELECT * FROM folders")
    assert (row["path"], row["file_count"], row["is_archived"]) == (str(station.folder), 2, False)
    assert row["size_bytes"] == sum(path.stat().st_size for path in station.folder.rglob("*") if path.is_file())
    assert answer.folder_count == 1

    station.folder.rename(station.root / "away")
    await station.catalog.refresh()
    assert await kernel.owner.fetchval("SELECT count(*) FROM folders") == 0


async def test_a_refresh_joins_the_running_scan(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten users press the button: one scan, one result."""
    slow = _Slow(monkeypatch)
    asked = [asyncio.create_task(station.catalog.refresh()) for _ in range(10)]
    await slow.began.wait()
    slow.go.set()
    answers = await asyncio.gather(*asked)

    assert (slow.count, len({answer.scan_id for answer in answers}), await _scans(kernel)) == (1, 1, 1)


async def test_a_folder_emptied_during_a_scan_is_not_offered_again(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan saw a full folder, but a newer check found it empty. The newer check counts."""
    await station.catalog.refresh()
    slow = _Slow(monkeypatch)
    scanning = asyncio.create_task(station.catalog.refresh())
    await slow.began.wait()
    (station.folder / "Project-ARCHIVED-TO-GLOBUS.txt").write_text("x")
    await station.catalog.look_again(str(station.folder))
    slow.go.set()
    await scanning

    assert await kernel.owner.fetchval("SELECT is_archived FROM folders")


@asynccontextmanager
async def _on_schedule(catalog: Catalog) -> AsyncIterator[None]:
    task = asyncio.create_task(catalog.keep_fresh())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_scans_come_by_themselves_and_survive_whatever_happens(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They repeat after the interval. An unmounted NAS or even a defect costs only one scan."""
    catalog = Catalog(await kernel.db("scanner"), station.base, 0.05)
    async with _on_schedule(catalog):
        await eventually(lambda: _scans(kernel), lambda n: n >= 3, "three scans")
        station.unmount()
        station.mount()
        with monkeypatch.context() as patch:
            failed = asyncio.Event()

            def defect(*_: Any) -> Any:
                asyncio.run_coroutine_threadsafe(_set(failed), loop)
                raise ValueError("a folder nobody foresaw")

            loop = asyncio.get_running_loop()
            patch.setattr(discovery, "scan", defect)
            await asyncio.wait_for(failed.wait(), 60)
        before = await _scans(kernel)
        await eventually(lambda: _scans(kernel), lambda n: n > before, "another scan")


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_what_cannot_be_read_is_listed(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreadable level is in the scan's row, a folder's own error in the folder's row."""
    real = os.open
    closed = station.base / "closed"
    closed.mkdir()

    def denied(path: Any, *args: Any, **kwargs: Any) -> int:
        if os.fsdecode(path) in {"closed", "deep"} and not isinstance(path, int):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", denied)
    await station.catalog.refresh()

    listed = await kernel.owner.fetchval("SELECT unreadable::text FROM scans")
    assert str(closed) in listed
    assert "deep" in await kernel.owner.fetchval("SELECT unreadable FROM folders")


async def test_names_that_are_no_text_stop_no_scan(kernel: Kernel, station: Station) -> None:
    """A folder in Latin-1 on level 3: the others are still listed."""
    (station.folder.parent / os.fsdecode(b"caf\xe9")).mkdir()
    await station.catalog.refresh()

    assert await kernel.owner.fetchval("SELECT count(*) FROM folders WHERE path = $1", str(station.folder)) == 1


async def test_another_nas_is_adopted_only_without_live_jobs(kernel: Kernel, station: Station) -> None:
    """A live job depends on the known NAS: with one, another NAS waits. Without one, it is adopted."""
    (station.base / mount.SENTINEL).write_text(str(uuid.UUID(int=9)))
    job = await station.job()
    with pytest.raises(Waiting):
        await station.catalog.refresh()
    assert await kernel.owner.fetchval(SENTINEL) == NAS_ID

    await kernel.force(job, status="completed")
    await station.catalog.refresh()
    assert await kernel.owner.fetchval(SENTINEL) == str(uuid.UUID(int=9))


async def test_inspect_says_what_a_folder_is_or_why_not(kernel: Kernel, station: Station) -> None:
    """It returns identity and the sizes of the last scan. It refuses an archived folder and a level 2, and waits for an unmounted NAS."""
    answer = await station.catalog.inspect(Inspect(str(station.folder)))
    facts = station.folder.stat()
    assert (answer.device, answer.inode, answer.size_bytes) == (facts.st_dev, facts.st_ino, None)
    await station.catalog.refresh()
    assert (await station.catalog.inspect(Inspect(str(station.folder)))).file_count == 2

    with pytest.raises(PermanentError):
        await station.catalog.inspect(Inspect(str(station.folder.parent)))
    (station.folder / "Project-ARCHIVED-TO-GLOBUS.txt").write_text("x")
    with pytest.raises(PermanentError):
        await station.catalog.inspect(Inspect(str(station.folder)))
    station.unmount()
    with pytest.raises(Waiting):
        await station.catalog.inspect(Inspect(str(station.folder)))


async def test_the_nas_tells_its_time(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """It uses the NAS's own timestamps, only while mounted. Where the scanner may not touch the id, it says what to do."""
    with pytest.raises(Waiting, match="has not been scanned"):
        await Catalog(await kernel.db("scanner"), station.root / "elsewhere", 900).clock()
    seen = await station.catalog.clock()
    later = await station.catalog.clock()
    assert seen.granularity_ns > 0
    assert later.server_ns >= seen.server_ns
    assert later.server_ns == (station.base / mount.SENTINEL).stat().st_ctime_ns

    def refused(_handle: int) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mount, "stamp", refused)
    with pytest.raises(PermanentError, match="owner of that file"):
        await station.catalog.clock()
    station.unmount()
    with pytest.raises(Waiting, match="not mounted"):
        await station.catalog.clock()
