"""Workspace usage: a running total in Postgres, corrected by walks that hold neither a connection nor a lock.

Code that adds to a workspace or removes from it records the change in the transaction that ends its reservation. People also
write directly (over SMB, for example), so only walks stay correct over time. A small workspace is walked before each answer. A
large one is walked in the background, and answers come immediately from the running total. Additions recorded during a walk are
added to its result (`usage_walked`). A total may be too large until the next walk, never too small.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from shared import log
from shared.errors import DatabaseAway
from shared.files import handles, paths, trees
from shared.files.trees import Measured
from shared.isolation import Isolation

logger = log.get(__name__)

SMALL_ENTRIES = 10_000
"""A workspace with at most this many entries is walked before each answer, which takes about 20 ms on a local disk."""
_LOOK_SECONDS = 10.0
_FAILURES: tuple[type[Exception], ...] = (OSError, asyncpg.UndefinedTableError, DatabaseAway)
NOTHING = Measured(0, 0, 0)

InThread = Callable[..., Awaitable[Any]]


class Queries(Protocol):
    """A database or a session."""

    async def row(self, name: str, /, *args: Any, **named: Any) -> Any | None: ...


class Known:
    """The recorded usage of a workspace. `is_measured`: False until the first walk has ended."""

    def __init__(self, row: Any | None) -> None:
        self.amount = NOTHING if row is None else Measured(row["bytes"], row["files"], row["entries"])
        self.is_measured: bool = row is not None and row["is_measured"]

    @property
    def is_large(self) -> bool:
        return self.is_measured and self.amount.entries > SMALL_ENTRIES


async def known(queries: Queries, owner: UUID) -> Known:
    """Return the running total."""
    return Known(await queries.row("usage_of", owner))


class Usages:
    """The totals of all workspaces below `root`. `in_thread`: runs the walks. Every method raises the database's errors."""

    def __init__(self, db: Any, root: Path, in_thread: InThread = asyncio.to_thread) -> None:
        self._db = db
        self._root = root
        self._in_thread = in_thread
        self._wanted = asyncio.Event()
        self._left_out = Isolation("workspace that is to be measured")

    async def refresh(self, owner: UUID, in_thread: InThread | None = None) -> None:
        """Update the total of a small workspace; a large one is left to the background. Raises OSError.

        Hold no connection during this call, because it reads directories.
        """
        if (await known(self._db, owner)).is_large:
            return
        if not await self._walk(owner, SMALL_ENTRIES, in_thread or self._in_thread):
            self._wanted.set()

    async def _walk(self, owner: UUID, most: int | None, in_thread: InThread) -> bool:
        """Replace a total by a walk's result. Return False when there are more than `most` entries."""
        before, began = await self._db.row("usage_before", owner), time.monotonic()
        found = await in_thread(_measured, paths.workspace(self._root, owner), most)
        if found is None:
            return False
        await self._db.run("usage_walked", owner=owner, **found._asdict(), seconds=time.monotonic() - began, **before)
        return True

    async def keep(self) -> None:
        """Walk every workspace periodically, one after another, until cancelled."""
        while True:
            self._wanted.clear()
            try:
                await self._walk_due()
            except _FAILURES as exc:
                logger.info("not_walked", message=f"Workspaces are measured later: {exc!r}")
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def _walk_due(self) -> None:
        owners = await self._in_thread(paths.owners, self._root)
        for row in self._left_out.due(await self._db.rows("usage_due", owners), lambda row: row["id"]):
            with self._left_out.isolated(row["id"]):
                await self._walk(row["id"], None, self._in_thread)


def _measured(workspace: Path, most: int | None) -> Measured | None:
    try:
        with handles.root(workspace) as top:
            return trees.measure_up_to(top, most)
    except FileNotFoundError:  # not created yet, or removed
        return NOTHING
