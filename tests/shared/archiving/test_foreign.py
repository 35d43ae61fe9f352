"""Foreign archives: rar, single streams, passwords, damage. The content decides the type, not the name."""

import gzip
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from shared.archiving import engine, formats, sevenzip
from shared.archiving.contents import CREATED
from shared.archiving.formats import Format, detect, of_head, single_name
from shared.archiving.protocol import Limits
from shared.errors import NOT_FOUND, PermanentError
from shared.files.children import Children
from tests.shared.archiving.streams import pack_stream
from tests.shared.archiving.trees import PASSWORD, everything, make, members, nothing, picture, settle, unpack

RAR = Path(__file__).parents[2] / "golden" / "rar"
SEVEN = str(sevenzip.find_binary(None))
SINGLE = [Format.GZ, Format.BZ2, Format.XZ, Format.ZST]


async def code_of(archive: Path, target: Path, password: str | None = None) -> str | None:
    """Return the code with which unpacking fails, and check that nothing is left."""
    with pytest.raises(PermanentError) as caught:
        await unpack(archive, target, password)

    assert not target.exists()
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "files", "total", "password"),
    [
        ("rar15-comment", 2, 15, None), ("rar3-solid", 2, 4096, None), ("rar5-subdirs", 4, 25, None), ("rar5-hlink", 3, 3 * 2048, None),
        ("rar5-dups", 9, 9 * 2048, None), ("rar5-psw", 2, 4096, "password"), ("rar5-hpsw", 2, 4096, "password"),
    ],
)  # fmt: skip
async def test_rar_is_unpacked(tmp_path: Path, name: str, files: int, total: int, password: str | None) -> None:
    """Old and new, solid, with folders, hard links, references to equal files and passwords: as 7-Zip itself unpacks them."""
    archive = tmp_path / "archive"
    shutil.copy(RAR / f"{name}.rar", archive)

    done = await unpack(archive, tmp_path / "target", password)

    run = ["x", "-y", f"-p{password or ''}", f"-o{tmp_path / 'reference'}", "-bso0", "-bsp0", "--", archive]
    subprocess.run([SEVEN, *run], check=True)  # noqa: ASYNC221 - milliseconds
    (tmp_path / "reference").rename(tmp_path / "other")
    (tmp_path / "target").rename(tmp_path / "reference")
    ours = picture(tmp_path / "reference", times=False, modes=False)
    (tmp_path / "reference").rename(tmp_path / "target")
    (tmp_path / "other").rename(tmp_path / "reference")
    assert ours == picture(tmp_path / "reference", times=False, modes=False)
    assert (done.files, done.total_bytes) == (files, total)
    assert detect(archive) is Format.RAR


async def test_links_in_rar(tmp_path: Path) -> None:
    """A link that leads outside refuses the archive, as everywhere. Links that stay inside are created, even chosen alone."""
    for name in ("rar3-symlink-unix", "rar5-symlink-unix"):
        archive = RAR / f"{name}.rar"

        assert await code_of(archive, tmp_path / "target") == formats.UNSAFE

        await unpack(archive, tmp_path / name, entries=[b"data_link", b"data.txt"])
        assert (tmp_path / name / "data_link").read_bytes() == (tmp_path / name / "data.txt").read_bytes()
    assert await code_of(RAR / "rar5-evil-symlink-traversal.rar", tmp_path / "target") == formats.UNSAFE


@pytest.mark.parametrize("form", SINGLE)
async def test_a_single_stream_becomes_a_file(tmp_path: Path, form: Format) -> None:
    """Its name is the archive's without its suffix. Its size is found by reading it."""
    content = os.urandom(3_000_000)
    archive = tmp_path / f"data.bin.{form}"
    archive.write_bytes(pack_stream(form, content))

    done = await unpack(archive, tmp_path / "target")
    stats = await engine.inspect(archive, None, Limits(), Children())

    assert (done.files, done.total_bytes, stats.original_size, stats.format) == (1, len(content), len(content), form)
    assert (tmp_path / "target/data.bin").read_bytes() == content
    archive.write_bytes(archive.read_bytes()[:-3])
    assert await code_of(archive, tmp_path / "again") == formats.TRUNCATED


def test_names_of_single_streams() -> None:
    assert single_name(b"a.txt.gz", Format.GZ) == b"a.txt"
    assert single_name(b"a.txt.GZ", Format.GZ) == b"a.txt"
    assert single_name(b".gz", Format.GZ) == b".gz.unpacked"
    assert single_name(b"a.txt", Format.GZ) == b"a.txt.unpacked"


