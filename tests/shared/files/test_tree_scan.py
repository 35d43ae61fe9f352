import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from shared.files import findings, handles, preflight, tree_scan, trees
from shared.files.findings import SourceInUse
from shared.files.position import Position
from tests.services.compressor.trees import deep, look, nothing, small_disk, unprivileged


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def only_refusal(folder: Path) -> str:
    (refusal,) = look(folder).refusals
    return refusal


def test_parents_come_first_in_byte_order_with_all_that_the_manifest_needs(folder: Path) -> None:
    """Every entry has lstat's values. The folder itself is entry 0. The content is not read."""
    (folder / "b").mkdir()
    (folder / "b" / "x").write_bytes(b"12345")
    (folder / "B").symlink_to("b/x")
    (folder / "a").mkdir()

    report = look(folder)

    assert [e.path for e in report.entries] == [b"", b"B", b"a", b"b", b"b/x"]
    assert [e.type for e in report.entries] == ["directory", "link", "directory", "directory", "file"]
    found = (folder / "b" / "x").lstat()
    entry = report.entries[4]
    assert entry.identity() == ("file", 5, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
    assert (entry.uid, entry.gid, entry.mode, entry.links, entry.sha256) == (
        found.st_uid, found.st_gid, found.st_mode & 0o7777, 1, None)  # fmt: skip
    link = report.entries[1]
    assert (link.link, link.size, link.crc32) == (b"b/x", 3, tree_scan.crc32(b"b/x"))
    assert (report.refusals, report.total_bytes, report.file_count) == ([], 5, 2)


def test_special_files_are_refused_and_not_opened(folder: Path) -> None:
    """A FIFO without a writer must not block the walk. Sockets and devices are named too."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        handle = os.open(folder, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{handle}/sock")
        os.close(handle)
    names = "pipe, sock"
    if os.geteuid() == 0:
        os.mknod(folder / "null", 0o20600, os.makedev(1, 3))
        names = "null, pipe, sock"

    assert only_refusal(folder) == f"Special files (FIFO, socket, device) cannot be archived; remove them: {names}"


def test_at_most_twenty_are_named(folder: Path) -> None:
    """A folder of 1,000 FIFOs gives one readable sentence."""
    for n in range(1_000):
        os.mkfifo(folder / f"{n:03}")

    refusal = only_refusal(folder)

    assert refusal.endswith("018, 019 and 980 more")


def test_newlines_are_refused_and_shown_escaped(folder: Path) -> None:
    """7-Zip lists a line break as `_`, so such a name could not be proven to be in the archive."""
    (folder / "new\nline").touch()
    (folder / "carriage\rreturn").touch()

    assert only_refusal(folder).endswith(r"rename them: new\nline")


def test_unreadable_files_and_directories_are_refused(folder: Path) -> None:
    """Each is opened for reading before anything is copied."""
    (folder / "open").touch()
    (folder / "file").touch(mode=0o000)
    (folder / "dir").mkdir(mode=0o000)
    folder.chmod(0o755)
    with handles.root(folder) as root, unprivileged():
        report = preflight.preflight(root, b"folder", nothing)
    (folder / "dir").chmod(0o700)

    assert report.refusals == ["Not readable; give the archiver's account the right to read: file, dir"]


def test_paths_over_3500_bytes_are_refused_with_the_folder_name_counted(folder: Path) -> None:
    """folder/ + 13 * 251 + name: 3,500 bytes pass, 3,501 do not. Much deeper trees are refused, not walked."""
    deep(folder, b"d" * 250, 13)
    with handles.root(folder) as root, Position(root) as position:
        last = position.at(b"/".join([b"d" * 250] * 13))
        os.close(os.open(b"n" * (3_500 - 7 - 13 * 251), os.O_CREAT | os.O_WRONLY, dir_fd=last))

        assert look(folder).refusals == []

        os.close(os.open(b"n" * (3_501 - 7 - 13 * 251), os.O_CREAT | os.O_WRONLY, dir_fd=last))

    assert only_refusal(folder).startswith("Paths longer than 3,500 bytes")


def test_trees_deeper_than_any_path_are_walked_and_removed(folder: Path) -> None:
    """2,200 levels need only two handles and no recursion. A tree that is too deep to archive is refused."""
    deep(folder, b"d", 2_200)
    deep(folder, b"e", 200)

    report = look(folder)
    trees.remove_tree(folder, nothing)

    assert [r.split(";")[0] for r in report.refusals] == [
        "Paths longer than 3,500 bytes (folder name included) cannot be restored"]  # fmt: skip
    assert len(report.entries) == 1 + 1_747 + 200
    assert not folder.exists()


def test_link_texts_over_1000_bytes_are_refused(folder: Path) -> None:
    """7-Zip stores at most 1,024 bytes."""
    (folder / "fits").symlink_to("x" * 1_000)
    (folder / "long").symlink_to("x" * 1_001)

    assert only_refusal(folder).endswith(": long")


def test_times_that_the_archive_cannot_hold_are_refused(folder: Path) -> None:
    """Before 1601. File systems that cannot hold such a time clamp it, and then nothing is refused."""
    (folder / "old").touch()
    os.utime(folder / "old", ns=(0, -12_000_000_000 * 10**9))
    clamped = (folder / "old").stat().st_mtime_ns != -12_000_000_000 * 10**9

    assert bool(look(folder).refusals) != clamped


def test_another_file_system_below_is_refused_and_not_entered(folder: Path) -> None:
    """Its device differs from the folder's. Without the right to mount, the device is simulated."""
    with small_disk(folder / "mounted", 1) as mounted:
        if mounted:
            (folder / "mounted" / "inside").touch()

            assert only_refusal(folder).endswith("on its own: mounted")

    look_at = tree_scan._Look(lambda finding, path: found.append((finding, path)), device=-1, inspect=False)
    found: list[tuple[findings.Finding, bytes]] = []
    with handles.root(folder) as root:
        look_at.name(root, b"mounted", b"mounted")

    assert found == [(findings.Finding.OTHER_FILE_SYSTEM, b"mounted")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"latin1-\xe9", "must be UTF-8"),
        (b"two\nlines", "without line breaks"),
        (b"two\rlines", "without line breaks"),
        (b"n" * 233, "255 bytes"),
        (b"n" * 232, ""),
    ],
)
def test_folder_names(folder: Path, name: bytes, words: str) -> None:
    """The names of marker and archive are derived from the folder's."""
    with handles.root(folder) as root:
        refusals = preflight.preflight(root, name, nothing).refusals

    assert bool(refusals) == bool(words)
    assert words in " ".join(refusals)


