"""The real gateway over HTTP, with real Postgres, real NATS and its own HTTP server. Peers on the bus stand for the other services.

`gateway` is created once for all tests, because a login deliberately costs a quarter of a second of bcrypt. Each test uses its
own folders.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import msgspec
import pytest

from services.gateway import app, gate
from services.gateway.files import packs
from services.scanner import browsing, discovery
from shared.domain.lifecycle import Role
from shared.errors import NOT_FOUND, PermanentError, Waiting
from shared.files import mount
from shared.infra.bus import Bus
from shared.infra.db import Database
from shared.infra.outbox import relay
from shared.infra.runtime_settings import RuntimeSettings
from shared.infra.settings import GatewaySettings, load
from shared.service.rpc import (
    ArchiveEntry,
    ArchiveListing,
    ArchiveStats,
    AskArchiveStats,
    AskDestination,
    Browse,
    DestinationState,
    Inspect,
    Inspected,
    ListArchive,
    MeasureFolder,
    PlanArchive,
    PlanExtraction,
    PlannedArchive,
    PlannedExtraction,
    Refresh,
    Refreshed,
)
from shared.service.runtime import Runtime
from tests.services.gateway.looking import Scanner, scanning
from tests.support.engines import NatsEngine, PostgresEngine
from tests.support.kernel import PLACE, USE_PLACE, Kernel, _migrate, eventually

BASE = "/nas"
NAS_ID = "6b1f5f0e-57a3-4b0c-9a49-0a4f1f3f1c11"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No compressor runs here to end a cancelled pack. Refused requests of these tests are not retried at once."""
    monkeypatch.setattr(packs, "CANCEL_SECONDS", 0.1)
    monkeypatch.setattr(gate, "REFUSED_SECONDS", 0.0)


class Peers:
    """The scanner and the uploader as the gateway sees them: real bus, replies set by the test."""

    def __init__(self, nas: Path) -> None:
        """looked_at: a base whose folders are really inspected, as the scanner does."""
        self.nas = nas
        nas.mkdir(exist_ok=True)
        (nas / mount.SENTINEL).write_text(NAS_ID)
        self.folders: dict[str, Inspected] = {}
        self.refusals: dict[str, tuple[str, str | None]] = {}
        self.waiting: str | None = None
        self.looked_at: Path | None = None
        self.destinations: dict[str, DestinationState] = {}
        self.asked: list[AskDestination] = []
        self.scans = 0
        self.scanning: asyncio.Event | None = None

    async def serve(self, scanner: Bus, uploader: Bus) -> None:
        await scanner.serve("inspect", self._inspect)
        await scanner.serve("refresh", self._refresh)
        await scanner.serve("browse", self._browse)
        await scanner.serve("measure", self._measure)
        await uploader.serve("destination", self._destination)
        for bus in (scanner, uploader):
            await bus.connection.flush()  # the server knows the responders before the first request

    async def _inspect(self, payload: bytes) -> msgspec.Struct:
        path = msgspec.json.decode(payload, type=Inspect).path
        if self.waiting:
            raise Waiting(self.waiting, 7)
        if path in self.refusals:
            raise PermanentError(*self.refusals[path])
        if self.looked_at is not None and path.startswith(f"{self.looked_at}/"):
            found = discovery.inspect(self.looked_at, path)
            return Inspected(found.path, found.name, found.level1, found.level2, found.device, found.inode, None, None)
        if path not in self.folders:
            raise PermanentError(f"{path} does not exist.", NOT_FOUND)
        return self.folders[path]

    async def _refresh(self, payload: bytes) -> msgspec.Struct:
        msgspec.json.decode(payload, type=Refresh)
        self.scans += 1
        if self.scanning is not None:
            await self.scanning.wait()
        return Refreshed(self.scans, datetime.now(UTC), 0)

    async def _browse(self, payload: bytes) -> msgspec.Struct:
        if self.waiting:
            raise Waiting(self.waiting, 7)
        return browsing.browse(self.nas, NAS_ID, msgspec.json.decode(payload, type=Browse))

    async def _measure(self, payload: bytes) -> msgspec.Struct:
        return browsing.measure(self.nas, NAS_ID, msgspec.json.decode(payload, type=MeasureFolder))

    async def _destination(self, payload: bytes) -> msgspec.Struct:
        question = msgspec.json.decode(payload, type=AskDestination)
        self.asked.append(question)
        return self.destinations.get(question.path, DestinationState("absent"))


class Gateway:
    """The running gateway and its surroundings."""

    def __init__(self, url: str, kernel: Kernel, peers: Peers, bus: Bus, storage: Path, tuned: RuntimeSettings) -> None:
        self.url, self.kernel, self.peers, self.bus, self.storage, self.tuned = url, kernel, peers, bus, storage, tuned
        self.client = httpx.AsyncClient(base_url=url, timeout=60)
        self.token = ""
        self.made = 0

    async def login(self, username: str = "admin", password: str = PASSWORD) -> str:
        answer = await self.client.post("/api/auth/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def folder(self, name: str | None = None, **facts: Any) -> str:
        """Register a folder that the scanner accepts. Return its path."""
        self.made += 1
        name = name or f"Folder {uuid4().hex[:8]}"
        path = f"{BASE}/Production/2024/{name}"
        values = {"device": 5, "inode": 1000 + self.made, "size_bytes": 4096, "file_count": 3} | facts
        self.peers.folders[path] = Inspected(path, name, "Production", "2024", **values)
        return path

    async def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        """Send a request with the admin's token or another one. `token=""` sends none."""
        token = self.token if token is None else token
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)

    async def request(self, path: str | None = None, **more: Any) -> dict[str, Any]:
        """Queue a job. Return the response."""
        answer = await self.ask("POST", "/api/jobs", json={"folder_path": path or self.folder(), **more})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


