"""Typed rows of the scanner's queries. Each docstring names the query."""

from datetime import datetime

import msgspec

from shared.domain.lifecycle import Status


class Proof(msgspec.Struct, frozen=True):
    """`proof`: the evidence that permits the deletion.

    manifest: packed. size: of the archive, bytes. age_s: of the oldest evidence.
    """

    manifest: bytes
    manifest_sha256: str
    size: int
    sha256: str
    file_count: int
    verified_at: datetime
    age_s: float


class Deletion(msgspec.Struct, frozen=True):
    """`lock_deletion`: how far a deletion is. first_unlink_at: null until it has begun."""

    status: Status
    attempt: int
    first_unlink_at: datetime | None


class Scanned(msgspec.Struct, frozen=True):
    """`record_scan`: a scan that was recorded."""

    id: int
    finished_at: datetime


class Folder(msgspec.Struct, frozen=True):
    """`folder`: how big a folder was when it was last seen."""

    size_bytes: int
    file_count: int
