"""`zip`, `unzip` and `zipinfo`: their output, and their work on local files (`--local`), without a server.

The work is done in a private directory beside the result. The finished result is renamed into place and replaces nothing.
A command that ends early leaves nothing behind.
"""

import asyncio
import os
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from cli import render, sentences, session
from cli.exits import Exit, Failure
from cli.sentences import Column
from shared import endings, units
from shared.archiving import engine, formats
from shared.archiving.contents import Contents, unpack_problems
from shared.archiving.engine import CreateSpec, ExtractSpec, Stats, ratio
from shared.archiving.formats import Format
from shared.archiving.protocol import Limits, Member
from shared.archiving.sevenzip import Progress
from shared.domain.requests import ArchiveResult, ExtractResult, format_for
from shared.errors import NOT_FOUND, TAKEN, ArchiverError, Cancelled, ConfigurationError, PermanentError, Waiting
from shared.files import findings, handles, tree_scan, trees
from shared.files.children import Children
from shared.files.manifest import Entry, printable, unsaid
from shared.files.paths import name_with

PASSWORD_VARIABLE = "CS_ARCHIVER_ARCHIVE_PASSWORD"  # noqa: S105 - a variable's name
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LEVEL = 6
_T = TypeVar("_T")
Step = Callable[[str, int, str], None]


class Archives(Protocol):
    """The three commands, on the server or on local files."""

    def zip(
        self,
        paths: list[str],
        output: str | None,
        form: str | None,
        level: int | None,
        password: bool,
        password_file: str | None,
        volume: str | None,
        as_json: bool,
    ) -> None:
        """Make an archive."""

    def unzip(
        self,
        path: str,
        destination: str | None,
        entries: list[str],
        password: bool,
        password_file: str | None,
        as_json: bool,
    ) -> None:
        """Unpack an archive."""

    def zipinfo(self, path: str, entries: bool, password: bool, password_file: str | None, as_json: bool) -> None:
        """Show what an archive holds."""


# Arguments and output, the same for both ---------------------------------------------------------------------------------------


def read_password(wanted: bool, file: str | None) -> str | None:
    """Return the archive's password, if one is wanted: from the first line of `file`, the environment, the terminal, or stdin."""
    if file is not None:
        try:
            lines = Path(file).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise Failure(Exit.USAGE, f"The password cannot be read: {exc}.") from exc
        if not lines or not lines[0]:
            raise Failure(Exit.USAGE, f"The first line of {file} is empty: there the password is expected.")
        return lines[0]
    return session.read_password("Password of the archive", PASSWORD_VARIABLE) if wanted else None


def bytes_of(size: str | None) -> int | None:
    """Convert a size such as "700M", "4G" or "4GB" into bytes. Units are powers of 1024; None stays None."""
    if size is None:
        return None
    number = size.upper().removesuffix("IB").removesuffix("B")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    try:
        count = int(float(number.removesuffix(unit)) * _UNITS[unit])
    except ValueError:
        count = 0
    if count <= 0:
        raise Failure(Exit.USAGE, f"Not a size: {size}. Say, for example, 700M or 4G.")
    return count


def speed(size: int, seconds: float) -> float:
    """Return the speed in MB (2^20 bytes) per second."""
    return round(size / max(seconds, 0.001) / (1 << 20), 2)


def show_made(result: ArchiveResult) -> None:
    """Print the fields of a new archive."""
    facts = [
        ("Format", result.format.upper()),
        ("Filename", Path(result.output_path).name),
        ("Original size", sentences.size(result.original_size)),
        ("Compressed size", sentences.size(result.compressed_size)),
        ("Compression ratio", f"{result.compression_ratio:.1f}%"),
        ("Files", f"{result.file_count}"),
        ("Volumes", f"{result.volumes}" if result.volumes > 1 else ""),
        ("Time taken", f"{result.seconds:.2f}s"),
        ("Speed", units.rate(result.mb_per_s * units.MB)),
        ("Location", result.output_path),
    ]
    render.facts(facts)
    for warning in result.warnings:
        render.talk(f"Note: {sentences.clean(warning)}")


def show_unpacked(archive: str, result: ExtractResult) -> None:
    """Print the fields of an extraction."""
    facts = [
        ("Archive", archive),
        ("Files extracted", f"{result.files_extracted}"),
        ("Total size", sentences.size(result.total_size)),
        ("Time taken", f"{result.seconds:.2f}s"),
        ("Speed", units.rate(result.mb_per_s * units.MB)),
        ("Destination", result.destination),
    ]
    render.facts(facts)


