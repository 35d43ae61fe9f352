"""Answer requests about media files on the NAS and in workspaces. Files are opened by handle and read by a limited child.

Answers are cached for a while.
"""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import msgspec

from services.scanner import browsing
from services.scanner.catalog import Catalog
from shared.errors import NOT_FOUND, PermanentError, Waiting
from shared.files import handles, paths
from shared.files.paths import Root
from shared.infra.bus import Bus
from shared.infra.settings import MediaTools
from shared.media import limits, reader
from shared.media.model import MediaInfo, Picture
from shared.media.reader import Readers, Shape
from shared.service.rpc import AskMedia, AskPicture, MediaAnswer, PictureAnswer, Place

A = TypeVar("A")

CACHE_BYTES = 32 << 20
AT_ONCE = 2
"""The number of children that read media at the same time. Users' requests must not starve the archive jobs."""
_QUEUE_S = 20.0


class Cache(Generic[A]):
    """The last answers, as many as fit into `most_bytes`. A caller who asks for an answer that is being made waits for it.

    A key contains the file's size, time and inode, so a changed file has another key. Errors are not cached.
    """

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[Any, tuple[A, int]] = OrderedDict()
        self._making: dict[Any, asyncio.Task[A]] = {}
        self.bytes = 0

    async def get(self, key: Any, make: Callable[[], Awaitable[A]], weigh: Callable[[A], int]) -> A:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        if key not in self._making:
            task = asyncio.ensure_future(make())
            self._making[key] = task
            task.add_done_callback(lambda done: self._made(key, done, weigh))
        return await asyncio.shield(self._making[key])

    def _made(self, key: Any, done: "asyncio.Future[A]", weigh: Callable[[A], int]) -> None:
        self._making.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        size = weigh(done.result())
        self._kept[key] = (done.result(), size)
        self.bytes += size
        while self.bytes > self._most:
            _, (_, freed) = self._kept.popitem(last=False)
            self.bytes -= freed