def test_what_only_the_sidecar_keeps_is_warned_about(folder: Path) -> None:
    """Hard links, extended attributes, set-id bits, outside links and sparse files are archived, with a warning."""
    (folder / "one").write_bytes(b"1")
    os.link(folder / "one", folder / "two")
    (folder / "setuid").touch()
    (folder / "setuid").chmod(0o4755)
    (folder / "shared").mkdir()
    (folder / "shared").chmod(0o2775)
    (folder / "out").symlink_to("../x")
    (folder / "abs").symlink_to("/etc/passwd")
    (folder / "in").symlink_to("one")
    with (folder / "sparse").open("wb") as file:
        file.truncate(10 << 20)
    (folder / "attributed").touch()
    os.setxattr(folder / "attributed", "user.color", b"\xff\x00")
    os.setxattr(folder, "user.top", b"1")

    report = look(folder)

    assert report.refusals == []
    named = {sentence.rpartition(": ")[2] for sentence in report.warnings}
    assert named >= {"one, two", "setuid, shared", "abs, out", "sparse", "the folder itself, attributed"}
    kept = {e.path: e.xattrs for e in report.entries if e.xattrs}
    assert kept == {b"": {"user.top": b"1"}, b"attributed": {"user.color": b"\xff\x00"}}


def test_owners_are_spoken_of_only_where_there_are_several(folder: Path) -> None:
    """With one owner nothing is lost. Several owners would become one after unpacking, and a note says so."""
    (folder / "own").touch()
    mine = look(folder)
    assert (mine.warnings, mine.notes) == ([], [])

    (folder / "foreign").touch()
    os.chown(folder / "foreign", 12345, -1)
    (folder / "link").symlink_to("own")
    os.chown(folder / "link", 12345, 54321, follow_symlinks=False)
    several = look(folder)

    assert several.warnings == []
    assert several.notes == ["The entries have 2 owners and 2 groups. They are not in the archive; the sidecar keeps them."]


