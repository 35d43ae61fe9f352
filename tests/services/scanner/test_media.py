"""The scanner's answers about media: opened by handle, cached for a while, at most two files at a time."""

import asyncio
import os
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from services.scanner import media
from services.scanner.media import Cache, Media
from shared.errors import NOT_FOUND, PermanentError, Waiting
from shared.files.paths import Root
from shared.infra.settings import MediaTools
from shared.media.reader import TOO_LONG, Cost, Readers
from shared.service.rpc import AskMedia, AskPicture, Place
from tests.services.scanner.station import Station

FILM = "a/b/Project/film.mp4"


@pytest.fixture
def desk(station: Station, films: Path, tmp_path: Path) -> Media:
    shutil.copyfile(films / "h264.mp4", station.folder / "film.mp4")
    return Media(station.catalog, station.base, tmp_path / "workspaces", MediaTools())


def on_nas(path: str = FILM) -> Place:
    return Place(root=Root.NAS, path=path)


async def test_a_second_question_costs_nothing(desk: Media, station: Station) -> None:
    """When the file changes, it is read again and its version changes."""
    first = await desk.info(AskMedia(place=on_nas()))
    desk._readers = Readers(Cost(timeout_s=0.001))  # starting a child is refused from now on
    again = await desk.info(AskMedia(place=on_nas()))

    assert again == first
    os.utime(station.folder / "film.mp4", ns=(0, 0))
    with pytest.raises(PermanentError) as refused:
        await desk.info(AskMedia(place=on_nas()))
    assert refused.value.code == TOO_LONG
    desk._readers = Readers()
    changed = await desk.info(AskMedia(place=on_nas()))
    assert (changed.info, changed.version == first.version) == (first.info, False)


async def test_an_image_the_asker_has_is_not_sent(desk: Media) -> None:
    """Only its version is sent."""
    made = await desk.thumbnail(AskPicture(place=on_nas(), at_s=1.0))
    again = await desk.thumbnail(AskPicture(place=on_nas(), at_s=1.0, known=[made.version]))

    assert made.image
    assert (again.image, again.version) == (b"", made.version)


async def test_many_who_ask_the_same_wait_for_one_child(desk: Media) -> None:
    """Twenty requests at once: one answer, computed once."""
    answers = await asyncio.gather(*(desk.thumbnail(AskPicture(place=on_nas(), at_s=0.5)) for _ in range(20)))

    assert len({answer.image for answer in answers}) == 1
    assert len(desk._cache._kept) == 1


async def test_links_lead_nowhere(desk: Media, station: Station, tmp_path: Path) -> None:
    """Neither for the file nor on the path to it. A folder is not a file, and another user's workspace has no path."""
    secret = tmp_path / "secret"
    secret.mkdir()
    shutil.copyfile(station.folder / "film.mp4", secret / "film.mp4")
    (station.folder / "link.mp4").symlink_to(secret / "film.mp4")
    (station.folder / "way").symlink_to(secret)
    os.mkfifo(station.folder / "pipe.mp4")
    for path in ("a/b/Project/link.mp4", "a/b/Project/way/film.mp4", "a/b/Project", "a/b/Project/pipe.mp4", "missing.mp4"):
        with pytest.raises(PermanentError) as refused:
            await desk.info(AskMedia(place=on_nas(path)))
        assert refused.value.code == NOT_FOUND, path
    with pytest.raises(PermanentError):
        await desk.info(AskMedia(place=on_nas("../secret/film.mp4")))
    with pytest.raises(PermanentError) as nobody:
        await desk.info(AskMedia(place=Place(root=Root.WORKSPACE, path="film.mp4", owner=uuid4())))
    assert nobody.value.code == NOT_FOUND


async def test_an_unmounted_nas_is_waited_for(desk: Media, station: Station) -> None:
    """The empty mount point is not the NAS."""
    station.unmount()

    with pytest.raises(Waiting):
        await desk.info(AskMedia(place=on_nas()))


@pytest.mark.parametrize(
    "question", [AskPicture(place=on_nas(), width=4), AskPicture(place=on_nas(), width=4000), AskPicture(place=on_nas(), at_s=-1)]
)
async def test_impossible_pictures(desk: Media, question: AskPicture) -> None:
    """The scanner itself refuses them, for every client."""
    with pytest.raises(PermanentError):
        await desk.thumbnail(question)


async def test_the_memory_of_answers_is_bounded() -> None:
    """The least recently requested answer is removed first. Refusals are not cached."""
    cache: Cache[str] = Cache(most_bytes=30)
    made: list[str] = []

    async def make(key: str) -> str:
        async def work() -> str:
            made.append(key)
            return key * 10

        return await cache.get(key, work, len)

    for key in ("a", "b", "c", "a", "d", "b"):  # d evicts b, the oldest; then b evicts c
        await make(key)
    assert (made, cache.bytes) == (["a", "b", "c", "d", "b"], 30)

    async def refuse() -> str:
        made.append("refused")
        raise PermanentError("no")

    for _ in range(2):
        with pytest.raises(PermanentError):
            await cache.get("x", refuse, len)
    assert made.count("refused") == 2


async def test_who_waits_too_long_is_told(desk: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    """All slots are taken: retry later."""
    monkeypatch.setattr(media, "_QUEUE_S", 0.05)
    for _ in range(media.AT_ONCE):
        await desk._slots.acquire()

    with pytest.raises(Waiting, match="Many media files"):
        await desk.info(AskMedia(place=on_nas()))
