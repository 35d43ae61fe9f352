"""What goes over the wire, as concrete msgspec Structs.

Sizes are bytes, percentages 0 to 100, times ISO 8601 in UTC. Fields are only ever added.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from shared.domain.lifecycle import Kind, Status

Percent = Annotated[int, Meta(ge=0, le=100)]
Level = Literal["INFO", "WARNING", "ERROR"]

# Authentication ----------------------------------------------------------------------------------------------------------------------


class LoginRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`cookie`: for browsers, keep the login in an httpOnly cookie instead of giving out a token."""

    username: Annotated[str, Meta(min_length=1, max_length=200)]
    password: Annotated[str, Meta(max_length=1000)]
    cookie: bool = False


class User(msgspec.Struct):
    """`must_change_password`: everything but changing it answers 403 until then."""

    id: UUID
    username: str
    is_admin: bool
    must_change_password: bool


class LoginResult(msgspec.Struct):
    """Send `access_token` as `Authorization: Bearer <token>`; empty when the login is in a cookie."""

    access_token: str
    user: User
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - RFC 6750's word, not a secret


class PasswordChange(msgspec.Struct, forbid_unknown_fields=True):
    """At least 8 characters, at most 72 bytes, neither the old one nor the user's name."""

    current_password: Annotated[str, Meta(max_length=1000)]
    new_password: Annotated[str, Meta(max_length=1000)]


# Folders -----------------------------------------------------------------------------------------------------------------------------


class Folder(msgspec.Struct):
    """`ignored`: why it is not offered (archived, single_text_file, empty, name_impossible: too long, or not printable in one line).

    `unreadable`: what could not be read, sizes are then partial. `job_id`, `job_status`: the live job on this folder.
    """

    path: str
    name: str
    level1: str
    level2: str
    size_bytes: int
    size_human: str
    modified_at: datetime
    file_count: int
    is_archived: bool
    ignored: str | None
    unreadable: str | None
    scanned_at: datetime
    job_id: UUID | None
    job_status: Status | None


class FolderPlace(msgspec.Struct):
    """A category and subcategory, and how many folders the last scan saw there."""

    level1: str
    level2: str
    folder_count: int


# Jobs --------------------------------------------------------------------------------------------------------------------------------


class JobRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`folder_path`: a folder exactly three levels below the base, by its absolute path or as `level1/level2/name`.

    `keep_source`: archive it, but do not empty it afterwards.
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
    """`cleared_at` names this clearing, so that it can be taken back."""

    job_id: UUID
    cleared_at: datetime


class JobSummary(msgspec.Struct, kw_only=True):
    """A job in a list.

    `progress_percent` is overall and 100 only with `completed`; `lane_percent` is the bar of the lane that works on it,
    `stage_percent` of the running step, null when unknown; `step` says which step that is.

    `output_...`: what a job of a workspace has made there, once it has completed. `output_path`: a pack's or an archive's file, the first
    of `output_files`; of an extraction the folder ("" is the workspace itself), with `output_files` unpacked into it. `output_size`: bytes.
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
    """A state the job entered."""

    status: Status
    at: datetime
    attempt: int


class Verification(msgspec.Struct):
    """One of the three proofs of arrival: `task`, `remote`, `content`. `voided_at`: from when it counts no more."""

    kind: Literal["task", "remote", "content"]
    attempt: int
    at: datetime
    evidence: dict[str, Any]
    voided_at: datetime | None


class ArchiveFacts(msgspec.Struct):
    """The archive that counts."""

    size: int
    sha256: str
    md5: str
    manifest_size: int
    manifest_sha256: str
    attempt: int
    created_at: datetime


class WorkspaceRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a pack, an archive or an extraction is about; each kind has its own of these. Paths are below `root`.

    `encrypted`: a password came with it, which is kept nowhere once the job has ended.
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
    """What came of it; paths in the workspace, sizes in bytes, `mb_per_s` of the unpacked size.

    Packs and archives have the fields from `output_path` on, extractions those from `destination` on.
    `compression_ratio`: (1 - compressed / original) x 100.
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
    """How often a job was tried again since it was requested: by itself after a failure, and because a person asked for it."""

    automatic: int
    requested: int


