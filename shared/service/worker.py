"""The loop of every service that works on jobs: claim by SQL until nothing is left, then wait for an event, a nudge or the clock.

Every round serves controls on jobs without a worker, failures and reclaims, whether a slot is free or not: a busy lane must not
delay a cancel. One function, `_settle`, decides what follows when a piece of work ends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from shared import log, units
from shared.domain import retry
from shared.domain.job import Job
from shared.domain.lifecycle import PROGRESS_FLOOR, Lane, Role, Status, may
from shared.errors import ArchiverError, Cancelled, DatabaseAway, Fenced, Operation, Paused, from_os_error
from shared.infra import metrics
from shared.infra.bus import Bus
from shared.infra.db import Database
from shared.isolation import Isolation
from shared.service import jobs
from shared.service.jobs import Release
from shared.service.stagings import Sight
from shared.service.work import RENEW_AT, Work

logger = log.get(__name__)

_AGAIN_SECONDS = 0.5  # after a round that the database refused
_REFUSED_SECONDS = 10.0  # until a job is retried that a lasting refusal of the database interrupted

Handle = Callable[[Work], Awaitable[None]]
Cleanup = Callable[[UUID], Awaitable[None]]
Round = Callable[[], Awaitable[None]]


class Rules(msgspec.Struct, frozen=True):
    """The rules of a lane.

    `operation`: the operation whose budget pays for an I/O error. `pass_hours`: how long smaller jobs may overtake one that waits
    for space; None if this lane has no such rule.
    """

    limit: int
    lease_seconds: float
    poll_seconds: float
    max_crashes: int
    retries: retry.Limits
    operation: Operation
    pass_hours: float | None = None


class Worker:
    """Runs one lane of one service. `sight`: the stagings that this process sees, for a service that has files there."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        lane: Lane,
        rules: Rules | Callable[[], Rules],
        instance: str,
        sight: Sight | None = None,
    ) -> None:
        self.db = db
        self.bus = bus
        self.lane = lane
        self._rules = rules
        self.instance = instance
        self._sight = sight
        self.running: dict[UUID, Work] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: dict[UUID, int] = {}  # job -> attempt: ours until the database refused the renewals
        self._wake = asyncio.Event()
        self._cleaning: set[UUID] = set()
        self._stopping = False
        self._left_out = Isolation(f"job of the lane {lane.name}")

    @property
    def rules(self) -> Rules:
        """Return the current rules; an admin may change them at runtime."""
        return self._rules() if callable(self._rules) else self._rules

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    async def run(self, handle: Handle, cleanup: Cleanup | None = None, each_round: Round | None = None) -> None:
        """Work until cancelled. Then stop the running work, release its jobs and return.

        `handle` takes a claimed job as far as this service can. `cleanup` does this service's part of the clean-up of an ended job
        (raises Waiting to be called again). `each_round` is called once per round, for tasks that no job waits for.
        """
        refused = ""
        try:
            while True:
                self._wake.clear()
                try:
                    pause = await self._pause()  # computed first: what falls due during the round must not wait for the next poll
                    await self._round(handle, cleanup, each_round)
                    refused = ""
                except DatabaseAway as exc:
                    if str(exc) != refused:
                        refused = str(exc)
                        logger.warning("round_failed", error=repr(exc.__cause__), message=f"{exc} Looking for work again soon.")
                    pause = _AGAIN_SECONDS
                # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the wake-up.
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
        finally:
            self._stopping = True
            for work in list(self.running.values()):
                work.stop_with(Fenced("The service is stopping."))
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # A round -----------------------------------------------------------------------------------------------------------------------

    @property
    def _states(self) -> list[str]:
        return [self.lane.ready, *self.lane.working]

    @property
    def _kinds(self) -> list[str]:
        return list(self.lane.kinds)

    @property
    def _stagings(self) -> list[UUID] | None:
        return None if self._sight is None else self._sight.ids

    @property
    def _takes_over(self) -> bool:
        """Return whether this lane takes over working jobs in their state, as for a begun deletion.

        Other lanes move them back first.
        """
        return self.lane.back in self.lane.working

    @property
    def _reliable_s(self) -> float | None:
        """Return for how many past seconds an expired lease means a crash, because the database accepted renewals all that time.

        None: the database has never refused us. Other workers met the same outage, and may not have reported yet that they live.
        """
        since = self.db.seconds_since_refusal
        return None if since is None else since - self.rules.lease_seconds

    async def _round(self, handle: Handle, cleanup: Cleanup | None, each_round: Round | None) -> None:
        await self._let_go_of_lost()
        if not self._takes_over:
            ended = await self._serve_unheld("cancel_unleased", self._kinds, self._states)
            if ended + await self._serve_unheld(
                "fail_crashed", self._kinds, self._states, self.rules.max_crashes, self._reliable_s
            ):
                await self.bus.nudge_cleaners()
            await self._serve_unheld("reclaim", self._kinds, list(self.lane.working), self.lane.back, self._reliable_s)
        if self._sight is not None:
            with self._left_out.isolated("the staging"):
                await self._sight.look()
        if each_round is not None:
            with self._left_out.isolated("chores of a round"):
                await each_round()
        if cleanup is not None:
            await self._start_cleanup(cleanup)
        while len(self.running) < self.rules.limit and (work := await self._claim()) is not None:
            self._start(work, handle)

    async def _let_go_of_lost(self) -> None:
        """Report that jobs we lost while the database refused us are no crashes. This runs before anybody counts those crashes."""
        for job_id, attempt in list(self._lost.items()):
            await self.db.run("not_a_crash", job_id, attempt, self.instance)
            del self._lost[job_id]

    async def _serve_unheld(self, name: str, kinds: list[str], states: list[str], *more: Any) -> int:
        """Change all jobs that a statement finds, and return how many.

        A job that the database refuses does not hold up the others.
        """
        with suppress(asyncpg.PostgresError):  # a judgement about one of them; DatabaseAway would concern all
            return len(await self.db.rows(name, kinds, states, *more, None))
        done = 0
        unheld = await self.db.many(jobs.Unheld, "unheld", kinds, states)
        for job in self._left_out.due(unheld, lambda job: (name, job.id)):
            with self._left_out.isolated((name, job.id)):
                done += len(await self.db.rows(name, kinds, states, *more, job.id))
        return done

    async def _claim(self) -> Work | None:
        states = self._states if self._takes_over else [self.lane.ready]
        floor = PROGRESS_FLOOR[self.lane.ready]
        rules = self.rules
        async with self.db.transaction() as session:
            await session.run("lock_claims", self.lane.name)
            if await session.value("count_lane", self._kinds, self._states) >= rules.limit:
                return None
            take_over = self.lane.back if self._takes_over else None
            sent = time.monotonic()  # the lease counts from when the database got this, no matter how late its answer comes
            row = await session.row(
                "claim",
                kinds=self._kinds,
                states=states,
                owner=self.instance,
                lease_s=rules.lease_seconds,
                pass_hours=rules.pass_hours,
                floor=floor,
                taken_over=take_over,
                stagings=self._stagings,
                reliable_s=self._reliable_s,
            )
        return None if row is None else Work(self.db, self.bus, Job.of(row), self.instance, rules.lease_seconds, sent)

    async def _pause(self) -> float:
        due = [await self.db.value("next_due", self._kinds, self._states), await self.db.value("next_cleanup_due", self.lane.role)]
        return min([self.rules.poll_seconds, *(max(float(d), 0.0) + 0.02 for d in due if d is not None)])

    # A job ---------------------------------------------------------------------------------------------------------------------------

    def _start(self, work: Work, handle: Handle) -> None:
        self.running[work.id] = work
        metrics.CLAIMS.inc()
        logger.info("claimed", job_id=str(work.id), attempt=work.attempt, status=work.status, message="Took a job.")
        self._spawn(self._attend(work, handle))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, work: Work, handle: Handle) -> None:
        async def begin() -> None:
            await self._warn_of_crashes(work)
            await handle(work)

        task = asyncio.ensure_future(begin())
        work.attach(task)
        keeper = asyncio.create_task(work.keep())
        error: Exception | None = None
        try:
            await task
        except asyncio.CancelledError:
            error = work.stopped or Fenced("The service is stopping.")
            task.cancel()
            await asyncio.wait([task])
        except Exception as exc:  # noqa: BLE001 - whatever happened is settled below, in one place
            error = work.stopped or exc
        finally:
            try:
                with suppress(Fenced):
                    await self._settle(work, error)
            except Exception:
                # The lease ends by itself, and the job is claimed again.
                logger.exception("settle_failed", job_id=str(work.id), message="What follows is left to the next round.")
            finally:
                keeper.cancel()
                self.running.pop(work.id, None)
                if work.is_lost_to_database:
                    self._lost[work.id] = work.attempt
                self.wake()

    async def _warn_of_crashes(self, work: Work) -> None:
        """Warn that a deletion's workers keep crashing. It is taken over every time, and somebody should know (custody 1)."""
        crashes = work.job.crash_count
        if self._takes_over and crashes >= self.rules.max_crashes:
            text = f"Its worker crashed {units.counted(crashes, 'time')} in a row; it is tried again. See the service's log."
            try:
                await self.db.value("log", work.id, "ERROR", "crashing", text, None)
            except Exception as exc:  # noqa: BLE001 - a warning that cannot be written must not stop the work
                logger.warning("warning_lost", job_id=str(work.id), error=repr(exc), message=text)

    async def _settle(self, work: Work, error: Exception | None) -> None:
        """Decide what follows from how the work ended."""
        if work.is_handed_over:
            if error is not None and not isinstance(error, ArchiverError):
                logger.error("after_hand_over", job_id=str(work.id), exc_info=error)
            return  # another worker has the job; later errors do not matter to it
        if error is not None and await self._is_cancelled(work, error):
            error = Cancelled("Cancelled.")
        match error:
            case None:
                return
            case Fenced():
                # We release the job only when we are stopping. Otherwise the row belongs to another worker, and this touches
                # nothing.
                if work.is_lost_to_database and not self._stopping:
                    return  # the next round releases it
                with suppress(DatabaseAway):
                    await jobs.release(self.db, Release(job_id=work.id, attempt=work.attempt))
            case Paused():
                await self._release(work, None, None, None)
            case Cancelled() if self._takes_over:
                # The scanner releases the job, and the gateway cancels it, because that transition is the gateway's.
                await self._release(work, None, None, None)
                await self.bus.nudge("gateway")
            case Cancelled():
                await work.advance(Status.CANCELLED, "Cancelled", keep_lease=False)
            case _:
                await self._settle_failure(work, error)

    async def _is_cancelled(self, work: Work, error: Exception) -> bool:
        """Return whether a user asked to cancel while the work failed by itself: a cancel never turns into `failed`."""
        if isinstance(error, Fenced | Paused | Cancelled) or work.status is Status.DELETING_SOURCE:
            return False
        now = await work.now()
        return now is not None and now.attempt == work.attempt and now.cancel_requested_by is not None

    async def _settle_failure(self, work: Work, error: Exception) -> None:
        if isinstance(error, DatabaseAway):
            logger.warning("work_interrupted", job_id=str(work.id), error=repr(error.__cause__), message=f"{error} Later again.")
            delay_s = min(_REFUSED_SECONDS, self.rules.poll_seconds) if error.lasts else 1.0
            await self._release(work, delay_s, str(error), None)
            return
        if isinstance(error, OSError):
            error = from_os_error(error, self.rules.operation)
        elif not isinstance(error, ArchiverError):
            logger.error("work_failed", job_id=str(work.id), exc_info=error)
        spent = work.job.connection_retry_count if _is_connection(error) else work.job.retry_count
        decision = retry.decide(error, spent, self.rules.retries)
        if isinstance(decision, retry.Retry):
            await self._retry(work, decision)
        elif work.status in self.lane.working and self._takes_over and not await self._may_fail(work):
            # The job cannot fail any more and must not stop: raise an alarm, and retry later.
            if work.job.wait_reason != decision.reason:
                await work.log("ERROR", "deletion_stuck", decision.reason)
            await self._release(work, self.rules.retries.delay_s, decision.reason, None)
        else:
            logger.error("job_failed", job_id=str(work.id), attempt=work.attempt, status=work.status, message=decision.reason)
            await work.advance(Status.FAILED, "Failed", keep_lease=False, error=decision.reason, error_code=decision.code)

    async def _retry(self, work: Work, decision: retry.Retry) -> None:
        if decision.spends is None and decision.missing_bytes is None:
            # Missing things are checked as often as the lane polls for work. Only space has its own interval
            # (SPACE_CHECK_SECONDS).
            decision = msgspec.structs.replace(decision, delay_s=min(decision.delay_s, self.rules.poll_seconds))
        if decision.spends is not None:
            metrics.RETRIES.labels(decision.spends).inc()
        if decision.spends is not None or _is_news(work.job, decision):
            await work.warn("retry" if decision.spends else "waiting", decision.reason, delay_s=decision.delay_s)
        if work.status == self.lane.ready or self._takes_over:
            await self._release(work, decision.delay_s, decision.reason, decision.spends, decision.missing_bytes)
        else:
            await work.advance(
                self.lane.back,
                "Waiting to try again",
                keep_lease=False,
                delay_s=decision.delay_s,
                reason=decision.reason,
                missing_bytes=decision.missing_bytes,
                spends=decision.spends,
            )

    async def _release(
        self, work: Work, delay_s: float | None, reason: str | None, spends: Operation | None, missing: int | None = None
    ) -> None:
        change = Release(
            job_id=work.id,
            attempt=work.attempt,
            delay_s=delay_s,
            reason=reason,
            missing_bytes=missing,
            retries=int(spends not in {None, Operation.CONNECTION}),
            connection_retries=int(spends is Operation.CONNECTION),
        )
        await work.with_retry(jobs.release, self.db, change)

    async def _may_fail(self, work: Work) -> bool:
        """Return whether a deletion may end as `failed`: never once it has begun, and only if the kind has that transition."""
        if not may(work.job.kind, work.status, Status.FAILED, self.lane.role):
            return False
        now = await work.now()
        return now is None or now.first_unlink_at is None

    # Clean-ups -------------------------------------------------------------------------------------------------------------------------

    async def _start_cleanup(self, cleanup: Cleanup) -> None:
        role, lease = self.lane.role, self.rules.lease_seconds
        while (owed := await self.db.one(jobs.Owed, "claim_cleanup", role, self.instance, lease, self._stagings)) is not None:
            if owed.job_id not in self._cleaning:  # else our renewals were refused, and we claimed our own again
                self._cleaning.add(owed.job_id)
                self._spawn(self._clean(owed.job_id, cleanup))

    async def _clean(self, job_id: UUID, cleanup: Cleanup) -> None:
        role, instance = self.lane.role, self.instance
        task = asyncio.ensure_future(cleanup(job_id))
        keeper = asyncio.create_task(self._keep_cleanup(job_id, task))
        try:
            await task
            await self.db.run("finish_cleanup", job_id, role, instance)
            await self.bus.nudge(Role.COMPRESSOR)  # a retry may wait for this
            logger.info("cleaned_up", job_id=str(job_id), message="What the job left behind is gone.")
        except asyncio.CancelledError:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
            with suppress(DatabaseAway):
                await self.db.run("postpone_cleanup", job_id, role, instance, 0.0, "the service stopped")
        except Exception as exc:
            if not isinstance(exc, ArchiverError | OSError):
                logger.exception("cleanup_failed", job_id=str(job_id))
            delay = min(getattr(exc, "retry_after_s", self.rules.retries.delay_s), self.rules.poll_seconds)
            with suppress(DatabaseAway):
                await self.db.run("postpone_cleanup", job_id, role, instance, float(delay), str(exc) or repr(exc))
        finally:
            keeper.cancel()
            self._cleaning.discard(job_id)
            self.wake()

    async def _keep_cleanup(self, job_id: UUID, task: "asyncio.Future[None]") -> None:
        lease = self.rules.lease_seconds
        while True:
            await asyncio.sleep(lease * RENEW_AT)
            try:
                if await self.db.row("renew_cleanup", job_id, self.lane.role, self.instance, lease) is None:
                    task.cancel()
                    return
            except Exception as exc:  # noqa: BLE001 - whatever it is, the next renewal may succeed
                logger.warning("renewal_failed", job_id=str(job_id), error=repr(exc), message="A clean-up was not renewed.")


def _is_news(job: Job, decision: retry.Retry) -> bool:
    """Return whether the job's wait reason is a new one. The amount of missing space may change with every check."""
    if decision.missing_bytes is not None and job.missing_bytes is not None:
        return False
    return job.wait_reason != decision.reason


def _is_connection(error: Exception) -> bool:
    return getattr(error, "operation", None) is Operation.CONNECTION
