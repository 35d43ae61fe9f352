"""Make, test, list, compare and unpack archive files. The compressor's jobs and the command line's --local both use this module.

It uses no database and no NATS. `create` leaves untested files; they are good once `verify` finds no difference from the
manifest. Every refusal is a PermanentError whose `code` is one of those in shared/archiving/formats.py. Cancelling a task that
runs one of these functions ends its child processes and removes what it wrote.

`inherit`: open directories that a path goes through (`handles.path_of`), so that the files that were checked are the files that
are read. An archive and its volumes are opened there without following links.
"""

import asyncio
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from shared import units
from shared.archiving import contents, formats, protocol, sevenzip
from shared.archiving.contents import Contents
from shared.archiving.formats import Format
from shared.archiving.protocol import Extracted, Limits, Member
from shared.archiving.sevenzip import OnProgress, Progress
from shared.errors import Operation, PermanentError, TransientError, Waiting
from shared.files import trees
from shared.files.children import Children
from shared.files.findings import SourceInUse
from shared.files.manifest import Entry

_ARGUMENTS = 512 * 1024
_SMALLEST_VOLUME = 64 * 1024
_MOST_VOLUMES = 999
_LONGEST_PASSWORD = 99
_ANY = 1 << 62
_ANYBODYS = Limits()
_OURS = Limits(entries=_ANY, total_bytes=_ANY, names_bytes=_ANY, ratio=_ANY, seconds=30 * 24 * 3600)
"""Archives that we made ourselves are read to the end. A log of 2 GB that compresses a thousand times is not an attack."""
_T = TypeVar("_T")


class CreateSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How to make an archive. level: 0 (stored) to 9. volume_bytes: size of each part; None: one file."""

    format: Format
    level: int = 6
    password: str | None = None
    volume_bytes: int | None = None


class ExtractSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to unpack. entries: names in the archive, each with everything below it; empty: everything.

    taken: names that already exist at the target. An archive that has one of them at its top level is refused before it is
    unpacked.
    """

    password: str | None = None
    entries: Sequence[bytes] = ()
    taken: Sequence[bytes] = ()
    limits: Limits = _ANYBODYS


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of an archive; sizes are in bytes. ratio: (1 - compressed / original) x 100. files: entries except directories.

    problems: why `extract` would refuse the archive (the figures then omit bytes that it did not count). problem_code: the code
    of that refusal.
    """

    format: str
    entries: int
    files: int
    original_size: int
    compressed_size: int
    ratio: float
    encrypted: bool
    volumes: int
    problems: list[str]
    problem_code: str | None = None


def ratio(original: int, compressed: int) -> float:
    """Return (1 - compressed / original) x 100 to one decimal; 0 when `original` is 0."""
    return round((1 - compressed / original) * 100, 1) if original else 0.0


def check_spec(spec: CreateSpec) -> None:
    """Raise PermanentError, with the necessary change, for options that a format does not support."""
    found, password = spec.format, spec.password
    if found not in contents.CREATED:
        raise PermanentError(f"Archives of the format {found} cannot be made here; these can: {', '.join(contents.CREATED)}.")
    if not 0 <= spec.level <= 9:
        raise PermanentError(f"A level is a number from 0 to 9, not {spec.level}.")
    if password is not None:
        _check_password(found, password)
    if spec.volume_bytes is not None:
        if found not in {Format.ZIP, Format.SEVENZIP}:
            raise PermanentError(f"Only zip and 7z archives can be split into volumes, {found} cannot.")
        if spec.volume_bytes < _SMALLEST_VOLUME:
            raise PermanentError(f"A volume has at least {units.exact_size(_SMALLEST_VOLUME)}, not {spec.volume_bytes:,}.")


def _check_password(found: Format, password: str) -> None:
    if found not in {Format.ZIP, Format.SEVENZIP}:
        raise PermanentError(f"Only zip and 7z archives can have a password, {found} cannot.")
    if not password or len(password) > _LONGEST_PASSWORD or not password.isprintable():
        raise PermanentError(
            f"A password has 1 to {units.counted(_LONGEST_PASSWORD, 'character')}, none of them a control character."
        )
    if found is Format.ZIP and not password.isascii():
        raise PermanentError("A zip archive's password can only hold ASCII characters; choose another one, or the format 7z.")


# Making ------------------------------------------------------------------------------------------------------------------------


async def create(
    base: Path,
    names: Sequence[bytes],
    output_dir: Path,
    file_name: str,
    spec: CreateSpec,
    children: Children,
    on_progress: OnProgress,
    *,
    inherit: Sequence[int] = (),
    binary: Path | None = None,
) -> list[Path]:
    """Pack the entries `names` below `base` under these names. Return the new, untested files in `output_dir`, in order.

    The result is one file, or its volumes `{file_name}.001`, ... Links are stored as links. `output_dir` must not hold files
    with these names. Raises PermanentError for what cannot be done, SourceInUse, Waiting when the disk is full, and
    TransientError for the rest. No file is left after a failure.
    """
    check_spec(spec)
    wanted = contents.chosen(names)
    before = set(output_dir.iterdir())
    try:
        if spec.format.is_tar:
            return [await _make_tar(base, wanted, output_dir / file_name, spec, children, on_progress, inherit)]
        return await _pack(base, wanted, output_dir, file_name, spec, children, on_progress, binary)
    except BaseException:
        for path in set(output_dir.iterdir()) - before:  # 7-Zip leaves it behind when it is killed
            path.unlink(missing_ok=True)
        raise


async def _pack(
    base: Path,
    names: list[bytes],
    output_dir: Path,
    file_name: str,
    spec: CreateSpec,
    children: Children,
    on_progress: OnProgress,
    binary: Path | None,
) -> list[Path]:
    if sum(len(name) + 1 for name in names) > _ARGUMENTS:
        raise PermanentError(f"These are too many names at once ({len(names):,}): choose the folder that holds them.")
    ending = spec.format.value
    plain = output_dir / f"new.{ending}"  # 7-Zip adds an extension to a name without one
    seven = sevenzip.SevenZip(binary or sevenzip.find_binary(None), children)
    await seven.pack(
        base, names, plain, archive_type=ending, level=spec.level, password=spec.password, volume_bytes=spec.volume_bytes,
        on_progress=on_progress, what=f"Packing {file_name}",
    )  # fmt: skip
    made = [plain] if spec.volume_bytes is None else _volumes(plain)
    return [path.rename(output_dir / path.name.replace(plain.name, file_name, 1)) for path in made]


def _volumes(plain: Path) -> list[Path]:
    found: list[Path] = []
    while (part := plain.with_name(f"{plain.name}.{len(found) + 1:03}")).exists():
        found.append(part)
    if len(found) > _MOST_VOLUMES:
        raise PermanentError(f"These are more than {units.counted(_MOST_VOLUMES, 'volume')}: choose a bigger size for them.")
    return found


async def _make_tar(
    base: Path,
    names: list[bytes],
    output: Path,
    spec: CreateSpec,
    children: Children,
    on_progress: OnProgress,
    inherit: Sequence[int],
) -> Path:
    request = protocol.MakeTar(
        base=os.fsencode(base), names=names, output=os.fsencode(output), format=spec.format, level=spec.level
    )
    what, rlimits = f"Packing {output.name}", sevenzip.making_rlimits()
    await _ask(request, children, what, protocol.Made, on_progress=on_progress, inherit=inherit, rlimits=rlimits)
    return output


async def manifest(base: Path, names: Sequence[bytes], stop: Callable[[], None], on_bytes: Callable[[int], None]) -> Contents:
    """Run `contents.manifest` in a thread: it lists the current entries with every CRC. The thread ends when `stop` raises."""
    return await asyncio.to_thread(contents.manifest, base, names, stop, on_bytes)


# Verifying ---------------------------------------------------------------------------------------------------------------------


async def verify(
    archive: Path,
    entries: Iterable[Entry],
    children: Children,
    on_progress: OnProgress,
    *,
    password: str | None = None,
    binary: Path | None = None,
) -> list[str]:
    """Unpack the archive in memory and compare each entry with the manifest: name, type, size, CRC-32, time.

    Return an empty list when they are equal, else the differences (at most 20, then a count). Raises PermanentError for a
    damaged archive.
    """
    found = await asyncio.to_thread(formats.detect, archive)
    comparison = contents.Comparison(entries, found)
    # An encrypted zip lists no CRCs, and tar has none. These formats are read once, for both the test and the comparison.
    reading = not found.by_7zip or (found is Format.ZIP and password is not None)
    if not reading:
        await check(archive, children, on_progress, password=password, binary=binary)
    await _scan(
        archive,
        children,
        comparison.add,
        contents_too=reading,
        password=password,
        binary=binary,
        limits=_OURS,
        on_progress=on_progress,
    )
    return comparison.end()


async def check(
    archive: Path, children: Children, on_progress: OnProgress, *, password: str | None = None, binary: Path | None = None
) -> None:
    """Unpack in memory and check every checksum. Raises PermanentError: bad-password, damaged, truncated, unknown-format."""
    if (await asyncio.to_thread(formats.detect, archive)).by_7zip:
        await sevenzip.SevenZip(binary or sevenzip.find_binary(None), children).check(archive, password, on_progress)
    else:
        await _scan(
            archive, children, None, contents_too=True, password=password, binary=binary, limits=_ANYBODYS, on_progress=on_progress
        )


# Inspecting --------------------------------------------------------------------------------------------------------------------


async def listing(
    archive: Path,
    password: str | None,
    children: Children,
    on_entry: Callable[[Member], None],
    *,
    limits: Limits = _ANYBODYS,
    inherit: Sequence[int] = (),
    binary: Path | None = None,
) -> Stats:
    """Pass every entry to `on_entry` in the archive's order; return the figures. Raises the same errors as `check`."""
    return _stats(
        await _scan(
            archive, children, on_entry, contents_too=False, password=password, binary=binary, limits=limits, inherit=inherit
        )
    )


