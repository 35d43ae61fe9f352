"""A folder of very many small files through the real stack: the memory of every process, and the time compared with a shell."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks import data, pipeline
from benchmarks.figures import Figure, Options, parts
from benchmarks.stack import Stack
from benchmarks.watching import peaks

LIMIT_MIB = 300.0


def run(options: Options, place: Path, stack: Stack) -> Iterator[Figure]:
    """Yield peak memory per process, then the figures of `pipeline`, compared with a shell that also removes the source."""
    memory = list[dict[str, float]]()
    what = f"{options.files:,} small files"
    tree = place / "small"
    data.small_files(tree, options.files)
    stack.start()
    runs = pipeline.Runs(stack, place, empty=True)
    for _ in range(options.rounds):
        with peaks(stack.data) as highest:
            runs.round(tree)
        memory.append(dict(sorted(highest.items())))
    shutil.rmtree(tree)
    yield parts(f"{what}, peak memory (RSS)", "MiB", memory, LIMIT_MIB)
    yield from runs.figures(what)
