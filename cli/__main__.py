"""Entry point of `cs-archiver`: run the command, say what went wrong on stderr, end with the code of `cli.exits`."""

import sys

from typer.main import get_command

from cli.commands import app
from cli.exits import Exit, Failure


def main() -> None:
    """Run `sys.argv`; always ends in SystemExit."""
    try:
        get_command(app).main(prog_name="cs-archiver")
    except Failure as exc:
        print(f"cs-archiver: {exc}", file=sys.stderr)
        sys.exit(exc.exit_code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)


if __name__ == "__main__":
    main()
