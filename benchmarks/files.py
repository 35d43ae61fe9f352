"""Pages of a very large workspace folder over REST, compared with a listing of the whole folder by the machine's own tools."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.figures import Beside, Figure, Options
from benchmarks.scan import seconds
from benchmarks.stack import Stack

_PAGE = 1_000
_FOLDER = "many"
_SORTS = ("name", "size")


def run(options: Options, _place: Path, stack: Stack) -> Iterator[Figure]:
    """Yield the first page of 1,000 and one in the middle, per order; each once per round, after one that does not count."""
    stack.start()
    with httpx.Client(
        base_url=stack.address, headers={"Authorization": f"Bearer {stack.token}"}, timeout=120, trust_env=False
    ) as client:
        owner = client.get("/api/auth/me").raise_for_status().json()["id"]
        folder = stack.data / "storage" / "workspaces" / owner / _FOLDER
        folder.mkdir(mode=0o700, parents=True)
        for number in range(options.files):
            (folder / f"frame_{number * 7919 % options.files:06}.dat").touch()
        for sort in _SORTS:
            yield from _in_order(client, folder, sort, options)


def _in_order(client: httpx.Client, folder: Path, sort: str, options: Options) -> Iterator[Figure]:
    first, middle, found = list[float](), list[float](), list[float]()

    def find() -> None:
        script = 'find "$1" -maxdepth 1 -printf "%s %T@ %f\\n" | sort -n'
        subprocess.run(["/bin/sh", "-c", script, "sh", folder], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def page(offset: int) -> None:
        asked: dict[str, str | int] = {"path": _FOLDER, "sort": sort, "limit": _PAGE, "offset": offset}
        answer = client.get("/api/files", params=asked).raise_for_status()
        assert len(answer.json()) == min(_PAGE, options.files - offset)

    for number in range(options.rounds + 1):
        times = seconds(find), seconds(lambda: page(0)), seconds(lambda: page(options.files // 2))
        if number:
            found.append(times[0])
            first.append(times[1])
            middle.append(times[2])
    what = f"a folder of {options.files:,} files by {sort}"
    yield Beside(f"{what}, first page", first, found, "find -printf | sort")
    yield Beside(f"{what}, page in the middle", middle, found, "find -printf | sort")
