"""Shared helpers of the archive tests: trees with every kind of entry, their comparison, and the engine with default arguments."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

from shared.archiving import engine
from shared.archiving.engine import CreateSpec, ExtractSpec
from shared.archiving.formats import Format
from shared.archiving.protocol import Extracted, Member
from shared.files.children import Children
from shared.files.manifest import Entry

PASSWORD = "correct horse"
TIME = 1_600_000_000_123_456_700
"""100 ns are what 7z holds."""


def nothing(*_: object) -> None:
    return


def everything(folder: Path) -> Path:
    """Create a tree `tree` below `folder`: text, bytes, 0 bytes, empty directories, links, an executable, odd names."""
    tree = folder / "tree"
    (tree / "below" / "deeper").mkdir(parents=True)
    (tree / "empty directory").mkdir()
    (tree / "text.txt").write_bytes(b"some words\n" * 500)
    (tree / "below" / "random.bin").write_bytes(os.urandom(70_000))
    (tree / "below" / "deeper" / "nothing").write_bytes(b"")
    (tree / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "link to a file").symlink_to("text.txt")
    (tree / "below" / "link upwards").symlink_to("../run.sh")
    (tree / "link to a folder").symlink_to("below/deeper")
    return settle(tree)


def files_only(folder: Path) -> Path:
    """Create `everything` without its links."""
    tree = everything(folder)
    for path in [path for path in tree.rglob("*") if path.is_symlink()]:
        path.unlink()
    return settle(tree)


def unicode_names(folder: Path) -> Path:
    tree = folder / "tree"
    tree.mkdir()
    for name in ("naïve.txt", "日本語.bin", "emoji 🎬.mov", "Ελληνικά", "ß"):
        (tree / name).write_bytes(name.encode())
    (tree / "ordner mit ümlaut").mkdir()
    (tree / "ordner mit ümlaut" / "ñ").write_bytes(b"x")
    return settle(tree)


def bytes_names(folder: Path) -> Path:
    """Names that are not UTF-8, and others that tools tend to change."""
    tree = folder / "tree"
    tree.mkdir()
    for name in (b"latin1-\xe9", b"\xff\xfe", b"-leading", b"@list", b"st*r", b"back\\slash", b"trailing ", b"tab\t", b" lead"):
        (tree / os.fsdecode(name)).write_bytes(name)
    (tree / os.fsdecode(b"folder-\xe9")).mkdir()
    (tree / os.fsdecode(b"folder-\xe9") / "f").write_bytes(b"x")
    return settle(tree)


def settle(tree: Path) -> Path:
    """Give every entry the same time."""
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, ns=(TIME, TIME), follow_symlinks=False)
    return tree


def picture(tree: Path, *, seconds: bool = False, times: bool = True, modes: bool = True) -> dict[bytes, tuple[Any, ...]]:
    """Return everything below a folder: name bytes -> type, executable, content or target, time (of files).

    `times` and `modes` select whether these are compared.
    """
    found: dict[bytes, tuple[Any, ...]] = {}
    for path in [tree, *tree.rglob("*")]:
        state = path.lstat()
        time = (state.st_mtime_ns // (10**9 if seconds else 1)) if times else 0
        name = os.fsencode(path.relative_to(tree.parent))
        if stat.S_ISLNK(state.st_mode):
            found[name] = ("link", os.fsencode(path.readlink()))
        elif stat.S_ISDIR(state.st_mode):
            found[name] = ("directory",)
        else:
            found[name] = ("file", modes and bool(state.st_mode & 0o100), hashlib.sha256(path.read_bytes()).hexdigest(), time)
    return found


async def make(
    base: Path, names: list[bytes], output: Path, form: Format, password: str | None = None, **more: Any
) -> tuple[list[Path], list[Entry]]:
    """Make manifest, archive and proof as a job does."""
    spec = CreateSpec(format=form, password=password, **{"level": 1, **more})
    manifest = await engine.manifest(base, names, nothing, nothing)
    output.mkdir(exist_ok=True)
    made = await engine.create(base, names, output, f"made.{form}", spec, Children(), nothing)

    assert await engine.verify(made[0], manifest.entries, Children(), nothing, password=password) == []

    return made, manifest.entries


async def unpack(archive: Path, into: Path, password: str | None = None, **more: Any) -> Extracted:
    return await engine.extract(archive, into, ExtractSpec(password=password, **more), Children(), nothing)


async def members(archive: Path, password: str | None = None) -> list[Member]:
    found: list[Member] = []
    await engine.listing(archive, password, Children(), found.append)
    return found
