"""The requests between services over NATS request/reply: each question and its answer, in one file.

One side calls `Bus.ask(service, name, question, Answer)`, the other `Bus.serve(name, handler)`. A refusal is raised on the asking
side as the same error family.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from shared.files.listing import Wanted
from shared.files.paths import Root
from shared.media import limits
from shared.media.model import MediaInfo


class Inspect(msgspec.Struct):
    """`rpc.scanner.inspect`: check whether this folder may be archived. If not: a permanent error with a sentence for the user."""

    path: str


class Inspected(msgspec.Struct):
    """The folder as it is now. Sizes in bytes as of the last scan; None when no scan has seen it."""

    path: str
    name: str
    level1: str
    level2: str
    device: int
    inode: int
    size_bytes: int | None = None
    file_count: int | None = None


class AskClock(msgspec.Struct):
    """`rpc.scanner.clock`: return the NAS's time. Asked before a copy, because the copier may not write there."""


class ClockSeen(msgspec.Struct):
    """The NAS's time. server_ns, granularity_ns: as in `shared.files.clocks.Stamp`."""

    server_ns: int
    granularity_ns: int


class Refresh(msgspec.Struct):
    """`rpc.scanner.refresh`: scan now, or join the scan that is running. Answered when it has ended."""


class Refreshed(msgspec.Struct):
    scan_id: int
    finished_at: datetime
    folder_count: int


class AskDestination(msgspec.Struct):
    """`rpc.uploader.destination`: return what is under this path, archive and sidecar.

    `job_id`: the job whose own unverified file is no obstacle.
    """

    path: str
    job_id: UUID | None = None


class DestinationState(msgspec.Struct):
    """What is at a destination, archive and sidecar.

    absent: "not found" for both names. own: this job's unverified file. foreign: anything else is there. busy: another job's work
    on the path is not finished; `detail` says which. unknown: no clear answer.
    """

    state: Literal["absent", "own", "foreign", "busy", "unknown"]
    detail: str = ""


class ReleaseDestination(msgspec.Struct):
    """`rpc.uploader.release_destination`: release the destination of an archive that is gone (custody 3).

    Fails (permanent) with a sentence when something is there, when the job has a worker, or when it holds no proven destination.
    """

    job_id: UUID


class DestinationReleased(msgspec.Struct):
    path: str


class RecheckSize(msgspec.Struct):
    """`rpc.uploader.recheck_size`: check that both remote files still have the recorded sizes.

    Asked before an old proof is used.
    """

    job_id: UUID


class SizeChecked(msgspec.Struct):
    ok: bool
    detail: str = ""


class GlobusCheck(msgspec.Struct):
    """`rpc.uploader.globus_check`: check whether the connection to Globus works now."""


class CollectionState(msgspec.Struct):
    """A collection as Globus describes it. `connected`: only for collections on a personal machine."""

    id: str
    display_name: str | None = None
    entity_type: str | None = None
    high_assurance: bool | None = None
    connected: bool | None = None


class GlobusChecked(msgspec.Struct):
    """`problems`: sentences for the administrator (a missing consent, a directory that cannot be listed); empty when all is well.

    A side is None when Globus does not show it to us. `..._listed`: its directory can be read, which requires the consents as
    well.
    """

    emulated: bool
    transfer_url: str
    problems: list[str]
    source: CollectionState | None = None
    destination: CollectionState | None = None
    source_listed: bool = False
    destination_listed: bool = False


class PlanArchive(msgspec.Struct):
    """`rpc.compressor.plan_archive`: return what an archive of these paths would hold.

    Paths are below `root` (workspace: the owner's).

    `output`: the archive's path in the workspace. `rename`: take the first free name like it instead of refusing a taken one.
    Fails with the codes "not-found" and "taken".
    """

    root: Root
    owner: UUID
    paths: list[str]
    output: str
    rename: bool


class PlannedArchive(msgspec.Struct):
    """`output`: the path that is free. Bytes are the content of files. Links and files are counted."""

    output: str
    total_bytes: int
    file_count: int


class PlanExtraction(msgspec.Struct):
    """`rpc.compressor.plan_extraction`: check whether this archive may be unpacked there.

    Fails with the codes "not-found" and "taken".
    """

    root: Root
    owner: UUID
    path: str
    destination: str


class PlannedExtraction(msgspec.Struct):
    archive_bytes: int


class ListArchive(msgspec.Struct):
    """`rpc.compressor.list_archive`: return a page of an archive's entries whose path contains `q`, in the archive's order."""

    root: Root
    owner: UUID
    path: str
    password: str | None = None
    q: str | None = None
    limit: int = 100
    offset: int = 0


class ArchiveEntry(msgspec.Struct):
    """One entry of an archive.

    `path` is for display only if `path_base64` is set: it holds the raw bytes of a path that is not plain text.
    """

    path: str
    type: Literal["file", "directory", "link", "other"]
    size: int
    path_base64: str | None = None
    modified_at: datetime | None = None
    crc32: str | None = None
    encrypted: bool = False


