"""A Globus emulator per test: a real process on a free port, real SDK clients, its two collections as directories.

Fixtures for other tests: `with running_emulator(tmp_path) as globus:` then `globus.client()`, `globus.control.set_faults(...)`.
Nothing is mocked and nothing is left running: the process dies with the test run, and clients are closed with the emulator.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

import globus_sdk
from globus_sdk.transport import RequestsTransport, RetryConfig

from devstack import ports
from devstack.globus_emulator.client import EmulatorControl
from devstack.processes import launcher

CLIENT_ID = "c1e57000-0000-4000-8000-000000000001"
OTHER_CLIENT_ID = "c1e57000-0000-4000-8000-000000000002"
CLIENT_SECRET = "emulated client secret"
CONTROL_SECRET = "emulated control secret"
SOURCE = "50c00000-0000-4000-8000-000000000001"
DESTINATION = "de570000-0000-4000-8000-000000000001"
END_TIMEOUT_S = 90.0
FINISHED = ("SUCCEEDED", "FAILED")

Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen], accept: Callable[[Seen], object], timeout: float = 60.0) -> Seen:
    """Poll until the value is accepted, and return it. A failure names the last value."""
    end = time.monotonic() + timeout
    while True:
        seen = look()
        if accept(seen):
            return seen
        assert time.monotonic() < end, f"after {timeout} s still: {seen}"
        time.sleep(0.01)


class Emulator:
    """One emulator process, which may be killed and restarted on the same port and state."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.source = directory / "source"
        self.destination = directory / "destination"
        self.state = directory / "state"
        self.config = directory / "emulator.json"
        self.port = ports.fresh()
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        self._clients: list[globus_sdk.BaseClient] = []
        self._control: EmulatorControl | None = None
        directory.mkdir(exist_ok=True)
        self.config.touch(mode=0o600)
        self.config.write_text(
            json.dumps(
                {
                    "clients": {CLIENT_ID: CLIENT_SECRET, OTHER_CLIENT_ID: CLIENT_SECRET},
                    "control_secret": CONTROL_SECRET,
                    "collections": self.collections(),
                    **settings,
                }
            )
        )

    def collections(self, **changes: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration's `collections`: source and destination, with changed fields of either."""
        source = {"root": str(self.source), "display_name": "Archives"}
        destination = {"root": str(self.destination), "display_name": "Tape"}
        return {
            SOURCE: {**source, **changes.get("source", {})},
            DESTINATION: {**destination, **changes.get("destination", {})},
        }

    def start(self, stderr: TextIO | None = None) -> None:
        """Start, always on the same port, and return when it responds."""
        command = [sys.executable, "-m", "devstack.globus_emulator", "--config", str(self.config), "--state", str(self.state)]
        self._process = subprocess.Popen(
            launcher([*command, "--port", str(self.port)], None, signal.SIGKILL),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # an emulator that cannot start ends, and the line is empty
        assert line, f"the emulator did not start: exit status {self._process.wait(END_TIMEOUT_S)}"
        self.url = json.loads(line)["url"]

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    @property
    def control(self) -> EmulatorControl:
        if self._control is None:
            self._control = EmulatorControl(self.url, CONTROL_SECRET)
        return self._control

    def kill(self) -> None:
        """Kill it as a crash does."""
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """Stop it as an operator does. Return its exit status."""
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        status = self.process.wait(END_TIMEOUT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        if self._control is not None:
            self._control.close()
            self._control = None
        self._process = None
        return status

    def client(
        self,
        *,
        client_id: str = CLIENT_ID,
        secret: str = CLIENT_SECRET,
        retries: int = 2,
        timeout: float = 60.0,
        data_access: tuple[str, ...] = (),
    ) -> globus_sdk.TransferClient:
        """Return a real SDK client with a short back-off and no proxy of the environment."""

        def retry() -> RetryConfig:  # one per client: each adds its own checks to it
            return RetryConfig(max_retries=retries, max_sleep=1, backoff=lambda context: context.backoff or 0.01)

        auth = globus_sdk.ConfidentialAppAuthClient(
            client_id, secret, base_url=self.url, transport=_transport(timeout), retry_config=retry()
        )
        app = globus_sdk.ClientApp("tests", login_client=auth, config=globus_sdk.GlobusAppConfig(token_storage="memory"))
        client = globus_sdk.TransferClient(app=app, base_url=self.url, transport=_transport(timeout), retry_config=retry())
        if data_access:
            client.add_app_data_access_scope(list(data_access))
        self._clients += [client, auth]
        return client

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()
            client.transport.close()  # a client does not close a transport that it was given
        self._clients.clear()

    def close(self) -> None:
        self.close_clients()
        if self._process is not None:
            self.kill()

    # --- common steps of tests --------------------------------------------------------------------------------------

    def put(self, name: str, content: bytes | int) -> bytes:
        """Create a file in the source collection. A number is a size, filled with noise. Return the content."""
        data = os.urandom(content) if isinstance(content, int) else content
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return data

    def got(self, name: str) -> bytes:
        """Return a file at the destination."""
        return (self.destination / name).read_bytes()


def _transport(timeout: float) -> RequestsTransport:
    transport = RequestsTransport(http_timeout=timeout)
    transport.session.trust_env = False
    return transport


def transfer(*paths: str, item: dict[str, Any] | None = None, **options: Any) -> globus_sdk.TransferData:
    """Return a submission that moves each path to the same path at the destination."""
    document = globus_sdk.TransferData(SOURCE, DESTINATION, **{"verify_checksum": True, **options})
    for path in paths:
        document.add_item(path, path, **(item or {}))
    return document


def task(client: globus_sdk.TransferClient, task_id: str) -> dict[str, Any]:
    return dict(client.get_task(task_id).data)


def finished(client: globus_sdk.TransferClient, task_id: str, timeout: float = 60.0) -> dict[str, Any]:
    """Return the task once it has ended."""
    return eventually(lambda: task(client, task_id), lambda seen: seen["status"] in FINISHED, timeout)


def until(client: globus_sdk.TransferClient, task_id: str, **fields: object) -> dict[str, Any]:
    """Return the task once these fields have these values."""
    return eventually(lambda: task(client, task_id), lambda seen: all(seen[key] == value for key, value in fields.items()))


@contextmanager
def running_emulator(directory: Path, **settings: Any) -> Iterator[Emulator]:
    """An emulator with source and destination under `directory`. It is removed at the end."""
    emulator = Emulator(directory, **settings)
    try:
        emulator.start()
        yield emulator
    finally:
        emulator.close()
