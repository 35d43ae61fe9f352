"""The directories of users' workspaces. All access is by handle below the user's own root. Links are never followed.

All methods block, so callers run them in threads. File system errors become refusals with a message.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

from services.gateway.http import ranges
from services.gateway.http.http_errors import ProblemError, bad_request, conflict, not_found
from shared.archiving.checks import link_problem
from shared.archiving.protocol import Member
from shared.errors import NOT_FOUND, PermanentError
from shared.files import handles, listing, paths, trees, usage
from shared.files.listing import Item, Page, Wanted
from shared.files.trees import Measured
from shared.isolation import Isolation

_UPLOADS = ".uploads"
_DELETED = ".deleted"
_MODE = 0o700
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Workspaces:
    """`root`: STORAGE_BASE_PATH/workspaces. Every method raises ProblemError."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._left_out = Isolation("deleted folder")

    @property
    def root(self) -> Path:
        return self._root

    # Directories

    def ensure(self, owner: UUID) -> Path:
        """Return the user's workspace, and create it if it does not exist."""
        path = paths.workspace(self._root, owner)
        try:
            path.mkdir(mode=_MODE, parents=True, exist_ok=True)
        except OSError as exc:
            raise disk_refusal(exc) from exc
        return path

    def _service_place(self, name: str) -> Path:
        path = self._root / name
        try:
            path.mkdir(mode=_MODE, parents=True, exist_ok=True)
        except OSError as exc:
            raise disk_refusal(exc) from exc
        return path

    def exists(self, owner: UUID) -> bool:
        return paths.workspace(self._root, owner).is_dir()

    def owners(self) -> list[UUID]:
        """Return the users that have a workspace."""
        with _told():
            return paths.owners(self._root)

    @contextmanager
    def _folder(self, owner: UUID, path: str) -> Iterator[int]:
        with _told(), paths.opened(self.ensure(owner), path) as handle:
            yield handle

    @contextmanager
    def _parent(self, owner: UUID, path: str) -> Iterator[tuple[int, bytes]]:
        with _told(), paths.parent_of(self.ensure(owner), path) as (handle, name):
            yield handle, name

    # Reading

    def page(self, owner: UUID, path: str, wanted: Wanted) -> Page:
        with self._folder(owner, path) as folder:
            return listing.listed(folder, plain_path(path), wanted)

    def item(self, owner: UUID, path: str) -> Item:
        """Return one entry. Raises 404 when it does not exist."""
        with self._parent(owner, path) as (folder, name):
            found = handles.lstat(folder, name)
            if found is None:
                raise not_found(f"There is no {path}.")
            return listing.item(plain_path(path).encode(), found)

    def measure(self, owner: UUID, path: str) -> Measured:
        """Return one page of a folder. Raises 404 when it does not exist."""
        with self._folder(owner, path) as folder:
            return trees.measure(folder)

    def open_file(self, owner: UUID, path: str) -> int:
        """Return a read handle, which the caller closes. Raises 404 when the path is not a regular file."""
        with self._parent(owner, path) as (folder, name):
            try:
                with handles.file(folder, name) as handle:
                    return os.dup(handle)
            except (PermanentError, OSError) as exc:
                if isinstance(exc, OSError) and exc.errno not in {errno.ENOENT, errno.ELOOP, errno.ENXIO}:
                    raise
                there = handles.lstat(folder, name)
                more = " It is a folder: pack it to download it." if there and stat.S_ISDIR(there.st_mode) else ""
                raise not_found(f"There is no file {path}.{more}") from exc

    def gathered(self, owner: UUID, files: list[str], keep: list[str]) -> list[str]:
        """Return the files that still exist, sorted. A folder replaces its files when it holds nothing else.

        keep: folders that never replace their files. A folder also does not replace a single file.
        """
        whole = {path for path in files if self._is_file(owner, path)}
        if len(whole) < 2:
            return sorted(whole)
        folders = {parent for path in whole for parent in _above(path)}
        kept = {"", *keep, *(parent for path in keep for parent in _above(path))}
        for folder in sorted(folders - kept, key=lambda path: path.count("/"), reverse=True):
            with suppress(ProblemError), self._folder(owner, folder) as handle:
                held = {f"{folder}/{os.fsdecode(name)}" for name in os.listdir(handle)}  # noqa: PTH208 - pathlib cannot list a handle
                if held <= whole:
                    whole = (whole - held) | {folder}
        return sorted(whole)

    def _is_file(self, owner: UUID, path: str) -> bool:
        with suppress(ProblemError):
            return self.item(owner, path).type == "file"
        return False

    # Changing

    def make_folder(self, owner: UUID, path: str, *, parents: bool) -> tuple[Item, int]:
        """Create a folder. Return it and the number of folders created.

        Raises 409 when the path is taken. With `parents`, missing parent folders are created, and an existing folder is
        accepted.
        """
        relative = plain_path(path)
        if not relative:
            raise conflict("The workspace itself is there already.")
        parts = relative.split("/")
        made = sum(self._make(owner, "/".join(parts[:depth]), exist_ok=True) for depth in range(1, len(parts)) if parents)
        made += self._make(owner, relative, exist_ok=parents)
        return self.item(owner, relative), made

    def _make(self, owner: UUID, path: str, *, exist_ok: bool) -> bool:
        with self._parent(owner, path) as (folder, name):
            try:
                os.mkdir(name, _MODE, dir_fd=folder)
            except FileExistsError as exc:
                there = handles.lstat(folder, name)
                if not exist_ok or there is None or not stat.S_ISDIR(there.st_mode):
                    raise conflict(f"There is something named {path} already.") from exc
                return False
        return True

    def refuse_links_out(self, owner: UUID, source: str, target: str) -> None:
        """Raise 409 if the move would make a link point outside the workspace. Reads everything below `source`."""
        with self._parent(owner, source) as (folder, name):
            _refuse_links_out(folder, name, plain_path(target))

    def move(self, owner: UUID, source: str, target: str, *, overwrite: bool) -> tuple[Item, Measured]:
        """Rename or move within the workspace. Return the entry and the totals of the replaced one.

        Raises 409 when the target exists. With `overwrite`, a file replaces a file. Call `refuse_links_out` first.
        """
        old, new = plain_path(source), plain_path(target)
        if f"{new}/".startswith(f"{old}/") and old != new:
            raise conflict("A folder cannot be moved into itself.")
        with self._parent(owner, old) as (old_folder, old_name), self._parent(owner, new) as (new_folder, new_name):
            found = handles.lstat(old_folder, old_name)
            if found is None:
                raise not_found(f"There is no {old}.")
            replaces = overwrite and stat.S_ISREG(found.st_mode)
            replaced = _place(old_folder, old_name, new_folder, new_name, new, overwrite=replaces)
        return self.item(owner, new), replaced if old != new else usage.NOTHING

    def delete(self, owner: UUID, path: str, *, recursive: bool) -> UUID | None:
        """Remove a file or, with `recursive`, a folder and its contents, in one step.

        Return an id for `sweep_deleted`, which removes the remains from the disk. None: it was an empty folder, so nothing
        remains. Raises 409 for a folder that is not empty, without `recursive`.
        """
        with self._parent(owner, path) as (folder, name):
            found = handles.lstat(folder, name)
            if found is None:
                raise not_found(f"There is no {path}.")
            if stat.S_ISDIR(found.st_mode) and not recursive:
                try:
                    os.rmdir(name, dir_fd=folder)
                except OSError as exc:
                    if exc.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                        raise
                    raise conflict(f"{path} is not empty: say `recursive` to delete all that is in it.") from exc
                return None
            aside = uuid4()
            with handles.root(self._service_place(_DELETED)) as deleted:
                handles.rename_noreplace(folder, name, deleted, str(aside).encode())
            return aside

    def leave(self, owner: UUID) -> None:
        """Remove a whole workspace. `sweep_deleted` deletes its contents."""
        with _told(), handles.root(self._root) as root, handles.root(self._service_place(_DELETED)) as deleted:
            if handles.lstat(root, str(owner).encode()) is not None:
                handles.rename_noreplace(root, str(owner).encode(), deleted, str(uuid4()).encode())

    def measure_deleted(self, aside: UUID) -> Measured:
        """Return how much one deletion removed."""
        with _told(), handles.root(self._service_place(_DELETED)) as deleted:
            found = handles.lstat(deleted, str(aside).encode())
            if found is None:
                return usage.NOTHING
            if not stat.S_ISDIR(found.st_mode):
                return _one(found)
            with handles.directory(deleted, str(aside).encode()) as folder:
                held = trees.measure(folder)
            return held._replace(entries=held.entries + 1)

    def sweep_deleted(self, only: UUID | None = None) -> None:
        """Delete the remains of one deletion, or of all deletions, from the disk."""
        with _told(), handles.root(self._service_place(_DELETED)) as deleted:
            names = [str(only)] if only else os.listdir(deleted)  # noqa: PTH208 - pathlib cannot list a handle
            for name in self._left_out.due(names, str):
                with self._left_out.isolated(name), suppress(FileNotFoundError):  # another gateway removes it too
                    trees.remove(deleted, os.fsencode(name))

    # Uploads

    def open_upload(self, upload: UUID) -> int:
        """Return a write handle for an upload. The caller closes it."""
        with _told(), handles.root(self._service_place(_UPLOADS)) as folder:
            return os.open(str(upload).encode(), _WRITE, 0o600, dir_fd=folder)

    def is_upload(self, upload: UUID, handle: int) -> bool:
        """Return whether an open file is still this upload, neither published nor discarded."""
        with _told(), handles.root(self._service_place(_UPLOADS)) as folder:
            found = handles.lstat(folder, str(upload).encode())
            return found is not None and os.path.samestat(found, os.fstat(handle))

    def publish(self, upload: UUID, owner: UUID, path: str, *, overwrite: bool) -> Measured:
        """Publish a complete upload atomically. Return the totals of the replaced file. Raises 409 when the path is taken.

        The name is durable after `sync_parent`.
        """
        with self._parent(owner, path) as (folder, name), handles.root(self._service_place(_UPLOADS)) as uploads:
            return _place(uploads, str(upload).encode(), folder, name, path, overwrite=overwrite)

    def sync_parent(self, owner: UUID, path: str) -> None:
        """Make the names in the parent folder of `path` durable. Do nothing if that folder no longer exists."""
        with suppress(ProblemError), self._parent(owner, path) as (folder, _):
            handles.sync_directory(folder)

    def check_target(self, owner: UUID, path: str, headers: Mapping[str, str], *, overwrite: bool) -> None:
        """Check that a file may have this path. Raises 404 without its folder, 409 for an entry that must not be replaced.

        Raises 412 when the request's headers ask for a version other than the existing one.
        """
        with self._parent(owner, path) as (folder, name):
            found = handles.lstat(folder, name)
            if not ranges.may_write(headers, ranges.version_of(found) if found else None):
                raise ranges.failed()
            _refuse_taken(folder, name, path, overwrite=overwrite)

    def forget_upload(self, upload: UUID) -> None:
        with _told(), handles.root(self._service_place(_UPLOADS)) as folder, suppress(FileNotFoundError):
            os.unlink(str(upload).encode(), dir_fd=folder)

    def uploads(self) -> list[UUID]:
        """Return the uploads of which bytes are stored."""
        found = []
        for path in self._service_place(_UPLOADS).iterdir():
            with suppress(ValueError):
                found.append(UUID(path.name))
        return found


