"""The gateway as a process: it starts, reports what is away, recovers by itself, stops cleanly and keeps secrets."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from websockets.asyncio.client import connect
from websockets.protocol import State

from devstack import ports
from shared.domain.lifecycle import Role
from tests.services.gateway.conftest import BASE, PASSWORD, problem, running
from tests.support.engines import NatsEngine, PostgresEngine, nats_server, postgres_server
from tests.support.kernel import PASSWORDS, _migrate, eventually


def _environment(pg: PostgresEngine, nats: NatsEngine, dsn: str, port: int, storage: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": pg.dsn_as(dsn, "cs_gateway", PASSWORDS[Role.GATEWAY]),
        "NATS_URL": nats.url,
        "NATS_PASSWORD": nats.passwords["gateway"],
        "JWT_SECRET_KEY": "j" * 40,
        "QNAP_BASE_PATH": BASE,
        "STORAGE_BASE_PATH": str(storage),
        "ADMIN_INITIAL_PASSWORD": PASSWORD,
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "DEBUG",
    }


@contextlib.asynccontextmanager
async def _process(environment: dict[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.gateway"),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            cwd=Path(__file__).parents[3],
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_request_that_a_shutdown_cuts_off_gets_503(pg: PostgresEngine, tmp_path: Path) -> None:
    """It takes longer than the gateway's shutdown time: a problem document says so."""
    async with nats_server() as nats, httpx.AsyncClient(timeout=60) as client:  # its own database: no other test's scanner replies
        async with running(pg, nats, tmp_path, events=False) as gateway:
            gateway.peers.scanning = asyncio.Event()
            headers = {"Authorization": f"Bearer {await gateway.login()}"}
            asking = asyncio.create_task(client.get(f"{gateway.url}/api/folders?refresh=true", headers=headers))

            async def scans() -> int:
                return gateway.peers.scans

            await eventually(scans, bool, "the request to wait for the scanner")
        assert "shutting down" in problem(await asking, 503, "unavailable")


