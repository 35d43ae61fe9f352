"""Making, unpacking and listing archives, as jobs and `--local` do it, compared with plain 7-Zip in the same rounds."""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import data
from benchmarks.figures import Beside, Figure, Options
from benchmarks.scan import seconds
from benchmarks.stack import Stack
from shared.archiving import engine
from shared.archiving.engine import CreateSpec, ExtractSpec
from shared.archiving.formats import Format
from shared.archiving.sevenzip import find_binary
from shared.files.children import Children

TARGET = 1.05
TARGET_BESIDE_TAR = 3
_MIB = 1 << 20
_LEVEL = 1


def run(options: Options, place: Path, _: Stack) -> Iterator[Figure]:
    """Yield ratios for making and unpacking zip and 7z, for the commands compared with tar, and for a listing.

    Each side runs once per round, after one round that does not count.
    """
    base = place / "archives"
    data.mixed(base / "tree", int(options.size * _MIB))
    for form in (Format.ZIP, Format.SEVENZIP):
        yield from _both_ways(base, form, options)
    shutil.rmtree(base / "tree")
    data.small_files(base / "tree", options.files)
    yield from _command_line(base, options)
    yield _listing(base, options)
    shutil.rmtree(base)


def _both_ways(base: Path, form: Format, options: Options) -> Iterator[Figure]:
    ours, theirs = base / "ours", base / f"theirs.{form}"
    made, unpacked = base / "made", base / "unpacked"

    def seven_makes() -> None:
        seven("a", f"-t{form}", f"-mx{_LEVEL}", "-mmt=on", str(theirs), "tree", cwd=base)
        seven("t", str(theirs), cwd=base)

    def we_make() -> None:
        ours.mkdir()
        asyncio.run(_make(base, ours, form))

    def seven_unpacks() -> None:
        seven("x", f"-o{unpacked}", str(theirs), cwd=base)

    def we_unpack() -> None:
        asyncio.run(engine.extract(theirs, made, ExtractSpec(), Children(), lambda _: None))

    what = f"{form}, {options.size:g} MiB"
    product, reference = _in_turn(we_make, seven_makes, options.rounds, lambda: _remove(ours, theirs))
    yield Beside(f"making {what}", product, reference, "7zz a; 7zz t", TARGET)
    seven_makes()
    product, reference = _in_turn(we_unpack, seven_unpacks, options.rounds, lambda: _remove(made, unpacked))
    yield Beside(f"unpacking {what}", product, reference, "7zz x", TARGET)
    _remove(theirs)


async def _make(base: Path, output: Path, form: Format) -> None:
    """Do the work of a job: read, make, test, compare."""
    names, children = [b"tree"], Children()
    manifest = await engine.manifest(base, names, lambda: None, lambda _: None)
    spec = CreateSpec(format=form, level=_LEVEL)
    made = await engine.create(base, names, output, f"made.{form}", spec, children, lambda _: None)
    differences = await engine.verify(made[0], manifest.entries, children, lambda _: None)
    assert differences == []


def _command_line(base: Path, options: Options) -> Iterator[Figure]:
    """Yield the processor time of `zipinfo` and `unzip` with many small entries. Both sides start as commands do."""
    archive, ours, theirs = base / "many.tar", base / "ours", base / "theirs"
    _quietly("tar", "cf", str(archive), "tree", cwd=base)

    def tar_unpacks() -> None:
        theirs.mkdir()
        _quietly("tar", "xf", str(archive), "-C", str(theirs), cwd=base)

    what = f"{options.files:,} files in a tar (processor)"
    product, reference = _in_turn(
        lambda: _cs_archiver("zipinfo", str(archive), cwd=base),
        lambda: _quietly("tar", "tvf", str(archive), cwd=base),
        options.rounds,
        cost=_processor_seconds,
    )
    yield Beside(f"zipinfo of {what}", product, reference, "tar tv", TARGET_BESIDE_TAR)
    product, reference = _in_turn(
        lambda: _cs_archiver("unzip", str(archive), str(ours), cwd=base),
        tar_unpacks,
        options.rounds,
        lambda: _remove(ours, theirs),
        cost=_processor_seconds,
    )
    yield Beside(f"unzip of {what}", product, reference, "tar x", TARGET_BESIDE_TAR)
    _remove(archive)


def _cs_archiver(*arguments: str, cwd: Path) -> None:
    _quietly(sys.executable, "-m", "cli", *arguments, "--local", cwd=cwd)


def _quietly(*argv: str, cwd: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    nowhere = subprocess.DEVNULL
    subprocess.run(argv, cwd=cwd, env=env, check=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)


def _processor_seconds(action: Callable[[], None]) -> float:
    """Return the processor time of the commands that `action` waits for, and of their children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _listing(base: Path, options: Options) -> Figure:
    archive = base / "many.7z"
    seven("a", "-t7z", "-mx1", str(archive), "tree", cwd=base)
    shutil.rmtree(base / "tree")

    def we_list() -> None:
        found: list[object] = []
        asyncio.run(engine.listing(archive, None, Children(), found.append))
        assert len(found) > options.files

    def seven_lists() -> None:
        seven("l", "-slt", "-ba", str(archive), cwd=base)

    product, reference = _in_turn(we_list, seven_lists, options.rounds)
    return Beside(f"listing {options.files:,} files", product, reference, "7zz l -slt")


def _in_turn(
    product: Callable[[], None],
    reference: Callable[[], None],
    rounds: int,
    after: Callable[[], None] = lambda: None,
    cost: Callable[[Callable[[], None]], float] = seconds,
) -> tuple[list[float], list[float]]:
    """Return the seconds of both sides, round by round. The first round fills the page cache and does not count.

    The first side alternates. Before each turn, output is removed and the disk is idle; otherwise the second side would also
    pay for writing the first side's gigabyte to the disk.
    """
    turns = [(product, list[float]()), (reference, list[float]())]
    for number in range(rounds + 1):
        for action, times in turns if number % 2 else reversed(turns):
            os.sync()
            times.append(cost(action))
            after()
    return turns[0][1][1:], turns[1][1][1:]


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def seven(*arguments: str, cwd: Path) -> None:
    """Run plain 7-Zip and discard its output."""
    quiet = [str(find_binary(None)), *arguments, "-bsp0", "-y"]
    subprocess.run(quiet, cwd=cwd, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
