"""Browsing the NAS: below its base, never through links, only while it is mounted."""

import os
from pathlib import Path

import pytest

from services.scanner import browsing
from services.scanner.media import Media
from services.scanner.preview import Previews
from shared.errors import NOT_FOUND, PermanentError, TransientError, Waiting
from shared.files import listing, mount
from shared.files.listing import Wanted
from shared.files.paths import Root
from shared.infra.settings import MediaTools
from shared.service.rpc import AskMedia, AskPreview, Browse, FolderMeasured, MeasureFolder, Place
from tests.services.compressor.trees import small_disk
from tests.services.scanner.station import Station

NAS_ID = "6b1f5f0e-57a3-4b0c-9a49-0a4f1f3f1c11"


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    base = tmp_path / "nas"
    (base / "One/Two/Project").mkdir(parents=True)
    (base / "One/Two/Project/film.mov").write_bytes(b"12345")
    (base / "One/Two/Project/notes.txt").write_bytes(b"67")
    (base / "One/Two/out").symlink_to(tmp_path)
    (tmp_path / "secret").mkdir()
    (base / mount.SENTINEL).write_text(NAS_ID)
    return base


def test_a_folder_is_listed(nas: Path) -> None:
    """Entries have paths below the base. The base hides the service's own file. A link is shown and not followed."""

    def paths(path: str, wanted: Wanted | None = None) -> list[str]:
        return [item.path for item in browsing.browse(nas, NAS_ID, Browse(path, wanted or Wanted())).items]

    assert paths("") == ["One"]
    assert paths("/One/Two/") == ["One/Two/Project", "One/Two/out"]
    assert paths("One", Wanted(q="FILM", deep=True)) == ["One/Two/Project/film.mov"]
    assert browsing.measure(nas, NAS_ID, MeasureFolder("One")) == FolderMeasured(7, 2)
    for wrong in ("One/Two/out", "One/Two/out/secret", "nothing", "One/Two/Project/film.mov"):
        with pytest.raises(PermanentError) as refused:
            paths(wrong)
        assert refused.value.code == NOT_FOUND, wrong
    for wrong in ("..", "One/../..", "One//Two"):
        with pytest.raises(PermanentError):
            paths(wrong)


async def test_another_file_system_below_the_nas_is_not_entered(station: Station, tmp_path: Path) -> None:
    """It is shown as a folder. Its content is not listed, found, added up or read, as everywhere else."""
    nas, catalog = station.base, station.catalog
    nas_id = await catalog.known()
    media, previews = Media(catalog, nas, tmp_path / "workspaces", MediaTools()), Previews(catalog, nas)
    (station.folder / "film.mp4").write_bytes(b"12345")
    before = browsing.measure(nas, nas_id, MeasureFolder("a"))
    with small_disk(nas / "a/b/disk", 1) as mounted:
        (nas / "a/b/disk/inside").mkdir()
        (nas / "a/b/disk/film.mp4").write_bytes(b"x" * 100)
        if not mounted:  # no right to mount here: an ordinary folder
            assert browsing.measure(nas, nas_id, MeasureFolder("a/b/disk")).total_bytes == 100
            return
        assert "a/b/disk" in [item.path for item in browsing.browse(nas, nas_id, Browse("a/b", Wanted())).items]
        assert browsing.browse(nas, nas_id, Browse("", Wanted(q="film.mp4", deep=True))).total == 1
        assert browsing.measure(nas, nas_id, MeasureFolder("a")) == before
        for path in ("a/b/disk", "a/b/disk/inside"):
            with pytest.raises(PermanentError, match="another file system") as refused:
                browsing.browse(nas, nas_id, Browse(path, Wanted()))
            assert refused.value.code == NOT_FOUND
        with pytest.raises(PermanentError, match="another file system"):
            await media.info(AskMedia(place=Place(root=Root.NAS, path="a/b/disk/film.mp4")))
        with pytest.raises(PermanentError, match="another file system"):
            await previews.answer(AskPreview(path=str(nas / "a/b/disk")))


def test_an_unmounted_nas_is_waited_for(nas: Path) -> None:
    """An empty mount point is not an empty folder."""
    (nas / mount.SENTINEL).unlink()
    with pytest.raises(Waiting):
        browsing.browse(nas, NAS_ID, Browse("", Wanted()))
    with pytest.raises(Waiting):
        browsing.measure(nas.parent / "none", NAS_ID, MeasureFolder(""))


def test_limits(nas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search ends after a maximum of matches and says so, a page fits into a message, and adding up has a limit."""
    for number in range(30):
        (nas / f"{number:02} {'x' * 200}").touch()
    monkeypatch.setattr(listing, "MOST_MATCHES", 10)
    page = browsing.browse(nas, NAS_ID, Browse("", Wanted(deep=True)))
    assert (len(page.items), page.complete) == (10, False)
    monkeypatch.setattr(listing, "_MOST_BYTES", 5000)
    page = browsing.browse(nas, NAS_ID, Browse("", Wanted()))
    assert 0 < len(page.items) < 31 == page.total
    monkeypatch.setattr(browsing, "_MEASURE_SECONDS", -1.0)
    with pytest.raises(TransientError):
        browsing.measure(nas, NAS_ID, MeasureFolder(""))


def test_what_may_not_be_read_is_said(nas: Path) -> None:
    """A folder without permissions gives a sentence, not a defect."""
    closed = nas / "closed"
    closed.mkdir()
    closed.chmod(0)
    if os.access(closed, os.R_OK):  # root reads everything
        assert browsing.browse(nas, NAS_ID, Browse("closed", Wanted())).items == []
        return
    with pytest.raises(PermanentError):
        browsing.browse(nas, NAS_ID, Browse("closed", Wanted()))
