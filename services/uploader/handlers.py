"""The uploader's part of an archive job: compressed -> uploading -> upload_verifying -> verified.

`decide.next_step` says what a claimed job needs, from what is stored and what Globus and the destination say now; this file does
it, and asks again, until the job can be verified. Nothing here decides what is a proof: `decide.verify_*` does.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from services.uploader import paths, pausing
from services.uploader.decide import claimed_job, proofs, running_task
from services.uploader.decide.claimed_job import Claimed, LocalArchive
from services.uploader.decide.ownership import Verdict
from services.uploader.decide.proofs import CarriedOut, Expected, ExpectedFile, RunRecheck
from services.uploader.decide.running_task import Seen, WatchLimits
from services.uploader.globus import Globus
from services.uploader.globus_errors import ChecksumAlgorithmRefused
from services.uploader.model import Algorithm, Item, Purpose, RecheckPolicy, Rejection, TaskView, Transferred, TransferRequest
from services.uploader.rows import Archive, LoggedEvent
from services.uploader.submissions import Stored, Submissions, owns
from shared import faults, log, units
from shared.domain.lifecycle import Status
from shared.errors import ArchiverError, Operation, Paused, PermanentError, TransientError, Waiting
from shared.files import handles
from shared.files.manifest import SIDECAR_SUFFIX
from shared.infra import clock_skew
from shared.infra.db import Session
from shared.service import stagings
from shared.service.work import Work

logger = log.get(__name__)

_BLOCK = 4 << 20
_RECHECKS = 3  # a recheck that moved bytes repaired something; after the third the attempt is over
_STEPS = 50  # more turns than any honest job needs: a job that goes in circles must not do so in silence


class UploadTools(msgspec.Struct, frozen=True):
    """What the handlers work with; built once per process."""

    globus: Globus
    submissions: Submissions
    archives: Path
    source_root: Path
    source_path: str
    limits: WatchLimits
    policy: RecheckPolicy
    most_archives: Callable[[], int] = lambda: 3
    """How often an archive that was lost or damaged on staging is made again; asked each time, because an admin may change it."""


class Case(msgspec.Struct):
    """One job in hand: what was recorded of its archive, and where it goes."""

    work: Work
    tools: UploadTools
    archive: Archive
    expected: Expected
    destination: paths.Destination

    @property
    def key(self) -> str:
        return self.destination.key

    @property
    def total(self) -> int:
        return self.archive.total


async def upload(work: Work, tools: UploadTools) -> None:
    """Take a claimed job as far as `verified`. Waits while our clock is far off: Globus would call a deadline past."""
    await work.with_retry(clock_skew.require, work.db)
    archive = await work.one(Archive, "archive", work.id)
    if archive is None:
        raise PermanentError("No archive is recorded for this job; retry it.")
    destination = await work.with_retry(tools.submissions.hold, work.job)
    case = Case(work, tools, archive, _expected(tools, archive, destination), destination)
    try:
        await _until_verified(case)
    except asyncio.CancelledError:
        if isinstance(work.stopped, Paused):
            await pausing.take_off(case.tools.submissions, case.key, work.id)
        raise


async def _until_verified(case: Case) -> None:
    work = case.work
    local: LocalArchive | None = None
    for _ in range(_STEPS):
        proven = await work.value("proven", work.id)
        if local is None and proven is None:
            work.progress("Checking the archive before its upload")
            local = await work.in_thread(_local_archive, case)
        stored = await case.tools.submissions.load(case.key, work.id)
        if await _turn(case, stored, local or LocalArchive.MISSING, proven=proven is not None):
            return
    raise TransientError("The upload went in circles; see the log.", Operation.UPLOAD)


async def _turn(case: Case, stored: list[Stored], local: LocalArchive, *, proven: bool) -> bool:
    """Take one step; True when the job has left this service."""
    work, submissions = case.work, case.tools.submissions
    verdict, detail = Verdict.UNKNOWN, ""
    if not proven:
        verdict, detail = await submissions.look_at(case.destination, owned=owns(stored, work.id))
    claimed = Claimed(
        archive_sha256=case.archive.sha256,
        manifest_sha256=case.archive.manifest_sha256,
        local=local,
        evidence_complete=proven,
        destination=verdict,
        submissions=tuple(s.view for s in stored if s.counts),
        policy=case.tools.policy,
    )
    step = claimed_job.next_step(claimed)
    logger.info("upload_step", job_id=str(work.id), step=type(step).__name__, message=getattr(step, "reason", "") or detail)
    by_id = {s.id: s for s in stored}
    match step:
        case claimed_job.GoVerify():
            await _verify(case)
            return True
        case claimed_job.AdoptTask(submission_id):
            await work.info("task_adopted", f"Globus task {step.task_id} is still at work; it goes on.")
            await _carry(case, by_id[submission_id])
        case claimed_job.SubmitAgain(submission_id):
            with contextlib.suppress(ChecksumAlgorithmRefused, PermanentError):  # then it is marked, and decided anew
                await submissions.send(by_id[submission_id])
        case claimed_job.NewSubmission():
            # Where a transfer of ours may have put something, "not found" may be an answer from before it.
            if verdict is Verdict.ABSENT and not owns(stored, work.id):
                await submissions.clean(case.key, work.id, work.attempt)
            await _send_new(case, stored)
        case claimed_job.NewRemoval(reason):
            await _remove_own(case, reason)
        case claimed_job.WaitForOldTasks():
            await _end_old(case, by_id, step)
        case claimed_job.WaitForDestination(reason):
            raise Waiting(f"{reason} {detail}".strip(), 15.0)
        case claimed_job.DestinationTaken(reason):
            raise PermanentError(f"{reason} Seen: {detail}")
        case claimed_job.BackToQueued(reason):
            if not await work.in_thread(is_here, case.tools, case.archive):
                raise Waiting(f"Waiting for staging {case.archive.staging}: {case.tools.archives} does not show it any more.", 15.0)
            sent_back = await work.value("sent_back", work.id)
            if sent_back >= case.tools.most_archives():
                often = units.counted(sent_back + 1, "time")
                text = f"It was made or found {often}: look at the disk below {case.tools.archives}, then retry."
                raise PermanentError(f"The local archive is missing or damaged. {text}")
            await work.advance(Status.QUEUED, "Waiting to be archived again", keep_lease=False, reason=reason, delay_s=1.0)
            return True
    return False


# The archive in hand -----------------------------------------------------------------------------------------------------------------


def _expected(tools: UploadTools, archive: Archive, destination: paths.Destination) -> Expected:
    root = str(tools.source_root)
    local = str(stagings.located(tools.archives, archive.archive_path))
    return Expected(
        ExpectedFile(
            source_path=paths.to_collection(local, root, tools.source_path),
            destination_path=destination.archive,
            size=archive.size,
            sha256=archive.sha256,
            md5=archive.md5,
        ),
        ExpectedFile(
            source_path=paths.to_collection(local + SIDECAR_SUFFIX, root, tools.source_path),
            destination_path=destination.sidecar,
            size=archive.manifest_size,
            sha256=archive.manifest_sha256,
            md5=archive.manifest_md5,
        ),
    )


def is_here(tools: UploadTools, archive: Archive) -> bool:
    """Whether the staging that holds an archive is mounted here now. Archives from before stagings had names are looked for here."""
    return archive.staging is None or archive.staging == stagings.read(tools.archives)


def _local_archive(case: Case) -> LocalArchive:
    """Hash both local files again: what is sent must be what was recorded."""
    path = stagings.located(case.tools.archives, case.archive.archive_path)
    try:
        for file, expected in zip((path, path.with_name(path.name + SIDECAR_SUFFIX)), case.expected.files, strict=True):
            if _digest(file, case.work) != (expected.size, expected.sha256):
                return LocalArchive.DIFFERENT
    except (FileNotFoundError, NotADirectoryError):
        return LocalArchive.MISSING
    return LocalArchive.INTACT


def _digest(path: Path, work: Work) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with handles.root(path.parent) as parent, handles.file(parent, os.fsencode(path.name)) as file:
        while block := os.read(file, _BLOCK):
            work.stop()
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


# Sending ----------------------------------------------------------------------------------------------------------------------------


async def _uploading(case: Case) -> None:
    if case.work.status is Status.COMPRESSED:
        await case.work.advance(Status.UPLOADING, "Uploading to Globus")


async def _send_new(case: Case, stored: Sequence[Stored]) -> None:
    """Store a transfer of archive and sidecar, send it, and watch it to its end."""
    work, submissions = case.work, case.tools.submissions
    refused = [
        s.request.items[0].checksum_algorithm for s in stored if s.algorithm_refused and isinstance(s.request, TransferRequest)
    ]
    algorithm = proofs.choose_algorithm(refused)
    if isinstance(algorithm, proofs.NoAlgorithm):
        raise PermanentError(algorithm.reason)
    await _uploading(case)
    items = _items(case.expected, algorithm)
    request = await submissions.transfer_request(work.id, work.attempt, Purpose.TRANSFER, case.destination.place, items)
    await _store(case, request, Purpose.TRANSFER)
    fresh = await _stored(case, request.submission_id)
    faults.point("uploader.stored")
    try:
        task_id = await submissions.send(fresh)
    except ChecksumAlgorithmRefused as exc:
        await work.warn("algorithm_refused", f"{algorithm} checksums were refused; the next algorithm is tried. {exc}")
        return
    await work.run("show_task", work.id, work.attempt, task_id)
    await work.info("submitted", f"Globus took the transfer as task {task_id} ({units.size(case.total)}, {algorithm} checksums).")
    await _carry(case, await _stored(case, request.submission_id))


def _items(expected: Expected, algorithm: Algorithm) -> list[Item]:
    return [
        Item(
            source_path=file.source_path,
            destination_path=file.destination_path,
            external_checksum=file.digest(algorithm),
            checksum_algorithm=algorithm,
        )
        for file in expected.files
    ]


async def _store(case: Case, request: TransferRequest, purpose: Purpose) -> None:
    async with case.work.transaction() as session:
        ids = (case.work.id, case.work.attempt)
        await case.tools.submissions.store(session, request, *ids, purpose, case.key, case.archive.attempt)


async def _stored(case: Case, submission_id: str) -> Stored:
    for stored in await case.tools.submissions.load(case.key, case.work.id):
        if stored.id == submission_id:
            return stored
    raise TransientError("A submission that was just stored is not there.", Operation.CONNECTION)


async def _carry(case: Case, stored: Stored) -> None:
    """Watch a transfer to its end; an attempt that did not succeed costs a try."""
    await _uploading(case)
    outcome = await _watch(case, stored, "Uploading to Globus", case.total)
    if isinstance(outcome, running_task.Succeeded):
        await case.work.info("uploaded", "Upload complete; now it is verified.")
        return
    if outcome.algorithm_refused:
        await case.work.run("refuse_algorithm", UUID(stored.id))
        await case.work.warn("algorithm_refused", f"The next checksum algorithm is tried: {outcome.reason}")
        return
    raise TransientError(outcome.reason, outcome.operation)


async def _watch(case: Case, stored: Stored, operation: str, total: int) -> running_task.Succeeded | running_task.FailedAttempt:
    """Look at a task until it is terminal, telling what Globus says meanwhile; a hopeless one is cancelled."""
    work, globus = case.work, case.tools.globus
    assert stored.view.task is not None, "only submissions with a task are watched"
    task_id = stored.view.task.task_id
    deadline = datetime.fromisoformat(stored.request.deadline)
    limits = running_task.limits_for(total, case.tools.limits)
    seen, said, faults_seen = Seen(), "", 0
    while True:
        try:
            task = await globus.task(task_id)
        except TransientError as exc:
            if (delay := running_task.out_of_sight(seen, datetime.now(UTC), deadline, limits)) is None:
                raise
            seen = msgspec.structs.replace(seen, polls=seen.polls + 1)
            said = await _say(work, said, f"The task goes on at Globus, out of our sight: {exc}")
            await asyncio.sleep(delay)
            continue
        seen = running_task.observe(seen, task, datetime.now(UTC))
        decision = running_task.watch(task, seen, datetime.now(UTC), deadline, limits)
        if task is not None:
            work.progress(operation, running_task.sent_bytes(task, total), total)
            if (task.faults or 0) > faults_seen:
                faults_seen = task.faults or 0
                await _log_events(case, stored)
        match decision:
            case running_task.Succeeded() | running_task.FailedAttempt():
                if task is not None:
                    await case.tools.submissions.saw(stored, task)
                return decision
            case running_task.CancelEarly():
                await work.warn("task_cancelled", f"Globus task {task_id} is cancelled: {decision.reason}")
                await _until_ended(case, stored)
                return running_task.FailedAttempt(decision.reason, decision.operation, decision.algorithm_refused)
            case running_task.ShowPaused(text):
                why = ""
                with contextlib.suppress(ArchiverError):
                    why = await globus.pause_info(task_id)
                said = await _say(work, said, f"Globus paused the task: {text} {why}".strip())
            case running_task.KeepPolling(note=note) if note:
                said = await _say(work, said, note)
            case running_task.KeepPolling(queued=True):
                said = await _say(work, said, "Globus has queued the task behind others of this account.")
        await asyncio.sleep(decision.delay_s)


async def _say(work: Work, before: str, text: str) -> str:
    if text != before:
        await work.warn("globus_says", text)
    return text


async def _log_events(case: Case, stored: Stored) -> None:
    """Log each error event of a task once, also across attempts. Events are for people; they decide nothing."""
    work = case.work
    assert stored.view.task is not None, "only submissions with a task are watched"
    task_id = stored.view.task.task_id
    with contextlib.suppress(ArchiverError):
        events = [event for event in reversed(await case.tools.globus.events(task_id, 5)) if event.is_error]
        logged = await work.many(LoggedEvent, "logged_events", work.id, task_id)
        said = {(event.code, event.time) for event in logged}
        for event in events:
            if (event.code, event.time) not in said:
                said.add((event.code, event.time))
                facts = {"task_id": task_id, "code": event.code, "time": event.time, "details": event.details}
                await work.warn("globus_event", f"{event.code}: {event.description}", **facts)


async def _until_ended(case: Case, stored: Stored) -> None:
    """Cancel a task and wait until it is terminal; nothing new may begin on its path before."""
    while True:
        try:
            await case.tools.submissions.end(stored)
        except Waiting as exc:
            await asyncio.sleep(exc.retry_after_s)
        else:
            return


async def _end_old(case: Case, by_id: dict[str, Stored], step: claimed_job.WaitForOldTasks) -> None:
    case.work.progress(step.reason)
    by_task = {s.view.task.task_id: s for s in by_id.values() if s.view.task is not None}
    for task_id in (*step.cancel, *step.wait):
        await _until_ended(case, by_task[task_id])


async def _remove_own(case: Case, reason: str) -> None:
    """Remove this job's own unverified files, so that only a fresh copy is there to be proven."""
    work, submissions = case.work, case.tools.submissions
    await work.warn("removing_remote", f"What this job left at the destination is removed first: {reason}")
    stored = await submissions.remove(case.destination, work.id, work.attempt)
    faults.point("uploader.removal_stored")
    task_id = await submissions.send(stored)
    view = msgspec.structs.replace(stored.view, task=TaskView(task_id=task_id, status="ACTIVE", type="DELETE"))
    await _until_ended(case, msgspec.structs.replace(stored, view=view))
    verdict, detail = await submissions.look_at(case.destination, owned=True)
    if verdict is Verdict.UNKNOWN:
        raise Waiting(f"Waiting to see that the destination is empty: {detail}", 15.0)
    if verdict is not Verdict.ABSENT:
        raise TransientError(f"The removal did not empty the destination: {detail}", Operation.UPLOAD)
    await submissions.clean(case.key, work.id, work.attempt)


