"""A walk over a NAS with many folders, without the database, compared with `find -printf`."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import data
from benchmarks.figures import Beside, Figure, Options
from benchmarks.stack import Stack
from services.scanner import discovery

TARGET = 2.0
FILES = 20


def run(options: Options, place: Path, _: Stack) -> Iterator[Figure]:
    """Yield the ratio. Both read cached directories, each once per round after one that does not count."""
    walked, found = list[float](), list[float]()
    base = place / "folders"
    data.folders(base, options.folders, FILES)

    def walk() -> None:
        scan = discovery.scan(base, lambda: None)
        assert sum(folder.file_count for folder in scan.folders) == options.folders * FILES

    def find() -> None:
        command = ["find", str(base), "-printf", "%p %y %s %T@\n"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    for number in range(options.rounds + 1):
        times = seconds(find), seconds(walk)
        if number:
            found.append(times[0])
            walked.append(times[1])
    shutil.rmtree(base)
    yield Beside(f"scan, {options.folders:,} folders of {FILES} files", walked, found, "find -printf", TARGET)


def seconds(action: Callable[[], None]) -> float:
    """Return the seconds that an action takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began
