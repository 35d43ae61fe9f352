"""Folders that a living service works in."""

import os
import stat
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
