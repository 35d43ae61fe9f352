"""The embedded edition: everything on one machine, supervised by this process. `cs-archiver up`.

The order is: lock, leftovers of a killed run, checks, engines, migrations, emulator (unless Globus is real), services, ready
line. The shutdown reverses it. With a new DATA_DIR the checks come first, so that wrong settings create nothing there.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

import asyncpg
import msgspec

from devstack import env_file, nats_server, ports, postgres, secrets
from devstack.lock import data_dir_lock, leftovers, recorded_pids, was_used
from devstack.nats_server import NatsServer
from devstack.postgres import Postgres
from devstack.processes import SETTLED_S, Child, Program, Report, report
from shared.archiving.sevenzip import find_binary
from shared.domain.lifecycle import Role
from shared.endings import asked_to_end
from shared.errors import ArchiverError, ConfigurationError, DatabaseAway
from shared.files import apart
from shared.infra import unused_settings
from shared.infra.db import database_errors
from shared.infra.migrate import set_passwords, upgrade
from shared.infra.nats_permissions import PROVISION
from shared.infra.provision import keep, provision
from shared.infra.settings import (
    GLOBUS_SET,
    Common,
    CompressorSettings,
    GatewaySettings,
    ScannerSettings,
    UploaderSettings,
    globus_is_real,
    load,
)
from shared.media.reader import check_installed
from shared.service.runtime import instance_prefix

DATABASE = "cs_archiver"
SHAPES: dict[Role, type[Common]] = {
    Role.SCANNER: ScannerSettings,
    Role.COMPRESSOR: CompressorSettings,
    Role.UPLOADER: UploaderSettings,
    Role.GATEWAY: GatewaySettings,
}
_PLACES = ("STORAGE_TEMP_PATH", "STORAGE_ARCHIVES_PATH", "STORAGE_FAILED_PATH", "ARCHIVE_TEMP_DIR")
_OWN = "cs-archiver up uses its own"
_OVERRIDDEN = {
    "DATABASE_URL": f"{_OWN} Postgres, in DATA_DIR. For another one, run the services by themselves (docs/operations.md, Containers).",
    "NATS_URL": f"{_OWN} NATS, in DATA_DIR.",
    "NATS_PASSWORD": f"{_OWN} NATS, in DATA_DIR.",
    "STORAGE_BASE_PATH": "The storage is DATA_DIR/storage. Set DATA_DIR.",
    "LOG_FILE": "Each service writes its own file into DATA_DIR/logs.",
    "HEALTH_PORT": "cs-archiver up gives each service a port of its own.",
    "GLOBUS_EMULATED": "Globus is emulated when GLOBUS_CLIENT_ID is not set.",
}
"""Settings that this edition sets itself."""
_LEAST_FREE_BYTES = 512 * 2**20
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")
_FAULTS = "CS_ARCHIVER_CRASH_"  # tests break services with these: shared/faults.py
_START_S = 120.0
_EXPIRE = (
    "UPDATE {table} SET lease_until = clock_timestamp() WHERE starts_with(lease_owner, $1) AND lease_until > clock_timestamp()"
)


@dataclass(frozen=True)
class Ready:
    """The running system, once it answers."""

    url: str
    data_dir: Path
    database_dir: Path
    nats_url: str
    emulated: bool
    pids: dict[str, int]


def data_dir_of(environment: Mapping[str, str]) -> Path:
    """Return DATA_DIR as an absolute path, by default ./data."""
    return Path(environment.get("DATA_DIR") or "data").resolve()


async def up(environment: Mapping[str, str], *, on_ready: Callable[[Ready], None], say: Report = report) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP. Raises ArchiverError, or ConfigurationError before anything starts."""
    for note in unused_settings.notes((name for name, value in environment.items() if value), _OVERRIDDEN):
        say(note)
    data_dir = data_dir_of(environment)
    used = was_used(data_dir)
    if not used:
        check(environment, data_dir)
    prepare(data_dir)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in {signal.SIGINT, *asked_to_end()}:  # scripts start it with `&` and still end it with SIGINT
        loop.add_signal_handler(number, stop.set)
    with data_dir_lock(data_dir):
        dead = await asyncio.to_thread(recorded_pids, data_dir)
        for ended in await asyncio.to_thread(leftovers, data_dir):
            say(f"Ended what a killed run had left: {ended}.")
        if used:  # after the lock and the leftovers: only now are their resources free, above all the gateway's port
            check(environment, data_dir)
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(start(environment, data_dir, stack, say, dead))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait([starting])
                return
            on_ready(starting.result())
            await stopping


