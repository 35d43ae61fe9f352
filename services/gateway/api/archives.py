"""Archives: make, unpack, list, figures."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, HeaderParameter, JSONBody, QueryParameter

from services.gateway.files.archives import Archives
from services.gateway.http.problems import refusals
from services.gateway.records.identity import Identity
from services.gateway.schemas.archives import (
    ArchiveContent,
    ArchiveJobCreated,
    ArchiveRequest,
    ArchiveStatistics,
    ExtractionRequest,
    RootName,
)
from shared.domain.lifecycle import Kind, Status

ArchivesRequest = Request[Identity, Any, Any]
Path = Annotated[str, QueryParameter(description="The archive, below its root.", min_length=1, max_length=4096)]
Secret = Annotated[
    str | None,
    HeaderParameter(name="X-Archive-Password", description="Of an encrypted archive; what is not ASCII as UTF-8.", max_length=800),
]


def _password(header: str | None) -> str | None:
    """HTTP reads a header's bytes as Latin-1; people's clients send UTF-8, or Latin-1 (browsers)."""
    try:
        return header and header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _created(row: Any, output: str) -> Response[ArchiveJobCreated]:
    made = ArchiveJobCreated(row["id"], Kind(row["kind"]), Status(row["status"]), row["folder_name"], output, row["created_at"])
    return Response(made, headers={"Location": f"/api/jobs/{row['id']}"})


@post("/", operation_id="createArchive", status_code=201, responses=refusals(404, 409, 413))
async def create_archive(
    data: JSONBody[ArchiveRequest], request: ArchivesRequest, archives: NamedDependency[Archives]
) -> Response[ArchiveJobCreated]:
    """Queue the making of an archive. The sources stay as they are.

    403: you may not read there, or your space does not suffice. 404: a path does not exist. 409: something has the name of `output`.
    """
    return _created(*await archives.create(request.user, data))


@post("/extract", operation_id="extractArchive", status_code=201, responses=refusals(404, 409, 413))
async def extract_archive(
    data: JSONBody[ExtractionRequest], request: ArchivesRequest, archives: NamedDependency[Archives]
) -> Response[ArchiveJobCreated]:
    """Queue the unpacking of an archive: zip, 7z, tar (also gz, bz2, xz, zst), rar, and single gz, bz2, xz and zst files.

    What it holds is looked at first; one that would write elsewhere, or far more than it should, is refused as a whole.
    404: there is no such file. 409: `destination` is no folder.
    """
    return _created(*await archives.extract(request.user, data))


@get("/entries", operation_id="listArchiveEntries", responses=refusals(404))
async def list_entries(
    request: ArchivesRequest,
    archives: NamedDependency[Archives],
    path: Path,
    root: FromQuery[RootName] = "workspace",
    password: Secret = None,
    q: Annotated[str | None, QueryParameter(description="Part of an entry's path, in any letter case.", max_length=500)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    offset: Annotated[int, QueryParameter(ge=0, le=2**31)] = 0,
) -> Response[list[ArchiveContent]]:
    """What is in an archive, without unpacking it. `X-Total-Count`: how many entries match.

    400 says what is wrong with it: no archive, damaged, or its password (types `unknown-format`, `damaged`, `bad-password`).
    """
    listing = await archives.entries(request.user, root, path, _password(password), q, limit, offset)
    entries = [ArchiveContent(**msgspec.structs.asdict(entry)) for entry in listing.entries]
    return Response(entries, headers={"X-Total-Count": str(listing.total)})


@get("/stats", operation_id="getArchiveStats", responses=refusals(404))
async def get_stats(
    request: ArchivesRequest,
    archives: NamedDependency[Archives],
    path: Path,
    root: FromQuery[RootName] = "workspace",
    password: Secret = None,
) -> ArchiveStatistics:
    """Files, sizes and ratio of an archive, without unpacking it, and what would refuse it. 400 as for the entries."""
    stats = await archives.stats(request.user, root, path, _password(password))
    return ArchiveStatistics(**msgspec.structs.asdict(stats))


router = Router("/archives", route_handlers=[create_archive, extract_archive, list_entries, get_stats], tags=["Archives"])
