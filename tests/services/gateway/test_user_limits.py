"""Limits per user: jobs, open requests and connections, tickets. Each refusal is a sentence with Retry-After."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.gateway import gate
from services.gateway.auth import limits
from services.gateway.auth.limits import BURST, HALF_LIFE_SECONDS, Limits, Pace
from services.gateway.gate import Gate
from shared.infra.runtime_settings import DEFINITIONS, RuntimeSettings
from tests.services.gateway.conftest import Compressor, Gateway, problem
from tests.services.gateway.people import Person, person
from tests.support.kernel import eventually


@contextlib.asynccontextmanager
async def limited(gateway: Gateway, **values: int) -> AsyncIterator[None]:
    """Set limits as an admin until the block ends. A running gateway follows."""

    async def follows(wanted: dict[str, int]) -> None:
        async def now() -> dict[str, int]:
            return {name: gateway.tuned.get(name, DEFINITIONS[name].default({})) for name in values}

        await eventually(now, lambda seen: seen == wanted, "the gateway's limits")

    assert (await gateway.ask("PUT", "/api/config", json=values)).status_code == 200
    try:
        await follows(values)
        yield
    finally:
        assert (await gateway.ask("PUT", "/api/config", json={"reset": list(values)})).status_code == 200
        await follows({name: DEFINITIONS[name].default({}) for name in values})


@pytest.fixture
async def ada(gateway: Gateway) -> Person:
    return await person(gateway)


def refused(answer: httpx.Response, kind: str) -> str:
    """Check the refusal. Return its sentence."""
    sentence = problem(answer, 429, kind)
    assert int(answer.headers["retry-after"]) >= 1
    return sentence


async def _archive(who: Person, path: str | None = None) -> httpx.Response:
    return await who.ask("POST", "/api/jobs", json={"folder_path": path or who.gateway.folder()})


async def test_jobs_of_a_user(gateway: Gateway, compressor: Compressor, ada: Person) -> None:
    """The limit covers jobs of every kind, new ones and retried ones. Ended jobs make room. Other users are not affected."""
    assert compressor
    ada.put("folder/file")
    pack = {"json": {"folder_path": "folder", "keep_source": True}}
    async with limited(gateway, user_jobs_limit=3):
        failed = UUID((await _archive(ada)).json()["job_id"])
        await gateway.kernel.force(failed, status="failed")
        first = (await _archive(ada)).json()["job_id"]
        assert (await ada.ask("POST", "/api/files/pack", **pack)).status_code == 201
        assert (await ada.ask("POST", "/api/archives", json={"paths": ["folder"]})).status_code == 201

        assert "3 jobs" in refused(await _archive(ada), "too-many-jobs")
        refused(await ada.ask("POST", "/api/files/pack", **pack), "too-many-jobs")
        refused(await ada.ask("POST", "/api/archives", json={"paths": ["folder"]}), "too-many-jobs")
        refused(await ada.ask("POST", "/api/archives/extract", json={"path": "a.zip"}), "too-many-jobs")
        refused(await ada.ask("POST", f"/api/jobs/{failed}/retry"), "too-many-jobs")
        assert (await _archive(await person(gateway))).status_code == 201

        assert (await ada.ask("DELETE", f"/api/jobs/{first}")).status_code == 204
        assert (await ada.ask("POST", f"/api/jobs/{failed}/retry")).status_code == 200
        refused(await _archive(ada), "too-many-jobs")
    assert (await _archive(ada)).status_code == 201


async def test_requests_at_the_same_time_pass_no_limit(gateway: Gateway, ada: Person) -> None:
    """Ten at once, room for four: exactly four succeed."""
    async with limited(gateway, user_jobs_limit=4):
        answers = await asyncio.gather(*(_archive(ada, gateway.folder()) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [429] * 6


async def test_a_failed_workspace_job_counts_when_it_is_tried_again(gateway: Gateway, ada: Person) -> None:
    ada.put("folder/file")
    async with limited(gateway, user_jobs_limit=1):
        pack = UUID((await ada.ask("POST", "/api/files/pack", json={"folder_path": "folder"})).json()["id"])
        await gateway.kernel.force(pack, status="failed")
        assert (await _archive(ada)).status_code == 201
        refused(await ada.ask("POST", f"/api/jobs/{pack}/retry"), "too-many-jobs")


@contextlib.asynccontextmanager
async def watching(who: Person) -> AsyncIterator[ClientConnection]:
    address = who.gateway.url.replace("http", "ws") + f"/ws/jobs?token={who.token}"
    async with connect(address, proxy=None) as socket:
        yield socket


async def _ends(socket: ClientConnection) -> tuple[int, str]:
    """Return why the server closed it."""
    async with asyncio.timeout(60):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed as exc:
                return (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd else (0, "no close frame")


async def test_what_a_user_has_open(gateway: Gateway, ada: Person) -> None:
    """WebSockets, event streams and downloads count together with running requests. Closed ones make room at once."""
    ada.put("large", b"x" * (64 << 20))  # more than all buffers on the way hold
    headers = {"Authorization": f"Bearer {ada.token}"}
    bob = await person(gateway)
    async with limited(gateway, user_streams_limit=3), contextlib.AsyncExitStack() as open_:
        socket = await open_.enter_async_context(watching(ada))
        await socket.recv()
        stream = await open_.enter_async_context(gateway.client.stream("GET", "/api/stream", headers=headers))
        assert stream.status_code == 200
        async with gateway.client.stream("GET", "/api/files/content?path=large", headers=headers) as download:
            assert download.status_code == 200

            for path in ("/api/auth/me", "/api/stream", "/api/files/content?path=large"):
                assert "3 open requests" in refused(await ada.ask("GET", path), "too-many-open")
            async with watching(ada) as fourth:
                code, reason = await _ends(fourth)
                assert (code, "3 open requests" in reason) == (1013, True)
            assert (await bob.ask("GET", "/api/auth/me")).status_code == 200
            assert (await gateway.client.get("/api/health")).status_code == 200

        async def me() -> int:
            return (await ada.ask("GET", "/api/auth/me")).status_code

        await eventually(me, lambda status: status == 200, "room for a request after the download was closed")
        await socket.close()
        second = await open_.enter_async_context(watching(ada))
        assert "snapshot" in str(await second.recv())


async def test_tickets_of_a_user(gateway: Gateway, ada: Person) -> None:
    """As many as connections. A used ticket makes room."""
    async with limited(gateway, user_streams_limit=2):
        answers = await asyncio.gather(ada.ask("POST", "/api/ws-ticket"), ada.ask("POST", "/api/ws-ticket"))
        ticket = answers[0].json()["ticket"]
        refused(await ada.ask("POST", "/api/ws-ticket"), "too-many-tickets")
        assert (await (await person(gateway)).ask("POST", "/api/ws-ticket")).status_code == 201
        async with connect(gateway.url.replace("http", "ws") + f"/ws/jobs?ticket={ticket}", proxy=None) as socket:
            assert "snapshot" in str(await socket.recv())
            assert (await ada.ask("POST", "/api/ws-ticket")).status_code == 201


async def test_a_refusal_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The response slows down a program that retries at once. Other responses do not wait."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    async def api(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": int(scope["path"][1:]), "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr(gate, "REFUSED_SECONDS", 1.5)
    monkeypatch.setattr(gate.asyncio, "sleep", wait)
    front: Any = Gate(api, api, None, Limits(RuntimeSettings()))  # type: ignore[arg-type] # pages need nobody's identity
    async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://t") as client:
        assert (await client.get("/200")).status_code == 200
        assert waited == []
        assert (await client.get("/429")).status_code == 429
    assert waited == [1.5]


class Door:
    """Requests that wait for admission. `order`: whose requests were admitted."""

    def __init__(self, at_once: int = 1) -> None:
        self.now = 0.0
        self.pace = Pace(lambda: self.now, at_once)
        self.order: list[UUID] = []
        self.begun: list[Callable[[], None]] = []
        self.answer = asyncio.Event()

    async def _ask(self, user: UUID) -> None:
        async with self.pace.answering(user) as begun:
            self.begun.append(begun)
            self.order.append(user)
            await self.answer.wait()

    async def busy(self) -> UUID:
        """A user who has just sent too many requests."""
        user = uuid4()
        while self.pace.lately(user) <= BURST:
            async with self.pace.answering(user):
                pass
        return user

    async def ask(self, user: UUID) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._ask(user))
        await asyncio.sleep(0)  # until it waits
        return task


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots that never expire by themselves."""
    monkeypatch.setattr(limits, "HELD_SECONDS", 3600.0)


