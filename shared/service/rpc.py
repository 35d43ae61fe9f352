"""What services ask each other over NATS request/reply: the question and the answer of each, in one file.

`Bus.ask(service, name, question, Answer)` on one side, `Bus.serve(name, handler)` on the other. A refusal comes back as the error
family it was raised as.
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
    """`rpc.scanner.inspect`: may this folder be archived? Refused (permanent) with a sentence for the user when not."""

    path: str


class Inspected(msgspec.Struct):
    """The folder as it is now; sizes in bytes as of the last scan, None when no scan has seen it."""

    path: str
    name: str
    level1: str
    level2: str
    device: int
    inode: int
    size_bytes: int | None = None
    file_count: int | None = None


class AskClock(msgspec.Struct):
    """`rpc.scanner.clock`: what time is it on the NAS? Asked before a copy, whose reader may not write there."""


class ClockSeen(msgspec.Struct):
    """server_ns, granularity_ns: as in `shared.files.clocks.Stamp`."""

    server_ns: int
    granularity_ns: int


class Refresh(msgspec.Struct):
    """`rpc.scanner.refresh`: scan now, or join the scan that is running; answered when it has ended."""


class Refreshed(msgspec.Struct):
    scan_id: int
    finished_at: datetime
    folder_count: int


class AskDestination(msgspec.Struct):
    """`rpc.uploader.destination`: what stands under this path, archive and sidecar.

    `job_id`: whose own unverified file is no obstacle.
    """

    path: str
    job_id: UUID | None = None


class DestinationState(msgspec.Struct):
    """What is at a destination, archive and sidecar.

    absent: "not found" for both names. own: this job's unverified file. foreign: anything else is there. busy: another job's work on
    the path is not over; `detail` says which. unknown: no clear answer.
    """

    state: Literal["absent", "own", "foreign", "busy", "unknown"]
    detail: str = ""


class ReleaseDestination(msgspec.Struct):
    """`rpc.uploader.release_destination`: give up the place of an archive that is there no more (custody 3).

    Refused (permanent) with a sentence when something is there, or when the job is at work or holds no proven place.
    """

    job_id: UUID


class DestinationReleased(msgspec.Struct):
    path: str


class RecheckSize(msgspec.Struct):
    """`rpc.uploader.recheck_size`: do both remote files still have the recorded sizes? Asked before an old proof is used."""

    job_id: UUID


class SizeChecked(msgspec.Struct):
    ok: bool
    detail: str = ""


class GlobusCheck(msgspec.Struct):
    """`rpc.uploader.globus_check`: say whether the connection to Globus works now."""


class CollectionState(msgspec.Struct):
    """A collection as Globus describes it. `connected`: only of those on a personal machine."""

    id: str
    display_name: str | None = None
    entity_type: str | None = None
    high_assurance: bool | None = None
    connected: bool | None = None


class GlobusChecked(msgspec.Struct):
    """`problems`: sentences for the administrator (a missing consent, a directory that cannot be listed); none: all is well.

    A side is None when Globus does not show it to us; `..._listed`: its directory can be read, which takes the consents as well.
    """

    emulated: bool
    transfer_url: str
    problems: list[str]
    source: CollectionState | None = None
    destination: CollectionState | None = None
    source_listed: bool = False
    destination_listed: bool = False


class PlanArchive(msgspec.Struct):
    """`rpc.compressor.plan_archive`: what an archive of these paths would hold. Paths are below `root` (workspace: the owner's).

    `output`: the archive's path in the workspace; `rename`: take the first free name like it instead of refusing a taken one.
    Refused with the codes "not-found" and "taken".
    """

    root: Root
    owner: UUID
    paths: list[str]
    output: str
    rename: bool


class PlannedArchive(msgspec.Struct):
    """`output`: the path that is free. Bytes are the content of files; links and files are counted."""

    output: str
    total_bytes: int
    file_count: int


class PlanExtraction(msgspec.Struct):
    """`rpc.compressor.plan_extraction`: may this archive be unpacked there? Refused with the codes "not-found" and "taken"."""

    root: Root
    owner: UUID
    path: str
    destination: str


class PlannedExtraction(msgspec.Struct):
    archive_bytes: int


class ListArchive(msgspec.Struct):
    """`rpc.compressor.list_archive`: a page of an archive's entries whose path holds `q`, in the archive's order."""

    root: Root
    owner: UUID
    path: str
    password: str | None = None
    q: str | None = None
    limit: int = 100
    offset: int = 0


class ArchiveEntry(msgspec.Struct):
    """One thing in an archive. `path` is for display where `path_base64` holds the raw bytes of one that is no plain text."""

    path: str
    type: Literal["file", "directory", "link", "other"]
    size: int
    path_base64: str | None = None
    modified_at: datetime | None = None
    crc32: str | None = None
    encrypted: bool = False


class ArchiveListing(msgspec.Struct):
    """`total`: how many match; a page is shorter than asked for where its names are very long."""

    total: int
    entries: list[ArchiveEntry]


class AskArchiveStats(msgspec.Struct):
    """`rpc.compressor.archive_stats`: figures of an archive, without unpacking it."""

    root: Root
    owner: UUID
    path: str
    password: str | None = None


class ArchiveStats(msgspec.Struct):
    """Sizes in bytes; ratio = (1 - compressed / original) x 100. `problems`: what would refuse it when it is unpacked."""

    format: str
    files: int
    directories: int
    original_size: int
    compressed_size: int
    compression_ratio: float
    encrypted: bool
    problems: list[str]


class Browse(msgspec.Struct):
    """`rpc.scanner.browse`: what is in a folder of the NAS (path below the base, "": the base itself). Answered by `listing.Page`."""

    path: str
    wanted: Wanted


class MeasureFolder(msgspec.Struct):
    """`rpc.scanner.measure`: how much is in a folder of the NAS, now. Refused (permanent) when it is no folder."""

    path: str


class FolderMeasured(msgspec.Struct):
    """Of regular files, in bytes."""

    total_bytes: int
    file_count: int


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder below a root. `owner`: whose workspace; the asker has made sure that this person may look there."""

    root: Root
    path: str
    owner: UUID | None = None


class AskMedia(msgspec.Struct, kw_only=True):
    """`rpc.scanner.media_info`: what is this file? Refused with a code of `shared.media.reader.CODES`, or "not-found"."""

    place: Place
    brief: bool = False


class MediaAnswer(msgspec.Struct, kw_only=True):
    """`version` changes when the file does."""

    info: MediaInfo
    version: str


class AskPicture(msgspec.Struct, kw_only=True):
    """`rpc.scanner.thumbnail` (at_s) and `rpc.scanner.contact_sheet` (frames, columns).

    width: pixels, None: THUMBNAIL_SIZE. format: None: THUMBNAIL_FORMAT. known: versions the asker has; then no image is sent.
    """

    place: Place
    at_s: float = 0.0
    frames: int = 12
    columns: int = 4
    width: int | None = None
    format: limits.ImageFormat | None = None
    known: list[str] = []


class PictureAnswer(msgspec.Struct, kw_only=True):
    """`version` names this image of this file; `image` is empty when the asker knows it."""

    version: str
    image: bytes
    media_type: str
    width: int
    height: int
    seconds: list[float]
    notice: str = ""


class AskPreview(msgspec.Struct, kw_only=True):
    """`rpc.scanner.preview`: what is in this folder (absolute path, three levels below the base)? Asked again until `complete`.

    wait_s: how long to wait for the end. refresh: look again, also where the last look is fresh.
    """

    path: str
    wait_s: float = 1.0
    refresh: bool = False


class TypeCount(msgspec.Struct, frozen=True):
    """Files by the ending of their names, small letters; "": without one, "...": the rest."""

    type: str
    file_count: int
    size_bytes: int


class NamedSize(msgspec.Struct, frozen=True):
    """A file, by its path below the folder."""

    path: str
    size_bytes: int


class Branch(msgspec.Struct, frozen=True):
    """A folder below the folder, and everything in it. depth: 1 for its own subfolders."""

    path: str
    depth: int
    file_count: int
    size_bytes: int


class MediaTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Films and sound in the folder. Only `measured_count` of the files have been asked for their length (the largest first)."""

    file_count: int = 0
    size_bytes: int = 0
    measured_count: int = 0
    unreadable_count: int = 0
    duration_seconds: float = 0.0


class FilmSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One media file, as a check before it is archived. `path`: below the folder. `quality`: None for sound, or one that cannot be read.

    `resolution`: such as "1920x1080 @ 25 FPS". `warnings`: a bit rate that is low for the picture, damage, or why it cannot be read.
    """

    path: str
    size_bytes: int
    duration_seconds: float | None = None
    resolution: str | None = None
    quality: str | None = None
    warnings: list[str] = []


class FolderSeen(msgspec.Struct, kw_only=True):
    """What has been seen of a folder so far; `complete`: all of it.

    films: the media files that were looked into (see `media`), those with warnings first.

    refusals: what the pre-flight would refuse, each with what to do; warnings: what only the sidecar keeps; changed: what changed
    meanwhile. tree: two levels, the largest first, `tree_complete` when nothing was left out.
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