def show_stats(path: str, stats: Stats, options: Sequence[str] = ()) -> None:
    """Print the facts about an archive, and why it would be refused. Print the command that unpacks it on stderr.

    options: further options of that command, besides the path.
    """
    name = path.rpartition("/")[2]
    facts = [
        ("File", name),
        ("Format", stats.format.upper()),
        ("Files", f"{stats.files}"),
        ("Original size", sentences.size(stats.original_size)),
        ("Compressed size", sentences.size(stats.compressed_size)),
        ("Compression ratio", f"{stats.ratio:.1f}%"),
        ("Encrypted", "yes" if stats.encrypted else "no"),
        ("Volumes", f"{stats.volumes}" if stats.volumes > 1 else ""),
        ("Cannot be unpacked", "; ".join(stats.problems)),
    ]
    render.facts(facts)
    if not stats.problems:
        wanted = [*options, *(["--password"] if stats.encrypted else [])]
        command = shlex.join(["cs-archiver", "unzip", sentences.clean(path), *wanted])
        render.talk(f"Use `{command}` to extract this archive.")


_ENTRY_COLUMNS = (
    Column("TYPE", from_width=60),
    Column("SIZE", right=True, fixed=True),
    Column("CRC", from_width=100),
    Column("NAME"),
)


def show_entries(members: list[Member]) -> None:
    """Print one row per entry. Sizes are shortened only for people."""
    rows = [
        (
            member.kind,
            sentences.size(member.size) if member.kind == "file" else "",
            f"{member.crc32:08x}" if member.crc32 is not None and member.kind == "file" else "",
            printable(member.path) + (f" -> {printable(member.link)}" if member.link else ""),
        )
        for member in members
    ]
    render.table(_ENTRY_COLUMNS, rows, "The archive is empty.")


# Local files -------------------------------------------------------------------------------------------------------------------


class Local:
    """The commands, run on local files."""

    def zip(
        self,
        paths: list[str],
        output: str | None,
        form: str | None,
        level: int | None,
        password: bool,
        password_file: str | None,
        volume: str | None,
        as_json: bool,
    ) -> None:
        """Make an archive beside its sources, or at `output`."""
        found = _format(form, output)
        secret, volume_bytes = read_password(password, password_file), bytes_of(volume)
        spec = CreateSpec(format=found, level=_LEVEL if level is None else level, password=secret, volume_bytes=volume_bytes)
        base, names = _base_of(paths)
        target = Path(output).absolute() if output else base / name_with(os.fsdecode(names[0]).rpartition("/")[2], f".{found}")
        _check_target(target, base, names, ".001" if volume_bytes else "")
        with render.percent(silent=as_json) as step:
            result = _run(_make(base, names, target, spec, step))
        render.emit_json(result) if as_json else show_made(result)

    def unzip(
        self,
        path: str,
        destination: str | None,
        entries: list[str],
        password: bool,
        password_file: str | None,
        as_json: bool,
    ) -> None:
        """Unpack beside the archive, or into the named folder, which is created if needed."""
        archive = _archive(path)
        into = Path(destination).absolute() if destination else archive.parent
        spec = ExtractSpec(password=read_password(password, password_file), entries=[os.fsencode(entry) for entry in entries])
        with render.percent(silent=as_json) as step:
            result = _run(_unpack(archive, into, spec, step))
        render.emit_json(result) if as_json else show_unpacked(archive.name, result)

    def zipinfo(self, path: str, entries: bool, password: bool, password_file: str | None, as_json: bool) -> None:
        """Print the archive's facts and, with `entries`, every entry."""
        archive, secret = _archive(path), read_password(password, password_file)
        members: list[Member] = []
        if entries:
            stats = _run(engine.listing(archive, secret, Children(), members.append))
        else:
            stats = _run(engine.inspect(archive, secret, Limits(), Children()))
        if as_json:
            document = _figures(stats)
            render.emit_json({**document, "entries": [_document(member) for member in members]} if entries else document)
            return
        show_stats(path, stats, ["--local"])
        if entries:
            show_entries(members)


def _format(given: str | None, output: str | None) -> Format:
    try:
        return Format(format_for(given, output, "zip"))
    except PermanentError as exc:
        raise Failure(Exit.USAGE, sentences.clean(str(exc))) from exc


def _figures(stats: Stats) -> dict[str, Any]:
    """Return the statistics as the server writes them."""
    document: dict[str, Any] = msgspec.to_builtins(stats)
    return {**document, "directories": document.pop("entries") - stats.files, "compression_ratio": document.pop("ratio")}


