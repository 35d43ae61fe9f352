import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.files.children import STDERR_CAP, Children, Outcome

SH = "/bin/sh"


async def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """Return True if there is no such process, or only its zombie (an orphan's, until init reaps it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended between open and read
        return True


async def run(script: str, children: Children | None = None, **more: object) -> tuple[Outcome, bytes]:
    said = bytearray()
    outcome = await (children or Children()).run([SH, "-c", script], on_stdout=said.extend, **more)  # type: ignore[arg-type]  # as given
    return outcome, bytes(said)


async def test_the_outcome_is_what_the_program_did() -> None:
    """Exit code, stdout, stderr. A signal gives a negative code."""
    assert await run("echo out; echo err >&2; exit 3") == (Outcome(3, b"err\n"), b"out\n")
    assert (await run("kill -USR1 $$"))[0].returncode == -signal.SIGUSR1
    assert Outcome(0, b"").clean
    assert not Outcome(0, b"w").clean
    assert not Outcome(1, b"").clean
    assert Outcome(1, b"one\ntwo\x1b[31m\xff").complaint() == r"one two\x1b[31m\xff"


async def test_stdin_is_empty_unless_given() -> None:
    """A program that reads input gets an end of file, never a terminal."""
    assert (await run("cat"))[1] == b""
    assert (await run("cat", stdin=b"secret\n"))[1] == b"secret\n"
    assert (await run("exec true", stdin=b"x" * 10_000_000))[0].clean


async def test_endless_stderr_is_capped_and_does_not_block() -> None:
    """Megabytes of errors are read to the end, and the first 64 KiB are kept."""
    outcome, _ = await run("yes complaint | head -c 5000000 >&2")

    assert outcome == Outcome(0, (b"complaint\n" * STDERR_CAP)[:STDERR_CAP])


async def test_arguments_and_environment_pass_unchanged() -> None:
    """Bytes that are not UTF-8, empty strings, and only the given environment."""
    said = bytearray()
    await Children().run([SH, "-c", 'printf "%s|" "$@"', "0", b"\xff\xe9", "", "a b", "*"], on_stdout=said.extend, env={})

    assert bytes(said) == b"\xff\xe9||a b|*|"
    assert (await run("echo $TZ-$HOME", env={"TZ": "UTC"}))[1] == b"UTC-\n"


async def test_limits_hold_in_the_program() -> None:
    """Soft and hard limits, in the units of setrlimit."""
    _, said = await run("ulimit -n; ulimit -f", limits={resource.RLIMIT_NOFILE: 77, resource.RLIMIT_FSIZE: 512 * 100})

    assert said == b"77\n100\n"


UNDER_A_LIMIT = """
import asyncio, ctypes, resource, sys
from shared.files.children import Children
ctypes.CDLL(None).prctl(24, 24)  # PR_CAPBSET_DROP, CAP_SYS_RESOURCE: a program that root starts could raise limits else
which = getattr(resource, sys.argv[1])
resource.setrlimit(which, (int(sys.argv[2]), int(sys.argv[3])))
show = f"import resource; print(*resource.getrlimit({which}))"
said = bytearray()
ended = asyncio.run(Children().run([sys.executable, "-c", show], on_stdout=said.extend, limits={which: int(sys.argv[4])}))
print(ended.returncode, bytes(said), ended.stderr)
"""


@pytest.mark.parametrize("which", ["RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_CPU", "RLIMIT_NOFILE", "RLIMIT_CORE"])
@pytest.mark.parametrize(("soft", "hard", "expected"), [(1, 1, (1, 1)), (1, 3, (1, 2)), (2, 2, (2, 2)), (3, 3, (2, 2))])
async def test_the_smaller_limit_counts(which: str, soft: int, hard: int, expected: tuple[int, int]) -> None:
    """An external limit below ours stays, soft and hard, and breaks nothing. Ours is 2 of these units."""
    unit = {"RLIMIT_AS": 1 << 30, "RLIMIT_FSIZE": 1 << 20, "RLIMIT_CPU": 100, "RLIMIT_NOFILE": 64, "RLIMIT_CORE": 1 << 20}[which]
    said = bytearray()
    arguments = [which, str(soft * unit), str(hard * unit), str(2 * unit)]
    outcome = await Children().run([sys.executable, "-c", UNDER_A_LIMIT, *arguments], on_stdout=said.extend)

    assert outcome == Outcome(0, b"")
    assert said.decode() == f"0 {' '.join(str(value * unit) for value in expected).encode() + bytes([10])!r} b''\n"


async def test_background_work_is_nicer() -> None:
    """All its descendants have a lower priority, also where the kernel groups processes by session."""
    show = "import os; print(os.nice(0), open('/proc/self/autogroup').read().split()[-1] if os.path.exists('/proc/self/autogroup') else '')"
    said = bytearray()
    outcome = await Children(7).run([sys.executable, "-c", show], on_stdout=said.extend)
    assert outcome.clean, outcome
    mine = os.nice(0)
    wanted = min(19, mine + 7)
    niceness, *group = said.split()
    assert int(niceness) == wanted
    assert group in ([], [str(wanted).encode()])


async def test_a_missing_program_is_a_configuration_error() -> None:
    """The error comes before anything is started."""
    with pytest.raises(ConfigurationError, match="/nowhere/7zz is missing"):
        await Children().run(["/nowhere/7zz"])


async def test_cancelling_ends_the_whole_group(tmp_path: Path) -> None:
    """This includes processes that the program started. SIGTERM comes first, so it can clean up."""
    grandchild = f"/bin/sh -c 'echo $$ > {tmp_path}/pid; exec sleep 600'"
    script = f"trap 'echo bye > {tmp_path}/bye; exit' TERM; {grandchild} & wait"
    task = asyncio.create_task(run(script))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the program started")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (tmp_path / "bye").exists()
    await until(lambda: gone(int((tmp_path / "pid").read_text())), "the grandchild ended")


@pytest.mark.parametrize("how", ["trap '' TERM;", "kill -STOP $$;"])
async def test_the_deaf_and_the_stopped_end_too(tmp_path: Path, how: str) -> None:
    """If it ignores SIGTERM, SIGKILL follows after the grace time. If it is stopped, SIGCONT lets it handle the signal."""
    task = asyncio.create_task(run(f"echo $$ > {tmp_path}/pid; {how} while true; do sleep 600; done", grace_s=0.3))
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the program started")
    pid = int((tmp_path / "pid").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert gone(pid)


async def test_an_exception_of_the_listener_ends_the_child() -> None:
    """`run` raises the exception that on_stdout raises."""

    def hear(_: bytes) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        await Children().run([SH, "-c", "echo x; sleep 600"], on_stdout=hear)


async def test_children_die_with_us(tmp_path: Path) -> None:
    """A kill without a clean-up leaves no child process: the kernel ends them."""
    program = (
        "import asyncio\nfrom shared.files.children import Children\n"
        f"asyncio.run(Children().run(['/bin/sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 600']))"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=Path(__file__).parents[3])
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the child was started")
    pid = int((tmp_path / "pid").read_text())

    assert not gone(pid)

    parent.kill()
    await parent.wait()
    await until(lambda: gone(pid), "the child died")


async def test_blocking_runs_ask_whether_to_stop(tmp_path: Path) -> None:
    """In a worker thread: it returns the result, or raises what `stop` raises after ending the child."""
    children, pid_file = Children(), tmp_path / "pid"

    def stop() -> None:
        if pid_file.exists():
            raise TimeoutError("stopped")

    outcome = await asyncio.to_thread(children.run_blocking, [SH, "-c", "exit 4"], stop=stop)

    assert outcome.returncode == 4
    script = f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {pid_file}; exec sleep 600"
    with pytest.raises(TimeoutError, match="stopped"):
        await asyncio.to_thread(children.run_blocking, [SH, "-c", script], stop=stop)
    assert gone(int(pid_file.read_text()))


async def test_open_files_are_passed_by_number(tmp_path: Path) -> None:
    """Only the named ones are passed. /proc/self/fd turns them into paths."""
    (tmp_path / "f").write_bytes(b"content")
    handle = os.open(tmp_path / "f", os.O_RDONLY)
    said = bytearray()
    await Children().run([SH, "-c", f"cat /proc/self/fd/{handle}"], on_stdout=said.extend, pass_fds=[handle])
    os.close(handle)

    assert bytes(said) == b"content"
