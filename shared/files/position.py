"""Move one directory handle through a tree."""

import errno
import os
from typing import Self

from shared.files import handles

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Position:
    """One directory handle that moves through a tree, part by part, never through a link. Deep trees need no more handles.

    Going up opens `..` and checks that it is the directory we came from. Not thread-safe.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._handle = os.dup(root)
        self._path = b""
        self._parts: list[bytes] = []
        self._ids = [_identity(root)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def at(self, path: bytes) -> int:
        """Return the handle of directory `path`, valid until the next call. Raises OSError when the directory no longer exists."""
        if path == self._path:
            return self._handle
        parts = handles.split(path)
        self._path = b"/"  # no path equals this: after a failure half-way nothing is assumed
        common = 0
        for here, there in zip(self._parts, parts, strict=False):
            if here != there:
                break
            common += 1
        while len(self._parts) > common:
            self._up()
        for part in parts[common:]:
            self._move(part)
            self._parts.append(part)
            self._ids.append(_identity(self._handle))
        self._path = path
        return self._handle

    def _up(self) -> None:
        self._move(b"..")
        self._parts.pop()
        self._ids.pop()
        if _identity(self._handle) != self._ids[-1]:
            os.close(self._handle)  # its location is unknown: the next call starts at the root again
            self._handle = os.dup(self._root)
            self._parts, self._ids = [], self._ids[:1]
            raise OSError(errno.ESTALE, "a directory was moved")

    def _move(self, name: bytes) -> None:
        handle = os.open(name, _DIRECTORY, dir_fd=self._handle)
        os.close(self._handle)
        self._handle = handle


def _identity(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_dev, found.st_ino
