"""Ask a child process about one media file: its limits, and the meaning of its exit.

The child (shared/media/probe.py) gets one open file and nothing else. A hostile file can affect only the child: its time,
processor time, memory and number of files are limited, and it may write nothing (docs/media.md). It answers one question and
ends. Starting takes most of its time, so frequent callers let `Readers` keep one started child waiting.
"""

import asyncio
import importlib.util
import json
import os
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any, Self

from shared import units
from shared.errors import ConfigurationError, PermanentError
from shared.files import handles
from shared.files.children import Children, Outcome
from shared.media import limits, reading, times
from shared.media.model import MediaInfo, Picture

NOT_MEDIA = "not-media"
"""Code of a refusal: the content is no media format that we know (this includes playlists that name other files)."""
DAMAGED = "damaged"
"""Code of a refusal: the content is damaged media."""
NO_VIDEO = "no-video"
"""Code of a refusal: there is no picture to show."""
TOO_BIG = "too-big"
"""Code of a refusal: it needs more memory or pixels than one file may use."""
TOO_LONG = "too-long"
"""Code of a refusal: it needs more time than one file may use."""
CODES = (NOT_MEDIA, DAMAGED, NO_VIDEO, TOO_BIG, TOO_LONG)

_GRACE_S = 0.5
_CLAMPED = "The film ends before {asked}: this is its last picture, at {shown}."
_COVER = "This file has no film; this is its cover."


@dataclass(frozen=True)
class Cost:
    """What one question may cost; docs/media.md explains the figures."""

    timeout_s: float = limits.TIMEOUT_S
    cpu_s: int = limits.CPU_S
    memory_bytes: int = limits.MEMORY_BYTES

    def of_child(self) -> dict[int, int]:
        return {
            resource.RLIMIT_AS: self.memory_bytes,
            resource.RLIMIT_CPU: self.cpu_s,
            resource.RLIMIT_NOFILE: limits.OPEN_FILES,
            resource.RLIMIT_FSIZE: 0,
            resource.RLIMIT_CORE: 0,
        }


@dataclass(frozen=True)
class Shape:
    """The size and format of the images to make. size: (width, height) in pixels; -1 keeps the proportions."""

    size: tuple[int, int] = (320, -1)
    format: limits.ImageFormat = "jpg"

    def of_width(self, width: int | None) -> "Shape":
        """Return the same shape with another width; the height follows from the proportions."""
        return self if width is None else Shape((width, -1), self.format)

    def of_format(self, kind: limits.ImageFormat | None) -> "Shape":
        """Return the same shape with another image format."""
        return self if kind is None else Shape(self.size, kind)


class _Child:
    """A started process that waits for its one question."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._said = bytearray()
        self._line, self._theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self.life = asyncio.create_task(self._live())
        self.life.add_done_callback(self._close)

    async def _live(self) -> Outcome:
        return await Children().run(
            [sys.executable, "-I", "-m", "shared.media.probe", str(self._theirs.fileno())],
            on_stdout=self._said.extend,
            env={"PATH": "/usr/bin:/bin"},
            pass_fds=(self._theirs.fileno(),),
            limits=self._cost.of_child(),
            grace_s=_GRACE_S,
        )

    def _close(self, _: object) -> None:
        self._line.close()
        self._theirs.close()

    async def ask(self, question: dict[str, Any], handle: int) -> tuple[dict[str, Any], bytes]:
        """Return its document and image. Raises PermanentError with one of CODES."""
        # Open the file again: the same open file would share its position with every other child that reads it.
        own = os.open(handles.path_of(handle), os.O_RDONLY | os.O_CLOEXEC)
        try:
            socket.send_fds(self._line, [json.dumps(question).encode()], [own])
        finally:
            os.close(own)
        try:
            async with asyncio.timeout(self._cost.timeout_s):
                ended = await self.life
        except TimeoutError:
            raise PermanentError(
                f"Reading this file takes longer than {units.duration(self._cost.timeout_s)}; it was given up.", TOO_LONG
            ) from None
        _check(ended, self._cost)
        length = int.from_bytes(self._said[:4], "big")
        document = json.loads(self._said[4 : 4 + length])
        if "refused" in document:
            raise PermanentError(document["message"], document["refused"])
        return document, bytes(self._said[4 + length :])


def check_installed() -> None:
    """Raise ConfigurationError, with what to install, when the media library is missing."""
    if importlib.util.find_spec("av") is None:
        raise ConfigurationError("The media library is missing: install the package av, then start again.")


class Readers:
    """Starts a child for every question. Within `async with`, it keeps one child ready from the first question on.

    A waiting child sleeps, and neither its time limit nor its processor limit runs.
    """

    def __init__(self, cost: Cost = Cost()) -> None:
        self._cost = cost
        self._open = False
        self._spare: _Child | None = None

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        if self._spare is not None:
            self._spare.life.cancel()
            await asyncio.wait({self._spare.life})

    async def ask(self, question: dict[str, Any], handle: int) -> tuple[dict[str, Any], bytes]:
        """Return a child's answer about the open file: document and image. Raises PermanentError with one of CODES."""
        child, self._spare = self._spare, None
        if child is None or child.life.done():
            child = _Child(self._cost)
        try:
            return await child.ask(question, handle)
        finally:
            child.life.cancel()  # a child without a question would wait permanently
            if self._open and self._spare is None:
                self._spare = _Child(self._cost)


