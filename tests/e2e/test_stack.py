"""`cs-archiver up` as a program: one per directory, clean shutdown, restart after any end, clear messages on failure."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from cli.exits import Exit
from devstack import proc
from tests.support.stack import ENGINES, PASSWORD, ROOT, SERVICES, Stack, prepared_stack, snapshot, until


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The running stack logs at its most verbose: no secret may appear. Some names are no settings, or belong to the other edition."""
    return {"LOG_LEVEL": "DEBUG", "WEB_DASHBOARD_PORT": "9999", "POOL_SIZE": "10", "SCAN_INTERVALL_SECONDS": "5"}


@pytest.fixture
def fresh() -> Iterator[Stack]:
    """A stack for this test alone, not started."""
    with prepared_stack() as stack:
        yield stack


def refused(stack: Stack, code: int) -> str:
    """Return the output of `up` when it exits by itself with this code."""
    offset = stack.output.stat().st_size if stack.output.exists() else 0
    process = stack.launch()
    assert process.wait(120) == code, stack.said(offset)
    return stack.said(offset)


@pytest.mark.parametrize("given", ["environment", "file"])
def test_settings_without_effect_are_named_before_anything_else(fresh: Stack, given: str, tmp_path: Path) -> None:
    """This also holds when the start is refused. A file given by --env-file counts, and the environment overrides it."""
    names = {"DATABASE_URL": "sqlite:///./cs.db", "STORAGE_BASE_PATH": "/storage", "LOG_MAX_BYTES": "104857600"}
    wrong = {"GATEWAY_PORT": "http"} | names
    more: list[str] = []
    if given == "file":
        file = tmp_path / "settings.env"
        file.write_text("".join(f"{name}={value}\n" for name, value in (wrong | {"QNAP_BASE_PATH": "/none"}).items()))
        more, wrong = ["--env-file", str(file)], {}
        del fresh.environment["GATEWAY_PORT"]

    done = subprocess.run(
        [sys.executable, "-m", "cli", "up", *more],
        cwd=tmp_path,
        env=fresh.environment | wrong,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == Exit.CONFIGURATION, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("DATABASE_URL has no effect here. cs-archiver up uses its own Postgres")
    assert lines[1].startswith("LOG_MAX_BYTES is not a setting. ")
    assert lines[2] == "STORAGE_BASE_PATH has no effect here. The storage is DATA_DIR/storage. Set DATA_DIR."
    assert "GATEWAY_PORT: 'http' is not a number." in done.stderr
    assert "/none" not in done.stderr


# On one running stack -------------------------------------------------------------------------------------------------------------


def test_settings_without_effect_are_named_and_nothing_stops(stack: Stack) -> None:
    """Another program's dashboard port, a pool size, a misspelled setting: each comes with what to use instead."""
    said = stack.said(0)
    assert "WEB_DASHBOARD_PORT is not a setting. Set GATEWAY_PORT.\n" in said
    assert "POOL_SIZE is not a setting. Nothing needs to be set: each process opens at most 11 connections." in said
    assert "SCAN_INTERVALL_SECONDS is not a setting and has no effect. Did you mean SCAN_INTERVAL_SECONDS?\n" in said


@pytest.mark.parametrize("same_port", [False, True])
def test_a_second_up_is_refused_with_the_pid_of_the_first(stack: Stack, *, same_port: bool) -> None:
    """One `up` per DATA_DIR, on the same port or another. The first one is not affected."""
    again = Stack(stack.root)
    if same_port:
        again.environment["GATEWAY_PORT"] = str(stack.port)

    said = refused(again, 1)

    assert f"pid {stack.process.pid}" in said
    assert len(said.strip().splitlines()) == 1
    assert stack.http.get("/api/health").json()["status"] == "healthy"


@pytest.mark.parametrize("name", SERVICES)
def test_a_dead_service_is_started_again_and_reported(stack: Stack, name: str) -> None:
    offset = stack.output.stat().st_size

    pid = stack.signal(name, signal.SIGKILL)

    until(lambda: stack.pid(name) != pid, f"another {name}")
    assert f"{name} died (killed by SIGKILL)" in stack.said(offset)
    assert stack.job_count() >= 0, "and everything answers"


ARCHIVE_PASSWORD = "archive-Passw0rd"
WRONG_PASSWORD = "wrong-Passw0rd"
GLOBUS_TOKEN = re.compile(r"emulated-[\w-]{40,}")
"""What the emulated Globus gives out as access tokens (devstack.globus_emulator.auth); it keeps none in the clear itself."""


def came_in(stack: Stack) -> set[str]:
    """Every secret that a person sends or receives, each used once in every place where it may occur."""
    http, address = stack.http, f"ws://127.0.0.1:{stack.port}/ws/jobs"
    login = http.headers["Authorization"].removeprefix("Bearer ")
    script = http.post("/api/tokens", json={"name": "secrets", "scope": "operate"}).json()["token"]
    ticket = http.post("/api/ws-ticket").json()["ticket"]
    wrong = {"username": "admin", "password": WRONG_PASSWORD}
    assert http.post("/api/auth/login", json=wrong).status_code == 401
    assert http.get("/api/queue", headers={"Authorization": f"Bearer {script}x"}).status_code == 401
    for query in (f"ticket={ticket}", f"token={script}", f"token={login}"):
        with connect(f"{address}?{query}", proxy=None, open_timeout=120) as watching:
            watching.recv(timeout=120)
    again = connect(f"{address}?ticket={ticket}", proxy=None, open_timeout=120)
    with again as used, pytest.raises(ConnectionClosed, match="4401"):
        used.recv(timeout=120)
    assert script.startswith("csa_")
    return {login, script, ticket, WRONG_PASSWORD}


def packed_with_password(stack: Stack) -> str:
    """Run a job that makes an encrypted archive in the admin's workspace. Return its id."""
    stack.http.put("/api/files/content", params={"path": "secret.txt", "overwrite": True}, content=b"for few").raise_for_status()
    wanted = {"paths": ["secret.txt"], "format": "7z", "password": ARCHIVE_PASSWORD}
    return str(stack.patiently("POST", "/api/archives", json=wanted).raise_for_status().json()["job_id"])


def test_the_first_admin_has_a_workspace_from_the_start(stack: Stack) -> None:
    """The gateway creates it before any request asks for it."""
    me = stack.http.get("/api/auth/me").json()["id"]
    workspaces = stack.data / "storage" / "workspaces"
    until((workspaces / me).is_dir, "the first admin's workspace", tell=lambda: str(list(workspaces.iterdir())))


def test_a_failure_is_in_the_log_file_of_its_service(stack: Stack) -> None:
    """The entry has the job's id and the reason that the job shows."""
    folder = stack.folder()
    os.mkfifo(folder / "pipe")
    job = stack.archive(folder)
    reason = stack.wait(job, "failed")["error_message"]
    lines = [json.loads(line) for line in (stack.data / "logs" / "compressor.log").read_text().splitlines()]
    assert [line["message"] for line in lines if line.get("job_id") == job and line["level"] == "error"] == [reason]


def test_secrets_stay_where_they_belong(stack: Stack) -> None:
    """At DEBUG, after logins, tokens, tickets and jobs: no secret in a log, in a process's arguments or in the output of `up`."""
    folder = stack.folder()
    before = snapshot(folder)
    secrets = {PASSWORD, ARCHIVE_PASSWORD} | {path.read_text().strip() for path in (stack.data / "secrets").iterdir()}
    assert len(secrets) > 9
    secrets |= came_in(stack)
    jobs = [stack.archive(folder), packed_with_password(stack)]
    places: dict[str, str] = {}

    def ended() -> bool:
        for pid in stack.alive():
            with suppress(OSError):
                places[f"arguments of {pid}"] = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        return all(stack.job(job)["status"] == "completed" for job in jobs)

    until(ended, "the ends of both jobs", tell=stack.stories)
    stack.assert_archived(folder, before)
    places |= {str(path): path.read_text(errors="replace") for path in (stack.data / "logs").rglob("*") if path.is_file()}
    places |= {"up": stack.said(), "settings": stack.http.get("/api/system/status").text}

    assert {(place, len(secret)) for place, text in places.items() for secret in secrets if secret in text} == set()
    assert [place for place, text in places.items() if GLOBUS_TOKEN.search(text)] == []
    (uploader,) = (text for place, text in places.items() if place.endswith("uploader.log"))
    assert '"level": "debug"' in uploader
    assert {stat.S_IMODE(path.stat().st_mode) for path in (stack.data / "secrets").iterdir()} == {0o600}
    assert stat.S_IMODE((stack.data / "run" / "subscriber.env").stat().st_mode) == 0o600


# Down and up ----------------------------------------------------------------------------------------------------------------------


def down(stack: Stack, number: signal.Signals) -> None:
    """Stop the stack and check that nothing of it is left."""
    living, process = stack.alive(), stack.process
    assert len(living) >= len(ENGINES) + len(SERVICES)

    took = stack.stop(number)

    sys.stdout.write(f"{number.name}: down in {took:.1f} s\n")  # at most 10 s on an idle machine
    assert process.returncode == 0
    assert [pid for pid, identity in living.items() if proc.identity(pid) == identity] == []
    assert list((stack.data / "run").glob("*.pid")) == []


def test_down_and_up_again(fresh: Stack) -> None:
    """SIGTERM, SIGINT and SIGHUP leave nothing running, and a second start continues.

    After a kill, the next start ends the remaining processes and continues. Those may be suspended, and may hold the gateway's
    port and the database.
    """
    fresh.start()
    job = fresh.archive(fresh.folder())
    fresh.wait(job, "completed")

    down(fresh, signal.SIGTERM)
    took = fresh.start()
    sys.stdout.write(f"second start: healthy in {took:.1f} s\n")  # 5 s on an idle machine
    assert fresh.job(job)["status"] == "completed"

    living = fresh.alive()
    for name in ("gateway", "scanner", "nats", "postgres"):
        fresh.signal(name, signal.SIGSTOP)
    fresh.kill9()
    fresh.start()
    assert [pid for pid, identity in living.items() if proc.identity(pid) == identity] == []
    assert fresh.job(job)["status"] == "completed"
    down(fresh, signal.SIGINT)
    fresh.start()
    down(fresh, signal.SIGHUP)


def test_a_moved_data_dir_goes_on_with_the_same_archive(fresh: Stack) -> None:
    """The stack is stopped while a tested archive waits for its upload, and DATA_DIR is moved.

    That archive is sent; nothing is copied again.
    """
    fresh.start()
    folder = fresh.folder()
    before = snapshot(folder)
    fresh.stops_at("transition.compressed.before")
    job = fresh.archive(folder)
    with fresh.holding("compressor"):
        fresh.freeze("uploader")
    fresh.wait(job, "compressed")
    fresh.kill9(everything=True)

    moved = fresh.root / "elsewhere" / "data"
    moved.parent.mkdir(mode=0o711)
    fresh.data.rename(moved)
    fresh.data = moved
    fresh.environment["DATA_DIR"] = str(moved)
    fresh.start()

    fresh.wait(job, "completed")
    assert fresh.states(job).count("copying") == 1, fresh.story(job)
    fresh.assert_archived(folder, before)
    down(fresh, signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_term_while_starting_leaves_nothing(fresh: Stack, number: signal.Signals) -> None:
    """A stop during the start is just as clean."""
    process = fresh.launch()
    until((fresh.data / "run" / "up.lock").exists, "the beginning of a start")

    process.send_signal(number)

    assert process.wait(120) == 0, fresh.said()
    assert fresh.alive() == {}


def destroy(stack: Stack) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", "destroy", "--yes"]
    return subprocess.run(command, cwd=ROOT, env=stack.environment, capture_output=True, text=True, check=False)


def test_a_private_parent_is_left_as_it_is_and_destroy_removes_the_rest(fresh: Stack) -> None:
    """It works below a directory of mode 0700, and every existing directory keeps its mode.

    `destroy --yes` is refused while `up` runs. Afterwards it removes DATA_DIR and the database, wherever that is, and nothing
    else.
    """
    private = fresh.root / "private"
    private.mkdir(mode=0o700)
    fresh.data = private / "deep" / "data"
    fresh.environment["DATA_DIR"] = str(fresh.data)
    fresh.data.parent.mkdir(mode=0o700)
    parents = [fresh.data.parent, private, fresh.root, fresh.nas]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in parents]

    fresh.start()
    folder = fresh.folder()
    before = snapshot(folder)
    fresh.wait(fresh.archive(folder), "completed")

    fresh.assert_archived(folder, before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in parents] == modes
    server = Path(f"/proc/{fresh.pid('postgres')}")
    database = (server / "cwd").resolve()
    assert (server.stat().st_uid == 0) is False

    busy = destroy(fresh)
    fresh.stop()
    done = destroy(fresh)

    assert (busy.returncode, done.returncode) == (1, 0), busy.stderr + done.stderr
    assert "already runs" in busy.stderr
    assert not fresh.data.exists()
    assert not database.exists()
    assert list(parents[0].iterdir()) == []
    assert snapshot(folder)


# When it cannot start -------------------------------------------------------------------------------------------------------------


def one_line(said: str, *words: str) -> None:
    """Check for a heading and one clear line without a traceback."""
    assert "Traceback" not in said
    assert all(word in said for word in words), said
    assert len(said.strip().splitlines()) <= 2, said


def test_a_port_in_use(fresh: Stack) -> None:
    with socket.create_server(("127.0.0.1", fresh.port)):
        said = refused(fresh, Exit.CONFIGURATION)

    one_line(said, "GATEWAY_PORT", str(fresh.port), "in use")
    assert fresh.alive() == {}


def test_a_source_that_is_not_there(fresh: Stack) -> None:
    fresh.environment["QNAP_BASE_PATH"] = str(fresh.root / "nothing here")

    said = refused(fresh, Exit.CONFIGURATION)

    one_line(said, "QNAP_BASE_PATH", "nothing here")


def test_a_missing_tool_and_wrong_settings(fresh: Stack) -> None:
    """All problems are listed before anything is started, one per line."""
    fresh.environment |= {"SEVENZIP_PATH": str(fresh.root / "no-7zz"), "LEASE_SECONDS": "soon", "UPLOAD_LIMIT": "0"}

    said = refused(fresh, Exit.CONFIGURATION)

    assert "Traceback" not in said
    for words in (r"SEVENZIP_PATH.*no-7zz", "LEASE_SECONDS.*soon", "UPLOAD_LIMIT"):
        assert len([line for line in said.splitlines() if re.search(words, line)]) == 1, said
    assert not fresh.data.exists()
