import errno
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from services.scanner import deletion, marker
from shared.errors import Fenced, PermanentError, Waiting
from shared.files import manifest_deletion, mount
from shared.files.manifest import Entry, Manifest
from shared.files.manifest_deletion import CHANGED, NEW, REPLACED, TOUCHED, WRITTEN, Kept
from tests.support.folders import open_below
from tests.support.nas import Nas, names
from tests.support.stack import until

from .emptying import JOB, NAS_ID, Case, contents, entry_of, walk


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def at_first(point: str, act: Callable[[], object]) -> Callable[[str], None]:
    """A fault point that acts only the first time `point` is reached."""
    pending = [act]

    def fault_point(reached: str) -> None:
        if reached == point and pending:
            pending.pop()()

    return fault_point


def plain_tree(case: Case) -> None:
    case.put("one")
    case.put("sub/two")
    case.put("sub/deep/three")
    case.archive()


def test_a_proven_tree_is_emptied_down_to_its_marker(case: Case) -> None:
    """Files, empty files, odd names, hard links, links and directories are deleted. The marker and link targets stay."""
    outside = case.root / "outside"
    (outside / "dir").mkdir(parents=True)
    (outside / "dir/file").write_text("mine")
    case.put("one")
    case.put("empty", b"")
    case.put("sub/deep/two")
    case.put("sub/new\nline and caf\udce9")
    case.put("sub/a")
    os.link(case.folder / "sub/a", case.folder / "sub/b")
    os.link(case.folder / "sub/a", case.folder / "c")
    (case.folder / "none/below").mkdir(parents=True)
    (case.folder / "to file").symlink_to(outside / "dir/file")
    (case.folder / "to dir").symlink_to(outside / "dir")
    (case.folder / "sub/dangling").symlink_to("nowhere")
    case.archive()
    verdict = case.verdict()
    result = case.run()

    assert (verdict.kept, verdict.vanished) == ([], [])
    assert len(verdict.deletable) == case.manifest.file_count == result.deleted_files == 10
    assert result.deleted_bytes == case.manifest.total_bytes
    assert case.left() == {}
    assert result.kept == []
    assert result.marker_written
    case.assert_final_marker(result)
    assert (outside / "dir/file").read_text() == "mine"
    assert names(case.root) == ["base", "first_unlink_at", "outside"]
    # Each entry except the folder itself is one line in the log and one step of progress.
    assert len(case.log) == len(case.manifest.entries) - 1
    assert {line[3] for line in case.log} == {"deleted"}
    assert ("delete_file", "sub/deep/two", len("content of sub/deep/two"), "deleted") in case.log
    assert case.progress == [(n, len(case.log)) for n in range(1, len(case.log) + 1)]


def write(path: Path) -> None:
    path.write_bytes(b"other, " + path.read_bytes())


def same_size(path: Path) -> None:
    path.write_bytes(path.read_bytes().swapcase())


def touch(path: Path) -> None:
    os.utime(path)


def chmod(path: Path) -> None:
    path.chmod(0o600)


def hide(path: Path) -> None:
    """Write other content of the same size with the old mtime: only ctime differs."""
    old = path.stat().st_mtime_ns
    same_size(path)
    os.utime(path, ns=(old, old))


