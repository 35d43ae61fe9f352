"""The whole product as users run it: `cs-archiver up` as a process, its REST interface, emulated Globus and event stream.

`with running_stack() as stack:` gives a stack in its own directories, which are removed at the end. `stack.folder({...})`
creates a folder on the NAS, `stack.archive(folder)` requests a job, `stack.wait(job, "completed")` waits for a state. Every
failure prints the job's log.
"""

import asyncio
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import asyncpg
import httpx
import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

from devstack import ports, postgres, proc
from devstack.globus_emulator.client import EmulatorControl
from devstack.processes import launcher
from devstack.up import DATABASE
from shared.archiving.sevenzip import find_binary
from shared.files.manifest import SIDECAR_SUFFIX
from shared.infra.nats_permissions import STREAM
from shared.service.stagings import ID_FILE
from tests.support.folders import below

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
FAST = {
    # A killed service's jobs are released before its next start, so no test waits for a lease. With a short lease, a service
    # that a test suspends, or that gets no processor for two seconds, would lose it on a busy machine. Its job would then
    # legally start again.
    "LEASE_SECONDS": "30",
    "RETRY_DELAY_SECONDS": "0.2",
    "POLL_SECONDS": "1",
    "UPLOAD_TASK_POLL_INTERVAL_SECONDS": "1",
    "MIN_FREE_SPACE_GB": "0.1",
}
SERVICES = ("scanner", "compressor", "uploader", "gateway")
ENGINES = ("postgres", "nats", "globus_emulator")
ENDED = frozenset({"completed", "failed", "cancelled"})
Job = dict[str, Any]
Seen = TypeVar("Seen")
Tree = Mapping[str | bytes, "bytes | Link | None"]


class Link(NamedTuple):
    """A symbolic link in a tree; `bytes` is a file, None an empty directory."""

    target: str


def until(look: Callable[[], Seen], what: str, timeout_s: float = 120.0, tell: Callable[[], str] = lambda: "") -> Seen:
    """Poll until the result is true, and return it. A failure names the condition, the last result, and the output of `tell`."""
    end = time.monotonic() + timeout_s
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {timeout_s} s: {what}; last seen: {seen!r}\n{tell()}"
        time.sleep(0.05)
    return seen


class Fact(NamedTuple):
    """The facts of one path that restoring must bring back. Times in whole microseconds: the archive keeps 100 ns."""

    kind: str
    content: str
    mode: int
    mtime_us: int


def snapshot(folder: Path) -> dict[bytes, Fact]:
    """Return everything below a folder, by relative path as bytes. Links are not followed."""
    return {os.fsencode(path.relative_to(folder)): _fact(path) for path in folder.rglob("*")}


