"""Cancel the Globus transfers of a paused job. On resume, the next step is decided again from what is stored."""

import asyncio
import time
from uuid import UUID

from services.uploader.model import Purpose
from services.uploader.rows import PausedTransfer
from services.uploader.submissions import Submissions
from shared import log
from shared.errors import ArchiverError, DatabaseAway, Waiting
from shared.infra.db import Database
from shared.isolation import Isolation

logger = log.get(__name__)

_PATIENCE_S = 20.0  # after that the sweep retries in every round while the job is paused


async def take_off(submissions: Submissions, key: str, job_id: UUID, patience_s: float = _PATIENCE_S) -> None:
    """Cancel this job's running transfers and wait until they have ended.

    Removals are not cancelled. Globus errors are not raised.
    """
    until = time.monotonic() + patience_s
    try:
        for stored in await submissions.load(key, job_id):
            if not (stored.view.own and stored.is_open) or stored.view.purpose is Purpose.REMOVAL:
                continue
            while True:
                try:
                    await submissions.end(stored)
                    break
                except Waiting as exc:  # it ends soon, or it was being sent when the pause came and is seen soon
                    if time.monotonic() > until:
                        raise
                    await asyncio.sleep(min(exc.retry_after_s, 0.5))
    except ArchiverError as exc:
        logger.warning("pause_incomplete", job_id=str(job_id), error=str(exc), message="A transfer of a paused job may still run.")


class Sweep:
    """Cancels the transfers that a pause could not cancel, because the uploader was down or Globus did not answer."""

    def __init__(self, db: Database, submissions: Submissions) -> None:
        self._db = db
        self._submissions = submissions
        self._task: asyncio.Task[None] | None = None
        self._rows = Isolation("paused transfer")

    async def begin(self) -> None:
        """Check once, beside the worker's rounds: a Globus that does not answer must not hold them up."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        try:
            paused = await self._db.many(PausedTransfer, "paused_at_globus")
            for transfer in self._rows.due(paused, lambda transfer: transfer.job_id):
                with self._rows.isolated(transfer.job_id):
                    await take_off(self._submissions, transfer.destination_key, transfer.job_id, 0)
        except DatabaseAway as exc:
            logger.info("sweep_later", message=f"{exc} Paused transfers are looked at again.")
