"""Every benchmark runs to its end at a tiny size and prints its measurements. No test checks a time."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import data
from benchmarks.__main__ import ALL
from benchmarks.figures import Beside, Parts, parts

ROOT = Path(__file__).parents[1]
TINY = shlex.split("--rounds 1 --size 1 --files 200 --folders 30 --idle-s 0.2 --clients 10 --watch-s 1 --jobs 500 --asked 2")
GROUPS = [
    ("scan", "idle", "hundred_thousand", "pipeline"),
    ("websocket", "team", "crowd"),
    ("history",),
    ("archives", "media", "files"),
]
SERVICES = {"scanner", "compressor", "uploader", "gateway"}


@pytest.mark.timeout(600)  # complete running stacks
@pytest.mark.parametrize("names", GROUPS)
def test_every_benchmark_measures_and_leaves_nothing(names: tuple[str, ...], tmp_path: Path) -> None:
    """Figures are printed and written as JSON lines with the machine's data. The test data is removed."""
    lines = tmp_path / "figures.jsonl"
    place = tmp_path / "place"
    place.mkdir()

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *names, *TINY, "--json", str(lines)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(place)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    written = [msgspec.json.decode(line) for line in lines.read_text().splitlines()]
    assert {line["benchmark"] for line in written if "ratio" in line} == set(names)
    assert all(line["machine"]["cores"] >= 1 and line["options"]["rounds"] == 1 for line in written)
    assert all(line["figure"]["what"] in done.stdout for line in written)
    memory = [line["figure"]["parts"] for line in written if line["figure"].get("unit") == "MiB"]
    assert bool(memory) == ("idle" in names)
    assert all(set(parts) > SERVICES for parts in memory)
    assert list(place.iterdir()) == []


def test_no_benchmark_is_left_out() -> None:
    """Each benchmark is one of those that run above."""
    assert {name for group in GROUPS for name in group} == set(ALL)


def test_a_ratio_compares_neighbours() -> None:
    """The median of the rounds' own ratios, not the ratio of two medians: a slow machine slows both parts of a round."""
    figure = Beside("copying", [2.0, 30.0, 4.0], [1.0, 10.0, 4.0], "cp", 2.5)

    assert figure.ratios == [2.0, 3.0, 1.0]
    assert figure.text() == "copying: x2.00 [1.00-3.00] of cp (asked: at most 2.5); 4 s [2-30] beside 4 s [1-10]"


def test_parts_that_come_and_go_count_as_nothing() -> None:
    """A state that is missing in one round counts as 0 s there."""
    assert parts("time", "s", [{"copying": 1.0}, {"copying": 2.0, "queued": 3.0}]) == Parts(
        "time", "s", {"copying": [1.0, 2.0], "queued": [0.0, 3.0]}
    )


def test_trees_are_the_same_every_time(tmp_path: Path) -> None:
    """Same names, same bytes. The mixed tree has the requested size, within a few bytes."""
    for name in ("one", "other"):
        data.mixed(tmp_path / name / "mixed", 1 << 20)
        data.small_files(tmp_path / name / "small", 600)

    one, other = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("one", "other")
    )
    assert one == other
    assert sum(len(content) for path, content in one.items() if path.parts[0] == "mixed") == pytest.approx(1 << 20, abs=500)
    assert sum(path.parts[0] == "small" for path in one) == 600
