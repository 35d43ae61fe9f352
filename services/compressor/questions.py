"""Answer the gateway's questions about workspaces and archives. The answers only read; they change nothing."""

import asyncio
import os
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec

from services.compressor import making, publication
from services.compressor.extracting import existing
from services.compressor.workbench import Workbench
from shared import units
from shared.archiving import engine
from shared.archiving.formats import TOO_BIG
from shared.archiving.protocol import Limits, Member
from shared.errors import NOT_FOUND, TAKEN, PermanentError
from shared.files import handles
from shared.files.children import Children
from shared.files.manifest import printable, unsaid
from shared.files.paths import Root
from shared.files.tree_scan import scan_below
from shared.infra.bus import Bus
from shared.infra.db import Database
from shared.service.rpc import (
    ArchiveEntry,
    ArchiveListing,
    ArchiveStats,
    AskArchiveStats,
    ListArchive,
    PlanArchive,
    PlanExtraction,
    PlannedArchive,
    PlannedExtraction,
)

Q = TypeVar("Q", bound=msgspec.Struct)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT_ENTRIES = 500_000
_ANSWER_BYTES = 2 << 20  # per page; NATS takes messages of 4 MB
_TYPES: dict[str, Literal["file", "directory", "link", "other"]] = {"file": "file", "directory": "directory", "link": "link"}


class Listing(msgspec.Struct, frozen=True):
    """The contents of an archive. If there are too many members, only the first ones are kept."""

    members: list[Member]
    stats: engine.Stats


class Looking:
    """Answers the questions. Listings are cached by path, size, mtime and password, with at most `most` entries in all."""

    def __init__(self, db: Database, bench: Workbench, sevenzip: Path, most: int = _KEPT_ENTRIES) -> None:
        self._db = db
        self._bench = bench
        self._sevenzip = sevenzip
        self._most = most
        self._kept: OrderedDict[tuple[Any, ...], Listing] = OrderedDict()
        # One question of each user at a time: a page opened twice reads the archive once, and no user waits for another's big
        # archive.
        self._turns: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def serve(self, bus: Bus) -> None:
        await bus.serve("plan_archive", _typed(PlanArchive, self.plan_archive))
        await bus.serve("plan_extraction", _typed(PlanExtraction, self.plan_extraction))
        await bus.serve("list_archive", _typed(ListArchive, self.list_archive))
        await bus.serve("archive_stats", _typed(AskArchiveStats, self.archive_stats))

    # Before a job ----------------------------------------------------------------------------------------------------------------------

    async def plan_archive(self, asked: PlanArchive) -> PlannedArchive:
        sentinel = await self._sentinel(asked.root)
        return await asyncio.to_thread(self._plan_archive, asked, sentinel)

    def _plan_archive(self, asked: PlanArchive, sentinel: str | None) -> PlannedArchive:
        base, names = making.common(asked.paths)
        total = count = 0
        with self._bench.opened(asked.root, asked.owner, base, sentinel) as folder:
            for name in names:
                try:
                    for entry in scan_below(folder, os.fsencode(name), report=lambda *_: None, stop=lambda: None, inspect=False):
                        total += entry.size if entry.type == "file" else 0
                        count += entry.type != "directory"
                except OSError as exc:
                    raise PermanentError(f"There is no {f'{base}/{name}'.strip('/')}.", NOT_FOUND) from exc
        return PlannedArchive(self._output(asked), total, count)

    def _output(self, asked: PlanArchive) -> str:
        directory, _, file_name = asked.output.rpartition("/")
        workspace, number = self._bench.workspace(asked.owner), 0
        stem, dot, ending = file_name.rpartition(".")
        if dot and stem.endswith(".tar"):
            stem, ending = stem.removesuffix(".tar"), f"tar.{ending}"
        while True:
            name = making.numbered(file_name, ending, number) if number else file_name
            if not publication.taken(workspace, directory, [os.fsencode(name), os.fsencode(f"{name}.001")]):
                return f"{directory}/{name}".lstrip("/")
            if not asked.rename:
                raise PermanentError(f"There is something named {asked.output} already; it is not replaced.", TAKEN)
            number += 1

    async def plan_extraction(self, asked: PlanExtraction) -> PlannedExtraction:
        sentinel = await self._sentinel(asked.root)
        with ExitStack() as stack:
            opened = self._opened(asked.root, asked.owner, asked.path, sentinel)
            _, facts = await asyncio.to_thread(stack.enter_context, opened)
        await asyncio.to_thread(existing, self._bench.workspace(asked.owner), asked.destination)
        return PlannedExtraction(facts.st_size)

    # Inside an archive -----------------------------------------------------------------------------------------------------------------

    async def list_archive(self, asked: ListArchive) -> ArchiveListing:
        listing = await self._listing(asked.root, asked.owner, asked.path, asked.password)
        if listing.stats.entries > self._most:
            raise PermanentError(
                f"{asked.path} has more than {units.counted(self._most, 'entry', 'entries')}: too many to be listed here.", TOO_BIG
            )
        return await asyncio.to_thread(page, listing.members, asked.q, asked.limit, asked.offset)

    async def archive_stats(self, asked: AskArchiveStats) -> ArchiveStats:
        listing = await self._listing(asked.root, asked.owner, asked.path, asked.password)
        stats = listing.stats
        return ArchiveStats(
            format=stats.format,
            files=stats.files,
            directories=stats.entries - stats.files,
            original_size=stats.original_size,
            compressed_size=stats.compressed_size,
            compression_ratio=stats.ratio,
            encrypted=stats.encrypted,
            problems=stats.problems,
        )

    async def _listing(self, root: Root, owner: UUID, path: str, password: str | None) -> Listing:
        sentinel = await self._sentinel(root)
        async with self._turns[owner]:
            with ExitStack() as stack:
                folder, facts = await asyncio.to_thread(stack.enter_context, self._opened(root, owner, path, sentinel))
                key = (root, owner, path, password, facts.st_ino, facts.st_size, facts.st_mtime_ns)
                if key not in self._kept:
                    self._kept[key] = await self._read(folder, path.rpartition("/")[2], password)
                    self._forget()
            self._kept.move_to_end(key)
            return self._kept[key]

    async def _read(self, folder: int, name: str, password: str | None) -> Listing:
        members: list[Member] = []
        limits, archive = Limits(seconds=45), handles.path_of(folder) / name

        def keep(member: Member) -> None:
            if len(members) < self._most:  # packed, millions of entries are small
                members.append(member)

        stats = await engine.listing(archive, password, Children(), keep, limits=limits, inherit=[folder], binary=self._sevenzip)
        return Listing(members, stats)

    def _forget(self) -> None:
        while len(self._kept) > 1 and sum(len(kept.members) for kept in self._kept.values()) > self._most:
            self._kept.popitem(last=False)

    async def _sentinel(self, root: Root) -> str | None:
        if root is not Root.NAS:
            return None
        found = await self._db.value("nas_sentinel", str(self._bench.nas))
        return None if found is None else str(found)

    @contextmanager
    def _opened(self, root: Root, owner: UUID, path: str, sentinel: str | None) -> Iterator[tuple[int, os.stat_result]]:
        """Open the folder that holds a file, and return the file's status."""
        folder, _, name = path.rpartition("/")
        with self._bench.opened(root, owner, folder, sentinel) as parent:
            try:
                with handles.file(parent, os.fsencode(name)) as file:
                    facts = os.fstat(file)
            except (OSError, PermanentError) as exc:
                raise PermanentError(f"There is no file {path}.", NOT_FOUND) from exc
            yield parent, facts


