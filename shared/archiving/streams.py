"""Compressed streams: read gzip, bzip2, xz and zstd to their very end, and write them with a level from 0 to 9."""

import bz2
import gzip
import io
import lzma
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import BinaryIO, cast

import zstandard

_BUFFER = 1 << 20
_PIECE = 1 << 14  # small, because a stream may have only 14 bytes and the rest of the piece is copied at the end of each
# The levels 1 to 19 of the zstd command, spread over our ten levels. Its default is 3.
_ZSTD_LEVELS = (1, 1, 2, 3, 4, 5, 7, 9, 13, 19)
_ZSTD_THREADS = 8  # at level 19 each thread takes 0.25 GB
_ZSTD_WINDOW = 1 << 27
_ZSTD_MAGIC = 0xFD2FB528
_ZSTD_SKIPPABLE = 0x184D2A50


class Packed(io.RawIOBase):
    """The file of a stream, or its volumes in sequence. `position` is the number of bytes read."""

    def __init__(self, parts: Sequence[int]) -> None:
        self.parts = parts
        self.position = 0
        self._left = list(parts)
        self._begun_at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer; we only get memoryviews
        while self._left:
            if count := os.preadv(self._left[0], [buffer], self.position - self._begun_at):
                self.position += count
                return count
            del self._left[0]
            self._begun_at = self.position
        return 0


class _Joined(io.RawIOBase):
    """Reads consecutive streams, with only zeros allowed between and after them.

    Python's own readers treat anything that they do not recognise as the end. They would lose a damaged second stream, or one
    after zeros.
    """

    def __init__(self, file: BinaryIO, fresh: "Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]") -> None:
        self._file = file
        self._fresh = fresh
        self._stream = fresh()
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # as above
        while not self._stream.eof or self._another():
            packed = b""
            if self._stream.needs_input:
                packed, self._rest = self._rest or self._file.read(_PIECE), b""
                if not packed:
                    raise EOFError("the stream is cut short")
            if data := self._stream.decompress(packed, len(buffer)):
                buffer[: len(data)] = data
                return len(data)
        return 0

    def _another(self) -> bool:
        rest = self._stream.unused_data
        while not (rest := rest.lstrip(b"\0")):
            if not (rest := self._file.read(_PIECE)):
                return False
        self._stream, self._rest = self._fresh(), rest
        return True


def reader(stack: ExitStack, packed: Packed, compression: str) -> BinaryIO:
    """Return a reader of the unpacked content.

    Reading raises EOFError when the stream is truncated, OSError (no errno), zlib.error, ... when it is damaged.
    """
    file = io.BufferedReader(packed, _BUFFER)
    if compression == "gz":
        return cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=file)))
    if compression == "bz2":
        return io.BufferedReader(_Joined(file, bz2.BZ2Decompressor), _BUFFER)
    if compression == "xz":
        return io.BufferedReader(_Joined(file, lzma.LZMADecompressor), _BUFFER)
    if compression == "zst":
        check_zstd_end(io.BufferedReader(Packed(packed.parts), _BUFFER))
        whole = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        return cast("BinaryIO", stack.enter_context(whole.stream_reader(file, read_across_frames=True)))
    return file


def check_zstd_end(file: BinaryIO) -> None:
    """Walk over the frames' blocks without unpacking them, because zstandard's reader does not report a truncated stream.

    Raises EOFError when the stream is truncated, ZstdError when it is not a zstd stream.
    """
    while magic := file.read(4):
        number = int.from_bytes(magic, "little")
        if number & 0xFFFFFFF0 == _ZSTD_SKIPPABLE:
            _skip(file, int.from_bytes(_exactly(file, 4), "little"))
        elif number == _ZSTD_MAGIC:
            _skip_frame(file)
        else:
            raise zstandard.ZstdError("bytes follow its end that are no stream")


def _skip_frame(file: BinaryIO) -> None:
    """Skip one frame (RFC 8878, 3.1.1): descriptor, window, dictionary id, content size, blocks, optional 4-byte checksum."""
    descriptor = _exactly(file, 1)[0]
    single, size_flag = bool(descriptor & 0x20), descriptor >> 6
    size_bytes = (1 if single else 0, 2, 4, 8)[size_flag]
    _skip(file, (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3] + size_bytes)
    last = False
    while not last:
        header = int.from_bytes(_exactly(file, 3), "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        _skip(file, 1 if kind == 1 else size)  # 1: one byte, repeated
    _skip(file, 4 if descriptor & 4 else 0)


def _skip(file: BinaryIO, count: int) -> None:
    while count:
        count -= len(_exactly(file, min(count, _BUFFER)))


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("the zstd stream is cut short")
    return data


def writer(stack: ExitStack, file: BinaryIO, compression: str, level: int) -> BinaryIO:
    """Compress what is written into `file`, which stays open. level: 0 to 9; a missing level becomes the format's nearest one."""
    if compression == "gz":
        return cast("BinaryIO", stack.enter_context(gzip.GzipFile("", "wb", level, file, mtime=0)))
    if compression == "bz2":
        return cast("BinaryIO", stack.enter_context(bz2.BZ2File(file, "wb", compresslevel=max(1, level))))
    if compression == "xz":
        return cast("BinaryIO", stack.enter_context(lzma.LZMAFile(file, "wb", preset=level)))
    if compression == "zst":
        packer = zstandard.ZstdCompressor(
            level=_ZSTD_LEVELS[level], write_checksum=True, threads=min(os.cpu_count() or 1, _ZSTD_THREADS)
        )
        return cast("BinaryIO", stack.enter_context(packer.stream_writer(file, closefd=False)))
    return file
