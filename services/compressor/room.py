"""Space for work in workspaces: the disk, as for every job, and the quotas of the workspace's owner."""

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from services.compressor.ledger import Ledger, Need
from services.compressor.rows import Promised
from services.compressor.workbench import Workbench
from shared import units
from shared.archiving import space
from shared.errors import PermanentError, Waiting
from shared.files import usage
from shared.files.usage import Usages
from shared.infra.db import Session
from shared.infra.runtime_settings import WORKSPACE_ENTRIES
from shared.service.work import Work

_FULL = {errno.ENOSPC, errno.EDQUOT}


class Room:
    """Checks disk space and quotas. `quota`: bytes that a workspace may hold unless its user has a quota of its own.

    `entries`: how many files, folders and links it may hold. An admin may change both at any time.
    """

    def __init__(self, bench: Workbench, ledger: Ledger, quota: int, entries: int = WORKSPACE_ENTRIES) -> None:
        self._bench = bench
        self._ledger = ledger
        self.quota = quota
        self.entries = entries

    async def reserve(self, work: Work, need: Need) -> None:
        """Reserve `need` for this job. An earlier reservation of the job counts.

        Raises Waiting with the missing bytes while the disk lacks them, PermanentError with both figures when a quota is exceeded.
        """
        owner = work.job.owner
        await work.with_retry(Usages(work.db, self._bench.workspaces).refresh, owner, work.in_thread)
        await work.in_thread(os.statvfs, self._bench.work)  # waits for a hanging disk here, while no connection is held
        async with work.transaction() as session:
            await session.run("lock_quota", owner)  # same order as the gateway: this lock, then the ledger's
            reserved = await session.one(Promised, "reserved", work.id)
            assert reserved is not None
            if need.bytes > reserved.bytes or need.entries > reserved.entries:
                await self._check_quotas(session, work, owner, need)
            await session.run("lock_ledger")
            lacks = await self._ledger.missing(session, work.id, self._ledger.workspaces, self._bench.work, need)
            if lacks == (0, 0):
                promise = (max(need.bytes, reserved.bytes), 0, max(need.entries, reserved.entries))
                await session.run("reserve", work.id, self._ledger.workspaces, *promise)
        if lacks != (0, 0):
            await self._ledger.wait(work, lacks, self._bench.work)

    async def _check_quotas(self, session: Session, work: Work, owner: UUID, need: Need) -> None:
        own = await session.value("quota_of", owner)
        quota = self.quota if own is None else own
        # Read the reservations first, then the usage: a publication in between is counted twice, never omitted.
        promised = await session.one(Promised, "promised_to", owner, work.id)
        assert promised is not None
        used = (await usage.known(session, owner)).amount
        free = max(0, quota - used.total_bytes - promised.bytes)
        if need.bytes > free:
            raise PermanentError(
                f"Not enough space: {units.size(need.bytes)} needed, {units.size(free)} of your {units.size(quota)} available"
                f" ({need.bytes:,} and {units.exact_size(free)}). Delete some files, or ask an admin for a higher quota."
            )
        most = max(0, self.entries - used.entries - promised.entries)
        if need.entries > most:
            added = units.counted(need.entries, "file or folder", "files and folders")
            raise PermanentError(
                f"Too many files: this adds {added}, and {most:,} more {units.plural(most, 'is', 'are')} possible"
                f" (your workspace may hold {self.entries:,}). Delete some, or ask an admin for a higher limit."
            )

    @asynccontextmanager
    async def using(self, work: Work, need: int, written: Callable[[], int]) -> AsyncIterator[None]:
        """Update the ledger while something is written. A full disk becomes a wait that names the missing bytes."""
        try:
            async with self._ledger.following(work, written, self._ledger.workspaces):
                yield
        except Waiting as exc:
            if exc.missing_bytes is not None:
                raise
            await self._wait_full(work, need, exc)
        except OSError as exc:
            if exc.errno not in _FULL:
                raise
            await self._wait_full(work, need, exc)

    async def _wait_full(self, work: Work, need: int, cause: Exception) -> None:
        try:
            await self._ledger.wait(work, await work.in_thread(self._lacks, need), self._bench.work)
        except Waiting as exc:
            raise exc from cause

    def _lacks(self, need: int) -> Need:
        """Return the least that a full disk lacks. It may have run out of inodes while bytes are free."""
        disk = os.statvfs(self._bench.work)
        if space.free_entries(disk.f_files, disk.f_favail) == 0:
            return Need(0, 1)
        return Need(max(1, need - disk.f_bavail * disk.f_frsize), 0)
