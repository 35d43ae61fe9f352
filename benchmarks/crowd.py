"""Twenty users try to take everything: the cost for the health check, another user's login, and a running archive job.

Each round measures the three twice, quiet and crowded, and gives their ratio. The crowd is a separate process (`python -m
benchmarks.crowd`), so that it does not delay the clock of the measurement. Every user logs in with the right password, guesses
the admin's, opens WebSockets and event streams, takes tickets, requests packs and reads lists, each in a loop without pauses.
The users ignore Retry-After. The crowd leaves when the archive job has ended, or after four times `--watch-s` seconds.
`--clients` limits it too: at most so many users, each with a tenth as many sockets.
"""

import asyncio
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from benchmarks import data
from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack

_USERS = 20
_SOCKETS = 30  # that each user tries to hold
_HEALTH_EVERY_S = 0.1
_LOGIN_EVERY_S = 4.0
_PERSONS = 24  # who log in by turns beside the crowd, each rarely, as real users do
_PASSWORD = "one of the crowd"
_READY = "crowded"


class Crowd(msgspec.Struct):
    """The input of the crowd's process. `users`: their names and tokens; `sockets`: per user; `most_s`: seconds until it leaves."""

    address: str
    users: list[tuple[str, str]]
    sockets: int = 0
    most_s: float = 0.0


class Times(msgspec.Struct):
    """The seconds of each request, and of the whole archive job."""

    health: list[float]
    login: list[float]
    job: float


# The crowd -------------------------------------------------------------------------------------------------------------------------


async def _again(ask: Callable[[], Awaitable[object]]) -> None:
    while True:
        with suppress(httpx.HTTPError, OSError, TimeoutError, WebSocketException):
            await ask()


