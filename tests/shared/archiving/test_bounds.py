"""Making an archive never writes more than was reserved for it."""

import os
from pathlib import Path

import pytest

from shared.archiving import contents, engine, space
from shared.archiving.contents import Contents
from shared.archiving.engine import CreateSpec
from shared.archiving.formats import Format
from shared.files import manifest
from shared.files.children import Children
from shared.files.manifest import ArchiveFacts, Manifest
from tests.shared.archiving.trees import nothing

_FILES = 20_000


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contents]:
    """Very many empty and tiny files with long names, one incompressible file, a link, and a name that needs escapes."""
    base = tmp_path_factory.mktemp("crowd")
    folder = base / "Größe und mehr"
    folder.mkdir()
    for number in range(_FILES):
        path = folder / f"{number:05}{'ä' * 60}{'x' * 100}"
        path.touch() if number % 2 else path.write_bytes(b"%05d" % number)
    (folder / "noise").write_bytes(os.urandom(3 << 20))
    (folder / os.fsdecode(b"\x01\x02\xe9" * 60)).symlink_to("y" * 900)
    return base, contents.manifest(base, [os.fsencode(folder.name)], lambda: None, lambda _: None, sha256=True)


@pytest.mark.parametrize(
    ("form", "level", "password"),
    [
        (Format.ZIP, 1, "secret"),
        (Format.SEVENZIP, 0, "secret"),
        (Format.TAR, 0, None),
    ],
)
async def test_very_many_tiny_files(
    crowd: tuple[Path, Contents], tmp_path: Path, form: Format, level: int, password: str | None
) -> None:
    """Their headers are most of the archive. Reserving only their bytes would not have been enough."""
    base, held = crowd
    spec = CreateSpec(format=form, level=level, password=password)
    (made,) = await engine.create(base, [held.entries[0].path], tmp_path, f"a.{form}", spec, Children(), nothing)
    document, archive = Manifest("a", "/a", held.entries, []), ArchiveFacts("a", 1, "0" * 64, "0" * 32)
    sidecar, _ = manifest.write_sidecar(tmp_path / "sidecar", document, archive, "0" * 36, 1)
    written = made.stat().st_size + sidecar.size

    assert written > held.total_bytes
    assert written <= space.making_bytes(form, held.entries)