def page(members: list[Member], q: str | None, limit: int, offset: int) -> ArchiveListing:
    """Return the entries whose path contains `q`, ignoring letter case, from `offset` on. Pure."""
    words = q.casefold() if q else None
    matching = members if words is None else [member for member in members if words in printable(member.path).casefold()]
    entries: list[ArchiveEntry] = []
    length = 0
    for entry in map(_entry, matching[offset : offset + limit]):
        length += len(msgspec.json.encode(entry))
        if entries and length > _ANSWER_BYTES:
            break
        entries.append(entry)
    return ArchiveListing(len(matching), entries)


def _entry(member: Member) -> ArchiveEntry:
    return ArchiveEntry(
        path=printable(member.path),
        type="file" if member.kind == "hardlink" else _TYPES.get(member.kind, "other"),
        size=member.size,
        path_base64=unsaid(member.path),
        modified_at=_time(member.mtime_ns),
        crc32=None if member.crc32 is None or member.kind == "directory" else f"{member.crc32:08x}",
        encrypted=member.encrypted,
    )


def _time(mtime_ns: int | None) -> datetime | None:
    try:
        return None if mtime_ns is None else _EPOCH + timedelta(microseconds=mtime_ns // 1000)
    except OverflowError:
        return None


def _typed(shape: type[Q], answer: Callable[[Q], Awaitable[msgspec.Struct]]) -> Callable[[bytes], Awaitable[msgspec.Struct]]:
    async def served(payload: bytes) -> msgspec.Struct:
        return await answer(msgspec.json.decode(payload, type=shape))

    return served
