"""Packs: ask for a folder as one archive, follow it, cancel it, download it."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, Router, delete, get, head, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from services.gateway.api.files import FILE, file_responses, range_headers
from services.gateway.files import downloads, views
from services.gateway.files.packs import Packs
from services.gateway.http.problems import refusals
from services.gateway.jobs import decide
from services.gateway.records.config import Configuration
from services.gateway.records.identity import Identity
from services.gateway.schemas.files import PackAvailableSpace, PackCancelled, PackRequested, PackTask

PacksRequest = Request[Identity, Any, Any]


@post("/", operation_id="createPack", status_code=201, responses=refusals(404, 409, 413))
async def create_pack(
    data: JSONBody[PackRequested],
    request: PacksRequest,
    packs: NamedDependency[Packs],
    configuration: NamedDependency[Configuration],
) -> Response[PackTask]:
    """Pack a folder into one archive in the top folder of your workspace, in the background. Its space is reserved at once.

    UNLESS `keep_source` IS TRUE, A WORKSPACE FOLDER IS DELETED after its archive was tested and compared with it. 404: no such folder;
    400: not a folder, or empty; 403: not enough space, or too many files, with both figures; 409: another task needs the folder.
    """
    row = await packs.create(request.user, data)
    days = (await configuration.read()).pack_retention_days
    return Response(views.pack(row, days), headers={"Location": f"/api/files/pack/{row['id']}"})


@get("/", operation_id="listPacks", responses=refusals())
async def list_packs(
    request: PacksRequest,
    packs: NamedDependency[Packs],
    configuration: NamedDependency[Configuration],
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    offset: Annotated[int, QueryParameter(ge=0, le=2**31)] = 0,
    cursor: Annotated[
        str | None, QueryParameter(description="`X-Next-Cursor` of the page before; instead of offset.", max_length=100)
    ] = None,
) -> Response[list[PackTask]]:
    """Your packs, newest first. `X-Total-Count`: how many there are; `X-Next-Cursor`: where the next page begins."""
    begin = offset if cursor is None else max(0, decide.number_of(cursor))
    rows, total = await packs.mine(request.user, limit, begin)
    days = (await configuration.read()).pack_retention_days
    headers = {"X-Total-Count": str(total)}
    if rows and begin + len(rows) < total:
        headers["X-Next-Cursor"] = decide.cursor_of_number(begin + len(rows))
    return Response([views.pack(row, days) for row in rows], headers=headers)


@get("/available-space", operation_id="getPackAvailableSpace", responses=refusals())
async def available_space(request: PacksRequest, packs: NamedDependency[Packs]) -> PackAvailableSpace:
    """How much you may still add, and how much the server has; what is reserved for others counts as taken."""
    return views.space(await packs.available(request.user))


@get("/{pack_id:uuid}", operation_id="getPack", responses=refusals(404))
async def get_pack(
    pack_id: FromPath[UUID], request: PacksRequest, packs: NamedDependency[Packs], configuration: NamedDependency[Configuration]
) -> PackTask:
    """One pack of yours."""
    return views.pack(await packs.find(request.user, pack_id), (await configuration.read()).pack_retention_days)


@delete("/{pack_id:uuid}", operation_id="cancelPack", status_code=200, responses=refusals(404, 409))
async def cancel_pack(pack_id: FromPath[UUID], request: PacksRequest, packs: NamedDependency[Packs]) -> PackCancelled:
    """Cancel a pack; nothing of it stays, and the folder is not touched.

    400: it has ended already. 409: its archive is done, and the folder is being deleted.
    """
    await packs.cancel(request.user, pack_id)
    return PackCancelled(ok=True, message="Task cancelled")


@get("/{pack_id:uuid}/download", operation_id="downloadPack", responses=file_responses(), media_type=FILE)
async def download_pack(pack_id: FromPath[UUID], request: PacksRequest, packs: NamedDependency[Packs]) -> Response[Any]:
    """The archive of a finished pack, whole or in part, as `GET /api/files/content`. 400: not finished; 404: the file is gone."""
    packed = await packs.fetch(request.user, pack_id, is_head=False)
    return downloads.send(packed.handle, packed.name, range_headers(request.headers), kind=FILE)


@head("/{pack_id:uuid}/download", include_in_schema=False)
async def look_at_pack(pack_id: FromPath[UUID], request: PacksRequest, packs: NamedDependency[Packs]) -> Response[None]:
    """The headers of the download."""
    packed = await packs.fetch(request.user, pack_id, is_head=True)
    return downloads.look(packed.handle, packed.name, range_headers(request.headers), kind=FILE)


router = Router(
    "/files/pack",
    route_handlers=[create_pack, list_packs, available_space, get_pack, cancel_pack, download_pack, look_at_pack],
    tags=["Packs"],
)
