"""Compute how much space a job needs and whether it may start: pure arithmetic. The ledger itself is in Postgres."""

from collections.abc import Collection
from typing import Literal

import msgspec

from shared.archiving.formats import Format
from shared.files.manifest import Entry

# Incompressible data grows a little in an archive; 1 % and 64 MiB cover names, headers and the sidecar.
_OVERHEAD_BYTES = 64 << 20


def required_bytes(total_bytes: int) -> int:
    """Return what an archive job reserves for `total_bytes`: the copy, an archive of at most 1.01 times that, and 64 MiB."""
    return total_bytes + total_bytes + -(-total_bytes // 100) + _OVERHEAD_BYTES


# Maximum bytes per entry in addition to its name, from the formats' specifications. zip: 30 and 46 of the two headers, 32 and
# 20 of ZIP64, 9 and 5 of the time, 22 and 28 of AES. 7z: 26 of time, attributes, CRC and flags, and twice 9 of a size. tar: two
# headers of 512 and the pax records (150 in addition to names); the records and the content are each padded to full blocks.
_ENTRY_BYTES = {Format.ZIP: 256, Format.SEVENZIP: 64}
_TAR_ENTRY_BYTES = 2560
_SIDECAR_ENTRY_BYTES = 512
_ESCAPED = 6  # one byte of a name in the sidecar, as \u0001
_FIXED_BYTES = 64 << 10


def making_bytes(form: Format, entries: Collection[Entry]) -> int:
    """Return the most bytes that making an archive of these entries writes to a workspace: the archive and its manifest. Pure.

    A zip holds each name twice, and a 7z holds names in UTF-16. Incompressible content grows by less than a thousandth (bzip2:
    a hundredth).
    """
    content = sum(entry.size for entry in entries)
    names = sum(len(entry.path) + len(entry.link or b"") for entry in entries)
    values = sum(len(name) + len(value) for entry in entries for name, value in (entry.xattrs or {}).items())
    headers = len(entries) * _ENTRY_BYTES.get(form, _TAR_ENTRY_BYTES) + 2 * names
    sidecar = len(entries) * _SIDECAR_ENTRY_BYTES + _ESCAPED * (names + values)
    return content + content // (100 if form is Format.TAR_BZ2 else 1000) + headers + sidecar + _FIXED_BYTES


def volumes(total_bytes: int, volume_bytes: int | None) -> int:
    """Return the maximum number of files of an archive with `total_bytes`. volume_bytes: size of each part; None: one file."""
    return 1 if volume_bytes is None else max(1, -(-total_bytes // volume_bytes))


def estimate_archive_bytes(total_bytes: int, ratio: float) -> int:
    """Return the likely archive size shown to the user (COMPRESSION_SIZE_ESTIMATE_RATIO). No decision depends on it."""
    return round(total_bytes * ratio)


def available(free_bytes: int, unwritten_bytes: int, min_free_bytes: int) -> int:
    """Return what a new job may reserve on a file system; negative when existing reservations already do not fit.

    free_bytes: what the file system reports. unwritten_bytes: reserved by running jobs and not on disk yet. min_free_bytes:
    never used (MIN_FREE_SPACE_GB).
    """
    return free_bytes - unwritten_bytes - min_free_bytes


def free_entries(files: int, available_files: int) -> int | None:
    """Return how many more files and folders a file system can hold; None when it does not report that.

    files, available_files: `f_files` and `f_favail` of statvfs. Btrfs and others create inodes on demand and report 0 of 0.
    """
    return None if files == 0 else available_files


class Verdict(msgspec.Struct, frozen=True):
    """What a job may do now.

    start: reserve the space and start. wait: `missing_bytes` are missing. never: it needs more than the whole file system can
    hold, so it fails instead of waiting permanently. Smaller jobs may overtake a waiting one only for a while; the claim
    enforces that (shared/infra/queries.sql).
    """

    kind: Literal["start", "wait", "never"]
    missing_bytes: int = 0


def decide(required: int, available_bytes: int, most_bytes: int) -> Verdict:
    """Decide whether to start. available_bytes: result of `available` now. most_bytes: the same for an empty file system."""
    if required > most_bytes:
        return Verdict("never", required - most_bytes)
    if required > available_bytes:
        return Verdict("wait", required - available_bytes)
    return Verdict("start")
