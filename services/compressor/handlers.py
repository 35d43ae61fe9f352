"""The compressor's part of an archive job: queued -> copying -> compressing -> verifying -> compressed."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from services.compressor import staging
from services.compressor.copying import Strategy, Tiers, copy_tree
from services.compressor.ledger import Ledger
from services.compressor.rows import Archive
from services.compressor.staging import Places, sidecar_of
from shared import faults, units
from shared.archiving import sevenzip
from shared.domain.lifecycle import Role, Status
from shared.errors import ARCHIVED_ALREADY, Operation, PermanentError, TransientError, Waiting
from shared.files import apart, digests, handles, mount
from shared.files.children import Children
from shared.files.findings import SourceInUse
from shared.files.manifest import ArchiveFacts, Clock, Entry, FileFacts, Manifest, write_sidecar
from shared.files.markers import marker_of
from shared.files.preflight import PreflightReport, preflight
from shared.infra.db import Session
from shared.service import stagings
from shared.service.rpc import AskClock, AskDestination, ClockSeen, DestinationState
from shared.service.work import Work

_COPY_PASSES = 3  # a folder that changes during the copy is copied again; a busy one fails the job instead of blocking the lane


class ArchiveTools(msgspec.Struct, frozen=True):
    """The tools of the handlers, built once per process. own: our own directories, by the name of their setting."""

    base: Path
    places: Places
    ledger: Ledger
    sevenzip: Path
    strategy: Strategy
    tiers: Tiers
    own: dict[str, Path] = {}


async def archive(work: Work, tools: ArchiveTools) -> None:
    """Take a claimed job as far as `compressed`."""
    await _sweep_earlier(work, tools)
    if await _use_earlier_archive(work, tools):
        return
    await _check_destination(work)
    work.progress("Looking at the folder")
    await work.report()
    sentinel = await _sentinel(work, tools)
    report = await _look(work, tools, sentinel)

    await work.advance(Status.COPYING, "Copying from the NAS")
    for warning in report.warnings:
        await work.warn("preflight", warning)
    for note in report.notes:
        await work.info("preflight", note)
    manifest = await _copy(work, tools, sentinel, report)
    faults.point("compressor.copied")

    children = Children()
    zipper = sevenzip.SevenZip(tools.sevenzip, children)
    target = tools.places.archive(work.id, work.attempt, work.job.folder_name)
    target.parent.mkdir(mode=0o700, parents=True)
    await work.advance(Status.COMPRESSING, "Compressing")
    partial = await _compress(work, tools, zipper, target, manifest.total_bytes)
    await work.info("compressed", f"Compression complete ({units.size(partial.stat().st_size)}).")
    faults.point("compressor.packed")

    await work.advance(Status.VERIFYING, "Testing the archive")
    await _test(work, zipper, partial, manifest)
    await _hand_over(work, tools, partial, target, manifest)


# Before ----------------------------------------------------------------------------------------------------------------------------


async def _sweep_earlier(work: Work, tools: ArchiveTools) -> None:
    """Remove the unfinished work of earlier attempts. Recorded archives stay."""
    recorded = {archive.attempt for archive in await work.many(Archive, "archives_of", work.id)}
    earlier = work.attempt - 1
    await work.in_thread(staging.remove_attempts, tools.places.temp, work.id, earlier, work.stop)
    await work.in_thread(staging.remove_attempts, tools.places.archives, work.id, earlier, work.stop, recorded)
    # This job has no unwritten reservation now. A kept archive is on the disk, where its size counts for everybody.
    await work.run("release_space", work.id)


async def _use_earlier_archive(work: Work, tools: ArchiveTools) -> bool:
    """Go straight to `compressed` if an earlier attempt's archive is proven, or is still exactly what was recorded."""
    if await work.value("evidence", work.id) is not None:
        await work.info("evidence_complete", "The archive is proven to be at the destination already; nothing is copied again.")
        await work.advance(Status.COMPRESSED, "Proven already", keep_lease=False)
        return True
    for archive in await work.many(Archive, "archives_of", work.id):
        if archive.staging not in {None, tools.ledger.staging}:
            continue  # on another staging, where only that staging's compressor can check it
        path = stagings.located(tools.places.archives, archive.archive_path)
        if not path.exists():
            continue
        work.progress("Checking the archive of an earlier try")
        if await work.in_thread(_is_intact, path, archive, work):
            await work.info("archive_reused", "The archive that an earlier try made is intact and is used again.")

            async def facts(session: Session, archive: Archive = archive, path: Path = path) -> None:
                await session.run("use_archive", work.id, archive.attempt, work.attempt, str(path), tools.ledger.staging)
                await tools.ledger.keep_archive(session, work.id, archive.total)

            await work.advance(Status.COMPRESSED, "Waiting for upload", facts=facts, keep_lease=False)
            return True
        await work.warn(
            "archive_damaged",
            "The archive that an earlier try made is not what was recorded; it is removed and made again.",
            path=str(path),
            size=archive.size,
        )
        await work.in_thread(staging.remove, path.parent, work.stop)
    return False


