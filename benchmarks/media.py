"""Facts about a media file, compared with `ffprobe -of json`. Each side runs a separate process, in turn."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Beside, Figure, Options
from benchmarks.stack import Stack
from shared.media import reader
from shared.media.reader import COLD, Readers

FILES = 5
_FFPROBE = ("-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters")
_PAUSE_S = 0.5
"""Pause after each answer of the waiting child, because the start of the next child would slow the measurement."""


def run(options: Options, place: Path, _: Stack) -> Iterator[Figure]:
    """Yield the ratios for a film of two streams. Needs Debian's ffmpeg, which makes the film and is the reference.

    Measures a child started for each request (`--local`), and the child that waits in a running scanner.
    """
    film = place / "film.mkv"
    source = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=5", "-f", "lavfi", "-i", "sine=duration=5")
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *source, "-c:v", "libx264", "-preset", "ultrafast", str(film)], check=True)
    theirs, cold, waiting = asyncio.run(_rounds(options.rounds, film))
    film.unlink()
    yield Beside("media info, one file, from start to end", cold, theirs, "ffprobe -of json")
    yield Beside("media info, one file, in a running scanner", waiting, theirs, "ffprobe -of json")


async def _rounds(rounds: int, film: Path) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds per file of each round: ffprobe, a new child, a waiting child. The first round does not count."""
    command = [shutil.which("ffprobe") or "ffprobe", *_FFPROBE, str(film)]
    figures: list[list[float]] = [[], [], []]
    async with Readers() as readers:
        for number in range(rounds + 1):
            sums = [0.0, 0.0, 0.0]
            for _ in range(FILES):
                began = time.monotonic()
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: ASYNC221 - alone
                sums[0] += time.monotonic() - began
                sums[1] += await _asked(COLD, film)
                sums[2] += await _asked(readers, film)
                await asyncio.sleep(_PAUSE_S)
            if number:
                for figure, total in zip(figures, sums, strict=True):
                    figure.append(total / FILES)
    return figures[0], figures[1], figures[2]


async def _asked(readers: Readers, film: Path) -> float:
    began = time.monotonic()
    handle = os.open(film, os.O_RDONLY)
    try:
        assert (await reader.info(handle, film.name, readers=readers)).video_streams
    finally:
        os.close(handle)
    return time.monotonic() - began
