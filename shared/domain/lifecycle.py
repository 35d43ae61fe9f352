"""THE state machine: which job may go from where to where, and who alone may take it there.

One table per kind, read top to bottom as a job's life. The database holds the same table (`edges`) and refuses everything else,
whoever asks; a test compares the two. The extra conditions of an edge (evidence, leases, first unlink) stand in the guard trigger
of the first migration, because only the database can enforce them against a service that lost its lease.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    ARCHIVE = "archive"
    PACK = "pack"
    COMPRESS = "compress"
    EXTRACT = "extract"


class Status(StrEnum):
    """The states of all kinds of jobs. `compressed` and `verified` hand over to the next service; `running` belongs to workspace jobs."""

    QUEUED = "queued"
    COPYING = "copying"
    COMPRESSING = "compressing"
    VERIFYING = "verifying"
    COMPRESSED = "compressed"  # tested archive waits for the uploader
    UPLOADING = "uploading"
    UPLOAD_VERIFYING = "upload_verifying"
    VERIFIED = "verified"  # proven to be at the destination; waits for the scanner
    DELETING_SOURCE = "deleting_source"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RUNNING = "running"


class Role(StrEnum):
    """The four services; each is also a database role `cs_<role>` and a NATS user."""

    SCANNER = "scanner"
    COMPRESSOR = "compressor"
    UPLOADER = "uploader"
    GATEWAY = "gateway"


class Edge(NamedTuple):
    """`forward`: real progress, which forgives earlier crashes."""

    source: Status
    target: Status
    owner: Role
    forward: bool


S, R = Status, Role

ARCHIVE_EDGES: tuple[Edge, ...] = (
    Edge(S.QUEUED, S.COPYING, R.COMPRESSOR, forward=True),
    Edge(S.QUEUED, S.COMPRESSED, R.COMPRESSOR, forward=True),  # intact archive of an earlier attempt, or complete evidence
    Edge(S.COPYING, S.COMPRESSING, R.COMPRESSOR, forward=True),
    Edge(S.COMPRESSING, S.VERIFYING, R.COMPRESSOR, forward=True),
    Edge(S.VERIFYING, S.COMPRESSED, R.COMPRESSOR, forward=True),
    Edge(S.COPYING, S.QUEUED, R.COMPRESSOR, forward=False),  # retry, space wait, reclaim
    Edge(S.COMPRESSING, S.QUEUED, R.COMPRESSOR, forward=False),
    Edge(S.VERIFYING, S.QUEUED, R.COMPRESSOR, forward=False),
    Edge(S.COMPRESSED, S.QUEUED, R.UPLOADER, forward=False),  # the local archive is gone or differs
    Edge(S.COMPRESSED, S.UPLOADING, R.UPLOADER, forward=True),
    Edge(S.COMPRESSED, S.UPLOAD_VERIFYING, R.UPLOADER, forward=True),  # its task succeeded already, or evidence is complete
    Edge(S.UPLOADING, S.UPLOAD_VERIFYING, R.UPLOADER, forward=True),
    Edge(S.UPLOADING, S.COMPRESSED, R.UPLOADER, forward=False),  # retry, reclaim
    Edge(S.UPLOAD_VERIFYING, S.COMPRESSED, R.UPLOADER, forward=False),
    Edge(S.UPLOAD_VERIFYING, S.VERIFIED, R.UPLOADER, forward=True),
    Edge(S.VERIFIED, S.DELETING_SOURCE, R.SCANNER, forward=True),
    Edge(S.VERIFIED, S.COMPLETED, R.SCANNER, forward=True),  # the job keeps its source
    Edge(S.VERIFIED, S.FAILED, R.SCANNER, forward=False),  # nothing may be deleted
    Edge(S.DELETING_SOURCE, S.COMPLETED, R.SCANNER, forward=True),
    Edge(S.DELETING_SOURCE, S.FAILED, R.SCANNER, forward=False),  # only before the first unlink
    *(
        Edge(source, target, owner, forward=False)
        for owner, sources in (
            (R.COMPRESSOR, (S.QUEUED, S.COPYING, S.COMPRESSING, S.VERIFYING)),
            (R.UPLOADER, (S.COMPRESSED, S.UPLOADING, S.UPLOAD_VERIFYING)),
        )
        for source in sources
        for target in (S.FAILED, S.CANCELLED)
    ),
    Edge(S.QUEUED, S.CANCELLED, R.GATEWAY, forward=False),  # these three: only while nobody holds a lease
    Edge(S.COMPRESSED, S.CANCELLED, R.GATEWAY, forward=False),
    Edge(S.VERIFIED, S.CANCELLED, R.GATEWAY, forward=False),
    Edge(S.FAILED, S.QUEUED, R.GATEWAY, forward=False),  # manual retry
)

WORKSPACE_EDGES: tuple[Edge, ...] = (
    Edge(S.QUEUED, S.RUNNING, R.COMPRESSOR, forward=True),
    Edge(S.RUNNING, S.VERIFYING, R.COMPRESSOR, forward=True),
    Edge(S.VERIFYING, S.DELETING_SOURCE, R.COMPRESSOR, forward=True),
    Edge(S.VERIFYING, S.COMPLETED, R.COMPRESSOR, forward=True),
    Edge(S.DELETING_SOURCE, S.COMPLETED, R.COMPRESSOR, forward=True),
    Edge(S.RUNNING, S.QUEUED, R.COMPRESSOR, forward=False),
    Edge(S.VERIFYING, S.QUEUED, R.COMPRESSOR, forward=False),
    *(
        Edge(source, target, R.COMPRESSOR, forward=False)
        for source in (S.QUEUED, S.RUNNING, S.VERIFYING)
        for target in (S.FAILED, S.CANCELLED)
    ),
    Edge(S.QUEUED, S.CANCELLED, R.GATEWAY, forward=False),
    Edge(S.FAILED, S.QUEUED, R.GATEWAY, forward=False),
)

EDGES: dict[Kind, tuple[Edge, ...]] = {
    Kind.ARCHIVE: ARCHIVE_EDGES,
    Kind.PACK: WORKSPACE_EDGES,
    Kind.COMPRESS: WORKSPACE_EDGES,
    Kind.EXTRACT: WORKSPACE_EDGES,
}

TERMINAL = frozenset({S.COMPLETED, S.FAILED, S.CANCELLED})
CLEANERS = (Role.COMPRESSOR, Role.UPLOADER)
"""Who may owe something when a job has ended."""
# Cancel is possible before any byte of a source may go; afterwards it is refused with a reason.
CANCELLABLE = frozenset(
    {S.QUEUED, S.COPYING, S.COMPRESSING, S.VERIFYING, S.COMPRESSED, S.UPLOADING, S.UPLOAD_VERIFYING, S.VERIFIED, S.RUNNING}
)
# Pause is possible until the archive is proven; from there on a job runs to its end.
PAUSABLE = CANCELLABLE - {S.VERIFIED}


class Lane(NamedTuple):
    """What one service works on at the same time, within one limit.

    `ready` is where it picks up, `working` what it holds, `back` where a retry returns to; `limit` is the setting that says how many.
    """

    name: str
    role: Role
    kinds: tuple[Kind, ...]
    ready: Status
    working: tuple[Status, ...]
    back: Status
    limit: str


WORKSPACE_KINDS = (Kind.PACK, Kind.COMPRESS, Kind.EXTRACT)

_ARCHIVE = (Kind.ARCHIVE,)
_PACKING = (S.COPYING, S.COMPRESSING, S.VERIFYING)
COMPRESS_LANE = Lane("compress", R.COMPRESSOR, _ARCHIVE, S.QUEUED, _PACKING, S.QUEUED, "compress_limit")
UPLOAD_LANE = Lane("upload", R.UPLOADER, _ARCHIVE, S.COMPRESSED, (S.UPLOADING, S.UPLOAD_VERIFYING), S.COMPRESSED, "upload_limit")
# A deletion once begun is never taken back: its retry stays where it is.
DELETE_LANE = Lane("delete", R.SCANNER, _ARCHIVE, S.VERIFIED, (S.DELETING_SOURCE,), S.DELETING_SOURCE, "delete_limit")
WORKSPACE_LANE = Lane("workspace", R.COMPRESSOR, WORKSPACE_KINDS, S.QUEUED, (S.RUNNING, S.VERIFYING), S.QUEUED, "workspace_limit")
EMPTY_LANE = Lane(
    "empty", R.COMPRESSOR, (Kind.PACK,), S.DELETING_SOURCE, (S.DELETING_SOURCE,), S.DELETING_SOURCE, "workspace_limit"
)
"""A pack's own source, after its archive was tested and compared; the pack's worker hands over to it."""

# Overall progress at which each state begins, in percent.
PROGRESS_FLOOR: dict[Status, int] = {
    S.QUEUED: 0,
    S.RUNNING: 0,
    S.COPYING: 0,
    S.COMPRESSING: 33,
    S.VERIFYING: 66,
    S.COMPRESSED: 75,
    S.UPLOADING: 75,
    S.UPLOAD_VERIFYING: 85,
    S.VERIFIED: 95,
    S.DELETING_SOURCE: 95,
    S.COMPLETED: 100,
}
_CEILING: dict[Status, int] = {
    S.RUNNING: 66,
    S.COPYING: 33,
    S.COMPRESSING: 66,
    S.VERIFYING: 75,
    S.UPLOADING: 85,
    S.UPLOAD_VERIFYING: 95,
    S.DELETING_SOURCE: 99,
}


def may(kind: Kind, source: Status, target: Status, owner: Role) -> bool:
    """True when `owner` may take a job of this kind from `source` to `target`."""
    return any(e.source == source and e.target == target and e.owner == owner for e in EDGES[kind])


def overall_percent(status: Status, stage_fraction: float | None) -> int:
    """Overall progress in percent from the state and how much of it is done (0..1, None when unknown)."""
    floor = PROGRESS_FLOOR.get(status, 0)
    ceiling = _CEILING.get(status, floor)
    return floor + int((ceiling - floor) * min(max(stage_fraction or 0.0, 0.0), 1.0))
