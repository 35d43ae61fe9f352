"""Archives over the wire: make, unpack, look into. Sizes are bytes; paths are below their root, without a slash at either end."""

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
    """Files and folders of one root to be put into a new archive, which always lies in your workspace.

    `output`: its path, with its ending; absent: beside the first of `paths` (from the NAS: at the top), under the first free name.
    `format`: absent: what `output` ends with, else ARCHIVE_DEFAULT_FORMAT; an `output` that ends as another format does, or as archives
    do that are not made here (.rar), is refused. `level`: 0 stores, 9 packs hardest; absent:
    ARCHIVE_DEFAULT_LEVEL. `password`: zip (AES-256) and 7z (names too) only. `volume_bytes`: cut into parts of so many bytes, zip and
    7z only.
    """

    paths: Annotated[list[LongestPath], Meta(min_length=1, max_length=1000)]
    root: RootName = "workspace"
    output: LongestPath | None = None
    format: ArchiveFormat | None = None
    level: Annotated[int, Meta(ge=0, le=9)] | None = None
    password: Annotated[str, Meta(min_length=1, max_length=99)] | None = None
    volume_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 50)] | None = None


class ExtractionRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An archive to be unpacked into a folder of your workspace.

    `destination`: that folder, made where it is not there; absent: the archive's own folder (from the NAS: the top). Nothing that is
    there is ever replaced. `entries`: paths inside the archive, folders with all they hold; `entries_base64`: more of them, by the
    `path_base64` of the listing; none of both: everything.
    """

    path: LongestPath
    root: RootName = "workspace"
    destination: LongestPath | None = None
    entries: Annotated[list[LongestPath], Meta(max_length=1000)] = []
    entries_base64: Annotated[list[Annotated[str, Meta(max_length=6000)]], Meta(max_length=1000)] = []
    password: Password | None = None


class ArchiveJobCreated(msgspec.Struct):
    """`output`: where the result will be, in your workspace."""

    job_id: UUID
    kind: Kind
    status: Status
    name: str
    output: str
    created_at: datetime


class ArchiveContent(msgspec.Struct, kw_only=True):
    """One thing in an archive. `path_base64`: the raw bytes of a path that is no plain text, which `path` shows with escapes."""

    path: str
    type: Literal["file", "directory", "link", "other"]
    size: int
    path_base64: str | None
    modified_at: datetime | None
    crc32: str | None
    encrypted: bool


class ArchiveStatistics(msgspec.Struct, kw_only=True):
    """An archive in figures. `compression_ratio`: (1 - compressed / original) x 100. `problems`: why it will not be unpacked."""

    format: str
    files: int
    directories: int
    original_size: int
    compressed_size: int
    compression_ratio: float
    encrypted: bool
    problems: list[str]
