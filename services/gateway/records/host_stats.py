"""The load of jobs and machine, for the dashboard."""

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
    """Return the path itself or, before it exists, its nearest existing parent."""
    return next(place for place in (path, *path.parents) if place.exists())


class HostStats:
    """Counts, speeds, CPU, memory, disk. The database is queried at most once a second, however many clients ask."""

    def __init__(self, store: Store, storage: Path) -> None:
        self._store = store
        self._storage = storage
        self._read_at = float("-inf")
        self._last: Stats | None = None
        self._reading = asyncio.Lock()
        self._samples: deque[StatsSample] = deque(maxlen=round(SPAN_SECONDS / SAMPLE_SECONDS))
        psutil.cpu_percent(None)  # the first result has no meaning

    async def stats(self, *, current: bool = False) -> Stats:
        """Return the figures, at most a second old. `current`: read after this call began.

        Callers that wait at the same time share one read. Raises ProblemError 503 while the database is unavailable.
        """
        oldest = time.monotonic() - (0 if current else _FRESH_SECONDS)
        async with self._reading:
            if self._last is None or self._read_at < oldest:
                began = time.monotonic()
                self._last = await self._read()
                self._read_at = began
            return self._last

    async def sample(self) -> None:
        """Add the current figures to the history. It is in memory and per gateway, because CPU and memory are this machine's."""
        seen = await self.stats()
        self._samples.append(StatsSample(datetime.now(UTC), seen.upload_speed, seen.cpu_usage, seen.memory_usage))

    def history(self) -> StatsHistory:
        """Return the last half hour. Samples from before a longer outage are left out."""
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
