"""User archives: create and extract them as jobs of their own, and list them directly."""

import base64
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec

from services.gateway.auth.limits import Limits
from services.gateway.auth.rights import refuse_nas
from services.gateway.files.quota import Quotas
from services.gateway.http.http_errors import bad_request
from services.gateway.jobs.peers import Peers
from services.gateway.records import audit
from services.gateway.records.audit import AuditRecord
from services.gateway.records.config import Configuration
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.archives import ArchiveRequest, ExtractionRequest
from shared import units
from shared.archiving import space
from shared.domain.lifecycle import Kind
from shared.domain.requests import WITH_PASSWORD, WITH_VOLUMES, ArchiveFormat, CompressRequest, ExtractRequest, format_for
from shared.errors import PermanentError
from shared.files import paths
from shared.files.paths import LONGEST_NAME, Root, name_with
from shared.infra.db import Session
from shared.service.rpc import (
    ArchiveListing,
    ArchiveStats,
    AskArchiveStats,
    ListArchive,
    PlanArchive,
    PlanExtraction,
)


class Defaults(msgspec.Struct, frozen=True):
    """The values of ARCHIVE_DEFAULT_FORMAT and ARCHIVE_DEFAULT_LEVEL."""

    format: ArchiveFormat
    level: int


class NewArchiveJob(NamedTuple):
    """A job to be queued."""

    kind: Kind
    path: str
    request: CompressRequest | ExtractRequest
    password: str | None
    total_bytes: int
    file_count: int | None
    sentence: str


class Archives:
    """Every method raises ProblemError, with 503 while a service or the database is unavailable."""

    def __init__(
        self, store: Store, peers: Peers, configuration: Configuration, quotas: Quotas, limits: Limits, defaults: Defaults
    ) -> None:
        self._store = store
        self._limits = limits
        self._quotas = quotas
        self._peers = peers
        self._configuration = configuration
        self._defaults = defaults

    async def create(self, who: Identity, asked: ArchiveRequest) -> tuple[Any, str]:
        """Queue a job that creates an archive. Return its row and the path of the archive."""
        root = await self.readable(who, asked.root)
        request = compress_request(asked, self._defaults)
        planned = await self._peers.plan_archive(
            PlanArchive(root, who.id, request.paths, request.output, rename=asked.output is None)
        )
        request = msgspec.structs.replace(request, output=planned.output)
        sentence = f"{who.username} asked for the archive {request.output}."
        order = NewArchiveJob(
            Kind.COMPRESS, request.paths[0], request, asked.password, planned.total_bytes, planned.file_count, sentence
        )
        largest = (await self._configuration.read()).max_task_size
        if 0 < largest < planned.total_bytes:
            raise bad_request(f"These files hold {units.size(planned.total_bytes)}; a task may have at most {units.size(largest)}.")
        async with self._quotas.reserving(who.id) as reserving:
            entries = space.volumes(planned.total_bytes, request.volume_bytes)
            reserving.require(planned.total_bytes, entries)
            row = await self._queue(reserving.session, who, order)
            await reserving.session.run("reserve_for", row["id"], reserving.filesystem, planned.total_bytes, entries)
        return row, request.output

    async def extract(self, who: Identity, asked: ExtractionRequest) -> tuple[Any, str]:
        """Queue a job that extracts an archive. Return its row and the destination folder."""
        root = await self.readable(who, asked.root)
        request = extract_request(asked)
        planned = await self._peers.plan_extraction(PlanExtraction(root, who.id, request.path, request.destination))
        sentence = f"{who.username} asked for {request.path} to be unpacked into {request.destination or 'the workspace'}."
        order = NewArchiveJob(Kind.EXTRACT, request.path, request, asked.password, planned.archive_bytes, None, sentence)
        async with self._store.transaction() as session:  # space is reserved later, when the archive was read
            return await self._queue(session, who, order), request.destination

    async def entries(
        self, who: Identity, root: str, path: str, password: str | None, q: str | None, limit: int, offset: int
    ) -> ArchiveListing:
        """Return one page of an archive's entries."""
        place = await self.readable(who, root)
        return await self._peers.list_archive(ListArchive(place, who.id, named(path), password, q or None, limit, offset))

    async def stats(self, who: Identity, root: str, path: str, password: str | None) -> ArchiveStats:
        """Return an archive's figures."""
        place = await self.readable(who, root)
        return await self._peers.archive_stats(AskArchiveStats(place, who.id, named(path), password))

    async def readable(self, who: Identity, root: str) -> Root:
        """Return the root if this user may read there. Raises ProblemError 403."""
        if root == Root.NAS:
            refuse_nas(who, (await self._configuration.read()).nas_browsing)
        return Root(root)

    async def _queue(self, session: Session, who: Identity, order: NewArchiveJob) -> Any:
        await self._limits.refuse_more_jobs(session, who.id)
        return await _new_job(session, who, order)


