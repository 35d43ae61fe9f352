"""Convert between POSIX path, collection path and destination key. This is pure text; no file is read.

A collection sees a directory tree under its own root. So the same file has two names: its path on this machine, and its path in
Globus. GLOBUS_SOURCE_LOCAL_ROOT and GLOBUS_SOURCE_COLLECTION_PATH are one directory under both names.
"""

import msgspec

from shared import units
from shared.domain.destinations import ARCHIVE_SUFFIX, RemotePlace
from shared.errors import ConfigurationError, PermanentError
from shared.files.manifest import SIDECAR_SUFFIX

NAME_MAXIMUM_BYTES = 255  # of every common file system; Globus's behaviour beyond it is not documented


class Destination(msgspec.Struct, frozen=True):
    """Both remote names of a job at a place, and the key under which they are held."""

    place: RemotePlace
    archive: str
    sidecar: str
    key: str

    @property
    def names(self) -> tuple[str, str]:
        return (self.archive, self.sidecar)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _join(parts: list[str]) -> str:
    # Join by parts, never with posixpath.join, which drops the base as soon as a later part begins with a slash.
    return "/" + "/".join(parts)


def name_problem(name: str) -> str | None:
    """Return why Globus or the destination cannot hold this name, or None."""
    if name in {"", ".", ".."}:
        return "is not a name"
    if "/" in name or "\0" in name:
        return "contains a slash or a zero byte"
    if "\r" in name or "\n" in name:
        return "contains a line break, which Globus refuses"
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if len(raw) > NAME_MAXIMUM_BYTES:
        return f"is longer than {units.exact_size(NAME_MAXIMUM_BYTES)} ({len(raw)})"
    return None


def _checked(name: str) -> str:
    if problem := name_problem(name):
        raise PermanentError(f"Cannot be uploaded: the name {name!r} {problem}. Rename it and archive the folder again.")
    return name


def base_parts(setting: str, name: str) -> list[str]:
    """Return the parts of a path setting. Raises ConfigurationError that names it.

    A leading `~` (Globus: home directory) is allowed.
    """
    if not setting.startswith("/"):
        raise ConfigurationError(f"{name} must be an absolute path, not {setting!r}")
    parts = _parts(setting)
    for part in parts:
        if problem := name_problem(part):
            raise ConfigurationError(f"{name}: {part!r} {problem}")
    return parts


def place(endpoint: str, base: str) -> RemotePlace:
    """Return where archives go by the settings. Raises ConfigurationError for a base that is not a path."""
    return RemotePlace(endpoint, _join(base_parts(base, "GLOBUS_DESTINATION_BASE_PATH")))


def destination(where: RemotePlace, level1: str, level2: str, folder: str) -> Destination:
    """Return where `level1/level2/folder` goes: `{base}/{level1}/{level2}/{folder}.tar.7z`, with its sidecar beside it.

    Raises PermanentError for a name that cannot be transferred.
    """
    _checked(folder)
    if where.base == "/" and level1.startswith("~"):
        # As the first part it would mean somebody's home directory, and the archive would be written there.
        raise PermanentError(
            f"Cannot be uploaded: {level1!r} would be read as a home directory by Globus. Rename it,"
            " or set GLOBUS_DESTINATION_BASE_PATH to a directory below the collection's root."
        )
    archive_name = _checked(folder + ARCHIVE_SUFFIX)
    _checked(archive_name + SIDECAR_SUFFIX)
    path = _join([_checked(level1), _checked(level2), archive_name])
    archive = where.full(path)
    return Destination(where, archive, archive + SIDECAR_SUFFIX, where.key(path))


def destination_of(where: RemotePlace, path: str) -> Destination:
    """Return the same for a job's destination path (`/level1/level2/folder.tar.7z`)."""
    level1, level2, archive = path.strip("/").split("/")
    return destination(where, level1, level2, archive.removesuffix(ARCHIVE_SUFFIX))


def to_collection(local_path: str, local_root: str, collection_path: str) -> str:
    """Return the collection path of a file below GLOBUS_SOURCE_LOCAL_ROOT. Raises PermanentError when it is not below it."""
    root = base_parts(local_root, "GLOBUS_SOURCE_LOCAL_ROOT")
    base = base_parts(collection_path, "GLOBUS_SOURCE_COLLECTION_PATH")
    parts = _parts(local_path)
    if not local_path.startswith("/") or parts[: len(root)] != root or len(parts) == len(root):
        raise PermanentError(
            f"{local_path!r} is not below GLOBUS_SOURCE_LOCAL_ROOT ({local_root}), so Globus cannot see it: correct that setting."
        )
    below = [_checked(part) for part in parts[len(root) :]]
    if not base and below[0].startswith("~"):
        raise PermanentError(f"{local_path!r} would be read as a home directory by Globus: rename {below[0]!r}.")
    return _join([*base, *below])


def split(path: str) -> tuple[str, str]:
    """Return (directory with a trailing slash, name) of a file's collection path."""
    directory, _, name = path.rpartition("/")
    return directory + "/", name
