import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from services.scanner import discovery
from services.scanner.discovery import FolderFacts
from shared.errors import Cancelled, PermanentError, Waiting
from shared.files import apart, handles
from tests.support.folders import open_below
from tests.support.nas import Nas

YEAR_2100_NS = 4_102_444_800 * 10**9


def go_on() -> None:
    pass


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def only(base: Path) -> FolderFacts:
    (facts,) = discovery.scan(base, go_on).folders
    return facts


def test_folders_with_content_are_offered(tmp_path: Path) -> None:
    """Alpha and Old_Project are offered, Beta and Gamma are ignored."""
    base = tmp_path / "CitySpace Tech Team"
    put(base / "Production/2024/Project_Alpha/file1.mp4", b"12345")
    put(base / "Production/2024/Project_Alpha/file2.mp4", b"678")
    put(base / "Production/2024/Project_Beta/notes.txt")
    put(base / "Production/2024/Project_Gamma/file1.mp4")
    put(base / "Production/2024/Project_Gamma/-ARCHIVED-TO-GLOBUS.txt")
    put(base / "Production/2023/Old_Project/media/video.mp4", b"video")

    found = discovery.scan(base, go_on)

    assert [(f.path.removeprefix(f"{base}/"), f.level1, f.level2, f.name, f.ignored, f.is_archived) for f in found.folders] == [
        ("Production/2023/Old_Project", "Production", "2023", "Old_Project", None, False),
        ("Production/2024/Project_Alpha", "Production", "2024", "Project_Alpha", None, False),
        ("Production/2024/Project_Beta", "Production", "2024", "Project_Beta", "single_text_file", False),
        ("Production/2024/Project_Gamma", "Production", "2024", "Project_Gamma", "archived", True),
    ]
    assert [(f.size_bytes, f.file_count) for f in found.folders] == [(5, 1), (8, 2), (1, 1), (2, 2)]
    assert found.unreadable == []
    assert [discovery.scan_folder(base, f.level1, f.level2, f.name) for f in found.folders] == found.folders


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], "empty"),
        (["a/b/c/"], "empty"),  # only directories: an archive would protect nothing
        (["readme.txt"], "single_text_file"),
        (["NOTES.TXT"], "single_text_file"),
        ([".txt"], "single_text_file"),
        (["a.txt", "b.txt"], None),
        (["a.txt", "sub/"], None),
        (["sub/a.txt"], None),
        (["a.md"], None),
        (["a.txt/inside"], None),
        ([".archived"], "archived"),
        ([".archived", "film.mp4"], "archived"),
        (["Any-ARCHIVED-TO-GLOBUS.txt"], "archived"),  # a marker beside a single text file
        (["sub/X-ARCHIVED-TO-GLOBUS.txt"], None),  # only directly in the folder
        (["#recycle/a"], None),
    ],
)
def test_what_is_ignored(tmp_path: Path, files: list[str], expected: str | None) -> None:
    """The three exclusion rules and their limits. A request for an ignored folder is refused."""
    folder = tmp_path / "a/b/c"
    folder.mkdir(parents=True)
    for name in files:
        if name.endswith("/"):
            (folder / name).mkdir(parents=True)
        else:
            put(folder / name)

    assert only(tmp_path).ignored == expected
    assert only(tmp_path).is_archived == (expected == "archived")
    if expected is None:
        assert discovery.inspect(tmp_path, str(folder)).inode == folder.stat().st_ino
    else:
        sentence = {"archived": "archived already", "single_text_file": r"only one \.txt file", "empty": "is empty"}[expected]
        with pytest.raises(PermanentError, match=sentence):
            discovery.inspect(tmp_path, str(folder))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x" * 232, None),
        ("x" * 233, "name_impossible"),
        ("é" * 116, None),
        ("é" * 117, "name_impossible"),
        ("a\nb", "name_impossible"),
    ],
)
def test_a_folder_whose_marker_could_not_have_a_name_is_ignored(tmp_path: Path, name: str, expected: str | None) -> None:
    """232 bytes plus the marker's 23 are the longest name. The same rule refuses the request."""
    folder = put(tmp_path / "a/b" / name / "film.mp4").parent

    assert only(tmp_path).ignored == expected
    if expected is None:
        assert discovery.inspect(tmp_path, str(folder)).name == name
    else:
        with pytest.raises(PermanentError, match=r"too long|line breaks"):
            discovery.inspect(tmp_path, str(folder))


