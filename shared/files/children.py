"""Child processes that never outlive their work.

Every child gets its own session (so one signal reaches all its processes), no terminal (stdin is /dev/null unless bytes are
given), a bounded buffer for its stderr, and PR_SET_PDEATHSIG: the kernel kills it when this process dies, for any reason.

A launcher sets the death signal: a few lines of Python that then become the program by `exec`. The usual `preexec_fn` would run
Python code between fork and exec in a process with threads, which may deadlock; the launcher costs 13 ms instead. For the kernel
the parent is the thread that started the child. That thread must live as long as the child, as the event loop's thread and a
worker thread do.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from shared.errors import ConfigurationError

STDERR_CAP = 64 * 1024
GRACE_S = 10.0
_CHUNK = 65536

# argv: our pid, resource limits as "number=value,...", what to add to our niceness, the program and its arguments. If the kernel
# groups processes by session, only the group's niceness counts between sessions. getppid detects a parent that died before prctl.
# If our own limit is smaller, it applies, because only root may raise a limit. Python ignores SIGPIPE, and the program would
# inherit that.
_LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
if sys.argv[2]:
    import resource
    for pair in sys.argv[2].split(","):
        which, value = map(int, pair.split("="))
        outside = resource.getrlimit(which)
        resource.setrlimit(which, tuple(value if limit == resource.RLIM_INFINITY else min(value, limit) for limit in outside))
more = int(sys.argv[3])
niceness = os.nice(more) if more else os.getpriority(os.PRIO_PROCESS, 0)  # a sandbox refuses even to set the same again
if niceness > 0:
    try:
        with open("/proc/self/autogroup", "w") as group:
            group.write(str(niceness))
    except OSError:
        pass
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execv(sys.argv[4], sys.argv[4:])
"""


class Outcome(NamedTuple):
    """How a child ended: its exit code (negative: killed by that signal) and the first 64 KiB of its stderr."""

    returncode: int
    stderr: bytes

    @property
    def clean(self) -> bool:
        """True for exit code 0 and an empty stderr."""
        return self.returncode == 0 and not self.stderr

    def complaint(self) -> str:
        """Return the last 300 characters of stderr in one line, with control characters escaped."""
        text = " ".join(self.stderr.decode("utf-8", "backslashreplace").split())[-300:]
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return text or "it said nothing"


def launched(argv: Sequence[str | bytes], limits: Mapping[int, int] | None = None, niceness: int = 0) -> list[str | bytes]:
    """Return the command that starts `argv` as a child of the calling thread.

    The child dies with that thread, and runs within `limits` and with `niceness` added to ours.
    """
    limit_list = ",".join(f"{which}={value}" for which, value in (limits or {}).items())
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), limit_list, str(niceness), *argv]


def _ignore(_: bytes) -> None:
    return


class Children:
    """The child processes of one task."""

    def __init__(self, niceness: int = 0) -> None:
        """`niceness`: how far these children yield the processor to others (0 to 19)."""
        self._niceness = niceness

    async def run(
        self,
        argv: Sequence[str | bytes],
        *,
        on_stdout: Callable[[bytes], None] = _ignore,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: bytes | None = None,
        pass_fds: Sequence[int] = (),
        limits: Mapping[int, int] | None = None,
        grace_s: float = GRACE_S,
    ) -> Outcome:
        """Run a program to its end and pass every chunk of its stdout to `on_stdout`.

        argv[0] is an absolute path. `limits`: `resource.RLIMIT_*` -> value (soft and hard); a smaller limit of this process
        applies. When the task is cancelled or `on_stdout` raises, the group gets SIGTERM and, after `grace_s` seconds, SIGKILL.
        The group has ended before the exception propagates. Raises ConfigurationError when the program is missing.
        """
        if not os.access(argv[0], os.X_OK):
            raise ConfigurationError(f"{os.fsdecode(argv[0])} is missing or not executable.")
        process = await asyncio.create_subprocess_exec(
            *launched(argv, limits, self._niceness),
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )  # fmt: skip
        try:
            stderr = await _talk(process, stdin, on_stdout)
            return Outcome(await process.wait(), stderr)
        finally:
            await _end(process, grace_s)

    def run_blocking(
        self,
        argv: Sequence[str | bytes],
        *,
        stop: Callable[[], None],
        on_stdout: Callable[[bytes], None] = _ignore,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        poll_s: float = 0.2,
    ) -> Outcome:
        """Run a program as `run` does, from a worker thread.

        `stop` is called every `poll_s` seconds. Its exception ends the child and is raised here.
        """

        async def polled() -> Outcome:
            work = asyncio.create_task(self.run(argv, on_stdout=on_stdout, env=env, pass_fds=pass_fds))
            try:
                while not (await asyncio.wait({work}, timeout=poll_s))[0]:
                    stop()
                return work.result()
            finally:
                work.cancel()
                await asyncio.wait({work})

        return asyncio.run(polled())


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # PermissionError: only zombies are left, on some kernels
        os.killpg(group, number)


async def _talk(process: asyncio.subprocess.Process, stdin: bytes | None, on_stdout: Callable[[bytes], None]) -> bytes:
    """Serve the three pipes until both outputs are closed; return the first bytes of stderr."""

    async def feed() -> None:
        if process.stdin is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                process.stdin.write(stdin or b"")
                await process.stdin.drain()
            process.stdin.close()

    async def hear(stream: asyncio.StreamReader | None, say: Callable[[bytes], None]) -> None:
        while stream is not None and (chunk := await stream.read(_CHUNK)):
            say(chunk)

    said = bytearray()
    tasks = [
        asyncio.create_task(feed()),
        asyncio.create_task(hear(process.stdout, on_stdout)),
        asyncio.create_task(hear(process.stderr, lambda chunk: said.extend(chunk[: STDERR_CAP - len(said)]))),
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return bytes(said)


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    """End all processes of the group. SIGCONT lets a stopped child receive SIGTERM."""
    try:
        if process.returncode is None:
            _signal(process.pid, signal.SIGTERM)
            _signal(process.pid, signal.SIGCONT)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_s)
    finally:  # also when cancelled a second time
        _signal(process.pid, signal.SIGKILL)
        await process.wait()
