"""Resolve people's paths: below a user's own workspace or below the NAS, and nowhere else.

People name an entry by a root and a path below it (`reports/2026`). Programs hold a directory handle on the root and walk from
there, part by part, never following links (shared/files/handles.py). JSON cannot express a name that is not UTF-8. Such entries
are shown, and are reached through the folder that holds them.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from shared import units
from shared.errors import NOT_FOUND, PermanentError
from shared.files import handles

LONGEST_PATH = 3500
"""Maximum bytes of a path below its root: archives hold such paths reliably."""
LONGEST_NAME = handles.NAME_LIMIT

_IN_THE_WAY = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


class Root(StrEnum):
    """The root that a path is relative to."""

    WORKSPACE = "workspace"
    NAS = "nas"


def plain(path: str) -> str:
    """Return the only valid form of a path below a root: no slash at either end; the root itself is "". Pure.

    Raises PermanentError, with the problem, for every path that could lead elsewhere or that a file system cannot hold.
    """
    trimmed = path.strip("/")
    try:
        raw = trimmed.encode()
    except UnicodeEncodeError:
        raise PermanentError("A path consists of Unicode characters; this one holds half a character.") from None
    parts = raw.split(b"/") if raw else []
    if any(part in {b"", b".", b".."} for part in parts):
        raise PermanentError("A path has no empty parts, and no part that is '.' or '..'.")
    if any(byte < 32 or byte == 127 for byte in raw):
        raise PermanentError("A path has no control characters.")
    if len(raw) > LONGEST_PATH or any(len(part) > LONGEST_NAME for part in parts):
        raise PermanentError(f"A path has at most {units.exact_size(LONGEST_PATH)}, and each name in it at most {LONGEST_NAME}.")
    return trimmed


def name_with(stem: str, tail: str) -> str:
    """Return `stem` and `tail` as one name. The stem is cut between letters if a file system cannot hold the whole name. Pure."""
    raw, room = os.fsencode(stem), LONGEST_NAME - len(tail.encode())
    return (stem if len(raw) <= room else raw[:room].decode(errors="ignore")) + tail


def workspace(workspaces: Path, owner: UUID) -> Path:
    """Return the directory of one user's workspace."""
    return workspaces / str(owner)


def owners(workspaces: Path) -> list[UUID]:
    """Return the users who have a workspace."""
    found = []
    for path in workspaces.iterdir() if workspaces.is_dir() else ():
        with suppress(ValueError):
            found.append(UUID(path.name))
    return found


@contextmanager
def opened(root: Path, path: str) -> Iterator[int]:
    """Open the directory `path` below `root` for reading; yield its handle.

    Raises PermanentError for an invalid path, with the code "not-found" when it is not a plain folder (a link is not).
    """
    relative = plain(path).encode()
    with ExitStack() as stack:
        try:
            base = stack.enter_context(handles.root(root))
            folder = stack.enter_context(handles.directory(base, relative))
        except OSError as exc:
            if exc.errno in _IN_THE_WAY:
                raise PermanentError(f"There is no folder {path or '/'}.", NOT_FOUND) from exc
            raise
        yield folder


@contextmanager
def parent_of(root: Path, path: str) -> Iterator[tuple[int, bytes]]:
    """Open the folder that holds `path`; yield its handle and the last name. Raises as `opened`, and for the root itself."""
    relative = plain(path)
    if not relative:
        raise PermanentError("The top folder itself cannot be named here.")
    folder, _, name = relative.rpartition("/")
    with opened(root, folder) as handle:
        yield handle, os.fsencode(name)
