"""Child processes, the DATA_DIR lock, leftovers of a killed run, secrets and ports."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from devstack import ports, proc, secrets
from devstack.lock import data_dir_lock, leftovers, recorded_pids
from devstack.processes import Child, Program, Record, next_delay, rotate, run
from shared.errors import ArchiverError, ConfigurationError
from tests.support.engines import eventually

SHELL = "/bin/sh"


def program(directory: Path, script: str, **options: object) -> Program:
    for name in ("run", "logs"):
        secrets.private_directory(directory / name)
    values = {
        "name": "worker",
        "command": [SHELL, "-c", script],
        "environment": {"PATH": "/usr/bin:/bin"},
        "mark": str(directory),
        "log": directory / "logs" / "worker.log",
        "pid_file": directory / "run" / "worker.pid",
        "stop": ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0)),
    }
    return Program(**values | options)  # type: ignore[arg-type]  # a table of keyword arguments


@asynccontextmanager
async def started(made: Program, said: list[str] | None = None) -> AsyncIterator[Child]:
    child = Child(made, say=(said if said is not None else []).append)
    await child.start()
    try:
        yield child
    finally:
        await child.stop()


def alive(directory: Path) -> list[int]:
    return sorted(proc.marked(str(directory)))


@pytest.mark.parametrize(
    ("previous_s", "lived_s", "expected"),
    [
        (0.0, 0.0, 0.2),  # the first death
        (0.2, 1.0, 0.4),
        (0.4, 29.9, 0.8),
        (6.4, 0.0, 10.0),  # 12.8 is above the limit
        (10.0, 0.0, 10.0),
        (10.0, 30.0, 0.2),  # it ran for long enough
    ],
)
def test_delay_before_a_restart(previous_s: float, lived_s: float, expected: float) -> None:
    """0.2 s, doubling to 10 s. After 30 s of running it starts over."""
    assert next_delay(previous_s, lived_s) == expected


async def test_a_dead_child_is_reported_and_started_again(tmp_path: Path) -> None:
    """Each death is one line with the reason, and the next process follows."""
    said: list[str] = []
    async with started(program(tmp_path, "exit 3"), said) as child:

        async def twice() -> bool:
            return child.deaths >= 2

        await eventually(twice, "two deaths")

    assert said[0].startswith("worker died (exit code 3) after ")
    assert said[0].endswith("starting it again in 0.2 s.")
    assert said[1].endswith("starting it again in 0.4 s.")
    assert alive(tmp_path) == []


async def test_a_start_that_fails_is_tried_again(tmp_path: Path) -> None:
    """The reason of each failed restart is logged, and the next try follows."""
    said: list[str] = []
    starts = 0

    async def hindered(_: int | None) -> None:
        nonlocal starts
        starts += 1
        if starts == 2:
            raise RuntimeError("the disk is dreaming")

    async def again() -> bool:
        return starts >= 3 and child.pid is not None

    child = Child(program(tmp_path, "exec sleep 1000"), before=hindered, say=said.append)
    await child.start()
    try:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await eventually(again, "a start after the one that failed")
    finally:
        await child.stop()

    assert "worker cannot be started: the disk is dreaming" in said


async def test_each_start_knows_the_pid_of_who_died(tmp_path: Path) -> None:
    """The first start gets the pid that a killed run left. The next one gets the pid of the killed child."""
    dead: list[int | None] = []
    said: list[str] = []

    async def learn(pid: int | None) -> None:
        dead.append(pid)

    async def again() -> bool:
        return len(dead) == 2 and child.pid is not None

    child = Child(program(tmp_path, "exec sleep 1000"), before=learn, predecessor=4711, say=said.append)
    await child.start()
    try:
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(again, "the second start")
    finally:
        await child.stop()

    assert dead == [4711, first]


async def test_what_a_dead_child_had_started_dies_before_it_comes_back(tmp_path: Path) -> None:
    """A grandchild in its own session does not outlive its parent."""
    async with started(
        program(tmp_path, "setsid sleep 1000 & echo $! > $0/grandchild; exec sleep 1000".replace("$0", str(tmp_path)))
    ) as child:
        file = tmp_path / "grandchild"

        async def written() -> bool:
            return file.exists() and file.read_text().strip() != "" and len(alive(tmp_path)) == 2

        await eventually(written, "the grandchild runs")
        grandchild, first = int(file.read_text()), child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)

        async def again() -> bool:
            return child.pid not in {None, first}

        await eventually(again, "the next incarnation")
        assert proc.identity(grandchild) is None

    assert alive(tmp_path) == []


async def test_a_deaf_child_is_killed_after_its_patience(tmp_path: Path) -> None:
    """A child that ignores SIGTERM gets SIGKILL. Its pid file is removed."""
    made = program(
        tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.05; done", stop=((signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0))
    )

    async def ready() -> bool:
        return made.log.exists() and "ready" in made.log.read_text()

    child = Child(made, ready=ready)
    await child.start()
    await child.stop()
    await child.stop()

    assert alive(tmp_path) == []
    assert not made.pid_file.exists()


async def stopped_by_a_signal(directory: Path) -> Child:
    """A running child that prints a message when asked to end, but is suspended (SIGSTOP)."""
    made = program(
        directory,
        f"trap 'echo bye > {directory}/bye; exit' TERM; echo ready; while :; do sleep 0.05; done",
        stop=((signal.SIGTERM, 600.0), (signal.SIGKILL, 5.0)),
    )

    async def ready() -> bool:
        return made.log.exists() and "ready" in made.log.read_text()

    child = Child(made, ready=ready)
    await child.start()
    assert child.pid is not None
    pid = child.pid
    os.kill(pid, signal.SIGSTOP)

    async def stopped() -> bool:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    await eventually(stopped, "the stopped child")
    return child


async def test_a_stopped_child_is_woken_to_end(tmp_path: Path) -> None:
    """A suspended child handles SIGTERM at once; nothing waits for SIGKILL."""
    child = await stopped_by_a_signal(tmp_path)
    await asyncio.wait_for(child.stop(), 120)

    assert (tmp_path / "bye").exists()
    assert alive(tmp_path) == []


async def test_a_stopped_leftover_is_woken_to_end(tmp_path: Path) -> None:
    """The same at the next start, from the pid file."""
    child = await stopped_by_a_signal(tmp_path)
    pid = child.pid
    assert child._keeper is not None
    child._keeper.cancel()  # its supervisor is gone

    assert await asyncio.wait_for(asyncio.to_thread(leftovers, tmp_path), 120) == [f"worker (pid {pid})"]

    assert (tmp_path / "bye").exists()
    assert alive(tmp_path) == []


@pytest.mark.parametrize("script", ["echo the reason >&2; exit 1", "echo the reason; exec sleep 1000"])
async def test_a_failed_start_quotes_the_log_and_leaves_nothing(tmp_path: Path, script: str) -> None:
    """It dies or stays silent: the error contains the child's own output."""
    made = program(tmp_path, script)

    async def spoke() -> bool:
        return "the reason" in made.log.read_text()

    async def never() -> bool:
        await eventually(spoke, "the child's words")  # on a busy machine it may be silent for longer than the time-out below
        return False

    with pytest.raises(ArchiverError, match="the reason"):
        await Child(made, ready=never).start(timeout_s=0.1)

    assert alive(tmp_path) == []


