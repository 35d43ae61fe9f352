"""What the scanner reads from its queries, with types. The name of the query stands in the docstring."""

from datetime import datetime

import msgspec

from shared.domain.lifecycle import Status


class Proof(msgspec.Struct, frozen=True):
    """`proof`: what gives the right to delete. manifest: packed. size: of the archive, bytes. age_s: of the oldest evidence."""

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
