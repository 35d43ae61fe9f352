"""How much space a job needs, and whether it may start: pure arithmetic. The ledger itself is in Postgres."""

from typing import Literal

import msgspec

# Incompressible data grows a little in an archive; 1 % and 64 MiB cover names, headers and the sidecar.
_OVERHEAD_BYTES = 64 << 20


def required_bytes(total_bytes: int) -> int:
    """What an archive job reserves for `total_bytes` of files: the copy, and an archive of at most 1.01 times that, and 64 MiB."""
    return total_bytes + total_bytes + -(-total_bytes // 100) + _OVERHEAD_BYTES


def estimate_archive_bytes(total_bytes: int, ratio: float) -> int:
    """What the user is shown as the archive's likely size (COMPRESSION_SIZE_ESTIMATE_RATIO); decides nothing."""
    return round(total_bytes * ratio)


def available(free_bytes: int, unwritten_bytes: int, min_free_bytes: int) -> int:
    """What a new job may reserve on a file system; below 0 when what is promised already does not fit.

    free_bytes: what the file system reports. unwritten_bytes: reserved by running jobs and not on disk yet. min_free_bytes: never
    to be used (MIN_FREE_SPACE_GB).
    """
    return free_bytes - unwritten_bytes - min_free_bytes


class Verdict(msgspec.Struct, frozen=True):
    """What a job may do now.

    start: reserve and go. wait: `missing_bytes` are lacking. never: it needs more than the whole file system can give, and fails
    instead of waiting for ever. That smaller jobs may pass a waiting one only for a while is the claim's rule (shared/queries.sql).
    """

    kind: Literal["start", "wait", "never"]
    missing_bytes: int = 0


def decide(required: int, available_bytes: int, most_bytes: int) -> Verdict:
    """available_bytes: as `available` says, now. most_bytes: what an empty file system would have available."""
    if required > most_bytes:
        return Verdict("never", required - most_bytes)
    if required > available_bytes:
        return Verdict("wait", required - available_bytes)
    return Verdict("start")
