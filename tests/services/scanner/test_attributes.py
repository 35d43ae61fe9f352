"""Data that only the sidecar keeps (mode, owner, attributes, ACLs) is compared wherever no trusted time shows a change."""

import errno
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from shared.errors import PermanentError
from shared.files import clocks, manifest_deletion
from shared.files.manifest import Entry
from shared.files.manifest_deletion import TOUCHED, Kept
from tests.support.clocked import SimulatedClock

from .emptying import Case

ACL = bytes.fromhex("0200000001000600ffffffff02000600e803000004000400ffffffff10000600ffffffff20000400ffffffff")


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away, and sets trusted attributes")


def _keeps_attributes() -> bool:
    with tempfile.NamedTemporaryFile() as probe:
        try:
            os.setxattr(probe.name, "user.probe", b"1")
            os.setxattr(probe.name, "system.posix_acl_access", ACL)
        except OSError:
            return False
    return True


pytestmark = pytest.mark.skipif(not _keeps_attributes(), reason="the file system of temporary files keeps no attributes and ACLs")


def attribute(path: Path) -> None:
    os.setxattr(path, "user.rating", b"five")


def other_value(path: Path) -> None:
    os.setxattr(path, "user.kept", b"other")


def no_attribute(path: Path) -> None:
    os.removexattr(path, "user.kept")


def acl(path: Path) -> None:
    os.setxattr(path, "system.posix_acl_access", ACL)


def mode(path: Path) -> None:
    path.chmod(0o700)


def owner(path: Path) -> None:
    os.chown(path, 1234, 1234)


DAY_NS = 24 * 3600 * 10**9
CHANGES = [attribute, other_value, no_attribute, acl, mode, pytest.param(owner, marks=AS_ROOT)]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """On a coarse clock, the copy, the change and the start of the deletion have the same time."""
    SimulatedClock(monkeypatch, tmp_path, DAY_NS)  # a clock unit longer than any test
    made = Case(tmp_path)
    made.look = lambda handle, before=None: clocks.Stamp(time.time_ns() + 3 * DAY_NS, 10**9)
    monkeypatch.setattr("tests.services.scanner.emptying.tick", lambda _probe: None)
    return made


def kept(path: Path) -> Path:
    os.setxattr(path, "user.kept", b"value")
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_changed_attributes_keep_a_file(case: Case, change: Callable[[Path], None]) -> None:
    """The content is hashed because the times prove nothing. Attributes that the archive does not hold keep the file."""
    target = kept(case.put("target"))
    case.put("other")
    case.archive()
    change(target)

    result = case.run()

    assert case.left() == {"target": b"content of target"}
    assert result.kept == [Kept(b"target", TOUCHED)]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_attributes_keep_a_hard_link(case: Case, change: Callable[[Path], None]) -> None:
    """Both names of the file stay."""
    target = kept(case.put("target"))
    os.link(target, case.folder / "too")
    case.put("other")
    case.archive()
    change(target)

    result = case.run()

    assert sorted(case.left()) == ["target", "too"]
    assert [(one.path, one.reason) for one in result.kept] == [(b"target", TOUCHED), (b"too", TOUCHED)]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_attributes_keep_a_directory(case: Case, change: Callable[[Path], None]) -> None:
    """Its files are deleted, the directory stays, and the job and the marker name it. So does a second run."""
    case.put("sub/deep/file")
    kept(case.folder / "sub/deep")
    kept(case.folder / "sub")
    case.archive()
    change(case.folder / "sub/deep")

    for _ in range(2):
        result = case.run()
        assert case.left() == {"sub": b"", "sub/deep": b""}
        assert result.kept == [Kept(b"sub/deep/", TOUCHED)]
        case.assert_final_marker(result)
    assert "sub/deep/ (attributes changed after the copy)" in case.marker.read_text()


@pytest.mark.parametrize("change", [attribute, other_value, no_attribute, acl])
def test_changed_attributes_keep_a_file_where_ctime_is_made_up(
    case: Case, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SMB and similar mounts, attributes are compared. Mode and owner are not, because the mount invents them."""
    monkeypatch.setattr(manifest_deletion, "_KEEPS_CTIME", frozenset[str]())
    target = kept(case.put("target"))
    moded = case.put("moded")
    case.archive()
    change(target)
    mode(moded)

    result = case.run()

    assert case.left() == {"target": b"content of target"}
    assert result.kept == [Kept(b"target", TOUCHED)]


@pytest.mark.parametrize("change", [attribute, mode])
def test_attributes_changed_after_the_rename_put_a_file_back(case: Case, change: Callable[[Path], None]) -> None:
    """The last check before the unlink compares them again."""
    case.put("target")
    case.archive()
    pending = [change]

    def act(point: str) -> None:
        if point == "deletion.renamed" and pending:
            pending.pop()(next(case.folder.glob(".csa-*")))

    result = case.run(act)

    assert case.left() == {"target": b"content of target"}
    assert result.kept == [Kept(b"target", TOUCHED)]


def test_a_leftover_with_other_attributes_goes_back(case: Case) -> None:
    """A file that a killed run left under a private name is judged by its attributes too."""
    target = case.put("target")
    case.archive()
    assert case.run_and_die(3)  # marker.temporary, deletion.marker_written, deletion.begun, deletion.renamed
    (private,) = case.folder.glob(".csa-*-1-*")
    attribute(private)

    result = case.run()

    assert target.exists()
    assert result.kept == [Kept(b"target", TOUCHED)]


def test_unchanged_attributes_go_with_their_file(case: Case) -> None:
    """Attributes and ACLs that the sidecar holds do not keep a file."""
    for path in (case.put("sub/file"), case.folder / "sub"):
        kept(path)
        acl(path)
    case.archive()
    case.run()
    assert case.left() == {}


@AS_ROOT
def test_names_that_only_another_account_sees_keep_a_file(case: Case) -> None:
    """Only root sees `trusted` attributes: an archive made by one account does not prove them to another."""
    case.put("other")
    target = case.put("target")
    os.setxattr(target, "trusted.ours", b"1")
    case.archive()
    entries = [entry if entry.path != b"target" else _without_attributes(entry) for entry in case.manifest.entries]
    assert case.manifest.clock is not None
    case.archived_as(entries, case.manifest.clock)

    result = case.run()

    assert result.kept == [Kept(b"target", TOUCHED)]


def _without_attributes(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, xattrs=None)


@pytest.mark.parametrize("name", ["security.hidden", "system.hidden"])
def test_attributes_that_may_not_be_read_keep_a_file(case: Case, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is listed but its value is refused. Nothing can be compared, so the file stays with the reason."""
    case.put("target")
    case.archive()
    real_list, real_get = os.listxattr, os.getxattr

    def get(handle: int, wanted: str) -> bytes:
        if wanted == name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real_get(handle, wanted)

    monkeypatch.setattr(os, "listxattr", lambda handle: [*real_list(handle), name])
    monkeypatch.setattr(os, "getxattr", get)
    with pytest.raises(PermanentError, match="Nothing was deleted"):
        case.run()
    assert ("delete_file", "target", 17, "kept: attributes could not be read: permission denied") in case.log


@AS_ROOT
def test_a_links_owner_counts(case: Case) -> None:
    """A link that was given to another user within the clock's unit is not the archived one."""
    case.put("other")
    (case.folder / "link").symlink_to("other")
    case.archive()
    subprocess.run(["chown", "-h", "1234", str(case.folder / "link")], check=True)

    assert case.run().kept == [Kept(b"link", TOUCHED)]
