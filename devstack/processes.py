"""The supervisor's children. Each has its own session and log file, is restarted when it dies, and ends with the supervisor."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from devstack import proc
from shared.errors import ArchiverError

_LAUNCHER = Path(__file__).with_name("launch.py")
_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 10.0
SETTLED_S = 30.0
_LOG_LIMIT_BYTES = 10 * 2**20
_LOG_CHECK_S = 60.0

Steps = tuple[tuple[signal.Signals, float], ...]
"""How to end a process: a signal and the seconds to wait, then the next."""


class Account(NamedTuple):
    """The account of a process. Only root can choose another than its own."""

    name: str
    uid: int
    gid: int


class Record(msgspec.Struct, frozen=True):
    """The content of a pid file: enough to end this process later, and no other."""

    name: str
    pid: int
    identity: str
    stop: list[tuple[int, float]]


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run. The child sees only `environment` and its mark; `mark` names its owner (`proc.MARK`)."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    mark: str
    log: Path
    pid_file: Path
    cwd: Path = Path("/")
    account: Account | None = None
    stop: Steps = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


Report = Callable[[str], None]


def report(line: str) -> None:
    """Print a message for the user, and write it to the supervisor's log."""
    with suppress(OSError):  # the terminal may be gone
        print(line, file=sys.stderr, flush=True)
    if structlog.is_configured():  # if not configured, it would print the same line again
        structlog.get_logger("devstack").warning(line, action="supervisor_report")


def next_delay(previous_s: float, lived_s: float, settled_s: float = SETTLED_S) -> float:
    """Return the seconds before a restart: 0.2, doubling to 10. A child that lived for `settled_s` starts over. Pure."""
    if previous_s == 0 or lived_s >= settled_s:
        return _FIRST_DELAY_S
    return min(previous_s * 2, _LONGEST_DELAY_S)


def launcher(command: list[str], account: Account | None, death_signal: signal.Signals = signal.SIGTERM) -> list[str]:
    """Return the command line that runs `command` as `account` and ends it with us. Start it from a thread that outlives it."""
    who = f"{account.uid}:{account.gid}" if account is not None and os.geteuid() == 0 else "-"
    return [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(death_signal)), who, *command]


