"""nats-server under our supervision."""

import asyncio
import json
import os
import signal
import stat
from pathlib import Path

import nats
from nats.errors import Error as NatsError

from devstack import proc
from devstack.nats_server import NatsServer, binary, configuration
from shared.infra.nats_permissions import PROVISION, SUBSCRIBER, USERS, inbox_prefix
from shared.infra.provision import provision
from tests.support.engines import eventually


async def _messages(server: NatsServer) -> int:
    client = await nats.connect(server.url, user=PROVISION, password=server.passwords[PROVISION], allow_reconnect=False)
    try:
        return int((await client.jetstream(timeout=60).stream_info("JOBS")).state.messages)
    finally:
        await client.close()


async def test_events_survive_stop_and_kill(tmp_path: Path) -> None:
    """An acknowledged event survives kill -9 and a restart, at the same address. One line reports the death."""
    said: list[str] = []
    server = NatsServer(tmp_path, say=said.append)
    await server.start()
    try:
        await provision(server.url, server.passwords[PROVISION])
        client = await nats.connect(
            server.url, user="scanner", password=server.passwords["scanner"], inbox_prefix=inbox_prefix("scanner")
        )
        await client.jetstream(timeout=60).publish("job.queued", b"{}")
        await client.close()
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        async def back() -> bool:
            try:
                return server.pid not in {None, killed} and await _messages(server) == 1
            except (OSError, NatsError):
                return False

        await eventually(back, "the server answers again with its event")
    finally:
        await server.stop()
    assert [line for line in said if "nats died (killed by SIGKILL)" in line]

    again = NatsServer(tmp_path)
    await again.start()
    try:
        assert (again.url, await _messages(again)) == (server.url, 1)
    finally:
        await again.stop()
    assert proc.marked(str(tmp_path)) == {}


async def test_a_store_of_a_version_without_accounts_does_not_stop_the_start(tmp_path: Path) -> None:
    """Its stream is in an account that is no longer configured. The server would report it as damaged and never be healthy."""
    server = NatsServer(tmp_path, durable=False)
    config = json.loads(configuration(server.port, server.monitoring_port, tmp_path / "nats", server.passwords, durable=False))
    file = tmp_path / "earlier.conf"
    file.write_text(json.dumps({key: value for key, value in config.items() if key not in {"accounts", "authorization"}}))
    earlier = await asyncio.create_subprocess_exec(binary(), "-c", file, stderr=asyncio.subprocess.DEVNULL)
    try:
        client = await nats.connect(server.url, max_reconnect_attempts=60, reconnect_time_wait=0.5)
        await client.jetstream(timeout=60).add_stream(name="JOBS", subjects=["job.>"])
        await client.close()
    finally:
        earlier.terminate()
        await earlier.wait()
    assert (tmp_path / "nats" / "jetstream" / "$G" / "streams" / "JOBS").is_dir()

    await server.start()
    try:
        await provision(server.url, server.passwords[PROVISION])
        assert await _messages(server) == 0
    finally:
        await server.stop()


async def test_the_subscribers_file_is_enough_to_log_in(tmp_path: Path) -> None:
    """subscriber.env: 0600, four values, and they work."""
    server = NatsServer(tmp_path, durable=False)
    await server.start()
    try:
        file = tmp_path / "run" / "subscriber.env"
        values = dict(line.split("=", 1) for line in file.read_text().splitlines())

        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert set(values) == {"NATS_URL", "NATS_USER", "NATS_PASSWORD", "NATS_INBOX_PREFIX"}
        client = await nats.connect(
            values["NATS_URL"],
            user=values["NATS_USER"],
            password=values["NATS_PASSWORD"],
            inbox_prefix=values["NATS_INBOX_PREFIX"],
            allow_reconnect=False,
            connect_timeout=60,
        )
        assert client.is_connected
        await client.close()
    finally:
        await server.stop()


def test_the_configuration_holds_no_password() -> None:
    """Only hashes are written. Durable means that every message is synced. Every user has limits."""
    passwords = {user: f"password-of-{user}" for user in USERS}

    text = configuration(4222, 8222, Path("/data/nats"), passwords)

    made = json.loads(text)
    assert not any(password in text for password in passwords.values())
    assert made["jetstream"]["sync_interval"] == "always"
    assert made["max_payload"] == 4 * 2**20
    users = {account: [user["user"] for user in what["users"]] for account, what in made["accounts"].items()}
    assert users == {
        "SERVICES": [user for user in USERS if user != SUBSCRIBER],
        "READERS": ["provision_readers", SUBSCRIBER],
    }
    assert all(user["permissions"] for what in made["accounts"].values() for user in what["users"])
