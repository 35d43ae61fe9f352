"""Where people's paths lead: below a user's own workspace, or below the NAS, and nowhere else.

People name things by a root and a path below it (`reports/2026`); programs hold a directory handle on the root and walk from there, one
part at a time, links never followed (shared/files/handles.py). A name that is not UTF-8 cannot be said in JSON: such entries are shown, and
reached through the folder that holds them.
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
"""Bytes of a path below its root: what archives hold reliably."""
LONGEST_NAME = handles.NAME_LIMIT

_IN_THE_WAY = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


class Root(StrEnum):
    """What a path lies below."""

    WORKSPACE = "workspace"
    NAS = "nas"


def plain(path: str) -> str:
    """The one way to write a path below a root: no slash at either end; the root itself is "". Pure.

    Raises PermanentError, with what is wrong, for everything that could lead elsewhere or that a file system cannot hold.
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
    """Return `stem` and `tail` as one name, the stem cut between letters where a file system takes no longer one. Pure."""
    raw, room = os.fsencode(stem), LONGEST_NAME - len(tail.encode())
    return (stem if len(raw) <= room else raw[:room].decode(errors="ignore")) + tail


def workspace(workspaces: Path, owner: UUID) -> Path:
    """The directory that is one user's workspace."""
    return workspaces / str(owner)


def owners(workspaces: Path) -> list[UUID]:
    """Of whom there is a workspace."""
    found = []
    for path in workspaces.iterdir() if workspaces.is_dir() else ():
        with suppress(ValueError):
            found.append(UUID(path.name))
    return found


@contextmanager
def opened(root: Path, path: str) -> Iterator[int]:
    """Open the directory `path` below `root` for reading; yields its handle.

    Raises PermanentError for a path that is none, with the code "not-found" where no plain folder has it (a link is none).
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
    """Open the folder that holds `path`; yields its handle and the last name. Raises as `opened`, and for the root itself."""
    relative = plain(path)
    if not relative:
        raise PermanentError("The top folder itself cannot be named here.")
    folder, _, name = relative.rpartition("/")
    with opened(root, folder) as handle:
        yield handle, os.fsencode(name)
