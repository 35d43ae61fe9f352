"""A service as a process: start, health, clean shutdown, engines that come later, wrong settings."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from devstack import ports
from shared.service.runtime import EXIT_CONFIGURATION, EXIT_FAILED
from tests.support.engines import NatsEngine, PostgresEngine, nats_server
from tests.support.kernel import Kernel, _migrate, eventually

ROOT = Path(__file__).parents[3]


class Service:
    """One process, its health and its log."""

    def __init__(self, directory: Path, **environment: str) -> None:
        queries = directory / "queries.sql"
        queries.touch()
        self.log = directory / "log"
        self.health_port = ports.fresh()
        env = {"PATH": os.environ["PATH"], "QUERIES": str(queries), "HEALTH_PORT": str(self.health_port), **environment}
        argv = [sys.executable, "-m", "tests.shared.service_script"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def lines(self) -> list[dict[str, Any]]:
        whole = self.log.read_text().rpartition("\n")[0]  # the service may be writing the next line now
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    async def said(self) -> list[str]:
        return [line["event"] for line in self.lines()]

    async def health(self) -> tuple[int, dict[str, Any]]:
        head, _, body = (await self.get("/health")).partition("\r\n\r\n")
        return (int(head.split()[1]), json.loads(body)) if head else (0, {})

    async def metrics(self) -> str:
        return await self.get("/metrics")

    async def get(self, path: str) -> str:
        """Return the whole response, or an empty one while there is none."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.health_port)
        except OSError:
            return ""
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return (await reader.read()).decode()
        except OSError:
            return ""
        finally:
            writer.close()

    async def ended(self, timeout: float = 60.0) -> int:
        return await asyncio.to_thread(self.process.wait, timeout)


@pytest.fixture
def started() -> Iterator[list[Service]]:
    """End everything that a test starts."""
    services: list[Service] = []
    yield services
    for service in services:
        service.process.kill()
        service.process.wait()


def environment(kernel: Kernel, **more: str) -> dict[str, str]:
    nats = {"NATS_URL": kernel.nats.url, "NATS_PASSWORD": kernel.nats.passwords["compressor"]}
    return {"DATABASE_URL": kernel.url("compressor"), **nats, "POLL_SECONDS": "5", **more}


async def test_a_service_starts_works_and_stops(kernel: Kernel, tmp_path: Path, started: list[Service]) -> None:
    """Health answers 200 and a job is claimed.

    On SIGTERM it stops in the middle of its work: exit 0, the lease released, no heartbeat left.
    """
    job = await kernel.job()
    service = Service(tmp_path, **environment(kernel))
    started.append(service)

    row = await eventually(lambda: kernel.row(job), lambda seen: seen["status"] == "copying", "the job to be taken")
    assert row["lease_owner"].startswith("compressor@")
    counted = 'cs_archiver_transitions_total{status="copying"} 1.0'  # after the commit that the row shows
    figures = await eventually(service.metrics, lambda seen: counted in seen, "the transition to be counted")
    assert figures.startswith("HTTP/1.1 200 OK")
    assert "cs_archiver_claims_total 1.0" in figures
    status, answer = await eventually(service.health, lambda seen: seen[0] == 200, "health to be good")
    assert (status, answer["service"], answer["database"], answer["nats"]) == (200, "compressor", "ok", "ok")
    assert answer["instance"] == row["lease_owner"]
    assert await kernel.owner.fetchval("SELECT instance FROM service_instances") == row["lease_owner"]

    service.process.send_signal(signal.SIGTERM)
    code = await service.ended()

    row = await kernel.row(job)
    assert (code, row["lease_owner"], row["lease_until"], row["status"], row["crash_count"]) == (0, None, None, "copying", 0)
    assert await kernel.owner.fetchval("SELECT count(*) FROM service_instances") == 0
    assert (await service.said())[-1] == "stopped"