def check(environment: Mapping[str, str], data_dir: Path) -> None:
    """Report every problem that would stop the start later, all at once. Raises ConfigurationError."""
    wrong = [
        *_wrong_source(environment),
        *_not_apart(environment, data_dir),
        *_wrong_port(environment),
        *_wrong_settings(environment),
        *_missing_tools(environment),
    ]
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    if shutil.disk_usage(existing).free < _LEAST_FREE_BYTES:
        wrong.append(f"DATA_DIR: less than {_LEAST_FREE_BYTES >> 20} MiB are free on the disk of {data_dir}.")
    if wrong:
        raise ConfigurationError("Cannot start:\n  " + "\n  ".join(wrong))


def prepare(data_dir: Path) -> None:
    """Create DATA_DIR. Postgres' own account may pass through it, while everything in it is private."""
    if not data_dir.exists():
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o711)
    for name in ("run", "logs", "secrets", "storage"):
        secrets.private_directory(data_dir / name)
    apart.mark(data_dir)


async def start(
    environment: Mapping[str, str], data_dir: Path, stack: AsyncExitStack, say: Report, dead: Mapping[str, int]
) -> Ready:
    """Start everything in order; `stack` stops it in reverse. Raises ArchiverError.

    dead: pids of the processes of a killed run, by name.
    """
    database = Postgres(data_dir, say=say)
    nats = NatsServer(data_dir, say=say)
    await database.initialise()
    stack.push_async_callback(database.stop)
    stack.push_async_callback(nats.stop)
    await together([database.start(), nats.start()])
    await together([_migrate(database, data_dir), provision(nats.url, nats.passwords[PROVISION])])
    keeping = asyncio.create_task(keep(nats.url, nats.passwords[PROVISION]))
    stack.callback(keeping.cancel)
    common = dict(environment) | {"NATS_URL": nats.url, "STORAGE_BASE_PATH": str(data_dir / "storage")}
    emulated = not globus_is_real(environment)
    if emulated:
        common |= await _start_emulator(environment, data_dir, stack, say)
    children = {role: _service(role, common, data_dir, database, nats, say, dead.get(role)) for role in Role}
    stack.push_async_callback(_stop_all, list(children.values()))
    await together([child.start(_START_S) for child in children.values()])
    host = environment.get("GATEWAY_HOST") or GatewaySettings.gateway_host
    return Ready(
        url=f"http://{host}:{_gateway_port(environment)}",
        data_dir=data_dir,
        database_dir=database.home.path,
        nats_url=nats.url,
        emulated=emulated,
        pids={"postgres": database.pid or 0, "nats": nats.pid or 0} | {role: child.pid or 0 for role, child in children.items()},
    )


def destroy(data_dir: Path) -> None:
    """Remove DATA_DIR and its database, wherever that is. Raises ArchiverError while `up` runs on it. Blocks."""
    if not data_dir.is_dir():
        raise ArchiverError(f"There is nothing at {data_dir}.")
    if not was_used(data_dir):
        raise ArchiverError(f"{data_dir} was not made by cs-archiver up; nothing was removed.")
    with data_dir_lock(data_dir):
        leftovers(data_dir)
        postgres.destroy(data_dir)
        shutil.rmtree(data_dir)


