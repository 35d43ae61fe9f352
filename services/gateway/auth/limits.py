"""Limits per user: jobs that have not ended, and open requests, downloads and live connections.

An admin can change the limits at run time. Jobs are counted in the database, across all gateways. Each gateway counts its own
open requests and connections.

Requests are paced as well. Only a few start at a time, and users take turns. A single user may use the full capacity. While
several users are busy, pauses between their requests keep the gateway free for everyone else.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

from services.gateway.http.http_errors import ProblemError
from shared import units
from shared.infra.db import Session
from shared.infra.runtime_settings import USER_JOBS_LIMIT, USER_STREAMS_LIMIT, RuntimeSettings

JOBS_RETRY_SECONDS = 60
OPEN_RETRY_SECONDS = 5
AT_ONCE = 4
"""The number of requests prepared at once. A request that needs no login waits for no more than these."""
HELD_SECONDS = 0.1
"""The maximum time for which a request holds its slot."""
BURST = 20.0
"""A user with more recent requests than this is busy. A page sends about ten when it opens."""
HALF_LIFE_SECONDS = 10.0
"""A request's weight halves after this time."""
REST_EACH = 2
"""The pause after a busy user's request, for each other busy user, as a multiple of the request's duration."""
MOST_REST = 40
"""The longest such pause, as a multiple of the request's duration."""


class Pace:
    """Let a few requests start at once. Users with the fewest recent requests go first. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, at_once: int = AT_ONCE) -> None:
        self._clock = clock
        self._free = at_once
        self._resting: deque[asyncio.TimerHandle] = deque()
        self._counts: dict[UUID, tuple[float, float]] = {}  # recent requests, and when they were counted
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def answering(self, user: UUID) -> AsyncIterator[Callable[[], None]]:
        """Wait for a slot, and hold it until the answer begins. Call the yielded function at that point.

        The slot is held only briefly, so a request that waits for a disk or another service does not delay others.
        """
        await self._come_in(user)
        since, held = self._clock(), True

        def begun() -> None:
            nonlocal held
            if held:
                held = False
                self._leave(user, min(self._clock() - since, HELD_SECONDS))

        late = asyncio.get_running_loop().call_later(HELD_SECONDS, begun)
        try:
            yield begun
        finally:
            late.cancel()
            begun()

    async def _come_in(self, user: UUID) -> None:
        if self._resting and not self._free and not self._is_busy(user):
            self._resting.popleft().cancel()  # pauses apply only to busy users
            self._free += 1
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
                self._pass_on()
            raise

    def _leave(self, user: UUID, held: float) -> None:
        """Pass the slot on. Pause first if `user` is busy, other users are busy too, and only busy users wait."""
        others = sum(map(self._is_busy, self._counts)) - 1 if self._is_busy(user) else 0
        rest = held * min(MOST_REST, REST_EACH * others)
        if not rest or not all(map(self._is_busy, self._waiting)):
            self._pass_on()
            return

        def rested() -> None:
            self._resting.remove(timer)
            self._pass_on()

        timer = asyncio.get_running_loop().call_later(rest, rested)
        self._resting.append(timer)

    def _pass_on(self) -> None:
        while self._waiting:
            user = min(self._waiting, key=self.lately)
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
        self._counts[user] = (self.lately(user) + 1, self._clock())

    def lately(self, user: UUID) -> float:
        """Return the weight of this user's recent requests. Older requests count less."""
        count, at = self._counts.get(user, (0.0, 0.0))
        return float(count * 0.5 ** ((self._clock() - at) / HALF_LIFE_SECONDS))

    def _is_busy(self, user: UUID) -> bool:
        return self.lately(user) > BURST


class Limits:
    """The limits of one gateway."""

    def __init__(self, tuned: RuntimeSettings) -> None:
        self._tuned = tuned
        self._open: Counter[UUID] = Counter()
        self.pace = Pace()

    @property
    def streams(self) -> int:
        """Return the maximum of open requests and connections per user. It also limits unused tickets."""
        return self._tuned.get("user_streams_limit", USER_STREAMS_LIMIT)

    @contextmanager
    def holding(self, user: UUID) -> Iterator[None]:
        """Count a request or connection of this user while it is open. Raises ProblemError 429."""
        if self._open[user] >= self.streams:
            detail = f"You have {self.streams:,} open requests, downloads and live connections here, and more are not accepted."
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
        """Allow one more queued job for this user in the caller's transaction. Raises ProblemError 429."""
        if owner is None:
            return
        most = self._tuned.get("user_jobs_limit", USER_JOBS_LIMIT)
        await session.run("lock_jobs_of", owner)
        if await session.value("count_live_jobs_of", owner) >= most:
            live = f"{units.counted(most, 'job')} of this user {units.plural(most, 'waits or runs', 'wait or run')}"
            detail = f"{live}, and more are not accepted. Wait until some have ended, or cancel some."
            raise ProblemError(429, "too-many-jobs", detail, {"Retry-After": str(JOBS_RETRY_SECONDS)})

    async def refuse_more_tickets(self, session: Session, owner: UUID) -> None:
        """Allow one more ticket for this user in the caller's transaction. Raises ProblemError 429."""
        await session.run("lock_tickets_of", owner)
        if await session.value("count_tickets_of", owner) >= self.streams:
            detail = f"You have {self.streams} tickets that were not used yet. Use them, or wait until they have expired."
            raise ProblemError(429, "too-many-tickets", detail, {"Retry-After": str(OPEN_RETRY_SECONDS)})
