"""Unpack into a fresh directory. This module creates every name itself, by directory handle, below that directory.

7-Zip and tar only deliver bytes. A path, link or device of an archive reaches the file system only if `checks` allows it and
this module creates it. Directories are created and never followed. Files are created with O_EXCL. Links are created last of
their path and are never followed.
"""

import errno
import os
import stat
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress

import msgspec

from shared.archiving.checks import link_problem
from shared.archiving.formats import BAD_PASSWORD, DAMAGED, UNSAFE
from shared.archiving.protocol import Extracted, Member
from shared.errors import PermanentError
from shared.files import handles
from shared.files.findings import Finding
from shared.files.manifest import printable
from shared.files.position import Position
from shared.files.tree_scan import scan

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20
Read = Callable[[int], bytes | memoryview]
"""Returns the next bytes, at most the given number, none at the end. They are valid until the next call."""


class Writer:
    """Writes the members of one archive below the open directory `into`. Several threads may call `put`."""

    def __init__(self, into: int) -> None:
        self._into = into
        self._position = Position(into)
        self._folders: dict[bytes, Member | None] = {b"": None}
        self._sizes: dict[bytes, int] = {}
        self._links: dict[bytes, bytes] = {}
        self._naming = threading.Lock()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self.total_bytes = 0

    def put(self, member: Member, read: Read, progress: Callable[[int], None]) -> None:
        """Create one checked member; `progress` gets the number of bytes just written. Raises PermanentError for wrong content."""
        with self._naming:
            try:
                file = self._named(member)
            except OSError as exc:
                if wrong := _name_problem(exc):
                    raise PermanentError(f"{printable(member.path)} cannot be unpacked here: {wrong}.", UNSAFE) from exc
                raise
        if file is None:
            return
        try:
            size = _fill(file, member, read, progress)
            os.fchmod(file, (0o644 if member.mode is None else member.mode | 0o400) & ~self._umask)
            _set_time(file, member)
        finally:
            os.close(file)
        with self._naming:
            self._sizes[member.path] = size
            self.total_bytes += size

    def _named(self, member: Member) -> int | None:
        """Create a member that has no content, or create a file and return its open handle."""
        parent, _, name = member.path.rpartition(b"/")
        if member.kind == "directory":
            self._folder(member.path)
            self._folders[member.path] = member
            return None
        handle = self._position.at(self._folder(parent))
        if member.kind == "file":
            return os.open(name, _NEW, 0o600, dir_fd=handle)
        if member.kind == "link":
            self._link(handle, name, member)
        else:
            self._hard_link(member)
        return None

    def _folder(self, path: bytes) -> bytes:
        missing = []
        above = path
        while above not in self._folders:
            missing.append(above)
            above = above.rpartition(b"/")[0]
        for one in reversed(missing):
            parent, _, name = one.rpartition(b"/")
            os.mkdir(name, 0o700, dir_fd=self._position.at(parent))
            self._folders[one] = None
        return path

    def _link(self, parent: int, name: bytes, member: Member) -> None:
        text = member.link or b""
        os.symlink(text, name, dir_fd=parent)
        _set_time(name, member, parent)
        self._links[member.path] = text
        self._sizes[member.path] = len(text)

    def _hard_link(self, member: Member) -> None:
        target = member.link or b""
        if target in self._links:  # relative to this name, it may lead elsewhere
            link = msgspec.structs.replace(member, kind="link", link=self._links[target])
            if wrong := link_problem(link):
                raise PermanentError(f"The archive is refused: {wrong}.", UNSAFE)
            parent, _, name = member.path.rpartition(b"/")
            self._link(self._position.at(parent), name, link)
            return
        if target not in self._sizes:
            sentence = f"{printable(member.path)} is a hard link to {printable(target)}, which was not unpacked before it"
            raise PermanentError(f"The archive is refused: {sentence}.", UNSAFE)
        parent, _, name = target.rpartition(b"/")
        with handles.directory(self._into, parent) as source:
            if not stat.S_ISREG(os.stat(name, dir_fd=source, follow_symlinks=False).st_mode):
                raise PermanentError(f"The archive is refused: {printable(member.path)} is a hard link to no file.", UNSAFE)
            own_parent, _, own_name = member.path.rpartition(b"/")
            os.link(name, own_name, src_dir_fd=source, dst_dir_fd=self._position.at(own_parent), follow_symlinks=False)
        self._sizes[member.path] = self._sizes[target]
        self.total_bytes += self._sizes[target]

    def finish(self) -> Extracted:
        """Set the mode and time of directories, then walk over everything and compare it with what was written."""
        for path in sorted(self._folders, key=len, reverse=True):
            member = self._folders[path]
            if member is None:
                if path:
                    os.fchmod(self._position.at(path), 0o777 & ~self._umask)
                continue
            handle = self._position.at(path)
            os.fchmod(handle, ((0o755 if member.mode is None else member.mode) | 0o700) & ~self._umask)
            _set_time(handle, member)
        self._compare()
        return Extracted(files=len(self._sizes), directories=len(self._folders) - 1, total_bytes=self.total_bytes)

    def _compare(self) -> None:
        wrong: list[bytes] = []
        left = dict(self._sizes)
        folders = set(self._folders)

        def report(finding: Finding, path: bytes) -> None:
            if finding not in {Finding.NEWLINE, Finding.LINK_OUTSIDE, Finding.TIME, Finding.LONG_LINK}:
                wrong.append(path)

        for entry in scan(self._into, report=report, stop=lambda: None, inspect=False):
            if entry.type == "directory":
                folders.discard(entry.path) if entry.path in folders else wrong.append(entry.path)
            elif left.pop(entry.path, None) != entry.size:
                wrong.append(entry.path)
        if wrong := [*wrong, *left, *folders]:
            raise PermanentError(f"What was unpacked is not what was written: {printable(wrong[0])}.", DAMAGED)

    def close(self) -> None:
        self._position.__exit__()


