"""Identify processes by /proc, so that a reused pid is never mistaken for one of ours.

A process is identified by the boot id and its start tick, not by a time of day: a clock change moves every start *time* (also
psutil's `create_time`), but never the tick.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

MARK = "CS_ARCHIVER_SUPERVISED"
"""Environment variable that every child has and every grandchild inherits: `<DATA_DIR>:<name>`."""

_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def identity(pid: int) -> str | None:
    """Return boot id and start tick of a living process. None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except _GONE:
        return None
    return None if fields[0] in {b"Z", b"X"} else f"{boot}:{fields[19].decode()}"


def send(pid: int, expected: str, number: signal.Signals) -> bool:
    """Send a signal to the process with that identity, and never to a later owner of its pid. Returns False when it is gone."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if identity(pid) == expected:
                signal.pidfd_send_signal(handle, number)
                return True
        finally:
            os.close(handle)
    return False


def everyone() -> Iterator[int]:
    """Yield every pid except our own."""
    own = os.getpid()
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != own)


def marked(mark: str) -> dict[int, str]:
    """Return, by pid, the identity of the living processes whose mark is `mark` or below it (`<mark>:...`)."""
    wanted = f"{MARK}={mark}".encode()

    def ours(pid: int) -> bool:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return any(variable == wanted or variable.startswith(wanted + b":") for variable in variables)

    return _those(ours)


def working_in(directory: Path) -> dict[int, str]:
    """Return, by pid, the identity of the living processes that work in `directory`. Postgres' processes are found like this."""
    wanted = directory.stat()

    def ours(pid: int) -> bool:
        found = Path(f"/proc/{pid}/cwd").stat()
        return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)

    return _those(ours)


def _those(ours: Callable[[int], bool]) -> dict[int, str]:
    found = {}
    for pid in everyone():
        with suppress(*_GONE):
            known = identity(pid)
            if known is not None and ours(pid) and identity(pid) == known:
                found[pid] = known
    return found


def end(processes: dict[int, str], steps: tuple[tuple[signal.Signals, float], ...]) -> None:
    """Send each signal in turn, and wait up to its seconds until all processes are gone. Blocks.

    SIGCONT follows each signal, because a stopped process would not receive it.
    """
    for number, patience_s in steps:
        for pid, known in processes.items():
            if send(pid, known, number):
                send(pid, known, signal.SIGCONT)
        deadline = time.monotonic() + patience_s
        while any(identity(pid) == known for pid, known in processes.items()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        else:
            return
