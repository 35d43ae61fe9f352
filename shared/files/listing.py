"""List a folder for people: one sorted page of it, or everything below it whose name matches. Used on workspaces and on the NAS."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

import msgspec

from shared.errors import PermanentError
from shared.files import handles, trees
from shared.files.manifest import printable
from shared.files.mount import SENTINEL
from shared.files.paths import plain

MOST_MATCHES = 10_000
MOST_SECONDS = 15.0
_MOST_BYTES = 2 << 20
"""Maximum bytes of paths in one page, because a page must fit into a message between services (4 MB)."""

EntryType = Literal["file", "folder", "link", "other"]
SortKey = Literal["name", "size", "modified", "type"]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `path`: relative to its root. `size`: bytes of a file.

    `reachable`: False for a name that no path can express (it is not UTF-8, or holds control characters). Such an entry is shown
    with escapes, and is reached through the folder that holds it.
    """

    name: str
    path: str
    type: EntryType
    size: int | None
    modified_at: datetime
    reachable: bool = True


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """`q`: part of the name, in any letter case. `deep`: search subfolders too. `hidden`: extensions to omit, with their dot."""

    q: str = ""
    deep: bool = False
    sort: SortKey = "name"
    descending: bool = False
    limit: int = 200
    offset: int = 0
    hidden: list[str] = []


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """`total`: the number of matching entries. `complete`: False when the limits ended a search early.

    A page may hold fewer entries than requested. The next page begins where this one ends.
    """

    items: list[Item]
    total: int
    complete: bool = True


def entry_type(mode: int) -> EntryType:
    """Return the kind of entry that a mode stands for. Pure."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


def item(path: bytes, found: os.stat_result) -> Item:
    """Return an entry as it is shown to people. Pure."""
    kind = entry_type(found.st_mode)
    shown, reachable = _said(path)
    return Item(
        name=shown.rpartition("/")[2],
        path=shown,
        type=kind,
        size=found.st_size if kind == "file" else None,
        modified_at=_time(found.st_mtime),
        reachable=reachable,
    )


def _said(path: bytes) -> tuple[str, bool]:
    try:
        text = path.decode()
        return text, plain(text) == text
    except (UnicodeDecodeError, PermanentError):
        return printable(path), False


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # a year that Python's calendar does not support
        return datetime.fromtimestamp(0, UTC)


def listed(folder: int, path: str, wanted: Wanted) -> Page:
    """Return one page of an open directory, folders first. `path`: the directory's own path below its root. Raises OSError.

    When sorted by name, only the page's own entries are read; other orders read every entry.
    """
    found, complete = _matches(folder, wanted)
    if wanted.sort in {"name", "type"}:
        found.sort(key=_by_name if wanted.sort == "name" else _by_type, reverse=wanted.descending)
        found.sort(key=lambda one: not one.is_dir)
        chosen = found[wanted.offset : wanted.offset + wanted.limit]
        items = _items(folder, path, chosen)
    else:
        everything = _items(folder, path, found)
        everything.sort(key=lambda one: one.path)
        everything.sort(key=_size if wanted.sort == "size" else _modified, reverse=wanted.descending)
        everything.sort(key=lambda one: one.type != "folder")
        items = everything[wanted.offset : wanted.offset + wanted.limit]
    return Page(items=_fitting(items), total=len(found), complete=complete)


class _Match(msgspec.Struct, frozen=True):
    path: bytes
    is_dir: bool


def _name(one: _Match) -> str:
    return os.fsdecode(one.path.rpartition(b"/")[2])


def _by_name(one: _Match) -> tuple[str, bytes]:
    return _name(one).casefold(), one.path


def _by_type(one: _Match) -> tuple[str, str, bytes]:
    return os.path.splitext(_name(one).casefold())[1], *_by_name(one)  # noqa: PTH122 - names, not paths


def _size(one: Item) -> int:
    return one.size or 0


def _modified(one: Item) -> datetime:
    return one.modified_at


def _matches(folder: int, wanted: Wanted) -> tuple[list[_Match], bool]:
    ends = time.monotonic() + MOST_SECONDS
    words, hidden = wanted.q.casefold(), tuple(wanted.hidden)
    found: list[_Match] = []
    for path, entry in _entries(folder, deep=wanted.deep):
        if wanted.deep and (len(found) >= MOST_MATCHES or time.monotonic() > ends):
            return found, False
        is_dir = entry.is_dir(follow_symlinks=False)
        if entry.name == SENTINEL or (not is_dir and hidden and entry.name.lower().endswith(hidden)):
            continue
        if words in entry.name.casefold():
            found.append(_Match(path, is_dir))
    return found, True


def _entries(folder: int, *, deep: bool) -> Iterator[tuple[bytes, "os.DirEntry[str]"]]:
    if deep:
        for found in trees.walk(folder):
            yield found.path, found.entry
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            yield os.fsencode(entry.name), entry


def _items(folder: int, path: str, chosen: list[_Match]) -> list[Item]:
    above = f"{path}/".encode() if path else b""
    items = []
    for one in chosen:
        inside, _, name = one.path.rpartition(b"/")
        with suppress(FileNotFoundError, NotADirectoryError), handles.directory(folder, inside) as handle:
            found = handles.lstat(handle, name)
            if found is not None:
                items.append(item(above + one.path, found))
    return items


def _fitting(items: list[Item]) -> list[Item]:
    size = 0
    for number, one in enumerate(items):
        size += len(one.path.encode("utf-8", "surrogatepass")) + len(one.name)
        if size > _MOST_BYTES:
            return items[:number]
    return items
