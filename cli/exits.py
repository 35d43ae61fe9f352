"""The table of exit codes, and the exception that ends a command with one of them."""

from enum import IntEnum

from shared.errors import ArchiverError


class Exit(IntEnum):
    OK = 0
    JOB = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    CONFIGURATION = 78  # EX_CONFIG of sysexits.h
    INTERRUPTED = 130  # 128 + SIGINT, as shells count
    PIPE = 141  # 128 + SIGPIPE


MEANING: dict[Exit, str] = {
    Exit.OK: "Done; with --wait: the job completed.",
    Exit.JOB: "The job failed or was cancelled; with --local: the work failed.",
    Exit.USAGE: "The command line, or what it asks for, is not valid.",
    Exit.REFUSED: "Not logged in, or not allowed.",
    Exit.NOT_FOUND: "No such job, folder or file.",
    Exit.CONFLICT: "Not possible in the present state.",
    Exit.UNAVAILABLE: "Server unreachable, busy or in trouble.",
    Exit.CONFIGURATION: "The configuration on this machine is wrong.",
    Exit.INTERRUPTED: "Stopped by Ctrl-C, SIGTERM or a closed terminal; jobs go on.",
    Exit.PIPE: "The program that read the output has ended.",
}

LOCAL = (Exit.OK, Exit.USAGE, Exit.CONFIGURATION, Exit.INTERRUPTED)
SERVER = (*LOCAL, Exit.REFUSED, Exit.UNAVAILABLE, Exit.PIPE)


class Failure(ArchiverError):  # noqa: N818 - Ctrl-C and a cancelled job are not errors, but end a command too
    """End the command: `exit_code` for programs, the message (what happened, what to do) for people."""

    def __init__(self, exit_code: Exit, sentence: str) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def from_http(status: int) -> Exit:
    """Return the exit code for an HTTP status that is not a success."""
    known = {
        401: Exit.REFUSED,
        403: Exit.REFUSED,
        404: Exit.NOT_FOUND,
        409: Exit.CONFLICT,
        410: Exit.NOT_FOUND,
        429: Exit.UNAVAILABLE,
    }
    if status in known:
        return known[status]
    # Any other status below 500 means an unacceptable request. A redirect means that this is not our gateway.
    return Exit.USAGE if 400 <= status < 500 else Exit.UNAVAILABLE


def status_help(codes: tuple[Exit, ...]) -> str:
    """Return the EXIT STATUS part of a command's help. The leading control character prevents re-wrapping."""
    return "\b\nEXIT STATUS\n" + "\n".join(f"{code.value:>5}  {MEANING[code]}" for code in sorted(set(codes)))
