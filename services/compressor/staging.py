"""The layout of the staging: `temp/`, `archives/` and `failed/`, each with `{job_id}/` below, and `{attempt}/` below that.

Two attempts never share a path, so a worker that lost its job cannot damage the next attempt's files.
"""

import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import msgspec

from shared import log, units
from shared.domain.destinations import ARCHIVE_SUFFIX
from shared.files import handles
from shared.files.findings import named
from shared.files.manifest import SIDECAR_SUFFIX, Entry, printable
from shared.files.trees import Stop, remove_tree

logger = log.get(__name__)

_TRIES = 5  # to remove what another process is removing at the same time


class Places(msgspec.Struct, frozen=True):
    """The three roots of one node's staging."""

    temp: Path
    archives: Path
    failed: Path

    def prepare(self) -> None:
        """Make the roots. No other account may read them."""
        for root in (self.temp, self.archives, self.failed):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def copy(self, job: UUID, attempt: int, folder: str) -> Path:
        return self.temp / str(job) / str(attempt) / folder

    def archive(self, job: UUID, attempt: int, folder: str) -> Path:
        return self.archives / str(job) / str(attempt) / f"{folder}{ARCHIVE_SUFFIX}"


def sidecar_of(archive: Path) -> Path:
    return archive.with_name(archive.name + SIDECAR_SUFFIX)


def name_refusals(places: Places, folder_name: str, entries: Iterable[Entry]) -> list[str]:
    """Return, in sentences, which names the staging cannot hold because its file system allows shorter names than the NAS."""
    with handles.root(places.temp) as copies, handles.root(places.archives) as archives:
        longest, longest_archive = handles.longest_name(copies), handles.longest_name(archives)
    if min(longest, longest_archive) >= handles.NAME_LIMIT:
        return []  # no name on Linux is longer, and the folder's own leaves room for a marker, which is longer than our suffixes
    names = {entry.path.rpartition(b"/")[2] for entry in entries}
    too_long = sorted(name for name in names if len(name) > longest)
    if len(folder_name.encode()) > min(longest, longest_archive - len(ARCHIVE_SUFFIX + SIDECAR_SUFFIX)):
        too_long.insert(0, folder_name.encode())
    if not too_long:
        return []
    most = units.exact_size(min(longest, longest_archive))
    advice = f"The staging's file system takes names of {most} at most; shorten these names, or use another"
    return [f"{advice} disk for STORAGE_BASE_PATH: {named([printable(name) for name in too_long])}"]


def attempts_in(root: Path, job: UUID, up_to: int | None = None) -> list[tuple[int, Path]]:
    """Return the attempt directories of a job below one root, at most those up to an attempt."""
    below = root / str(job)
    if not below.is_dir():
        return []
    found = [(int(path.name), path) for path in below.iterdir() if path.name.isdigit()]
    return [(attempt, path) for attempt, path in found if up_to is None or attempt <= up_to]


def jobs_in(root: Path) -> list[UUID]:
    """Return the jobs that have something below one root."""
    found: list[UUID] = []
    for path in root.iterdir():
        try:
            found.append(UUID(path.name))
        except ValueError:
            continue  # not ours
    return found


def remove(path: Path, stop: Stop) -> None:
    """Remove a directory tree of ours without following links. A path that does not exist is no error."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            if path.is_symlink() or path.exists():
                remove_tree(path, stop)
            return
    remove_tree(path, stop)


def remove_attempts(root: Path, job: UUID, up_to: int, stop: Stop, keep: Collection[int] = ()) -> list[Path]:
    """Remove the directories of a job's attempts up to `up_to` below a root, except those in `keep`. Returns what it removed.

    A newer attempt's directory is never touched, because it may be in use.
    """
    removed = [path for attempt, path in attempts_in(root, job, up_to) if attempt not in keep]
    for path in removed:
        remove(path, stop)
    remove_if_empty(root / str(job))
    return removed


def remove_if_empty(path: Path) -> None:
    """Remove a job's directory if it is empty."""
    try:
        path.rmdir()
    except OSError:  # not empty, or gone: both are fine
        return


def put_aside(path: Path, target: Path, stop: Stop) -> None:
    """Move a failed attempt's directory to `target`, which may be on another disk. Remove what cannot be kept there."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove(target, stop)  # the partial result of a move to another disk
    try:
        shutil.move(path, target)
    except OSError as exc:
        logger.warning("not_kept", message=f"{path} could not be kept in {target} and is removed: {exc}")
        remove(target, stop)
        remove(path, stop)
