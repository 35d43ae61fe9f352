"""The sandbox of the child processes that read foreign files: each forbidden action is tried inside the real one."""

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.archiving import engine
from shared.errors import PermanentError
from shared.files import sandbox
from shared.files.children import Children
from shared.media import reader

# This program runs inside and reports the result of each forbidden action. argv: the sandbox to enter, the file to read,
# another file, a directory, a port.
PROBE = r"""
import ctypes, errno, json, os, resource, signal, socket, subprocess, sys, threading, time
from shared.files import sandbox

kind, mine, other, place, port, parent = sys.argv[1:4] + [sys.argv[4], int(sys.argv[5]), os.getppid()]
libc = ctypes.CDLL(None, use_errno=True)
handle = os.open(mine, os.O_RDONLY)
layers = sandbox.enter_as_reader() if kind == "reader" else sandbox.enter(sandbox.Opening(read=[handle], write=[place]))
answers = {}

def attempt(name, act):
    try:
        act()
        answers[name] = 0
    except OSError as exc:
        answers[name] = exc.errno

def call(number, *arguments):
    ctypes.set_errno(0)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def connect(kind, address):
    with socket.socket(kind) as line:
        line.connect(address)

NUMBERS = json.loads(os.environ["NUMBERS"])
attempt("read another file", lambda: os.close(os.open(other, os.O_RDONLY)))
attempt("write another file", lambda: os.close(os.open(other, os.O_WRONLY)))
attempt("write my file", lambda: os.close(os.open(mine, os.O_WRONLY)))
attempt("write my file by its handle", lambda: os.close(os.open(f"/proc/self/fd/{handle}", os.O_RDWR)))
attempt("change my file's mode", lambda: os.fchmod(handle, 0o777))
attempt("change my file's time", lambda: os.utime(handle, (0, 0)))
attempt("give my file an attribute", lambda: os.setxattr(handle, "user.x", b"x"))
attempt("make a file", lambda: os.close(os.open(other + ".new", os.O_CREAT | os.O_WRONLY)))
attempt("delete a file", lambda: os.unlink(other))
attempt("rename a file", lambda: os.rename(other, other + ".gone"))
attempt("link to a file", lambda: os.symlink("/etc/passwd", other + ".link"))
attempt("list a directory", lambda: os.listdir(os.path.dirname(other)))
attempt("read the parent's environment", lambda: open(f"/proc/{parent}/environ", "rb").read())
attempt("read the parent's memory", lambda: os.close(os.open(f"/proc/{parent}/mem", os.O_RDONLY)))
attempt("look at the parent's files", lambda: os.readlink(f"/proc/{parent}/fd/0"))
attempt("open the parent's files", lambda: os.close(os.open(f"/proc/{parent}/fd/0", os.O_RDONLY)))
attempt("connect over TCP", lambda: connect(socket.AF_INET, ("127.0.0.1", port)))
attempt("connect to a local socket", lambda: connect(socket.AF_UNIX, "\0" + os.environ["ABSTRACT"]))
attempt("signal the parent", lambda: os.kill(parent, signal.SIGCONT))
attempt("limit the parent", lambda: resource.prlimit(parent, 7, resource.prlimit(parent, 7)))
attempt("run a program", lambda: os.execv("/bin/true", ["true"]) if kind == "reader" else None)
attempt("slow the parent down", lambda: os.setpriority(os.PRIO_PROCESS, parent, os.getpriority(os.PRIO_PROCESS, parent)))
for name, number in NUMBERS.items():
    attempt(name, lambda: call(number, *([parent] if name == "ptrace" else []), 0, 0, 0, 0, 0))
if kind == "reader":
    def fork():
        if os.fork() == 0:
            os._exit(0)
    attempt("start a process", fork)
else:
    attempt("write where I may", lambda: os.close(os.open(place + "/made", os.O_CREAT | os.O_WRONLY)))
    attempt("run a program that I may", lambda: subprocess.run(["/bin/true"], check=True))
attempt("read my file", lambda: os.pread(handle, 1, 0))
threading.Thread(target=lambda: answers.setdefault("start a thread", 0)).start()
while "start a thread" not in answers:
    time.sleep(0.001)
print(json.dumps({"layers": layers, "answers": answers, "uid": os.geteuid()}))
"""
NUMBERS = {
    name: numbers[0 if os.uname().machine == "x86_64" else 1]
    for table in (sandbox._NETWORK, sandbox._OTHER_PROCESSES, sandbox._KERNEL)
    for name, numbers in table.items()
    if name != "vhangup" and numbers[0 if os.uname().machine == "x86_64" else 1]
}
ALLOWED = {"read my file", "start a thread", "write where I may", "run a program that I may"}