def test_a_file_system_with_shorter_names_refuses_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encrypting file systems take 143 bytes: 120 and the marker's 23."""
    monkeypatch.setattr(handles, "longest_name", lambda _folder: 143)
    good, long = (put(tmp_path / "a/b" / ("x" * length) / "film.mp4").parent for length in (120, 121))

    assert [folder.ignored for folder in discovery.scan(tmp_path, go_on).folders] == [None, "name_impossible"]
    assert discovery.inspect(tmp_path, str(good)).name == good.name
    with pytest.raises(PermanentError, match="too long"):
        discovery.inspect(tmp_path, str(long))


def test_files_and_links_are_no_folders_at_any_level_and_odd_names_are_not_hidden(tmp_path: Path) -> None:
    """Only real directories count as levels. A recycle bin or a hidden directory is listed."""
    base = tmp_path / "base"
    put(base / ".cs-archiver-nas-id")
    put(base / "one/two/three/film.mp4")
    put(base / "one/two/a file")
    put(base / "one/a file")
    put(base / "@Recycle/.hidden/#recycle/film.mp4")
    (base / "link1").symlink_to(base / "one")
    (base / "one/link2").symlink_to(base / "one/two")
    (base / "one/two/link3").symlink_to(base / "one/two/three")

    found = discovery.scan(base, go_on)

    assert [f.path.removeprefix(f"{base}/") for f in found.folders] == ["@Recycle/.hidden/#recycle", "one/two/three"]
    assert found.unreadable == []


def test_sizes_count_files_and_never_follow_links(tmp_path: Path) -> None:
    """A link to a huge file outside counts as one file and no bytes. A link to a parent directory does not loop."""
    folder = tmp_path / "base/a/b/c"
    put(folder / "sub/ten", b"0123456789")
    put(tmp_path / "huge", b"x" * 100_000)
    (folder / "out").symlink_to(tmp_path / "huge")
    (folder / "loop").symlink_to(tmp_path / "base")
    os.mkfifo(folder / "pipe")

    facts = only(tmp_path / "base")

    assert (facts.size_bytes, facts.file_count) == (10, 4)


@pytest.mark.parametrize("touched", ["", "sub", "sub/deep", "sub/deep/file", "link"])
def test_the_newest_modification_of_anything_counts(tmp_path: Path, touched: str) -> None:
    """The folder, a directory, a file or a link: the latest of their times is the folder's date."""
    folder = tmp_path / "a/b/c"
    put(folder / "sub/deep/file")
    (folder / "link").symlink_to("nowhere")
    os.utime(folder / touched, ns=(YEAR_2100_NS, YEAR_2100_NS + 7), follow_symlinks=False)

    assert only(tmp_path).modified_at_ns == YEAR_2100_NS + 7


