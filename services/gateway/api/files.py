"""Files: list, search, download, upload, make, move, delete; and folders of the NAS, to look at only."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Request, Response, Router, delete, get, head, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter

from services.gateway.auth.rights import admins_only, refuse_nas_files
from services.gateway.files import downloads, views
from services.gateway.files.auto_archive import AutoArchiver
from services.gateway.files.files import Files
from services.gateway.files.uploads import Target, Uploads
from services.gateway.http import ranges
from services.gateway.http.problems import refusals
from services.gateway.jobs import decide
from services.gateway.records.identity import Identity
from services.gateway.schemas.files import (
    AutoArchive,
    AutoArchiveChange,
    FileEntry,
    FileInfo,
    FolderRequest,
    MoveRequest,
    RootName,
    UnfinishedUpload,
    UploadBatch,
    UploadState,
    Workspace,
)
from shared.files.listing import SortKey, Wanted
from shared.files.paths import Root

FilesRequest = Request[Identity, Any, Any]

PathQuery = Annotated[
    str, QueryParameter(name="path", description="Below the root; slashes at either end do not matter.", max_length=4096)
]
InlineQuery = Annotated[
    bool, QueryParameter(description="Send a PDF as one, for a page to show it in a sandbox. Other files are saved as without it.")
]
WorkspaceOnly = Annotated[RootName, QueryParameter(name="root", description="`nas` is refused with 403.")]
FILE = "application/octet-stream"
_PAGE_MAXIMUM = 1000


def range_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What of a request's headers decides about parts and versions, names in small letters."""
    names = ("range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
    return {name: headers[name] for name in names if name in headers}


def file_responses(*more: int) -> dict[int, ResponseSpec]:
    """What a download may answer, for the API's documentation."""
    parts = {206: "The part that `Range` names.", 304: "The version you have is the present one."}
    said = {status: ResponseSpec(None, generate_examples=False, description=text) for status, text in parts.items()}
    return refusals(404, 412, 416, *more) | said


@get("/", operation_id="listFiles", responses=refusals(404))
async def list_files(
    request: FilesRequest,
    files: NamedDependency[Files],
    path: PathQuery = "",
    root: Annotated[
        RootName, QueryParameter(description="`nas`: folders of the NAS, to look at only (setting nas_browsing).")
    ] = "workspace",
    q: Annotated[str, QueryParameter(description="Part of the name, in any letter case.", max_length=200)] = "",
    recursive: Annotated[bool, QueryParameter(description="Search everything below the folder.")] = False,
    hidden: Annotated[bool, QueryParameter(description="Also what the setting hidden_file_extensions leaves out.")] = False,
    sort: Annotated[SortKey, QueryParameter(description="Folders come first in every order.")] = "name",
    order: Annotated[Literal["asc", "desc"], QueryParameter()] = "asc",
    limit: Annotated[int, QueryParameter(ge=1, le=_PAGE_MAXIMUM)] = 200,
    offset: Annotated[int, QueryParameter(ge=0, le=2**31)] = 0,
    cursor: Annotated[
        str | None, QueryParameter(description="`X-Next-Cursor` of the page before; instead of offset.", max_length=100)
    ] = None,
) -> Response[list[FileEntry]]:
    """What is in a folder. Links are shown and never followed.

    `X-Total-Count`: how many there are; `X-Next-Cursor`: where the next page begins; `X-Search-Incomplete: true`: a search was ended after
    10,000 matches or 15 seconds. A page may hold less than `limit`, where names are very long.
    """
    begin = offset if cursor is None else decide.number_of(cursor)
    wanted = Wanted(q=q, deep=recursive, sort=sort, descending=order == "desc", limit=limit, offset=max(0, begin))
    page = await files.page(request.user, Root(root), path, wanted, show_hidden=hidden)
    headers = {"X-Total-Count": str(page.total)}
    if page.items and begin + len(page.items) < page.total:
        headers["X-Next-Cursor"] = decide.cursor_of_number(begin + len(page.items))
    if not page.complete:
        headers["X-Search-Incomplete"] = "true"
    return Response([views.entry(item) for item in page.items], headers=headers)


@get("/info", operation_id="getFileInfo", responses=refusals(404))
async def get_info(
    request: FilesRequest, files: NamedDependency[Files], path: PathQuery, root: WorkspaceOnly = "workspace"
) -> FileInfo:
    """One entry of the workspace; of a folder also how much is in it."""
    refuse_nas_files(root)
    return views.info(*await files.info(request.user, path))


@delete("/", operation_id="deleteFile", status_code=204, responses=refusals(404, 409))
async def delete_file(
    request: FilesRequest,
    files: NamedDependency[Files],
    path: PathQuery,
    recursive: Annotated[bool, QueryParameter(description="A folder with everything in it.")] = False,
    root: WorkspaceOnly = "workspace",
) -> None:
    """Delete a file or an empty folder of the workspace, or with `recursive` a whole folder: gone at once, and all of it.

    409: the folder is not empty, or a running task needs it.
    """
    refuse_nas_files(root)
    await files.delete(request.user, path, recursive=recursive)


@get("/content", operation_id="downloadFile", responses=file_responses(), media_type=FILE)
async def download(
    request: FilesRequest,
    files: NamedDependency[Files],
    path: PathQuery,
    inline: InlineQuery = False,
    root: WorkspaceOnly = "workspace",
) -> Response[Any]:
    """A file of the workspace, whole or in part.

    `Range` (one range; several are answered with the whole file), `If-Range`, `If-Match`, `If-None-Match`, `If-Modified-Since` and
    `If-Unmodified-Since` as RFC 9110 has them; `ETag` names the version. The name is in `Content-Disposition`, in any script.
    """
    refuse_nas_files(root)
    handle, name = await files.open(request.user, path)
    return downloads.send(handle, name, range_headers(request.headers), shown=downloads.shown_type(name) if inline else None)


@head("/content", include_in_schema=False)
async def look_at(
    request: FilesRequest,
    files: NamedDependency[Files],
    path: PathQuery,
    inline: InlineQuery = False,
    root: WorkspaceOnly = "workspace",
) -> Response[None]:
    """The headers of a download."""
    refuse_nas_files(root)
    handle, name = await files.open(request.user, path)
    return downloads.look(handle, name, range_headers(request.headers), shown=downloads.shown_type(name) if inline else None)


@put(
    "/content",
    operation_id="uploadFile",
    status_code=201,
    request_max_body_size=None,
    responses=refusals(404, 408, 409, 411, 412, 507)
    | {202: ResponseSpec(UploadState, generate_examples=False, description="Not all has arrived yet: go on at `received_bytes`.")},
)
async def upload(
    request: FilesRequest,
    uploads: NamedDependency[Uploads],
    path: PathQuery,
    overwrite: Annotated[bool, QueryParameter(description="Replace a file that has this path.")] = False,
    tag: Annotated[
        str,
        QueryParameter(
            description="What tells this file from another (size and time of change, say): another tag starts over.", max_length=200
        ),
    ] = "",
    batch: Annotated[
        str,
        QueryParameter(
            description="The same for files that are sent together: auto-archive waits for `POST /api/files/auto-archive/batches`.",
            max_length=100,
        ),
    ] = "",
    content_range: Annotated[str | None, HeaderParameter(name="Content-Range", max_length=100)] = None,
    root: WorkspaceOnly = "workspace",
) -> Response[UploadState]:
    """A file for the workspace: streamed to disk, seen by nobody before it is whole, and never in another's place unless `overwrite`.

    The whole file with Content-Length; or in parts, each with `Content-Range: bytes 0-999/5000`, in order, each with the same `path` and
    `tag`. `Content-Range: bytes */5000` without a body begins an upload or asks how far it got (202, `received_bytes`): go on from there
    after a broken connection. What nobody goes on with for a day is thrown away. The whole length is taken from the quota at the beginning.
    403: not enough space, or too many files, with both figures. 409: something has this path; the part does not continue what is
    there (`Upload-Offset` says where to go on); somebody else sends it now. 412: `If-Match`, `If-None-Match` or `If-Unmodified-Since`
    ask for another version than what has this path.
    """
    refuse_nas_files(root)
    part = ranges.sent(content_range, request.headers.get("content-length"))
    target = Target(path, overwrite, tag, range_headers(request.headers), batch)
    arrived = await uploads.receive(request.user, target, part, request.stream())
    status = 202 if arrived.item is None else 201
    headers = {"Upload-Offset": str(arrived.received)} | ({"ETag": arrived.etag} if arrived.etag else {})
    return Response(views.upload(arrived), status_code=status, headers=headers)


@get("/uploads", operation_id="listUploads", responses=refusals())
async def list_uploads(request: FilesRequest, uploads: NamedDependency[Uploads]) -> list[UnfinishedUpload]:
    """Your uploads that are not whole yet, newest first."""
    return [views.unfinished(row) for row in await uploads.unfinished(request.user)]


@delete("/uploads/{upload_id:uuid}", operation_id="giveUpUpload", status_code=204, responses=refusals(404, 409))
async def give_up(upload_id: FromPath[UUID], request: FilesRequest, uploads: NamedDependency[Uploads]) -> None:
    """Throw away what has arrived of an upload; its space is free again. 409: it is arriving right now."""
    await uploads.give_up(request.user, upload_id)


@post("/folders", operation_id="makeFolder", status_code=201, responses=refusals(404, 409, 413))
async def make_folder(data: JSONBody[FolderRequest], request: FilesRequest, files: NamedDependency[Files]) -> FileEntry:
    """Make a folder in the workspace.

    403: the workspace may not hold more. 404: the folder it would be in is not there. 409: something has this name.
    """
    return views.entry(await files.make_folder(request.user, data.path, parents=data.parents))


@post("/move", operation_id="moveFile", status_code=200, responses=refusals(404, 409, 413))
async def move(data: JSONBody[MoveRequest], request: FilesRequest, files: NamedDependency[Files]) -> FileEntry:
    """Rename or move a file or folder within the workspace. 409: the target is there, or a running task needs one of the two."""
    return views.entry(await files.move(request.user, data.source, data.target, overwrite=data.overwrite))


@get("/auto-archive", operation_id="getAutoArchive", responses=refusals())
async def get_auto_archive(request: FilesRequest, auto: NamedDependency[AutoArchiver]) -> AutoArchive:
    """Show which files are zipped automatically when they arrive in your workspace."""
    return await auto.of(request.user)


@put("/auto-archive", operation_id="setAutoArchive", responses=refusals())
async def set_auto_archive(
    data: JSONBody[AutoArchiveChange], request: FilesRequest, auto: NamedDependency[AutoArchiver]
) -> AutoArchive:
    """Zip automatically what arrives from now on, everywhere or in some folders.

    A zip is made once an upload has arrived whole, or an extraction has ended. Archives that arrive, and what is unpacked from such a zip,
    are not zipped again. Nothing is deleted.
    """
    return await auto.change(request.user, data)


@post("/auto-archive/batches", operation_id="closeUploadBatch", status_code=204, responses=refusals())
async def close_batch(data: JSONBody[UploadBatch], request: FilesRequest, auto: NamedDependency[AutoArchiver]) -> None:
    """Say that all files of a batch have arrived: their zip is made now. A batch that is never closed is forgotten after a day."""
    await auto.close(request.user, data.batch)


router = Router(
    "/files",
    route_handlers=[
        *(list_files, get_info, delete_file, download, look_at, upload, list_uploads, give_up, make_folder, move),
        *(get_auto_archive, set_auto_archive, close_batch),
    ],
    tags=["Files"],
)


@get("/", operation_id="listWorkspaces", responses=refusals())
async def list_workspaces(files: NamedDependency[Files]) -> list[Workspace]:
    """Every workspace that is there, with what it holds: of users, and of those who were deleted (`left_at`)."""
    return [Workspace(**{name: row[name] for name in Workspace.__struct_fields__}) for row in await files.workspaces()]


@delete("/{user_id:uuid}", operation_id="removeWorkspace", status_code=204, responses=refusals(404, 409))
async def remove_workspace(user_id: FromPath[UUID], request: FilesRequest, files: NamedDependency[Files]) -> None:
    """Remove for ever what a deleted user left. 409: the user is there, or a task still works in it."""
    await files.remove_workspace(request.user, user_id)


workspaces = Router("/workspaces", route_handlers=[list_workspaces, remove_workspace], guards=[admins_only], tags=["Workspaces"])
