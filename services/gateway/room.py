"""How much room a user has: the quota of the workspace, and what the disk gives to everybody together.

Whoever will add to a workspace reserves first, in the transaction that records it (a job, an upload). Two locks, always in this order, keep
that exact: the user's, while the workspace is added up, then the ledger's (design 4.9), while the disk is looked at.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from services.gateway.config import Configuration
from services.gateway.machine import existing
from services.gateway.refusals import ProblemError, unavailable
from services.gateway.store import Store
from services.gateway.workspaces import Workspaces
from shared.db import Session

WORKSPACES = "workspaces"
_GIB = 1 << 30
NO_LEDGER = "The compressor has not said yet where workspaces lie. It does so when it starts; try again in a moment."


@dataclass(frozen=True)
class Available:
    """In bytes. `user`: what this user may still add; `server`: what anybody may. `reserved`: promised to this user's jobs and uploads."""

    quota: int
    used: int
    reserved: int
    server: int

    @property
    def user(self) -> int:
        return max(0, min(self.quota - self.used - self.reserved, self.server))


@dataclass(frozen=True)
class Reserving:
    """An open transaction that holds both locks."""

    session: Session
    available: Available
    filesystem: str

    def require(self, needed: int) -> None:
        """Raises ProblemError 403 with both figures (seed 000)."""
        if needed > self.available.user:
            required, available = needed / _GIB, self.available.user / _GIB
            sentence = f"Not enough space. Required: {required:.2f} GB, Available: {available:.2f} GB"
            sentence += f" ({needed:,} and {self.available.user:,} bytes)."
            raise ProblemError(403, "not-enough-space", sentence)


def free_bytes(path: Path) -> int:
    """What the file system gives to us."""
    disk = os.statvfs(existing(path))
    return disk.f_bavail * disk.f_frsize


class Room:
    """Every method raises ProblemError; 503 while the compressor has not named the file system of the workspaces."""

    def __init__(
        self,
        store: Store,
        configuration: Configuration,
        workspaces: Workspaces,
        root: Path,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._workspaces = workspaces
        self._root = root
        self._free = free

    async def available(self, owner: UUID) -> Available:
        """What a user has now; looking takes no lock, and promises nothing."""
        async with self._store.transaction() as session:
            return await self._look(session, owner, await self._filesystem(session))

    @asynccontextmanager
    async def reserving(self, owner: UUID) -> AsyncIterator[Reserving]:
        """A transaction in which to reserve: what is available stays so until it ends."""
        async with self._store.transaction() as session:
            filesystem = await self._filesystem(session)
            await session.run("lock_quota", owner)
            yield Reserving(session, await self._look(session, owner, filesystem, lock=True), filesystem)

    async def _filesystem(self, session: Session) -> str:
        name = await session.value("storage_place", WORKSPACES)
        if name is None:
            raise unavailable(NO_LEDGER)
        return str(name)

    async def _look(self, session: Session, owner: UUID, filesystem: str, *, lock: bool = False) -> Available:
        config = await self._configuration.of(session)
        own: int | None = await session.value("quota_of", owner)
        # First what is promised, then what is there: something published in between is counted twice, never not at all.
        reserved = int(await session.value("promised", owner))
        used = (await asyncio.to_thread(self._workspaces.measure, owner, "")).total_bytes
        if lock:
            await session.run("lock_space")
        free = await asyncio.to_thread(self._free, self._root)
        unwritten = int(await session.value("unwritten_space", filesystem))
        quota = config.workspace_quota if own is None else own
        return Available(quota, used, reserved, max(0, free - unwritten - config.min_free_disk))
