"""Named fault points: places where a test kills or stops the process, to prove that nothing is lost there.

Off unless the environment asks for it, in one of two ways:

- CS_ARCHIVER_CRASH_AT names a point (as `point`, or `point#3` for its third visit): the process is killed there.
  CS_ARCHIVER_CRASH_ONCE is a file that is created before the kill; when it exists already nothing happens, so that the restarted
  process gets past the point.
- CS_ARCHIVER_CRASH_FILE names a file that is looked at on every visit: its first line is the next point, for whichever process
  comes there first. The line is taken out before the process is killed, or stopped where it ends in ` stop`; then the next counts.
"""

import os
import signal
import threading
from collections import Counter
from pathlib import Path

_visits: Counter[str] = Counter()
_plan: list[str] = []


def point(name: str) -> None:
    """Die (or stop) here when the environment asks for it."""
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
    _plan.clear()  # were this process to go on, the same plan could come again
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text("".join(f"{line}\n" for line in lines[1:]))
    new.replace(file)
    if action == "stop":
        # To this thread: it must not take one step more, and a signal to the process stops another thread first.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    else:
        os.kill(os.getpid(), signal.SIGKILL)
