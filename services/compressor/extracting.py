"""Unpack an archive into a workspace: queued -> running -> verifying -> completed.

Everything is unpacked into the attempt's own directory first. The result is published by renaming: with one
rename if the destination is new, else with one per top entry, after checking that none of their names is
taken. Existing files are never replaced.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from services.compressor import publication, workspace
from services.compressor.ledger import Need
from services.compressor.publication import Plan
from services.compressor.workspace import Finished, JobContext, WorkspaceTools
from shared import faults, units
from shared.archiving import engine
from shared.archiving.checks import Chosen
from shared.archiving.engine import ExtractSpec
from shared.archiving.protocol import Extracted, Limits, Member
from shared.archiving.sevenzip import Progress
from shared.domain.lifecycle import Status
from shared.domain.requests import ExtractRequest, ExtractResult
from shared.errors import NOT_FOUND, TAKEN, PermanentError
from shared.files import handles, paths
from shared.files.manifest import printable
from shared.files.trees import Measured
from shared.service.work import Work

_OUT = "out"
_SHOWN = 10
_MOST_PLACED = 10_000
_LEAST = 1 << 20


async def extract(work: Work, tools: WorkspaceTools) -> None:
    """Complete a claimed extraction."""
    request = work.job.wanted
    assert isinstance(request, ExtractRequest)
    extractor = _Extractor(JobContext(work, tools), request)
    await work.advance(Status.RUNNING, "Looking into the archive")
    earlier = await extractor.context.earlier()
    if earlier is None:
        finished = await extractor.unpack()
    else:
        finished, _ = earlier
        await work.info("extraction_resumed", "An earlier try had unpacked everything; it is put in place.")
        await work.advance(Status.VERIFYING, "Putting it in place")
    await extractor.publish(finished)


class _Extractor:
    def __init__(self, context: JobContext, request: ExtractRequest) -> None:
        self.context = context
        self.work = context.work
        self.request = request
        self.names = request.names()

    async def unpack(self) -> Finished:
        context, work = self.context, self.work
        await context.clear()
        sentinel, password = await context.sentinel(self.request.root), await context.password()
        taken = await work.in_thread(_names_there, context.workspace, self.request.destination)
        with ExitStack() as stack:
            folder = await work.in_thread(stack.enter_context, self._folder(sentinel))
            held = await self._look(folder, password)
            folders = self.request.destination.count("/") + 1  # folders of the destination, at most
            await context.tools.room.reserve(work, Need(held.total_bytes, held.entries + folders))
            await work.run("record_folder", work.id, work.attempt, held.total_bytes, held.files)
            extracted = await self._extract(folder, password, held, taken)
        faults.point("workspace.created")

        await work.advance(Status.VERIFYING, "Looking at what was unpacked")
        seconds = context.seconds()
        result = ExtractResult(
            destination=self.request.destination,
            files_extracted=extracted.files,
            total_size=extracted.total_bytes,
            seconds=round(seconds, 2),
            mb_per_s=workspace.speed(extracted.total_bytes, seconds),
            warnings=extracted.warnings,
        )
        await work.info(
            "unpacked", f"{units.counted(extracted.files, 'file')}, {units.size(extracted.total_bytes)}, compared with the archive."
        )
        plan: Plan = await work.in_thread(self._planned, msgspec.to_builtins(result), extracted)
        faults.point("workspace.tested")
        await work.with_retry(self._record, plan)
        faults.point("workspace.recorded")
        return Finished(work.attempt, plan)

    async def _record(self, plan: Plan) -> None:
        async with self.work.transaction() as session:  # raises when the job belongs to another attempt by now
            await session.run("plan_publication", self.work.id, self.work.attempt, publication.encoded(plan))

    @contextmanager
    def _folder(self, sentinel: str | None) -> Iterator[int]:
        """Open the folder that holds the archive, and check that the archive is a plain file there."""
        folder, _, name = self.request.path.rpartition("/")
        bench = self.context.tools.bench
        with bench.opened(self.request.root, self.context.owner, folder, sentinel) as parent:
            try:
                with handles.file(parent, os.fsencode(name)):
                    pass
            except OSError as exc:
                raise PermanentError(f"There is no file {self.request.path} (any more).", NOT_FOUND) from exc
            yield parent

    def _archive(self, folder: int) -> Path:
        return handles.path_of(folder) / self.request.path.rpartition("/")[2]

    async def _look(self, folder: int, password: str | None) -> "_Wanted":
        """Read the archive's listing and check it. An archive that is refused causes no writes."""
        wanted = _Wanted(self.names)
        archive, binary = self._archive(folder), self.context.tools.sevenzip
        stats = await engine.listing(
            archive, password, self.context.children, wanted.add, limits=Limits(), inherit=[folder], binary=binary
        )
        if stats.problems and not self.names:
            raise PermanentError(f"The archive is refused: {'; '.join(stats.problems[:_SHOWN])}.", stats.problem_code)
        return wanted

    async def _extract(self, folder: int, password: str | None, held: "_Wanted", taken: list[bytes]) -> Extracted:
        written, total = [0], held.total_bytes

        def progress(seen: Progress) -> None:
            written[0] = total * seen.percent // 100
            self.work.progress("Unpacking", total * seen.percent // 100, total, seen.percent / 100)

        # The reservation is what the listing said. If somebody changes the archive now (on the NAS, say), no more than that is
        # unpacked.
        limits = Limits(total_bytes=max(total, _LEAST), entries=min(Limits().entries, max(held.members, held.entries)))
        spec = ExtractSpec(password=password, entries=self.names, taken=taken, limits=limits)
        archive, out, binary = self._archive(folder), self.context.directory / _OUT, self.context.tools.sevenzip
        async with self.context.tools.room.using(self.work, total, lambda: written[0]):
            return await engine.extract(archive, out, spec, self.context.children, progress, inherit=[folder], binary=binary)

    # Put in place -------------------------------------------------------------------------------------------------------------------

    def _planned(self, result: dict[str, Any], extracted: Extracted) -> Plan:
        """Make the unpacked content durable and return where each piece goes.

        Raises PermanentError "taken" with the name that is in the way.
        """
        _sync(self.context.directory / _OUT)
        there, missing = existing(self.context.workspace, self.request.destination)
        if missing:
            source = self._nested(missing)
            sources, names = [source], [os.fsencode(missing[0])]
        else:
            out = self.context.directory / _OUT
            names = sorted(os.fsencode(path.name) for path in out.iterdir())
            sources = [f"{_OUT}/".encode() + name for name in names]
        if found := publication.taken(self.context.workspace, there, names):
            shown = ", ".join(printable(name) for name in found[:_SHOWN])
            raise PermanentError(
                f"There is something named {shown} in {there or 'the workspace'} already; nothing is replaced.", TAKEN
            )
        pieces = [publication.piece_of(self.context.directory, s, n) for s, n in zip(sources, names, strict=True)]
        newest = publication.newest_change(self.context.directory, sources) if sources else 0
        adds = Measured(extracted.total_bytes, extracted.files, extracted.files + extracted.directories + len(missing))
        result["placed"] = _placed(self.request.destination if missing else there, [] if missing else names)
        return Plan(directory=there, pieces=pieces, newest_ns=newest, result=result, adds=adds)

    def _nested(self, missing: list[str]) -> bytes:
        """Wrap the unpacked content in the new folders of the destination.

        Returns the topmost one, below the attempt's directory.
        """
        if len(missing) == 1:
            return _OUT.encode()
        top = self.context.directory / "new"
        above = top.joinpath(*missing[1:-1])
        above.mkdir(mode=0o700, parents=True)
        (self.context.directory / _OUT).rename(above / missing[-1])
        return b"new"

    async def publish(self, finished: Finished) -> None:
        await self.context.put_in_place(finished)
        await self.context.finish(finished.plan)


def _placed(folder: str, names: list[bytes]) -> list[str] | None:
    """Return the workspace paths of what was put into a folder; without `names`, the path of the folder itself. Pure.

    Returns None in the case that `ExtractResult` describes.
    """
    try:
        placed = [paths.plain(f"{folder}/{name.decode()}") for name in names] if names else [folder]
    except (UnicodeDecodeError, PermanentError):
        return None
    return placed if len(placed) <= _MOST_PLACED else None


class _Wanted:
    """Adds up what will be unpacked.

    `entries`: files, links and folders, including folders that are only part of a path. `members`: members of
    the archive, which may name a folder twice.
    """

    def __init__(self, names: list[bytes]) -> None:
        self._chosen = Chosen(names)
        self._folders: set[bytes] = set()
        self.members = 0
        self.total_bytes = 0
        self.files = 0

    @property
    def entries(self) -> int:
        return self.files + len(self._folders)

    def add(self, member: Member) -> None:
        if not self._chosen.wants(member.path):
            return
        self.members += 1
        folder = member.path
        if member.kind != "directory":
            self.files += 1
            self.total_bytes += max(member.size, 0)
            folder = member.path.rpartition(b"/")[0]
        while folder and folder not in self._folders:
            self._folders.add(folder)
            folder = folder.rpartition(b"/")[0]


def existing(workspace_root: Path, destination: str) -> tuple[str, list[str]]:
    """Split a destination into the part that exists and the parts that do not.

    Raises PermanentError "taken" if a file is there.
    """
    parts = destination.split("/") if destination else []
    for depth in range(len(parts), -1, -1):
        try:
            with paths.opened(workspace_root, "/".join(parts[:depth])) as folder:
                missing = parts[depth:]
                if missing and handles.lstat(folder, os.fsencode(missing[0])) is not None:
                    raise PermanentError(f"{'/'.join(parts[: depth + 1])} is no folder.", TAKEN)
                return "/".join(parts[:depth]), missing
        except PermanentError as exc:
            if exc.code != NOT_FOUND:
                raise
    raise PermanentError("There is no workspace.", NOT_FOUND)


def _names_there(workspace_root: Path, destination: str) -> list[bytes]:
    """Return the names in the destination; an empty list if it does not exist yet. Raises as `existing`."""
    there, missing = existing(workspace_root, destination)
    if missing:
        return []
    with paths.opened(workspace_root, there) as folder:
        return [os.fsencode(name) for name in os.listdir(folder)]  # noqa: PTH208 - pathlib cannot list a handle


def _sync(path: Path) -> None:
    """Make a whole tree durable with one call for the file system. A call per file would take as long as unpacking."""
    with handles.root(path) as handle:
        handles.sync_filesystem(handle)
