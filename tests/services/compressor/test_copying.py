import hashlib
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from services.compressor import copying
from shared.errors import ConfigurationError, PermanentError, TransientError, Waiting
from shared.files import trees
from shared.files.findings import SourceInUse
from tests.services.compressor.trees import STRATEGIES, copy, look, nothing, small_disk, unprivileged
from tests.support.folders import tick

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with small files, one of 3 MiB and 5 bytes, links and an empty directory, each with its own times."""
    made = tmp_path / "source" / "folder"
    (made / "sub" / "empty").mkdir(parents=True)
    (made / "sub" / "small").write_bytes(b"small")
    (made / "sub" / "big").write_bytes(os.urandom(3 * MIB + 5))
    (made / "none").touch()
    (made / "read-only").write_bytes(b"r")
    (made / "read-only").chmod(0o444)
    (made / "setuid").write_bytes(b"s")
    (made / "setuid").chmod(0o6755)
    (made / "link").symlink_to("sub/small")
    (made / "dangling").symlink_to("/nowhere/at/all")
    (made / os.fsdecode(b"latin1-\xe9")).write_bytes(b"l")
    for n, path in enumerate(["sub/small", "sub/big", "none", "link", "sub/empty", "sub", "."]):
        os.utime(made / path, ns=(0, 1_234_567_890_123_456_789 - n * 10**15), follow_symlinks=False)
    return made


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "staging").mkdir(mode=0o700)
    return tmp_path / "staging" / "folder"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_copy_is_equal_and_carries_the_digests(folder: Path, target: Path, strategy: str) -> None:
    """Content, times to the nanosecond, modes (without set-id bits) and link texts; SHA-256 and CRC-32 of every file."""
    (folder / "sub" / "small").chmod(0o640)

    entries = copy(folder, target, strategy)

    original, made = look(folder).entries, look(target).entries
    assert [(e.path, e.type, e.size, e.mtime_ns, e.link) for e in made] == [
        (e.path, e.type, e.size, e.mtime_ns, e.link) for e in original]  # fmt: skip
    assert [e.mode for e in made if e.type != "link"] == [e.mode & 0o1777 for e in original if e.type != "link"]
    assert [e.identity() for e in entries] == [e.identity() for e in original]
    for entry in entries:
        if entry.type == "file":
            content = (target / os.fsdecode(entry.path)).read_bytes()
            assert content == (folder / os.fsdecode(entry.path)).read_bytes()
            assert (entry.sha256, entry.crc32) == (hashlib.sha256(content).digest(), zlib.crc32(content))
        else:
            assert entry.sha256 is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_progress_only_grows_and_ends_with_all_bytes(folder: Path, target: Path, strategy: str) -> None:
    """This holds for every copy method and any number of threads."""
    seen: list[int] = []

    copy(folder, target, strategy, progress=seen.append)

    assert seen == sorted(seen)
    assert seen[-1] == look(folder).total_bytes


def test_large_files_are_copied_two_at_a_time(folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both digests are right, and two threads copied at the same time."""
    monkeypatch.setattr(copying, "LARGE_FILE", 2 * MIB)
    shutil.copy2(folder / "sub" / "big", folder / "sub" / "big2")
    both = threading.Barrier(2, timeout=60)
    threads: set[str] = set()

    def progress(_: int) -> None:
        threads.add(threading.current_thread().name)

    met = threading.local()

    def stop() -> None:
        if threading.current_thread() is not threading.main_thread() and not getattr(met, "done", False):
            met.done = True
            both.wait()

    entries = {e.path: e for e in copy(folder, target, progress=progress, stop=stop)}

    assert (
        entries[b"sub/big"].sha256 == entries[b"sub/big2"].sha256 == hashlib.sha256((folder / "sub" / "big").read_bytes()).digest()
    )
    assert len(threads) == 3


def _append(folder: Path) -> None:
    with (folder / "sub" / "big").open("ab") as file:
        file.write(b"more")


def _truncate(folder: Path) -> None:
    os.truncate(folder / "sub" / "big", 100)


