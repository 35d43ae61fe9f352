"""How busy jobs and machine are: what the dashboard shows."""

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import psutil

from services.gateway.records.store import Store
from services.gateway.schemas.live import Stats, StatsHistory, StatsSample

_FRESH_SECONDS = 1.0
SAMPLE_SECONDS = 10.0
SPAN_SECONDS = 1800.0


def existing(path: Path) -> Path:
    """The path itself, or before it is made the nearest directory above it."""
    return next(place for place in (path, *path.parents) if place.exists())


class HostStats:
    """Counts, speeds, CPU, memory, disk. However many ask, the database is asked once a second."""

    def __init__(self, store: Store, storage: Path) -> None:
        self._store = store
        self._storage = storage
        self._read_at = float("-inf")
        self._last: Stats | None = None
        self._reading = asyncio.Lock()
        self._samples: deque[StatsSample] = deque(maxlen=round(SPAN_SECONDS / SAMPLE_SECONDS))
        psutil.cpu_percent(None)  # the first answer of all means nothing

    async def stats(self, *, current: bool = False) -> Stats:
        """Return the figures, at most a second old. `current`: read after this call began.

        Callers that wait at the same time share one reading. Raises ProblemError 503 while the database is away.
        """
        oldest = time.monotonic() - (0 if current else _FRESH_SECONDS)
        async with self._reading:
            if self._last is None or self._read_at < oldest:
                began = time.monotonic()
                self._last = await self._read()
                self._read_at = began
            return self._last

    async def sample(self) -> None:
        """Remember what is seen now. Kept in memory: processor and memory are this machine's, so each gateway has its own history."""
        seen = await self.stats()
        self._samples.append(StatsSample(datetime.now(UTC), seen.upload_speed, seen.cpu_usage, seen.memory_usage))

    def history(self) -> StatsHistory:
        """The last half hour; what is older, because nobody could look since, is left out."""
        now = datetime.now(UTC)
        recent = [sample for sample in self._samples if (now - sample.at).total_seconds() <= SPAN_SECONDS]
        return StatsHistory(SAMPLE_SECONDS, SPAN_SECONDS, recent)

    async def _read(self) -> Stats:
        row = await self._store.stats()
        disk = await asyncio.to_thread(lambda: psutil.disk_usage(str(existing(self._storage))))
        return Stats(
            active_tasks=row["active"],
            queued_tasks=row["queued"],
            paused_tasks=row["paused"],
            failed_tasks=row["failed"],
            total_downloads=row["downloads"],
            total_uploads=row["uploads"],
            total_speed=row["upload_speed"] + row["staging_speed"],
            upload_speed=row["upload_speed"],
            staging_speed=row["staging_speed"],
            cpu_usage=psutil.cpu_percent(None),
            memory_usage=psutil.virtual_memory().percent,
            disk_usage=disk.percent,
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
            uptime=int(time.time() - psutil.boot_time()),
        )
