"""What a job that ended still owes at Globus, at the destination and among the local archives (custody 2 and 3)."""

import asyncio
import shutil
from typing import Any
from uuid import UUID

from services.uploader import paths
from services.uploader.decide import Verdict
from services.uploader.handlers import Tools
from services.uploader.model import Purpose
from services.uploader.submissions import Stored, owns
from shared import faults, log
from shared.db import Database
from shared.errors import Waiting
from shared.lifecycle import TERMINAL, Status

logger = log.get(__name__)


async def settle(db: Database, tools: Tools, job_id: UUID) -> None:
    """End the job's tasks, remove its unverified remote files, give the destination back. Raises Waiting until all that is done.

    A proven archive is left alone, whatever became of the job: the rule looks at the evidence, not at the state.
    """
    job = await db.row("job", job_id)
    assert job is not None, "jobs are never deleted"
    held = await db.row("destination_of", job_id)
    if await db.value("proven", job_id) is None and held is not None and held["state"] in {"held", "removing"}:
        await _give_back(db, tools, job, held)
    if job["status"] == Status.CANCELLED:
        await asyncio.to_thread(shutil.rmtree, tools.archives / str(job_id), ignore_errors=True)
        await db.run("release_space", job_id)


async def _give_back(db: Database, tools: Tools, job: Any, held: Any) -> None:
    job_id, key = job["id"], held["key"]
    stored = [s for s in await tools.submissions.load(key, job_id) if s.view.own]
    for submission in stored:
        if submission.is_open:
            await tools.submissions.end(submission)
    stored = [s for s in await tools.submissions.load(key, job_id) if s.view.own]
    if _may_have_written(stored):
        await _empty(tools, job, key, stored)
    goes_on = job["status"] not in TERMINAL  # retried meanwhile: it keeps the place
    await db.run("end_removal", key, job_id, goes_on)
    logger.info("destination_settled", job_id=str(job_id), message=f"{job['destination_path']} is free of this job's files.")


def _may_have_written(stored: list[Stored]) -> bool:
    return any(s.view.purpose is not Purpose.RECHECK and not s.view.refused for s in stored)


async def _empty(tools: Tools, job: Any, key: str, stored: list[Stored]) -> None:
    """Remove this job's own files where they are; a foreign file is left alone. Raises Waiting until both names are absent."""
    destination: paths.Destination = tools.destination(job["destination_path"])
    verdict, detail = await tools.submissions.look_at(destination, owned=owns(stored, job["id"]))
    if verdict is Verdict.UNKNOWN:
        raise Waiting(f"The destination gives no clear answer: {detail}", 15.0)
    if verdict is not Verdict.OWN:
        return
    removal = await tools.submissions.remove(key, job["id"], job["attempt"], destination)
    faults.point("uploader.cleanup_removal_stored")
    task_id = await tools.submissions.send(removal)
    logger.info("removing_remote", job_id=str(job["id"]), task_id=task_id, message="Removing the job's unverified files.")
    raise Waiting("The job's unverified files are being removed at the destination.", 1.0)
