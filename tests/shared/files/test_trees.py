"""Trees by handle: deep ones, ones full of links, ones that change during the walk."""

from pathlib import Path

import pytest

from shared.errors import Cancelled
from shared.files import handles, trees


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    deep = top
    for _ in range(400):
        deep /= "deeper"
    (top / "a/b").mkdir(parents=True)
    for part in range(0, 400, 100):
        Path(top, *["deeper"] * (part + 100)).mkdir(parents=True, exist_ok=True)
    (top / "a/one").write_bytes(b"1")
    (top / "a/b/two").write_bytes(b"22")
    deep.joinpath("three").write_bytes(b"333")
    (tmp_path / "outside").write_bytes(b"x" * 1000)
    (top / "a/link").symlink_to(tmp_path / "outside")
    (top / "a/loop").symlink_to("..")
    return top


def test_everything_is_seen_once(tree: Path) -> None:
    """A folder before its content, 400 levels deep, links not followed."""
    with handles.root(tree) as top:
        seen = [found.path for found in trees.walk(top)]
        assert trees.measure(top) == (6, 3, len(seen))
        assert trees.measure_up_to(top, len(seen)) == trees.measure(top)
        assert trees.measure_up_to(top, len(seen) - 1) is None
    assert len(seen) == len(set(seen)) == 400 + 2 + 3 + 2
    assert seen.index(b"a") < seen.index(b"a/b") < seen.index(b"a/b/two")


def test_a_tree_is_removed(tree: Path) -> None:
    """All of it, whatever its modes. Link targets stay. Removing nothing is no error. A stop stops it."""
    (tree / "a").chmod(0o500)

    def stop() -> None:
        raise Cancelled("enough")

    with handles.root(tree.parent) as parent:
        with pytest.raises(Cancelled):
            trees.remove(parent, b"tree", stop)
        assert tree.exists()
        trees.remove(parent, b"tree")
        trees.remove(parent, b"tree")
        (tree.parent / "link").symlink_to("outside")
        trees.remove(parent, b"link")
    assert sorted(path.name for path in tree.parent.iterdir()) == ["outside"]
