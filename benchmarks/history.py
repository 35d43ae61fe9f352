"""The lists with a million jobs, compared with `/api/health` requested in between. Other load on the machine affects both.

One statement creates the jobs in a separate installation, as the owner and without the guard: 98 % archives and 2 % packs of
ten users, every tenth job failed, one per minute back from 2026.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

import asyncpg
import httpx

from benchmarks.figures import Beside, Figure, Options, parts
from benchmarks.stack import Stack
from devstack.postgres import Postgres
from devstack.up import DATABASE

_HEALTH = "/api/health"
_PLACE = "(ARRAY['Production', 'Research', 'Music'])[n % 3 + 1]"
_FILL = f"""
INSERT INTO jobs (kind, request, keep_source, folder_name, source_path, destination_path, created_by, created_at, status, status_since,
  started_at, completed_at, current_operation, folder_size_bytes, archive_size_bytes, file_count, progress_percent)
SELECT kind, CASE kind WHEN 'pack' THEN jsonb '{{"root": "workspace"}}' END, kind = 'pack', 'Project ' || n,
  format('/nas/%s/%s/Project %s', {_PLACE}, 2000 + n % 25, n), format('/archive/Project %s.tar.7z', n), 'person' || n % 10,
  '2026-01-01'::timestamptz - make_interval(mins => n),
  CASE WHEN n % 1000 = 1 THEN 'cancelled' WHEN n % 10 = 3 THEN 'failed' ELSE 'completed' END, now(),
  '2026-01-01'::timestamptz - make_interval(mins => n), '2026-01-01'::timestamptz - make_interval(mins => n - n % 60),
  'Archived; the source was emptied', n * 1000::bigint, n * 900::bigint, 20, 100
FROM (SELECT n, CASE WHEN n % 50 = 0 THEN 'pack' ELSE 'archive' END AS kind FROM generate_series(1, $1::int) AS n) AS numbers
"""
_RECOUNT = """
TRUNCATE job_totals;
INSERT INTO job_totals
SELECT kind, status, cleared_at IS NOT NULL, lower(created_by), created_by_id, count(*) FROM jobs GROUP BY 1, 2, 3, 4, 5
"""


async def _fill(stack: Stack, jobs: int) -> None:
    engine = Postgres(stack.data, say=lambda _: None, port=stack.port("postgres"))
    connection = await asyncpg.connect(engine.dsn(DATABASE))
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL maintenance_work_mem = '256MB'; ALTER TABLE jobs DISABLE TRIGGER USER")
            made = await connection.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'jobs_words'")
            await connection.execute("DROP INDEX jobs_words")  # much cheaper to create at the end
            await connection.execute(_FILL, jobs)
            await connection.execute(f"{made}; {_RECOUNT}")
            await connection.execute("ALTER TABLE jobs ENABLE TRIGGER USER")
            for trigger in ("jobs_count_new", "jobs_count_changed"):
                await connection.execute(f"ALTER TABLE jobs ENABLE ALWAYS TRIGGER {trigger}")
        await connection.execute("VACUUM ANALYZE jobs")
    finally:
        await connection.close()


def _lists(client: httpx.Client, jobs: int) -> dict[str, str]:
    """Return the addresses by what they show."""
    deep = min(99_900, jobs // 2)
    before = client.get(f"/api/jobs?limit=100&offset={deep - 100}").headers.get("x-next-cursor", "")
    ended = client.get(f"/api/jobs?sort=ended&limit=100&offset={deep - 100}").headers.get("x-next-cursor", "")
    return {
        "first page": "/api/jobs?limit=100",
        "page 1,000 by offset": f"/api/jobs?limit=100&offset={deep}",
        "page 1,000 by cursor": f"/api/jobs?limit=100&cursor={before}",
        "one state": "/api/jobs?limit=100&status=failed",
        "one user": "/api/jobs?limit=100&user=person3",
        "words of one job": f"/api/jobs?limit=100&q=project%20{jobs - 1}",
        "words of every third job": "/api/jobs?limit=100&q=music",
        "a month": "/api/jobs?limit=100&from=2025-12-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "by end": "/api/jobs?limit=100&sort=ended",
        "by end, page 1,000 by offset": f"/api/jobs?limit=100&sort=ended&offset={deep}",
        "by end, page 1,000 by cursor": f"/api/jobs?limit=100&sort=ended&cursor={ended}",
        "by end, one state": "/api/jobs?limit=100&sort=ended&status=cancelled",
        "by end, one user": "/api/jobs?limit=100&sort=ended&user=person3",
        "a day, by end": "/api/jobs?limit=100&sort=ended&ended_from=2025-12-01T00:00:00Z&ended_to=2025-12-02T00:00:00Z",
        "by name": "/api/jobs?limit=100&sort=name&order=asc",
        "by size": "/api/jobs?limit=100&sort=size",
        "by duration": "/api/jobs?limit=100&sort=duration",
        "a user's month with words": "/api/jobs?limit=100&user=person3&q=music&from=2025-12-01T00:00:00Z",
        "tasks of every kind": "/api/tasks?limit=100",
        "counts": "/api/stats",
        "counts by state": "/api/system/status",
    }


def run(options: Options, place: Path, _stack: Stack) -> Iterator[Figure]:
    """Yield p50 and p99 of each list, each round compared with the health check, and the totals that the lists named."""
    own = place / "history"
    own.mkdir()
    with Stack(own) as stack:
        stack.start()
        asyncio.run(_fill(stack, options.jobs))
        authorization = {"Authorization": f"Bearer {stack.token}"}
        with httpx.Client(base_url=stack.address, headers=authorization, timeout=60, trust_env=False) as client:
            lists = _lists(client, options.jobs)
            rounds = [_round(client, lists, options.asked) for _ in range(options.rounds)]
            totals = {name: float(client.get(address).headers.get("x-total-count", 0)) for name, address in lists.items()}
    for name in lists:
        for cut, which in ((49, "p50"), (98, "p99")):
            ours, health = ([quantiles(one[each], n=100)[cut] for one in rounds] for each in (name, _HEALTH))
            yield Beside(f"{options.jobs:,} jobs, {name}, {which}", ours, health, f"{_HEALTH}'s {which}")
    yield parts("how many match, exactly", "jobs", [{name: total for name, total in totals.items() if total}])


def _round(client: httpx.Client, lists: dict[str, str], times: int) -> dict[str, list[float]]:
    """Return the seconds of each answer. The health check follows each other request, so it is timed as often as all of them."""
    took: dict[str, list[float]] = {name: [] for name in (*lists, _HEALTH)}
    for _ in range(times):
        for name, address in lists.items():
            took[name].append(_seconds(client, address))
            took[_HEALTH].append(_seconds(client, _HEALTH))
    return took


def _seconds(client: httpx.Client, address: str) -> float:
    began = time.monotonic()
    client.get(address).raise_for_status()
    return time.monotonic() - began
