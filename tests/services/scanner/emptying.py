"""A folder to empty, a manifest made independently of the engine, and an oracle that knows every byte that ever existed."""

import hashlib
import os
import signal
import stat
import time
import uuid
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from services.scanner import deletion, marker
from services.scanner.marker import MarkerFacts
from shared.files import clocks, handles, mount
from shared.files.clocks import Stamp
from shared.files.manifest import Clock, Entry, EntryType, Manifest
from tests.support.folders import tick

JOB = "11111111-2222-3333-4444-555555555555"
NAS_ID = str(uuid.UUID(int=7))
LATER_NS = 3600 * 10**9
"""How much later than the copy a deletion seems to come. Only the look at the clock is moved; files keep the times they really have."""


class Killed(BaseException):
    """Simulate a kill where the killed run shares this process: nothing catches it."""


def walk(folder: Path) -> list[Path]:
    """Return everything below, parents first, sorted. Links are not followed."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        found.append(path)
        if path.is_dir() and not path.is_symlink():
            found.extend(walk(path))
    return found


def contents(folder: Path) -> set[bytes]:
    """Return the content of every regular file below."""
    return {path.read_bytes() for path in walk(folder) if path.is_file() and not path.is_symlink()}


def entry_of(path: Path, folder: Path) -> Entry:
    facts = path.lstat()
    kind: EntryType = "link" if stat.S_ISLNK(facts.st_mode) else "directory" if stat.S_ISDIR(facts.st_mode) else "file"
    return Entry(
        path=b"" if path == folder else os.fsencode(path.relative_to(folder)),
        type=kind,
        size=0 if kind == "directory" else facts.st_size,
        mode=stat.S_IMODE(facts.st_mode),
        uid=facts.st_uid,
        gid=facts.st_gid,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        inode=facts.st_ino,
        links=facts.st_nlink,
        sha256=hashlib.sha256(path.read_bytes()).digest() if kind == "file" else None,
        link=os.fsencode(path.readlink()) if kind == "link" else None,
        xattrs=None if kind == "link" else {name: os.getxattr(path, name) for name in os.listxattr(path)} or None,
        read_from_ns=time.time_ns() if kind == "file" else None,
        read_to_ns=time.time_ns() if kind == "file" else None,
    )


def later(handle: int, before: Stamp | None = None) -> Stamp:
    """Set the clock to one hour from now."""
    now = clocks.look(handle, before)
    return Stamp(now.server_ns + LATER_NS, now.granularity_ns)


class Case:
    """A base with a sentinel and one folder, `a/b/Project`. `archive()` fixes the manifest, as the end of copying does.

    Its files are archived just after they were written, so their times prove nothing; see `rested`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = root / "base"
        self.folder = self.base / "a/b/Project"
        self.folder.mkdir(parents=True)
        (self.base / mount.SENTINEL).write_text(NAS_ID)
        self.marker = self.folder / "Project-ARCHIVED-TO-GLOBUS.txt"
        self.look = later
        self.our_clock = lambda: time.time_ns() + LATER_NS
        self.committed = root / "first_unlink_at"  # stands for the column: it outlives the process
        self.log: list[tuple[str, str, int, str]] = []
        self.progress: list[tuple[int, int]] = []
        self.read: list[str] = []  # blocks that were read again because their times prove nothing

    def put(self, path: str, content: bytes | None = None) -> Path:
        """Create a file with unique content and its real times."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.fsencode(f"content of {path}") if content is None else content)
        return file

    def archive(self, *, rested: bool = False) -> None:
        """Changes from now on have another ctime, if the clock is no coarser than some milliseconds.

        rested: the copy comes an hour later, so that the times of all files prove them.
        """
        with handles.root(self.base) as base:
            now = clocks.look(base)
        rest = LATER_NS // 2 if rested else 0
        clock = Clock(now.server_ns + rest, time.time_ns() + rest, now.granularity_ns)
        self.archived_as([entry_of(path, self.folder) for path in [self.folder, *walk(self.folder)]], clock)
        tick(self.root / "tick")

    def archived_as(self, entries: list[Entry], clock: Clock) -> None:
        """Fix the manifest as the archived content from now on."""
        self.manifest = Manifest("Project", str(self.folder), entries, clock=clock)
        self.archived = {entry.sha256 for entry in self.manifest.entries if entry.sha256 is not None}
        self.facts = MarkerFacts(
            archived_on=datetime(2024, 1, 15, 14, 32, 1, tzinfo=UTC),
            archive_name="Project.tar.7z",
            globus_path="/a/b/Project.tar.7z",
            job_id=JOB,
            user="admin",
            archive_size=1234,
            sha256="ab" * 32,
            file_count=self.manifest.file_count,
        )

    def verdict(self) -> deletion.Verdict:
        with handles.root(self.folder) as folder:
            return deletion.deletable(folder, self.manifest)

    def run(
        self,
        fault_point: Callable[[str], None] = lambda _point: None,
        before_first_unlink: Callable[[], None] | None = None,
        stop: Callable[[], None] = lambda: None,
    ) -> deletion.Result:
        task = deletion.Task(self.base, NAS_ID, str(self.folder), self.manifest, self.facts, started=self.committed.exists())
        callbacks = deletion.Callbacks(
            before_first_unlink=before_first_unlink or self.committed.touch,
            log=lambda *line: self.log.append(line),
            progress=self._progress,
            stop=stop,
            our_clock=self.our_clock,
            look=self.look,
            fault_point=fault_point,
        )
        return deletion.run(task, callbacks)

    def _progress(self, done: float, total: int, reading: str | None) -> None:
        if reading is None:
            self.progress.append((int(done), total))
        else:
            self.read.append(reading)

    def run_and_die(self, at: int) -> bool:
        """Run in a child that kills itself with SIGKILL at fault point number `at`. Return False if it ended before."""
        reached = -1

        def die(_point: str) -> None:
            nonlocal reached
            reached += 1
            if reached == at:
                os.kill(os.getpid(), signal.SIGKILL)

        _, status = os.waitpid(self.run_in_child(die), 0)
        assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
        return os.WIFSIGNALED(status)

    def run_in_child(self, fault_point: Callable[[str], None] = lambda _point: None) -> int:
        """Run in a separate process and return its pid. It exits with 0, or with 1 if the run raised."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child uses no thread and never returns to pytest
            child = os.fork()
        if child == 0:
            code = 1
            try:
                self.run(fault_point)
                code = 0
            finally:
                os._exit(code)
        return child

    def left(self) -> dict[str, bytes]:
        """Return what is in the folder now, without the marker: path -> content (a link's text, nothing for a directory)."""
        found: dict[str, bytes] = {}
        for path in walk(self.folder):
            if path == self.marker:
                continue
            name = str(path.relative_to(self.folder))
            if path.is_symlink():
                found[name] = os.fsencode(path.readlink())
            else:
                found[name] = path.read_bytes() if path.is_file() else b""
        return found

    def assert_nothing_unproven_is_lost(self, ever: set[bytes]) -> None:
        """Check that every content that ever existed is still there or in the manifest."""
        lost = {content for content in ever - contents(self.folder) if hashlib.sha256(content).digest() not in self.archived}
        assert lost == set()

    def assert_final_marker(self, result: deletion.Result) -> None:
        assert self.marker.read_text() == marker.final_text(self.facts, result.kept)
