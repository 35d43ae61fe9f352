"""Empty an archived folder by its manifest, entry by entry. No byte is deleted unless it is proven to be in the archive.

`shared/files/manifest_deletion.py` deletes the entries, and explains why two runs of one job do no harm. This module adds the
rules of the NAS, and the marker.

A run may be killed at any instruction. The next run then finds one of these states:

- Before the marker is renamed into place: there is a stray temporary file. The next run removes it. Nothing else has changed.
- Marker in place, `first_unlink_at` not committed: nothing was unlinked. The job may still fail; its marker is removed first.
- After an entry was renamed: the next run finds it under its private name, takes it over, hashes it, and unlinks it or puts it
  back.
- After the unlink: the entry is gone, and the next run counts it as gone.
- After an entry was renamed back: it has its own name and is judged like any other. Its ctime has changed, so it stays.
- During the removal of directories: they are empty or gone.
- Before or after the final marker: it is written again from what is there.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from services.scanner import discovery, marker
from services.scanner.marker import MarkerFacts
from shared.errors import Operation, PermanentError, TransientError, Waiting
from shared.files import apart, handles, mount
from shared.files.manifest import Manifest, printable
from shared.files.manifest_deletion import (
    GONE,
    NEW,
    NO_DIRECTORY,
    Callbacks,
    Emptying,
    Kept,
    Proof,
    check,
    files_below,
    plan_of,
    visit,
)


class SourceGone(PermanentError):  # noqa: N818 - says what happened to the source
    """The folder does not exist any more."""


class Verdict(msgspec.Struct, frozen=True):
    """Manifest indexes of files and links that may be deleted; entries that stay, with the reasons; entries already gone."""

    deletable: list[int]
    kept: list[Kept]
    vanished: list[bytes]


class Task(msgspec.Struct, frozen=True):
    """One folder to empty. source: canonical path. nas_id: the sentinel's id. started: `first_unlink_at` is committed already."""

    base: Path
    nas_id: str
    source: str
    manifest: Manifest
    facts: MarkerFacts
    started: bool


class Result(msgspec.Struct, frozen=True):
    """The result for the folder. deleted_files, deleted_bytes: by this run alone. kept: all remaining files, sorted by path.

    marker_written: False when a person, while the folder was emptied, removed it or put a file of the marker's name there.
    """

    deleted_files: int
    deleted_bytes: int
    kept: list[Kept]
    marker_written: bool


@contextmanager
def opened(base: Path, nas_id: str, source: str) -> Iterator[tuple[int, int]]:
    """Open (base, source). Check that the NAS is mounted now and that both are on one file system now.

    Raises Waiting when the NAS is not there, SourceGone when the source is gone or is not a folder any more.
    """
    parts = discovery.levels(base, source)
    with mount.opened(base) as base_handle, ExitStack() as stack:
        mount.check_mounted(base_handle, base, nas_id)
        try:
            folder = stack.enter_context(handles.directory(base_handle, os.fsencode("/".join(parts))))
        except OSError as exc:
            if exc.errno in NO_DIRECTORY:
                raise SourceGone(f"The source {source} is gone, or no folder any more. Nothing was deleted.") from exc
            raise TransientError(f"The source {source} cannot be opened: {exc.strerror}.", Operation.CONNECTION) from exc
        if not mount.same_device(base_handle, folder):
            raise Waiting(f"{source} is not on the file system that is mounted at {base}; something is mounted over it.")
        yield base_handle, folder


def deletable(folder: int, manifest: Manifest, stop: Callable[[], None] = lambda: None) -> Verdict:
    """Judge every entry now without changing anything. The run judges each entry again.

    The job fails if no entry is deletable. Only the run hashes files, because reading a large source twice would prove no more.
    Raises PermanentError when one of our own directories lies in the folder.
    """
    plan, proof = plan_of(manifest), Proof(folder, stop)
    verdict = Verdict([], [], [])
    known: set[bytes] = set()
    for at in plan.directories:
        path = manifest.entries[at].path
        with visit(folder, path) as directory:
            for index in plan.children.get(path, []):
                stop()
                entry = manifest.entries[index]
                known.add(entry.path)
                with ExitStack() as stack:
                    reason = GONE if directory is None else check(stack, proof, directory, entry)[0]
                if reason is None:
                    verdict.deletable.append(index)
                elif reason == GONE:
                    verdict.vanished.append(entry.path)
                else:
                    verdict.kept.append(Kept(entry.path, reason))
    for path, trouble in files_below(folder):
        if apart.is_place(path):
            raise PermanentError(f"Nothing was deleted. {apart.why_not('The source', printable(path.rpartition(b'/')[0]) or 'it')}")
        if path not in known:
            verdict.kept.append(Kept(path, trouble or NEW))
    return verdict


def run(task: Task, callbacks: Callbacks) -> Result:
    """Empty the folder, as this module's docstring describes. Any process may run it again after any end.

    Raises PermanentError before anything was deleted: the source is gone, nothing in it may be deleted, or a foreign
    file has the marker's name (none of these once `task.started`). Raises Waiting when the NAS is not mounted,
    TransientError when the NAS fails midway.
    """
    try:
        with opened(task.base, task.nas_id, task.source) as (base, folder), handles.file(base, mount.SENTINEL.encode()) as clock:
            return _Run(task, callbacks, base, folder, clock).run()
    except SourceGone:
        if not task.started:
            raise
        return Result(0, 0, [], marker_written=False)  # a person removed the folder meanwhile; this job cannot fail any more
    except OSError as exc:
        raise TransientError(
            f"The NAS failed while {task.source} was emptied: {exc.strerror or exc}.", Operation.CONNECTION
        ) from exc


class _Run(Emptying):
    """One run over one folder on the NAS, with its marker."""

    def __init__(self, task: Task, callbacks: Callbacks, base: int, folder: int, clock: int) -> None:
        super().__init__(folder, task.manifest, marker.job_prefix(task.facts.job_id), callbacks, clock)
        self.task = task
        self.base = base
        self.job_id = task.facts.job_id
        self.marker_name = marker.marker_name(task.manifest.folder_name)

    def run(self) -> Result:
        marker.clear_temporaries(self.folder, self.job_id)
        if self.task.started:
            self.begin()
        self.empty_all()
        if not self.begun:
            raise PermanentError(
                f"Nothing in {self.task.source} may be deleted: all of it is gone or was changed after the copy. Nothing was deleted."
            )
        self.remove_directories()
        self.check_place()
        kept = self.account()
        text = marker.final_text(self.task.facts, kept)
        written = marker.replace_final(self.folder, self.marker_name, text, self.job_id, self.call.fault_point)
        self.call.fault_point("deletion.final_marker")
        return Result(self.files, self.bytes, kept, written)

    def begin(self) -> None:
        """Before the first change, put the marker in place durably, then tell the database."""
        try:
            text = marker.in_progress_text(self.task.facts)
            marker.write_in_progress(self.folder, self.marker_name, text, self.job_id, self.call.fault_point)
        except PermanentError:
            # Once the deletion has started, a person's file in the marker's place does not end it: scans treat that name as the
            # marker.
            if not self.task.started:
                raise
        self.call.fault_point("deletion.marker_written")
        super().begin()

    def check_place(self) -> None:
        mount.check_mounted(self.base, self.task.base, self.task.nas_id)

    def is_own(self, path: bytes) -> bool:
        if marker.is_temporary(path, self.job_id):
            return True
        return path == self.marker_name and marker.is_own(self.folder, path, self.job_id)
