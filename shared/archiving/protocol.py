"""The protocol between the engine and its worker process: one JSON request on stdin, JSON answers on stdout, one per line.

A password travels only here: never in arguments, the environment or a log. Paths are bytes because names need not be valid
text.
"""

from typing import Literal

import msgspec

Kind = Literal["file", "directory", "link", "hardlink", "special"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits for one archive. ratio: unpacked to packed size, checked from `ratio_from` unpacked bytes on. seconds: elapsed time.

    entries: also limits the folders, both those listed and those implied by paths. names_bytes: all names and link targets
    together. memory_bytes: address space of each process.
    """

    entries: int = 500_000
    total_bytes: int = 1 << 42
    names_bytes: int = 256 << 20
    ratio: int = 200
    ratio_from: int = 1 << 30
    memory_bytes: int = 3 << 30
    seconds: int = 6 * 3600


class Member(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of an archive.

    path: bytes as stored, without leading `./` and trailing `/`. size: unpacked bytes (of a link: its target text; of a
    directory: 0). mtime_ns: nanoseconds since 1970, None when the archive has none. mode: the nine permission bits, None when
    the archive has none. link: target of a link or hard link, when it is known without unpacking. crc32: of the content or link
    text, None when unknown.
    """

    path: bytes
    kind: Kind
    size: int
    packed: int | None = None
    mtime_ns: int | None = None
    mode: int | None = None
    link: bytes | None = None
    crc32: int | None = None
    encrypted: bool = False


class MakeTar(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    base: bytes
    names: list[bytes]
    output: bytes
    format: str
    level: int


class Scan(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """List an archive. contents: unpack everything in memory to get every member's CRC. quiet: send only the summary."""

    archive: bytes
    sevenzip: str
    password: str | None
    limits: Limits
    contents: bool = False
    quiet: bool = False


class Extract(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Unpack into the directory `into`. entries: only these; empty: all. taken: first path parts that are refused."""

    archive: bytes
    sevenzip: str
    password: str | None
    limits: Limits
    into: bytes
    entries: list[bytes] = []
    taken: list[bytes] = []


Request = MakeTar | Scan | Extract


class Found(msgspec.Struct, frozen=True, tag=True):
    member: Member


class Doing(msgspec.Struct, frozen=True, tag=True):
    """Progress: `done` of `total` (the bytes that the caller counts), the number of files so far, and the current name."""

    done: int
    total: int
    files: int
    name: str


class Scanned(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Figures of a whole archive. entries: members. files: members except directories. packed_bytes: of all volumes.

    problems: why the archive would be refused. problem_code: the code of the first problem.
    """

    format: str
    entries: int
    files: int
    original_size: int
    encrypted: bool
    packed_bytes: int
    volumes: int
    problems: list[str]
    problem_code: str | None = None


class Extracted(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """What was written: files (including links), directories, and the bytes of the files."""

    files: int
    directories: int
    total_bytes: int
    warnings: list[str] = []


class Made(msgspec.Struct, frozen=True, tag=True):
    files: int
    total_bytes: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """family: the error family of shared.errors."""

    family: Literal["permanent", "transient", "waiting", "in-use"]
    message: str
    code: str | None = None


Answer = Found | Doing | Scanned | Extracted | Made | Failed

REQUEST = msgspec.json.Decoder(Request)
ANSWER = msgspec.json.Decoder(Answer)
ENCODER = msgspec.json.Encoder()
