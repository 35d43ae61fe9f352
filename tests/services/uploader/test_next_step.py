"""The next step of a newly claimed job, and the owner of its destination."""

from itertools import product
from typing import Any

import msgspec
import pytest

from services.uploader.decide import claimed_job, ownership
from services.uploader.decide.claimed_job import (
    AdoptTask,
    BackToQueued,
    Claimed,
    DestinationTaken,
    GoVerify,
    LocalArchive,
    NewRemoval,
    NewSubmission,
    SubmitAgain,
    WaitForDestination,
    WaitForOldTasks,
)
from services.uploader.decide.ownership import Presence, Verdict
from services.uploader.model import NotFound, Purpose, RecheckPolicy, Rejection, Remote, Submission, TaskView
from shared.errors import Operation, PermanentError, TransientError

A, P, N, U = Presence.ABSENT, Presence.PRESENT, Presence.NOT_A_FILE, Presence.UNKNOWN
REMOVE = Rejection("digest differs", remove_first=True)
REJECT = Rejection("wrong size")


# --- whose is the destination ---


@pytest.mark.parametrize(
    ("archive", "sidecar", "with_task", "without"),
    [
        (A, A, Verdict.ABSENT, Verdict.ABSENT),
        (P, P, Verdict.OWN, Verdict.FOREIGN),
        (P, A, Verdict.OWN, Verdict.FOREIGN),
        (A, P, Verdict.OWN, Verdict.FOREIGN),
        *((one, other, Verdict.UNKNOWN, Verdict.UNKNOWN) for one, other in product((A, P, N, U), repeat=2) if U in {one, other}),
        *((one, other, Verdict.FOREIGN, Verdict.FOREIGN) for one, other in product((A, P, N), repeat=2) if N in {one, other}),
    ],
)
def test_every_pair_of_answers_has_a_verdict(archive: Presence, sidecar: Presence, with_task: Verdict, without: Verdict) -> None:
    """Absent needs both names. One unclear answer makes all unclear. A directory is never the job's own."""
    assert ownership.destination_verdict(archive, sidecar, owned_by_job=True) is with_task
    assert ownership.destination_verdict(archive, sidecar, owned_by_job=False) is without


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (NotFound(), A),
        (Remote(name="f", type="file", size=0), P),
        (Remote(name="f", type="dir", size=0), N),
        (Remote(name="f", type="link", size=0), N),
        (TransientError("x", Operation.CONNECTION), U),
        (PermanentError("x"), U),
    ],
)
def test_only_not_found_is_absence(answer: Remote | NotFound | Exception, expected: Presence) -> None:
    """No other error means absence."""
    assert ownership.presence(answer) is expected


# --- the next step ---


def sub(name: str, status: str | None = None, purpose: Purpose = Purpose.TRANSFER, **fields: Any) -> Submission:
    """A submission `name` of the current archive. Its task is `t-name`, unknown when `status` is None."""
    task = None if status is None else TaskView(task_id=f"t-{name}", status=status)
    given: dict[str, Any] = {"archive_sha256": "A", "manifest_sha256": "M"}
    if purpose is Purpose.REMOVAL:
        given = {}
    return Submission(submission_id=name, purpose=purpose, task=task, **{**given, **fields})


def removal(name: str, status: str | None = None, **fields: Any) -> Submission:
    return sub(name, status, Purpose.REMOVAL, **fields)


def recheck(name: str, status: str | None = None, **fields: Any) -> Submission:
    return sub(name, status, Purpose.RECHECK, **fields)


def idle(name: str, status: str) -> Submission:
    """A transfer that moved nothing, according to Globus."""
    task = TaskView(task_id=f"t-{name}", status=status, files_transferred=0, bytes_transferred=0)
    return msgspec.structs.replace(sub(name), task=task)


def claimed(*submissions: Submission, **fields: Any) -> Claimed:
    given: dict[str, Any] = {
        "archive_sha256": "A",
        "manifest_sha256": "M",
        "local": LocalArchive.INTACT,
        "evidence_complete": False,
        "destination": Verdict.OWN if submissions else Verdict.ABSENT,
    }
    return Claimed(submissions=submissions, **{**given, **fields})


