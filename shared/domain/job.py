"""A job as the services read it from table `jobs`, with types."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from shared.domain.lifecycle import Kind, Status
from shared.domain.requests import Request, request_from


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `jobs` at the time when it was read. It is never refreshed.

    Optional columns are null if the job's state or kind does not use them. Sizes are in bytes. `request` is the document as
    stored. `wanted` decodes it later, because an unreadable document must fail its own job and not the claim.
    """

    id: UUID
    kind: Kind
    status: Status
    attempt: int
    folder_name: str
    source_path: str
    destination_path: str | None
    keep_source: bool
    created_by: str
    created_by_id: UUID | None
    request: dict[str, Any] | None
    folder_size_bytes: int | None
    archive_attempt: int | None
    archive_size_bytes: int | None
    first_unlink_at: datetime | None
    crash_count: int
    retry_count: int
    connection_retry_count: int
    wait_reason: str | None
    missing_bytes: int | None
    cancel_requested_by: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Job":
        """Decode a row. Raises msgspec.ValidationError, which names the column, when a column is missing or has another type."""
        return msgspec.convert(dict(row), cls)

    @property
    def destination(self) -> str:
        """Return the archive's path on the destination collection. Raises ValueError for a workspace job, which has none."""
        if self.destination_path is None:
            raise ValueError(f"job {self.id} ({self.kind}) has no destination")
        return self.destination_path

    @property
    def owner(self) -> UUID:
        """Return the user whose workspace the job works in. Raises ValueError when the row names none."""
        if self.created_by_id is None:
            raise ValueError(f"job {self.id} ({self.kind}) belongs to no user")
        return self.created_by_id

    @property
    def wanted(self) -> Request:
        """Decode a workspace job's request.

        Raises KeyError for an archive job, msgspec.ValidationError for a document of another version.
        """
        return request_from(self.kind, self.request)
