"""Tar archives: written in the POSIX (pax) format, with names as raw bytes and times to the nanosecond, and read strictly.

Python's reader stops silently at a damaged header. Here an archive ends only at its closing blocks of zeros.
"""

import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, BinaryIO, Self, cast
from zlib import adler32

from shared.archiving import streams
from shared.archiving.checks import normal
from shared.archiving.formats import Format
from shared.archiving.protocol import Doing, Kind, Made, MakeTar, Member
from shared.files import handles
from shared.files.findings import WARNINGS, Finding, SourceInUse
from shared.files.manifest import Entry, printable
from shared.files.position import Position
from shared.files.tree_scan import scan_below

_BUFFER = 1 << 20
_TYPES = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
_NS = 10**9
# Types that only GNU tar writes (-V, -M, -g).
_VOLUME_LABEL = b"V"
_CONTINUED = b"M"
_DIRECTORY_WITH_NAMES = b"D"
_HEADER = 512
_BLANK = 0x20
_POSIX = b"ustar\x0000"
# From byte 100: mode, user, group (which may be too big for digits), size, time, checksum, type, link target, magic, user and
# group names, and device numbers, which are not set.
_PLAIN = re.compile(
    rb"([0-7]{7})[ \0](?:(?:[0-7]{7}[ \0]|\x80.{7}){2})([0-7]{11})[ \0]([0-7]{11})[ \0]([0-7]{6})\0 ([0125]).{100}"
    rb"(ustar\x0000|ustar  \0).{64}(?:\0{16}|0000000\x000000000\0|000000 \x00000000 \0)",
    re.DOTALL,
)
Read = Callable[[int], bytes]


class DamagedTar(Exception):  # noqa: N818 - says what the archive is
    """A header is invalid."""


class _Header(tarfile.TarInfo):
    """A header of a foreign archive. An invalid header is an error; only the closing zeros are the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header. GNU's incremental archives store times where other archives store the first part of a long name."""
        header = super().frombuf(buf, encoding, errors)
        if buf[257:265] == tarfile.GNU_MAGIC:
            name = bytes(buf[:100]).partition(b"\0")[0].decode(encoding, errors)
            header.name = name.rstrip("/") if header.isdir() else name
        return header

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as exc:
            kind = type(exc).__name__  # the module has these classes, but not in its list of public names
            if kind == "EOFHeaderError":
                raise
            if kind in {"EmptyHeaderError", "TruncatedHeaderError"}:
                raise EOFError("the archive has no end") from exc
            raise DamagedTar(str(exc)) from exc


class _Blocks:
    """A forward-only stream with a buffer. It also has the file methods that the tarfile module calls."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._before = 0  # bytes of the stream before the buffer

    def tell(self) -> int:
        return self._before + self._at

    def read(self, size: int, /) -> bytes:
        """Read `size` bytes; fewer only at the end."""
        at, end = self._at, self._at + size
        if end <= len(self._buffer):
            self._at = end
            return self._buffer[at:end]
        pieces = [self._buffer[at:]]
        missing = size - len(pieces[0])
        while missing and self._refill():
            pieces.append(self._buffer[:missing])
            self._at = len(pieces[-1])
            missing -= self._at
        return b"".join(pieces)

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes and stay before them; fewer only at the end. However little the stream gives at a time."""
        while len(self._buffer) - self._at < size and (more := self._stream.read(_BUFFER)):
            self._before += self._at
            self._buffer, self._at = self._buffer[self._at :] + more, 0
        return self._buffer[self._at : self._at + size]

    def seek(self, position: int, /) -> int:
        """Skip to a later position. Raises EOFError when the stream is shorter."""
        while position > self._before + len(self._buffer):
            if not self._refill():
                raise EOFError("the archive is cut short")
        if position < self._before:
            raise DamagedTar("the content of an entry lies before its header")
        self._at = position - self._before
        return position

    def _refill(self) -> bool:
        """Replace the buffer with the next bytes. It is empty at the end of the stream."""
        self._before += len(self._buffer)
        self._buffer, self._at = self._stream.read(_BUFFER), 0
        return bool(self._buffer)


