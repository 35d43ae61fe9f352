"""Files by directory handle: every path is walked part by part with O_NOFOLLOW, so that no link and no swap can redirect it."""

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
# O_NONBLOCK: opening a FIFO that replaced a file must not block.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


NAME_LIMIT = 255
"""The maximum number of bytes that Linux accepts for one name, on any file system."""

_RENAME_NOREPLACE = 1
_WAIT_WRITE_WAIT = 7  # SYNC_FILE_RANGE_WAIT_BEFORE | WRITE | WAIT_AFTER
_NO_RENAMEAT2 = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
_LIBC = ctypes.CDLL(None, use_errno=True)


def _renameat2(source_dir: int, source: bytes, target_dir: int, target: bytes) -> int:
    """Return 0 or the errno; ENOSYS when the C library lacks the call (glibc has it since 2.28)."""
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        return errno.ENOSYS
    done: int = call(source_dir, source, target_dir, target, _RENAME_NOREPLACE)
    return 0 if done == 0 else ctypes.get_errno()


def split(relative: bytes) -> list[bytes]:
    """Split a relative path into its parts. Raises PermanentError for absolute paths, empty parts, `.` and `..`."""
    if not relative:
        return []
    parts = relative.split(b"/")
    if any(part in {b"", b".", b".."} or b"\0" in part for part in parts):
        raise PermanentError(f"Not a plain relative path: {os.fsdecode(relative)!r}.")
    return parts


def longest_name(directory: int) -> int:
    """Return the maximum bytes of a name in this open directory: 255, or less on some encrypting file systems."""
    try:
        limit = os.fpathconf(directory, "PC_NAME_MAX")
    except OSError:  # a file system that does not report it
        return NAME_LIMIT
    return min(limit, NAME_LIMIT) if limit > 0 else NAME_LIMIT


@contextmanager
def root(path: Path) -> Iterator[int]:
    """Open a trusted, configured directory. The administrator is responsible for links in ITS path."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def directory(parent: int, relative: bytes = b"") -> Iterator[int]:
    """Open a directory below `parent`. Raises OSError (ELOOP or ENOTDIR when a link is in the way)."""
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
    """Open a regular file in `parent` for reading. Raises PermanentError when anything else has that name."""
    handle = os.open(name, _FILE, dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise PermanentError(f"Not a regular file any more: {os.fsdecode(name)!r}.")
        yield handle
    finally:
        os.close(handle)


def path_of(handle: int) -> Path:
    """Return a path to the open file or directory, even after a move: for this process and for children that inherit the handle."""
    return Path(f"/proc/self/fd/{handle}")


def lstat(parent: int, name: bytes) -> os.stat_result | None:
    """Return the status of `name` without following links; None when it does not exist or the name is too long."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError as exc:
        if exc.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
            return None
        raise


def rename_noreplace(source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
    """Rename within one file system and never replace: RENAME_NOREPLACE, or link and unlink if the file system lacks it.

    The fallback unlinks the file that has the name `source` by then, so use it only for names that nobody else knows. Raises
    FileExistsError when `target` exists. A directory cannot be linked, so for a directory the first error is raised.
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
    """Take a lease on a file that is open for reading: opening it for writing then blocks until `end_lease`.

    False: another process has it open for writing, or waits to open it so. None: no lease is possible, because of the file system
    or because another account owns the file (without CAP_LEASE). The kernel limits the wait to /proc/sys/fs/lease-break-time (45
    s).
    """
    try:
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)  # reports a waiting process; the usual signal would end this process
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as exc:
        return False if exc.errno == errno.EAGAIN else None
    return True


def end_lease(handle: int) -> None:
    """Let writers continue. Closing `handle` does the same."""
    with suppress(OSError):
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def write_back(handle: int) -> None:
    """Write a file's changed pages to its file system, so that the next write through a memory map changes the file's times.

    The kernel stamps only the first write to a mapped page. It stamps the next write only after the page was written back, which
    takes half a minute or more. The file may be open for reading only. A file without changed pages costs 2 us. A failure of the
    call is ignored.
    """
    _LIBC.sync_file_range(handle, ctypes.c_int64(0), ctypes.c_int64(0), _WAIT_WRITE_WAIT)


def sync_directory(handle: int) -> None:
    """Make the names in a directory durable. File systems that cannot (EINVAL) are skipped."""
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise


def sync_filesystem(handle: int) -> None:
    """Make everything on the file system of an open directory durable (syncfs). Raises OSError."""
    if _LIBC.syncfs(handle) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
