"""Nothing is written outside the target, limits hold, each reason has its code, and no partial result is left."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.archiving import engine, formats
from shared.archiving.engine import ExtractSpec
from shared.archiving.formats import Format
from shared.archiving.protocol import Limits
from shared.errors import PermanentError
from shared.files.children import Children
from tests.shared.archiving import hostile
from tests.shared.archiving.hostile import Part, tar, zipped
from tests.shared.archiving.trees import make, nothing, unpack

MIB = 1 << 20
BOTH = {"tar": tar, "zip": zipped}
UNSAFE: dict[str, list[Part]] = {
    "leads upwards": [("../out", b"x")],
    "leads upwards in the middle": [("a/../../out", b"x")],
    "absolute": [("/tmp/cs-archiver-out", b"x")],
    "link upwards": [("evil", "link", "..")],
    "link to an absolute path": [("evil", "link", "/etc")],
    "write through a link": [("evil", "link", "inside"), ("evil/out", b"x")],
    "write through a link out": [("evil", "link", "../.."), ("evil/out", b"x")],
    "chain of links": [("a/b", "link", "."), ("c", "link", "a/b/../../../out")],
    "link deeper than it looks": [("a", "link", "."), ("b", "link", "a/a/a/../../../..")],
    "device": [("evil", "device", "")],
    "fifo": [("evil", "fifo", "")],
    "twice": [("x", b"1"), ("x", b"2")],
    "file, then folder": [("x", b"1"), ("x/y", b"2")],
    "folder, then file": [("x/y", b"2"), ("x", b"1")],
    "name too long": [("n" * 256, b"1")],
    "path too long": [("/".join(["directory"] * 400), b"1")],
}
TAR_ONLY: dict[str, list[Part]] = {
    "hard link upwards": [("evil", "hardlink", "../../etc/passwd")],
    "hard link to an absolute path": [("evil", "hardlink", "/etc/passwd")],
    "hard link to nothing of ours": [("evil", "hardlink", "etc/passwd")],
    "hard link through a link": [("a", "link", "."), ("evil", "hardlink", "a/evil")],
}
CASES = [*((kind, parts) for parts in UNSAFE.values() for kind in BOTH), *(("tar", parts) for parts in TAR_ONLY.values())]
IDS = [*(f"{name}-{kind}" for name in UNSAFE for kind in BOTH), *(f"{name}-tar" for name in TAR_ONLY)]


async def refused(archive: Path, place: Path, code: str, **more: object) -> str:
    """Check that unpacking fails with this code and leaves only the files from before."""
    before = sorted(place.rglob("*"))

    with pytest.raises(PermanentError) as caught:
        await unpack(archive, place / "target", **more)

    assert (caught.value.code, sorted(place.rglob("*"))) == (code, before), str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "parts"), CASES, ids=IDS)
async def test_what_would_leave_the_target_or_fall_on_itself_is_refused(tmp_path: Path, kind: str, parts: list[Part]) -> None:
    """The sentence names the archive. A tar is stopped half-way, and its unpacked files are removed."""
    place = tmp_path / "place"
    place.mkdir()
    archive = BOTH[kind](tmp_path / "evil", ("harmless", b"x"), *parts)

    sentence = await refused(archive, place, formats.UNSAFE)

    assert sentence.startswith("evil is not unpacked: ") or "The archive is refused" in sentence
    assert not Path("/tmp/cs-archiver-out").exists()


@pytest.mark.parametrize("kind", BOTH)
async def test_names_that_differ_in_case_only_are_names_of_their_own(tmp_path: Path, kind: str) -> None:
    """Files, folders, and letters in two Unicode forms: this file system distinguishes them, so nothing is lost."""
    parts: list[Part] = [("README", b"1"), ("readme", b"2"), ("A/x", b"3"), ("a/y", b"4"), ("\u00f1", b"5"), ("n\u0303", b"6")]

    done = await unpack(BOTH[kind](tmp_path / "archive", *parts), tmp_path / "target")

    assert (done.files, done.directories) == (6, 2)
    assert {name: (tmp_path / "target" / name).read_bytes() for name, _ in parts} == dict(parts)


@pytest.mark.parametrize("kind", BOTH)
async def test_links_that_stay_inside_are_made(tmp_path: Path, kind: str) -> None:
    """Forwards, upwards within, to a missing target: they are created as text and never followed."""
    parts: list[Part] = [("a/b/up", "link", "../../file"), ("file", b"x"), ("a/dangling", "link", "nothing"), ("here", "link", ".")]

    await unpack(BOTH[kind](tmp_path / "archive", *parts), tmp_path / "target")

    assert str((tmp_path / "target/a/b/up").readlink()) == "../../file"
    assert (tmp_path / "target/a/b/up").read_bytes() == b"x"
    assert str((tmp_path / "target/here").readlink()) == "."


async def test_hard_links_inside_are_kept(tmp_path: Path) -> None:
    archive = tar(tmp_path / "archive", ("a/file", b"content"), ("b", "hardlink", "./a/file"))

    await unpack(archive, tmp_path / "target")

    assert (tmp_path / "target/b").samefile(tmp_path / "target/a/file")


@pytest.mark.parametrize("kind", BOTH)
async def test_the_harmless_part_can_be_chosen(tmp_path: Path, kind: str) -> None:
    """An archive that is refused as a whole can be unpacked without its bad entries."""
    archive = BOTH[kind](tmp_path / "evil", ("good/one", b"1"), ("../out", b"x"), ("good/two", b"2"), ("evil", "link", "/etc"))

    done = await unpack(archive, tmp_path / "target", entries=[b"good"])

    assert (done.files, done.total_bytes) == (2, 2)
    assert (tmp_path / "target/good/two").read_bytes() == b"2"


async def test_set_id_bits_are_dropped(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "x").write_bytes(b"x")
    (source / "x").chmod(0o6755)
    made, _ = await make(tmp_path, [b"source"], tmp_path / "out", Format.TAR)

    await unpack(made[0], tmp_path / "target")

    assert (tmp_path / "target/source/x").stat().st_mode & 0o7777 == 0o755 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def test_an_overlap_bomb_is_refused(tmp_path: Path) -> None:
    """2,000 names for one piece of 5 MB: 10 GB from a file of 200 KB."""
    place = tmp_path / "place"
    place.mkdir()

    bomb = hostile.overlapping(tmp_path / "bomb.zip", 2_000, 5_000_000)

    assert bomb.stat().st_size < 300_000
    await refused(bomb, place, formats.DAMAGED)  # 7-Zip sees that the entries overlap


@pytest.mark.parametrize(("declared", "code"), [(10, formats.DAMAGED), (50 * MIB, formats.TRUNCATED)])
async def test_a_lie_about_the_size_is_found(tmp_path: Path, declared: int, code: str) -> None:
    """5 MB that declare 10 bytes, or 50 MB."""
    place = tmp_path / "place"
    place.mkdir()

    await refused(hostile.lying(tmp_path / "liar.zip", declared, 5 * MIB), place, code)


TEN_GB = 10_000_000_000


@pytest.mark.parametrize("ending", ["zip", "gz"])
async def test_ten_gigabytes_of_zeros_are_refused(tmp_path: Path, ending: str) -> None:
    """A listing finds it before anything is unpacked; a stream is stopped at the limit. `inspect` reports it without unpacking."""
    make_zeros = {"zip": hostile.zeros_zip, "gz": hostile.zeros_gz}[ending]
    archive = make_zeros(tmp_path / f"zeros.{ending}", TEN_GB)
    place = tmp_path / "place"
    place.mkdir()
    limits = Limits(ratio_from=MIB, ratio=5)  # of 1,000: a stream stops early, not at 200 times its size

    sentence = await refused(archive, place, formats.TOO_BIG, limits=limits)
    stats = await engine.inspect(archive, None, limits, Children())

    assert archive.stat().st_size < 11_000_000
    assert "times as big" in sentence
    assert "times as big" in stats.problems[0]
    await refused(archive, place, formats.TOO_BIG, limits=Limits(total_bytes=50 * MIB))


@pytest.mark.parametrize("greedy", [hostile.greedy_xz, hostile.greedy_zst])
async def test_memory_is_limited(tmp_path: Path, greedy: Callable[[Path], Path]) -> None:
    """A stream that needs gigabytes of memory is refused as such."""
    place = tmp_path / "place"
    place.mkdir()

    sentence = await refused(greedy(tmp_path / "greedy"), place, formats.TOO_BIG)

    assert "more memory" in sentence


@pytest.mark.timeout(600)  # seconds of computing, on a possibly busy machine
@pytest.mark.parametrize("many", [hostile.many_tar, hostile.many_zip])
async def test_too_many_entries_are_refused(tmp_path: Path, many: Callable[[Path, int], Path]) -> None:
    """300,000 entries with a limit of 250,000. They can still be listed, within the memory limit."""
    archive = many(tmp_path / "many", 300_000)
    place = tmp_path / "place"
    place.mkdir()
    limits = Limits(entries=250_000, memory_bytes=1 << 30)

    sentence = await refused(archive, place, formats.TOO_BIG, limits=limits)
    stats = await engine.inspect(archive, None, limits, Children())

    assert "250,000 entries" in sentence
    assert stats.entries == 300_000


@pytest.mark.parametrize("kind", BOTH)
async def test_folders_that_names_imply_are_entries_too(tmp_path: Path, kind: str) -> None:
    """Two files in 30 folders each: a small archive must not become millions of folders."""
    place = tmp_path / "place"
    place.mkdir()
    archive = BOTH[kind](tmp_path / "deep", ("a/" * 30 + "x", b"x"), ("b/" * 30 + "x", b"x"))

    sentence = await refused(archive, place, formats.TOO_BIG, limits=Limits(entries=59))
    done = await unpack(archive, place / "target", limits=Limits(entries=60))

    assert "more than 59 folders" in sentence
    assert done.directories == 60


async def test_names_of_megabytes_are_not_read(tmp_path: Path) -> None:
    """90 KB that unpack to a name of 20 MB, or to many names: every reader would store, copy and show them."""
    place = tmp_path / "place"
    place.mkdir()
    long = hostile.named_tar(tmp_path / "long.tar.gz", "a/" * (10 * MIB))
    shown = hostile.named_tar(tmp_path / "shown.tar.gz", "a/" * 30_000)

    assert "name of 20,971,519 bytes" in await refused(long, place, formats.TOO_BIG)
    assert len(await refused(shown, place, formats.UNSAFE)) < 500
    with pytest.raises(PermanentError, match=r"more than 29\.30 KB") as caught:
        await engine.inspect(shown, None, Limits(names_bytes=30_000), Children())
    assert caught.value.code == formats.TOO_BIG


async def test_an_exabyte_that_is_not_there_is_not_looked_for(tmp_path: Path) -> None:
    """512 bytes declare a file of 2^60 bytes. Its end is missing, and it is refused even if the file is not chosen."""
    place = tmp_path / "place"
    place.mkdir()
    archive = hostile.vast_tar(tmp_path / "vast.tar", 1 << 60)

    with pytest.raises(PermanentError) as caught:
        await engine.inspect(archive, None, Limits(), Children())
    assert caught.value.code == formats.TRUNCATED
    await refused(archive, place, formats.TOO_BIG)
    await refused(archive, place, formats.TRUNCATED, entries=[b"other"])


async def test_headers_of_headers_are_damage(tmp_path: Path) -> None:
    """Thousands of them; Python's reader recurses for each one."""
    place = tmp_path / "place"
    place.mkdir()

    assert "without end" in await refused(hostile.nested_tar(tmp_path / "nested.tar", 3_000), place, formats.DAMAGED)