def replace(path: Path) -> None:
    """Create another inode with the old size and mtime."""
    other = path.with_name(f"{path.name}.new")
    other.write_bytes(path.read_bytes().swapcase())
    os.utime(other, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    other.rename(path)


def link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("inside")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def hard_link(path: Path) -> None:
    os.link(path, path.with_name("also"))


def rename(path: Path) -> None:
    path.rename(path.with_name("moved"))


CHANGES = [
    (write, CHANGED),
    (same_size, CHANGED),
    (touch, CHANGED),
    (chmod, TOUCHED),
    (hide, TOUCHED),
    (replace, REPLACED),
    (link, REPLACED),
    (directory, REPLACED),
    (fifo, REPLACED),
    (hard_link, TOUCHED),
    (rename, None),
]


@pytest.mark.parametrize(("change", "reason"), CHANGES)
@pytest.mark.parametrize("when", ["before the verdict", "deletion.begun"])
@pytest.mark.parametrize("rested", [False, True])
def test_what_changed_after_the_copy_stays(
    case: Case, change: Callable[[Path], None], reason: str | None, when: str, rested: bool
) -> None:
    """Whatever a user did to a file, before the verdict or between verdict and unlink: the file stays, with the reason."""
    case.put("a first one")
    target = case.put("sub/target")
    case.put("sub/other")
    case.archive(rested=rested)
    if when == "before the verdict":
        change(target)
        verdict = case.verdict()
        assert len(verdict.deletable) == 2
        assert [k.reason for k in verdict.kept if k.path == b"sub/target"] == ([reason] if reason else [])
        assert verdict.vanished == ([] if reason else [b"sub/target"])
        result = case.run()
    else:
        result = case.run(at_first(when, lambda: change(target)))

    after = {path: content for path, content in case.left().items() if path != "sub"}
    if change is fifo:
        assert list(after) == ["sub/target"]
    elif change is directory:
        assert after == {"sub/target": b"", "sub/target/inside": b"inside"}
    elif change is rename:
        assert after == {"sub/moved": b"content of sub/target"}
    else:
        assert "sub/target" in after
        assert {"write": b"other, content of sub/target", "same_size": b"CONTENT OF SUB/TARGET"}.get(
            change.__name__, after["sub/target"]
        ) == after["sub/target"]
    assert set(after) >= {os.fsdecode(kept.path) for kept in result.kept}
    if reason is not None and change is not directory:
        assert Kept(b"sub/target", reason) in result.kept
    case.assert_final_marker(result)


@pytest.mark.parametrize("change", [write, same_size, touch, replace, link])
def test_a_name_taken_again_during_the_rename_keeps_both(case: Case, change: Callable[[Path], None]) -> None:
    """The file is written to under its private name while its old name is reused. Both stay and are reported."""
    target = case.put("target")
    case.archive()

    def act() -> None:
        (private,) = case.folder.glob(".csa-*")
        change(private)
        target.write_bytes(b"a new file of the old name")

    result = case.run(at_first("deletion.renamed", act))

    assert target.read_bytes() == b"a new file of the old name"
    (private,) = (kept for kept in result.kept if b".csa-" in kept.path)
    assert (case.folder / os.fsdecode(private.path)).exists() or (case.folder / os.fsdecode(private.path)).is_symlink()
    assert "was target, a name that exists again" in private.reason
    assert Kept(b"target", NEW) in result.kept or Kept(b"target", CHANGED) in result.kept
    case.assert_final_marker(result)


@pytest.mark.parametrize("change", [write, same_size, touch, replace])
def test_a_file_changed_under_its_private_name_goes_back(case: Case, change: Callable[[Path], None]) -> None:
    """A writer that had the file open is noticed after the rename. The file gets its name back, with the new content."""
    target = case.put("target")
    case.archive()
    written: list[bytes] = []

    def act() -> None:
        (private,) = case.folder.glob(".csa-*")
        change(private)
        written.append(private.read_bytes())

    result = case.run(at_first("deletion.renamed", act))

    assert case.left() == {"target": written[0]}
    assert result.kept == [Kept(b"target", CHANGED)]
    assert target.exists()


def test_a_file_that_somebody_has_open_for_writing_stays(case: Case) -> None:
    """Data written through an open handle, however late, goes to a file that still exists."""
    target = case.put("target")
    case.put("other")
    case.archive()

    with target.open("ab") as writer:
        result = case.run()
        writer.write(b", and more")

    assert case.left() == {"target": b"content of target, and more"}
    assert result.kept == [Kept(b"target", WRITTEN)]


def test_who_opens_a_file_at_the_last_instant_waits_until_it_has_its_name_again(case: Case) -> None:
    """A writer opens the file between the last check and the unlink. The kernel blocks it, the run notices, and the file stays."""
    case.put("target")
    case.archive()
    ours = f" {os.getpid()} "

    def write(path: Path) -> None:
        with path.open("ab") as file:
            file.write(b", and more")

    with ThreadPoolExecutor(1) as pool:

        def act() -> None:
            (private,) = case.folder.glob(".csa-*")
            pool.submit(write, private)
            until(lambda: any("BREAKING" in line and ours in line for line in locks()), "a writer that waits", 60)

        result = case.run(at_first("deletion.checked", act))

    assert case.left() == {"target": b"content of target, and more"}
    assert result.kept == [Kept(b"target", WRITTEN)]


def locks() -> list[str]:
    return Path("/proc/locks").read_text().splitlines()


def stale(case: Case, path: str, token: str = "0" * 16) -> Path:
    """Return the private name under which an interrupted run would have left the entry `path`."""
    index = next(n for n, entry in enumerate(case.manifest.entries) if entry.path == path.encode())
    return (case.folder / path).with_name(f".csa-{JOB.replace('-', '')}-{index}-{token}")


def test_a_private_name_left_behind_is_judged_by_its_content(case: Case) -> None:
    """A file that an interrupted run left is deleted if it has the archived content or link text. Otherwise it gets its name back."""
    for name in ("proven", "changed"):
        case.put(name)
        (case.folder / f"{name} link").symlink_to("proven")
    case.archive()
    for name in ("proven", "changed", "proven link", "changed link"):
        (case.folder / name).rename(stale(case, name))
    same_size(stale(case, "changed"))
    stale(case, "changed link").unlink()
    stale(case, "changed link").symlink_to("notmine")
    case.committed.touch()

    result = case.run()

    assert case.left() == {"changed": b"CONTENT OF CHANGED", "changed link": b"notmine"}
    assert [kept.path for kept in result.kept] == [b"changed", b"changed link"]
    assert result.deleted_files == 2


def test_a_private_name_left_behind_that_somebody_writes_to_goes_back(case: Case) -> None:
    """The run that takes it over checks for writers too."""
    target = case.put("target")
    case.archive()
    target.rename(stale(case, "target"))
    case.committed.touch()

    with stale(case, "target").open("ab") as writer:
        result = case.run()
        writer.write(b", and more")

    assert case.left() == {"target": b"content of target, and more"}
    assert [kept.path for kept in result.kept] == [b"target"]


def test_two_leftovers_and_a_new_file_of_one_name_all_stay(case: Case) -> None:
    """None of three different files that claim one name replaces another."""
    target = case.put("target")
    case.archive()
    for token in ("1", "2"):
        stale(case, "target", token * 16).write_bytes(token.encode())
    target.write_bytes(b"3")
    case.committed.touch()

    result = case.run()

    assert sorted(case.left().values()) == [b"1", b"2", b"3"]
    assert len(result.kept) == 3


def test_names_that_only_look_private_are_ordinary_files(case: Case) -> None:
    """Another job's leftovers, an index outside the manifest, of a directory or of another directory: all are kept unchanged."""
    plain_tree(case)
    looks = [
        stale(case, "sub"),
        stale(case, "sub/two").parent.parent / stale(case, "sub/two").name,
        case.folder / f".csa-{JOB.replace('-', '')}-99-{'0' * 16}",
        case.folder / f".csa-{JOB.replace('-', '')}-0-{'0' * 16}",
        case.folder / f".csa-{'9' * 32}-1-{'0' * 16}",
    ]
    for path in looks:
        path.write_bytes(path.name.encode())

    result = case.run()

    assert case.left() == {path.name: path.name.encode() for path in looks}
    assert [kept.reason for kept in result.kept] == [NEW] * 5


def test_what_an_older_run_leaves_late_is_found_at_the_end(case: Case) -> None:
    """An older run renames a file and dies after this run has passed that directory. The final check settles it."""
    file = case.put("one")
    case.put("sub/two")
    case.archive()
    aside = case.root / "aside"

    def late(point: str) -> None:
        if point == "deletion.begun":
            os.link(file, aside)
            file.unlink()
        elif point == "deletion.directory":
            aside.rename(stale(case, "one"))

    result = case.run(late)

    assert case.left() == {}
    assert result.kept == []


def test_a_link_must_have_the_archived_text(case: Case) -> None:
    """If an inode returns with all its times as another link, its text still differs."""
    (case.folder / "link").symlink_to("there")
    case.archive()
    root, link = case.manifest.entries
    case.manifest = Manifest("Project", str(case.folder), [root, msgspec.structs.replace(link, link=b"THERE")])

    assert case.verdict().kept == [Kept(b"link", CHANGED)]


def test_new_files_and_their_directories_stay(case: Case) -> None:
    """A newer file is named and stays in place. Directories that contain it stay too."""
    plain_tree(case)
    (case.folder / "sub/new").write_text("n1")
    (case.folder / "fresh/er").mkdir(parents=True)
    (case.folder / "fresh/er/new").write_text("n2")
    (case.folder / "new link").symlink_to("one")
    assert sorted(kept.path for kept in case.verdict().kept) == [b"fresh/er/new", b"new link", b"sub/new"]

    result = case.run(at_first("deletion.unlinked", lambda: (case.folder / "later").write_text("n3")))

    assert case.left() == {
        "fresh": b"",
        "fresh/er": b"",
        "fresh/er/new": b"n2",
        "later": b"n3",
        "new link": b"one",
        "sub": b"",
        "sub/new": b"n1",
    }
    assert result.kept == [Kept(path, NEW) for path in (b"fresh/er/new", b"later", b"new link", b"sub/new")]
    assert ("delete_directory", "sub", 0, "kept: not empty") in case.log
    case.assert_final_marker(result)


def test_hard_links_go_by_content_once_a_sibling_is_gone(case: Case) -> None:
    """The first unlink changes the ctime of the other names, so they are hashed. A changed inode keeps all its names."""
    first = case.put("first")
    for name in ("second", "third"):
        os.link(first, case.folder / name)
    fourth = case.put("fourth")
    os.link(fourth, case.folder / "fifth")
    case.archive()
    hide(fourth)

    result = case.run()

    assert case.left() == dict.fromkeys(("fifth", "fourth"), b"CONTENT OF FOURTH")
    assert result.kept == [Kept(b"fifth", CHANGED), Kept(b"fourth", CHANGED)]


def test_without_a_trusted_ctime_the_content_is_hashed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that may invent ctime, hashing finds a hidden change. A changed ctime alone means nothing."""
    monkeypatch.setattr(manifest_deletion, "_KEEPS_CTIME", frozenset[str]())
    hidden, moved = case.put("hidden"), case.put("moved")
    case.archive()
    hide(hidden)
    chmod(moved)

    result = case.run()

    assert case.left() == {"hidden": b"CONTENT OF HIDDEN"}
    assert result.kept == [Kept(b"hidden", CHANGED)]


def test_changed_links_stay(case: Case) -> None:
    """A link that leads elsewhere now, or has become a file, is not the archived link."""
    case.put("one")
    for name in ("same", "other", "file"):
        (case.folder / name).symlink_to("one")
    case.archive()
    (case.folder / "other").unlink()
    (case.folder / "other").symlink_to("two")
    (case.folder / "file").unlink()
    (case.folder / "file").write_text("now a file")

    result = case.run()

    assert case.left() == {"other": b"two", "file": b"now a file"}
    assert [kept.path for kept in result.kept] == [b"file", b"other"]


def test_a_directory_replaced_by_a_link_is_not_entered(case: Case) -> None:
    """The link's target holds files with the names in the manifest. None of them is touched."""
    plain_tree(case)
    outside = case.root / "outside"
    (case.folder / "sub").rename(outside)
    (case.folder / "sub").symlink_to(outside)

    result = case.run()

    assert contents(outside) == {b"content of sub/two", b"content of sub/deep/three"}
    assert case.left() == {"sub": os.fsencode(outside)}
    assert result.kept == [Kept(b"sub", NEW)]


def test_an_empty_directory_that_took_a_name_stays(case: Case) -> None:
    """A user moved the directory away and created a new one with its name. The new one is not removed."""
    plain_tree(case)
    moved = case.root / "moved"

    def swap() -> None:
        (case.folder / "sub").rename(moved)
        (case.folder / "sub").mkdir()

    result = case.run(at_first("deletion.begun", swap))

    assert case.left() == {"sub": b""}
    assert result.kept == []
    assert ("delete_directory", "sub", 0, f"kept: {REPLACED}") in case.log


# Before the first unlink


def test_a_foreign_file_of_the_markers_name_fails_before_any_unlink(case: Case) -> None:
    """Another file has the marker's name: the job fails, and nothing is deleted or committed."""
    plain_tree(case)
    case.marker.write_text("notes")
    before = case.left()

    with pytest.raises(PermanentError, match="Nothing was deleted"):
        case.run()

    assert case.left() == before
    assert case.marker.read_text() == "notes"
    assert not case.committed.exists()


def test_once_started_a_foreign_marker_stays_and_the_job_ends(case: Case) -> None:
    """It can no longer fail: it finishes, keeps the user's file and says so."""
    plain_tree(case)
    with pytest.raises(Fenced):
        case.run(at_first("deletion.unlinked", _fence))
    case.marker.write_text("notes")

    result = case.run()

    assert case.left() == {}
    assert case.marker.read_text() == "notes"
    assert not result.marker_written
    assert result.kept == [Kept(os.fsencode(case.marker.name), NEW)]


def _fence() -> None:
    raise Fenced("somebody else owns the job")


def test_when_the_commit_fails_nothing_was_unlinked(case: Case) -> None:
    """The marker and all files are there. Removing the marker restores the folder."""
    plain_tree(case)
    before = case.left()

    with pytest.raises(Fenced):
        case.run(before_first_unlink=_fence)

    assert case.left() == before
    assert "in progress" in case.marker.read_text()
    with deletion.opened(case.base, NAS_ID, str(case.folder)) as (_, folder):
        assert marker.remove_own(folder, os.fsencode(case.marker.name), JOB)
    assert names(case.folder) == ["one", "sub"]


def test_the_marker_and_the_commit_come_before_the_first_rename(case: Case) -> None:
    """The order is a promise: marker, commit, then the first change."""
    plain_tree(case)
    points: list[tuple[str, bool, bool]] = []

    case.run(lambda point: points.append((point, case.marker.exists(), case.committed.exists())))

    assert points[:4] == [
        ("marker.temporary", False, False),
        ("deletion.marker_written", True, False),
        ("deletion.begun", True, True),
        ("deletion.renamed", True, True),
    ]
    assert points[-1][0] == "deletion.final_marker"


@pytest.mark.parametrize("end", ["changed", "gone"])
def test_when_nothing_may_be_deleted_nothing_is_written(case: Case, end: str) -> None:
    """All changed or all missing: an empty verdict, and a run that fails without a marker."""
    plain_tree(case)
    for path in walk(case.folder):
        if path.is_file():
            if end == "changed":
                write(path)
            else:
                path.unlink()
    before = case.left()

    assert case.verdict().deletable == []
    with pytest.raises(PermanentError, match="Nothing was deleted"):
        case.run()
    assert case.left() == before
    assert not case.marker.exists()
    assert not case.committed.exists()


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("kind", ["gone", "a link"])
def test_a_source_that_is_gone(case: Case, started: bool, kind: str) -> None:
    """Before the start the job fails. After it the job ends without a marker, because the folder is missing."""
    plain_tree(case)
    case.folder.rename(case.root / "moved")
    if kind == "a link":
        case.folder.symlink_to(case.root / "moved")
    if started:
        case.committed.touch()
        assert case.run() == deletion.Result(0, 0, [], marker_written=False)
    else:
        with pytest.raises(PermanentError, match="is gone"):
            case.run()
    assert len(contents(case.root / "moved")) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda e: [e[0], *[_at(x, b"../" + x.path) for x in e[1:]]],
        lambda e: [e[0], *[_at(x, b"/" + x.path) for x in e[1:]]],
        lambda e: e[1:],
        lambda e: [],
        lambda e: list(reversed(e)),
        lambda e: [x for x in e if x.path != b"sub"],
    ],
)
def test_a_damaged_manifest_deletes_nothing(case: Case, damage: Callable[[list[Entry]], list[Entry]]) -> None:
    """A manifest that leads outside, or is not a tree, permits nothing."""
    plain_tree(case)
    before = case.left()
    case.manifest = Manifest("Project", str(case.folder), damage(case.manifest.entries))

    with pytest.raises(PermanentError):
        case.verdict()
    with pytest.raises(PermanentError):
        case.run()
    assert case.left() == before