@pytest.mark.usefixtures("endless")
async def test_users_take_turns() -> None:
    """The least recently admitted user comes first. This is forgotten after a while. A single user waits for nobody."""
    door, ada, bob = Door(), uuid4(), uuid4()
    tasks = [await door.ask(user) for user in (ada, ada, ada, bob, bob)]
    door.answer.set()
    await asyncio.gather(*tasks)
    assert door.order == [ada, bob, ada, bob, ada]

    door.order.clear()
    door.answer.clear()
    door.now += 20 * HALF_LIFE_SECONDS
    tasks = [await door.ask(user) for user in (bob, bob, ada)]
    door.answer.set()
    await asyncio.gather(*tasks)
    assert door.order == [bob, ada, bob]


@pytest.mark.usefixtures("endless")
async def test_few_requests_begin_at_once() -> None:
    """The next one is admitted when a response begins, once for each, not when it ends."""
    pace, ada, let_in = Pace(at_once=2), uuid4(), 0

    async def ask() -> None:
        nonlocal let_in
        async with pace.answering(ada):
            let_in += 1

    async with pace.answering(ada), pace.answering(ada) as begun:
        tasks = [asyncio.create_task(ask()) for _ in range(2)]
        await asyncio.sleep(0)
        assert let_in == 0
        begun()
        begun()
        await asyncio.gather(*tasks)
        async with pace.answering(ada):
            other = asyncio.create_task(ask())
            await asyncio.sleep(0)
            assert let_in == 2, "each counts once"
    await other


