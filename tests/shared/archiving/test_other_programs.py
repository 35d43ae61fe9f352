"""Peculiarities of other programs' archives: what any tool opens is opened here, and damage is never taken for an end."""

import io
import struct
import subprocess
import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.archiving import formats, sevenzip, volumes
from shared.archiving.formats import Format, detect
from shared.errors import PermanentError
from shared.files import handles
from tests.shared.archiving import hostile
from tests.shared.archiving.streams import pack_stream
from tests.shared.archiving.trees import members, unpack

SEVEN = str(sevenzip.find_binary(None))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def refusal(archive: Path, target: Path, password: str | None = None) -> str | None:
    with pytest.raises(PermanentError) as caught:
        await unpack(archive, target, password)
    assert not target.exists()
    return caught.value.code


# Passwords ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["-t7z"], ["-tzip", "-mem=ZipCrypto"], ["-tzip", "-mem=AES256"]])
async def test_a_wrong_password_is_no_damage(tmp_path: Path, options: list[str]) -> None:
    """This also holds where names are readable without one and only the content's checksum tells: none, a wrong one, the right one."""
    (tmp_path / "file").write_bytes(b"content " * 1000)
    archive = tmp_path / "archive"
    subprocess.run([SEVEN, "a", *options, "-psecret", "-bso0", "-bsp0", f"{archive}.x", "file"], check=True, cwd=tmp_path)  # noqa: ASYNC221 - milliseconds
    Path(f"{archive}.x").rename(archive)

    assert await refusal(archive, tmp_path / "none") == formats.BAD_PASSWORD
    assert await refusal(archive, tmp_path / "wrong", "wrong") == formats.BAD_PASSWORD
    assert [member.encrypted for member in await members(archive)] == [True]
    assert (await unpack(archive, tmp_path / "target", "secret")).total_bytes == 8000


# Streams -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [Format.GZ, Format.BZ2, Format.XZ, Format.ZST])
async def test_streams_that_follow_each_other(tmp_path: Path, form: Format) -> None:
    """All of them are unpacked, as by each format's own program. A damaged or cut one is never skipped silently."""
    one, two = pack_stream(form, b"first " * 10_000), pack_stream(form, b"second")
    archive = tmp_path / f"both.{form}"

    archive.write_bytes(one + two)
    await unpack(archive, tmp_path / "target")
    assert contents(tmp_path / "target") == {"both": b"first " * 10_000 + b"second"}

    for name, following, code in (
        ("begun wrong", b"??" + two[2:], formats.DAMAGED),
        ("no stream", b"something else", formats.DAMAGED),
        ("cut", two[:-2], formats.TRUNCATED),
    ):
        archive.write_bytes(one + following)
        assert await refusal(archive, tmp_path / name) == code, name


@pytest.mark.parametrize("form", [Format.GZ, Format.BZ2, Format.XZ])
async def test_zeros_between_streams_are_padding(tmp_path: Path, form: Format) -> None:
    """The xz format allows them between and after streams. Data after them counts."""
    one, two = pack_stream(form, b"first"), pack_stream(form, b"second")
    archive = tmp_path / f"both.{form}"
    archive.write_bytes(one + bytes(512) + two + bytes(1024))

    await unpack(archive, tmp_path / "target")

    assert contents(tmp_path / "target") == {"both": b"firstsecond"}


async def test_a_zst_that_begins_with_a_frame_to_be_skipped(tmp_path: Path) -> None:
    """The program pzstd writes them. A tar inside is still found."""
    skipped = struct.pack("<II", 0x184D2A50, 4) + b"size"
    inner = hostile.tar(tmp_path / "inner", ("file", b"content")).read_bytes()
    (tmp_path / "archive").write_bytes(skipped + pack_stream(Format.ZST, inner))

    await unpack(tmp_path / "archive", tmp_path / "target")

    assert (detect(tmp_path / "archive"), contents(tmp_path / "target")) == (Format.TAR_ZST, {"file": b"content"})


# Volumes -----------------------------------------------------------------------------------------------------------------------


