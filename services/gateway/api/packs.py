"""Packs: request a folder as one archive, follow it, cancel it, download it."""

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
    """Pack a folder into one archive in the top folder of your workspace, in the background. The space is reserved at once.

    UNLESS `keep_source` IS TRUE, A WORKSPACE FOLDER IS DELETED after its archive was tested and compared with it. 404: the
    folder does not exist. 400: the path is not a folder, or the folder is empty. 403: not enough space, or too many files; the
    detail gives both figures. 409: another task needs the folder.
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
    """List your packs, newest first. `X-Total-Count` is their number. `X-Next-Cursor` is the cursor of the next page."""
    begin = offset if cursor is None else max(0, decide.number_of(cursor))
    rows, total = await packs.mine(request.user, limit, begin)
    days = (await configuration.read()).pack_retention_days
    headers = {"X-Total-Count": str(total)}
    if rows and begin + len(rows) < total:
        headers["X-Next-Cursor"] = decide.cursor_of_number(begin + len(rows))
    return Response([views.pack(row, days) for row in rows], headers=headers)


@get("/available-space", operation_id="getPackAvailableSpace", responses=refusals())
async def available_space(request: PacksRequest, packs: NamedDependency[Packs]) -> PackAvailableSpace:
    """Return how much you may still add, and how much the server has. Space reserved for others counts as used."""
    return views.space(await packs.available(request.user))


@get("/{pack_id:uuid}", operation_id="getPack", responses=refusals(404))
async def get_pack(
    pack_id: FromPath[UUID], request: PacksRequest, packs: NamedDependency[Packs], configuration: NamedDependency[Configuration]
) -> PackTask:
    """Return one of your packs."""
    return views.pack(await packs.find(request.user, pack_id), (await configuration.read()).pack_retention_days)


@delete("/{pack_id:uuid}", operation_id="cancelPack", status_code=200, responses=refusals(404, 409))
async def cancel_pack(pack_id: FromPath[UUID], request: PacksRequest, packs: NamedDependency[Packs]) -> PackCancelled:
    """Cancel a pack. Its files are removed, and the folder is not changed.

    400: the pack has ended. 409: its archive is complete, and the folder is being deleted.
    """
    await packs.cancel(request.user, pack_id)
    return PackCancelled(ok=True, message="Task cancelled")


@get("/{pack_id:uuid}/download", operation_id="downloadPack", responses=file_responses(), media_type=FILE)
async def download_pack(pack_id: FromPath[UUID], request: PacksRequest, packs: NamedDependency[Packs]) -> Response[Any]:
    """Download the archive of a finished pack, whole or in part, like `GET /api/files/content`.

    400: the pack is not finished. 404: the file is gone.
    """
    packed = await packs.fetch(request.user, pack_id, is_head=False)
    return downloads.send(packed.handle, packed.name, range_headers(request.headers), kind=FILE)


@head("/{pack_id:uuid}/download", include_in_schema=False)
async def look_at_pack(pack_id: FromPath[UUID], request: PacksRequest, packs: NamedDependency[Packs]) -> Response[None]:
    """Return the headers of the download."""
    packed = await packs.fetch(request.user, pack_id, is_head=True)
    return downloads.look(packed.handle, packed.name, range_headers(request.headers), kind=FILE)


router = Router(
    "/files/pack",
    route_handlers=[create_pack, list_packs, available_space, get_pack, cancel_pack, download_pack, look_at_pack],
    tags=["Packs"],
)
