"""Jobs in the database: read one, and change its state. Claims are made in `shared/service/worker.py`."""

from uuid import UUID

import msgspec

from shared.domain.job import Job
from shared.domain.lifecycle import Status
from shared.infra.db import Database, Session


class State(msgspec.Struct, frozen=True):
    """`state_of`: the current state of a job."""

    status: Status
    attempt: int


class Asked(msgspec.Struct, frozen=True):
    """`renew`: what users requested for a job while a worker had it."""

    cancel_requested_by: str | None
    paused: bool


class Unheld(msgspec.Struct, frozen=True):
    """`unheld`: a job without a worker."""

    id: UUID


class Owed(msgspec.Struct, frozen=True):
    """`claim_cleanup`: a clean-up that was claimed."""

    job_id: UUID


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a job's state, from `was` to `to`, by the worker that has this attempt.

    operation: shown to users as the current operation. delay_s: seconds until anybody may claim the job; None: unchanged. retries,
    connection_retries: what the attempt spent of each budget.
    """

    job_id: UUID
    attempt: int
    was: Status
    to: Status
    keep_lease: bool
    progress_percent: int
    operation: str
    delay_s: float | None = None
    reason: str | None = None
    missing_bytes: int | None = None
    error: str | None = None
    error_code: str | None = None
    retries: int = 0
    connection_retries: int = 0


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """The release of a job whose state stays. `Transition` explains the fields. reason: None keeps the current one."""

    job_id: UUID
    attempt: int
    delay_s: float | None = None
    reason: str | None = None
    missing_bytes: int | None = None
    retries: int = 0
    connection_retries: int = 0


async def load(db: Database, job_id: UUID) -> Job | None:
    """Return a job as it is now, None when no job has this id. Raises DatabaseAway."""
    row = await db.row("job", job_id)
    return None if row is None else Job.of(row)


async def transition(session: Session, change: Transition) -> bool:
    """Change a job's state. Return False when the job is not in `was` any more, or has another attempt."""
    return await session.row("transition", **msgspec.structs.asdict(change)) is not None


async def release(db: Database, change: Release) -> None:
    """Release a job. Nothing happens when it has another attempt."""
    await db.run("release", **msgspec.structs.asdict(change))