def _document(member: Member) -> dict[str, Any]:
    return {
        "path": printable(member.path),
        "path_base64": unsaid(member.path),
        "type": {"hardlink": "file", "special": "other"}.get(member.kind, member.kind),
        "size": member.size,
        "crc32": None if member.crc32 is None else f"{member.crc32:08x}",
        "link": None if member.link is None else printable(member.link),
        "encrypted": member.encrypted,
    }


def _base_of(paths: list[str]) -> tuple[Path, list[bytes]]:
    """Return the deepest folder above all paths, and the paths below it. Resolves links, except in the last part of a path."""
    full = [_existing(path) for path in paths]
    base = Path(os.path.commonpath([path.parent for path in full]))
    return base, [os.fsencode(path.relative_to(base)) for path in full]


def _existing(path: str) -> Path:
    given = Path(path)
    named = given if given.name not in {"", ".."} else given.resolve()
    full = named.parent.resolve() / named.name
    if not full.name:
        raise Failure(Exit.USAGE, "The top of the file system cannot be meant.")
    if not os.path.lexists(full):
        raise Failure(Exit.NOT_FOUND, f"There is no {sentences.clean(path)}.")
    return full


def _archive(path: str) -> Path:
    """Return the path of a readable archive file, before any password is asked for. Raises Failure."""
    full = _existing(path)
    if not full.is_file():
        raise Failure(Exit.USAGE, f"{sentences.clean(path)} is no file: name an archive.")
    if not os.access(full, os.R_OK):
        raise Failure(Exit.REFUSED, f"{sentences.clean(path)} cannot be read: you have no right to.")
    return full


def _check_target(target: Path, base: Path, names: list[bytes], ending: str) -> None:
    """Refuse a bad target before packing. `ending` follows the target's name when it is split into volumes. Raises Failure."""
    for name in [target, target.with_name(f"{target.name}.001")]:
        if os.path.lexists(name):
            raise Failure(Exit.CONFLICT, f"There is a {sentences.clean(str(name))} already: name another file with --output.")
    parent = target.parent.resolve()
    if not parent.is_dir():
        raise Failure(Exit.NOT_FOUND, f"There is no folder {sentences.clean(str(parent))}.")
    with handles.root(parent) as folder:
        longest = handles.longest_name(folder)
    if len(os.fsencode(target.name + ending)) > longest:
        sentence = (
            f"The archive's name is too long: {units.exact_size(longest - len(ending))} at most. Name another file with --output."
        )
        raise Failure(Exit.USAGE, sentence)
    for chosen in names:
        if parent.is_relative_to(base / os.fsdecode(chosen)):
            raise Failure(Exit.USAGE, "The archive would lie in the very folder it is made of: name another place with --output.")


async def _make(base: Path, names: list[bytes], target: Path, spec: CreateSpec, step: Step) -> ArchiveResult:
    began = time.monotonic()
    engine.check_spec(spec)
    with _workplace(target.parent) as work:
        contents = await _read(base, names, step)
        children = Children()
        made = await engine.create(base, names, work, target.name, spec, children, _told(step, "Packing"))
        found = await engine.verify(made[0], contents.entries, children, _told(step, "Checking"), password=spec.password)
        if found:
            raise findings.SourceInUse(found)
        size = sum(path.stat().st_size for path in made)
        warnings = [*contents.warnings, *_unpack_warnings(contents.entries, size)]
        _publish(made, target.parent)
    seconds = time.monotonic() - began
    return ArchiveResult(
        output_path=str(target if len(made) == 1 and spec.volume_bytes is None else target.with_name(made[0].name)),
        format=spec.format.value,
        original_size=contents.total_bytes,
        compressed_size=size,
        compression_ratio=ratio(contents.total_bytes, size),
        file_count=contents.file_count,
        seconds=round(seconds, 2),
        mb_per_s=speed(contents.total_bytes, seconds),
        volumes=len(made),
        warnings=warnings,
    )


def _unpack_warnings(entries: Sequence[Entry], packed_bytes: int) -> list[str]:
    wrong = "; ".join(unpack_problems(entries, packed_bytes))
    return (
        [f"`cs-archiver unzip` will refuse this archive as a whole ({wrong}); chosen entries of it can be unpacked."]
        if wrong
        else []
    )


