"""One `up` per DATA_DIR, and the end of what a killed one left running."""

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
    """Whether an `up` ever had this DATA_DIR: only then another one may run on it, or a killed one have left something."""
    return (data_dir / "run" / _FILE).exists()


@contextmanager
def data_dir_lock(data_dir: Path) -> Iterator[None]:
    """Hold DATA_DIR/run/up.lock; the kernel lets go when the holder dies, however it dies.

    Raises ArchiverError naming the holder's pid when another `up` has it.
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
    """Return the pid of each process that a killed run recorded, by the process's name. Call it before `leftovers`. Blocks."""
    records = map(_read, (data_dir / "run").glob("*.pid"))
    return {record.name: record.pid for record in records if record is not None}


def leftovers(data_dir: Path) -> list[str]:
    """End every process of a killed run on this DATA_DIR; return what was ended, for the person at the terminal. Blocks.

    Call it holding the lock. First those with a pid file, gently; then whatever they had started, known by its inherited mark.
    A pid that now belongs to somebody else is left alone.
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
    """What a pid file holds; None for one that a crash left damaged (its process is found by its mark)."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None
