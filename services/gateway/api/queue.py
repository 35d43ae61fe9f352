"""The queue."""

from typing import Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from services.gateway.http.problems import refusals
from services.gateway.jobs import views
from services.gateway.jobs.jobs import Jobs
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.jobs import Queue, QueueMove


@get("/queue", operation_id="getQueue", responses=refusals(), tags=["Queue"])
async def get_queue(store: NamedDependency[Store]) -> Queue:
    """Show the job that each lane works on, and the waiting jobs in order."""
    return views.queue(await store.live_jobs())


@post("/queue/move", operation_id="moveQueuedJobs", status_code=200, responses=refusals(409, 413), tags=["Queue"])
async def move_queued(
    data: JSONBody[QueueMove], request: Request[Identity, Any, Any], jobs: NamedDependency[Jobs], store: NamedDependency[Store]
) -> Queue:
    """Reorder the waiting jobs for everyone, and return the new queue. 409: one of the jobs is no longer waiting."""
    await jobs.move(request.user, data.job_ids, data.to)
    return views.queue(await store.live_jobs())
