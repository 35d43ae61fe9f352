"""The state of the system."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import psutil
from alembic.config import Config
from alembic.script import ScriptDirectory
from litestar import get
from litestar.di import NamedDependency

import shared
from services.gateway.http.http_errors import NATS_AWAY, unavailable
from services.gateway.http.problems import from_exception, refusals
from services.gateway.jobs import decide, views
from services.gateway.jobs.peers import Peers
from services.gateway.live.hub import Hub
from services.gateway.records.store import Store
from services.gateway.schemas.system import GlobusStatus, Health, Ready, RelayState, ServiceInstance, SystemStatus, Workers
from shared.domain.lifecycle import Kind
from shared.infra.bus import Bus

_SILENT_SECONDS = 30.0  # three missed heartbeats
_ALERTS = 20


@dataclass(frozen=True)
class System:
    """Status values that do not come from the database."""

    storage: Path
    globus_emulated: bool


def _migrations() -> tuple[str | None, frozenset[str]]:
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(shared.__path__))) / "migrations"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


_HEAD, _KNOWN = _migrations()


def _disk(storage: Path) -> tuple[int, int, int]:
    """Return total, used and free bytes of the storage. Before its directory exists, use the nearest parent."""
    place = next(path for path in (storage, *storage.parents) if path.exists())
    usage = psutil.disk_usage(str(place))
    return usage.total, usage.used, usage.free


@get("/system/status", operation_id="getSystemStatus", responses=refusals(), tags=["System"])
async def get_status(store: NamedDependency[Store], system: NamedDependency[System], bus: NamedDependency[Bus]) -> SystemStatus:
    """Report disk space, the lanes' jobs, job counts, processes and their leases, and everything that needs attention."""
    live, leases, lag = await store.live_jobs(), await store.leases(), await store.relay_lag()
    same = ("instance", "version", "started_at", "seen_at", "alive")
    status = SystemStatus(
        disk_space=views.disk_space(*await asyncio.to_thread(_disk, system.storage), await store.reserved_space()),
        workers=Workers(
            copy_compress=views.lane_status(views.oldest(live, decide.COMPRESSING_STATES)),
            upload=views.lane_status(views.oldest(live, decide.UPLOADING_STATES)),
        ),
        statistics=views.statistics(await store.job_counts()),
        globus_emulated=system.globus_emulated,
        services=[
            ServiceInstance(
                service=row["role"], jobs=views.held_jobs(leases, row["instance"]), **{name: row[name] for name in same}
            )
            for row in await store.instances(_SILENT_SECONDS)
        ],
        last_scan=views.scan_facts(await store.last_scan()),
        version=version("cs-archiver"),
        postgres=decide.postgres_state(store.refused),
        nats="ok" if bus.connected else "away",
        relay=RelayState(lag["waiting"], lag["oldest_seconds"]),
        alerts=[],
    )
    failed = [
        decide.FailedJob(row["id"], row["folder_name"], row["error_message"] or "no reason recorded", row["completed_at"])
        for row in await store.failures([Kind.ARCHIVE], None, _ALERTS)
    ]
    elsewhere = await store.work_elsewhere()
    return msgspec.structs.replace(status, alerts=decide.alerts(status, failed, store.refused, elsewhere))


@get("/system/globus", operation_id="checkGlobus", responses=refusals(), tags=["System"])
async def check_globus(peers: NamedDependency[Peers]) -> GlobusStatus:
    """Ask the uploader whether Globus works: real or emulated, collections, consents, and access to both directories.

    503: the state is unknown, because the uploader or NATS is unavailable.
    """
    seen = await peers.globus()
    facts = msgspec.to_builtins(seen)
    return msgspec.convert({**facts, "ok": not seen.problems}, GlobusStatus)


async def _refuse_unless_healthy(store: Store, bus: Bus) -> None:
    """Check the database and its migrations. Raises ProblemError and the database's errors."""
    done = await store.schema_version()
    # An unknown migration is a newer one: the old gateway keeps working while a new version is rolled out.
    if done is None or (done != _HEAD and done in _KNOWN):
        raise unavailable("The database is not migrated to this version yet: run `python -m shared.infra.migrate`.")
    if not await store.has_users():
        raise unavailable("The first user is being made.")
    if not bus.connected:
        raise unavailable(NATS_AWAY)
    if store.refused is not None:
        raise unavailable(str(store.refused))


@get("/health", operation_id="getHealth", tags=["System"], security=[{}], responses=refusals(public=True))
async def get_health(store: NamedDependency[Store], bus: NamedDependency[Bus]) -> Health:
    """Return 200 while the gateway works, else 503. Public, so without details: see `/api/health/ready`."""
    try:
        await _refuse_unless_healthy(store, bus)
    except Exception as exc:
        if from_exception(exc) is None:
            raise
        raise unavailable("This gateway cannot do its work now. Try again in a moment.") from exc
    return Health("healthy", datetime.now(UTC))


@get("/health/ready", operation_id="getReady", tags=["System"], security=[{}], responses=refusals(public=True))
async def get_ready(store: NamedDependency[Store], bus: NamedDependency[Bus], hub: NamedDependency[Hub]) -> Ready:
    """Readiness for load balancers and orchestrators: 200 when this gateway is healthy and its live view is up to date.

    503 names the cause: the database or its disk space, migrations, the first user, NATS, or the live view. `notes` of a 200
    say that events are late, for example while the stream is rebuilt. The gateway still works.
    """
    await _refuse_unless_healthy(store, bus)
    if not hub.is_following:
        raise unavailable("This gateway is still reading what is live.")
    lag = await store.relay_lag()
    late = decide.events_late(RelayState(lag["waiting"], lag["oldest_seconds"]))
    return Ready("ready", [late] if late is not None else [])
