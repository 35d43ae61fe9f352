"""The uploader's part of an archive job: compressed -> uploading -> upload_verifying -> verified.

`decide/claimed_job.py` returns what a claimed job needs, from the stored rows and from what Globus and the destination say now. This
file does it, and asks again until the job can be verified. It does not decide what is a proof: `decide/proofs.py` does.
"""

import asyncio
import contextlib

from services.uploader import pausing
from services.uploader.case import Case, UploadTools, expected_files, is_here, local_archive
from services.uploader.decide import claimed_job
from services.uploader.decide.claimed_job import Claimed, LocalArchive
from services.uploader.decide.ownership import Verdict
from services.uploader.globus_errors import ChecksumAlgorithmRefused
from services.uploader.proving import verify
from services.uploader.rows import Archive
from services.uploader.sending import carry, end_old, remove_own, send_new
from services.uploader.submissions import Stored, owns
from shared import log, units
from shared.domain.lifecycle import Status
from shared.errors import Operation, Paused, PermanentError, TransientError, Waiting
from shared.infra import clock_skew
from shared.service.work import Work

logger = log.get(__name__)

_STEPS = 50  # more turns than any healthy job needs; a job that goes in circles must fail visibly


async def upload(work: Work, tools: UploadTools) -> None:
    """Take a claimed job as far as `verified`. It waits while our clock is far off, because Globus would call a deadline past."""
    await work.with_retry(clock_skew.require, work.db)
    archive = await work.one(Archive, "archive", work.id)
    if archive is None:
        raise PermanentError("No archive is recorded for this job; retry it.")
    destination = await work.with_retry(tools.submissions.hold, work.job)
    case = Case(work, tools, archive, expected_files(tools, archive, destination), destination)
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
            local = await work.in_thread(local_archive, case)
        stored = await case.tools.submissions.load(case.key, work.id)
        if await _turn(case, stored, local or LocalArchive.MISSING, proven=proven is not None):
            return
    raise TransientError("The upload went in circles; see the log.", Operation.UPLOAD)


async def _turn(case: Case, stored: list[Stored], local: LocalArchive, *, proven: bool) -> bool:
    """Take one step. Returns True when the job has left this service."""
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
            await verify(case)
            return True
        case claimed_job.AdoptTask(submission_id):
            await work.info("task_adopted", f"Globus task {step.task_id} is still at work; it goes on.")
            await carry(case, by_id[submission_id])
        case claimed_job.SubmitAgain(submission_id):
            with contextlib.suppress(ChecksumAlgorithmRefused, PermanentError):  # then it is marked; decide again
                await submissions.send(by_id[submission_id])
        case claimed_job.NewSubmission():
            # If a transfer of ours may have put something there, a "not found" may be older than that transfer.
            if verdict is Verdict.ABSENT and not owns(stored, work.id):
                await submissions.clean(case.key, work.id, work.attempt)
            await send_new(case, stored)
        case claimed_job.NewRemoval(reason):
            await remove_own(case, reason)
        case claimed_job.WaitForOldTasks():
            await end_old(case, by_id, step)
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
