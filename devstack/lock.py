"""Allow one `up` per DATA_DIR, and end the processes that a killed one left running."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from devstack import proc
from devstack.processes import Record
from devstack.secrets import private_directory
from shared.errors import ArchiverError

_FILE = "up.lock"
_KILL = ((signal.SIGKILL, 5.0),)


def was_used(data_dir: Path) -> bool:
    """Return whether an `up` ever used this DATA_DIR. Only then may another one be running, or a killed one have left processes."""
    return (data_dir / "run" / _FILE).exists()


@contextmanager
def data_dir_lock(data_dir: Path) -> Iterator[None]:
    """Hold DATA_DIR/run/up.lock. The kernel releases it when the holder dies in any way.

    Raises ArchiverError with the holder's pid when another `up` has it.
    """
    path = private_directory(data_dir / "run") / _FILE
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise ArchiverError(
                f"CS Archiver already runs on {data_dir} (pid {holder}). Stop that one first, or give another DATA_DIR."
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def recorded_pids(data_dir: Path) -> dict[str, int]:
    """Return the pid of each process recorded by a killed run, by process name. Call it before `leftovers`. Blocks."""
    records = map(_read, (data_dir / "run").glob("*.pid"))
    return {record.name: record.pid for record in records if record is not None}


def leftovers(data_dir: Path) -> list[str]:
    """End every process of a killed run on this DATA_DIR. Returns their names, for a message to the user. Blocks.

    Call it while holding the lock. First end the processes with a pid file, gently. Then end their children, which are found by
    the inherited mark. A pid that now belongs to another process is left alone.
    """
    ended = []
    for file in sorted((data_dir / "run").glob("*.pid")):
        record = _read(file)
        if record is not None and proc.identity(record.pid) == record.identity:
            proc.end(
                {record.pid: record.identity}, tuple((signal.Signals(number), patience_s) for number, patience_s in record.stop)
            )
            ended.append(f"{record.name} (pid {record.pid})")
        file.unlink(missing_ok=True)
    orphans = proc.marked(str(data_dir))
    if orphans:
        proc.end(orphans, _KILL)
        ended += [f"pid {pid}" for pid in orphans]
    return ended


def _read(file: Path) -> Record | None:
    """Return the content of a pid file. None if a crash damaged it; its process is then found by its mark."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None
