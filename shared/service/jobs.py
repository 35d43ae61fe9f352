"""Jobs as the database has them now. A claimed job comes with its claim (`shared/service/worker.py`)."""

from uuid import UUID

from shared.domain.job import Job
from shared.infra.db import Database


async def load(db: Database, job_id: UUID) -> Job | None:
    """Return a job as it is now, None when there is none of this id. Raises DatabaseAway."""
    row = await db.row("job", job_id)
    return None if row is None else Job.of(row)
