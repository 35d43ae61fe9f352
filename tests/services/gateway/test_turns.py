"""The queue for password hashing: few at once, bounded length, and the least frequent client first."""

import asyncio
import os
import threading
from typing import Any

import pytest

from services.gateway.auth.turns import AT_ONCE, EACH, FEW, PATIENT, REST_HERE, WAITING, Rank, Turns
from services.gateway.http.http_errors import ProblemError

KNOWN = Rank(is_stranger=False, is_here=False, lately=0)
HERE, STRANGER = KNOWN._replace(is_here=True), KNOWN._replace(is_stranger=True)


class Queue:
    """Clients that wait for a turn. `order`: who had one."""

    def __init__(self, waiting: int = WAITING, each: int = EACH, rest: float = 0) -> None:
        self.turns = Turns(1, waiting, each, rest=rest)
        self.order: list[str] = []
        self.release = asyncio.Event()

    async def ask(self, name: str, rank: Rank = KNOWN, key: str | None = None, gone: "asyncio.Future[None] | None" = None) -> None:
        async with self.turns.turn(key or name, rank, gone):
            self.order.append(name)
            await self.release.wait()

    async def start(self, name: str, rank: Rank = KNOWN, key: str | None = None) -> "asyncio.Task[None]":
        task = asyncio.create_task(self.ask(name, rank, key))
        await asyncio.sleep(0)  # until it waits
        return task


async def test_the_rare_come_first() -> None:
    """Known accounts before unknown ones, then users without a session, then the least recent request, then order of arrival."""
    queue = Queue()
    busy = KNOWN._replace(lately=9)
    asked = [
        ("first", busy),
        ("stranger", STRANGER),
        ("here", HERE),
        ("busy", busy),
        ("busier", busy._replace(lately=10)),
        ("rare", KNOWN),
    ]
    asked += [("later stranger", STRANGER), ("rare too", KNOWN)]
    tasks = [await queue.start(*one) for one in asked]
    queue.release.set()
    await asyncio.gather(*tasks)

    assert queue.order == ["first", "rare", "rare too", "busy", "busier", "here", "stranger", "later stranger"]


@pytest.mark.parametrize(
    ("rank", "is_back"),
    [(KNOWN, True), (KNOWN._replace(lately=FEW), True), (KNOWN._replace(lately=FEW + 1), False), (HERE, False), (STRANGER, False)],
)
def test_who_comes_back_after_a_while(rank: Rank, *, is_back: bool) -> None:
    """A client known at this address, whose account has no login in use and who has tried few passwords."""
    assert rank.is_back == is_back


async def test_the_queue_is_bounded() -> None:
    """If it is full, the last one is refused, which may be the newcomer. A newcomer of higher rank still gets in."""
    queue = Queue(waiting=2)
    tasks = [await queue.start(name, STRANGER) for name in ("works", "one", "two", "three")]
    known = await queue.start("known", KNOWN)
    queue.release.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    await known

    assert queue.order == ["works", "known", "one"]
    for end in ends[2:]:
        assert isinstance(end, ProblemError)
        assert (end.status, end.headers["Retry-After"]) == (503, "2")


async def test_one_asker_has_few_places() -> None:
    """The limit covers requests for the same account from the same address. Other clients are not affected."""
    queue = Queue(each=2)
    tasks = [await queue.start(f"{n}", KNOWN, "ada") for n in range(4)]
    other = await queue.start("bob")
    queue.release.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    await other

    assert [end for end in ends[:3] if end] == []
    assert isinstance(ends[3], ProblemError)
    assert (ends[3].status, ends[3].headers["Retry-After"]) == (429, "2")
    assert queue.order == ["0", "1", "2", "bob"]


@pytest.mark.parametrize("granted", [True, False])
async def test_who_gives_up_leaves_the_turn_to_others(*, granted: bool) -> None:
    """Both before its turn came, and at the moment in which it comes."""
    queue = Queue()
    works, gone, waits = [await queue.start(name) for name in ("works", "gone", "waits")]
    if granted:
        queue.release.set()
        await works  # gives the turn to the next one, which has not run yet
    gone.cancel()
    queue.release.set()
    await asyncio.gather(works, waits)
    await asyncio.gather(gone, return_exceptions=True)

    assert queue.order[-1] == "waits"
    async with asyncio.timeout(60), queue.turns.turn("later", KNOWN):
        pass


