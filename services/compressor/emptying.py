"""Delete the source of a pack by the recorded manifest, entry by entry. Entries that changed or arrived later are kept.

`shared/files/manifest_deletion.py` deletes the entries.

Only packs in `deleting_source` come here. Their archive was tested, compared and recorded, and has its final name. Before the
first deletion, and after every crash, the archive is read once more. If it is not what was recorded, nothing (more) is deleted.
"""

import os
from pathlib import Path

from services.compressor import workspace
from services.compressor.rows import WholeArchive
from services.compressor.workspace import WorkspaceTools
from shared import faults, units
from shared.domain.lifecycle import Status
from shared.domain.requests import PackRequest
from shared.errors import NOT_FOUND, PermanentError
from shared.files import handles, manifest, paths, usage
from shared.files.manifest import Manifest, printable
from shared.files.manifest_deletion import Callbacks, Emptying, Kept, files_below
from shared.files.trees import Measured
from shared.infra.db import Session
from shared.service.reporting import Reporter
from shared.service.work import Work

_NAMED = 500


async def empty(work: Work, tools: WorkspaceTools) -> None:
    """Complete a pack whose archive is in place."""
    request = work.job.wanted
    assert isinstance(request, PackRequest)
    packed = await work.one(WholeArchive, "packed", work.id)
    assert packed is not None, "a pack that empties its source has an archive"
    archive = tools.bench.located(work.job.owner, packed.archive_path)
    root = tools.bench.workspace(work.job.owner)
    walks = await work.value("usage_added", work.job.owner, *usage.NOTHING)
    if not await work.in_thread(workspace.is_intact, [archive], packed.size, packed.sha256, work.stop):
        await work.warn("archive_missing", "The archive is not where it was put, or was changed: the source folder is not deleted.")
        kept = await work.in_thread(_left, root, request.path, "its archive is gone")
        said = "Completed; the folder was kept, because its archive was moved or changed meanwhile"
        gone = usage.NOTHING
    else:
        document = await _recorded(work, packed)
        if document is None:
            kept = await work.in_thread(_left, root, request.path, "the list of what was packed is damaged")
            said = "Completed; the folder was kept, because the list of what was packed is damaged"
            gone = usage.NOTHING
        else:
            kept = await _empty(work, root, request.path, document, tools.bench.work)
            said = _completed(len(kept))
            # What an earlier attempt removed may be missing from the total already. The next walk corrects that.
            gone = removed(document, kept) if work.job.first_unlink_at is None else usage.NOTHING
    for one in kept[:_NAMED]:
        await work.warn("source_kept", f"Kept {printable(one.path)}: {one.reason}.")

    async def facts(session: Session) -> None:
        await session.run("record_kept", work.id, work.attempt, len(kept))
        await session.run("usage_removed", work.job.owner, *gone, walks)

    await work.advance(Status.COMPLETED, said, facts=facts, keep_lease=False)


async def _recorded(work: Work, packed: WholeArchive) -> Manifest | None:
    """Return the manifest of what was packed.

    Returns None, and explains it in the job's log, when the manifest differs from what was recorded with the archive.
    """
    try:
        document: Manifest = await work.in_thread(manifest.unpack, packed.manifest, packed.manifest_sha256)
    except PermanentError as exc:
        await work.warn("manifest_damaged", f"{exc} The source folder is not deleted.")
        return None
    return document


def _completed(kept: int) -> str:
    return (
        f"Completed; kept {units.counted(kept, 'file')} changed or added after packing, or open for writing"
        if kept
        else "Completed"
    )


def removed(document: Manifest, kept: list[Kept]) -> Measured:
    """Return how much less a workspace holds, as `trees.measure` counts it. Pure.

    If any entry was kept, folders count as kept, too.
    """
    stay = {one.path for one in kept}
    gone = [entry for entry in document.entries if entry.path not in stay and not (stay and entry.type == "directory")]
    files = [entry.size for entry in gone if entry.type == "file"]
    return Measured(sum(files), len(files), len(gone))


async def _empty(work: Work, root: Path, path: str, document: Manifest, clock: Path) -> list[Kept]:
    reporter = Reporter(work, "Emptying the source folder")
    try:
        return await work.in_thread(_run, work, root, path, document, clock, reporter.callbacks())
    finally:
        await reporter.flush()


def _run(work: Work, root: Path, path: str, document: Manifest, clock: Path, callbacks: Callbacks) -> list[Kept]:
    """Empty the folder and return what was kept.

    clock: a directory of ours on the workspaces' file system.
    """
    try:
        with handles.root(clock) as touched, paths.opened(root, path) as folder:
            run = Emptying(folder, document, f".csa-{work.id}-".encode(), callbacks, touched)
            run.empty_all()
            run.remove_directories()
            kept = run.account()
            inode = os.fstat(folder).st_ino
            if inode == document.entries[0].inode and (reason := run.proof.attributes(folder, document.entries[0])):
                return [*kept, Kept(b"./", reason)]
    except PermanentError as exc:
        if exc.code != NOT_FOUND:
            raise
        return []  # somebody removed or moved the folder: nothing to empty
    if inode == document.entries[0].inode:
        _remove_folder(root, path, inode)
    faults.point("workspace.emptied")
    return kept


def _remove_folder(root: Path, path: str, inode: int) -> None:
    """Remove the folder itself if nothing is left in it."""
    with paths.parent_of(root, path) as (parent, name):
        found = handles.lstat(parent, name)
        if found is None or found.st_ino != inode:
            return
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError:  # something was kept in it or arrived later
            return
        handles.sync_directory(parent)


def _left(root: Path, path: str, reason: str) -> list[Kept]:
    try:
        with paths.opened(root, path) as folder:
            return [Kept(name, reason) for name, _ in files_below(folder)]
    except PermanentError:
        return []
