"""Files by directory handle: no link and no `..` leads elsewhere, and a rename never replaces."""

import ctypes
import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.errors import PermanentError
from shared.files import handles
from tests.support.folders import open_below


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """root/a/b/c/file, and outside/secret that must stay unreachable."""
    (tmp_path / "root/a/b/c").mkdir(parents=True)
    (tmp_path / "root/a/b/c/file").write_bytes(b"inside")
    (tmp_path / "outside/b/c").mkdir(parents=True)
    (tmp_path / "outside/b/c/file").write_bytes(b"secret")
    return tmp_path


def test_a_plain_path_is_opened_and_everything_is_closed(tree: Path) -> None:
    """The file's content is read, and no handle stays open."""
    with handles.root(tree / "root") as top, handles.directory(top, b"a/b/c") as folder, handles.file(folder, b"file") as file:
        assert os.read(file, 100) == b"inside"
        assert len(open_below(tree)) == 3
    with handles.root(tree / "root") as top, handles.directory(top) as same:
        assert os.fstat(same).st_ino == os.fstat(top).st_ino
    assert open_below(tree) == []


@pytest.mark.parametrize("component", ["a", "a/b", "a/b/c"])
def test_a_link_at_any_component_is_refused(tree: Path, component: str) -> None:
    """Wherever a link replaces a directory, the walk stops, and no handle stays open."""
    place = tree / "root" / component
    target = tree / "outside" / Path(component).relative_to("a")
    place.rename(tree / "aside")
    place.symlink_to(target)
    with handles.root(tree / "root") as top, pytest.raises(OSError, match=r".") as refused, handles.directory(top, b"a/b/c"):
        pytest.fail("a link was followed")
    assert refused.value.errno in {errno.ELOOP, errno.ENOTDIR}
    assert open_below(tree) == []


def test_a_file_that_is_something_else_is_refused(tree: Path) -> None:
    """A link, a directory or a FIFO in a file's place is refused at once, without hanging."""
    folder = tree / "root/a"
    (folder / "link").symlink_to(tree / "outside/b/c/file")
    os.mkfifo(folder / "fifo")
    with handles.root(folder) as top:
        with pytest.raises(OSError, match=r".") as refused, handles.file(top, b"link"):
            pytest.fail("a link was followed")
        assert refused.value.errno == errno.ELOOP
        for name in (b"fifo", b"b"):
            with pytest.raises(PermanentError, match="Not a regular file"), handles.file(top, name):
                pytest.fail("not a file")


@pytest.mark.parametrize("path", [b"..", b"a/..", b"a/../b", b"./a", b".", b"/a", b"a//b", b"a/", b"a\0b", b"/"])
def test_a_path_that_is_not_plainly_relative_is_refused(tree: Path, path: bytes) -> None:
    """No `..`, no `.`, no empty part, no absolute path, no NUL."""
    with pytest.raises(PermanentError, match="Not a plain relative path"):
        handles.split(path)
    with handles.root(tree / "root") as top, pytest.raises(PermanentError), handles.directory(top, path):
        pytest.fail("opened")


def test_plain_paths_are_split() -> None:
    """Dots within names, and bytes that are not UTF-8, are ordinary names."""
    assert handles.split(b"") == []
    assert handles.split(b"...a/\xff/b..") == [b"...a", b"\xff", b"b.."]


def test_lstat_looks_at_the_link_itself(tree: Path) -> None:
    """A dangling link exists. A missing name does not, and neither does a name in a vanished directory."""
    (tree / "dangling").symlink_to("nowhere")
    with handles.root(tree) as top:
        assert handles.lstat(top, b"dangling") is not None
        assert handles.lstat(top, b"missing") is None
        assert handles.lstat(top, b"n" * 256) is None


def test_the_longest_name_is_what_the_file_system_says(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """255 on all common ones, fewer where names are encrypted. 255 also where the file system reports nothing, or more."""
    with handles.root(tree) as top:
        assert handles.longest_name(top) == 255
        (tree / ("n" * 255)).touch()
        for said, expected in ((143, 143), (-1, 255), (0, 255), (1023, 255)):
            monkeypatch.setattr(handles.os, "fpathconf", lambda _handle, _name, said=said: said)
            assert handles.longest_name(top) == expected

        def silent(_handle: int, _name: str) -> int:
            raise OSError(errno.EINVAL, "no such limit")

        monkeypatch.setattr(handles.os, "fpathconf", silent)
        assert handles.longest_name(top) == 255


@pytest.fixture(params=["renameat2", "no renameat2", "EINVAL", "EOPNOTSUPP"])
def libc(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The C library unchanged, one without the call, and file systems that do not support it."""
    if request.param == "no renameat2":
        monkeypatch.setattr(handles, "_LIBC", SimpleNamespace())
    elif request.param != "renameat2":

        def unsupported(*_: object) -> int:
            ctypes.set_errno(getattr(errno, request.param))
            return -1

        monkeypatch.setattr(handles, "_LIBC", SimpleNamespace(renameat2=unsupported))
    return str(request.param)


def test_rename_moves_files_and_links(tree: Path, libc: str) -> None:
    """The file itself moves, also between directories. A link moves as a link."""
    (tree / "link").symlink_to("outside/b/c/file")
    inode = (tree / "outside/b/c/file").stat().st_ino
    with handles.root(tree) as top, handles.root(tree / "root") as other:
        with handles.directory(top, b"outside/b/c") as source:
            handles.rename_noreplace(source, b"file", other, b"moved")
        handles.rename_noreplace(top, b"link", other, b"link\xff")
    assert (tree / "root/moved").stat().st_ino == inode
    assert not (tree / "outside/b/c/file").exists()
    assert Path(os.fsdecode(os.fsencode(tree / "root") + b"/link\xff")).readlink() == Path("outside/b/c/file")
    assert not os.path.lexists(tree / "link")


@pytest.mark.parametrize("obstacle", ["file", "link", "directory"])
def test_rename_never_replaces(tree: Path, libc: str, obstacle: str) -> None:
    """An existing file with that name stays, and so does the source."""
    target = tree / "root/target"
    if obstacle == "file":
        target.write_bytes(b"theirs")
    elif obstacle == "link":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
    before = target.lstat().st_ino
    with handles.root(tree / "outside/b/c") as source, handles.root(tree / "root") as top, pytest.raises(FileExistsError):
        handles.rename_noreplace(source, b"file", top, b"target")
    assert target.lstat().st_ino == before
    assert (tree / "outside/b/c/file").read_bytes() == b"secret"


def test_rename_of_what_is_missing(tree: Path, libc: str) -> None:
    """A missing source is FileNotFoundError with both methods."""
    with handles.root(tree) as top, pytest.raises(FileNotFoundError):
        handles.rename_noreplace(top, b"missing", top, b"target")


def test_directories_are_renamed_where_the_call_exists(tree: Path) -> None:
    """RENAME_NOREPLACE moves a directory too."""
    with handles.root(tree) as top:
        handles.rename_noreplace(top, b"outside", top, b"elsewhere")
    assert (tree / "elsewhere/b/c/file").exists()


def test_sync_directory(tree: Path) -> None:
    """It works on a directory. A bad handle raises an error."""
    with handles.root(tree) as top:
        handles.sync_directory(top)
    with pytest.raises(OSError, match="Bad file descriptor"):
        handles.sync_directory(9999)