class JobDetail(JobSummary, kw_only=True):
    """Everything about one job. `file_count`: files in the folder; `globus_destination_path` is below the destination's base.

    `error_code`: which refusal `error_message` is: bad-password, damaged, truncated, unknown-format, unsafe-archive, too-big, not-found,
    taken, archived-already; refused: another one, to be mended first. null: trying again may help. `cleared_at`: since when the history
    hides it. `request`, and `result` once it has completed: of packs, archives and extractions, which have no destination. `retries`
    counts over the whole job; `retry_count` counts the step at work, and `attempt` the claims by workers. `notes` ask for nobody's
    attention, `warnings` do.
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
    """`id` orders the lines; pass it as `after` for what came later. `action` is a stable word for programs."""

    id: int
    timestamp: datetime
    level: Level
    message: str
    action: str
    data: dict[str, Any] | None


class DeletedCount(msgspec.Struct):
    """How many completed jobs are now hidden from the history. `cleared_at` names this clearing, so that it can be taken back."""

    deleted_count: int
    cleared_at: datetime


class RestoreRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`cleared_at`: of the clearing that shall be taken back."""

    cleared_at: datetime


class RestoredCount(msgspec.Struct):
    restored_count: int


# Queue -------------------------------------------------------------------------------------------------------------------------------


class CurrentJob(msgspec.Struct):
    """The job a lane works on."""

    job_id: UUID
    folder_name: str
    status: Status
    progress_percent: Percent


class QueuedJob(msgspec.Struct):
    """A waiting job; `position` counts from 1."""

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
    """What works and what waits, in the order of the queue. `active_jobs`: at work, or waiting for the source's deletion."""

    current_copy_compress_job: CurrentJob | None
    current_upload_job: CurrentJob | None
    queued_jobs: list[QueuedJob]
    active_jobs: list[JobSummary]
    waiting_upload_jobs: list[JobSummary]


class QueueMove(msgspec.Struct, forbid_unknown_fields=True):
    """Waiting jobs and where they go: to the top, one place up, one place down, to the bottom. Their own order stays."""

    job_ids: Annotated[list[UUID], Meta(min_length=1, max_length=1000)]
    to: Literal["top", "up", "down", "bottom"]


# Tasks -----------------------------------------------------------------------------------------------------------------------------


# A job's state, or `paused`. (msgspec takes no union of an enum and a word.)
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


class Task(msgspec.Struct, kw_only=True):
    """A job of any kind as the dashboard shows it.

    `status`: the job's state, or `paused`; `job_status` is the state in either case. `progress` is overall percent, `speed` bytes per
    second (0: unknown or at rest), `eta` seconds. `current_size`, `total_size`: bytes of the running step. `actions`: what its control
    takes now.
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


# System ------------------------------------------------------------------------------------------------------------------------------


class DiskSpace(msgspec.Struct, kw_only=True):
    """The storage's file system, in GB of 1024 cubed; `low`: less than 20 % is free.

    `used_gb`, `system_reserved_gb` (which the file system keeps for its administrator) and `free_gb` add up to `total_gb`.
    `job_reserved_gb`: of the free space, what running jobs and uploads will still write.
    """

    total_gb: float
    used_gb: float
    free_gb: float
    system_reserved_gb: float
    job_reserved_gb: float
    percent_used: float
    low: bool


class LaneStatus(msgspec.Struct):
    status: Literal["idle", "busy"]
    current_job_id: UUID | None


class Workers(msgspec.Struct):
    copy_compress: LaneStatus
    upload: LaneStatus


class Statistics(msgspec.Struct):
    total_jobs: int
    completed_jobs: int
    failed_jobs: int
    queued_jobs: int
    cancelled_jobs: int
    active_jobs: int


class HeldJob(msgspec.Struct):
    """A job in a process's hands; unless it renews its lease, somebody else takes the job up after `lease_until`."""

    job_id: UUID
    folder_name: str
    status: Status
    lease_until: datetime


