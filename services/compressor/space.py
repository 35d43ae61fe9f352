"""How much space a job needs, and which waiting job may start: pure arithmetic. The ledger itself is in Postgres."""

from collections.abc import Sequence
from typing import Literal

import msgspec

# Incompressible data grows a little in an archive; 1 % and 64 MiB cover names, headers and the sidecar.
_OVERHEAD_BYTES = 64 << 20
HEAD_BLOCKS_AFTER_S = 24 * 3600.0


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


class Request(msgspec.Struct, frozen=True):
    """A job that wants to start. waiting_s: seconds since it was first refused for lack of space, 0 when it never was."""

    job_id: str
    required_bytes: int
    waiting_s: float = 0.0


class Verdict(msgspec.Struct, frozen=True):
    """What a job may do now.

    start: reserve and go. wait: `missing_bytes` are lacking. behind: an older job has waited for a day and goes first. never: it
    needs more than the whole file system can give, and fails instead of blocking the others.
    """

    job_id: str
    kind: Literal["start", "wait", "behind", "never"]
    missing_bytes: int = 0


def decide(requests: Sequence[Request], available_bytes: int, most_bytes: int) -> list[Verdict]:
    """One verdict per request, in the given order (priority, then age).

    available_bytes: as `available` says, now. most_bytes: what an empty file system would have available. Smaller jobs may pass
    one that does not fit, until it has waited for 24 hours; from then on everything behind it waits, so that space gathers.
    """
    verdicts = []
    left, blocked = available_bytes, False
    for request in requests:
        missing = max(0, request.required_bytes - left)
        if request.required_bytes > most_bytes:
            verdicts.append(Verdict(request.job_id, "never", request.required_bytes - most_bytes))
        elif blocked:
            verdicts.append(Verdict(request.job_id, "behind", missing))
        elif missing:
            verdicts.append(Verdict(request.job_id, "wait", missing))
            blocked = request.waiting_s >= HEAD_BLOCKS_AFTER_S
        else:
            verdicts.append(Verdict(request.job_id, "start"))
            left -= request.required_bytes
    return verdicts