def _at(entry: Entry, path: bytes) -> Entry:
    return msgspec.structs.replace(entry, path=path)


# The NAS


def test_an_unmounted_nas_waits_and_deletes_nothing(case: Case) -> None:
    """The sentinel is missing: whatever is mounted there is not the NAS."""
    plain_tree(case)
    before = case.left()
    (case.base / mount.SENTINEL).unlink()

    with pytest.raises(Waiting, match="not mounted"):
        case.run()
    assert case.left() == before
    assert not case.marker.exists()


def test_a_nas_that_goes_away_midway_stops_the_run_at_the_next_directory(case: Case) -> None:
    """The check runs before each directory. Without the sentinel no further directory is touched; the run is finished later."""
    plain_tree(case)

    with pytest.raises(Waiting, match="not mounted"):
        case.run(at_first("deletion.unlinked", (case.base / mount.SENTINEL).unlink))
    assert contents(case.folder) - {case.marker.read_bytes()} == {b"content of one", b"content of sub/two"}

    (case.base / mount.SENTINEL).write_text(NAS_ID)
    result = case.run()
    assert case.left() == {}
    case.assert_final_marker(result)


def test_a_source_on_another_device_waits(case: Case, nas: Nas) -> None:
    """Something is mounted over the source: its files are not those of the NAS.

    test_mount uses /proc to show that devices are told apart, also without the right to mount.
    """
    case.put("one")
    case.archive()
    if nas.real:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "cs-archiver-test", str(case.folder)], check=True)
        try:
            with pytest.raises(Waiting, match="mounted over it"):
                case.run()
            assert names(case.folder) == []
        finally:
            subprocess.run(["umount", str(case.folder)], check=True)
    assert names(case.folder) == ["one"]
    assert case.run().deleted_files == 1


