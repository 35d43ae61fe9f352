"""API types for archives: create, extract, list. Sizes are bytes. Paths are relative to their root, without outer slashes."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from shared.domain.lifecycle import Kind, Status
from shared.domain.requests import ArchiveFormat

RootName = Literal["workspace", "nas"]
LongestPath = Annotated[str, Meta(max_length=4096)]
Password = Annotated[str, Meta(min_length=1, max_length=200)]


class ArchiveRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Files and folders of one root for a new archive. The archive is always created in your workspace.

    `output`: its path with extension. If absent: beside the first of `paths` (for the NAS: in the top folder), with the first
    free name. `format`: if absent, the format of the extension of `output`, else ARCHIVE_DEFAULT_FORMAT. An `output` with the
    extension of another format, or of an archive type that cannot be created here (.rar), is rejected. `level`: 0 stores, 9
    compresses most. If absent: ARCHIVE_DEFAULT_LEVEL. `password`: only for zip (AES-256) and 7z (which also encrypts names).
    `volume_bytes`: split into volumes of this size, only for zip and 7z.
    """

    paths: Annotated[list[LongestPath], Meta(min_length=1, max_length=1000)]
    root: RootName = "workspace"
    output: LongestPath | None = None
    format: ArchiveFormat | None = None
    level: Annotated[int, Meta(ge=0, le=9)] | None = None
    password: Annotated[str, Meta(min_length=1, max_length=99)] | None = None
    volume_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 50)] | None = None


class ExtractionRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An archive to be extracted into a folder of your workspace.

    `destination`: that folder, created if it does not exist. If absent: the archive's own folder (for the NAS: the top folder).
    Existing files are never replaced. `entries`: paths inside the archive. A folder includes its contents. `entries_base64`:
    more entries, by the `path_base64` of the listing. If both are absent, everything is extracted.
    """

    path: LongestPath
    root: RootName = "workspace"
    destination: LongestPath | None = None
    entries: Annotated[list[LongestPath], Meta(max_length=1000)] = []
    entries_base64: Annotated[list[Annotated[str, Meta(max_length=6000)]], Meta(max_length=1000)] = []
    password: Password | None = None


class ArchiveJobCreated(msgspec.Struct):
    """`output` is the path of the result in your workspace."""

    job_id: UUID
    kind: Kind
    status: Status
    name: str
    output: str
    created_at: datetime


class ArchiveContent(msgspec.Struct, kw_only=True):
    """An entry of an archive. `path_base64`: the raw bytes of a path that is not plain text. `path` shows it with escapes."""

    path: str
    type: Literal["file", "directory", "link", "other"]
    size: int
    path_base64: str | None
    modified_at: datetime | None
    crc32: str | None
    encrypted: bool


class ArchiveStatistics(msgspec.Struct, kw_only=True):
    """An archive's figures. `compression_ratio`: (1 - compressed / original) x 100. `problems`: why it cannot be extracted."""

    format: str
    files: int
    directories: int
    original_size: int
    compressed_size: int
    compression_ratio: float
    encrypted: bool
    problems: list[str]
