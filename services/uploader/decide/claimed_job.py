"""Decide what a claimed upload does next."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from services.uploader.decide.ownership import Verdict
from services.uploader.model import (
    Purpose,
    RecheckPolicy,
    Submission,
)


class LocalArchive(StrEnum):
    """The state of the local files after they were hashed again. The sidecar counts, too."""

    INTACT = "intact"
    MISSING = "missing"
    DIFFERENT = "different"


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A job in `compressed`, as found when it was claimed.

    archive_sha256, manifest_sha256: of this job's recorded archive. evidence_complete: three rows of evidence exist for
    it. submissions: every stored id for this destination, oldest first, of this job and any other, with the task as
    Globus shows it now (an id without a known task was looked up by its label first). destination:
    `destination_verdict` of an answer just received.
    """

    archive_sha256: str
    manifest_sha256: str
    local: LocalArchive
    evidence_complete: bool
    destination: Verdict
    submissions: tuple[Submission, ...] = ()
    policy: RecheckPolicy = RecheckPolicy.ALWAYS


class GoVerify(msgspec.Struct, frozen=True):
    """compressed -> upload_verifying. submission_id: the transfer to verify; None when the evidence is complete already."""

    submission_id: str | None
    reason: str


class AdoptTask(msgspec.Struct, frozen=True):
    """compressed -> uploading with the task that is already running."""

    submission_id: str
    task_id: str


class SubmitAgain(msgspec.Struct, frozen=True):
    """Send the stored document of this id again, store the task, then decide again. Globus answers with the id's one task.

    If Globus refuses the document and still shows no task with its label, mark it as refused: it never was and never becomes a
    task.
    """

    submission_id: str


class NewSubmission(msgspec.Struct, frozen=True):
    """Get an id, store the request, then send it."""

    reason: str


class NewRemoval(msgspec.Struct, frozen=True):
    """Remove this job's own unverified files first: store a removal (which voids older evidence), send it, then decide again."""

    reason: str


class WaitForOldTasks(msgspec.Struct, frozen=True):
    """Cancel the tasks in `cancel`, wait until all in `cancel` and `wait` (task ids) are terminal, then decide again."""

    cancel: tuple[str, ...]
    wait: tuple[str, ...]
    reason: str


class WaitForDestination(msgspec.Struct, frozen=True):
    """The destination gave no clear answer: stay in compressed and ask again later. This costs no try."""

    reason: str


class DestinationTaken(msgspec.Struct, frozen=True):
    """Another file is at the destination: the job fails, and nothing is touched."""

    reason: str


class BackToQueued(msgspec.Struct, frozen=True):
    """compressed -> queued: the archive must be made again."""

    reason: str


NextStep = (
    GoVerify
    | AdoptTask
    | SubmitAgain
    | NewSubmission
    | NewRemoval
    | WaitForOldTasks
    | WaitForDestination
    | DestinationTaken
    | BackToQueued
)


def next_step(job: Claimed) -> NextStep:
    """Return what a claimed job in `compressed` needs (custody 2 and 3). The order of the questions is the rule.

    - If the job is proven already, verify it.
    - Otherwise every stored id must become a task or be refused.
    - Then every task must be terminal, or one of ours that can continue.
    - Then the files that arrived are checked.
    - Only then anything new is stored for the path.
    """
    if job.evidence_complete:
        return GoVerify(None, "The evidence is complete already.")
    accepted = _accepted(job)
    return _settle_unknown(job) or _settle_live(job, accepted) or _verify_arrived(job, accepted) or _begin(job)


def _settle_unknown(job: Claimed) -> NextStep | None:
    unknown = [s for s in job.submissions if s.is_unknown]
    if not unknown:
        return None
    # A repeated submission may run for a moment before it can be cancelled. So it never goes onto a file that may belong to
    # others.
    if job.destination is Verdict.UNKNOWN:
        return WaitForDestination("The destination gives no clear answer, so an unfinished submission cannot be settled yet.")
    if job.destination is Verdict.FOREIGN:
        return DestinationTaken(_TAKEN)
    return SubmitAgain(unknown[0].submission_id)