# Proving ----------------------------------------------------------------------------------------------------------------------------


async def _verify(case: Case) -> None:
    work = case.work
    if work.status is not Status.UPLOAD_VERIFYING:
        await work.advance(Status.UPLOAD_VERIFYING, "Verifying the upload")
    if await work.value("proven", work.id) is None:
        await _prove(case)
    faults.point("uploader.evidence")
    await _remove_local(case)
    faults.point("uploader.local_removed")

    async def facts(session: Session) -> None:
        await session.run("release_space", work.id)

    await work.advance(Status.VERIFIED, "Waiting for the source to be emptied", facts=facts, keep_lease=False)


async def _prove(case: Case) -> None:
    """Collect the three verifications and record them together. Raises TransientError when one is refused."""
    work = case.work
    last, transfers, recheck = await _carried_out(case)
    task = proofs.verify_task(transfers[-1].task, transfers[-1].request)
    if isinstance(task, Rejection):
        await _reject(case, last, task)
    await _sizes(case, last)
    await work.info(
        "verified_task", f"Verification 1 of 3: Globus task {transfers[-1].task.task_id} succeeded, both files dealt with."
    )
    for number in range(_RECHECKS + 1):
        content = proofs.verify_content(case.expected, transfers, recheck, case.tools.policy)
        if isinstance(content, Rejection):
            await _reject(case, last, content)
        if not isinstance(content, RunRecheck):
            break
        if number == _RECHECKS:
            raise TransientError(f"The second reading found differences each time: {content.reason}", Operation.UPLOAD)
        if content.repaired:
            await work.warn("recheck_repaired", f"{content.reason} It is read once more.")
        recheck = await _recheck(case, transfers[-1].request)
    remote = await _sizes(case, last)
    await work.info("verified_remote", "Verification 2 of 3: archive and manifest are at the destination with their exact sizes.")
    assert isinstance(content, proofs.ContentProof), "the loop ends with a proof, or raises"
    if content.recheck_task_id is None:
        await work.warn("recheck_off", "REMOTE_RECHECK is off: the remote files were not read a second time.")
    said = "the digests are ours" + (", read a second time and equal" if content.recheck_task_id else "")
    await work.info("verified_content", f"Verification 3 of 3: {said}.")
    await _record(case, {"task": task, "remote": remote, "content": content})


