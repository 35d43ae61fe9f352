"""API types for folders on the NAS."""

from datetime import datetime
from uuid import UUID

import msgspec

from shared.domain.lifecycle import Status


class Folder(msgspec.Struct):
    """A folder. `job_id`, `job_status`: the live job on this folder.

    `ignored`: why it is not offered (archived, single_text_file, empty, name_impossible: too long, or not printable in one
    line). `unreadable`: entries that cannot be read. Sizes are then partial.
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
    """A category and subcategory, with the number of folders in the last scan."""

    level1: str
    level2: str
    folder_count: int
