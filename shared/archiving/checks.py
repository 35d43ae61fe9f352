"""Decide whether an archive may be unpacked. Pure.

We create every entry ourselves, by directory handle, in a fresh directory, so nothing can escape from it. An archive that tries
to escape, or that contains a name twice, is refused as a whole, with the reason. Names that differ only in case are not a
reason: the file system decides whether they can be two files, and `writing` finds out. Pack jobs run the same checks before
they delete the files that they packed.
"""

from collections.abc import Collection

import msgspec

from shared import units
from shared.archiving.formats import TOO_BIG, UNSAFE
from shared.archiving.protocol import Limits, Member
from shared.files.handles import NAME_LIMIT
from shared.files.manifest import printable

_PATH_LIMIT = 3_500
_LINK_LIMIT = 4_000
_SHOWN = 20
_SHOWN_BYTES = 300  # of a name in a sentence


class Problem(msgspec.Struct, frozen=True):
    code: str
    sentence: str


class Checks:
    """Checks members one by one. `problems` holds the first 20 reasons not to unpack; after the first, memory use stops growing."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._limits = limits
        self._packed = max(packed_bytes, 1)
        # No total below this is too big. Larger totals are checked in detail.
        self._harmless = min(limits.total_bytes, max(limits.ratio_from, limits.ratio * self._packed))
        self._folders = {b""}
        self._others: set[bytes] = set()
        self._entries = 0
        self.total_bytes = 0
        self.problems: list[Problem] = []

    def add(self, member: Member) -> None:
        """Check a member that would be unpacked."""
        refused = bool(self.problems)
        self._count(member)
        if refused:
            return
        if wrong := self._path_problem(member.path):
            self._say(UNSAFE, f"{_shown(member.path) or 'an entry without a name'}: {wrong}")
            return
        if member.kind == "special":
            self._say(UNSAFE, f"{_shown(member.path)} is a device, socket or FIFO")
            return
        if member.link is not None and (wrong := link_problem(member)):
            self._say(UNSAFE, wrong)
        self._place(member)

    def bytes_found(self, more: int) -> None:
        """Count bytes that no listing announced."""
        self.total_bytes += more
        self._check_size()

    def _path_problem(self, path: bytes) -> str | None:
        """Check a path as the function does. If the parent is known, it was checked before, so only the last name is checked."""
        parent, slash, name = path.rpartition(b"/")
        known = parent in self._folders and (parent or not slash)
        return None if known and _is_plain_name(name) and len(path) <= _PATH_LIMIT else _path_problem(path)

    def _count(self, member: Member) -> None:
        self._entries += 1
        if self._entries == self._limits.entries + 1:
            self._say(TOO_BIG, f"It has more than {units.counted(self._limits.entries, 'entry', 'entries')}")
        if member.kind == "file":
            self.total_bytes += max(member.size, 0)
        if self.total_bytes > self._harmless:
            self._check_size()

    def excess(self, more: int) -> str | None:
        """Return why this many more bytes would be too many; None when they would not."""
        total = self.total_bytes + more
        if total <= self._harmless:
            return None
        if total > self._limits.total_bytes:
            return f"Unpacked it has more than {units.size(self._limits.total_bytes)}, which is the limit"
        if total > self._limits.ratio_from and total / self._packed > self._limits.ratio:
            return f"Unpacked it is more than {units.counted(self._limits.ratio, 'time')} as big as it is now, as a trap would be"
        return None

    def _check_size(self) -> None:
        if (wrong := self.excess(0)) and not any(problem.code == TOO_BIG for problem in self.problems):
            self._say(TOO_BIG, wrong)

    def _place(self, member: Member) -> None:
        """Check that no path occurs twice or lies below a file or a link."""
        path = member.path
        parent = path.rpartition(b"/")[0]
        if parent not in self._folders and not self._make_folders(parent, path):
            return
        if member.kind == "directory":
            self._make_folders(path, path)
        elif path in self._others or path in self._folders:
            self._say(UNSAFE, f"{_shown(path)} is in it twice")
        else:
            self._others.add(path)

    def _make_folders(self, folder: bytes, path: bytes) -> bool:
        missing = []
        while folder not in self._folders:
            missing.append(folder)
            folder = folder.rpartition(b"/")[0]
        for one in reversed(missing):
            if one in self._others:
                self._say(UNSAFE, f"{_shown(path)} lies below {_shown(one)}, which is a file or a link")
                return False
            self._folders.add(one)
            if len(self._folders) - 1 > self._limits.entries:  # minus the top folder
                self._say(TOO_BIG, f"It has more than {units.counted(self._limits.entries, 'folder')}")
                return False
        return True

    def _say(self, code: str, sentence: str) -> None:
        if len(self.problems) < _SHOWN:
            self.problems.append(Problem(code, sentence))


def _shown(path: bytes) -> str:
    return printable(path) if len(path) <= _SHOWN_BYTES else f"{printable(path[:_SHOWN_BYTES])}..."


def _is_plain_name(name: bytes) -> bool:
    return name not in {b"", b".", b".."} and len(name) <= NAME_LIMIT and b"\0" not in name


def _path_problem(path: bytes) -> str | None:
    if path.startswith(b"/"):
        return "its path is absolute"
    parts = path.split(b"/")
    if b".." in parts:
        return "its path leads upwards"
    if b"" in parts or b"." in parts or b"\0" in path:
        return "its path has an empty part"
    if len(path) > _PATH_LIMIT or max(map(len, parts)) > NAME_LIMIT:
        return f"its path is longer than {units.exact_size(_PATH_LIMIT)}, or a name in it than {NAME_LIMIT}"
    return None


def link_problem(member: Member) -> str | None:
    """Return why a link would lead out of the directory it is unpacked in; None when it cannot.

    `..` is allowed only at the start of a target. After a name, which may itself be a link, `..` would start from wherever that
    name leads. With this rule each link leads from its own real directory to a place inside, even if it passes other links.
    """
    target, shown = member.link or b"", _shown(member.path)
    if member.kind == "hardlink":
        return f"{shown} is a hard link to {_shown(target)}: {wrong}" if (wrong := _path_problem(target)) else None
    if not target or b"\0" in target or len(target) > _LINK_LIMIT:
        return f"{shown} is a link without a usable target"
    if target.startswith(b"/"):
        return f"{shown} is a link to the absolute path {_shown(target)}"
    parts = [part for part in target.split(b"/") if part not in {b"", b"."}]
    ups = 0
    while ups < len(parts) and parts[ups] == b"..":
        ups += 1
    if ups > member.path.count(b"/") or b".." in parts[ups:]:
        return f"{shown} is a link that leads outside: {_shown(target)}"
    return None


def names_problem(total: int, limits: Limits) -> str | None:
    """Return why the names of an archive (`total` bytes in all) are too long to list; None when they are not."""
    return f"the names in it have more than {units.size(limits.names_bytes)}" if total > limits.names_bytes else None


def normal(path: bytes) -> bytes:
    """Return a path without leading `./` and trailing `/`; the archive's own root (`.`) becomes empty."""
    while path.startswith(b"./"):
        path = path[2:].lstrip(b"/")
    path = path.rstrip(b"/") if path.strip(b"/") else path
    return b"" if path == b"." else path


class Chosen:
    """Selects members: the named ones and everything below them, or all members when no name is given."""

    def __init__(self, names: Collection[bytes]) -> None:
        self._names = {normal(name): False for name in names}

    def wants(self, path: bytes) -> bool:
        if not self._names:
            return True
        name = path
        while name:
            if name in self._names:
                self._names[name] = True
                return True
            name = name.rpartition(b"/")[0]
        return False

    def missing(self) -> list[bytes]:
        return [name for name, found in self._names.items() if not found]
