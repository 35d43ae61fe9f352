"""Check that the NAS is mounted. An unmounted NAS looks like an empty folder, so a file that only the NAS holds identifies it."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from shared.errors import PermanentError, Waiting
from shared.files import clocks, handles
from shared.files.clocks import Stamp

SENTINEL = ".cs-archiver-nas-id"
_LONGEST = 256  # bytes read: an id has 36, and a person who writes it by hand may add blanks
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def opened(base: Path) -> Iterator[int]:
    """Open the base directory. Raises Waiting when it cannot be opened."""
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(handles.root(base))
        except OSError as exc:
            raise Waiting(f"The NAS is not mounted at {base}, or may not be read: {exc.strerror}.") from exc
        yield handle


def ensure_sentinel(base: Path, known: str | None, may_adopt: bool) -> str:
    """Return the id of the NAS mounted at `base`. Create the sentinel when no id is known yet.

    known: the id recorded earlier. may_adopt: True only when no job is live. A base without our id then becomes the NAS if it
    holds at least one directory (a bare mount point holds none). An adopted base gets a new id, never the known one. The known
    one may be hidden below the mount point, and must then not look like the NAS. Raises Waiting with the fix.
    """
    with opened(base) as handle:
        found = _read(handle, base)
        if found and known in {None, found}:
            return found
        if known is not None and not (may_adopt and _has_directory(handle)):
            raise Waiting(_fix(base, known, found))
        if found == "":
            raise Waiting(f"{base / SENTINEL} holds no id. If the NAS is mounted at {base}, remove that file.")
        return found or _create(handle, base)


def check_mounted(base_handle: int, base: Path, expected: str) -> None:
    """Check that `base` is still this open directory, and the NAS with the id `expected`. Raises Waiting with the fix."""
    try:
        here, there = os.fstat(base_handle), base.stat()
    except OSError as exc:
        raise Waiting(f"The NAS is not mounted at {base} any more: {exc.strerror}.") from exc
    if not os.path.samestat(here, there):
        raise Waiting(f"The NAS was unmounted from {base}, or something else was mounted there.")
    found = _read(base_handle, base)
    if found != expected:
        raise Waiting(_fix(base, expected, found))


def stamp(base_handle: int) -> Stamp:
    """Read the clock of an open base's file system by its sentinel. Raises OSError when we may not touch the sentinel."""
    with handles.file(base_handle, SENTINEL.encode()) as handle:
        return clocks.look(handle)


def same_device(base_handle: int, source_handle: int) -> bool:
    """Return whether both are on one file system now. Device numbers change at every mount, so they are compared, never stored."""
    return os.fstat(base_handle).st_dev == os.fstat(source_handle).st_dev


def _read(base_handle: int, base: Path) -> str | None:
    """Return the sentinel's id in canonical form, None when there is no sentinel, "" when it holds no id."""
    try:
        with handles.file(base_handle, SENTINEL.encode()) as handle:
            content = os.read(handle, _LONGEST)
    except FileNotFoundError:
        return None
    except PermanentError:
        return ""
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return ""
        raise Waiting(f"The NAS at {base} does not answer, or {SENTINEL} may not be read: {exc.strerror}.") from exc
    try:
        return str(uuid.UUID(content.decode("ascii").strip()))
    except ValueError:
        return ""


def _fix(base: Path, known: str, found: str | None) -> str:
    if found is None:
        return f"The NAS is not mounted at {base}; if it is and the file was lost, write {known} into {base / SENTINEL}."
    holds = f"the id {found}" if found else "no id"
    return (
        f"Another NAS is mounted at {base}: {SENTINEL} holds {holds}, expected is {known}. "
        f"Mount the right one; if this is the right one, write {known} into {base / SENTINEL}."
    )


def _has_directory(handle: int) -> bool:
    with os.scandir(handle) as entries:
        return any(entry.is_dir(follow_symlinks=False) for entry in entries)


def _create(handle: int, base: Path) -> str:
    """Write the sentinel completely or not at all. If another scanner was faster, its id counts."""
    new = str(uuid.uuid4())
    temporary = f"{SENTINEL}.{new}".encode()
    try:
        written = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=handle)
        try:
            os.write(written, f"{new}\n".encode())
            os.fsync(written)
        finally:
            os.close(written)
        handles.rename_noreplace(handle, temporary, handle, SENTINEL.encode())
        handles.sync_directory(handle)
    except OSError as exc:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=handle)
        winner = _read(handle, base) if exc.errno == errno.EEXIST else None
        if winner:
            return winner
        reason = f"may not write to {base}" if exc.errno in _READ_ONLY else f"could not write to {base} ({exc.strerror})"
        raise Waiting(
            f"The scanner {reason}. It needs to: it empties archived folders. Grant it, or put {new} into {base / SENTINEL}."
        ) from exc
    return new
