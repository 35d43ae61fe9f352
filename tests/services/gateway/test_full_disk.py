"""A full disk under Postgres: reported as such, an alert, and no job fails because of it."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from shared.domain.lifecycle import Role
from shared.errors import DISK_FULL
from shared.service import runtime
from tests.services.gateway.conftest import problem, running
from tests.shared.service.test_worker import compress, lane, status_is
from tests.support.engines import can_mount, fill, nats_server, postgres_on_a_small_disk
from tests.support.kernel import eventually

FULL = "The database's disk is full. Free some space"


@pytest.mark.skipif(not can_mount(), reason="no small disk can be mounted here")
async def test_the_disk_of_postgres_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Submissions get 503 with the reason, the status and both health answers report it, a queued job stays queued.

    Then all continues.
    """
    monkeypatch.setattr(runtime, "_SEEN_SECONDS", 0.1)
    async with nats_server() as nats, postgres_on_a_small_disk() as (pg, disk), running(pg, nats, tmp_path) as gateway:
        gateway.token = await gateway.login()
        process: runtime.Runtime[Any] = runtime.Runtime(
            Role.GATEWAY, None, await gateway.kernel.db("gateway"), gateway.bus, "gateway@test"
        )
        process.at_work.set()
        signs = asyncio.create_task(runtime._sign_of_life(process))

        async def status() -> Any:
            return (await gateway.ask("GET", "/api/system/status")).json()

        assert (await status())["postgres"] == "ok"
        queued = UUID((await gateway.request())["job_id"])
        # Leave space for the Postgres WAL, because a full WAL would stop the server. Only the table space is full.
        superuser = await asyncpg.connect(pg.server.dsn())
        await superuser.execute("SELECT pg_switch_wal()")
        await superuser.execute("CHECKPOINT")
        await superuser.close()
        ballast = await asyncio.to_thread(fill, disk)
        try:
            seen = await eventually(
                status, lambda now: now["postgres"] == "disk_full", "the status to say so, before anybody writes"
            )
            assert [a["message"][: len(FULL)] for a in seen["alerts"] if a["kind"] == "database_full"] == [FULL]
            assert FULL in problem(await gateway.ask("GET", "/api/health/ready", token=""), 503, "unavailable")
            problem(await gateway.ask("GET", "/api/health", token=""), 503, "unavailable")
            assert FULL in (await runtime.health(process))["database"]

            async def submitted() -> Any:
                return await gateway.ask("POST", "/api/jobs", json={"folder_path": gateway.folder()})

            # The tables' existing pages still take some rows.
            refused = await eventually(submitted, lambda answer: answer.status_code != 201, "a submission to be refused")
            assert FULL in problem(refused, 503, "unavailable")

            async with lane(gateway.kernel, compress, lease_seconds=1.0, poll_seconds=0.2):
                compressor = await gateway.kernel.db("compressor")

                async def met() -> Any:
                    return compressor.refused

                assert (await eventually(met, bool, "the lane to meet the full disk")).kind == DISK_FULL
                assert (await gateway.kernel.row(queued))["status"] == "queued"
                ballast.unlink()
                row = await status_is(gateway.kernel, queued, "compressed")
        finally:
            ballast.unlink(missing_ok=True)
        assert (row["error_message"], row["crash_count"]) == (None, 0)
        await eventually(status, lambda now: now["postgres"] == "ok", "the status to be well again")
        assert (await gateway.ask("POST", "/api/jobs", json={"folder_path": gateway.folder()})).status_code == 201
        assert (await gateway.ask("GET", "/api/health/ready", token="")).status_code == 200
        signs.cancel()
        await asyncio.gather(signs, return_exceptions=True)
