"""Named fault points: places where a test kills or stops the process, to prove that nothing is lost there.

They are off unless the environment enables them, in one of two ways:

- CS_ARCHIVER_CRASH_AT names a point (as `point`, or `point#3` for its third visit): the process is killed there.
  CS_ARCHIVER_CRASH_ONCE names a file that is created before the kill. If the file already exists, nothing happens, so that the
  restarted process passes the point.
- CS_ARCHIVER_CRASH_FILE names a file that is read on every visit. Its first line is the next point, for the first process that
  reaches it. The line is removed, then the process is killed, or stopped if the line ends in ` stop`. The next line then applies.
"""

import os
import signal
import threading
from collections import Counter
from pathlib import Path

_visits: Counter[str] = Counter()
_plan: list[str] = []


def point(name: str) -> None:
    """Kill or stop the process here if the environment asks for it."""
    if file := os.environ.get("CS_ARCHIVER_CRASH_FILE"):
        _by_file(name, Path(file))
    wanted = os.environ.get("CS_ARCHIVER_CRASH_AT")
    if not wanted or not _is_due(name, wanted):
        return
    once = os.environ.get("CS_ARCHIVER_CRASH_ONCE")
    if once:
        try:
            os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)


def _is_due(name: str, wanted: str) -> bool:
    _visits[name] += 1
    where, _, visit = wanted.partition("#")
    return name == where and _visits[name] == int(visit or 1)


def _by_file(name: str, file: Path) -> None:
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        lines = []
    if lines != _plan:
        _plan[:] = lines
        _visits.clear()
    wanted, _, action = (lines[0] if lines else "").partition(" ")
    if not wanted or not _is_due(name, wanted):
        return
    _plan.clear()  # if this process continues, the same plan may be set again
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text("".join(f"{line}\n" for line in lines[1:]))
    new.replace(file)
    if action == "stop":
        # Signal this thread, because it must not execute anything more. A signal to the process stops another thread first.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    else:
        os.kill(os.getpid(), signal.SIGKILL)
