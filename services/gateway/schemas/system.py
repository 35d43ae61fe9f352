"""The state of the system."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from shared.domain.lifecycle import Status


class DiskSpace(msgspec.Struct, kw_only=True):
    """The storage's file system, in GB of 1024 cubed. `low`: less than 20 % is free.

    `used_gb`, `system_reserved_gb` (reserved by the file system for its administrator) and `free_gb` add up to `total_gb`.
    `job_reserved_gb`: the part of the free space that running jobs and uploads will still write.
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
    """A job that a process holds. Unless the process renews its lease, another one takes over the job after `lease_until`."""

    job_id: UUID
    folder_name: str
    status: Status
    lease_until: datetime


class ServiceInstance(msgspec.Struct):
    """A process. `alive`: it sent a heartbeat within the last 30 seconds. `seen_at` is the time of the last one."""

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
    """The newest scan, and the errors that hid folders from it."""

    finished_at: datetime
    folder_count: int
    unreadable: list[UnreadablePlace]


class Alert(msgspec.Struct):
    """Something that needs attention. `kind` is a stable code. `job_id` is set if it concerns a job."""

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
    """Events that the stream does not have yet, and the age of the oldest in seconds. 0 and null when all are published."""

    waiting: int
    oldest_seconds: float | None


class Collection(msgspec.Struct):
    """A Globus collection. `connected` applies only to collections on a personal machine."""

    id: str
    display_name: str | None
    entity_type: str | None
    high_assurance: bool | None
    connected: bool | None


class GlobusStatus(msgspec.Struct):
    """`ok`: Globus answers, and both collections can be used and listed. `problems`: what to fix (for example a missing consent).

    `emulated`: archives go to the built-in emulator. `..._listed`: the directory there can be read. This also needs the
    consents.
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
    """`globus_emulated`: archives go to the built-in emulator, not to Globus. `alerts`: what needs attention.

    The newest failures come first. `postgres`: `disk_full` while the database can read but not write, `refusing` while it lacks
    something else. An alert names the cause.
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
    """`notes`: problems that do not affect readiness. Absent if there are none."""

    status: Literal["ready"]
    notes: list[str] = []
