"""Walk, measure and remove directory trees by handle. Any depth works, links are never followed, vanishing entries are no error."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from shared.files import handles
from shared.files.position import Position

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_CLOSED = {*_GONE, errno.EACCES, errno.EPERM}

Stop = Callable[[], None]
"""Called now and then; raises an error to end the work."""


def go_on() -> None:
    """Never stop the work."""


class Found(NamedTuple):
    """An entry and the folder that holds it, relative to the top (bytes; b"": the top itself)."""

    folder: bytes
    entry: "os.DirEntry[str]"

    @property
    def path(self) -> bytes:
        """Return the path relative to the top."""
        name = os.fsencode(self.entry.name)
        return self.folder + b"/" + name if self.folder else name


def walk(top: int, stop: Stop = go_on) -> Iterator[Found]:
    """Yield every entry below an open directory, a folder before its content.

    Unreadable folders and other file systems count as empty. `entry.stat` works until the next entry is requested.
    """
    pending, device = [b""], os.fstat(top).st_dev
    while pending:
        folder = pending.pop()
        stop()
        try:
            with handles.directory(top, folder) as handle, os.scandir(handle) as entries:
                for entry in entries if os.fstat(handle).st_dev == device else ():
                    found = Found(folder, entry)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(found.path)
                    yield found
        except OSError as exc:
            if exc.errno not in _CLOSED or not folder:
                raise


class Measured(NamedTuple):
    """`total_bytes`: lengths of regular files. A file with several names counts once per name.

    `file_count`: regular files. `entries`: files, folders, links and everything else that has a name.
    """

    total_bytes: int
    file_count: int
    entries: int


def measure(top: int, stop: Stop = go_on) -> Measured:
    """Add up everything below an open directory."""
    found = measure_up_to(top, None, stop)
    assert found is not None
    return found


def measure_up_to(top: int, most: int | None, stop: Stop = go_on) -> Measured | None:
    """Add up everything below an open directory; None as soon as there are more than `most` entries (None: no limit)."""
    total = count = entries = 0
    for _, entry in walk(top, stop):
        entries += 1
        if most is not None and entries > most:
            return None
        if entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError):
                total += entry.stat(follow_symlinks=False).st_size
                count += 1
    return Measured(total, count, entries)


def links(parent: int, name: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield every link at or below this name: its path below the name (b"" or b"/a/b") and its text."""
    found = handles.lstat(parent, name)
    if found is not None and stat.S_ISLNK(found.st_mode):
        yield b"", os.readlink(name, dir_fd=parent)
    if found is None or not stat.S_ISDIR(found.st_mode):
        return
    with handles.directory(parent, name) as top:
        for below in walk(top):
            if below.entry.is_symlink():
                with suppress(FileNotFoundError), handles.directory(top, below.folder) as folder:
                    yield b"/" + below.path, os.readlink(os.fsencode(below.entry.name), dir_fd=folder)


def remove(parent: int, name: bytes, stop: Stop = go_on) -> None:
    """Remove any object with this name in an open directory, and everything below it. A missing name is fine. Raises OSError."""
    found = handles.lstat(parent, name)
    if found is None:
        return
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=parent)
        return
    with handles.directory(parent, name) as top:
        _empty(top, stop)
    os.rmdir(name, dir_fd=parent)


def remove_tree(path: Path, stop: Stop = go_on) -> None:
    """Remove a tree of ours, as `remove` does."""
    with handles.root(path.parent) as parent:
        remove(parent, os.fsencode(path.name), stop)


def _empty(top: int, stop: Stop) -> None:
    pending, folders = [b""], list[bytes]()
    with Position(top) as position:
        while pending:
            stop()
            folder = pending.pop()
            folders.append(folder)
            handle = position.at(folder)
            os.fchmod(handle, 0o700)
            with os.scandir(handle) as entries:
                held = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
            for name, is_folder in held:
                if is_folder:
                    pending.append(folder + b"/" + name if folder else name)
                else:
                    os.unlink(name, dir_fd=handle)
        for folder in reversed(folders[1:]):
            above, _, name = folder.rpartition(b"/")
            os.rmdir(name, dir_fd=position.at(above))
