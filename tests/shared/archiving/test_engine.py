"""The engine can open every archive that it makes. Every failure has its reason and leaves nothing."""

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shared.archiving import engine
from shared.archiving.contents import CREATED, chosen
from shared.archiving.engine import CreateSpec, ExtractSpec, check_spec
from shared.archiving.formats import Format
from shared.archiving.protocol import Limits, Member
from shared.archiving.sevenzip import find_binary
from shared.archiving.worker import _halves
from shared.errors import PermanentError, TransientError
from shared.files.children import Children
from tests.shared.archiving.trees import PASSWORD, everything, make, members, nothing, picture, unpack

WITH_PASSWORD = (Format.ZIP, Format.SEVENZIP)
CASES = [*((form, None) for form in CREATED), *((form, PASSWORD) for form in WITH_PASSWORD)]


@pytest.mark.parametrize(("form", "password"), CASES)
async def test_what_is_made_can_be_unpacked(tmp_path: Path, form: Format, password: str | None) -> None:
    """Names, types, content, links, executable bits and times are restored. The figures are those of the tree."""
    tree = everything(tmp_path)

    made, entries = await make(tmp_path, [b"tree"], tmp_path / "out", form, password)
    stats = await engine.inspect(made[0], password, Limits(), Children())
    done = await unpack(made[0], tmp_path / "back", password)

    assert picture(tmp_path / "back" / "tree", seconds=True) == picture(tree, seconds=True)
    assert (done.files, done.directories, done.total_bytes) == (7, 4, 5_500 + 70_000 + 10)
    assert (stats.format, stats.entries, stats.files, stats.original_size) == (form, 11, 7, 75_510)
    assert (stats.encrypted, stats.problems) == (password is not None, [])
    assert stats.compressed_size == made[0].stat().st_size
    assert {member.path for member in await members(made[0], password)} == {entry.path for entry in entries}


async def test_what_packs_like_a_trap_is_still_proven(tmp_path: Path) -> None:
    """Over 1 GiB that packs more than 200 times smaller: refused in foreign archives, but not in an archive that was just made here."""
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree" / "zeros").open("wb") as file:
        file.truncate((1 << 30) + 1)

    made, _ = await make(tmp_path, [b"tree"], tmp_path / "out", Format.TAR_ZST, level=1)

    assert made[0].stat().st_size < 1 << 20