class Media:
    """The answers of one scanner. Raises PermanentError (codes of `reader.CODES`, "not-found") and Waiting."""

    def __init__(self, catalog: Catalog, base: Path, workspaces: Path, tools: MediaTools, readers: Readers = reader.COLD) -> None:
        self._catalog = catalog
        self._base = base
        self._workspaces = workspaces
        width, height = map(int, tools.thumbnail_size.split(":"))
        self._shape = Shape((width, height), cast("limits.ImageFormat", tools.thumbnail_format))
        self._readers = readers
        self._cache: Cache[Any] = Cache()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def info(self, question: AskMedia) -> MediaAnswer:
        """Return information about the file."""
        place, version = question.place, await self._version(question.place)
        name = place.path.rsplit("/", 1)[-1]

        async def make() -> MediaInfo:
            return await self._read(place, lambda handle: reader.info(handle, name, brief=question.brief, readers=self._readers))

        key = ("info", version, name, question.brief)
        return MediaAnswer(info=await self._cache.get(key, make, lambda info: len(msgspec.json.encode(info))), version=version)

    async def thumbnail(self, question: AskPicture) -> PictureAnswer:
        """Return one picture of the film."""
        shape = self._shape.of_width(_within(question.width, *limits.WIDTH, "width")).of_format(question.format)
        if not 0 <= question.at_s < 1_000_000:
            raise PermanentError("The time must be from 0 seconds to 277 hours.")

        def ask(handle: int) -> Awaitable[Picture]:
            return reader.thumbnail(handle, question.at_s, shape, readers=self._readers)

        return await self._picture(question, ("thumbnail", question.at_s, shape), ask)

    async def contact_sheet(self, question: AskPicture) -> PictureAnswer:
        """Return pictures from all over the film."""
        frames = _within(question.frames, *limits.SHEET_FRAMES, "frames") or 0
        columns = _within(question.columns, *limits.SHEET_COLUMNS, "columns") or 0
        shape = self._shape.of_width(_within(question.width, *limits.SHEET_WIDTH, "width")).of_format(question.format)

        def ask(handle: int) -> Awaitable[Picture]:
            return reader.contact_sheet(handle, frames, columns, shape, readers=self._readers)

        return await self._picture(question, ("contact_sheet", frames, columns, shape), ask)

    async def _picture(
        self, question: AskPicture, what: tuple[Any, ...], ask: Callable[[int], Awaitable[Picture]]
    ) -> PictureAnswer:
        file = await self._version(question.place)
        version = hashlib.sha256(repr((file, what)).encode()).hexdigest()[:32]

        async def make() -> Picture:
            return await self._read(question.place, ask)

        made: Picture = await self._cache.get((version, *what), make, lambda picture: len(picture.image))
        return PictureAnswer(
            version=version,
            image=b"" if version in question.known else made.image,
            media_type=made.media_type,
            width=made.width,
            height=made.height,
            seconds=made.seconds,
            notice=made.notice,
        )

    async def _version(self, place: Place) -> str:
        """Return a text that changes whenever the file does, made from path, size, times and inode."""
        sentinel = await self._catalog.known() if place.root is Root.NAS else None

        def look() -> str:
            with self._opened(place, sentinel) as handle:
                found = os.fstat(handle)
            told = (place.root, place.owner, place.path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
            return hashlib.sha256(repr(told).encode()).hexdigest()[:32]

        return await asyncio.to_thread(look)

    async def _read(self, place: Place, ask: Callable[[int], Awaitable[A]]) -> A:
        """Open the file and ask a child about it; at most AT_ONCE run at a time. Raises Waiting when all stay busy."""
        sentinel = await self._catalog.known() if place.root is Root.NAS else None
        try:
            async with asyncio.timeout(_QUEUE_S):
                await self._slots.acquire()
        except TimeoutError:
            raise Waiting("Many media files are being read now. Try again in a moment.", 5.0) from None
        try:
            with self._opened(place, sentinel) as handle:
                return await ask(handle)
        finally:
            self._slots.release()

    @contextmanager
    def _opened(self, place: Place, sentinel: str | None) -> Iterator[int]:
        """Open the file. Raises PermanentError "not-found" when no regular file has that path, Waiting without the NAS."""
        path = paths.plain(place.path)
        above, _, name = path.rpartition("/")
        with ExitStack() as stack:
            if place.root is Root.NAS:
                folder = stack.enter_context(browsing.opened(self._base, str(sentinel), above))
            else:
                if place.owner is None:
                    raise PermanentError("Whose workspace is not said.")
                folder = stack.enter_context(paths.opened(paths.workspace(self._workspaces, place.owner), above))
            yield stack.enter_context(_file(folder, name, path))


@contextmanager
def _file(folder: int, name: str, path: str) -> Iterator[int]:
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(handles.file(folder, os.fsencode(name)))
        except OSError as exc:
            raise PermanentError(f"There is no file {path}, or it may not be read: {exc.strerror}.", NOT_FOUND) from exc
        except PermanentError as exc:
            raise PermanentError(f"{path} is no file.", NOT_FOUND) from exc
        yield handle


def _within(value: int | None, low: int, high: int, name: str) -> int | None:
    if value is not None and not low <= value <= high:
        raise PermanentError(f"{name} must be from {low} to {high}.")
    return value


async def serve(bus: Bus, media: Media) -> None:
    """Answer requests about media from now on."""

    async def info(question: bytes) -> MediaAnswer:
        return await media.info(msgspec.json.decode(question, type=AskMedia))

    async def thumbnail(question: bytes) -> PictureAnswer:
        return await media.thumbnail(msgspec.json.decode(question, type=AskPicture))

    async def contact_sheet(question: bytes) -> PictureAnswer:
        return await media.contact_sheet(msgspec.json.decode(question, type=AskPicture))

    await bus.serve("media_info", info)
    await bus.serve("thumbnail", thumbnail)
    await bus.serve("contact_sheet", contact_sheet)
