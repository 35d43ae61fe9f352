"""The job history and the audit log: filtered lists, pages and exported files."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from litestar.response import Stream

from services.gateway.auth.rights import admins_only, whose_jobs_to_clear
from services.gateway.http.http_errors import bad_request
from services.gateway.http.problems import refusals
from services.gateway.jobs import decide, exports, views
from services.gateway.jobs.decide import Sort
from services.gateway.jobs.history import Filter, History, Order, place
from services.gateway.records.audit import AuditFilter, AuditLog
from services.gateway.records.identity import Identity
from services.gateway.schemas.admin import AuditEntry
from services.gateway.schemas.jobs import DeletedCount, JobSummary, RestoredCount, RestoreRequest
from shared.domain.lifecycle import TERMINAL, Kind, Status

HistoryRequest = Request[Identity, Any, Any]

# As text, because the framework also accepts numbers as times.
_TIME = {"format": "date-time"}
Since = Annotated[str | None, QueryParameter(name="from", description="Not older than this.", schema_extra=_TIME)]
Before = Annotated[str | None, QueryParameter(name="to", description="Older than this.", schema_extra=_TIME)]
EndedSince = Annotated[
    str | None, QueryParameter(name="ended_from", description="Only jobs that ended then or later.", schema_extra=_TIME)
]
EndedBefore = Annotated[str | None, QueryParameter(name="ended_to", description="Only jobs that ended before.", schema_extra=_TIME)]
Limit = Annotated[int, QueryParameter(ge=1, le=1000)]
Offset = Annotated[int, QueryParameter(ge=0, le=2**31)]
Cursor = Annotated[
    str | None, QueryParameter(description="`X-Next-Cursor` of the page before; cheaper than an offset.", max_length=1200)
]


def _moment(name: str, text: str | None) -> datetime | None:
    try:
        return msgspec.convert(text, datetime | None)
    except msgspec.ValidationError as exc:
        raise bad_request(f"`{name}` must be a time such as 2026-01-15T14:32:01Z.") from exc


def _kinds(values: list[str] | None) -> tuple[Kind, ...]:
    words = [word.strip() for value in values or [] for word in value.split(",") if word.strip()]
    if unknown := [word for word in words if word not in set(Kind)]:
        raise bad_request(f"Unknown kind {', '.join(map(repr, unknown))}. Known: {', '.join(sorted(Kind))}.")
    return tuple(dict.fromkeys(Kind(word) for word in words)) or (Kind.ARCHIVE,)


def _statuses(asked: list[Status], sort: Sort) -> tuple[Status, ...]:
    if sort is Sort.CREATED:
        return tuple(dict.fromkeys(asked))
    if live := [status for status in asked if status not in TERMINAL]:
        ended = ", ".join(sorted(TERMINAL))
        sentence = f"`sort={sort}` lists jobs that have ended, so `status` cannot be {', '.join(live)}."
        raise bad_request(f"{sentence} Use {ended}, or `sort=created`.")
    return tuple(dict.fromkeys(asked)) or tuple(sorted(TERMINAL))


def _order(sort: Sort, order: Literal["asc", "desc"]) -> Order:
    if sort is Sort.CREATED and order == "asc":
        raise bad_request("`sort=created` is always newest first. Leave out `order`, or use `sort=ended`.")
    return Order(sort, order == "desc")


@get("/", operation_id="listJobs", responses=refusals())
async def list_jobs(
    request: HistoryRequest,
    history: NamedDependency[History],
    status: Annotated[list[str] | None, QueryParameter(description="Only these; repeat it, or separate by commas.")] = None,
    kind: Annotated[
        list[str] | None, QueryParameter(description="archive (the default), pack, compress, extract; repeat it, or use commas.")
    ] = None,
    user: Annotated[str | None, QueryParameter(description="Only jobs that this user asked for.", max_length=200)] = None,
    q: Annotated[
        str | None, QueryParameter(description="Part of level 1, level 2 or name, in any letter case.", max_length=500)
    ] = None,
    since: Since = None,
    before: Before = None,
    ended_since: EndedSince = None,
    ended_before: EndedBefore = None,
    sort: Annotated[
        Sort, QueryParameter(description="created: all jobs, newest first. The others list only jobs that have ended.")
    ] = Sort.CREATED,
    order: Annotated[
        Literal["asc", "desc"], QueryParameter(description="desc: newest, longest or largest first. By creation only desc.")
    ] = "desc",
    limit: Limit = 100,
    offset: Offset = 0,
    cursor: Cursor = None,
    format_: Annotated[
        Literal["json", "csv", "ndjson"],
        QueryParameter(name="format", description="csv and ndjson stream everything that matches as a file."),
    ] = "json",
) -> Response[list[JobSummary]] | Stream:
    """List jobs, newest first: the team's archive jobs, and your own jobs of other kinds (for admins: everyone's).

    `sort=ended` lists jobs that have ended, most recent end first. `name`, `size` (of the folder) and `duration` sort the same
    jobs. `X-Total-Count` is the number of matches. `X-Next-Cursor` is the cursor of the next page. It is absent on the last
    page.
    """
    wanted = Filter(
        kinds=_kinds(kind),
        statuses=_statuses(decide.statuses_of(status or []), sort),
        user=user or None,
        owner=None if request.user.is_admin else request.user.id,
        words=q or None,
        since=_moment("from", since),
        before=_moment("to", before),
        ended_since=_moment("ended_from", ended_since),
        ended_before=_moment("ended_to", ended_before),
    )
    ordered = _order(sort, order)
    after = decide.place_of(cursor, sort) if cursor else None
    wanted = await history.prepare(wanted)
    if format_ != "json":
        return _file(_all_jobs(history, wanted, ordered, as_csv=format_ == "csv"), "jobs", format_)
    rows = await history.page(wanted, after, limit + 1, offset, ordered)
    is_last = cursor is None and len(rows) <= limit and (rows or not offset)  # then this page alone gives the total
    headers = {"X-Total-Count": str(offset + len(rows) if is_last else await history.total(wanted))}
    if len(rows) > limit:
        headers["X-Next-Cursor"] = decide.cursor_of(place(ordered, rows[limit - 1]))
    return Response([views.job_summary(row) for row in rows[:limit]], headers=headers)


async def _all_jobs(history: History, wanted: Filter, order: Order, *, as_csv: bool) -> AsyncIterator[bytes]:
    if as_csv:
        yield exports.csv_lines([JobSummary.__struct_fields__])
    async for rows in history.all(wanted, order):
        jobs = [views.job_summary(row) for row in rows]
        yield exports.struct_lines(jobs) if as_csv else exports.ndjson_lines(jobs)


def _file(lines: AsyncIterator[bytes], name: str, kind: str) -> Stream:
    media = exports.CSV if kind == "csv" else exports.NDJSON
    return Stream(lines, media_type=media, headers=exports.disposition(f"{name}.{kind}"))


@delete("/completed", operation_id="clearCompletedJobs", status_code=200, responses=refusals())
async def clear_completed(
    request: HistoryRequest,
    history: NamedDependency[History],
    user: Annotated[str | None, QueryParameter(description="Only jobs that this user asked for.", max_length=200)] = None,
    kind: Annotated[
        list[str] | None, QueryParameter(description="archive (the default), pack, compress, extract; repeat it, or use commas.")
    ] = None,
    before: Before = None,
) -> DeletedCount:
    """Hide completed jobs (requested before `to`) from the history: your own or, for an admin, everyone's.

    Jobs and their evidence are never deleted. Each job can still be opened by its id. Packs and archives stay in their
    workspaces.
    """
    whose = whose_jobs_to_clear(request.user, user or None)
    return DeletedCount(*await history.clear_completed(request.user, _kinds(kind), whose, _moment("to", before)))


@post("/completed/restore", operation_id="restoreCompletedJobs", status_code=200, responses=refusals(413))
async def restore_completed(
    data: JSONBody[RestoreRequest], request: HistoryRequest, history: NamedDependency[History]
) -> RestoredCount:
    """Undo a clearing. The jobs that it hid reappear in the history. Repeating this, or naming an unknown moment, has no effect."""
    return RestoredCount(await history.restore(request.user, data.cleared_at))


@get("/audit", operation_id="listAudit", guards=[admins_only], responses=refusals(), tags=["Audit"])
async def list_audit(
    log: NamedDependency[AuditLog],
    actor: Annotated[str | None, QueryParameter(description="Only what this user did.", max_length=200)] = None,
    action: Annotated[
        list[str] | None, QueryParameter(description="login, login_failed, job_cancel, ...; repeat it, or use commas.")
    ] = None,
    target: Annotated[str | None, QueryParameter(description="An id, or a name.", max_length=200)] = None,
    address: Annotated[str | None, QueryParameter(description="Where it came from.", max_length=200)] = None,
    q: Annotated[str | None, QueryParameter(description="Part of the sentence.", max_length=500)] = None,
    since: Since = None,
    before: Before = None,
    limit: Limit = 100,
    offset: Offset = 0,
    cursor: Cursor = None,
    format_: Annotated[
        Literal["json", "csv", "ndjson"],
        QueryParameter(name="format", description="csv and ndjson stream everything that matches as a file."),
    ] = "json",
) -> Response[list[AuditEntry]] | Stream:
    """List who did what, when and from where, newest first. Entries cannot be changed or removed by anyone.

    `X-Total-Count` is the number of matches.
    """
    actions = tuple(word.strip() for value in action or [] for word in value.split(",") if word.strip())
    wanted = AuditFilter(
        actor=actor or None,
        actions=actions,
        target=target or None,
        address=address or None,
        words=q or None,
        since=_moment("from", since),
        before=_moment("to", before),
    )
    if format_ != "json":
        return _file(_all_audit(log, wanted, as_csv=format_ == "csv"), "audit", format_)
    rows = await log.page(wanted, decide.number_of(cursor) if cursor else None, limit + 1, offset)
    headers = {"X-Total-Count": str(await log.total(wanted))}
    if len(rows) > limit:
        headers["X-Next-Cursor"] = decide.cursor_of_number(rows[limit - 1]["id"])
    return Response([_entry(row) for row in rows[:limit]], headers=headers)


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(**dict(row))


async def _all_audit(log: AuditLog, wanted: AuditFilter, *, as_csv: bool) -> AsyncIterator[bytes]:
    if as_csv:
        yield exports.csv_lines([AuditEntry.__struct_fields__])
    async for rows in log.all(wanted):
        entries = [_entry(row) for row in rows]
        yield exports.struct_lines(entries) if as_csv else exports.ndjson_lines(entries)
