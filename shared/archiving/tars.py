"""Tar archives: written in the POSIX (pax) form, names as raw bytes and times to the nanosecond, read strictly.

Python's reader ends quietly at a damaged header; here only the blocks of zeros that end an archive are its end.
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, BinaryIO, Self, cast

from shared.archiving import streams
from shared.archiving.checks import normal
from shared.archiving.formats import Format
from shared.archiving.protocol import Doing, Kind, Made, MakeTar, Member
from shared.files import handles
from shared.files.manifest import Entry, printable
from shared.files.tree_scan import WARNINGS, Finding, Position, SourceInUse, scan_below

_BUFFER = 1 << 20
_TYPES = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
_NS = 10**9
# What only GNU tar writes (-V, -M, -g).
_VOLUME_LABEL = b"V"
_CONTINUED = b"M"
_DIRECTORY_WITH_NAMES = b"D"


class DamagedTar(Exception):  # noqa: N818 - says what the archive is
    """A header is not what it has to be."""


class _Header(tarfile.TarInfo):
    """A header of an archive from anywhere: a bad one is an error, the archive's end only what is one."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """GNU's incremental archives have times where others have the first part of a long name."""
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
            kind = type(exc).__name__  # the module names these classes, but not in its list of public names
            if kind == "EOFHeaderError":
                raise
            if kind in {"EmptyHeaderError", "TruncatedHeaderError"}:
                raise EOFError("the archive has no end") from exc
            raise DamagedTar(str(exc)) from exc


class _Ending:
    """Tells the end of a stream once. The module's own way over content that is said to be exabytes would go on asking for hours."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ended = False

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        if not data and self._ended:
            raise EOFError("the archive is cut short")
        self._ended = not data
        return data


def members(stream: BinaryIO) -> Iterator[tuple[Member, IO[bytes] | None]]:
    """Every entry of a tar stream with its content, to be read before the next; then the stream is read to its end.

    Raises EOFError when it is cut short, DamagedTar, tarfile.TarError and what the stream raises when it is damaged.
    """
    file = cast("BinaryIO", _Ending(stream))  # the module calls nothing but read
    with tarfile.open(
        fileobj=file, mode="r|", bufsize=_BUFFER, tarinfo=_Header, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        while (header := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it would keep every one of a million headers
            if header.type == _VOLUME_LABEL:
                continue
            if header.type == _CONTINUED:
                raise EOFError("it goes on in another volume")
            content = archive.extractfile(header) if header.isreg() else None
            yield _member(header), content
    while stream.read(_BUFFER):  # the stream's own checksum comes last
        pass


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
    """Nanoseconds; the number the header was made from has too few digits for them."""
    try:
        return int(Decimal(header.pax_headers["mtime"]) * _NS)
    except (KeyError, InvalidOperation, OverflowError, ValueError):
        return int(header.mtime * _NS)


def make(request: MakeTar, say: Callable[[Doing], None]) -> Made:
    """Write the archive. Raises SourceInUse when something changes meanwhile, OSError when a disk fails."""
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
    """Says how much was read."""

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
