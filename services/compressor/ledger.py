"""The ledger of space. Every job reserves what it will write, per file system, before it writes a byte."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from services.compressor.rows import Promised
from services.compressor.staging import Places
from shared import units
from shared.archiving import space
from shared.errors import DatabaseAway, PermanentError, Waiting
from shared.infra.db import Session
from shared.service import stagings
from shared.service.work import Work

_FOLLOW_SECONDS = 2.0
_GIB = 1 << 30
_ARCHIVE_ENTRIES = 4
"""The directories of the job and of the attempt, the archive, and the sidecar."""


def filesystems(places: Places, staging: uuid.UUID) -> tuple[str, str]:
    """Return the names of the file systems of temp and archives. They are equal when both lie on the same file system.

    The names contain the staging's id, because host names and device numbers differ between containers that share the staging.
    """
    same = places.temp.stat().st_dev == places.archives.stat().st_dev
    return f"{staging}:{'archives' if same else 'temp'}", f"{staging}:archives"


def _like(workspaces: Path | None, places: Places, temp: str, archives: str) -> str:
    """Return the name of the workspaces' file system: the name of temp or archives when they share it."""
    if workspaces is not None:
        for name, path in ((archives, places.archives), (temp, places.temp)):
            if path.stat().st_dev == workspaces.stat().st_dev:
                return name
    return f"{archives.partition(':')[0]}:workspaces"


class Need(NamedTuple):
    """An amount that is written or missing: bytes, and entries (files, folders and links, an inode each)."""

    bytes: int
    entries: int


class Ledger:
    """Space on the file systems of staging and workspaces.

    `staging`: the staging's id. `recheck_s`: seconds until a job that lacks space is checked again.
    """

    def __init__(self, places: Places, min_free_gb: float, recheck_s: float, workspaces: Path | None = None) -> None:
        self._places = places
        self._min_free = int(min_free_gb * _GIB)
        self.recheck_s = recheck_s
        self.staging = stagings.ensure(places.archives, places.failed)
        self._temp, self._archives = filesystems(places, self.staging)
        self.workspaces = _like(workspaces, places, self._temp, self._archives)

    def tune(self, min_free_bytes: int, recheck_s: float) -> None:
        """Change both values at runtime. Reservations stay."""
        self._min_free, self.recheck_s = min_free_bytes, recheck_s

    def _needs(self, total_bytes: int, entries: int) -> dict[str, tuple[Path, Need]]:
        """Return what an archive job writes per file system: the copy, and the archive with its sidecar."""
        copy = Need(total_bytes, entries)
        archive = Need(space.required_bytes(total_bytes) - total_bytes, _ARCHIVE_ENTRIES)
        if self._temp == self._archives:
            return {self._temp: (self._places.temp, Need(copy.bytes + archive.bytes, copy.entries + archive.entries))}
        return {self._temp: (self._places.temp, copy), self._archives: (self._places.archives, archive)}

    async def reserve(self, work: Work, total_bytes: int, entries: int = 0) -> None:
        """Reserve space for a folder of this many bytes and entries: all of it or none.

        Raises Waiting with the missing bytes, PermanentError when it can never fit.
        """
        needs = self._needs(total_bytes, entries)
        for path, _ in needs.values():
            await work.in_thread(os.statvfs, path)  # waits for a hanging disk here, while no connection is held
        lacks = Need(0, 0)
        async with work.transaction() as session:
            await session.run("lock_ledger")
            for name, (path, need) in needs.items():
                more = await self.missing(session, work.id, name, path, need)
                lacks = Need(lacks.bytes + more.bytes, lacks.entries + more.entries)
            if lacks == (0, 0):
                for name, (_, need) in needs.items():
                    await session.run("reserve", work.id, name, need.bytes, 0, need.entries)
        if lacks != (0, 0):
            await self.wait(work, lacks, self._places.temp.parent)

    async def wait(self, work: Work, lacks: Need, path: Path) -> NoReturn:
        """Record since when the job lacks space, and raise Waiting."""
        await work.run("waits_for_space", work.id, work.attempt)
        if lacks.bytes:
            reason = f"Waiting for disk space: {units.size(lacks.bytes)} more needed in {path}."
        else:
            entries = units.counted(lacks.entries, "more file or folder", "more files and folders")
            reason = f"Waiting for disk space: {path} must take {entries} (inodes). Delete some there."
        raise Waiting(reason, self.recheck_s, lacks.bytes)

    async def missing(self, session: Session, job: uuid.UUID, name: str, path: Path, need: Need) -> Need:
        """Return what a job lacks on a file system, under the ledger's lock. Raises PermanentError when it can never fit."""
        disk = os.statvfs(path)
        promised = await session.one(Promised, "unwritten", name, job)
        assert promised is not None
        free = space.available(disk.f_bavail * disk.f_frsize, promised.bytes, self._min_free)
        most = space.available(disk.f_blocks * disk.f_frsize, 0, self._min_free)
        verdict = space.decide(need.bytes, free, most)
        if verdict.kind == "never":
            raise PermanentError(
                f"This needs {units.size(need.bytes)} in {path}, and even empty that disk offers {units.size(most)}: "
                "give it more space or lower MIN_FREE_SPACE_GB."
            )
        return Need(verdict.missing_bytes, self._missing_entries(disk, promised.entries, path, need.entries))

    def _missing_entries(self, disk: os.statvfs_result, promised: int, path: Path, needed: int) -> int:
        free = space.free_entries(disk.f_files, disk.f_favail)
        if free is None:
            return 0
        verdict = space.decide(needed, space.available(free, promised, 0), disk.f_files)
        if verdict.kind == "never":
            entries = units.counted(needed, "file or folder", "files and folders")
            raise PermanentError(
                f"This needs {entries} in {path}, and even empty that file system takes {disk.f_files:,}: give it more inodes."
            )
        return verdict.missing_bytes

    @asynccontextmanager
    async def following(self, work: Work, written: Callable[[], int], name: str | None = None) -> AsyncIterator[None]:
        """Keep the ledger's `written` up to date while a stage writes, because those bytes count as used already."""
        filesystem = name or self._temp

        async def follow() -> None:
            while True:
                await asyncio.sleep(_FOLLOW_SECONDS)
                with suppress(DatabaseAway):
                    await work.db.run("written", work.id, filesystem, written())

        task = asyncio.create_task(follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def keep_archive(self, session: Session, job: object, size: int) -> None:
        """Reduce the job's reservation to its archive, which is written already."""
        await session.run("release_space", job)
        await session.run("reserve", job, self._archives, size, size, _ARCHIVE_ENTRIES)
