"""Requests (`jobs.request`) and results (`jobs.result`) of workspace jobs, by kind.

Paths are relative to their root, as `shared.files.paths.plain` writes them. Sizes are in bytes, times in seconds. Only additive
changes are allowed, because old rows remain.
"""

import base64
from typing import Any, Literal

import msgspec

from shared.domain.lifecycle import Kind
from shared.errors import PermanentError
from shared.files.paths import Root

ArchiveFormat = Literal["zip", "7z", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"]
"""Formats that can be created. Extraction also supports rar, and single gz, bz2, xz and zst files."""
FORMATS: tuple[ArchiveFormat, ...] = ("zip", "7z", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst")
_SHORT: dict[str, ArchiveFormat] = {"tgz": "tar.gz", "tbz": "tar.bz2", "tbz2": "tar.bz2", "txz": "tar.xz", "tzst": "tar.zst"}
_MADE: dict[str, ArchiveFormat] = {**_SHORT, **{form: form for form in FORMATS}}
NOT_MADE = ("rar", "gz", "bz2", "xz", "zst", "lz", "lz4", "lzma", "z", "cab", "iso")
"""Extensions of known archive formats that cannot be created here."""
WITH_PASSWORD = ("zip", "7z")
WITH_VOLUMES = ("zip", "7z")


class PackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Pack one folder into the owner's root for download. `jobs.keep_source` decides whether the folder stays."""

    root: Root
    path: str
    format: Literal["zip", "7z"]
    level: int


class CompressRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Make an archive of chosen files and folders of one root. `output`: the archive's path in the workspace.

    encrypted: the password is in `job_secrets`. volume_bytes: size of each part; None: one file. auto: the user's auto-archive
    created this request, and the archive gets the first free name similar to `output`.
    """

    root: Root
    paths: list[str]
    output: str
    format: ArchiveFormat
    level: int
    encrypted: bool = False
    volume_bytes: int | None = None
    auto: bool = False


class ExtractRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Unpack an archive into the folder `destination` of the workspace.

    `entries`: paths inside the archive. `entries_base64`: further paths whose bytes are not plain text. If both are empty,
    everything.
    """

    root: Root
    path: str
    destination: str
    entries: list[str] = []
    entries_base64: list[str] = []
    encrypted: bool = False

    def names(self) -> list[bytes]:
        """Return every chosen path inside the archive."""
        return [*(entry.encode() for entry in self.entries), *map(base64.b64decode, self.entries_base64)]


class ArchiveResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a pack or of a new archive.

    compression_ratio: (1 - compressed / original) x 100. mb_per_s: of the original size, 1 MB = 2^20.
    """

    output_path: str
    format: str
    original_size: int
    compressed_size: int
    compression_ratio: float
    file_count: int
    seconds: float
    mb_per_s: float
    volumes: int = 1
    sha256: str | None = None
    warnings: list[str] = []


class ExtractResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an extraction. placed: new files and folders in the workspace; None: too many, or names that are not text."""

    destination: str
    files_extracted: int
    total_size: int
    seconds: float
    mb_per_s: float
    warnings: list[str] = []
    placed: list[str] | None = None


def is_archive_name(name: str) -> bool:
    """Return whether a file name has an archive's extension. Pure."""
    return any(name.lower().endswith(f".{ending}") for ending in (*_MADE, *NOT_MADE, "001"))


def format_for(asked: str | None, name: str | None, default: ArchiveFormat) -> ArchiveFormat:
    """Return the format of a new archive: `asked`, else the one of its name (`.tgz` is tar.gz), else `default`. Pure.

    `asked`: one of FORMATS. Raises PermanentError, with the fix, when the name's extension belongs to another format or to one
    that cannot be created here. A zip called x.rar would mislead the people who open it.
    """
    wanted = None if asked is None else _MADE[asked]
    ending = max((end for end in (*_MADE, *NOT_MADE) if (name or "").lower().endswith(f".{end}")), key=len, default=None)
    if ending is None:
        return wanted or default
    said = _MADE.get(ending)
    if said is None:
        better = f".{wanted}" if wanted else ", ".join(f".{form}" for form in FORMATS)
        raise PermanentError(f"{name} ends with .{ending}, and such archives cannot be made here; let it end with {better}.")
    if wanted not in {None, said}:
        raise PermanentError(f"{name} ends as {said} does, and {asked} was asked for; let it end with .{asked}, or choose {said}.")
    return said


Request = PackRequest | CompressRequest | ExtractRequest
_REQUESTS: dict[Kind, type[Any]] = {Kind.PACK: PackRequest, Kind.COMPRESS: CompressRequest, Kind.EXTRACT: ExtractRequest}


def request_from(kind: Kind, document: Any) -> Request:
    """Decode a workspace job's request.

    Raises KeyError for an archive job, msgspec.ValidationError for a document of another version.
    """
    request: Request = msgspec.convert(document, _REQUESTS[kind])
    return request


def request_of(row: Any) -> Request:
    """Decode the request in a row of `jobs`."""
    return request_from(Kind(row["kind"]), row["request"])
