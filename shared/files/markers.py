"""The small marker files in a folder that is archived."""

import os
from collections.abc import Iterable

from shared.files.manifest import Entry, printable

MARKER_SUFFIX = "-ARCHIVED-TO-GLOBUS.txt"
PLAIN_MARKER = ".archived"


def is_marker(name: str) -> bool:
    """Return whether a name directly in a folder marks the folder as archived."""
    return name == PLAIN_MARKER or name.endswith(MARKER_SUFFIX)


def marker_of(entries: Iterable[Entry]) -> str | None:
    """Return the printable name of a marker directly in a scanned folder; None when there is none."""
    top = (entry.path for entry in entries if entry.path and b"/" not in entry.path)
    return next((printable(path) for path in top if is_marker(os.fsdecode(path))), None)
