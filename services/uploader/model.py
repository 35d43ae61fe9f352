"""What the uploader sends to Globus and what Globus answers, as plain values.

Requests are complete before they are used. Stored as JSON, they can be sent again after a crash, byte for byte. Answers keep only
what a decision or a person needs. A number that Globus did not send is None, and None proves nothing.
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
    """The purpose of a submission."""

    TRANSFER = "transfer"
    RECHECK = "recheck"
    REMOVAL = "removal"


class RecheckPolicy(StrEnum):
    """REMOTE_RECHECK: whether the remote is read a second time before anything may be deleted."""

    ALWAYS = "always"
    NEVER = "never"


def label_for(job_id: str, attempt: int, purpose: Purpose, submission_id: str) -> str:
    """Return the unique label of a task, by which it is found when its id was lost.

    No character in it has a meaning in filters.
    """
    return f"cs-archiver.{job_id}.{attempt}.{purpose}.{submission_id}"


def deadline_text(moment: datetime) -> str:
    """Return ISO 8601 text in UTC, whole seconds, rounded up.

    Rounded down, a deadline less than a second away would be in the past when it arrives. Raises ValueError for a time without a
    zone, which Globus would read as another moment.
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

    deadline: `deadline_text`. Every option is given, because we do not rely on the server's defaults. skip_source_errors stays
    off: with it a task can end SUCCEEDED without having moved anything.
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
        """Return the collection and the paths on it that the task may change."""
        return self.destination_endpoint, tuple(item.destination_path for item in self.items)


class DeleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A removal of files (never of directories) at one collection. A file that is already gone is no error."""

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
        """Return the collection and the paths on it that the task may change."""
        return self.endpoint, self.paths


class FatalError(msgspec.Struct, frozen=True):
    code: str = ""
    description: str = ""


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task as Globus shows it, with Globus's field names. Times are ISO 8601 texts of Globus's clock."""

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
        """Return whether the task is terminal: it will touch no file any more. INACTIVE is not terminal."""
        return self.status in FINISHED

    @property
    def moved_nothing(self) -> bool:
        """Return whether Globus itself says that the task has ended and moved no file and no byte.

        A missing number proves nothing.
        """
        return self.is_finished and self.files_transferred == 0 and self.bytes_transferred == 0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a task's history, for display only. Its format is not guaranteed."""

    code: str
    description: str = ""
    details: str | None = None
    is_error: bool = False
    time: str = ""


class Transferred(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a task really moved (files skipped as equal are not listed). The last three are missing on older servers."""

    source_path: str | None = None
    destination_path: str | None = None
    size: int | None = None
    checksum: str | None = None
    checksum_algorithm: str | None = None


class Remote(msgspec.Struct, frozen=True, kw_only=True):
    """An entry at the destination. type: `file`, `dir`, ...; size in bytes; name as the destination spells it."""

    name: str
    type: str
    size: int
    last_modified: str = ""


class NotFound(msgspec.Struct, frozen=True):
    """The destination was asked and said that the path does not exist. No other answer counts as this."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A collection, with the fields that we need."""

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
    """A verification rejected the remote files. remove_first: only a fresh copy can be proven, so ours must be removed first."""

    reason: str
    remove_first: bool = False


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A stored submission id, and what is known of its task now.

    archive_sha256, manifest_sha256: of the archive and sidecar that it carries (empty for a removal). task: as Globus
    shows it now; None when no task of this id is known. refused: Globus refused the document itself and no task has its
    label, so it can never become one. cancel_requested: we asked Globus to end it. rejection: why a verification did not
    accept its result. own: it belongs to this job.
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
        """Return whether Globus took this transfer and it may have written something.

        False once Globus said that it moved nothing, because such a transfer owns nothing.
        """
        return self.purpose is Purpose.TRANSFER and not self.refused and self.task is not None and not self.task.moved_nothing
