"""Plain tar headers, read without the tarfile module, give the same result as the module."""

import io
import tarfile
from functools import partial

import pytest

from shared.archiving import tars
from shared.archiving.protocol import Member

_FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
_LONG = "folder/" * 20 + "n" * 90
Found = list[tuple[Member, bytes | None]]


def _read(archive: bytes) -> Found:
    return [
        (member, b"".join(iter(partial(read, 300), b"")) if read is not None else None)
        for member, read in tars.members(io.BytesIO(archive))
    ]


def _entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, **facts: object) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.mtime = kind, size, 1_700_000_000
    for fact, value in facts.items():
        setattr(entry, fact, value)
    return entry


def _archive(form: int) -> bytes:
    """Everything that a plain header holds, between entries that need more than one header."""
    entries = [
        _entry("folder", tarfile.DIRTYPE, mode=0o2750),
        _entry("./folder/empty"),
        _entry("folder/one block", size=512, mode=0o4711),
        _entry("folder/more", size=70_001, uid=1_000, gid=2_000, uname="jane", gname="users"),
        _entry(_LONG if form != tarfile.USTAR_FORMAT else "folder/" * 20 + "name", size=9),
        _entry("n" * 100, size=1),
        _entry("folder/caf\udce9 \u00e9", size=3),
        _entry("link", tarfile.SYMTYPE, linkname="folder/more"),
        _entry("hard", tarfile.LNKTYPE, linkname="./folder/more"),
        _entry("pipe", tarfile.FIFOTYPE),
        _entry("old", tarfile.AREGTYPE, size=4),
        _entry("folder/last", size=511),
    ]
    if form != tarfile.USTAR_FORMAT:
        entries[3].uid = 5_000_000
        entries[9].mtime = 1_700_000_000.25  # as the module itself writes it
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, errors="surrogateescape") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"content!" * (entry.size // 8 + 1)))
    return file.getvalue()


@pytest.mark.parametrize("form", _FORMATS)
def test_plain_headers_give_what_the_module_reads(form: int, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _archive(form)
    found = _read(archive)

    monkeypatch.setattr(tars, "_plain", lambda _: None)

    assert found == _read(archive)
    assert len(found) == 12


def test_most_headers_are_read_without_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [_entry(f"folder/{number}", size=number) for number in range(100)]
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    asked: list[int] = []
    monkeypatch.setattr(tars._Header, "frombuf", classmethod(lambda *_: asked.append(1)))
    found = tars.members(io.BytesIO(file.getvalue()))

    assert [next(found)[0].size for _ in range(100)] == list(range(100))
    assert asked == []


@pytest.mark.parametrize("at", [0, 99, 100, 125, 136, 148, 156, 200, 256, 257, 300, 330, 345, 400, 511])
def test_a_changed_byte_of_a_header_is_damage(at: int) -> None:
    archive = bytearray(_archive(tarfile.GNU_FORMAT))
    archive[at] ^= 0x55

    with pytest.raises(tars.DamagedTar):
        _read(bytes(archive))


def test_global_attributes_hold_for_plain_headers() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"mtime": "7.5"}) as archive:
        archive.addfile(_entry("file"))

    ((member, _),) = _read(file.getvalue())

    assert member.mtime_ns == 7_500_000_000


@pytest.mark.parametrize("kept", [512 + 100, 512 + 70_000])
def test_a_cut_content_is_no_end(kept: int) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(_entry("file", size=70_001), io.BytesIO(bytes(70_001)))
    cut = file.getvalue()[:kept]

    with pytest.raises(EOFError):
        _read(cut)
    with pytest.raises(EOFError):
        list(tars.members(io.BytesIO(cut)))


class _Trickling(io.BytesIO):
    """A stream that gives 300 bytes at a time, as decompressors may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 300) if size is not None and size > 0 else size)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_headers_may_arrive_in_pieces(form: int) -> None:
    """A header that two reads of the stream give is no damage, whoever reads it."""
    archive = _archive(form)
    whole = [member for member, _ in tars.members(io.BytesIO(archive))]

    assert [member for member, _ in tars.members(_Trickling(archive))] == whole


def test_a_long_name_cut_off_is_a_cut_archive() -> None:
    """The header of a long name is there, and the header after it only in part: the archive is cut short, not damaged."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(_entry("n" * 150))

    with pytest.raises(EOFError):
        list(tars.members(io.BytesIO(made.getvalue()[: 2 * 512 + 100])))