def service_environment(role: Role, common: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of one service: its own settings, and no secrets of others. Pure."""
    known = {setting.name.upper() for setting in fields(SHAPES[role])}
    passed_on = {name: value for name, value in common.items() if name in known or name in _PASSED_ON or name.startswith(_FAULTS)}
    return passed_on | dict(own)


async def together(work: list[Awaitable[None]]) -> None:
    """Run all awaitables. The first failure cancels the others, waits for them, and is raised alone."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _migrate(database: Postgres, data_dir: Path) -> None:
    connection = await asyncpg.connect(database.dsn())
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
    finally:
        await connection.close()
    await asyncio.to_thread(upgrade, database.dsn(DATABASE))
    await set_passwords(database.dsn(DATABASE), {role: _role_password(data_dir, role) for role in Role})


def _role_password(data_dir: Path, role: Role) -> str:
    return secrets.load_or_create(data_dir / "secrets", f"db_{role}")


def _service(
    role: Role,
    common: Mapping[str, str],
    data_dir: Path,
    database: Postgres,
    nats: NatsServer,
    say: Report,
    predecessor: int | None,
) -> Child:
    health_port = ports.choose(data_dir / "run", f"health_{role}")
    own = {
        "DATABASE_URL": database.dsn(DATABASE, f"cs_{role}", _role_password(data_dir, role)),
        "NATS_PASSWORD": nats.passwords[role],
        "LOG_FILE": str(data_dir / "logs" / f"{role}.log"),
        "HEALTH_PORT": str(health_port),
    }
    if role is Role.GATEWAY:
        own["JWT_SECRET_KEY"] = common.get("JWT_SECRET_KEY") or secrets.load_or_create(data_dir / "secrets", "jwt")

    async def healthy() -> bool:
        # The gateway's own answer says more than a living process: the part that people will use works.
        if role is Role.GATEWAY:
            return await ports.answers_ok(_gateway_port(common), "/api/health", _reachable(common.get("GATEWAY_HOST", "")))
        return await ports.answers_ok(health_port, "/health")

    async def let_go(dead: int | None) -> None:
        if dead is not None:
            with suppress(DatabaseAway):
                await forget_instance(database.dsn(DATABASE), role, dead)

    program = _python(f"services.{role}", role, [], service_environment(role, common, own), data_dir)
    settled_s = float(common.get(f"{_FAULTS}SETTLED_S", SETTLED_S))
    return Child(program, ready=healthy, before=let_go, predecessor=predecessor, say=say, settled_s=settled_s)


async def forget_instance(dsn: str, role: Role, pid: int) -> None:
    """Release the work of one dead process of this host, so that its jobs need not wait until their leases expire.

    Other processes of this role keep their work, on this host too. The dead process is removed from the list of instances, so
    no alert waits for it. Raises DatabaseAway.
    """
    prefix = instance_prefix(role, pid)
    with database_errors(OSError):
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            async with connection.transaction():
                for table in ("jobs", "cleanups"):
                    await connection.execute(_EXPIRE.format(table=table), prefix)
                await connection.execute("DELETE FROM service_instances WHERE starts_with(instance, $1)", prefix)
        finally:
            await connection.close()


async def _start_emulator(environment: Mapping[str, str], data_dir: Path, stack: AsyncExitStack, say: Report) -> dict[str, str]:
    """Start the Globus emulator. Returns the settings with which the uploader (and the gateway's banner) use it."""
    storage = data_dir / "storage"
    port = ports.choose(data_dir / "run", "globus_emulator")
    client, source, destination = (
        str(uuid5(NAMESPACE_DNS, f"{name}.cs-archiver.invalid")) for name in ("client", "source", "remote")
    )
    secret = secrets.load_or_create(data_dir / "secrets", "globus_emulator_client")
    received = data_dir / "destination"
    received.mkdir(exist_ok=True)
    apart.mark(received)
    config = {
        "clients": {client: secret},
        "control_secret": secrets.load_or_create(data_dir / "secrets", "globus_emulator_control"),
        "collections": {
            source: {"root": environment.get("STORAGE_ARCHIVES_PATH") or str(storage / "archives"), "display_name": "Staging"},
            destination: {"root": str(received), "display_name": "Emulated destination"},
        },
    }
    file = data_dir / "run" / "globus_emulator.json"
    secrets.write_private(file, msgspec.json.encode(config).decode())
    arguments = ["--config", str(file), "--state", str(data_dir / "globus_emulator"), "--port", str(port)]
    passed_on = {name: environment[name] for name in _PASSED_ON if name in environment}

    async def listens() -> bool:
        return not ports.is_free(port)

    program = _python("devstack.globus_emulator", "globus_emulator", arguments, passed_on, data_dir)
    child = Child(program, ready=listens, say=say)
    await child.start(_START_S)
    stack.push_async_callback(child.stop)
    url = f"http://127.0.0.1:{port}"
    return {
        "GLOBUS_CLIENT_ID": client,
        "GLOBUS_CLIENT_SECRET": secret,
        "GLOBUS_SOURCE_ENDPOINT": source,
        "GLOBUS_DESTINATION_ENDPOINT": destination,
        "GLOBUS_AUTH_URL": url,
        "GLOBUS_TRANSFER_URL": url,
        "GLOBUS_EMULATED": "true",
    }


def _python(module: str, name: str, arguments: list[str], environment: Mapping[str, str], data_dir: Path) -> Program:
    return Program(
        name=name,
        command=[sys.executable, "-m", module, *arguments],
        environment=environment,
        mark=str(data_dir),
        log=data_dir / "logs" / f"{name}.stderr.log",
        pid_file=data_dir / "run" / f"{name}.pid",
    )


async def _stop_all(children: list[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


def _wrong_source(environment: Mapping[str, str]) -> list[str]:
    source = environment.get("QNAP_BASE_PATH", "")
    if not source:
        return ["QNAP_BASE_PATH is missing: the folder whose sub-folders are archived."]
    if not Path(source).is_dir() or not os.access(source, os.R_OK | os.X_OK):
        return [f"QNAP_BASE_PATH: {source} is not a directory that can be read."]
    return []


def _not_apart(environment: Mapping[str, str], data_dir: Path) -> list[str]:
    """Return where the NAS and our own files overlap. Our own files are all that this edition keeps."""
    if not environment.get("QNAP_BASE_PATH"):
        return []
    ours = {"DATA_DIR": data_dir} | {name: Path(environment[name]) for name in _PLACES if environment.get(name)}
    if os.geteuid() == 0:
        ours["the database's directory"] = postgres.ELSEWHERE
    return apart.overlaps(Path(environment["QNAP_BASE_PATH"]), ours)


def _gateway_port(environment: Mapping[str, str]) -> int:
    return int(environment.get("GATEWAY_PORT") or GatewaySettings.gateway_port)


def _reachable(host: str) -> str:
    """Return an address at which a server that listens on `host` can be reached."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _wrong_port(environment: Mapping[str, str]) -> list[str]:
    try:
        port = _gateway_port(environment)
    except ValueError:
        return [f"GATEWAY_PORT: {environment['GATEWAY_PORT']!r} is not a number."]
    return [] if ports.is_free(port) else [f"GATEWAY_PORT: port {port} is in use on this machine. Choose another one."]


def _wrong_settings(environment: Mapping[str, str]) -> list[str]:
    """Return what the services would refuse, before anything runs. Settings that we will provide have placeholders."""
    ours = {"DATABASE_URL": "postgresql://", "NATS_URL": "nats://"}
    with suppress(ConfigurationError):
        if not globus_is_real(environment):
            ours |= dict.fromkeys(GLOBUS_SET, "-")
    wrong: dict[str, None] = {}  # in order, each once: most settings belong to several services
    for role, shape in SHAPES.items():
        try:
            load(shape, {"JWT_SECRET_KEY": "-" * 32} | service_environment(role, environment, ours))
        except ConfigurationError as exc:
            wrong |= dict.fromkeys(line.strip() for line in str(exc).splitlines()[1:])
    return [line for line in wrong if not line.startswith("GATEWAY_PORT")]  # checked separately


def _missing_tools(environment: Mapping[str, str]) -> list[str]:
    missing = []
    for find in (nats_server.binary, postgres.installed, lambda: find_binary(environment.get("SEVENZIP_PATH")), check_installed):
        try:
            find()
        except ArchiverError as exc:
            missing.append(str(exc))
    return missing


def main(file: Path | None = None) -> int:
    """Run `cs-archiver up` with settings from the environment, then `file`. Returns the exit code. Raises ConfigurationError."""
    environment = (env_file.read(file) if file is not None else {}) | os.environ
    for note in env_file.unread(Path.cwd(), environment, file_given=file is not None):
        report(note)

    def on_ready(ready: Ready) -> None:
        if ready.emulated:
            report(f"Globus is EMULATED: archives go to {ready.data_dir / 'destination'}, not to a real collection.")
        print(f"CS Archiver is ready: {ready.url}", flush=True)

    try:
        asyncio.run(up(environment, on_ready=on_ready))
    except ConfigurationError:
        raise
    except ArchiverError as exc:
        report(str(exc))
        return 1
    return 0
