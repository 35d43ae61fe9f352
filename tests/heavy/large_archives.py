"""A file of more than 4 GiB in every format, where sizes exceed 32 bits: made here and read there, made there and read here.

`make test-heavy` runs it. Its name keeps it out of an ordinary run. Streams are compared by digest, which needs little disk.
"""

import hashlib
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.archiving.contents import CREATED
from shared.archiving.formats import Format
from shared.archiving.sevenzip import find_binary
from tests.shared.archiving.trees import make, unpack

pytestmark = pytest.mark.timeout(3600)
SEVEN = str(find_binary(None))
SIZE = (4 << 30) + (1 << 20) + 1
_BLOCK = 1 << 20
_RANDOM = 1 << 14  # of each block: 64 to 1, so that every format is fast and the limit of 200 to 1 is far away
PACKERS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz -T0 -1", "zst": "zstd -q"}


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose `tree` holds the big file and a small one."""
    base = tmp_path_factory.mktemp("big")
    (base / "tree").mkdir()
    (base / "tree" / "small").write_bytes(b"small")
    with (base / "tree" / "big").open("wb") as file:
        left = SIZE
        while left:
            block = (os.urandom(_RANDOM) + bytes(_BLOCK - _RANDOM))[:left]
            file.write(block)
            left -= len(block)
    yield base
    shutil.rmtree(base)


def digest(*argv: str | Path) -> str:
    """Return the SHA-256 of a program's stdout."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = hashlib.sha256()
        while block := process.stdout.read(_BLOCK):
            found.update(block)
    assert process.returncode == 0, argv
    return found.hexdigest()


def outside(form: Format, archive: Path) -> str:
    """Return the digest of the big file, as another program reads it from our archive."""
    if form is Format.ZIP:
        return digest("unzip", "-p", archive, "tree/big")
    if form is Format.SEVENZIP:
        return digest(SEVEN, "x", "-so", "-bsp0", archive, "tree/big")
    packer = PACKERS.get(form.compression, "cat").split()[0]
    return digest(
        "sh", "-c", '"$1" -dc "$2" | tar -xO tree/big' if form.compression else 'tar -xOf "$2" tree/big', "sh", packer, archive
    )


def from_outside(form: Format, base: Path, archive: Path) -> None:
    """Create an archive of the tree with another program."""
    if form is Format.ZIP:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
            made.write(base / "tree" / "small", "tree/small")
            made.write(base / "tree" / "big", "tree/big")
    elif form is Format.SEVENZIP:
        subprocess.run([SEVEN, "a", "-mx1", "-bso0", "-bsp0", archive, "tree"], cwd=base, check=True)
    else:
        packer = PACKERS.get(form.compression, "cat")
        subprocess.run(["sh", "-c", f'tar -c tree | {packer} > "$1"', "sh", archive], cwd=base, check=True)


@pytest.mark.parametrize("form", CREATED)
async def test_more_than_4_gib(big: Path, tmp_path: Path, form: Format) -> None:
    """Made here: proven, read by the other program, unpacked here. Made there: unpacked here. The bytes are always equal."""
    expected = digest("cat", big / "tree" / "big")

    made, _ = await make(big, [b"tree"], tmp_path / "out", form)
    assert outside(form, made[0]) == expected
    await back(made[0], tmp_path / "target", expected)
    made[0].unlink()

    archive = tmp_path / f"theirs.{form}"
    from_outside(form, big, archive)
    await back(archive, tmp_path / "target", expected)


async def back(archive: Path, target: Path, expected: str) -> None:
    done = await unpack(archive, target)

    assert (done.files, done.total_bytes) == (2, SIZE + 5)
    assert digest("cat", target / "tree" / "big") == expected

    shutil.rmtree(target)
