"""What one user may have at the same time: jobs that have not ended, and open requests, downloads and live connections.

An admin changes the limits while everything runs. Jobs are counted in the database, so for all gateways together; what is open is
counted by each gateway for itself.

Requests have a pace as well: the users of one moment share what the gateway can answer. One user alone may use all of it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from services.gateway.refusals import ProblemError
from shared.db import Session
from shared.runtime_settings import USER_JOBS_LIMIT, USER_STREAMS_LIMIT, Tuned

JOBS_RETRY_SECONDS = 60
OPEN_RETRY_SECONDS = 5
SHARED_REQUESTS = 1000
"""Requests within `PACE_SECONDS` that all active users may make together without waiting: a third of one core's time."""
PACE_SECONDS = 10.0
BUSY = 2
"""With no more requests than these being answered, nobody waits."""
PAUSE_SECONDS = 1.0


class Pace:
    """Slows down users who ask far more than their share while others are being answered. Of one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._asked: Counter[UUID] = Counter()
        self._answering = 0

    def pause(self, user: UUID) -> float:
        """Count a request of this user; how many seconds it has to wait first."""
        now = self._clock()
        if now - self._since >= PACE_SECONDS:
            self._since, self._asked = now, Counter()
        self._asked[user] += 1
        over = self._asked[user] > SHARED_REQUESTS / len(self._asked)
        return PAUSE_SECONDS if over and self._answering > BUSY else 0.0

    @contextmanager
    def answering(self) -> Iterator[Callable[[], None]]:
        """Count a request until its answer begins, when what comes out of here is called, or until it has ended."""
        counted = True

        def begun() -> None:
            nonlocal counted
            if counted:
                counted = False
                self._answering -= 1

        self._answering += 1
        try:
            yield begun
        finally:
            begun()


class Limits:
    """Of one gateway."""

    def __init__(self, tuned: Tuned) -> None:
        self._tuned = tuned
        self._open: Counter[UUID] = Counter()
        self.pace = Pace()

    async def wait(self, user: UUID) -> None:
        """Let a request of this user wait while others are being answered and this one asks too much."""
        if seconds := self.pace.pause(user):
            await asyncio.sleep(seconds)

    @property
    def streams(self) -> int:
        """Open requests and connections of a user; nobody needs more tickets for them."""
        return self._tuned.get("user_streams_limit", USER_STREAMS_LIMIT)

    @contextmanager
    def holding(self, user: UUID) -> Iterator[None]:
        """Count a request or connection of this user while it is open. Raises ProblemError 429."""
        if self._open[user] >= self.streams:
            detail = f"You have {self.streams} requests, downloads and live connections open here, and more are not accepted."
            detail += " Close some, and try again."
            raise ProblemError(429, "too-many-open", detail, {"Retry-After": str(OPEN_RETRY_SECONDS)})
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]

    async def refuse_more_jobs(self, session: Session, owner: UUID | None) -> None:
        """Let one more job of this user be queued in the caller's transaction. Raises ProblemError 429."""
        if owner is None:
            return
        most = self._tuned.get("user_jobs_limit", USER_JOBS_LIMIT)
        await session.run("lock_jobs_of", owner)
        if await session.value("count_live_jobs_of", owner) >= most:
            detail = f"{most} jobs of this user wait or run, and more are not accepted. Wait until some have ended, or cancel some."
            raise ProblemError(429, "too-many-jobs", detail, {"Retry-After": str(JOBS_RETRY_SECONDS)})

    async def refuse_more_tickets(self, session: Session, owner: UUID) -> None:
        """Let one more ticket be made in the caller's transaction. Raises ProblemError 429."""
        await session.run("lock_tickets_of", owner)
        if await session.value("count_tickets_of", owner) >= self.streams:
            detail = f"You have {self.streams} tickets that were not used yet. Use them, or wait until they have expired."
            raise ProblemError(429, "too-many-tickets", detail, {"Retry-After": str(OPEN_RETRY_SECONDS)})