class _Content:
    """The content of a plain member: the next `left` bytes."""

    def __init__(self, blocks: _Blocks) -> None:
        self._blocks = blocks
        self.left = 0

    def read(self, size: int, /) -> bytes:
        wanted = min(size, self.left)
        data = self._blocks.read(wanted)
        if len(data) < wanted:
            raise EOFError("the archive is cut short")
        self.left -= wanted
        return data


def members(stream: BinaryIO) -> Iterator[tuple[Member, Read | None]]:
    """Yield each entry of a tar stream with a reader of its content; then read the stream to its end.

    The content must be read before the next entry. Most headers are plain and are read here; the tarfile module reads the
    others, at a fifth of the speed. Raises EOFError when the stream is truncated, DamagedTar, tarfile.TarError and the stream's
    own errors when it is damaged.
    """
    blocks = _Blocks(stream)
    content = _Content(blocks)
    others: tarfile.TarFile | None = None
    while True:
        at = blocks.tell()
        if (others is None or not others.pax_headers) and (member := _plain(blocks.peek(_HEADER))) is not None:
            blocks.seek(at + _HEADER)
            end = at + _HEADER
            if member.kind == "file":
                content.left = member.size
                end += -(-member.size // _HEADER) * _HEADER
                yield member, content.read
            else:
                yield member, None
        else:
            if others is None:
                others = _by_module(blocks)
            else:
                others.offset = at  # where its next header is
            if (header := others.next()) is None:
                break
            end = others.offset
            others.members = []  # type: ignore[attr-defined]  # it would keep all of a million headers
            if header.type == _CONTINUED:
                raise EOFError("it goes on in another volume")
            if header.type != _VOLUME_LABEL:
                stored = others.extractfile(header) if header.isreg() else None
                yield _member(header), stored.read if stored is not None else None
        blocks.seek(end)
    while stream.read(_BUFFER):  # the stream's own checksum comes last
        pass


def _by_module(blocks: _Blocks) -> tarfile.TarFile:
    """Return the tarfile module's own reader. It reads its first header at once, and its next() returns that header."""
    file = cast("BinaryIO", blocks)  # the module calls only tell, read and seek
    return tarfile.TarFile(fileobj=file, mode="r", tarinfo=_Header, encoding="utf-8", errors="surrogateescape")


def _plain(block: bytes) -> Member | None:
    """Return the member of a file, folder or link whose header is complete in this block; None for all others. Pure."""
    if (found := _PLAIN.match(block, 100)) is None or len(block) != _HEADER:
        return None
    mode, size, mtime, checksum, kind, magic = found.groups()
    # The sum of all bytes, where the checksum's own bytes count as blanks. The lower half of Adler-32 is that sum, exact for up
    # to 256 bytes.
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    if total - sum(checksum) + 7 * _BLANK != int(checksum, 8):
        return None
    path = block[:100].partition(b"\0")[0]
    if magic == _POSIX and block[345]:
        path = block[345:500].partition(b"\0")[0] + b"/" + path
    elif not path:
        return None
    if kind == b"0":
        return Member(path=normal(path), kind="file", size=int(size, 8), mtime_ns=int(mtime, 8) * _NS, mode=int(mode, 8) & 0o777)
    if kind == b"5":
        return Member(path=normal(path), kind="directory", size=0, mtime_ns=int(mtime, 8) * _NS, mode=int(mode, 8) & 0o777)
    target = block[157:257].partition(b"\0")[0]
    return Member(
        path=normal(path),
        kind="link" if kind == b"2" else "hardlink",
        size=len(target) if kind == b"2" else 0,
        mtime_ns=int(mtime, 8) * _NS,
        mode=int(mode, 8) & 0o777,
        link=target if kind == b"2" else normal(target),
    )


def _member(header: tarfile.TarInfo) -> Member:
    kind: Kind = "special"
    if header.isreg():
        kind = "file"
    elif header.isdir() or header.type == _DIRECTORY_WITH_NAMES:
        kind = "directory"
    elif header.issym():
        kind = "link"
    elif header.islnk():
        kind = "hardlink"
    target = _raw(header.linkname) if kind in {"link", "hardlink"} else None
    return Member(
        path=normal(_raw(header.name)),
        kind=kind,
        size=header.size if kind == "file" else len(target or b"") if kind == "link" else 0,
        mtime_ns=_time(header),
        mode=header.mode & 0o777,
        link=normal(target) if target is not None and kind == "hardlink" else target,
    )


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _time(header: tarfile.TarInfo) -> int:
    """Return the time in nanoseconds. The float that the header was built from has too few digits."""
    try:
        return int(Decimal(header.pax_headers["mtime"]) * _NS)
    except (KeyError, InvalidOperation, OverflowError, ValueError):
        return int(header.mtime * _NS)


def make(request: MakeTar, say: Callable[[Doing], None]) -> Made:
    """Write the archive. Raises SourceInUse when something changes during the writing, OSError when a disk fails."""
    with handles.root(Path(os.fsdecode(request.base))) as base, ExitStack() as stack:
        entries = list(_entries(base, request.names))
        total = sum(entry.size for entry in entries if entry.type == "file")
        file = stack.enter_context(Path(os.fsdecode(request.output)).open("xb"))
        with ExitStack() as packing:
            packed = streams.writer(packing, file, Format(request.format).compression, request.level)
            with tarfile.open(
                fileobj=packed, mode="w|", bufsize=_BUFFER, format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
            ) as archive:
                _write(archive, base, entries, lambda done, files, name: say(Doing(done, total, files, name)))
        file.flush()
    return Made(sum(1 for entry in entries if entry.type != "directory"), total)


def _entries(base: int, names: list[bytes]) -> Iterator[Entry]:
    wrong: list[str] = []

    def report(finding: Finding, path: bytes) -> None:
        if finding not in WARNINGS:
            wrong.append(finding.format(printable(path)))

    for name in names:
        yield from scan_below(base, name, report=report, stop=lambda: None, inspect=False)
    if wrong:
        raise SourceInUse(wrong)


def _write(archive: tarfile.TarFile, base: int, entries: list[Entry], say: Callable[[int, int, str], None]) -> None:
    done = 0
    with Position(base) as position:
        for number, entry in enumerate(entries):
            parent, _, name = entry.path.rpartition(b"/")
            say(done, number, printable(entry.path))
            if entry.type == "file":
                with handles.file(position.at(parent), name) as handle, open(handle, "rb", _BUFFER, closefd=False) as content:
                    if os.fstat(handle).st_size != entry.size:
                        raise SourceInUse([printable(entry.path)])
                    archive.addfile(_header(entry), _Told(content, lambda count: say(done + count, number, printable(entry.path))))  # noqa: B023 - called within this round
            else:
                archive.addfile(_header(entry))
            archive.members = []  # type: ignore[attr-defined]  # as above
            done += entry.size if entry.type == "file" else 0


class _Told:
    """Reports how much was read."""

    def __init__(self, content: IO[bytes], say: Callable[[int], None]) -> None:
        self._content = content
        self._say = say
        self._count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._content.read(size)
        self._count += len(data)
        self._say(self._count)
        return data


def _header(entry: Entry) -> tarfile.TarInfo:
    header = tarfile.TarInfo(entry.path.decode("utf-8", "surrogateescape"))
    header.type = _TYPES[entry.type]
    header.size = entry.size if entry.type == "file" else 0
    header.mode, header.uid, header.gid = entry.mode, entry.uid, entry.gid
    seconds, rest = divmod(entry.mtime_ns, _NS)
    header.mtime = seconds
    if rest:
        header.pax_headers = {"mtime": f"{Decimal(entry.mtime_ns) / _NS:f}"}
    if entry.link is not None:
        header.linkname = entry.link.decode("utf-8", "surrogateescape")
    return header
