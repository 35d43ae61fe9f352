"""API types for jobs, the queue, and tasks of every kind."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from services.gateway.schemas.common import Level, Percent
from shared.domain.lifecycle import Kind, Status


class JobRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`folder_path`: a folder exactly three levels below the base, as an absolute path or as `level1/level2/name`.

    `keep_source`: archive the folder, but do not empty it afterwards.
    """

    folder_path: Annotated[str, Meta(min_length=1, max_length=4096)]
    keep_source: bool = False


class JobCreated(msgspec.Struct):
    job_id: UUID
    status: Status
    folder_name: str
    created_at: datetime


class JobRetried(msgspec.Struct):
    job_id: UUID
    status: Status
    retry_count: int


class JobCleared(msgspec.Struct):
    """`cleared_at` identifies this clearing, so that it can be undone."""

    job_id: UUID
    cleared_at: datetime


class JobSummary(msgspec.Struct, kw_only=True):
    """A job in a list.

    `progress_percent` is the overall progress, and 100 only with `completed`. `lane_percent` is the progress in the current
    lane. `stage_percent` is the progress of the running step, null when unknown. `step` names that step.

    `output_...`: the output of a completed workspace job. `output_path` of a pack or an archive is its file, the first of
    `output_files`. `output_path` of an extraction is the folder with its `output_files` ("" is the workspace itself).
    `output_size`: bytes.
    """

    job_id: UUID
    kind: Kind
    folder_name: str
    source_path: str
    status: Status
    status_since: datetime
    progress_percent: Percent
    current_operation: str
    stage: str | None
    step: str | None
    stage_percent: float | None
    lane_percent: Percent | None
    bytes_done: int | None
    bytes_total: int | None
    bytes_per_second: int | None
    eta_seconds: int | None
    wait_reason: str | None
    missing_bytes: int | None
    paused: bool
    cancelling: bool
    keep_source: bool
    attempt: int
    retry_count: int
    folder_size_bytes: int | None
    archive_size_bytes: int | None
    kept_count: int
    created_by: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    output_path: str | None
    output_size: int | None
    output_files: int | None


class StateTime(msgspec.Struct):
    """A state that the job entered."""

    status: Status
    at: datetime
    attempt: int


class Verification(msgspec.Struct):
    """One of the three proofs of arrival: `task`, `remote`, `content`. `voided_at`: since when it is no longer valid."""

    kind: Literal["task", "remote", "content"]
    attempt: int
    at: datetime
    evidence: dict[str, Any]
    voided_at: datetime | None


class ArchiveFacts(msgspec.Struct):
    """The valid archive."""

    size: int
    sha256: str
    md5: str
    manifest_size: int
    manifest_sha256: str
    attempt: int
    created_at: datetime


class WorkspaceRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The request of a pack, an archive or an extraction. Each kind uses some of these fields. Paths are relative to `root`.

    `encrypted`: the request has a password. It is deleted when the job ends.
    """

    root: Literal["workspace", "nas"]
    path: str | None = None
    paths: list[str] | None = None
    output: str | None = None
    destination: str | None = None
    entries: list[str] | None = None
    entries_base64: list[str] | None = None
    format: str | None = None
    level: int | None = None
    volume_bytes: int | None = None
    encrypted: bool = False


class WorkspaceResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The result of a workspace job. Paths are in the workspace, sizes in bytes, `mb_per_s` is of the uncompressed size.

    Packs and archives have the fields from `output_path` on, extractions those from `destination` on. `compression_ratio`: (1 -
    compressed / original) x 100.
    """

    seconds: float
    mb_per_s: float
    warnings: list[str] = []
    output_path: str | None = None
    format: str | None = None
    original_size: int | None = None
    compressed_size: int | None = None
    compression_ratio: float | None = None
    file_count: int | None = None
    volumes: int | None = None
    sha256: str | None = None
    destination: str | None = None
    files_extracted: int | None = None
    total_size: int | None = None


class Retries(msgspec.Struct):
    """The number of retries since the job was requested: automatic ones after a failure, and those that a user requested."""

    automatic: int
    requested: int