def _name_problem(exc: OSError) -> str | None:
    """Return why this file system refuses a name. `checks` made sure that names are unique, and the directory is new."""
    if exc.errno == errno.EEXIST:
        return (
            "the archive holds another name which this file system takes for one and the same (names that differ only in case, or in "
            "the writing of letters); unpack it on a file system that tells them apart, or choose entries"
        )
    if exc.errno in {errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG}:
        return f"this file system does not take such a name ({exc.strerror}); unpack it on another one, or choose entries"
    return None


def _fill(file: int, member: Member, read: Read, progress: Callable[[int], None]) -> int:
    size, crc = 0, 0
    while block := read(_BLOCK):
        _write_all(file, block)
        size += len(block)
        crc = zlib.crc32(block, crc)
        progress(len(block))
    if member.crc32 not in {None, crc}:
        raise _wrong_content(member)
    return size


def _wrong_content(member: Member) -> PermanentError:
    """Return the error for wrong content. Few formats can tell a wrong password from damage before they decrypt everything."""
    if member.encrypted:
        sentence = f"The password is wrong, or the archive is damaged: the content of {printable(member.path)} is not what it was."
        return PermanentError(sentence, BAD_PASSWORD)
    return PermanentError(f"The archive is damaged: the content of {printable(member.path)} is wrong.", DAMAGED)


def _write_all(file: int, block: bytes | memoryview) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(file, view) :]


def _set_time(target: int | bytes, member: Member, parent: int | None = None) -> None:
    """Set the time from the archive, if the file system can hold it."""
    if member.mtime_ns is None:
        return
    with suppress(OSError, OverflowError, ValueError):
        times = (member.mtime_ns, member.mtime_ns)
        if isinstance(target, int):
            os.utime(target, ns=times)
        else:
            os.utime(target, ns=times, dir_fd=parent, follow_symlinks=False)
