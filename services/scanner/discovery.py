"""List what can be archived (the folders exactly three levels below the base, with their sizes), and check one requested folder.

Rules: a folder is listed as ignored if it has a marker, holds nothing but one `.txt` file, or holds nothing at all. A tree of
nothing but empty directories counts as empty, because an archive would protect nothing in it. A folder is also ignored if no
archive could have its name. No name is hidden: only links and entries that are not directories are not folders. Links are never
followed. Sizes do not cross file systems.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from shared.errors import ARCHIVED_ALREADY, NOT_FOUND, Operation, PermanentError, TransientError
from shared.files import apart, handles, mount, preflight
from shared.files.manifest import printable
from shared.files.markers import is_marker

Ignored = Literal["archived", "single_text_file", "empty", "name_impossible"]
Stop = Callable[[], None]

_LEVELS = 3
_PLACE = os.fsdecode(apart.PLACE)
_OURS = f"it belongs to CS Archiver (see {_PLACE} there), and is never archived"
_NOT_A_FOLDER = {errno.ELOOP, errno.ENOTDIR}


class FolderFacts(msgspec.Struct, frozen=True):
    """One folder at level three.

    path: absolute. size_bytes: apparent size of the regular files below it. file_count: all entries below it that
    are not directories. modified_at_ns: newest modification of the folder or anything below, nanoseconds since
    1970. ignored: why it is not offered. unreadable: what could not be read (the sums are then partial). device,
    inode: of the folder, 0 when it was not opened.
    """

    path: str
    name: str
    level1: str
    level2: str
    size_bytes: int
    file_count: int
    modified_at_ns: int
    is_archived: bool
    ignored: Ignored | None
    unreadable: str | None
    device: int
    inode: int


class Unreadable(msgspec.Struct, frozen=True):
    """A directory above level three that could not be listed, or a name at any level that cannot be represented as text."""

    path: str
    reason: str


class Scan(msgspec.Struct, frozen=True):
    """All folders, sorted by path, and the obstacles that hid others."""

    folders: list[FolderFacts]
    unreadable: list[Unreadable]


class FolderIdentity(msgspec.Struct, frozen=True):
    """A folder that may be archived: its canonical path, its names, and the identity of its directory now."""

    path: str
    name: str
    level1: str
    level2: str
    device: int
    inode: int


class _Sums:
    """The totals of one walk through a folder."""

    def __init__(self) -> None:
        self.size = 0
        self.files = 0
        self.newest = 0
        self.unreadable: str | None = None
        self.ours = False
        self.top_names: list[str] = []

    def trouble(self, relative: bytes, reason: str) -> None:
        """Record the first reason only; one is enough to act on."""
        if self.unreadable is None:
            self.unreadable = f"{printable(relative) or 'the folder'}: {reason}"


def scan(base: Path, stop: Stop, check: Callable[[int], None] | None = None) -> Scan:
    """List every folder three levels below `base`.

    stop: called between directories; raises to end the scan. check: called first, with the open base
    (`mount.check_mounted`), so that the whole scan reads that very directory. Raises Waiting when the base cannot be opened.
    Anything unreadable below is reported, never raised.
    """
    result = Scan([], [])
    with mount.opened(base) as base_handle:
        if check is not None:
            check(base_handle)
        device = os.fstat(base_handle).st_dev
        if apart.is_marked(base_handle):
            return Scan([], [Unreadable(str(base), _OURS)])
        for level1, first in _open_each(base_handle, base, device, result.unreadable):
            for level2, second in _open_each(first, base / level1, device, result.unreadable):
                here = base / level1 / level2
                for name in _folder_names(second, here, result.unreadable):
                    stop()
                    facts = _facts(second, here, (level1, level2, name), device, stop)
                    if facts is None:
                        continue
                    if facts.unreadable == _OURS:
                        result.unreadable.append(Unreadable(facts.path, _OURS))
                    else:
                        result.folders.append(facts)
    return result


def scan_folder(base: Path, level1: str, level2: str, name: str, stop: Stop = lambda: None) -> FolderFacts | None:
    """Scan one folder again. Returns None when the directory does not exist any more. Raises Waiting as `scan` does."""
    with mount.opened(base) as base_handle:
        device = os.fstat(base_handle).st_dev
        try:
            with handles.directory(base_handle, os.fsencode(f"{level1}/{level2}")) as parent:
                facts = _facts(parent, base / level1 / level2, (level1, level2, name), device, stop)
                return None if facts is not None and facts.unreadable == _OURS else facts
        except OSError as exc:
            if exc.errno in _NOT_A_FOLDER | {errno.ENOENT}:
                return None
            return _not_opened(base / level1 / level2, (level1, level2, name), _why(exc))


def levels(base: Path, path: str) -> tuple[str, str, str]:
    """Split a requested path into its three levels below `base`, without reading the disk.

    One trailing slash is allowed. Raises PermanentError with a specific message for each kind of error.
    """
    root, text = str(base).rstrip("/"), path.removesuffix("/")
    shown = printable(text.encode("utf-8", "surrogateescape"))
    if not text.startswith("/") or "\0" in text:
        raise PermanentError(f"{shown!r} is not an absolute path.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PermanentError(f"{shown!r} is not valid UTF-8; rename the folder first.") from None
    if text != root and not text.startswith(f"{root}/"):
        raise PermanentError(f"{shown!r} is not below {root or '/'}, where the folders to archive are.")
    parts = text[len(root) + 1 :].split("/") if text != root else []
    if any(part in {"", ".", ".."} for part in parts):
        raise PermanentError(f"{shown!r} is not in its plain form: write it without '//', '.' and '..'.")
    if len(parts) != _LEVELS:
        raise PermanentError(
            f"Only folders exactly three levels below {root or '/'} can be archived; {shown!r} is at level {len(parts)}."
        )
    return parts[0], parts[1], parts[2]


def inspect(base: Path, path: str) -> FolderIdentity:
    """Check one requested folder: canonical, no links in any part, three levels down, readable, not archived, not ignored.

    It reads no deeper than it must. Entries that an archive cannot hold are found before the copy. Raises PermanentError with the
    reason, TransientError when the NAS fails to answer, Waiting when the base cannot be opened.
    """
    level1, level2, name = levels(base, path)
    plain = f"{base}/{level1}/{level2}/{name}" if str(base) != "/" else f"/{level1}/{level2}/{name}"
    with mount.opened(base) as base_handle:
        try:
            with handles.directory(base_handle, os.fsencode(f"{level1}/{level2}/{name}")) as folder:
                facts = os.fstat(folder)
                if facts.st_dev != os.fstat(base_handle).st_dev:
                    raise PermanentError(f"{plain} is on another file system than {base}, and cannot be archived.")
                apart.refuse_marked(base_handle, os.fsencode(f"{level1}/{level2}/{name}"), plain)
                _refuse_ignored(folder, plain, name)
        except OSError as exc:
            raise _refusal(base_handle, (level1, level2, name), plain, exc) from exc
    return FolderIdentity(plain, name, level1, level2, facts.st_dev, facts.st_ino)


def _refusal(base_handle: int, parts: tuple[str, str, str], plain: str, exc: OSError) -> PermanentError | TransientError:
    if exc.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
        return PermanentError(f"{plain} does not exist.", NOT_FOUND)
    if exc.errno in _NOT_A_FOLDER:
        part = _first_link(base_handle, parts)
        return PermanentError(
            f"{plain} leads over the link {part!r}; name the real folder." if part else f"{plain} is not a folder."
        )
    if exc.errno in {errno.EACCES, errno.EPERM}:
        return PermanentError(f"{plain} may not be read by the scanner: {_why(exc)}.")
    return TransientError(f"{plain} cannot be read now: {_why(exc)}.", Operation.CONNECTION)


def _first_link(base_handle: int, parts: tuple[str, str, str]) -> str | None:
    for depth, part in enumerate(parts):
        with handles.directory(base_handle, os.fsencode("/".join(parts[:depth]))) as parent:
            facts = handles.lstat(parent, os.fsencode(part))
        if facts is None or not stat.S_ISDIR(facts.st_mode):
            return part if facts is not None and stat.S_ISLNK(facts.st_mode) else None
    return None


def _refuse_ignored(folder: int, plain: str, name: str) -> None:
    if refusals := preflight.name_refusals(folder, name.encode()):
        raise PermanentError(" ".join(refusals))
    names = os.listdir(folder)
    found = next((name for name in names if is_marker(name)), None)
    if found is not None:
        raise PermanentError(f"{plain} is archived already: it holds the marker {printable(os.fsencode(found))}.", ARCHIVED_ALREADY)
    if len(names) == 1 and _is_single_text(folder, names):
        raise PermanentError(f"{plain} holds only one .txt file; such folders are not archived.")
    if not _holds_a_file(folder):
        raise PermanentError(f"{plain} is empty; there is nothing to archive.")


def _holds_a_file(folder: int) -> bool:
    pending = [b""]
    while pending:
        relative = pending.pop()
        with handles.directory(folder, relative) as handle, os.scandir(handle) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    return True
                pending.append(_join(relative, entry.name))
    return False


def _open_each(parent: int, path: Path, device: int, unreadable: list[Unreadable]) -> Iterator[tuple[str, int]]:
    """Yield (name, open handle) of every directory in `parent`."""
    for name in _folder_names(parent, path, unreadable):
        try:
            with handles.directory(parent, os.fsencode(name)) as handle:
                if os.fstat(handle).st_dev != device:
                    unreadable.append(Unreadable(str(path / name), "another file system is mounted here"))
                    continue
                if apart.is_marked(handle):
                    unreadable.append(Unreadable(str(path / name), _OURS))
                    continue
                yield name, handle
        except OSError as exc:
            if exc.errno not in _NOT_A_FOLDER | {errno.ENOENT}:
                unreadable.append(Unreadable(str(path / name), _why(exc)))


def _folder_names(parent: int, path: Path, unreadable: list[Unreadable]) -> list[str]:
    """Return the directories in `parent`, sorted. Report names that cannot be represented as text."""
    names: list[str] = []
    try:
        with os.scandir(parent) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    continue
                raw = os.fsencode(entry.name)
                try:
                    names.append(raw.decode())
                except UnicodeDecodeError:
                    shown = f"{path}/{printable(raw)}"
                    unreadable.append(Unreadable(shown, "its name is not valid UTF-8; rename it to see it here"))
    except OSError as exc:
        unreadable.append(Unreadable(str(path), _why(exc)))
    return sorted(names)


def _facts(parent: int, path: Path, names: tuple[str, str, str], device: int, stop: Stop) -> FolderFacts | None:
    """Measure the folder `names[2]` in `parent`. Returns None when it is not a directory (any more)."""
    level1, level2, name = names
    try:
        with handles.directory(parent, os.fsencode(name)) as folder:
            itself = os.fstat(folder)
            if itself.st_dev != device:
                return _not_opened(path, names, "another file system is mounted here")
            sums = _measure(folder, itself, stop)
            if sums.ours:
                return _not_opened(path, names, _OURS)
            ignored = _ignored(folder, name, sums)
    except OSError as exc:
        return None if exc.errno in _NOT_A_FOLDER | {errno.ENOENT} else _not_opened(path, names, _why(exc))
    return FolderFacts(
        path=f"{path}/{name}",
        name=name,
        level1=level1,
        level2=level2,
        size_bytes=sums.size,
        file_count=sums.files,
        modified_at_ns=sums.newest,
        is_archived=ignored == "archived",
        ignored=ignored,
        unreadable=sums.unreadable,
        device=itself.st_dev,
        inode=itself.st_ino,
    )


def _not_opened(path: Path, names: tuple[str, str, str], reason: str) -> FolderFacts:
    level1, level2, name = names
    return FolderFacts(f"{path}/{name}", name, level1, level2, 0, 0, 0, False, None, reason, 0, 0)


def _measure(folder: int, itself: os.stat_result, stop: Stop) -> _Sums:
    """Walk everything below `folder` with one directory open at a time, at any depth of the tree."""
    sums = _Sums()
    size, files, newest, device = 0, 0, itself.st_mtime_ns, itself.st_dev
    pending = [b""]
    while pending:
        relative = pending.pop()
        try:
            with handles.directory(folder, relative) as handle, os.scandir(handle) as entries:
                for entry in entries:
                    if not relative:
                        sums.top_names.append(entry.name)
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # removed since it was listed
                    if facts.st_mtime_ns > newest:  # noqa: PLR1730 - a call of max() per entry is felt over a million
                        newest = facts.st_mtime_ns
                    mode = facts.st_mode
                    if stat.S_ISREG(mode):
                        if entry.name == _PLACE:
                            sums.ours = True
                            return sums
                        files += 1
                        size += facts.st_size
                    elif not stat.S_ISDIR(mode):
                        files += 1
                    elif facts.st_dev == device:
                        pending.append(_join(relative, entry.name))
                    else:
                        sums.trouble(_join(relative, entry.name), "another file system is mounted here, not counted")
        except OSError as exc:
            if exc.errno != errno.ENOENT:
                sums.trouble(relative, _why(exc))
        if pending:
            stop()
    sums.size, sums.files, sums.newest = size, files, newest
    return sums


def _ignored(folder: int, name: str, sums: _Sums) -> Ignored | None:
    if any(is_marker(name) for name in sums.top_names):
        return "archived"
    if len(sums.top_names) == 1 and _is_single_text(folder, sums.top_names):
        return "single_text_file"
    if sums.files == 0 and sums.unreadable is None:  # an unreadable part may hold something
        return "empty"
    return "name_impossible" if preflight.name_refusals(folder, name.encode()) else None


def _is_single_text(folder: int, names: list[str]) -> bool:
    if not names[0].lower().endswith(".txt"):
        return False
    facts = handles.lstat(folder, os.fsencode(names[0]))
    return facts is not None and stat.S_ISREG(facts.st_mode)


def _join(relative: bytes, name: str) -> bytes:
    return os.fsencode(name) if not relative else relative + b"/" + os.fsencode(name)


def _why(exc: OSError) -> str:
    return (exc.strerror or str(exc)).lower()