def test_a_folder_with_the_set_group_id_bit_is_named_as_a_file_is(folder: Path) -> None:
    """The folder itself and one below. A sticky folder is not among them."""
    (folder / "shared").mkdir()
    (folder / "sticky").mkdir()
    (folder / "shared").chmod(0o2775)
    (folder / "sticky").chmod(0o1777)
    folder.chmod(0o2755)

    assert look(folder).warnings == [
        "Set-user-id and set-group-id bits are not in the archive; the sidecar keeps them: the folder itself, shared"
    ]


def test_posix_acls_are_kept_as_values(folder: Path) -> None:
    """An ACL is the attribute system.posix_acl_access. With a user entry, mode bits cannot express it."""
    (folder / "f").touch()
    acl = bytes.fromhex("0200000001000600ffffffff020006000000000004000400ffffffff10000600ffffffff20000400ffffffff")
    os.setxattr(folder / "f", "system.posix_acl_access", acl)

    (entry,) = [e for e in look(folder).entries if e.path == b"f"]

    assert entry.xattrs == {"system.posix_acl_access": acl}


def test_more_than_a_megabyte_of_attributes_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few file systems can hold that much, so the test lowers the limit."""
    monkeypatch.setattr(tree_scan, "XATTR_LIMIT", 100)
    (folder / "f").touch()
    os.setxattr(folder / "f", "user.a", b"x" * 60)
    os.setxattr(folder / "f", "user.b", b"x" * 40)

    assert look(folder).refusals == []

    os.setxattr(folder / "f", "user.c", b"x")

    assert "extended attributes" in only_refusal(folder)


def test_equal_attributes_share_one_dict(folder: Path) -> None:
    """An ACL that a hundred thousand files inherited is stored once in memory."""
    for name in "ab":
        (folder / name).touch()
        os.setxattr(folder / name, "user.x", b"same")

    _, first, second = look(folder).entries

    assert first.xattrs is second.xattrs


def test_what_vanishes_during_the_walk_is_source_in_use(folder: Path) -> None:
    """This is no refusal: another walk may succeed."""
    for n in range(150):
        (folder / f"{n:03}").touch()

    def stop() -> None:
        (folder / "140").unlink(missing_ok=True)

    with handles.root(folder) as root, pytest.raises(SourceInUse, match="changed or vanished: 140"):
        preflight.preflight(root, b"folder", stop)


def test_stop_ends_a_walk(folder: Path) -> None:
    """It is called at least every 100 entries."""
    for n in range(100):
        (folder / str(n)).touch()

    def stop() -> None:
        raise TimeoutError

    with handles.root(folder) as root, pytest.raises(TimeoutError):
        preflight.preflight(root, b"folder", stop)


def test_a_position_notices_when_its_directory_was_moved(folder: Path) -> None:
    """`..` from a moved directory leads elsewhere. This is an error, and the next path is resolved from the root."""
    (folder / "a" / "b" / "c").mkdir(parents=True)
    (folder / "a" / "sibling").mkdir()
    (folder / "elsewhere" / "sibling").mkdir(parents=True)
    with handles.root(folder) as root, Position(root) as position:
        position.at(b"a/b/c")
        (folder / "a" / "b").rename(folder / "elsewhere" / "b")
        with pytest.raises(OSError, match="moved"):
            position.at(b"a/sibling")

        assert os.fstat(position.at(b"a/sibling")).st_ino == (folder / "a" / "sibling").stat().st_ino


def test_a_position_follows_no_link(folder: Path) -> None:
    """Neither the last part nor an earlier one may be a link."""
    (folder / "real" / "below").mkdir(parents=True)
    (folder / "link").symlink_to("real")
    with handles.root(folder) as root, Position(root) as position:
        for path in (b"link", b"link/below"):
            with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
                position.at(path)


def test_a_hundred_thousand_files_fit_in_memory(folder: Path) -> None:
    """At most 1,000 bytes per entry at the peak, so 100,000 files stay below 100 MiB."""
    for n in range(3_000):
        (folder / f"a file with a name of average length {n:04}.mov").touch()
    tracemalloc.start()
    try:
        report = look(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(report.entries) == 3_001
    assert peak / 3_001 < 1_000
