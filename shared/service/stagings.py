"""Stagings: the disks on which archives wait for their upload. Each has an id, in a file in its archives directory.

A compressor and an uploader that share a staging see the same id. An archive's row names its staging and the archive's path below
it. So only a process that sees the staging sends, reuses or removes the archive, and a staging may move to another path.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path, PurePath
from uuid import UUID, uuid4

import msgspec

from shared import log
from shared.domain.lifecycle import Role
from shared.errors import ConfigurationError
from shared.infra.db import Database

logger = log.get(__name__)

ID_FILE = ".cs-archiver-staging-id"


def read(archives: Path) -> UUID | None:
    """Return the id of the staging at `archives` now; None if there is none (not mounted, or no compressor made one yet).

    Raises ConfigurationError when the file holds anything but an id.
    """
    file = archives / ID_FILE
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return UUID(text)
    except ValueError as exc:
        raise ConfigurationError(f"{file} does not hold the id of a staging (it is {text!r}). Restore it from a backup.") from exc


def ensure(archives: Path, earlier: Path) -> UUID:
    """Return the id of the staging at `archives`; make one if there is none. The first process that makes one decides.

    `earlier`: another directory of this staging, where older versions kept the id. Raises ConfigurationError as `read` does.
    """
    known = read(archives)
    if known is None:
        new = archives / f"{ID_FILE}.{uuid4()}"
        new.write_text(f"{read(earlier) or uuid4()}\n", encoding="utf-8")
        with suppress(FileExistsError):
            (archives / ID_FILE).hardlink_to(new)  # atomic
        new.unlink()
        known = read(archives)
    assert known is not None, "it was just made"
    return known


def recorded(archives: Path, archive: Path) -> str:
    """Return an archive's path as its row stores it: below the archives directory."""
    return str(archive.relative_to(archives))


def located(archives: Path, archive_path: str) -> Path:
    """Return where a recorded archive is now: `{job}/{attempt}/{name}`. Older rows have an absolute path that ends like this."""
    return archives.joinpath(*PurePath(archive_path).parts[-3:])


class Unseen(msgspec.Struct, frozen=True):
    """`tell_unseen`: a job whose wait reason has changed; null: a process sees its archive again."""

    id: UUID
    wait_reason: str | None


class Unplaced(msgspec.Struct, frozen=True):
    """`unplaced_archives`: an archive from before stagings had names."""

    job_id: UUID
    attempt: int
    archive_path: str


class Sight:
    """The stagings that one process sees, as it reports them to the others.

    `ids` is what it saw at the last `look`: at most one, until a process serves several.
    """

    def __init__(self, db: Database, role: Role, instance: str, archives: Path) -> None:
        self._db = db
        self._role = role
        self._instance = instance
        self._archives = archives
        self.ids: list[UUID] = []

    async def look(self) -> None:
        """Check which staging is there now, record it, and tell waiting jobs whether any process sees their archives.

        Raises what the database raises. Raises OSError and what `read` raises, after it has recorded that it sees nothing.
        """
        seen, unreadable = None, None
        try:
            seen = await asyncio.to_thread(read, self._archives)
        except (OSError, ConfigurationError) as exc:
            unreadable = exc
        before, self.ids = self.ids, [] if seen is None else [seen]
        if seen is not None:
            await self._db.run("see_staging", seen, self._role, self._instance, str(self._archives))
        if self.ids != before:
            text = f"Sees staging {seen} at {self._archives}." if seen else f"No staging is at {self._archives} any more."
            logger.info("staging", message=text)
        await self._db.run("lose_stagings", self._instance, self.ids)
        if seen is not None and self.ids != before:
            await self._db.run("forget_stagings", seen, self._role, self._instance)
            await self._adopt(seen)
        for job in await self._db.many(Unseen, "tell_unseen"):
            if job.wait_reason is not None:
                await self._db.value("log", job.id, "WARNING", "waiting", job.wait_reason, None)
        if unreadable is not None:
            raise unreadable

    async def _adopt(self, staging: UUID) -> None:
        """Record the staging of archives from before stagings had names, if their files are here."""
        for archive in await self._db.many(Unplaced, "unplaced_archives"):
            if await asyncio.to_thread(os.path.lexists, located(self._archives, archive.archive_path)):
                await self._db.run("adopt_archive", archive.job_id, archive.attempt, staging)
