"""Every packed archive can be unpacked, or it is refused with the reason before any source is deleted."""

import asyncio
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.archiving import contents
from shared.archiving.checks import link_problem
from shared.archiving.formats import UNSAFE, Format
from shared.archiving.protocol import Limits, Member
from shared.archiving.writing import Writer
from shared.errors import PermanentError
from shared.files.manifest import Entry
from tests.shared.archiving.trees import TIME, make, nothing, picture, unpack

_NASTY = (
    "README", "readme", "ReadMe", "\u00f1", "n\u0303", "\u00d1", "stra\u00dfe", "STRASSE", "\ufb01x", "fix", "\u0130", "i\u0307",
    "CON", "con.txt", "NUL", "aux", "LPT1", "trailing.", "trailing..", "trailing ", " leading", "-dash", "--", "@list", "!x", "~", "#",
    "a:b", "what?", "star*", "<pipe|>", 'quo"te', "back\\slash", "tab\t", "bell\x07", "return\r", "esc\x1b[31m", "del\x7f", "new\nline",
    "\u202egnp.exe", "\u200b", "\ufeffbom", "\ufffd", "\uefff", "\uffff", "emoji \U0001f3ac", "Path = x", " = ", "%2e%2e", "...", ". .",
    ".hidden", "desktop.ini", "x" * 255, "\u00e4" * 127, "name.7z.001", "$MFT", "Icon\r",
)  # fmt: skip
_RAW = (b"latin1-\xe9", b"\xff", b"\xed\xa0\x80", b"\xc0\xae", b"half\xc3")
_TARGETS = (
    b"README", b"./README", b"nothing here", b"../readme", b"../../out", b"/etc/passwd", b"a/../b", b".", b"..", b"x" * 1000,
    b"x" * 1001, b"\xe9", b"new\nline", b"//", b"a//b", b"deep/./x",
)  # fmt: skip
_NAMES = st.one_of(
    st.sampled_from([os.fsencode(name) for name in _NASTY] + list(_RAW)),
    st.binary(min_size=1, max_size=12).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_")),
).filter(lambda raw: raw not in {b".", b".."} and len(raw) <= 255)
_LEAVES = st.one_of(
    st.binary(max_size=40).map(lambda content: ("file", content)),
    st.sampled_from(_TARGETS).map(lambda target: ("link", target)),
)
_TREES = st.recursive(_LEAVES, lambda below: st.dictionaries(_NAMES, below, max_size=5), max_leaves=12)
_TOPS = st.dictionaries(_NAMES, _TREES, max_size=6)
FORMATS = (Format.ZIP, Format.SEVENZIP, Format.TAR_GZ)


def build(folder: bytes, tree: object) -> None:
    if isinstance(tree, dict):
        os.mkdir(folder)  # noqa: PTH102 - names are bytes
        for name, below in tree.items():
            build(folder + b"/" + name, below)
    else:
        assert isinstance(tree, tuple)
        kind, content = tree
        if kind == "link":
            Path(os.fsdecode(folder)).symlink_to(os.fsdecode(content))
        else:
            Path(os.fsdecode(folder)).write_bytes(content)
    os.utime(folder, ns=(TIME, TIME), follow_symlinks=False)


async def round_trip(home: Path, form: Format) -> str:
    """Return the result: refused before packing, refused by both the check and `unzip`, or restored unchanged."""
    try:
        manifest = await asyncio.to_thread(contents.manifest, home, [b"tree"], nothing, nothing)
    except PermanentError:
        return "refused"
    made, _ = await make(home, [b"tree"], home / "out", form)
    packed = made[0].stat().st_size
    if reasons := contents.unpack_problems(manifest.entries, packed):
        with pytest.raises(PermanentError) as caught:
            await unpack(made[0], home / "back")
        assert caught.value.code in {UNSAFE, "too-big"}
        assert reasons
        return "judged"
    await unpack(made[0], home / "back")
    assert picture(home / "back" / "tree", seconds=True) == picture(home / "tree", seconds=True)
    return "back"


@settings(max_examples=60, deadline=None)
@given(tree=_TOPS, form=st.sampled_from(FORMATS))
def test_what_is_packed_comes_back_or_is_refused_before(tree: dict[bytes, object], form: Format) -> None:
    """A pack runs this check before it deletes its source. It refuses exactly the archives that `unzip` refuses."""
    with tempfile.TemporaryDirectory() as folder:
        build(os.fsencode(folder) + b"/tree", tree)
        asyncio.run(round_trip(Path(folder), form))


