"""Remove packs that kept their source after `pack_retention_days`. Other packs are the only copy and are never removed."""

import asyncio
import os
import threading
import time
from datetime import datetime
from uuid import UUID

from services.compressor import workspace
from services.compressor.rows import OldPack
from services.compressor.workbench import Workbench
from shared import log, units
from shared.errors import ArchiverError, Fenced
from shared.files import handles, usage
from shared.infra.db import Database
from shared.isolation import Isolation

logger = log.get(__name__)

_EVERY_SECONDS = 60.0
_BATCH = 100
_FAILURES: tuple[type[Exception], ...] = (ArchiverError, OSError)


class Expiry:
    """Removes expired packs. `days`: how long finished packs are kept; 0 keeps them permanently."""

    def __init__(self, db: Database, bench: Workbench, days: float) -> None:
        self._db = db
        self._bench = bench
        self.days = days
        self._stopping = threading.Event()
        self._next = 0.0
        self._rows = Isolation("old pack")

    def keep_for(self, days: float) -> None:
        """Set the retention of finished packs to `days`. The next round applies it at once, not a minute later."""
        if days != self.days:
            self.days = days
            self._next = 0.0

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Check once a minute. A removal that fails is retried in the next round."""
        if self.days <= 0 or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        try:
            await self.run_now()
        except _FAILURES as exc:
            logger.warning("expiry_failed", message=f"Old packs could not be removed; later again: {exc!r}")

    async def run_now(self) -> None:
        """Remove every pack that outlived its retention and is still exactly what was made."""
        last: tuple[datetime | None, UUID | None] = (None, None)
        while packs := await self._db.many(OldPack, "outlived_packs", self.days, _BATCH, *last):
            for pack in self._rows.due(packs, lambda pack: pack.id):
                with self._rows.isolated(pack.id):
                    await self._expire(pack)
            last = (packs[-1].completed_at, packs[-1].id)

    async def _expire(self, pack: OldPack) -> None:
        owner = pack.created_by_id
        walks = await self._db.value("usage_added", owner, *usage.NOTHING)
        removed = await asyncio.to_thread(self._remove, pack)
        if removed:
            await self._db.run("usage_removed", owner, pack.size, 1, 1, walks)
        what = "Removed" if removed else "Not removed, because it was moved or changed,"
        message = f"{what} this pack, {units.duration(self.days * 86_400)} after it was made; its folder was kept."
        await self._db.value("log", pack.id, "INFO", "pack_expired", message, {"path": pack.archive_path, "removed": removed})
        await self._db.run("expired", pack.id)

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise Fenced("The service is stopping.")

    def _remove(self, pack: OldPack) -> bool:
        path = self._bench.located(pack.created_by_id, pack.archive_path)
        name = os.fsencode(path.name)
        if not path.parent.is_dir():
            if not self._bench.work.is_dir():
                raise ArchiverError(f"The workspaces are not there: {self._bench.work} is missing. Mount their file system.")
            return False  # the whole folder is gone, or the user's workspace
        with handles.root(path.parent) as folder:
            before = handles.lstat(folder, name)
            # A file that was written after the pack had ended belongs to somebody else, even if it holds the very same bytes.
            if pack.only_copy or before is None or before.st_mtime > pack.completed:
                return False
            if not workspace.is_intact([path], pack.size, pack.sha256, self._go_on):
                return False
            after = handles.lstat(folder, name)  # the file may have changed while it was read
            if after is None or (after.st_ino, after.st_ctime_ns) != (before.st_ino, before.st_ctime_ns):
                return False
            os.unlink(name, dir_fd=folder)
        return True