@pytest.mark.parametrize("form", CREATED)
async def test_damage_is_found(tmp_path: Path, form: Format) -> None:
    """A flipped bit, a cut end: each with its code, in every format."""
    everything(tmp_path)
    archive = (await make(tmp_path, [b"tree"], tmp_path / "out", form))[0][0]
    good = archive.read_bytes()
    middle = good.index(good[len(good) // 2 : len(good) // 2 + 8])

    archive.write_bytes(good[: len(good) // 2])
    assert await code_of(archive, tmp_path / "cut") in {formats.TRUNCATED, formats.DAMAGED}
    if form is not Format.TAR:  # it has no checksum of contents: only a comparison with the manifest finds it
        archive.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
        assert await code_of(archive, tmp_path / "flipped") in {formats.DAMAGED, formats.TRUNCATED}
        with pytest.raises(PermanentError):
            await engine.check(archive, Children(), nothing)


async def test_a_tar_with_a_damaged_header_does_not_just_end(tmp_path: Path) -> None:
    """Python's reader would stop there silently. So would a reader that takes a missing end for an end."""
    everything(tmp_path)
    archive = (await make(tmp_path, [b"tree"], tmp_path / "out", Format.TAR))[0][0]
    good = archive.read_bytes()
    header = good.rindex(b"ustar") - 257

    archive.write_bytes(good[:header] + b"X" + good[header + 1 :])
    assert await code_of(archive, tmp_path / "damaged") == formats.DAMAGED
    archive.write_bytes(good[:header])
    assert await code_of(archive, tmp_path / "cut") == formats.TRUNCATED


@pytest.mark.parametrize("form", [Format.ZIP, Format.SEVENZIP])
async def test_passwords(tmp_path: Path, form: Format) -> None:
    """A missing and a wrong one are reported. 7z hides even the names. Neither is in any process list (7-Zip gets it on stdin)."""
    everything(tmp_path)
    archive = (await make(tmp_path, [b"tree"], tmp_path / "out", form, PASSWORD))[0][0]

    assert await code_of(archive, tmp_path / "none") == formats.BAD_PASSWORD
    assert await code_of(archive, tmp_path / "wrong", "wrong") == formats.BAD_PASSWORD
    with pytest.raises(PermanentError) as caught:
        await engine.check(archive, Children(), nothing, password="wrong")
    assert caught.value.code == formats.BAD_PASSWORD
    if form is Format.SEVENZIP:
        with pytest.raises(PermanentError) as caught:
            await members(archive)
        assert caught.value.code == formats.BAD_PASSWORD
    else:
        assert all(member.encrypted for member in await members(archive) if member.kind == "file")


async def test_a_7z_password_may_be_any_text(tmp_path: Path) -> None:
    """7-Zip gets it on stdin as UTF-8. It equals the same password given to 7-Zip by hand."""
    password = "Straße 日本 🎬"
    tree = everything(tmp_path)
    archive = (await make(tmp_path, [b"tree"], tmp_path / "out", Format.SEVENZIP, password))[0][0]

    argv = [SEVEN, "x", f"-p{password}", "-snld20", f"-o{tmp_path / 'back'}", "-bso0", "-bsp0", "--", archive]
    subprocess.run(argv, check=True)  # noqa: ASYNC221 - milliseconds

    assert picture(tmp_path / "back/tree", seconds=True) == picture(tree, seconds=True)


@pytest.mark.parametrize("form", [*CREATED])
async def test_chosen_entries(tmp_path: Path, form: Format) -> None:
    """A file, a folder with everything below it, names that look like wildcards. A missing entry is named."""
    tree = everything(tmp_path)
    (tree / "st*r").write_bytes(b"1")
    (tree / "stXr").write_bytes(b"2")
    settle(tree)
    archive = (await make(tmp_path, [b"tree"], tmp_path / "out", form))[0][0]

    done = await unpack(archive, tmp_path / "target", entries=[b"tree/below", b"tree/st*r"])

    found = {path.relative_to(tmp_path / "target/tree").as_posix() for path in (tmp_path / "target/tree").rglob("*")}
    assert found == {"below", "below/deeper", "below/deeper/nothing", "below/random.bin", "below/link upwards", "st*r"}
    assert done.files == 4
    with pytest.raises(PermanentError, match="does not hold: tree/nothing") as caught:
        await unpack(archive, tmp_path / "missing", entries=[b"tree/below", b"tree/nothing"])
    assert caught.value.code == NOT_FOUND
    assert not (tmp_path / "missing").exists()


async def test_many_chosen_entries(tmp_path: Path) -> None:
    """There are too many names for 7-Zip's arguments: it unpacks all, and only the chosen ones are written."""
    (tmp_path / "tree").mkdir()
    for number in range(450):
        (tmp_path / "tree" / str(number)).write_bytes(str(number).encode())
    archive = (await make(tmp_path, [b"tree"], tmp_path / "out", Format.SEVENZIP))[0][0]

    await unpack(archive, tmp_path / "target", entries=[b"tree/%d" % number for number in range(0, 450, 2)])

    assert {path.name for path in (tmp_path / "target/tree").iterdir()} == {str(number) for number in range(0, 450, 2)}
    assert (tmp_path / "target/tree/448").read_bytes() == b"448"


@pytest.mark.parametrize("content", [b"", b"hello", b"PK", b"\x1f\x8b", b"x" * 2000, b"%PDF-1.7", bytes(100)])
async def test_what_is_no_archive_is_said(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "archive.zip"
    archive.write_bytes(content)

    with pytest.raises(PermanentError, match=r"archive\.zip is not an archive") as caught:
        await engine.inspect(archive, None, Limits(), Children())
    assert caught.value.code == formats.UNKNOWN_FORMAT


def test_an_empty_tar_is_one() -> None:
    assert of_head(bytes(10240)) is Format.TAR
    assert of_head(gzip.compress(bytes(10240))) is Format.TAR_GZ


async def test_bytes_behind_the_end_are_no_damage(tmp_path: Path) -> None:
    """Every CRC was right, so nothing is withheld."""
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("x", b"content")
    archive.write_bytes(archive.read_bytes() + b"junk" * 10)

    await unpack(archive, tmp_path / "target")

    assert (tmp_path / "target/x").read_bytes() == b"content"