def _is_intact(path: Path, recorded: Archive, work: Work) -> bool:
    try:
        archive, sidecar = digests.digest_file(path, work.stop), digests.digest_file(sidecar_of(path), work.stop)
    except (FileNotFoundError, NotADirectoryError, PermanentError):
        return False
    return (archive.size, archive.sha256, sidecar.size, sidecar.sha256) == (
        recorded.size,
        recorded.sha256,
        recorded.manifest_size,
        recorded.manifest_sha256,
    )


async def _check_destination(work: Work) -> None:
    """Check the destination first (custody 3): nothing is copied if it is taken or its state is unknown."""
    question = AskDestination(work.job.destination, work.id)
    try:
        answer = await work.bus.ask(Role.UPLOADER, "destination", question, DestinationState, timeout=60)
    except TransientError as exc:
        raise Waiting(f"Waiting until the destination can be looked at: {exc}", 2.0) from exc
    if answer.state == "foreign":
        raise PermanentError(
            f"{work.job.destination} exists at the destination already and is not this job's: {answer.detail} "
            "Rename the folder, or move that file away, then retry."
        )
    if answer.state == "busy":
        raise Waiting(answer.detail, 5.0)
    if answer.state == "unknown":
        raise Waiting(f"Waiting until the destination can be looked at: {answer.detail}")


async def _sentinel(work: Work, tools: ArchiveTools) -> str:
    sentinel = await work.value("nas_sentinel", str(tools.base))
    if sentinel is None:
        raise Waiting(f"The scanner has not seen the NAS at {tools.base} yet.", 2.0)
    return str(sentinel)


@contextmanager
def _source(work: Work, tools: ArchiveTools, sentinel: str) -> Iterator[int]:
    """Open the folder, part by part, below the mounted base. Raises Waiting when the NAS is not there."""
    relative = work.job.source_path.removeprefix(str(tools.base).rstrip("/") + "/")
    with mount.opened(tools.base) as base:
        mount.check_mounted(base, tools.base, sentinel)
        with _opened(base, relative, work.job.source_path) as folder:
            if not mount.same_device(base, folder):
                raise Waiting(f"{work.job.source_path} is not on the file system that is mounted at {tools.base}.")
            apart.refuse_overlap(Path(work.job.source_path), tools.own)
            apart.refuse_marked(base, os.fsencode(relative), work.job.source_path)
            yield folder


@contextmanager
def _opened(base: int, relative: str, shown: str) -> Iterator[int]:
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(handles.directory(base, os.fsencode(relative)))
        except OSError as exc:
            if exc.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                raise PermanentError(f"{shown} is gone, or is no plain folder any more.") from exc
            raise
        yield folder


async def _look(work: Work, tools: ArchiveTools, sentinel: str) -> PreflightReport:
    """Scan the folder and reserve space for it. Raises PermanentError when it cannot be archived as it is."""
    report = await work.in_thread(_preflight, work, tools, sentinel)
    refusals = [*report.refusals, *staging.name_refusals(tools.places, work.job.folder_name, report.entries)]
    if refusals:
        raise PermanentError(" ".join(refusals))
    await work.run("record_folder", work.id, work.attempt, report.total_bytes, report.file_count)
    await work.run("work_on_staging", work.id, work.attempt, tools.ledger.staging)
    await tools.ledger.reserve(work, report.total_bytes, len(report.entries))
    return report


def _preflight(work: Work, tools: ArchiveTools, sentinel: str) -> PreflightReport:
    with _source(work, tools, sentinel) as folder:
        try:
            report = preflight(folder, work.job.folder_name.encode(), work.stop)
        except SourceInUse as exc:
            raise TransientError(str(exc), Operation.COMPRESSION) from exc
    if found := marker_of(report.entries):
        raise PermanentError(
            f"{work.job.source_path} is archived already: it holds the marker {found}. Nothing was copied. If the marker is wrong,"
            " remove it, then retry.",
            ARCHIVED_ALREADY,
        )
    return report


# Copy, compress, test ----------------------------------------------------------------------------------------------------------------


async def _copy(work: Work, tools: ArchiveTools, sentinel: str, report: PreflightReport) -> Manifest:
    """Copy until a pass in which nothing changed. Raises PermanentError when the third pass also saw changes."""
    children = Children()
    written = [0]

    def progress(done: int) -> None:
        written[0] = done
        work.progress("Copying from the NAS", done, report.total_bytes)

    target = tools.places.copy(work.id, work.attempt, work.job.folder_name)
    for number in range(1, _COPY_PASSES + 1):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            if number > 1:  # the folder has changed by now and may be bigger
                report = await _look(work, tools, sentinel)
            clock = await _clock(work)
            async with tools.ledger.following(work, lambda: written[0]):
                entries = await work.in_thread(_copy_once, work, tools, sentinel, report, target, progress, children)
        except SourceInUse as exc:
            await work.warn("source_changed", f"The folder changed while it was copied (pass {number} of {_COPY_PASSES}): {exc}")
            await work.in_thread(staging.remove, target.parent, work.stop)
            written[0] = 0
        else:
            await work.info(
                "copied", f"Copy complete ({units.size(report.total_bytes)}, {units.counted(report.file_count, 'file')})."
            )
            return Manifest(work.job.folder_name, work.job.source_path, entries, [*report.warnings, *report.notes], clock)
    raise PermanentError("The folder is in use: it changed during each of three copies. Retry when nobody writes to it.")


