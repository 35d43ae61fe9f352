"""What a job that ended still owes on the staging disks, and what is kept for how long."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from services.compressor import staging
from services.compressor.ledger import Ledger
from services.compressor.staging import Places
from shared import log
from shared.db import Database
from shared.lifecycle import Status

logger = log.get(__name__)

_SWEEP_SECONDS = 3600.0


def _go_on() -> None:
    """Removal of what nobody needs is not interrupted."""


class Cleaner:
    """Settles clean-ups at once and, once an hour, removes what outlived its retention."""

    def __init__(self, db: Database, places: Places, ledger: Ledger, retention_days: float) -> None:
        self._db = db
        self._places = places
        self._ledger = ledger
        self._retention_days = retention_days
        self._swept_at = 0.0

    async def settle(self, job_id: UUID) -> None:
        """Remove the job's copy and half-made archives; a failed job's go to `failed/` with its log, its tested archive stays."""
        job = await self._db.row("job", job_id)
        assert job is not None, "jobs are never deleted"
        recorded = {row["attempt"]: row for row in await self._db.rows("archives_of", job_id)}
        failed = job["status"] == Status.FAILED
        await asyncio.to_thread(staging.remove, self._places.temp / str(job_id), _go_on)
        for attempt, path in staging.attempts_in(self._places.archives, job_id):
            if attempt in recorded:
                continue  # the uploader's to remove, or kept for a retry
            if failed:
                target = self._places.failed / str(job_id)
                target.mkdir(mode=0o700, exist_ok=True)
                path.rename(target / str(attempt))
            else:
                await asyncio.to_thread(staging.remove, path, _go_on)
        if failed:
            await self._write_log(job_id)
        staging.remove_if_empty(self._places.archives / str(job_id))
        await self._settle_space(job_id, recorded.get(job["archive_attempt"]))

    async def _settle_space(self, job_id: UUID, kept: dict[str, int] | None) -> None:
        """The reservation ends when the files are gone; a kept archive stays in the ledger."""
        async with self._db.transaction() as session:
            if kept is not None and (self._places.archives / str(job_id)).exists():
                await self._ledger.keep_archive(session, job_id, kept["size"] + kept["manifest_size"])
            else:
                await session.run("release_space", job_id)

    async def _write_log(self, job_id: UUID) -> None:
        lines = [row[0] for row in await self._db.rows("log_text", job_id)]
        directory = self._places.failed / str(job_id)
        directory.mkdir(mode=0o700, exist_ok=True)
        (directory / "error.log").write_text("\n".join(lines) + "\n", encoding="utf-8")

    async def sweep(self) -> None:
        """Once an hour: remove leftovers of ended jobs, and of failed ones what is older than the retention."""
        if time.monotonic() - self._swept_at < _SWEEP_SECONDS and self._swept_at:
            return
        self._swept_at = time.monotonic()
        failed_too_old: Callable[[str, float], bool] = lambda status, days: (  # noqa: E731 - two rules side by side
            status != Status.FAILED or days > self._retention_days
        )
        await self._sweep_root(self._places.temp, lambda _status, _days: True)
        await self._sweep_root(self._places.archives, failed_too_old)
        await self._sweep_root(self._places.failed, failed_too_old)

    async def _sweep_root(self, root: Path, is_due: Callable[[str, float], bool]) -> None:
        for row in await self._db.rows("endings", staging.jobs_in(root)):
            if is_due(row["status"], row["days_ago"]):
                await asyncio.to_thread(staging.remove, root / str(row["id"]), _go_on)
                if not (self._places.archives / str(row["id"])).exists():
                    await self._db.run("release_space", row["id"])
                logger.info("swept", job_id=str(row["id"]), message=f"Removed what was left in {root}.")
