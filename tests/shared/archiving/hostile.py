"""Malicious archives, built byte by byte where no tool would create them."""

import gzip
import io
import lzma
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path

Part = tuple[str, bytes] | tuple[str, str, str]
"""(name, content), or (name, kind, target) with kind link, hardlink, fifo, device, directory."""


def tar(path: Path, *parts: Part) -> Path:
    """Return a tar of exactly these entries, in this order."""
    kinds = {
        "link": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE,
        "directory": tarfile.DIRTYPE,
    }  # fmt: skip
    with tarfile.open(path, "w") as archive:
        for part in parts:
            header = tarfile.TarInfo(part[0])
            if len(part) == 3:
                header.type, header.linkname = kinds[part[1]], part[2]
                archive.addfile(header)
            else:
                header.size = len(part[1])
                archive.addfile(header, io.BytesIO(part[1]))
    return path


def zipped(path: Path, *parts: Part) -> Path:
    """Return a zip of exactly these entries, in this order, as made on Unix."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts:
            header = zipfile.ZipInfo(part[0])
            header.create_system = 3
            kind, content = (part[1], part[2].encode()) if len(part) == 3 else ("file", part[1])
            bits = {
                "file": stat.S_IFREG, "link": stat.S_IFLNK, "fifo": stat.S_IFIFO, "device": stat.S_IFCHR, "directory": stat.S_IFDIR,
            }[kind]  # fmt: skip
            header.external_attr = (bits | 0o644) << 16
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about duplicate names
                archive.writestr(header, content)
    return path


def overlapping(path: Path, count: int, size: int) -> Path:
    """Return a zip of many names for one piece of packed zeros: small to send, `count` times `size` bytes to unpack."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(b"\0" * size) + packer.flush()
    crc = zlib.crc32(b"\0" * size)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, crc, len(data), size, 1, 0) + b"x" + data
    directory = b""
    for number in range(count):
        name = f"{number:05}".encode()
        directory += struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, len(data), size, len(name), 0, 0, 0, 0, 0, 0
        ) + name  # fmt: skip
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(local), 0)
    path.write_bytes(local + directory + end)
    return path


def lying(path: Path, declared: int, size: int) -> Path:
    """Return a zip whose entry declares `declared` bytes and holds `size`."""
    zipped(path, ("liar", b"\1" * size))
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        begin = data.index(magic)
        data[begin + offset : begin + offset + 4] = struct.pack("<I", declared)
    path.write_bytes(data)
    return path


def zeros_zip(path: Path, size: int) -> Path:
    """Return a zip of `size` zeros (a multiple of 10 MB) without packing them all: a flushed deflate block may repeat."""
    piece = 10_000_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(b"\0" * piece) + packer.flush(zlib.Z_FULL_FLUSH)
    data = data * (size // piece) + packer.flush()
    large = struct.pack("<HHQQ", 1, 16, size, len(data))
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 8, 0, 33, 1, 0xFFFFFFFF, 0xFFFFFFFF, 5, len(large)) + b"zeros" + large
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 8, 0, 33, 1, 0xFFFFFFFF, 0xFFFFFFFF, 5, len(large), 0, 0, 0, 0, 0
    ) + b"zeros" + large  # fmt: skip
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local) + len(data), 0)
    path.write_bytes(local + data + entry + end)
    return path


def zeros_gz(path: Path, size: int) -> Path:
    """Return a gzip file of `size` zeros (a multiple of 10 MB), made of repeated members."""
    piece = 10_000_000
    path.write_bytes(gzip.compress(b"\0" * piece) * (size // piece))
    return path


def many_tar(path: Path, count: int) -> Path:
    """Return a tar of `count` empty files. Headers are built by hand, which is ten times faster."""
    header = bytearray(tarfile.TarInfo("000000").tobuf(tarfile.USTAR_FORMAT))
    header[148:156] = b" " * 8
    rest = sum(header) - sum(header[:6])
    with path.open("wb") as file:
        for number in range(count):
            name = b"%06d" % number
            header[:6] = name
            header[148:156] = b"%06o\0 " % (rest + sum(name))
            file.write(header)
        file.write(bytes(1024))
    return path


def many_zip(path: Path, count: int) -> Path:
    """Return a zip of `count` empty files."""
    local, directory = bytearray(), bytearray()
    for number in range(count):
        name = b"%06d" % number
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, len(local)) + name
        local += struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 6, 0) + name
    big = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), len(local))
    big += struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(directory), 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), len(local), 0)
    path.write_bytes(local + directory + big + end)
    return path


def named_tar(path: Path, name: str) -> Path:
    """Return a tar.gz of one empty file with any name."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        header = tarfile.TarInfo("short")
        header.pax_headers = {"path": name}
        archive.addfile(header)
    return path


def vast_tar(path: Path, size: int) -> Path:
    """Return a tar of one file that declares `size` bytes and has none."""
    header = tarfile.TarInfo("vast")
    header.size = size
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT))
    return path


def nested_tar(path: Path, depth: int) -> Path:
    """Return a tar of long-name headers that are themselves named by long-name headers, and so on."""
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 5
    path.write_bytes((header.tobuf(tarfile.GNU_FORMAT) + b"name".ljust(512, b"\0")) * depth)
    return path


def greedy_xz(path: Path) -> Path:
    """Return an xz file that declares a dictionary of 4 GiB."""
    data = bytearray(lzma.compress(b"x" * 100_000))
    length = (data[12] + 1) * 4
    header = data[12 : 12 + length]
    header[header.index(b"\x21\x01") + 2] = 40
    header[-4:] = struct.pack("<I", zlib.crc32(bytes(header[:-4])))
    data[12 : 12 + length] = header
    path.write_bytes(data)
    return path


def greedy_zst(path: Path) -> Path:
    """Return a zstd frame that declares a window of 2 GiB.

    It has magic, a descriptor without size, window 2^31 and one stored block of a byte.
    """
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes([0, 21 << 3]) + (1 << 3 | 1).to_bytes(3, "little") + b"x")
    return path