async def test_a_tar_in_volumes(tmp_path: Path) -> None:
    """Any program cut it into `.001`, `.002`, ... Without the last one it is cut short."""
    whole = pack_stream(Format.TAR_GZ, hostile.tar(tmp_path / "tar", ("file", bytes(range(256)) * 1000)).read_bytes())
    cut = len(whole) // 3
    for number in range(4):
        (tmp_path / f"archive.tar.gz.{number + 1:03}").write_bytes(whole[number * cut : (number + 1) * cut])

    await unpack(tmp_path / "archive.tar.gz.001", tmp_path / "target")

    assert contents(tmp_path / "target") == {"file": bytes(range(256)) * 1000}
    (tmp_path / "archive.tar.gz.003").unlink()
    assert await refusal(tmp_path / "archive.tar.gz.001", tmp_path / "cut") == formats.TRUNCATED


async def test_a_split_zip(tmp_path: Path) -> None:
    """`archive.z01` and `archive.zip`, as Info-ZIP and WinZip split it: the last one names the archive."""
    whole = b"PK\7\x08" + hostile.zipped(tmp_path / "whole", ("file", b"content")).read_bytes()
    directory, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    (tmp_path / "archive.z01").write_bytes(whole[:40])
    last = bytearray(whole[40:])
    last[directory - 40 + 42 : directory - 40 + 46] = struct.pack("<I", 4)  # the entry's offset in the first part
    last[end - 40 + 4 : end - 40 + 8] = struct.pack("<HH", 1, 1)  # this part, and the one with the directory
    last[end - 40 + 16 : end - 40 + 20] = struct.pack("<I", directory - 40)
    (tmp_path / "archive.zip").write_bytes(last)

    await unpack(tmp_path / "archive.zip", tmp_path / "target")

    assert contents(tmp_path / "target") == {"file": b"content"}
    (tmp_path / "archive.z01").unlink()
    assert await refusal(tmp_path / "archive.zip", tmp_path / "cut") in {formats.TRUNCATED, formats.DAMAGED}


def test_which_files_make_up_an_archive(tmp_path: Path) -> None:
    """Their sizes add up to the archive's, so that many volumes are not taken for a trap."""
    for first, *others in (
        ("a.7z.001", "a.7z.002", "a.7z.003"),
        ("b.part01.rar", "b.part02.rar"),
        ("c.rar", "c.r00", "c.r01"),
        ("d.z01", "d.zip"),
        ("e.zip",),
        ("f.tar.gz",),
    ):
        names = [first, *others]
        for name in names:
            (tmp_path / name).touch()
        chosen = names[-1] if names[-1].endswith(".zip") else first
        with handles.root(tmp_path) as folder, ExitStack() as stack:
            opened = [name.decode() for name, _ in volumes.opened(stack, folder, chosen.encode())]
        assert (opened[0], sorted(opened)) == (chosen, sorted(names))


# Zip ---------------------------------------------------------------------------------------------------------------------------


