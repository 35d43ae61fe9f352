"""Facts about a media file, beside `ffprobe -of json`, each a process of its own, in turn."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figures import Beside, Figure, Options
from benchmarks.stack import Stack
from shared.media import reader

FILES = 5
_FFPROBE = ("-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters")


def run(options: Options, place: Path, _: Stack) -> Iterator[Figure]:
    """Yield the ratio for a film of two streams; needs Debian's ffmpeg, which makes the film and is the reference."""
    film = place / "film.mkv"
    source = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=5", "-f", "lavfi", "-i", "sine=duration=5")
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *source, "-c:v", "libx264", "-preset", "ultrafast", str(film)], check=True)
    command = [shutil.which("ffprobe") or "ffprobe", *_FFPROBE, str(film)]

    def ours() -> None:
        handle = os.open(film, os.O_RDONLY)
        try:
            assert asyncio.run(reader.info(handle, film.name)).video_streams
        finally:
            os.close(handle)

    def theirs() -> None:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    product, reference = list[float](), list[float]()
    for number in range(options.rounds + 1):
        times = [_seconds(theirs), _seconds(ours)]
        if number:
            reference.append(times[0] / FILES)
            product.append(times[1] / FILES)
    film.unlink()
    yield Beside("media info, one file", product, reference, "ffprobe -of json")


def _seconds(action: Callable[[], None]) -> float:
    began = time.monotonic()
    for _ in range(FILES):
        action()
    return time.monotonic() - began
