"""What the uploader does next, and what it accepts as a proof: pure decisions, no I/O.

Four questions, each answered by one function and one table of tests: how a running task goes on (`watch`), whether what arrived is
proven (`verify_task`, `verify_remote`, `verify_content`), whose the destination is (`destination_verdict`), and what a job that was
just claimed needs (`next_step`). Whatever is not known decides for waiting or for doing it again, never for deleting.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from services.uploader.model import (
    FILES_OF_A_JOB,
    SYNC_CHECKSUM,
    Algorithm,
    Item,
    NotFound,
    Purpose,
    RecheckPolicy,
    Rejection,
    Remote,
    Submission,
    TaskView,
    Transferred,
    TransferRequest,
)
from shared import units
from shared.errors import Operation

# --- a running task -------------------------------------------------------------------------------------------------------------

# Globus retries these until the deadline although only a person can end them (facts: globus-cli#1056, balsam#114, parsl#762).
HARD_FAULTS = frozenset(
    {
        "ACL_CHANGED",
        "AMBIGUOUS_PATH",
        "FILE_NOT_FOUND",
        "GC_PAUSED",
        "INVALID_PATH_NAME",
        "IS_A_DIRECTORY",
        "IS_A_FILE",
        "LIMIT_EXCEEDED",
        "NO_CREDENTIALS",
        "NO_SPACE_LEFT",
        "NOT_A_DIRECTORY",
        "PERMISSION_DENIED",
        "QUOTA_EXCEEDED",
    }
)
QUIET = frozenset({"OK", "Queued"})
_REFUSED_ALGORITHM = re.compile(r"unsupported|not support|unknown|invalid|not available|not implemented", re.IGNORECASE)

# Half of a transfer of 450 MB to the emulator was waiting for the second look; from 0.25 s the overshoot is a third of the task's time.
SMALL_TASK_BYTES = 4 << 30
SMALL_FIRST_POLL_S = 0.25


class WatchLimits(msgspec.Struct, frozen=True):
    """Times in seconds. poll_interval_s: UPLOAD_TASK_POLL_INTERVAL_SECONDS, reached from `first_poll_s` in steps of `poll_growth`.

    hard_fault_s: how long a hard fault may stand before the attempt ends. grace_s: what Globus gets after the deadline to end the
    task itself before our own timer does.
    """

    poll_interval_s: float = 60.0
    first_poll_s: float = 1.0
    poll_growth: float = 1.5
    hard_fault_s: float = 300.0
    grace_s: float = 60.0


class Seen(msgspec.Struct, frozen=True):
    """What earlier looks at the same task said; begins empty, also after a restart (the clocks then start again)."""

    polls: int = 0
    hard_fault_since: datetime | None = None
    bytes_transferred: int = 0


class KeepPolling(msgspec.Struct, frozen=True):
    """Look again after `delay_s` seconds; `note` is what Globus complains about meanwhile, for people."""

    delay_s: float
    note: str | None = None
    queued: bool = False


class ShowPaused(msgspec.Struct, frozen=True):
    """Somebody at Globus paused the task: show `text` (the adapter's pause_info says more), look again after `delay_s` seconds."""

    text: str
    delay_s: float


class Succeeded(msgspec.Struct, frozen=True):
    """Globus says SUCCEEDED: go and verify."""


class FailedAttempt(msgspec.Struct, frozen=True):
    """The task is over and did not succeed; `operation` pays for another attempt (no budget when the algorithm was refused)."""

    reason: str
    operation: Operation = Operation.UPLOAD
    algorithm_refused: bool = False


class CancelEarly(msgspec.Struct, frozen=True):
    """Cancel the task, wait until it is terminal, then treat it as FailedAttempt with this reason."""

    reason: str
    operation: Operation = Operation.UPLOAD
    algorithm_refused: bool = False


Watch = KeepPolling | ShowPaused | Succeeded | FailedAttempt | CancelEarly


def refuses_algorithm(*texts: str | None) -> bool:
    """True if Globus says that a collection does not know the checksum algorithm (no code for it is documented)."""
    text = " ".join(t for t in texts if t).replace("_", " ")
    lower = text.lower()
    return "checksum" in lower and "algorithm" in lower and _REFUSED_ALGORITHM.search(lower) is not None


def observe(seen: Seen, task: TaskView | None, now: datetime) -> Seen:
    """What to remember of this look. Bytes that move, a pause, or a fault that only takes time end the clock of a hard fault."""
    if task is None:
        return msgspec.structs.replace(seen, polls=seen.polls + 1)
    moved = task.bytes_transferred or 0
    is_hard = task.nice_status in HARD_FAULTS and not task.is_paused and moved <= seen.bytes_transferred
    since = (seen.hard_fault_since or now) if is_hard else None
    return Seen(seen.polls + 1, since, max(moved, seen.bytes_transferred))


def watch(task: TaskView | None, seen: Seen, now: datetime, deadline: datetime, limits: WatchLimits) -> Watch:
    """How a submitted task goes on. `seen` is the result of `observe` for this very look; `deadline` is the one we sent.

    None (Globus does not know a task it once gave us: its history is gone) is never a success.
    """
    if task is None:
        return FailedAttempt("Globus does not know this task any more; whether it arrived will be found out by checking.")
    if task.status == "SUCCEEDED":
        return Succeeded()
    if task.status == "FAILED":
        return _failed(task)
    if task.status == "INACTIVE":
        return CancelEarly(
            "Globus suspended the task and will not continue it by itself (credentials at a collection expired): "
            "renew them at the collection."
        )
    if now >= deadline + timedelta(seconds=limits.grace_s):
        return CancelEarly(f"Not finished before its deadline ({deadline:%Y-%m-%d %H:%M} UTC). {trouble(task) or ''}".rstrip())
    delay = poll_delay(seen.polls, limits)
    if task.is_paused:
        return ShowPaused(trouble(task) or "Paused at Globus by an administrator of a collection.", delay)
    if refuses_algorithm(task.nice_status, task.nice_status_short_description, task.nice_status_details):
        return CancelEarly(trouble(task) or "The checksum algorithm was refused.", algorithm_refused=True)
    if seen.hard_fault_since is not None and now - seen.hard_fault_since >= timedelta(seconds=limits.hard_fault_s):
        return CancelEarly(f"{trouble(task)} (stood for {units.duration(limits.hard_fault_s)}, so it will not go away by itself)")
    return KeepPolling(delay, trouble(task), queued=task.nice_status == "Queued")


def out_of_sight(seen: Seen, now: datetime, deadline: datetime, limits: WatchLimits) -> float | None:
    """Seconds until the next look when Globus did not answer; None once Globus has ended the task by itself, seen or not.

    No budget pays before: the task goes on without us, and giving up would cancel a healthy transfer of hours for our own bad line.
    """
    return None if now >= deadline + timedelta(seconds=limits.grace_s) else poll_delay(seen.polls, limits)


def limits_for(total: int, limits: WatchLimits) -> WatchLimits:
    """How a task over `total` bytes is watched: one that may end within seconds is looked at sooner, for a few looks more."""
    return msgspec.structs.replace(limits, first_poll_s=SMALL_FIRST_POLL_S) if total <= SMALL_TASK_BYTES else limits


def poll_delay(polls: int, limits: WatchLimits) -> float:
    """Seconds until the next look, after the `polls`-th one: 1, 1.5, 2.25 ... up to the setting."""
    # The exponent is bounded: a float to the power of a week's polls overflows.
    grown = limits.first_poll_s * limits.poll_growth ** min(max(polls - 1, 0), 40)
    return min(limits.poll_interval_s, grown)


def trouble(task: TaskView) -> str | None:
    """What Globus complains about now, in words; None while it does not."""
    if task.nice_status is None or task.nice_status in QUIET:
        return None
    words = task.nice_status_short_description or task.nice_status
    details = " ".join((task.nice_status_details or "").split())
    text = f"Globus reports {task.nice_status}: {words}"
    return f"{text} ({details[:300]})" if details else text


def sent_bytes(task: TaskView, total: int) -> int:
    """Bytes for the progress bar: Globus counts retransmissions too, so never above `total`."""
    return min(task.bytes_transferred or 0, total)


def _failed(task: TaskView) -> FailedAttempt:
    code = task.fatal_error.code if task.fatal_error else ""
    description = task.fatal_error.description if task.fatal_error else ""
    if code == "CANCELED":
        by = (
            f" by {task.canceled_by_admin} ({task.canceled_by_admin_message or 'no reason given'})"
            if task.canceled_by_admin
            else ""
        )
        return FailedAttempt(f"The task was cancelled at Globus{by}.")
    if code == "EXPIRED":
        return FailedAttempt("The task did not finish before its deadline (UPLOAD_TASK_TIMEOUT_HOURS).")
    refused = refuses_algorithm(code, description)
    return FailedAttempt(
        f"Globus ended the task with {code or 'no code'}: {description or 'no reason given'}", algorithm_refused=refused
    )


# --- checksum algorithm ---------------------------------------------------------------------------------------------------------


class NoAlgorithm(msgspec.Struct, frozen=True):
    """No algorithm is left that both sides know: the job fails with this reason."""

    reason: str


def choose_algorithm(refused: Iterable[str]) -> Algorithm | NoAlgorithm:
    """The strongest algorithm that was not refused on this pair of collections."""
    names = {_algorithm_name(name) for name in refused}
    for algorithm in Algorithm:
        if algorithm.value not in names:
            return algorithm
    return NoAlgorithm(
        "The collections refuse SHA256 and MD5 checksums, so arrival cannot be proven and nothing will be deleted."
        " Update Globus Connect at the source and destination, or allow checksum verification there, then retry the job."
    )


# --- proofs ---------------------------------------------------------------------------------------------------------------------


class ExpectedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two files, as recorded before the transfer: collection paths, exact size in bytes, digests in lower-case hex."""

    source_path: str
    destination_path: str
    size: int
    sha256: str
    md5: str

    def digest(self, algorithm: Algorithm) -> str:
        return {Algorithm.SHA256: self.sha256, Algorithm.MD5: self.md5}[algorithm]


class Expected(msgspec.Struct, frozen=True):
    archive: ExpectedFile
    sidecar: ExpectedFile

    @property
    def files(self) -> tuple[ExpectedFile, ExpectedFile]:
        return (self.archive, self.sidecar)


class TaskProof(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence 1: the task of this submission ended well and dealt with both files."""

    task_id: str
    submission_id: str
    files_transferred: int
    files_skipped: int
    completion_time: str | None


class RemoteProof(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence 2: both names are files of exactly the recorded size in bytes."""

    archive_size: int
    sidecar_size: int


class Standing(StrEnum):
    """On what a file's digest stands."""

    REPORTED = "reported"  # Globus wrote down the digest it computed, and it is ours
    ENFORCED = "enforced"  # Globus moved the file under our digest, which fails the task when it differs, but reports none


class ContentProof(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence 3: whose word the digests are, and the task that read the remote again (None: REMOTE_RECHECK=never)."""

    archive: Standing
    sidecar: Standing
    recheck_task_id: str | None


class RunRecheck(msgspec.Struct, frozen=True):
    """Read the remote again with a new recheck task. repaired: the last one found a difference and moved bytes (costs a try)."""

    reason: str
    repaired: bool = False


class CarriedOut(msgspec.Struct, frozen=True, kw_only=True):
    """A submission with its finished task and `moved`, the answer of successful_transfers."""

    request: TransferRequest
    task: TaskView
    moved: tuple[Transferred, ...]


def verify_task(task: TaskView, request: TransferRequest) -> TaskProof | Rejection:
    """Evidence 1 (custody 4.1) for the task of `request`. A number that Globus did not send counts against it."""
    problems = _unfit(task, request)
    if problems:
        return Rejection(f"Globus task {task.task_id} proves nothing: {'; '.join(problems)}.")
    return TaskProof(
        task_id=task.task_id,
        submission_id=request.submission_id,
        files_transferred=task.files_transferred or 0,
        files_skipped=task.files_skipped or 0,
        completion_time=task.completion_time,
    )


def _unfit(task: TaskView, request: TransferRequest) -> list[str]:
    """Everything that keeps a task from having done what `request` asked for, both files, without a gap."""
    problems = []
    if task.status != "SUCCEEDED":
        problems.append(f"its status is {task.status}")
    if task.type != "TRANSFER":
        problems.append(f"it is a {task.type}")
    if task.label != request.label:
        problems.append(f"its label is {task.label!r}, not {request.label!r}")
    if (task.source_endpoint_id, task.destination_endpoint_id) != (request.source_endpoint, request.destination_endpoint):
        problems.append("it is between other collections")
    if task.fatal_error is not None:
        problems.append(f"it carries the error {task.fatal_error.code}")
    if task.verify_checksum is not True:
        problems.append("it ran without verifying checksums")
    if task.sync_level != request.sync_level:
        problems.append(f"its sync level is {task.sync_level}, not {request.sync_level}")
    for name in ("subtasks_failed", "subtasks_canceled", "subtasks_expired", "subtasks_skipped_errors"):
        count = getattr(task, name)
        if count != 0:
            problems.append(f"{name} is {count}")
    if task.skip_source_errors is not False:
        problems.append("it was allowed to skip files in error")
    if task.files_transferred is None or task.files_skipped is None:
        problems.append("it does not say how many files it dealt with")
    elif task.files_transferred + task.files_skipped != FILES_OF_A_JOB:
        problems.append(
            f"it dealt with {task.files_transferred} + {units.counted(task.files_skipped, 'file')} instead of {FILES_OF_A_JOB}"
        )
    return problems


def verify_remote(archive: Remote | NotFound, sidecar: Remote | NotFound, expected: Expected) -> RemoteProof | Rejection:
    """Evidence 2 (custody 4.2): exact sizes, no tolerance. An answer that is neither a file nor "not found" never comes here."""
    problems = [
        problem
        for found, file in ((archive, expected.archive), (sidecar, expected.sidecar))
        if (problem := _remote_problem(found, file)) is not None
    ]
    if problems:
        return Rejection("; ".join(problems) + ".")
    return RemoteProof(archive_size=expected.archive.size, sidecar_size=expected.sidecar.size)


def _remote_problem(found: Remote | NotFound, file: ExpectedFile) -> str | None:
    if isinstance(found, NotFound):
        return f"{file.destination_path} is not at the destination"
    if found.type != "file":
        return f"{file.destination_path} is a {found.type} at the destination, not a file"
    if found.size != file.size:
        return f"{file.destination_path} has {units.exact_size(found.size)} at the destination instead of {file.size:,}"
    return None


def verify_content(
    expected: Expected,
    transfers: Sequence[CarriedOut],
    recheck: CarriedOut | None,
    policy: RecheckPolicy,
) -> ContentProof | RunRecheck | Rejection:
    """Evidence 3 (custody 4.3). Both `transfers` (one at least) and `recheck` are finished tasks.

    `transfers`: this job's transfers of this very archive and sidecar since the last removal, oldest first; `verify_task` accepted
    the last. `recheck`: the newest recheck, None when there is none yet.

    What is a proof and what is not:

    - A digest in successful_transfers is Globus's word about the bytes at the destination, given after the move. Equal to ours, it
      is the proof this product stands on. One that differs, in any of the tasks, or a differing size, rejects.
    - A file that was moved without a digest in the answer (older servers) was moved under our `external_checksum`, and Globus
      promises to fail the whole task when that differs. A SUCCEEDED task is therefore accepted, but only together with a recheck,
      whatever REMOTE_RECHECK says. A task that did not succeed gives no such promise.
    - A file that a task *skipped as equal* is compared with what the source collection shows, not with our digest: whether
      `external_checksum` is looked at for a file that is not moved is documented nowhere. So a skip alone says "the same as the
      source", never "ours", and cannot stand for the digest. The word of an earlier task that moved this very file can: it says
      what was written, and the later skip says that it is still so.
    - When no recorded task moved a file of ours (its history is gone), nobody vouches for it: ours is removed and sent again.
    - A recheck proves that the remote was read again only if it ended with both files skipped and nothing moved, began after the
      last transfer had ended, and compared by checksum under our digests. If it moved bytes, it found a difference and repaired
      it; the repair itself is verified by nobody yet, so another one follows.
    """
    if not transfers or any(not c.task.is_finished for c in (*transfers, *([recheck] if recheck else []))):
        raise ValueError("verify_content judges finished tasks, one transfer at least")
    carried = [*transfers, recheck] if recheck else list(transfers)
    standings = []
    for file in expected.files:
        standing = _standing(file, carried)
        if isinstance(standing, Rejection):
            return standing
        standings.append(standing)
    if policy is RecheckPolicy.NEVER and Standing.ENFORCED not in standings:
        return ContentProof(archive=standings[0], sidecar=standings[1], recheck_task_id=None)
    if recheck is None:
        return RunRecheck("The remote has not been read a second time yet.")
    again = _recheck_problem(recheck, expected, transfers[-1])
    return again or ContentProof(archive=standings[0], sidecar=standings[1], recheck_task_id=recheck.task.task_id)


def _standing(file: ExpectedFile, carried: Sequence[CarriedOut]) -> Standing | Rejection:
    best: Standing | None = None
    for done in carried:
        for report in done.moved:
            if report.destination_path != file.destination_path:
                continue
            word = _judge(report, file, done)
            if isinstance(word, Rejection):
                return word
            if word is Standing.REPORTED or best is None:
                best = word
    return best or Rejection(
        f"No task on record moved {file.destination_path} (it was already there, or the history of the task is gone),"
        " so nobody vouches for its digest: it is removed and sent again.",
        remove_first=True,
    )


def _judge(report: Transferred, file: ExpectedFile, done: CarriedOut) -> Standing | Rejection | None:
    if report.size is not None and report.size != file.size:
        return Rejection(
            f"Globus task {done.task.task_id} moved {units.exact_size(report.size)} to {file.destination_path} instead of {file.size:,}.",
            remove_first=True,
        )
    algorithm = next((a for a in Algorithm if a.value == _algorithm_name(report.checksum_algorithm)), None)
    if report.checksum and algorithm is not None:
        ours = file.digest(algorithm)
        if report.checksum.lower() == ours:
            return Standing.REPORTED
        return Rejection(
            f"Globus task {done.task.task_id} reports the {algorithm} digest {report.checksum} for {file.destination_path},"
            f" ours is {ours}.",
            remove_first=True,
        )
    is_promised = done.task.status == "SUCCEEDED" and done.request.verify_checksum and _item_of(file) in _items(done.request)
    return Standing.ENFORCED if is_promised else None


def _algorithm_name(name: str | None) -> str:
    """`sha-256`, `SHA256` and `Sha256` are one algorithm."""
    return (name or "").upper().replace("-", "").replace("_", "")


def _item_of(file: ExpectedFile) -> tuple[str, str]:
    return (file.source_path, file.destination_path)


def _items(request: TransferRequest) -> set[tuple[str, str]]:
    """The pairs of paths that this request covers with a digest."""
    return {(item.source_path, item.destination_path) for item in request.items if item.external_checksum}


def _recheck_problem(recheck: CarriedOut, expected: Expected, transfer: CarriedOut) -> RunRecheck | None:
    task = recheck.task
    if problem := _not_a_recheck(recheck.request, expected):
        return RunRecheck(problem)
    if recheck.moved or (task.bytes_transferred or 0) > 0 or (task.files_transferred or 0) > 0:
        return RunRecheck(
            f"The second reading (task {task.task_id}) found a difference and moved {units.exact_size(task.bytes_transferred or 0)}.",
            repaired=True,
        )
    if problems := _unfit(task, recheck.request):
        return RunRecheck(f"The second reading (task {task.task_id}) proves nothing: {'; '.join(problems)}.")
    if task.bytes_transferred is None or task.files_skipped != FILES_OF_A_JOB:
        return RunRecheck(f"The second reading (task {task.task_id}) does not say that it moved nothing.")
    if not _began_after(task, transfer.task):
        return RunRecheck(f"The second reading (task {task.task_id}) did not begin after the transfer had ended.")
    return None


def _not_a_recheck(request: TransferRequest, expected: Expected) -> str | None:
    wanted = {
        Item(source_path=f.source_path, destination_path=f.destination_path, external_checksum=f.digest(a), checksum_algorithm=a)
        for f in expected.files
        for a in Algorithm
    }
    if request.sync_level != SYNC_CHECKSUM:
        return "The second reading did not compare checksums."
    if len(request.items) != FILES_OF_A_JOB or not set(request.items) <= wanted:
        return "The second reading was not of these two files under our digests."
    if {item.destination_path for item in request.items} != {f.destination_path for f in expected.files}:
        return "The second reading was not of both files."
    return None


def _began_after(second: TaskView, first: TaskView) -> bool:
    """By Globus's own clock, whose times have whole seconds."""
    try:
        began = datetime.fromisoformat(second.request_time or "")
        ended = datetime.fromisoformat(first.completion_time or "")
        return began >= ended
    except (ValueError, TypeError):  # TypeError: one of them without a zone
        return False


# --- whose is the destination ---------------------------------------------------------------------------------------------------


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


# --- a job that was just claimed ------------------------------------------------------------------------------------------------


class LocalArchive(StrEnum):
    """The local files after they were hashed again; evidence of the sidecar is part of it."""

    INTACT = "intact"
    MISSING = "missing"
    DIFFERENT = "different"


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A job in `compressed`, as found when it was claimed.

    archive_sha256, manifest_sha256: of the recorded archive of this job. evidence_complete: three rows of it. submissions: every
    stored id for this destination, oldest first, this job's and any other's, with the task as Globus shows it now (an id
    without a known task was looked up by its label first). destination: `destination_verdict` of an answer just received.
    """

    archive_sha256: str
    manifest_sha256: str
    local: LocalArchive
    evidence_complete: bool
    destination: Verdict
    submissions: tuple[Submission, ...] = ()
    policy: RecheckPolicy = RecheckPolicy.ALWAYS


class GoVerify(msgspec.Struct, frozen=True):
    """compressed -> upload_verifying. submission_id: the transfer to verify, None when the evidence is complete already."""

    submission_id: str | None
    reason: str


class AdoptTask(msgspec.Struct, frozen=True):
    """compressed -> uploading with the task that is already running."""

    submission_id: str
    task_id: str


class SubmitAgain(msgspec.Struct, frozen=True):
    """Send the stored document of this id again (Globus answers with the one task it stands for), store the task, decide anew.

    When Globus refuses the document and still shows no task of its label, mark it refused: it never was and never becomes a task.
    """

    submission_id: str


class NewSubmission(msgspec.Struct, frozen=True):
    """Get an id, store the request, then send it."""

    reason: str


class NewRemoval(msgspec.Struct, frozen=True):
    """Remove this job's own unverified files first: store a removal (which voids older evidence), send it, decide anew."""

    reason: str


class WaitForOldTasks(msgspec.Struct, frozen=True):
    """Cancel the tasks in `cancel`, then wait until all in `cancel` and `wait` (task ids) are terminal, then decide anew."""

    cancel: tuple[str, ...]
    wait: tuple[str, ...]
    reason: str


class WaitForDestination(msgspec.Struct, frozen=True):
    """The destination did not give a clear answer: stay in compressed, ask again later, no budget pays."""

    reason: str


class DestinationTaken(msgspec.Struct, frozen=True):
    """Somebody else's file is there: the job fails, nothing is touched."""

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
    """What a claimed job in `compressed` needs (custody 2 and 3). The order of the questions is the rule.

    1. Proven already: verify. 2. Every stored id must become a task or be refused, 3. every task must be terminal or ours to go on
    with, before 4. what arrived is looked at, and 5. anything new is stored for the path.
    """
    if job.evidence_complete:
        return GoVerify(None, "The evidence is complete already.")
    accepted = _accepted(job)
    return _settle_unknown(job) or _settle_live(job, accepted) or _verify_arrived(job, accepted) or _begin(job)


def _settle_unknown(job: Claimed) -> NextStep | None:
    unknown = [s for s in job.submissions if s.is_unknown]
    if not unknown:
        return None
    # Sending it again may let it run for a moment before it can be cancelled, so never onto what might be somebody else's.
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
    is_intact = job.local is LocalArchive.INTACT  # else a running task would read, and perhaps move, something else
    if accepted is not None and live == [newest] and _is_recheck_of(newest, job) and is_intact:
        return GoVerify(accepted.submission_id, "The transfer ended, its second reading is running.")
    usable = newest if _is_ours(newest, job) and is_intact and not newest.cancel_requested else None
    if usable is not None and live == [usable] and usable.task is not None:
        return AdoptTask(usable.submission_id, usable.task.task_id)
    old = [s for s in live if s is not usable]
    # A removal is let finish: half done or done, both names must be absent before anything new begins.
    cancel = tuple(_task_id(s) for s in old if s.purpose is not Purpose.REMOVAL and not s.cancel_requested)
    wait = tuple(_task_id(s) for s in old if s.purpose is Purpose.REMOVAL or s.cancel_requested)
    return WaitForOldTasks(cancel, wait, f"{len(old)} older task(s) on this destination must end first.")


def _verify_arrived(job: Claimed, accepted: Submission | None) -> NextStep | None:
    if accepted is None:
        return None
    # Without the local archive no second reading can begin; one that ended already, or none asked for, still lets it be verified.
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
    """Why our own file must be removed before the next transfer: a removal was begun, or only a fresh copy can be proven."""
    last = next((s for s in reversed(job.submissions) if not s.refused), None)
    if last is not None and last.purpose is Purpose.REMOVAL:
        return "A removal was begun and did not remove everything."
    rejected = next((s for s in reversed(_after_removal(job.submissions)) if s.rejection and s.rejection.remove_first), None)
    return rejected.rejection.reason if rejected is not None and rejected.rejection is not None else None


def _accepted(job: Claimed) -> Submission | None:
    """The newest own transfer since the last removal, if it succeeded, carries this archive and no verification rejected it.

    None while no own transfer moved anything: what others put there under our names is not an archive of ours.
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
