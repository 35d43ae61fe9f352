"""What one user may have at the same time: jobs that have not ended, and open requests, downloads and live connections.

An admin changes the limits while everything runs. Jobs are counted in the database, so for all gateways together; what is open is
counted by each gateway for itself.

Requests have a pace as well: few begin at once, and users take turns. One user alone may use all of it. While several users are busy,
pauses between their requests keep the gateway free for everybody else.
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
"""How many requests are prepared at once. A request that needs no login waits for no more than these."""
HELD_SECONDS = 0.1
"""The longest time for which a request holds its place."""
BURST = 20.0
"""A user who has sent more requests than this lately is busy. A page sends about ten when it opens."""
HALF_LIFE_SECONDS = 10.0
"""The age at which a request counts half."""
REST_EACH = 2
"""The pause after a busy user's request, in lengths of that request, for each other busy user."""
MOST_REST = 40
"""The longest such pause, in lengths of that request."""


class Pace:
    """Lets a few requests begin at once. Users who asked least lately come first. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, at_once: int = AT_ONCE) -> None:
        self._clock = clock
        self._free = at_once
        self._resting: deque[asyncio.TimerHandle] = deque()
        self._counts: dict[UUID, tuple[float, float]] = {}  # requests lately, and when that was counted
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def answering(self, user: UUID) -> AsyncIterator[Callable[[], None]]:
        """Wait for a place, and hold it until the answer begins, when what comes out of here is called.

        It is not held for long: what waits for a disk or another service keeps nobody else waiting.
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
            self._resting.popleft().cancel()  # a pause is for the busy ones alone
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
        """Pass the place on; after a pause if `user` is busy, others are busy too, and nobody else waits."""
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
        """How often this user asked lately; older requests count less."""
        count, at = self._counts.get(user, (0.0, 0.0))
        return float(count * 0.5 ** ((self._clock() - at) / HALF_LIFE_SECONDS))

    def _is_busy(self, user: UUID) -> bool:
        return self.lately(user) > BURST


class Limits:
    """Of one gateway."""

    def __init__(self, tuned: RuntimeSettings) -> None:
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
        """Let one more job of this user be queued in the caller's transaction. Raises ProblemError 429."""
        if owner is None:
            return
        most = self._tuned.get("user_jobs_limit", USER_JOBS_LIMIT)
        await session.run("lock_jobs_of", owner)
        if await session.value("count_live_jobs_of", owner) >= most:
            live = f"{units.counted(most, 'job')} of this user {units.plural(most, 'waits or runs', 'wait or run')}"
            detail = f"{live}, and more are not accepted. Wait until some have ended, or cancel some."
            raise ProblemError(429, "too-many-jobs", detail, {"Retry-After": str(JOBS_RETRY_SECONDS)})

    async def refuse_more_tickets(self, session: Session, owner: UUID) -> None:
        """Let one more ticket be made in the caller's transaction. Raises ProblemError 429."""
        await session.run("lock_tickets_of", owner)
        if await session.value("count_tickets_of", owner) >= self.streams:
            detail = f"You have {self.streams} tickets that were not used yet. Use them, or wait until they have expired."
            raise ProblemError(429, "too-many-tickets", detail, {"Retry-After": str(OPEN_RETRY_SECONDS)})
