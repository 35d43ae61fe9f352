"""The queue."""

from litestar import get
from litestar.di import NamedDependency

from services.gateway import views
from services.gateway.problems import refusals
from services.gateway.schemas import Queue
from services.gateway.store import Store


@get("/queue", operation_id="getQueue", responses=refusals(), tags=["Queue"])
async def get_queue(store: NamedDependency[Store]) -> Queue:
    """What each lane works on, and what waits, in order."""
    return views.queue(await store.live_jobs())
