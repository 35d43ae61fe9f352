"""The id of a staging, and the path of an archive in it."""

from pathlib import Path
from uuid import UUID

import pytest

from shared.errors import ConfigurationError
from shared.service import stagings


def test_a_staging_gets_one_id(tmp_path: Path) -> None:
    """It is created once, by any service. An id that an older version stored elsewhere stays valid."""
    archives, failed = tmp_path / "archives", tmp_path / "failed"
    for path in (archives, failed):
        path.mkdir()
    assert stagings.read(archives) is None

    made = stagings.ensure(archives, failed)
    assert stagings.read(archives) == stagings.ensure(archives, failed) == made
    (archives / stagings.ID_FILE).rename(failed / stagings.ID_FILE)
    assert stagings.ensure(archives, failed) == made
    assert [path.name for path in archives.iterdir()] == [stagings.ID_FILE]


def test_a_damaged_id_is_named(tmp_path: Path) -> None:
    """It is never replaced: the records of that staging would have no owner."""
    (tmp_path / stagings.ID_FILE).write_text("half an i")

    with pytest.raises(
        ConfigurationError, match=r"\.cs-archiver-staging-id does not hold the id of a staging \(it is 'half an i'\)"
    ):
        stagings.ensure(tmp_path, tmp_path)


JOB = UUID(int=5)


@pytest.mark.parametrize("row", [f"{JOB}/2/Scans.tar.7z", f"/srv/old/storage/archives/{JOB}/2/Scans.tar.7z"])
def test_an_archive_is_found_wherever_its_staging_is_now(row: str) -> None:
    """By its path below the archives directory. Older rows have the absolute path of that time."""
    archives = Path("/new/archives")

    path = stagings.located(archives, row)

    assert path == archives / str(JOB) / "2" / "Scans.tar.7z"
    assert stagings.recorded(archives, path) == f"{JOB}/2/Scans.tar.7z"