async def inspect(archive: Path, password: str | None, limits: Limits, children: Children, *, binary: Path | None = None) -> Stats:
    """Return the figures of an archive and unpack nothing to disk. Raises as `check`. A tar or single stream is read to its end."""
    return _stats(await _scan(archive, children, None, contents_too=False, password=password, binary=binary, limits=limits))


def _stats(scanned: protocol.Scanned) -> Stats:
    return Stats(
        format=scanned.format,
        entries=scanned.entries,
        files=scanned.files,
        original_size=scanned.original_size,
        compressed_size=scanned.packed_bytes,
        ratio=ratio(scanned.original_size, scanned.packed_bytes),
        encrypted=scanned.encrypted,
        volumes=scanned.volumes,
        problems=scanned.problems,
        problem_code=scanned.problem_code,
    )


async def _scan(
    archive: Path,
    children: Children,
    on_entry: Callable[[Member], None] | None,
    *,
    contents_too: bool,
    password: str | None,
    binary: Path | None,
    limits: Limits,
    inherit: Sequence[int] = (),
    on_progress: OnProgress | None = None,
) -> protocol.Scanned:
    request = protocol.Scan(
        archive=os.fsencode(archive),
        sevenzip=str(binary or sevenzip.find_binary(None)),
        password=password,
        limits=limits,
        contents=contents_too,
        quiet=on_entry is None,
    )
    return await _ask(
        request,
        children,
        f"Reading {archive.name}",
        protocol.Scanned,
        on_entry=on_entry,
        on_progress=on_progress,
        inherit=inherit,
        limits=limits,
    )


# Unpacking ---------------------------------------------------------------------------------------------------------------------


