"""The scanner's part of an archive job: verified -> deleting_source -> completed. It makes the only deletions on the NAS."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from services.scanner import deletion, discovery, marker
from services.scanner.catalog import Catalog
from services.scanner.deletion import Task, Verdict
from services.scanner.marker import MarkerFacts
from services.scanner.rows import Deletion, Proof
from shared import log, units
from shared.domain.lifecycle import Role, Status
from shared.errors import ArchiverError, Fenced, PermanentError, TransientError, Waiting
from shared.files import apart, manifest
from shared.files.manifest import Manifest, printable
from shared.infra.db import Session
from shared.service.reporting import Reporter
from shared.service.rpc import RecheckSize, SizeChecked
from shared.service.work import Work

logger = log.get(__name__)

_LOG_BATCH = 500


class ScannerTools(msgspec.Struct, frozen=True):
    """The tools of the handlers, built once per process.

    fresh_s: how old evidence may be when it is used, in seconds. own: our own directories, by the name of their setting.
    """

    base: Path
    catalog: Catalog
    fresh_s: float
    own: dict[str, Path] = {}


async def finish(work: Work, tools: ScannerTools) -> None:
    """Take a claimed job from `verified`, or a deletion that another run began, to `completed`.

    The job may end in many ways before the first unlink. Each of them removes the job's own marker, which would mark a full folder
    as archived.
    """
    try:
        await _finish(work, tools)
    except (Fenced, asyncio.CancelledError):
        # Another worker has the folder now, or we are stopping. In both cases the next run settles the marker. But if that run has
        # already done so and given the job up, nobody else would remove a marker that this run wrote late.
        if _has_marker(work):
            with suppress(Fenced, Waiting):
                await _take_marker_back(work, tools, is_lost=True)
        raise
    except Exception:
        if _has_marker(work):
            await _take_marker_back(work, tools)
        raise


def _has_marker(work: Work) -> bool:
    """Return whether this run may have written the marker."""
    return work.status is Status.DELETING_SOURCE and not work.is_handed_over


async def _finish(work: Work, tools: ScannerTools) -> None:
    if work.job.keep_source:
        await work.info("source_kept", "The archive is proven at the destination; the source stays, as the job asks.")
        await work.advance(Status.COMPLETED, "Completed, source kept", keep_lease=False)
        return
    proof = await _proof(work, tools)
    copied = await asyncio.to_thread(manifest.unpack, proof.manifest, proof.manifest_sha256)
    if (copied.source_path, copied.folder_name) != (work.job.source_path, work.job.folder_name):
        raise PermanentError(f"The recorded manifest is of {copied.source_path}, not of this job's folder; nothing is deleted.")
    started = work.job.first_unlink_at is not None
    task = Task(
        base=tools.base,
        nas_id=await tools.catalog.known(),
        source=work.job.source_path,
        manifest=copied,
        facts=_facts(work, proof),
        started=started,
    )
    if work.status is Status.VERIFIED:
        await _judge(work, task, copied, tools.own)
        await work.advance(Status.DELETING_SOURCE, "Emptying the source folder")
    reporter = Reporter(work, "Emptying the source folder")
    try:
        result = await work.in_thread(deletion.run, task, reporter.callbacks())
    finally:
        await reporter.flush()
    if not result.marker_written:
        await work.warn("marker_missing", "No marker was left: the folder is gone, or a file of a person's has the marker's name.")
    for kept in result.kept[:_LOG_BATCH]:
        await work.warn("source_kept", f"Kept {printable(kept.path)}: {kept.reason}.")

    async def facts(session: Session) -> None:
        await session.run("record_kept", work.id, work.attempt, len(result.kept))

    await work.advance(Status.COMPLETED, _completed(len(result.kept)), facts=facts, keep_lease=False)
    await _look_again(work, tools)


def _completed(kept: int) -> str:
    if not kept:
        return "Completed"
    return (
        f"Completed; kept {units.counted(kept, 'file')} changed or added after the copy, or open for writing:"
        " move them into a new folder and archive that one"
    )


def _facts(work: Work, proof: Proof) -> MarkerFacts:
    destination = work.job.destination
    return MarkerFacts(
        archived_on=proof.verified_at,
        archive_name=destination.rsplit("/", 1)[-1],
        globus_path=destination,
        job_id=str(work.id),
        user=work.job.created_by,
        archive_size=proof.size,
        sha256=proof.sha256,
        file_count=proof.file_count,
    )


async def _proof(work: Work, tools: ScannerTools) -> Proof:
    """Return the complete evidence. If it is old, ask about the destination once more before anything is deleted (custody 4)."""
    proof = await work.one(Proof, "proof", work.id)
    if proof is None:
        raise PermanentError("The evidence is not complete; nothing is deleted.")
    if proof.age_s > tools.fresh_s:
        try:
            answer = await work.bus.ask(Role.UPLOADER, "recheck_size", RecheckSize(work.id), SizeChecked, timeout=60)
        except TransientError as exc:
            raise Waiting(f"Waiting until the destination can be looked at once more: {exc}", 10.0) from exc
        if not answer.ok:
            raise PermanentError(f"The destination does not hold what was proven: {answer.detail} Nothing more is deleted.")
        await work.info(
            "evidence_rechecked", f"The evidence is {units.duration(proof.age_s)} old; sizes at the destination are still right."
        )
    return proof


async def _judge(work: Work, task: Task, copied: Manifest, own: Mapping[str, Path]) -> None:
    """Refuse to begin when nothing may be deleted. Log what will stay."""
    verdict: Verdict = await work.in_thread(_deletable, task, copied, work, own)
    if not verdict.deletable:
        raise PermanentError(
            f"Nothing in {task.source} may be deleted: all of it is gone or was changed after the copy. Nothing was deleted; "
            "the archive at the destination stays."
        )
    await work.info(
        "judged",
        f"{units.counted(len(verdict.deletable), 'unchanged entry', 'unchanged entries')} may be deleted, {len(verdict.kept):,} stay, "
        f"{len(verdict.vanished):,} {units.plural(len(verdict.vanished), 'is', 'are')} gone already.",
    )


def _deletable(task: Task, copied: Manifest, work: Work, own: Mapping[str, Path]) -> Verdict:
    with deletion.opened(task.base, task.nas_id, task.source) as (base, folder):
        apart.refuse_overlap(Path(task.source), own)
        apart.refuse_marked(base, os.fsencode("/".join(discovery.levels(task.base, task.source))), task.source)
        return deletion.deletable(folder, copied, work.stop)


async def _take_marker_back(work: Work, tools: ScannerTools, *, is_lost: bool = False) -> None:
    """Remove the marker of a job that ends before its first unlink.

    is_lost: this run has lost the job, so the marker is removed only if no deletion is under way any more. The row
    is locked meanwhile, so that nobody else can take the job over and begin while counting on the marker. Raises
    Waiting while the marker cannot be removed, or while the state is unknown: the job must not fail then. Raises
    Fenced when the job belongs to another worker.
    """
    try:
        nas_id = await tools.catalog.known()
        async with work.db.transaction() as session:
            deleting = await session.one(Deletion, "lock_deletion", work.id)
            is_ours = deleting is not None and deleting.attempt == work.attempt and not is_lost
            if deleting is None or (deleting.status is Status.DELETING_SOURCE and not is_ours):
                raise Fenced("Another worker has this job now.")
            if deleting.first_unlink_at is None:
                await work.in_thread(_remove_marker, work, tools, nas_id)
    except (Fenced, Waiting):
        raise
    except Exception as exc:  # any error of the database: the job's state is unknown
        raise Waiting(f"Whether the deletion has begun is not known, so that the marker stays: {exc}", 15.0) from exc


def _remove_marker(work: Work, tools: ScannerTools, nas_id: str) -> None:
    try:
        with deletion.opened(tools.base, nas_id, work.job.source_path) as (_, folder):
            marker.remove_own(folder, marker.marker_name(work.job.folder_name), str(work.id))
    except deletion.SourceGone:
        return  # the marker is gone as well
    except Waiting:
        raise
    except (ArchiverError, OSError) as exc:
        raise Waiting(f"Nothing was deleted, but the unfinished marker cannot be removed: {exc}", 15.0) from exc


async def _look_again(work: Work, tools: ScannerTools) -> None:
    try:
        await tools.catalog.look_again(work.job.source_path)
    except (ArchiverError, OSError) as exc:
        logger.info("look_again_failed", job_id=str(work.id), message=f"The next scan will see the folder: {exc}")