async def _clock(work: Work) -> Clock | None:
    """Return the NAS's time. The scanner answers, because it may write there.

    Returns None when the scanner cannot say. Then every file is read again at the end.
    """
    ours = await work.value("clock")
    try:
        seen = await work.bus.ask(Role.SCANNER, "clock", AskClock(), ClockSeen)
    except (PermanentError, TransientError, Waiting) as exc:
        await work.info("clock_unknown", f"The NAS's time is not known: {exc} Every file is read again before it is deleted.")
        return None
    return Clock(seen.server_ns, ours, seen.granularity_ns)


def _copy_once(
    work: Work,
    tools: ArchiveTools,
    sentinel: str,
    report: PreflightReport,
    target: Path,
    progress: Callable[[int], None],
    children: Children,
) -> list[Entry]:
    with _source(work, tools, sentinel) as folder:
        return copy_tree(
            folder,
            target,
            report.entries,
            progress=progress,
            stop=work.stop,
            strategy=tools.strategy,
            tiers=tools.tiers,
            children=children,
        )


async def _compress(work: Work, tools: ArchiveTools, zipper: sevenzip.SevenZip, target: Path, total_bytes: int) -> Path:
    def progress(seen: sevenzip.Progress) -> None:
        work.progress("Compressing", total_bytes * seen.percent // 100, total_bytes, seen.percent / 100)

    source = tools.places.copy(work.id, work.attempt, work.job.folder_name)
    async with tools.ledger.following(work, lambda: total_bytes):
        return await zipper.compress(source, target, progress)


async def _test(work: Work, zipper: sevenzip.SevenZip, partial: Path, manifest: Manifest) -> None:
    """Test the archive: 7-Zip can unpack it, and its listing equals the manifest, entry by entry."""
    await zipper.test(partial, lambda seen: work.progress("Testing the archive", fraction=seen.percent / 100))
    work.progress("Comparing the archive with what was copied")
    if found := await zipper.differences(partial, manifest.entries, manifest.folder_name):
        raise TransientError(f"The archive is not what was copied: {'; '.join(found)}", Operation.COMPRESSION)
    await work.info(
        "tested",
        f"Archive integrity verified: {units.counted(len(manifest.entries), 'entry', 'entries')} equal to what was copied.",
    )


async def _hand_over(work: Work, tools: ArchiveTools, partial: Path, target: Path, manifest: Manifest) -> None:
    """Write digest and sidecar, make their names durable, and remove the copy. Then the uploader owns the archive."""
    work.progress("Taking the archive's digest")
    packed = await work.in_thread(digests.digest_file, partial, work.stop)
    facts = ArchiveFacts(target.name, packed.size, packed.sha256, packed.md5)
    sidecar, manifest_bytes = await work.in_thread(_publish, partial, target, manifest, facts, work)
    faults.point("compressor.published")
    await work.in_thread(staging.remove_attempts, tools.places.temp, work.id, work.attempt, work.stop)

    async def record(session: Session) -> None:
        staging_id, relative = tools.ledger.staging, stagings.recorded(tools.places.archives, target)
        await session.run(
            "record_archive",
            job_id=work.id,
            attempt=work.attempt,
            archive_path=relative,
            size=facts.size,
            sha256=facts.sha256,
            md5=facts.md5,
            manifest_size=sidecar.size,
            manifest_sha256=sidecar.sha256,
            manifest_md5=sidecar.md5,
            manifest=manifest_bytes,
            file_count=manifest.file_count,
            total_bytes=manifest.total_bytes,
            staging=staging_id,
        )
        await session.run("use_archive", work.id, work.attempt, work.attempt, str(target), staging_id)
        await tools.ledger.keep_archive(session, work.id, facts.size + sidecar.size)

    await work.advance(Status.COMPRESSED, "Waiting for upload", facts=record, keep_lease=False)


def _publish(partial: Path, target: Path, manifest: Manifest, facts: ArchiveFacts, work: Work) -> tuple[FileFacts, bytes]:
    sidecar = sidecar_of(target)
    written = write_sidecar(sidecar, manifest, facts, str(work.id), work.attempt)
    digests.sync_file(sidecar)
    sevenzip.publish(partial, target)
    # Sync the directories' own names, up to the root. Otherwise a power cut could remove what the database says is there.
    digests.sync_directory(target.parent.parent)
    digests.sync_directory(target.parent.parent.parent)
    return written