class _User:
    """One user of the crowd."""

    def __init__(self, crowd: Crowd, name: str, token: str) -> None:
        self._name = name
        self._address = crowd.address
        self._token = token
        self._sockets = crowd.sockets
        headers = {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(base_url=crowd.address, headers=headers, timeout=60, trust_env=False, limits=limits)

    def wants(self) -> list[Callable[[], Awaitable[object]]]:
        return [self._login, self._guess, self._ticket, self._pack, self._look, self._stream, *[self._watch] * self._sockets]

    async def prepare(self) -> None:
        folder = await self._client.post("/api/files/folders", json={"path": "folder"})
        file = await self._client.put("/api/files/content", params={"path": "folder/notes.bin"}, content=b"some words " * 200_000)
        for answer in (folder, file):
            if answer.status_code != httpx.codes.CONFLICT:  # it exists since an earlier round
                answer.raise_for_status()

    async def _login(self) -> object:
        return await self._client.post("/api/auth/login", json={"username": self._name, "password": _PASSWORD})

    async def _guess(self) -> object:
        return await self._client.post("/api/auth/login", json={"username": "admin", "password": "a guess"})

    async def _ticket(self) -> object:
        return await self._client.post("/api/ws-ticket")

    async def _pack(self) -> object:
        return await self._client.post("/api/files/pack", json={"folder_path": "folder", "keep_source": True})

    async def _look(self) -> object:
        return await self._client.get("/api/jobs")

    async def _stream(self) -> object:
        async with self._client.stream("GET", "/api/stream") as answer:
            async for _ in answer.aiter_bytes():
                pass
        return None

    async def _watch(self) -> object:
        async with connect(self._address.replace("http", "ws") + f"/ws/jobs?token={self._token}", proxy=None) as socket:
            async for _ in socket:
                pass
        return None


async def _gather(crowd: Crowd) -> None:
    users = [_User(crowd, name, token) for name, token in crowd.users]
    await asyncio.gather(*(user.prepare() for user in users))
    print(_READY, flush=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(crowd.most_s):
            await asyncio.gather(*(_again(ask) for user in users for ask in user.wants()))


# The measurement ---------------------------------------------------------------------------------------------------------------------


async def _answered(ask: Callable[[], Awaitable[httpx.Response]], pause: float) -> httpx.Response:
    """Repeat a request until it succeeds."""
    while True:
        answer = await ask()
        if answer.is_success:
            return answer
        await asyncio.sleep(pause)


async def _measure(stack: Stack, folder: Path, persons: list[str]) -> Times:
    """Archive the folder; meanwhile ask for health and log in."""
    names = itertools.cycle(persons)
    health, login = list[float](), list[float]()
    headers = {"Authorization": f"Bearer {stack.token}"}
    async with (
        httpx.AsyncClient(base_url=stack.address, timeout=180, trust_env=False) as client,
        httpx.AsyncClient(base_url=stack.address, headers=headers, timeout=180, trust_env=False) as admin,
    ):

        async def every(pause: float, took: list[float], ask: Callable[[], Awaitable[httpx.Response]]) -> None:
            while True:
                began = time.monotonic()
                await _answered(ask, pause / 10)  # if refused or given up, the time until it succeeds counts
                took.append(time.monotonic() - began)
                await asyncio.sleep(pause)

        async def login_of_next() -> httpx.Response:
            return await client.post("/api/auth/login", json={"username": next(names), "password": _PASSWORD})

        looks = [
            asyncio.create_task(every(_HEALTH_EVERY_S, health, lambda: client.get("/api/health"))),
            asyncio.create_task(every(_LOGIN_EVERY_S, login, login_of_next)),
        ]
        began = time.monotonic()
        answer = await _answered(lambda: admin.post("/api/jobs", json={"folder_path": str(folder)}), 0.25)
        job = answer.json()["job_id"]
        while (state := (await admin.get(f"/api/jobs/{job}")).json()["status"]) not in {"completed", "failed", "cancelled"}:
            if failed := [look for look in looks if look.done()]:
                await failed[0]
            await asyncio.sleep(0.25)
        took = time.monotonic() - began
        if state != "completed":
            raise RuntimeError(f"Job {job} is {state}.")
        while True:
            if health and login:  # at least one of each, even during a short job
                break
            await asyncio.sleep(0.05)
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
    return Times(health, login, took)


def _people(stack: Stack, names: list[str]) -> Crowd:
    """Create users, and log each in once."""
    headers = {"Authorization": f"Bearer {stack.token}"}
    users = []
    with httpx.Client(base_url=stack.address, timeout=60, trust_env=False) as client:
        for name in names:
            body = {"username": name, "password": _PASSWORD, "must_change_password": False}
            client.post("/api/users", json=body, headers=headers).raise_for_status()
            answer = client.post("/api/auth/login", json={"username": name, "password": _PASSWORD})
            users.append((name, str(answer.raise_for_status().json()["access_token"])))
    return Crowd(stack.address, users)


def _crowded(crowd: Crowd, measure: Callable[[], Times]) -> Times:
    """Measure while the crowd runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.crowd"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(crowd))
        process.stdin.close()
        if process.stdout.readline().strip() != _READY.encode():
            raise RuntimeError("The crowd did not come.")
        return measure()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _cancel_all(stack: Stack) -> None:
    """Cancel all jobs, so that the next round starts with an empty queue."""
    headers = {"Authorization": f"Bearer {stack.token}"}
    with httpx.Client(base_url=stack.address, headers=headers, timeout=60, trust_env=False) as client:
        while tasks := client.get("/api/tasks", params={"active": "true", "limit": 1000}).raise_for_status().json():
            for task in tasks:
                client.post(f"/api/tasks/{task['task_id']}/control", json={"action": "cancel"})
            time.sleep(0.5)


def run(options: Options, place: Path, stack: Stack) -> Iterator[Figure]:
    """Yield the crowded times beside the quiet ones of the same round."""
    tree = place / "crowd"
    data.mixed(tree, int(options.size * 2**20))
    stack.start()
    quiet, crowded = list[Times](), list[Times]()
    # Create all of them first: an address that guesses cannot log in accounts that never logged in from there.
    count, sockets = min(_USERS, options.clients), min(_SOCKETS, options.clients // 10)
    crowd = _people(stack, [f"crowd-{n}" for n in range(count)])
    crowd = msgspec.structs.replace(crowd, sockets=sockets, most_s=4 * options.watch_s)
    persons = [f"person-{n}" for n in range(min(_PERSONS, 1 + options.clients // 10))]
    _people(stack, persons)
    for number in range(options.rounds):
        for which, times in (("quiet", quiet), ("crowded", crowded)):
            folder = stack.folder(tree, f"{which} {number}")

            def measure(folder: Path = folder) -> Times:
                return asyncio.run(_measure(stack, folder, persons))

            times.append(measure() if which == "quiet" else _crowded(crowd, measure))
            _cancel_all(stack)
            shutil.rmtree(folder)
    shutil.rmtree(tree)
    what = f"{count} users who try everything"
    for name, of in (("a login of another user", "login"), ("/api/health", "health")):
        ours, theirs = ([median(getattr(one, of)) for one in each] for each in (crowded, quiet))
        yield Beside(f"{what}: {name}, median", ours, theirs, "quiet", 2.0)
    yield Beside(f"{what}: an archive job", [one.job for one in crowded], [one.job for one in quiet], "quiet", 2.0)
    worst = [
        {which: 1000 * _p95(one.health) for which, one in (("quiet", q), ("crowded", c))}
        for q, c in zip(quiet, crowded, strict=True)
    ]
    yield parts(f"{what}: /api/health, p95", "ms", worst)
    worst = [
        {which: 1000 * max(one.login) for which, one in (("quiet", q), ("crowded", c))} for q, c in zip(quiet, crowded, strict=True)
    ]
    yield parts(f"{what}: a login of another user, worst", "ms", worst)


def _p95(times: list[float]) -> float:
    return quantiles(times, n=20)[18] if len(times) > 1 else times[0]


if __name__ == "__main__":
    asyncio.run(_gather(msgspec.json.decode(sys.stdin.buffer.read(), type=Crowd)))
