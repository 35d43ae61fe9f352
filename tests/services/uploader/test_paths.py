"""The names of one file on three sides: this machine, the source collection, the destination collection."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.uploader import paths
from shared.domain.destinations import RemotePlace, unplaced_key
from shared.errors import ConfigurationError, PermanentError

ROOT_PLACE = RemotePlace("e", "/")
ROOT, BASE = "/storage/archives", "/archives"


@pytest.mark.parametrize(
    ("base", "archive"),
    [
        ("/", "/L1/L2/f.tar.7z"),
        ("/team", "/team/L1/L2/f.tar.7z"),
        ("/team/", "/team/L1/L2/f.tar.7z"),
        ("//team//vault/", "/team/vault/L1/L2/f.tar.7z"),
        ("/~/", "/~/L1/L2/f.tar.7z"),
    ],
)
def test_destination_is_below_its_base(base: str, archive: str) -> None:
    """However the base is written, the folder's levels follow it, and the sidecar is beside the archive."""
    place = paths.place("endpoint", base)
    found = paths.destination(place, "L1", "L2", "f")

    assert found == paths.Destination(place, archive, archive + ".manifest.json", f"endpoint:{archive.casefold()}")


@pytest.mark.parametrize(
    "name", ["a b", "+ # % & ?", "été", "日本", "🎞", "~", "~user", "a.tar.7z", "trailing ", "semi;colon", "quote'\"", "-rf"]
)
def test_odd_names_travel_unchanged(name: str) -> None:
    """A name that survives Globus is neither refused nor rewritten."""
    assert paths.destination(RemotePlace("e", "/base"), name, name, name).archive == f"/base/{name}/{name}/{name}.tar.7z"


@pytest.mark.parametrize(
    ("levels", "word"),
    [
        (("", "b", "c"), "not a name"),
        (("a", ".", "c"), "not a name"),
        (("a", "b", ".."), "not a name"),
        (("a/x", "b", "c"), "slash"),
        (("a", "b\0", "c"), "zero byte"),
        (("a", "b", "c\n"), "line break"),
        (("a", "b\r", "c"), "line break"),
        (("a", "b", "\udcff"), "UTF-8"),
        (("a" * 256, "b", "c"), "255 bytes"),
        (("a", "é" * 128, "c"), "255 bytes"),  # 2 bytes each: 256
        (("a", "b", "c" * 235), "255 bytes"),  # 235 + len(".tar.7z") 7 + len(".manifest.json") 14 = 256
        (("~", "b", "c"), "home directory"),
        (("~user", "b", "c"), "home directory"),
    ],
)
def test_names_that_cannot_travel_are_refused(levels: tuple[str, str, str], word: str) -> None:
    """A name that Globus or the destination would refuse or reinterpret fails with the reason."""
    with pytest.raises(PermanentError, match=word):
        paths.destination(ROOT_PLACE, *levels)


def test_longest_folder_name_whose_sidecar_fits() -> None:
    """234 + 7 + 14 = 255 bytes is the last that fits."""
    assert paths.destination(ROOT_PLACE, "a", "b", "c" * 234).sidecar.endswith(".manifest.json")


@pytest.mark.parametrize("base", ["", "relative", "~", "/a/../b", "/a\n"])
def test_a_base_that_is_no_path_is_a_setting_error(base: str) -> None:
    """The message names the setting."""
    with pytest.raises(ConfigurationError, match="GLOBUS_DESTINATION_BASE_PATH"):
        paths.place("e", base)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/A/b/F.tar.7z", "/a/B/f.TAR.7Z", True),
        ("/é", "/" + unicodedata.normalize("NFD", "é"), True),
        ("/É", "/" + unicodedata.normalize("NFD", "é"), True),
        ("/straße", "/STRASSE", True),
        ("/a b", "/a  b", False),
        ("/a/b", "/a-b", False),
    ],
)
def test_destination_key_ignores_what_a_destination_may_ignore(one: str, other: str, same: bool) -> None:
    """Letter case and the spelling of accents do not make two destinations."""
    place = RemotePlace("e", "/Vault")
    assert (place.key(one) == place.key(other)) is same
    assert (unplaced_key(one) == unplaced_key(other)) is same


def test_another_collection_or_base_path_is_another_key() -> None:
    """The same path in two places is two destinations. Base paths that a destination may treat as equal are one."""
    path = "/L1/L2/f.tar.7z"
    one = RemotePlace("e", "/tape")
    assert (
        len({one.key(path), RemotePlace("other", "/tape").key(path), RemotePlace("e", "/disk").key(path), unplaced_key(path)}) == 4
    )
    assert one.key(path) == RemotePlace("e", "/TAPE").key(path)


@pytest.mark.parametrize(
    ("local", "root", "base", "collection"),
    [
        ("/storage/archives/j/1/f.tar.7z", ROOT, BASE, "/archives/j/1/f.tar.7z"),
        ("/storage/archives/j/1/f.tar.7z", ROOT + "/", "/", "/j/1/f.tar.7z"),
        ("/storage/archives/f", "/", "/", "/storage/archives/f"),
        ("/storage/archives/f", ROOT, "/~/x", "/~/x/f"),
        ("/storage/archives/~/f", ROOT, BASE, "/archives/~/f"),
    ],
)
def test_a_local_file_has_one_collection_path(local: str, root: str, base: str, collection: str) -> None:
    """Its path below the root equals its path below the collection path."""
    assert paths.to_collection(local, root, base) == collection


@pytest.mark.parametrize(
    ("local", "base", "word"),
    [
        ("/elsewhere/f", BASE, "GLOBUS_SOURCE_LOCAL_ROOT"),
        ("/storage/archives", BASE, "GLOBUS_SOURCE_LOCAL_ROOT"),
        ("/storage/archives2/f", BASE, "GLOBUS_SOURCE_LOCAL_ROOT"),
        ("storage/archives/f", BASE, "GLOBUS_SOURCE_LOCAL_ROOT"),
        ("/storage/archives/../etc/passwd", BASE, "not a name"),
        ("/storage/archives/a\nb", BASE, "line break"),
        ("/storage/archives/~/f", "/", "home directory"),
    ],
)
def test_a_local_file_the_collection_cannot_name_is_refused(local: str, base: str, word: str) -> None:
    """Outside the root, climbing out of it, or not expressible: refused with the setting or the reason."""
    with pytest.raises(PermanentError, match=word):
        paths.to_collection(local, ROOT, base)


def test_split_keeps_the_slash_of_the_directory() -> None:
    """Listings need it; files never have it."""
    assert paths.split("/a/b/c") == ("/a/b/", "c")
    assert paths.split("/c") == ("/", "c")


_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0\r\n"), min_size=1, max_size=40).filter(
    lambda name: name not in {".", ".."} and not name.startswith("~")
)


@given(st.lists(_names, min_size=1, max_size=4))
def test_every_name_comes_through_the_mapping_unchanged(parts: list[str]) -> None:
    """No name is lost or changed."""
    local = "/".join([ROOT, *parts])

    assert paths.to_collection(local, ROOT, BASE) == "/".join(["", *(part for part in BASE.split("/") if part), *parts])