async def test_engines_come_and_go(tmp_path: Path) -> None:
    """Postgres and NATS stop and start. 503 names the one that is away, the socket stays, and everything recovers without a restart."""
    port, log = ports.fresh(), tmp_path / "log"
    async with (
        postgres_server() as pg,
        nats_server() as nats,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        dsn = await pg.create_database()
        await _migrate(dsn)
        async with _process(_environment(pg, nats, dsn, port, tmp_path), log) as process:

            async def health() -> int:
                assert process.returncode is None, log.read_text()
                try:
                    return (await client.get("/api/health")).status_code
                except httpx.TransportError:
                    return 0

            async def login() -> int:
                answer = await client.post("/api/auth/login", json={"username": "admin", "password": PASSWORD})
                if answer.status_code == 200:
                    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
                return answer.status_code

            await eventually(health, lambda seen: seen == 200, "health")
            await eventually(login, lambda seen: seen == 200, "the first login")
            token = client.headers["Authorization"].removeprefix("Bearer ")
            async with connect(f"ws://127.0.0.1:{port}/ws/jobs?token={token}", proxy=None) as watching:
                assert json.loads(await asyncio.wait_for(watching.recv(), 60))["type"] == "snapshot"

                await pg.server.stop()
                for answer in (await client.get("/api/folders"), await client.get("/api/health/ready")):
                    assert "Postgres" in problem(answer, 503, "unavailable")
                    assert int(answer.headers["retry-after"]) > 0
                assert "Postgres" not in problem(await client.get("/api/health"), 503, "unavailable"), "strangers are told nothing"
                await pg.server.start()
                await eventually(health, lambda seen: seen == 200, "health with Postgres back")
                async with connect(f"ws://127.0.0.1:{port}/ws/dashboard?token={token}", proxy=None) as figures:
                    assert json.loads(await asyncio.wait_for(figures.recv(), 60))["type"] == "dashboard_stats"
                assert watching.state is State.OPEN
                assert (await client.get("/api/folders")).status_code == 200

                await nats.server.stop()
                await eventually(health, lambda seen: seen == 503, "health without NATS")
                assert "NATS" not in problem(await client.get("/api/health"), 503, "unavailable")
                assert "NATS" in problem(await client.get("/api/health/ready"), 503, "unavailable")
                body = {"folder_path": f"{BASE}/a/b/c"}
                assert "NATS" in problem(await client.post("/api/jobs", json=body), 503, "unavailable")
                assert (await client.get("/api/queue")).status_code == 200
                assert (await client.get("/api/system/status")).json()["nats"] == "away"
                problem(await client.get("/api/system/globus"), 503, "unavailable")
                await nats.server.start()
                await eventually(health, lambda seen: seen == 200, "health with NATS back")
                assert watching.state is State.OPEN
                assert "scanner is not running" in problem(await client.post("/api/jobs", json=body), 503, "unavailable")

                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(watching.wait_closed(), 60)
                assert watching.close_code == 1012, "the server restarts"
            assert await asyncio.wait_for(process.wait(), 60) == 0
    written = log.read_text()
    for defect in ("request_failed", "live_failed", "service_failed"):
        assert defect not in written
    for secret in (token, PASSWORD, "j" * 40, PASSWORDS[Role.GATEWAY]):
        assert secret not in written


async def test_no_secret_is_logged(pg: PostgresEngine, nats: NatsEngine, tmp_path: Path) -> None:
    """Every way that a secret enters, at the most verbose level: the whole log contains none of them."""
    dsn = await pg.create_database(await pg.template("migrated", _migrate))
    port, log = ports.fresh(), tmp_path / "log"
    environment = _environment(pg, nats, dsn, port, tmp_path)
    secrets = {"wrong-Passw0rd", "new-Passw0rd", "reset-Passw0rd", PASSWORD, "j" * 40, nats.passwords["gateway"]}
    async with _process(environment, log) as process, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        async def login(password: str = PASSWORD, **more: object) -> httpx.Response:
            return await client.post("/api/auth/login", json={"username": "admin", "password": password, **more})

        async def status() -> int:
            try:
                return (await login()).status_code
            except httpx.TransportError:
                return 0

        await eventually(status, lambda seen: seen == 200, "the first login")
        secrets.add((await login(cookie=True)).cookies["cs_archiver_session"])
        client.cookies.clear()
        token = (await login()).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        assert (await login("wrong-Passw0rd")).status_code == 401
        assert (
            await client.post("/api/auth/login", content=b'{"username": "admin", "password": "wrong-Passw0rd"')
        ).status_code == 400
        script = (await client.post("/api/tokens", json={"name": "x", "scope": "admin"})).json()["token"]
        made = (await client.post("/api/users", json={"username": "eve", "password": "new-Passw0rd"})).json()
        assert (await client.patch(f"/api/users/{made['id']}", json={"password": "reset-Passw0rd"})).status_code == 200
        change = {"current_password": PASSWORD, "new_password": "new-Passw0rd"}
        assert (await client.post("/api/auth/password", json=change)).status_code == 204
        for text in (token, script):
            async with connect(f"ws://127.0.0.1:{port}/ws/jobs?token={text}", proxy=None) as watching:
                await asyncio.wait_for(watching.recv(), 60)
            assert (await client.get(f"/api/queue?token={text}")).status_code == 200
            ticket = (await client.post("/api/ws-ticket")).json()["ticket"]
            async with connect(f"ws://127.0.0.1:{port}/ws/jobs?ticket={ticket}", proxy=None) as watching:
                await asyncio.wait_for(watching.recv(), 60)
            secrets.add(ticket)
        secrets |= {token, script, PASSWORDS[Role.GATEWAY]}
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    await pg.drop_database(dsn)
    written = log.read_text() + arguments
    assert "stopped" in written
    assert [secret for secret in secrets if secret in written] == []


async def test_wrong_settings(pg: PostgresEngine, nats: NatsEngine, tmp_path: Path) -> None:
    """A port in use and a password that bcrypt would cut end the process with a sentence instead of a stack."""
    dsn = await pg.create_database(await pg.template("migrated", _migrate))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases: list[tuple[dict[str, str], str]] = [
            ({}, f"port {port}"),
            ({"ADMIN_INITIAL_PASSWORD": "x" * 73, "GATEWAY_PORT": "0"}, "ADMIN_INITIAL_PASSWORD"),
        ]

        async def run(n: int, change: dict[str, str], expected: str) -> None:
            log = tmp_path / f"log{n}"
            async with _process(_environment(pg, nats, dsn, port, tmp_path) | change, log) as process:
                assert await asyncio.wait_for(process.wait(), 60) == 78
            assert expected in log.read_text()
            assert "Traceback" not in log.read_text()

        await asyncio.gather(*(run(n, *case) for n, case in enumerate(cases)))
    await pg.drop_database(dsn)