def _rewrite(folder: Path) -> None:
    """Rewrite with the same size and mtime: only ctime differs."""
    path = folder / "sub" / "big"
    before = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.write(b"other bytes")
    os.utime(path, ns=(before, before))


def _swap_for_link(folder: Path) -> None:
    path = folder / "sub" / "big"
    path.rename(folder.parent / "away")
    path.symlink_to("/etc/passwd")


def _swap_directory_for_link(folder: Path) -> None:
    (folder / "sub").rename(folder.parent / "away")
    (folder / "sub").symlink_to("/etc")


def _swap_there_and_back(folder: Path) -> None:
    """Put a link in a file's place for a moment, then the same file again."""
    path = folder / "sub" / "big"
    path.rename(folder.parent / "away")
    path.symlink_to("/etc/passwd")
    path.unlink()
    (folder.parent / "away").rename(path)


def _swap_for_fifo(folder: Path) -> None:
    (folder / "sub" / "big").unlink()
    os.mkfifo(folder / "sub" / "big")


CHANGES: list[Callable[[Path], object]] = [
    _append,
    _truncate,
    _rewrite,
    _swap_for_link,
    _swap_directory_for_link,
    _swap_there_and_back,
    _swap_for_fifo,
    lambda folder: (folder / "sub" / "big").unlink(),
    lambda folder: (folder / "sub" / "new").touch(),
    lambda folder: (folder / "sub" / "empty" / "new").mkdir(),
    lambda folder: os.mkfifo(folder / "fifo"),
    lambda folder: (folder / "sub").chmod(0o700),
    lambda folder: shutil.rmtree(folder / "sub"),
    lambda folder: (folder / "link").unlink(),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("phase", ["before", "first byte", "last byte"])
def test_a_source_that_changes_is_noticed(
    folder: Path, target: Path, strategy: str, phase: str, change: Callable[[Path], object]
) -> None:
    """Between walk and copy, during the copy, after the last byte: always SourceInUse, and nothing outside is copied."""
    report = look(folder)
    done = False

    def now() -> None:
        nonlocal done
        if not done:
            done = True
            tick(folder.parent / "probe")
            change(folder)

    def progress(count: int) -> None:
        if (phase == "first byte" and count > 10) or count == report.total_bytes:
            now()

    if phase == "before":
        now()
    with pytest.raises(SourceInUse) as caught:
        copy(folder, target, strategy, progress=progress, entries=report.entries)

    assert done
    assert caught.value.changes
    outside = Path("/etc/passwd").read_bytes()
    assert not any(p.is_file() and not p.is_symlink() and p.read_bytes() == outside for p in target.rglob("*"))


def test_the_changes_are_named(folder: Path, target: Path) -> None:
    """The user learns which files to close."""
    report = look(folder)

    def stop() -> None:
        (folder / "new").touch()

    with pytest.raises(SourceInUse, match=r"The source is in use: .*new: new"):
        copy(folder, target, stop=stop, entries=report.entries)


def test_a_growing_file_does_not_fill_the_disk(folder: Path, target: Path) -> None:
    """Reading stops at the first byte beyond the recorded size."""
    report = look(folder)

    def progress(_: int) -> None:
        _append(folder)

    with pytest.raises(SourceInUse):
        copy(folder, target, progress=progress, entries=report.entries)

    assert not (target / "sub" / "big").exists() or (target / "sub" / "big").stat().st_size <= 3 * MIB + 5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_stop_ends_a_copy_with_its_own_exception(folder: Path, target: Path, strategy: str) -> None:
    """This also works from a thread, and while a program copies."""

    class Stopped(Exception):  # noqa: N818 - as the real ones
        pass

    def stop() -> None:
        if target.exists():
            raise Stopped

    report = look(folder)
    with pytest.raises(Stopped):
        copy(folder, target, strategy, stop=stop, entries=report.entries)


def test_an_existing_target_is_never_copied_into(folder: Path, target: Path) -> None:
    """Leftovers of another attempt must not mix with the new copy."""
    target.mkdir()

    with pytest.raises(TransientError, match="File exists"):
        copy(folder, target)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_full_disk_is_waited_for(folder: Path, tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job waits until there is space and uses no retry."""
    with small_disk(tmp_path / "small", 2) as mounted:
        if not mounted:  # no right to mount: the write itself reports it, and every method but the programs uses it
            strategy = "auto"

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(copying, "_write_all", full)
        with pytest.raises(Waiting, match="no space left"):
            copy(folder, tmp_path / "small" / "copy", strategy)


def test_a_tool_that_lies_is_caught(folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The program exits with 0 and copied nothing. The comparison of the copy with the walk finds it."""
    liar = tmp_path / "liar"
    liar.write_text("#!/bin/sh\nexit 0\n")
    liar.chmod(0o755)
    monkeypatch.setattr(copying, "_program", lambda _: str(liar))

    with pytest.raises(TransientError, match="big has 0 bytes instead of"):
        copy(folder, target, "dd")
    trees.remove_tree(target, nothing)
    with pytest.raises(TransientError, match="The copy differs from the source"):
        copy(folder, target, "rsync")


@pytest.mark.parametrize("strategy", ["rsync", "dd"])
def test_a_tool_that_fails_is_tried_again(
    folder: Path, target: Path, strategy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message contains its exit code and its last output."""
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho broken pipe dream >&2\nexit 12\n")
    failing.chmod(0o755)
    monkeypatch.setattr(copying, "_program", lambda _: str(failing))

    with pytest.raises(TransientError, match=rf"Copying with {strategy} failed with code 12: broken pipe dream"):
        copy(folder, target, strategy)


def test_the_tool_depends_on_the_size() -> None:
    """copy2 below 1 GB, rsync below 100 GB, dd below 1 TB, else parallel."""
    tiers, gib = copying.Tiers(), 1 << 30

    tools = [tiers.tool(size) for size in (0, gib - 1, gib, 100 * gib - 1, 100 * gib, 1000 * gib - 1, 1000 * gib)]

    assert tools == ["copy2", "copy2", "rsync", "rsync", "dd", "dd", "parallel"]


def test_missing_tools_stop_the_service_at_its_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This applies only where the strategy needs them. The message contains the fix."""
    monkeypatch.setenv("PATH", str(tmp_path))

    copying.require_tools("auto")
    with pytest.raises(ConfigurationError, match="needs rsync and dd: install it, or set COPY_STRATEGY=auto"):
        copying.require_tools("tiered")


def test_another_account_than_root_can_read_and_remove_its_copy() -> None:
    """Sources that only the group can read, and read-only directories, become copies that 7-Zip can read and the service can remove."""
    with tempfile.TemporaryDirectory() as base:
        top = Path(base)
        source, staging = top / "source", top / "staging"
        (source / "locked").mkdir(parents=True)
        (source / "locked" / "file").write_bytes(b"x")
        (source / "locked" / "file").chmod(0o044)
        (source / "locked").chmod(0o555)
        staging.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(staging, 65534, 65534)
        else:
            (source / "locked" / "file").chmod(0o444)
        top.chmod(0o755)
        with unprivileged():
            copy(source, staging / "copy")

            assert (staging / "copy" / "locked" / "file").read_bytes() == b"x"
            assert (staging / "copy" / "locked").stat().st_mode & 0o777 == 0o555

            trees.remove_tree(staging / "copy", nothing)
        (source / "locked").chmod(0o755)

        assert list(staging.iterdir()) == []


def test_a_staging_file_system_with_coarse_times_is_refused(folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive's times are compared with the source's, so a copy that cannot store them must not continue."""
    real = os.utime
    monkeypatch.setattr(copying.os, "utime", lambda path, ns, **more: real(path, ns=tuple(t // 10**9 * 10**9 for t in ns), **more))

    with pytest.raises(PermanentError, match="cannot keep the modification time"):
        copy(folder, target)


def test_removing_a_tree_follows_no_link(tmp_path: Path) -> None:
    """Links, FIFOs and unreadable directories are removed. Link targets stay. A missing tree is no error."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(tree / "a" / "fifo")
    (tree / "a" / "b").chmod(0o500)

    trees.remove_tree(tree, nothing)
    trees.remove_tree(tree, nothing)

    assert [p.name for p in tmp_path.rglob("*")] == ["precious", "file"]
