"""The reader reads exactly what it opened. No swapped name, and no link among volumes, leads it elsewhere."""

import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.archiving import engine, formats, volumes
from shared.archiving.engine import CreateSpec
from shared.archiving.formats import Format
from shared.archiving.protocol import ENCODER, Limits, Member, Scan
from shared.archiving.sevenzip import find_binary
from shared.archiving.worker import Archive
from shared.errors import PermanentError
from shared.files import handles
from shared.files.children import Children
from tests.shared.archiving.trees import make, members, nothing, unpack

RAR = Path(__file__).parents[2] / "golden" / "rar" / "rar5-subdirs.rar"
VOLUME = 65_536


@pytest.fixture(autouse=True)
def no_leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reader's temporary files are gone afterwards."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield
    assert list(place.iterdir()) == []


async def made(folder: Path, name: str, form: Format = Format.ZIP, *, volume_bytes: int | None = None) -> bytes:
    """Create an archive `name` in `folder`, of one file with unique content. Return that content."""
    content = os.urandom(150_000)
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        (Path(place) / "file").write_bytes(content)
        spec = CreateSpec(format=form, level=0, volume_bytes=volume_bytes)
        await engine.create(Path(place), [b"file"], folder, name, spec, Children(), nothing)
    return content


def opened(stack: ExitStack, archive: Path) -> Archive:
    return Archive(request_of(archive), stack)


def request_of(archive: Path) -> Scan:
    return Scan(archive=os.fsencode(archive), sevenzip=str(find_binary(None)), password=None, limits=Limits())


def content_of(archive: Archive) -> bytes:
    with archive.contents([], []) as pipe:
        return b"".join(iter(lambda: pipe.read(1 << 20), b""))


@pytest.mark.parametrize("form", [Format.ZIP, Format.SEVENZIP])
async def test_a_name_that_becomes_a_link(tmp_path: Path, form: Format) -> None:
    """Listing and content are those of the file that existed when it was opened."""
    mine = await made(tmp_path / "mine", "a", form)
    await made(tmp_path / "secret", "a", form)
    with ExitStack() as stack:
        archive = opened(stack, tmp_path / "mine" / "a")
        (tmp_path / "mine" / "a").unlink()
        (tmp_path / "mine" / "a").symlink_to(tmp_path / "secret" / "a")

        assert [member.path for member in archive.listed()] == [b"file"]
        assert content_of(archive) == mine


@pytest.mark.parametrize("form", [Format.ZIP, Format.SEVENZIP])
async def test_a_volume_that_becomes_a_link(tmp_path: Path, form: Format) -> None:
    """The same for every volume."""
    mine = await made(tmp_path / "mine", "a", form, volume_bytes=VOLUME)
    await made(tmp_path / "secret", "a", form, volume_bytes=VOLUME)
    with ExitStack() as stack:
        archive = opened(stack, tmp_path / "mine" / "a.001")
        (tmp_path / "mine" / "a.002").unlink()
        (tmp_path / "mine" / "a.002").symlink_to(tmp_path / "secret" / "a.002")

        assert [member.path for member in archive.listed()] == [b"file"]
        assert content_of(archive) == mine
        assert archive.volumes == 3


async def test_a_rar_that_becomes_a_link(tmp_path: Path) -> None:
    """7-Zip looks for a rar's volumes by name, so it gets links to the open files. The same holds."""
    shutil.copy(RAR, tmp_path / "a.rar")
    expected = [member.path for member in await members(RAR)]
    with ExitStack() as stack:
        archive = opened(stack, tmp_path / "a.rar")
        (tmp_path / "a.rar").unlink()
        (tmp_path / "a.rar").symlink_to(RAR.with_name("rar5-dups.rar"))

        assert [member.path for member in archive.listed()] == expected


async def test_volumes_that_are_links_are_refused(tmp_path: Path) -> None:
    """Otherwise a user who puts a link beside an archive could read every file that the service may read, as the next volume."""
    await made(tmp_path / "mine", "a", Format.SEVENZIP, volume_bytes=VOLUME)
    (tmp_path / "mine" / "a.002").rename(tmp_path / "secret")
    (tmp_path / "mine" / "a.002").symlink_to(tmp_path / "secret")

    with pytest.raises(PermanentError, match="plain file") as refused:
        await unpack(tmp_path / "mine" / "a.001", tmp_path / "out")

    assert (refused.value.code, (tmp_path / "out").exists()) == (formats.UNSAFE, False)


async def test_a_folder_that_becomes_a_link(tmp_path: Path) -> None:
    """Through its handle, the folder stays the one that was opened, both for reading and for making an archive."""
    mine = await made(tmp_path / "mine", "a.zip")
    await made(tmp_path / "secret", "a.zip")
    for folder, text in (("mine", "mine"), ("secret", "secret")):
        (tmp_path / folder / "tree").mkdir()
        (tmp_path / folder / "tree" / "text").write_text(text)
    found: list[Member] = []
    with handles.root(tmp_path / "mine") as folder:
        (tmp_path / "mine").rename(tmp_path / "away")
        (tmp_path / "mine").symlink_to(tmp_path / "secret")
        archive, base = handles.path_of(folder) / "a.zip", handles.path_of(folder)

        await engine.listing(archive, None, Children(), found.append, inherit=[folder])
        await engine.extract(archive, tmp_path / "out", engine.ExtractSpec(), Children(), nothing, inherit=[folder])
        for form in (Format.ZIP, Format.TAR):
            (tmp_path / form).mkdir()
            made_ = await engine.create(
                base, [b"tree"], tmp_path / form, "new", CreateSpec(format=form), Children(), nothing, inherit=[folder]
            )
            await unpack(made_[0], tmp_path / f"of {form}")

    assert [member.path for member in found] == [b"file"]
    assert (tmp_path / "out" / "file").read_bytes() == mine
    assert [(tmp_path / f"of {form}" / "tree" / "text").read_text() for form in (Format.ZIP, Format.TAR)] == ["mine", "mine"]


