"""POST to `completed` of a tree of footage and text, compared with the same commands in a shell."""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks import data
from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack
from benchmarks.watching import processor_seconds
from cli.client import Job
from shared.archiving.sevenzip import find_binary

TARGET = 1.15
SCRIPT = Path(__file__).with_name("reference_pipeline.sh")
AGAINST = "the same commands in a shell"
EMPTYING = f"{AGAINST}, rm -rf of the source included"


class Runs:
    """The times of product and shell, collected over several rounds."""

    def __init__(self, stack: Stack, place: Path, *, empty: bool = False) -> None:
        """`empty`: the shell also removes its source, a copy."""
        self._stack = stack
        self._place = place
        self._empty = empty
        self.recorded: list[float] = []
        self.polled: list[float] = []
        self.processor: list[float] = []
        self.shell: list[float] = []
        self.shell_processor: list[float] = []
        self.states: list[dict[str, float]] = []

    def round(self, tree: Path) -> None:
        """Archive one copy of `tree` in the shell, then one with the product."""
        source = self._stack.folder(tree, "shell") if self._empty else tree
        used = children_processor_seconds()
        self.shell.append(in_shell(source, self._place / "shell", empty=self._empty))
        self.shell_processor.append(children_processor_seconds() - used)
        folder = self._stack.folder(tree, f"{tree.name} {len(self.shell)}")
        before = sum(processor_seconds(self._stack.data).values())
        job, seconds = self._stack.archive(folder)
        self.processor.append(sum(processor_seconds(self._stack.data).values()) - before)
        self.polled.append(seconds)
        self.recorded.append(took(job))
        self.states.append(state_times(job))
        self._stack.forget(folder)

    def figures(self, what: str, target: float | None = None) -> Iterator[Figure]:
        """Yield the ratios by three clocks, and the time per state of the product."""
        against = EMPTYING if self._empty else AGAINST
        yield Beside(f"{what}, by the job's recorded times (created to completed)", self.recorded, self.shell, against, target)
        yield Beside(f"{what}, by a client that asks once per second", self.polled, self.shell, against, target)
        yield Beside(f"{what}, processor time of all processes", self.processor, self.shell_processor, against)
        yield parts(f"{what}, time in each state", "s", self.states)


def run(options: Options, place: Path, stack: Stack) -> Iterator[Figure]:
    """Yield the ratios of product to shell."""
    tree = place / "mixed"
    data.mixed(tree, int(options.size * 2**20))
    stack.start()
    runs = Runs(stack, place)
    for _ in range(options.rounds):
        runs.round(tree)
    shutil.rmtree(tree)
    yield from runs.figures(f"pipeline of {options.size:g} MiB", TARGET)


def in_shell(tree: Path, work: Path, *, empty: bool) -> float:
    """Return the seconds of the shell. It creates and removes `work`, and removes `tree` with `empty`."""
    work.mkdir()
    os.sync()
    began = time.monotonic()
    command: list[str | Path] = ["sh", SCRIPT, tree, work, find_binary(None), "empty" if empty else ""]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    shutil.rmtree(work)
    os.sync()
    return seconds


def children_processor_seconds() -> float:
    """Return the processor time of all ended children and their children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def took(job: Job) -> float:
    """Return the seconds from the job's request to its completion, by the database's clock."""
    assert job.created_at is not None
    assert job.completed_at is not None
    return (job.completed_at - job.created_at).total_seconds()


def state_times(job: Job) -> dict[str, float]:
    """Return the seconds in each state."""
    return {now.status: (following.at - now.at).total_seconds() for now, following in pairwise(job.state_times)}
