"""The list of jobs that ended or not: filters, pages, totals, and hiding what is done. Made for a million rows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from services.gateway import audit
from services.gateway.audit import Deed
from services.gateway.decide import Place
from services.gateway.security import Identity
from services.gateway.store import Store
from shared.lifecycle import Kind, Status

EXACT_TOTAL = 10_000
"""Up to here a total is counted; above it is the planner's estimate, because counting a million rows on every page helps nobody."""
_BATCH = 1000
_CLEAR_BATCH = 5000  # one statement stays far below its time limit


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted; None: whatever. `owner`: workspace jobs of this user only (None: of all; archive jobs are everybody's)."""

    kinds: tuple[Kind, ...] = (Kind.ARCHIVE,)
    statuses: tuple[Status, ...] = ()
    user: str | None = None
    owner: UUID | None = None
    words: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    @property
    def _rest(self) -> tuple[Any, ...]:
        return (self.user, self.owner, self.words, _utc(self.since), _utc(self.before))

    @property
    def arguments(self) -> tuple[Any, ...]:
        """$1 to $7 of the history's queries."""
        return (list(self.kinds), list(self.statuses) or None, *self._rest)


def _utc(moment: datetime | None) -> datetime | None:
    """A time without a zone is taken as UTC: the server's own zone is nobody's business."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


class History:
    """Every method raises ProblemError 503 while the database is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, wanted: Filter, after: Place | None, limit: int, offset: int) -> list[Any]:
        """Rows, newest first."""
        place = (None, None) if after is None else (after.created_at, after.id)
        name = "history_by_state" if wanted.statuses else "history"
        async with self._store.transaction() as session:
            return await session.rows(name, *wanted.arguments, *place, limit, offset)

    async def total(self, wanted: Filter) -> tuple[int, bool]:
        """How many match, and whether that is exact."""
        async with self._store.transaction() as session:
            counted = int(await session.value("count_history", *wanted.arguments, EXACT_TOTAL + 1))
            if counted <= EXACT_TOTAL:
                return counted, True
            return max(int(await session.value("expect_history", *wanted.arguments)), counted), False

    async def all(self, wanted: Filter) -> AsyncIterator[list[Any]]:
        """Everything, in batches: neither memory nor a connection is held for as long as the client reads."""
        after: Place | None = None
        while rows := await self.page(wanted, after, _BATCH, 0):
            yield rows
            after = Place(rows[-1]["created_at"], rows[-1]["id"])

    async def clear_completed(self, who: Identity, user: str | None, before: datetime | None) -> tuple[int, datetime]:
        """Hide completed archive jobs; returns how many, and the moment by which `restore` finds them."""
        cleared, moment = 0, None
        while True:
            async with self._store.transaction() as session:
                moment = moment or await session.value("now")
                batch = int(await session.value("clear_completed", user, _utc(before), _CLEAR_BATCH, moment))
                cleared += batch
                if batch < _CLEAR_BATCH:
                    sentence = f"{who.username} cleared {cleared} completed jobs from the history."
                    await audit.note(session, who.actor, Deed("jobs_cleared", sentence, data={"count": cleared}))
                    return cleared, moment

    async def restore(self, who: Identity, moment: datetime) -> int:
        """Show again what the clearing of that moment has hidden; returns how many jobs that are."""
        shown = 0
        while True:
            async with self._store.transaction() as session:
                batch = int(await session.value("restore_cleared", _utc(moment), _CLEAR_BATCH))
                shown += batch
                if batch < _CLEAR_BATCH:
                    if shown:
                        sentence = f"{who.username} brought {shown} cleared jobs back into the history."
                        await audit.note(session, who.actor, Deed("jobs_restored", sentence, data={"count": shown}))
                    return shown
