"""File systems with another clock: a real one with whole-second times, and a simulated one with any unit that can be set.

`SimulatedClock` truncates the times in every `os.stat` and `os.fstat` of this process. After `set_forward` it shows new times
later (or earlier) by that amount. Files, writes and all other facts about them are real.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_PLAIN = 10  # stat_result fields that are passed by position


class SimulatedClock:
    """folder: on the file system with this clock. unit_ns: the unit of every time, or only of change times (`ctime`).

    Other programs see the real times. Where one stores modification times, only ctime can be truncated.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, unit_ns: int, *, only_ctime: bool = False) -> None:
        self._cut_times = ("st_ctime",) if only_ctime else ("st_mtime", "st_ctime")
        self._folder = folder
        self._unit = unit_ns
        self._moves: list[tuple[int, int]] = []
        self._fstat = os.fstat
        for name in ("stat", "fstat"):
            monkeypatch.setattr(os, name, self._cutting(getattr(os, name)))

    def set_forward(self, by_ns: int) -> None:
        """Show times from now on later by this amount. A negative number sets the clock back."""
        now = time.time_ns()
        with tempfile.TemporaryFile(dir=self._folder) as probe:
            while self._fstat(probe.fileno()).st_mtime_ns < now:  # the kernel's timestamps lag by a tick
                os.utime(probe.fileno())
        self._moves.append((now, by_ns))

    def _cutting(self, real: Any) -> Any:
        return lambda *args, **kwargs: self._cut(real(*args, **kwargs))

    def _cut(self, facts: os.stat_result) -> os.stat_result:
        values = {name: getattr(facts, name) for name in dir(facts) if name.startswith("st_")}
        for name in self._cut_times:
            shown = self._shown(values[f"{name}_ns"])
            values |= {f"{name}_ns": shown, name: shown / 10**9}
        plain = list(facts)[:_PLAIN]
        return os.stat_result(plain, values)

    def _shown(self, stamp_ns: int) -> int:
        moved = sum(by_ns for since, by_ns in self._moves if stamp_ns >= since)
        return (stamp_ns + moved) // self._unit * self._unit


@contextmanager
def mounted_whole_seconds() -> Iterator[Path]:
    """Mount ext4 with 128-byte inodes, whose times have no room for fractions of a second, and yield a directory on it.

    Raises OSError or CalledProcessError where no file system can be created or mounted.
    """
    with tempfile.TemporaryDirectory(prefix="csa-seconds-") as place:
        image, mounted = Path(place, "image"), Path(place, "mounted")
        mounted.mkdir()
        with image.open("wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-I", "128", "-O", "^metadata_csum", str(image)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True, capture_output=True)
        try:
            yield mounted
        finally:
            subprocess.run(["umount", str(mounted)], check=True)


def can_mount() -> bool:
    """Return whether `mounted_whole_seconds` works here."""
    if os.geteuid() != 0:
        return False
    try:
        with mounted_whole_seconds():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@pytest.fixture
def whole_seconds() -> Iterator[Path]:
    """`mounted_whole_seconds`, for tests that are skipped where it does not work."""
    with mounted_whole_seconds() as mounted:
        yield mounted