class JobDetail(JobSummary, kw_only=True):
    """One job in full. `file_count`: files in the folder. `globus_destination_path` is below the destination's base.

    `error_code` classifies `error_message`: bad-password, damaged, truncated, unknown-format, unsafe-archive, too-big,
    not-found, taken, archived-already, or refused (another cause, to be fixed first). null: a retry may help. `cleared_at`:
    since when the history hides the job. `request`, and `result` after completion: for packs, archives and extractions, which
    have no destination. `retries` counts over the whole job, `retry_count` the current step, and `attempt` the claims by
    workers. `warnings` need attention, `notes` do not.
    """

    error_code: str | None
    cleared_at: datetime | None
    globus_destination_path: str | None
    request: WorkspaceRequest | None
    result: WorkspaceResult | None
    globus_task_id: str | None
    file_count: int | None
    cancel_requested_by: str | None
    archive: ArchiveFacts | None
    verifications: list[Verification]
    state_times: list[StateTime]
    retries: Retries
    warnings: list[str]
    notes: list[str]


class JobLogLine(msgspec.Struct):
    """`id` orders the lines. Pass it as `after` to get later lines. `action` is a stable code for programs."""

    id: int
    timestamp: datetime
    level: Level
    message: str
    action: str
    data: dict[str, Any] | None


class DeletedCount(msgspec.Struct):
    """The number of completed jobs that are now hidden. `cleared_at` identifies this clearing, so that it can be undone."""

    deleted_count: int
    cleared_at: datetime


class RestoreRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`cleared_at` identifies the clearing to be undone."""

    cleared_at: datetime


class RestoredCount(msgspec.Struct):
    restored_count: int


class CurrentJob(msgspec.Struct):
    """The job that a lane works on."""

    job_id: UUID
    folder_name: str
    status: Status
    progress_percent: Percent


class QueuedJob(msgspec.Struct):
    """A waiting job. `position` counts from 1."""

    job_id: UUID
    folder_name: str
    position: int
    created_by: str
    created_at: datetime
    folder_size_bytes: int | None
    wait_reason: str | None
    missing_bytes: int | None
    paused: bool
    cancelling: bool
    keep_source: bool


class Queue(msgspec.Struct):
    """Active and waiting jobs in the order of the queue. `active_jobs` are running, or wait for the deletion of the source."""

    current_copy_compress_job: CurrentJob | None
    current_upload_job: CurrentJob | None
    queued_jobs: list[QueuedJob]
    active_jobs: list[JobSummary]
    waiting_upload_jobs: list[JobSummary]


class QueueMove(msgspec.Struct, forbid_unknown_fields=True):
    """Waiting jobs and their new place: top, one up, one down, or bottom. They keep their relative order."""

    job_ids: Annotated[list[UUID], Meta(min_length=1, max_length=1000)]
    to: Literal["top", "up", "down", "bottom"]


# A job's state, or `paused`. (msgspec does not support a union of an enum and a literal.)
TaskStatus = Literal[
    "paused",
    "queued",
    "copying",
    "compressing",
    "verifying",
    "compressed",
    "uploading",
    "upload_verifying",
    "verified",
    "deleting_source",
    "completed",
    "failed",
    "cancelled",
    "running",
]


class TaskControl(msgspec.Struct, forbid_unknown_fields=True):
    action: Literal["pause", "resume", "cancel"]


class NamedTaskControl(TaskControl, forbid_unknown_fields=True):
    """A task and the action for it."""

    task_id: UUID


class Task(msgspec.Struct, kw_only=True):
    """A job of any kind as the dashboard shows it.

    `status`: the job's state, or `paused`. `job_status` is always the state. `progress` is overall percent, `speed` bytes per
    second (0: unknown or idle), `eta` seconds. `current_size`, `total_size`: bytes of the running step. `actions`: the actions
    that the task accepts now.
    """

    task_id: UUID
    kind: Kind
    name: str
    status: TaskStatus
    job_status: Status
    progress: Percent
    speed: int
    eta: int | None
    current_size: int | None
    total_size: int | None
    message: str
    paused: bool
    cancelling: bool
    actions: list[Literal["pause", "resume", "cancel"]]
    attempt: int
    source_path: str
    error_message: str | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