async def test_a_helper_program_ends_with_who_waited_for_it(tmp_path: Path) -> None:
    """After a cancel during a start, neither the program nor its children continue."""
    file = tmp_path / "started"
    script = f"sleep 1000 & echo $! > {file}.new; mv {file}.new {file}; wait"
    work = asyncio.create_task(run([SHELL, "-c", script], environment={"PATH": "/usr/bin:/bin"}, timeout_s=600))

    async def started() -> bool:
        return file.exists()

    await eventually(started, "the program at work")
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    async def gone() -> bool:
        return proc.identity(int(file.read_text())) is None

    await eventually(gone, "the end of what it had started")


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    """A missing tool is an error with its path."""

    async def never() -> bool:
        return False

    with pytest.raises(ArchiverError, match="/no/such/program"):
        await Child(program(tmp_path, "", command=["/no/such/program"]), ready=never).start(timeout_s=5)


def test_a_long_log_keeps_one_older_copy(tmp_path: Path) -> None:
    """The writer continues to append to the same, now empty file."""
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old" * 10)
        assert rotate(log, limit_bytes=20)
        assert not rotate(log, limit_bytes=20)
        writer.write(b"new")

    assert log.read_bytes() == b"new"
    assert (tmp_path / "x.log.1").read_bytes() == b"old" * 10


