"""Clean up after a job that ended: at Globus, at the destination and among the local archives (custody 2 and 3)."""

import asyncio
import shutil
from contextlib import suppress
from uuid import UUID

from services.uploader import paths
from services.uploader.case import UploadTools, is_here
from services.uploader.decide.ownership import Verdict
from services.uploader.globus_errors import ChecksumAlgorithmRefused
from services.uploader.model import Purpose
from services.uploader.rows import Archive, Held
from services.uploader.submissions import Stored, owns
from shared import faults, log
from shared.domain.job import Job
from shared.domain.lifecycle import Status
from shared.errors import PermanentError, Waiting
from shared.infra import clock_skew
from shared.infra.db import Database
from shared.service import jobs

logger = log.get(__name__)


async def settle(db: Database, tools: UploadTools, job_id: UUID) -> None:
    """End the job's tasks, remove its unverified remote files, and release the destination. Raises Waiting until all that is done.

    A proven archive is left alone, whatever the job's state is, because the rule depends on the evidence. This also waits while
    our clock is far off, as an upload does.
    """
    await clock_skew.require(db)
    job = await jobs.load(db, job_id)
    assert job is not None, "jobs are never deleted"
    held = await db.one(Held, "destination_of", job_id)
    if await db.value("proven", job_id) is None and held is not None and held.state in {"held", "removing"}:
        await _give_back(tools, job, held.key)
    if job.status is Status.CANCELLED:
        await _remove_local(db, tools, job)


async def _remove_local(db: Database, tools: UploadTools, job: Job) -> None:
    archive = await db.one(Archive, "archive", job.id)
    if archive is not None and not await asyncio.to_thread(is_here, tools, archive):
        return  # that staging's own compressor removes the files of ended jobs there, and releases the space
    directory = tools.archives / str(job.id)
    if directory.exists():
        await asyncio.to_thread(shutil.rmtree, directory)
        facts = {"path": str(directory), "size": job.archive_size_bytes, "result": "deleted"}
        await db.value("log", job.id, "INFO", "delete_archive", "Local archive of the cancelled job deleted.", facts)
    await db.run("release_space", job.id)


async def _give_back(tools: UploadTools, job: Job, key: str) -> None:
    job_id = job.id
    if await _own(tools, key, job_id):
        destination = await tools.submissions.held(job_id)
        assert destination is not None, "its row was seen to be held, and only this clean-up lets go of it"
        await _undo(tools, job, destination)
    await tools.submissions.clean(key, job_id, job.attempt)  # a job that was retried meanwhile keeps the destination
    logger.info("destination_settled", job_id=str(job_id), message=f"{job.destination} is free of this job's files.")


async def _undo(tools: UploadTools, job: Job, destination: paths.Destination) -> None:
    """End the job's submissions, and remove the files that they may have left. Raises Waiting until both are done."""
    job_id, key = job.id, destination.key
    stored = await _own(tools, key, job_id)
    for submission in stored:
        if submission.is_open and submission.view.is_unknown:
            await _settle_unknown(tools, job, destination, stored, submission)
    for submission in await _own(tools, key, job_id):
        if submission.is_open:
            await tools.submissions.end(submission)
    stored = await _own(tools, key, job_id)
    if owns(stored, job_id):
        await _empty(tools, job, destination, stored)


async def _own(tools: UploadTools, key: str, job_id: UUID) -> list[Stored]:
    return [s for s in await tools.submissions.load(key, job_id) if s.view.own]


async def _settle_unknown(
    tools: UploadTools, job: Job, destination: paths.Destination, stored: list[Stored], submission: Stored
) -> None:
    """Send a submission whose task is unknown, because it may still start. Once it has a task, it can be cancelled.

    The task may run for a moment. So it is never sent onto a file that may belong to somebody else; there its own deadline ends
    it.
    """
    verdict, detail = await tools.submissions.look_at(destination, owned=owns(stored, job.id))
    if verdict in {Verdict.ABSENT, Verdict.OWN} and submission.here:
        with suppress(ChecksumAlgorithmRefused, PermanentError):  # then it is marked, and never was a task
            await tools.submissions.send(submission)
    elif submission.is_hopeless:
        await tools.submissions.give_up(submission)
    else:
        raise Waiting(f"A transfer that may still begin ends at {submission.request.deadline}; until then: {detail}", 60.0)


async def _empty(tools: UploadTools, job: Job, destination: paths.Destination, stored: list[Stored]) -> None:
    """Remove this job's own files and leave a foreign file alone. Raises Waiting until a removal has succeeded.

    The removal is sent even after "not found": a listing may be older than the transfer, and the file would stay as an orphan.
    """
    verdict, detail = await tools.submissions.look_at(destination, owned=True)
    if verdict is Verdict.UNKNOWN:
        raise Waiting(f"The destination gives no clear answer: {detail}", 15.0)
    if verdict is Verdict.FOREIGN:
        return
    removal = await tools.submissions.remove(destination, job.id, job.attempt)
    faults.point("uploader.cleanup_removal_stored")
    task_id = await tools.submissions.send(removal)
    logger.info("removing_remote", job_id=str(job.id), task_id=task_id, message="Removing the job's unverified files.")
    failed = sum(s.counts and s.view.purpose is Purpose.REMOVAL for s in stored)
    delay = min(2.0**failed, 300.0)  # a destination that refuses removals is not asked every second
    raise Waiting("The job's unverified files are being removed at the destination.", delay)