@pytest.mark.parametrize("form", WITH_PASSWORD)
async def test_volumes_are_made_and_joined(tmp_path: Path, form: Format) -> None:
    """Numbered parts of the requested size. The first one opens all. A missing part is reported as such and leaves nothing."""
    tree = everything(tmp_path)
    (tree / "big").write_bytes((tree / "below" / "random.bin").read_bytes() * 4)

    made, _ = await make(tmp_path, [b"tree"], tmp_path / "out", form, PASSWORD, volume_bytes=100_000, level=0)
    await unpack(made[0], tmp_path / "back", PASSWORD)
    stats = await engine.inspect(made[0], PASSWORD, Limits(), Children())

    assert [path.name for path in made] == [f"made.{form}.{number:03}" for number in range(1, len(made) + 1)]
    assert {path.stat().st_size for path in made[:-1]} == {100_000}
    assert picture(tmp_path / "back" / "tree", times=False) == picture(tree, times=False)
    assert (stats.volumes, stats.compressed_size) == (len(made), sum(path.stat().st_size for path in made))

    made[-1].unlink()
    with pytest.raises(PermanentError) as caught:
        await unpack(made[0], tmp_path / "again", PASSWORD)
    assert caught.value.code in {"truncated", "damaged"}
    assert not (tmp_path / "again").exists()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contains `tree`, big enough for two parallel runs of 7-Zip, and `made.zip` of it, stored."""
    base = tmp_path_factory.mktemp("large")
    tree = everything(base)
    for number in range(6):
        (tree / "below" / f"clip {number}.mov").write_bytes(bytes([number]) * (14 << 20))
    (tree / "star*.mov").write_bytes(b"*" * (15 << 20))
    command = [str(find_binary(None)), "a", "-tzip", "-mx0", "-snl", "-mtp=1", "-bso0", "-bsp0", "made.zip", "tree"]
    subprocess.run(command, cwd=base, check=True)
    return base


async def test_two_runs_at_once_make_what_one_makes(large: Path, tmp_path: Path) -> None:
    """A zip of 99 MiB: every entry once, in its place, with its time."""
    done = await unpack(large / "made.zip", tmp_path / "back")

    assert picture(tmp_path / "back" / "tree", seconds=True) == picture(large / "tree", seconds=True)
    assert (done.files, done.directories, done.total_bytes) == (14, 4, 75_510 + (99 << 20))


@pytest.mark.parametrize("clip", [0, 5])
async def test_damage_in_either_run_is_damage(large: Path, tmp_path: Path, clip: int) -> None:
    """In either half, the archive is reported as damaged and nothing is left."""
    damaged = tmp_path / "damaged.zip"
    content = bytearray((large / "made.zip").read_bytes())
    content[content.index(bytes([clip]) * 1_000_000) + 500_000] ^= 0xFF
    damaged.write_bytes(content)

    with pytest.raises(PermanentError) as caught:
        await unpack(damaged, tmp_path / "back")

    assert caught.value.code == "damaged"
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("command", ["x", "l", "t"])
async def test_a_reader_that_is_killed_says_nothing_about_the_archive(tmp_path: Path, command: str) -> None:
    """A kernel out of memory may kill it, for example. Another try may succeed, so it is no damage. Nothing is left."""
    everything(tmp_path)
    made, _ = await make(tmp_path, [b"tree"], tmp_path / "out", Format.ZIP)
    dying = tmp_path / "7zz"
    dying.write_text(f'#!/bin/sh\n[ "$1" = {command} ] && kill -9 $$\nexec {find_binary(None)} "$@"\n')
    dying.chmod(0o755)
    ask: dict[str, Callable[[], Awaitable[object]]] = {
        "x": lambda: engine.extract(made[0], tmp_path / "back", ExtractSpec(), Children(), nothing, binary=dying),
        "l": lambda: engine.inspect(made[0], None, Limits(), Children(), binary=dying),
        "t": lambda: engine.check(made[0], Children(), nothing, binary=dying),
    }

    with pytest.raises(TransientError, match="killed by signal 9"):
        await ask[command]()

    assert not (tmp_path / "back").exists()


def test_halves_are_of_plain_names_and_worth_it() -> None:
    """The largest files up to half of the bytes. Never a name that 7-Zip could misread, never all files, never for a small tree."""

    def file(path: bytes, mib: int) -> tuple[Member, bool]:
        return Member(path=path, kind="file", size=mib << 20), True

    star, first, second, small = file(b"a*", 90), file(b"b/c d.mov", 60), file(b"e", 50), file(b"f", 1)
    folder = Member(path=b"b", kind="directory", size=0), True

    lots = _halves([folder, star, first, second, small])

    assert [(lot.names, lot.without) for lot in lots] == [([b"b/c d.mov", b"e"], []), ([], [b"b/c d.mov", b"e"])]
    assert [lot.members for lot in lots] == [[first, second], [folder, star, small]]
    assert _halves([folder, first]) == []
    assert _halves([star, small]) == []
    assert _halves([small, file(b"g", 2)]) == []


def test_names_below_others_are_packed_once() -> None:
    assert chosen([b"a/b", b"a", b"ab", b"c/d", b"a/b/c"]) == [b"a", b"ab", b"c/d"]


@pytest.mark.parametrize("name", [b"", b"/etc", b"..", b"a/../b", b"a//b", b"./a", b"a/"])
def test_names_are_plain_paths_below_the_base(name: bytes) -> None:
    with pytest.raises(PermanentError):
        chosen([name])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (CreateSpec(format=Format.RAR), "cannot be made here"),
        (CreateSpec(format=Format.GZ), "cannot be made here"),
        (CreateSpec(format=Format.ZIP, level=10), "from 0 to 9"),
        (CreateSpec(format=Format.TAR, password="x"), "Only zip and 7z"),
        (CreateSpec(format=Format.TAR_GZ, volume_bytes=1 << 20), "Only zip and 7z"),
        (CreateSpec(format=Format.ZIP, volume_bytes=100), "at least 65,536"),
        (CreateSpec(format=Format.ZIP, password="pässword"), "only hold ASCII"),
        (CreateSpec(format=Format.SEVENZIP, password=""), "1 to 99"),
        (CreateSpec(format=Format.SEVENZIP, password="a\nb"), "control character"),
        (CreateSpec(format=Format.SEVENZIP, password="x" * 100), "1 to 99"),
    ],
)
def test_what_a_format_cannot_do_is_said(spec: CreateSpec, said: str) -> None:
    with pytest.raises(PermanentError, match=said):
        check_spec(spec)


async def test_packing_costs_what_a_small_server_has(tmp_path: Path) -> None:
    """The highest level: 64 MiB dictionaries, planned and limited memory, no core dumps.

    7-Zip's own dictionaries would be 256 MiB each.
    """
    (tmp_path / "some").write_bytes(b"some words")
    real, witness = find_binary(None), tmp_path / "witness"
    witness.write_text(
        f'#!/bin/sh\ncat /proc/self/limits > "{tmp_path}/limits"\necho "$@" > "{tmp_path}/said"\nexec "{real}" "$@"\n'
    )
    witness.chmod(0o700)
    (tmp_path / "out").mkdir()
    spec = CreateSpec(format=Format.SEVENZIP, level=9)

    await engine.create(tmp_path, [b"some"], tmp_path / "out", "a.7z", spec, Children(), nothing, binary=witness)

    said = (tmp_path / "said").read_text().split()
    assert "-md=64m" in said
    planned = next(int(word.removeprefix("-mmemuse=").rstrip("b")) for word in said if word.startswith("-mmemuse="))
    assert planned <= 2 << 30
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (tmp_path / "limits").read_text().splitlines()}
    assert limits["Max data size"] == [str(4 << 30)] * 2
    assert limits["Max core file size"] == ["0", "0"]


async def test_changes_since_the_manifest_are_found(tmp_path: Path) -> None:
    """Changed content, time or type, new and missing entries: each one is named."""
    tree = everything(tmp_path)
    (tree / "gone").write_bytes(b"x")
    before = await engine.manifest(tmp_path, [b"tree"], nothing, nothing)
    (tree / "gone").unlink()
    (tree / "text.txt").write_bytes(b"OTHER words\n" * 500)
    (tree / "new").write_bytes(b"new")
    for form in CREATED:
        (tmp_path / form).mkdir()
        spec = CreateSpec(format=form, level=1)
        made = await engine.create(tmp_path, [b"tree"], tmp_path / form, f"x.{form}", spec, Children(), nothing)

        found = "; ".join(await engine.verify(made[0], before.entries, Children(), nothing))

        assert "missing in the archive: tree/gone" in found
        assert "not chosen, or twice in the archive: tree/new" in found
        assert "tree/text.txt" in found
