"""Media files of the workspace and the NAS, and previews of NAS folders before archiving."""

from typing import Annotated, Any
from urllib.parse import quote

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from services.gateway.files.media import Media
from services.gateway.http.problems import refusals
from services.gateway.records.identity import Identity
from services.gateway.schemas.media import FolderPreview, PreviewEstimate
from shared.files.paths import Root
from shared.media import limits
from shared.media.model import MediaInfo
from shared.service.rpc import PictureAnswer

FilePath = Annotated[str, QueryParameter(description="The file, below its root.", min_length=1, max_length=4000)]
RootName = Annotated[Root, QueryParameter(description="`nas`: a file on the NAS (setting nas_browsing).")]
Width = Annotated[
    int | None, QueryParameter(ge=limits.WIDTH[0], le=limits.WIDTH[1], description="Pixels; default: THUMBNAIL_SIZE.")
]
Kind = Annotated[
    limits.ImageFormat | None, QueryParameter(name="format", description="jpg, png or webp; default: THUMBNAIL_FORMAT.")
]

_KEEP = "private, max-age=0, must-revalidate"
_IMAGE = {
    200: ResponseSpec(
        bytes,
        generate_examples=False,
        media_type="image/jpeg",
        description="The image: JPEG, PNG or WebP (`format`, else THUMBNAIL_FORMAT). `X-Media-Seconds`: the times shown;"
        " `X-Media-Notice`: what differs from what was asked (percent-encoded).",
    ),
    304: ResponseSpec(None, generate_examples=False, description="You have it: the file has not changed (`If-None-Match`)."),
}


def _known(request: "Request[Identity, Any, Any]") -> list[str]:
    return [
        tag.strip().removeprefix("W/").strip('"') for tag in request.headers.get("if-none-match", "").split(",") if tag.strip()
    ][:10]


def _image(answer: PictureAnswer, known: list[str]) -> Response[bytes]:
    headers = {
        "ETag": f'"{answer.version}"',
        "Cache-Control": _KEEP,
        "X-Media-Seconds": ",".join(f"{second:g}" for second in answer.seconds),
    }
    if answer.notice:
        headers["X-Media-Notice"] = quote(answer.notice, safe=" ,.:;()")
    if answer.version in known:
        return Response(b"", status_code=304, headers=headers)
    return Response(answer.image, media_type=answer.media_type, headers=headers)


@get("/info", operation_id="getMediaInfo", responses=refusals(404, 422))
async def get_info(
    request: "Request[Identity, Any, Any]",
    media: NamedDependency[Media],
    path: FilePath,
    root: RootName = Root.WORKSPACE,
    brief: Annotated[bool, QueryParameter(description="Only what fits on a card: no lists of streams, nothing measured.")] = False,
) -> Response[MediaInfo]:
    """Return media information: container, streams, chapters, tags and quality.

    The `type` of a 422 says what is wrong with the file: `not-media`, `damaged`, `too-big`, `too-long`.
    """
    answer = await media.info(request.user, root, path, brief=brief)
    return Response(answer.info, headers={"Cache-Control": "private, no-cache"})


@get("/thumbnail", operation_id="getMediaThumbnail", media_type="image/jpeg", responses={**refusals(404, 422), **_IMAGE})
async def get_thumbnail(
    request: "Request[Identity, Any, Any]",
    media: NamedDependency[Media],
    path: FilePath,
    root: RootName = Root.WORKSPACE,
    timestamp: Annotated[
        str | None,
        QueryParameter(description="HH:MM:SS; default 00:00:05. Past the end: the last picture, and a notice.", max_length=20),
    ] = None,
    width: Width = None,
    kind: Kind = None,
) -> Response[bytes]:
    """Return one frame of a video, upright. A file with only a cover returns the cover. 422 `no-video`: the file has no picture."""
    known = _known(request)
    return _image(await media.thumbnail(request.user, root, path, timestamp, width, kind, known), known)


@get("/contact-sheet", operation_id="getMediaContactSheet", media_type="image/jpeg", responses={**refusals(404, 422), **_IMAGE})
async def get_contact_sheet(
    request: "Request[Identity, Any, Any]",
    media: NamedDependency[Media],
    path: FilePath,
    root: RootName = Root.WORKSPACE,
    frames: Annotated[int, QueryParameter(ge=limits.SHEET_FRAMES[0], le=limits.SHEET_FRAMES[1], description="How many.")] = 12,
    columns: Annotated[int, QueryParameter(ge=limits.SHEET_COLUMNS[0], le=limits.SHEET_COLUMNS[1], description="In a row.")] = 4,
    width: Annotated[
        int | None, QueryParameter(ge=limits.SHEET_WIDTH[0], le=limits.SHEET_WIDTH[1], description="Pixels of each; default 320.")
    ] = None,
    kind: Kind = None,
) -> Response[bytes]:
    """Return frames from the whole video in one image."""
    known = _known(request)
    return _image(await media.contact_sheet(request.user, root, path, frames, columns, width, kind, known), known)


_Size = Annotated[int, QueryParameter(ge=0, le=2**53 - 1, description="Bytes of all the folders together.")]
_Largest = Annotated[
    int | None, QueryParameter(ge=0, le=2**53 - 1, description="Bytes of the largest of them. Default: `size_bytes`.")
]


@get("/folders/estimate", operation_id="estimateFolders", responses=refusals(), tags=["Folders"])
async def estimate_folders(media: NamedDependency[Media], size_bytes: _Size, largest_bytes: _Largest = None) -> PreviewEstimate:
    """Estimate the cost of archiving folders of this size: archives and time in total, staging space for the largest folder.

    Folders are staged one after the other, so the largest one decides whether the space suffices.
    """
    return await media.estimate(size_bytes, size_bytes if largest_bytes is None else largest_bytes)


@get(
    "/folders/preview",
    operation_id="previewFolder",
    responses={
        **refusals(404),
        202: ResponseSpec(
            FolderPreview, generate_examples=False, description="What has been seen so far: ask again, `Retry-After` says when."
        ),
    },
    tags=["Folders"],
)
async def preview_folder(
    request: "Request[Identity, Any, Any]",
    media: NamedDependency[Media],
    path: Annotated[
        str, QueryParameter(description="As `GET /api/folders` gives it, or `level1/level2/name`.", min_length=1, max_length=4096)
    ],
    refresh: Annotated[bool, QueryParameter(description="Look again, also where the last look is less than a minute old.")] = False,
) -> Response[FolderPreview]:
    """Preview a folder before it is archived: contents, estimated cost, and the reasons that would block a request.

    200: the whole folder has been read. 202: reading continues, and the figures are partial. Reading continues while a client
    asks.
    """
    found = await media.preview(request.user, path, refresh=refresh)
    if found.complete:
        return Response(found)
    return Response(found, status_code=202, headers={"Retry-After": "1"})


router = Router("/media", route_handlers=[get_info, get_thumbnail, get_contact_sheet], tags=["Media"])
