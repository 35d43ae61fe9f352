"""`make demo` as users run it: interrupted, without a terminal to its end, and in a terminal until Ctrl-C."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from devstack import proc, sample_nas
from tests.support.engines import data_dir

_LONGEST_S = 240.0


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """The demo's output directory. Its parts run in it one after the other."""
    with data_dir() as path:
        (path / "demo").mkdir(mode=0o755)
        yield path / "demo"
        removed = subprocess.run(
            [sys.executable, "-m", "cli", "destroy", "--yes"],
            env={**os.environ, "DATA_DIR": str(path / "demo" / "data")},
            check=False,
            capture_output=True,
        )
        assert removed.returncode == 0, removed.stderr


def _command(directory: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "devstack.demo", "--directory", str(directory), *arguments]


def _nothing_left(directory: Path) -> bool:
    return not proc.marked(str(directory / "data"))


def test_ctrl_c_in_the_middle_ends_everything_in_order(directory: Path) -> None:
    """The job stays as it is, no process is left, and the exit code is 0."""
    with closing(_Terminal(_command(directory))) as terminal:
        terminal.read_until("queued -> copying")
        terminal.press_ctrl_c()
        terminal.read_until("Stopped.")
        assert terminal.exit_code() == 0
    assert _nothing_left(directory)


def test_without_a_terminal_it_goes_on_with_that_folder_and_ends(directory: Path) -> None:
    """Plain lines report every state. The last lines name source, archive and marker. No process is left."""
    environment = {**os.environ, "DEMO_EXIT": "1", "GLOBUS_CLIENT_ID": "somebody's real account"}
    done = subprocess.run(
        _command(directory),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for step in ("queued -> copying", "copying -> compressing", "verifying -> compressed", "upload_verifying -> verified"):
        assert step in done.stderr
    assert "\x1b" not in done.stderr
    assert "Going on with Kampagne Frühjahr" in done.stderr
    assert "Completed: Kampagne Frühjahr" in done.stderr
    folder = directory / "nas/Marketing/2024/Kampagne Frühjahr"
    assert [path.name for path in folder.iterdir()] == ["Kampagne Frühjahr-ARCHIVED-TO-GLOBUS.txt"]
    assert (directory / "data/destination/Marketing/2024/Kampagne Frühjahr.tar.7z").stat().st_size > 5_000_000
    assert "password demo-" in done.stderr
    assert _nothing_left(directory)


def test_in_a_terminal_a_bar_moves_and_ctrl_c_ends_it(directory: Path) -> None:
    """The second run takes the next folder, shows a bar, keeps running, serves subscribers, and exits with 0 and no leftovers."""
    with closing(_Terminal(_command(directory))) as terminal:
        terminal.read_until("stays up until Ctrl-C")
        assert "━" in terminal.seen
        assert "Archiving Marketing/2024/Logos & Fotos" in terminal.seen
        _check_subscriber(directory)
        terminal.press_ctrl_c()
        terminal.read_until("Stopped.")
        assert terminal.exit_code() == 0
    assert _nothing_left(directory)


def _check_subscriber(directory: Path) -> None:
    """The ten lines of docs/events.md, with the credentials of subscriber.env, receive each event of each job once and in order."""
    lines = (directory / "data/run/subscriber.env").read_text().splitlines()
    environment = {**os.environ, **dict(line.split("=", 1) for line in lines)}
    seen = []
    with subprocess.Popen(
        [sys.executable, "-m", "devstack.subscribe"], env=environment, stdout=subprocess.PIPE, text=True
    ) as subscriber:
        assert subscriber.stdout is not None
        for line in subscriber.stdout:
            sequence, _, kind, name = line.split(maxsplit=3)
            seen.append((int(sequence), kind, name.strip()))
            if kind == "job.completed" and name.strip() == "Logos & Fotos":
                break
        subscriber.terminate()
    assert [sequence for sequence, _, _ in seen] == list(range(1, len(seen) + 1))
    kinds = [kind for _, kind, name in seen if name == "Logos & Fotos"]  # the other one began twice
    assert [kind for kind in kinds if kind in _MILESTONES] == list(_MILESTONES)


_MILESTONES = ("job.queued", "job.compressed", "job.verified", "job.completed")


_IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


class _Terminal:
    """A program in its own terminal. It ends with the block."""

    def __init__(self, command: list[str]) -> None:
        self.seen = ""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _IN_A_TERMINAL, *command],
            env={**os.environ, "TERM": "xterm"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def read_until(self, words: str) -> None:
        deadline = time.monotonic() + _LONGEST_S
        assert self._process.stdout is not None
        while words not in self.seen:
            assert time.monotonic() < deadline, f"never said {words!r}; last: {self.seen[-2000:]}"
            more = os.read(self._process.stdout.fileno(), 65536)
            assert more, f"ended without saying {words!r}: {self.seen[-2000:]}"
            self.seen += more.decode(errors="replace")

    def press_ctrl_c(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\x03")
        self._process.stdin.flush()

    def exit_code(self) -> int:
        self._process.communicate(timeout=_LONGEST_S)
        return self._process.returncode

    def close(self) -> None:
        self._process.kill()  # closing its terminal ends the program
        self._process.communicate()


def test_the_next_year_is_added_when_all_is_archived(tmp_path: Path) -> None:
    """A round never reuses a path, because the destination keeps it permanently. The same year holds the same bytes."""
    assert sample_nas.add_round(tmp_path / "a") == sample_nas.add_round(tmp_path / "b")
    assert sample_nas.add_round(tmp_path / "a") == sample_nas.FIRST_YEAR + 1

    files = {path.relative_to(tmp_path / "b"): path for path in (tmp_path / "b").rglob("*") if path.is_file()}
    assert 35_000_000 < sum(path.lstat().st_size for path in files.values()) < 50_000_000
    for name, path in files.items():
        assert (tmp_path / "a" / name).read_bytes() == path.read_bytes()