MISSING, DIFFERENT = {"local": LocalArchive.MISSING}, {"local": LocalArchive.DIFFERENT}
UNKNOWN, FOREIGN, ABSENT = ({"destination": verdict} for verdict in (Verdict.UNKNOWN, Verdict.FOREIGN, Verdict.ABSENT))
OLD: dict[str, Any] = {"archive_sha256": "B"}
OLD_MANIFEST: dict[str, Any] = {"manifest_sha256": "B"}

TABLE: list[tuple[str, Claimed, Any]] = [
    # Evidence first: nothing else matters.
    ("evidence", claimed(evidence_complete=True, **MISSING, **UNKNOWN), GoVerify(None, "")),
    ("evidence, live task", claimed(sub("1", "ACTIVE"), evidence_complete=True), GoVerify(None, "")),
    # Nothing submitted yet.
    ("fresh", claimed(), NewSubmission("")),
    ("fresh, taken", claimed(**FOREIGN), DestinationTaken("")),
    ("fresh, unclear", claimed(**UNKNOWN), WaitForDestination("")),
    ("archive missing", claimed(**MISSING), BackToQueued("")),
    ("archive differs", claimed(**DIFFERENT), BackToQueued("")),
    ("archive missing, taken", claimed(**MISSING, **FOREIGN), BackToQueued("")),
    # Ids without a task.
    ("stored, never heard of", claimed(sub("1"), **ABSENT), SubmitAgain("1")),
    ("stored, never heard of, own", claimed(sub("0", "FAILED"), sub("1")), SubmitAgain("1")),
    ("two unknown: oldest first", claimed(sub("1"), sub("2"), **ABSENT), SubmitAgain("1")),
    ("unknown before live", claimed(sub("1"), sub("2", "ACTIVE")), SubmitAgain("1")),
    ("unknown, archive gone", claimed(sub("1"), **MISSING), SubmitAgain("1")),
    ("unknown of another job", claimed(sub("1", own=False), **ABSENT), SubmitAgain("1")),
    ("unknown removal", claimed(sub("1", "FAILED"), removal("2")), SubmitAgain("2")),
    ("unknown, unclear", claimed(sub("1"), **UNKNOWN), WaitForDestination("")),
    ("unknown, taken: nobody is overwritten", claimed(sub("1"), **FOREIGN), DestinationTaken("")),
    ("refused: over", claimed(sub("1", refused=True), **ABSENT), NewSubmission("")),
    ("refused removal: over", claimed(sub("1", "FAILED"), removal("2", refused=True)), NewSubmission("")),
    # Live tasks.
    ("adopt", claimed(sub("1", "ACTIVE")), AdoptTask("1", "t-1")),
    ("adopt inactive, watch ends it", claimed(sub("1", "INACTIVE")), AdoptTask("1", "t-1")),
    ("adopt after a failed one", claimed(sub("1", "FAILED"), sub("2", "ACTIVE")), AdoptTask("2", "t-2")),
    ("adopt, destination unclear", claimed(sub("1", "ACTIVE"), **UNKNOWN), AdoptTask("1", "t-1")),
    ("old archive's task", claimed(sub("1", "ACTIVE", **OLD)), WaitForOldTasks(("t-1",), (), "")),
    ("old manifest's task", claimed(sub("1", "ACTIVE", **OLD_MANIFEST)), WaitForOldTasks(("t-1",), (), "")),
    ("other job's task", claimed(sub("1", "ACTIVE", own=False)), WaitForOldTasks(("t-1",), (), "")),
    ("being cancelled", claimed(sub("1", "ACTIVE", cancel_requested=True)), WaitForOldTasks((), ("t-1",), "")),
    ("archive missing", claimed(sub("1", "ACTIVE"), **MISSING), WaitForOldTasks(("t-1",), (), "")),
    ("archive differs", claimed(sub("1", "ACTIVE"), **DIFFERENT), WaitForOldTasks(("t-1",), (), "")),
    ("two live: the newest stays", claimed(sub("1", "ACTIVE"), sub("2", "ACTIVE")), WaitForOldTasks(("t-1",), (), "")),
    ("removal runs", claimed(sub("1", "FAILED"), removal("2", "ACTIVE")), WaitForOldTasks((), ("t-2",), "")),
    ("removal and transfer", claimed(removal("1", "ACTIVE"), sub("2", "ACTIVE")), WaitForOldTasks((), ("t-1",), "")),
    ("second reading runs", claimed(sub("1", "SUCCEEDED"), recheck("2", "ACTIVE")), GoVerify("1", "")),
    (
        "second reading of a damaged archive",
        claimed(sub("1", "SUCCEEDED"), recheck("2", "ACTIVE"), **DIFFERENT),
        WaitForOldTasks(("t-2",), (), ""),
    ),
    (
        "second reading cancelled",
        claimed(sub("1", "SUCCEEDED"), recheck("2", "ACTIVE", cancel_requested=True)),
        WaitForOldTasks((), ("t-2",), ""),
    ),
    (
        "second reading of what was rejected",
        claimed(sub("1", "SUCCEEDED", rejection=REJECT), recheck("2", "ACTIVE")),
        WaitForOldTasks(("t-2",), (), ""),
    ),
    (
        "second reading beside a transfer",
        claimed(sub("0", "ACTIVE"), sub("1", "SUCCEEDED"), recheck("2", "ACTIVE")),
        WaitForOldTasks(("t-0", "t-2"), (), ""),
    ),
    (
        "second reading of another archive",
        claimed(sub("1", "SUCCEEDED"), recheck("2", "ACTIVE", **OLD)),
        WaitForOldTasks(("t-2",), (), ""),
    ),
    (
        "another archive was read again, ours is missing",
        claimed(sub("1", "SUCCEEDED"), recheck("2", "SUCCEEDED", **OLD), **MISSING),
        BackToQueued(""),
    ),
    # All ended: what arrived.
    ("succeeded", claimed(sub("1", "SUCCEEDED")), GoVerify("1", "")),
    ("succeeded after failures", claimed(sub("1", "FAILED"), sub("2", "SUCCEEDED")), GoVerify("2", "")),
    ("succeeded, unclear: verifying asks itself", claimed(sub("1", "SUCCEEDED"), **UNKNOWN), GoVerify("1", "")),
    ("succeeded, second reading failed", claimed(sub("1", "SUCCEEDED"), recheck("2", "FAILED")), GoVerify("1", "")),
    ("succeeded, archive missing", claimed(sub("1", "SUCCEEDED"), **MISSING), BackToQueued("")),
    ("and read again", claimed(sub("1", "SUCCEEDED"), recheck("2", "SUCCEEDED"), **MISSING), GoVerify("1", "")),
    ("second reading of an older one", claimed(recheck("0", "SUCCEEDED"), sub("1", "SUCCEEDED"), **MISSING), BackToQueued("")),
    ("no second reading wanted", claimed(sub("1", "SUCCEEDED"), policy=RecheckPolicy.NEVER, **MISSING), GoVerify("1", "")),
    ("skipped what was there: it is another's", claimed(idle("1", "SUCCEEDED"), **FOREIGN), DestinationTaken("")),
    ("skipped, nobody moved it, and it is gone", claimed(idle("1", "SUCCEEDED"), **ABSENT), NewSubmission("")),
    ("skipped what an earlier one had moved", claimed(sub("1", "FAILED"), idle("2", "SUCCEEDED")), GoVerify("2", "")),
    ("skipped, and only a removed one had moved", claimed(sub("1", "SUCCEEDED"), removal("2", "SUCCEEDED"),
     idle("3", "SUCCEEDED"), **FOREIGN), DestinationTaken("")),
    ("skipped, another job had moved it", claimed(sub("1", "FAILED", own=False), idle("2", "SUCCEEDED"), **FOREIGN), DestinationTaken("")),
    ("old archive succeeded", claimed(sub("1", "SUCCEEDED", **OLD)), NewSubmission("")),
    ("other job's succeeded", claimed(sub("1", "SUCCEEDED", own=False), **ABSENT), NewSubmission("")),
    ("a newer one failed", claimed(sub("1", "SUCCEEDED"), sub("2", "FAILED")), NewSubmission("")),
    ("rejected", claimed(sub("1", "SUCCEEDED", rejection=REJECT)), NewSubmission("")),
    ("rejected, archive missing", claimed(sub("1", "SUCCEEDED", rejection=REJECT), **MISSING), BackToQueued("")),
    ("rejected, must go", claimed(sub("1", "SUCCEEDED", rejection=REMOVE)), NewRemoval("")),
    ("rejected, is gone", claimed(sub("1", "SUCCEEDED", rejection=REMOVE), **ABSENT), NewSubmission("")),
    ("removed", claimed(sub("1", "SUCCEEDED", rejection=REMOVE), removal("2", "SUCCEEDED"), **ABSENT), NewSubmission("")),
    ("removed in part", claimed(sub("1", "SUCCEEDED"), removal("2", "FAILED")), NewRemoval("")),
    ("removed, unclear", claimed(sub("1", "SUCCEEDED"), removal("2", "SUCCEEDED"), **UNKNOWN), WaitForDestination("")),
    (
        "removed, sent again",
        claimed(sub("1", "SUCCEEDED", rejection=REMOVE), removal("2", "SUCCEEDED"), sub("3", "FAILED")),
        NewSubmission(""),
    ),
    ("removal voids success", claimed(sub("1", "SUCCEEDED"), removal("2", "SUCCEEDED"), **ABSENT), NewSubmission("")),
    # All ended: nothing arrived.
    ("failed", claimed(sub("1", "FAILED")), NewSubmission("")),
    ("failed, nothing there", claimed(sub("1", "FAILED"), **ABSENT), NewSubmission("")),
    ("failed, taken", claimed(sub("1", "FAILED"), **FOREIGN), DestinationTaken("")),
    ("failed, unclear", claimed(sub("1", "FAILED"), **UNKNOWN), WaitForDestination("")),
]  # fmt: skip


