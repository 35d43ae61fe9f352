"""Shared helpers of the compressor's tests: creating trees, and the adapters with default arguments."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.compressor import copying
from shared.archiving import sevenzip
from shared.files import handles, preflight
from shared.files.children import Children
from shared.files.manifest import Entry

TIERS = {
    "copy2": copying.Tiers(),
    "rsync": copying.Tiers(small=0),
    "dd": copying.Tiers(small=0, medium=0),
    "parallel": copying.Tiers(small=0, medium=0, large=0),
}
STRATEGIES = ["auto", *TIERS]


def nothing(*_: object) -> None:
    return


def look(folder: Path) -> preflight.PreflightReport:
    with handles.root(folder) as root:
        return preflight.preflight(root, os.fsencode(folder.name), nothing)


def copy(
    folder: Path,
    target: Path,
    strategy: str = "auto",
    *,
    progress: Callable[[int], None] = nothing,
    stop: Callable[[], None] = nothing,
    entries: list[Entry] | None = None,
) -> list[Entry]:
    how: dict[str, Any] = {"strategy": "auto"} if strategy == "auto" else {"strategy": "tiered", "tiers": TIERS[strategy]}
    with handles.root(folder) as root:
        known = entries if entries is not None else preflight.preflight(root, b"folder", nothing).entries
        return copying.copy_tree(root, target, known, progress=progress, stop=stop, **how)


def seven_zip() -> sevenzip.SevenZip:
    return sevenzip.SevenZip(sevenzip.find_binary(None), Children())


async def pack(folder: Path, work: Path, strategy: str = "auto") -> tuple[list[Entry], Path]:
    """The main path: scan, copy, pack. Return the manifest's entries and the untested archive."""
    report = look(folder)

    assert report.refusals == []

    entries = await asyncio.to_thread(copy, folder, work / folder.name, strategy, entries=report.entries)
    return entries, await seven_zip().compress(work / folder.name, work / "out.tar.7z", nothing)


def deep(root: Path, name: bytes, levels: int) -> None:
    """Create nested directories, deeper than the longest possible path."""
    handle = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=handle)
        below = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as nobody if this is root. Any other account is unprivileged already."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[bool]:
    """Mount a tmpfs at `path` and return whether that was possible."""
    path.mkdir()
    mount = shutil.which("mount")
    done = mount is not None and (
        subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "none", path], capture_output=True, check=False
        ).returncode
        == 0
    )
    try:
        yield done
    finally:
        if done:
            _unmount(path)


def _unmount(path: Path) -> None:
    """A program that was just killed may hold the disk for a moment longer."""
    until = time.monotonic() + 60
    while (said := subprocess.run(["umount", path], capture_output=True, text=True, check=False)).returncode:
        assert time.monotonic() < until, said.stderr
        time.sleep(0.05)