def named(path: Path, *names: str, system: int = 3) -> Path:
    """Return a zip of files with exactly these names, each holding its own name."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            header = zipfile.ZipInfo("x")
            header.filename, header.create_system = name, system
            archive.writestr(header, "" if name[-1] in "/\\" else name)
    return path


async def test_backslashes_of_windows_are_slashes(tmp_path: Path) -> None:
    """Old .NET separates names by them; on Unix they are part of a name.

    Chosen entries are found, and an entry that leads upwards is refused.
    """
    await unpack(named(tmp_path / "dos", "dir\\", "dir\\sub\\file", system=0), tmp_path / "target")
    await unpack(tmp_path / "dos", tmp_path / "chosen", entries=[b"dir/sub"])
    await unpack(named(tmp_path / "unix", "dir\\file"), tmp_path / "kept")

    assert contents(tmp_path / "target") == contents(tmp_path / "chosen") == {"dir/sub/file": b"dir\\sub\\file"}
    assert contents(tmp_path / "kept") == {"dir\\file": b"dir\\file"}
    assert await refusal(named(tmp_path / "evil", "..\\..\\out", system=0), tmp_path / "evil target") == formats.UNSAFE


async def test_names_with_a_dot_before_them_can_be_chosen(tmp_path: Path) -> None:
    await unpack(named(tmp_path / "archive", "./a/one", "./two"), tmp_path / "target", entries=[b"a"])

    assert contents(tmp_path / "target") == {"a/one": b"./a/one"}


@pytest.mark.parametrize("comment", [b"", b"a comment"])
async def test_a_zip_behind_a_program(tmp_path: Path, comment: bytes) -> None:
    """A self-extracting or Python-executable file is a zip too: its directory is at its end."""
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("file", b"content")
        archive.comment = comment
    (tmp_path / "program").write_bytes(b"#!/usr/bin/python3\n" + (tmp_path / "zip").read_bytes())

    await unpack(tmp_path / "program", tmp_path / "target")

    assert contents(tmp_path / "target") == {"file": b"content"}


async def test_what_came_out_of_a_pipe_is_a_file(tmp_path: Path) -> None:
    """`producer | zip archive.zip -` marks its entry as a pipe, but holds the content."""
    header = zipfile.ZipInfo("-")
    header.create_system, header.external_attr = 3, 0o010600 << 16
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr(header, b"content")

    await unpack(tmp_path / "archive", tmp_path / "target")

    assert contents(tmp_path / "target") == {"-": b"content"}


# Tar ---------------------------------------------------------------------------------------------------------------------------


def headers(path: Path, *parts: tuple[bytes, str, bytes], times: bool = False) -> Path:
    """Return a GNU tar of these (type, name, content). `times`: with the fields that `tar -g` writes in place of the name prefix."""
    with path.open("wb") as file:
        for kind, name, content in parts:
            header = tarfile.TarInfo(name)
            header.type, header.size = kind, len(content)
            block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
            if times:
                block[345:357] = b"15300327343\0"
                block[148:156] = b" " * 8
                block[148:156] = b"%06o\0 " % sum(block)
            file.write(bytes(block) + content + bytes(-len(content) % 512))
        file.write(bytes(1024))
    return path


async def test_an_incremental_tar(tmp_path: Path) -> None:
    """`tar -g`: directories contain their names, and every header has times, which are no part of the name."""
    archive = headers(tmp_path / "archive", (b"D", "tree/", b"Yfile\0\0"), (b"0", "tree/file", b"content"), times=True)

    await unpack(archive, tmp_path / "target")

    assert contents(tmp_path / "target") == {"tree/file": b"content"}


async def test_a_label_is_no_entry(tmp_path: Path) -> None:
    """`tar -V`. A file that continues in another volume (`tar -M`) is cut short, not a device."""
    await unpack(headers(tmp_path / "label", (b"V", "backup of monday", b""), (b"0", "file", b"x")), tmp_path / "target")

    assert contents(tmp_path / "target") == {"file": b"x"}
    assert [member.path for member in await members(tmp_path / "label")] == [b"file"]
    assert await refusal(headers(tmp_path / "second", (b"M", "file", b"rest")), tmp_path / "none") == formats.TRUNCATED


async def test_a_hard_link_to_a_link(tmp_path: Path) -> None:
    """GNU tar stores them for trees that `cp -al` made: the same link is created. It is refused if it would lead outside from there."""
    inside = hostile.tar(tmp_path / "inside", ("a/b/link", "link", "../file"), ("a/other/link", "hardlink", "a/b/link"))
    outside = hostile.tar(tmp_path / "outside", ("a/b/link", "link", "../file"), ("link", "hardlink", "a/b/link"))

    await unpack(inside, tmp_path / "target")

    assert str((tmp_path / "target/a/other/link").readlink()) == "../file"
    assert await refusal(outside, tmp_path / "none") == formats.UNSAFE


async def test_files_that_are_read_only_stay_so(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive", "w") as archive:
        for mode in (0o444, 0o555, 0o200, 0o000):
            header = tarfile.TarInfo(f"{mode:o}")
            header.mode, header.size = mode, 1
            archive.addfile(header, io.BytesIO(b"x"))

    await unpack(tmp_path / "archive", tmp_path / "target")

    found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "target").iterdir()}
    assert found == {"444": 0o444, "555": 0o555, "200": 0o600, "0": 0o400}  # its owner can read it
