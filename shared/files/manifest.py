"""The manifest of a copy, entry by entry. It gives the right to delete, and lets anyone restore without us.

One manifest describes one folder at the moment when its copy ended. It travels as `{folder}.tar.7z.manifest.json` beside the
archive, stays in Postgres compressed with zstd, and names every path with type, size, digests, times, mode, owner, link text and
extended attributes (POSIX ACLs are the attributes `system.posix_acl_*`).

The file is one JSON object with one entry per line, so that a million entries can be written and read as a stream. Bytes that are
not UTF-8 are stored as base64 in a separate field (`path_base64`, `link_base64`).
"""

import base64
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import zstandard

from shared.errors import PermanentError

FORMAT = "cs-archiver-manifest/1"
SIDECAR_SUFFIX = ".manifest.json"

EntryType = Literal["file", "directory", "link"]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One file, link or directory below the folder, or the folder itself (`path` empty).

    path: bytes relative to the folder, `/` between parts, never absolute. size: bytes (of a link: the length of its text; of a
    directory: 0). mtime_ns, ctime_ns: nanoseconds since 1970. crc32 and sha256 (32 raw bytes): digests of a file's content; crc32
    also of a link's text, as 7-Zip lists it. xattrs: name -> value, including POSIX ACLs. read_from_ns, read_to_ns: when a file's
    content was read, by the clock of the reading machine; None in manifests of older versions.
    """

    path: bytes
    type: EntryType
    size: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    links: int
    crc32: int = 0
    sha256: bytes | None = None
    link: bytes | None = None
    xattrs: dict[str, bytes] | None = None
    read_from_ns: int | None = None
    read_to_ns: int | None = None

    def identity(self) -> tuple[EntryType, int, int, int, int]:
        """Return the values that the source must still have for this entry to be the object that was copied."""
        return (self.type, self.size, self.mtime_ns, self.ctime_ns, self.inode)


class Clock(msgspec.Struct, frozen=True):
    """The clock that stamps a folder's files, beside ours, at one moment; nanoseconds since 1970 (shared/files/clocks.py).

    server_ns: the file system's time, rounded down to its unit. our_ns: the database's time. granularity_ns: the measured unit.
    """

    server_ns: int
    our_ns: int
    granularity_ns: int


class Manifest(msgspec.Struct, frozen=True):
    """A folder as it was when its copy ended. `entries`: parents first, the folder itself at index 0.

    clock: read after the folder was listed and before the first file was read; None when it could not be read.
    """

    folder_name: str
    source_path: str
    entries: list[Entry]
    warnings: list[str] = []
    clock: Clock | None = None

    @property
    def file_count(self) -> int:
        return sum(1 for e in self.entries if e.type != "directory")

    @property
    def total_bytes(self) -> int:
        return sum(e.size for e in self.entries if e.type == "file")


class ArchiveFacts(msgspec.Struct, frozen=True):
    """The tested archive: its exact size in bytes and its digests in lower-case hex."""

    name: str
    size: int
    sha256: str
    md5: str


class FileFacts(msgspec.Struct, frozen=True):
    """A file that we wrote: its exact size in bytes and its digests in lower-case hex."""

    size: int
    sha256: str
    md5: str


class _WireEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    path: str | None = None
    path_base64: str | None = None
    type: EntryType
    size: int
    mode: str
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    links: int
    crc32: str | None = None
    sha256: str | None = None
    link: str | None = None
    link_base64: str | None = None
    xattrs_base64: dict[str, str] | None = None
    read_from_ns: int | None = None
    read_to_ns: int | None = None


class _Head(msgspec.Struct, kw_only=True, omit_defaults=True):
    format: str
    folder_name: str
    source_path: str
    job_id: str
    attempt: int
    archive: ArchiveFacts
    file_count: int
    total_bytes: int
    warnings: list[str]
    clock: Clock | None = None


_ENTRY_ENCODER = msgspec.json.Encoder()
_ENTRY_DECODER = msgspec.json.Decoder(_WireEntry)
_HEAD_DECODER = msgspec.json.Decoder(_Head)
_ENTRIES_LINE = b'"entries": [\n'
_END_LINE = b"]}\n"


def _text_or_base64(raw: bytes) -> tuple[str | None, str | None]:
    try:
        return raw.decode("utf-8"), None
    except UnicodeDecodeError:
        return None, base64.b64encode(raw).decode()


def _raw(text: str | None, encoded: str | None) -> bytes | None:
    if encoded is not None:
        return base64.b64decode(encoded, validate=True)
    return None if text is None else text.encode()


def _to_wire(entry: Entry) -> _WireEntry:
    path, path_base64 = _text_or_base64(entry.path)
    link, link_base64 = _text_or_base64(entry.link) if entry.link is not None else (None, None)
    return _WireEntry(
        path=path,
        path_base64=path_base64,
        type=entry.type,
        size=entry.size,
        mode=f"{entry.mode:04o}",
        uid=entry.uid,
        gid=entry.gid,
        mtime_ns=entry.mtime_ns,
        ctime_ns=entry.ctime_ns,
        inode=entry.inode,
        links=entry.links,
        crc32=None if entry.type == "directory" else f"{entry.crc32:08x}",
        sha256=entry.sha256.hex() if entry.sha256 is not None else None,
        link=link,
        link_base64=link_base64,
        xattrs_base64={k: base64.b64encode(v).decode() for k, v in entry.xattrs.items()} if entry.xattrs else None,
        read_from_ns=entry.read_from_ns,
        read_to_ns=entry.read_to_ns,
    )


def _from_wire(wire: _WireEntry) -> Entry:
    path = _raw(wire.path, wire.path_base64)
    if path is None:
        raise PermanentError("This manifest is damaged: an entry has no path.")
    return Entry(
        path=path,
        type=wire.type,
        size=wire.size,
        mode=int(wire.mode, 8),
        uid=wire.uid,
        gid=wire.gid,
        mtime_ns=wire.mtime_ns,
        ctime_ns=wire.ctime_ns,
        inode=wire.inode,
        links=wire.links,
        crc32=int(wire.crc32, 16) if wire.crc32 else 0,
        sha256=bytes.fromhex(wire.sha256) if wire.sha256 else None,
        link=_raw(wire.link, wire.link_base64),
        xattrs={k: base64.b64decode(v) for k, v in wire.xattrs_base64.items()} if wire.xattrs_base64 else None,
        read_from_ns=wire.read_from_ns,
        read_to_ns=wire.read_to_ns,
    )


def encode(manifest: Manifest, archive: ArchiveFacts, job_id: str, attempt: int) -> Iterator[bytes]:
    """Yield the sidecar file line by line."""
    head = _Head(
        format=FORMAT,
        folder_name=manifest.folder_name,
        source_path=manifest.source_path,
        job_id=job_id,
        attempt=attempt,
        archive=archive,
        file_count=manifest.file_count,
        total_bytes=manifest.total_bytes,
        warnings=manifest.warnings,
        clock=manifest.clock,
    )
    yield msgspec.json.encode(head)[:-1] + b",\n"
    yield _ENTRIES_LINE
    last = len(manifest.entries) - 1
    for index, entry in enumerate(manifest.entries):
        yield _ENTRY_ENCODER.encode(_to_wire(entry)) + (b"\n" if index == last else b",\n")
    yield _END_LINE


def decode(lines: Iterable[bytes]) -> Manifest:
    """Decode a sidecar. Raises PermanentError when it is damaged, truncated or in another format."""
    iterator = iter(lines)
    entries: list[Entry] = []
    try:
        head = _HEAD_DECODER.decode(next(iterator).rstrip().removesuffix(b",") + b"}")
        if head.format != FORMAT or next(iterator) != _ENTRIES_LINE:
            raise PermanentError(f"This is not a manifest of format {FORMAT}: {head.format}.")
        for line in iterator:
            if line == _END_LINE:
                break
            entries.append(_from_wire(_ENTRY_DECODER.decode(line.rstrip().removesuffix(b","))))
        else:
            raise PermanentError("This manifest is damaged: it ends before its last line.")
    except (msgspec.DecodeError, ValueError, StopIteration) as exc:
        raise PermanentError(f"This manifest is damaged: {exc}") from exc
    manifest = Manifest(head.folder_name, head.source_path, entries, head.warnings, head.clock)
    if (manifest.file_count, manifest.total_bytes) != (head.file_count, head.total_bytes):
        raise PermanentError("This manifest is damaged: its entries are not those it was written with.")
    return manifest


def write_sidecar(path: Path, manifest: Manifest, archive: ArchiveFacts, job_id: str, attempt: int) -> tuple[FileFacts, bytes]:
    """Write the sidecar to `path`; return its facts and the zstd-compressed bytes that Postgres keeps. The caller fsyncs."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    packed: list[bytes] = []
    with path.open("xb") as file:
        for line in encode(manifest, archive, job_id, attempt):
            file.write(line)
            sha256.update(line)
            md5.update(line)
            size += len(line)
            packed.append(compressor.compress(line))
    packed.append(compressor.flush())
    return FileFacts(size, sha256.hexdigest(), md5.hexdigest()), b"".join(packed)