async def extract(
    archive: Path,
    into: Path,
    spec: ExtractSpec,
    children: Children,
    on_progress: OnProgress,
    *,
    inherit: Sequence[int] = (),
    binary: Path | None = None,
) -> Extracted:
    """Unpack into `into`, which is created or must be empty. The caller renames it, or its contents, into place.

    Raises PermanentError (bad-password, damaged, truncated, unknown-format, unsafe-archive, too-big, not-found, taken), or
    Waiting when the disk is full; `into` is then removed.
    """
    into.mkdir(mode=0o700, exist_ok=True)
    if next(into.iterdir(), None) is not None:
        raise PermanentError(f"{into.name} is not empty.")
    request = protocol.Extract(
        archive=os.fsencode(archive),
        sevenzip=str(binary or sevenzip.find_binary(None)),
        password=spec.password,
        limits=spec.limits,
        into=os.fsencode(into),
        entries=list(spec.entries),
        taken=list(spec.taken),
    )
    try:
        what, limits = f"Unpacking {archive.name}", spec.limits
        return await _ask(request, children, what, protocol.Extracted, on_progress=on_progress, inherit=inherit, limits=limits)
    except BaseException:
        trees.remove_tree(into, lambda: None)
        raise


# The worker process ------------------------------------------------------------------------------------------------------------


class _Ear:
    """Receives the worker's answers line by line."""

    def __init__(self, on_entry: Callable[[Member], None] | None, on_progress: OnProgress | None) -> None:
        self._rest = b""
        self._on_entry = on_entry
        self._on_progress = on_progress
        self._percent = 0
        self.last: protocol.Answer | None = None

    def hear(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            answer = protocol.ANSWER.decode(line)
            if isinstance(answer, protocol.Found):
                if self._on_entry is not None:
                    self._on_entry(answer.member)
            elif isinstance(answer, protocol.Doing):
                self._doing(answer)
            else:
                self.last = answer

    def _doing(self, doing: protocol.Doing) -> None:
        if self._on_progress is not None:
            self._percent = max(self._percent, min(99, doing.done * 100 // max(doing.total, 1)))
            self._on_progress(Progress(self._percent, doing.files, doing.name))


async def _ask(
    request: protocol.Request,
    children: Children,
    what: str,
    expected: type[_T],
    *,
    on_entry: Callable[[Member], None] | None = None,
    on_progress: OnProgress | None = None,
    inherit: Sequence[int] = (),
    limits: Limits | None = None,
    rlimits: Mapping[int, int] | None = None,
) -> _T:
    """Run a worker and return its last answer. A failure in the worker is raised here as the same kind of error."""
    ear = _Ear(on_entry, on_progress)
    try:
        async with asyncio.timeout(limits.seconds if limits else None):
            outcome = await children.run(
                [sys.executable, "-I", "-m", "shared.archiving.worker"],
                stdin=protocol.ENCODER.encode(request),
                on_stdout=ear.hear,
                limits=_rlimits(limits) if limits else rlimits,
                env={"TZ": "UTC", "PATH": os.defpath, "PYTHONUTF8": "1", "TMPDIR": tempfile.gettempdir()},
                pass_fds=inherit,
            )
    except TimeoutError:
        raise PermanentError(
            f"{what} was stopped: it took longer than {units.duration(limits.seconds if limits else 0)}.", formats.TOO_BIG
        ) from None
    if isinstance(ear.last, protocol.Failed):
        raise _error(ear.last)
    if isinstance(ear.last, expected) and outcome.returncode == 0:
        if on_progress is not None:
            on_progress(Progress(100, getattr(ear.last, "files", 0), ""))
        return ear.last
    if outcome.returncode < 0:
        raise TransientError(f"{what} failed: the worker was killed by signal {-outcome.returncode}.", Operation.COMPRESSION)
    raise TransientError(
        f"{what} failed: the worker ended with code {outcome.returncode}: {outcome.complaint()}.", Operation.COMPRESSION
    )


def _rlimits(limits: Limits) -> dict[int, int]:
    return {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.total_bytes + 1,
        resource.RLIMIT_CPU: limits.seconds * (os.cpu_count() or 1),
        resource.RLIMIT_CORE: 0,
    }


def _error(failed: protocol.Failed) -> Exception:
    if failed.family == "permanent":
        return PermanentError(failed.message, failed.code)
    if failed.family == "waiting":
        return Waiting(failed.message)
    if failed.family == "in-use":
        return SourceInUse([failed.message])
    return TransientError(failed.message, Operation.COMPRESSION)
