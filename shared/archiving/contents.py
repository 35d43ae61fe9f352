"""List what goes into an archive, entry by entry, and check that an archive holds exactly that."""

import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from shared.archiving.checks import Checks, names_problem
from shared.archiving.formats import Format
from shared.archiving.protocol import Limits, Member
from shared.errors import Operation, PermanentError, TransientError
from shared.files import handles
from shared.files.findings import Finding, Findings, SourceInUse
from shared.files.manifest import Entry, printable
from shared.files.position import Position
from shared.files.tree_scan import same_names, scan_below
from shared.files.trees import Stop

CREATED = (Format.ZIP, Format.SEVENZIP, Format.TAR, Format.TAR_GZ, Format.TAR_BZ2, Format.TAR_XZ, Format.TAR_ZST)
_BLOCK = 1 << 20
_MAX_DIFFERENCES = 20
_NS = 10**9
_LAST_ZIP_TIME = 2**32 - 1


class Contents(msgspec.Struct, frozen=True):
    """The entries below the chosen names. Paths are relative to the base of those names; parents come first.

    total_bytes: content of files. file_count: files and links. warnings: sentences about what an archive cannot hold.
    """

    entries: list[Entry]
    total_bytes: int
    file_count: int
    warnings: list[str]


def chosen(names: Sequence[bytes]) -> list[bytes]:
    """Return the names in byte order, without those below another name. Pure.

    Raises PermanentError for anything but a plain relative path.
    """
    if not names:
        raise PermanentError("Nothing was chosen.")
    for name in names:
        if not handles.split(name):
            raise PermanentError("An archive is made of named files and folders, not of the top folder itself.")
    kept: set[bytes] = set()
    for name in sorted(set(names), key=lambda name: name.count(b"/")):
        parts = name.split(b"/")
        if not any(b"/".join(parts[:length]) in kept for length in range(1, len(parts))):
            kept.add(name)
    return sorted(kept)


def manifest(base: Path, names: Sequence[bytes], stop: Stop, on_bytes: Callable[[int], None], *, sha256: bool = False) -> Contents:
    """List everything and read every file for its CRC-32 (with `sha256`, also for its SHA-256).

    `on_bytes` gets the number of bytes read so far. Raises PermanentError that names everything that cannot be archived,
    SourceInUse when something changes during the reading, TransientError when the file system fails, and the errors of
    `stop`.
    """
    findings = Findings(sidecar=False)
    with handles.root(base) as root:
        found = _with_digests(root, _look(root, names, stop, findings), stop, on_bytes, sha256=sha256)
    return Contents(
        entries=found,
        total_bytes=sum(entry.size for entry in found if entry.type == "file"),
        file_count=sum(1 for entry in found if entry.type != "directory"),
        warnings=findings.sentences(warnings=True),
    )


def unpack_problems(entries: Iterable[Entry], packed_bytes: int, limits: Limits | None = None) -> list[str]:
    """Return why our `unzip` would refuse an archive of these entries and `packed_bytes`; empty when it would not. Pure."""
    limits = limits or Limits()
    checks, names_bytes = Checks(limits, packed_bytes), 0
    for entry in entries:
        checks.add(Member(path=entry.path, kind=entry.type, size=entry.size, link=entry.link))
        names_bytes += len(entry.path) + len(entry.link or b"")
    wrong = names_problem(names_bytes, limits)
    return [*(problem.sentence for problem in checks.problems), *([wrong] if wrong else [])]


def entries(base: Path, names: Sequence[bytes], stop: Stop) -> list[Entry]:
    """List everything again without reading it. Raises the same errors as `manifest`."""
    with handles.root(base) as root:
        return _look(root, names, stop, Findings(sidecar=False))


def _look(root: int, names: Sequence[bytes], stop: Stop, findings: Findings) -> list[Entry]:
    found: list[Entry] = []
    names = chosen(names)
    for twin in _twins(names):
        findings.report(Finding.SAME_NAMES, twin)
    for name in names:
        try:
            found += scan_below(root, name, report=findings.report, stop=stop, inspect=True)
        except FileNotFoundError as exc:
            raise PermanentError(f"There is no {printable(name)} (any more).") from exc
    if changes := findings.changes():
        raise SourceInUse(changes)
    if refusals := findings.sentences(warnings=False):
        raise PermanentError(" ".join(refusals))
    return found


