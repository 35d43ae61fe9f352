"""POST to `completed` of a tree of footage and text, beside the same commands in a shell."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks import data
from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack, workplace
from cli.client import Job
from services.compressor.sevenzip import find_binary

TARGET = 1.15
SCRIPT = Path(__file__).with_name("seed_pipeline.sh")
AGAINST = "the same commands in a shell"


def run(options: Options) -> Iterator[Figure]:
    """Yield the ratio by the job's own times, by an outside poller, and where the product's time went."""
    recorded, polled, shell, states = list[float](), list[float](), list[float](), list[dict[str, float]]()
    with workplace() as place:
        tree = place / "tree"
        data.mixed(tree, int(options.size * 2**20))
        with Stack(place) as stack:
            for number in range(options.rounds):
                shell.append(in_shell(tree, place / "shell"))
                folder = stack.folder(tree, f"Run {number}")
                job, seconds = stack.archive(folder)
                polled.append(seconds)
                recorded.append(took(job))
                states.append(state_times(job))
                stack.forget(folder)
    yield Beside("pipeline, by the job's recorded times (created to completed)", recorded, shell, AGAINST, TARGET)
    yield Beside("pipeline, by a client that asks once per second", polled, shell, AGAINST, TARGET)
    yield parts("pipeline, time in each state", "s", states)


def in_shell(tree: Path, work: Path) -> float:
    """Seconds the shell takes; `work` is made and removed."""
    work.mkdir()
    os.sync()
    began = time.monotonic()
    subprocess.run(["sh", SCRIPT, tree, work, find_binary(None)], check=True, stdin=subprocess.DEVNULL)
    took_s = time.monotonic() - began
    shutil.rmtree(work)
    os.sync()
    return took_s


def took(job: Job) -> float:
    """Seconds from the job's request to its completion, by the database's clock."""
    assert job.created_at is not None
    assert job.completed_at is not None
    return (job.completed_at - job.created_at).total_seconds()


def state_times(job: Job) -> dict[str, float]:
    """Seconds in each state."""
    return {now.status: (following.at - now.at).total_seconds() for now, following in pairwise(job.state_times)}
