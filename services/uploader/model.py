"""What the uploader says to Globus and what Globus answers, as plain values.

Requests are complete before they are used: stored as JSON, they can be sent again after a crash, byte for byte. Answers keep only
what a decision or a person needs; a number that Globus did not send is None, and None proves nothing.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from shared.units import counted

SYNC_CHECKSUM = 3
LABEL_MAXIMUM = 128
FINISHED = frozenset({"SUCCEEDED", "FAILED"})
FILES_OF_A_JOB = 2  # the archive and its sidecar


class Algorithm(StrEnum):
    """Checksum algorithms in the order they are tried, as Globus spells them."""

    SHA256 = "SHA256"
    MD5 = "MD5"


class Purpose(StrEnum):
    """What a submission is for."""

    TRANSFER = "transfer"
    RECHECK = "recheck"
    REMOVAL = "removal"


class RecheckPolicy(StrEnum):
    """REMOTE_RECHECK: whether the remote is read a second time before anything may be deleted."""

    ALWAYS = "always"
    NEVER = "never"


def label_for(job_id: str, attempt: int, purpose: Purpose, submission_id: str) -> str:
    """The unique name of a task, by which it is found when its id was lost. No character of it has a meaning in filters."""
    return f"cs-archiver.{job_id}.{attempt}.{purpose}.{submission_id}"


def deadline_text(moment: datetime) -> str:
    """ISO 8601 in UTC, whole seconds, rounded up: cut off, a deadline of less than a second is in the past when it arrives.

    Raises ValueError for a time without a zone, which Globus would read as another moment.
    """
    if moment.tzinfo is None:
        raise ValueError("a deadline needs a time zone")
    return (moment.astimezone(UTC) + timedelta(microseconds=999_999)).isoformat(timespec="seconds")


def _check_label(label: str) -> None:
    if not label or len(label) > LABEL_MAXIMUM or label != label.strip() or "\r" in label or "\n" in label:
        raise ValueError(
            f"a label has 1 to {counted(LABEL_MAXIMUM, 'character')}, no line break and no blank at its ends: {label!r}"
        )


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a transfer: collection paths at both ends, and our digest of it in lower-case hex."""

    source_path: str
    destination_path: str
    external_checksum: str
    checksum_algorithm: Algorithm


class TransferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer (or recheck) as it is stored before it is sent, and sent again unchanged after a crash.

    deadline: `deadline_text`. Every option is given, because the server's defaults are not ours to rely on.
    skip_source_errors stays off: with it a task can end SUCCEEDED having moved nothing.
    """

    submission_id: str
    label: str
    source_endpoint: str
    destination_endpoint: str
    items: tuple[Item, ...]
    deadline: str
    sync_level: int = SYNC_CHECKSUM
    verify_checksum: bool = True
    encrypt_data: bool = True
    preserve_timestamp: bool = False
    skip_source_errors: bool = False
    fail_on_quota_errors: bool = True
    delete_destination_extra: bool = False

    def __post_init__(self) -> None:
        _check_label(self.label)
        if not self.items:
            raise ValueError("a transfer without items moves nothing")

    def names(self) -> tuple[str, tuple[str, ...]]:
        """The collection and the paths on it that the task may change."""
        return self.destination_endpoint, tuple(item.destination_path for item in self.items)


class DeleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A removal of files (never of directories) at one collection; what is already gone is no error."""

    submission_id: str
    label: str
    endpoint: str
    paths: tuple[str, ...]
    deadline: str

    def __post_init__(self) -> None:
        _check_label(self.label)
        if not self.paths:
            raise ValueError("a removal without paths removes nothing")

    def names(self) -> tuple[str, tuple[str, ...]]:
        """The collection and the paths on it that the task may change."""
        return self.endpoint, self.paths


