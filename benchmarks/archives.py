"""Making, unpacking and listing archives as jobs and `--local` do it, beside bare 7-Zip in the same rounds."""

import asyncio
import shutil
import subprocess
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
from shared.children import Children

TARGET = 1.05
_MIB = 1 << 20
_LEVEL = 1


def run(options: Options, place: Path, _: Stack) -> Iterator[Figure]:
    """Yield the ratios of zip and 7z made and unpacked, and of a listing; each side once per round after one that does not count."""
    base = place / "archives"
    data.mixed(base / "tree", int(options.size * _MIB))
    for form in (Format.ZIP, Format.SEVENZIP):
        yield from _both_ways(base, form, options)
    shutil.rmtree(base / "tree")
    data.small_files(base / "tree", options.files)
    yield _listing(base, options)
    shutil.rmtree(base)


def _both_ways(base: Path, form: Format, options: Options) -> Iterator[Figure]:
    ours, theirs = base / "ours", base / f"theirs.{form}"
    made, unpacked = base / "made", base / "unpacked"

    def seven_makes() -> None:
        theirs.unlink(missing_ok=True)
        seven("a", f"-t{form}", f"-mx{_LEVEL}", "-mmt=on", str(theirs), "tree", cwd=base)
        seven("t", str(theirs), cwd=base)

    def we_make() -> None:
        shutil.rmtree(ours, ignore_errors=True)
        ours.mkdir()
        asyncio.run(_make(base, ours, form))

    def seven_unpacks() -> None:
        seven("x", f"-o{unpacked}", str(theirs), cwd=base)

    def we_unpack() -> None:
        asyncio.run(engine.extract(theirs, made, ExtractSpec(), Children(), lambda _: None))

    what = f"{form}, {options.size:g} MiB"
    yield Beside(f"making {what}", *_in_turn(we_make, seven_makes, options.rounds), "7zz a; 7zz t", TARGET)
    product, reference = _in_turn(we_unpack, seven_unpacks, options.rounds, lambda: _remove(made, unpacked))
    yield Beside(f"unpacking {what}", product, reference, "7zz x", TARGET)
    _remove(ours)
    theirs.unlink()


async def _make(base: Path, output: Path, form: Format) -> None:
    """What a job does: look, make, test, compare."""
    names, children = [b"tree"], Children()
    manifest = await engine.manifest(base, names, lambda: None, lambda _: None)
    spec = CreateSpec(format=form, level=_LEVEL)
    made = await engine.create(base, names, output, f"made.{form}", spec, children, lambda _: None)
    differences = await engine.verify(made[0], manifest.entries, children, lambda _: None)
    assert differences == []


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
    product: Callable[[], None], reference: Callable[[], None], rounds: int, between: Callable[[], None] = lambda: None
) -> tuple[list[float], list[float]]:
    """Seconds of both, round by round; the first round, which fills the page cache, does not count."""
    ours, theirs = list[float](), list[float]()
    for _ in range(rounds + 1):
        theirs.append(seconds(reference))
        ours.append(seconds(product))
        between()
    return ours[1:], theirs[1:]


def _remove(*trees: Path) -> None:
    for tree in trees:
        shutil.rmtree(tree, ignore_errors=True)


def seven(*arguments: str, cwd: Path) -> None:
    """Bare 7-Zip, its words thrown away."""
    quiet = [str(find_binary(None)), *arguments, "-bsp0", "-y"]
    subprocess.run(quiet, cwd=cwd, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