def bare(step: Any) -> Any:
    """The step without its sentence."""
    return type(step), [getattr(step, name) for name in step.__struct_fields__ if name != "reason"]


@pytest.mark.parametrize(("job", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_next_step(job: Claimed, expected: Any) -> None:
    """Custody 2 and 3, row by row."""
    step = claimed_job.next_step(job)

    assert bare(step) == bare(expected)
    assert getattr(step, "reason", "x")


STATES = [
    None,
    sub("1"),
    sub("1", refused=True),
    sub("1", "ACTIVE"),
    sub("1", "ACTIVE", **OLD),
    sub("1", "SUCCEEDED"),
    sub("1", "SUCCEEDED", rejection=REMOVE),
    sub("1", "FAILED"),
]
LATER = [
    None,
    sub("2"),
    sub("2", "ACTIVE", cancel_requested=True),
    sub("2", "SUCCEEDED"),
    sub("2", "FAILED"),
    recheck("2"),
    recheck("2", "ACTIVE"),
    recheck("2", "SUCCEEDED"),
    removal("2"),
    removal("2", "ACTIVE"),
    removal("2", "SUCCEEDED"),
]


def test_no_combination_breaks_the_rules_of_the_destination() -> None:
    """8 x 11 x 3 x 4 situations: nothing new is stored while a task is open, and nothing is sent to an unclear destination."""
    for first, second, local, verdict in product(STATES, LATER, LocalArchive, Verdict):
        submissions = tuple(s for s in (first, second) if s is not None)
        job = claimed(*submissions, local=local, destination=verdict)
        step = claimed_job.next_step(job)
        if isinstance(step, NewSubmission | NewRemoval | BackToQueued):
            assert all(s.refused or (s.task is not None and s.task.is_finished) for s in submissions), (job, step)
        if isinstance(step, NewSubmission):
            assert verdict in {Verdict.ABSENT, Verdict.OWN}, (job, step)
            assert local is LocalArchive.INTACT, (job, step)
        if isinstance(step, NewRemoval):
            assert verdict is Verdict.OWN, (job, step)
        if isinstance(step, SubmitAgain):
            assert verdict in {Verdict.ABSENT, Verdict.OWN}, (job, step)
        if isinstance(step, AdoptTask):
            assert local is LocalArchive.INTACT, (job, step)
        if submissions and submissions[-1].purpose is Purpose.REMOVAL and isinstance(step, NewSubmission):
            assert verdict is Verdict.ABSENT, (job, step)
