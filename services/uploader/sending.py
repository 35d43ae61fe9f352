"""Submit transfer tasks, watch them, and settle earlier ones."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from services.uploader.case import Case
from services.uploader.decide import claimed_job, proofs, running_task
from services.uploader.decide.ownership import Verdict
from services.uploader.decide.proofs import Expected
from services.uploader.decide.running_task import Seen
from services.uploader.globus_errors import ChecksumAlgorithmRefused
from services.uploader.model import Algorithm, Item, Purpose, TaskView, TransferRequest
from services.uploader.rows import LoggedEvent
from services.uploader.submissions import Stored
from shared import faults, units
from shared.domain.lifecycle import Status
from shared.errors import ArchiverError, Operation, PermanentError, TransientError, Waiting
from shared.service.work import Work


async def _uploading(case: Case) -> None:
    if case.work.status is Status.COMPRESSED:
        await case.work.advance(Status.UPLOADING, "Uploading to Globus")


async def send_new(case: Case, stored: Sequence[Stored]) -> None:
    """Store a transfer of archive and sidecar, send it, and watch it to its end."""
    work, submissions = case.work, case.tools.submissions
    refused = [
        s.request.items[0].checksum_algorithm for s in stored if s.algorithm_refused and isinstance(s.request, TransferRequest)
    ]
    algorithm = proofs.choose_algorithm(refused)
    if isinstance(algorithm, proofs.NoAlgorithm):
        raise PermanentError(algorithm.reason)
    await _uploading(case)
    items = items_of(case.expected, algorithm)
    request = await submissions.transfer_request(work.id, work.attempt, Purpose.TRANSFER, case.destination.place, items)
    await store(case, request, Purpose.TRANSFER)
    fresh = await load(case, request.submission_id)
    faults.point("uploader.stored")
    try:
        task_id = await submissions.send(fresh)
    except ChecksumAlgorithmRefused as exc:
        await work.warn("algorithm_refused", f"{algorithm} checksums were refused; the next algorithm is tried. {exc}")
        return
    await work.run("show_task", work.id, work.attempt, task_id)
    await work.info("submitted", f"Globus took the transfer as task {task_id} ({units.size(case.total)}, {algorithm} checksums).")
    await carry(case, await load(case, request.submission_id))


def items_of(expected: Expected, algorithm: Algorithm) -> list[Item]:
    return [
        Item(
            source_path=file.source_path,
            destination_path=file.destination_path,
            external_checksum=file.digest(algorithm),
            checksum_algorithm=algorithm,
        )
        for file in expected.files
    ]


async def store(case: Case, request: TransferRequest, purpose: Purpose) -> None:
    async with case.work.transaction() as session:
        ids = (case.work.id, case.work.attempt)
        await case.tools.submissions.store(session, request, *ids, purpose, case.key, case.archive.attempt)


async def load(case: Case, submission_id: str) -> Stored:
    for stored in await case.tools.submissions.load(case.key, case.work.id):
        if stored.id == submission_id:
            return stored
    raise TransientError("A submission that was just stored is not there.", Operation.CONNECTION)


async def carry(case: Case, stored: Stored) -> None:
    """Watch a transfer to its end. An attempt that does not succeed costs a try."""
    await _uploading(case)
    outcome = await watch(case, stored, "Uploading to Globus", case.total)
    if isinstance(outcome, running_task.Succeeded):
        await case.work.info("uploaded", "Upload complete; now it is verified.")
        return
    if outcome.algorithm_refused:
        await case.work.run("refuse_algorithm", UUID(stored.id))
        await case.work.warn("algorithm_refused", f"The next checksum algorithm is tried: {outcome.reason}")
        return
    raise TransientError(outcome.reason, outcome.operation)


async def watch(case: Case, stored: Stored, operation: str, total: int) -> running_task.Succeeded | running_task.FailedAttempt:
    """Poll a task until it is terminal, and report what Globus says meanwhile. A hopeless task is cancelled."""
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
    """Log each error event of a task once, across all attempts. Events are for people; no decision depends on them."""
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
    """Cancel a task and wait until it is terminal. Nothing new may begin on its path before."""
    while True:
        try:
            await case.tools.submissions.end(stored)
        except Waiting as exc:
            await asyncio.sleep(exc.retry_after_s)
        else:
            return


async def end_old(case: Case, by_id: dict[str, Stored], step: claimed_job.WaitForOldTasks) -> None:
    case.work.progress(step.reason)
    by_task = {s.view.task.task_id: s for s in by_id.values() if s.view.task is not None}
    for task_id in (*step.cancel, *step.wait):
        await _until_ended(case, by_task[task_id])


async def remove_own(case: Case, reason: str) -> None:
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
