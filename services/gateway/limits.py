"""What one user may have at the same time: jobs that have not ended, and open requests, downloads and live connections.

An admin changes the limits while everything runs. Jobs are counted in the database, so for all gateways together; what is open is
counted by each gateway for itself.

Requests have a pace as well: few begin at once, and users take turns. One user alone may use all of it.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

from services.gateway.refusals import ProblemError
from shared.db import Session
from shared.runtime_settings import USER_JOBS_LIMIT, USER_STREAMS_LIMIT, Tuned

JOBS_RETRY_SECONDS = 60
OPEN_RETRY_SECONDS = 5
AT_ONCE = 4
"""Requests that are prepared at once: what needs nobody's login waits for no more than these."""
HELD_SECONDS = 0.1
PACE_SECONDS = 10.0


class Pace:
    """Lets few requests at once begin, those of users first who were let in least lately. Of one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, at_once: int = AT_ONCE) -> None:
        self._clock = clock
        self._since = clock()
        self._free = at_once
        self._let_in: Counter[UUID] = Counter()
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def answering(self, user: UUID) -> AsyncIterator[Callable[[], None]]:
        """Wait for a place, and hold it until the answer begins, when what comes out of here is called.

        It is not held for long: what waits for a disk or another service keeps nobody else waiting.
        """
        await self._come_in(user)
        held = True

        def begun() -> None:
            nonlocal held
            if held:
                held = False
                self._go()

        late = asyncio.get_running_loop().call_later(HELD_SECONDS, begun)
        try:
            yield begun
        finally:
            late.cancel()
            begun()

    async def _come_in(self, user: UUID) -> None:
        if self._free:
            self._free -= 1
            self._count(user)
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._go()
            raise

    def _go(self) -> None:
        """Pass the place on."""
        while self._waiting:
            user = min(self._waiting, key=self._let_in.__getitem__)
            places = self._waiting[user]
            place = places.popleft()
            if not places:
                del self._waiting[user]
            if not place.done():
                place.set_result(None)
                self._count(user)
                return
        self._free += 1

    def _count(self, user: UUID) -> None:
        now = self._clock()
        if now - self._since >= PACE_SECONDS:
            self._since, self._let_in = now, Counter()
        self._let_in[user] += 1


class Limits:
    """Of one gateway."""

    def __init__(self, tuned: Tuned) -> None:
        self._tuned = tuned
        self._open: Counter[UUID] = Counter()
        self.pace = Pace()

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
