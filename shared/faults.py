"""Named fault points: places where a test kills the process, to prove that nothing is lost there.

Off unless CS_ARCHIVER_CRASH_AT names a point (as `point` or `point#3` for its third visit). CS_ARCHIVER_CRASH_ONCE is a file that
is created before the kill; when it exists already nothing happens, so that the restarted process gets past the point.
"""

import os
import signal
from collections import Counter

_visits: Counter[str] = Counter()


def point(name: str) -> None:
    """Die here with SIGKILL when the environment asks for it."""
    wanted = os.environ.get("CS_ARCHIVER_CRASH_AT")
    if not wanted:
        return
    _visits[name] += 1
    where, _, visit = wanted.partition("#")
    if name != where or _visits[name] != int(visit or 1):
        return
    once = os.environ.get("CS_ARCHIVER_CRASH_ONCE")
    if once:
        try:
            os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
