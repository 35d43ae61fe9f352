"""Completion in real shells: typed in a terminal, with Tab."""

import os
import pty
import re
import select
import shutil
import time
from pathlib import Path

import pytest

from tests.cli.runner import Cli

SHELLS = {
    "bash": (["bash", "--norc", "-i"], "source <(cs-archiver completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit && compinit -u -D && source <(cs-archiver completion zsh)"),
    "fish": (["fish", "--no-config", "-i"], "cs-archiver completion fish | source"),
}
_READY = "ready-to-type"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """With `cs-archiver` in its PATH."""
    cli = Cli(tmp_path, "http://127.0.0.1:1")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "cs-archiver"
    program.write_text(f'#!/bin/sh\nexec {" ".join(cli.command())} "$@"\n')
    program.chmod(0o755)
    cli.env |= {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PS1": "> ",
        "TERM": "dumb",
    }
    return cli


class Terminal:
    """A shell in its own terminal."""

    def __init__(self, cli: Cli, command: list[str]) -> None:
        self.child, self._handle = pty.fork()
        if self.child == 0:
            os.chdir(cli.home)
            os.execvpe(command[0], command, cli.env)
        self._seen = ""

    def type(self, text: str) -> None:
        self._seen = ""
        os.write(self._handle, text.encode())

    def until(self, pattern: str) -> str:
        """Return the output since the last input, once it contains this text."""
        deadline = time.monotonic() + 60
        while not re.search(pattern, self._seen):
            ready, _, _ = select.select([self._handle], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"never showed {pattern!r}; last seen: {self._seen!r}"
            self._seen += os.read(self._handle, 65536).decode(errors="replace")
        return self._seen

    def close(self) -> None:
        os.kill(self.child, 9)
        os.close(self._handle)
        os.waitpid(self.child, 0)


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell)])
def test_a_shell_completes_commands_options_values_and_files(cli: Cli, shell: str) -> None:
    """After one Tab, the only match is completed."""
    command, setup = SHELLS[shell]
    (cli.home / "a long name.zip").write_text("")
    (cli.home / "unmistakable.zip").write_text("")
    terminal = Terminal(cli, command)
    try:
        terminal.type(f"{setup}; echo ready-to''-type\n")
        terminal.until(f"(?m)^{_READY}")
        for typed, completed in (
            ("cs-archiver media\t", "mediainfo"),
            ("cs-archiver zip --form\t", "--format"),
            ("cs-archiver zip x --format 7\t", "7z"),
            ("cs-archiver files mk\t", "mkdir"),
            ("cs-archiver unzip unmis\t", r"unmistakable\.zip"),
        ):
            terminal.type(typed)
            terminal.until(completed)
            terminal.type("\x15")  # an empty line again
    finally:
        terminal.close()
