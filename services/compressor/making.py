"""Make an archive in a workspace, for packs and for archive requests: queued -> running -> verifying -> ...

The archive is made in the attempt's own directory, tested, and compared with the manifest entry by entry. Then the source is
checked again. Only if it still matches the manifest, the archive is recorded with its future name, and then gets that name.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import msgspec

from services.compressor import publication, workspace
from services.compressor.ledger import Need
from services.compressor.publication import Plan
from services.compressor.rows import Archive, NameInUse, WholeArchive
from services.compressor.workbench import below_workspace
from services.compressor.workspace import Finished, JobContext, WorkspaceTools
from shared import faults, units
from shared.archiving import contents, engine, space
from shared.archiving.contents import Contents
from shared.archiving.engine import CreateSpec
from shared.archiving.formats import UNSAFE, Format
from shared.archiving.sevenzip import Progress
from shared.domain.lifecycle import Kind, Status
from shared.domain.requests import ArchiveResult, CompressRequest, PackRequest
from shared.errors import Operation, PermanentError, TransientError, Waiting
from shared.files import clocks, digests, handles, manifest
from shared.files.clocks import Stamp
from shared.files.findings import SourceInUse
from shared.files.manifest import ArchiveFacts, Clock, Entry, FileFacts, Manifest
from shared.files.paths import name_with
from shared.files.trees import Measured
from shared.infra.db import Database, Session
from shared.service.work import Work


class ArchiveSpec(msgspec.Struct, frozen=True):
    """The archive to make, for any kind of job. base: a folder below the root. names: paths below that folder.

    directory, file_name: the place in the workspace. unique: choose another number when the name is taken, instead of raising an
    error.
    """

    base: str
    names: list[str]
    directory: str
    file_name: str
    unique: bool
    format: Format
    level: int
    volume_bytes: int | None = None


def spec_of(request: PackRequest | CompressRequest) -> ArchiveSpec:
    """Return the archive that a request asks for. Pure."""
    if isinstance(request, PackRequest):
        base, _, name = request.path.rpartition("/")
        kind = Format(request.format)
        return ArchiveSpec(base, [name], "", f"{name}.{kind}", unique=True, format=kind, level=request.level)
    base, names = common(request.paths)
    directory, _, file_name = request.output.rpartition("/")
    kind, volume = Format(request.format), request.volume_bytes
    return ArchiveSpec(
        base, names, directory, file_name, unique=request.auto, format=kind, level=request.level, volume_bytes=volume
    )


def common(paths: list[str]) -> tuple[str, list[str]]:
    """Return the deepest folder that holds all these paths, and the paths below it. Pure."""
    base = os.path.commonpath([f"/{path.rpartition('/')[0]}" for path in paths]).strip("/")
    return base, [path.removeprefix(base).lstrip("/") for path in paths]


def numbered(file_name: str, ending: str, number: int) -> str:
    """Return `name.zip`, `name_1.zip`, `name_2.zip`, ... cut to the longest name that a file system allows. Pure."""
    stem, suffix = file_name.removesuffix(f".{ending}"), f".{ending}"
    tail = (f"_{number}" if number else "") + suffix
    return name_with(stem, tail)


async def make(work: Work, tools: WorkspaceTools) -> None:
    """Complete a claimed pack or archive, or take a pack as far as the deletion of its source."""
    context, request = JobContext(work, tools), work.job.wanted
    assert isinstance(request, PackRequest | CompressRequest)
    spec = spec_of(request)
    maker = _Maker(context, request, spec)
    await work.advance(Status.RUNNING, "Looking at the files")
    if not await maker.use_earlier():
        await maker.make()


class _Facts(msgspec.Struct, frozen=True):
    """The recorded facts of an archive. manifest: the sidecar, packed. total_bytes: the size of its contents."""

    packed: FileFacts
    sidecar: FileFacts
    manifest: bytes
    file_count: int
    total_bytes: int


class _Maker:
    def __init__(self, context: JobContext, request: PackRequest | CompressRequest, spec: ArchiveSpec) -> None:
        self.context = context
        self.work = context.work
        self.request = request
        self.spec = spec
        self.emptying = not workspace.keeps_source(context.work.job)
        self.clock: Clock | None = None  # when the reading began, if the source will be emptied

    # Reuse ----------------------------------------------------------------------------------------------------------------------------

    async def use_earlier(self) -> bool:
        """Continue with what an earlier attempt recorded, if all of it is still there and intact."""
        earlier = await self.context.earlier()
        if earlier is None:
            return False
        (finished, parts), work = earlier, self.work
        work.progress("Checking the archive of an earlier try")
        recorded = (await work.many(Archive, "archives_of", work.id))[0]
        if not await work.in_thread(workspace.is_intact, parts, recorded.size, recorded.sha256, work.stop):
            await work.warn("archive_damaged", "The archive that an earlier try made is not what was recorded; it is made again.")
            await self.context.withdraw(finished)
            return False
        await work.info("archive_reused", "The archive that an earlier try made is intact and is used again.")
        await work.advance(Status.VERIFYING, "Putting it in place")
        await self._publish(finished)
        return True

    # A new archive --------------------------------------------------------------------------------------------------------------------

    async def make(self) -> None:
        context, work = self.context, self.work
        await context.clear()
        await self._refuse_taken()
        sentinel = await context.sentinel(self.request.root)
        password = await context.password()
        held = await self._look(sentinel)
        if self.emptying:
            await self._judged(held, held.total_bytes)
        need = self._need(held)
        await context.tools.room.reserve(work, Need(need, space.volumes(need, self.spec.volume_bytes)))
        for warning in held.warnings:
            await work.warn("preflight", warning)
        parts = await self._create(sentinel, held, password)
        held = await self._judged(held, sum(part.stat().st_size for part in parts))
        faults.point("workspace.created")

        await work.advance(Status.VERIFYING, "Testing the archive")
        await self._test(parts, held, password)
        await self._look_again(sentinel, held)
        faults.point("workspace.tested")
        await self._publish(await self._record(parts, held))

    async def _refuse_taken(self) -> None:
        """Refuse a taken name early, before anybody waits for an archive that cannot have it."""
        if self.spec.unique:
            return
        names = [self.spec.file_name, f"{self.spec.file_name}.001"] if self.spec.volume_bytes else [self.spec.file_name]
        raw = [os.fsencode(name) for name in names]
        if await self.work.in_thread(publication.taken, self.context.workspace, self.spec.directory, raw):
            raise PermanentError(
                f"There is something named {self._output(self.spec.file_name)} already; it is not replaced. Choose another name."
            )

    def _output(self, file_name: str) -> str:
        """Return the path of this file below the workspace. Archives are recorded and shown to users with this path."""
        return f"{self.spec.directory}/{file_name}".lstrip("/")

    def _base(self, sentinel: str | None) -> AbstractContextManager[int]:
        """Open the folder that holds the files to pack."""
        return self.context.tools.bench.opened(self.request.root, self.context.owner, self.spec.base, sentinel)

    async def _look(self, sentinel: str | None) -> Contents:
        """Return the manifest: every entry with its identity and checksums."""
        total = self.work.job.folder_size_bytes or 0
        if self.emptying:
            ours = await self.work.value("clock")
            stamp: Stamp = await self.work.in_thread(self._stamp)
            self.clock = Clock(stamp.server_ns, ours, stamp.granularity_ns)

        def read(done: int) -> None:
            self.work.progress("Looking at the files", fraction=min(done / max(total, done, 1), 1.0) * 0.2)

        try:
            held: Contents = await self.work.in_thread(self._contents, sentinel, read)
        except SourceInUse as exc:
            raise workspace.in_use(exc) from exc
        facts = (held.total_bytes, held.file_count)
        await self.work.run("record_folder", self.work.id, self.work.attempt, *facts)
        return held

    def _need(self, held: Contents) -> int:
        """Return the space needed. It is more than the request reserved.

        The request did not know how many entries there are and how long their names are.
        """
        return space.making_bytes(self.spec.format, held.entries)

    def _stamp(self) -> Stamp:
        """Return the workspaces' time. This attempt's directory is on their file system."""
        with handles.root(self.context.directory) as directory:
            return clocks.look(directory)

    def _contents(self, sentinel: str | None, read: Callable[[int], None]) -> Contents:
        names = [os.fsencode(name) for name in self.spec.names]
        with self._base(sentinel) as base:
            return contents.manifest(handles.path_of(base), names, self.work.stop, read, sha256=self.emptying)

    async def _judged(self, held: Contents, packed_bytes: int) -> Contents:
        """Check that our own extraction accepts the archive.

        If not, refuse to pack a source that would be deleted; warn otherwise.

        packed_bytes: only a finished archive shows for certain whether it looks like a decompression bomb. Raises PermanentError.
        """
        wrong = "; ".join(await self.work.in_thread(contents.unpack_problems, held.entries, packed_bytes))
        if not wrong:
            return held
        if self.emptying:
            raise PermanentError(
                f"{self.spec.names[0]} is not packed and stays as it is, because its archive could not be unpacked here ({wrong}). "
                f"Mend that, or pack it and keep the folder.",
                UNSAFE,
            )
        warning = f"This archive cannot be unpacked here as a whole ({wrong}); chosen entries of it can."
        await self.work.warn("preflight", warning)
        return msgspec.structs.replace(held, warnings=[*held.warnings, warning])

    async def _create(self, sentinel: str | None, held: Contents, password: str | None) -> list[Path]:
        spec, work = self.spec, self.work
        options = CreateSpec(format=spec.format, level=spec.level, password=password, volume_bytes=spec.volume_bytes)
        names = [os.fsencode(name) for name in spec.names]

        def progress(seen: Progress) -> None:
            done = held.total_bytes * seen.percent // 100
            work.progress("Packing", done, held.total_bytes, 0.2 + seen.percent / 100 * 0.8)

        written = _Written(self.context.directory)
        try:
            async with self.context.tools.room.using(work, self._need(held), written):
                with ExitStack() as stack:
                    base = await work.in_thread(stack.enter_context, self._base(sentinel))
                    return await engine.create(
                        handles.path_of(base),
                        names,
                        self.context.directory,
                        f"archive.{spec.format}",
                        options,
                        self.context.children,
                        progress,
                        inherit=[base],
                        binary=self.context.tools.sevenzip,
                    )
        except SourceInUse as exc:
            raise workspace.in_use(exc) from exc

    async def _test(self, parts: list[Path], held: Contents, password: str | None) -> None:
        """Test the archive: it can be unpacked, and it holds exactly what the manifest says."""
        try:
            found = await engine.verify(
                parts[0],
                held.entries,
                self.context.children,
                lambda seen: self.work.progress("Testing the archive", fraction=seen.percent / 100),
                password=password,
                binary=self.context.tools.sevenzip,
            )
        except PermanentError as exc:  # permanent for a stranger's archive; this one is made again
            found = [str(exc)]
        if found:
            raise TransientError(f"The archive is not what was packed: {'; '.join(found)}", Operation.COMPRESSION)
        await self.work.info(
            "tested",
            f"Archive integrity verified: {units.counted(len(held.entries), 'entry', 'entries')} equal to what was packed.",
        )

    async def _look_again(self, sentinel: str | None, held: Contents) -> None:
        """Check that the source is still what it was when the manifest was made."""

        def changes() -> list[str]:
            with self._base(sentinel) as base:
                names = [os.fsencode(name) for name in self.spec.names]
                return manifest.changes(held.entries, contents.entries(handles.path_of(base), names, self.work.stop))

        self.work.progress("Looking at the files again")
        try:
            found = await self.work.in_thread(changes)
        except SourceInUse as exc:
            raise workspace.in_use(exc) from exc
        if found:
            raise workspace.in_use(SourceInUse(found))

    # Record and publish ---------------------------------------------------------------------------------------------------------------

    async def _record(self, parts: list[Path], held: Contents) -> Finished:
        work = self.work
        work.progress("Taking the archive's digest")
        packed: FileFacts = await work.in_thread(digests.digest_files, parts, work.stop)
        document = Manifest(work.job.folder_name, work.job.source_path, self._entries(held), held.warnings, self.clock)
        archive = ArchiveFacts(self.spec.file_name, packed.size, packed.sha256, packed.md5)
        sidecar, packed_manifest = await work.in_thread(self._durable, parts, document, archive)
        newest = await work.in_thread(publication.newest_change, self.context.directory, [os.fsencode(p.name) for p in parts])
        result = ArchiveResult(
            output_path="",
            format=self.spec.format,
            original_size=held.total_bytes,
            compressed_size=packed.size,
            compression_ratio=engine.ratio(held.total_bytes, packed.size),
            file_count=held.file_count,
            seconds=round(self.context.seconds(), 2),
            mb_per_s=workspace.speed(held.total_bytes, self.context.seconds()),
            volumes=len(parts),
            sha256=packed.sha256,
            warnings=held.warnings,
        )
        facts = _Facts(packed, sidecar, packed_manifest, held.file_count, held.total_bytes)
        sources = [os.fsencode(part.name) for part in parts]
        return await self._plan(work.attempt, sources, result, newest, facts)

    def _entries(self, held: Contents) -> list[Entry]:
        """Return the entries of the recorded manifest.

        A pack's manifest covers its folder, which is emptied by it. The manifest of any other archive covers all that was chosen.
        """
        if self.work.job.kind is not Kind.PACK:
            return held.entries
        top = os.fsencode(self.spec.names[0])
        return [msgspec.structs.replace(entry, path=entry.path[len(top) :].removeprefix(b"/")) for entry in held.entries]

    def _durable(self, parts: list[Path], document: Manifest, archive: ArchiveFacts) -> tuple[FileFacts, bytes]:
        for part in parts:
            digests.sync_file(part)
        digests.sync_directory(self.context.directory)
        digests.sync_directory(self.context.directory.parent)
        digests.sync_directory(self.context.directory.parent.parent)
        sidecar = self.context.directory / f"archive{manifest.SIDECAR_SUFFIX}"
        return manifest.write_sidecar(sidecar, document, archive, str(self.work.id), self.work.attempt)

    async def _plan(self, attempt: int, sources: list[bytes], result: ArchiveResult, newest: int, facts: _Facts) -> Finished:
        """Choose the name, and record archive and plan in one transaction before the first rename."""
        work, context = self.work, self.context
        packed, sidecar = facts.packed, facts.sidecar

        async def planned(session: Session | Database) -> set[str]:
            names = await session.many(NameInUse, "names_in_use", context.owner, work.id)
            return {below_workspace(context.owner, name.archive_path) for name in names}

        async def once() -> Plan | None:
            file_name = await work.in_thread(self._free_name, await planned(work.db))
            plan = await work.in_thread(self._planned, attempt, sources, file_name, result, newest)
            path = plan.result["output_path"]
            async with work.transaction() as session:
                if await session.row("archive_of_attempt", work.id, work.attempt) is not None:  # committed; the answer was lost
                    before = await session.one(Finished, "publication", work.id)
                    assert before is not None
                    return before.plan
                await session.run("lock_names", context.owner)
                if self.spec.unique and path in await planned(session):
                    return None  # another job has chosen this name meanwhile
                await session.run(
                    "record_archive",
                    job_id=work.id,
                    attempt=work.attempt,
                    archive_path=path,
                    size=packed.size,
                    sha256=packed.sha256,
                    md5=packed.md5,
                    manifest_size=sidecar.size,
                    manifest_sha256=sidecar.sha256,
                    manifest_md5=sidecar.md5,
                    manifest=facts.manifest,
                    file_count=facts.file_count,
                    total_bytes=facts.total_bytes,
                    staging=None,
                )
                await session.run("use_archive", work.id, work.attempt, work.attempt, path, None)
                await session.run("plan_publication", work.id, attempt, publication.encoded(plan))
                return plan

        plan: Plan | None = None
        while plan is None:
            plan = await work.with_retry(once)
        faults.point("workspace.recorded")
        return Finished(attempt, plan)

    def _free_name(self, planned: set[str]) -> str:
        """Return the first name that is neither taken nor planned by another job."""
        if not self.spec.unique:
            return self.spec.file_name
        number = 0
        while True:
            name = numbered(self.spec.file_name, self.spec.format, number)
            if self._output(name) not in planned and not publication.taken(
                self.context.workspace, self.spec.directory, [os.fsencode(name)]
            ):
                return name
            number += 1

    def _planned(self, attempt: int, sources: list[bytes], file_name: str, result: ArchiveResult, newest: int) -> Plan:
        directory = self.context.tools.bench.attempt(self.work.id, attempt)
        made = f"archive.{self.spec.format}".encode()
        pieces = [publication.piece_of(directory, source, os.fsencode(file_name) + source.removeprefix(made)) for source in sources]
        output = self._output(os.fsdecode(pieces[0].name))
        told = msgspec.to_builtins(msgspec.structs.replace(result, output_path=output))
        adds = Measured(result.compressed_size, len(pieces), len(pieces))
        return Plan(directory=self.spec.directory, pieces=pieces, newest_ns=newest, result=told, adds=adds)

    async def _publish(self, finished: Finished) -> None:
        try:
            await self.context.put_in_place(finished)
        except PermanentError as exc:
            if not (workspace.is_taken(exc) and self.spec.unique):
                raise
            # Somebody took the name since it was chosen. The archive is good: it gets the next free name.
            finished = await self._rename(finished)
            await self.context.put_in_place(finished)
        await self.work.info("published", f"The archive is {finished.plan.result['output_path']}.")
        await self.context.finish(finished.plan, empty_source=self.emptying)

    async def _rename(self, finished: Finished) -> Finished:
        """Choose another name for an archive that an earlier attempt recorded.

        Records never change, so this attempt records the archive anew.
        """
        work = self.work
        latest = (await work.many(Archive, "archives_of", work.id))[0].attempt
        if latest == work.attempt:
            raise Waiting("The archive's name was taken meanwhile; it gets another.", 0.0)
        made = await work.one(WholeArchive, "archive_of_attempt", work.id, latest)
        assert made is not None, "it was listed a moment ago, and archives are never deleted"
        packed = FileFacts(made.size, made.sha256, made.md5)
        sidecar = FileFacts(made.manifest_size, made.manifest_sha256, made.manifest_md5)
        facts = _Facts(packed, sidecar, made.manifest, made.file_count, made.total_bytes)
        plan = finished.plan
        sources = [piece.source for piece in plan.pieces]
        return await self._plan(finished.attempt, sources, msgspec.convert(plan.result, ArchiveResult), plan.newest_ns, facts)


class _Written:
    """The number of bytes in a directory so far."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self) -> int:
        try:
            return sum(path.stat().st_size for path in self._directory.iterdir() if path.is_file())
        except OSError:  # a file was renamed or removed at this very moment
            return 0