def test_what_may_not_be_read_is_listed_with_its_reason(
    public_path: Path, ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    """An unreadable directory affects only its own figures. The scan continues and says what is missing."""
    put(public_path / "a/b/partly/closed/file", b"123")
    put(public_path / "a/b/partly/open", b"12")
    put(public_path / "a/b/whole/file")
    put(public_path / "a/closed2/c/file")
    put(public_path / "closed1/b/c/file")
    put(public_path / "z/b/c/file", b"1")
    closed = [public_path / p for p in ("a/b/partly/closed", "a/b/whole", "a/closed2", "closed1")]
    for path in closed:
        path.chmod(0)
    try:
        with ordinary_user():
            found = discovery.scan(public_path, go_on)
            with pytest.raises(PermanentError, match="may not be read"):
                discovery.inspect(public_path, f"{public_path}/a/b/whole")
            again = discovery.scan_folder(public_path, "closed1", "b", "c")
    finally:
        for path in closed:
            path.chmod(0o755)

    assert [(f.name, f.size_bytes, f.file_count, f.unreadable, f.ignored) for f in found.folders] == [
        ("partly", 2, 1, "closed: permission denied", None),
        ("whole", 0, 0, "permission denied", None),
        ("c", 1, 1, None, None),
    ]
    assert [(u.path, u.reason) for u in found.unreadable] == [
        (f"{public_path}/a/closed2", "permission denied"),
        (f"{public_path}/closed1", "permission denied"),
    ]
    assert again is not None
    assert again.unreadable == "permission denied"


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_name_that_is_not_utf8_is_reported(tmp_path: Path, level: int) -> None:
    """JSON cannot hold such a name; it is shown escaped, and the others are listed."""
    put(tmp_path / "a/b/c/file")
    parts = [b"x", b"y", b"z"]
    parts[level - 1] = b"caf\xe9"
    odd = os.path.join(os.fsencode(tmp_path), *parts)  # noqa: PTH118 - bytes
    os.makedirs(odd)  # noqa: PTH103 - bytes

    found = discovery.scan(tmp_path, go_on)

    assert [f.name for f in found.folders] == ["c"]
    assert [u.path for u in found.unreadable] == ["/".join([str(tmp_path), *["x", "y", "z"][: level - 1], "caf\\xe9"])]


def test_another_file_system_is_named_as_a_reason(nas: Nas) -> None:
    """/proc is always a mount below `/`: listed with the reason, refused as a request. A mount deeper down is not counted."""
    kernel = discovery.scan_folder(Path("/"), "proc", "sys", "kernel")
    assert kernel is not None
    assert kernel.unreadable == "another file system is mounted here"
    with pytest.raises(PermanentError, match="another file system"):
        discovery.inspect(Path("/"), "/proc/sys/kernel")

    put(nas.base / "a/b/c/own", b"12")
    inner = put(nas.base / "a/b/c/inner/below").parent
    expected: tuple[int, int, str | None] = (3, 2, None)
    if nas.real:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "cs-archiver-test", str(inner)], check=True)
        put(inner / "theirs", b"345")
        expected = (2, 1, "inner: another file system is mounted here, not counted")
    facts = only(nas.base)

    assert (facts.size_bytes, facts.file_count, facts.unreadable) == expected


