"""Walking a NAS of many folders, without the database, beside `find -printf`."""

import subprocess
import time
from collections.abc import Callable, Iterator

from benchmarks import data
from benchmarks.figures import Beside, Figure, Options
from benchmarks.stack import workplace
from services.scanner import discovery

TARGET = 2.0
FILES = 20


def run(options: Options) -> Iterator[Figure]:
    """Yield the ratio; both read warm directories, each once per round after one that does not count."""
    walked, found = list[float](), list[float]()
    with workplace() as place:
        data.folders(place / "nas", options.folders, FILES)

        def walk() -> None:
            scan = discovery.scan(place / "nas", lambda: None)
            assert sum(folder.file_count for folder in scan.folders) == options.folders * FILES

        def find() -> None:
            command = ["find", str(place / "nas"), "-printf", "%p %y %s %T@\n"]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

        for number in range(options.rounds + 1):
            times = seconds(find), seconds(walk)
            if number:
                found.append(times[0])
                walked.append(times[1])
    yield Beside(f"scan, {options.folders:,} folders of {FILES} files", walked, found, "find -printf", TARGET)


def seconds(action: Callable[[], None]) -> float:
    """How long an action takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began
