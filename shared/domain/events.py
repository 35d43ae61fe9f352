"""THE events: what every subscriber may read on stream JOBS, in CloudEvents 1.0 structured form.

A trigger writes each event in the transaction of the change (migration 0001), so events are facts, never intentions. The format
only grows: new fields have defaults, no field changes its type or meaning, and a new meaning gets a new subject.
tests/golden/events holds one sample of each version and is never edited. Readers ignore unknown fields.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from shared.domain.lifecycle import Kind, Status

STREAM = "JOBS"
SUBJECTS = "job.>"


class JobData(msgspec.Struct, kw_only=True):
    """A job that has just entered `status`. Sizes are in bytes. `version` counts a job's events from 1 without gaps."""

    schema_version: int = 1
    job_id: UUID
    version: int
    kind: Kind
    status: Status
    previous_status: Status | None = None
    attempt: int
    folder_name: str
    source_path: str
    globus_destination_path: str | None = None
    created_by: str
    progress_percent: int = 0
    retry_count: int = 0
    archive_size_bytes: int | None = None
    archive_sha256: str | None = None
    kept_count: int = 0
    reason: str | None = None


class JobEvent(msgspec.Struct, kw_only=True):
    """CloudEvents attributes. `id` is `<job id>:<version>` and also the message's Nats-Msg-Id; `subject` is the job's id."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"]
    data: JobData


class Progress(msgspec.Struct, kw_only=True):
    """`live.progress.<job>` on core NATS: measured progress; messages may be lost. Bytes, bytes per second, seconds."""

    job_id: UUID
    status: Status
    attempt: int
    progress_percent: int
    stage_percent: float | None = None
    current_operation: str | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_second: int | None = None
    eta_seconds: int | None = None


class LogLine(msgspec.Struct, kw_only=True):
    """`live.log.<job>` on core NATS: a line that has just been written to job_logs."""

    job_id: UUID
    timestamp: datetime
    level: Literal["INFO", "WARNING", "ERROR"]
    action: str
    message: str


class JobChanged(msgspec.Struct):
    """`live.control.<job>` on core NATS, among gateways: read this job again, because a user paused, resumed or cancelled it."""

    job_id: UUID


class ConfigChanged(msgspec.Struct, kw_only=True):
    """`live.config` on core NATS: an admin changed settings. It may be lost, as all live messages; see `GET /api/config`."""

    changed_at: datetime
    changed_by: str
    values: dict[str, Any]


_decoder = msgspec.json.Decoder(JobEvent)


def decode(payload: bytes) -> JobEvent:
    """Decode an event. Raises msgspec.ValidationError for anything else."""
    return _decoder.decode(payload)


def subject(status: Status) -> str:
    """Return the subject of the event for a job that entered `status`."""
    return f"job.{status}"
