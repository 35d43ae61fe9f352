"""The files of a collection: real paths for collection paths, and the documents of ls and stat."""

from __future__ import annotations

import contextlib
import fnmatch
import grp
import os
import posixpath
import pwd
import stat
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from devstack.globus_emulator.config import Collection
from devstack.globus_emulator.errors import ApiError, bad_request

Document = dict[str, Any]
LIST_MAXIMUM = 100_000


def denied(path: str) -> ApiError:
    return ApiError(
        403,
        "EndpointPermissionDenied",
        f"Denied by endpoint, Error (list)\nCommand: MLST {path}\nMessage: Fatal FTP Response\n---\n"
        "Details: 500 Command failed : Path not allowed.\\r\\n\n",
    )


def normal(path: str) -> str:
    """Normalize a collection path to `/a/b`: map home to `/`, resolve dots. Raises ApiError for control characters and escapes."""
    if any(character in path for character in "\r\n\0"):
        raise bad_request("Path contains characters that are not allowed", "InvalidPath")
    if path == "/~" or path.startswith("/~/"):
        path = path[2:]
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:  # normpath would silently turn this into the root
                raise denied(path)
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)


def resolve(collection: Collection, path: str) -> Path:
    """Return the real path of a collection path. Raises ApiError when it leaves the collection, also through a symbolic link."""
    inside = normal(path)
    prefixes = [normal(prefix).rstrip("/") + "/" for prefix in collection.allowed_prefixes]
    if not any((inside + "/").startswith(prefix) for prefix in prefixes):
        raise denied(path)
    root = Path(collection.root).resolve()
    if inside == "/":
        return root
    full = root / inside[1:]
    # Do not follow the last part: a link may be listed and removed, only its target is out of bounds.
    real = full.parent.resolve() / full.name
    target = real.resolve() if real.is_symlink() else real
    if not (real.is_relative_to(root) and target.is_relative_to(root)):
        raise denied(path)
    return real


@lru_cache(maxsize=256)
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@lru_cache(maxsize=256)
def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISDIR, "dir"),
        (stat.S_ISREG, "file"),
        (stat.S_ISLNK, "link"),
        (stat.S_ISCHR, "chr"),
        (stat.S_ISBLK, "blk"),
        (stat.S_ISFIFO, "pipe"),
    ):
        if test(mode):
            return word
    return "other"


def _time(seconds: float) -> str:
    # The service separates date and time by a space, not a T.
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S+00:00")


def _name(raw: str) -> str:
    """Convert a name for JSON: a name that is not UTF-8 becomes latin-1 after U+FFFD."""
    try:
        raw.encode()
    except UnicodeEncodeError:
        return "\ufffd" + os.fsencode(raw).decode("latin-1")
    return raw


def file_document(real: Path, name: str) -> Document:
    """Return one `file` document. Raises OSError."""
    own = real.lstat()
    shown, link = own, None
    if stat.S_ISLNK(own.st_mode):
        link = own
        try:
            shown = real.stat()
        except OSError:
            shown = own
    return {
        "DATA_TYPE": "file",
        "name": _name(name),
        "type": _kind(shown.st_mode),
        "size": shown.st_size,
        "last_modified": _time(shown.st_mtime),
        "permissions": f"{stat.S_IMODE(shown.st_mode):04o}",
        "user": _user(shown.st_uid),
        "group": _group(shown.st_gid),
        "link_target": str(real.readlink()) if link else None,
        "link_size": link.st_size if link else None,
        "link_user": _user(link.st_uid) if link else None,
        "link_group": _group(link.st_gid) if link else None,
        "link_last_modified": _time(link.st_mtime) if link else None,
    }


def stat_document(collection: Collection, path: str, visible: Callable[[Path], bool]) -> Document:
    """Answer `stat`. `visible` says whether the real path is shown yet. Raises ApiError."""
    real = resolve(collection, path)
    missing = ApiError(
        404,
        "NotFound",
        "Path not found, Error (list)\nMessage: No such file or directory\n---\n"
        f"Details: Error: '{path}' not found\\r\\n550-GlobusError: v=1 c=PATH_NOT_FOUND\\r\\n",
    )
    if not visible(real):
        raise missing
    try:
        return file_document(real, posixpath.basename(normal(path)) or "/")
    except (FileNotFoundError, NotADirectoryError):
        raise missing from None
    except PermissionError:
        raise denied(path) from None
    except OSError as error:  # a name that is too long, a broken disk
        raise ApiError(502, "ExternalError.StatFailed", f"Error (stat): {error.strerror}") from None


def list_document(collection: Collection, endpoint: str, query: dict[str, list[str]], visible: Callable[[Path], bool]) -> Document:
    """Answer `ls`. Raises ApiError."""
    path = query.get("path", ["/"])[0]
    real = resolve(collection, path)
    try:
        if not real.is_dir() and real.exists():
            raise ApiError(502, "ExternalError.DirListingFailed.NotDirectory", f"Directory listing failed: not a directory: {path}")
        if not visible(real):
            raise FileNotFoundError
        entries = [file_document(entry, entry.name) for entry in real.iterdir() if visible(entry)]
    except FileNotFoundError:
        raise ApiError(404, "ClientError.NotFound", f"Directory '{path}' not found on endpoint '{endpoint}'") from None
    except PermissionError:
        raise ApiError(
            502, "ExternalError.DirListingFailed.PermissionDenied", f"Directory listing failed: permission denied: {path}"
        ) from None
    if query.get("show_hidden", ["1"])[0] == "0":
        entries = [entry for entry in entries if not entry["name"].startswith(".")]
    entries = filtered(entries, query.get("filter", []))
    entries = ordered(entries, query.get("orderby", ["name"])[0])
    limit, offset = window(query, default=LIST_MAXIMUM, maximum=LIST_MAXIMUM)
    page = entries[offset : offset + limit]
    shown = normal(path).rstrip("/") + "/"
    return {
        "DATA_TYPE": "file_list",
        "DATA": page,
        "endpoint": endpoint,
        "path": path if path.endswith("/") else path + "/",
        "absolute_path": shown,
        "length": len(page),
        "total": len(entries),
        "rename_supported": True,
        "symlink_supported": False,
    }