def _settle_live(job: Claimed, accepted: Submission | None) -> NextStep | None:
    live = [s for s in job.submissions if s.is_live]
    if not live:
        return None
    newest = live[-1]
    is_intact = job.local is LocalArchive.INTACT  # otherwise a running task would read, and perhaps move, something else
    if accepted is not None and live == [newest] and _is_recheck_of(newest, job) and is_intact:
        return GoVerify(accepted.submission_id, "The transfer ended, its second reading is running.")
    usable = newest if _is_ours(newest, job) and is_intact and not newest.cancel_requested else None
    if usable is not None and live == [usable] and usable.task is not None:
        return AdoptTask(usable.submission_id, usable.task.task_id)
    old = [s for s in live if s is not usable]
    # A removal is not cancelled: half done or done, both names must be absent before anything new begins.
    cancel = tuple(_task_id(s) for s in old if s.purpose is not Purpose.REMOVAL and not s.cancel_requested)
    wait = tuple(_task_id(s) for s in old if s.purpose is Purpose.REMOVAL or s.cancel_requested)
    return WaitForOldTasks(cancel, wait, f"{len(old)} older task(s) on this destination must end first.")


def _verify_arrived(job: Claimed, accepted: Submission | None) -> NextStep | None:
    if accepted is None:
        return None
    # Without the local archive no recheck can begin. The transfer can still be verified if a recheck has ended already, or none is
    # asked for.
    rechecks = [s for s in _since(job, accepted) if _is_recheck_of(s, job) and s.task and s.task.status == "SUCCEEDED"]
    if job.local is LocalArchive.INTACT or rechecks or job.policy is RecheckPolicy.NEVER:
        return GoVerify(accepted.submission_id, "Its transfer has succeeded.")
    return None


def _begin(job: Claimed) -> NextStep:
    if job.local is not LocalArchive.INTACT:
        what = "is missing" if job.local is LocalArchive.MISSING else "differs from what was recorded"
        return BackToQueued(f"The local archive {what}, and nothing proves that it arrived: the folder is archived again.")
    if job.destination is Verdict.UNKNOWN:
        return WaitForDestination("The destination gives no clear answer; nothing is sent until it does.")
    if job.destination is Verdict.FOREIGN:
        return DestinationTaken(_TAKEN)
    if job.destination is Verdict.OWN and (reason := _must_go(job)):
        return NewRemoval(reason)
    if job.destination is Verdict.OWN:
        return NewSubmission("An earlier transfer of this job did not end well; Globus continues from what is equal.")
    return NewSubmission("Nothing is at the destination yet.")


_TAKEN = (
    "A file that is not this job's is already at the destination. Nothing was changed there: rename or remove it, or rename the"
    " folder, then retry the job."
)


def _must_go(job: Claimed) -> str | None:
    """Return why our own file must be removed before the next transfer: a removal was begun, or it cannot be proven."""
    last = next((s for s in reversed(job.submissions) if not s.refused), None)
    if last is not None and last.purpose is Purpose.REMOVAL:
        return "A removal was begun and did not remove everything."
    rejected = next((s for s in reversed(_after_removal(job.submissions)) if s.rejection and s.rejection.remove_first), None)
    return rejected.rejection.reason if rejected is not None and rejected.rejection is not None else None


def _accepted(job: Claimed) -> Submission | None:
    """Return the newest own transfer since the last removal if it succeeded, carries this archive, and was not rejected.

    Returns None while no own transfer moved anything: files that others put there under our names are not our archive.
    """
    transfers = [s for s in _after_removal(job.submissions) if s.purpose is Purpose.TRANSFER and not s.refused]
    if not any(s.own and s.may_have_written for s in transfers):
        return None
    last = transfers[-1]
    is_good = last.task is not None and last.task.status == "SUCCEEDED" and last.rejection is None
    return last if is_good and _is_ours(last, job) else None


def _after_removal(submissions: Sequence[Submission]) -> Sequence[Submission]:
    removals = [i for i, s in enumerate(submissions) if s.purpose is Purpose.REMOVAL and not s.refused]
    return submissions[removals[-1] + 1 :] if removals else submissions


def _since(job: Claimed, submission: Submission) -> Sequence[Submission]:
    return job.submissions[job.submissions.index(submission) + 1 :]


def _carries(submission: Submission, job: Claimed) -> bool:
    return submission.own and (submission.archive_sha256, submission.manifest_sha256) == (job.archive_sha256, job.manifest_sha256)


def _is_ours(submission: Submission, job: Claimed) -> bool:
    return submission.purpose is Purpose.TRANSFER and _carries(submission, job)


def _is_recheck_of(submission: Submission, job: Claimed) -> bool:
    return submission.purpose is Purpose.RECHECK and _carries(submission, job) and not submission.cancel_requested


def _task_id(submission: Submission) -> str:
    assert submission.task is not None
    return submission.task.task_id