class ServiceInstance(msgspec.Struct):
    """A process; `alive`: it gave a sign of life within the last 30 seconds, the last at `seen_at`."""

    instance: str
    service: str
    version: str
    started_at: datetime
    seen_at: datetime
    alive: bool
    jobs: list[HeldJob]


class UnreadablePlace(msgspec.Struct):
    path: str
    reason: str


class ScanFacts(msgspec.Struct):
    """The newest scan, and what hid folders from it."""

    finished_at: datetime
    folder_count: int
    unreadable: list[UnreadablePlace]


class Alert(msgspec.Struct):
    """What somebody should look at. `kind` is a stable word; `job_id` where it is about one."""

    kind: Literal[
        "disk_low",
        "database_full",
        "database_refuses",
        "job_failed",
        "service_silent",
        "service_missing",
        "nats_away",
        "events_late",
        "work_elsewhere",
    ]
    message: str
    since: datetime | None
    job_id: UUID | None


class RelayState(msgspec.Struct):
    """Events that the stream does not have yet, and the age of the oldest in seconds; 0 and null when all is said."""

    waiting: int
    oldest_seconds: float | None


class Collection(msgspec.Struct):
    """A Globus collection; `connected` only of those on a personal machine."""

    id: str
    display_name: str | None
    entity_type: str | None
    high_assurance: bool | None
    connected: bool | None


class GlobusStatus(msgspec.Struct):
    """`ok`: Globus answers, both collections can be used and listed. `problems` say what to put right (a missing consent, for one).

    `emulated`: archives go to the built-in emulator. `..._listed`: the directory there can be read, which takes the consents as well.
    """

    ok: bool
    emulated: bool
    transfer_url: str
    problems: list[str]
    source: Collection | None
    destination: Collection | None
    source_listed: bool
    destination_listed: bool


class SystemStatus(msgspec.Struct):
    """`globus_emulated`: archives go to the built-in emulator, not to Globus. `alerts`: what needs somebody, newest failures first.

    `postgres`: `disk_full` while the database can read and not write; `refusing` while it lacks something else, which an alert names.
    """

    disk_space: DiskSpace
    workers: Workers
    statistics: Statistics
    globus_emulated: bool
    services: list[ServiceInstance]
    last_scan: ScanFacts | None
    version: str
    postgres: Literal["ok", "disk_full", "refusing"]
    nats: Literal["ok", "away"]
    relay: RelayState
    alerts: list[Alert]


class Health(msgspec.Struct):
    status: Literal["healthy"]
    timestamp: datetime


class Ready(msgspec.Struct, omit_defaults=True):
    """`notes`: what is not well although this gateway is ready; absent where all is."""

    status: Literal["ready"]
    notes: list[str] = []


# Live (WS /ws/jobs) ------------------------------------------------------------------------------------------------------------------


class JobUpdate(msgspec.Struct, tag_field="type", tag="job_update", kw_only=True):
    """A job's state, and the figures that a progress bar needs.

    `version` counts the job's states, so an older message is recognised; `seq`: the newest event that this includes.
    """

    job_id: UUID
    kind: Kind
    status: Status
    progress_percent: Percent
    current_operation: str
    folder_name: str
    version: int
    attempt: int
    stage: str | None
    step: str | None
    stage_percent: float | None
    lane_percent: Percent | None
    bytes_done: int | None
    bytes_total: int | None
    bytes_per_second: int | None
    eta_seconds: int | None
    wait_reason: str | None
    paused: bool
    error_message: str | None
    seq: int = 0