class ArchiveListing(msgspec.Struct):
    """`total`: how many entries match. A page is shorter than requested if its names are very long."""

    total: int
    entries: list[ArchiveEntry]


class AskArchiveStats(msgspec.Struct):
    """`rpc.compressor.archive_stats`: return figures of an archive, without unpacking it."""

    root: Root
    owner: UUID
    path: str
    password: str | None = None


class ArchiveStats(msgspec.Struct):
    """Sizes in bytes; ratio = (1 - compressed / original) x 100. `problems`: reasons why an extraction would be refused."""

    format: str
    files: int
    directories: int
    original_size: int
    compressed_size: int
    compression_ratio: float
    encrypted: bool
    problems: list[str]


class Browse(msgspec.Struct):
    """`rpc.scanner.browse`: list a folder of the NAS (path below the base, "": the base itself). Answered by `listing.Page`."""

    path: str
    wanted: Wanted


class MeasureFolder(msgspec.Struct):
    """`rpc.scanner.measure`: return how much is in a folder of the NAS now. Fails (permanent) when it is not a folder."""

    path: str


class FolderMeasured(msgspec.Struct):
    """The totals of regular files, in bytes."""

    total_bytes: int
    file_count: int


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder below a root. `owner`: the workspace's owner; the asker has checked that the user may read there."""

    root: Root
    path: str
    owner: UUID | None = None


class AskMedia(msgspec.Struct, kw_only=True):
    """`rpc.scanner.media_info`: return what this file is. Fails with a code of `shared.media.reader.CODES`, or "not-found"."""

    place: Place
    brief: bool = False


class MediaAnswer(msgspec.Struct, kw_only=True):
    """The answer. `version` changes when the file does."""

    info: MediaInfo
    version: str


class AskPicture(msgspec.Struct, kw_only=True):
    """`rpc.scanner.thumbnail` (at_s) and `rpc.scanner.contact_sheet` (frames, columns).

    width: pixels, None: THUMBNAIL_SIZE. format: None: THUMBNAIL_FORMAT. known: versions that the asker has; for those no image is
    sent.
    """

    place: Place
    at_s: float = 0.0
    frames: int = 12
    columns: int = 4
    width: int | None = None
    format: limits.ImageFormat | None = None
    known: list[str] = []


class PictureAnswer(msgspec.Struct, kw_only=True):
    """`version` identifies this image of this file. `image` is empty when the asker has it."""

    version: str
    image: bytes
    media_type: str
    width: int
    height: int
    seconds: list[float]
    notice: str = ""


class AskPreview(msgspec.Struct, kw_only=True):
    """`rpc.scanner.preview`: return what is in this folder (absolute path, three levels below the base).

    Asked again until `complete`.

    wait_s: how long to wait for the end. refresh: scan again, even if the last scan is fresh.
    """

    path: str
    wait_s: float = 1.0
    refresh: bool = False


class TypeCount(msgspec.Struct, frozen=True):
    """Files by extension, in lower case. "": without one, "...": the rest."""

    type: str
    file_count: int
    size_bytes: int


class NamedSize(msgspec.Struct, frozen=True):
    """A file, with its path below the folder."""

    path: str
    size_bytes: int


class Branch(msgspec.Struct, frozen=True):
    """A folder below the folder, with everything in it. depth: 1 for direct subfolders."""

    path: str
    depth: int
    file_count: int
    size_bytes: int


class MediaTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Films and sound in the folder. Only the lengths of `measured_count` files have been read (the largest first)."""

    file_count: int = 0
    size_bytes: int = 0
    measured_count: int = 0
    unreadable_count: int = 0
    duration_seconds: float = 0.0


class FilmSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One media file, as checked before it is archived.

    `path`: below the folder. `quality`: None for sound, or for a file that cannot be read. `resolution`: such as "1920x1080 @ 25
    FPS". `warnings`: a bit rate that is low for the picture, damage, or why the file cannot be read.
    """

    path: str
    size_bytes: int
    duration_seconds: float | None = None
    resolution: str | None = None
    quality: str | None = None
    warnings: list[str] = []


class FolderSeen(msgspec.Struct, kw_only=True):
    """What has been seen of a folder so far. `complete`: everything has been seen.

    films: the media files that were read (see `media`), those with warnings first.

    refusals: what the pre-flight would refuse, each with what to do. warnings: what only the sidecar keeps. changed: what changed
    meanwhile. tree: two levels, the largest first; `tree_complete` when nothing was left out.
    """

    path: str
    complete: bool
    stage: Literal["waiting", "walking", "media", "complete"]
    seconds: float
    file_count: int = 0
    folder_count: int = 0
    total_bytes: int = 0
    refusals: list[str] = []
    warnings: list[str] = []
    changed: list[str] = []
    types: list[TypeCount] = []
    largest: list[NamedSize] = []
    tree: list[Branch] = []
    tree_complete: bool = True
    media: MediaTotals = msgspec.field(default_factory=MediaTotals)
    films: list[FilmSeen] = []