def _fact(path: Path) -> Fact:
    facts = path.lstat()
    if path.is_symlink():
        return Fact("link", str(path.readlink()), 0, 0)
    if path.is_dir():
        return Fact("directory", "", 0, 0)  # its time changes with every entry that is deleted or restored
    return Fact("file", hashlib.sha256(path.read_bytes()).hexdigest(), facts.st_mode & 0o777, facts.st_mtime_ns // 1000)


def extract(archive: Path, into: Path) -> Path:
    """Extract with 7-Zip itself, as a user without the product would. Return the archived folder."""
    shutil.rmtree(into, ignore_errors=True)
    command = [str(find_binary(None)), "x", "-y", "-snld20", f"-o{into}", "--", str(archive)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, umask=0)
    assert done.returncode == 0, done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
    (top,) = into.iterdir()
    return top


class Stack:
    """One `up`, which may be stopped, killed and started again on the same directories."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.root = root
        self.data = root / "data"
        self.nas = root / "nas"
        self.plan = root / "crash-plan"
        self.port = ports.fresh()
        self.output = root / "up.log"
        self.jobs: list[str] = []  # jobs of the running test, for its failure message
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "DATA_DIR": str(self.data),
            "QNAP_BASE_PATH": str(self.nas),
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "ADMIN_INITIAL_PASSWORD": PASSWORD,
            "CS_ARCHIVER_CRASH_FILE": str(self.plan),
            "CS_ARCHIVER_CRASH_SETTLED_S": "0.1",  # every restart after 0.2 s
            **FAST,
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._http: httpx.Client | None = None
        self._control: EmulatorControl | None = None
        self._numbers = itertools.count(1)
        self.nas.mkdir(parents=True, exist_ok=True)
        (self.nas / "Team").mkdir(exist_ok=True)  # a mounted NAS holds at least one directory

    # Running ----------------------------------------------------------------------------------------------------------------------

    def launch(self) -> subprocess.Popen[bytes]:
        """Start `cs-archiver up` without waiting."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                launcher([sys.executable, "-m", "cli", "up"], None),  # it gets SIGTERM when the tests are killed
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self._process

    def start(self) -> float:
        """Start and wait for the ready line. Return the seconds that this took."""
        began, offset = time.monotonic(), self.output.stat().st_size if self.output.exists() else 0
        process = self.launch()

        def ready() -> bool:
            assert process.poll() is None, f"up ended with {process.returncode}:\n{self.said(offset)}"
            return "CS Archiver is ready: " in self.said(offset)

        until(ready, "the ready line", 300.0, lambda: self.said(offset))
        return time.monotonic() - began

    def said(self, offset: int = 0) -> str:
        """Return the output of `up` from a byte offset on."""
        return self.output.read_bytes()[offset:].decode(errors="replace")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Ask `up` to end. Return the seconds that this took."""
        began = time.monotonic()
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(120)
            self._process = None
        self._close_clients()
        return time.monotonic() - began

    def kill9(self, *, everything: bool = False) -> None:
        """Kill the supervisor, or all processes of the stack at once."""
        victims = proc.marked(str(self.data)) if everything else {}
        self.process.kill()
        for pid, identity in victims.items():
            proc.send(pid, identity, signal.SIGKILL)
        self.process.wait(120)
        self._process = None
        self._close_clients()

    def remove(self) -> None:
        """End all remaining processes and remove every directory."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.stop()
        if self._process is not None:
            self.kill9()
        self._close_clients()
        left = self.alive()
        if left:
            proc.end(left, ((signal.SIGKILL, 60.0),))
        postgres.destroy(self.data)
        shutil.rmtree(self.root)

    def alive(self) -> dict[int, str]:
        """Return every living process of this stack by pid, including Postgres'."""
        found = proc.marked(str(self.data))
        for name in ENGINES + SERVICES:
            with suppress(OSError, ValueError):
                record = json.loads((self.data / "run" / f"{name}.pid").read_bytes())
                if proc.identity(record["pid"]) == record["identity"]:
                    found[record["pid"]] = record["identity"]
        return found

    def pid(self, name: str) -> int:
        """Return the pid of a living service or engine."""

        def look() -> int:
            with suppress(OSError, ValueError):
                record = json.loads((self.data / "run" / f"{name}.pid").read_bytes())
                if proc.identity(record["pid"]) == record["identity"]:
                    return int(record["pid"])
            return 0

        return until(look, f"a living {name}")

    def signal(self, name: str, number: signal.Signals) -> int:
        """Send a signal to a service or engine. Return its pid."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Suspend a service while the block runs (its lease lasts about 20 s)."""
        pid = self.freeze(name)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def freeze(self, name: str) -> int:
        """Suspend a service. Return its pid, for SIGCONT.

        It must hold no lock that others wait for: a service that was stopped within a transaction is continued and stopped
        again.
        """
        pid = self.pid(name)

        def without_transaction() -> bool:
            os.kill(pid, signal.SIGSTOP)
            until(lambda: self._is_stopped(name), f"{name} standing still")
            if not self._in_thread(self._transactions(name)):
                return True
            os.kill(pid, signal.SIGCONT)
            return False

        until(without_transaction, f"{name} between two transactions")
        return pid

    @contextmanager
    def holding(self, name: str) -> Iterator[None]:
        """Run the block while a service is stopped at the point that `stops_at` named."""
        try:
            self.stands_still(name)
            yield
        finally:
            self.plan.unlink(missing_ok=True)
            os.kill(self.pid(name), signal.SIGCONT)

    def stands_still(self, name: str) -> None:
        """Wait until a service is stopped at the point that `stops_at` named. A SIGCONT before that would come too early."""
        self.plan_is_done()
        until(lambda: self._is_stopped(name), f"{name} standing still", tell=self.stories)

    def _is_stopped(self, name: str) -> bool:
        with suppress(OSError):  # it ended at this very moment
            return Path(f"/proc/{self.pid(name)}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False

    def crash_at(self, *points: str) -> None:
        """Kill (`point stop`: stop) the process that reaches these fault points, one after the other."""
        new = self.plan.with_suffix(".new")
        new.write_text("".join(f"{point}\n" for point in points))
        new.replace(self.plan)

    def stops_at(self, point: str) -> None:
        self.crash_at(f"{point} stop")

    def planned(self) -> str:
        """Return the fault points that no process has reached yet, one per line."""
        with suppress(FileNotFoundError):
            return self.plan.read_text()
        return ""

    def is_planned(self) -> bool:
        """Return whether a fault point has not been reached yet."""
        return bool(self.planned())

    def plan_is_done(self) -> None:
        """Wait until every fault point was reached. A point after a commit is reached shortly after others see that commit."""
        until(lambda: not self.is_planned(), "the last fault point", tell=lambda: f"{self.planned()!r}\n{self.stories()}")

    def children(self, job: str) -> dict[int, str]:
        """Return the command lines of living 7-Zip processes of a job, by pid."""
        found = {}
        for pid in proc.everyone():
            with suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if "7zz" in line and job in line:
                    found[pid] = line
        return found

    def freeze_children(self, job: str) -> None:
        """Wait until 7-Zip works for a job, and suspend it, so that it cannot finish before the test's next step."""
        until(lambda: self._stopped(job), "7-Zip at work", tell=self.stories)

    def _stopped(self, job: str) -> list[int]:
        """Suspend the job's children. Return nothing if none was caught: during an exec, a process has no command line."""
        stopped = []
        for pid in self.children(job):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        return stopped

    # Requests ---------------------------------------------------------------------------------------------------------------------

    @property
    def http(self) -> httpx.Client:
        """Return a logged-in client."""
        if self._http is None:
            # Idle connections are dropped before the server drops them (5 s), so that no request meets a closing connection.
            limits = httpx.Limits(keepalive_expiry=1)
            client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120, trust_env=False, limits=limits)
            try:
                answer = client.post("/api/auth/login", json={"username": "admin", "password": PASSWORD})
                assert answer.status_code == 200, answer.text
            except BaseException:
                client.close()
                raise
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            self._http = client
        return self._http

    @property
    def control(self) -> EmulatorControl:
        """The emulator's control plane."""
        if self._control is None:
            config = json.loads((self.data / "run" / "globus_emulator.json").read_bytes())
            port = json.loads((self.data / "run" / "ports.json").read_bytes())["globus_emulator"]
            self._control = EmulatorControl(f"http://127.0.0.1:{port}", config["control_secret"])
        return self._control

    def _close_clients(self) -> None:
        for client in (self._http, self._control):
            if client is not None:
                client.close()
        self._http = self._control = None

    def patiently(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request that survives a restart of the gateway or of an engine (idempotent ones only)."""

        def ask() -> httpx.Response | None:
            try:
                answer = self.http.request(method, path, **options)
            except httpx.TransportError:
                return None
            return answer if answer.status_code not in {502, 503} else None

        found = until(ask, f"an answer to {method} {path}", tell=self.said)
        assert found is not None
        return found

    def job_count(self) -> int:
        """Return the number of jobs as soon as the gateway responds."""
        return int(self.patiently("GET", "/api/jobs").headers["X-Total-Count"])

    def archive(self, folder: Path, **options: Any) -> str:
        """Request an archive job. Return its id."""
        answer = self.ask(folder, **options)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    def ask(self, folder: Path, **options: Any) -> httpx.Response:
        """Request an archive job and return any response. Retry while the scanner is not ready yet."""
        answer = self.patiently("POST", "/api/jobs", json={"folder_path": str(folder), **options})
        if answer.status_code == 201:
            self.jobs.append(answer.json()["job_id"])
        return answer

    def preview(self, folder: Path) -> Job:
        """Return the preview of a folder once all of it was scanned."""

        def look() -> httpx.Response | None:
            answer = self.patiently("GET", "/api/folders/preview", params={"path": str(folder)})
            return None if answer.status_code == 202 else answer

        answer = until(look, f"the preview of {folder.name}", tell=self.said)
        assert answer is not None
        assert answer.status_code == 200, answer.text
        found: Job = answer.json()
        return found

    def cancel(self, job: str) -> httpx.Response:
        return self.http.delete(f"/api/jobs/{job}")

    def retry(self, job: str) -> None:
        answer = self.http.post(f"/api/jobs/{job}/retry")
        assert answer.status_code == 200, answer.text

    def job(self, job: str) -> Job:
        answer = self.patiently("GET", f"/api/jobs/{job}")
        assert answer.status_code == 200, answer.text
        found: Job = answer.json()
        return found

    def wait(self, job: str, *states: str, timeout_s: float = 120.0) -> Job:
        """Wait for one of these states and return the job. Fail at once if it ended in another state."""

        def look() -> Job | None:
            found = self.job(job)
            if found["status"] in states:
                return found
            assert found["status"] not in ENDED, f"{found['status']}, not {states}: {found['error_message']}\n{self.story(job)}"
            return None

        found = until(look, f"job {job} {' or '.join(states)}", timeout_s, lambda: self.story(job))
        assert found is not None
        return found

    def wait_for(self, job: str, condition: Callable[[Job], object], what: str, timeout_s: float = 120.0) -> Job:
        """Wait until a condition is true for a job. Return the job."""

        def look() -> Job | None:
            found = self.job(job)
            return found if condition(found) else None

        found = until(look, what, timeout_s, lambda: self.story(job))
        assert found is not None
        return found

    def log(self, job: str) -> str:
        return self.patiently("GET", f"/api/jobs/{job}/logs", params={"format": "txt"}).text

    def states(self, job: str) -> list[str]:
        """Return the states that a job entered, in order."""
        return [str(state["status"]) for state in self.job(job)["state_times"]]

    def story(self, job: str) -> str:
        """Return a job and its log, for a failure message."""
        try:
            return f"--- {json.dumps(self.http.get(f'/api/jobs/{job}').json(), indent=1)}\n{self.log(job)}"
        except Exception as exc:  # noqa: BLE001 - it must not hide the failure it is to explain
            return f"--- no story of job {job}: {exc!r}"

    def stories(self) -> str:
        """Return every job of the running test, and the supervisor's output."""
        return "\n".join(self.story(job) for job in self.jobs) + f"\n--- up said:\n{self.said()[-3000:]}"

    # Files ------------------------------------------------------------------------------------------------------------------------

    def folder(self, tree: Tree | None = None, name: str | None = None, level1: str = "Team", level2: str = "Projects") -> Path:
        """Create a folder on the NAS. Without a tree: two small files and a sub-folder."""
        path = self.nas / level1 / level2 / (name or f"Folder {next(self._numbers)}")
        path.mkdir(parents=True)
        default: Tree = {"one.txt": b"one\n" * 100, "sub/two.bin": bytes(range(256)) * 40, "sub/empty": b""}
        for relative, content in (default if tree is None else tree).items():
            self._make(path / os.fsdecode(relative), content)
        return path

    def _make(self, path: Path, content: "bytes | Link | None") -> None:
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content.target)
        elif content is not None:
            path.write_bytes(content)

    def remote(self, folder: Path) -> Path:
        """Return the archive path of a folder at the destination."""
        level1, level2, name = folder.relative_to(self.nas).parts
        return self.data / "destination" / level1 / level2 / f"{name}.tar.7z"

    def sidecar(self, folder: Path) -> Path:
        remote = self.remote(folder)
        return remote.with_name(remote.name + SIDECAR_SUFFIX)

    def marker(self, folder: Path) -> Path:
        return folder / f"{folder.name}-ARCHIVED-TO-GLOBUS.txt"

    def restored(self, folder: Path) -> dict[bytes, Fact]:
        """Return the content of the archive at the destination, after extracting it."""
        return snapshot(extract(self.remote(folder), self.root / "restored"))

    def staged(self, job: str = "") -> list[str]:
        """Return everything below temp and archives, of one job or of all (a failed job keeps its tested archive for a retry)."""
        storage = self.data / "storage"
        found = [
            path.relative_to(storage) for name in ("temp", "archives") for path in below(storage / name) if path.name != ID_FILE
        ]
        return sorted(str(path) for path in found if not job or job in path.parts)

    def arrived(self, folder: Path) -> list[str]:
        """Return the names at the destination that belong to a folder's archive."""
        directory = self.remote(folder).parent
        found = directory.iterdir() if directory.is_dir() else ()
        return sorted(path.name for path in found if path.name.startswith(f"{folder.name}.tar.7z"))

    def assert_archived(self, folder: Path, before: dict[bytes, Fact], kept: set[str] | None = None) -> None:
        """The oracle: the archive equals the original source; the source holds its marker and kept files, and nothing else."""
        remote = self.remote(folder)
        assert self.arrived(folder) == [remote.name, remote.name + SIDECAR_SUFFIX]
        assert self.restored(folder) == before
        left = {os.fsdecode(path) for path in snapshot(folder)}
        assert left == {self.marker(folder).name, *(kept or set())}
        assert self.marker(folder).read_text().startswith("Archived on: ")

    # Events -----------------------------------------------------------------------------------------------------------------------

    def subscriber(self) -> dict[str, str]:
        """Return the read-only subscriber's published credentials."""
        lines = (self.data / "run" / "subscriber.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    async def connect(self, **options: Any) -> nats.NATS:
        """Log in to NATS with the published credentials."""
        known = self.subscriber()
        return await nats.connect(
            known["NATS_URL"],
            user=known["NATS_USER"],
            password=known["NATS_PASSWORD"],
            inbox_prefix=known["NATS_INBOX_PREFIX"],
            connect_timeout=60,
            **options,
        )

    def events(self, job: str) -> list[dict[str, Any]]:
        """Return every event of a job in the stream, in the stream's order. Wait for the event of the job's current state."""
        return self._in_thread(self._events(job, len(self.job(job)["state_times"])))

    async def _events(self, job: str, versions: int) -> list[dict[str, Any]]:
        client = await self.connect()
        try:
            stream = client.jetstream(timeout=60)
            everything = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
            heard = await stream.subscribe("job.>", stream=STREAM, ordered_consumer=True, config=everything)
            found: list[dict[str, Any]] = []
            while True:
                try:
                    message = await heard.next_msg(timeout=60 if len({e["data"]["version"] for e in found}) < versions else 0.2)
                except nats.errors.TimeoutError:
                    return found
                event = json.loads(message.data)
                if event["data"]["job_id"] == job:
                    found.append(event)
        finally:
            await client.close()

    def sql(self, statement: str, *values: object) -> None:
        """Change the database past its triggers, for states that would take hours to reach."""
        self._in_thread(self._sql(statement, values))

    def value(self, query: str, *values: object) -> Any:
        """Return one database value that no interface shows."""
        return self._in_thread(self._value(query, values))

    async def _value(self, query: str, values: tuple[object, ...]) -> Any:
        async with self._database() as connection:
            return await connection.fetchval(query, *values)

    def _in_thread(self, work: Coroutine[Any, Any, Seen]) -> Seen:
        with ThreadPoolExecutor(1) as thread:  # Playwright runs an event loop in the tests' thread
            return thread.submit(asyncio.run, work).result()

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Any]:
        password = (self.data / "secrets" / "postgres_superuser").read_text().strip()
        port = json.loads((self.data / "run" / "ports.json").read_bytes())["postgres"]
        connection = await asyncpg.connect(f"postgresql://{postgres.SUPERUSER}:{password}@127.0.0.1:{port}/{DATABASE}")
        try:
            yield connection
        finally:
            await connection.close()

    async def _sql(self, statement: str, values: tuple[object, ...]) -> None:
        async with self._database() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(statement, *values)

    async def _transactions(self, name: str) -> int:
        """Return how many transactions a service has open."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state <> 'idle'"
        async with self._database() as connection:
            return int(await connection.fetchval(query, f"cs_{name}"))

    def assert_events(self, job: str) -> None:
        """Check that each event exists once, without a gap, in version order, and that the last one has the final state."""
        found = self.events(job)
        assert [event["data"]["version"] for event in found] == list(range(1, len(found) + 1)), found
        assert [event["data"]["status"] for event in found] == self.states(job)


@contextmanager
def running_stack(**environment: str) -> Iterator[Stack]:
    """A running stack in a directory that Postgres' own account can reach (pytest's are private)."""
    with prepared_stack(**environment) as stack:
        stack.start()
        yield stack


@contextmanager
def prepared_stack(**environment: str) -> Iterator[Stack]:
    """A stack that is not started yet."""
    root = Path(tempfile.mkdtemp(prefix="cs-archiver-e2e-"))
    root.chmod(0o711)
    stack = Stack(root, **environment)
    try:
        yield stack
    finally:
        stack.remove()