async def test_an_archive_in_an_archive_stays_one(tmp_path: Path) -> None:
    """An archive inside is not unpacked: a bomb in a bomb is a file."""
    inner = hostile.overlapping(tmp_path / "inner.zip", 2_000, 5_000_000)

    await unpack(zipped(tmp_path / "outer.zip", ("inner.zip", inner.read_bytes())), tmp_path / "target")

    assert (tmp_path / "target/inner.zip").read_bytes() == inner.read_bytes()


async def test_time_is_limited(tmp_path: Path) -> None:
    """A run that takes longer than allowed is stopped."""
    archive = hostile.zeros_gz(tmp_path / "zeros.gz", TEN_GB)

    with pytest.raises(PermanentError, match="longer than 1s") as caught:
        await engine.inspect(archive, None, Limits(seconds=1, ratio=10**9), Children())

    assert caught.value.code == formats.TOO_BIG


async def test_a_target_that_is_not_empty_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target/mine").write_bytes(b"mine")
    archive = tar(tmp_path / "archive", ("mine", b"yours"))

    with pytest.raises(PermanentError, match="not empty"):
        await engine.extract(archive, tmp_path / "target", ExtractSpec(), Children(), nothing)

    assert (tmp_path / "target/mine").read_bytes() == b"mine"
