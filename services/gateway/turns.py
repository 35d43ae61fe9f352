"""The queue in front of password hashing: few at once, in threads of their own, and whoever asked least comes first.

A hash costs a quarter of a second of CPU on purpose. In the common thread pool, some dozens of logins would occupy every thread and
every core. Here they wait in a queue of bounded length; a login of somebody who logs in rarely passes those of somebody who does so
all the time.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from services.gateway.disk import to_its_end
from services.gateway.refusals import ProblemError

T = TypeVar("T")

AT_ONCE = max(1, min(2, (os.cpu_count() or 1) // 2))
"""Half of the cores at most, so that the rest of the product goes on."""
WAITING = 64
"""Sixteen seconds of hashing on one core."""
EACH = 4
"""Of one account at one address: people log in once at a time, and from a few windows."""
RETRY_SECONDS = 2


class Rank(NamedTuple):
    """Lower comes first: accounts at addresses where they logged in before, then by how often they asked lately."""

    is_stranger: bool
    lately: int


class _Waiter(NamedTuple):
    rank: Rank
    number: int  # the order of arrival
    key: str
    granted: "asyncio.Future[None]"


class Turns:
    """Gives turns and runs the work of who has one. Of one event loop."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING, each: int = EACH) -> None:
        self._free = at_once
        self._most, self._each = waiting, each
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="passwords")

    @asynccontextmanager
    async def turn(self, key: str, rank: Rank) -> AsyncIterator[None]:
        """Wait for a turn and hold it. `key`: who asks. Raises ProblemError 429 while that one waits too often, 503 when too many wait."""
        await self._take(key, rank)
        try:
            yield
        finally:
            self._give_back()

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """Run blocking work in a thread. The caller has a turn, and keeps it until the thread has ended, also when cancelled."""
        return await to_its_end(asyncio.get_running_loop().run_in_executor(self._threads, work, *args))

    async def _take(self, key: str, rank: Rank) -> None:
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
            await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                self._give_back()
            raise

    def _give_back(self) -> None:
        """Pass the turn on to the first who waits."""
        while self._waiting:
            first = min(self._waiting, key=_place)
            self._waiting.remove(first)
            if not first.granted.done():
                first.granted.set_result(None)
                return
        self._free += 1


def _place(waiter: _Waiter) -> tuple[Rank, int]:
    return waiter.rank, waiter.number


def _full() -> ProblemError:
    detail = "Too many people are logging in at this moment. Try again in a few seconds."
    return ProblemError(503, "busy", detail, {"Retry-After": str(RETRY_SECONDS)})