def describe_exit(code: int) -> str:
    """Return "exit code 3" or "killed by SIGKILL"."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


async def run(command: list[str], *, account: Account | None = None, environment: Mapping[str, str], timeout_s: float) -> str:
    """Run a helper program to its end and return its output. Raises ArchiverError with the output when it fails or hangs."""
    process = await asyncio.create_subprocess_exec(
        *launcher(command, account, signal.SIGKILL),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        cwd="/",
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        raise ArchiverError(f"{command[0]} did not end within {timeout_s:.0f} s.") from None
    finally:  # also when cancelled: nothing may write where other code works or cleans up next
        if process.returncode is None:  # else its pid may belong to another process by now
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    words = output.decode(errors="replace").strip()
    if process.returncode != 0:
        raise ArchiverError(f"{Path(command[0]).name} failed ({describe_exit(process.returncode or 0)}): {words[-1000:]}")
    return words


class Child:
    """One supervised process. `start` it once; it is kept running until `stop`.

    `ready` returns whether it serves. `before` runs before each start and cleans up after the previous process, whose pid it
    gets. `predecessor` is that pid for the first start, or None when no process died. After a child has lived for `settled_s`
    seconds, its next restart is quick again.
    """

    def __init__(
        self,
        program: Program,
        *,
        ready: Callable[[], Awaitable[bool]] | None = None,
        before: Callable[[int | None], Awaitable[None]] | None = None,
        predecessor: int | None = None,
        say: Report = report,
        settled_s: float = SETTLED_S,
    ) -> None:
        self.program = program
        self.deaths = 0
        self._ready = ready
        self._before = before
        self._predecessor = predecessor
        self._say = say
        self._settled_s = settled_s
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._log_start = 0
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        """Return the pid of the running process, or None between two runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self, timeout_s: float = 30.0) -> None:
        """Start, and wait until ready. If it dies or stays silent, clean up and raise ArchiverError with the end of its log."""
        try:
            await self._spawn()
            await self._until_ready(timeout_s)
        except BaseException:
            await self._end()
            raise
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.program.name}")

    async def stop(self) -> None:
        """Ask the process to end, step by step. Its own children end too. Safe to call twice."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end()

    def last_words(self) -> str:
        """Return the end of the current process's log output."""
        with suppress(OSError), self.program.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 2000))
            return log.read().decode(errors="replace").strip()
        return ""

    async def _spawn(self) -> None:
        self._started_at = time.monotonic()
        if self._before is not None:
            await self._before(self._predecessor if self._process is None else self._process.pid)
        program = self.program
        log = os.open(program.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self._log_start = os.fstat(log).st_size
            self._process = await asyncio.create_subprocess_exec(
                *launcher(program.command, program.account, program.stop[0][0]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**program.environment, proc.MARK: f"{program.mark}:{program.name}"},
                cwd=program.cwd,
                start_new_session=True,
            )
        finally:
            os.close(log)
        self._record(self._process.pid)

    def _record(self, pid: int) -> None:
        stop = [(int(number), patience_s) for number, patience_s in self.program.stop]
        record = Record(self.program.name, pid, proc.identity(pid) or "", stop)
        new = self.program.pid_file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(record))
        new.replace(self.program.pid_file)

    async def _until_ready(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._ready is not None and not await self._ready():
            if self.pid is None:
                code = await self._process.wait() if self._process is not None else 0
                raise ArchiverError(f"{self.program.name} ended while starting ({describe_exit(code)}): {self.last_words()}")
            if time.monotonic() > deadline:
                raise ArchiverError(f"{self.program.name} did not answer within {timeout_s:.0f} s: {self.last_words()}")
            await asyncio.sleep(0.01)

    async def _keep(self) -> None:
        delay_s = 0.0
        while True:
            code = await self._watch()
            lived_s = time.monotonic() - self._started_at
            delay_s = next_delay(delay_s, lived_s, self._settled_s)
            self.deaths += 1
            self._say(
                f"{self.program.name} died ({describe_exit(code)}) after {lived_s:.1f} s; starting it again in {delay_s:.1f} s."
            )
            await self._sweep()
            await asyncio.sleep(delay_s)
            try:
                await self._spawn()
            except Exception as exc:  # noqa: BLE001 - after any error, nothing else would restart it
                self._say(f"{self.program.name} cannot be started: {exc}")

    async def _watch(self) -> int:
        """Wait for its end, and meanwhile keep its log small."""
        assert self._process is not None
        while True:
            try:
                async with asyncio.timeout(_LOG_CHECK_S):
                    return await self._process.wait()
            except TimeoutError:
                if rotate(self.program.log):
                    self._log_start = 0

    async def _end(self) -> None:
        process = self._process
        if process is not None:
            for number, patience_s in self.program.stop:
                with suppress(ProcessLookupError):
                    process.send_signal(number)
                    process.send_signal(signal.SIGCONT)  # a stopped process would not receive the first one
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), patience_s)
                    break
            await self._sweep()
        self.program.pid_file.unlink(missing_ok=True)

    async def _sweep(self) -> None:
        """End the processes that the dead child started and left behind. The inherited mark identifies them in any session."""
        left = await asyncio.to_thread(proc.marked, f"{self.program.mark}:{self.program.name}")
        if left:
            await asyncio.to_thread(proc.end, left, ((signal.SIGKILL, 5.0),))


def rotate(log: Path, limit_bytes: int = _LOG_LIMIT_BYTES) -> bool:
    """Copy a log above `limit_bytes` to `<log>.1` and empty it. The writer appends and needs no notice.

    Lines written between the copy and the emptying are lost. That is acceptable in a log: the events are in Postgres anyway.
    """
    if not log.exists() or log.stat().st_size <= limit_bytes:
        return False
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
    return True
