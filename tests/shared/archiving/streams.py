"""Pack and unpack streams with the standard libraries, for comparison."""

import bz2
import gzip
import lzma

import zstandard

from shared.archiving.formats import Format


def pack_stream(form: Format, data: bytes) -> bytes:
    if form.compression == "gz":
        return gzip.compress(data)
    if form.compression == "bz2":
        return bz2.compress(data)
    if form.compression == "xz":
        return lzma.compress(data)
    return zstandard.compress(data) if form.compression == "zst" else data


def unpack_stream(form: Format, data: bytes) -> bytes:
    if form.compression == "gz":
        return gzip.decompress(data)
    if form.compression == "bz2":
        return bz2.decompress(data)
    if form.compression == "xz":
        return lzma.decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if form.compression == "zst" else data
