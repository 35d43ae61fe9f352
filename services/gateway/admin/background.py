"""The gateway's background work: first user, workspaces, pending cancels, expired tokens, stale files, totals."""

import asyncio
from contextlib import suppress

import asyncpg

from services.gateway.auth.security import PASSWORD_MAXIMUM_BYTES, Security
from services.gateway.files.uploads import Uploads
from services.gateway.files.workspaces import Workspaces
from services.gateway.http.http_errors import ProblemError
from services.gateway.records.disk import at_disk
from services.gateway.records.host_stats import SAMPLE_SECONDS, HostStats
from services.gateway.records.store import Store
from shared import log, units
from shared.errors import ConfigurationError
from shared.isolation import Isolation

logger = log.get(__name__)

DEFAULT_PASSWORD = "changeme"  # noqa: S105 - a login with it can only set a new password
_BACKGROUND = Isolation("chore of the gateway")
_CANCEL_SECONDS = 2.0
_FORGET_SECONDS = 3600.0
_FOLD_SECONDS = 60.0
_TIDY_SECONDS = 600.0


def check_initial_password(password: str) -> None:
    """Raise ConfigurationError if bcrypt would truncate this password."""
    if len(password.encode()) > PASSWORD_MAXIMUM_BYTES:
        raise ConfigurationError(f"ADMIN_INITIAL_PASSWORD is longer than {units.exact_size(PASSWORD_MAXIMUM_BYTES)}.")


async def first_admin(store: Store, security: Security, initial_password: str) -> None:
    """Create the user `admin` on the first run. Waits until the database is migrated."""
    while True:
        try:
            if await store.schema_version() is not None:
                break
        except ProblemError:
            pass
        await asyncio.sleep(0.5)
    while True:
        with suppress(ProblemError):
            if await store.has_users():
                return
            hashed = await security.hash(initial_password or DEFAULT_PASSWORD)
            if await store.first_admin(hashed, must_change=not initial_password):
                logger.info("first_admin", message="The user `admin` was made.", must_change=not initial_password)
            return
        await asyncio.sleep(0.5)


async def serve_cancels(store: Store, wake: asyncio.Event) -> None:
    """Cancel jobs whose cancel was requested while a worker held them, once no worker holds them (the scanner wakes us then)."""
    while True:
        wake.clear()
        with _BACKGROUND.isolated("cancels"), suppress(ProblemError):
            for job_id in await store.cancel_let_go():
                logger.info("cancelled", job_id=str(job_id), message="A job was cancelled after its worker let go of it.")
        with suppress(TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):  # wait_for could swallow a shutdown that coincides with the wake-up
                await wake.wait()


async def make_workspaces(store: Store, workspaces: Workspaces) -> None:
    """Create a workspace for every existing user."""
    while True:
        try:
            users = await store.user_ids()
            break
        except ProblemError:
            await asyncio.sleep(0.5)
        except asyncpg.UndefinedTableError:  # not migrated yet
            await asyncio.sleep(0.5)
    for user in users:
        with _BACKGROUND.isolated(user), suppress(ProblemError):  # storage is unavailable: the workspace is created on first use
            await at_disk(workspaces.ensure, user)


async def tidy_workspaces(uploads: Uploads, workspaces: Workspaces) -> None:
    """Remove stale uploads, and deleted files that a gateway left behind when it stopped."""
    while True:
        for name, tidy in (("uploads", uploads.sweep), ("deleted folders", lambda: at_disk(workspaces.sweep_deleted))):
            with _BACKGROUND.isolated(name), suppress(ProblemError, asyncpg.UndefinedTableError):
                await tidy()
        await asyncio.sleep(_TIDY_SECONDS)


async def forget_expired_tokens(store: Store) -> None:
    while True:
        for forget in (store.forget_expired_tokens, store.forget_expired_tickets, store.forget_logins):
            with _BACKGROUND.isolated(forget.__name__), suppress(ProblemError):
                await forget()
        await asyncio.sleep(_FORGET_SECONDS)


async def watch_machine(host_stats: HostStats) -> None:
    """Record the dashboard's last half hour, whether or not a page is open."""
    while True:
        with _BACKGROUND.isolated("figures"), suppress(ProblemError, asyncpg.UndefinedTableError):
            await host_stats.sample()
        await asyncio.sleep(SAMPLE_SECONDS)


async def fold_totals(store: Store) -> None:
    """Fold the totals. Every job change adds a row, and every page sums the rows, so their number must stay small."""
    while True:
        with _BACKGROUND.isolated("totals"), suppress(ProblemError):
            await store.fold_totals()
        await asyncio.sleep(_FOLD_SECONDS)
