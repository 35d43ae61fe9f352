"""Files: list, search, download, upload, create folders, move, delete. Folders of the NAS are read-only."""

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
    """Return the request headers that select ranges and versions, with names in lower case."""
    names = ("range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
    return {name: headers[name] for name in names if name in headers}


def file_responses(*more: int) -> dict[int, ResponseSpec]:
    """Return the possible responses of a download, for the API's documentation."""
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
    """List a folder. Links are listed and never followed.

    `X-Total-Count` is the number of entries. `X-Next-Cursor` is the cursor of the next page. `X-Search-Incomplete: true` means
    that a search stopped after 10,000 matches or 15 seconds. A page may hold fewer than `limit` entries when names are very
    long.
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
    """Return one entry of the workspace and, for a folder, its total size and file count."""
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
    """Delete a file or an empty folder of the workspace or, with `recursive`, a folder and its contents in one step.

    409: the folder is not empty, or a running task needs the path.
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
    """Download a file of the workspace, whole or in part.

    `Range` (one range; several ranges return the whole file), `If-Range`, `If-Match`, `If-None-Match`, `If-Modified-Since` and
    `If-Unmodified-Since` work as in RFC 9110. `ETag` identifies the version. `Content-Disposition` gives the name, in any
    script.
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
    """Return the headers of a download."""
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
    """Upload a file to the workspace. It appears only when it is complete, and replaces a file only with `overwrite`.

    Send the whole file with Content-Length, or send it in parts. Each part has `Content-Range: bytes 0-999/5000`. Send the
    parts in order, with the same `path` and `tag`. `Content-Range: bytes */5000` without a body starts an upload or asks for
    its progress (202, `received_bytes`). After a lost connection, continue from that byte. An upload that makes no progress for
    a day is discarded. The quota reserves the whole length when the upload starts. 403: not enough space, or too many files;
    the detail gives both figures. 409: the path is taken, the part does not continue the stored bytes (`Upload-Offset` says
    where to continue), or another request is sending this file. 412: `If-Match`, `If-None-Match` or `If-Unmodified-Since` does
    not match the current version.
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
    """List your incomplete uploads, newest first."""
    return [views.unfinished(row) for row in await uploads.unfinished(request.user)]


@delete("/uploads/{upload_id:uuid}", operation_id="giveUpUpload", status_code=204, responses=refusals(404, 409))
async def give_up(upload_id: FromPath[UUID], request: FilesRequest, uploads: NamedDependency[Uploads]) -> None:
    """Discard an incomplete upload and release its space. 409: a request is sending data to it."""
    await uploads.give_up(request.user, upload_id)


@post("/folders", operation_id="makeFolder", status_code=201, responses=refusals(404, 409, 413))
async def make_folder(data: JSONBody[FolderRequest], request: FilesRequest, files: NamedDependency[Files]) -> FileEntry:
    """Create a folder in the workspace.

    403: the workspace may not hold more. 404: the parent folder does not exist. 409: the path is taken.
    """
    return views.entry(await files.make_folder(request.user, data.path, parents=data.parents))


@post("/move", operation_id="moveFile", status_code=200, responses=refusals(404, 409, 413))
async def move(data: JSONBody[MoveRequest], request: FilesRequest, files: NamedDependency[Files]) -> FileEntry:
    """Rename or move a file or folder within the workspace.

    409: the target exists, or a running task needs one of the two paths.
    """
    return views.entry(await files.move(request.user, data.source, data.target, overwrite=data.overwrite))


@get("/auto-archive", operation_id="getAutoArchive", responses=refusals())
async def get_auto_archive(request: FilesRequest, auto: NamedDependency[AutoArchiver]) -> AutoArchive:
    """Show which files are zipped automatically when they arrive in your workspace."""
    return await auto.of(request.user)


@put("/auto-archive", operation_id="setAutoArchive", responses=refusals())
async def set_auto_archive(
    data: JSONBody[AutoArchiveChange], request: FilesRequest, auto: NamedDependency[AutoArchiver]
) -> AutoArchive:
    """Zip new arrivals automatically from now on, everywhere or in some folders.

    A zip is created once an upload is complete or an extraction has ended. Uploaded archives are not zipped, and neither are
    files that were extracted from such a zip. Nothing is deleted.
    """
    return await auto.change(request.user, data)


@post("/auto-archive/batches", operation_id="closeUploadBatch", status_code=204, responses=refusals())
async def close_batch(data: JSONBody[UploadBatch], request: FilesRequest, auto: NamedDependency[AutoArchiver]) -> None:
    """Close a batch: all its files have arrived, and their zip is created now. An unclosed batch is forgotten after a day."""
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
    """List every workspace with its contents in figures, including workspaces of deleted users (`left_at`)."""
    return [Workspace(**{name: row[name] for name in Workspace.__struct_fields__}) for row in await files.workspaces()]


@delete("/{user_id:uuid}", operation_id="removeWorkspace", status_code=204, responses=refusals(404, 409))
async def remove_workspace(user_id: FromPath[UUID], request: FilesRequest, files: NamedDependency[Files]) -> None:
    """Permanently remove the workspace of a deleted user. 409: the user exists, or a task still works in it."""
    await files.remove_workspace(request.user, user_id)


workspaces = Router("/workspaces", route_handlers=[list_workspaces, remove_workspace], guards=[admins_only], tags=["Workspaces"])