async def _carried_out(case: Case) -> tuple[Stored, list[CarriedOut], CarriedOut | None]:
    """This job's transfers of this archive since the last removal, and the newest recheck after the last of them."""
    stored = await case.tools.submissions.load(case.key, case.work.id)
    removals = [i for i, s in enumerate(stored) if s.view.purpose is Purpose.REMOVAL and not s.view.refused]
    since = stored[removals[-1] + 1 :] if removals else stored
    ours = [s for s in since if s.counts and s.view.own and not s.view.refused and s.view.archive_sha256 == case.archive.sha256]
    transfers = [s for s in ours if s.view.purpose is Purpose.TRANSFER and not s.is_open]
    if not transfers:
        raise TransientError("There is no finished transfer to verify.", Operation.UPLOAD)
    rechecks = [s for s in ours[ours.index(transfers[-1]) :] if s.view.purpose is Purpose.RECHECK]
    running = next((s for s in rechecks if s.is_open), None)
    if running is not None:
        recheck: CarriedOut | None = await _finish_recheck(case, running)
    else:
        recheck = await _done(case, rechecks[-1]) if rechecks else None
    return transfers[-1], [await _done(case, s) for s in transfers], recheck


async def _done(case: Case, stored: Stored) -> CarriedOut:
    assert isinstance(stored.request, TransferRequest)
    task = stored.view.task
    assert task is not None, "finished submissions have a task"
    moved: tuple[Transferred, ...] = ()
    if task.status == "SUCCEEDED":
        moved = tuple(await case.tools.globus.successful_transfers(task.task_id))
    return CarriedOut(request=stored.request, task=task, moved=moved)


