"""`make demo`: a sample NAS, the whole embedded stack, and one folder that is archived as you watch. `python -m devstack.demo`.

The stack is `cs-archiver up` in its own process, exactly as a user runs it. This program is one of its clients. Everything lies
below ./demo. A second run archives the next folder, or continues with a job that Ctrl-C interrupted.
"""

import argparse
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cli import render, sentences
from cli.client import Client, Job
from cli.exits import Exit, Failure
from cli.watch import watch
from devstack import ports, sample_nas, up
from devstack.processes import launcher
from devstack.secrets import write_private
from services.scanner.marker import marker_name
from shared.domain.lifecycle import TERMINAL, Status
from shared.endings import as_interrupts, ignore_from_now_on

USER = "admin"
_READY = "CS Archiver is ready: "
_PORT = 8000
_MIN_FREE_GB = "0.1"  # a laptop's disk must be enough
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TERM")  # above all no GLOBUS_*: a demo never touches a real collection
_STOP_S = 60.0


class DemoError(Failure):
    """The demonstration did not show what it promises."""

    def __init__(self, sentence: str) -> None:
        super().__init__(Exit.JOB, sentence)


class Demo:
    """One run: its directories, and its login."""

    def __init__(self, directory: Path) -> None:
        self.nas = directory / "nas"
        self.data = directory / "data"
        if not self.nas.exists():
            say(f"Making a sample NAS in {shown(self.nas)} ...")
            sample_nas.add_round(self.nas)
        up.prepare(self.data)
        self.password = _password(self.data / "secrets" / "demo_admin")
        self.url = ""

    def environment(self) -> dict[str, str]:
        """Return the environment of `cs-archiver up`."""
        port = _PORT if ports.is_free(_PORT) else ports.choose(self.data / "run", "gateway")
        return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
            "DATA_DIR": str(self.data),
            "QNAP_BASE_PATH": str(self.nas),
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "ADMIN_INITIAL_PASSWORD": self.password,
            "MIN_FREE_SPACE_GB": _MIN_FREE_GB,
        }

    def archive_one(self) -> Job:
        """Archive a folder and watch it. Raises Failure when the job does not complete as expected."""
        with Client(self.url) as client:
            client.login(USER, self.password)
            job_id = self._live_job(client) or self._new_job(client)
            with render.progress() as view:
                job = watch(client, job_id, view, interval_s=0.2)
        if job.status != Status.COMPLETED:
            raise DemoError(sentences.ending(job))
        say(sentences.ending(job))
        return job

    def _live_job(self, client: Client) -> str | None:
        for job in client.jobs().value:
            if job.status not in TERMINAL:
                say(f"Going on with {job.folder_name}, which an earlier run began.\n")
                return job.job_id
        return None

    def _new_job(self, client: Client) -> str:
        client.refresh()
        folders = client.folders().value
        if not folders:
            say(f"Everything is archived: adding {sample_nas.add_round(self.nas)} to the sample NAS ...")
            client.refresh()
            folders = client.folders().value
        if not folders:
            raise DemoError("The scanner offers no folder of the sample NAS.")
        chosen = min(folders, key=lambda folder: folder.path)
        say(
            f"Archiving {chosen.level1}/{chosen.level2}/{chosen.name}, {sentences.size(chosen.size_bytes)} ({len(folders)} to go).\n"
        )
        return client.create_job(chosen.path).value.job_id

    def where(self, job: Job) -> str:
        """Say where everything is. Raises DemoError when the archive or the marker is missing."""
        source = Path(job.source_path or "")
        archive = self.data / "destination" / (job.globus_destination_path or "").lstrip("/")
        marker = source / os.fsdecode(marker_name(source.name))
        sidecar = archive.with_name(f"{archive.name}.manifest.json")
        missing = [str(path) for path in (archive, sidecar, marker) if not path.is_file()]
        if missing:
            raise DemoError(f"The job says completed, but there is no {' and no '.join(missing)}.")
        venv = shown(Path(sys.executable).parent)
        subscriber = shlex.quote(shown(self.data / "run" / "subscriber.env"))
        rows = {
            "Web page": f"{self.url}   user {USER}   password {self.password}",
            "Archive": shown(archive),
            "Its manifest": shown(sidecar),
            "Marker": f"{shown(marker)}   (all that is left of the source)",
            "Sample NAS": shown(self.nas),
            "Staging, logs": shown(self.data),
            "Command line": f"{venv}/cs-archiver login --server {self.url} --user {USER}",
            "Events": f"env $(cat {subscriber}) {venv}/python -m devstack.subscribe",
            "Remove it all": f"DATA_DIR={shlex.quote(shown(self.data))} {venv}/cs-archiver destroy --yes && rm -r {shown(self.nas)}",
        }
        return "\n" + "\n".join(f"  {name + ':':<15}{value}" for name, value in rows.items()) + "\n"


def run(directory: Path, *, once: bool) -> int:
    """Run the whole demonstration and return the exit code. Raises Failure."""
    demo = Demo(directory)
    say("Starting Postgres, NATS, the Globus emulator and the four services ...")
    with stack(demo.environment()) as (process, demo.url):
        job = demo.archive_one()
        say(demo.where(job))
        if once:
            return 0
        say("Everything stays up until Ctrl-C. `make demo` once more archives the next folder.")
        code = process.wait()
        raise DemoError(f"cs-archiver up ended by itself with exit code {code}; see {shown(demo.data / 'logs')}.")


@contextmanager
def stack(environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `cs-archiver up` during the block; yield its process and the gateway's address. It always ends with this process."""
    process = subprocess.Popen(
        launcher([sys.executable, "-m", "cli", "up"], None),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches only this process, which stops the stack in order
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith(_READY):
            raise DemoError(f"cs-archiver up did not start (exit code {process.wait(_STOP_S)}).")
        yield process, line.removeprefix(_READY).strip()
    finally:
        ignore_from_now_on()  # a second Ctrl-C must not leave half of it running
        if process.poll() is None:
            say("Stopping ...")
            process.terminate()
            process.wait(_STOP_S)
        if process.stdout is not None:
            process.stdout.close()


def say(line: str) -> None:
    """Print a message on stderr, where the progress bar is too, so that both stay in order."""
    with suppress(OSError):  # the terminal may be gone
        print(line, file=sys.stderr, flush=True)


def shown(path: Path) -> str:
    """Return the shortest form of a path, relative to the current directory if possible."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _password(file: Path) -> str:
    if not file.exists():
        write_private(file, f"demo-{secrets.token_hex(4)}\n")
    return file.read_text(encoding="utf-8").strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns exit code 0, also after Ctrl-C, or 1 when the demonstration failed."""
    parser = argparse.ArgumentParser(prog="python -m devstack.demo", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--once", action="store_true", help="end when the folder is archived (also: DEMO_EXIT=1)")
    parser.add_argument("--directory", type=Path, default=Path("demo"), help="where everything lies (./demo)")
    options = parser.parse_args(arguments)
    as_interrupts()
    try:
        return run(options.directory.resolve(), once=options.once or os.environ.get("DEMO_EXIT") == "1")
    except KeyboardInterrupt:
        say("Stopped. What was under way goes on with the next `make demo`.")
        return 0
    except Failure as exc:
        say(f"demo: {exc}")
        return int(exc.exit_code)


if __name__ == "__main__":
    sys.exit(main())
