"""The small files that say that a folder is archived."""

import os
from collections.abc import Iterable

from shared.files.manifest import Entry, printable

MARKER_SUFFIX = "-ARCHIVED-TO-GLOBUS.txt"
PLAIN_MARKER = ".archived"


def is_marker(name: str) -> bool:
    """Whether a name directly in a folder says that the folder is archived."""
    return name == PLAIN_MARKER or name.endswith(MARKER_SUFFIX)


def marker_of(entries: Iterable[Entry]) -> str | None:
    """The name of a marker directly in a folder that was looked at, as it can be shown; None when there is none."""
    top = (entry.path for entry in entries if entry.path and b"/" not in entry.path)
    return next((printable(path) for path in top if is_marker(os.fsdecode(path))), None)
