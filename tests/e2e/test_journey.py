"""The main job on a folder that is as awkward as real ones: it leaves the NAS, arrives, and only then is emptied."""

import os
import re
from pathlib import Path
from typing import Any

from shared import manifest
from tests.support.stack import Link, Stack, snapshot, until

AWKWARD: dict[str | bytes, Any] = {
    "Fotos Sommer/Grüße aus Köln.jpg": bytes(range(256)) * 300,
    "Fotos Sommer/leer.txt": b"",
    "Fotos Sommer/tief/er/noch tiefer/ende.txt": "Größe: 10 µm\n".encode(),
    "leerer Ordner": None,
    "auch/leer": None,
    "link to photo": Link("Fotos Sommer/Grüße aus Köln.jpg"),
    "link to folder": Link("Fotos Sommer"),
    "dangling": Link("nowhere at all"),
    b"latin1-\xe4\xf6\xfc.txt": b"bytes that are not UTF-8 in its name",
    "-begins with a dash": b"-",
    "star*and?mark": b"*",
    'quote\'s "and" `ticks`': b"q",
    "emoji 🎉.txt": b"e",
    ".hidden": b"h",
    "big.bin": os.urandom(3 << 20),
}
LONG_AGO = 1_000_000_000_123_456_700


def test_a_folder_travels_and_only_its_marker_stays(stack: Stack) -> None:
    """Must-show 2: byte-identical at the destination with its sidecar, source emptied, staging empty, progress honest."""
    folder = stack.folder(AWKWARD, name="Projekt Ä, final (2)", level1="Büro Köln", level2="Ablage 2024")
    os.utime(folder / "big.bin", ns=(LONG_AGO, LONG_AGO))
    (folder / ".hidden").chmod(0o640)
    before = snapshot(folder)

    job = stack.archive(folder)
    progress = []

    def ended() -> bool:
        seen = stack.job(job)
        progress.append((seen["attempt"], seen["progress_percent"], seen["status"]))
        return bool(seen["status"] == "completed")

    until(ended, "completed", tell=stack.stories)
    assert stack.staged() == []  # asked at the very moment the status said so

    stack.assert_archived(folder, before)
    assert [percent for _, percent, _ in progress] == sorted(percent for _, percent, _ in progress)
    assert {percent == 100 for _, percent, status in progress if status != "completed"} == {False}
    assert progress[-1][1] == 100
    expected = "queued copying compressing verifying compressed uploading upload_verifying verified deleting_source completed"
    assert stack.states(job) == expected.split()
    assert sorted(v["kind"] for v in stack.job(job)["verifications"]) == ["content", "remote", "task"]


def test_the_marker_says_what_went_where(stack: Stack) -> None:
    """The seed's five lines verbatim, then what proves the archive; size and digest are those of the file at the destination."""
    folder = stack.folder({"a": b"1", "b/c": b"2"})

    job = stack.archive(folder)
    stack.wait(job, "completed")

    archive = stack.job(job)["archive"]
    level1, level2, name = folder.relative_to(stack.nas).parts
    text = stack.marker(folder).read_text()
    assert re.fullmatch(
        r"Archived on: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n"
        rf"Archive name: {re.escape(name)}\.tar\.7z\n"
        rf"Globus path: /{level1}/{level2}/{re.escape(name)}\.tar\.7z\n"
        rf"Job ID: {job}\n"
        r"User: admin\n"
        rf"Archive size: {archive['size']} bytes\n"
        rf"SHA-256: {archive['sha256']}\n"
        r"Files archived: 2\n"
        r"Kept in this folder: nothing else\n",
        text,
    ), text
    assert stack.remote(folder).stat().st_size == archive["size"]


def test_the_sidecar_restores_what_the_archive_cannot_hold(stack: Stack) -> None:
    """It lies beside the archive, parses without us knowing the job, and names every entry with its digest and exact time."""
    folder = stack.folder(AWKWARD)
    os.utime(folder / "big.bin", ns=(LONG_AGO + 5, LONG_AGO + 5))
    before = snapshot(folder)
    inodes = {path: (folder / os.fsdecode(path)).lstat().st_ino for path in before}

    stack.wait(stack.archive(folder), "completed")

    with stack.sidecar(folder).open("rb") as lines:
        told = manifest.decode(lines)
    assert (told.folder_name, told.source_path) == (folder.name, str(folder))
    entries = {entry.path: entry for entry in told.entries[1:]}
    assert set(entries) == set(before)
    for path, fact in before.items():
        entry = entries[path]
        assert (entry.type, entry.inode) == (fact.kind, inodes[path])
        if fact.kind == "file":
            assert entry.sha256 is not None
            assert entry.sha256.hex() == fact.content
        if fact.kind == "link":
            assert os.fsdecode(entry.link or b"") == fact.content
    assert entries[b"big.bin"].mtime_ns == LONG_AGO + 5


def test_keep_source_keeps_everything(stack: Stack) -> None:
    """Archived and proven, while the folder stays as it was: no marker, no time changed."""
    folder = stack.folder(AWKWARD)
    before = snapshot(folder)

    job = stack.archive(folder, keep_source=True)
    stack.wait(job, "completed")

    assert snapshot(folder) == before
    assert stack.restored(folder) == before
    assert stack.staged() == []
    assert "deleting_source" not in stack.states(job)


def test_an_archived_folder_is_not_archived_again(stack: Stack) -> None:
    """Its marker says so to every later request, and the folder list does not offer it any more."""
    folder = stack.folder()
    stack.wait(stack.archive(folder), "completed")

    answer = stack.ask(folder)

    assert answer.status_code == 409, answer.text
    listed = stack.http.get("/api/folders", params={"refresh": "true"}).json()
    assert str(folder) not in [each["path"] for each in listed]
    assert Path(stack.marker(folder)).exists()
