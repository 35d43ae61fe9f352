"""Folders on the NAS."""

from typing import Annotated, Literal

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from services.gateway.http.http_errors import bad_request
from services.gateway.http.problems import refusals
from services.gateway.jobs import views
from services.gateway.jobs.peers import Peers
from services.gateway.records.store import FolderFilter, Store
from services.gateway.schemas.folders import Folder, FolderPlace

_INCLUDE = {"archived", "ignored"}


def _included(values: list[str] | None) -> set[str]:
    words = {word.strip() for value in values or [] for word in value.split(",") if word.strip()}
    if unknown := words - _INCLUDE:
        raise bad_request(f"Unknown word for include: {', '.join(sorted(unknown))}. Known: archived, ignored.")
    return words


@get("/folders", operation_id="listFolders", responses=refusals(), tags=["Folders"])
async def list_folders(
    store: NamedDependency[Store],
    peers: NamedDependency[Peers],
    refresh: Annotated[bool, QueryParameter(description="Scan first, and answer after the scan; 30 seconds at most.")] = False,
    q: Annotated[
        str | None, QueryParameter(description="Part of level 1, level 2 or name, in any letter case.", max_length=500)
    ] = None,
    level1: Annotated[str | None, QueryParameter(description="Only this category.", max_length=500)] = None,
    level2: Annotated[str | None, QueryParameter(description="Only this subcategory.", max_length=500)] = None,
    include: Annotated[
        list[str] | None, QueryParameter(description="`archived`, `ignored`, or both: show what is not on offer, too.")
    ] = None,
    offered: Annotated[
        bool, QueryParameter(description="Only what can be archived now: not archived, not ignored, and no job works on it.")
    ] = False,
    sort: FromQuery[Literal["path", "name", "size", "modified", "files"]] = "path",
    order: FromQuery[Literal["asc", "desc"]] = "asc",
    limit: Annotated[int | None, QueryParameter(ge=1, le=100_000, description="Default: all.")] = None,
    offset: Annotated[int, QueryParameter(ge=0, le=2**31)] = 0,
) -> Response[list[Folder]]:
    """List the folders exactly three levels below the base, as of the last scan.

    `X-Total-Count` is the number of matches. `X-Scanned-At` is the time when the scan ended. `X-Scan-Running: true` means that
    the refresh takes longer than 30 s and continues.
    """
    included = _included(include)
    headers = {}
    if refresh and not await peers.refresh():
        headers["X-Scan-Running"] = "true"
    wanted = FolderFilter(
        archived="archived" in included,
        ignored="ignored" in included,
        q=q,
        level1=level1,
        level2=level2,
        sort=sort,
        descending=order == "desc",
        offered=offered,
        limit=limit,
        offset=offset,
    )
    rows, total = await store.folders(wanted)
    if scan := await store.last_scan():
        headers["X-Scanned-At"] = scan["finished_at"].isoformat()
    headers["X-Total-Count"] = str(total)
    return Response([views.folder(row) for row in rows], headers=headers)


@get("/folders/places", operation_id="listFolderPlaces", responses=refusals(), tags=["Folders"])
async def list_places(
    store: NamedDependency[Store],
    include: Annotated[
        list[str] | None, QueryParameter(description="`archived`, `ignored`, or both: count what is not on offer, too.")
    ] = None,
) -> list[FolderPlace]:
    """List the categories and subcategories that hold folders, ordered by name. These are the values for `level1` and `level2`."""
    included = _included(include)
    rows = await store.places(archived="archived" in included, ignored="ignored" in included)
    return [FolderPlace(row["level1"], row["level2"], row["folder_count"]) for row in rows]
