"""The manifest: it is read as it was written, an incomplete one is refused, and two walks can be compared."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentError
from shared.files import manifest
from shared.files.manifest import ArchiveFacts, Clock, Entry, Manifest

ARCHIVE = ArchiveFacts("Folder.tar.7z", 12345, "a" * 64, "b" * 32)
JOB = "0d9f7c1e-5b1a-4c5e-9d53-000000000001"

_part = st.binary(min_size=1, max_size=12).filter(lambda part: b"/" not in part and b"\0" not in part)
_path = st.lists(_part, min_size=1, max_size=4).map(b"/".join)
_size = st.integers(0, 2**63 - 1)
_ns = st.integers(-(2**62), 2**62)
_common: dict[str, Any] = {
    "path": _path,
    "mode": st.integers(0, 0o7777),
    "uid": st.integers(0, 2**32 - 1),
    "gid": st.integers(0, 2**32 - 1),
    "mtime_ns": _ns,
    "ctime_ns": _ns,
    "inode": st.integers(0, 2**64 - 1),
    "links": st.integers(1, 2**31),
    "xattrs": st.none() | st.dictionaries(st.text(min_size=1, max_size=9), st.binary(max_size=20), min_size=1, max_size=3),
}
_crc = st.integers(0, 2**32 - 1)
_times = {"read_from_ns": st.none() | _ns, "read_to_ns": st.none() | _ns}
_file = st.builds(
    Entry, **_common, **_times, type=st.just("file"), size=_size, crc32=_crc, sha256=st.binary(min_size=32, max_size=32)
)
_directory = st.builds(Entry, **_common, type=st.just("directory"), size=st.just(0))
_link = st.builds(Entry, **_common, type=st.just("link"), size=_size, crc32=_crc, link=st.binary(max_size=30))
_manifest = st.builds(
    Manifest,
    folder_name=st.text(min_size=1, max_size=20),
    source_path=st.text(min_size=1, max_size=40),
    entries=st.lists(_file | _directory | _link, max_size=8),
    warnings=st.lists(st.text(max_size=20), max_size=2),
    clock=st.none() | st.builds(Clock, server_ns=_ns, our_ns=_ns, granularity_ns=_ns),
)


def entry(path: bytes = b"a", **changes: Any) -> Entry:
    values: dict[str, Any] = {
        "type": "file",
        "size": 3,
        "mode": 0o644,
        "uid": 0,
        "gid": 0,
        "mtime_ns": 5,
        "ctime_ns": 6,
        "inode": 7,
    }
    return Entry(path=path, **{**values, "links": 1, "sha256": b"s" * 32, **changes})


SMALL = Manifest("F", "/nas/1/2/F", [entry(b"", type="directory", size=0, sha256=None), entry(b"a"), entry(b"b")])


def lines(of: Manifest = SMALL) -> list[bytes]:
    return list(manifest.encode(of, ARCHIVE, JOB, 2))


@given(_manifest)
def test_what_was_written_is_read(written: Manifest) -> None:
    """Any bytes in paths and links, any numbers, ACLs and links survive the sidecar's round trip."""
    assert manifest.decode(lines(written)) == written


@given(_manifest)
def test_the_sidecar_is_one_json_document_for_anybody(written: Manifest) -> None:
    """Any program can read it: one JSON object, with counts that add up."""
    document = msgspec.json.decode(b"".join(lines(written)))

    assert document["format"] == manifest.FORMAT
    assert (document["job_id"], document["attempt"], document["archive"]["sha256"]) == (JOB, 2, "a" * 64)
    assert len(document["entries"]) == len(written.entries)
    assert document["file_count"] == written.file_count


def test_the_sidecar_on_disk_and_the_one_in_postgres_are_the_same(tmp_path: Path) -> None:
    """write_sidecar's facts are those of the file. The packed bytes unpack to the manifest. An existing file is not replaced."""
    big = Manifest("F", "/nas/1/2/F", [entry(b"n%d\n\xff" % n) for n in range(20_000)])
    path = tmp_path / "F.tar.7z.manifest.json"

    facts, packed = manifest.write_sidecar(path, big, ARCHIVE, JOB, 1)

    raw = path.read_bytes()
    assert facts.size == len(raw)
    assert facts.sha256 == hashlib.sha256(raw).hexdigest()
    assert facts.md5 == hashlib.md5(raw).hexdigest()
    assert manifest.unpack(packed, facts.sha256) == big
    with pytest.raises(FileExistsError):
        manifest.write_sidecar(path, big, ARCHIVE, JOB, 1)


DAMAGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "empty": lambda _: [],
    "not ours": lambda _: [b"{}\n"],
    "only the head": lambda text: text[:1],
    "no entries line": lambda text: [text[0], *text[2:]],
    "another format": lambda text: [text[0].replace(b"manifest/1", b"manifest/2"), *text[1:]],
    "cut in a line": lambda text: [*text[:3], text[3][:20]],
    "cut after a line": lambda text: text[:4],
    "without its last line": lambda text: text[:-1],
    "a line missing": lambda text: [*text[:3], *text[4:]],
    "a line doubled": lambda text: [*text[:4], text[3], *text[4:]],
    "a size changed": lambda text: [line.replace(b'"size":3', b'"size":4') for line in text],
    "an entry without path": lambda text: [line.replace(b'"path":"a",', b"") for line in text],
    "a bad digest": lambda text: [line.replace(b'"sha256":"73', b'"sha256":"7x') for line in text],
    "a bad path": lambda text: [line.replace(b'"path":"a"', b'"path_base64":"%%"') for line in text],
    "a bad mode": lambda text: [line.replace(b"0644", b"0999") for line in text],
    "not UTF-8": lambda text: [*text[:3], text[3].replace(b'"a"', b'"\xff"'), *text[4:]],
    "another type": lambda text: [line.replace(b'"type":"file"', b'"type":"fifo"') for line in text],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_manifest_is_refused(damage: Callable[[list[bytes]], list[bytes]]) -> None:
    """A manifest permits deletions, so nothing of an incomplete one counts."""
    with pytest.raises(PermanentError, match="manifest"):
        manifest.decode(damage(lines()))


def test_a_damaged_copy_in_the_database_is_refused(tmp_path: Path) -> None:
    """Cut, flipped or foreign bytes raise the product's error, not the library's."""
    facts, packed = manifest.write_sidecar(tmp_path / "m", SMALL, ARCHIVE, JOB, 1)
    for broken in (b"", b"not zstd", packed[:-5], packed[: len(packed) // 2], packed[:20] + b"\xff\xff\xff" + packed[23:]):
        with pytest.raises(PermanentError, match="manifest"):
            manifest.unpack(broken, facts.sha256)


def test_another_manifest_is_refused(tmp_path: Path) -> None:
    """A whole manifest that is not the recorded one, or the recorded one with extra data at its end."""
    one, packed = manifest.write_sidecar(tmp_path / "one", SMALL, ARCHIVE, JOB, 1)
    other, _ = manifest.write_sidecar(tmp_path / "other", SMALL, ARCHIVE, JOB, 2)
    longer = zstandard.ZstdCompressor().compress(b"".join([*manifest.encode(SMALL, ARCHIVE, JOB, 1), b"more\n"]))

    assert manifest.unpack(packed, one.sha256) == SMALL
    for wrong, digest in ((packed, other.sha256), (packed, ""), (longer, one.sha256)):
        with pytest.raises(PermanentError, match="SHA-256"):
            manifest.unpack(wrong, digest)


def test_a_manifest_of_an_older_version_is_read() -> None:
    """It has no clock and no times of reading: they are None, and every file is read again before it is deleted."""
    times = {"read_from_ns": None, "read_to_ns": None}
    old = msgspec.structs.replace(SMALL, entries=[msgspec.structs.replace(one, **times) for one in SMALL.entries])
    text = b"".join(lines(old))

    assert b"clock" not in text
    assert b"read_" not in text
    assert manifest.decode(lines(old)) == old


@pytest.mark.parametrize(
    ("after", "found"),
    [
        ([entry(b"a"), entry(b"b")], []),
        ([entry(b"b"), entry(b"a")], []),  # order has no meaning
        ([entry(b"a", uid=9, mode=0, xattrs={"user.x": b"1"}), entry(b"b")], []),  # ctime covers these
        ([entry(b"a")], ["vanished: b"]),
        ([entry(b"a"), entry(b"b"), entry(b"c\n")], ["new: c\\n"]),
        ([entry(b"a", size=4), entry(b"b")], ["changed: a"]),
        ([entry(b"a", mtime_ns=0), entry(b"b")], ["changed: a"]),
        ([entry(b"a", ctime_ns=0), entry(b"b")], ["changed: a"]),
        ([entry(b"a", inode=0), entry(b"b")], ["changed: a"]),
        ([entry(b"a", type="link"), entry(b"b")], ["changed: a"]),
        ([entry(b"A"), entry(b"b")], ["new: A", "vanished: a"]),
    ],
)
def test_changes(after: list[Entry], found: list[str]) -> None:
    """Two walks of one folder: new, changed and missing entries, by name."""
    assert manifest.changes([entry(b"a"), entry(b"b")], after) == found


def test_paths_are_shown_without_harm() -> None:
    """Control characters and bytes that are not UTF-8 are escaped. Everything else is shown unchanged."""
    assert manifest.printable("Größe/é".encode()) == "Größe/é"
    assert manifest.printable(b"a\x1b[31m\n\xff") == "a\\x1b[31m\\n\\xff"
