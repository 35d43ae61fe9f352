"""What a folder holds, and what keeps it from being archived, before anything is copied."""

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
    """What a folder holds. `refusals`, `warnings` and `notes` are sentences for the user; with any refusal nothing may be copied.

    A note asks for nobody's attention. entries: parents first, the folder itself (empty path) at index 0. total_bytes: content of
    regular files. file_count: files and links.
    """

    entries: list[Entry]
    refusals: list[str]
    warnings: list[str]
    notes: list[str]
    total_bytes: int
    file_count: int


def preflight(root: int, folder_name: bytes, stop: Stop) -> PreflightReport:
    """Look at a whole folder and say what refuses it and what only the sidecar will keep; opens every file for reading.

    Raises SourceInUse when it changes meanwhile, TransientError when the file system fails.
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
    """Say that owners are not in the archive, where there are several: one owner is nobody's loss."""
    pairs = {(entry.uid, entry.gid) for entry in entries}
    users, groups = len({uid for uid, _ in pairs}), len({gid for _, gid in pairs})
    if users == groups == 1:
        return []
    several = [counted(number, noun) for number, noun in ((users, "owner"), (groups, "group")) if number > 1]
    return [f"The entries have {' and '.join(several)}. They are not in the archive; the sidecar keeps them."]


def name_refusals(folder: int, name: bytes) -> list[str]:
    """Return what makes the own name of an open folder impossible, in sentences; empty for a good one."""
    findings = Findings()
    check_folder_name(name, handles.longest_name(folder), findings.report)
    return findings.sentences(warnings=False)


def check_folder_name(name: bytes, longest: int, report: Report) -> None:
    """Report what makes a folder's own name impossible. longest: what its file system takes for a name, in bytes."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        report(Finding.FOLDER_NAME, name)
        return
    if "\n" in text or "\r" in text:
        report(Finding.FOLDER_NAME, name)
    if len(name) + len(MARKER_SUFFIX) > longest:
        report(Finding.FOLDER_NAME_LENGTH, name)
