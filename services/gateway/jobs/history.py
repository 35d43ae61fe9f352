"""The job history: filters, pages, totals, and hiding completed jobs. Designed for a million rows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from services.gateway.jobs.decide import Place, Sort
from services.gateway.records import audit
from services.gateway.records.audit import AuditRecord
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from shared.domain.lifecycle import Kind, Status

_BATCH = 1000
_SAMPLE = 1000
_PIECE = 3  # characters per trigram; shorter words have no trigram
_CLEAR_BATCH = 5000  # keeps each statement far below its time limit


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """The requested jobs. None means any value.

    `owner`: only this user's workspace jobs. None: those of all users. Archive jobs are visible to everyone. `words_are_rare`:
    see History.prepare. It affects the speed of the query, never its result.
    """

    kinds: tuple[Kind, ...] = (Kind.ARCHIVE,)
    statuses: tuple[Status, ...] = ()
    user: str | None = None
    owner: UUID | None = None
    words: str | None = None
    words_are_rare: bool = False
    since: datetime | None = None
    before: datetime | None = None
    ended_since: datetime | None = None
    ended_before: datetime | None = None

    @property
    def times(self) -> tuple[datetime | None, ...]:
        """Return the bounds of the creation time and of the end time."""
        return tuple(map(_utc, (self.since, self.before, self.ended_since, self.ended_before)))

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Return $1 to $10 of the history's queries."""
        return (list(self.kinds), list(self.statuses) or None, self.user, self.owner, self.words, self.words_are_rare, *self.times)


class Order(msgspec.Struct, frozen=True):
    """The order of a list. By creation, it is always newest first. All other orders list only jobs that have ended."""

    sort: Sort = Sort.CREATED
    descending: bool = True

    def query(self, wanted: Filter) -> str:
        """Return the name of the query that walks this order's index."""
        if self.sort is not Sort.CREATED:
            return f"history_{'desc' if self.descending else 'asc'}_{self.sort}"
        return "history_by_state" if wanted.statuses else "history"


NEWEST = Order()


def _utc(moment: datetime | None) -> datetime | None:
    """Return the time in UTC. A time without a zone counts as UTC, because the server's own zone must not matter."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def place(order: Order, row: Any) -> Place:
    """Return the start of the page that follows this row."""
    return Place(order.sort, row["place"], row["id"])


class History:
    """Every method raises ProblemError 503 while the database is unavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self, wanted: Filter) -> Filter:
        """Choose how to search for words, because the planner cannot. Use the trigram index when few jobs match.

        When many jobs match, that index would read each of them completely. Then the list's own index is walked instead.
        """
        if wanted.words is None or len(wanted.words) < _PIECE:
            return wanted
        async with self._store.transaction() as session:
            common = int(await session.value("words_lately", wanted.words, _SAMPLE)) > _SAMPLE // 100
        return msgspec.structs.replace(wanted, words_are_rare=not common)

    async def page(self, wanted: Filter, after: Place | None, limit: int, offset: int, order: Order = NEWEST) -> list[Any]:
        """Return rows in this order. The column `place` is the sort key. All orders but the first need `statuses`."""
        place = (None, None) if after is None else (after.key, after.id)
        async with self._store.transaction() as session:
            return await session.rows(order.query(wanted), *wanted.arguments, *place, limit, offset)

    async def total(self, wanted: Filter) -> int:
        """Return the number of matches. Without words and dates it is known. Otherwise the remaining rows are counted."""
        async with self._store.transaction() as session:
            if wanted.words is None and not any(wanted.times):
                return int(await session.value("total_history", *wanted.arguments[:4]))
            return int(await session.value("count_history", *wanted.arguments))

    async def all(self, wanted: Filter, order: Order = NEWEST) -> AsyncIterator[list[Any]]:
        """Yield all rows in batches, so that a slow client holds neither memory nor a connection."""
        after: Place | None = None
        while rows := await self.page(wanted, after, _BATCH, 0, order):
            yield rows
            after = place(order, rows[-1])

    async def clear_completed(
        self, who: Identity, kinds: tuple[Kind, ...], user: str | None, before: datetime | None
    ) -> tuple[int, datetime]:
        """Hide completed jobs of these kinds. Return how many, and the moment that identifies them for `restore`."""
        cleared, moment = 0, None
        while True:
            async with self._store.transaction() as session:
                moment = moment or await session.value("now")
                batch = int(await session.value("clear_completed", user, _utc(before), _CLEAR_BATCH, moment, list(kinds)))
                cleared += batch
                if batch < _CLEAR_BATCH:
                    sentence = f"{who.username} cleared {cleared} completed jobs from the history."
                    await audit.note(session, who.actor, AuditRecord("jobs_cleared", sentence, data={"count": cleared}))
                    return cleared, moment

    async def restore(self, who: Identity, moment: datetime) -> int:
        """Undo the clearing of that moment, for the jobs that `who` may see. Return how many jobs reappear."""
        shown = 0
        while True:
            async with self._store.transaction() as session:
                batch = int(await session.value("restore_cleared", _utc(moment), _CLEAR_BATCH, None if who.is_admin else who.id))
                shown += batch
                if batch < _CLEAR_BATCH:
                    if shown:
                        sentence = f"{who.username} brought {shown} cleared jobs back into the history."
                        await audit.note(session, who.actor, AuditRecord("jobs_restored", sentence, data={"count": shown}))
                    return shown
