"""Files by directory handle: every path is walked one part at a time with O_NOFOLLOW, so no link and no swap leads elsewhere."""

import ctypes
import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.errors import PermanentError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that took a file's place must not hang.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


NAME_LIMIT = 255
"""The most bytes that Linux takes for one name, on any file system."""

_RENAME_NOREPLACE = 1
_WAIT_WRITE_WAIT = 7  # SYNC_FILE_RANGE_WAIT_BEFORE | WRITE | WAIT_AFTER
_NO_RENAMEAT2 = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
_LIBC = ctypes.CDLL(None, use_errno=True)


def _renameat2(source_dir: int, source: bytes, target_dir: int, target: bytes) -> int:
    """Return 0 or the errno; ENOSYS where the C library has no such call (glibc has it since 2.28)."""
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        return errno.ENOSYS
    done: int = call(source_dir, source, target_dir, target, _RENAME_NOREPLACE)
    return 0 if done == 0 else ctypes.get_errno()


def split(relative: bytes) -> list[bytes]:
    """The parts of a relative path. Raises PermanentError for absolute paths, empty parts, `.` and `..`."""
    if not relative:
        return []
    parts = relative.split(b"/")
    if any(part in {b"", b".", b".."} or b"\0" in part for part in parts):
        raise PermanentError(f"Not a plain relative path: {os.fsdecode(relative)!r}.")
    return parts


def longest_name(directory: int) -> int:
    """Return the most bytes that a name in this open directory may have: 255, less on some encrypting file systems."""
    try:
        limit = os.fpathconf(directory, "PC_NAME_MAX")
    except OSError:  # a file system that does not say
        return NAME_LIMIT
    return min(limit, NAME_LIMIT) if limit > 0 else NAME_LIMIT


@contextmanager
def root(path: Path) -> Iterator[int]:
    """Open a trusted, configured directory (links in ITS path are the administrator's business)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def directory(parent: int, relative: bytes = b"") -> Iterator[int]:
    """Open a directory below `parent`. Raises OSError (ELOOP or ENOTDIR where a link stands in the way)."""
    handle = os.dup(parent)
    try:
        for part in split(relative):
            child = os.open(part, _DIRECTORY, dir_fd=handle)
            os.close(handle)
            handle = child
        yield handle
    finally:
        os.close(handle)


@contextmanager
def file(parent: int, name: bytes) -> Iterator[int]:
    """Open a regular file in `parent` for reading. Raises PermanentError when another kind of thing has that name."""
    handle = os.open(name, _FILE, dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise PermanentError(f"Not a regular file any more: {os.fsdecode(name)!r}.")
        yield handle
    finally:
        os.close(handle)


def path_of(handle: int) -> Path:
    """A path to what is open here, wherever it stands by now: for this process, and for children that inherit the handle."""
    return Path(f"/proc/self/fd/{handle}")


def lstat(parent: int, name: bytes) -> os.stat_result | None:
    """What stands under `name`, links not followed; None when nothing does, or nothing could because it is too long."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError as exc:
        if exc.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
            return None
        raise


def rename_noreplace(source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
    """Rename within one file system and never replace: RENAME_NOREPLACE, else link and unlink where the file system lacks it.

    The substitute unlinks whatever has the name `source` by then: use it for names nobody else knows. Raises FileExistsError when
    `target` exists. A directory can't be linked: there the error of the first try is raised.
    """
    error = _renameat2(source_dir, source, target_dir, target)
    if error == 0:
        return
    if error in _NO_RENAMEAT2:
        os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)
        os.unlink(source, dir_fd=source_dir)
        return
    raise OSError(error, os.strerror(error), os.fsdecode(source), None, os.fsdecode(target))


def lease(handle: int) -> bool | None:
    """Keep everybody from writing to a file that is open for reading: who opens it for writing waits until `end_lease`.

    False: somebody has it open for writing, or waits for that. None: no lease can be had, from the file system or for another account's
    file (without CAP_LEASE). The kernel lets nobody wait longer than /proc/sys/fs/lease-break-time (45 s).
    """
    try:
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)  # says that somebody waits; the usual signal would end the process
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as exc:
        return False if exc.errno == errno.EAGAIN else None
    return True


def end_lease(handle: int) -> None:
    """Let writers go on; closing `handle` does, too."""
    with suppress(OSError):
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def write_back(handle: int) -> None:
    """Write a file's changed pages to its file system, so that the next write through a memory map moves the file's times.

    The kernel stamps only the first write to a mapped page; the next one is stamped after the page was written back, half a minute later or
    more. The file may be open for reading only. A file without changed pages costs 2 us; what the call cannot do is left undone.
    """
    _LIBC.sync_file_range(handle, ctypes.c_int64(0), ctypes.c_int64(0), _WAIT_WRITE_WAIT)


def sync_directory(handle: int) -> None:
    """Make the names in a directory durable; file systems that cannot (EINVAL) are left to their own promise."""
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise


def sync_filesystem(handle: int) -> None:
    """Make everything on the file system of an open directory durable (syncfs); raises OSError."""
    if _LIBC.syncfs(handle) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
