"""One task: its stored data, and its documents in the API."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

Document = dict[str, Any]
FINISHED = frozenset({"SUCCEEDED", "FAILED"})


class Item(msgspec.Struct, kw_only=True):
    """One line of a submission. For a delete, `source_path` is the path to remove."""

    source_path: str
    destination_path: str = ""
    recursive: bool = False
    external_checksum: str | None = None
    checksum_algorithm: str | None = None


class Outcome(msgspec.Struct, kw_only=True):
    """The outcome of one file. It is stored with its event, so a restarted emulator does not repeat the file."""

    source_path: str
    destination_path: str
    result: str
    """transferred, skipped, or skipped_error."""
    size: int = 0
    checksum: str | None = None
    checksum_algorithm: str | None = None
    external_checksum: str | None = None
    error_code: str | None = None
    error_details: str | None = None
    error_time: str | None = None


class Task(msgspec.Struct, kw_only=True):
    """The state of a task. Times are seconds since the epoch by the emulator's clock."""

    task_id: str
    submission_id: str
    owner: str
    kind: str
    """TRANSFER or DELETE."""
    request_time: float
    deadline: float
    deadline_given: bool
    source: str
    """Collection id. For a delete, the only collection."""
    destination: str | None
    items: list[Item]
    label: str | None = None
    sync_level: int | None = None
    verify_checksum: bool = True
    encrypt_data: bool = False
    preserve_timestamp: bool = False
    skip_source_errors: bool = False
    fail_on_quota_errors: bool = False
    ignore_missing: bool = False
    interpret_globs: bool = False
    recursive: bool = False

    status: str = "ACTIVE"
    started: bool = False
    completion_time: float | None = None
    fatal_code: str | None = None
    fatal_description: str | None = None
    nice_status: str = "Queued"
    nice_details: str | None = None
    is_paused: bool = False
    pause_message: str | None = None
    cancel_requested: bool = False
    cancel_not_before: float = 0.0
    faults: int = 0
    files: int = 0
    directories: int = 0
    files_transferred: int = 0
    files_skipped: int = 0
    errors_skipped: int = 0
    bytes_transferred: int = 0
    bytes_checksummed: int = 0
    subtasks_retrying: int = 0

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


def moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC).isoformat()


def task_document(task: Task, *, now: float, names: dict[str, str]) -> Document:
    """Return the `task` document, with null fields as in the service."""
    total = (len(task.items) + task.files) if task.files else len(task.items)
    settled = task.files_transferred + task.files_skipped + task.errors_skipped
    scanned = len(task.items) if task.files or task.finished else 0
    succeeded = total if task.status == "SUCCEEDED" else min(total, scanned + settled)
    succeeded -= task.errors_skipped
    left = max(0, total - succeeded - task.errors_skipped)
    expired = left if task.fatal_code == "EXPIRED" else 0
    cancelled = left if task.fatal_code == "CANCELED" else 0
    failed = left if task.status == "FAILED" and not expired and not cancelled else 0
    retrying = min(left, task.subtasks_retrying) if not task.finished else 0
    elapsed = max(1.0, (task.completion_time or now) - task.request_time)
    live = not task.finished
    is_ok = task.status == "ACTIVE" and task.nice_status in {"OK", "Queued", "PAUSED"}
    end = task.destination if task.kind == "TRANSFER" else None
    return {
        "DATA_TYPE": "task",
        "task_id": task.task_id,
        "type": task.kind,
        "status": task.status,
        "label": task.label,
        "owner_id": task.owner,
        "username": "u_" + uuid.uuid5(uuid.NAMESPACE_OID, task.owner).hex[:26],
        "command": "API 0.10",
        "request_time": moment(task.request_time),
        "completion_time": moment(task.completion_time),
        "deadline": moment(task.deadline),
        "source_endpoint": names.get(task.source),
        "source_endpoint_id": task.source,
        "source_endpoint_display_name": names.get(task.source),
        "destination_endpoint": names.get(end or ""),
        "destination_endpoint_id": end,
        "destination_endpoint_display_name": names.get(end or ""),
        "source_local_user": None,
        "source_local_user_status": "NO_PERMISSION",
        "destination_local_user": None,
        "destination_local_user_status": "NO_PERMISSION",
        "source_base_path": None,
        "destination_base_path": None,
        "sync_level": task.sync_level,
        "encrypt_data": task.encrypt_data,
        "verify_checksum": task.verify_checksum,
        "preserve_timestamp": task.preserve_timestamp,
        "delete_destination_extra": False,
        "skip_source_errors": task.skip_source_errors,
        "fail_on_quota_errors": task.fail_on_quota_errors,
        "recursive_symlinks": "ignore",
        "filter_rules": None,
        "files": task.files,
        "directories": task.directories,
        "symlinks": 0,
        "files_transferred": task.files_transferred,
        "files_skipped": task.files_skipped,
        "bytes_transferred": task.bytes_transferred,
        "bytes_checksummed": task.bytes_checksummed,
        "effective_bytes_per_second": int(task.bytes_transferred / elapsed),
        "faults": task.faults,
        "subtasks_total": total,
        "subtasks_pending": left - retrying if live else 0,
        "subtasks_retrying": retrying,
        "subtasks_succeeded": succeeded,
        "subtasks_failed": failed,
        "subtasks_canceled": cancelled,
        "subtasks_expired": expired,
        "subtasks_skipped_errors": task.errors_skipped,
        "is_ok": is_ok if live else None,
        "is_paused": task.is_paused,
        "nice_status": task.nice_status if live else None,
        "nice_status_short_description": task.nice_status.lower().replace("_", " ") if live else None,
        "nice_status_details": task.nice_details if live else None,
        "nice_status_expires_in": -1 if live else None,
        "fatal_error": None if task.fatal_code is None else {"code": task.fatal_code, "description": task.fatal_description},
        "canceled_by_admin": None,
        "canceled_by_admin_message": None,
        "history_deleted": False,
        "key": f"{task.status.lower()},{moment(task.completion_time or task.request_time)}",
    }


def event_document(code: str, description: str, details: str, *, is_error: bool, time: float) -> Document:
    return {
        "DATA_TYPE": "event",
        "code": code,
        "description": description,
        "details": details,
        "is_error": is_error,
        "time": moment(time),
    }


def success_document(outcome: Outcome) -> Document:
    return {
        "DATA_TYPE": "successful_transfer",
        "source_path": outcome.source_path,
        "destination_path": outcome.destination_path,
        "size": outcome.size,
        "checksum": outcome.checksum,
        "checksum_algorithm": outcome.checksum_algorithm,
    }


def skipped_document(outcome: Outcome) -> Document:
    return {
        "DATA_TYPE": "skipped_error",
        "source_path": outcome.source_path,
        "destination_path": outcome.destination_path,
        "error_code": outcome.error_code,
        "error_details": outcome.error_details,
        "error_time": outcome.error_time,
        "is_directory": False,
        "is_symlink": False,
        "is_delete_destination_extra": False,
        "external_checksum": outcome.external_checksum,
        "checksum_algorithm": outcome.checksum_algorithm,
    }