class FatalError(msgspec.Struct, frozen=True):
    code: str = ""
    description: str = ""


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task as Globus shows it; field names are Globus's. Times are ISO 8601 texts of Globus's clock."""

    task_id: str
    status: str
    type: str = "TRANSFER"
    label: str | None = None
    request_time: str | None = None
    completion_time: str | None = None
    deadline: str | None = None
    source_endpoint_id: str | None = None
    destination_endpoint_id: str | None = None
    sync_level: int | None = None
    verify_checksum: bool | None = None
    skip_source_errors: bool | None = None
    files: int | None = None
    files_transferred: int | None = None
    files_skipped: int | None = None
    bytes_transferred: int | None = None
    bytes_checksummed: int | None = None
    effective_bytes_per_second: int | None = None
    faults: int | None = None
    subtasks_failed: int | None = None
    subtasks_canceled: int | None = None
    subtasks_expired: int | None = None
    subtasks_skipped_errors: int | None = None
    is_paused: bool | None = None
    nice_status: str | None = None
    nice_status_short_description: str | None = None
    nice_status_details: str | None = None
    fatal_error: FatalError | None = None
    canceled_by_admin: str | None = None
    canceled_by_admin_message: str | None = None
    history_deleted: bool | None = None

    @property
    def is_finished(self) -> bool:
        """Terminal: it will touch no file any more. INACTIVE is not."""
        return self.status in FINISHED

    @property
    def moved_nothing(self) -> bool:
        """Globus says so itself: the task is over and no file and no byte went over. A number that is missing says nothing."""
        return self.is_finished and self.files_transferred == 0 and self.bytes_transferred == 0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a task's history: for display only, its format is not promised."""

    code: str
    description: str = ""
    details: str | None = None
    is_error: bool = False
    time: str = ""


class Transferred(msgspec.Struct, frozen=True, kw_only=True):
    """One file a task really moved (files skipped as equal are not listed); the last three are missing on older servers."""

    source_path: str | None = None
    destination_path: str | None = None
    size: int | None = None
    checksum: str | None = None
    checksum_algorithm: str | None = None


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """Something at the destination. type: `file`, `dir`, ...; size in bytes; name as the destination spells it."""

    name: str
    type: str
    size: int
    last_modified: str = ""


class NotFound(msgspec.Struct, frozen=True):
    """The destination was asked and said that the path does not exist. Everything else is not this."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A collection, as far as we need to know it."""

    id: str
    display_name: str | None = None
    entity_type: str | None = None
    high_assurance: bool | None = None
    disable_verify: bool | None = None
    gcp_connected: bool | None = None
    gcp_paused: bool | None = None

    @property
    def needs_data_access(self) -> bool:
        return self.entity_type == "GCSv5_mapped_collection" and not self.high_assurance


class Rejection(msgspec.Struct, frozen=True):
    """A verification did not accept what is there. remove_first: only a fresh copy can prove it, so ours must go before."""

    reason: str
    remove_first: bool = False


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A stored submission id, and what is known of its task now.

    archive_sha256, manifest_sha256: what it carries (empty for a removal). task: as Globus shows it now, None when no task of this
    id is known. refused: Globus refused the document itself and no task bears its label, so it can never become one.
    cancel_requested: we asked to end it. rejection: why a verification did not accept its result. own: it belongs to this job.
    """

    submission_id: str
    purpose: Purpose
    archive_sha256: str = ""
    manifest_sha256: str = ""
    task: TaskView | None = None
    refused: bool = False
    cancel_requested: bool = False
    rejection: Rejection | None = None
    own: bool = True

    @property
    def is_unknown(self) -> bool:
        return self.task is None and not self.refused

    @property
    def is_live(self) -> bool:
        return self.task is not None and not self.task.is_finished

    @property
    def may_have_written(self) -> bool:
        """A transfer that Globus took; False once Globus said that it moved nothing, for such a transfer owns nothing."""
        return self.purpose is Purpose.TRANSFER and not self.refused and self.task is not None and not self.task.moved_nothing
