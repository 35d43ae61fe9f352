"""Clean up the staging disks after a job has ended, and apply the retention periods."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from services.compressor import staging, workspace
from services.compressor.ledger import Ledger
from services.compressor.rows import Archive, Ending, Idle
from services.compressor.staging import Places
from services.compressor.workbench import Workbench
from services.compressor.workspace import Finished
from shared import log
from shared.archiving import volumes
from shared.domain.job import Job
from shared.domain.lifecycle import Kind, Status
from shared.errors import ArchiverError, Fenced
from shared.infra.db import Database
from shared.isolation import Isolation
from shared.service import jobs, stagings

logger = log.get(__name__)

_SWEEP_SECONDS = 60.0
_FAILURES: tuple[type[Exception], ...] = (ArchiverError, OSError)


class Cleaner:
    """Settles clean-ups. Once a minute it removes what outlived its retention or its attempt.

    Every removal covers only the attempts that were known when it was decided. A job that is retried
    meanwhile works in a directory of its own.
    """

    def __init__(self, db: Database, places: Places, ledger: Ledger, retention_days: float, bench: Workbench | None = None) -> None:
        self._db = db
        self._bench = bench
        self._places = places
        self._ledger = ledger
        self.retention_days = retention_days
        self._stopping = threading.Event()
        self._sweeping: asyncio.Task[None] | None = None
        self._next_sweep = 0.0
        self._rows = Isolation("leftover")

    def keep_for(self, days: float) -> None:
        """Set the retention of failed jobs' files to `days`. The next round applies it at once, not a minute later."""
        if days != self.retention_days:
            self.retention_days = days
            self._next_sweep = 0.0

    def stop(self) -> None:
        """End running removals soon. A later run removes the rest."""
        self._stopping.set()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise Fenced("The service is stopping.")

    async def settle(self, job_id: UUID) -> None:
        """Remove the job's copy and its unfinished archives.

        The unfinished archives of a failed job move to `failed/` together with its log. Its tested archive stays.
        """
        job = await jobs.load(self._db, job_id)
        assert job is not None, "jobs are never deleted"
        if job.kind is not Kind.ARCHIVE:
            await self._settle_workspace(job)
            return
        recorded = {archive.attempt: archive for archive in await self._db.many(Archive, "archives_of", job_id)}
        await asyncio.to_thread(self._remove_unfinished, job, recorded)
        if job.status is Status.FAILED:
            await self._write_log(job_id)
        await self._settle_space(job, None if job.archive_attempt is None else recorded.get(job.archive_attempt))

    async def _settle_workspace(self, job: Job) -> None:
        """Take back what a failed or cancelled pack, archive or extraction was publishing, and remove its working directories."""
        assert self._bench is not None, "who works on workspaces has a bench"
        finished = await self._db.one(Finished, "publication", job.id)
        if finished is not None:
            await workspace.withdraw(self._db, self._bench, job, finished.attempt, finished.plan, asyncio.to_thread)
        await asyncio.to_thread(staging.remove_attempts, self._bench.work, job.id, job.attempt, self._go_on)
        await self._db.run("release_space", job.id)

    def _remove_unfinished(self, job: Job, recorded: dict[int, Archive]) -> None:
        job_id, last = job.id, job.attempt
        staging.remove_attempts(self._places.temp, job_id, last, self._go_on)
        for attempt, path in staging.attempts_in(self._places.archives, job_id, last):
            if attempt not in recorded and job.status is Status.FAILED:
                staging.put_aside(path, self._places.failed / str(job_id) / str(attempt), self._go_on)
        # The uploader removes recorded archives, unless they are kept for a retry.
        staging.remove_attempts(self._places.archives, job_id, last, self._go_on, recorded)

    async def _settle_space(self, job: Job, kept: Archive | None) -> None:
        """End the reservation once the files are gone. An archive that is kept for a retry stays in the ledger."""
        is_kept = kept is not None and job.status is not Status.CANCELLED and self._is_here(kept)
        async with self._db.transaction() as session:
            if is_kept and kept is not None:
                await self._ledger.keep_archive(session, job.id, kept.total)
            else:
                await session.run("release_space", job.id)

    def _is_here(self, archive: Archive) -> bool:
        if archive.staging not in {None, self._ledger.staging}:
            return False
        return stagings.located(self._places.archives, archive.archive_path).exists()

    async def _write_log(self, job_id: UUID) -> None:
        lines = [row[0] for row in await self._db.rows("log_text", job_id)]
        directory = self._places.failed / str(job_id)
        directory.mkdir(mode=0o700, exist_ok=True)
        (directory / "error.log").write_text("\n".join(lines) + "\n", encoding="utf-8")

    # Leftovers -------------------------------------------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Start a sweep once a minute, beside the lane's own work: a big removal must not delay a cancel."""
        if time.monotonic() < self._next_sweep or (self._sweeping is not None and not self._sweeping.done()):
            return
        self._next_sweep = time.monotonic() + _SWEEP_SECONDS
        self._sweeping = asyncio.create_task(self._sweep_and_say())

    async def _sweep_and_say(self) -> None:
        try:
            await self.sweep_now()
        except _FAILURES as exc:
            logger.warning("sweep_failed", message=f"Leftovers could not be removed; later again: {exc!r}")

    async def sweep_now(self) -> None:
        """Remove the leftovers of ended and waiting jobs, and the files of failed jobs whose retention is over."""

        def outlived(status: Status, days: float) -> bool:
            return status is not Status.FAILED or days > self.retention_days

        def always(_status: Status, _days: float) -> bool:
            return True

        sweeps: dict[str, Callable[[], Awaitable[None]]] = {
            "links of archive volumes": lambda: asyncio.to_thread(volumes.remove_dead_links),
            "waiting jobs": self._sweep_idle,
            str(self._places.temp): lambda: self._sweep_ended(self._places.temp, always),
            str(self._places.archives): lambda: self._sweep_ended(self._places.archives, outlived),
            str(self._places.failed): lambda: self._sweep_ended(self._places.failed, outlived),
        }
        if self._bench is not None:
            work = self._bench.work
            sweeps["waiting workspace jobs"] = lambda: self._sweep_idle_work(work)
            sweeps[str(work)] = lambda: self._sweep_ended(work, always)
        for name, sweep in sweeps.items():
            with self._rows.isolated(name):
                await sweep()

    async def _sweep_idle(self) -> None:
        """Remove what queued jobs without a worker left behind.

        Such a job needs nothing of its earlier attempts, and its reservation holds back space that other jobs wait for.
        """
        jobs = {*staging.jobs_in(self._places.temp), *staging.jobs_in(self._places.archives)}
        idle = await self._db.many(Idle, "idle", list(jobs)) if jobs else []
        for job in self._rows.due(idle, _job):
            with self._rows.isolated(job.id):
                recorded = [known.attempt for known in await self._db.many(Archive, "archives_of", job.id)]
                removed = await asyncio.to_thread(self._remove_idle, job.id, job.attempt, recorded)
                await self._release(job)
                if removed:
                    logger.info("swept", job_id=str(job.id), message="Removed what an interrupted try left.")

    async def _sweep_idle_work(self, work: Path) -> None:
        """Do the same for workspace jobs. They keep finished work and their reservation."""
        jobs = staging.jobs_in(work)
        idle = await self._db.many(Idle, "idle", jobs) if jobs else []
        for job in self._rows.due(idle, _job):
            with self._rows.isolated(job.id):
                planned = await self._db.value("publication", job.id)  # the attempt that made the plan
                keep = [] if planned is None else [planned]
                await asyncio.to_thread(staging.remove_attempts, work, job.id, job.attempt, self._go_on, keep)

    def _remove_idle(self, job_id: UUID, attempt: int, recorded: list[int]) -> list[Path]:
        return [
            *staging.remove_attempts(self._places.temp, job_id, attempt, self._go_on),
            *staging.remove_attempts(self._places.archives, job_id, attempt, self._go_on, recorded),
        ]

    async def _sweep_ended(self, root: Path, is_due: Callable[[Status, float], bool]) -> None:
        jobs = staging.jobs_in(root)
        endings = await self._db.many(Ending, "endings", jobs) if jobs else []
        outlived = [ending for ending in endings if is_due(ending.status, ending.days_ago)]
        for ending in self._rows.due(outlived, lambda ending: (root, ending.id)):
            with self._rows.isolated((root, ending.id)):
                await self._sweep_one(root, ending)

    async def _sweep_one(self, root: Path, ending: Ending) -> None:
        await asyncio.to_thread(self._remove_ended, root, ending.id, ending.attempt)
        if root == self._places.archives:
            message = f"Removed the archive of this {ending.status} job from staging."
            await self._db.value("log", ending.id, "INFO", "delete_archive", message, {"path": str(root / str(ending.id))})
            await self._release(ending)
        logger.info("swept", job_id=str(ending.id), message=f"Removed what was left in {root}.")

    async def _release(self, job: Idle | Ending) -> None:
        async with self._db.transaction() as session:
            await session.run("lock_ledger")
            await session.run("release_idle_space", job.id, job.attempt)

    def _remove_ended(self, root: Path, job_id: UUID, attempt: int) -> None:
        staging.remove_attempts(root, job_id, attempt, self._go_on)
        if root == self._places.failed:
            staging.remove(root / str(job_id), self._go_on)  # with its log


def _job(job: Idle) -> UUID:
    return job.id
