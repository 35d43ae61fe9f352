"""Other tools open archives made here, and the reverse: identical to the last byte of each name.

`TABLE` lists which tool can do what. The tests below run it, and docs/archives.md shows it (`python -m
tests.shared.archiving.interop_table` writes it there).
"""

import asyncio
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from shared.archiving.formats import Format
from shared.archiving.sevenzip import find_binary
from tests.shared.archiving import interop_table
from tests.shared.archiving.interop_table import TABLE, Row
from tests.shared.archiving.streams import pack_stream, unpack_stream
from tests.shared.archiving.trees import PASSWORD, bytes_names, everything, files_only, make, picture, unicode_names, unpack

SEVEN = str(find_binary(None))
TREES = {"files": files_only, "links": everything, "unicode": unicode_names, "bytes": bytes_names}


def run(*argv: str | bytes, cwd: Path | None = None, stdin: bytes | None = None) -> bytes:
    """Run the tool itself, in UTC. It must report no problem."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, (argv, done.stdout, done.stderr)
    return done.stdout


# What each tool does with an archive of a format: unpack it into a directory, or make it of names below a base ----------------


def unzip_out(row: Row, archive: Path, into: Path, password: str | None) -> None:
    run("unzip", "-q", "-^", str(archive), "-d", str(into))


def seven_out(row: Row, archive: Path, into: Path, password: str | None) -> None:
    # -snld20: it restores links that lead upwards only with this option.
    into.mkdir()
    if row.form.is_tar:
        run(SEVEN, "x", "-ttar", "-si", "-snld20", "-y", f"-o{into}", "-bso0", "-bsp0", stdin=unpacked_by_seven(row, archive))
        return
    options = [f"-p{password}"] if password else []
    run(SEVEN, "x", "-snld20", *options, f"-o{into}", "-bso0", "-bsp0", "--", str(archive))


def unpacked_by_seven(row: Row, archive: Path) -> bytes:
    return run(SEVEN, "x", "-so", "-bsp0", "--", str(archive)) if row.form.compression else archive.read_bytes()


def tar_out(row: Row, archive: Path, into: Path, password: str | None) -> None:
    into.mkdir()
    run("tar", "-x", "-p", "-f", "-", "-C", str(into), stdin=unpack_stream(row.form, archive.read_bytes()))


def tarfile_out(row: Row, archive: Path, into: Path, password: str | None) -> None:
    into.mkdir()
    plain = archive.with_name("plain.tar")
    plain.write_bytes(unpack_stream(row.form, archive.read_bytes()))
    with tarfile.open(plain, errors="surrogateescape") as opened:
        if hasattr(tarfile, "tar_filter"):  # not in Python 3.11.0 to 3.11.3, which trust every archive
            opened.extraction_filter = tarfile.tar_filter
        opened.extractall(into)


def zipfile_out(row: Row, archive: Path, into: Path, password: str | None) -> None:
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(into)


def seven_in(row: Row, base: Path, names: list[str], archive: Path, password: str | None) -> None:
    options = [f"-p{password}", "-mhe=on" if row.form is Format.SEVENZIP else "-mem=AES256"] if password else []
    kind = "tar" if row.form.is_tar else row.form.value
    plain = archive.with_name(f"plain.{kind}")
    run(SEVEN, "a", f"-t{kind}", "-snl", "-spd", *options, "-bso0", "-bsp0", "--", str(plain), *names, cwd=base)
    archive.write_bytes(pack_stream(row.form, plain.read_bytes()) if row.form.is_tar else plain.read_bytes())


def tar_in(row: Row, base: Path, names: list[str], archive: Path, password: str | None) -> None:
    for number, shape in enumerate(("posix", "gnu")):  # two archives in turn: the second is opened, the first must be as good
        made = run("tar", "-c", f"--format={shape}", "-f", "-", *names, cwd=base)
        target = archive if number else archive.with_name(f"{shape}-{archive.name}")
        target.write_bytes(pack_stream(row.form, made))


def tarfile_in(row: Row, base: Path, names: list[str], archive: Path, password: str | None) -> None:
    plain = archive.with_name("plain.tar")
    with tarfile.open(plain, "w", errors="surrogateescape") as opened:
        for name in names:
            opened.add(base / name, arcname=name)
    archive.write_bytes(pack_stream(row.form, plain.read_bytes()))


def zipfile_in(row: Row, base: Path, names: list[str], archive: Path, password: str | None) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in names:
            for path in [base / name, *sorted((base / name).rglob("*"))]:
                opened.write(path, path.relative_to(base))


def python_out(row: Row, archive: Path, into: Path, password: str | None) -> None:
    (tarfile_out if row.form.is_tar else zipfile_out)(row, archive, into, password)


def python_in(row: Row, base: Path, names: list[str], archive: Path, password: str | None) -> None:
    (tarfile_in if row.form.is_tar else zipfile_in)(row, base, names, archive, password)


OUT = {"unzip": unzip_out, "7zz": seven_out, "GNU tar": tar_out, "Python": python_out}
IN = {"7zz": seven_in, "GNU tar": tar_in, "Python": python_in}


def grow(base: Path, kinds: list[str]) -> list[str]:
    """Create one tree per kind, each in a folder of that name."""
    for kind in kinds:
        (base / kind).mkdir(parents=True)
        TREES[kind](base / kind)
        os.utime(base / kind, (1_600_000_000, 1_600_000_000))
    return kinds


def same(row: Row, one: Path, other: Path, kinds: list[str]) -> None:
    for kind in kinds:
        pictures = [picture(base / kind, seconds=True, times=row.times, modes=row.times) for base in (one, other)]
        assert pictures[0] == pictures[1], kind


@pytest.mark.parametrize("row", [row for row in TABLE if row.outwards], ids=str)
async def test_made_here_unpacked_there(tmp_path: Path, row: Row) -> None:
    """The tool unpacks our archive to exactly the original tree."""
    assert row.tool != "unzip" or shutil.which("unzip"), "unzip is missing: make setup installs it where it may"
    kinds = grow(tmp_path / "in", row.outwards)
    password = PASSWORD if row.password else None

    made, _ = await make(tmp_path / "in", [kind.encode() for kind in kinds], tmp_path / "out", row.form, password)
    await asyncio.to_thread(OUT[row.tool], row, made[0], tmp_path / "back", password)

    same(row, tmp_path / "in", tmp_path / "back", kinds)


@pytest.mark.parametrize("row", [row for row in TABLE if row.inwards], ids=str)
async def test_made_there_unpacked_here(tmp_path: Path, row: Row) -> None:
    """The engine unpacks the tool's archive to exactly the original tree."""
    kinds = grow(tmp_path / "in", row.inwards)
    password = PASSWORD if row.password else None
    archive = tmp_path / "made by another tool"  # its content decides its type

    await asyncio.to_thread(IN[row.tool], row, tmp_path / "in", kinds, archive, password)
    for number, one in enumerate([archive, *tmp_path.glob("posix-*")]):
        await unpack(one, tmp_path / f"back{number}", password)

        same(row, tmp_path / "in", tmp_path / f"back{number}", kinds)


def test_the_page_shows_this_table() -> None:
    """`python -m tests.shared.archiving.interop_table` writes it."""
    assert interop_table.render() in interop_table.PAGE.read_text()