def used_bytes(root: Path) -> int:
    """Return the size in bytes of all files below a directory."""
    total = 0
    for directory, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):  # it may vanish during the walk
                total += (Path(directory) / name).lstat().st_size
    return total


# --- the query language of lists, shared by ls and task_list ---------------------------------------------------------


def window(query: dict[str, list[str]], *, default: int, maximum: int) -> tuple[int, int]:
    """Return (limit, offset). Raises ApiError."""
    try:
        limit = int(query.get("limit", [str(default)])[0])
        offset = int(query.get("offset", ["0"])[0])
    except ValueError:
        raise bad_request("limit and offset must be integers") from None
    if limit < 0 or offset < 0:
        raise bad_request("limit and offset must not be negative")
    return min(limit, maximum), offset


def ordered(documents: list[Document], orderby: str) -> list[Document]:
    """Sort by `field [ASC|DESC]`; commas separate several fields. Raises ApiError."""
    result = list(documents)
    for clause in reversed([part for part in orderby.split(",") if part.strip()]):
        field, _, direction = clause.strip().partition(" ")
        if direction.upper() not in {"", "ASC", "DESC"} or (documents and field not in documents[0]):
            raise bad_request(f"Invalid orderby '{clause}'")
        result.sort(key=lambda document: (document[field] is None, document[field]), reverse=direction.upper() == "DESC")
    return result


def filtered(documents: list[Document], filters: Iterable[str]) -> list[Document]:
    """Return the documents that match any filter, in order; all without a filter. Raises ApiError."""
    passed = [{id(document) for document in _matching(documents, text)} for text in filters]
    return [document for document in documents if not passed or any(id(document) in some for some in passed)]


def _matching(documents: list[Document], text: str) -> list[Document]:
    """Return the documents that match every clause `field:value` of one filter. `/` separates clauses."""
    result = list(documents)
    for clause in filter(None, text.split("/")):
        field, colon, value = clause.partition(":")
        if not colon or (documents and field not in documents[0]):
            raise bad_request(f"Invalid filter '{clause}'")
        if field in {"last_modified", "request_time", "completion_time"}:
            result = [document for document in result if _in_range(document[field], value)]
        else:
            result = [document for document in result if any(_matches(document[field], one) for one in value.split(","))]
    return result


def _in_range(moment: str | None, value: str) -> bool:
    start, _, end = value.partition(",")
    return moment is not None and _moment(start, moment) <= _moment(moment, moment) <= _moment(end, moment)


def _moment(text: str, fallback: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text.strip() or fallback)
    except ValueError:
        raise bad_request(f"Invalid time '{text}'") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _matches(actual: object, wanted: str) -> bool:
    """Compare: `=x` or `x` is equality, `~x*` a glob; `!` negates; `>n` and `<n` compare numbers."""
    if isinstance(actual, bool):
        actual = int(actual)
    if wanted.startswith("!"):
        return not _matches(actual, wanted[1:])
    if wanted.startswith("~"):
        return actual is not None and fnmatch.fnmatch(str(actual).lower(), wanted[1:].lower())
    if isinstance(actual, int) and wanted[:1] in {"<", ">"}:
        operator, number = (wanted[:2], wanted[2:]) if wanted[1:2] == "=" else (wanted[:1], wanted[1:])
        try:
            limit = int(number)
        except ValueError:
            raise bad_request(f"Invalid number '{number}'") from None
        return {"<": actual < limit, ">": actual > limit, "<=": actual <= limit, ">=": actual >= limit}[operator]
    return str(actual) == wanted.removeprefix("=")


def make_directory(collection: Collection, path: str) -> None:
    """Create a directory. Raises ApiError."""
    real = resolve(collection, path)
    try:
        real.mkdir()
    except FileExistsError:
        raise ApiError(502, "ExternalError.MkdirFailed.Exists", f"Path already exists: {path}") from None
    except PermissionError:
        raise ApiError(502, "ExternalError.MkdirFailed.PermissionDenied", f"Permission denied: {path}") from None
    except OSError as error:
        raise ApiError(502, "ExternalError.MkdirFailed", f"Error (mkdir): {error.strerror}: {path}") from None


def rename(collection: Collection, old: str, new: str) -> None:
    """Rename a file or directory. Raises ApiError."""
    source, destination = resolve(collection, old), resolve(collection, new)
    try:
        if os.path.lexists(destination):
            raise ApiError(502, "ExternalError.RenameFailed.Exists", f"Path already exists: {new}")
        source.rename(destination)
    except FileNotFoundError:
        raise ApiError(502, "ExternalError.RenameFailed.NotFound", f"No such file or directory: {old}") from None
    except OSError as error:
        raise ApiError(502, "ExternalError.RenameFailed", f"Error (rename): {error.strerror}: {old}") from None