async def _read(base: Path, names: list[bytes], step: Step) -> Contents:
    """Read the manifest in a thread. A cancelled command need not wait until every file was read."""
    step("Reading", 0, "")
    stopped = threading.Event()

    def stop() -> None:
        if stopped.is_set():
            raise Cancelled("Stopped.")

    try:
        return await engine.manifest(base, names, stop, lambda done: step("Reading", 0, sentences.size(done)))
    finally:
        stopped.set()


async def _unpack(archive: Path, into: Path, spec: ExtractSpec, step: Step) -> ExtractResult:
    began = time.monotonic()
    if os.path.lexists(into) and not into.is_dir():
        raise Failure(Exit.CONFLICT, f"{sentences.clean(str(into))} is no folder: name another.")
    if into.is_dir():
        spec = msgspec.structs.replace(spec, taken=[os.fsencode(path.name) for path in into.iterdir()])
    home = into
    while not home.is_dir():  # find the nearest folder that exists: the new folder will be on the same file system
        home = home.parent
    with _workplace(home) as work:
        done = await engine.extract(archive, work / "new", spec, Children(), _told(step, "Unpacking"))
        into.mkdir(parents=True, exist_ok=True)
        _publish(sorted((work / "new").iterdir()), into)
    seconds = time.monotonic() - began
    return ExtractResult(
        destination=str(into),
        files_extracted=done.files,
        total_size=done.total_bytes,
        seconds=round(seconds, 2),
        mb_per_s=speed(done.total_bytes, seconds),
        warnings=done.warnings,
    )


class _workplace:  # noqa: N801 - used as a function
    """Create a private directory in `parent`, and remove it with all its content at the end."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    def __enter__(self) -> Path:
        try:
            self._path = Path(tempfile.mkdtemp(prefix=".cs-archiver-", dir=self._parent))
        except OSError as exc:
            code = Exit.REFUSED if exc.errno in tree_scan.DENIED else Exit.CONFIGURATION
            raise Failure(code, f"Nothing can be written to {sentences.clean(str(self._parent))}: {exc.strerror}.") from exc
        return self._path

    def __exit__(self, *exc: object) -> None:
        trees.remove_tree(self._path, _go_on)


def _publish(made: list[Path], folder: Path) -> None:
    """Rename all files into a folder, or none. Never replace an existing file."""
    moved: list[Path] = []
    with handles.root(folder) as target:
        for path in made:
            with handles.root(path.parent) as source:
                try:
                    handles.rename_noreplace(source, os.fsencode(path.name), target, os.fsencode(path.name))
                except OSError as exc:
                    for back in moved:
                        handles.rename_noreplace(target, os.fsencode(back.name), source, os.fsencode(back.name))
                    if isinstance(exc, FileExistsError):
                        name, where = sentences.clean(path.name), sentences.clean(str(folder))
                        sentence = f"There is a {name} in {where} already: nothing was changed."
                        raise Failure(Exit.CONFLICT, sentence) from exc
                    raise
                moved.append(path)


def _told(step: Step, what: str) -> Callable[[Progress], None]:
    return lambda progress: step(what, progress.percent, progress.name)


def _go_on() -> None:
    return


CODES = {
    NOT_FOUND: Exit.NOT_FOUND,
    TAKEN: Exit.CONFLICT,
    formats.BAD_PASSWORD: Exit.REFUSED,
    formats.DAMAGED: Exit.JOB,
    formats.TRUNCATED: Exit.JOB,
    formats.UNSAFE: Exit.JOB,
    formats.TOO_BIG: Exit.JOB,
    formats.UNKNOWN_FORMAT: Exit.JOB,
}
"""The exit code of each refusal that has its own, both for local work and for a job on the server."""


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end. Cancel and clean up on Ctrl-C, SIGTERM or a closed terminal. Turn errors into Failure."""

    async def main() -> _T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        with endings.calling(partial(loop.call_soon_threadsafe, task.cancel)):
            return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise Failure(Exit.INTERRUPTED, "Stopped; nothing was left behind.") from None
    except Failure:
        raise
    except ConfigurationError as exc:
        raise Failure(Exit.CONFIGURATION, str(exc)) from exc
    except PermanentError as exc:
        raise Failure(CODES.get(exc.code or "", Exit.USAGE), str(exc)) from exc
    except Waiting as exc:
        sentence = "The disk is full: free some space, then run the command again. Nothing was left behind."
        raise Failure(Exit.JOB, sentence) from exc
    except (ArchiverError, OSError) as exc:
        raise Failure(Exit.JOB, str(exc)) from exc
