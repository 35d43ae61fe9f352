"""Messages of the live connections."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from services.gateway.schemas.common import Level, Percent
from services.gateway.schemas.jobs import TaskStatus
from shared.domain.lifecycle import Kind, Status


class JobUpdate(msgspec.Struct, tag_field="type", tag="job_update", kw_only=True):
    """A job's state, and the figures for a progress bar.

    `version` counts the job's states, so that a client recognizes an older message. `seq`: the newest event that this message
    includes.
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
    """`order` changes when the order of the waiting jobs changes."""

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
    """The first message: the following messages are the complete live state as of event `seq`. A job not listed here has ended.

    One `job_update` per job follows, then a `queue_update`, then changes. To get missed events, call `GET /api/events?after=`
    with the highest `seq` that you saw before.
    """

    seq: int
    job_ids: list[UUID]


class JobEntered(msgspec.Struct, tag_field="type", tag="job_event", kw_only=True):
    """A job entered a state. This is an event of stream JOBS with sequence `seq`. `version` counts the job's own states."""

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
    """Sent every two seconds, so that silence means a dead connection. `seq`: the newest event that your messages include."""

    seq: int
    timestamp: datetime


LiveMessage = Snapshot | JobUpdate | QueueUpdate | LogMessage | JobEntered | Heartbeat


class TaskFigures(msgspec.Struct, kw_only=True):
    """The state and figures of a task card. See Task."""

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

    `active_tasks`: tasks in progress. `total_uploads`: completed archive jobs. `total_downloads`: downloaded packs.
    `upload_speed`: uploads to the destination. `staging_speed`: copies, archives and extractions. `total_speed`: both. `uptime`
    is the machine's, `disk_*` are of the storage's file system.
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
    """One sample of the machine: upload bytes per second, percent."""

    at: datetime
    upload_speed: int
    cpu_usage: float
    memory_usage: float


class StatsHistory(msgspec.Struct):
    """The last half hour as recorded by the responding gateway, oldest first, with a sample every `interval_seconds`.

    There are gaps while the gateway did not run or the database was unavailable.
    """

    interval_seconds: float
    span_seconds: float
    samples: list[StatsSample]


class DashboardStatsMessage(msgspec.Struct, tag_field="type", tag="dashboard_stats", kw_only=True):
    data: Stats
    timestamp: datetime


DashboardMessage = TaskStatusMessage | DashboardStatsMessage | Heartbeat


class EventPage(msgspec.Struct, kw_only=True):
    """Events after `after`, oldest first. While `more` is true, continue with `after=last`.

    `last`: the last event here, or `after` itself.
    """

    events: list[LiveMessage]
    last: int
    more: bool


class Ticket(msgspec.Struct):
    """A ticket opens one live connection with `?ticket=`, once, within `expires_in` seconds."""

    ticket: str
    expires_in: int
