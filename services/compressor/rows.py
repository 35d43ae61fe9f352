"""What the compressor reads from its queries, with types. The name of the query stands in the docstring."""

from datetime import datetime
from uuid import UUID

import msgspec

from shared.domain.lifecycle import Status


class Archive(msgspec.Struct, frozen=True):
    """`archives_of`: what an attempt recorded of an archive and its sidecar. Sizes in bytes."""

    attempt: int
    archive_path: str
    staging: UUID | None
    size: int
    sha256: str
    manifest_size: int
    manifest_sha256: str

    @property
    def total(self) -> int:
        """Bytes of both files."""
        return self.size + self.manifest_size


class WholeArchive(msgspec.Struct, frozen=True):
    """`archive_of_attempt`, `packed`: the same with its manifest, packed, and everything that a new record of it needs."""

    attempt: int
    archive_path: str
    size: int
    sha256: str
    md5: str
    manifest_size: int
    manifest_sha256: str
    manifest_md5: str
    manifest: bytes
    file_count: int
    total_bytes: int


class NameInUse(msgspec.Struct, frozen=True):
    """`names_in_use`: where another job's archive is about to be."""

    archive_path: str


class Promised(msgspec.Struct, frozen=True):
    """`unwritten`, `reserved`, `promised_to`: bytes, and entries (files, folders and links)."""

    bytes: int
    entries: int


class Idle(msgspec.Struct, frozen=True):
    """`idle`: a job that waits in the queue with nobody at work."""

    id: UUID
    attempt: int


class Ending(msgspec.Struct, frozen=True):
    """`endings`: a job that has ended, so many days ago."""

    id: UUID
    status: Status
    attempt: int
    days_ago: float


class OldPack(msgspec.Struct, frozen=True):
    """`outlived_packs`: a finished pack. completed: seconds since 1970. only_copy: another pack may be what has its name now."""

    id: UUID
    completed_at: datetime
    created_by_id: UUID
    archive_path: str
    size: int
    sha256: str
    completed: float
    only_copy: bool
