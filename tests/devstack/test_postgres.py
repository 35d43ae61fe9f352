"""Postgres under our supervision: first start, restart, crashes, accounts, and the place of its data."""

import asyncio
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from devstack import postgres, proc
from devstack.postgres import ACCOUNT, ELSEWHERE, Postgres
from shared.errors import ArchiverError, ConfigurationError
from tests.support.engines import data_dir, eventually

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def directory() -> Iterator[Path]:
    with data_dir() as path:
        yield path


@asynccontextmanager
async def running(path: Path, said: list[str] | None = None) -> AsyncIterator[Postgres]:
    server = Postgres(path, durable=False, say=(said if said is not None else []).append)
    await server.initialise()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(server: Postgres, question: str) -> object:
    connection = await asyncpg.connect(server.dsn())
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def remember(server: Postgres, number: int) -> None:
    await ask(server, f"CREATE TABLE remembered AS SELECT {number} AS n")


async def test_it_keeps_what_it_was_told_over_a_restart(directory: Path) -> None:
    """Stop and start: same address, same data, no process left in between."""
    async with running(directory) as server:
        await remember(server, 1)
        dsn, pid = server.dsn(), server.pid
    assert pid is not None
    assert proc.identity(pid) is None
    assert not list((directory / "run").glob("*.pid"))

    async with running(directory) as server:
        assert server.dsn() == dsn
        assert await ask(server, "SELECT n FROM remembered") == 1


async def test_production_settings_lose_nothing(directory: Path) -> None:
    """It is durable by default, checks its pages, uses UTF-8 and requires a password."""
    server = Postgres(directory)
    await server.initialise()
    await server.start()
    try:
        wanted = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on"}
        wanted |= {"server_encoding": "UTF8", "listen_addresses": "127.0.0.1", "password_encryption": "scram-sha-256"}
        assert {name: await ask(server, f"SHOW {name}") for name in wanted} == wanted
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn(password="wrong"))
    finally:
        await server.stop()


async def test_a_killed_server_comes_back_by_itself(directory: Path) -> None:
    """The postmaster is killed: one line says so, committed data is there, at the same address."""
    said: list[str] = []
    async with running(directory, said) as server:
        await remember(server, 2)
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        async def back() -> bool:
            try:
                return server.pid not in {None, killed} and await ask(server, "SELECT n FROM remembered") == 2
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return False

        await eventually(back, "the server answers again")

    assert [line for line in said if "postgres died (killed by SIGKILL)" in line]


async def test_a_server_left_by_a_killed_run_is_ended_first(directory: Path) -> None:
    """Every process of the cluster ends before a new postmaster starts. Its open transactions are rolled back."""
    async with running(directory) as server:
        await remember(server, 3)
        left = server.pid
        assert left is not None
        assert server._child is not None
        server._child._keeper.cancel()  # type: ignore[union-attr]  # as if the supervisor were gone

        async with running(directory) as second:
            assert second.port != server.port
            assert await ask(second, "SELECT n FROM remembered") == 3
            assert proc.identity(left) is None


async def test_a_stale_pid_file_naming_a_stranger_hurts_nobody(directory: Path) -> None:
    """After a power cut, the pid in postmaster.pid may belong to any process. That process is left alone, and the server starts."""
    async with running(directory) as server:
        await remember(server, 4)
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    pid_file = server.home.data / "postmaster.pid"
    pid_file.write_text(f"{stranger.pid}\n{server.home.data}\n0\n{server.port}\n")

    async with running(directory) as again:
        assert await ask(again, "SELECT n FROM remembered") == 4

    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_a_crash_during_the_first_start_leaves_no_half_cluster(directory: Path) -> None:
    """An unfinished initdb is removed and repeated."""
    async with running(directory) as server:
        home = server.home
    home.data.rename(home.path / "data.new")
    (home.path / "data.new" / "PG_VERSION").unlink()

    async with running(directory) as server:
        assert await ask(server, "SELECT 1") == 1
    assert not (home.path / "data.new").exists()
    assert not (home.path / "password.new").exists()


async def test_a_taken_port_is_said_plainly(directory: Path) -> None:
    """Another program listens on the port: the error gives the reason, and no process is left."""
    blocker = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    server = Postgres(directory, port=blocker.sockets[0].getsockname()[1], durable=False)
    await server.initialise()

    with pytest.raises(ArchiverError, match=r"(?s)ended while starting .*Address already in use"):
        await server.start()

    assert server.pid is None
    assert not proc.working_in(server.home.data)
    blocker.close()
    await blocker.wait_closed()


async def test_foreign_secrets_are_said_plainly(directory: Path) -> None:
    """If the secrets of a DATA_DIR were deleted, the error names the file that no longer fits."""
    async with running(directory):
        pass
    (directory / "secrets" / "postgres_superuser").unlink()

    with pytest.raises(ConfigurationError, match=r"refuses the password in .*postgres_superuser"):
        async with running(directory):
            pass


