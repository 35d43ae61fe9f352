"""Become another program: optionally under another account, and set to end with the supervisor. Run as a script, never imported.

`python -I -S launch.py SUPERVISOR_PID SIGNAL UID:GID|- PROGRAM [ARGUMENT...]`

It is a separate program because Python's `preexec_fn` is unsafe in a process with threads. Also, the kernel forgets the death
signal when the account changes, so this process must request the signal afterwards. It imports only what it needs, because it
delays every child (by about 15 ms).
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(supervisor: int, death_signal: int, account: str, command: list[str]) -> None:
    if account != "-":
        uid, gid = (int(part) for part in account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != supervisor:  # it died before the request: no signal would ever come
        sys.exit("The supervisor is gone.")
    os.execv(command[0], command)  # noqa: S606 - replacing this process by a program is the purpose of this file


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    except OSError as exc:
        sys.exit(f"Cannot start {sys.argv[4]}: {exc}")
