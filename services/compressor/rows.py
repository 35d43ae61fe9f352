"""Typed rows of the compressor's queries. Each docstring names the query."""

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
        """Return the size of both files in bytes."""
        return self.size + self.manifest_size


class WholeArchive(msgspec.Struct, frozen=True):
    """`archive_of_attempt`, `packed`: the same with its packed manifest and everything that a new record of it needs."""

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
    """`names_in_use`: the future path of another job's archive."""

    archive_path: str


class Promised(msgspec.Struct, frozen=True):
    """`unwritten`, `reserved`, `promised_to`: bytes, and entries (files, folders and links)."""

    bytes: int
    entries: int


class Idle(msgspec.Struct, frozen=True):
    """`idle`: a job that waits in the queue without a worker."""

    id: UUID
    attempt: int


class Ending(msgspec.Struct, frozen=True):
    """`endings`: a job that has ended, and how many days ago."""

    id: UUID
    status: Status
    attempt: int
    days_ago: float


class OldPack(msgspec.Struct, frozen=True):
    """`outlived_packs`: a finished pack. completed: seconds since 1970. only_copy: the file of its name may be another pack's."""

    id: UUID
    completed_at: datetime
    created_by_id: UUID
    archive_path: str
    size: int
    sha256: str
    completed: float
    only_copy: bool
