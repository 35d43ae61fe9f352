"""WS /ws/jobs: the three messages of the seed, for whoever is logged in, for as long as the login counts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.gateway import live
from services.gateway.live import Client
from services.gateway.security import Claims, Identity
from shared import events
from shared.lifecycle import Status
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.test_auth import _token, _user
from tests.support.kernel import eventually


@asynccontextmanager
async def _watch(gateway: Gateway, token: str | None = None) -> AsyncIterator[ClientConnection]:
    address = gateway.url.replace("http", "ws") + f"/ws/jobs?token={gateway.token if token is None else token}"
    async with connect(address, proxy=None) as socket:
        yield socket


async def _until(socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """All messages up to the wanted one."""
    seen: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(10):
            while not seen or not wanted(seen[-1]):
                seen.append(json.loads(await socket.recv()))
    except TimeoutError:
        pytest.fail(f"never came; last seen: {seen[-5:]}")
    return seen


async def _closed(socket: ClientConnection, within: float = 5) -> int | None:
    async with asyncio.timeout(within):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed as exc:
                return exc.rcvd.code if exc.rcvd else None


def _about(job_id: str, status: str) -> Callable[[dict[str, Any]], bool]:
    return lambda m: m["type"] == "job_update" and m["job_id"] == job_id and m["status"] == status


async def test_snapshot_then_changes(gateway: Gateway) -> None:
    """On connecting the live jobs and the queue; then each state with its log line; a job that ended is in no snapshot."""
    before = await gateway.request()
    async with _watch(gateway) as socket:
        (*_, shown) = await _until(socket, _about(before["job_id"], "queued"))
        assert set(shown) >= {"type", "job_id", "status", "progress_percent", "current_operation"}
        await _until(socket, lambda m: m["type"] == "queue_update")

        made = await gateway.request()
        await _until(socket, _about(made["job_id"], "queued"))
        assert (await gateway.ask("DELETE", f"/api/jobs/{made['job_id']}")).status_code == 204
        seen = await _until(socket, _about(made["job_id"], "cancelled"))
        seen += await _until(socket, lambda m: m["type"] == "queue_update")

    logs = [m for m in seen if m["type"] == "log" and m["job_id"] == made["job_id"]]
    assert {m["message"] for m in logs} >= {"Cancelled by admin.", "admin cancelled the job."}
    assert all(set(m) == {"type", "job_id", "timestamp", "level", "message"} for m in logs)
    queue = seen[-1]
    assert set(queue) == {"type", "queue_length", "current_copy_compress_job", "current_upload_job"}
    async with _watch(gateway) as socket:
        snapshot = await _until(socket, lambda m: m["type"] == "queue_update")
    assert made["job_id"] not in [m["job_id"] for m in snapshot if m["type"] == "job_update"]
    assert before["job_id"] in [m["job_id"] for m in snapshot if m["type"] == "job_update"]


async def test_progress_and_logs_of_a_worker(gateway: Gateway) -> None:
    """Figures and lines that a worker says on the bus reach every watcher; figures of another attempt or state do not."""
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
    """A reason to wait is no state and has no event, but is seen within seconds."""
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
    """4403 for somebody who must change the password first."""
    async with _watch(gateway, _token(await _user(gateway, "fresh", must_change=True))) as socket:
        assert await _closed(socket) == 4403


async def test_the_end_of_a_login_ends_the_connection(gateway: Gateway) -> None:
    """Logout at once; a revocation made elsewhere, a deleted user or an expired token within a second or so. Others stay."""
    user = await _user(gateway, "watcher")
    first, second = _token(user), _token(user)
    async with _watch(gateway) as stays, _watch(gateway, first) as one, _watch(gateway, second) as two:
        for socket in (one, two):
            await _until(socket, lambda m: m["type"] == "queue_update")
        assert (await gateway.ask("POST", "/api/auth/logout", token=first)).status_code == 204
        assert await _closed(one, within=1.5) == 4401
        await gateway.kernel.owner.execute("UPDATE users SET token_epoch = token_epoch + 1 WHERE id = $1", user)
        assert await _closed(two, within=1.5) == 4401
        made = await gateway.request()
        await _until(stays, _about(made["job_id"], "queued"))


class _Stalled:
    """A socket that takes nothing until it may."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.sent: list[str] = []
        self.code = 0

    async def send_text(self, text: str) -> None:
        await self.open.wait()
        self.sent.append(text)

    async def close(self, code: int, reason: str) -> None:
        self.code = code


def _client() -> Client:
    return Client(Identity(uuid4(), "x", False, False, Claims(uuid4(), uuid4(), 0, 2**40)))


async def test_a_slow_client_sees_fewer_steps_and_the_last_one() -> None:
    """What waits is one message per job, the newest."""
    client, socket = _client(), _Stalled()
    pump = asyncio.create_task(client.pump(socket))  # type: ignore[arg-type] # the two methods that pump uses
    for step in range(1000):
        client.offer("job a", f"a{step}")
        client.offer("job b", f"b{step}")
        if step == 0:
            await asyncio.sleep(0)  # the first is on its way and stays there
    socket.open.set()

    async def sent() -> list[str]:
        return socket.sent

    await eventually(sent, lambda seen: "b999" in seen, "the last message")
    assert len(socket.sent) <= 4
    assert {"a999", "b999"} <= set(socket.sent)
    pump.cancel()


async def test_a_client_that_never_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """By time, or by too much waiting for it; its memory is given back."""
    monkeypatch.setattr(live, "_SEND_SECONDS", 0.05)
    stalled, socket = _client(), _Stalled()
    stalled.offer("a", "a")
    await asyncio.wait_for(stalled.pump(socket), 5)  # type: ignore[arg-type] # the two methods that pump uses
    assert socket.code == live.TOO_SLOW

    flooded, other = _client(), _Stalled()
    for n in range(live._QUEUE_LENGTH + 1):
        flooded.offer(("log", n), "x")
    await asyncio.wait_for(flooded.pump(other), 5)  # type: ignore[arg-type] # the two methods that pump uses
    assert other.code == live.TOO_SLOW
    assert not flooded._waiting
