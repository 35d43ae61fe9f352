"""What an archive may not contain if it is to be unpacked here. Pure.

We write every entry ourselves, by directory handle, into a fresh directory: nothing could get out of it. An archive that tries, or
that names something twice, is refused as a whole with the reason. Names that differ in case only are no reason: whether they can be
two files is up to the file system, which `writing` asks. Packs ask the same judge before they delete what they packed.
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
    """Takes members one by one. `problems` holds the first 20 reasons not to unpack; no memory is spent once there are some."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._limits = limits
        self._packed = max(packed_bytes, 1)
        # Below this nothing is too big; it is looked at more closely from there on.
        self._harmless = min(limits.total_bytes, max(limits.ratio_from, limits.ratio * self._packed))
        self._folders = {b""}
        self._others: set[bytes] = set()
        self._entries = 0
        self.total_bytes = 0
        self.problems: list[Problem] = []

    def add(self, member: Member) -> None:
        """Look at a member that would be unpacked."""
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
        """Count bytes whose number no listing told."""
        self.total_bytes += more
        self._check_size()

    def _path_problem(self, path: bytes) -> str | None:
        """Judge a path as the function does. All of a known parent was judged before, so its last name is enough then."""
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
        """Why so many bytes more would be too many."""
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
        """Nothing may be there twice, or stand below a file or a link."""
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
            if len(self._folders) - 1 > self._limits.entries:  # one is the top
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
    """Why a link would lead out of the directory it is unpacked in; None when it cannot.

    `..` is allowed before everything else only: behind a name it would count from wherever that name, itself a link perhaps, leads.
    Then each link leads from its own real directory to a place inside, whatever other links it passes.
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
    """Why the names of an archive, `total` bytes together, are too much to be listed."""
    return f"the names in it have more than {units.size(limits.names_bytes)}" if total > limits.names_bytes else None


def normal(path: bytes) -> bytes:
    """A path without `./` before and `/` after; the archive's own root (`.`) becomes empty."""
    while path.startswith(b"./"):
        path = path[2:].lstrip(b"/")
    path = path.rstrip(b"/") if path.strip(b"/") else path
    return b"" if path == b"." else path


class Chosen:
    """Which members are wanted: those named and everything below them; all, when none is named."""

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
