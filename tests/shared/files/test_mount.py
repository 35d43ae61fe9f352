import re
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from shared.errors import Waiting
from shared.files import handles, mount
from tests.support.nas import Nas, names

KNOWN = str(uuid.UUID(int=1))
OTHER = str(uuid.UUID(int=2))


def write_id(base: Path, text: str) -> None:
    (base / mount.SENTINEL).write_text(text)


def read_id(base: Path) -> str:
    return (base / mount.SENTINEL).read_text().strip()


def check(base: Path, expected: str) -> None:
    with handles.root(base) as handle:
        mount.check_mounted(handle, base, expected)


def test_a_base_without_any_known_id_gets_one_and_keeps_it(tmp_path: Path) -> None:
    """The first start writes the sentinel, complete and alone. Every later start reads it."""
    made = mount.ensure_sentinel(tmp_path, None, may_adopt=False)

    assert read_id(tmp_path) == made == str(uuid.UUID(made))
    assert mount.ensure_sentinel(tmp_path, made, may_adopt=False) == made
    assert mount.ensure_sentinel(tmp_path, None, may_adopt=False) == made
    assert names(tmp_path) == [mount.SENTINEL]
    check(tmp_path, made)


@pytest.mark.parametrize(
    ("found", "has_folder", "may_adopt", "adopted"),
    [
        (None, True, False, False),  # lost or not mounted, and there are live jobs: never guess
        (None, False, True, False),  # looks like a bare mount point
        (None, True, True, True),
        (OTHER, True, False, False),
        (OTHER, False, True, False),
        (OTHER, True, True, True),
        ("rubbish", True, False, False),
        ("rubbish", True, True, False),  # another file: a person decides
    ],
)
def test_a_known_id_is_given_up_only_without_live_jobs_and_with_folders(
    tmp_path: Path, found: str | None, has_folder: bool, may_adopt: bool, adopted: bool
) -> None:
    """Adoption needs the caller's confirmation that no job is live, and a base that is no bare mount point."""
    if found is not None:
        write_id(tmp_path, found)
    if has_folder:
        (tmp_path / "Category").mkdir()

    if adopted:
        result = mount.ensure_sentinel(tmp_path, KNOWN, may_adopt)
        # A new id where there was none: the known one may be hidden below the mount point.
        assert result == found or (found is None and result != KNOWN)
        assert read_id(tmp_path) == result
    else:
        with pytest.raises(Waiting):
            mount.ensure_sentinel(tmp_path, KNOWN, may_adopt)
        assert (tmp_path / mount.SENTINEL).exists() == (found is not None)


def test_the_reason_names_the_fix(tmp_path: Path) -> None:
    """The waiting reason says which id to write where."""
    sentinel = tmp_path / mount.SENTINEL
    expected = f"The NAS is not mounted at {tmp_path}; if it is and the file was lost, write {KNOWN} into {sentinel}."

    with pytest.raises(Waiting, match=f"^{re.escape(expected)}$"):
        check(tmp_path, KNOWN)
    with pytest.raises(Waiting, match=f"^{re.escape(expected)}$"):
        mount.ensure_sentinel(tmp_path, KNOWN, may_adopt=False)

    write_id(tmp_path, OTHER)
    with pytest.raises(Waiting, match=f"holds the id {OTHER}, expected is {KNOWN}"):
        check(tmp_path, KNOWN)

    write_id(tmp_path, f"  {KNOWN.upper()}\n\n")  # as written by hand
    check(tmp_path, KNOWN)


def test_a_link_is_no_sentinel(tmp_path: Path) -> None:
    """A link to a good sentinel elsewhere proves nothing about this base."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(KNOWN)
    (tmp_path / mount.SENTINEL).symlink_to(elsewhere)

    with pytest.raises(Waiting, match="holds no id"):
        check(tmp_path, KNOWN)


def test_an_unmounted_nas_is_noticed_through_old_and_new_handles(nas: Nas) -> None:
    """After the unmount the directory is empty. A new check waits, and so does one through an older handle."""
    known = mount.ensure_sentinel(nas.base, None, may_adopt=False)
    with handles.root(nas.base) as handle:
        mount.check_mounted(handle, nas.base, known)

        nas.unmount()

        with pytest.raises(Waiting, match="unmounted"):
            mount.check_mounted(handle, nas.base, known)
    with pytest.raises(Waiting, match="not mounted"):
        check(nas.base, known)
    with pytest.raises(Waiting, match="not mounted"):
        mount.ensure_sentinel(nas.base, known, may_adopt=True)
    assert names(nas.base) == []


def test_a_missing_base_waits(tmp_path: Path) -> None:
    """A missing base is an absent NAS, not a defect."""
    with pytest.raises(Waiting, match="not mounted"):
        mount.ensure_sentinel(tmp_path / "absent", None, may_adopt=False)


def test_a_base_that_may_not_be_written_says_so(
    public_path: Path, ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    """The scanner needs write access. The reason says that, with the id to write by hand."""
    public_path.chmod(0o555)
    try:
        with ordinary_user(), pytest.raises(Waiting, match="may not write"):
            mount.ensure_sentinel(public_path, None, may_adopt=False)
    finally:
        public_path.chmod(0o755)
    assert names(public_path) == []


def test_devices_are_compared_now(tmp_path: Path, nas: Nas) -> None:
    """Source and base are on one file system, or they are not. /proc is never on the same one."""
    (nas.base / "folder").mkdir()
    with handles.root(nas.base) as base, handles.root(nas.base / "folder") as inside, handles.root(Path("/proc")) as outside:
        assert mount.same_device(base, inside)
        assert not mount.same_device(base, outside)
