"""Files and packs as people see them. Pure."""

from datetime import timedelta
from typing import Any, Literal

import msgspec

from services.gateway.files.quota import Available
from services.gateway.files.uploads import STALE_HOURS, Arrived
from services.gateway.jobs import decide
from services.gateway.schemas.files import FileEntry, FileInfo, PackAvailableSpace, PackTask, UnfinishedUpload, UploadState
from shared.domain.lifecycle import TERMINAL, Status
from shared.domain.requests import ArchiveResult, PackRequest
from shared.files.listing import Item
from shared.files.trees import Measured

PackWord = Literal["pending", "packing", "done", "failed", "cancelled"]
PACK_WORDS: dict[Status, PackWord] = {
    Status.QUEUED: "pending",
    Status.RUNNING: "packing",
    Status.VERIFYING: "packing",
    Status.DELETING_SOURCE: "packing",
    Status.COMPLETED: "done",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
"""A pack's status in the terms of the packs API, which has fewer states than a job."""


def _facts(item: Item) -> dict[str, Any]:
    return {"is_dir": item.type == "folder"} | {name: getattr(item, name) for name in item.__struct_fields__}


def entry(item: Item) -> FileEntry:
    return FileEntry(**_facts(item))


def info(item: Item, measured: Measured | None) -> FileInfo:
    total, count = (measured.total_bytes, measured.file_count) if measured else (None, None)
    return FileInfo(**_facts(item), total_bytes=total, file_count=count)


def upload(arrived: Arrived) -> UploadState:
    shown = entry(arrived.item) if arrived.item else None
    return UploadState(upload_id=arrived.upload, received_bytes=arrived.received, total_bytes=arrived.total, entry=shown)


def unfinished(row: Any) -> UnfinishedUpload:
    same = ("path", "received_bytes", "total_bytes", "tag", "touched_at")
    ends = row["touched_at"] + timedelta(hours=STALE_HOURS)
    return UnfinishedUpload(upload_id=row["id"], expires_at=ends, **{name: row[name] for name in same})


def space(available: Available) -> PackAvailableSpace:
    return PackAvailableSpace(
        user_available=available.user,
        server_available=available.server,
        quota_bytes=available.quota,
        used_bytes=available.used,
        reserved_bytes=available.reserved,
        available_entries=available.entries.user,
        entry_limit=available.entries.limit,
        used_entries=available.entries.used,
        reserved_entries=available.entries.reserved,
        measuring=not available.is_measured,
    )


def pack(row: Any, retention_days: int) -> PackTask:
    """Return a pack from a job's row with `reserved`."""
    status, asked = Status(row["status"]), msgspec.convert(row["request"], PackRequest)
    made = msgspec.convert(row["result"], ArchiveResult) if row["result"] else None
    ended = status in TERMINAL
    cancelling = row["cancel_requested_by"] is not None and not ended
    expires = retention_days and made and row["keep_source"] and status is Status.COMPLETED
    return PackTask(
        id=row["id"],
        owner_id=row["created_by_id"],
        folder_path=asked.path,
        folder_size=row["folder_size_bytes"],
        reserved_space=row["reserved"],
        output_path=made.output_path if made else None,
        output_size=made.compressed_size if made else None,
        status=PACK_WORDS[status],
        progress=row["progress_percent"],
        error_message=row["error_message"],
        created_at=row["created_at"],
        updated_at=max(filter(None, (row["status_since"], row["progress_at"], row["fetched_at"]))),
        root=asked.root.value,
        keep_source=row["keep_source"],
        kept_count=row["kept_count"],
        format=asked.format,
        compression_level=asked.level,
        job_status=status,
        paused=row["paused"],
        cancelling=cancelling,
        message=decide.operation(status, row["current_operation"], row["wait_reason"], paused=row["paused"], cancelling=cancelling),
        file_count=row["file_count"],
        fetched_at=row["fetched_at"],
        expires_at=row["completed_at"] + timedelta(days=retention_days) if expires else None,
    )
