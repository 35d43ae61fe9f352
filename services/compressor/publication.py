"""Publish finished work in a user's workspace. After a crash at any instant, either nothing or all of it is there in the end.

The plan is recorded (table `publications`) before the first rename: which pieces, by inode, get which names in which folder. A
rename keeps the inode, so a later attempt can tell which pieces are in place and which are still in the attempt's directory.
Existing files are never replaced. All functions here block.
"""

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import NOT_FOUND, TAKEN, PermanentError
from shared.files import handles, paths
from shared.files.manifest import printable
from shared.files.trees import Measured


class Piece(msgspec.Struct, frozen=True):
    """One file or folder. `source`: its path below the attempt's directory. `name`: its name in the workspace's folder."""

    source: bytes
    name: bytes
    inode: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is published. directory: a folder of the workspace. result: the job's result once it has completed.

    newest_ns: the latest change inside the pieces when they were finished; anything newer there belongs to somebody else. adds:
    how much more the workspace holds afterwards.
    """

    directory: str
    pieces: list[Piece]
    newest_ns: int
    result: dict[str, Any]
    adds: Measured = Measured(0, 0, 0)


def encoded(plan: Plan) -> Any:
    """Return the plan in the form that the database stores."""
    return msgspec.to_builtins(plan)


def piece_of(attempt: Path, source: bytes, name: bytes) -> Piece:
    """Return a piece with its current inode."""
    with handles.root(attempt) as root:
        found = os.stat(source, dir_fd=root, follow_symlinks=False)
    return Piece(source, name, found.st_ino)


def publish(workspace: Path, attempt: Path, plan: Plan) -> list[Piece]:
    """Give every piece its name, durably. A piece that has its name keeps it. Returns the pieces that were not found anywhere.

    Raises PermanentError "taken" when something else has a name, "not-found" when the folder is gone.
    """
    lost = []
    with paths.opened(workspace, plan.directory) as folder, _maybe(attempt) as source:
        for piece in plan.pieces:
            if _is_there(folder, piece):
                continue
            if source is None or not _holds(source, piece.source, piece.inode):
                lost.append(piece)
                continue
            try:
                handles.rename_noreplace(source, piece.source, folder, piece.name)
            except FileExistsError as exc:
                raise PermanentError(_taken(plan, piece), TAKEN) from exc
        handles.sync_directory(folder)
    return lost


def located(workspace: Path, attempt: Path, plan: Plan) -> list[Path] | None:
    """Return where each piece is now; None when one of them was not found anywhere."""
    found: list[Path] = []
    base = workspace / plan.directory if plan.directory else workspace
    with _maybe_opened(workspace, plan.directory) as folder, _maybe(attempt) as source:
        for piece in plan.pieces:
            if folder is not None and _is_there(folder, piece):
                found.append(base / os.fsdecode(piece.name))
            elif source is not None and _holds(source, piece.source, piece.inode):
                found.append(attempt / os.fsdecode(piece.source))
            else:
                return None
    return found


def taken(workspace: Path, directory: str, names: Sequence[bytes]) -> list[bytes]:
    """Return which of these names exist in a folder of the workspace. Raises PermanentError "not-found" without the folder."""
    with paths.opened(workspace, directory) as folder:
        return [name for name in names if handles.lstat(folder, name) is not None]


def take_back(workspace: Path, attempt: Path, plan: Plan) -> list[bytes]:
    """Move published pieces out of the workspace again. Pieces that changed since then stay. Returns the names that stay."""
    stay: list[bytes] = []
    aside = attempt / "taken-back"
    with _maybe_opened(workspace, plan.directory) as folder:
        if folder is None:
            return stay
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        with handles.root(aside) as target:
            for piece in plan.pieces:
                if _is_there(folder, piece):
                    if _newest(folder, piece.name) > plan.newest_ns:
                        stay.append(piece.name)
                        continue
                    handles.rename_noreplace(folder, piece.name, target, piece.name)
                # Check again outside the workspace, including what a killed run left there. A piece that is not ours alone goes
                # back.
                if handles.lstat(target, piece.name) is None:
                    continue
                if not _holds(target, piece.name, piece.inode) or _newest(target, piece.name) > plan.newest_ns:
                    stay.append(_give_back(target, piece.name, folder))
    return stay


def _give_back(aside: int, name: bytes, folder: int) -> bytes:
    """Move a piece back into the workspace, under another name if its own is taken. Returns the name."""
    number = 0
    while True:
        free = name if not number else name[:240] + f"_{number}".encode()
        try:
            handles.rename_noreplace(aside, name, folder, free)
        except FileExistsError:
            number += 1
        else:
            return free


def newest_change(attempt: Path, sources: Sequence[bytes]) -> int:
    """Return the latest change of content inside these sources, in nanoseconds since 1970."""
    with handles.root(attempt) as root:
        # Archives may set times in the future, which would hide every later change.
        return min(max(_newest(root, source) for source in sources), time.time_ns())


def _newest(parent: int, name: bytes) -> int:
    """Return the latest change of a piece. For the piece itself only the mtime counts, because a rename changes its ctime."""
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        return found.st_mtime_ns
    newest, pending = 0, [b""]
    with handles.directory(parent, name) as top:
        while pending:
            path = pending.pop()
            with handles.directory(top, path) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    facts = entry.stat(follow_symlinks=False)
                    newest = max(newest, facts.st_ctime_ns)
                    if stat.S_ISDIR(facts.st_mode):
                        pending.append(path + b"/" + os.fsencode(entry.name) if path else os.fsencode(entry.name))
    return newest


def _is_there(folder: int, piece: Piece) -> bool:
    return _holds(folder, piece.name, piece.inode)


def _holds(folder: int, path: bytes, inode: int) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.stat(path, dir_fd=folder, follow_symlinks=False).st_ino == inode
    return False


def _taken(plan: Plan, piece: Piece) -> str:
    where = f"{plan.directory}/" if plan.directory else ""
    return f"There is something named {where}{printable(piece.name)} already; it is not replaced."


@contextmanager
def _maybe(path: Path) -> Iterator[int | None]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _maybe_opened(workspace: Path, directory: str) -> Iterator[int | None]:
    try:
        opened = paths.opened(workspace, directory)
        handle = opened.__enter__()
    except PermanentError as exc:
        if exc.code != NOT_FOUND:
            raise
        yield None
        return
    try:
        yield handle
    finally:
        opened.__exit__(None, None, None)
