"""Entry point of `cs-archiver`: run the command, report errors on stderr, and exit with a code of `cli.exits`."""

import os
import sys
from contextlib import suppress

from typer.main import get_command

from cli.commands import COMPLETE_VARIABLE, PROGRAM, app
from cli.exits import Exit, Failure
from shared.endings import as_interrupts, ignore_from_now_on


def main() -> None:
    """Run `sys.argv`. Always raises SystemExit."""
    as_interrupts()
    if COMPLETE_VARIABLE in os.environ:  # a shell asks for completions
        from typer._completion_classes import completion_init  # noqa: PLC0415 - no other command needs it

        completion_init()
    try:
        get_command(app).main(prog_name=PROGRAM)
    except Failure as exc:
        with suppress(OSError):  # the terminal may be gone
            print(f"cs-archiver: {exc}", file=sys.stderr, flush=True)
        _end(exc.exit_code)
    except KeyboardInterrupt:
        _end(Exit.INTERRUPTED)


def _end(code: Exit) -> None:
    """Exit with this code. Discard unwritten output first: if the terminal is gone, the interpreter would exit with 120."""
    if code is Exit.INTERRUPTED:
        ignore_from_now_on()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