class QueueUpdate(msgspec.Struct, tag_field="type", tag="queue_update"):
    """`order` changes when the waiting jobs change their order."""

    queue_length: int
    current_copy_compress_job: UUID | None
    current_upload_job: UUID | None
    order: int = 0


class LogMessage(msgspec.Struct, tag_field="type", tag="log"):
    job_id: UUID
    timestamp: datetime
    level: Level
    message: str


class Snapshot(msgspec.Struct, tag_field="type", tag="snapshot", kw_only=True):
    """First of all: what follows is the whole of what is live now, as of event `seq`. A job not named here has ended.

    One `job_update` per job follows, then a `queue_update`, then what happens. Ask `GET /api/events?after=` with the highest `seq`
    you saw before for what you missed.
    """

    seq: int
    job_ids: list[UUID]


class JobEntered(msgspec.Struct, tag_field="type", tag="job_event", kw_only=True):
    """A job entered a state: one event of stream JOBS, `seq` its place there, `version` its place among the job's own."""

    seq: int
    job_id: UUID
    version: int
    kind: Kind
    status: Status
    previous_status: Status | None
    attempt: int
    time: datetime
    folder_name: str
    progress_percent: Percent
    reason: str | None


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", kw_only=True):
    """Every ten seconds, so that silence means a dead connection. `seq`: the newest event that what you were shown includes."""

    seq: int
    timestamp: datetime


LiveMessage = Snapshot | JobUpdate | QueueUpdate | LogMessage | JobEntered | Heartbeat


class TaskFigures(msgspec.Struct, kw_only=True):
    """The state and figures that a task card shows; see Task."""

    status: TaskStatus
    progress: Percent
    speed: int
    eta: int | None
    current_size: int | None
    total_size: int | None
    name: str
    kind: Kind
    job_status: Status
    message: str
    paused: bool
    cancelling: bool
    actions: list[Literal["pause", "resume", "cancel"]]


class TaskStatusMessage(msgspec.Struct, tag_field="type", tag="task_status", kw_only=True):
    task_id: UUID
    data: TaskFigures
    timestamp: datetime


class Stats(msgspec.Struct, kw_only=True):
    """Figures of the dashboard: jobs, bytes per second, percent of this machine, seconds.

    `active_tasks` are worked on now; `total_uploads`: archive jobs that completed; `total_downloads`: packs that were fetched.
    `upload_speed`: what uploads to the destination move; `staging_speed`: copies, archives and extractions; `total_speed`: both.
    `uptime` is the machine's, `disk_*` the storage's file system.
    """

    active_tasks: int
    queued_tasks: int
    paused_tasks: int
    failed_tasks: int
    total_downloads: int
    total_uploads: int
    total_speed: int
    upload_speed: int
    staging_speed: int
    cpu_usage: float
    memory_usage: float
    disk_usage: float
    disk_free_bytes: int
    disk_total_bytes: int
    uptime: int


class StatsSample(msgspec.Struct):
    """What the machine did at a moment: bytes per second of uploads, percent."""

    at: datetime
    upload_speed: int
    cpu_usage: float
    memory_usage: float


class StatsHistory(msgspec.Struct):
    """The last half hour as the gateway that answers has seen it, oldest first, a sample every `interval_seconds`.

    Nobody looked while it did not run or the database was away: then samples are further apart.
    """

    interval_seconds: float
    span_seconds: float
    samples: list[StatsSample]


class DashboardStatsMessage(msgspec.Struct, tag_field="type", tag="dashboard_stats", kw_only=True):
    data: Stats
    timestamp: datetime


DashboardMessage = TaskStatusMessage | DashboardStatsMessage | Heartbeat


class EventPage(msgspec.Struct, kw_only=True):
    """What happened after `after`, oldest first. Go on with `after=last` while `more`. `last`: of what is here, or `after` itself."""

    events: list[LiveMessage]
    last: int
    more: bool


class Ticket(msgspec.Struct):
    """Opens one live connection with `?ticket=`, within `expires_in` seconds, once."""

    ticket: str
    expires_in: int
