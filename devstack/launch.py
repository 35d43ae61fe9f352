"""Become another program: optionally another account, and told to end when the supervisor ends. Run as a script, never imported.

`python -I -S launch.py SUPERVISOR_PID SIGNAL UID:GID|- PROGRAM [ARGUMENT...]`

A small program of its own because Python's `preexec_fn` is unsafe in a process with threads, and because the kernel forgets the
death signal when the account changes: it has to be asked for after that, in this process. It imports no more than it needs:
every child pays for it (about 15 ms).
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
    if os.getppid() != supervisor:  # it died before we asked: nobody would ever tell us
        sys.exit("The supervisor is gone.")
    os.execv(command[0], command)  # noqa: S606 - replacing ourselves by a program is what this file is for


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    except OSError as exc:
        sys.exit(f"Cannot start {sys.argv[4]}: {exc}")