async def _new_job(session: Session, who: Identity, order: NewArchiveJob) -> Any:
    name, document = order.path.rpartition("/")[2], msgspec.to_builtins(order.request)
    facts = (who.username, who.id, order.total_bytes, order.file_count)
    row = await session.row("new_workspace_job", order.kind, name, f"/{order.path}", document, *facts)
    assert row is not None
    if order.password is not None:
        await session.run("keep_secret", row["id"], order.password)
    data = {"kind": order.kind, "path": order.path}
    await audit.note(session, who.actor, AuditRecord("job_create", order.sentence, str(row["id"]), data))
    return row


# Normalized requests -----------------------------------------------------------------------------------------------------------------


def named(path: str) -> str:
    """Return the normalized path of an entry below a root. Raises ProblemError 400."""
    try:
        plain = paths.plain(path)
    except PermanentError as exc:
        raise bad_request(str(exc)) from exc
    if not plain:
        raise bad_request("Name a file or folder; the top folder itself cannot be chosen.")
    return plain


def compress_request(asked: ArchiveRequest, defaults: Defaults) -> CompressRequest:
    """Return the request as it is recorded, with defaults filled in. Pure. Raises ProblemError 400."""
    paths = list(dict.fromkeys(map(named, asked.paths)))
    output = None if asked.output is None else named(asked.output)
    try:
        kind = format_for(asked.format, output, defaults.format)
    except PermanentError as exc:
        raise bad_request(str(exc)) from exc
    _check_nothing_twice(paths)
    if asked.password is not None:
        _check_password(asked.password)
        if kind not in WITH_PASSWORD:
            raise bad_request(f"{kind} knows no passwords; choose {' or '.join(WITH_PASSWORD)}.")
        if kind == "zip" and not asked.password.isascii():
            raise bad_request("The password of a zip consists of ASCII characters; choose another, or 7z.")
    if asked.volume_bytes is not None and kind not in WITH_VOLUMES:
        raise bad_request(f"{kind} cannot be cut into parts; choose {' or '.join(WITH_VOLUMES)}.")
    made = output or _beside(paths, Root(asked.root), kind)
    if asked.volume_bytes is not None and len(PurePosixPath(made).name.encode()) > LONGEST_NAME - len(".001"):
        raise bad_request("The archive's name is too long for its parts, whose names end in .001: give a shorter one in `output`.")
    return CompressRequest(
        root=Root(asked.root),
        paths=paths,
        output=made,
        format=kind,
        level=defaults.level if asked.level is None else asked.level,
        encrypted=asked.password is not None,
        volume_bytes=asked.volume_bytes,
    )


def extract_request(asked: ExtractionRequest) -> ExtractRequest:
    """Return the request as it is recorded. Pure. Raises ProblemError 400."""
    path = named(asked.path)
    if asked.password is not None:
        _check_password(asked.password)
    destination = asked.destination
    if destination is None:
        destination = path.rpartition("/")[0] if asked.root == "workspace" else ""
    try:
        plain, entries = paths.plain(destination), list(dict.fromkeys(map(paths.plain, asked.entries)))
    except PermanentError as exc:
        raise bad_request(str(exc)) from exc
    return ExtractRequest(
        root=Root(asked.root),
        path=path,
        destination=plain,
        entries=entries,
        entries_base64=list(dict.fromkeys(map(_base64, asked.entries_base64))),
        encrypted=asked.password is not None,
    )


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise bad_request(f"{text!r} in entries_base64 is no base64; send an entry's path_base64 as the listing has it.") from exc
    return text


def _check_nothing_twice(paths: list[str]) -> None:
    for path in paths:
        if holder := next((other for other in paths if path.startswith(f"{other}/")), None):
            raise bad_request(f"{path} is inside {holder}, which is chosen too.")


def _check_password(password: str) -> None:
    if not password.isprintable():
        raise bad_request("A password has no control characters.")


def _beside(paths: list[str], root: Root, kind: str) -> str:
    """Return the default path of an archive: the first path's name and folder, with the format's extension."""
    first = PurePosixPath(paths[0])
    folder = first.parent if root == Root.WORKSPACE else PurePosixPath()
    name = first.name if len(paths) == 1 else (folder.name or "archive")
    return str(folder / name_with(name, f".{kind}"))
