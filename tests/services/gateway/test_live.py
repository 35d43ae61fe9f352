"""WS /ws/jobs: the three messages, for every logged-in user, as long as the login is valid."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.gateway.api import live as live_api
from services.gateway.live import hub as live_hub
from services.gateway.live.hub import Client, Message
from services.gateway.records.host_stats import HostStats
from services.gateway.records.identity import Claims, Identity
from services.gateway.records.store import Store
from services.gateway.schemas.live import LogMessage
from shared.domain import events
from shared.domain.lifecycle import Status
from shared.infra.bus import Bus
from shared.infra.nats_permissions import PROVISION
from shared.infra.outbox import relay
from shared.infra.provision import rebuild
from tests.services.gateway.conftest import Gateway, problem, second
from tests.services.gateway.test_auth import _token, _user
from tests.support.engines import NatsEngine, PostgresEngine, nats_server
from tests.support.kernel import Kernel, eventually


@asynccontextmanager
async def _watch(gateway: Gateway, token: str | None = None) -> AsyncIterator[ClientConnection]:
    address = gateway.url.replace("http", "ws") + f"/ws/jobs?token={gateway.token if token is None else token}"
    async with connect(address, proxy=None) as socket:
        yield socket


async def _until(socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Return all messages up to the wanted one."""
    seen: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(60):
            while not seen or not wanted(seen[-1]):
                seen.append(json.loads(await socket.recv()))
    except TimeoutError:
        pytest.fail(f"never came; last seen: {seen[-5:]}")
    return seen


