"""The space that a user may fill: the workspace quota and the free space of the shared disk, in bytes and in entries.

Code that adds to a workspace reserves space first, in the transaction that records the job or upload. Two locks keep this
exact, always in this order: the user's lock, then the ledger's lock while the disk is asked. A workspace's usage is a running
total (shared/files/usage.py), so no directory is read while a connection is held.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from services.gateway.files.workspaces import Workspaces, disk_refusal
from services.gateway.http.http_errors import ProblemError, unavailable
from services.gateway.records.config import Configuration
from services.gateway.records.disk import at_disk
from services.gateway.records.host_stats import existing
from services.gateway.records.store import Store
from shared import units
from shared.archiving import space
from shared.files import usage
from shared.infra.db import Session

WORKSPACES = "workspaces"
NO_LEDGER = "The compressor has not said yet where workspaces lie. It does so when it starts; try again in a moment."


@dataclass(frozen=True)
class Entries:
    """Counts of files, folders and links. `limit` is the maximum of a workspace.

    `server`: how many more the file system accepts, None if it does not say. `used`: entries in this workspace. `reserved`:
    entries promised to its owner's jobs and uploads.
    """

    limit: int
    used: int
    reserved: int
    server: int | None

    @property
    def user(self) -> int:
        """Return how many entries this user may still add."""
        own = max(0, self.limit - self.used - self.reserved)
        return own if self.server is None else min(own, self.server)

    def require(self, needed: int) -> None:
        """Raise ProblemError 403 with both figures when `needed` more entries are too many."""
        if needed <= self.user:
            return
        added = units.counted(needed, "file or folder", "files and folders")
        sentence = f"Too many files: this adds {added}, and {self.user:,} more {units.plural(self.user, 'is', 'are')} possible"
        if self.server is not None and self.server <= self.user:
            sentence += ", because the server's file system is full. Ask an admin."
        else:
            sentence += f" (your workspace may hold {self.limit:,}). Delete some, or ask an admin for a higher limit."
        raise ProblemError(403, "too-many-entries", sentence)


@dataclass(frozen=True)
class Available:
    """Space in bytes. `user`: what this user may still add. `server`: what any user may still add.

    `reserved`: promised to this user's jobs and uploads. `is_measured`: False while the workspace is measured for the first
    time. Until then, `used` is the recorded value.
    """

    quota: int
    used: int
    reserved: int
    server: int
    entries: Entries
    is_measured: bool

    @property
    def user(self) -> int:
        return max(0, min(self.quota - self.used - self.reserved, self.server))


@dataclass(frozen=True)
class Reserving:
    """An open transaction that holds both locks."""

    session: Session
    available: Available
    filesystem: str

    def require(self, needed: int, entries: int) -> None:
        """Raise ProblemError 403 with both figures when the space or the number of entries is too small."""
        if needed > self.available.user:
            required, available = units.gigabytes(needed), units.gigabytes(self.available.user)
            sentence = f"Not enough space. Required: {required}, Available: {available}"
            sentence += f" ({needed:,} and {units.exact_size(self.available.user)})."
            raise ProblemError(403, "not-enough-space", sentence)
        self.available.entries.require(entries)


def free_bytes(path: Path) -> int:
    """Return the bytes that the file system gives to us."""
    disk = os.statvfs(existing(path))
    return disk.f_bavail * disk.f_frsize


def free_entries(path: Path) -> int | None:
    """Return how many files and folders the file system still accepts, None if it does not say."""
    disk = os.statvfs(existing(path))
    return space.free_entries(disk.f_files, disk.f_favail)


class Quotas:
    """Every method raises ProblemError, with 503 while the compressor has not named the workspaces' file system."""

    def __init__(
        self,
        store: Store,
        configuration: Configuration,
        workspaces: Workspaces,
        root: Path,
        free: Callable[[Path], int] = free_bytes,
        free_entries: Callable[[Path], int | None] = free_entries,
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._root = root
        self._free = free
        self._free_entries = free_entries
        self.usages = store.usages(workspaces.root)

    async def available(self, owner: UUID) -> Available:
        """Return the space that a user has now. This takes no lock and reserves nothing."""
        await self.refresh(owner)
        free = await self._ask_disk()
        async with self._store.transaction() as session:
            return await self._look(session, owner, await self._filesystem(session), free)

    async def refresh(self, owner: UUID) -> None:
        """Measure a small workspace. The caller must not hold a connection meanwhile."""
        try:
            await self.usages.refresh(owner)
        except OSError as exc:
            raise disk_refusal(exc) from exc

    @asynccontextmanager
    async def reserving(self, owner: UUID) -> AsyncIterator[Reserving]:
        """Open a transaction for reservations. The available space does not change until it ends."""
        await self.refresh(owner)
        await self._ask_disk()  # wait for an unresponsive disk here, without a connection
        async with self._store.storage_transaction() as session:
            filesystem = await self._filesystem(session)
            await session.run("lock_quota", owner)
            await session.run("lock_space")
            available = await self._look(session, owner, filesystem, await self._ask_disk())
            yield Reserving(session, available, filesystem)

    async def require_entries(self, session: Session, owner: UUID, needed: int) -> None:
        """Raise ProblemError 403 when a workspace may not hold this many more files and folders. The disk is not asked."""
        limit = (await self._configuration.of(session)).workspace_entries
        promised = await session.row("promised", owner)
        assert promised is not None
        used = (await usage.known(session, owner)).amount.entries
        Entries(limit, used, promised["entries"], server=None).require(needed)

    async def _filesystem(self, session: Session) -> str:
        name = await session.value("storage_place", WORKSPACES)
        if name is None:
            raise unavailable(NO_LEDGER)
        return str(name)

    async def _ask_disk(self) -> tuple[int, int | None]:
        return await at_disk(lambda: (self._free(self._root), self._free_entries(self._root)))

    async def _look(self, session: Session, owner: UUID, filesystem: str, free: tuple[int, int | None]) -> Available:
        config = await self._configuration.of(session)
        own: int | None = await session.value("quota_of", owner)
        # Read the promised space first, then the used space: a file published in between is counted twice, never missed.
        promised = await session.row("promised", owner)
        known = await usage.known(session, owner)
        unwritten = await session.row("unwritten_space", filesystem)
        assert promised is not None
        assert unwritten is not None
        server_bytes, server_entries = free
        return Available(
            quota=config.workspace_quota if own is None else own,
            used=known.amount.total_bytes,
            reserved=promised["bytes"],
            server=max(0, server_bytes - unwritten["bytes"] - config.min_free_disk),
            entries=Entries(
                limit=config.workspace_entries,
                used=known.amount.entries,
                reserved=promised["entries"],
                server=None if server_entries is None else max(0, server_entries - unwritten["entries"]),
            ),
            is_measured=known.is_measured,
        )
