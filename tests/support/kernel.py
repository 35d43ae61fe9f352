"""The migrated database and the bus, as each service sees them.

Fixture `kernel`: a database of this test's own at the newest schema. `await kernel.db("compressor")` is that role's Database,
`await kernel.bus("compressor")` its Bus and `kernel.owner` a superuser connection. The helpers below create rows to start from.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from shared.domain.destinations import RemotePlace
from shared.domain.lifecycle import Role
from shared.infra import migrate
from shared.infra.bus import Bus
from shared.infra.db import Database
from shared.migrations.guard import fix_names
from tests.support.engines import NatsEngine, PostgresEngine

PASSWORDS = {role: f"pw-{role}" for role in Role}
SERVICES = Path(__file__).parents[2] / "services"
SHA = "a" * 64
MANIFEST_SHA = "b" * 64
MD5 = "c" * 32
PLACE = RemotePlace("de570000-0000-4000-8000-000000000001", "/tape")  # the emulator's destination
USE_PLACE = "INSERT INTO remote_places (endpoint, base_path, used_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING"


async def _migrate(dsn: str) -> None:
    await asyncio.to_thread(migrate.upgrade, dsn)
    await migrate.set_passwords(dsn, PASSWORDS)


class Kernel:
    """One test's database and bus."""

    def __init__(self, pg: PostgresEngine, nats: NatsEngine, dsn: str, owner: Any) -> None:
        self.pg, self.nats, self.dsn, self.owner = pg, nats, dsn, owner
        self._databases: dict[str, Database] = {}
        self._buses: list[Bus] = []

    def url(self, role: str) -> str:
        return self.pg.dsn_as(self.dsn, f"cs_{role}", PASSWORDS[Role(role)])

    async def db(self, role: str) -> Database:
        if role not in self._databases:
            own = SERVICES / role / "queries.sql"
            self._databases[role] = await Database.connect(self.url(role), *([own] if own.exists() else []), size=4)
        return self._databases[role]

    async def bus(self, role: str) -> Bus:
        bus = await Bus.connect(self.nats.url, role, self.nats.passwords[role])
        self._buses.append(bus)
        return bus

    async def close(self) -> None:
        for bus in self._buses:
            await bus.close()
        for database in self._databases.values():
            await database.close()
        await self.owner.close()

    async def job(self, *, hold: bool = True, **columns: Any) -> UUID:
        """Insert a queued archive job as the gateway does. Its destination is held unless `hold` is off; `columns` override."""
        await self.owner.execute(USE_PLACE, PLACE.endpoint, PLACE.base)
        name = columns.pop("folder_name", f"Folder {uuid4().hex[:8]}")
        path = columns.pop("source_path", f"/nas/One/Two/{name}")
        destination = columns.pop("destination_path", f"/One/Two/{name}.tar.7z")
        if columns.get("kind", "archive") != "archive":
            columns = {"request": {"root": "workspace"}, "keep_source": columns["kind"] != "pack", **columns}
        values = {"folder_name": name, "source_path": path, "destination_path": destination, "created_by": "ada", **columns}
        names = ", ".join(values)
        marks = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        gateway = await self.db("gateway")
        async with gateway.transaction() as session:
            statement = f"INSERT INTO jobs ({names}) VALUES ({marks}) RETURNING id"
            job_id: UUID = await session.connection.fetchval(statement, *values.values())
            if destination is not None and hold:
                await session.connection.execute(
                    "INSERT INTO destinations (key, path, job_id, state, place)"
                    " SELECT $1, $2, $3, 'held', id FROM remote_places WHERE (endpoint, base_path) = ($4, $5)",
                    *(PLACE.key(destination), destination, job_id, PLACE.endpoint, PLACE.base),
                )
        return job_id

    async def row(self, job_id: UUID) -> Any:
        return await self.owner.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)

    async def states(self, job_id: UUID) -> list[str]:
        """Return the states that a job entered, in order."""
        rows = await self.owner.fetch(
            "SELECT payload -> 'data' ->> 'status' AS s FROM outbox WHERE job_id = $1 ORDER BY version", job_id
        )
        return [row["s"] for row in rows]

    async def force(self, job_id: UUID, **columns: Any) -> None:
        """Put a job into a state past the guard, for tests that begin in the middle."""
        sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(columns, 2))
        async with self.owner.transaction():
            await self.owner.execute("SET LOCAL session_replication_role = replica")
            await self.owner.execute(f"UPDATE jobs SET {sets} WHERE id = $1", job_id, *columns.values())

    async def archive(self, job_id: UUID, attempt: int = 1, **columns: Any) -> None:
        """Record an archive past the guard and make it the current one."""
        values = {
            "job_id": job_id,
            "attempt": attempt,
            "archive_path": "/archives/x.tar.7z",
            "size": 100,
            "sha256": SHA,
            "md5": MD5,
            "manifest_size": 10,
            "manifest_sha256": MANIFEST_SHA,
            "manifest_md5": MD5,
            "manifest": b"x",
            "file_count": 1,
            "total_bytes": 1,
            **columns,
        }
        marks = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        async with self.owner.transaction():
            await self.owner.execute("SET LOCAL session_replication_role = replica")
            await self.owner.execute(f"INSERT INTO archives ({', '.join(values)}) VALUES ({marks})", *values.values())
        await self.force(job_id, archive_attempt=attempt)


async def eventually(look: Callable[[], Any], wanted: Callable[[Any], bool], what: str, timeout: float = 60.0) -> Any:
    """Wait until `wanted(await look())`. A failure names the last value."""
    seen: Any = None
    try:
        async with asyncio.timeout(timeout):
            while True:
                seen = await look()
                if wanted(seen):
                    return seen
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{what}: not within {timeout} s; last seen: {seen!r}")


@pytest.fixture
async def kernel(pg: PostgresEngine, nats: NatsEngine) -> AsyncIterator[Kernel]:
    template = await pg.template("migrated", _migrate)
    dsn = await pg.create_database(template)
    await nats.close()  # clients of earlier tests may listen and reply on this test's subjects
    await nats.reset()
    made = Kernel(pg, nats, dsn, await asyncpg.connect(dsn))
    await fix_names(made.owner)  # a copy of a database lacks its rights
    yield made
    await made.close()
    await pg.drop_database(dsn)