def test_a_deep_tree_needs_one_handle_at_a_time(tmp_path: Path) -> None:
    """600 levels deep, with a path too long for any system call: it is counted with few open files."""
    folder = tmp_path / "a/b/c"
    folder.mkdir(parents=True)
    here = os.open(folder, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d" * 10, dir_fd=here)
        deeper = os.open("d" * 10, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)

    assert (only(tmp_path).file_count, only(tmp_path).unreadable) == (1, None)
    assert discovery.inspect(tmp_path, str(folder)).name == "c"
    shutil.rmtree(tmp_path / "a")


def test_a_stopped_scan_ends(tmp_path: Path) -> None:
    """`stop` raises through the scan, which closes its handles."""
    put(tmp_path / "a/b/c/file")

    def stop() -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        discovery.scan(tmp_path, stop)
    assert open_below(tmp_path) == []


def test_an_absent_base_waits_and_an_absent_folder_is_none(tmp_path: Path) -> None:
    """An unmounted NAS is waited for. A missing folder is reported as missing."""
    with pytest.raises(Waiting):
        discovery.scan(tmp_path / "absent", go_on)
    assert discovery.scan_folder(tmp_path, "a", "b", "c") is None
    put(tmp_path / "a/b/c")
    assert discovery.scan_folder(tmp_path, "a", "b", "c") is None


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("relative/a/b/c", "not an absolute path"),
        ("", "not an absolute path"),
        ("{base}/a/b/c\0", "not an absolute path"),
        ("/etc/a/b/c", "not below"),
        ("{base}-other/a/b/c", "not below"),
        ("{base}/a/b/../c", "plain form"),
        ("{base}/../a/b/c", "plain form"),
        ("{base}/a/./b/c", "plain form"),
        ("{base}//a/b/c", "plain form"),
        ("{base}/a/b/c//", "plain form"),
        ("{base}", "at level 0"),
        ("{base}/", "at level 0"),
        ("{base}/a/b", "at level 2"),
        ("{base}/a/b/c/d", "at level 4"),
        ("{base}/a/b/absent", "does not exist"),
        ("{base}/a/absent/c", "does not exist"),
        ("{base}/a/b/file", "is not a folder"),
        ("{base}/a/b/link", "over the link 'link'"),
        ("{base}/a/blink/c", "over the link 'blink'"),
        ("{base}/alink/b/c", "over the link 'alink'"),
        ("{base}/a/b/caf\udce9", "not valid UTF-8"),
        ("{base}/a/b/" + "x" * 233, "too long"),
        ("{base}/a/b/" + "é" * 117, "too long"),
        ("{base}/a/b/two\nlines", "without line breaks"),
        ("{base}/a/b/" + "x" * 256, "does not exist"),
    ],
)
def test_a_request_is_refused_with_its_own_sentence(tmp_path: Path, path: str, sentence: str) -> None:
    """Each reason has its own sentence, and no request reads outside the base."""
    base = tmp_path / "base"
    put(base / "a/b/c/film.mp4")
    put(base / "a/b/file")
    for name in ("x" * 233, "é" * 117, "two\nlines"):
        put(base / "a/b" / name / "film.mp4")
    (base / "a/b/link").symlink_to("c")
    (base / "a/blink").symlink_to("b")
    (base / "alink").symlink_to("a")

    with pytest.raises(PermanentError, match=sentence):
        discovery.inspect(base, path.replace("{base}", str(base)))


def test_a_good_request_is_canonical(tmp_path: Path) -> None:
    """One trailing slash is accepted. The answer is the folder's canonical name."""
    put(tmp_path / "a a/bö/c/film.mp4")

    found = discovery.inspect(tmp_path, f"{tmp_path}/a a/bö/c/")

    assert found.path == f"{tmp_path}/a a/bö/c"
    assert (found.level1, found.level2, found.name) == ("a a", "bö", "c")
    assert (found.device, found.inode) == ((tmp_path / "a a/bö/c").stat().st_dev, (tmp_path / "a a/bö/c").stat().st_ino)


@pytest.mark.parametrize("where", ["", "x", "x/destination", "x/destination/Marketing", "x/destination/Marketing/2024/deep"])
def test_what_holds_a_place_of_ours_is_never_offered(tmp_path: Path, where: str) -> None:
    """A service directory above the folder, the folder itself or below it: not listed, named as such, and refused on request."""
    base = tmp_path / "nas"
    put(base / "x/destination/Marketing/2024/deep/Campaign.tar.7z")
    put(base / "y/z/Film/clip.mov")
    folder = str(base / "x/destination/Marketing")
    assert {f.path for f in discovery.scan(base, go_on).folders} == {folder, str(base / "y/z/Film")}
    apart.mark(base / where)

    found = discovery.scan(base, go_on)

    assert [f.path for f in found.folders] == ([str(base / "y/z/Film")] if where else [])
    (hidden,) = found.unreadable
    assert folder.startswith(hidden.path)
    assert "belongs to CS Archiver" in hidden.reason
    if len(where) <= len("x/destination/Marketing"):
        with pytest.raises(PermanentError, match=r"is never archived: .* belongs to CS Archiver \(it holds \.cs-archiver-place\)"):
            discovery.inspect(base, folder)
    if where.startswith("x/destination/Marketing"):
        assert discovery.scan_folder(base, "x", "destination", "Marketing") is None
