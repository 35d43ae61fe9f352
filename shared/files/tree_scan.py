"""Scan one folder by directory handle: its content, what 7-Zip cannot hold, and what only the sidecar keeps.

The scan follows no link, enters no other file system and writes nothing. Any depth works, because a walk holds only two directory
handles.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator

import msgspec

from shared.errors import Operation, PermanentError, TransientError
from shared.files import handles
from shared.files.apart import PLACE
from shared.files.findings import Finding, Report
from shared.files.manifest import Entry, crc32, printable
from shared.files.position import Position
from shared.files.trees import Stop

# Measured with 7zz 26.03: longer paths are not extractable, and 1,024 bytes is the longest link text that is stored.
PATH_LIMIT = 3_500
LINK_LIMIT = 1_000
XATTR_LIMIT = 1 << 20
# The range of 7-Zip's 100 ns since 1601 and of its listing: 1601-01-01 00:00:00.0000001 to the end of 9999. Measured: 1601 itself
# is listed as empty, earlier times as the year 60056.
_FIRST_TIME_NS = -11_644_473_600 * 10**9 + 100
_END_TIME_NS = 253_402_300_800 * 10**9

_STOP_EVERY = 100
_SPARSE_HOLE = 64 * 1024
MOVED = {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ESTALE}
DENIED = {errno.EACCES, errno.EPERM}


def scan(root: int, *, report: Report, stop: Stop, inspect: bool, prefix_length: int = 0) -> Iterator[Entry]:
    """Yield everything below the open directory `root`: the directory itself first, parents before children, names in byte order.

    `inspect` opens every file for reading and reads extended attributes; without it only names and `lstat` are read. An entry
    that cannot be archived is reported instead of yielded. `prefix_length`: the bytes before every path in the archive. `stop` is
    called every 100 entries. Raises TransientError when the file system fails.
    """
    look = _Look(report, os.fstat(root).st_dev, inspect)
    pending = [b""]
    seen = 0
    with Position(root) as position:
        while pending:
            path = pending.pop()
            try:
                handle = position.at(path)
                names = sorted(map(os.fsencode, os.listdir(handle)))  # noqa: PTH208 - pathlib cannot list a handle
                entry = look.directory(handle, path)
            except OSError as exc:
                _report_failure(report, path, exc)
                continue
            yield entry
            if inspect:
                for twin in same_names(names):
                    report(Finding.SAME_NAMES, path + b"/" + twin if path else twin)
            folders: list[bytes] = []
            for name in names:
                seen += 1
                if seen % _STOP_EVERY == 0:
                    stop()
                child = path + b"/" + name if path else name
                if prefix_length + len(child) > PATH_LIMIT:
                    report(Finding.LONG_PATH, child)
                    continue
                below = look.name(handle, name, child)
                if isinstance(below, Entry):
                    yield below
                elif below is _FOLDER:
                    folders.append(child)
            pending.extend(reversed(folders))


def same_names(names: Iterable[bytes]) -> list[bytes]:
    """Return the names of one folder that differ from another only in case or Unicode form (NFC, NFD). Pure."""
    alike: dict[str, list[bytes]] = {}
    for name in names:
        alike.setdefault(unicodedata.normalize("NFC", os.fsdecode(name)).casefold(), []).append(name)
    return [name for found in alike.values() if len(found) > 1 for name in found]


def scan_below(root: int, path: bytes, *, report: Report, stop: Stop, inspect: bool) -> Iterator[Entry]:
    """Yield the object at `path` below the open directory `root`, and everything below it. Paths are relative to `root`.

    As `scan`, but `path` may also be a file or a link. Raises OSError when it does not exist.
    """
    above, _, name = path.rpartition(b"/")
    with handles.directory(root, above) as parent:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
        found = _Look(report, os.fstat(root).st_dev, inspect).name(parent, name, path)
        if isinstance(found, Entry):
            yield found
        elif found is _FOLDER:
            with handles.directory(parent, name) as folder:

                def below(finding: Finding, child: bytes) -> None:
                    report(finding, path + b"/" + child if child else path)

                for entry in scan(folder, report=below, stop=stop, inspect=inspect, prefix_length=len(path) + 1):
                    yield msgspec.structs.replace(entry, path=path + b"/" + entry.path if entry.path else path)


class _Folder:
    """Marks a name as a directory that is scanned later."""


_FOLDER = _Folder()


class _Look:
    """Classifies one object in a folder and reports its findings."""

    def __init__(self, report: Report, device: int, inspect: bool) -> None:
        self._report = report
        self._device = device
        self._xattrs = _XattrReader(report) if inspect else None

    def directory(self, handle: int, path: bytes) -> Entry:
        found = os.fstat(handle)
        self._check_time(path, found)
        if self._xattrs is None:
            return _entry(path, "directory", found)
        self._check_set_id(path, found)
        return _entry(path, "directory", found, xattrs=self._xattrs.read(handle, path))

    def name(self, parent: int, name: bytes, path: bytes) -> Entry | _Folder | None:
        """Return the entry of a file or link, `_FOLDER` for a directory, or None after reporting that it cannot be archived."""
        if b"\n" in name:
            self._report(Finding.NEWLINE, path)
        if name == PLACE:
            self._report(Finding.OURS, path)
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if found.st_dev != self._device:
                self._report(Finding.OTHER_FILE_SYSTEM, path)
                return None
            if stat.S_ISDIR(found.st_mode):
                return _FOLDER
            if stat.S_ISLNK(found.st_mode):
                return self._link(parent, name, path, found)
            if stat.S_ISREG(found.st_mode):
                return self._file(parent, name, path, found)
            self._report(Finding.SPECIAL, path)
        except OSError as exc:
            _report_failure(self._report, path, exc)
        except PermanentError:  # handles.file: no longer a regular file
            self._report(Finding.CHANGED, path)
        return None

    def _file(self, parent: int, name: bytes, path: bytes, found: os.stat_result) -> Entry:
        self._check_time(path, found)
        if self._xattrs is None:
            return _entry(path, "file", found)
        with handles.file(parent, name) as handle:
            found = os.fstat(handle)
            if found.st_nlink > 1:
                self._report(Finding.HARD_LINKS, path)
            self._check_set_id(path, found)
            if found.st_size - found.st_blocks * 512 > _SPARSE_HOLE:
                self._report(Finding.SPARSE, path)
            return _entry(path, "file", found, xattrs=self._xattrs.read(handle, path))

    def _link(self, parent: int, name: bytes, path: bytes, found: os.stat_result) -> Entry:
        self._check_time(path, found)
        text = os.readlink(name, dir_fd=parent)
        if len(text) > LINK_LIMIT:
            self._report(Finding.LONG_LINK, path)
        if text.startswith(b"/") or b".." in text.split(b"/"):
            self._report(Finding.LINK_OUTSIDE, path)
        return _entry(path, "link", found, link=text)

    def _check_set_id(self, path: bytes, found: os.stat_result) -> None:
        if found.st_mode & (stat.S_ISUID | stat.S_ISGID):
            self._report(Finding.SETID, path)

    def _check_time(self, path: bytes, found: os.stat_result) -> None:
        if not _FIRST_TIME_NS <= found.st_mtime_ns < _END_TIME_NS:
            self._report(Finding.TIME, path)


def _entry(
    path: bytes, kind: str, found: os.stat_result, *, link: bytes | None = None, xattrs: dict[str, bytes] | None = None
) -> Entry:
    size = {"file": found.st_size, "link": len(link or b""), "directory": 0}[kind]
    return Entry(
        path=path,
        type=kind,  # type: ignore[arg-type]  # one of the three literals at every call
        size=size,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
        inode=found.st_ino,
        links=found.st_nlink,
        crc32=crc32(link) if link is not None else 0,
        link=link,
        xattrs=xattrs,
    )


def _report_failure(report: Report, path: bytes, exc: OSError) -> None:
    if exc.errno in DENIED:
        report(Finding.UNREADABLE, path)
    elif exc.errno in MOVED:
        report(Finding.CHANGED, path)
    else:
        message = f"The source cannot be read at {printable(path) or 'its top'}: {exc.strerror}."
        raise TransientError(message, Operation.COMPRESSION) from exc


class _XattrReader:
    """Reads extended attributes (including POSIX ACLs) by handle. Equal sets, as inherited ACLs usually are, share one dict."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._shared: dict[tuple[tuple[str, bytes], ...], dict[str, bytes]] = {}

    def read(self, handle: int, path: bytes) -> dict[str, bytes] | None:
        found = attributes(handle)
        if not found:
            return None
        if any(not _is_text(name) for name in found):
            self._report(Finding.XATTR_NAME, path)
            return None
        pairs = tuple(found.items())
        if sum(len(value) for _, value in pairs) > XATTR_LIMIT:
            self._report(Finding.XATTR_SIZE, path)
            return None
        if any(name != "security.selinux" for name, _ in pairs):  # a label that every file has on such systems
            self._report(Finding.XATTRS, path)
        return self._shared.setdefault(pairs, found)


def attributes(handle: int) -> dict[str, bytes]:
    """Read the extended attributes of an open file or directory, including POSIX ACLs, by name.

    Names that the account may not see are missing. Empty when the file system has none. Raises OSError when a value is refused.
    """
    try:
        names = sorted(os.listxattr(handle))
    except OSError as exc:
        if exc.errno in {errno.ENOTSUP, errno.EOPNOTSUPP}:
            return {}
        raise
    return {name: value for name in names if (value := _xattr(handle, name)) is not None}


def _xattr(handle: int, name: str) -> bytes | None:
    try:
        return os.getxattr(handle, name)
    except OSError as exc:
        if exc.errno == errno.ENODATA:  # removed since it was listed: ctime shows that later
            return None
        raise


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