@pytest.fixture
def listening() -> Iterator[tuple[int, str]]:
    """A TCP port and an abstract local socket with a listener."""
    name = f"cs-archiver-test-{os.getpid()}"
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as local:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        local.bind("\0" + name)
        local.listen()
        yield tcp.getsockname()[1], name


def inside(kind: str, tmp_path: Path, listening: tuple[int, str], before: str = "", *, harmless: bool = True) -> dict[str, Any]:
    """Return the results of the forbidden actions inside. before: Python that runs first. harmless: no file may have changed."""
    mine, other, place = tmp_path / "mine", tmp_path / "other", tmp_path / "place"
    mine.write_bytes(b"mine")
    other.write_bytes(b"other")
    place.mkdir()
    arguments = [kind, str(mine), str(other), str(place), str(listening[0])]
    done = subprocess.run(
        [sys.executable, "-c", before + PROBE, *arguments],
        env={"PATH": "/usr/bin:/bin", "NUMBERS": json.dumps(NUMBERS), "ABSTRACT": listening[1]},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if harmless:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "other", "place"]
        assert (mine.read_bytes(), other.read_bytes()) == (b"mine", b"other")
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("kind", ["reader", "archives"])
def test_nothing_forbidden_is_possible_inside(kind: str, tmp_path: Path, listening: tuple[int, str]) -> None:
    """Files, network, other processes, kernel interfaces: each is refused. The calls that the work needs are allowed."""
    found = inside(kind, tmp_path, listening)

    wanted = ["landlock", "seccomp"] if sandbox.landlock_version() else ["seccomp"]
    assert [layer for layer in found["layers"] if layer != "account"] == wanted
    answers = found["answers"]
    assert {name: number for name, number in answers.items() if name in ALLOWED} == dict.fromkeys(ALLOWED & set(answers), 0)
    possible = {name for name, number in answers.items() if number == 0} - ALLOWED
    if kind == "archives":  # it runs 7-Zip and has its parent's account: what Landlock cannot distinguish remains
        possible -= _REMAINS
    assert possible == set()
    assert {answers[name] for name in NUMBERS} <= {errno.EPERM}


_REMAINS = {
    *("change my file's mode", "change my file's time", "give my file an attribute", "run a program"),
    *(() if sandbox.landlock_version() >= 6 else ("signal the parent",)),
}


@pytest.mark.parametrize("kind", ["reader", "archives"])
def test_a_kernel_without_landlock_still_has_the_filter(kind: str, tmp_path: Path, listening: tuple[int, str]) -> None:
    """Decided at run time: the work continues, and the reader still opens no file and reaches no process."""
    found = inside(
        kind,
        tmp_path,
        listening,
        "from shared.files import sandbox\nsandbox.landlock_version = lambda: 0\n",
        harmless=kind == "reader",
    )

    assert "landlock" not in found["layers"]
    assert {name for name in ALLOWED & set(found["answers"]) if found["answers"][name]} == set()
    possible = {name for name, number in found["answers"].items() if number == 0} - ALLOWED
    if kind == "reader":
        assert possible == set()
    assert possible.isdisjoint({"connect over TCP", "connect to a local socket", *NUMBERS})


