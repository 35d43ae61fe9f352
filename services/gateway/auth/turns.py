"""Queues for password hashing: few hashes at once, in dedicated threads, and users with the fewest attempts first.

A hash deliberately costs a quarter of a second of CPU. In the shared thread pool, a few dozen logins would occupy every thread
and every core. Here they wait in queues of bounded length. Returning users have a queue of their own, so they never wait for
users who are already logged in or log in constantly. The threads of the second queue run at low priority.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from services.gateway.http.http_errors import ProblemError
from services.gateway.records.disk import to_its_end

T = TypeVar("T")

AT_ONCE = max(1, min(2, (os.cpu_count() or 1) // 2))
"""At most half of the cores, so that other work continues."""
WAITING = 64
"""Sixteen seconds of hashing on one core."""
EACH = 4
"""Per account and address: people log in once at a time, from a few windows."""
RETRY_SECONDS = 2
FEW = 5
"""The maximum number of attempts in the limits' window for a returning user."""
PATIENT = 10
"""The niceness of the threads that serve strangers and users who are already logged in."""
REST = 3.0
"""The pause limits these threads to a quarter of a core. Where the kernel shares the CPU by session, hashing slows this process."""
REST_HERE = 3.0
"""The pause is longer by this factor after a user who is already logged in, so a tenth of a core."""


class Rank(NamedTuple):
    """Lower ranks go first: known at the address, then accounts without a login in use, then accounts with the fewest attempts."""

    is_stranger: bool
    is_here: bool
    lately: int

    @property
    def is_back(self) -> bool:
        """Return whether this is a known user who returns after a while."""
        return not self.is_stranger and not self.is_here and self.lately <= FEW


class _Waiter(NamedTuple):
    rank: Rank
    number: int  # the order of arrival
    key: str
    granted: "asyncio.Future[None]"


class Turns:
    """Give turns, and run the blocking work of the caller that holds one. For one event loop only."""

    def __init__(
        self, at_once: int = AT_ONCE, waiting: int = WAITING, each: int = EACH, niceness: int = 0, rest: float = 0
    ) -> None:
        """`rest` is the pause after a turn while others wait, as a multiple of the turn's duration."""
        self._free = at_once
        self._rest = rest
        self._most, self._each = waiting, each
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()
        self._threads = ThreadPoolExecutor(at_once, "passwords", os.nice, (niceness,))  # the niceness applies to the thread alone

    @asynccontextmanager
    async def turn(self, key: str, rank: Rank, gone: "asyncio.Future[Any] | None" = None) -> AsyncIterator[None]:
        """Wait for a turn and hold it. `key` identifies the client. `gone` is done when the client has disconnected.

        Raises ProblemError 429 when too many requests of this client wait, 503 when the queue is full or the client has
        disconnected.
        """
        await self._take(key, rank, gone)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        finally:
            if self._waiting and self._rest:
                rest = self._rest * (REST_HERE if rank.is_here else 1)
                loop.call_later(rest * (loop.time() - began), self._give_back)
            else:
                self._give_back()

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """Run blocking work in a thread. The caller keeps its turn until the thread has ended, even when cancelled."""
        return await to_its_end(asyncio.get_running_loop().run_in_executor(self._threads, work, *args))

    async def _take(self, key: str, rank: Rank, gone: "asyncio.Future[Any] | None") -> None:
        if self._free:
            self._free -= 1
            return
        if sum(waiter.key == key for waiter in self._waiting) >= self._each:
            raise ProblemError(
                429,
                "too-many-logins",
                f"{self._each} logins of this account are waiting already. Wait for them and try again.",
                {"Retry-After": str(RETRY_SECONDS)},
            )
        waiter = _Waiter(rank, next(self._numbers), key, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        if len(self._waiting) > self._most:
            last = max(self._waiting, key=_place)
            self._waiting.remove(last)
            last.granted.set_exception(_full())
        try:
            await asyncio.wait({waiter.granted, gone} if gone else {waiter.granted}, return_when=asyncio.FIRST_COMPLETED)
            if not waiter.granted.done():
                raise ProblemError(503, "gone", "The client went away before its turn came.")
            waiter.granted.result()
        except (asyncio.CancelledError, ProblemError):
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif waiter.granted.exception() is None:
                self._give_back()
            raise

    def _give_back(self) -> None:
        """Pass the turn to the first in the queue."""
        if self._waiting:
            first = min(self._waiting, key=_place)
            self._waiting.remove(first)
            first.granted.set_result(None)
            return
        self._free += 1


def _place(waiter: _Waiter) -> tuple[Rank, int]:
    return waiter.rank, waiter.number


def _full() -> ProblemError:
    detail = "Too many people are logging in at this moment. Try again in a few seconds."
    return ProblemError(503, "busy", detail, {"Retry-After": str(RETRY_SECONDS)})