@pytest.mark.parametrize("granted", [True, False])
async def test_whose_client_is_gone_leaves_the_turn_to_others(*, granted: bool) -> None:
    """A turn that has started is kept, so that the attempt is counted."""
    queue, gone = Queue(), asyncio.get_running_loop().create_future()
    works = await queue.start("works")
    left = asyncio.create_task(queue.ask("left", KNOWN, "left", gone))
    await asyncio.sleep(0)
    waits = await queue.start("waits", HERE)
    if granted:
        queue.release.set()
        await works  # gives the turn to the next one, which has not run yet
    gone.set_result(None)
    end = (await asyncio.gather(left, return_exceptions=True))[0]
    queue.release.set()
    await asyncio.gather(works, waits)

    assert queue.order == (["works", "left", "waits"] if granted else ["works", "waits"])
    assert isinstance(end, ProblemError) != granted


async def test_patient_threads_leave_the_processor_to_others() -> None:
    """Only they have a lower priority. The process keeps its own."""
    before = os.getpriority(os.PRIO_PROCESS, os.getpid())
    turns = Turns(1, niceness=PATIENT)
    async with turns.turn("one", HERE):
        inside = await turns.run(os.getpriority, os.PRIO_PROCESS, 0)

    assert inside == min(before + PATIENT, 19)
    assert os.getpriority(os.PRIO_PROCESS, os.getpid()) == before


async def test_turns_rest_while_others_wait() -> None:
    """Waiting clients wait for a pause. If nobody waits, the next one starts at once."""
    queue = Queue(rest=10**9)
    queue.release.set()
    for name in ("alone", "alone again"):
        await queue.ask(name)
    queue.release.clear()
    works, waits = [await queue.start(name) for name in ("works", "waits")]
    queue.release.set()
    await works
    await asyncio.sleep(0)
    assert queue.order == ["alone", "alone again", "works"]
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)

    queue = Queue(rest=10**-9)
    queue.release.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*(queue.ask(name) for name in ("one", "two", "three")))
    assert queue.order == ["one", "two", "three"]


@pytest.mark.parametrize(("rank", "factor"), [(KNOWN, 1), (STRANGER, 1), (HERE, REST_HERE)])
async def test_a_user_who_is_logged_in_leaves_longer_pauses(rank: Rank, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause is `rest` times the length of the turn, and three times that after an unnecessary login."""
    loop, rest = asyncio.get_running_loop(), 10.0**6
    queue, delays, ahead = Queue(rest=rest), list[float](), [0.0]
    later, time = loop.call_later, loop.time

    def noted(delay: float, callback: Any, *args: Any, **options: Any) -> Any:
        if callback == queue.turns._give_back:
            delays.append(delay)
            return None
        return later(delay, callback, *args, **options)  # other tests' clients live on this loop

    monkeypatch.setattr(loop, "call_later", noted)
    monkeypatch.setattr(loop, "time", lambda: time() + ahead[0])
    works, waits = await queue.start("works", rank), await queue.start("waits")
    ahead[0] = 2.0
    queue.release.set()
    await works

    assert delays == [pytest.approx(2.0 * rest * factor, rel=0.2)]
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)


async def test_half_of_the_cores_at_most() -> None:
    """This holds for any number of clients, and the threads are not those that read files and everything else."""
    turns, running, most, lock = Turns(), 0, 0, threading.Lock()
    names: set[str] = set()
    both = threading.Event()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            names.add(threading.current_thread().name)
        both.wait(0.02)
        with lock:
            running -= 1

    async def ask(number: int) -> None:
        async with turns.turn(str(number), KNOWN):
            await turns.run(work)

    await asyncio.gather(*(ask(number) for number in range(20)))

    assert 1 <= most <= AT_ONCE <= max(1, (os.cpu_count() or 1) // 2)
    assert all(name.startswith("passwords") for name in names)


async def test_a_turn_lasts_as_long_as_its_thread() -> None:
    """A client that disconnects in the middle makes no room for a second thread."""
    turns, started, end = Turns(at_once=1), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        end.wait(60)

    async def ask() -> None:
        async with turns.turn("one", KNOWN):
            await turns.run(work)

    task = asyncio.create_task(ask())
    await asyncio.to_thread(started.wait, 60)
    task.cancel()
    await asyncio.sleep(0)
    later = asyncio.create_task(_hold(turns))
    await asyncio.sleep(0)
    assert not later.done()
    assert not task.done()
    end.set()
    await asyncio.gather(task, later, return_exceptions=True)
    assert task.cancelled()


async def _hold(turns: Turns) -> None:
    async with turns.turn("later", KNOWN):
        pass
