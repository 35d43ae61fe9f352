"""User paths lead below their root, and nowhere else."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import NOT_FOUND, PermanentError
from shared.files import paths


@pytest.mark.parametrize(
    ("path", "plain"), [("", ""), ("/", ""), ("a", "a"), ("/a/b/", "a/b"), ("Ünï cödé/…", "Ünï cödé/…"), ("a..b/.c", "a..b/.c")]
)
def test_plain_paths(path: str, plain: str) -> None:
    """One slash at either end is accepted. The root is the empty path."""
    assert paths.plain(path) == plain


@pytest.mark.parametrize(
    "path", ["..", "a/../b", "a//b", "./a", "a/.", "a\0b", "a\nb", "x" * 256, "\udce9", "é" * 128, "a/" * 1800 + "a"]
)
def test_refused_paths(path: str) -> None:
    """A path that could lead elsewhere, or that no file system holds, is refused with a sentence."""
    with pytest.raises(PermanentError):
        paths.plain(path)


@given(
    st.lists(st.sampled_from(["..", ".", "", "a", "link", "/", "\0", "b", "etc", "%2e%2e", "..\\..", "~"]), max_size=8).map(
        "/".join
    )
)
def test_no_path_leads_out(path: str) -> None:
    """No accepted path has a part that climbs."""
    try:
        parts = paths.plain(path).split("/")
    except PermanentError:
        return
    assert not {"..", "."} & set(parts)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link is no folder, anywhere in the path. A missing part gives "not-found"."""
    (tmp_path / "root/real/inner").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "root/out").symlink_to(tmp_path / "secret")
    (tmp_path / "root/real/up").symlink_to("../..")
    with paths.opened(tmp_path / "root", "real/inner") as handle:
        assert not any(os.scandir(handle))
    for path in ("out", "real/up", "real/up/secret", "missing"):
        with pytest.raises(PermanentError) as refused, paths.opened(tmp_path / "root", path):
            pass
        assert refused.value.code == NOT_FOUND
    with paths.parent_of(tmp_path / "root", "real/inner") as (folder, name):
        assert (sorted(entry.name for entry in os.scandir(folder)), name) == (["inner", "up"], b"inner")
    with pytest.raises(PermanentError), paths.parent_of(tmp_path / "root", "/"):
        pass


@pytest.mark.parametrize(
    ("stem", "tail", "made"),
    [
        ("n" * 251, ".zip", "n" * 251 + ".zip"),
        ("n" * 252, ".zip", "n" * 251 + ".zip"),
        ("é" * 126, ".7z", "é" * 126 + ".7z"),
        ("é" * 127, ".7z", "é" * 126 + ".7z"),
        ("latin1-\udce9", ".zip", "latin1-\udce9.zip"),
    ],
)
def test_a_name_is_cut_between_letters_to_what_file_systems_take(stem: str, tail: str, made: str) -> None:
    """255 bytes. A name that fits stays unchanged, even if it is not text."""
    assert paths.name_with(stem, tail) == made
    assert len(os.fsencode(made)) <= 255