async def _all(socket: ClientConnection, *wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Return messages until each of these was among them, in any order."""
    seen: list[dict[str, Any]] = []
    missing = list(wanted)
    while missing:
        seen += await _until(socket, lambda m, missing=missing: any(is_it(m) for is_it in missing))
        missing = [is_it for is_it in missing if not is_it(seen[-1])]
    return seen


async def _closed(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(60):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed as exc:
                return exc.rcvd.code if exc.rcvd else None


def _about(job_id: str, status: str) -> Callable[[dict[str, Any]], bool]:
    return lambda m: m["type"] == "job_update" and m["job_id"] == job_id and m["status"] == status


async def test_snapshot_then_changes(gateway: Gateway) -> None:
    """On connect, the live jobs and the queue. Then each state with its log line. An ended job is in no snapshot."""
    before = await gateway.request()
    async with _watch(gateway) as socket:
        (*_, shown) = await _until(socket, _about(before["job_id"], "queued"))
        assert set(shown) >= {"type", "job_id", "status", "progress_percent", "current_operation"}
        await _until(socket, lambda m: m["type"] == "queue_update")

        made = await gateway.request()
        await _until(socket, _about(made["job_id"], "queued"))
        assert (await gateway.ask("DELETE", f"/api/jobs/{made['job_id']}")).status_code == 204
        seen = await _all(
            socket,
            _about(made["job_id"], "cancelled"),
            lambda m: m["type"] == "queue_update",
            lambda m: m.get("message") == "Cancelled by admin.",
            lambda m: m.get("message") == "admin cancelled the job.",
        )
        queue = next(m for m in seen if m["type"] == "queue_update")

    logs = [m for m in seen if m["type"] == "log" and m["job_id"] == made["job_id"]]
    assert {m["message"] for m in logs} >= {"Cancelled by admin.", "admin cancelled the job."}
    assert all(set(m) == {"type", "job_id", "timestamp", "level", "message"} for m in logs)
    assert set(queue) == {"type", "queue_length", "current_copy_compress_job", "current_upload_job", "order"}
    async with _watch(gateway) as socket:
        snapshot = await _until(socket, lambda m: m["type"] == "queue_update")
    assert made["job_id"] not in [m["job_id"] for m in snapshot if m["type"] == "job_update"]
    assert before["job_id"] in [m["job_id"] for m in snapshot if m["type"] == "job_update"]


async def test_progress_and_logs_of_a_worker(gateway: Gateway) -> None:
    """Figures and lines that a worker publishes reach every client. Figures of another attempt or state do not."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status="copying", attempt=1)
    compressor = await gateway.kernel.bus("compressor")

    def figures(percent: int, attempt: int = 1, status: Status = Status.COPYING) -> events.Progress:
        return events.Progress(
            job_id=job_id,
            status=status,
            attempt=attempt,
            progress_percent=percent,
            stage_percent=50.0,
            current_operation="Copying",
            bytes_per_second=1000,
        )

    async with _watch(gateway) as one, _watch(gateway) as two:
        for socket in (one, two):
            await _until(socket, _about(str(job_id), "copying"))
        await compressor.publish_live(f"live.progress.{job_id}", figures(99, attempt=0))
        await compressor.publish_live(f"live.progress.{job_id}", figures(98, status=Status.VERIFYING))
        await compressor.connection.publish(f"live.progress.{job_id}", b"not json")
        await compressor.publish_live(f"live.progress.{job_id}", figures(16))
        line = events.LogLine(job_id=job_id, timestamp=datetime.now(UTC), level="WARNING", action="x", message="A line.")
        await compressor.publish_live(f"live.log.{job_id}", line)
        for socket in (one, two):
            seen = await _until(socket, lambda m: m["type"] == "log" and m["message"] == "A line.")
            updates = [m for m in seen if m["type"] == "job_update" and m["job_id"] == str(job_id)]
            assert [m["progress_percent"] for m in updates] == [16]
            assert (updates[0]["lane_percent"], updates[0]["stage_percent"]) == (16, 50.0)
            assert (updates[0]["step"], updates[0]["bytes_per_second"]) == ("Step 1/3: Copying", 1000)


async def test_what_has_no_event_is_shown_too(gateway: Gateway) -> None:
    """A waiting reason is no state and has no event, but is shown within seconds."""
    job_id = UUID((await gateway.request())["job_id"])
    async with _watch(gateway) as socket:
        await gateway.kernel.force(job_id, wait_reason="1.2 TB of space is missing")
        await _until(socket, lambda m: m.get("current_operation") == "Waiting: 1.2 TB of space is missing")


@pytest.mark.parametrize("token", ["", "nonsense"])
async def test_bad_token(gateway: Gateway, token: str) -> None:
    """4401, in a form that a browser can read: after the connection was accepted."""
    async with _watch(gateway, token) as socket:
        assert await _closed(socket) == 4401


async def test_first_password(gateway: Gateway) -> None:
    """4403 for a user who must change the password first."""
    async with _watch(gateway, _token(await _user(gateway, "fresh", must_change=True))) as socket:
        assert await _closed(socket) == 4403


async def test_the_end_of_a_login_ends_the_connection(gateway: Gateway) -> None:
    """At once for a logout; within a second or so for a revocation elsewhere, a deleted user or an expired token. Others stay."""
    user = await _user(gateway, "watcher")
    first, second = _token(user), _token(user)
    async with _watch(gateway) as stays, _watch(gateway, first) as one, _watch(gateway, second) as two:
        for socket in (one, two):
            await _until(socket, lambda m: m["type"] == "queue_update")
        assert (await gateway.ask("POST", "/api/auth/logout", token=first)).status_code == 204
        assert await _closed(one) == 4401
        await gateway.kernel.owner.execute("UPDATE users SET token_epoch = token_epoch + 1 WHERE id = $1", user)
        assert await _closed(two) == 4401
        made = await gateway.request()
        await _until(stays, _about(made["job_id"], "queued"))


class _Line:
    """A connection whose client reads only when the test says so."""

    def __init__(self) -> None:
        self.stalled_at: float | None = None
        self.sent: list[bytes] = []
        self.on_resumed: Callable[[], None] = lambda: None

    def write(self, ready: bytes) -> None:
        self.sent.append(ready)

    def resume(self) -> None:
        self.stalled_at = None
        self.on_resumed()


def _said(text: str) -> Message:
    return Message(LogMessage(UUID(int=0), datetime(2026, 1, 1, tzinfo=UTC), "INFO", text))


def _client(line: _Line) -> Client:
    who = Identity(uuid4(), "x", False, False, Claims(uuid4(), uuid4(), 0, 2**40))
    return Client(who, line=line)  # type: ignore[arg-type] # all of a wire that a client uses


def test_a_slow_client_sees_fewer_steps_and_the_last_one() -> None:
    """Only one message per job waits, the newest. Once the client reads again, it gets these, and then each step again."""
    line = _Line()
    client = _client(line)
    client.offer("job a", _said("a0"))
    line.stalled_at = 1.0
    for step in range(1, 1000):
        client.offer("job a", _said(f"a{step}"))
        client.offer("job b", _said(f"b{step}"))
    assert line.sent == [_said("a0").frame]
    line.resume()
    client.offer("job b", _said("b1000"))
    assert b"".join(line.sent) == b"".join(_said(text).frame for text in ("a0", "a999", "b999", "b1000"))


def test_what_waits_for_a_client_has_a_bound() -> None:
    """Too many waiting bytes end the connection and free its memory. A snapshot of any size has room."""
    line = _Line()
    client, large = _client(line), live_hub._QUEUE_LENGTH + 10
    line.stalled_at = 1.0
    client.begin((("job", n), _said("x")) for n in range(large))
    for n in range(live_hub._QUEUE_LENGTH):
        client.offer(("log", n), _said("x"))
    assert (client.over, len(client._waiting)) == (None, large + live_hub._QUEUE_LENGTH)
    client.offer("one more", _said("x"))
    client.offer("late", _said("x"))
    assert client.over is not None
    assert client.over[0] == live_hub.TOO_SLOW
    assert not client._waiting


async def _figure(gateway: Gateway, name: str) -> float:
    lines = (await gateway.ask("GET", "/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


async def test_a_client_that_never_reads_is_dropped(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is closed after a time-out. Meanwhile all other clients get every message."""
    compressor = await gateway.kernel.bus("compressor")
    before = await _figure(gateway, "cs_archiver_live_dropped_total")
    address = urlsplit(gateway.url)
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    silent.connect((address.hostname, address.port))
    upgrade = (
        "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + "A" * 22 + "=="
    )
    silent.sendall(f"GET /ws/jobs?token={gateway.token} HTTP/1.1\r\n{upgrade}\r\n\r\n".encode())

    async def follows() -> None:
        """Read until the snapshot arrives, then read nothing more."""
        silent.setblocking(False)
        read = b""
        while b'"snapshot"' not in read:
            read += await asyncio.get_running_loop().sock_recv(silent, 4096)

    async def dropped() -> float:
        return await _figure(gateway, "cs_archiver_live_dropped_total") - before

    with silent:
        async with _watch(gateway) as one, _watch(gateway) as two:
            async with asyncio.timeout(60):
                await follows()
            for each in (one, two):
                await _until(each, lambda m: m["type"] == "snapshot")
            last = [asyncio.create_task(_until(each, lambda m: m.get("message", "").startswith("399 "))) for each in (one, two)]
            for number in range(400):  # 4 MB: more than kernel and gateway buffer for a client that does not read
                await compressor.publish_live("live.log.x", _line(f"{number} " + "x" * 10_000))
            for seen in await asyncio.gather(*last):
                lines = [m for m in seen if m.get("job_id") == str(UUID(int=1))]
                assert [int(m["message"].split()[0]) for m in lines] == list(range(400))
            monkeypatch.setattr(live_hub, "_SEND_SECONDS", 0)
            await eventually(dropped, lambda n: n == 1, "the silent client dropped")
            await compressor.publish_live("live.log.x", _line("after"))
            for each in (one, two):
                await _until(each, lambda m: m.get("message") == "after")


def _line(text: str) -> events.LogLine:
    return events.LogLine(job_id=UUID(int=1), timestamp=datetime.now(UTC), level="INFO", action="x", message=text)


# Snapshot, tickets, gaps, streams ----------------------------------------------------------------------------------------------------


def _ws(gateway: Gateway, path: str, query: str = "") -> str:
    return gateway.url.replace("http", "ws") + path + (f"?{query}" if query else "")


async def test_the_snapshot_says_as_of_when_and_what_there_is(gateway: Gateway) -> None:
    """First its `seq`, then one update per job that it names. Ended jobs are absent. `seq` equals the database's newest event."""
    job_id = (await gateway.request())["job_id"]
    newest = await _relayed(gateway)

    async def snapshot() -> dict[str, Any]:
        async with _watch(gateway) as socket:
            first = json.loads(await socket.recv())
            updates = await _until(socket, lambda m: m["type"] == "queue_update")
        assert {m["job_id"] for m in updates if m["type"] == "job_update"} >= set(first["job_ids"])
        assert all(m["seq"] <= first["seq"] for m in updates if m["type"] == "job_update")
        return dict(first)

    seen = await eventually(snapshot, lambda first: first["seq"] >= newest, "a snapshot with all events")
    assert seen["type"] == "snapshot"
    assert job_id in seen["job_ids"]


async def _relayed(gateway: Gateway) -> int:
    """Return the newest event's number, once the stream has all events."""
    query = "SELECT CASE WHEN bool_and(stream_seq IS NOT NULL) THEN max(stream_seq) END FROM outbox"

    async def look() -> int | None:
        return await gateway.kernel.owner.fetchval(query)  # type: ignore[no-any-return] # a number or null

    return int(await eventually(look, lambda seen: seen is not None, "all events in the stream"))


async def test_missed_events(gateway: Gateway) -> None:
    """`after` returns every state entered since, gap-free and in order, page by page. A number that the stream lacks is 410."""
    start = (await gateway.ask("GET", "/api/events")).json()
    assert (start["events"], start["more"]) == ([], False)
    made = await gateway.request()
    await gateway.ask("DELETE", f"/api/jobs/{made['job_id']}")
    newest = await _relayed(gateway)

    page = (await gateway.ask("GET", f"/api/events?after={start['last']}")).json()
    assert [e["seq"] for e in page["events"]] == list(range(start["last"] + 1, newest + 1))
    mine = [e for e in page["events"] if e["job_id"] == made["job_id"]]
    assert [(e["type"], e["status"], e["version"]) for e in mine] == [("job_event", "queued", 1), ("job_event", "cancelled", 2)]
    assert (page["last"], page["more"]) == (newest, False)
    first = (await gateway.ask("GET", f"/api/events?after={start['last']}&limit=1")).json()
    assert (len(first["events"]), first["last"], first["more"]) == (1, start["last"] + 1, newest > start["last"] + 1)
    problem(await gateway.ask("GET", f"/api/events?after={newest + 1000}"), 410, "too-old")
    problem(await gateway.ask("GET", "/api/events?after=-1"), 400, "validation-failed")


async def test_a_gap_that_is_too_long(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """410 with what to do. Nothing is left out silently."""
    await gateway.request()
    await _relayed(gateway)
    monkeypatch.setattr(live_api, "OLDEST", 0)
    assert "read the lists again" in problem(await gateway.ask("GET", "/api/events?after=0"), 410, "too-old")


async def test_a_ticket_opens_one_connection(gateway: Gateway) -> None:
    """It works once, within its time, and ends with the login that asked. No token is in an address."""
    user = await _user(gateway, "ticketed")
    token = _token(user)
    answer = await gateway.ask("POST", "/api/ws-ticket", token)
    assert answer.status_code == 201
    ticket = answer.json()["ticket"]
    assert answer.json()["expires_in"] == 30
    async with connect(_ws(gateway, "/ws/jobs", f"ticket={ticket}"), proxy=None) as socket:
        await _until(socket, lambda m: m["type"] == "snapshot")
        async with connect(_ws(gateway, "/ws/jobs", f"ticket={ticket}"), proxy=None) as again:
            assert await _closed(again) == 4401
        unused, old = [(await gateway.ask("POST", "/api/ws-ticket", token)).json()["ticket"] for _ in range(2)]
        await gateway.kernel.owner.execute(
            "UPDATE ws_tickets SET expires_at = clock_timestamp() WHERE digest = $1", hashlib.sha256(old.encode()).digest()
        )
        assert (await gateway.ask("POST", "/api/auth/logout", token)).status_code == 204
        assert await _closed(socket) == 4401
    for late in (unused, old, "nonsense"):
        async with connect(_ws(gateway, "/ws/dashboard", f"ticket={late}"), proxy=None) as socket:
            assert await _closed(socket) == 4401


async def test_a_cookie_opens_a_connection_for_our_own_pages_only(gateway: Gateway) -> None:
    """A foreign page's script cannot listen with a user's cookie."""
    own = {"Cookie": f"cs_archiver_session={gateway.token}"}
    async with connect(_ws(gateway, "/ws/jobs"), proxy=None, additional_headers=own, origin=gateway.url) as socket:  # type: ignore[arg-type] # a new type of str
        await _until(socket, lambda m: m["type"] == "snapshot")
    async with connect(_ws(gateway, "/ws/jobs"), proxy=None, additional_headers=own, origin="https://evil.example") as socket:  # type: ignore[arg-type] # a new type of str
        assert await _closed(socket) == 4401


async def test_the_dashboards_words(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dashboard's two messages with all their fields. A pause is shown at once, although it has no event."""
    job_id = (await gateway.request())["job_id"]

    def about(status: str) -> Callable[[dict[str, Any]], bool]:
        return lambda m: m["type"] == "task_status" and m["task_id"] == job_id and m["data"]["status"] == status

    async with connect(_ws(gateway, "/ws/dashboard", f"token={gateway.token}"), proxy=None) as socket:
        (*_, task) = await _until(socket, about("queued"))
        (*_, stats) = await _until(socket, lambda m: m["type"] == "dashboard_stats")
        with monkeypatch.context() as patched:
            patched.setattr(live_hub, "_RESYNC_SECONDS", 3600.0)  # no full reload meanwhile
            await gateway.ask("POST", f"/api/tasks/{job_id}/control", json={"action": "pause"})
            await _until(socket, about("paused"))
        await gateway.ask("POST", f"/api/tasks/{job_id}/control", json={"action": "resume"})  # wakes a worker that waits long
        await _until(socket, about("queued"))
    assert set(task) == {"type", "task_id", "data", "timestamp"}
    assert set(task["data"]) >= {"status", "progress", "speed", "eta", "current_size", "total_size", "name"}
    promised = {
        "active_tasks",
        "total_downloads",
        "total_uploads",
        "total_speed",
        "cpu_usage",
        "memory_usage",
        "disk_usage",
        "uptime",
    }
    assert set(stats["data"]) >= promised
    assert set((await gateway.ask("GET", "/api/stats")).json()) == set(stats["data"])


async def test_the_first_figures_of_a_connection_are_current(gateway: Gateway) -> None:
    """Each new connection starts with fresh figures, not with the last connection's or with none for some seconds."""
    waiting = "SELECT count(*) FROM jobs WHERE status = 'queued' AND NOT paused"
    for _ in range(3):
        await gateway.request()
        async with connect(_ws(gateway, "/ws/dashboard", f"token={gateway.token}"), proxy=None) as socket:
            (*_, first) = await _until(socket, lambda m: m["type"] == "dashboard_stats")
        assert first["data"]["queued_tasks"] == await gateway.kernel.owner.fetchval(waiting)


async def test_workspace_jobs_are_shown_to_their_owner_only(gateway: Gateway) -> None:
    """Updates, log lines and events never reach another user."""
    owner, other = await _user(gateway, "live-owner"), await _user(gateway, "live-other")
    statement = (
        "INSERT INTO jobs (kind, folder_name, source_path, created_by, created_by_id, request)"
        " VALUES ('pack', 'secret', '/w/s', 'x', $1, jsonb_build_object('root', 'workspace'))"
    )
    async with _watch(gateway, _token(owner)) as mine, _watch(gateway, _token(other)) as theirs:
        for socket in (mine, theirs):
            await _until(socket, lambda m: m["type"] == "queue_update")
        await gateway.kernel.owner.execute(statement, owner)
        (*_, shown) = await _until(mine, lambda m: m["type"] == "job_update" and m["folder_name"] == "secret")
        made = await gateway.request()
        seen = await _until(theirs, _about(made["job_id"], "queued"))
    assert shown["job_id"] not in json.dumps(seen)
    await _relayed(gateway)
    for user, sees in ((owner, True), (other, False)):
        page = (await gateway.ask("GET", "/api/events?after=0", _token(user))).json()
        assert (shown["job_id"] in json.dumps(page)) == sees
    problem(await gateway.ask("GET", f"/api/stream/{shown['job_id']}", _token(other)), 404, "not-found")


async def _secret_pack(gateway: Gateway) -> str:
    """Create another user's pack, which only that user and admins may see. Return its id."""
    statement = (
        "INSERT INTO jobs (kind, folder_name, source_path, created_by, created_by_id, request)"
        " VALUES ('pack', 'secret', '/w/s', 'x', $1, jsonb_build_object('root', 'workspace')) RETURNING id"
    )
    return str(await gateway.kernel.owner.fetchval(statement, await _user(gateway, f"owner-{uuid4().hex[:6]}")))


async def _told(socket: ClientConnection, pack: str) -> int | str:
    """Return the close code, or the messages about the pack before it."""
    async with asyncio.timeout(60):
        while True:
            try:
                text = str(await socket.recv())
            except ConnectionClosed as exc:
                return exc.rcvd.code if exc.rcvd else "no close frame"
            if pack in text:
                return text


async def _lines(gateway: Gateway, token: str, opened: asyncio.Event) -> str:
    """Return all lines of an event stream until the server ends it."""
    said = []
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(60), gateway.client.stream("GET", "/api/stream", headers=headers) as answer:
        async for line in answer.aiter_lines():
            said.append(line)
            if '"queue_update"' in line:
                opened.set()
    return "".join(said)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"is_admin": False}, 4409),
        ({"must_change_password": True}, 4403),
        ({"disabled": True}, 4401),
        ({"password": "another good one"}, 4401),
        (None, 4401),
    ],
)
async def test_an_admin_who_is_none_any_more_sees_no_more(gateway: Gateway, change: dict[str, Any] | None, code: int) -> None:
    """Demoted, told to change the password, disabled, reset or deleted: after that response, no open connection sends anything."""
    who = await _user(gateway, f"was-admin-{uuid4().hex[:6]}")
    await gateway.kernel.owner.execute("UPDATE users SET is_admin = true WHERE id = $1", who)
    token, opened = _token(who), asyncio.Event()
    ticket = (await gateway.ask("POST", "/api/ws-ticket", token)).json()["ticket"]
    stream = asyncio.create_task(_lines(gateway, token, opened))
    async with _watch(gateway, token) as socket:
        await _until(socket, lambda m: m["type"] == "queue_update")
        await asyncio.wait_for(opened.wait(), 60)
        if change is None:
            answer = await gateway.ask("DELETE", f"/api/users/{who}")
        else:
            answer = await gateway.ask("PATCH", f"/api/users/{who}", json=change)
        assert answer.status_code in {200, 204}, answer.text
        pack = await _secret_pack(gateway)
        async with _watch(gateway) as admins:
            await _until(admins, lambda m: m["type"] == "job_update" and m["job_id"] == pack)
        assert await _told(socket, pack) == code
    assert pack not in await stream
    async with connect(_ws(gateway, "/ws/jobs", f"ticket={ticket}"), proxy=None) as late:
        if code == 4409:  # with the current rights
            seen = await _until(late, lambda m: m["type"] == "queue_update")
            assert pack not in json.dumps(seen)
        else:
            assert await _closed(late) == code


async def test_a_new_admin_sees_more(gateway: Gateway) -> None:
    """The connection ends, so that the next one shows the admin's view. A connection with a token of lesser scope stays."""
    who = await _user(gateway, f"new-admin-{uuid4().hex[:6]}")
    token = _token(who)
    scoped = (await gateway.ask("POST", "/api/tokens", token, json={"name": "watch", "scope": "operate"})).json()["token"]
    async with _watch(gateway, token) as socket, _watch(gateway, scoped) as script:
        for each in (socket, script):
            await _until(each, lambda m: m["type"] == "queue_update")
        assert (await gateway.ask("PATCH", f"/api/users/{who}", json={"is_admin": True})).status_code == 200
        assert await _closed(socket) == 4409
        made = await gateway.request()
        await _until(script, _about(made["job_id"], "queued"))


async def test_a_role_changed_elsewhere_ends_the_connection(gateway: Gateway) -> None:
    """Another gateway changes the role: the connection ends within a second or so."""
    who = await _user(gateway, f"elsewhere-{uuid4().hex[:6]}")
    async with _watch(gateway, _token(who)) as socket:
        await _until(socket, lambda m: m["type"] == "queue_update")
        await gateway.kernel.owner.execute("UPDATE users SET is_admin = true WHERE id = $1", who)
        assert await _closed(socket) == 4409


async def test_heartbeats(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence means a dead connection: a message comes every two seconds, with the newest number."""
    assert live_hub.HEARTBEAT_SECONDS == 2.0
    monkeypatch.setattr(live_hub, "HEARTBEAT_SECONDS", 0.05)
    hub = live_hub.Hub(None, None, None)  # type: ignore[arg-type] # only its clock is looked at
    hub.seq = 7
    line = _Line()
    hub.clients.add(_client(line))
    beating = asyncio.create_task(hub._beat())

    async def sent() -> list[bytes]:
        return line.sent

    await eventually(sent, lambda seen: len(seen) >= 2, "two heartbeats")
    beating.cancel()
    heartbeat = json.loads(line.sent[0][2:])  # after two bytes of a short frame's header
    assert (heartbeat["type"], heartbeat["seq"]) == ("heartbeat", 7)


async def _events(gateway: Gateway, path: str, wanted: Callable[[dict[str, Any]], bool], **headers: str) -> list[tuple[str, Any]]:
    """Return (id, message) of a server-sent stream up to the wanted one."""
    found: list[tuple[str, Any]] = []
    headers = {"Authorization": f"Bearer {gateway.token}", **headers}
    async with asyncio.timeout(60), gateway.client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        number = ""
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                number = line[4:]
            elif line.startswith("data: "):
                found.append((number, json.loads(line[6:])))
                if wanted(found[-1][1]):
                    return found
    return found


async def test_server_sent_events(gateway: Gateway) -> None:
    """The same messages as the socket. With `Last-Event-ID`, missed ones come first. One job's stream ends with the job."""
    job_id = (await gateway.request())["job_id"]
    await _relayed(gateway)
    found = await _events(gateway, "/api/stream", lambda m: m["type"] == "queue_update")
    assert found[0][1]["type"] == "snapshot"
    assert any(m["type"] == "job_update" and m["job_id"] == job_id for _, m in found)

    seq = int(found[0][0])
    later = (await gateway.request())["job_id"]
    await _relayed(gateway)
    resumed = await _events(gateway, "/api/stream", lambda m: m["type"] == "snapshot", **{"Last-Event-ID": str(seq)})
    assert [m["job_id"] for _, m in resumed if m["type"] == "job_event"][-1] == later
    assert int(resumed[0][0]) > seq

    one = asyncio.create_task(_events(gateway, f"/api/stream/{later}", lambda _: False))
    await asyncio.sleep(0)
    await gateway.ask("DELETE", f"/api/jobs/{later}")
    ended = await one
    assert [m["status"] for _, m in ended if m["type"] == "job_update"][-1] == "cancelled"
    assert {m["job_id"] for _, m in ended if "job_id" in m} == {later}
    done = await gateway.ask("GET", f"/api/stream/{later}", headers={"Last-Event-ID": "1"})
    assert done.status_code == 204
    problem(await gateway.ask("GET", f"/api/stream/{uuid4()}"), 404, "not-found")


async def test_a_stream_of_a_job_that_ends_just_then(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is live when it is looked up and has ended when the stream subscribes. The stream says so and ends."""
    job_id = (await gateway.request())["job_id"]
    stream = live_hub.Hub.stream

    async def late(hub: live_hub.Hub, client: Client, missed: Any) -> AsyncIterator[bytes]:
        assert (await gateway.ask("DELETE", f"/api/jobs/{job_id}")).status_code == 204
        newest = await _relayed(gateway)

        async def over() -> bool:
            return hub.seq >= newest and UUID(job_id) not in hub._known

        await eventually(over, bool, "nothing more comes of the job")
        async for event in stream(hub, client, missed):
            yield event

    monkeypatch.setattr(live_hub.Hub, "stream", late)
    seen = await _events(gateway, f"/api/stream/{job_id}", lambda _: False)
    assert [m["status"] for _, m in seen if m["type"] == "job_update"] == ["cancelled"]


async def test_two_gateways_say_the_same(gateway: Gateway, pg: PostgresEngine, nats: NatsEngine, tmp_path: Path) -> None:
    """Behind one address: the same numbers, a ticket of one opens the other, an action through one is visible at the other."""
    async with second(gateway, tmp_path) as url:
        ticket = (await gateway.ask("POST", "/api/ws-ticket")).json()["ticket"]
        address = url.replace("http", "ws") + f"/ws/jobs?ticket={ticket}"
        async with _watch(gateway) as one, connect(address, proxy=None) as two:
            for socket in (one, two):
                await _until(socket, lambda m: m["type"] == "queue_update")
            made = await gateway.request()
            seqs = []
            for socket in (one, two):
                (*_, update) = await _until(socket, _about(made["job_id"], "queued"))
                if not update["seq"]:
                    (*_, update) = await _until(socket, _about(made["job_id"], "queued"))
                seqs.append(update["seq"])
            await gateway.ask("POST", f"/api/tasks/{made['job_id']}/control", json={"action": "pause"})
            for socket in (one, two):
                await _until(socket, lambda m: m["type"] == "job_update" and m["job_id"] == made["job_id"] and m["paused"])
        newest = await _relayed(gateway)
        assert max(seqs) <= newest
        headers = {"Authorization": f"Bearer {gateway.token}"}
        pages = [
            (await gateway.client.get(f"{base}/api/events?after={newest - 1}", headers=headers)).json()
            for base in (gateway.url, url)
        ]
        assert pages[0] == pages[1]
        assert [e["seq"] for e in pages[0]["events"]] == [newest]


async def test_only_what_changed_is_read_again(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any number of waiting jobs, checking all of them reads a few bytes of each."""
    monkeypatch.setattr(live_hub, "_RESYNC_SECONDS", 0.01)
    store, looks, read = Store(await kernel.db("gateway")), 0, list[UUID]()
    versions, some_jobs = store.live_versions, store.some_jobs

    async def counted_versions() -> dict[UUID, str]:
        nonlocal looks
        looks += 1
        return await versions()

    async def counted_jobs(jobs: list[UUID]) -> list[Any]:
        read.extend(jobs)
        return await some_jobs(jobs)

    monkeypatch.setattr(store, "live_versions", counted_versions)
    monkeypatch.setattr(store, "some_jobs", counted_jobs)
    first, second = await kernel.job(), await kernel.job()
    hub = live_hub.Hub(store, await kernel.bus("gateway"), HostStats(store, tmp_path))
    task = asyncio.create_task(hub.run())

    async def three_more_looks() -> None:
        before = looks

        async def seen() -> int:
            if task.done():
                await task
            return looks

        await eventually(seen, lambda now: now > before + 3, "three more looks")

    try:
        await three_more_looks()
        assert sorted(read) == sorted([first, second])
        await kernel.force(second, wait_reason="1.2 TB of space is missing")
        await three_more_looks()
        assert read[2:] == [second]
        assert hub._known[second]["wait_reason"] == "1.2 TB of space is missing"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_live_view_follows_across_a_rebuild(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is recreated. Later events still arrive through the gateway's own consumer, not by reading all jobs again."""
    monkeypatch.setattr(live_hub, "_RESYNC_SECONDS", 3600.0)
    async with nats_server() as own:
        bus = await Bus.connect(own.url, "gateway", own.passwords["gateway"])
        db = await kernel.db("gateway")
        hub = live_hub.Hub(Store(db), bus, HostStats(Store(db), tmp_path))
        tasks = [asyncio.create_task(work) for work in (hub.run(), relay(db, bus))]

        async def known() -> set[UUID]:
            for task in tasks:
                if task.done():
                    await task
            return set(hub._known)

        async def a_job_is_heard() -> None:
            jobs = [await kernel.job()]

            async def heard() -> bool:
                jobs.append(await kernel.job())  # it starts at some event: there is always a next one
                return bool({*jobs} & await known())

            await eventually(heard, bool, "a new job by its event")

        try:
            await a_job_is_heard()
            await rebuild(own.url, own.passwords[PROVISION])
            hub._known.clear()
            await a_job_is_heard()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await bus.close()
