"""Space for work in workspaces: the disk, as for every job, and the quota of whose workspace it is."""

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from services.compressor.ledger import Ledger
from services.compressor.workbench import Workbench
from shared import handles, trees
from shared.errors import PermanentError, Waiting
from shared.work import Work

_GIB = 1 << 30
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Room:
    """`quota`: what a workspace may hold unless its user has a quota of its own, in bytes; an admin may change it any time."""

    def __init__(self, bench: Workbench, ledger: Ledger, quota: int) -> None:
        self._bench = bench
        self._ledger = ledger
        self.quota = quota

    async def reserve(self, work: Work, need: int) -> None:
        """Promise `need` bytes to this job; what it was promised before counts.

        Raises Waiting with the missing bytes while the disk lacks them, PermanentError with both figures when the quota does.
        """
        owner: UUID = work.job["created_by_id"]
        missing = 0
        async with work.transaction() as session:
            await session.run("lock_quota", owner)  # as the gateway does: this lock, then the ledger's
            known = await session.value("reserved", work.id)
            if need > known:
                quota = await session.value("quota_of", owner)
                quota = self.quota if quota is None else quota
                promised = await session.value("promised_to", owner, work.id)
                used = await work.in_thread(self._used, owner, work)
                free = max(0, quota - used - promised)
                if need > free:
                    raise PermanentError(
                        f"Your space does not suffice: {_gb(need)} are needed, {_gb(free)} of your {_gb(quota)} are free"
                        f" ({need:,} and {free:,} bytes)."
                    )
            await session.run("lock_ledger")
            missing = await self._ledger.missing(session, work.id, self._ledger.workspaces, self._bench.work, need)
            if not missing:
                await session.run("reserve", work.id, self._ledger.workspaces, max(need, known), 0)
        if missing:
            await self._wait(work, missing)

    async def _wait(self, work: Work, missing: int) -> None:
        await work.patiently(lambda: work.db.run("waits_for_space", work.id, work.attempt))
        raise Waiting(f"Waiting for disk space: {_gb(missing)} more are needed.", self._ledger.recheck_s, missing)

    @asynccontextmanager
    async def using(self, work: Work, need: int, written: Callable[[], int]) -> AsyncIterator[None]:
        """While something is written: the ledger follows, and a full disk becomes a wait that names the missing bytes."""
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
            await self._wait(work, max(1, need - self._free()))
        except Waiting as exc:
            raise exc from cause

    def _free(self) -> int:
        disk = os.statvfs(self._bench.work)
        return disk.f_bavail * disk.f_frsize

    def _used(self, owner: UUID, work: Work) -> int:
        workspace = self._bench.workspace(owner)
        if not workspace.is_dir():
            return 0
        with handles.root(workspace) as root:
            return trees.measure(root, work.stop).total_bytes


def _gb(size: int) -> str:
    return f"{size / _GIB:.2f} GB"
