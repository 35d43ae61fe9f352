"""Who may write to a path at the destination."""

from enum import StrEnum

from services.uploader.model import (
    NotFound,
    Remote,
)


class Presence(StrEnum):
    ABSENT = "absent"  # asked, and the answer was "not found"
    PRESENT = "present"  # a file
    NOT_A_FILE = "not a file"  # a directory or something else: we never make one
    UNKNOWN = "unknown"  # any other answer, or none


class Verdict(StrEnum):
    ABSENT = "absent"
    OWN = "own"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


def presence(found: Remote | NotFound | Exception) -> Presence:
    """What an answer (or the error instead of one) of the adapter's `stat` says about a name."""
    if isinstance(found, NotFound):
        return Presence.ABSENT
    if isinstance(found, Remote):
        return Presence.PRESENT if found.type == "file" else Presence.NOT_A_FILE
    return Presence.UNKNOWN


def destination_verdict(archive: Presence, sidecar: Presence, *, owned_by_job: bool) -> Verdict:
    """Whose the destination is (custody 3).

    owned_by_job: a transfer of this job to exactly these names is known to Globus and may have moved something
    (`submissions.owns`). A held name alone is not enough: what somebody put there before our first transfer is not ours.
    """
    both = {archive, sidecar}
    if Presence.UNKNOWN in both:
        return Verdict.UNKNOWN
    if both == {Presence.ABSENT}:
        return Verdict.ABSENT
    if Presence.NOT_A_FILE in both:
        return Verdict.FOREIGN
    return Verdict.OWN if owned_by_job else Verdict.FOREIGN
