"""Jobs: request, look, cancel, retry, logs; the list is in history.py."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream

from services.gateway.api.history import clear_completed, list_jobs, restore_completed
from services.gateway.auth.rights import admins_only
from services.gateway.http.problems import refusals
from services.gateway.jobs import views
from services.gateway.jobs.jobs import Jobs
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.jobs import JobCleared, JobCreated, JobDetail, JobLogLine, JobRequest, JobRetried, JobSummary
from shared.domain.lifecycle import Kind, Status

JobsRequest = Request[Identity, Any, Any]
_WARNINGS = 100
_BATCH = 1000


@post("/", operation_id="createJob", status_code=201, responses=refusals(404, 409, 413))
async def create_job(data: JSONBody[JobRequest], request: JobsRequest, jobs: NamedDependency[Jobs]) -> Response[JobCreated]:
    """Queue a folder for archiving.

    400: not a folder that can be archived. 404: it does not exist. 409: archived already, in the queue already, or its place at the
    destination is taken. 503: the scanner or the NAS is away.
    """
    row = await jobs.create(request.user, data.folder_path, keep_source=data.keep_source)
    made = JobCreated(row["id"], Status(row["status"]), row["folder_name"], row["created_at"])
    return Response(made, headers={"Location": f"/api/jobs/{row['id']}"})


@get("/failures", operation_id="listFailures", responses=refusals())
async def list_failures(
    request: JobsRequest, store: NamedDependency[Store], limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100
) -> list[JobSummary]:
    """Failed jobs that need attention, newest first: archive jobs of the team, other kinds of your own (of everybody for admins).

    A failure leaves this list when the job is tried again or cleared, or when a newer job has archived its folder.
    """
    rows = await store.failures(tuple(Kind), None if request.user.is_admin else request.user.id, limit)
    return [views.job_summary(row) for row in rows]


@get("/{job_id:uuid}", operation_id="getJob", responses=refusals(404))
async def get_job(
    job_id: FromPath[UUID], request: JobsRequest, store: NamedDependency[Store], jobs: NamedDependency[Jobs]
) -> JobDetail:
    """Everything about one job: progress, archive, the three proofs of arrival, the states it went through.

    Packs, archives and extractions are seen by who asked for them, and by admins; `result` tells what came of them.
    """
    row = await jobs.find(request.user, job_id)
    archive, proofs = await store.archive_of(job_id), await store.verifications_of(job_id)
    return views.job_detail(row, archive, proofs, await store.milestones_of(job_id), await store.warnings_of(job_id, _WARNINGS))


@delete("/{job_id:uuid}", operation_id="cancelJob", status_code=204, responses=refusals(404, 409))
async def cancel_job(job_id: FromPath[UUID], request: JobsRequest, jobs: NamedDependency[Jobs]) -> None:
    """Cancel. The answer comes at once; running work stops at its next safe point. The source is not touched.

    409: the job has ended, or its source is being deleted because the archive is proven to be at the destination.
    """
    await jobs.cancel(request.user, job_id)


@post("/{job_id:uuid}/retry", operation_id="retryJob", status_code=200, responses=refusals(404, 409))
async def retry_job(job_id: FromPath[UUID], request: JobsRequest, jobs: NamedDependency[Jobs]) -> JobRetried:
    """Queue a failed job again.

    409: it has not failed, its folder or destination is in the hands of another job, or its password was forgotten.
    """
    row = await jobs.retry(request.user, job_id)
    return JobRetried(row["id"], Status(row["status"]), row["retry_count"])


@post("/{job_id:uuid}/clear", operation_id="clearJob", status_code=200, responses=refusals(404, 409))
async def clear_job(job_id: FromPath[UUID], request: JobsRequest, jobs: NamedDependency[Jobs]) -> JobCleared:
    """Hide a job that has ended from the history; a failed one no longer needs attention. Nothing is erased: its id still finds it.

    `POST /api/jobs/completed/restore` with the same `cleared_at` takes it back. 409: it has not ended.
    """
    row = await jobs.clear(request.user, job_id)
    return JobCleared(row["id"], row["cleared_at"])


@post(
    "/{job_id:uuid}/release-destination",
    operation_id="releaseDestination",
    status_code=200,
    guards=[admins_only],
    responses=refusals(403, 404, 409),
)
async def release_destination(job_id: FromPath[UUID], request: JobsRequest, jobs: NamedDependency[Jobs]) -> JobRetried:
    """Give up the place of a proven archive that was removed at the destination, so that the folder's name can be archived again.

    Globus is asked first: 409 unless archive and sidecar are "not found". The job's proofs no longer count afterwards.
    """
    row = await jobs.release_destination(request.user, job_id)
    return JobRetried(row["id"], Status(row["status"]), row["retry_count"])


@get("/{job_id:uuid}/logs", operation_id="getJobLogs", responses=refusals(404))
async def get_logs(
    job_id: FromPath[UUID],
    request: JobsRequest,
    store: NamedDependency[Store],
    jobs: NamedDependency[Jobs],
    limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 1000,
    level: Annotated[Literal["INFO", "WARNING", "ERROR"] | None, QueryParameter(description="Only lines of this level.")] = None,
    after: Annotated[
        int | None,
        QueryParameter(ge=0, le=2**62, description="Only lines after this `id`; 0: from the beginning. Default: the last lines."),
    ] = None,
    format_: Annotated[
        Literal["json", "txt", "ndjson"],
        QueryParameter(name="format", description="txt and ndjson stream the whole log as a file."),
    ] = "json",
) -> Response[list[JobLogLine]] | Stream:
    """A job's log, oldest line first: the last `limit` lines, or those after `after`. `X-Total-Count`: lines of this level in all."""
    await jobs.find(request.user, job_id)
    if format_ != "json":
        media = "text/plain; charset=utf-8" if format_ == "txt" else "application/x-ndjson"
        disposition = f'attachment; filename="job-{job_id}.{"log.txt" if format_ == "txt" else "ndjson"}"'
        lines = _whole_log(store, job_id, level, text=format_ == "txt")
        return Stream(lines, media_type=media, headers={"Content-Disposition": disposition})
    rows = await (store.logs_last(job_id, level, limit) if after is None else store.logs_after(job_id, after, level, limit))
    headers = {"X-Total-Count": str(await store.count_logs(job_id, level))}
    return Response([views.log_line(row) for row in rows], headers=headers)


async def _whole_log(store: Store, job_id: UUID, level: str | None, *, text: bool) -> AsyncIterator[bytes]:
    """In batches, so that neither memory nor a connection is held for as long as the client reads."""
    after = 0
    while rows := await store.logs_after(job_id, after, level, _BATCH):
        lines = [views.log_line(row) for row in rows]
        yield b"".join(_text_line(line) if text else msgspec.json.encode(line) + b"\n" for line in lines)
        after = rows[-1]["id"]


def _text_line(line: JobLogLine) -> bytes:
    # One line per entry whatever a message holds, so that the file can be read by line.
    message = line.message.replace("\r", " ").replace("\n", " ")
    return f"{line.timestamp.isoformat(timespec='milliseconds')} {line.level:<7} {message}\n".encode()


router = Router(
    "/jobs",
    route_handlers=[
        create_job,
        list_jobs,
        list_failures,
        get_job,
        cancel_job,
        retry_job,
        clear_job,
        release_destination,
        clear_completed,
        restore_completed,
        get_logs,
    ],
    tags=["Jobs"],
)
