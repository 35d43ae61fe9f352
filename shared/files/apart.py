"""Keep our own directories apart from the base: none of ours lies below the base, and the base lies below none of ours.

Our directories are the data directory, staging, workspaces, destination, database and stream. A folder that holds one of them
would be archived and emptied like any other. The evidence for the deletion, or the archives themselves, would be lost. Two rules
prevent that:

- The places that a process knows are compared with the base, or with a folder, by path, by device and inode, and by Linux's mount
  table. Links, `..`, other letter case and bind mounts can all lead to the same directory (`overlaps`).
- Each place carries a small file, `PLACE`. A folder that has it, above or anywhere below, is never offered, copied or emptied. This
  also covers places that the process does not know (`refuse_marked`, `is_place`).

The collection path of the source endpoint (GLOBUS_SOURCE_LOCAL_ROOT) may contain anything: only archives below the staging are
sent.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from shared.errors import ConfigurationError, PermanentError
from shared.files import handles

PLACE = b".cs-archiver-place"
_TEXT = b"""This directory belongs to CS Archiver. No folder that holds it, or lies in it, is ever archived.
Remove this file only when CS Archiver does not use the directory any more.
"""
_OURS = ("storage_base_path", "storage_temp_path", "storage_archives_path", "storage_failed_path", "archive_temp_dir", "log_file")
PATIENCE_S = 10.0
_MOUNTS = Path("/proc/self/mountinfo")


class Mount(NamedTuple):
    """One line of mountinfo: the part (`root`) of a file system (`device`, "major:minor") that is mounted at `point`."""

    device: str
    root: Path
    point: Path


def places_of(settings: object) -> dict[str, Path]:
    """Return our places that a process with these settings (`shared.infra.settings`) knows, by setting name."""
    return {name.upper(): place for name in _OURS if (place := getattr(settings, name, None)) is not None}


def check_settings(settings: object) -> bool:
    """Raise ConfigurationError, with every overlap, when our places and the NAS are not apart.

    Return False when a disk or the NAS did not answer within `PATIENCE_S`. No service waits longer, because folders are compared
    again before anything is copied or deleted.
    """
    base = getattr(settings, "qnap_base_path", None)
    found: list[list[str]] = []
    looking = threading.Thread(target=lambda: found.append(overlaps(base, places_of(settings)) if base else []), daemon=True)
    looking.start()
    looking.join(PATIENCE_S)
    if found and found[0]:
        raise ConfigurationError("These settings need your attention:\n  " + "\n  ".join(found[0]))
    return bool(found)


def overlaps(base: Path, ours: Mapping[str, Path]) -> list[str]:
    """Return a sentence for each of our places that lies below `base` or contains it. `ours`: places by setting name."""
    mounts = _mounts()
    wrong = []
    for name, place in ours.items():
        if _holds(base, place, mounts):
            wrong.append(
                f"{name}: {place} lies in QNAP_BASE_PATH ({base}), whose folders are archived and emptied. "
                f"Choose a place outside of it; links and other mounts of the same directory count."
            )
        elif _holds(place, base, mounts):
            wrong.append(
                f"QNAP_BASE_PATH: {base} lies in {name} ({place}), where CS Archiver keeps its own files. "
                f"Choose another place for {name}; links and other mounts of the same directory count."
            )
    return wrong


def refuse_overlap(folder: Path, ours: Mapping[str, Path]) -> None:
    """Check that one folder of the NAS and our places are apart now. Raises PermanentError."""
    mounts = _mounts()
    for name, place in ours.items():
        if _holds(folder, place, mounts) or _holds(place, folder, mounts):
            raise PermanentError(
                f"{folder} is not archived: CS Archiver keeps its own files there ({name} is {place}). Move them out of the NAS first."
            )


def refuse_marked(base: int, relative: bytes, shown: str) -> None:
    """Check that no directory from the open `base` to the one at `relative` carries `PLACE`.

    shown: the folder's name for messages. Raises PermanentError; OSError when there is no such directory.
    """
    parts = handles.split(relative)
    for depth in range(len(parts) + 1):
        with handles.directory(base, b"/".join(parts[:depth])) as directory:
            if is_marked(directory):
                raise PermanentError(why_not(shown, os.fsdecode(b"/".join(parts[:depth])) or "the base"))


def is_marked(directory: int) -> bool:
    """Return whether an open directory carries `PLACE`."""
    return handles.lstat(directory, PLACE) is not None


def is_place(path: bytes) -> bool:
    """Return whether a path names the marker file of one of our places. Pure."""
    return path.rpartition(b"/")[2] == PLACE


def why_not(shown: str, where: str) -> str:
    """Return why such a folder is never archived."""
    return (
        f"{shown} is never archived: {where} belongs to CS Archiver (it holds {os.fsdecode(PLACE)}). "
        f"Archive it only after CS Archiver has left it and that file is removed."
    )


def mark(directory: Path) -> None:
    """Put `PLACE` into one of our directories. A full disk does not prevent the start, because paths are still compared."""
    with suppress(OSError):
        handle = os.open(directory / os.fsdecode(PLACE), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.write(handle, _TEXT)
        finally:
            os.close(handle)


def _holds(outer: Path, inner: Path, mounts: Sequence[Mount]) -> bool:
    """Return whether `inner` is `outer` or lies below it, by any path. Either may not exist yet."""
    outer, inner = Path(os.path.realpath(outer)), Path(os.path.realpath(inner))
    if inner.is_relative_to(outer):
        return True
    with suppress(OSError):
        itself = outer.stat()
        for above in (inner, *inner.parents):
            with suppress(OSError):
                if os.path.samestat(itself, above.stat()):
                    return True
    device, path = _location(inner, mounts)
    return any(device == held and path.is_relative_to(root) for held, root in _extents(outer, mounts))


def _location(path: Path, mounts: Sequence[Mount]) -> tuple[str, Path]:
    """Return where a resolved path lies on its file system. Pure."""
    found = Mount("", Path("/"), Path("/"))
    for mount in mounts:  # later ones hide earlier ones
        if path.is_relative_to(mount.point) and len(mount.point.parts) >= len(found.point.parts):
            found = mount
    return found.device, found.root / path.relative_to(found.point)


def _extents(path: Path, mounts: Sequence[Mount]) -> list[tuple[str, Path]]:
    """Return everything visible at and below a resolved path: its own location, and the roots of mounts below it. Pure."""
    below = [(mount.device, mount.root) for mount in mounts if mount.point != path and mount.point.is_relative_to(path)]
    return [_location(path, mounts), *below]


def _mounts() -> list[Mount]:
    try:
        text = _MOUNTS.read_bytes()
    except OSError:
        return []
    return parse_mounts(text)


def parse_mounts(text: bytes) -> list[Mount]:
    """Parse the lines of mountinfo, which writes blanks and similar characters as octal numbers. Pure."""
    found = []
    for line in text.splitlines():
        _, _, device, root, point, *_ = line.split(b" ")
        found.append(Mount(device.decode(), _unescaped(root), _unescaped(point)))
    return found


def _unescaped(field: bytes) -> Path:
    first, *others = field.split(b"\\")
    return Path(os.fsdecode(first + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in others)))
