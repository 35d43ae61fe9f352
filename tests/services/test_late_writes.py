"""Writers during the copy, just after it and during the deletion, on clocks of every unit: no schedule loses a byte."""

import errno
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.compressor.copying import copy_tree
from services.scanner import deletion
from shared.errors import Fenced, PermanentError, Waiting
from shared.files import clocks, handles, mount
from shared.files.findings import SourceInUse
from shared.files.manifest import Clock, Entry
from shared.files.manifest_deletion import CHANGED, stamps_writes
from shared.files.preflight import preflight
from tests.services.scanner.emptying import LATER_NS, Case, contents, later, walk
from tests.support.clocked import SimulatedClock, can_mount

NAMES = ["a", "sub/b", "sub/c"]
HOW = ["save", "save with the old time", "new inode", "through a map", "through a hard link", "move another here", "empty"]


MOUNTED = pytest.mark.skipif(
    not can_mount(),
    reason="no file system of whole seconds can be mounted here; the simulated clock of one second is tested everywhere",
)


def _maps_are_stamped() -> bool:
    with handles.root(Path(tempfile.gettempdir())) as place:
        return stamps_writes(place)


def nothing() -> None:
    pass


class Writer:
    """Writes files of equal size.

    `ever`: every content that existed; `destroyed`: content that the writer itself overwrote or removed.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.count = 0
        self.ever = contents(case.folder)
        self.destroyed: set[bytes] = set()

    def content(self) -> bytes:
        self.count += 1
        new = b"version %08d" % self.count
        self.ever.add(new)
        return new

    def write(self, how: str, name: str) -> None:
        path = self.case.folder / name
        with suppress(FileNotFoundError):  # it was deleted, or taken aside, just now
            old = path.read_bytes()
            self._write(how if old else "save", path, path.stat().st_mtime_ns)
            self.destroyed.add(old)

    def _write(self, how: str, path: Path, time_ns: int) -> None:
        match how:
            case "save" | "save with the old time":
                with path.open("r+b") as file:
                    file.write(self.content())
                if "old" in how:
                    os.utime(path, ns=(time_ns, time_ns))
            case "new inode":
                path.unlink()
                path.write_bytes(self.content())
            case "through a map":
                with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
                    mapped[:] = self.content()
            case "through a hard link":
                other = self.case.root / "base/other name"
                os.link(path, other)
                with other.open("r+b") as file:
                    file.write(self.content())
                other.unlink()
            case "move another here":
                other = path.with_name("other")
                other.write_bytes(self.content())
                os.utime(other, ns=(time_ns, time_ns))
                other.rename(path)
            case _:
                path.write_bytes(b"")
                self.ever.add(b"")


def archived(case: Case, at_stop: Callable[[], None]) -> bool:
    """Copy as the compressor does, and again if the folder changes. Return False if it changes each time."""
    for number in range(3):
        target = case.root / f"copy {number}"
        with handles.root(case.folder) as folder, handles.root(case.base) as base, suppress(SourceInUse):
            report = preflight(folder, b"Project", nothing)
            ours, now = case.our_clock(), clocks.look(base)
            clock = Clock(now.server_ns, ours, now.granularity_ns)
            entries: list[Entry] = copy_tree(folder, target, report.entries, progress=lambda _: None, stop=at_stop)
            case.archived_as(entries, clock)
            return True
    return False


def race(
    case: Case, during: list[tuple[int, str, str]], after: list[tuple[str, str]], deletes: list[tuple[int, str, str]]
) -> Writer:
    """Copy, write, delete. `during` and `deletes` write at the n-th instant of copy and deletion."""
    for name in NAMES:
        case.put(name, b"version 00000000" if name == "a" else b"version %s" % os.fsencode(name[-1] * 8))
    writer, copied, deleted = Writer(case), 0, 0

    def at_stop() -> None:
        nonlocal copied
        copied += 1
        for when, how, name in during:
            if when == copied:
                writer.write(how, name)

    def fault_point(_point: str) -> None:
        nonlocal deleted
        deleted += 1
        for when, how, name in deletes:
            if when == deleted:
                writer.write(how, name)

    if archived(case, at_stop):
        for how, name in after:
            writer.write(how, name)
        with suppress(PermanentError):  # nothing may be deleted
            case.run(fault_point)
        case.assert_nothing_unproven_is_lost(writer.ever - writer.destroyed)
    return writer


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    unit=st.sampled_from([1, 10**7, 10**9, 2 * 10**9]),
    moved=st.sampled_from([LATER_NS, LATER_NS, 60 * 10**9, -60 * 10**9, -LATER_NS]),
    during=st.lists(st.tuples(st.integers(1, 12), st.sampled_from(HOW), st.sampled_from(NAMES)), max_size=2),
    after=st.lists(st.tuples(st.sampled_from(HOW), st.sampled_from(NAMES)), max_size=3),
    deletes=st.lists(st.tuples(st.integers(1, 12), st.sampled_from(HOW[:6]), st.sampled_from(NAMES)), max_size=2),
)
def test_no_schedule_of_writes_loses_a_byte(
    tmp_path: Path,
    unit: int,
    moved: int,
    during: list[tuple[int, str, str]],
    after: list[tuple[str, str]],
    deletes: list[tuple[int, str, str]],
) -> None:
    """Clocks of nanoseconds, 10 ms, one and two seconds, also set back between copy and deletion. Copy and deletion are the real ones."""
    root = tmp_path / "case"
    shutil.rmtree(root, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        clock = SimulatedClock(patch, tmp_path, unit)
        case = Case(root)
        case.look = clocks.look
        case.our_clock = time.time_ns
        began = False

        def our_clock() -> int:
            nonlocal began
            if began:  # at the deletion; the local clock is an hour later too
                return time.time_ns() + LATER_NS
            began = True
            return time.time_ns()

        case.our_clock = our_clock
        real = case.run

        def run(fault_point: Callable[[str], None]) -> deletion.Result:
            clock.set_forward(moved)
            return real(fault_point)

        patch.setattr(case, "run", run)
        race(case, during, after, deletes)


@MOUNTED
def test_a_file_saved_in_the_second_of_its_copy_stays(whole_seconds: Path) -> None:
    """On a real file system of whole seconds: size, both times and inode are equal, the content is not."""
    case = Case(whole_seconds / "case")
    case.look, case.our_clock = clocks.look, time.time_ns
    for _ in range(20):  # until copy and save fall into one second
        target = case.put("a", b"first  version")
        case.put("other")
        assert archived(case, nothing)
        recorded = next(entry for entry in case.manifest.entries if entry.path == b"a")
        with target.open("r+b") as file:
            file.write(b"SECOND version")
        facts = target.stat()
        if (facts.st_mtime_ns, facts.st_ctime_ns) == (recorded.mtime_ns, recorded.ctime_ns):
            break
        shutil.rmtree(case.root / "copy 0")
    assert recorded.identity() == ("file", 14, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino), "the case itself"

    result = case.run()

    assert case.left() == {"a": b"SECOND version"}
    assert [(kept.path, kept.reason) for kept in result.kept] == [(b"a", CHANGED)]


@MOUNTED
@pytest.mark.parametrize("how", HOW[:6])
def test_real_seconds_lose_no_byte_either(whole_seconds: Path, how: str) -> None:
    """One writer during the copy, just after it, and during the rename."""
    case = Case(whole_seconds / "case")
    case.look, case.our_clock = clocks.look, time.time_ns
    race(case, [(4, how, "a")], [(how, "sub/b")], [(5, how, "sub/c"), (6, how, "a")])


def test_files_at_rest_are_not_read_again(tmp_path: Path) -> None:
    """A folder without writes before the copy is emptied by its times alone."""
    case = Case(tmp_path)
    for name in NAMES:
        case.put(name)
    case.archive(rested=True)
    case.run()
    assert (case.left(), case.read) == ({}, [])


def test_fresh_files_are_read_again_and_go(tmp_path: Path) -> None:
    """Reading proves them. Its progress only grows, file by file."""
    case = Case(tmp_path)
    for name in NAMES:
        case.put(name)
    case.archive()
    case.run()
    assert case.left() == {}
    assert set(case.read) == set(NAMES)
    assert [path.name for path in walk(case.folder)] == [case.marker.name]


def test_a_write_in_the_second_of_the_hash_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion in the same second as the save waits until a write would show. Then the file is hashed and renamed."""
    SimulatedClock(monkeypatch, tmp_path, 10**9)
    case = Case(tmp_path)
    case.look, case.our_clock = clocks.look, time.time_ns
    case.put("a", b"first  version")
    assert archived(case, nothing)
    pending = [b"SECOND version"]

    def act(point: str) -> None:
        if point == "deletion.renamed" and pending:
            (private,) = case.folder.glob(".csa-*")
            with private.open("r+b") as file:
                file.write(pending.pop())

    result = case.run(act)

    assert case.left() == {"a": b"SECOND version"}
    assert [(kept.path, kept.reason) for kept in result.kept] == [(b"a", CHANGED)]