def unpack(packed: bytes, sha256: str) -> Manifest:
    """Decode a manifest as Postgres keeps it. sha256: the sidecar's recorded or proven digest, in lower-case hex.

    Raises PermanentError when the manifest is damaged or has another digest. Such a manifest gives no right to anything.
    """
    reader = zstandard.ZstdDecompressor().stream_reader(packed)
    digest = hashlib.sha256()

    def lines() -> Iterator[bytes]:
        rest = b""
        while chunk := reader.read(1 << 20):
            digest.update(chunk)
            *full, rest = (rest + chunk).split(b"\n")
            for line in full:
                yield line + b"\n"
        if rest:
            yield rest

    text = lines()
    try:
        manifest = decode(text)
        for _ in text:  # the digest also covers everything after the last line
            pass
    except zstandard.ZstdError as exc:
        raise PermanentError(f"This manifest is damaged: {exc}") from exc
    if digest.hexdigest() != sha256:
        raise PermanentError(
            f"The recorded manifest has the SHA-256 {digest.hexdigest()}, not {sha256}, which was recorded for it. Nothing is done by it."
            " Compare it with the sidecar beside the archive."
        )
    return manifest


def crc32(data: bytes, value: int = 0) -> int:
    """Return the CRC-32 as 7-Zip lists it."""
    return zlib.crc32(data, value)


def changes(before: Iterable[Entry], after: Iterable[Entry]) -> list[str]:
    """Return the differences between two walks of one folder, as sentences for a log; empty when there are none."""
    old = {e.path: e.identity() for e in before}
    found: list[str] = []
    for entry in after:
        known = old.pop(entry.path, None)
        if known is None:
            found.append(f"new: {printable(entry.path)}")
        elif known != entry.identity():
            found.append(f"changed: {printable(entry.path)}")
    found.extend(f"vanished: {printable(path)}" for path in old)
    return found


def unsaid(path: bytes) -> str | None:
    """Return the base64 of a path that `printable` cannot show unchanged, so that it can still be named; None for plain text."""
    return None if printable(path).encode() == path else base64.b64encode(path).decode()


def printable(path: bytes) -> str:
    """Return a path for display: valid UTF-8 unchanged, other bytes and control characters escaped."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
