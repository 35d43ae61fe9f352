"""Problems of a tree (refusals, warnings, changes), in sentences for its owner."""

from collections.abc import Callable
from enum import StrEnum

from shared.errors import ArchiverError
from shared.files.manifest import printable

_NAMED = 20


class SourceInUse(ArchiverError):  # noqa: N818 - says what happened to the source
    """The source changed while it was read or copied. Copying again may help. `changes` names what changed."""

    def __init__(self, changes: list[str]) -> None:
        super().__init__(f"The source is in use: {named(changes)}.")
        self.changes = changes


class Finding(StrEnum):
    """Reasons to refuse an entry, to warn about it, or to call it changing. The value is the sentence that lists the entries."""

    SPECIAL = "Special files (FIFO, socket, device) cannot be archived; remove them: {}"
    UNREADABLE = "Not readable; give the archiver's account the right to read: {}"
    NEWLINE = "Names with a line break cannot be checked inside an archive; rename them: {}"
    LONG_PATH = "Paths longer than 3,500 bytes (folder name included) cannot be restored; shorten them: {}"
    LONG_LINK = "Links with a text longer than 1,000 bytes cannot be archived; shorten them: {}"
    OTHER_FILE_SYSTEM = "Another file system is mounted here; unmount it or archive it on its own: {}"
    XATTR_SIZE = "More than 1 MiB of extended attributes on one entry cannot be kept; reduce them: {}"
    XATTR_NAME = "Names of extended attributes that are not UTF-8 cannot be kept; remove them: {}"
    TIME = "Modification times before 1601 or after 9999 cannot be archived; set others: {}"
    FOLDER_NAME = "The folder's name must be UTF-8 text without line breaks; rename it: {}"
    FOLDER_NAME_LENGTH = (
        "The folder's name is too long: its marker's name, which is 23 bytes longer, would exceed what the file system takes (mostly"
        " 255 bytes). Shorten it: {}"
    )

    HARD_LINKS = "Hard links become separate files in the archive; the sidecar keeps which files were one: {}"
    XATTRS = "Extended attributes and ACLs are not in the archive; the sidecar keeps them: {}"
    SETID = "Set-user-id and set-group-id bits are not in the archive; the sidecar keeps them: {}"
    LINK_OUTSIDE = "Links with an absolute or '..' target may be refused when restoring; the sidecar keeps their exact text: {}"
    SAME_NAMES = "Names that differ only in case, or in the writing of letters, are one and the same on Windows and macOS: {}"
    SPARSE = "Sparse files need their full size when restored: {}"

    OURS = "Places of CS Archiver itself are never archived (see .cs-archiver-place there): {}"

    CHANGED = "changed or vanished: {}"


WARNINGS = (Finding.HARD_LINKS, Finding.XATTRS, Finding.SETID, Finding.LINK_OUTSIDE, Finding.SAME_NAMES, Finding.SPARSE)
WITHOUT_SIDECAR = {
    Finding.LONG_PATH: "Paths longer than 3,500 bytes cannot be unpacked again; shorten them: {}",
    Finding.UNREADABLE: "Not readable with the present rights: {}",
    Finding.HARD_LINKS: "Hard links become separate files in the archive: {}",
    Finding.XATTRS: "Extended attributes and ACLs are not in the archive: {}",
    Finding.SETID: "Set-user-id and set-group-id bits are not restored from the archive: {}",
    Finding.LINK_OUTSIDE: "Links with an absolute or '..' target may be refused when the archive is unpacked: {}",
}
"""Different sentences for archives that users request, because no manifest travels with those."""
Report = Callable[[Finding, bytes], None]


def named(items: list[str]) -> str:
    """List at most 20 names."""
    more = len(items) - _NAMED
    return ", ".join(items[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


class Findings:
    """Counts every finding and keeps the first 20 names of each, so that a bad tree uses little memory.

    sidecar: whether a manifest keeps what the archive does not hold.
    """

    def __init__(self, *, sidecar: bool = True) -> None:
        self._sidecar = sidecar
        self._first: dict[Finding, list[str]] = {}
        self._count: dict[Finding, int] = {}

    def report(self, finding: Finding, path: bytes) -> None:
        """Record one finding."""
        self._count[finding] = self._count.get(finding, 0) + 1
        first = self._first.setdefault(finding, [])
        if len(first) < _NAMED:
            first.append(printable(path) or "the folder itself")

    def sentences(self, *, warnings: bool) -> list[str]:
        """Return a sentence for each kind of refusal, or of warning."""
        return [self._sentence(f) for f in self._first if f is not Finding.CHANGED and (f in WARNINGS) == warnings]

    def changes(self) -> list[str]:
        """Return sentences about what changed during the reading."""
        return [self._sentence(Finding.CHANGED)] if Finding.CHANGED in self._first else []

    def _sentence(self, finding: Finding) -> str:
        first, more = self._first[finding], self._count[finding] - len(self._first[finding])
        sentence = str(finding) if self._sidecar else WITHOUT_SIDECAR.get(finding, str(finding))
        return sentence.format(", ".join(first) + (f" and {more:,} more" if more else ""))