async def test_stars_in_a_name_are_no_wildcards(tmp_path: Path) -> None:
    """Only this archive is read, even if others match its name, as a file and in volumes."""
    mine = await made(tmp_path / "mine", "a[b]*.zip")
    await made(tmp_path / "mine", "ab-other.zip")
    split = await made(tmp_path / "mine", "s*.zip", volume_bytes=VOLUME)
    await made(tmp_path / "mine", "st.zip", volume_bytes=VOLUME)

    assert [member.path for member in await members(tmp_path / "mine" / "a[b]*.zip")] == [b"file"]
    await unpack(tmp_path / "mine" / "a[b]*.zip", tmp_path / "one")
    await unpack(tmp_path / "mine" / "s*.zip.001", tmp_path / "two")

    assert [(tmp_path / name / "file").read_bytes() for name in ("one", "two")] == [mine, split]


async def test_damage_is_told_with_the_name_people_know(tmp_path: Path) -> None:
    """The message does not use the reader's path. An archive's only volume is named too."""
    await made(tmp_path / "mine", "a.zip", volume_bytes=1 << 20)
    path = tmp_path / "mine" / "a.zip.001"
    assert [member.path for member in await members(path)] == [b"file"]
    damaged = path.read_bytes()[:-40]
    path.write_bytes(damaged)
    path.with_name("b.zip").write_bytes(damaged)
    for one in (path, path.with_name("b.zip")):
        with pytest.raises(PermanentError, match=one.name) as refused:
            await members(one)
        assert "/" not in str(refused.value)


async def test_a_name_that_begins_with_a_dash(tmp_path: Path) -> None:
    await make(_tree(tmp_path), [b"tree"], tmp_path / "out", Format.ZIP)
    shutil.copy(tmp_path / "out" / "made.zip", tmp_path / "-x!.zip")
    assert len(await members(tmp_path / "-x!.zip")) == 2


def _tree(folder: Path) -> Path:
    (folder / "tree").mkdir()
    (folder / "tree" / "text").write_text("text")
    return folder


_READER = """
import sys
from contextlib import ExitStack
from shared.archiving.protocol import REQUEST
from shared.archiving.worker import Archive
with ExitStack() as stack:
    Archive(REQUEST.decode(sys.argv[1].encode()), stack)
    print("open", flush=True)
    sys.stdin.read()
"""


def killed(archive: Path, place: Path) -> Path:
    """Create the folder of links in `place` that a reader left, long ago, when it was killed."""
    argv = [sys.executable, "-c", _READER, ENCODER.encode(request_of(archive)).decode()]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(place)}) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"open\n"
        (dead,) = place.iterdir()
        reader.kill()
    os.utime(dead, (0, 0))
    return dead


async def test_a_killed_reader_leaves_nothing_for_long(tmp_path: Path) -> None:
    """The next archive in volumes, or the next sweep, removes its folder of links. A living reader keeps its own."""
    place = tmp_path / "temporary"
    await made(tmp_path / "mine", "a", Format.SEVENZIP, volume_bytes=VOLUME)
    dead = killed(tmp_path / "mine" / "a.001", place)
    (place / "cs-archiver-volumes-new").mkdir()

    with ExitStack() as stack:
        opened(stack, tmp_path / "mine" / "a.001")
        assert not dead.exists()
        (living,) = set(place.iterdir()) - {place / "cs-archiver-volumes-new"}
        os.utime(living, (0, 0))
        os.utime(place / "cs-archiver-volumes-new", (0, 0))
        volumes.remove_dead_links()
        assert list(place.iterdir()) == [living]


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"a.7z.001", [b"a.7z.002", b"a.7z.003"]),
        (b"a.part1.rar", [b"a.part2.rar", b"a.part3.rar"]),
        (b"a.part09.RAR", [b"a.part10.RAR", b"a.part11.RAR"]),
        (b"a.2024.rar", [b"a.2024.r00", b"a.2024.r01"]),
        (b"A.RAR", [b"A.R00", b"A.R01"]),
        (b"a.zip", [b"a.z01", b"a.z02"]),
        (b"a.z01", [b"a.zip", b"a.z02"]),
        (b"a.tar.gz", []),
        (b"zip", []),
    ],
)
def test_where_volumes_are_looked_for(first: bytes, more: list[bytes]) -> None:
    assert list(itertools.islice(volumes.following(first), 2)) == more


def test_more_than_a_hundred_old_volumes_of_a_rar() -> None:
    names = list(volumes.following(b"a.rar"))
    assert (names[99], names[100], names[-1]) == (b"a.r99", b"a.s00", b"a.z99")


def test_more_volumes_than_can_be_open_at_once(tmp_path: Path) -> None:
    """One file more than this process may open, each of them tiny: refused, and not tried again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(map(int, os.listdir("/proc/self/fd"))) + 20  # noqa: PTH208 - names are all that is wanted
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1, most + 2):
        (folder / f"x.zip.{number:03}").touch()

    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        with ExitStack() as stack, pytest.raises(PermanentError, match="volumes cannot be open at once") as caught:
            volumes.opened(stack, stack.enter_context(handles.root(folder)), b"x.zip.001")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert caught.value.code == formats.TOO_BIG
