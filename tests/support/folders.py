"""What tests ask of folders and the file system's clock, and who may be doing something there meanwhile."""

import os
import stat
from contextlib import suppress
from pathlib import Path


def below(folder: Path) -> list[Path]:
    """All that is below a folder now, sorted; none when there is no folder.

    `Path.rglob` raises when a folder goes between its being seen and its being opened; what has gone is not there, that is all.
    """
    return sorted(Path(top, name) for top, folders, files in os.walk(folder) for name in (*folders, *files))


def bytes_below(folder: Path) -> int:
    """How much the files below a folder hold now, those that go meanwhile not counted."""
    total = 0
    for path in below(folder):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def tick(probe: Path) -> None:
    """Wait until the file system's clock has moved: kernels before 6.13 stamp changes with a clock of some milliseconds."""
    probe.touch()
    start = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == start:
        probe.touch()
    probe.unlink()


def open_below(folder: Path) -> list[str]:
    """What this process has open in a folder now. Its other handles come and go: those of engines, and of what is collected."""
    found = []
    for handle in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names
        with suppress(FileNotFoundError):  # closed since, as the one that listed them
            found.append(os.readlink(f"/proc/self/fd/{handle}"))  # noqa: PTH115 - what was removed since has no path
    return sorted(path for path in found if Path(path).is_relative_to(folder.resolve()))
