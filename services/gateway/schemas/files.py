"""API types for files, workspaces and packs. See schemas/__init__.py for the rules."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from shared.domain.lifecycle import Status
from shared.files.listing import EntryType

PathText = Annotated[str, Meta(max_length=4096)]
RootName = Literal["workspace", "nas"]

# Files -------------------------------------------------------------------------------------------------------------------------------


class FileEntry(msgspec.Struct, kw_only=True):
    """An entry of a folder. `path`: relative to its root, to be sent back unchanged. `size`: for a file, in bytes.

    `reachable`: false for a name that no path can express (not Unicode, or with control characters). Such a name is shown with
    escapes. Its entry is reachable only through its parent folder.
    """

    name: str
    path: str
    is_dir: bool
    type: EntryType
    size: int | None
    modified_at: datetime
    reachable: bool


class FileInfo(FileEntry, kw_only=True):
    """`total_bytes`, `file_count`: totals of a folder's contents. null if it is not a folder."""

    total_bytes: int | None
    file_count: int | None


class FolderRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`parents`: also create the parent folders, and accept an existing folder."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    parents: bool = False


class MoveRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`target`: the new path, including the name. `overwrite`: a file may replace a file. Folders never replace anything."""

    source: Annotated[str, Meta(min_length=1, max_length=4096)]
    target: Annotated[str, Meta(min_length=1, max_length=4096)]
    overwrite: bool = False


class AutoArchive(msgspec.Struct, kw_only=True):
    """What is zipped automatically after an upload or an extraction.

    `everything`: anywhere in the workspace. `folders`: in these folders and below. `waiting_files`: uploaded files that wait
    for the rest of their upload. `problem`: why the last zip was not created. The next change clears it.
    """

    everything: bool
    folders: list[str]
    waiting_files: int
    problem: str | None
    problem_at: datetime | None


class AutoArchiveChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An absent value stays unchanged. `folders` need not exist yet."""

    everything: bool | None = None
    folders: Annotated[list[Annotated[str, Meta(min_length=1, max_length=4096)]], Meta(max_length=100)] | None = None


class UploadBatch(msgspec.Struct, forbid_unknown_fields=True):
    """`batch` is the value that was sent with each file."""

    batch: Annotated[str, Meta(min_length=1, max_length=100)]


class UploadState(msgspec.Struct, kw_only=True):
    """The progress of an upload. `entry`: the published file. Until it is complete, continue at `received_bytes`."""

    upload_id: UUID
    received_bytes: int
    total_bytes: int
    entry: FileEntry | None


class UnfinishedUpload(msgspec.Struct, kw_only=True):
    """`expires_at`: when the received bytes are discarded, unless the upload continues."""

    upload_id: UUID
    path: str
    received_bytes: int
    total_bytes: int
    tag: str
    touched_at: datetime
    expires_at: datetime


# Packs -------------------------------------------------------------------------------------------------------------------------------


class PackRequested(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`folder_path`: a folder of the workspace or, with `root` nas, of the NAS.

    Unless `keep_source` is true, a WORKSPACE FOLDER IS DELETED after its archive was tested and compared with it. A NAS folder
    is never deleted. `format`, `compression_level`: if absent, the admin's settings apply.
    """

    folder_path: Annotated[str, Meta(min_length=1, max_length=4096)]
    keep_source: bool = False
    root: RootName = "workspace"
    format: Literal["zip", "7z"] | None = None
    compression_level: Annotated[int, Meta(ge=1, le=9)] | None = None


class PackTask(msgspec.Struct, kw_only=True):
    """A pack. `reserved_space`: the space that it reserves now, 0 once it has ended and is cleaned up.

    `output_path`: relative to the workspace. `keep_source`: whether the folder stays. `kept_count`: entries of the folder that
    changed or appeared during the pack and were kept. `updated_at` changes with status and progress. `fetched_at`: the first
    download. `expires_at`: when the archive is removed. null: never automatically.
    """

    id: UUID
    owner_id: UUID
    folder_path: str
    folder_size: int
    reserved_space: int
    output_path: str | None
    output_size: int | None
    status: Literal["pending", "packing", "done", "failed", "cancelled"]
    progress: Annotated[int, Meta(ge=0, le=100)]
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    root: RootName
    keep_source: bool
    kept_count: int
    format: Literal["zip", "7z"]
    compression_level: int
    job_status: Status
    paused: bool
    cancelling: bool
    message: str
    file_count: int | None
    fetched_at: datetime | None
    expires_at: datetime | None


class PackCancelled(msgspec.Struct):
    ok: bool
    message: str


class PackAvailableSpace(msgspec.Struct, kw_only=True):
    """Space in bytes. `user_available`: what you may still add, the lower of the rest of your quota and the server's free space.

    `..._entries`: the same in files, folders and links. The workspace may hold `entry_limit`. `measuring`: your workspace is
    being measured for the first time. Until then, `used_bytes` and `used_entries` are only the recorded values.
    """

    user_available: int
    server_available: int
    quota_bytes: int
    used_bytes: int
    reserved_bytes: int
    available_entries: int
    entry_limit: int
    used_entries: int
    reserved_entries: int
    measuring: bool


# Workspaces, for admins ----------------------------------------------------------------------------------------------------------------


class Workspace(msgspec.Struct, kw_only=True):
    """A user's workspace. `left_at`: when its user was deleted. It is kept until an admin removes it.

    `quota_bytes`: the effective quota. `..._entries`: files, folders and links. `measuring`: it is being measured for the first
    time.
    """

    user_id: UUID
    username: str | None
    left_at: datetime | None
    quota_bytes: int
    used_bytes: int
    reserved_bytes: int
    file_count: int
    entry_limit: int
    used_entries: int
    reserved_entries: int
    measuring: bool
