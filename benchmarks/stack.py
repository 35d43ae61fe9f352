"""The whole product: `cs-archiver up` on a sample NAS, driven over REST like any client."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

import msgspec

from cli.client import Client, Job
from devstack import ports, up

POLL_S = 1.0
_PASSWORD = "measured in seconds"
_STOP_S = 120.0
_ENDED = ("completed", "failed", "cancelled")


@contextmanager
def workplace() -> Iterator[Path]:
    """Yield a directory for everything, removed at the end. Postgres' account may pass through it; TMPDIR chooses the disk."""
    with tempfile.TemporaryDirectory(prefix="cs-archiver-bench-") as name:
        place = Path(name)
        place.chmod(0o711)
        yield place


class Stack:
    """One installation, with `data` and `nas` below `place`. `start` and `stop` may alternate; leaving `with` removes it."""

    def __init__(self, place: Path) -> None:
        self.data = place / "data"
        self.nas = place / "nas"
        self.nas.mkdir()
        self.started_in_s = 0.0
        self.token = ""
        self._said = place / "up.log"
        self._port = ports.fresh()
        self._process: subprocess.Popen[str] | None = None
        self._client: Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.data.exists():
            up.destroy(self.data)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def port(self, engine: str) -> int:
        """Return the port of `postgres` or `nats`."""
        known = msgspec.json.decode((self.data / "run" / "ports.json").read_bytes(), type=dict[str, int])
        return known[engine]

    @property
    def client(self) -> Client:
        assert self._client is not None, "start comes first"
        return self._client

    def start(self) -> None:
        """Start the stack unless it runs, wait for its ready line (`started_in_s`), and log in. Raises RuntimeError."""
        if self._process is not None:
            return
        settings = {
            "DATA_DIR": str(self.data),
            "QNAP_BASE_PATH": str(self.nas),
            "GATEWAY_PORT": str(self._port),
            "ADMIN_INITIAL_PASSWORD": _PASSWORD,
            "MIN_FREE_SPACE_GB": "0.1",
        }
        passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        began = time.monotonic()
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up"],
                env=passed_on | settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                cwd=Path(__file__).parents[1],
            )
        assert self._process.stdout is not None
        if not _ready_line(self._process.stdout):
            raise RuntimeError(f"The stack did not start: {self._said.read_text()}")
        self.started_in_s = time.monotonic() - began
        self._client = Client(self.address)
        self.token = self._client.login("admin", _PASSWORD).access_token

    def stop(self) -> None:
        """Stop it as Ctrl-C does. Raises subprocess.TimeoutExpired if it keeps running."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signal.SIGINT)
            process.wait(_STOP_S)
            assert process.stdout is not None
            process.stdout.close()

    def folder(self, tree: Path, name: str) -> Path:
        """Put a copy of `tree` on the NAS, flushed to the disk so that it disturbs no later measurement."""
        target = self.nas / "Bench" / "Runs" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", "--", tree, target], check=True)
        os.sync()
        return target

    def archive(self, folder: Path) -> tuple[Job, float]:
        """Archive a folder, polling its state once per second. Returns the completed job, and the seconds from POST to that answer.

        Raises RuntimeError unless the job completes.
        """
        began = time.monotonic()
        job = self.client.create_job(str(folder)).value
        while job.status not in _ENDED:
            time.sleep(POLL_S)
            job = self.client.job(job.job_id).value
        if job.status != "completed" or job.kept_count:
            raise RuntimeError(f"Job {job.job_id} is {job.status}, kept {job.kept_count}: {job.error_message}")
        return job, time.monotonic() - began

    def forget(self, folder: Path) -> None:
        """Remove what a run left at source and destination, and wait until the disk is idle."""
        shutil.rmtree(folder)
        shutil.rmtree(self.data / "destination")
        (self.data / "destination").mkdir()
        os.sync()


def _ready_line(output: IO[str]) -> bool:
    return any("is ready:" in text for text in output)
