"""Turn database rows into API objects. Pure."""

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.gateway.jobs import decide
from services.gateway.schemas.auth import User
from services.gateway.schemas.folders import Folder
from services.gateway.schemas.jobs import (
    ArchiveFacts,
    CurrentJob,
    JobDetail,
    JobLogLine,
    JobSummary,
    Queue,
    QueuedJob,
    Retries,
    StateTime,
    Task,
    Verification,
    WorkspaceRequest,
    WorkspaceResult,
)
from services.gateway.schemas.live import (
    DashboardStatsMessage,
    JobEntered,
    JobUpdate,
    QueueUpdate,
    Stats,
    TaskFigures,
    TaskStatusMessage,
)
from services.gateway.schemas.system import DiskSpace, HeldJob, LaneStatus, ScanFacts, Statistics, UnreadablePlace
from shared import units
from shared.domain.events import JobEvent
from shared.domain.lifecycle import TERMINAL, Kind, Status

_GB = 1 << 30
_LOW_FREE_PERCENT = 20  # below this percentage of free space the status raises an alert


def user(row: Any) -> User:
    return User(row["id"], row["username"], row["is_admin"], row["must_change_password"])


def folder(row: Any) -> Folder:
    names = ("path", "name", "level1", "level2", "size_bytes", "modified_at", "file_count", "is_archived", "ignored", "unreadable")
    facts = {name: row[name] for name in (*names, "scanned_at", "job_id")}
    status = Status(row["job_status"]) if row["job_status"] else None
    return Folder(**facts, size_human=units.size(row["size_bytes"]), job_status=status)


def _progress(row: Any) -> dict[str, Any]:
    """Return the fields that a list entry and a live message share."""
    status = Status(row["status"])
    kind = Kind(row["kind"])
    stage = decide.stage_of(kind, status)
    cancelling = row["cancel_requested_by"] is not None and status not in TERMINAL
    same = ("folder_name", "progress_percent", "attempt", "stage_percent", "bytes_done", "bytes_total", "bytes_per_second")
    return {name: row[name] for name in (*same, "eta_seconds", "wait_reason", "paused", "error_message")} | {
        "job_id": row["id"],
        "status": status,
        "current_operation": decide.operation(
            status, row["current_operation"], row["wait_reason"], paused=row["paused"], cancelling=cancelling
        ),
        "stage": stage.name if stage else None,
        "step": stage.step if stage else None,
        "lane_percent": decide.lane_percent(status, row["stage_percent"], kind),
    }


def _output(row: Any) -> tuple[str | None, int | None, int | None]:
    """Return the output of a completed workspace job: path, bytes, files."""
    if not row["result"] or row["status"] != Status.COMPLETED:
        return None, None, None
    made = msgspec.convert(row["result"], WorkspaceResult)
    if made.output_path is not None:
        return made.output_path, made.compressed_size, made.volumes
    return made.destination, made.total_size, made.files_extracted


def _summary(row: Any) -> dict[str, Any]:
    same = ("kind", "source_path", "status_since", "missing_bytes", "keep_source", "folder_size_bytes", "archive_size_bytes")
    times = ("kept_count", "created_by", "created_at", "started_at", "completed_at")
    return (
        _progress(row)
        | {name: row[name] for name in (*same, *times)}
        | dict(zip(("output_path", "output_size", "output_files"), _output(row), strict=True))
        | {
            "retry_count": row["retry_count"] + row["connection_retry_count"],
            "cancelling": row["cancel_requested_by"] is not None and row["status"] not in TERMINAL,
        }
    )


def job_summary(row: Any) -> JobSummary:
    return JobSummary(**_summary(row))


def job_update(row: Any) -> JobUpdate:
    return JobUpdate(**_progress(row), kind=row["kind"], version=row["version"])


def job_detail(
    row: Any, archive: Any | None, verifications: Sequence[Any], milestones: Sequence[Any], warnings: list[str]
) -> JobDetail:
    return JobDetail(
        **_summary(row),
        error_code=row["error_code"] if row["error_message"] else None,
        cleared_at=row["cleared_at"],
        globus_destination_path=row["destination_path"],
        globus_task_id=row["globus_task_id"],
        file_count=row["file_count"],
        request=msgspec.convert(row["request"], WorkspaceRequest) if row["request"] else None,
        result=msgspec.convert(row["result"], WorkspaceResult) if row["result"] and row["status"] == Status.COMPLETED else None,
        cancel_requested_by=row["cancel_requested_by"],
        archive=ArchiveFacts(**dict(archive)) if archive else None,
        verifications=[Verification(v["kind"], v["attempt"], v["at"], v["evidence"], v["voided_at"]) for v in verifications],
        state_times=[
            StateTime(Status(m["data"]["to"]), m["at"], m["data"]["attempt"]) for m in milestones if m["action"] == "transition"
        ],
        retries=Retries(
            automatic=sum(m["action"] == "retry" for m in milestones),
            requested=sum(m["action"] == "retry_requested" for m in milestones),
        ),
        warnings=warnings,
        notes=[m["message"] for m in milestones if (m["action"], m["level"]) == ("preflight", "INFO")],
    )


