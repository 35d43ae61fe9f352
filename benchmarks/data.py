"""Test trees with the same names and bytes on every machine."""

import random
from pathlib import Path

_MIB = 1 << 20
_DIRECTORIES = 20
_CLIP = 64 * _MIB
_LOGS = 200
_TEXT = 4 * _MIB  # far more than the 256 KiB window of 7-Zip -mx1
_LINES = (
    "INFO {a:08x} camera {b} took frame {c} of reel {d}\n",
    "{c},{d},{b},{a},{e:.6f}\n",
    '{{"clip": {a}, "take": {b}, "gain": {e:.6f}}}\n',
)


def mixed(directory: Path, size: int) -> None:
    """Write `size` bytes: 80 % incompressible, like footage, in clips of at most 64 MiB; 20 % in 200 text files."""
    source = random.Random(20)
    text = _text(source, min(_TEXT, size) + _MIB)
    clips = max(2, round(size * 0.8 / _CLIP))
    for number in range(clips):
        with _new(directory, number, f"clip_{number:03}.{('mov', 'mp4')[number % 2]}").open("wb") as file:
            for length in _parts(int(size * 0.8) // clips):
                file.write(source.randbytes(length))
    for number in range(_LOGS):
        with _new(directory, number, f"log_{number:03}.{('txt', 'csv', 'json')[number % 3]}").open("wb") as file:
            for length in _parts(int(size * 0.2) // _LOGS):
                begin = source.randrange(len(text) - length + 1)
                file.write(text[begin : begin + length])


def small_files(directory: Path, count: int) -> None:
    """Write `count` files of 0.5 to 2 KiB, each half random, up to 500 per directory."""
    source = random.Random(100)
    filler = _text(source, 1 << 16)
    for number in range(count):
        half = source.randrange(256, 1025)
        begin = source.randrange(len(filler) - half)
        below = directory / f"part_{number // 500:04}"
        if number % 500 == 0:
            below.mkdir(parents=True)
        (below / f"frame_{number:06}.dat").write_bytes(source.randbytes(half) + filler[begin : begin + half])


def folders(base: Path, count: int, files: int) -> None:
    """Create `count` folders three levels below `base`, ten per level-2 folder, with `files` one-byte files in each."""
    for number in range(count):
        folder = base / f"Team {number // 100:02}" / f"Project {number // 10 % 10}" / f"Day {number:05}"
        folder.mkdir(parents=True)
        for file in range(files):
            (folder / f"shot_{file:03}.mov").write_bytes(b"\0")


def _new(directory: Path, number: int, name: str) -> Path:
    below = directory / f"day_{number % _DIRECTORIES:02}"
    below.mkdir(parents=True, exist_ok=True)
    return below / name


def _parts(size: int) -> list[int]:
    return [_MIB] * (size // _MIB) + ([size % _MIB] if size % _MIB else [])


def _text(source: random.Random, size: int) -> bytes:
    lines, length = list[str](), 0
    while length < size:
        number = source.getrandbits(32)
        line = _LINES[number % 3].format(
            a=number, b=source.randrange(12), c=source.randrange(10**6), d=source.randrange(400), e=source.random()
        )
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()