def test_a_time_that_is_about_to_come_proves_nothing(tmp_path: Path) -> None:
    """A file is dated some seconds ahead. A write during the hash may get that very time, so the file stays."""
    case = Case(tmp_path)
    file = case.put("a")
    soon = time.time_ns() + 5 * 10**9
    os.utime(file, ns=(soon, soon))
    case.archive()
    steps = [0, 0, 10 * 10**9]  # the clock at the start, before the hash, and after it

    def look(_handle: int, _before: clocks.Stamp | None = None) -> clocks.Stamp:
        return clocks.Stamp(soon - 5 * 10**9 + (steps.pop(0) if steps else 10 * 10**9), 1)

    case.look = look
    with pytest.raises(PermanentError, match="Nothing was deleted"):
        case.run()
    assert case.left() == {"a": b"content of a"}


@pytest.mark.skipif(not _maps_are_stamped(), reason="maps are not stamped by this file system: there every file is read again")
def test_a_write_through_an_old_map_is_seen(tmp_path: Path) -> None:
    """The kernel stamps only the first write to a mapped page. The copy writes pages back, so the next write is stamped too."""
    case = Case(tmp_path)
    target = case.put("a", b"first  version")
    with target.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    mapped[:5] = b"First"
    assert archived(case, nothing)
    rested = clocks.COARSE_NS + 10**12
    case.archived_as(case.manifest.entries, Clock(time.time_ns() + rested, time.time_ns() + rested, 1))  # as if at rest
    case.look = lambda handle, before=None: clocks.Stamp(later(handle, before).server_ns, 1)
    mapped[:6] = b"SECOND"
    mapped.close()  # no writer has it open any more

    with suppress(PermanentError):
        case.run()
    assert case.left() == {"a": b"SECOND version"}