async def test_engines_that_come_later(kernel: Kernel, tmp_path: Path, started: list[Service]) -> None:
    """Neither Postgres nor NATS is up: the service waits, says so, and works once both are. Then NATS stops and health reports it."""
    async with nats_server() as engine:
        await engine.server.stop()
        # A gate in front of the database: closed, then open. Other tests share the server itself.
        port = ports.fresh()
        url = kernel.url("compressor").replace(f":{kernel.pg.server.port}/", f":{port}/")
        nats = {"NATS_URL": engine.url, "NATS_PASSWORD": engine.passwords["compressor"]}
        service = Service(tmp_path, **{**environment(kernel), **nats, "DATABASE_URL": url})
        started.append(service)
        await eventually(service.said, lambda seen: "database_unreachable" in seen, "the wait for Postgres to be logged")
        assert service.process.poll() is None

        gate = await asyncio.start_server(lambda r, w: _through(r, w, kernel.pg.server.port), "127.0.0.1", port)
        try:
            await eventually(
                service.said, lambda seen: "nats_unreachable" in seen or "nats_error" in seen, "the wait for NATS to be logged"
            )
            await engine.server.start()
            await eventually(service.said, lambda seen: "started" in seen, "the service to start")
            await eventually(service.health, lambda seen: seen[0] == 200, "health to be good")

            await engine.server.stop()
            told = {"nats": "not connected", "database": "ok"}
            await eventually(service.health, lambda seen: seen[0] == 503 and told.items() <= seen[1].items(), "health to tell")

            service.process.send_signal(signal.SIGTERM)
            assert await service.ended() == 0
        finally:
            gate.close()
            service.process.kill()


async def _through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Forward bytes to the real server."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()

    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def test_a_database_without_tables_is_waited_for(
    pg: PostgresEngine, nats: NatsEngine, tmp_path: Path, started: list[Service]
) -> None:
    """Before the migrations the service says so and waits. After them it starts work without a restart."""
    await pg.template("migrated", _migrate)  # the server owns the roles, the database owns the tables
    dsn = await pg.create_database()
    kernel = Kernel(pg, nats, dsn, None)
    service = Service(tmp_path, **environment(kernel))
    started.append(service)
    await eventually(service.said, lambda seen: "not_migrated" in seen, "the wait to be logged")

    await _migrate(dsn)
    kernel.owner = await asyncpg.connect(dsn)
    job = await kernel.job()
    await eventually(lambda: kernel.row(job), lambda seen: seen["status"] == "copying", "the job to be taken")

    assert service.process.poll() is None
    service.process.terminate()
    assert await service.ended() == 0
    await kernel.close()
    await pg.drop_database(dsn)


async def test_stopping_while_still_waiting_for_an_engine(tmp_path: Path, started: list[Service]) -> None:
    """SIGTERM before any engine answered: it stops waiting, exit 0."""
    nowhere = {"DATABASE_URL": f"postgresql://x:y@127.0.0.1:{ports.fresh()}/x", "NATS_URL": f"nats://127.0.0.1:{ports.fresh()}"}
    service = Service(tmp_path, **nowhere)
    started.append(service)
    await eventually(service.said, lambda seen: "database_unreachable" in seen, "the wait to be logged")

    service.process.send_signal(signal.SIGTERM)

    assert await service.ended() == 0


async def test_wrong_settings_end_the_process_naming_all(tmp_path: Path, started: list[Service]) -> None:
    """Exit 78, every wrong name in one message, no traceback, no secret."""
    wrong = {"DATABASE_URL": "mysql://root:hidden@x/y", "LEASE_SECONDS": "soon", "COMPRESS_LIMIT": "0", "QNAP_BASE_PATH": "nas"}
    service = Service(tmp_path, **wrong)
    started.append(service)

    assert await service.ended() == EXIT_CONFIGURATION == 78
    said = service.log.read_text()
    assert [name for name in (*wrong, "NATS_URL") if name not in said] == []
    assert "Traceback" not in said
    assert "hidden" not in said


async def test_a_refused_password_ends_the_process(kernel: Kernel, tmp_path: Path, started: list[Service]) -> None:
    """Postgres is up and refuses: exit 78 with its message instead of waiting permanently."""
    service = Service(tmp_path, **environment(kernel, DATABASE_URL=kernel.url("compressor").replace("pw-compressor", "hidden")))
    started.append(service)

    assert await service.ended() == EXIT_CONFIGURATION
    said = service.log.read_text()
    assert "Postgres refuses DATABASE_URL" in said
    assert "hidden" not in said
    assert "Traceback" not in said


async def test_a_defect_ends_the_process_with_a_reason(kernel: Kernel, tmp_path: Path, started: list[Service]) -> None:
    """The body raises: logged with its traceback, exit 1, so that the supervisor restarts it."""
    service = Service(tmp_path, **environment(kernel, BROKEN="1"))
    started.append(service)

    assert await service.ended() == EXIT_FAILED
    failed = [line for line in service.lines() if line["event"] == "service_failed"]
    assert len(failed) == 1
    assert "a defect" in failed[0]["exception"]
