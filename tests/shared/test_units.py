"""Numbers for people: the web interface is tested with the same values, and no other code formats them."""

import ast
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import units

ROOT = Path(__file__).parents[2]
VALUES = json.loads((ROOT / "ui/src/util/units.json").read_text())


@pytest.mark.parametrize(("number", "shown"), VALUES["size"])
def test_sizes_are_those_of_the_web_interface(number: int, shown: str) -> None:
    assert units.size(number) == shown


@pytest.mark.parametrize(("number", "shown"), VALUES["duration"])
def test_durations_are_those_of_the_web_interface(number: float, shown: str) -> None:
    assert units.duration(number) == shown


@pytest.mark.parametrize(("number", "shown"), VALUES["about"])
def test_estimates_are_those_of_the_web_interface(number: float, shown: str) -> None:
    assert units.about(number) == shown


@pytest.mark.parametrize(("number", "shown"), VALUES["counted"])
def test_counted_nouns_are_those_of_the_web_interface(number: int, shown: str) -> None:
    assert units.counted(number, "entry", "entries") == shown


@given(st.integers(0, 2**60))
def test_a_size_is_within_half_its_last_decimal(size: int) -> None:
    """Never "1024.00 KB", and never further from the exact value than rounding allows."""
    number, unit = units.size(size).split()
    power = 1024 ** ("B", "KB", "MB", "GB", "TB", "PB").index(unit)

    assert abs(float(number) * power - size) <= 0.00501 * power
    assert float(number) < 1024 or unit == "PB"


@given(st.floats(0, 1e9))
def test_a_duration_is_cut_to_two_units(seconds: float) -> None:
    """The shown value never exceeds the exact one, except by rounding to whole seconds."""
    lengths = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
    parts = [] if seconds < 0.5 else units.duration(seconds).split()
    shown = sum(int(part[:-1]) * lengths[part[-1]] for part in parts)

    assert shown <= seconds + 0.5
    assert len(parts) <= 2


# By hand -----------------------------------------------------------------------------------------------------------------------------


def test_nothing_else_scales_sizes_to_units() -> None:
    """No other module of the product has the list of unit names to choose from."""
    rooms = [path for room in ("shared", "services", "cli", "devstack") for path in sorted((ROOT / room).rglob("*.py"))]
    names = {"KB", "MB", "GB", "TB", "PB"}
    found = [
        str(path.relative_to(ROOT))
        for path in rooms
        if any(isinstance(node, ast.Constant) and node.value in names for node in ast.walk(ast.parse(path.read_text())))
    ]

    assert found == ["shared/units.py"]


_BY_HAND = re.compile(
    r" (bytes?|[kKMGT]i?B|s|ms|seconds?|minutes?|hours?|days?|retries|tries|entries|files|folders|jobs|volumes|times|characters|events"
    r"|connections|requests|attempts|users|packs|names|parts|links|lines)\b"
)


_FIXED = "services/scanner/marker.py:"  # a file for programs: its size is digits only


def _by_hand(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        values = node.values if isinstance(node, ast.JoinedStr) else []
        for value, text in pairwise(values):
            after = str(text.value) if isinstance(text, ast.Constant) else ""
            if isinstance(value, ast.FormattedValue) and _BY_HAND.match(after):
                yield f"{value.lineno}: {{{ast.unparse(value.value)}}}{after[:20]}"


def test_no_sentence_counts_or_measures_by_hand() -> None:
    """A number directly before its noun or unit comes from `shared.units`, which knows the plural and the notation."""
    modules = [path for place in ("cli", "services", "shared") for path in sorted((ROOT / place).rglob("*.py"))]
    theirs = [path for path in modules if path != ROOT / "shared" / "units.py"]
    found = [f"{path.relative_to(ROOT)}:{line}" for path in theirs for line in _by_hand(path.read_text())]

    assert len(modules) > 100
    assert [line for line in found if not line.startswith(_FIXED)] == []


def test_a_sentence_that_counts_by_hand_is_found() -> None:
    code = 'f"{count} retries" + f"{size:,} bytes" + f"{counted(1, one)} left"'

    assert len(list(_by_hand(code))) == 2


def test_gigabytes_are_written_in_gb_where_they_are_few() -> None:
    assert units.gigabytes(10 << 20) == "0.01 GB"
    assert units.gigabytes(3 << 30) == "3.00 GB"
