"""A folder of very many small files through the real stack: the memory of every process, and the time beside a shell's."""

from collections.abc import Iterator

from benchmarks import data, pipeline
from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack, workplace
from benchmarks.watching import peaks

LIMIT_MIB = 300.0


def run(options: Options) -> Iterator[Figure]:
    """Yield peak memory per process, the time in each state, and the ratio to the shell (which leaves the source alone)."""
    memory, states = list[dict[str, float]](), list[dict[str, float]]()
    recorded, shell = list[float](), list[float]()
    with workplace() as place:
        tree = place / "tree"
        data.small_files(tree, options.files)
        with Stack(place) as stack:
            for number in range(options.rounds):
                shell.append(pipeline.in_shell(tree, place / "shell"))
                folder = stack.folder(tree, f"Run {number}")
                with peaks(stack.data) as highest:
                    job, _ = stack.archive(folder)
                memory.append(dict(sorted(highest.items())))
                recorded.append(pipeline.took(job))
                states.append(pipeline.state_times(job))
                stack.forget(folder)
    yield parts(f"{options.files:,} small files, peak memory (RSS)", "MiB", memory, LIMIT_MIB)
    yield parts(f"{options.files:,} small files, time in each state", "s", states)
    yield Beside(f"{options.files:,} small files, by the job's recorded times", recorded, shell, pipeline.AGAINST)