def test_a_stop_is_heeded_while_a_file_is_read_again(tmp_path: Path) -> None:
    """The stop comes in the middle of a file, and nothing is deleted."""
    case = Case(tmp_path)
    case.put("a", bytes(5 << 20))
    case.archive()
    blocks = iter(range(100))

    def stop() -> None:
        if case.read and next(blocks) == 2:
            raise Fenced("another has the job")

    with pytest.raises(Fenced):
        case.run(stop=stop)
    assert len(case.read) == 3
    assert list(case.left()) == ["a"]


@pytest.mark.parametrize("where", ["the file", "the NAS"])
def test_a_file_that_cannot_be_read_again_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """One bad file stays and is named. When the NAS is away, the run ends and is tried again."""
    case = Case(tmp_path)
    case.put("bad", b"unreadable content")
    case.put("good")
    case.archive()
    real = os.pread

    def failing(handle: int, count: int, offset: int) -> bytes:
        content = real(handle, count, offset)
        if content == b"unreadable content":
            if where == "the NAS":
                (case.base / mount.SENTINEL).unlink(missing_ok=True)
            raise OSError(errno.EIO, "Input/output error")
        return content

    monkeypatch.setattr(os, "pread", failing)
    if where == "the NAS":
        with pytest.raises(Waiting, match="not mounted"):
            case.run()
        assert sorted(case.left()) == ["bad", "good"]
        return
    result = case.run()
    assert list(case.left()) == ["bad"]
    assert [(kept.path, kept.reason) for kept in result.kept] == [(b"bad", "could not be read: input/output error")]


def test_where_the_id_may_not_be_touched_the_folder_tells_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator wrote the NAS's id, and the scanner may write only to the folders."""
    case = Case(tmp_path)
    case.put("a")
    case.archive()
    asked: list[str] = []

    def look(handle: int, before: clocks.Stamp | None = None) -> clocks.Stamp:
        path = str(handles.path_of(handle).readlink())
        asked.append(path)
        if path.endswith(mount.SENTINEL):
            raise PermissionError(errno.EACCES, "Permission denied")
        return later(handle, before)

    case.look = look
    case.run()
    assert case.left() == {}
    assert asked[:2] == [str(case.base / mount.SENTINEL), str(case.folder)]
