"""Jobs: request, show, cancel, retry, logs. history.py has the list."""

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

    400: this folder cannot be archived. 404: it does not exist. 409: it is already archived or already queued, or its
    destination path is taken. 503: the scanner or the NAS is unavailable.
    """
    row = await jobs.create(request.user, data.folder_path, keep_source=data.keep_source)
    made = JobCreated(row["id"], Status(row["status"]), row["folder_name"], row["created_at"])
    return Response(made, headers={"Location": f"/api/jobs/{row['id']}"})


@get("/failures", operation_id="listFailures", responses=refusals())
async def list_failures(
    request: JobsRequest, store: NamedDependency[Store], limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100
) -> list[JobSummary]:
    """List failed jobs that need attention, newest first: archive jobs, and your own jobs of other kinds (for admins: everyone's).

    A failure leaves this list when the job is retried or cleared, or when a newer job has archived its folder.
    """
    rows = await store.failures(tuple(Kind), None if request.user.is_admin else request.user.id, limit)
    return [views.job_summary(row) for row in rows]


@get("/{job_id:uuid}", operation_id="getJob", responses=refusals(404))
async def get_job(
    job_id: FromPath[UUID], request: JobsRequest, store: NamedDependency[Store], jobs: NamedDependency[Jobs]
) -> JobDetail:
    """Return one job: progress, archive, the three proofs of arrival, and the states it entered.

    Packs, archives and extractions are visible to their owner and to admins. `result` says what they produced.
    """
    row = await jobs.find(request.user, job_id)
    archive, proofs = await store.archive_of(job_id), await store.verifications_of(job_id)
    return views.job_detail(row, archive, proofs, await store.milestones_of(job_id), await store.warnings_of(job_id, _WARNINGS))


@delete("/{job_id:uuid}", operation_id="cancelJob", status_code=204, responses=refusals(404, 409))
async def cancel_job(job_id: FromPath[UUID], request: JobsRequest, jobs: NamedDependency[Jobs]) -> None:
    """Cancel a job. The response returns at once. Running work stops at its next safe point. The source is not changed.

    409: the job has ended, or its source is being deleted because the archive is proven at the destination.
    """
    await jobs.cancel(request.user, job_id)


@post("/{job_id:uuid}/retry", operation_id="retryJob", status_code=200, responses=refusals(404, 409))
async def retry_job(job_id: FromPath[UUID], request: JobsRequest, jobs: NamedDependency[Jobs]) -> JobRetried:
    """Queue a failed job again.

    409: the job has not failed, another job holds its folder or destination, or its password was already deleted.
    """
    row = await jobs.retry(request.user, job_id)
    return JobRetried(row["id"], Status(row["status"]), row["retry_count"])


@post("/{job_id:uuid}/clear", operation_id="clearJob", status_code=200, responses=refusals(404, 409))
async def clear_job(job_id: FromPath[UUID], request: JobsRequest, jobs: NamedDependency[Jobs]) -> JobCleared:
    """Hide an ended job from the history. A failed job then no longer needs attention. Nothing is deleted: its id still works.

    `POST /api/jobs/completed/restore` with the same `cleared_at` undoes this. 409: the job has not ended.
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
    """Release the destination path of a proven archive that was removed there, so that the folder's name can be archived again.

    Globus is asked first. 409 unless archive and sidecar are both "not found". The job's proofs are then no longer valid.
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
    """Return a job's log, oldest line first: the last `limit` lines, or those after `after`.

    `X-Total-Count` is the number of all lines of this level.
    """
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
    """Yield the log in batches, so that a slow client holds neither memory nor a connection."""
    after = 0
    while rows := await store.logs_after(job_id, after, level, _BATCH):
        lines = [views.log_line(row) for row in rows]
        yield b"".join(_text_line(line) if text else msgspec.json.encode(line) + b"\n" for line in lines)
        after = rows[-1]["id"]


def _text_line(line: JobLogLine) -> bytes:
    # One line per entry, whatever the message contains, so that the file can be read line by line.
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