async def test_nobody_else_can_read_secrets_or_data(directory: Path) -> None:
    """Passwords are 0600, the product's directories 0700. DATA_DIR itself keeps its owner's mode."""
    async with running(directory) as server:
        modes = {
            path: stat.S_IMODE(path.stat().st_mode)
            for path in [*(directory / "secrets").iterdir(), *(directory / "logs").iterdir()]
        }
        assert set(modes.values()) == {0o600}
        assert {stat.S_IMODE(path.stat().st_mode) for path in (directory / "secrets", directory / "run", server.home.path)} == {
            0o700
        }
        assert stat.S_IMODE(directory.stat().st_mode) == 0o711


async def test_root_runs_it_under_an_account_of_its_own(directory: Path) -> None:
    """Started by root, the server runs as its own account. Started by another user, it runs as that user."""
    async with running(directory) as server:
        assert server.pid is not None
        owner = Path(f"/proc/{server.pid}").stat().st_uid

        assert owner == (postgres.ensure_account().uid if AS_ROOT else os.geteuid())
        assert server.home.path == directory / "postgres"


@pytest.fixture
def hidden() -> Iterator[Path]:
    """A DATA_DIR below a directory that only its owner may enter."""
    with tempfile.TemporaryDirectory() as top:
        path = Path(top) / "private" / "data"
        path.parent.mkdir(mode=0o700)
        path.mkdir(mode=0o755)
        yield path
        postgres.destroy(path)


def modes(path: Path) -> list[int]:
    return [stat.S_IMODE(each.stat().st_mode) for each in (path, *path.parents)]


async def test_below_a_private_directory(hidden: Path) -> None:
    """If Postgres' account cannot reach it, the database is in /var/lib, and no mode above DATA_DIR changes.

    Otherwise it is in DATA_DIR.
    """
    before = modes(hidden)
    said: list[str] = []

    async with running(hidden, said) as server:
        await remember(server, 5)
        home = server.home.path
    async with running(hidden) as server:
        assert await ask(server, "SELECT n FROM remembered") == 5

    assert modes(hidden) == before
    if AS_ROOT:
        assert home == ELSEWHERE / (hidden / "postgres.id").read_text()
        assert said == [f"The database lies in {home}: account {ACCOUNT} cannot reach {hidden}."]
        assert not (hidden / "postgres").exists()
    else:
        assert home == hidden / "postgres"
    postgres.destroy(hidden)
    assert not home.exists()
    assert not (hidden / "postgres.id").exists()


async def test_a_data_dir_made_anew_meets_no_old_database(hidden: Path) -> None:
    """Another DATA_DIR at the same path has no id file, so it gets its own database."""
    async with running(hidden) as server:
        await remember(server, 6)
        old = server.home.path
    aside = hidden.rename(hidden.with_name("aside"))
    hidden.mkdir()

    async with running(hidden) as server:
        assert await ask(server, "SELECT to_regclass('remembered')") is None
        assert server.home.path != old or not AS_ROOT
    postgres.destroy(aside)


def test_programs_below_a_private_directory_are_copied(tmp_path: Path) -> None:
    """If the account cannot enter the checkout, it runs a copy of the programs, and the checkout keeps its modes.

    Otherwise it uses them in place.
    """
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    shutil.copytree(postgres.installed(), private / "pg", symlinks=True)
    account = postgres.ensure_account() if AS_ROOT else None

    found = postgres.programs_for(account, private / "pg")

    assert (found / "initdb").is_file()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert (found.parent.parent == ELSEWHERE) == AS_ROOT
    if AS_ROOT:
        shutil.rmtree(found.parent)


@pytest.mark.parametrize("content", ["", "../../etc", "0" * 32])
def test_a_lost_database_is_never_replaced_by_an_empty_one(directory: Path, content: str) -> None:
    """An id file that is damaged, or that names a missing directory, stops the start and says what to do."""
    (directory / "postgres.id").write_text(content)

    with pytest.raises(ArchiverError, match=r"postgres\.id is damaged|which is gone|start CS Archiver as root"):
        postgres.find_home(directory)

    assert not (directory / "postgres").exists()
    (directory / "postgres.id").unlink()


@pytest.mark.skipif(not AS_ROOT, reason="only root runs Postgres as another account; others reach what they made themselves")
async def test_a_database_that_became_unreachable_is_never_replaced_by_an_empty_one() -> None:
    """A parent directory was closed: the start is refused with the reason, and works again once it is opened."""
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o711)
        path = Path(top) / "data"
        path.mkdir()
        async with running(path) as server:
            await remember(server, 7)
        Path(top).chmod(0o700)

        with pytest.raises(ArchiverError, match="let it pass"):
            postgres.find_home(path)

        Path(top).chmod(0o711)
        async with running(path) as server:
            assert await ask(server, "SELECT n FROM remembered") == 7
        postgres.destroy(path)