def _above(path: str) -> list[str]:
    """Return the parent folders of a path, without the top one. Pure."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _refuse_links_out(folder: int, name: bytes, target: str) -> None:
    """Raise 409 if a link would point outside the workspace after the move, because `..` counts from the link's own folder.

    Nothing here follows such a link, but programs that read archives by path would.
    """
    for path, link in trees.links(folder, name):
        there = target.encode() + path
        if wrong := link_problem(Member(path=there, kind="link", size=len(link), link=link)):
            raise conflict(f"After this move a link would lead out of the workspace: {wrong}. Delete the link first.")


def _refuse_taken(folder: int, name: bytes, path: str, *, overwrite: bool) -> None:
    there = handles.lstat(folder, name)
    if there is None or (overwrite and stat.S_ISREG(there.st_mode)):
        return
    if stat.S_ISREG(there.st_mode):
        raise conflict(f"There is a file named {path} already; it is replaced only when that is asked for.")
    raise conflict(f"There is something named {path} already that is no file, and only files are replaced.")


def _place(source_dir: int, source: bytes, target_dir: int, target: bytes, path: str, *, overwrite: bool) -> Measured:
    """Rename an entry. With `overwrite`, replace a regular file, else nothing. Return the totals of the replaced file."""
    if overwrite:
        _refuse_taken(target_dir, target, path, overwrite=True)
        there = handles.lstat(target_dir, target)
        os.rename(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
        return usage.NOTHING if there is None else _one(there)
    try:
        handles.rename_noreplace(source_dir, source, target_dir, target)
    except FileExistsError:
        _refuse_taken(target_dir, target, path, overwrite=False)
        raise
    return usage.NOTHING


def _one(facts: os.stat_result) -> Measured:
    """Return the totals of an entry that is not a folder, as `trees.measure` counts it. Pure."""
    is_file = stat.S_ISREG(facts.st_mode)
    return Measured(facts.st_size if is_file else 0, int(is_file), 1)


def plain_path(path: str) -> str:
    """Return the normalized path below a root. Raises ProblemError 400."""
    with _told():
        return paths.plain(path)


@contextmanager
def _told() -> Iterator[None]:
    """Turn errors of paths and of the file system into refusals."""
    try:
        yield
    except PermanentError as exc:
        raise (not_found(str(exc)) if exc.code == NOT_FOUND else bad_request(str(exc))) from exc
    except OSError as exc:
        raise disk_refusal(exc) from exc


def disk_refusal(error: OSError) -> ProblemError:
    """Return the refusal for a storage error. Pure."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return ProblemError(507, "disk-full", "The server's disk is full. Nothing was lost; try again when there is space.")
        case errno.ENOENT | errno.ENOTDIR | errno.ELOOP:
            return not_found("This is not there any more.")
        case errno.EEXIST | errno.ENOTEMPTY | errno.EINVAL | errno.EISDIR:
            return conflict("What is there now stands in the way; look at the folder again.")
        case errno.EACCES | errno.EPERM:
            return ProblemError(403, "forbidden", "The server may not change this.")
        case _:
            return ProblemError(503, "unavailable", f"The server's storage does not work: {error.strerror}.", {"Retry-After": "5"})
