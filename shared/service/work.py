"""One claimed job of one worker: lease, fencing, controls, progress, log, and the only way to change the job's state.

The lease is renewed at a sixth of its length. A watchdog stops the work at 0.7 of the lease, counted from BEFORE each renewal was
sent, whether the database answers or not. So the work has ended before another worker may begin. Every write carries the attempt:
a worker that lost its job writes nothing (`Fenced`).
"""

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, ParamSpec, TypeVar

import msgspec

from shared import faults, log
from shared.domain import events
from shared.domain.job import Job
from shared.domain.lifecycle import TERMINAL, Status, overall_percent
from shared.errors import ArchiverError, Cancelled, DatabaseAway, Fenced, Operation, Paused
from shared.infra import metrics
from shared.infra.bus import Bus
from shared.infra.db import Database, Session
from shared.service import jobs
from shared.service.jobs import Transition

logger = log.get(__name__)
P = ParamSpec("P")
R = TypeVar("R", bound=msgspec.Struct)
T = TypeVar("T")
Level = Literal["INFO", "WARNING", "ERROR"]
Facts = Callable[[Session], Awaitable[None]]

RENEW_AT = 1 / 6
STOP_AT = 0.7
_AGAIN_SECONDS = 0.2  # after a call that the database refused
_REPORT_SECONDS = 1.0


