"""The catalog of folders: scan the NAS on a schedule and on request, and store the result in Postgres."""

import asyncio
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from services.scanner import discovery
from services.scanner.discovery import FolderFacts, Scan
from services.scanner.rows import Folder, Scanned
from shared import log, units
from shared.errors import ArchiverError, Fenced, PermanentError, Waiting
from shared.files import apart, mount
from shared.files.clocks import Stamp
from shared.infra.db import Database
from shared.service.rpc import ClockSeen, Inspect, Inspected, Refreshed

logger = log.get(__name__)

_AGAIN_SECONDS = 10.0  # after a scan that failed


class Catalog:
    """One base directory and its folders."""

    def __init__(self, db: Database, base: Path, interval_s: float, own: Mapping[str, Path] = MappingProxyType({})) -> None:
        """own: our own directories, by the name of their setting."""
        self._db = db
        self._own = own
        self._base = base
        self._interval_s = interval_s
        self._running: asyncio.Task[Refreshed] | None = None
        self._stopping = threading.Event()
        self._tuned = asyncio.Event()

    async def known(self) -> str:
        """Return the id of the known NAS. Raises Waiting when no scan has seen it.

        Deletions use this method, because it never creates or adopts an id.
        """
        sentinel = await self._db.value("nas_sentinel", str(self._base))
        if sentinel is None:
            raise Waiting(f"The NAS at {self._base} has not been scanned yet.", 5.0)
        return str(sentinel)

    async def sentinel(self) -> str:
        """Return the id that the mounted NAS must show. Create or adopt it when that is safe.

        Raises Waiting when the NAS is not there.
        """
        known = await self._db.value("nas_sentinel", str(self._base))
        may_adopt = not await self._db.value("any_live_job")
        found = await asyncio.to_thread(mount.ensure_sentinel, self._base, known, may_adopt)
        if found != known:
            await self._db.run("remember_nas", str(self._base), found)
            logger.info("nas_adopted", message=f"The NAS at {self._base} is known by {found} from now on.")
        return found

    async def keep_fresh(self) -> None:
        """Scan repeatedly, with pauses, until cancelled."""
        try:
            while True:
                failed = False
                try:
                    await self.refresh()
                except (ArchiverError, OSError) as exc:
                    logger.warning("scan_failed", message=f"The scan could not be made: {exc}")
                    failed = True
                except Exception:
                    # An unforeseen folder must not end this service, which also deletes.
                    logger.exception("scan_failed", message="The scan could not be made.")
                await self._pause(failed=failed)
        finally:
            self._stopping.set()

    def tune(self, interval_s: float) -> None:
        """Change the pause between scans, including the current one."""
        self._interval_s = interval_s
        self._tuned.set()

    async def _pause(self, *, failed: bool) -> None:
        """Wait until the next scan is due. A change of the interval applies at once."""
        began = time.monotonic()
        while (left := began + (min(_AGAIN_SECONDS, self._interval_s) if failed else self._interval_s) - time.monotonic()) > 0:
            self._tuned.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):  # not wait_for: before Python 3.12 it may lose a cancellation
                    await self._tuned.wait()

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise Fenced("The service is stopping.")

    async def refresh(self) -> Refreshed:
        """Scan now, or wait for the scan that is running. Raises Waiting when the NAS is not there."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._scan())
        return await asyncio.shield(self._running)

    async def _scan(self) -> Refreshed:
        sentinel = await self.sentinel()
        since: datetime = await self._db.value("now")
        began = time.monotonic()
        scan = await asyncio.to_thread(
            discovery.scan, self._base, self._go_on, lambda handle: mount.check_mounted(handle, self._base, sentinel)
        )
        result = await self._record(scan, since, time.monotonic() - began)
        logger.info(
            "scanned", message=f"Saw {units.counted(len(scan.folders), 'folder')}.", seconds=round(time.monotonic() - began, 3)
        )
        return result

    async def _record(self, scan: Scan, since: datetime, seconds: float) -> Refreshed:
        async with self._db.transaction() as session:
            unreadable = [{"path": u.path, "reason": u.reason} for u in scan.unreadable]
            recorded = await session.one(Scanned, "record_scan", str(self._base), seconds, len(scan.folders), unreadable)
            assert recorded is not None
            # A folder that was scanned again after this scan began (because it was just emptied, say) is newer than what this scan
            # saw.
            await session.run("record_folders", **_columns(scan.folders), seen_at=recorded.finished_at, newer_than=since)
            await session.run("forget_folders", since)
        return Refreshed(recorded.id, recorded.finished_at, len(scan.folders))

    async def look_again(self, path: str) -> None:
        """Scan one folder now: after a deletion, or before a job."""
        level1, level2, name = discovery.levels(self._base, path)
        facts = await asyncio.to_thread(discovery.scan_folder, self._base, level1, level2, name)
        if facts is None:
            await self._db.run("forget_folder", path)
        else:
            now: datetime = await self._db.value("now")
            await self._db.run("record_folders", **_columns([facts]), seen_at=now, newer_than=now)

    async def clock(self) -> ClockSeen:
        """Return the NAS's time.

        Raises Waiting when the NAS is not there, PermanentError when the scanner may not touch the file with the NAS's id.
        """
        stamp = await asyncio.to_thread(self._stamp, await self.known())
        return ClockSeen(stamp.server_ns, stamp.granularity_ns)

    def _stamp(self, sentinel: str) -> Stamp:
        with mount.opened(self._base) as handle:
            mount.check_mounted(handle, self._base, sentinel)
            try:
                return mount.stamp(handle)
            except OSError as exc:
                raise PermanentError(
                    f"The scanner may not touch {self._base / mount.SENTINEL} to learn the NAS's time ({exc.strerror}). Make its account"
                    " the owner of that file."
                ) from exc

    async def inspect(self, question: Inspect) -> Inspected:
        """Check whether this folder may be archived. Raises PermanentError with the reason, Waiting when the NAS is not there."""
        identity = await asyncio.to_thread(self._inspect, question.path, await self.known())
        known = await self._db.one(Folder, "folder", identity.path)
        return Inspected(
            path=identity.path,
            name=identity.name,
            level1=identity.level1,
            level2=identity.level2,
            device=identity.device,
            inode=identity.inode,
            size_bytes=known.size_bytes if known else None,
            file_count=known.file_count if known else None,
        )

    def _inspect(self, path: str, sentinel: str) -> discovery.FolderIdentity:
        with mount.opened(self._base) as handle:
            mount.check_mounted(handle, self._base, sentinel)
        identity = discovery.inspect(self._base, path)
        apart.refuse_overlap(Path(identity.path), self._own)
        return identity


def _columns(folders: list[FolderFacts]) -> dict[str, list[Any]]:
    return {
        "paths": [f.path for f in folders],
        "names": [f.name for f in folders],
        "level1s": [f.level1 for f in folders],
        "level2s": [f.level2 for f in folders],
        "sizes": [f.size_bytes for f in folders],
        "file_counts": [f.file_count for f in folders],
        "modified": [f.modified_at_ns / 1e9 for f in folders],
        "archived": [f.is_archived for f in folders],
        "ignored": [f.ignored for f in folders],
        "unreadable": [f.unreadable for f in folders],
    }
