"""Preview a folder before it is archived: by the pre-flight rules, in bounded lists, reported while the walk runs."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from services.scanner import preview
from services.scanner.preview import Previews
from shared.errors import NOT_FOUND, Cancelled, PermanentError, Waiting
from shared.files import handles, preflight
from shared.service.rpc import AskPreview, FolderSeen
from tests.services.scanner.station import Station

DEADLINE_S = 60.0


@pytest.fixture
def previews(station: Station) -> Previews:
    return Previews(station.catalog, station.base)


async def complete(previews: Previews, path: Path, **more: bool) -> FolderSeen:
    """Ask until everything has been seen."""
    end = time.monotonic() + DEADLINE_S
    seen = await previews.answer(AskPreview(path=str(path), **more))
    while not seen.complete:
        assert time.monotonic() < end, seen
        seen = await previews.answer(AskPreview(path=str(path), wait_s=1.0))
    return seen


async def test_refusals_and_warnings_are_those_of_the_preflight(station: Station, previews: Previews) -> None:
    """Word for word: both use shared/files/tree_scan.py."""
    os.mkfifo(station.folder / "pipe")
    (station.folder / "new\nline").write_bytes(b"x")
    (station.folder / "out").symlink_to("/etc/passwd")
    os.link(station.folder / "one", station.folder / "same")
    seen = await complete(previews, station.folder)
    with handles.root(station.folder) as root:
        report = preflight.preflight(root, station.folder.name.encode(), lambda: None)

    assert seen.refusals == report.refusals
    assert set(seen.warnings) == set(report.warnings)
    assert (seen.file_count, seen.total_bytes) == (report.file_count, report.total_bytes)


async def test_types_largest_and_tree(station: Station, previews: Previews) -> None:
    """File endings in lower case. Content below two levels counts to its second-level folder."""
    for name, size in (("x/A.JPG", 10), ("x/b.jpg", 20), ("x/y/z/c.raw", 500), ("noending", 5), (".hidden", 1)):
        path = station.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    seen = await complete(previews, station.folder)

    kinds = {kind.type: (kind.file_count, kind.size_bytes) for kind in seen.types}
    assert (kinds["jpg"], kinds["raw"]) == ((2, 30), (1, 500))
    assert kinds[""][0] == 4  # one, deep/two, noending, .hidden
    assert (seen.largest[0].path, seen.largest[0].size_bytes) == ("x/y/z/c.raw", 500)
    tree = {branch.path: (branch.depth, branch.file_count, branch.size_bytes) for branch in seen.tree}
    assert (tree["x"], tree["x/y"], seen.tree_complete) == ((1, 3, 530), (2, 1, 500), True)
    assert "x/y/z" not in tree


async def test_lists_are_bounded(station: Station, previews: Previews, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds for any number of folders and endings. One line sums up the rest and says that something was left out."""
    monkeypatch.setattr(preview, "_MOST_BRANCHES", 50)
    for number in range(150):
        place = station.folder / f"d{number}"
        place.mkdir()
        (place / f"f.e{number}").write_bytes(b"x")
    seen = await complete(previews, station.folder)

    assert (len(seen.types), len(seen.largest), len(seen.tree), seen.tree_complete) == (26, 10, 50, False)
    assert sum(kind.file_count for kind in seen.types) == seen.file_count


async def test_the_length_of_media(station: Station, previews: Previews, films: Path) -> None:
    """It is added up; a damaged film counts as unreadable. Each file has its quality and problems."""
    for name in ("h264.mp4", "sound.flac", "headless.mp4"):
        shutil.copyfile(films / name, station.folder / name)
    seen = await complete(previews, station.folder)
    media = seen.media

    films_seen = {film.path: film for film in seen.films}
    assert films_seen["h264.mp4"].quality is not None
    assert films_seen["h264.mp4"].resolution is not None
    assert (films_seen["sound.flac"].quality, films_seen["sound.flac"].warnings) == (None, [])
    assert (films_seen["headless.mp4"].quality, len(films_seen["headless.mp4"].warnings)) == (None, 1)
    assert seen.films[0].warnings, "those with warnings come first"
    assert (media.file_count, media.measured_count, media.unreadable_count) == (3, 3, 1)
    assert media.duration_seconds == pytest.approx(4.0, abs=0.1)


async def test_a_big_folder_answers_at_once_and_goes_on(
    station: Station, previews: Previews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer waits for nothing. The figures only grow, and the last answer is complete."""
    real, answered = preview.Look.go_on, threading.Event()

    def go_on(look: preview.Look) -> None:
        """However fast the machine is, the first answer comes before the walk has ended."""
        real(look)
        assert answered.wait(DEADLINE_S)

    monkeypatch.setattr(preview.Look, "go_on", go_on)
    for number in range(20):
        place = station.folder / f"d{number}"
        place.mkdir()
        for name in range(100):
            (place / str(name)).touch()
    first = await previews.answer(AskPreview(path=str(station.folder), wait_s=0))
    answered.set()
    last = await complete(previews, station.folder)

    assert (first.complete, last.complete) == (False, True)
    assert first.file_count <= last.file_count == 2002
    assert last.folder_count == 21


async def test_a_look_is_fresh_for_a_while(station: Station, previews: Previews) -> None:
    """A new look runs only on request."""
    before = await complete(previews, station.folder)
    station.put("later")

    assert (await complete(previews, station.folder)).file_count == before.file_count
    assert (await complete(previews, station.folder, refresh=True)).file_count == before.file_count + 1


async def test_what_nobody_asks_for_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk stops when nobody asks for it any more."""
    monkeypatch.setattr(preview, "FORGOTTEN_S", -1.0)

    with pytest.raises(Cancelled):
        preview.Look("/nas/a/b/c").go_on()


async def test_what_cannot_be_looked_into(station: Station, previews: Previews) -> None:
    """A missing folder, a path at the wrong level, an unmounted NAS."""
    with pytest.raises(PermanentError) as refused:
        await previews.answer(AskPreview(path=str(station.base / "a/b/Missing")))
    assert refused.value.code == NOT_FOUND
    with pytest.raises(PermanentError):
        await previews.answer(AskPreview(path=str(station.base / "a")))
    station.unmount()
    with pytest.raises(Waiting):
        await previews.answer(AskPreview(path=str(station.folder)))