def test_failures_of_the_nas_end_the_run_and_failures_of_one_entry_do_not() -> None:
    """EIO concerns the NAS: retry later. EACCES concerns the entry: it stays, with the reason."""
    assert (
        manifest_deletion.entry_only(PermissionError(errno.EACCES, "Permission denied"))
        == "could not be deleted: permission denied"
    )
    with pytest.raises(OSError, match="Input/output"):
        manifest_deletion.entry_only(OSError(errno.EIO, "Input/output error"))


def test_ctime_is_trusted_by_name_of_the_file_system_only(tmp_path: Path) -> None:
    """An unknown file system is not trusted; /proc is one."""
    handle = os.open("/proc", os.O_RDONLY)
    try:
        assert not manifest_deletion.keeps_ctime(handle)
    finally:
        os.close(handle)
    assert not manifest_deletion.keeps_ctime(1_000_000)


def test_a_deep_and_a_wide_tree_need_few_handles(case: Case) -> None:
    """With 150 levels and 150 files in one directory, the number of open handles does not grow. One of them is the clock."""
    case.put("/".join(["d"] * 150) + "/file")
    for number in range(150):
        case.put(f"wide/{number}")
    case.archive()
    most: list[str] = []

    def count(_point: str) -> None:
        nonlocal most
        most = max(most, open_below(case.base), key=len)

    case.run(count)

    assert case.left() == {}
    assert 0 < len(most) <= 6, most
    assert open_below(case.base) == []


def test_entry_of_matches_the_manifests_identity(case: Case) -> None:
    """The tests' own manifest equals what a copy would record: this test guards the others."""
    file = case.put("one")
    entry = entry_of(file, case.folder)

    assert entry.identity() == (
        "file",
        len(b"content of one"),
        file.stat().st_mtime_ns,
        file.stat().st_ctime_ns,
        file.stat().st_ino,
    )