def problem(answer: httpx.Response, status: int, kind: str) -> str:
    """Check that this is a complete problem document. Return its detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (document["type"], document["status"]) == (kind, status)
    assert document["title"]
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["detail"][-1] in ".!", "a sentence"
    return str(document["detail"])


@contextlib.asynccontextmanager
async def running(
    pg: PostgresEngine, nats: NatsEngine, storage: Path, *, events: bool = True, **environment: str
) -> AsyncIterator[Gateway]:
    """Run a gateway on its own database. `events`: with the stream, which only one database at a time can feed."""
    dsn = await pg.create_database(await pg.template("migrated", _migrate))
    if events:
        await nats.reset()
    kernel = Kernel(pg, nats, dsn, await asyncpg.connect(dsn))
    await kernel.owner.execute(USE_PLACE, PLACE.endpoint, PLACE.base)
    await kernel.owner.execute("INSERT INTO storage_places VALUES ('workspaces', 'test:workspaces')")
    variables = {
        "DATABASE_URL": kernel.url("gateway"),
        "NATS_URL": nats.url,
        "NATS_PASSWORD": nats.passwords["gateway"],
        "JWT_SECRET_KEY": "k" * 40,
        "QNAP_BASE_PATH": BASE,
        "STORAGE_BASE_PATH": str(storage),
        "ADMIN_INITIAL_PASSWORD": PASSWORD,
        "GATEWAY_PORT": "0",
        "UI_PATH": str(storage / "no-ui"),  # the small page, even if a UI was built here
        **environment,
    }
    settings = load(GatewaySettings, variables)
    bus = await kernel.bus("gateway")
    runtime = Runtime(Role.GATEWAY, settings, await kernel.db("gateway"), bus, "gateway@test")
    sock = app.listening("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    tasks = [asyncio.create_task(app.serve(runtime, sock)), asyncio.create_task(runtime.tuned.keep(runtime.db, bus))]
    if events:
        tasks.append(asyncio.create_task(relay(runtime.db, bus)))
    peers = Peers(storage / "nas")
    await peers.serve(await kernel.bus("scanner"), await kernel.bus("uploader"))
    gateway = Gateway(url, kernel, peers, bus, storage, runtime.tuned)

    async def users() -> int:
        for task in tasks:
            if task.done():
                await task
        return int(await kernel.owner.fetchval("SELECT count(*) FROM users"))

    try:
        await eventually(users, lambda n: n == 1, "the first admin")
        yield gateway
    finally:
        await gateway.client.aclose()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await kernel.close()
        await pg.drop_database(dsn)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


@contextlib.asynccontextmanager
async def second(first: Gateway, storage: Path, **environment: str) -> AsyncIterator[str]:
    """Run another gateway on the same engines. Yield its address."""
    variables = {
        "DATABASE_URL": first.kernel.url("gateway"),
        "NATS_URL": first.kernel.nats.url,
        "JWT_SECRET_KEY": "k" * 40,
        "QNAP_BASE_PATH": BASE,
        "STORAGE_BASE_PATH": str(storage),
        **environment,
    }
    settings = load(GatewaySettings, variables)
    database = await Database.connect(settings.database_url, app.QUERIES, size=4)
    runtime = Runtime(Role.GATEWAY, settings, database, await first.kernel.bus("gateway"), "gateway@second")
    sock = app.listening("127.0.0.1", 0)
    task = asyncio.create_task(app.serve(runtime, sock))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await database.close()


@pytest.fixture(scope="package")
async def gateway(pg: PostgresEngine, nats: NatsEngine, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running(pg, nats, tmp_path_factory.mktemp("storage")) as made:
        made.token = await made.login()
        yield made


class Compressor:
    """Replies for the compressor. If `refusal` is set, it is raised instead."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.refusal: PermanentError | None = None

    def answers(self, shape: type[Any], answer: Any) -> Any:
        async def served(payload: bytes) -> msgspec.Struct:
            question = msgspec.json.decode(payload, type=shape)
            self.asked.append(question)
            if self.refusal is not None:
                raise self.refusal
            made: msgspec.Struct = answer(question)
            return made

        return served


@contextlib.asynccontextmanager
async def answering(gateway: Gateway) -> AsyncIterator[Compressor]:
    """A compressor that replies to requests about archives."""
    made = Compressor()
    bus = await gateway.kernel.bus(Role.COMPRESSOR)
    entry = ArchiveEntry("a/b.txt", "file", 10, modified_at=datetime(2026, 1, 1, tzinfo=UTC), crc32="0badf00d")
    stats = ArchiveStats("zip", 2, 1, 100, 75, 25.0, encrypted=False, problems=[])
    await bus.serve("plan_archive", made.answers(PlanArchive, lambda q: PlannedArchive(q.output, 4096, 3)))
    await bus.serve("plan_extraction", made.answers(PlanExtraction, lambda _: PlannedExtraction(1000)))
    await bus.serve("list_archive", made.answers(ListArchive, lambda _: ArchiveListing(7, [entry])))
    await bus.serve("archive_stats", made.answers(AskArchiveStats, lambda _: stats))
    await bus.connection.flush()
    yield made
    await bus.close()


@pytest.fixture
async def compressor(gateway: Gateway) -> AsyncIterator[Compressor]:
    async with answering(gateway) as made:
        yield made


@pytest.fixture(scope="package")
async def scanner(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scanner]:
    async with scanning(gateway.kernel, tmp_path_factory.mktemp("scanner")) as made:
        gateway.peers.looked_at = made.base
        yield made
