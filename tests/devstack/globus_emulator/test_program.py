"""The emulator as a program: how it starts, what it refuses, and how it ends."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.emulator import SOURCE, Emulator, eventually, task, transfer


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it to its end, only for refused command lines."""
    command = [sys.executable, "-m", "devstack.globus_emulator", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return Emulator(tmp_path / "emulator").config


def test_help_and_missing_arguments() -> None:
    assert "--port-file" in run("--help").stdout
    assert run().returncode == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_only_loopback_unless_told_otherwise(config: Path, host: str) -> None:
    done = run("--config", config, "--state", config.parent / "state", "--host", host)

    assert done.returncode == 2
    assert "--allow-remote" in done.stderr


def test_config_that_others_may_read_is_refused(config: Path) -> None:
    config.chmod(0o640)

    done = run("--config", config, "--state", config.parent / "state")

    assert done.returncode == 2
    assert "chmod 600" in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"control_secret": ""}, "control_secret is empty"),
        ({"collections": {SOURCE: {"root": "relative"}}}, "absolute path"),
        ({"collections": {SOURCE: {"root": "/x", "checksum_algorithms": ["CRC7"]}}}, "CRC7"),
        ({"no_such_setting": 1}, "no_such_setting"),
    ],
)
def test_config_that_cannot_work_is_refused(config: Path, change: dict[str, object], words: str) -> None:
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))

    done = run("--config", config, "--state", config.parent / "state")

    assert done.returncode == 2
    assert words in done.stderr


def test_port_in_use_is_said(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("--config", config, "--state", config.parent / "state", "--port", taken.getsockname()[1])

    assert done.returncode == 2
    assert "cannot listen" in done.stderr


def test_state_belongs_to_one_process(own_emulator: Emulator) -> None:
    """Two processes would run the same tasks. A killed one leaves nothing that blocks the next."""
    done = run("--config", own_emulator.config, "--state", own_emulator.state)
    own_emulator.kill()
    own_emulator.start()

    assert done.returncode == 2
    assert "another emulator works on" in done.stderr


def test_port_file_and_state_are_private(own_emulator: Emulator, tmp_path: Path) -> None:
    """The state contains file names and token hashes."""
    assert own_emulator.state.stat().st_mode & 0o077 == 0
    own_emulator.stop()
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "devstack.globus_emulator", "--config", own_emulator.config]
    process = subprocess.Popen(
        [*map(str, command), "--state", str(own_emulator.state), "--port-file", str(port_file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())

        assert int(port_file.read_text()) == ready["port"]
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_sigterm_ends_it_quickly_whatever_it_is_doing(own_emulator: Emulator) -> None:
    """A copy, a stalled response, a waiting cancel: it waits for none and exits with 0. The copy continues next time."""
    client = own_emulator.client()
    own_emulator.control.configure(bytes_per_second=1000)
    data = own_emulator.put("a", 1_000_000)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]
    eventually(lambda: task(client, task_id), lambda seen: seen["bytes_transferred"] > 0)
    own_emulator.control.set_faults({"kind": "http", "action": "stall_body", "path": "task_list", "seconds": 1000})
    with socket.create_connection(("127.0.0.1", own_emulator.port)) as stalled:
        stalled.sendall(b"GET /v0.10/task_list HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stalled.recv(12) == b"HTTP/1.1 401"[:12]

        status = own_emulator.stop()  # fails if it takes a tenth of the time of either

    assert status == 0
    own_emulator.start()
    own_emulator.control.set_faults()
    seen = eventually(lambda: task(client, task_id), lambda seen: seen["status"] != "ACTIVE")
    assert (seen["status"], own_emulator.got("a")) == ("SUCCEEDED", data)


def test_client_that_goes_away_leaves_no_noise(tmp_path: Path) -> None:
    """A broken pipe is the client's problem: nothing on stderr, and the next call is served."""
    emulator = Emulator(tmp_path / "own")
    with (tmp_path / "stderr").open("w+") as stderr:
        emulator.start(stderr=stderr)
        try:
            emulator.control.set_faults({"kind": "http", "action": "delay", "path": "task_list", "seconds": 0.1, "times": 1})
            with socket.create_connection(("127.0.0.1", emulator.port)) as impatient:
                impatient.sendall(b"GET /v0.10/task_list HTTP/1.1\r\nHost: x\r\n\r\n")
                eventually(emulator.control.requests, bool)
            eventually(emulator.control.requests, lambda seen: seen[0]["status"] == 401)
            assert emulator.client().task_list()["total"] == 0
        finally:
            emulator.close()
        stderr.seek(0)
        assert stderr.read() == ""
