"""The frame of every service process: settings, logs, connections, relay, heartbeat, health, and orderly stop."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar

import asyncpg
import msgspec

from shared import log
from shared.domain.lifecycle import Lane, Role
from shared.domain.retry import Limits
from shared.errors import ArchiverError, ConfigurationError, DatabaseAway, Operation
from shared.files import apart
from shared.infra import clock_skew, metrics, unused_settings
from shared.infra.bus import Bus
from shared.infra.db import Database, too_few_connections
from shared.infra.outbox import relay
from shared.infra.runtime_settings import RuntimeSettings
from shared.infra.settings import Common, load, retry_limits
from shared.infra.tls import nats_context
from shared.service.stagings import Sight
from shared.service.worker import Rules, Worker

logger = log.get(__name__)
S = TypeVar("S", bound=Common)

EXIT_FAILED = 1
EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
_SEEN_SECONDS = 10.0
_STOP_SECONDS = 8.0


@dataclass(frozen=True)
class Runtime(Generic[S]):
    """The objects from which a service builds itself."""

    role: Role
    settings: S
    db: Database
    bus: Bus
    instance: str
    tuned: RuntimeSettings = field(default_factory=RuntimeSettings)
    at_work: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the service answers requests and takes jobs. Before that it is not healthy."""

    def worker(
        self, lane: Lane, limit: int, operation: Operation, pass_hours: float | None = None, archives: Path | None = None
    ) -> Worker:
        """Return a worker for one lane.

        It follows this process's settings and an admin's changes to them, and wakes on its nudges.

        `archives`: the archives directory, for a lane that works with the files of a staging.
        """
        settings, tuned, base = self.settings, self.tuned, retry_limits(self.settings)

        def rules() -> Rules:
            return Rules(
                limit=tuned.get(lane.limit, limit),
                lease_seconds=settings.lease_seconds,
                poll_seconds=settings.poll_seconds,
                max_crashes=settings.max_crashes,
                retries=Limits(
                    compression=tuned.get("max_compression_retries", base.compression),
                    upload=tuned.get("max_upload_retries", base.upload),
                    connection=tuned.get("max_connection_error_retries", base.connection),
                    delay_s=tuned.get("retry_delay_seconds", base.delay_s),
                ),
                operation=operation,
                pass_hours=None if pass_hours is None else tuned.get("space_pass_hours", pass_hours),
            )

        sight = None if archives is None else Sight(self.db, self.role, self.instance, archives)
        worker = Worker(self.db, self.bus, lane, rules, self.instance, sight)
        tuned.on_change(worker.wake)
        return worker

    async def listen(self, *workers: Worker) -> None:
        """Connect a process's workers to its wake-ups. Call it when all else is ready: from here on the service is healthy.

        Pass all workers in one call: the service has one consumer, which delivers each event once.
        """

        def wake() -> None:
            for worker in workers:
                worker.wake()

        await self.bus.on_nudge(wake)
        self.bus.wake_on_events(wake)
        self.at_work.set()


Body = Callable[[Runtime[S]], Awaitable[None]]


def instance_prefix(role: Role, pid: int) -> str:
    """Return the prefix of all instance names on this host with this `pid`, unless a setting names the instance."""
    return f"{role}@{socket.gethostname()}:{pid}:"


def run_service(role: Role, shape: type[S], queries: Path, body: Body[S]) -> None:
    """Run a service until SIGTERM or SIGINT, then exit the process. `body` runs until it is cancelled."""
    try:
        settings = load(shape)
        compared = apart.check_settings(settings)
        instance = settings.instance or instance_prefix(role, os.getpid()) + secrets.token_hex(2)
        log.configure(role, instance, settings.log_level, settings.log_format, settings.log_file)
        for note in unused_settings.notes(name for name, value in os.environ.items() if value):
            logger.warning("setting_unknown", message=note)
        if not compared:
            logger.warning(
                "places_unknown", message="The NAS or a disk does not answer: whether they are apart is looked at later."
            )
        code = asyncio.run(_serve(role, settings, instance, queries, body))
    except ConfigurationError as exc:
        sys.stderr.write(f"{exc}\n")
        code = EXIT_CONFIGURATION
    sys.exit(code)


