"""Loops over many rows or folders: a failing row does not stop the others, is logged once, and is tried again later.

```
for row in self._rows.due(rows, lambda row: row["id"]):
    with self._rows.isolated(row["id"]):
        ...
```
"""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from shared import log
from shared.errors import ArchiverError, DatabaseAway, Fenced

logger = log.get(__name__)
T = TypeVar("T")

_FIRST_SECONDS = 60.0
_LONGEST_SECONDS = 3600.0


class _Failure(msgspec.Struct):
    """said: the error as logged. delay_s: seconds before the next attempt. due_at: the clock time of the next attempt."""

    said: str
    delay_s: float
    due_at: float


class Isolation:
    """Isolates the rows of one loop from each other.

    `what` names a row in the log ("old pack"). The delay before the next attempt doubles from 60 s to an hour. `clock` returns
    seconds.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._failures: dict[Hashable, _Failure] = {}

    def due(self, rows: Iterable[T], key: Callable[[T], Hashable]) -> Iterator[T]:
        """Yield the rows without a recent failure. `key` identifies rows."""
        for row in rows:
            failure = self._failures.get(key(row))
            if failure is None or failure.due_at <= self._clock():
                yield row

    @contextmanager
    def isolated(self, key: Hashable) -> Iterator[None]:
        """Run the block for one row, and log and suppress its error.

        Raises errors that concern every row: `Fenced` (the service stops), and errors that mean that the database is unavailable.
        """
        try:
            yield
        except Exception as exc:
            if isinstance(exc, Fenced | DatabaseAway):
                raise
            self._failed(key, exc)
        else:
            self._failures.pop(key, None)

    def _failed(self, key: Hashable, error: Exception) -> None:
        now, said, before = self._clock(), repr(error), self._failures.get(key)
        delay_s = _FIRST_SECONDS if before is None else min(before.delay_s * 2, _LONGEST_SECONDS)
        # Forget rows that no longer exist.
        self._failures = {old: f for old, f in self._failures.items() if now < f.due_at + _LONGEST_SECONDS}
        self._failures[key] = _Failure(said, delay_s, now + delay_s)
        if before is None or before.said != said:
            message = f"One {self._what} was left out: {error}. The others are served; this one is tried again later."
            expected = isinstance(error, ArchiverError | OSError)
            logger.warning("row_left_out", row=str(key), error=said, message=message, exc_info=None if expected else error)
