"""Decide whether an archive has arrived: three proofs, and the checksum algorithm that they use."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from services.uploader.model import (
    FILES_OF_A_JOB,
    SYNC_CHECKSUM,
    Algorithm,
    Item,
    NotFound,
    RecheckPolicy,
    Rejection,
    Remote,
    TaskView,
    Transferred,
    TransferRequest,
)
from shared import units


class NoAlgorithm(msgspec.Struct, frozen=True):
    """No algorithm is left that both sides know. The job fails with this reason."""

    reason: str


def choose_algorithm(refused: Iterable[str]) -> Algorithm | NoAlgorithm:
    """Return the strongest algorithm that this pair of collections has not refused."""
    names = {_algorithm_name(name) for name in refused}
    for algorithm in Algorithm:
        if algorithm.value not in names:
            return algorithm
    return NoAlgorithm(
        "The collections refuse SHA256 and MD5 checksums, so arrival cannot be proven and nothing will be deleted."
        " Update Globus Connect at the source and destination, or allow checksum verification there, then retry the job."
    )


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
    """Evidence 1: the task of this submission succeeded and covered both files."""

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
    """The basis of a file's digest."""

    REPORTED = "reported"  # Globus reported the digest it computed, and it equals ours
    ENFORCED = "enforced"  # Globus moved the file under our digest, which fails the task when it differs, but reports none


class ContentProof(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence 3: the basis of each digest, and the task that read the remote again (None: REMOTE_RECHECK=never)."""

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
    """Check evidence 1 (custody 4.1) for the task of `request`. A number that Globus did not send counts against it."""
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
    """Return every reason why a task did not do all that `request` asked for, for both files."""
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
    """Check evidence 2 (custody 4.2): exact sizes, no tolerance. An unclear answer raises before this is called."""
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
    """Check evidence 3 (custody 4.3). All `transfers` (at least one) and `recheck` are finished tasks.

    `transfers`: this job's transfers of this very archive and sidecar since the last removal, oldest first; `verify_task` accepted
    the last one. `recheck`: the newest recheck; None when there is none yet.

    What counts as a proof:

    - A digest in successful_transfers is Globus's statement about the bytes at the destination, made after the
      move. If it equals ours, it is the proof that this product relies on. A different digest in any of the tasks,
      or a different size, leads to a rejection.
    - A file that was moved without a digest in the answer (older servers) was moved under our `external_checksum`. Globus promises
      to fail the whole task when that differs. So a SUCCEEDED task is accepted, but only together with a recheck, whatever
      REMOTE_RECHECK says. A task that did not succeed gives no such promise.
    - A file that a task *skipped as equal* was compared with what the source collection shows, not with our digest. No document
      says whether Globus checks `external_checksum` for a file that it does not move. So a skip alone means "the same as the
      source", never "ours", and cannot replace the digest. The statement of an earlier task that moved this very file can: it says
      what was written, and the later skip says that the file is still the same.
    - When no recorded task moved a file of ours (its history is gone), there is no proof: our file is removed and sent again.
    - A recheck proves that the remote was read again only if it skipped both files and moved nothing, began after the last
      transfer had ended, and compared by checksum under our digests. If it moved bytes, it found a difference and repaired it.
      Nothing has verified the repair yet, so another recheck follows.
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
    """Normalize a name: `sha-256`, `SHA256` and `Sha256` are one algorithm."""
    return (name or "").upper().replace("-", "").replace("_", "")


def _item_of(file: ExpectedFile) -> tuple[str, str]:
    return (file.source_path, file.destination_path)


def _items(request: TransferRequest) -> set[tuple[str, str]]:
    """Return the pairs of paths that this request covers with a digest."""
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
    """Compare by Globus's own clock, whose times have whole seconds."""
    try:
        began = datetime.fromisoformat(second.request_time or "")
        ended = datetime.fromisoformat(first.completion_time or "")
        return began >= ended
    except (ValueError, TypeError):  # TypeError: one of them without a zone
        return False