async def _recheck(case: Case, transfer: TransferRequest) -> CarriedOut:
    """Have Globus read the remote again and compare: a second task over both files, by checksum (custody 4.3)."""
    submissions, work = case.tools.submissions, case.work
    items = _items(case.expected, transfer.items[0].checksum_algorithm)
    request = await submissions.transfer_request(work.id, work.attempt, Purpose.RECHECK, case.destination.place, items)
    await _store(case, request, Purpose.RECHECK)
    faults.point("uploader.recheck_stored")
    await submissions.send(await _stored(case, request.submission_id))
    return await _finish_recheck(case, await _stored(case, request.submission_id))


async def _finish_recheck(case: Case, stored: Stored) -> CarriedOut:
    if stored.view.task is None:
        await case.tools.submissions.send(stored)
        stored = await _stored(case, stored.id)
    outcome = await _watch(case, stored, "Reading the remote a second time", case.total)
    if isinstance(outcome, running_task.FailedAttempt):
        raise TransientError(f"The second reading did not succeed: {outcome.reason}", outcome.operation)
    return await _done(case, await _stored(case, stored.id))


async def _sizes(case: Case, last: Stored) -> proofs.RemoteProof:
    archive, sidecar = [await case.tools.globus.stat(case.destination.place.endpoint, name) for name in case.destination.names]
    proof = proofs.verify_remote(archive, sidecar, case.expected)
    if isinstance(proof, Rejection):
        await _reject(case, last, proof)
    assert isinstance(proof, proofs.RemoteProof)
    return proof


