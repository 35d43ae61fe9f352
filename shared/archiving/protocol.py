"""What the engine and its worker process say to each other: one request on stdin, answers on stdout, JSON, one per line.

A password travels here and nowhere else: never in arguments, the environment or a log. Paths are bytes: names need not be text.
"""

from typing import Literal

import msgspec

Kind = Literal["file", "directory", "link", "hardlink", "special"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive may cost. ratio: unpacked to packed, looked at from `ratio_from` unpacked bytes on. seconds: by the clock.

    entries: also the most folders, named or implied by what lies in them. names_bytes: all names and targets of links together.
    memory_bytes: address space of each process.
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

    path: bytes as stored, without `./` before and `/` after. size: bytes unpacked (a link's: its text, a directory's: 0). mtime_ns:
    nanoseconds since 1970, None where the archive has none. mode: the nine permission bits, None where it has none. link: target of
    a link or hard link, where it is known without unpacking. crc32: of content or link text, None where it is not known.
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
    """List an archive. contents: unpack everything in memory, so that every member has its CRC. quiet: the summary only."""

    archive: bytes
    sevenzip: str
    password: str | None
    limits: Limits
    contents: bool = False
    quiet: bool = False


class Extract(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Unpack into the directory `into`. entries: only these; none: all. taken: first parts of paths that are refused."""

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
    """How far it is: `done` of `total` (bytes of whatever is counted), files so far, and what is at work."""

    done: int
    total: int
    files: int
    name: str


class Scanned(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Figures of a whole archive. entries: members; files: those that are no directories. packed_bytes: of all its volumes.

    problems: why it would not be unpacked. problem_code: of the first of them.
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
    """What was written: files (links among them), directories, and the bytes of the files."""

    files: int
    directories: int
    total_bytes: int
    warnings: list[str] = []


class Made(msgspec.Struct, frozen=True, tag=True):
    files: int
    total_bytes: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """family: which of shared.errors it is."""

    family: Literal["permanent", "transient", "waiting", "in-use"]
    message: str
    code: str | None = None


Answer = Found | Doing | Scanned | Extracted | Made | Failed

REQUEST = msgspec.json.Decoder(Request)
ANSWER = msgspec.json.Decoder(Answer)
ENCODER = msgspec.json.Encoder()
