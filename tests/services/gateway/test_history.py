"""The history at 60,000 jobs: filters, pages, totals, files, clearing. Every query uses an index."""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.jobs import exports
from services.gateway.jobs.decide import Sort
from services.gateway.jobs.history import NEWEST, Filter, History, Order
from services.gateway.records.store import Store
from shared.domain.lifecycle import Kind, Status
from tests.services.gateway.conftest import Gateway, problem, running
from tests.services.gateway.test_users import user
from tests.support.engines import NatsEngine, PostgresEngine
from tests.support.kernel import eventually

JOBS = 60_000
# Newest first is n = 1. Every tenth failed, every thousandth was cancelled (before it started), the rest completed. There are
# ten users, and every fiftieth job is a pack. They end in another order, and no two durations are equal.
_SEED = f"""
INSERT INTO jobs (kind, request, folder_name, source_path, destination_path, created_by, created_at, status, status_since, completed_at,
  started_at, current_operation, folder_size_bytes, archive_size_bytes, file_count, bytes_done, bytes_total, globus_task_id)
SELECT CASE WHEN n % 50 = 0 THEN 'pack' ELSE 'archive' END, CASE WHEN n % 50 = 0 THEN jsonb '{{"root": "workspace"}}' END, 'Project ' || n,
  format('/nas/%s/%s/Project %s', (ARRAY['Production', 'Research', 'Music'])[n % 3 + 1], 2000 + n % 25, n), format('/x/%s.tar.7z', n),
  'person' || n % 10, '2026-01-01'::timestamptz - make_interval(mins => n),
  CASE WHEN n % 1000 = 1 THEN 'cancelled' WHEN n % 10 = 3 THEN 'failed' ELSE 'completed' END, now(),
  '2026-02-01'::timestamptz + make_interval(secs => n::bigint * 7919 % {JOBS}),
  CASE WHEN n % 1000 <> 1 THEN '2026-02-01'::timestamptz + make_interval(secs => n::bigint * 7919 % {JOBS} - n::bigint * 31 % {JOBS}) END,
  'Archived and proven; the source was emptied', n * 1000, n * 900, 20, n * 1000, n * 1000, gen_random_uuid()
FROM generate_series(1, {JOBS}) AS n
"""


