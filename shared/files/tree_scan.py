"""Looking at one folder by directory handle: what is in it, what 7-Zip could not hold, what only the sidecar keeps.

No link is followed, no other file system entered, nothing written. Any depth works: a walk holds two directory handles.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Self

import msgspec

from shared.errors import ArchiverError, Operation, PermanentError, TransientError
from shared.files import handles
from shared.files.apart import PLACE
from shared.files.manifest import Entry, crc32, printable
from shared.units import counted

Stop = Callable[[], None]

# Measured with 7zz 26.03: longer paths are not extractable, a link text of 1,024 bytes is
# the longest that is stored.
PATH_LIMIT = 3_500
LINK_LIMIT = 1_000
XATTR_LIMIT = 1 << 20
MARKER_SUFFIX = "-ARCHIVED-TO-GLOBUS.txt"
PLAIN_MARKER = ".archived"
# What 7-Zip's 100 ns since 1601 and its listing hold: 1601-01-01 00:00:00.0000001 to the end of 9999 (measured: 1601 itself is
# listed as nothing, earlier times as the year 60056).
_FIRST_TIME_NS = -11_644_473_600 * 10**9 + 100
_END_TIME_NS = 253_402_300_800 * 10**9

_NAMED = 20
_STOP_EVERY = 100
_SPARSE_HOLE = 64 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MOVED = {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ESTALE}
DENIED = {errno.EACCES, errno.EPERM}


class SourceInUse(ArchiverError):  # noqa: N818 - says what happened to the source
    """The source was changed while it was looked at or copied; copying again may help. `changes` names what changed."""

    def __init__(self, changes: list[str]) -> None:
        super().__init__(f"The source is in use: {named(changes)}.")
        self.changes = changes


class Finding(StrEnum):
    """What makes an entry impossible (refusal), imperfect (warning) or unsteady; the value is the sentence it is named in."""

    SPECIAL = "Special files (FIFO, socket, device) cannot be archived; remove them: {}"
    UNREADABLE = "Not readable; give the archiver's account the right to read: {}"
    NEWLINE = "Names with a line break cannot be checked inside an archive; rename them: {}"
    LONG_PATH = "Paths longer than 3,500 bytes (folder name included) cannot be restored; shorten them: {}"
    LONG_LINK = "Links with a text longer than 1,000 bytes cannot be archived; shorten them: {}"
    OTHER_FILE_SYSTEM = "Another file system is mounted here; unmount it or archive it on its own: {}"
    XATTR_SIZE = "More than 1 MiB of extended attributes on one entry cannot be kept; reduce them: {}"
    XATTR_NAME = "Names of extended attributes that are not UTF-8 cannot be kept; remove them: {}"
    TIME = "Modification times before 1601 or after 9999 cannot be archived; set others: {}"
    FOLDER_NAME = "The folder's name must be UTF-8 text without line breaks; rename it: {}"
    FOLDER_NAME_LENGTH = (
        "The folder's name is too long: its marker's name, which is 23 bytes longer, would exceed what the file system takes (mostly"
        " 255 bytes). Shorten it: {}"
    )

    HARD_LINKS = "Hard links become separate files in the archive; the sidecar keeps which files were one: {}"
    XATTRS = "Extended attributes and ACLs are not in the archive; the sidecar keeps them: {}"
    SETID = "Set-user-id and set-group-id bits are not in the archive; the sidecar keeps them: {}"
    LINK_OUTSIDE = "Links with an absolute or '..' target may be refused when restoring; the sidecar keeps their exact text: {}"
    SAME_NAMES = "Names that differ only in case, or in the writing of letters, are one and the same on Windows and macOS: {}"
    SPARSE = "Sparse files need their full size when restored: {}"

    OURS = "Places of CS Archiver itself are never archived (see .cs-archiver-place there): {}"

    CHANGED = "changed or vanished: {}"


WARNINGS = (Finding.HARD_LINKS, Finding.XATTRS, Finding.SETID, Finding.LINK_OUTSIDE, Finding.SAME_NAMES, Finding.SPARSE)
WITHOUT_SIDECAR = {
    Finding.LONG_PATH: "Paths longer than 3,500 bytes cannot be unpacked again; shorten them: {}",
    Finding.UNREADABLE: "Not readable with the present rights: {}",
    Finding.HARD_LINKS: "Hard links become separate files in the archive: {}",
    Finding.XATTRS: "Extended attributes and ACLs are not in the archive: {}",
    Finding.SETID: "Set-user-id and set-group-id bits are not restored from the archive: {}",
    Finding.LINK_OUTSIDE: "Links with an absolute or '..' target may be refused when the archive is unpacked: {}",
}
"""What is said otherwise of archives that people ask for: no manifest travels with those."""
Report = Callable[[Finding, bytes], None]


class PreflightReport(msgspec.Struct, frozen=True):
    """What a folder holds. `refusals`, `warnings` and `notes` are sentences for the user; with any refusal nothing may be copied.

    A note asks for nobody's attention. entries: parents first, the folder itself (empty path) at index 0. total_bytes: content of
    regular files. file_count: files and links.
    """

    entries: list[Entry]
    refusals: list[str]
    warnings: list[str]
    notes: list[str]
    total_bytes: int
    file_count: int


class Position:
    """One directory handle that moves through a tree, part by part, never through a link; deep trees need no more handles.

    Going up opens `..` and checks that it is the directory we came from. Not for several threads.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._handle = os.dup(root)
        self._path = b""
        self._parts: list[bytes] = []
        self._ids = [_identity(root)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def at(self, path: bytes) -> int:
        """The handle of directory `path`, good until the next call. Raises OSError when there is no such directory any more."""
        if path == self._path:
            return self._handle
        parts = handles.split(path)
        self._path = b"/"  # no path is that: after a failure half-way nothing is assumed
        common = 0
        for here, there in zip(self._parts, parts, strict=False):
            if here != there:
                break
            common += 1
        while len(self._parts) > common:
            self._up()
        for part in parts[common:]:
            self._move(part)
            self._parts.append(part)
            self._ids.append(_identity(self._handle))
        self._path = path
        return self._handle

    def _up(self) -> None:
        self._move(b"..")
        self._parts.pop()
        self._ids.pop()
        if _identity(self._handle) != self._ids[-1]:
            os.close(self._handle)  # who knows where this is: the next call starts at the root again
            self._handle = os.dup(self._root)
            self._parts, self._ids = [], self._ids[:1]
            raise OSError(errno.ESTALE, "a directory was moved")

    def _move(self, name: bytes) -> None:
        handle = os.open(name, _DIRECTORY, dir_fd=self._handle)
        os.close(self._handle)
        self._handle = handle


def _identity(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino


def named(items: list[str]) -> str:
    """Name at most 20 things."""
    more = len(items) - _NAMED
    return ", ".join(items[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


class Findings:
    """Counts every finding and remembers the first 20 names of each, so that a bad tree costs no memory.

    sidecar: whether a manifest keeps what the archive does not hold.
    """

    def __init__(self, *, sidecar: bool = True) -> None:
        self._sidecar = sidecar
        self._first: dict[Finding, list[str]] = {}
        self._count: dict[Finding, int] = {}

    def report(self, finding: Finding, path: bytes) -> None:
        """Note one finding."""
        self._count[finding] = self._count.get(finding, 0) + 1
        first = self._first.setdefault(finding, [])
        if len(first) < _NAMED:
            first.append(printable(path) or "the folder itself")

    def sentences(self, *, warnings: bool) -> list[str]:
        """A sentence for each kind of refusal, or of warning."""
        return [self._sentence(f) for f in self._first if f is not Finding.CHANGED and (f in WARNINGS) == warnings]

    def changes(self) -> list[str]:
        """What changed while it was looked at, in a sentence."""
        return [self._sentence(Finding.CHANGED)] if Finding.CHANGED in self._first else []

    def _sentence(self, finding: Finding) -> str:
        first, more = self._first[finding], self._count[finding] - len(self._first[finding])
        sentence = str(finding) if self._sidecar else WITHOUT_SIDECAR.get(finding, str(finding))
        return sentence.format(", ".join(first) + (f" and {more:,} more" if more else ""))


def scan(root: int, *, report: Report, stop: Stop, inspect: bool, prefix_length: int = 0) -> Iterator[Entry]:
    """Yield what is below the open directory `root`, the directory itself first, parents before children, names in byte order.

    `inspect` opens every file for reading and reads extended attributes; without it only names and `lstat` are read. What cannot
    be archived is reported instead of yielded. `prefix_length`: bytes that stand before every path in the archive. `stop` is
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
    """Those names of one folder that differ from another only in case, or in the writing of letters (NFC, NFD). Pure."""
    alike: dict[str, list[bytes]] = {}
    for name in names:
        alike.setdefault(unicodedata.normalize("NFC", os.fsdecode(name)).casefold(), []).append(name)
    return [name for found in alike.values() if len(found) > 1 for name in found]


def scan_below(root: int, path: bytes, *, report: Report, stop: Stop, inspect: bool) -> Iterator[Entry]:
    """Yield whatever stands at `path` below the open directory `root`, and all below it; paths are relative to `root`.

    As `scan`, but `path` may also be a file or a link. Raises OSError when there is no such thing.
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
    """Says that a name is a directory, to be looked at when its turn comes."""


_FOLDER = _Folder()


class _Look:
    """What one thing in a folder is, and what is to be said about it."""

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
        """The entry of a file or link, `_FOLDER` for a directory; None when it cannot be archived, which was reported."""
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
        except PermanentError:  # handles.file: no regular file any more
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
    """Reads extended attributes (POSIX ACLs are among them) by handle; equal sets share one dict, as inherited ACLs mostly are."""

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
        if any(name != "security.selinux" for name, _ in pairs):  # a label every file has on such systems
            self._report(Finding.XATTRS, path)
        return self._shared.setdefault(pairs, found)


def attributes(handle: int) -> dict[str, bytes]:
    """Read the extended attributes of an open file or directory, POSIX ACLs included, by name.

    Names that the account may not see are not among them; empty where the file system has none. Raises OSError where a value is refused.
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
        if exc.errno == errno.ENODATA:  # removed since it was listed: ctime tells later
            return None
        raise


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def preflight(root: int, folder_name: bytes, stop: Stop) -> PreflightReport:
    """Look at a whole folder and say what refuses it and what only the sidecar will keep; opens every file for reading.

    Raises SourceInUse when it changes meanwhile, TransientError when the file system fails.
    """
    findings = Findings()
    check_folder_name(folder_name, handles.longest_name(root), findings.report)
    prefix = len(folder_name) + 1
    entries = list(scan(root, report=findings.report, stop=stop, inspect=True, prefix_length=prefix))
    if changes := findings.changes():
        raise SourceInUse(changes)
    return PreflightReport(
        entries=entries,
        refusals=findings.sentences(warnings=False),
        warnings=findings.sentences(warnings=True),
        notes=_owner_notes(entries),
        total_bytes=sum(e.size for e in entries if e.type == "file"),
        file_count=sum(1 for e in entries if e.type != "directory"),
    )


def _owner_notes(entries: Iterable[Entry]) -> list[str]:
    """Say that owners are not in the archive, where there are several: one owner is nobody's loss."""
    pairs = {(entry.uid, entry.gid) for entry in entries}
    users, groups = len({uid for uid, _ in pairs}), len({gid for _, gid in pairs})
    if users == groups == 1:
        return []
    several = [counted(number, noun) for number, noun in ((users, "owner"), (groups, "group")) if number > 1]
    return [f"The entries have {' and '.join(several)}. They are not in the archive; the sidecar keeps them."]


def is_marker(name: str) -> bool:
    """Whether a name directly in a folder says that the folder is archived."""
    return name == PLAIN_MARKER or name.endswith(MARKER_SUFFIX)


def marker_of(entries: Iterable[Entry]) -> str | None:
    """The name of a marker directly in a folder that was looked at, as it can be shown; None when there is none."""
    top = (entry.path for entry in entries if entry.path and b"/" not in entry.path)
    return next((printable(path) for path in top if is_marker(os.fsdecode(path))), None)


def name_refusals(folder: int, name: bytes) -> list[str]:
    """Return what makes the own name of an open folder impossible, in sentences; empty for a good one."""
    findings = Findings()
    check_folder_name(name, handles.longest_name(folder), findings.report)
    return findings.sentences(warnings=False)


def check_folder_name(name: bytes, longest: int, report: Report) -> None:
    """Report what makes a folder's own name impossible. longest: what its file system takes for a name, in bytes."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        report(Finding.FOLDER_NAME, name)
        return
    if "\n" in text or "\r" in text:
        report(Finding.FOLDER_NAME, name)
    if len(name) + len(MARKER_SUFFIX) > longest:
        report(Finding.FOLDER_NAME_LENGTH, name)


def remove_tree(path: Path, stop: Stop) -> None:
    """Remove a tree of ours, any depth, links never followed; nothing there is fine."""
    name = os.fsencode(path.name)
    with handles.root(path.parent) as parent:
        found = handles.lstat(parent, name)
        if found is None:
            return
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=parent)
            return
        with handles.directory(parent, name) as top:
            _empty(top, stop)
        os.rmdir(name, dir_fd=parent)


def _empty(top: int, stop: Stop) -> None:
    pending, folders = [b""], list[bytes]()
    with Position(top) as position:
        while pending:
            stop()
            folder = pending.pop()
            folders.append(folder)
            handle = position.at(folder)
            os.fchmod(handle, 0o700)
            for name in map(os.fsencode, os.listdir(handle)):  # noqa: PTH208 - pathlib cannot list a handle
                if stat.S_ISDIR(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
                    pending.append(folder + b"/" + name if folder else name)
                else:
                    os.unlink(name, dir_fd=handle)
        for folder in reversed(folders[1:]):
            parent, _, name = folder.rpartition(b"/")
            os.rmdir(name, dir_fd=position.at(parent))
