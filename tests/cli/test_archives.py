"""`zip`, `unzip` and `zipinfo` with --local: files on this machine, no server."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.archives import bytes_of
from cli.commands import ArchiveFormat
from cli.exits import Exit, Failure
from shared.archiving import formats
from shared.domain.requests import FORMATS
from tests.cli.runner import Cli, Result
from tests.shared.archiving import hostile
from tests.shared.archiving.trees import everything, picture
from tests.support.folders import bytes_below
from tests.support.stack import until

DOCUMENT = (Path(__file__).parents[2] / "docs/cli.md").read_text()
NOWHERE = "http://127.0.0.1:1"
WITHOUT_ROOTS_RIGHTS = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: the modes of files count for root as for anybody
    ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "home").mkdir()
    return Cli(tmp_path / "home", NOWHERE)


@pytest.fixture
def tree(cli: Cli) -> Path:
    return everything(cli.home)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_formats_offered_are_those_that_jobs_know() -> None:
    assert tuple(form.value for form in ArchiveFormat) == FORMATS


def test_an_archive_is_made_shown_and_unpacked(cli: Cli, tree: Path) -> None:
    """Piped output has one field per line, name and value. Nothing is left beside the results."""
    made = cli.run("zip", "tree", "--local")
    shown = cli.run("zipinfo", "tree.zip", "--local")
    back = cli.run("unzip", "tree.zip", "back", "--local")

    assert (made.code, shown.code, back.code) == (0, 0, 0), (made.err, shown.err, back.err)
    assert shown.err == "Use `cs-archiver unzip tree.zip --local` to extract this archive.\n"
    facts = dict(line.split("\t") for line in made.out.splitlines())
    assert facts.keys() == {
        "Format", "Filename", "Original size", "Compressed size", "Compression ratio", "Files", "Time taken", "Speed", "Location",
    }  # fmt: skip
    assert (facts["Format"], facts["Filename"], facts["Original size"]) == ("ZIP", "tree.zip", "73.74 KB")
    assert facts["Location"] == str(cli.home / "tree.zip")
    assert dict(line.split("\t") for line in shown.out.splitlines())["Files"] == "7"
    facts = dict(line.split("\t") for line in back.out.splitlines())
    assert facts.keys() == {"Archive", "Files extracted", "Total size", "Time taken", "Speed", "Destination"}
    assert picture(cli.home / "back/tree", seconds=True) == picture(tree, seconds=True)
    assert names(cli.home) == {"tree", "tree.zip", "back"}
    assert "Packing" in made.err


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_names_need_not_be_text(cli: Cli, tree: Path, form: str) -> None:
    """This holds for the folder, the archive and the target: bytes that are not UTF-8 survive."""
    folder = tree.rename(cli.home / os.fsdecode(b"caf\xe9"))
    target = os.fsdecode(b"out\xe9")

    made = cli.run("zip", folder.name, "--format", form, "--local")
    back = cli.run("unzip", f"{folder.name}.{form}", target, "--local")

    assert (made.code, back.code) == (0, 0), (made.err, back.err)
    assert picture(cli.home / target / folder.name, seconds=True) == picture(folder, seconds=True)


def test_json_has_the_figures(cli: Cli, tree: Path) -> None:
    made = cli.run("zip", "tree/below", "tree/text.txt", "--local", "--json", "-o", "some.tar.zst", "-l", "9").json()
    shown = cli.run("zipinfo", "some.tar.zst", "--local", "--json", "--list").json()
    back = cli.run("unzip", "some.tar.zst", "back", "--local", "--json", "-e", "text.txt").json()

    assert (made["format"], made["original_size"], made["file_count"]) == ("tar.zst", 75_500, 4)
    assert made["compressed_size"] == (cli.home / "some.tar.zst").stat().st_size
    assert made["compression_ratio"] == shown["compression_ratio"]
    assert {member["path"] for member in shown["entries"]} >= {"text.txt", "below/deeper/nothing"}
    assert (back["files_extracted"], back["total_size"]) == (1, 5_500)
    assert names(cli.home / "back") == {"text.txt"}


def test_a_name_that_says_another_format_is_refused(cli: Cli, tree: Path) -> None:
    """The message says what to do, and nothing is written."""
    refused = cli.run("zip", "tree", "--local", "-o", "x.rar")
    contrary = cli.run("zip", "tree", "--local", "-o", "x.zip", "-f", "7z")

    assert (refused.code, contrary.code) == (Exit.USAGE, Exit.USAGE)
    assert "let it end with .zip, .7z" in refused.err
    assert "let it end with .7z, or choose zip" in contrary.err
    assert names(cli.home) == {"tree"}


@pytest.mark.parametrize("form", ["zip", "7z"])
def test_passwords_come_from_stdin_file_or_environment(cli: Cli, tree: Path, form: str) -> None:
    """A wrong or missing one is refused with exit code 3 and leaves nothing."""
    (cli.home / "secret").write_text("geheim\n")

    made = cli.run("zip", "tree", "--local", "-f", form, "--password-file", "secret", "--volume", "64K", "-l", "0")
    archive = f"tree.{form}.001"

    assert made.code == 0, made.err
    assert cli.run("unzip", archive, "a", "--local").code == Exit.REFUSED
    assert cli.run("unzip", archive, "a", "--local", "-p", stdin="wrong\n").code == Exit.REFUSED
    assert cli.run("unzip", archive, "a", "--local", "-p", stdin="geheim\n").code == 0
    assert cli.run("unzip", archive, "b", "--local", "-p", CS_ARCHIVER_ARCHIVE_PASSWORD="geheim").code == 0
    latin = cli.run("unzip", archive, "c", "--local", "-p", CS_ARCHIVER_ARCHIVE_PASSWORD=os.fsdecode(b"gr\xfcn"))
    assert (latin.code, latin.err.strip()) == (Exit.USAGE, "cs-archiver: The password is no UTF-8 text.")
    assert picture(cli.home / "a/tree", seconds=True) == picture(tree, seconds=True)
    assert names(cli.home) == {"tree", "secret", "a", "b", archive, f"tree.{form}.002"}


def test_a_terminal_sees_colours_and_a_bar(cli: Cli, tree: Path) -> None:
    shown = cli.terminal("zip", "tree", "--local", columns=100)

    assert shown.code == 0
    assert any("Compression ratio" in line for line in shown.lines)
    assert any("Checking" in line for line in shown.lines)


def test_nothing_is_overwritten(cli: Cli, tree: Path) -> None:
    """Neither an archive nor extracted files: all or nothing."""
    cli.run("zip", "tree", "--local")

    assert cli.run("zip", "tree", "--local").code == Exit.CONFLICT
    (cli.home / "back").mkdir()
    (cli.home / "back/tree").write_text("mine")
    assert cli.run("unzip", "tree.zip", "back", "--local").code == Exit.CONFLICT
    assert (cli.home / "back/tree").read_text() == "mine"
    assert names(cli.home) == {"tree", "tree.zip", "back"}
    assert names(cli.home / "back") == {"tree"}


def test_a_name_is_cut_or_refused_before_anything_is_packed(cli: Cli, tree: Path) -> None:
    """255 bytes is the longest name of an archive or its parts. A generated name is cut between letters."""
    folder = cli.home / ("é" * 127)
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"x" * 100)

    made = cli.run("zip", "--local", folder.name)
    assert (made.code, (cli.home / ("é" * 125 + ".zip")).exists()) == (Exit.OK, True), made
    assert cli.run("zip", "--local", folder.name, "-o", "n" * 251 + ".zip").code == Exit.OK

    for output, options in (("n" * 252 + ".zip", ()), ("n" * 248 + ".zip", ("--volume", "1M"))):
        done = cli.run("zip", "--local", folder.name, "-o", output, *options)
        assert (done.code, "too long" in done.err, "Packing" in done.err) == (Exit.USAGE, True, False), done
    assert len(list(cli.home.glob("*.zip*"))) == 2


def test_what_cannot_be_done_is_said_with_its_code(cli: Cli, tree: Path) -> None:
    (cli.home / "text").write_text("no archive")
    hostile.zipped(cli.home / "evil.zip", ("../out", b"x"))
    before = names(cli.home)
    for code, said, *args in (
        (Exit.NOT_FOUND, "There is no nothing", "zip", "nothing"),
        (Exit.NOT_FOUND, "There is no folder", "zip", "tree", "-o", "nowhere/x.zip"),
        (Exit.USAGE, "very folder", "zip", "tree", "-o", "tree/x.zip"),
        (Exit.USAGE, "Not a size", "zip", "tree", "--volume", "much"),
        (Exit.USAGE, "Only zip and 7z", "zip", "tree", "-f", "tar", "--volume", "1M"),
        (Exit.JOB, "is not an archive", "zipinfo", "text"),
        (Exit.JOB, "its path leads upwards", "unzip", "evil.zip", "into"),
        (Exit.CONFLICT, "is no folder", "unzip", "evil.zip", "text"),
        (Exit.NOT_FOUND, "does not hold", "unzip", "evil.zip", "into", "-e", "other"),
    ):
        done = cli.run(*args, "--local")

        assert (done.code, said in done.err) == (code, True), (args, done)
        assert names(cli.home) == before
    assert cli.run("zipinfo", "evil.zip", "--local", "--json").json()["problems"]


def begun(cli: Cli, is_alive: Callable[[], bool], *, nothing_written: bool = False) -> None:
    """Wait until a command's working directory exists. It must contain something unless `nothing_written` is set."""

    def look() -> bool:
        assert is_alive(), "the command has ended"
        return any(nothing_written or bytes_below(folder) for folder in cli.home.glob(".cs-archiver-*"))

    until(look, "the command to begin", 60.0, lambda: str(names(cli.home)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_early_it_leaves_nothing(cli: Cli, tree: Path, number: signal.Signals) -> None:
    """Ctrl-C while 7-Zip works: it ends, and its partial archive is removed."""
    with (tree / "big").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
    process = cli.start("zip", "tree", "--local", "-f", "7z", "-l", "9")
    begun(cli, lambda: process.poll() is None)

    process.send_signal(number)
    process.communicate(timeout=60)

    assert process.returncode == Exit.INTERRUPTED
    assert names(cli.home) == {"tree"}
    left = subprocess.run(["pgrep", "-f", str(cli.home)], capture_output=True, check=False)
    assert left.stdout == b""


def test_a_closed_terminal_ends_it_and_leaves_nothing(cli: Cli, tree: Path) -> None:
    """The window is closed while 7-Zip works. Nobody sees the message, and the clean-up is the same."""
    with (tree / "big").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cli.home)
        os.execve(sys.executable, cli.command("zip", "tree", "--local", "-f", "7z", "-l", "9"), cli.env | {"TERM": "xterm"})
    try:
        begun(cli, lambda: os.waitpid(child, os.WNOHANG) == (0, 0))
    finally:
        os.close(terminal)

    ended, status = os.waitpid(child, 0)

    assert (ended, os.waitstatus_to_exitcode(status)) == (child, Exit.INTERRUPTED)
    assert names(cli.home) == {"tree"}


_BARS = """
import sys
from cli.terminal import Bar, PercentBar, moving
for bar in (Bar(), PercentBar(), moving("film.mov", 100)):
    with bar:
        print("drawn", flush=True)
        sys.stdin.readline()
    print("ended", flush=True)
"""


def test_bars_end_when_their_terminal_is_gone(cli: Cli) -> None:
    """A bar that can no longer be erased must not hide the command's result."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        command = [sys.executable, "-c", _BARS]
        env = cli.env | {"TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[2])}
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=terminal, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "drawn\n"
    os.close(master)

    said, _ = process.communicate("\n\n\n", timeout=60)

    assert said.split() == ["ended", "drawn", "ended", "drawn", "ended"]


def test_a_hang_up_that_is_repeated_interrupts_no_clean_up(cli: Cli, tree: Path) -> None:
    """The kernel signals the session leader and the foreground processes, so a program may get the signal twice."""
    with (tree / "big").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
    process = cli.start("zip", "tree", "--local", "-f", "7z", "-l", "9")
    begun(cli, lambda: process.poll() is None)

    while process.poll() is None:
        process.send_signal(signal.SIGHUP)

    _, said = process.communicate()
    assert process.returncode == Exit.INTERRUPTED, said
    assert names(cli.home) == {"tree"}


def test_nohup_lets_it_go_on(cli: Cli, tree: Path) -> None:
    """A command under nohup does not end when the terminal is closed."""
    with (tree / "big").open("wb") as file:
        for _ in range(20):
            file.write(os.urandom(1 << 20))
    command = ["nohup", *cli.command("zip", "tree", "--local", "-f", "7z", "-l", "9")]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=cli.env, cwd=cli.home, stdin=quiet, stdout=quiet, stderr=quiet)
    begun(cli, lambda: process.poll() is None)

    process.send_signal(signal.SIGHUP)

    assert process.wait(120) == 0
    assert names(cli.home) == {"tree", "tree.7z"}


def test_a_taken_target_is_noticed_before_unpacking(cli: Cli, tree: Path) -> None:
    """The damage later in the archive is never reached, because nothing was unpacked."""
    (tree / "zz").write_bytes(noise := os.urandom(4 << 20))
    for form in ("zip", "tar.gz"):
        assert cli.run("zip", "tree", "--local", "-f", form, "-l", "0").code == 0
        archive = cli.home / f"tree.{form}"
        content = bytearray(archive.read_bytes())
        content[content.index(noise[-1000:-900])] ^= 0xFF
        archive.write_bytes(content)
        assert cli.run("unzip", archive.name, "elsewhere", "--local").code == Exit.JOB

        done = cli.run("unzip", archive.name, "--local")

        assert (done.code, "there is a tree already where it would go" in done.err) == (Exit.CONFLICT, True), done.err
    assert names(cli.home) == {"tree", "tree.zip", "tree.tar.gz"}


def test_files_of_this_machine_are_spoken_of_as_files(cli: Cli, tree: Path) -> None:
    """No job, no sidecar, no server. The exit codes are those of the documents."""
    os.link(tree / "text.txt", tree / "hard")
    (tree / "run.sh").chmod(0o4755)
    (tree / "out").symlink_to("/etc")
    os.setxattr(tree / "text.txt", "user.note", b"x")

    made = cli.run("zip", "tree", "--local")

    assert made.code == 0
    notes = [line for line in made.err.splitlines() if line.startswith("Note: ")]
    assert len(notes) == 5, notes
    assert not [word for word in ("sidecar", "job", "server", "archiver's account") if word in made.err]
    folder = cli.run("unzip", "tree", "--local")
    assert (folder.code, "is no file: name an archive" in folder.err) == (Exit.USAGE, True)


def test_missing_rights_are_said_as_such(cli: Cli, tree: Path) -> None:
    """Exit code 3, as documented: an unreadable archive, a folder without write permission."""
    assert cli.run("zip", "tree", "--local").code == 0
    (cli.home / "secret.zip").write_bytes((cli.home / "tree.zip").read_bytes())
    (cli.home / "secret.zip").chmod(0)
    (cli.home / "closed").mkdir(mode=0o500)

    def run(*args: str) -> Result:
        command = [sys.executable, "-c", WITHOUT_ROOTS_RIGHTS, *cli.command(*args)]
        done = subprocess.run(command, env=cli.env, cwd=cli.home, capture_output=True, text=True, timeout=60, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    unreadable = run("unzip", "secret.zip", "back", "--local")
    unwritable = run("unzip", "tree.zip", "closed", "--local")

    assert (unreadable.code, "you have no right to" in unreadable.err) == (Exit.REFUSED, True), unreadable
    assert (unwritable.code, "Nothing can be written to" in unwritable.err) == (Exit.REFUSED, True), unwritable


def test_stopped_while_it_reads(cli: Cli, tree: Path) -> None:
    """Ctrl-C does not wait until every file was read. A sparse file takes long to read and uses no space."""
    with (tree / "long").open("wb") as file:
        file.truncate(1 << 40)
    process = cli.start("zip", "tree", "--local")
    begun(cli, lambda: process.poll() is None, nothing_written=True)

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == Exit.INTERRUPTED
    assert names(cli.home) == {"tree"}


def test_sizes_as_people_write_them() -> None:
    assert [bytes_of(text) for text in (None, "700M", "4g", "1.5GB", "64KiB", "100")] == [
        None, 700 << 20, 4 << 30, 3 << 29, 64 << 10, 100,
    ]  # fmt: skip
    for wrong in ("", "x", "-1", "0", "1Q"):
        with pytest.raises(Failure):
            bytes_of(wrong)


@pytest.mark.parametrize("form", ["zip", "7z", "tar.gz"])
def test_names_that_differ_in_case_only_come_back(cli: Cli, form: str) -> None:
    """`zip` warns about other systems. `unzip` works here."""
    (cli.home / "tree").mkdir()
    for name in ("README", "readme", "\u00f1", "n\u0303"):
        (cli.home / "tree" / name).write_text(name)

    made = cli.run("zip", "tree", "--local", "-f", form)
    back = cli.run("unzip", f"tree.{form}", "back", "--local")

    assert (made.code, back.code) == (0, 0), (made.err, back.err)
    assert "Windows and macOS: tree/README, tree/readme, tree/n\u0303, tree/\u00f1" in made.err
    assert picture(cli.home / "back/tree", seconds=True) == picture(cli.home / "tree", seconds=True)


def test_what_unzip_will_refuse_is_said_when_it_is_made(cli: Cli) -> None:
    (cli.home / "tree").mkdir()
    (cli.home / "tree" / "out").symlink_to("/etc")

    made = cli.run("zip", "tree", "--local")

    assert made.code == 0
    assert "will refuse this archive as a whole (tree/out is a link to the absolute path /etc)" in made.err
    assert cli.run("unzip", "tree.zip", "back", "--local").code == Exit.JOB


def test_format_and_level_may_follow_the_path(cli: Cli, tree: Path) -> None:
    """`zip PATH [format] [level]`. An ambiguous word is refused with both ways to write it."""
    stored = cli.run("zip", "tree", "zip", "0", "--local")
    gz = cli.run("zip", "tree", "tar.gz", "--local")
    level = cli.run("zip", "tree", "7z", "12", "--local")
    (cli.home / "7z").write_text("a file")
    either = cli.run("zip", "tree", "7z", "--local")
    both = cli.run("zip", "tree", "./7z", "--local", "--json", "-o", "both.zip")
    rar = cli.run("zip", "tree", "rar", "--local")

    assert (stored.code, gz.code, level.code, either.code, both.code) == (0, 0, 2, 2, 0), (stored, gz, both)
    assert (cli.home / "tree.zip").stat().st_size > 73_000, "level 0 stores"
    assert formats.detect(cli.home / "tree.tar.gz") == "tar.gz"
    assert "a level from 0 to 9" in level.err
    assert "Say --format 7z, or ./7z." in either.err
    assert (rar.code, "rar can be opened, but not made. Choose one of zip, 7z, tar" in rar.err) == (Exit.USAGE, True), rar
    assert both.json()["file_count"] == 8


@pytest.mark.parametrize(
    "arguments",
    [
        ("unzip", "secure.zip", "there", "geheim123", "--local"),
        ("unzip", "secure.zip", "there", "geheim123"),
        ("zipinfo", "secure.zip", "geheim123"),
        ("login", "ada", "geheim123"),
        ("password", "geheim123", "geheim124"),
        ("users", "add", "ada", "geheim123"),
    ],
)
def test_a_password_as_an_argument_is_refused_and_not_repeated(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli.run(*arguments)

    assert done.code == Exit.USAGE
    assert "never taken from the command line" in done.err
    assert "stdin" in done.err
    for variable in re.findall("CS_ARCHIVER_[A-Z_]+", done.err):
        assert f"`{variable}`" in DOCUMENT, "a way that exists"
    assert "geheim" not in done.out + done.err


@pytest.mark.parametrize(("where", "given"), [("", "tree"), ("", "tree/"), ("", "./tree"), ("tree", "."), ("tree/below", "..")])
def test_however_a_folder_is_named_it_is_the_same_folder(cli: Cli, tree: Path, where: str, given: str) -> None:
    """With a trailing slash, relative, or `.`: the archive is beside the folder and begins with its name. The same holds for targets."""
    home = cli.home
    cli.home = home / where

    made = cli.run("zip", given, "--local", "--json")
    cli.home = home
    back = cli.run("unzip", "./tree.zip", "back/", "--local")

    assert (made.code, back.code) == (0, 0), (made.err, back.err)
    assert made.json()["output_path"] == str(home / "tree.zip")
    assert picture(home / "back/tree", seconds=True) == picture(tree, seconds=True)
    cli.home = home / "back"
    assert cli.run("unzip", "../tree.zip", ".", "-e", "tree/text.txt", "--local").code == Exit.CONFLICT