def supervisor(directory: Path) -> "subprocess.Popen[str]":
    """A real `up` in miniature: it takes the lock, starts one child that ignores SIGTERM, says so, waits."""
    script = f"""
        import asyncio
        from pathlib import Path
        from devstack.lock import data_dir_lock
        from devstack.processes import Child
        from tests.devstack.test_supervision import program

        directory = Path({str(directory)!r})

        async def ready():
            return "ready" in (directory / "logs" / "worker.log").read_text()

        async def main():
            with data_dir_lock(directory):
                child = Child(program(directory, "trap '' TERM; setsid sleep 1000 & echo ready; while :; do sleep 0.05; done"), ready=ready)
                await child.start()
                print(child.pid, flush=True)
                await asyncio.Event().wait()

        asyncio.run(main())
    """
    return supervisor_of(script)


def supervisor_of(script: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the supervisor said nothing"
    return line


async def test_a_second_up_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    """Two never run on one DATA_DIR. After the first is killed, the next one gets the lock and ends the leftovers."""
    with supervisor(tmp_path) as holder:
        worker = int(first_line(holder))
        with pytest.raises(ArchiverError, match=rf"already runs on .*\(pid {holder.pid}\)"), data_dir_lock(tmp_path):
            pass
        holder.kill()

    with data_dir_lock(tmp_path):
        assert proc.identity(worker) is not None  # ignores the death signal
        assert recorded_pids(tmp_path) == {"worker": worker}
        ended = leftovers(tmp_path)

    assert ended[0] == f"worker (pid {worker})"
    assert len(ended) >= 2  # and the one in a session of its own
    assert alive(tmp_path) == []
    assert not list((tmp_path / "run").glob("*.pid"))


async def test_a_killed_supervisor_takes_its_children_with_it(tmp_path: Path) -> None:
    """The kernel signals an ordinary child when its supervisor is gone, for any reason."""
    script = f"""
        import asyncio
        from pathlib import Path
        from devstack.processes import Child
        from tests.devstack.test_supervision import program

        async def main():
            child = Child(program(Path({str(tmp_path)!r}), "exec sleep 1000"))
            await child.start()
            while Path(f"/proc/{{child.pid}}/comm").read_text() != "sleep\\n":
                await asyncio.sleep(0.01)
            print(child.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """
    with supervisor_of(script) as parent:
        child = int(first_line(parent))
        parent.kill()

    async def gone() -> bool:
        return proc.identity(child) is None

    await eventually(gone, "the child ends")


async def test_a_reused_pid_is_never_killed(tmp_path: Path) -> None:
    """A pid file's process is gone, and its number belongs to another process. That process is not killed."""
    secrets.private_directory(tmp_path / "run")
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    record = Record("worker", stranger.pid, "another boot:123", [(int(signal.SIGKILL), 1.0)])
    (tmp_path / "run" / "worker.pid").write_bytes(msgspec.json.encode(record))
    (tmp_path / "run" / "damaged.pid").write_bytes(b"{")

    assert recorded_pids(tmp_path) == {"worker": stranger.pid}
    assert leftovers(tmp_path) == []

    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """The same secret at each start, a different one for each name, mode 0600, no other files."""
    folder = tmp_path / "secrets"
    first = secrets.load_or_create(folder, "a")

    assert secrets.load_or_create(folder, "a") == first
    assert secrets.load_or_create(folder, "b") != first
    assert len(first) >= 43  # 32 bytes in base64
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {"a": 0o600, "b": 0o600}


def test_a_secret_others_could_read_is_refused(tmp_path: Path) -> None:
    """A wider mode or an empty file stops the start with the file's name."""
    secrets.load_or_create(tmp_path, "a")
    (tmp_path / "a").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        secrets.load_or_create(tmp_path, "a")

    (tmp_path / "a").chmod(0o600)
    (tmp_path / "a").write_text("")
    with pytest.raises(ConfigurationError, match="is empty"):
        secrets.load_or_create(tmp_path, "a")


def test_a_port_is_remembered_while_it_is_free(tmp_path: Path) -> None:
    """Addresses stay the same for each start, unless another program took the port."""
    first = ports.choose(tmp_path, "nats")
    assert ports.choose(tmp_path, "nats") == first
    assert ports.choose(tmp_path, "postgres") != first

    with socket.create_server(("127.0.0.1", first)):
        second = ports.choose(tmp_path, "nats")
    assert second != first
    assert ports.choose(tmp_path, "nats") == second


def test_a_port_given_out_is_nobody_elses(tmp_path: Path) -> None:
    """Until its server takes it, and between two starts, the kernel gives it to no other program, and `up` to no other name."""
    port = ports.choose(tmp_path, "nats")

    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))  # as a program that requests any port would get it
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)):
            assert not ports.is_free(port)
        assert ports.is_free(port)
