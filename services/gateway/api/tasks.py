"""The dashboard's view of jobs: tasks of every kind, and their controls."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from services.gateway.http.problems import refusals
from services.gateway.jobs import views
from services.gateway.jobs.decide import Action
from services.gateway.jobs.history import Filter, History
from services.gateway.jobs.jobs import Jobs, visible
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.jobs import NamedTaskControl, Task, TaskControl
from shared.domain.lifecycle import TERMINAL, Kind, Status

TasksRequest = Request[Identity, Any, Any]

_ACTIVE = tuple(status for status in Status if status not in TERMINAL)


@get("/", operation_id="listTasks", responses=refusals())
async def list_tasks(
    request: TasksRequest,
    history: NamedDependency[History],
    active: Annotated[bool, QueryParameter(description="Only what has not ended.")] = False,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    offset: Annotated[int, QueryParameter(ge=0, le=2**31)] = 0,
) -> Response[list[Task]]:
    """List the jobs of every kind that you may see, newest first. `X-Total-Count` is their number."""
    owner = None if request.user.is_admin else request.user.id
    wanted = Filter(kinds=tuple(Kind), statuses=_ACTIVE if active else (), owner=owner)
    rows = await history.page(wanted, None, limit, offset)
    return Response([views.task(row) for row in rows], headers={"X-Total-Count": str(await history.total(wanted))})


@get("/{task_id:uuid}", operation_id="getTask", responses=refusals(404))
async def get_task(task_id: FromPath[UUID], request: TasksRequest, store: NamedDependency[Store]) -> Task:
    """Return one task."""
    return views.task(visible(request.user, task_id, await store.job(task_id)))


@post("/{task_id:uuid}/control", operation_id="controlTask", status_code=200, responses=refusals(404, 409, 413))
async def control_task(
    task_id: FromPath[UUID], data: JSONBody[TaskControl], request: TasksRequest, jobs: NamedDependency[Jobs]
) -> Task:
    """Pause, resume or cancel a task, and return its new state. A request that changes nothing succeeds.

    A paused task keeps its state, its place in the queue and its space. Its lane is free for other tasks, and a running upload
    is stopped at Globus until the task is resumed. 409: the task has ended, its archive is already proven (it then runs to its
    end), or it is being cancelled.
    """
    return views.task(await jobs.control(request.user, task_id, Action(data.action)))


@post("/control", operation_id="controlNamedTask", status_code=200, responses=refusals(404, 409, 413), tags=["Tasks"])
async def control(data: JSONBody[NamedTaskControl], request: TasksRequest, jobs: NamedDependency[Jobs]) -> Task:
    """Pause, resume or cancel the task that the body names. Same as `POST /api/tasks/{task_id}/control`."""
    return views.task(await jobs.control(request.user, data.task_id, Action(data.action)))


router = Router("/tasks", route_handlers=[list_tasks, get_task, control_task], tags=["Tasks"])
