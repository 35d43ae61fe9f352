"""Where a job's files lie: `temp/`, `archives/` and `failed/`, each with `{job_id}/` below, and `{attempt}/` below that.

Two attempts never share a path, so a worker that lost its job can spoil nothing of the next one.
"""

from pathlib import Path
from uuid import UUID

import msgspec

from services.compressor.copying import remove_tree
from services.compressor.walking import Stop
from shared.manifest import SIDECAR_SUFFIX

ARCHIVE_SUFFIX = ".tar.7z"


class Places(msgspec.Struct, frozen=True):
    """The three roots of one node's staging."""

    temp: Path
    archives: Path
    failed: Path

    def prepare(self) -> None:
        """Make the roots; nobody else may look in."""
        for root in (self.temp, self.archives, self.failed):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def copy(self, job: UUID, attempt: int, folder: str) -> Path:
        return self.temp / str(job) / str(attempt) / folder

    def archive(self, job: UUID, attempt: int, folder: str) -> Path:
        return self.archives / str(job) / str(attempt) / f"{folder}{ARCHIVE_SUFFIX}"


def sidecar_of(archive: Path) -> Path:
    return archive.with_name(archive.name + SIDECAR_SUFFIX)


def attempts_in(root: Path, job: UUID) -> list[tuple[int, Path]]:
    """The attempt directories of a job below one root."""
    below = root / str(job)
    if not below.is_dir():
        return []
    return [(int(path.name), path) for path in below.iterdir() if path.name.isdigit()]


def jobs_in(root: Path) -> list[UUID]:
    """The jobs that have something below one root."""
    found: list[UUID] = []
    for path in root.iterdir():
        try:
            found.append(UUID(path.name))
        except ValueError:
            continue  # not ours
    return found


def remove(path: Path, stop: Stop) -> None:
    """Remove a directory tree of ours, links not followed; what is not there is removed already."""
    if path.is_symlink() or path.exists():
        remove_tree(path, stop)


def remove_if_empty(path: Path) -> None:
    """Remove a job's directory once nothing is in it."""
    try:
        path.rmdir()
    except OSError:  # not empty, or gone: both are fine
        return
