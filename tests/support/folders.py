"""Helpers for folders that may change at any time, and for the file system's clock."""

import os
import stat
from contextlib import suppress
from pathlib import Path


def below(folder: Path) -> list[Path]:
    """Return all entries below a folder now, sorted, or none if there is no folder.

    `Path.rglob` raises if a folder disappears between its listing and its opening. Here, such a folder is left out.
    """
    return sorted(Path(top, name) for top, folders, files in os.walk(folder) for name in (*folders, *files))


def bytes_below(folder: Path) -> int:
    """Return the size of all files below a folder now, without files that disappear meanwhile."""
    total = 0
    for path in below(folder):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def tick(probe: Path) -> None:
    """Wait until the file system's clock has moved: kernels before 6.13 use a clock of some milliseconds for change times."""
    probe.touch()
    start = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == start:
        probe.touch()
    probe.unlink()


def open_below(folder: Path) -> list[str]:
    """Return this process's open files in a folder now. Other handles, of engines or collected objects, come and go."""
    found = []
    for handle in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names
        with suppress(FileNotFoundError):  # closed meanwhile, such as the handle that listed them
            found.append(os.readlink(f"/proc/self/fd/{handle}"))  # noqa: PTH115 - what was removed since has no path
    return sorted(path for path in found if Path(path).is_relative_to(folder.resolve()))