@pytest.mark.parametrize("form", FORMATS)
async def test_every_nasty_name_comes_back(tmp_path: Path, form: Format) -> None:
    """All in one folder and as folders: letter cases, Unicode forms, reserved names, dots, spaces, controls, other bytes."""
    tree = {os.fsencode(name): ("file", os.fsencode(name)) for name in _NASTY if "\n" not in name}
    tree |= {name: ("file", name) for name in _RAW}
    folders: dict[bytes, object] = {b"folder" + name[:240]: {name: content} for name, content in tree.items()}
    build(os.fsencode(tmp_path / "tree"), tree | folders)

    assert await round_trip(tmp_path, form) == "back"


@pytest.mark.parametrize("form", FORMATS)
async def test_the_deepest_tree_comes_back(tmp_path: Path, form: Format) -> None:
    """A path of 3,500 bytes, the longest that is packed."""
    parts = [b"d" * 9] * 348 + [b"f" * 15]
    top = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("tree", dir_fd=top)
    here = os.open("tree", os.O_RDONLY, dir_fd=top)
    for part in parts[:-1]:
        os.mkdir(part, dir_fd=here)
        below = os.open(part, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open(parts[-1], os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)
    os.close(top)

    made, entries = await make(tmp_path, [b"tree"], tmp_path / "out", form)
    done = await unpack(made[0], tmp_path / "back")

    assert max(len(entry.path) for entry in entries) == 3_500
    assert contents.unpack_problems(entries, made[0].stat().st_size) == []
    assert (done.files, done.directories) == (1, 349)


def entry(path: bytes, kind: str = "file", size: int = 0, link: bytes | None = None) -> Entry:
    return Entry(
        path=path, type=kind, size=size, mode=0o644, uid=0, gid=0, mtime_ns=0, ctime_ns=0, inode=1, links=1, crc32=0, link=link
    )  # type: ignore[arg-type]  # one of the three literals


def test_the_judge_knows_every_limit() -> None:
    """Entries, bytes, names and the ratio of a trap, with the same sentence as `zipinfo`."""
    few = Limits(entries=2, total_bytes=100, names_bytes=50, ratio=10, ratio_from=50)

    def told(entries: list[Entry], packed: int) -> str:
        return "; ".join(contents.unpack_problems(entries, packed, few))

    assert told([entry(b"a"), entry(b"b")], 10) == ""
    assert "more than 2 entries" in told([entry(b"a"), entry(b"b"), entry(b"c")], 10)
    assert "more than 100 B" in told([entry(b"a", size=101)], 100)
    assert "more than 10 times as big" in told([entry(b"a", size=90)], 2)
    assert "names in it have more than 50 B" in told([entry(b"a" * 30), entry(b"b" * 30)], 10)
    assert "leads outside: ../../x" in told([entry(b"a", "link", 7, b"../../x")], 10)


def _writers(folder: Path) -> Iterator[Writer]:
    handle = os.open(folder, os.O_RDONLY)
    writer = Writer(handle)
    yield writer
    writer.close()
    os.close(handle)


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_a_file_system_that_takes_two_names_for_one_is_told(tmp_path: Path, kind: str) -> None:
    """For example a file system that ignores case: the second name exists already, and the first file is not overwritten."""
    (tmp_path / "readme").write_text("first")
    for writer in _writers(tmp_path):
        path = b"readme/x" if kind == "directory" else b"readme"
        member = Member(path=path, kind="link" if kind == "link" else "file", size=0, link=b"y")

        with pytest.raises(PermanentError, match="this file system takes for one") as caught:
            writer.put(member, lambda _: b"", nothing)

        assert caught.value.code == UNSAFE
    assert (tmp_path / "readme").read_text() == "first"


def test_links_are_judged_the_same_on_both_sides() -> None:
    """`link_problem` alone defines the rule: random targets, packed and unpacked."""
    chance = random.Random(7)
    for _ in range(300):
        target = b"/".join(chance.choice([b"..", b".", b"a", b""]) for _ in range(chance.randint(1, 4))) or b"a"
        path = b"/".join([b"d"] * chance.randint(1, 3))
        said = contents.unpack_problems([entry(path, "link", len(target), target)], 100)

        assert bool(said) == bool(link_problem(Member(path=path, kind="link", size=len(target), link=target)))
