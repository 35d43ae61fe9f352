"""Report a deletion: the log line of every attempt, its progress, and its beginning."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from shared import faults
from shared.errors import Fenced
from shared.files.manifest_deletion import Callbacks
from shared.service.work import Work

T = TypeVar("T")

_LOG_BATCH = 500


class Reporter:
    """Passes the reports of a deletion (shared/files/manifest_deletion.py) from its thread to the database.

    Each call waits until it is done.
    """

    def __init__(self, work: Work, operation: str) -> None:
        self._operation = operation
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._lines: list[tuple[str, str, str, dict[str, Any]]] = []

    def callbacks(self) -> Callbacks:
        return Callbacks(
            before_first_unlink=self._begin,
            log=self._log,
            progress=self._progress,
            stop=self._work.stop,
            our_clock=self._clock,
            fault_point=faults.point,
        )

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _begin(self) -> None:
        work = self._work
        if self._wait(work.value("begin_deletion", work.id, work.attempt)) is None:
            raise Fenced("Another worker has this job now.")

    def _log(self, action: str, path: str, size: int, result: str) -> None:
        level = "INFO" if result == "deleted" else "WARNING"
        self._lines.append((level, action, f"{path}: {result}", {"path": path, "size": size, "result": result}))
        if len(self._lines) >= _LOG_BATCH:
            self._wait(self.flush())

    async def flush(self) -> None:
        """Write the pending lines."""
        lines, self._lines = self._lines, []
        if lines:
            columns = [list(column) for column in zip(*lines, strict=True)]
            await self._work.run("log_many", self._work.id, *columns)

    def _clock(self) -> int:
        work = self._work
        return int(self._wait(work.value("clock")))

    def _progress(self, done: float, total: int, reading: str | None) -> None:
        operation = self._operation if reading is None else f"{self._operation}: reading {reading} again"
        self._work.progress(operation, fraction=done / total if total else None)
