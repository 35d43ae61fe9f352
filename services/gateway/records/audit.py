"""The audit log: who did what, when and from where.

Each entry is written in the transaction of its action. The database refuses to change an entry.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from services.gateway.records.store import Store
from shared.infra.db import Session

_BATCH = 1000


class Actor(msgspec.Struct, frozen=True):
    """The user who acts: the current name and the kind of login. `via`: login, cookie or token:<name>. All empty if unknown."""

    name: str = ""
    id: UUID | None = None
    via: str = ""
    address: str = ""
    request_id: str = ""


class AuditRecord(msgspec.Struct, frozen=True):
    """One action: a stable code, its target (an id or a name), a message, and data. Never a secret."""

    action: str
    message: str
    target: str = ""
    data: dict[str, Any] = {}


async def note(session: Session, actor: Actor, entry: AuditRecord) -> None:
    """Write one entry in the caller's transaction, so that the action and its record commit together."""
    who = (actor.name, actor.id, actor.via, actor.address, actor.request_id)
    await session.run("note_audit", *who, entry.action, entry.target, entry.message, entry.data)


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The requested entries. None or empty means any value."""

    actor: str | None = None
    actions: tuple[str, ...] = ()
    target: str | None = None
    address: str | None = None
    words: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Return $1 to $7 of the log's queries. A time without a zone counts as UTC."""
        times = [t.replace(tzinfo=UTC) if t is not None and t.tzinfo is None else t for t in (self.since, self.before)]
        return (self.actor, list(self.actions) or None, self.target, self.address, self.words, *times)


class AuditLog:
    """Reads the log. Every method raises ProblemError 503 while the database is unavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, wanted: AuditFilter, below: int | None, limit: int, offset: int) -> list[Any]:
        """Return entries older than the entry `below`, newest first."""
        async with self._store.transaction() as session:
            return await session.rows("audit", *wanted.arguments, below, limit, offset)

    async def total(self, wanted: AuditFilter) -> int:
        """Return the number of matches."""
        async with self._store.transaction() as session:
            return int(await session.value("count_audit", *wanted.arguments))

    async def all(self, wanted: AuditFilter) -> AsyncIterator[list[Any]]:
        """Yield all matches in batches."""
        below: int | None = None
        while rows := await self.page(wanted, below, _BATCH, 0):
            yield rows
            below = rows[-1]["id"]