@pytest.mark.usefixtures("endless")
async def test_busy_users_leave_pauses_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """With several busy users, a pause follows each of their requests. Other users do not wait for it."""
    monkeypatch.setattr(limits, "HALF_LIFE_SECONDS", 1e9)
    door, calm = Door(), uuid4()
    ada, bob = await door.busy(), await door.busy()
    first = await door.ask(ada)
    door.now += 3000
    door.begun[0]()
    others = [await door.ask(bob), await door.ask(calm)]
    assert door.order == [ada, calm], "the pause of 3,000 seconds is for the busy ones"
    door.answer.set()
    await asyncio.gather(first, *others)
    assert door.order == [ada, calm, bob]


async def test_a_pause_ends() -> None:
    """Then the waiting requests are admitted."""
    door = Door()
    ada, bob = await door.busy(), await door.busy()
    door.answer.set()
    await asyncio.gather(*[await door.ask(user) for user in (ada, bob, ada, bob)])
    assert len(door.order) == 4


@pytest.mark.usefixtures("endless")
async def test_one_busy_user_makes_no_pauses() -> None:
    door = Door()
    ada = await door.busy()
    first = await door.ask(ada)
    door.now += 0.5
    door.begun[0]()
    second = await door.ask(ada)
    assert len(door.order) == 2
    door.answer.set()
    await asyncio.gather(first, second)


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("let_in", [True, False])
async def test_who_gives_up_leaves_the_place_to_others(*, let_in: bool) -> None:
    """Both while it waits, and at the moment in which it is admitted."""
    door = Door()
    works, gone, waits = [await door.ask(uuid4()) for _ in range(3)]
    if let_in:
        door.begun[0]()
    gone.cancel()
    door.answer.set()
    await asyncio.gather(works, waits)

    assert len(door.order) == 2
    await asyncio.wait_for(await door.ask(uuid4()), 60)


async def test_slow_requests_hold_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that waits for a disk, for example, keeps waiting while others are admitted."""
    monkeypatch.setattr(limits, "HELD_SECONDS", 0.0)
    door, ada, bob = Door(), uuid4(), uuid4()
    tasks = [await door.ask(user) for user in (ada, bob, ada)]

    async def let_in() -> int:
        return len(door.order)

    await eventually(let_in, lambda seen: seen == 3, "all three are let in")
    assert not any(task.done() for task in tasks)
    door.answer.set()
    await asyncio.gather(*tasks)
