"""Twenty people at work. Each reads jobs, queue, folders and figures every two seconds and watches the socket, while jobs run."""

import asyncio
import itertools
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import connect

from benchmarks import data
from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack

_PEOPLE = 20
_JOBS = 3  # concurrent jobs: one is packed, one is transferred, one waits
_EVERY_S = 2.0
_HEALTH = "/api/health"
_PAGES = ("/api/jobs", "/api/queue", "/api/folders", "/api/stats", "/api/tasks?active=true", _HEALTH)
_ENDED = ("completed", "failed", "cancelled")


class _Team:
    """What twenty people saw in a round: updates by person and job, with time and state. The database shares our wall clock."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.took: dict[str, list[float]] = {page: [] for page in _PAGES}
        self.updates: list[dict[str, list[tuple[float, str]]]] = [{} for _ in range(_PEOPLE)]
        self._watching = 0
        self._all_watch = asyncio.Event()

    async def round(self, folders: list[Path]) -> list[Any]:
        """Archive the folders, and return the jobs in their final state."""
        authorization = {"Authorization": f"Bearer {self._stack.token}"}
        async with httpx.AsyncClient(base_url=self._stack.address, headers=authorization, timeout=60, trust_env=False) as client:
            tasks = [asyncio.create_task(work) for n in range(_PEOPLE) for work in (self._ask(client, n), self._watch(n))]
            await asyncio.wait_for(self._all_watch.wait(), 60)
            jobs = [(await client.post("/api/jobs", json={"folder_path": str(folder)})).json() for folder in folders]
            jobs = [await self._ended(client, job["job_id"]) for job in jobs]
            await asyncio.sleep(_EVERY_S)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        if failed := [end for end in ends if not isinstance(end, asyncio.CancelledError)]:
            raise RuntimeError(f"Somebody stopped watching: {failed[0]!r}")
        return jobs

    async def _ask(self, client: httpx.AsyncClient, person: int) -> None:
        await asyncio.sleep(person * _EVERY_S / _PEOPLE)
        while True:
            began = time.monotonic()
            for page in _PAGES:
                asked = time.monotonic()
                (await client.get(page)).raise_for_status()
                self.took[page].append(time.monotonic() - asked)
            await asyncio.sleep(max(0.0, began + _EVERY_S - time.monotonic()))

    async def _watch(self, person: int) -> None:
        address = self._stack.address.replace("http", "ws") + f"/ws/jobs?token={self._stack.token}"
        async with connect(address, proxy=None) as socket:
            self._watching += 1
            if self._watching == _PEOPLE:
                self._all_watch.set()
            async for text in socket:
                now, message = time.time(), msgspec.json.decode(text)
                if message["type"] == "job_update":
                    self.updates[person].setdefault(message["job_id"], []).append((now, message["status"]))

    async def _ended(self, client: httpx.AsyncClient, job_id: str) -> Any:
        while True:
            job = (await client.get(f"/api/jobs/{job_id}")).json()
            if job["status"] in _ENDED:
                return job
            await asyncio.sleep(0.5)

    def delays(self, jobs: list[Any]) -> tuple[list[float], float]:
        """Return the seconds from each new state to each person's first update with it, and the share of updates that arrived."""
        found, entered = list[float](), 0
        for job in jobs:
            for state in job["state_times"]:
                at = datetime.fromisoformat(state["at"]).timestamp()
                for seen in self.updates:
                    entered += 1
                    told = [now - at for now, status in seen.get(job["job_id"], []) if status == state["status"] and now >= at]
                    found += told[:1]
        return found, len(found) / entered

    def rates(self) -> list[float]:
        """Return a job's updates per second within each state, for every stay of at least two seconds."""
        found = list[float]()
        for updates in self.updates[0].values():
            for _, group in itertools.groupby(updates, key=lambda update: update[1]):
                times = [at for at, _ in group]
                if times[-1] - times[0] >= 2:
                    found.append((len(times) - 1) / (times[-1] - times[0]))
        return found


def run(options: Options, place: Path, stack: Stack) -> Iterator[Figure]:
    """Yield p50 and p99 of all requests beside the health check's, and how soon and how often updates arrive."""
    tree = place / "team"
    data.mixed(tree, int(options.size / 2 * 2**20))
    stack.start()
    pages: list[list[float]] = []
    health: list[list[float]] = []
    told: list[dict[str, float]] = []
    often: list[dict[str, float]] = []
    shares: list[dict[str, float]] = []
    for number in range(options.rounds):
        team, folders = _Team(stack), [stack.folder(tree, f"team {number} {n}") for n in range(_JOBS)]
        jobs = asyncio.run(team.round(folders))
        health.append(team.took.pop(_HEALTH))
        pages.append([seconds for each in team.took.values() for seconds in each])
        delays, share = team.delays(jobs)
        told.append(
            {"p50": 1000 * quantiles(delays, n=100)[49], "p99": 1000 * quantiles(delays, n=100)[98], "worst": 1000 * max(delays)}
        )
        often.append({"most": max(team.rates(), default=0.0)})
        shares.append({"states that came": 100 * share})
        for folder in folders:
            shutil.rmtree(folder)
    shutil.rmtree(tree)
    what = f"{_PEOPLE} people, {_JOBS} jobs of {options.size / 2:g} MiB"
    for cut, which in ((49, "p50"), (98, "p99")):
        ours, theirs = ([quantiles(one, n=100)[cut] for one in each] for each in (pages, health))
        yield Beside(f"{what}, answers, {which}", ours, theirs, f"{_HEALTH}'s {which}")
    yield parts(f"{what}, a change of state until each of them is told", "ms", told)
    yield parts(f"{what}, updates of a job whose state does not change", "per second", often)
    yield parts(f"{what}, states that each of them was told of", "%", shares)
