"""Typed rows of the uploader's queries. Each docstring names the query."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.uploader.model import Purpose
from shared.domain.lifecycle import Status


class Archive(msgspec.Struct, frozen=True):
    """`archive`: what was recorded of the archive that counts, and of its sidecar. Sizes in bytes."""

    attempt: int
    archive_path: str
    staging: UUID | None
    size: int
    sha256: str
    md5: str
    manifest_size: int
    manifest_sha256: str
    manifest_md5: str

    @property
    def total(self) -> int:
        """Return the size of both files in bytes."""
        return self.size + self.manifest_size


class Held(msgspec.Struct, frozen=True):
    """`destination_of`: what a job holds or has proven. endpoint, base_path: null where its place was never recorded."""

    key: str
    state: str
    path: str
    endpoint: str | None
    base_path: str | None


class Holder(msgspec.Struct, frozen=True):
    """`destination_holder`: the job that has a destination."""

    job_id: UUID
    state: str
    status: Status


class Sent(msgspec.Struct, frozen=True):
    """`submissions`: a stored submission and what is known of its task. detail, rejected, request: documents as stored."""

    submission_id: UUID
    job_id: UUID
    attempt: int
    purpose: Purpose
    request: Any
    task_id: str | None
    status: str | None
    detail: dict[str, Any] | None
    rejected: dict[str, Any] | None
    algorithm_refused: bool
    ended_at: datetime | None
    archive_sha256: str | None
    manifest_sha256: str | None
    endpoint: str | None
    base_path: str | None
    path: str
    counts: bool


class LoggedEvent(msgspec.Struct, frozen=True):
    """`logged_events`: an event of a task that is in the job's log already."""

    code: str | None
    time: str | None


class PausedTransfer(msgspec.Struct, frozen=True):
    """`paused_at_globus`: a paused job whose transfer may still run."""

    destination_key: str
    job_id: UUID


class Used(msgspec.Struct, frozen=True):
    """`endpoints`: the id of a collection that was ever a destination of archives."""

    endpoint: str
