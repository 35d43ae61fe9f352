"""Decide who may write to a path at the destination."""

from enum import StrEnum

from services.uploader.model import (
    NotFound,
    Remote,
)


class Presence(StrEnum):
    ABSENT = "absent"  # the destination answered "not found"
    PRESENT = "present"  # a file
    NOT_A_FILE = "not a file"  # a directory or something else that we never make
    UNKNOWN = "unknown"  # any other answer, or none


class Verdict(StrEnum):
    ABSENT = "absent"
    OWN = "own"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


def presence(found: Remote | NotFound | Exception) -> Presence:
    """Return what an answer of the adapter's `stat`, or the error in its place, says about a name."""
    if isinstance(found, NotFound):
        return Presence.ABSENT
    if isinstance(found, Remote):
        return Presence.PRESENT if found.type == "file" else Presence.NOT_A_FILE
    return Presence.UNKNOWN


def destination_verdict(archive: Presence, sidecar: Presence, *, owned_by_job: bool) -> Verdict:
    """Return who owns the destination (custody 3).

    owned_by_job: Globus knows a transfer of this job to exactly these names, and it may have moved something (`submissions.owns`).
    A held name alone is not enough: a file that somebody put there before our first transfer is not ours.
    """
    both = {archive, sidecar}
    if Presence.UNKNOWN in both:
        return Verdict.UNKNOWN
    if both == {Presence.ABSENT}:
        return Verdict.ABSENT
    if Presence.NOT_A_FILE in both:
        return Verdict.FOREIGN
    return Verdict.OWN if owned_by_job else Verdict.FOREIGN
