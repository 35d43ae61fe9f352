"""Check what a folder holds, and what prevents archiving it, before anything is copied."""

from collections.abc import Iterable

import msgspec

from shared.files import handles
from shared.files.findings import Finding, Findings, Report, SourceInUse
from shared.files.manifest import Entry
from shared.files.markers import MARKER_SUFFIX
from shared.files.tree_scan import scan
from shared.files.trees import Stop
from shared.units import counted


class PreflightReport(msgspec.Struct, frozen=True):
    """What a folder holds. `refusals`, `warnings` and `notes` are sentences for the user. With any refusal nothing may be copied.

    A note needs no attention. entries: parents first, the folder itself (empty path) at index 0. total_bytes: content of regular
    files. file_count: files and links.
    """

    entries: list[Entry]
    refusals: list[str]
    warnings: list[str]
    notes: list[str]
    total_bytes: int
    file_count: int


def preflight(root: int, folder_name: bytes, stop: Stop) -> PreflightReport:
    """Scan a whole folder and report refusals and what only the sidecar will keep. Opens every file for reading.

    Raises SourceInUse when the folder changes during the scan, TransientError when the file system fails.
    """
    findings = Findings()
    check_folder_name(folder_name, handles.longest_name(root), findings.report)
    prefix = len(folder_name) + 1
    entries = list(scan(root, report=findings.report, stop=stop, inspect=True, prefix_length=prefix))
    if changes := findings.changes():
        raise SourceInUse(changes)
    return PreflightReport(
        entries=entries,
        refusals=findings.sentences(warnings=False),
        warnings=findings.sentences(warnings=True),
        notes=_owner_notes(entries),
        total_bytes=sum(e.size for e in entries if e.type == "file"),
        file_count=sum(1 for e in entries if e.type != "directory"),
    )


def _owner_notes(entries: Iterable[Entry]) -> list[str]:
    """Return a note that owners are not in the archive if there are several. With one owner nothing is lost."""
    pairs = {(entry.uid, entry.gid) for entry in entries}
    users, groups = len({uid for uid, _ in pairs}), len({gid for _, gid in pairs})
    if users == groups == 1:
        return []
    several = [counted(number, noun) for number, noun in ((users, "owner"), (groups, "group")) if number > 1]
    return [f"The entries have {' and '.join(several)}. They are not in the archive; the sidecar keeps them."]


def name_refusals(folder: int, name: bytes) -> list[str]:
    """Return sentences about why an open folder's own name is impossible; empty for a valid name."""
    findings = Findings()
    check_folder_name(name, handles.longest_name(folder), findings.report)
    return findings.sentences(warnings=False)


def check_folder_name(name: bytes, longest: int, report: Report) -> None:
    """Report why a folder's own name is impossible. longest: the maximum bytes of a name on its file system."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        report(Finding.FOLDER_NAME, name)
        return
    if "\n" in text or "\r" in text:
        report(Finding.FOLDER_NAME, name)
    if len(name) + len(MARKER_SUFFIX) > longest:
        report(Finding.FOLDER_NAME_LENGTH, name)