async def _serve(role: Role, settings: S, instance: str, queries: Path, body: Body[S]) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(_start(role, settings, instance, queries, body))
    await asyncio.wait([stopping, starting], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return 0
    runtime, tasks = starting.result()
    logger.info("started", message=f"The {role} is at work.", version=version("cs-archiver"))
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_STOP_SECONDS)
    with contextlib.suppress(DatabaseAway, TimeoutError):
        await asyncio.wait_for(runtime.db.run("gone", instance), 1)
    await runtime.bus.close()
    await runtime.db.close()
    failed = [task.exception() for task in done if task is not stopping and not task.cancelled()]
    for error in failed:
        if isinstance(error, ConfigurationError):
            raise error
        logger.error("service_failed", message=f"The {role} stops: {error}", exc_info=error)
    logger.info("stopped", message=f"The {role} stopped.")
    return EXIT_FAILED if failed else 0


async def _start(
    role: Role, settings: S, instance: str, queries: Path, body: Body[S]
) -> tuple[Runtime[S], list["asyncio.Task[None]"]]:
    db = await Database.connect(settings.database_url, queries)
    bus = await Bus.connect(settings.nats_url, role, settings.nats_password, settings.nats_user, nats_context(settings))
    runtime = Runtime(role, settings, db, bus, instance)
    # The gateway reports by itself what is missing. The others have nothing to do before the tables are there.
    work = body(runtime) if role is Role.GATEWAY else _once_migrated(db, lambda: _with_saved_settings(runtime, body))
    settings_kept = _once_migrated(db, lambda: runtime.tuned.keep(db, bus))
    coroutines: list[Any] = [work, settings_kept, _once_migrated(db, lambda: relay(db, bus)), _sign_of_life(runtime)]
    if settings.health_port:
        coroutines.append(_serve_health(runtime, settings.health_port))
    return runtime, [asyncio.create_task(coroutine) for coroutine in coroutines]


async def _once_migrated(db: Database, work: Callable[[], Awaitable[None]]) -> None:
    said = False
    while True:
        with contextlib.suppress(DatabaseAway):
            if await db.value("is_migrated"):
                break
            if not said:
                said = True
                logger.warning(
                    "not_migrated", message="The database has no tables yet; waiting for `python -m shared.infra.migrate`."
                )
        await asyncio.sleep(0.5)
    await work()


async def _with_saved_settings(runtime: Runtime[S], body: Body[S]) -> None:
    """Start working only with the saved settings of admins: the environment's limits must not apply even briefly."""
    await runtime.tuned.loaded.wait()
    await body(runtime)


async def _sign_of_life(runtime: Runtime[S]) -> None:
    counted, said = False, None
    while True:
        # Missing tables, roles or grants: the migrations have not run yet, and this service waits for them.
        with contextlib.suppress(DatabaseAway, asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
            await runtime.db.run("seen", runtime.instance, runtime.role, version("cs-archiver"))
            await runtime.db.probe()
            wrong = clock_skew.problem(datetime.now(UTC), await runtime.db.value("now"))
            if wrong is not None and wrong != said:
                logger.error("clock_differs", message=wrong)
            said = wrong
            if not counted:
                counted = True
                await _count_connections(runtime.db)
        await asyncio.sleep(_SEEN_SECONDS)


class Connections(msgspec.Struct, frozen=True):
    """`connection_room`: how many connections the server gives to services, and how many service processes live."""

    room: int
    processes: int


async def _count_connections(db: Database) -> None:
    """Warn at the start when all processes together may need more connections than there are."""
    found = await db.one(Connections, "connection_room")
    problem = None if found is None else too_few_connections(found.room, found.processes)
    if problem is not None:
        logger.error("too_few_connections", message=problem)


async def _serve_health(runtime: Runtime[S], port: int) -> None:
    """Serve on 127.0.0.1: GET /metrics, and this process's health for any other request.

    Health is 200 when both engines answer and the service is at work.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ArchiverError):
            request = await asyncio.wait_for(reader.readline(), 5)
            if request.startswith(b"GET /metrics "):
                status, kind, body = "200 OK", metrics.CONTENT_TYPE, metrics.render()
            else:
                state = await health(runtime)
                kind, body = (
                    "application/json",
                    msgspec.json.encode({"service": runtime.role, "instance": runtime.instance, **state}),
                )
                status = "200 OK" if all(value == "ok" for value in state.values()) else "503 Service Unavailable"
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def health(runtime: Runtime[Any]) -> dict[str, str]:
    """Return `ok` or the problem, per engine and for the service itself."""
    try:
        await asyncio.wait_for(runtime.db.value("ping"), 3)
        database = "ok" if runtime.db.refused is None else str(runtime.db.refused)
    except (DatabaseAway, TimeoutError) as exc:
        database = f"not reachable ({exc or 'no answer within 3 s'})"
    nats = "ok" if runtime.bus.connected else "not connected"
    return {"database": database, "nats": nats, "work": "ok" if runtime.at_work.is_set() else "not begun"}