@pytest.fixture(scope="module")
async def seeded(pg: PostgresEngine, nats: NatsEngine, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with running(pg, nats, tmp_path_factory.mktemp("storage"), events=False) as made:
        made.token = await made.login()
        owner = made.kernel.owner
        async with owner.transaction():
            await owner.execute("SET LOCAL session_replication_role = replica")
            await owner.execute(_SEED)
        await owner.execute("VACUUM ANALYZE jobs")
        yield made


async def _names(gateway: Gateway, query: str) -> list[str]:
    answer = await gateway.ask("GET", f"/api/jobs?{query}")
    assert answer.status_code == 200, answer.text
    return [job["folder_name"] for job in answer.json()]


async def test_filters(seeded: Gateway) -> None:
    """Status, user, kind, text and dates, each alone and together. An unknown value is refused by name."""
    assert await _names(seeded, "limit=3") == ["Project 1", "Project 2", "Project 3"]
    assert await _names(seeded, "limit=3&status=failed") == ["Project 3", "Project 13", "Project 23"]
    assert await _names(seeded, "limit=3&status=failed,cancelled") == ["Project 1", "Project 3", "Project 13"]
    assert await _names(seeded, "limit=2&user=PERSON7") == ["Project 7", "Project 17"]
    assert await _names(seeded, "limit=2&kind=pack") == ["Project 50", "Project 100"]
    assert await _names(seeded, "limit=2&kind=pack,archive&offset=49") == ["Project 50", "Project 51"]
    assert await _names(seeded, "q=pROject%2059999") == ["Project 59999"]
    assert await _names(seeded, "q=Music/2001/Project%2060001") == []
    assert await _names(seeded, "q=music&limit=1") == ["Project 2"]
    dates = "from=2025-12-31T23:50:00Z&to=2025-12-31T23:55:00Z"
    assert await _names(seeded, dates) == [f"Project {n}" for n in range(6, 11)]
    assert await _names(seeded, f"{dates}&user=person7&status=completed&q=project&kind=archive") == ["Project 7"]
    assert "Known: archive" in problem(await seeded.ask("GET", "/api/jobs?kind=zip"), 400, "bad-request")
    for wrong in ("from=yesterday", "limit=0", "cursor=x", "status=lost"):
        assert (await seeded.ask("GET", f"/api/jobs?{wrong}")).status_code == 400, wrong


ENDED = datetime(2026, 2, 1, tzinfo=UTC)


def _end(n: int) -> int:
    """Return the time some seconds after ENDED."""
    return n * 7919 % JOBS


def _took(n: int) -> int:
    return -1 if n % 1000 == 1 else n * 31 % JOBS


_KEYS: dict[str, Callable[[int], Any]] = {"ended": _end, "name": lambda n: f"project {n}", "size": lambda n: n, "duration": _took}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", _KEYS)
async def test_orders(seeded: Gateway, sort: str, order: str) -> None:
    """By end, name, size and duration, both ways; with a state, a user, and pages by cursor and by offset."""
    archives = [n for n in range(1, JOBS + 1) if n % 50]
    key = _KEYS[sort]
    numbers = sorted(archives, key=key, reverse=order == "desc")
    query = f"sort={sort}&order={order}"

    if sort != "duration":  # cancelled jobs have none and are sorted by id
        assert await _names(seeded, f"{query}&limit=20") == [f"Project {n}" for n in numbers[:20]]
        assert await _names(seeded, f"{query}&limit=20&offset=30000") == [f"Project {n}" for n in numbers[30_000:30_020]]
    failed = [n for n in numbers if n % 10 == 3]
    assert await _names(seeded, f"{query}&limit=20&status=failed") == [f"Project {n}" for n in failed[:20]]
    mine = [n for n in numbers if n % 10 == 7]
    assert await _names(seeded, f"{query}&limit=20&user=person7") == [f"Project {n}" for n in mine[:20]]
    seen: list[str] = []
    cursor = ""
    while len(seen) < 60:
        answer = await seeded.ask("GET", f"/api/jobs?{query}&limit=20&status=failed,completed{cursor}")
        seen += [job["folder_name"] for job in answer.json()]
        cursor = f"&cursor={answer.headers['x-next-cursor']}"
    assert seen == [f"Project {n}" for n in [n for n in numbers if n % 1000 != 1][:60]]


async def test_a_page_of_jobs_without_a_duration_goes_on(seeded: Gateway) -> None:
    """Sixty jobs were cancelled before they started. A cursor among them skips none and repeats none."""
    seen: list[str] = []
    cursor = ""
    while True:
        answer = await seeded.ask("GET", f"/api/jobs?sort=duration&status=cancelled&limit=7{cursor}")
        seen += [job["folder_name"] for job in answer.json()]
        if "x-next-cursor" not in answer.headers:
            break
        cursor = f"&cursor={answer.headers['x-next-cursor']}"
    assert sorted(seen) == sorted(f"Project {n}" for n in range(1, JOBS, 1000))


async def test_a_retried_job_stands_where_it_ended(seeded: Gateway) -> None:
    """By end it is first, although it was requested long ago. While it runs again, a list by end does not contain it."""
    job_id = await seeded.kernel.owner.fetchval("SELECT id FROM jobs WHERE folder_name = 'Project 40013'")
    old = await seeded.kernel.owner.fetchrow("SELECT status, completed_at FROM jobs WHERE id = $1", job_id)
    await seeded.kernel.force(job_id, status="queued", completed_at=None)
    assert "Project 40013" not in await _names(seeded, "sort=ended&q=Project%2040013")
    await seeded.kernel.force(job_id, status="failed", completed_at=ENDED + timedelta(days=30))
    assert (await _names(seeded, "sort=ended&limit=1")) == ["Project 40013"]
    assert (await _names(seeded, "limit=1")) == ["Project 1"]
    await seeded.kernel.force(job_id, status=old["status"], completed_at=old["completed_at"])


async def test_ended_between(seeded: Gateway) -> None:
    """By the time of the end, in any order, with the exact total. A meaningless range is refused with a hint."""
    dates = "ended_from=2026-02-01T00:10:00Z&ended_to=2026-02-01T00:20:00Z"
    within = [n for n in range(1, JOBS + 1) if n % 50 and 600 <= _end(n) < 1200]
    for query, numbers in {
        dates: sorted(within),
        f"{dates}&sort=ended": sorted(within, key=_end, reverse=True),
        f"{dates}&sort=size&order=asc": within,
        f"{dates}&sort=ended&status=failed,cancelled": sorted(
            (n for n in within if n % 10 == 3 or n % 1000 == 1), key=_end, reverse=True
        ),
    }.items():
        answer = await seeded.ask("GET", f"/api/jobs?limit=20&{query}")
        assert [job["folder_name"] for job in answer.json()] == [f"Project {n}" for n in numbers[:20]], query
        assert answer.headers["x-total-count"] == str(len(numbers)), query
    for wrong, says in {
        "ended_from=yesterday": "`ended_from` must be a time",
        "sort=size&status=queued": "`status` cannot be queued",
        "order=asc": "always newest first",
        "sort=ended&cursor=Y3JlYXRlZC4x": "cursor",
    }.items():
        assert says in problem(await seeded.ask("GET", f"/api/jobs?{wrong}"), 400, "bad-request"), wrong


async def test_totals(seeded: Gateway) -> None:
    """Exact for any number of matches and any filter."""
    archives = range(1, JOBS + 1)
    for query, truth in {
        "status=cancelled": JOBS // 1000,
        "": JOBS * 49 // 50,
        "kind=archive,pack": JOBS,
        "user=PERSON7&status=completed": sum(n % 10 == 7 for n in archives),
        "q=music": sum(n % 3 == 2 and n % 50 > 0 for n in archives),
        "q=project%2059999&kind=archive,pack": 1,
        "q=x": 0,
        "from=2025-12-31T23:50:00Z": 10,
    }.items():
        answer = await seeded.ask("GET", f"/api/jobs?limit=1&{query}")
        assert answer.headers["x-total-count"] == str(truth), query
    for query, truth in {
        "status=cancelled&limit=100": JOBS // 1000,
        f"status=cancelled&limit=100&offset={JOBS // 1000 - 1}": JOBS // 1000,
        "status=cancelled&limit=100&offset=5000": JOBS // 1000,
        "q=music&limit=10&offset=50000": sum(n % 3 == 2 and n % 50 > 0 for n in archives),
    }.items():
        assert (await seeded.ask("GET", f"/api/jobs?{query}")).headers["x-total-count"] == str(truth), query


async def test_totals_follow_every_change(seeded: Gateway) -> None:
    """A new job, a change of state, a clearing, summed up or not. The counts of tasks and dashboard use the same sums."""
    job_id = await seeded.kernel.job()  # not by request: that might ask the scanner of another gateway

    async def totals() -> list[int]:
        queries = (
            "jobs?limit=1",
            "jobs?limit=1&status=queued",
            "jobs?limit=1&status=failed",
            "tasks?limit=1",
            "tasks?limit=1&active=true",
        )
        return [int((await seeded.ask("GET", f"/api/{query}")).headers["x-total-count"]) for query in queries]

    archives, failed = JOBS * 49 // 50, JOBS // 10
    assert await totals() == [archives + 1, 1, failed, JOBS + 1, 1]
    await seeded.kernel.force(job_id, status="failed")
    assert await totals() == [archives + 1, 0, failed + 1, JOBS + 1, 0]

    async def failed_tasks() -> int:
        return int((await seeded.ask("GET", "/api/stats")).json()["failed_tasks"])

    await eventually(failed_tasks, lambda seen: seen == failed + 1, "the dashboard's figures, which may be a second old")
    database = await seeded.kernel.db("gateway")
    await database.run("fold_totals")
    assert await totals() == [archives + 1, 0, failed + 1, JOBS + 1, 0]
    await seeded.kernel.force(job_id, cleared_at=datetime.now(UTC))
    assert await totals() == [archives, 0, failed, JOBS, 0]
    query = "SELECT count(*), count(DISTINCT (kind, status, cleared, creator, owner)) FROM job_totals WHERE n <> 0"
    rows, sorts = await seeded.kernel.owner.fetchrow(query)
    assert sorts <= rows < 2 * sorts, "what belongs together was put together"


async def test_pages(seeded: Gateway) -> None:
    """The cursor continues exactly where the page ended, also with filters. Page 500 also works by offset."""
    seen: list[str] = []
    cursor = ""
    while True:
        answer = await seeded.ask("GET", f"/api/jobs?status=cancelled&limit=70{cursor}")
        seen += [job["folder_name"] for job in answer.json()]
        if "x-next-cursor" not in answer.headers:
            break
        cursor = f"&cursor={answer.headers['x-next-cursor']}"
    assert seen == [f"Project {n}" for n in range(1, JOBS, 1000)]
    deep = await _names(seeded, "kind=archive,pack&limit=100&offset=49900")
    assert deep == [f"Project {n}" for n in range(49_901, 50_001)]


def _scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    own = [plan] if "Scan" in plan["Node Type"] else []
    return own + [scan for child in plan.get("Plans", []) for scan in _scans(child)]


_ALL = Filter()
_ENDED = (Status.CANCELLED, Status.COMPLETED, Status.FAILED)
_BY_END = Order(Sort.ENDED)
_LATER = datetime(2026, 2, 1, 8, tzinfo=UTC)
_SOME_ID = "00000000-0000-4000-8000-000000000000"
_WANTED = [
    (_ALL, None, 100, 0, "jobs_history_by_kind"),
    (_ALL, None, 100, 9_900, "jobs_history_by_kind"),
    (_ALL, (datetime(2025, 10, 1, tzinfo=UTC), "00000000-0000-4000-8000-000000000000"), 100, 0, "jobs_history_by_kind"),
    (Filter(kinds=(Kind.ARCHIVE, Kind.PACK)), None, 100, 0, "jobs_history_by_kind"),
    (Filter(statuses=(Status.CANCELLED, Status.FAILED)), None, 100, 0, "jobs_history_by_state"),
    (Filter(user="person3"), None, 100, 0, "jobs_history_by_user"),
    (Filter(user="person3"), None, 100, 5_000, "jobs_history_by_user"),
    (Filter(words="project 59999", words_are_rare=True), None, 100, 0, "jobs_words"),
    (Filter(words="music"), None, 100, 900, "jobs_history_by_kind"),
    (Filter(kinds=tuple(Kind), owner=UUID(int=1)), None, 100, 900, "jobs_history_by_kind"),
    (
        Filter(since=datetime(2025, 12, 1, tzinfo=UTC), before=datetime(2025, 12, 2, tzinfo=UTC)),
        None,
        100,
        0,
        "jobs_history_by_kind",
    ),
]


@pytest.mark.parametrize(("wanted", "after", "limit", "offset", "index"), _WANTED)
async def test_plans(seeded: Gateway, wanted: Filter, after: tuple[Any, Any] | None, limit: int, offset: int, index: str) -> None:
    """No page scans the table: each uses its index. So do counts of dates and of rare words."""
    await _check_plan(seeded, wanted, NEWEST, after, limit, offset, index)


_ENDED_WANTED = [
    (Filter(statuses=_ENDED), _BY_END, None, 0, "jobs_ended"),
    (Filter(statuses=_ENDED), _BY_END, None, 9_900, "jobs_ended"),
    (Filter(statuses=_ENDED), Order(Sort.ENDED, descending=False), (_LATER, _SOME_ID), 0, "jobs_ended"),
    (Filter(statuses=(Status.FAILED,)), _BY_END, (_LATER, _SOME_ID), 900, "jobs_ended"),
    (Filter(statuses=_ENDED, user="person3"), _BY_END, None, 900, "jobs_ended_by_user"),
    (Filter(statuses=_ENDED, words="music"), _BY_END, None, 900, "jobs_ended"),
    (Filter(statuses=_ENDED, ended_since=_LATER, ended_before=_LATER + timedelta(hours=1)), _BY_END, None, 0, "jobs_ended"),
]


@pytest.mark.parametrize(("wanted", "order", "after", "offset", "index"), _ENDED_WANTED)
async def test_plans_by_end(
    seeded: Gateway, wanted: Filter, order: Order, after: tuple[Any, Any] | None, offset: int, index: str
) -> None:
    """The history by end is as cheap as by creation: skipped rows are not read."""
    await _check_plan(seeded, wanted, order, after, 100, offset, index)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(("sort", "key"), [(Sort.NAME, "project 3"), (Sort.SIZE, 5_000), (Sort.DURATION, timedelta(seconds=5))])
async def test_plans_of_other_orders(seeded: Gateway, sort: Sort, key: Any, descending: bool) -> None:
    """Each order has its index, both ways, and after a cursor."""
    for statuses in (_ENDED, (Status.FAILED,)):
        for after in (None, (key, _SOME_ID)):
            scans = await _plan(seeded, Filter(statuses=statuses), Order(sort, descending), after, 100, 900)
            assert {scan["Index Name"] for scan in scans if scan["Node Type"] in _INDEXED} == {f"jobs_by_{sort}", "jobs_pkey"}
            assert {scan["Node Type"] for scan in scans} <= {*_INDEXED, "Function Scan", "Subquery Scan"}


_INDEXED = {"Index Scan", "Index Only Scan"}


async def _plan(
    seeded: Gateway, wanted: Filter, order: Order, after: tuple[Any, Any] | None, limit: int, offset: int
) -> list[dict[str, Any]]:
    database = await seeded.kernel.db("gateway")
    async with database.session() as session:
        statement = f"EXPLAIN (FORMAT JSON) {database.queries[order.query(wanted)]}"
        rows = await session.connection.fetch(statement, *wanted.arguments, *(after or (None, None)), limit, offset)
    return _scans(rows[0][0][0]["Plan"])


async def _check_plan(
    seeded: Gateway, wanted: Filter, order: Order, after: tuple[Any, Any] | None, limit: int, offset: int, index: str
) -> None:
    database = await seeded.kernel.db("gateway")
    scans = await _plan(seeded, wanted, order, after, limit, offset)
    async with database.session() as session:
        counted = await session.connection.fetch(f"EXPLAIN (FORMAT JSON) {database.queries['count_history']}", *wanted.arguments)
    used = {(scan["Node Type"], scan.get("Index Name")) for scan in scans}
    assert "Seq Scan" not in {kind for kind, _ in used}, used
    assert index in {name for _, name in used}, used
    counting = {scan["Node Type"] for scan in _scans(counted[0][0][0]["Plan"])}
    if wanted.words_are_rare:
        assert counting == {"Bitmap Heap Scan", "Bitmap Index Scan"}
    else:
        assert ("Index Only Scan", index) in used, "skipped rows are not read"
    if wanted.since or wanted.ended_since:
        assert counting == {"Index Only Scan"}


async def test_how_words_are_looked_for(seeded: Gateway) -> None:
    """The trigram index is used for rare words, and never for a text shorter than a trigram."""
    history = History(Store(await seeded.kernel.db("gateway")))
    for words, rare in (("project 59999", True), ("2001/project 77", True), ("music", False), ("pr", False), (None, False)):
        assert (await history.prepare(Filter(words=words))).words_are_rare == rare, words


async def test_files(seeded: Gateway) -> None:
    """CSV and NDJSON hold every match, in the same order, under the API's names."""
    query = "/api/jobs?status=cancelled&kind=archive&sort=ended"
    rows = list(csv.DictReader(io.StringIO((await seeded.ask("GET", f"{query}&format=csv")).text)))
    lines = [json.loads(line) for line in (await seeded.ask("GET", f"{query}&format=ndjson")).text.splitlines()]
    assert [row["folder_name"] for row in rows] == [line["folder_name"] for line in lines]
    assert [row["folder_name"] for row in rows] == [f"Project {n}" for n in sorted(range(1, JOBS, 1000), key=_end, reverse=True)]
    answer = await seeded.ask("GET", f"{query}&format=csv&user=nobody")
    assert answer.headers["content-disposition"] == 'attachment; filename="jobs.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert {"job_id", "folder_name", "status"} <= set(next(csv.reader(io.StringIO(answer.text))))


def test_no_cell_is_a_formula() -> None:
    """User text that a spreadsheet would run gets an apostrophe. Numbers, and commas within text, stay unchanged."""

    class Row(msgspec.Struct):
        name: str
        size: int
        data: dict[str, int]

    line = exports.struct_lines([Row('=HYPERLINK("x"),"', -5, {"a": 1})])
    assert next(csv.reader(io.StringIO(line.decode()))) == ['\'=HYPERLINK("x"),"', "-5", '{"a":1}']


async def test_workspace_jobs_are_their_owners(seeded: Gateway) -> None:
    """Other users see neither another's packs nor their number. Archive jobs are the team's."""
    made, token = await user(seeded)
    answer = await seeded.ask("GET", "/api/jobs?kind=pack&limit=2", token=token)
    assert (answer.json(), answer.headers["x-total-count"]) == ([], "0")
    assert len((await seeded.ask("GET", "/api/jobs?limit=2", token=token)).json()) == 2
    async with seeded.kernel.owner.transaction():
        await seeded.kernel.owner.execute("SET LOCAL session_replication_role = replica")
        await seeded.kernel.owner.execute("UPDATE jobs SET created_by_id = $1 WHERE folder_name = 'Project 150'", made)
    answer = await seeded.ask("GET", "/api/jobs?kind=pack", token=token)
    assert [job["folder_name"] for job in answer.json()] == ["Project 150"]


async def test_clearing_comes_last(seeded: Gateway) -> None:
    """Completed jobs of a time or a user are hidden in batches, with one line in the audit log. Nothing is erased."""
    first = await seeded.ask("DELETE", "/api/jobs/completed?user=person7&to=2025-12-31T00:00:00Z")
    assert 0 < first.json()["deleted_count"] < JOBS // 10
    again = await seeded.ask("DELETE", "/api/jobs/completed?user=person7&to=2025-12-31T00:00:00Z")
    assert again.json()["deleted_count"] == 0
    assert await _names(seeded, "user=person7&limit=1000&status=completed") == [
        f"Project {n}" for n in range(7, 1441, 10) if n % 50 and n % 1000 != 1
    ]
    assert await seeded.kernel.owner.fetchval("SELECT count(*) FROM jobs") == JOBS + 1
    counts = await seeded.kernel.owner.fetch("SELECT data FROM audit WHERE action = 'jobs_cleared' ORDER BY id")
    assert json.loads(counts[0]["data"]) == {"count": first.json()["deleted_count"]}


async def test_users_clear_only_what_they_asked_for(seeded: Gateway) -> None:
    """Leaving out the name does not help. They can undo it."""
    _, token = await user(seeded, "person9")
    completed = "user=person8&limit=1000&status=completed"
    before = await _names(seeded, completed)
    assert before
    answer = await seeded.ask("DELETE", "/api/jobs/completed?user=person8", token=token)
    assert "Only admins" in problem(answer, 403, "forbidden")
    for query in ("?to=2025-12-20T00:00:00Z", "?user=PERSON9&to=2025-12-25T00:00:00Z"):
        own = (await seeded.ask("DELETE", f"/api/jobs/completed{query}", token=token)).json()
        assert own["deleted_count"] > 0
        assert await _names(seeded, completed) == before
    back = await seeded.ask("POST", "/api/jobs/completed/restore", token=token, json={"cleared_at": own["cleared_at"]})
    assert back.json() == {"restored_count": own["deleted_count"]}


async def test_jobs_of_every_kind_are_cleared_when_asked_for(seeded: Gateway) -> None:
    """Without a kind, only archive jobs are cleared, as `GET /api/jobs` lists them."""
    packs, archives = (f"user=person0&limit=1&status=completed&kind={kind}" for kind in ("pack", "archive"))
    assert await _names(seeded, packs) == ["Project 50"]
    assert "Known: archive" in problem(await seeded.ask("DELETE", "/api/jobs/completed?kind=film"), 400, "bad-request")

    first = (await seeded.ask("DELETE", "/api/jobs/completed?user=person0")).json()
    assert (await _names(seeded, archives), await _names(seeded, packs)) == ([], ["Project 50"])
    second = (await seeded.ask("DELETE", "/api/jobs/completed?user=person0&kind=archive,pack")).json()
    assert (second["deleted_count"], await _names(seeded, packs)) == (JOBS // 50, [])
    for cleared in (first, second):
        answer = await seeded.ask("POST", "/api/jobs/completed/restore", json={"cleared_at": cleared["cleared_at"]})
        assert answer.json() == {"restored_count": cleared["deleted_count"]}
    assert await _names(seeded, packs) == ["Project 50"]


async def test_a_clearing_can_be_taken_back(seeded: Gateway) -> None:
    """It is identified by its time and undone completely. A second undo changes nothing."""
    query = "user=person3&limit=1000&status=completed"
    before = await _names(seeded, query)
    first = (await seeded.ask("DELETE", "/api/jobs/completed?user=person3&to=2025-12-31T00:00:00Z")).json()
    second = (await seeded.ask("DELETE", "/api/jobs/completed?user=person3")).json()
    assert await _names(seeded, query) == []

    for restored in (second["deleted_count"], 0):
        answer = await seeded.ask("POST", "/api/jobs/completed/restore", json={"cleared_at": second["cleared_at"]})
        assert answer.json() == {"restored_count": restored}
    assert len(await _names(seeded, query)) == len(before) - first["deleted_count"]
    await seeded.ask("POST", "/api/jobs/completed/restore", json={"cleared_at": first["cleared_at"]})
    assert await _names(seeded, query) == before