def _twins(names: Sequence[bytes]) -> Iterator[bytes]:
    """Yield chosen names in the same folder that are too similar. The walk compares the names below them."""
    below: dict[bytes, list[bytes]] = {}
    for name in names:
        parent, slash, last = name.rpartition(b"/")
        below.setdefault(parent + slash, []).append(last)
    for parent, those in below.items():
        yield from (parent + name for name in same_names(those))


def _with_digests(root: int, looked_at: list[Entry], stop: Stop, on_bytes: Callable[[int], None], *, sha256: bool) -> list[Entry]:
    found, done, wrong = [], 0, list[str]()
    with Position(root) as position:
        for entry in looked_at:
            if entry.type != "file" or not (entry.size or sha256):
                found.append(entry)
                continue
            parent, _, name = entry.path.rpartition(b"/")
            digest = hashlib.sha256() if sha256 else None
            try:
                with handles.file(position.at(parent), name) as handle:
                    handles.write_back(handle)
                    began = time.time_ns()
                    crc, size = _crc32(handle, stop, partial(_later, on_bytes, done), digest)
                    now = os.fstat(handle)
                    ended = time.time_ns()
            except FileNotFoundError:
                raise SourceInUse([printable(entry.path)]) from None
            except OSError as exc:
                raise TransientError(f"{printable(entry.path)} cannot be read: {exc.strerror}.", Operation.COMPRESSION) from exc
            if (size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino) != (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode):
                wrong.append(printable(entry.path))
            done += entry.size
            facts = {"crc32": crc, "sha256": digest.digest() if digest else None, "read_from_ns": began, "read_to_ns": ended}
            found.append(msgspec.structs.replace(entry, **facts))
    if wrong:
        raise SourceInUse(wrong)
    return found


def _later(on_bytes: Callable[[int], None], before: int, count: int) -> None:
    on_bytes(before + count)


def _crc32(handle: int, stop: Stop, on_bytes: Callable[[int], None], digest: "hashlib._Hash | None") -> tuple[int, int]:
    crc, size = 0, 0
    buffer = bytearray(_BLOCK)
    view = memoryview(buffer)
    while count := os.readv(handle, [view]):
        stop()
        crc = zlib.crc32(view[:count], crc)
        if digest is not None:
            digest.update(view[:count])
        size += count
        on_bytes(size)
    return crc, size


_KINDS = {"file": "file", "directory": "directory", "link": "link"}


class Comparison:
    """Check that every member matches an entry of the manifest in type, size, CRC-32 and time, and that no entry is left. Pure.

    Times are compared as exactly as the format stores them: tar to the nanosecond, 7z to 100 ns, zip to the second (from 1970
    to 2106). A file that is in the manifest is never accepted without a CRC, even if the archive does not list one.
    """

    def __init__(self, entries: Iterable[Entry], of: Format) -> None:
        self._format = of
        self._left = {entry.path: entry for entry in entries}
        self._found: list[str] = []
        self._more = 0

    def add(self, member: Member) -> None:
        entry = self._left.pop(member.path, None)
        if entry is None:
            self._say(f"not chosen, or twice in the archive: {printable(member.path)}")
            return
        crc = 0 if entry.type == "directory" else entry.crc32
        expected = (entry.type, entry.size, crc, self._time(entry.mtime_ns))
        actual = (member.kind, member.size, 0 if entry.type == "directory" else member.crc32, member.mtime_ns)
        names = ("type", "size", "CRC", "time")
        if wrong := [name for name, one, other in zip(names, expected, actual, strict=True) if one != other]:
            self._say(f"different {', '.join(wrong)}: {printable(member.path)}")

    def end(self) -> list[str]:
        for path in self._left:
            self._say(f"missing in the archive: {printable(path)}")
        return [*self._found, f"and {self._more:,} more"] if self._more else self._found

    def _time(self, mtime_ns: int) -> int:
        if self._format is Format.ZIP:
            return min(max(mtime_ns // _NS, 0), _LAST_ZIP_TIME) * _NS
        return mtime_ns // 100 * 100 if self._format is Format.SEVENZIP else mtime_ns

    def _say(self, difference: str) -> None:
        if len(self._found) < _MAX_DIFFERENCES:
            self._found.append(difference)
        else:
            self._more += 1
