"""Folders of the NAS."""

from datetime import datetime
from uuid import UUID

import msgspec

from shared.domain.lifecycle import Status


class Folder(msgspec.Struct):
    """`ignored`: why it is not offered (archived, single_text_file, empty, name_impossible: too long, or not printable in one line).

    `unreadable`: what could not be read, sizes are then partial. `job_id`, `job_status`: the live job on this folder.
    """

    path: str
    name: str
    level1: str
    level2: str
    size_bytes: int
    size_human: str
    modified_at: datetime
    file_count: int
    is_archived: bool
    ignored: str | None
    unreadable: str | None
    scanned_at: datetime
    job_id: UUID | None
    job_status: Status | None


class FolderPlace(msgspec.Struct):
    """A category and subcategory, and how many folders the last scan saw there."""

    level1: str
    level2: str
    folder_count: int
