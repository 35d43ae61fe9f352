"""Run one task: wait for its turn, copy, hash, delete, and meet obstacles.

Each unfinished task has one thread. All waits use the world's condition, so the thread notices a cancel, a clock change or new
faults at once. It makes the same checks between two chunks of a copy.
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import os
import posixpath
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from devstack.globus_emulator.config import Collection
from devstack.globus_emulator.errors import ApiError, FatalError, ObstacleError, StoppedError
from devstack.globus_emulator.faults import TaskFault, damage
from devstack.globus_emulator.filesystem import normal, resolve, used_bytes
from devstack.globus_emulator.submission import supports
from devstack.globus_emulator.tasks import Item, Outcome, Task, moment
from devstack.globus_emulator.world import World

log = logging.getLogger(__name__)
CHUNK = 1 << 20
DEFAULT_ALGORITHM = "MD5"
SKIPPABLE = frozenset({"PERMISSION_DENIED", "FILE_NOT_FOUND", "AMBIGUOUS_PATH"})
PROGRESS_EXTENDS_S = 72 * 3600.0
PAUSE_EXTENDS_S = 90 * 24 * 3600.0
UNPAUSE_LEAVES_S = 24 * 3600.0
SAVE_EVERY_S = 1.0


class File(NamedTuple):
    """One file to move."""

    source: str
    destination: str
    item: Item


class Run:
    """One running task, in its own thread."""

    def __init__(self, world: World, task: Task, number: int) -> None:
        self.world = world
        self.task = task
        self.number = number
        self.working = False
        """True while the task holds one of its owner's slots."""
        self.waiting = False
        """True while the task waits for a slot."""
        self.stopped = False
        self._outcomes: dict[str, Outcome] = {}
        self._next_chunk_at = 0.0
        self._saved_at = 0.0

    def main(self) -> None:
        """Run the thread until the task or the program ends."""
        try:
            self._outcomes = {outcome.destination_path: outcome for outcome in self.world.store.outcomes(self.task.task_id)}
            self._until_done()
            self.world.finish(self.task, "SUCCEEDED")
        except FatalError as fatal:
            self.world.finish(self.task, "FAILED", fatal)
        except StoppedError:
            pass
        except Exception:
            # A bug of the emulator must not look like a slow transfer.
            log.exception("task %s broke the emulator", self.task.task_id)
            self.world.finish(self.task, "FAILED", FatalError("INTERNAL_ERROR", "internal error of the emulator"))
        finally:
            self.world.left(self)

    def _until_done(self) -> None:
        wait_s = self.world.config.retry_first_s
        self._enter()
        while True:  # keep the slot between attempts, as the service does: three hopeless transfers block all others
            try:
                self._hold()
                if self._attempt():
                    return
            except ObstacleError as obstacle:
                self.task.subtasks_retrying = 1
                self.world.met(self.task, obstacle)
            self._sleep(wait_s)
            wait_s = min(2 * wait_s, self.world.config.retry_max_s)

    # --- waiting -------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise an error if the work must end: the program stops, a cancel, the deadline."""
        if self.stopped:
            raise StoppedError
        now = self.world.now()
        if self.task.cancel_requested and now >= self.task.cancel_not_before:
            raise FatalError("CANCELED", "canceled", "The task was canceled by its owner")
        if now >= self.task.deadline:
            raise FatalError("EXPIRED", "expired", "The task did not complete before its deadline")

    def _sleep(self, seconds: float | None = None, until: Callable[[], bool] = lambda: False) -> None:
        """Wait for some seconds (None: without limit) or until a condition holds. Raises when the work must end."""
        end = None if seconds is None else time.monotonic() + seconds
        with self.world.changed:
            while True:
                self.check()
                now = self.world.now()
                waits = [self.world.config.tick_s, self.task.deadline - now]
                if self.task.cancel_requested:
                    waits.append(self.task.cancel_not_before - now)
                if end is not None:
                    waits.append(end - time.monotonic())
                if until() or waits[-1] <= 0:
                    return
                self.world.changed.wait(max(0.001, min(waits)))

    def _enter(self) -> None:
        """Wait for a slot and take it."""
        task = self.task
        while (left := task.request_time + self._queue_seconds() - self.world.now()) > 0:
            self._sleep(min(left, self.world.config.tick_s))
        with self.world.changed:
            self.waiting = True
            try:
                self._sleep(until=lambda: self.world.has_place(self))
                self.working = True
            finally:
                self.waiting = False
            if task.nice_status in {"Queued", "PAUSED"}:
                task.nice_status, task.nice_details = "OK", None
        if not task.started:
            task.started = True
            self.world.record(task, "STARTED", "started", "The task has been started")

    def _queue_seconds(self) -> float:
        fault = self._fault("queue")
        return fault.seconds if fault else -1.0

    def _leave(self) -> None:
        with self.world.changed:
            self.working = False
            self.world.changed.notify_all()

    def _fault(self, *actions: str) -> TaskFault | None:
        return self.world.faults.of_task(self.task, *actions)

    def _hold(self) -> None:
        """Check between two chunks whether the work must end, and apply the task's faults."""
        self.check()
        while fault := self._fault("fail", "expire", "faulting", "stall", "inactive", "pause"):
            if fault.action == "fail":
                raise FatalError(fault.code, fault.code.lower().replace("_", " "), fault.details)
            if fault.action == "expire":
                raise FatalError("EXPIRED", "expired", "The task did not complete before its deadline")
            if fault.action == "faulting":
                raise ObstacleError(fault.code, fault.details)
            action = fault.action
            if action == "stall":
                self._sleep(until=lambda: self._fault("stall") is None)
            else:
                self._suspend(action, fault)

    def _suspend(self, action: str, fault: TaskFault) -> None:
        """Hold the task, PAUSED or INACTIVE, until the fault is removed. It keeps no slot and moves nothing."""
        task = self.task
        self._leave()
        if action == "pause":
            task.is_paused, task.pause_message, task.nice_status = True, fault.details, "PAUSED"
            if not task.deadline_given:
                task.deadline = self.world.now() + PAUSE_EXTENDS_S
            self.world.record(task, "PAUSED", "paused", fault.details)
        else:
            task.status, task.nice_status, task.nice_details = "INACTIVE", "AUTH", "The credentials have expired"
            self.world.record(task, "AUTH", "authentication failed", fault.details, is_error=True)
        try:
            self._sleep(until=lambda: self._fault(action) is None)
        finally:
            task.is_paused, task.pause_message = False, None
            if task.status == "INACTIVE":
                task.status = "ACTIVE"
        task.nice_status, task.nice_details = "Queued", None
        if action == "pause" and not task.deadline_given:
            task.deadline = self.world.now() + UNPAUSE_LEAVES_S
        self.world.record(task, "UNPAUSED", "unpaused", "The task goes on")
        with self.world.changed:
            self.waiting = True
            try:
                self._sleep(until=lambda: self.world.has_place(self))
                self.working, task.nice_status = True, "OK"
            finally:
                self.waiting = False

    # --- working -------------------------------------------------------------------------------------------------

    def _attempt(self) -> bool:
        """Work on everything that is not done. Returns True when nothing is left."""
        if self.task.kind == "DELETE":
            self._delete_all()
            return True
        files, directories = self._plan()
        obstacles = 0
        for path in directories:
            real = self._real(self.task.destination or "", path)
            with _obstacles(path):
                real.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.destination in self._outcomes:
                continue
            self._hold()
            try:
                self._done(self._move(file))
            except ObstacleError as obstacle:
                if obstacle.at_source and self.task.skip_source_errors and obstacle.code in SKIPPABLE:
                    self._done(self._skipped_error(file, obstacle))
                    continue
                obstacles += 1
                self.task.subtasks_retrying = obstacles
                self.world.met(self.task, obstacle)
        self.task.subtasks_retrying = obstacles
        return obstacles == 0

    def _plan(self) -> tuple[list[File], list[str]]:
        """Return (files, destination directories). Ignore symbolic links inside a directory, as the service does."""
        files: list[File] = []
        directories: list[str] = []
        for item in self.task.items:
            if not item.recursive:
                files.append(File(item.source_path, item.destination_path, item))
                continue
            top = self._real(self.task.source, item.source_path, at_source=True)
            if not top.is_dir():
                code = "NOT_A_DIRECTORY" if top.exists() else "FILE_NOT_FOUND"
                raise ObstacleError(code, f"Error (list)\nPath: {item.source_path}", at_source=True)
            for real, names, leaves in os.walk(top):
                below = posixpath.relpath(real, top)
                source, destination = (
                    posixpath.normpath(posixpath.join(path, below)) for path in (item.source_path, item.destination_path)
                )
                directories.append(destination)
                names.sort()
                files += [
                    File(posixpath.join(source, leaf), posixpath.join(destination, leaf), item)
                    for leaf in sorted(leaves)
                    if not (Path(real) / leaf).is_symlink()
                ]
        self.task.files, self.task.directories = len(files), len(directories)
        return files, directories

    def _collection(self, endpoint: str) -> Collection:
        try:
            return self.world.config.collections[endpoint]
        except KeyError:
            raise ObstacleError("ENDPOINT_ERROR", f"The collection {endpoint} is gone") from None

    def _real(self, endpoint: str, path: str, *, at_source: bool = False) -> Path:
        try:
            return resolve(self._collection(endpoint), path)
        except ApiError as error:
            code = "INVALID_PATH_NAME" if error.code == "InvalidPath" else "PERMISSION_DENIED"
            raise ObstacleError(code, f"{error.message}\nPath: {path}", at_source=at_source) from None

    def _done(self, outcome: Outcome) -> None:
        """Store the end of one file together with the counters that show it."""
        task = self.task
        if outcome.result == "transferred":
            task.files_transferred += 1
        elif outcome.result == "skipped":
            task.files_skipped += 1
        else:
            task.errors_skipped += 1
        if not task.deadline_given:
            task.deadline = max(task.deadline, self.world.now() + PROGRESS_EXTENDS_S)
        task.nice_status, task.nice_details = "OK", None
        self._outcomes[outcome.destination_path] = outcome
        details = msgspec.json.encode({"bytes_transferred": task.bytes_transferred, "files": task.files_transferred}).decode()
        self.world.record(task, "PROGRESS", "progress", details, outcome=outcome)

    def _skipped_error(self, file: File, obstacle: ObstacleError) -> Outcome:
        return Outcome(
            source_path=file.source,
            destination_path=file.destination,
            result="skipped_error",
            external_checksum=file.item.external_checksum,
            checksum_algorithm=file.item.checksum_algorithm,
            error_code=obstacle.code,
            error_details=obstacle.details,
            error_time=moment(self.world.now()),
        )

    def _move(self, file: File) -> Outcome:
        """Move one file, unless it is already there. Raises ObstacleError and FatalError."""
        task, item = self.task, file.item
        source = self._real(task.source, file.source, at_source=True)
        destination = self._real(task.destination or "", file.destination)
        algorithm = self._algorithm(item)
        with _obstacles(file.source, at_source=True):
            before = source.stat()
        if stat.S_ISDIR(before.st_mode):  # an item without `recursive`; a retry cannot help
            obstacle = ObstacleError("IS_A_DIRECTORY", f"Error (transfer)\nPath: {file.source}", at_source=True)
            self.world.met(task, obstacle)
            raise FatalError(obstacle.code, "is a directory", obstacle.details)
        outcome = Outcome(
            source_path=file.source,
            destination_path=file.destination,
            result="transferred",
            size=before.st_size,
            external_checksum=item.external_checksum,
        )
        if self._equal(file, source, destination, before, algorithm):
            outcome.result = "skipped"
            return outcome
        self._may_write(file, before.st_size)
        digest = self._copy(file, source, destination, algorithm)
        with _obstacles(file.source, at_source=True):
            after = source.stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise ObstacleError("FILE_SIZE_CHANGED", f"Error (transfer)\nThe source changed while it was read: {file.source}")
        _external(item, digest)
        self._damage("before_verify", file.destination, destination)
        if algorithm is not None and (task.verify_checksum or item.external_checksum):
            read_back = self._digest(destination, file.destination, algorithm)
            if read_back != digest and task.verify_checksum:
                raise ObstacleError(
                    "VERIFY_CHECKSUM",
                    f"Error (transfer)\nThe {algorithm} of {file.destination} is {read_back}, of the source {digest}",
                )
            _external(item, read_back)
            outcome.checksum, outcome.checksum_algorithm = digest, algorithm
        if task.preserve_timestamp:
            with _obstacles(file.destination):
                os.utime(destination, ns=(before.st_atime_ns, before.st_mtime_ns))
        self._damage("after_verify", file.destination, destination)
        return outcome

    def _algorithm(self, item: Item) -> str | None:
        """Return the hash to use, or None. Raises FatalError or ObstacleError when a collection refuses the algorithm."""
        task = self.task
        if not (task.verify_checksum or item.external_checksum or item.checksum_algorithm or task.sync_level == 3):
            return None
        algorithm = item.checksum_algorithm or DEFAULT_ALGORITHM
        for endpoint in (task.source, task.destination or ""):
            if supports(self.world.config, endpoint, algorithm):
                continue
            details = (
                f"Error (checksum)\nEndpoint: {self._collection(endpoint).display_name} ({endpoint})\n"
                f"Details: 500 Command failed. : Unsupported checksum algorithm: {algorithm}"
            )
            if self._collection(endpoint).unsupported_algorithm == "fault":
                raise ObstacleError("ENDPOINT_ERROR", details)
            raise FatalError("ENDPOINT_ERROR", f"unsupported checksum algorithm {algorithm}", details)
        return algorithm

    def _equal(self, file: File, source: Path, destination: Path, source_stat: os.stat_result, algorithm: str | None) -> bool:
        """Return True if the sync level accepts the destination as it is."""
        level = self.task.sync_level
        if level is None or not destination.is_file():
            return False
        with _obstacles(file.destination):
            there = destination.stat()
        if level == 0:
            return True
        if there.st_size != source_stat.st_size:
            return False
        if level == 1:
            return True
        if level == 2:
            return there.st_mtime >= source_stat.st_mtime
        if algorithm is None:
            return False
        here = self._digest(source, file.source, algorithm, at_source=True)
        _external(file.item, here)
        return here == self._digest(destination, file.destination, algorithm)

    def _may_write(self, file: File, size: int) -> None:
        """Raise ObstacleError or FatalError when the destination does not accept files now."""
        endpoint = self.task.destination or ""
        collection = self._collection(endpoint)
        fault = self.world.faults.fs("write", endpoint, normal(file.destination))
        action = fault.action if fault else None
        if collection.read_only or action in {"read_only", "denied"}:
            raise ObstacleError("PERMISSION_DENIED", f"Error (transfer)\nRead-only file system: {file.destination}")
        if action == "disconnected":
            raise ObstacleError("GC_NOT_CONNECTED", "Error (connect)\nThe Globus Connect Personal endpoint is not connected")
        full = collection.quota_bytes is not None and used_bytes(Path(collection.root)) + size > collection.quota_bytes
        if full or action == "quota":
            details = f"Error (transfer)\nDisk quota exceeded: {file.destination}"
            if self.task.fail_on_quota_errors:
                raise FatalError("QUOTA_EXCEEDED", "quota exceeded", details)
            raise ObstacleError("QUOTA_EXCEEDED", details)

    def _damage(self, when: str, path: str, real: Path) -> None:
        fault = self.world.faults.data(when, path)
        if fault is not None:
            damage(fault, real)

    def _copy(self, file: File, source: Path, destination: Path, algorithm: str | None) -> str | None:
        """Copy in chunks, directly to the final name. Returns the digest of the bytes read."""
        task = self.task
        hasher = _hasher(algorithm) if algorithm else None
        buffer = memoryview(bytearray(CHUNK))
        with _obstacles(file.source, at_source=True):
            reader = source.open("rb", buffering=0)
        with reader:
            with _obstacles(file.destination):
                destination.parent.mkdir(parents=True, exist_ok=True)
                writer = destination.open("wb", buffering=0)
            with writer:
                while True:
                    self._hold()
                    with _obstacles(file.source, at_source=True):
                        count = reader.readinto(buffer[: self._pace_chunk()])
                    if not count:
                        break
                    part = buffer[:count]
                    if hasher:
                        hasher.update(part)
                    with _obstacles(file.destination):
                        written = 0
                        while written < count:
                            written += writer.write(part[written:]) or 0
                    task.bytes_transferred += count
                    task.nice_status, task.nice_details = "OK", None
                    self._pace(count)
                    self._save_sometimes()
        return hasher.hexdigest() if hasher else None

    def _digest(self, real: Path, path: str, algorithm: str, *, at_source: bool = False) -> str:
        """Return the digest of a file. Only bytes read at the destination count as checksummed."""
        hasher = _hasher(algorithm)
        buffer = memoryview(bytearray(CHUNK))
        with _obstacles(path, at_source=at_source), real.open("rb", buffering=0) as reader:
            while count := reader.readinto(buffer):
                self._hold()
                hasher.update(buffer[:count])
                if not at_source:
                    self.task.bytes_checksummed += count
        return str(hasher.hexdigest())

    def _pace_chunk(self) -> int:
        speed = self.world.config.bytes_per_second
        return CHUNK if not speed else max(1, min(CHUNK, speed // 20))

    def _pace(self, count: int) -> None:
        """Keep to `bytes_per_second`. A new speed applies from now on."""
        speed = self.world.config.bytes_per_second
        if not speed:
            return
        now = time.monotonic()
        self._next_chunk_at = max(now, self._next_chunk_at) + count / speed
        if self._next_chunk_at > now:
            self._sleep(self._next_chunk_at - now, until=lambda: self.world.config.bytes_per_second != speed)
            if self.world.config.bytes_per_second != speed:
                self._next_chunk_at = 0.0

    def _save_sometimes(self) -> None:
        """Save the counters of a long file now and then, so that after a restart they do not start from zero."""
        now = time.monotonic()
        if now - self._saved_at >= SAVE_EVERY_S:
            if self._saved_at:
                self.world.store.save(self.task)
            self._saved_at = now

    # --- deleting ------------------------------------------------------------------------------------------------

    def _delete_all(self) -> None:
        task = self.task
        paths = [path for item in task.items for path in self._globbed(item.source_path)]
        task.files = len(paths)
        for path in paths:
            self._hold()
            fault = self.world.faults.fs("write", task.source, normal(path))
            if self._collection(task.source).read_only or (fault and fault.action == "read_only"):
                raise ObstacleError("PERMISSION_DENIED", f"Error (delete)\nRead-only file system: {path}")
            self._delete(path, self._real(task.source, path))

    def _globbed(self, path: str) -> list[str]:
        head, tail = posixpath.split(path.rstrip("/"))
        if not self.task.interpret_globs or not any(character in tail for character in "*?["):
            return [path]
        real = self._real(self.task.source, head or "/")
        with _obstacles(head):
            return [
                posixpath.join(head, name) for name in sorted(entry.name for entry in real.iterdir()) if fnmatch.fnmatch(name, tail)
            ]

    def _delete(self, path: str, real: Path) -> None:
        task = self.task
        known = self._outcomes.get(path)
        if not os.path.lexists(real):
            # It was ours if the intent was recorded before a crash; otherwise it never existed.
            if known is None and not task.ignore_missing:
                raise FatalError("FILE_NOT_FOUND", "file not found", f"Error (delete)\nNo such file or directory: {path}")
            return
        directory = real.is_dir() and not real.is_symlink()
        if directory and not task.recursive:
            raise FatalError("IS_A_DIRECTORY", "is a directory", f"Error (delete)\nIs a directory: {path}")
        if known is None:
            self._outcomes[path] = Outcome(source_path=path, destination_path=path, result="removing")
            self.world.store.add_outcome(task.task_id, self._outcomes[path])
        with _obstacles(path):
            if directory:
                shutil.rmtree(real)
            else:
                real.unlink()


def _hasher(algorithm: str) -> Any:
    """Return a new hasher. MD5 is the service's default and has no security role here."""
    return hashlib.new(algorithm, usedforsecurity=False)


def _external(item: Item, digest: str | None) -> None:
    if item.external_checksum and digest is not None and item.external_checksum.lower() != digest:
        raise FatalError(
            "EXTERNAL_CHECKSUM_MISMATCH",
            "external checksum mismatch",
            f"Error (transfer)\nThe checksum of {item.source_path} is {digest}, not {item.external_checksum}",
        )


@contextmanager
def _obstacles(path: str, *, at_source: bool = False) -> Iterator[None]:
    """Turn an OSError into the fault that the service would report."""
    try:
        yield
    except OSError as error:
        code = {
            FileNotFoundError: "FILE_NOT_FOUND",
            PermissionError: "PERMISSION_DENIED",
            IsADirectoryError: "IS_A_DIRECTORY",
            NotADirectoryError: "NOT_A_DIRECTORY",
            FileExistsError: "NOT_A_DIRECTORY",  # makedirs over a file
        }.get(type(error), _CODES.get(error.strerror or "", "UNKNOWN"))
        raise ObstacleError(code, f"Error (transfer)\nPath: {path}\nDetails: {error.strerror}", at_source=at_source) from None


_CODES = {
    "No space left on device": "NO_SPACE_LEFT",
    "Disk quota exceeded": "QUOTA_EXCEEDED",
    "File name too long": "INVALID_PATH_NAME",
    "Read-only file system": "PERMISSION_DENIED",
}
