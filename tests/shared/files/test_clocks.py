"""What times prove: a simulated clock of any unit, writes at any instant, clocks that differ and clocks that are set back."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.files import clocks
from shared.files.clocks import COARSE_NS, MARGIN_NS, Stamp, could_repeat, must_hash
from shared.files.manifest import Clock, Entry
from tests.support.clocked import SimulatedClock

SECOND = 10**9
MINUTE = 60 * SECOND
START = 1_700_000_000 * SECOND + 123_456_789
UNITS = [1, 4_000_000, 10_000_000, SECOND, COARSE_NS]


def entry(mtime_ns: int, ctime_ns: int, read_from_ns: int | None = START) -> Entry:
    facts: dict[str, Any] = {"type": "file", "size": 1, "mode": 0o644, "uid": 0, "gid": 0, "inode": 7, "links": 1}
    return Entry(path=b"a", mtime_ns=mtime_ns, ctime_ns=ctime_ns, read_from_ns=read_from_ns, **facts)


# Instants in nanoseconds: close together, and up to a day apart.
_instant = st.integers(0, 5 * SECOND) | st.integers(0, 24 * 60 * MINUTE)


@given(
    unit=st.sampled_from(UNITS),
    saved=_instant,
    waited=_instant,
    written=_instant,
    deleted=_instant,
    set_by=st.integers(-24 * 60 * MINUTE, 24 * 60 * MINUTE) | st.just(0),
    set_after=_instant,
    ours=st.integers(-(10**18), 10**18),
    old_mtime=st.booleans(),
)
def test_a_write_that_leaves_the_times_as_they_are_is_never_trusted(
    unit: int, saved: int, waited: int, written: int, deleted: int, set_by: int, set_after: int, ours: int, old_mtime: bool
) -> None:
    """Saved, copied, then written: the second write may carry the first one's time, also after the clock was set."""
    look = START + saved + waited
    later, end = look + written, look + written + deleted

    def stamp(at: int) -> int:
        return (at + (set_by if at >= look + set_after else 0)) // unit * unit

    recorded = stamp(START + saved)
    assume(stamp(later) == recorded and later > look)
    file = entry(recorded - 10 * MINUTE if old_mtime else recorded, recorded)
    assert must_hash(file, Clock(stamp(look), look + ours, unit), Clock(stamp(end), end + ours, unit))


@given(
    unit=st.sampled_from(UNITS), at=st.integers(0, 10 * MINUTE), back=st.integers(1, 3 * MINUTE), after=st.integers(0, 10 * MINUTE)
)
def test_a_clock_set_back_onto_the_recorded_time_is_noticed(unit: int, at: int, back: int, after: int) -> None:
    """Built so that the times are equal: the clock is set back by exactly the elapsed time."""
    saved, look, later = START + at, START + at + back, START + at + back + after
    end = later + MINUTE
    set_by = saved - later
    recorded, unit_of = saved // unit * unit, Clock((look // unit) * unit, look, unit)
    assert (later + set_by) // unit * unit == recorded
    assert must_hash(entry(recorded, recorded), unit_of, Clock((end + set_by) // unit * unit, end, unit))


@given(
    unit=st.sampled_from(UNITS),
    rested=st.integers(MINUTE, 10**18),
    passed=st.integers(0, 30 * 24 * 60 * MINUTE),
    servers=st.integers(-(10**17), 10**17),
)
def test_a_file_at_rest_for_a_minute_is_not_read_again(unit: int, rested: int, passed: int, servers: int) -> None:
    """This holds for any clock unit and any offset, as long as the clock runs at the local clock's speed."""
    look, end = START + servers, START + servers + passed
    recorded = (look - rested) // unit * unit
    copied, now = Clock(look // unit * unit, START, unit), Clock(end // unit * unit, START + passed, unit)
    assert not must_hash(entry(recorded, recorded), copied, now)


def test_drift_counts_as_little_as_it_is() -> None:
    """A clock loses five seconds while a job waits. A file at rest for a minute is still proven, one at rest for six seconds is not."""
    copied, now = Clock(START, 0, 1), Clock(START + 10 * MINUTE, 10 * MINUTE + 5 * SECOND, 1)
    assert not must_hash(entry(START - MINUTE, START - MINUTE), copied, now)
    assert must_hash(entry(START - 6 * SECOND, START - 6 * SECOND), copied, now)


COPIED, NOW = Clock(START, START, 1), Clock(START + MINUTE, START + MINUTE, 1)
OLD = START - MINUTE
EDGE = START - MARGIN_NS - 1


@pytest.mark.parametrize(
    ("file", "copied", "now", "expected"),
    [
        (entry(OLD, OLD), COPIED, NOW, False),
        (entry(OLD, OLD), None, NOW, True),  # the time at the copy is unknown
        (entry(OLD, OLD), COPIED, None, True),
        (entry(OLD, OLD, None), COPIED, NOW, True),  # a manifest of an older version
        (entry(START + MINUTE, OLD), COPIED, NOW, True),  # either time counts
        (entry(OLD, START), COPIED, NOW, True),
        (entry(OLD, EDGE - 1), COPIED, NOW, False),  # measured: nanoseconds, so a margin of two seconds is enough
        (entry(OLD, EDGE), COPIED, NOW, True),
        (entry(OLD, EDGE - 1), msgspec.structs.replace(COPIED, granularity_ns=SECOND), NOW, True),
        (entry(OLD, EDGE - 1), COPIED, msgspec.structs.replace(NOW, granularity_ns=SECOND), True),
        (entry(OLD, EDGE // SECOND * SECOND), COPIED, NOW, True),  # a whole second counts as two, whatever was measured
        (entry(OLD // SECOND * SECOND, OLD), COPIED, NOW, False),
        (entry(OLD, OLD), COPIED, Clock(START - 1, START + MINUTE, 1), True),  # before the copy
    ],
)
def test_what_is_read_again(file: Entry, copied: Clock | None, now: Clock | None, expected: bool) -> None:
    """The rule at its limits."""
    assert must_hash(file, copied, now) is expected


@given(unit=st.sampled_from(UNITS), since=_instant, written=_instant, until=_instant)
def test_a_write_with_the_same_stamp_between_two_looks_is_expected(unit: int, since: int, written: int, until: int) -> None:
    """A file is hashed only when no write could get the file's current time."""
    first, last = sorted((START + since, START + until))
    at = min(max(START + written, first), last)
    stamps = [Stamp(time // unit * unit, unit) for time in (first, last)]
    assert could_repeat(at // unit * unit, stamps[0], stamps[1])
    assert could_repeat(at // unit * unit, stamps[1], stamps[0])


def test_far_times_never_repeat() -> None:
    """An old file is hashed at once, and so is a file whose time is far in the future."""
    now = Stamp(START, SECOND)
    assert not could_repeat(START - MINUTE, now, now)
    assert not could_repeat(START + MINUTE, now, now)


@pytest.mark.parametrize("unit", [10_000_000, SECOND, COARSE_NS])
def test_the_step_of_a_clock_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: int) -> None:
    """As the file system shows it. A clock that does not step during the measurement counts as the coarsest."""
    SimulatedClock(monkeypatch, tmp_path, unit)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        seen = clocks.look(handle)
        again = clocks.look(handle, seen)
    finally:
        os.close(handle)
    assert seen.server_ns % unit == 0
    assert seen.granularity_ns == COARSE_NS or (seen.granularity_ns % unit == 0 and seen.granularity_ns >= unit)
    assert again.server_ns >= seen.server_ns
    assert again.granularity_ns == seen.granularity_ns
