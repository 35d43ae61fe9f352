"""The command line itself: its documentation, its help, and the commands of the single-machine edition."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from cli.actions import FOLDER_ORDER
from cli.commands import Ended, HistorySort, Sort, app
from cli.exits import MEANING, Exit, from_http
from services.gateway.jobs import decide
from shared.domain.lifecycle import TERMINAL
from tests.cli.runner import Cli

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
_COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined] # an app with several commands is a group


def test_the_document_names_every_command_and_no_other() -> None:
    """One heading per command in docs/cli.md; each option is mentioned in its command's section."""
    sections = dict(re.findall(r"^### `([a-z]+)[^`]*`\n(.*?)(?=^#|\Z)", _DOCUMENT, re.MULTILINE | re.DOTALL))
    assert sections.keys() == _COMMANDS.keys()
    headings = re.findall(r"^### `([a-z]+)([^`]*)`$", _DOCUMENT, re.MULTILINE)
    for name, signature in headings:
        own = {option for parameter in _COMMANDS[name].params for option in parameter.opts if option.startswith("--")}
        common = {"--json", "--server", "--help"}
        assert own - common <= set(re.findall(r"--[a-z-]+", signature + sections[name])), name
        assert ("--json" in own) == ("--json" in signature), name


def test_the_document_and_the_help_have_the_one_table_of_exit_codes() -> None:
    """docs/cli.md repeats `cli.exits.MEANING` word for word. Each command's help ends with its part of it."""
    rows = re.findall(r"^\| (\d+) \| (.*?) \|$", _DOCUMENT, re.MULTILINE)
    assert rows == [(str(code.value), text) for code, text in MEANING.items()]
    assert MEANING.keys() == set(Exit)
    for name, command in _COMMANDS.items():
        assert command.epilog is not None, name
        assert "EXIT STATUS" in command.epilog, name


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (301, Exit.UNAVAILABLE), (400, Exit.USAGE), (401, Exit.REFUSED), (403, Exit.REFUSED), (404, Exit.NOT_FOUND),
        (409, Exit.CONFLICT), (422, Exit.USAGE), (429, Exit.UNAVAILABLE), (500, Exit.UNAVAILABLE), (503, Exit.UNAVAILABLE),
    ],
)  # fmt: skip
def test_http_status_to_exit_code(status: int, code: Exit) -> None:
    """The server's status decides the exit code, in one place."""
    assert from_http(status) is code


def test_every_order_offered_is_known() -> None:
    """`cli.actions` supports every order that `folders --sort` offers."""
    assert {order.value for order in Sort} == FOLDER_ORDER.keys()


def test_the_history_offers_what_the_gateway_knows() -> None:
    """All of the gateway's orders except that of `jobs`, and every way to end."""
    assert {order.value for order in HistorySort} == set(decide.Sort) - {decide.Sort.CREATED}
    assert {ended.value for ended in Ended} == TERMINAL


def test_help_is_quick_and_fits(tmp_path: Path) -> None:
    """Help needs none of the slow imports, and prints the exit codes."""
    cli = Cli(tmp_path, "")
    done = cli.run("archive", "--help")
    assert done.code == Exit.OK
    assert "EXIT STATUS" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    loaded = "import sys, cli.__main__; print({'httpx', 'rich', 'msgspec', 'pydantic', 'asyncpg'} & set(sys.modules))"
    seen = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, env=cli.env, check=True)
    assert seen.stdout == "set()\n"


def test_archives_of_this_machine_load_no_client(tmp_path: Path) -> None:
    """`--local` needs no server. Importing an HTTP client would cost it a third of its start-up."""
    loaded = "import sys, cli.__main__, cli.archives; print({'httpx', 'rich', 'pydantic', 'asyncpg'} & set(sys.modules))"
    seen = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, env=Cli(tmp_path, "").env, check=True)
    assert seen.stdout == "set()\n"


def test_the_installed_program_tells_its_version(tmp_path: Path) -> None:
    """The distribution's entry point works, for people and for programs."""
    program = Path(sys.executable).with_name("cs-archiver")
    done = subprocess.run([program, "version", "--json"], capture_output=True, text=True, env=Cli(tmp_path, "").env, check=True)
    assert re.fullmatch(r'\{"version":"[\d.]+"\}\n', done.stdout)


def test_up_and_destroy_hand_over_to_the_single_machine_edition(tmp_path: Path) -> None:
    """The exit code passes through. `destroy` does nothing without --yes, 78 says what to install, no argument is ignored."""
    cli = Cli(tmp_path, "")
    assert cli.run("destroy").code == Exit.USAGE
    package = tmp_path / "elsewhere" / "devstack"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shadowed = {"PYTHONPATH": str(package.parent)}
    done = cli.run("up", **shadowed)
    assert (done.code, "cs-archiver[embedded]" in done.err) == (Exit.CONFIGURATION, True)
    for name in ("up", "destroy"):
        (package / f"{name}.py").write_text("def main(*given):\n    print(*given)\n    return 7\n")
        done = cli.run(name, "--data-dir", "x", **shadowed)
        assert (done.code, "No such option: --data-dir" in done.err) == (Exit.USAGE, True)
    done = cli.run("up", "--env-file", "settings.env", **shadowed)
    assert (done.code, done.out) == (7, "settings.env\n")
    done = cli.run("destroy", "--yes", **shadowed)
    assert (done.code, done.out) == (7, "\n")
