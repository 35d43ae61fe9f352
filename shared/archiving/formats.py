"""Archive formats: what each one can hold, and how to detect a file's format from its content, never from its name."""

import bz2
import lzma
import os
import zlib
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import zstandard

from shared.errors import PermanentError
from shared.files import handles
from shared.files.manifest import printable

UNKNOWN_FORMAT = "unknown-format"
DAMAGED = "damaged"
TRUNCATED = "truncated"
BAD_PASSWORD = "bad-password"  # noqa: S105 - a code, not a password
UNSAFE = "unsafe-archive"
TOO_BIG = "too-big"

_BLOCK = 512
_RECORD = 20 * _BLOCK
# A decoder needs a whole bzip2 block of 900 kB: a shorter beginning of a file may not reveal what the file contains.
_HEAD = (1 << 20) + (1 << 16)
# The last record of a zip and the longest comment after it.
_ZIP_END = b"PK\x05\x06"
_ZIP_END_SIZE = 22
_TAIL = _ZIP_END_SIZE + 0xFFFF


class Format(StrEnum):
    ZIP = "zip"
    SEVENZIP = "7z"
    RAR = "rar"
    TAR = "tar"
    TAR_GZ = "tar.gz"
    TAR_BZ2 = "tar.bz2"
    TAR_XZ = "tar.xz"
    TAR_ZST = "tar.zst"
    GZ = "gz"
    BZ2 = "bz2"
    XZ = "xz"
    ZST = "zst"

    @property
    def by_7zip(self) -> bool:
        """True when 7-Zip opens this format. We read the other formats, which are streams, ourselves."""
        return self in {Format.ZIP, Format.SEVENZIP, Format.RAR}

    @property
    def is_tar(self) -> bool:
        return self.value.partition(".")[0] == "tar"

    @property
    def compression(self) -> str:
        """Return how the stream is compressed: `gz`, `bz2`, `xz`, `zst`, or an empty string."""
        return "" if self is Format.TAR else self.value.rpartition(".")[2]


_COMPRESSED = {
    b"\x1f\x8b\x08": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
    **{bytes((number, 0x2A, 0x4D, 0x18)): "zst" for number in range(0x50, 0x60)},  # a skippable frame, with which pzstd begins
}
_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": Format.SEVENZIP,
    b"PK\x03\x04": Format.ZIP,
    _ZIP_END: Format.ZIP,  # an empty zip
    b"PK\x07\x08": Format.ZIP,  # the first of several volumes
    b"Rar!\x1a\x07": Format.RAR,
}


def detect(path: Path) -> Format:
    """Return the format of a file. Raises PermanentError "unknown-format" for other formats, OSError when it cannot be read."""
    name = os.fsencode(path.name)
    with handles.root(path.parent) as parent, handles.file(parent, name) as file:
        return of_file(file, name)


def of_file(file: int, name: bytes) -> Format:
    """Return the format of an open file. Raises the same errors as `detect`."""
    head = os.pread(file, _HEAD, 0)
    found = of_head(head)
    if found is None and _ends_as_zip(_tail(file)):
        found = Format.ZIP
    if found is None:
        number = name.rpartition(b".")[2]
        what = "it is empty" if not head else "it is none of zip, 7z, rar, tar, gz, bz2, xz, zst"
        hint = " Of several volumes choose the first." if number.isdigit() and number != b"001" else ""
        raise PermanentError(f"{printable(name)} is not an archive that can be opened here: {what}.{hint}", UNKNOWN_FORMAT)
    return found


def of_head(head: bytes) -> Format | None:
    """Return the format of a file that begins with these bytes (one mebibyte); None when it is unknown. Pure."""
    for magic, found in _ARCHIVES.items():
        if head.startswith(magic):
            return found
    for magic, packing in _COMPRESSED.items():
        if head.startswith(magic):
            return Format(f"tar.{packing}" if _is_tar(_first_block(packing, head)) else packing)
    return Format.TAR if _is_tar(head) else None


def _ends_as_zip(tail: bytes) -> bool:
    """Return whether a zip directory ends here. A zip may start with a program or be the last of the parts `.z01`, ..., `.zip`."""
    at = tail.rfind(_ZIP_END)
    end = tail[at : at + _ZIP_END_SIZE]
    return at >= 0 and len(end) == _ZIP_END_SIZE and at + _ZIP_END_SIZE + int.from_bytes(end[20:], "little") == len(tail)


def has_zip_end(file: int) -> bool:
    """Return whether an open file ends as a zip does. A file that only begins as a zip was cut short."""
    return _ZIP_END in _tail(file)


def _tail(file: int) -> bytes:
    return os.pread(file, _TAIL, max(0, os.fstat(file).st_size - _TAIL))


def _is_tar(head: bytes) -> bool:
    """Return whether a header's checksum is right, because old archives have no magic. An empty archive is one record of zeros."""
    block = head[:_BLOCK]
    if len(block) < _BLOCK:
        return False
    if not any(block):
        return 2 * _BLOCK <= len(head) <= _RECORD and not any(head)
    field = block[148:156].strip(b" \0")
    try:
        expected = int(field, 8)
    except ValueError:
        return False
    plain = block[:148] + b" " * 8 + block[156:]
    return expected in {sum(plain), sum(byte - 256 if byte > 127 else byte for byte in plain)}


def _first_block(packing: str, head: bytes) -> bytes:
    """Return the first unpacked bytes: fewer or none when the stream is damaged, which its reader reports later."""
    wanted = _RECORD + 1
    with suppress(zlib.error, OSError, EOFError, lzma.LZMAError, zstandard.ZstdError, MemoryError):
        if packing == "gz":
            return zlib.decompressobj(31).decompress(head, wanted)
        if packing == "bz2":
            return bz2.BZ2Decompressor().decompress(head, wanted)
        if packing == "xz":
            return lzma.LZMADecompressor(memlimit=256 << 20).decompress(head, wanted)
        return zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(head, read_across_frames=True).read(wanted)
    return b""


def single_name(archive_name: bytes, found: Format) -> bytes:
    """Return the name of the file inside a `.gz` or similar: the archive's name without its extension."""
    ending = b"." + found.value.encode()
    if archive_name.lower().endswith(ending) and len(archive_name) > len(ending):
        return archive_name[: -len(ending)]
    return archive_name + b".unpacked"
