"""Archives: create, extract, list entries, show figures."""

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
    """Return the password as text. HTTP decodes header bytes as Latin-1; clients send UTF-8, and browsers Latin-1."""
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
    """Queue a job that creates an archive. The sources do not change.

    403: you may not read the sources, or there is not enough space. 404: a path does not exist. 409: the path `output` is
    taken.
    """
    return _created(*await archives.create(request.user, data))


@post("/extract", operation_id="extractArchive", status_code=201, responses=refusals(404, 409, 413))
async def extract_archive(
    data: JSONBody[ExtractionRequest], request: ArchivesRequest, archives: NamedDependency[Archives]
) -> Response[ArchiveJobCreated]:
    """Queue a job that extracts an archive: zip, 7z, tar (also gz, bz2, xz, zst), rar, and single gz, bz2, xz and zst files.

    The server lists the contents first. It rejects the whole archive when an entry would be written outside the destination, or
    when the contents exceed the limits. 404: the file does not exist. 409: `destination` is not a folder.
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
    """List the entries of an archive without extracting it. `X-Total-Count` is the number of entries that match.

    400 says why the archive cannot be read: not an archive, damaged, or wrong password (types `unknown-format`, `damaged`,
    `bad-password`).
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
    """Show file count, sizes and ratio of an archive without extracting it, and why extraction would fail.

    400: as for the entries.
    """
    stats = await archives.stats(request.user, root, path, _password(password))
    return ArchiveStatistics(**msgspec.structs.asdict(stats))


router = Router("/archives", route_handlers=[create_archive, extract_archive, list_entries, get_stats], tags=["Archives"])
