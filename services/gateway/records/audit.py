"""The audit log: who did what, when and from where. Written in the transaction of the deed; the database refuses to change a row."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from services.gateway.records.store import Store
from shared.infra.db import Session

_BATCH = 1000


class Actor(msgspec.Struct, frozen=True):
    """Who acts: the name as it is now, and how they came in. `via`: login, cookie or token:<name>; all empty for nobody known."""

    name: str = ""
    id: UUID | None = None
    via: str = ""
    address: str = ""
    request_id: str = ""


class AuditRecord(msgspec.Struct, frozen=True):
    """What was done: a stable word, what it was done to (an id or a name), a sentence, figures. Never a secret."""

    action: str
    message: str
    target: str = ""
    data: dict[str, Any] = {}


async def note(session: Session, actor: Actor, entry: AuditRecord) -> None:
    """Write one line, in the caller's transaction: the deed and its record stand or fall together."""
    who = (actor.name, actor.id, actor.via, actor.address, actor.request_id)
    await session.run("note_audit", *who, entry.action, entry.target, entry.message, entry.data)


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What of the log is wanted; None or empty: whatever."""

    actor: str | None = None
    actions: tuple[str, ...] = ()
    target: str | None = None
    address: str | None = None
    words: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    @property
    def arguments(self) -> tuple[Any, ...]:
        """$1 to $7 of the log's queries; a time without a zone is UTC."""
        times = [t.replace(tzinfo=UTC) if t is not None and t.tzinfo is None else t for t in (self.since, self.before)]
        return (self.actor, list(self.actions) or None, self.target, self.address, self.words, *times)


class AuditLog:
    """Reading the log. Every method raises ProblemError 503 while the database is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, wanted: AuditFilter, below: int | None, limit: int, offset: int) -> list[Any]:
        """Rows, newest first, older than the line `below`."""
        async with self._store.transaction() as session:
            return await session.rows("audit", *wanted.arguments, below, limit, offset)

    async def total(self, wanted: AuditFilter) -> int:
        """How many match."""
        async with self._store.transaction() as session:
            return int(await session.value("count_audit", *wanted.arguments))

    async def all(self, wanted: AuditFilter) -> AsyncIterator[list[Any]]:
        """Everything, in batches."""
        below: int | None = None
        while rows := await self.page(wanted, below, _BATCH, 0):
            yield rows
            below = rows[-1]["id"]