def task(row: Any) -> Task:
    """Return a job as the dashboard shows it."""
    shown = _progress(row)
    status, at_work = shown["status"], row["bytes_per_second"] or 0
    cancelling = row["cancel_requested_by"] is not None and status not in TERMINAL
    same = ("kind", "attempt", "source_path", "error_message", "created_by", "created_at", "started_at", "completed_at")
    return Task(
        task_id=row["id"],
        name=row["folder_name"],
        status="paused" if row["paused"] else status,
        job_status=status,
        progress=row["progress_percent"],
        speed=0 if row["paused"] else at_work,
        eta=None if row["paused"] else row["eta_seconds"],
        current_size=row["bytes_done"],
        total_size=row["bytes_total"],
        message=shown["current_operation"],
        paused=row["paused"],
        cancelling=cancelling,
        actions=[a.value for a in decide.actions(status, paused=row["paused"], cancelling=cancelling)],
        **{name: row[name] for name in same},
    )


def task_status(row: Any, now: datetime) -> TaskStatusMessage:
    shown = task(row)
    return TaskStatusMessage(
        task_id=shown.task_id,
        data=TaskFigures(**{name: getattr(shown, name) for name in TaskFigures.__struct_fields__}),
        timestamp=now,
    )


def dashboard_stats(stats: Stats) -> DashboardStatsMessage:
    return DashboardStatsMessage(data=stats, timestamp=datetime.now(UTC))


def job_entered(seq: int, payload: dict[str, Any]) -> JobEntered:
    """Return an outbox event as the API shows it."""
    event = msgspec.convert(payload, JobEvent)
    same = ("job_id", "version", "kind", "status", "previous_status", "attempt", "folder_name", "progress_percent", "reason")
    return JobEntered(seq=seq, time=event.time, **{name: getattr(event.data, name) for name in same})


def log_line(row: Any) -> JobLogLine:
    return JobLogLine(row["id"], row["at"], row["level"], row["message"], row["action"], row["data"])


def oldest(live: Sequence[Any], states: frozenset[Status]) -> Any | None:
    """Return the oldest of the jobs in one of these states. The queue shows one per lane."""
    return min((row for row in live if row["status"] in states), key=lambda row: row["seq"], default=None)


def _current(row: Any | None) -> CurrentJob | None:
    return None if row is None else CurrentJob(row["id"], row["folder_name"], Status(row["status"]), row["progress_percent"])


def queue(live: Sequence[Any]) -> Queue:
    """Return the queue from all live jobs in the queue's order."""
    waiting = [row for row in live if row["status"] == Status.QUEUED]
    same = ("folder_name", "created_by", "created_at", "folder_size_bytes", "wait_reason", "missing_bytes", "paused", "keep_source")
    return Queue(
        current_copy_compress_job=_current(oldest(live, decide.COMPRESSING_STATES)),
        current_upload_job=_current(oldest(live, decide.UPLOADING_STATES)),
        queued_jobs=[
            QueuedJob(
                job_id=row["id"],
                position=position,
                cancelling=row["cancel_requested_by"] is not None,
                **{name: row[name] for name in same},
            )
            for position, row in enumerate(waiting, 1)
        ],
        active_jobs=[job_summary(row) for row in live if row["status"] not in {Status.QUEUED, Status.COMPRESSED}],
        waiting_upload_jobs=[job_summary(row) for row in live if row["status"] == Status.COMPRESSED],
    )


def queue_update(live: Sequence[Any]) -> QueueUpdate:
    compressing, uploading = oldest(live, decide.COMPRESSING_STATES), oldest(live, decide.UPLOADING_STATES)
    waiting = sorted((row for row in live if row["status"] == Status.QUEUED), key=lambda row: (-row["priority"], row["seq"]))
    return QueueUpdate(
        len(waiting),
        compressing["id"] if compressing else None,
        uploading["id"] if uploading else None,
        zlib.crc32(b"".join(row["id"].bytes for row in waiting)),
    )


def lane_status(row: Any | None) -> LaneStatus:
    return LaneStatus("idle", None) if row is None else LaneStatus("busy", row["id"])


def statistics(counts: dict[str, int]) -> Statistics:
    ended = sum(counts.get(status, 0) for status in TERMINAL)
    total, queued = sum(counts.values()), counts.get(Status.QUEUED, 0)
    return Statistics(
        total_jobs=total,
        completed_jobs=counts.get(Status.COMPLETED, 0),
        failed_jobs=counts.get(Status.FAILED, 0),
        queued_jobs=queued,
        cancelled_jobs=counts.get(Status.CANCELLED, 0),
        active_jobs=total - ended - queued,
    )


def disk_space(total: int, used: int, free: int, promised: int) -> DiskSpace:
    """Return disk figures from bytes. Like df, `free` is what we may use, and the percentage is used of used plus free.

    The file system reserves the rest of the total for its administrator. promised: bytes that jobs and uploads will still
    write.
    """
    low = free < (used + free) * _LOW_FREE_PERCENT / 100
    percent = round(100 * used / (used + free), 1) if used + free else 0.0
    total_gb, kept_gb, free_gb = (round(size / _GB, 2) for size in (total, total - used - free, free))
    return DiskSpace(
        total_gb=total_gb,
        used_gb=round(total_gb - kept_gb - free_gb, 2),
        free_gb=free_gb,
        system_reserved_gb=kept_gb,
        job_reserved_gb=round(min(promised, free) / _GB, 2),
        percent_used=percent,
        low=low,
    )


def held_jobs(leases: Sequence[Any], instance: str) -> list[HeldJob]:
    return [
        HeldJob(row["id"], row["folder_name"], Status(row["status"]), row["lease_until"])
        for row in leases
        if row["lease_owner"] == instance
    ]


def scan_facts(row: Any | None) -> ScanFacts | None:
    if row is None:
        return None
    unreadable = [UnreadablePlace(place["path"], place["reason"]) for place in row["unreadable"]]
    return ScanFacts(row["finished_at"], row["folder_count"], unreadable)