COLD = Readers()
"""For callers with a single question."""


def _check(ended: Outcome, cost: Cost) -> None:
    """Check a child that ended without an answer. Raises PermanentError."""
    if ended.returncode == 0:
        return
    if ended.returncode in {-signal.SIGXCPU, -signal.SIGKILL}:
        raise PermanentError(
            f"Reading this file takes more than {units.duration(cost.cpu_s)} of processor time; it was given up.", TOO_LONG
        )
    if ended.returncode < 0:
        raise PermanentError(f"This file made its reader crash (signal {-ended.returncode}): it is damaged.", DAMAGED)
    if b"MemoryError" in ended.stderr or b"Cannot allocate memory" in ended.stderr:
        raise PermanentError("Reading this file takes more memory than a media file may cost.", TOO_BIG)
    raise PermanentError(f"This file cannot be read: {ended.complaint()}", DAMAGED)


async def info(handle: int, name: str, *, brief: bool = False, readers: Readers = COLD) -> MediaInfo:
    """Describe the open file. Raises PermanentError with one of CODES."""
    document, _ = await readers.ask({"do": "info", "measure": not brief}, handle)
    return reading.read(document, name=name, size=os.fstat(handle).st_size, brief=brief)


async def thumbnail(handle: int, at_s: float, shape: Shape, *, readers: Readers = COLD) -> Picture:
    """Return the picture at `at_s` seconds; past the end the last one, with a notice. Raises PermanentError with one of CODES."""
    question = {"do": "thumbnail", "at": at_s, "size": shape.size, "format": shape.format}
    document, image = await readers.ask(question, handle)
    shown = times.show(document["seconds"][0])
    notice = {"clamped": _CLAMPED.format(asked=times.show(at_s), shown=shown), "cover": _COVER}.get(document["notice"], "")
    return _picture(document, image, notice)


async def contact_sheet(handle: int, frames: int, columns: int, shape: Shape, *, readers: Readers = COLD) -> Picture:
    """Return one image of `frames` pictures from the whole video, each of `shape`. Raises PermanentError with one of CODES."""
    question = {"do": "contact_sheet", "frames": frames, "columns": columns, "size": shape.size, "format": shape.format}
    document, image = await readers.ask(question, handle)
    return _picture(document, image, "")


def _picture(document: dict[str, Any], image: bytes, notice: str) -> Picture:
    if len(image) > limits.IMAGE_BYTES:
        raise PermanentError(f"The image would be larger than {units.size(limits.IMAGE_BYTES)}: ask for a smaller width.", TOO_BIG)
    return Picture(image=image, notice=notice, **{name: document[name] for name in ("media_type", "width", "height", "seconds")})