async def _reject(case: Case, stored: Stored, rejection: Rejection) -> None:
    """Remember that this transfer's result was not accepted, so that it is never verified again, and end the attempt."""
    why = msgspec.to_builtins(rejection)
    await case.work.run("reject_submission", UUID(stored.id), why)
    raise TransientError(f"Upload verification failed: {rejection.reason}", Operation.UPLOAD)


async def _record(case: Case, proofs: dict[str, msgspec.Struct]) -> None:
    work, archive = case.work, case.archive
    faults.point("uploader.proven")
    async with work.transaction() as session:
        for kind, proof in proofs.items():
            await session.run(
                "record_evidence",
                job_id=work.id,
                attempt=work.attempt,
                kind=kind,
                archive_attempt=archive.attempt,
                archive_sha256=archive.sha256,
                manifest_sha256=archive.manifest_sha256,
                evidence=msgspec.to_builtins(proof),
                endpoint=case.destination.place.endpoint,
                base_path=case.destination.place.base,
            )


async def _remove_local(case: Case) -> None:
    """The archive is proven: its local copy goes, with every attempt's directory of this job."""
    directory = case.tools.archives / str(case.work.id)
    size, path = case.archive.size, str(stagings.located(case.tools.archives, case.archive.archive_path))
    result = "deleted" if directory.exists() else "gone already"
    if not await case.work.in_thread(is_here, case.tools, case.archive):
        # Its own compressor removes what ended jobs left there.
        result, path = "left to its staging", f"{case.archive.archive_path} on staging {case.archive.staging}"
    elif directory.exists():
        await case.work.in_thread(shutil.rmtree, directory)
    await case.work.info(
        "delete_archive", f"Local archive {result}: {path} ({units.size(size)}).", path=path, size=size, result=result
    )


# Answers ----------------------------------------------------------------------------------------------------------------------------


async def sizes_now(tools: UploadTools, archive: Archive, destination: paths.Destination) -> str | None:
    """What is wrong with the sizes at the destination now; None when both are right. Raises what the adapter raises."""
    found = [await tools.globus.stat(destination.place.endpoint, name) for name in destination.names]
    # What is there is compared; where the local files were does not matter any more.
    sizes = Expected(
        ExpectedFile(source_path="", destination_path=destination.archive, size=archive.size, sha256="", md5=""),
        ExpectedFile(source_path="", destination_path=destination.sidecar, size=archive.manifest_size, sha256="", md5=""),
    )
    proof = proofs.verify_remote(found[0], found[1], sizes)
    return proof.reason if isinstance(proof, Rejection) else None
