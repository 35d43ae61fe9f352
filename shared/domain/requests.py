"""What workspace jobs are about (`jobs.request`) and what came of them (`jobs.result`), by kind.

Paths are below their root, as `shared.files.paths.plain` writes them. Sizes in bytes, times in seconds. Additive changes only: rows stay.
"""

import base64
from typing import Any, Literal

import msgspec

from shared.domain.lifecycle import Kind
from shared.errors import PermanentError
from shared.files.paths import Root

ArchiveFormat = Literal["zip", "7z", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"]
"""What is created. Extracted besides: rar, and single gz, bz2, xz and zst files."""
FORMATS: tuple[ArchiveFormat, ...] = ("zip", "7z", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst")
_SHORT: dict[str, ArchiveFormat] = {"tgz": "tar.gz", "tbz": "tar.bz2", "tbz2": "tar.bz2", "txz": "tar.xz", "tzst": "tar.zst"}
_MADE: dict[str, ArchiveFormat] = {**_SHORT, **{form: form for form in FORMATS}}
NOT_MADE = ("rar", "gz", "bz2", "xz", "zst", "lz", "lz4", "lzma", "z", "cab", "iso")
"""Endings by which people know archives that are not made here."""
WITH_PASSWORD = ("zip", "7z")
WITH_VOLUMES = ("zip", "7z")


class PackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Pack one folder for download into the owner's root; `jobs.keep_source` says what becomes of the folder."""

    root: Root
    path: str
    format: Literal["zip", "7z"]
    level: int


class CompressRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Make an archive of chosen files and folders of one root. `output`: the archive's path in the workspace.

    encrypted: a password lies in `job_secrets`. volume_bytes: size of each part, None: one file. auto: nobody asked for this one (the
    user's auto-archive did), and it gets the first free name like `output`.
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

    `entries`: paths inside the archive; `entries_base64`: more of them, as bytes that are no plain text. None of both: everything.
    """

    root: Root
    path: str
    destination: str
    entries: list[str] = []
    entries_base64: list[str] = []
    encrypted: bool = False

    def names(self) -> list[bytes]:
        """Every path inside the archive that was chosen."""
        return [*(entry.encode() for entry in self.entries), *map(base64.b64decode, self.entries_base64)]


class ArchiveResult(msgspec.Struct, frozen=True, kw_only=True):
    """A pack or an archive that was made.

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
    """What was unpacked where. placed: the files and folders that are new in the workspace; None: too many, or names that are no text."""

    destination: str
    files_extracted: int
    total_size: int
    seconds: float
    mb_per_s: float
    warnings: list[str] = []
    placed: list[str] | None = None


def is_archive_name(name: str) -> bool:
    """Whether a file's name ends as archives' do. Pure."""
    return any(name.lower().endswith(f".{ending}") for ending in (*_MADE, *NOT_MADE, "001"))


def format_for(asked: str | None, name: str | None, default: ArchiveFormat) -> ArchiveFormat:
    """The format of a new archive: the one asked for, else the one its name ends with (`.tgz` is tar.gz), else `default`. Pure.

    `asked`: one of FORMATS. Raises PermanentError with what to do for a name that says another one, or one that is not made here: a
    zip called x.rar would mislead whoever opens it.
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
    """Decode what a workspace job asks for. Raises KeyError for an archive job, msgspec.ValidationError for another version's document."""
    request: Request = msgspec.convert(document, _REQUESTS[kind])
    return request


def request_of(row: Any) -> Request:
    """The same of a row of `jobs`."""
    return request_from(Kind(row["kind"]), row["request"])