class Work:
    """A claimed job. `job`: as it was claimed. `status`: its current state.

    `claimed_at`: before the claim was sent, monotonic seconds.
    """

    def __init__(self, db: Database, bus: Bus, job: Job, owner: str, lease_seconds: float, claimed_at: float) -> None:
        self.db = db
        self.bus = bus
        self.job = job
        self.id = job.id
        self.attempt = job.attempt
        self.status = job.status
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._ends = claimed_at + lease_seconds * STOP_AT  # when the work has to stop unless the lease is renewed
        self._stopped: ArchiverError | None = None  # why to stop; set once, read by threads
        self._stop_seen = threading.Event()
        self._task: asyncio.Future[None] | None = None
        self._handed_over = False
        self._lost_to_database = False
        self._progress = _Progress()

    # Stopping ---------------------------------------------------------------------------------------------------------------------

    def stop_with(self, reason: ArchiverError) -> None:
        """Ask the work to stop. The first reason counts."""
        if self._stopped is None:
            self._stopped = reason
            self._stop_seen.set()
            if self._task is not None:
                self._task.cancel()

    def stop(self) -> None:
        """Raise when the work has to stop. Cheap and safe in any thread: long loops call it often.

        It checks the clock too: after a process stood still, a thread may continue before the event loop's watchdog runs.
        """
        if self._stop_seen.is_set() and self._stopped is not None:
            raise self._stopped
        if time.monotonic() >= self._ends:
            raise Fenced("The lease could not be renewed in time.")

    @property
    def stopped(self) -> ArchiverError | None:
        return self._stopped

    @property
    def is_handed_over(self) -> bool:
        """Return whether the job has left this worker. Then this worker settles nothing for it any more."""
        return self._handed_over

    async def in_thread(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work that calls `stop` itself. When cancelled, wait until the thread has really ended."""
        context = contextvars.copy_context()
        call = functools.partial(context.run, functools.partial(function, *args, **kwargs))
        future = asyncio.get_running_loop().run_in_executor(None, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if self._stopped is None:
                self._stopped = Fenced("The service is stopping.")
            self._stop_seen.set()
            while not future.done():
                with suppress(asyncio.CancelledError, Exception):
                    await asyncio.shield(future)
            raise

    @property
    def is_lost_to_database(self) -> bool:
        """Return whether the lease ran out because the database refused a renewal. That is not a crash of this worker."""
        return self._lost_to_database

    # The lease ---------------------------------------------------------------------------------------------------------------------

    def attach(self, task: "asyncio.Future[None]") -> None:
        """Name the task that does the work, so that it can be stopped."""
        self._task = task

    async def keep(self) -> None:
        """Renew the lease and watch it until cancelled. Stops the work when the job is lost, cancelled or paused."""
        loop = asyncio.get_running_loop()
        unanswered = False  # a renewal was sent, and the database has not accepted it

        def lost() -> None:
            self._lost_to_database = unanswered
            logger.warning("lease_lost", job_id=str(self.id), message="The lease could not be renewed in time; the work stops.")
            self.stop_with(Fenced("The lease could not be renewed in time."))

        watchdog = loop.call_at(self._ends, lost)
        try:
            while True:
                # Short leases are for tests; a user's cancel should not wait ten seconds for a long one.
                await asyncio.sleep(min(self._lease_seconds * RENEW_AT, 1.0))
                sent, unanswered = loop.time(), True
                try:
                    asked = await self.db.one(jobs.Asked, "renew", self.id, self.attempt, self._owner, self._lease_seconds)
                except Exception as exc:  # noqa: BLE001 - whatever it is, only the watchdog may end the lease, never silence
                    logger.warning("renewal_failed", job_id=str(self.id), error=repr(exc), message="The lease was not renewed.")
                    continue
                unanswered = False
                if asked is None:
                    if not self._handed_over:
                        self.stop_with(Fenced("Another worker has this job now."))
                    return
                watchdog.cancel()
                self._ends = sent + self._lease_seconds * STOP_AT
                watchdog = loop.call_at(self._ends, lost)
                self._obey(asked)
                try:
                    await self._report()
                except Exception as exc:  # noqa: BLE001 - figures for people; the lease matters more
                    logger.warning("report_failed", job_id=str(self.id), error=repr(exc), message="Progress was not written.")
        finally:
            watchdog.cancel()

    def _obey(self, asked: jobs.Asked) -> None:
        if asked.cancel_requested_by is not None and self.status is not Status.DELETING_SOURCE:
            self.stop_with(Cancelled(f"Cancelled by {asked.cancel_requested_by}."))
        elif asked.paused:
            self.stop_with(Paused("Paused."))

    # Changing the state ----------------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Open a transaction for facts about this job. Raises Fenced when another worker has the job."""
        async with self.db.transaction() as session:
            now = await session.one(jobs.State, "state_of", self.id)
            if now is None or now.attempt != self.attempt:
                raise Fenced("Another worker has this job now.")
            yield session

    async def advance(
        self,
        to: Status,
        operation: str,
        *,
        facts: Facts | None = None,
        keep_lease: bool = True,
        delay_s: float | None = None,
        reason: str | None = None,
        missing_bytes: int | None = None,
        error: str | None = None,
        error_code: str | None = None,
        spends: Operation | None = None,
    ) -> None:
        """Change the job's state to `to`, and store its `facts` in the same transaction.

        Raises Fenced when another worker has the job.

        `operation` is shown to users as the current operation. A lost connection is retried until the lease is lost. A commit
        whose answer was lost is recognised, so neither the change nor its facts happen twice.
        """
        faults.point(f"transition.{to}.before")
        change = Transition(
            job_id=self.id,
            attempt=self.attempt,
            was=self.status,
            to=to,
            keep_lease=keep_lease,
            progress_percent=overall_percent(to, None),
            operation=operation,
            delay_s=delay_s,
            reason=reason,
            missing_bytes=missing_bytes,
            error=error,
            error_code=error_code,
            retries=int(spends not in {None, Operation.CONNECTION}),
            connection_retries=int(spends is Operation.CONNECTION),
        )

        async def once() -> None:
            async with self.db.transaction() as session:
                now = await session.one(jobs.State, "state_of", self.id)
                if now is not None and (now.status, now.attempt) == (to, self.attempt):
                    return
                if facts is not None:
                    await facts(session)
                if not await jobs.transition(session, change):
                    raise Fenced(f"The job is not {self.status} (attempt {self.attempt}) any more.")

        await self.with_retry(once)
        metrics.TRANSITIONS.labels(to).inc()
        metrics.STAGE_SECONDS.labels(self.status).observe(time.monotonic() - self._progress.began)
        metrics.STAGE_BYTES.labels(self.status).inc(self._progress.done or 0)
        self._progress = _Progress()
        self.status = to
        self._handed_over = not keep_lease
        logger.info("transition", job_id=str(self.id), to=to, attempt=self.attempt, message=operation)
        if to in TERMINAL:
            await self.bus.nudge_cleaners()
        faults.point(f"transition.{to}.after")

    # The database, with retries ------------------------------------------------------------------------------------------------------

    async def with_retry(self, call: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Repeat an idempotent database call through a restart of the server, as long as the lease lives.

        Raises what `stop` raises when the lease ends first.
        """
        said = False
        while True:
            try:
                return await call(*args, **kwargs)
            except DatabaseAway as exc:
                if not said:
                    said = True
                    logger.warning("database_retry", job_id=str(self.id), error=repr(exc.__cause__), message=f"{exc} Trying again.")
                self.stop()
                await asyncio.sleep(_AGAIN_SECONDS)

    async def rows(self, name: str, /, *args: Any, **named: Any) -> list[Any]:
        """Return the rows of a named query. This and the next five repeat the call as `with_retry` does."""
        return await self.with_retry(self.db.rows, name, *args, **named)

    async def row(self, name: str, /, *args: Any, **named: Any) -> Any | None:
        """Return the first row of a named query, None when it has none."""
        return await self.with_retry(self.db.row, name, *args, **named)

    async def many(self, shape: type[R], name: str, /, *args: Any, **named: Any) -> list[R]:
        """Return the rows of a named query as structs."""
        return await self.with_retry(self.db.many, shape, name, *args, **named)

    async def one(self, shape: type[R], name: str, /, *args: Any, **named: Any) -> R | None:
        """Return the first row of a named query as a struct, None when it has none."""
        return await self.with_retry(self.db.one, shape, name, *args, **named)

    async def value(self, name: str, /, *args: Any, **named: Any) -> Any:
        """Return the first column of the first row of a named query, None when it has none."""
        return await self.with_retry(self.db.value, name, *args, **named)

    async def run(self, name: str, /, *args: Any, **named: Any) -> str:
        """Run a named statement. Returns the server's tag, e.g. `UPDATE 1`."""
        return await self.with_retry(self.db.run, name, *args, **named)

    async def now(self) -> Job | None:
        """Return the job as it is now; `job` stays as it was claimed."""
        return await self.with_retry(jobs.load, self.db, self.id)

    # Reporting -------------------------------------------------------------------------------------------------------------------------

    async def log(self, level: Level, action: str, message: str, data: dict[str, Any] | None = None) -> None:
        """Add a line to the job's log and show it live. Warnings and errors go to the service's log file as well."""
        if level != "INFO":
            say = logger.error if level == "ERROR" else logger.warning
            say(action, job_id=str(self.id), attempt=self.attempt, message=message)
        at = await self.value("log", self.id, level, action, message, data)
        line = events.LogLine(job_id=self.id, timestamp=at, level=level, action=action, message=message)
        await self.bus.publish_live(f"live.log.{self.id}", line)

    async def info(self, action: str, message: str, **data: Any) -> None:
        await self.log("INFO", action, message, data or None)

    async def warn(self, action: str, message: str, **data: Any) -> None:
        await self.log("WARNING", action, message, data or None)

    def progress(self, operation: str, done: int | None = None, total: int | None = None, fraction: float | None = None) -> None:
        """Record the progress of the running stage, from any thread.

        done, total: bytes. fraction: 0..1, for a stage that bytes do not describe; None: unknown.
        """
        self._progress.note(operation, done, total, fraction)

    async def report(self) -> None:
        """Send the latest figures now instead of with the next renewal."""
        await self._report(force=True)

    async def _report(self, *, force: bool = False) -> None:
        seen = self._progress
        if not seen.fresh or not (force or time.monotonic() - seen.reported_at >= _REPORT_SECONDS):
            return
        seen.fresh = False
        seen.reported_at = time.monotonic()
        message = events.Progress(
            job_id=self.id,
            status=self.status,
            attempt=self.attempt,
            progress_percent=overall_percent(self.status, seen.fraction),
            stage_percent=None if seen.fraction is None else round(seen.fraction * 100, 1),
            current_operation=seen.operation,
            bytes_done=seen.done,
            bytes_total=seen.total,
            bytes_per_second=seen.speed(),
            eta_seconds=seen.seconds_left(),
        )
        await self.bus.publish_live(f"live.progress.{self.id}", message)
        with suppress(DatabaseAway):
            await self.db.run(
                "progress",
                job_id=self.id,
                attempt=self.attempt,
                progress_percent=message.progress_percent,
                stage_percent=message.stage_percent,
                operation=message.current_operation,
                bytes_done=message.bytes_done,
                bytes_total=message.bytes_total,
                bytes_per_second=message.bytes_per_second,
                eta_seconds=message.eta_seconds,
            )


class _Progress:
    """The latest figures of a stage. Any thread writes them and the reporter reads them: single assignments, no lock needed."""

    def __init__(self) -> None:
        self.operation = ""
        self.done: int | None = None
        self.total: int | None = None
        self.fraction: float | None = None
        self.fresh = False
        self.reported_at = 0.0
        self.began = time.monotonic()

    def note(self, operation: str, done: int | None, total: int | None, fraction: float | None) -> None:
        self.operation = operation
        self.done, self.total = done, total
        if fraction is None and done is not None and total:
            fraction = min(done / total, 1.0)
        self.fraction = fraction
        self.fresh = True

    def speed(self) -> int | None:
        elapsed = time.monotonic() - self.began
        return int(self.done / elapsed) if self.done and elapsed > 0.5 else None

    def seconds_left(self) -> int | None:
        elapsed = time.monotonic() - self.began
        if not self.fraction or elapsed < 1:
            return None
        return int(elapsed * (1 - self.fraction) / self.fraction)