def test_an_unknown_machine_goes_on_without_the_filter(tmp_path: Path, listening: tuple[int, str]) -> None:
    """System call numbers differ between architectures. On an unknown one, none is guessed."""
    uname = "import os\nold = os.uname()\nos.uname = lambda: os.uname_result((*old[:4], 'riscv64'))\n"
    found = inside("reader", tmp_path, listening, uname, harmless=False)

    assert "seccomp" not in found["layers"]
    assert found["answers"]["read my file"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its account")
def test_a_reader_of_root_is_nobody_and_dies_with_its_parent(tmp_path: Path, listening: tuple[int, str]) -> None:
    """It drops root before it reads. The kernel then clears the parent-death signal, so it is set again."""
    assert inside("reader", tmp_path, listening)["uid"] == 65_534
    middle = (
        "import os, subprocess, sys\n"
        "code = 'import ctypes, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL);"
        " from shared.files import sandbox; sandbox.enter_as_reader(); print(1, flush=True); signal.pause()'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", middle], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == -signal.SIGKILL
    # The output ends only when the child, which also holds it, has ended.
    assert int(done.stdout) > 0


async def test_the_media_reader_is_inside_before_it_gets_a_file() -> None:
    """The waiting child has the filter and cannot gain privileges. If started by root, it has another account."""
    child = reader._Child(reader.Cost())
    try:
        status: dict[str, str] = {}

        async def inside_now() -> bool:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes().split(b"\0")
                    if b"shared.media.probe" in words and str(child._theirs.fileno()).encode() in words[-2:]:
                        lines = path.with_name("status").read_text().splitlines()
                        status.update(line.split(":\t", 1) for line in lines if ":\t" in line)
                except OSError:
                    continue
            return status.get("Seccomp") == "2"

        async with asyncio.timeout(60):
            while not await inside_now():  # noqa: ASYNC110 - another process enters
                await asyncio.sleep(0.02)

        assert status["NoNewPrivs"] == "1"
        if os.geteuid() == 0:
            assert status["Uid"].split() == ["65534"] * 4
            assert int(status["CapEff"], 16) == 0
    finally:
        child.life.cancel()
        await asyncio.wait({child.life})


@pytest.mark.skipif(not sandbox.landlock_version(), reason="this kernel has no Landlock")
async def test_the_archive_worker_and_its_7zip_are_inside(tmp_path: Path) -> None:
    """If an archive takes over 7-Zip, that process can read and write no other file."""
    secret, program, archive = tmp_path / "secret", tmp_path / "bin" / "7zz", tmp_path / "archives" / "a.zip"
    secret.write_text("known to nobody")
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat {secret} >&2\necho x > {secret}\nexit 2\n")
    program.chmod(0o755)
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("x", "x")

    with pytest.raises(PermanentError) as refused:
        await engine.listing(archive, None, Children(), lambda _: None, binary=program)

    assert "Permission denied" in str(refused.value)
    assert "known to nobody" not in str(refused.value)
    assert secret.read_text() == "known to nobody"


async def test_an_archive_is_tested_inside(tmp_path: Path) -> None:
    """The worker starts 7-Zip from inside. Nothing on this path needs a call that the filter refuses."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("x", "x")

    seen: list[bytes] = []
    await engine.listing(archive, None, Children(10), lambda member: seen.append(member.path))

    assert seen == [b"x"]


def test_the_filter_knows_both_machines() -> None:
    """Every jump stays inside the program, and no number stands for two calls."""
    for machine, column in (("x86_64", 0), ("aarch64", 1)):
        for is_reader in (False, True):
            code = sandbox.program(machine, 7, reader=is_reader)
            lines = [code[at : at + 8] for at in range(0, len(code), 8)]
            assert len(lines) < 4096
            for n, line in enumerate(lines):
                assert n + 1 + max(line[2], line[3]) < len(lines) or line[0] == 0x06
        tables = (sandbox._NETWORK, sandbox._OTHER_PROCESSES, sandbox._KERNEL, sandbox._FILES)
        numbers = [numbers[column] for table in tables for numbers in table.values() if numbers[column]]
        assert len(numbers) == len(set(numbers))
    with pytest.raises(KeyError):
        sandbox.program("vax", 7, reader=True)


def test_a_sentence_says_what_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's log names the layers that this machine has and those that it lacks."""
    monkeypatch.setattr(sandbox, "landlock_version", lambda: 7)
    assert "Landlock 7, seccomp" in sandbox.sentence()
    monkeypatch.setattr(sandbox, "landlock_version", lambda: 0)
    assert "Not available here: Landlock" in sandbox.sentence()
