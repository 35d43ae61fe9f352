"""THE state machine: the allowed transitions of a job, and the only service that may make each one.

Each kind of job has one table; from top to bottom it follows a job's life. The database holds the same table (`edges`) and
refuses every other transition from any client; a test compares the two. The guard trigger of the first migration holds the extra
conditions of an edge (evidence, leases, first unlink), because only the database can enforce them against a service that lost its
lease.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    ARCHIVE = "archive"
    PACK = "pack"
    COMPRESS = "compress"
    EXTRACT = "extract"


class Status(StrEnum):
    """The states of all job kinds. In `compressed` and `verified` the next service takes over. Only workspace jobs use `running`."""

    QUEUED = "queued"
    COPYING = "copying"
    COMPRESSING = "compressing"
    VERIFYING = "verifying"
    COMPRESSED = "compressed"  # a tested archive waits for the uploader
    UPLOADING = "uploading"
    UPLOAD_VERIFYING = "upload_verifying"
    VERIFIED = "verified"  # proven at the destination; waits for the scanner
    DELETING_SOURCE = "deleting_source"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RUNNING = "running"


class Role(StrEnum):
    """The four services. Each one is also a database role `cs_<role>` and a NATS user."""

    SCANNER = "scanner"
    COMPRESSOR = "compressor"
    UPLOADER = "uploader"
    GATEWAY = "gateway"


class Edge(NamedTuple):
    """`forward`: real progress, which resets the count of earlier crashes."""

    source: Status
    target: Status
    owner: Role
    forward: bool


S, R = Status, Role

ARCHIVE_EDGES: tuple[Edge, ...] = (
    Edge(S.QUEUED, S.COPYING, R.COMPRESSOR, forward=True),
    Edge(S.QUEUED, S.COMPRESSED, R.COMPRESSOR, forward=True),  # an intact archive of an earlier attempt, or complete evidence
    Edge(S.COPYING, S.COMPRESSING, R.COMPRESSOR, forward=True),
    Edge(S.COMPRESSING, S.VERIFYING, R.COMPRESSOR, forward=True),
    Edge(S.VERIFYING, S.COMPRESSED, R.COMPRESSOR, forward=True),
    Edge(S.COPYING, S.QUEUED, R.COMPRESSOR, forward=False),  # retry, space wait, reclaim
    Edge(S.COMPRESSING, S.QUEUED, R.COMPRESSOR, forward=False),
    Edge(S.VERIFYING, S.QUEUED, R.COMPRESSOR, forward=False),
    Edge(S.COMPRESSED, S.QUEUED, R.UPLOADER, forward=False),  # the local archive is gone or differs
    Edge(S.COMPRESSED, S.UPLOADING, R.UPLOADER, forward=True),
    Edge(S.COMPRESSED, S.UPLOAD_VERIFYING, R.UPLOADER, forward=True),  # its task has already succeeded, or evidence is complete
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
    Edge(S.QUEUED, S.CANCELLED, R.GATEWAY, forward=False),  # these three: only while no worker holds a lease
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
"""The services that may still have to clean up when a job has ended."""
# A job can be cancelled until a byte of its source may be deleted. Afterwards the request is refused with a reason.
CANCELLABLE = frozenset(
    {S.QUEUED, S.COPYING, S.COMPRESSING, S.VERIFYING, S.COMPRESSED, S.UPLOADING, S.UPLOAD_VERIFYING, S.VERIFIED, S.RUNNING}
)
# A job can be paused until the archive is proven. From then on it runs to its end.
PAUSABLE = CANCELLABLE - {S.VERIFIED}


class Lane(NamedTuple):
    """The jobs that one service works on concurrently, within one limit.

    `ready`: the state that it claims from. `working`: the states that it holds. `back`: the state that a retry returns to.
    `limit`: the setting with the maximum number of jobs.
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
# A deletion that has begun is never reversed, so its retry stays in the same state.
DELETE_LANE = Lane("delete", R.SCANNER, _ARCHIVE, S.VERIFIED, (S.DELETING_SOURCE,), S.DELETING_SOURCE, "delete_limit")
WORKSPACE_LANE = Lane("workspace", R.COMPRESSOR, WORKSPACE_KINDS, S.QUEUED, (S.RUNNING, S.VERIFYING), S.QUEUED, "workspace_limit")
EMPTY_LANE = Lane(
    "empty", R.COMPRESSOR, (Kind.PACK,), S.DELETING_SOURCE, (S.DELETING_SOURCE,), S.DELETING_SOURCE, "workspace_limit"
)
"""Empties a pack's source after its archive was tested and compared. The pack's worker hands over to this lane."""

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
    """Return True when `owner` may move a job of this kind from `source` to `target`."""
    return any(e.source == source and e.target == target and e.owner == owner for e in EDGES[kind])


def overall_percent(status: Status, stage_fraction: float | None) -> int:
    """Return the overall progress in percent from the state and its completed fraction (0..1, None when unknown)."""
    floor = PROGRESS_FLOOR.get(status, 0)
    ceiling = _CEILING.get(status, floor)
    return floor + int((ceiling - floor) * min(max(stage_fraction or 0.0, 0.0), 1.0))
