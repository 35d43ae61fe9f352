"""The gateway's database: one method per query, and a clear error for every connection failure.

Methods return rows (asyncpg Records) or plain values. views.py turns them into API objects.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.gateway.http.http_errors import unavailable
from services.gateway.records.disk import at_disk
from shared.domain.destinations import Elsewhere, RemotePlace
from shared.domain.lifecycle import Kind
from shared.errors import DatabaseAway
from shared.files import usage
from shared.infra.db import Database, Session

_DISK_SECONDS = 10.0
SLOW_STORAGE = "The server's storage is slow to answer, and others wait for it already. Try again in a moment."


@asynccontextmanager
async def _told() -> AsyncIterator[None]:
    try:
        yield
    except DatabaseAway as exc:
        raise unavailable(str(exc)) from exc


class FolderFilter:
    """The requested folders. See `GET /api/folders`."""

    def __init__(
        self,
        *,
        archived: bool = False,
        ignored: bool = False,
        q: str | None = None,
        level1: str | None = None,
        level2: str | None = None,
        sort: str = "path",
        descending: bool = False,
        offered: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> None:
        self.arguments = (archived, ignored, q or None, level1, level2, sort, descending, offered, limit, offset)


class Store:
    """All methods raise ProblemError 503 while the database is unavailable."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._disk_turns = asyncio.Semaphore(max(1, db.size // 2))

    @property
    def refused(self) -> DatabaseAway | None:
        """Return why the database does not accept all work although it answers, or None if it does."""
        return self._db.refused

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with _told(), self._db.transaction() as session:
            yield session

    @asynccontextmanager
    async def storage_transaction(self) -> AsyncIterator[Session]:
        """Open a transaction that changes names on the storage or waits for a workspace's locks.

        At most half of the connections run such transactions. When the storage hangs, all other requests still work. Raises 503
        after ten seconds without a free connection.
        """
        try:
            async with asyncio.timeout(_DISK_SECONDS):
                await self._disk_turns.acquire()
        except TimeoutError as exc:
            raise unavailable(SLOW_STORAGE) from exc
        try:
            async with self.transaction() as session:
                yield session
        finally:
            self._disk_turns.release()

    def usages(self, workspaces: Path) -> usage.Usages:
        """Return the running totals of the workspaces."""
        return usage.Usages(self._db, workspaces, at_disk)

    async def _rows(self, name: str, *args: Any) -> list[Any]:
        async with _told():
            return await self._db.rows(name, *args)

    async def _row(self, name: str, *args: Any) -> Any | None:
        async with _told():
            return await self._db.row(name, *args)

    async def _value(self, name: str, *args: Any) -> Any:
        async with _told():
            return await self._db.value(name, *args)

    async def _run(self, name: str, *args: Any) -> None:
        async with _told():
            await self._db.run(name, *args)

    # Users

    async def user_by_name(self, name: str) -> Any | None:
        return await self._row("user_by_name", name)

    async def session_user(self, user: UUID, token: UUID, epoch: int) -> Any | None:
        """Return the user's row while the token is valid, else None."""
        return await self._row("session_user", user, token, epoch)

    async def sessions_now(self, sessions: list[tuple[UUID, UUID, int]]) -> dict[UUID, Any]:
        """Return the valid ones of these (user, token, epoch), with current `is_admin` and `must_change_password`, by token."""
        users, tokens, epochs = [list(column) for column in zip(*sessions, strict=True)] if sessions else ([], [], [])
        return {row["jti"]: row for row in await self._rows("sessions_now", users, tokens, epochs)}

    async def token_user(self, digest: bytes) -> Any | None:
        """Return the user's row and the personal token's data while it is valid, else None."""
        return await self._row("token_user", digest)

    async def token_used(self, token: UUID) -> None:
        await self._run("token_used", token)

    async def login_user(self, name: str, address: str) -> Any | None:
        """Return a user by name, and whether this user has logged in from this address (`is_known`)."""
        return await self._row("login_user", name, address)

    async def login_counts(self, keys: list[str], window_s: float) -> list[Any]:
        """Return the current count of each key, and the seconds until it expires."""
        return await self._rows("login_counts", keys, window_s)

    async def count_logins(self, keys: list[str], window_s: float) -> None:
        await self._run("count_logins", keys, window_s)

    async def forgive_logins(self, key: str) -> None:
        await self._run("forgive_logins", key)

    async def fold_totals(self) -> None:
        await self._run("fold_totals")

    async def forget_logins(self) -> None:
        """Remove expired counts and addresses that were not used for a long time."""
        await self._run("forget_login_failures")
        await self._run("forget_addresses")

    async def forget_expired_tokens(self) -> None:
        await self._run("forget_expired_tokens")

    async def has_users(self) -> bool:
        return bool(await self._value("has_users"))

    async def first_admin(self, hashed: str, *, must_change: bool) -> bool:
        """Create `admin` if there are no users. Return False if there are."""
        return await self._value("first_admin", hashed, must_change) is not None

    async def usage_of(self, owner: UUID) -> usage.Known:
        """Return the recorded usage of a workspace."""
        return usage.Known(await self._row("usage_of", owner))

    async def count_extractions(self, owner: UUID) -> int:
        return int(await self._value("count_extractions", owner))

    async def user_ids(self) -> list[UUID]:
        return [row["id"] for row in await self._rows("user_ids")]

    # Folders

    async def throughput(self) -> tuple[float | None, int, int]:
        """Return bytes per second and number of the last completed archive jobs, and the bytes reserved but not yet written."""
        row = await self._row("throughput")
        assert row is not None
        return row["bytes_per_second"], row["jobs"], row["unwritten"]

    async def reserved_space(self) -> int:
        """Return the bytes that jobs and uploads will still write to the storage."""
        row = await self._row("reserved_space")
        assert row is not None
        return int(row["unwritten"])

    async def folders(self, wanted: FolderFilter) -> tuple[list[Any], int]:
        """Return one page and the total number of matches."""
        rows = await self._rows("folders", *wanted.arguments)
        if not rows and wanted.arguments[-1]:  # past the end, where no row has the total
            first = await self._row("folders", *wanted.arguments[:-2], 1, 0)
            return rows, first["total"] if first else 0
        return rows, rows[0]["total"] if rows else 0

    async def places(self, *, archived: bool, ignored: bool) -> list[Any]:
        return await self._rows("places", archived, ignored)

    async def last_scan(self) -> Any | None:
        return await self._row("last_scan")

    # Jobs

    async def job(self, job_id: UUID) -> Any | None:
        return await self._row("job", job_id)

    async def live_jobs(self) -> list[Any]:
        return await self._rows("live_jobs")

    async def some_jobs(self, jobs: list[UUID]) -> list[Any]:
        return await self._rows("some_jobs", jobs)

    async def live_job_of_source(self, path: str, device: int, inode: int) -> Any | None:
        return await self._row("live_job_of_source", path, device, inode)

    async def destination_of(self, job_id: UUID) -> Any | None:
        return await self._row("destination_of", job_id)

    async def destination_holder(self, keys: Sequence[str]) -> Any | None:
        return await self._row("destination_holder", list(keys))

    async def remote_place(self) -> RemotePlace | None:
        """Return the destination of new jobs, or None before the first uploader has reported it."""
        row = await self._row("remote_place")
        return None if row is None else RemotePlace(row["endpoint"], row["base_path"])

    async def work_elsewhere(self) -> list[Elsewhere]:
        return [msgspec.convert(dict(row), Elsewhere) for row in await self._rows("work_elsewhere")]

    async def cancel_let_go(self) -> list[UUID]:
        return [row["id"] for row in await self._rows("cancel_let_go")]

    async def archive_of(self, job_id: UUID) -> Any | None:
        return await self._row("archive_of", job_id)

    async def verifications_of(self, job_id: UUID) -> list[Any]:
        return await self._rows("verifications_of", job_id)

    async def milestones_of(self, job_id: UUID) -> list[Any]:
        return await self._rows("milestones_of", job_id)

    async def warnings_of(self, job_id: UUID, limit: int) -> list[str]:
        return [row["message"] for row in await self._rows("warnings_of", job_id, limit)]

    async def transition_lines(self, events: list[tuple[UUID, int]]) -> list[Any]:
        """Return the log lines of (job, version) pairs."""
        return await self._rows("transition_lines", [job for job, _ in events], [version for _, version in events])

    async def logs_after(self, job_id: UUID, after: int, level: str | None, limit: int) -> list[Any]:
        return await self._rows("logs_after", job_id, after, level, limit)

    async def logs_last(self, job_id: UUID, level: str | None, limit: int) -> list[Any]:
        return await self._rows("logs_last", job_id, level, limit)

    async def count_logs(self, job_id: UUID, level: str | None) -> int:
        return int(await self._value("count_logs", job_id, level))

    # Live

    async def live_versions(self) -> dict[UUID, str]:
        """Return all jobs that have not ended, each with a text that changes whenever its row does."""
        return {row["id"]: row["row_version"] for row in await self._rows("live_versions")}

    async def last_seq(self) -> int:
        """Return the sequence of the newest event in the stream."""
        return int(await self._value("outbox_last"))

    async def events_after(self, seq: int, user: UUID, *, everything: bool, limit: int) -> list[Any]:
        return await self._rows("events_after", seq, user, everything, limit)

    async def take_ticket(self, digest: bytes) -> Any | None:
        """Use a ticket once, and return its owner. None if it is unknown, used or expired."""
        return await self._value("take_ticket", digest)

    async def forget_expired_tickets(self) -> None:
        await self._run("forget_expired_tickets")

    async def stats(self) -> Any:
        return await self._row("stats")

    # System

    async def job_counts(self) -> dict[str, int]:
        return {row["status"]: row["n"] for row in await self._rows("job_counts")}

    async def instances(self, silent_s: float) -> list[Any]:
        return await self._rows("instances", silent_s)

    async def job_states(self) -> list[Any]:
        return await self._rows("job_states")

    async def waits(self) -> Any:
        return await self._row("waits")

    async def leases(self) -> list[Any]:
        return await self._rows("leases")

    async def relay_lag(self) -> Any:
        return await self._row("relay_lag")

    async def failures(self, kinds: Sequence[Kind], owner: UUID | None, limit: int) -> list[Any]:
        """Return failed jobs that need attention, newest first. `owner` limits workspace jobs to this user. None: all users."""
        return await self._rows("failures", list(kinds), owner, limit)

    async def schema_version(self) -> str | None:
        """Return the newest migration that has run, or None."""
        try:
            return await self._value("schema_version")  # type: ignore[no-any-return] # a text column
        except asyncpg.UndefinedTableError:
            return None
