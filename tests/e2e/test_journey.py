"""The main job on a realistically awkward folder: it leaves the NAS, arrives, and only then is emptied."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from cli.exits import Exit
from shared.files import manifest
from tests.cli.runner import Cli
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
    """Must-show 2: byte-identical at the destination with its sidecar, source emptied, staging empty, progress correct."""
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
    assert stack.staged() == []  # requested at the very moment of that status

    stack.assert_archived(folder, before)
    assert [percent for _, percent, _ in progress] == sorted(percent for _, percent, _ in progress)
    assert {percent == 100 for _, percent, status in progress if status != "completed"} == {False}
    assert progress[-1][1] == 100
    expected = "queued copying compressing verifying compressed uploading upload_verifying verified deleting_source completed"
    assert stack.states(job) == expected.split()
    assert sorted(v["kind"] for v in stack.job(job)["verifications"]) == ["content", "remote", "task"]


def test_the_marker_says_what_went_where(stack: Stack) -> None:
    """The five lines for people are verbatim. The proof follows: the size and digest of the file at the destination."""
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
    """It is stored beside the archive, can be parsed without the job, and lists every entry with its digest and exact time."""
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
    """The folder is archived and proven, and stays as it was: no marker, no changed time."""
    folder = stack.folder(AWKWARD)
    before = snapshot(folder)

    job = stack.archive(folder, keep_source=True)
    stack.wait(job, "completed")

    assert snapshot(folder) == before
    assert stack.restored(folder) == before
    assert stack.staged() == []
    assert "deleting_source" not in stack.states(job)


@pytest.mark.parametrize("name", ["n" * 232, "é" * 116, "🎉" * 58], ids=["ascii", "two bytes", "four bytes"])
def test_the_longest_name_that_a_marker_allows_travels(stack: Stack, name: str) -> None:
    """232 bytes plus the marker's 23 are the file system's 255. Archive (239) and sidecar (253) fit below that."""
    folder = stack.folder({"x" * 255: b"1", "é" * 127 + "/ende": b"2"}, name=name)
    before = snapshot(folder)
    assert stack.preview(folder)["refusals"] == []

    stack.wait(stack.archive(folder), "completed")

    stack.assert_archived(folder, before)
    assert len(os.fsencode(stack.marker(folder).name)) == 255
    assert stack.staged() == []


@pytest.mark.parametrize("name", ["n" * 233, "é" * 117, "n" * 255], ids=["one more byte", "one more letter", "longest of all"])
def test_a_longer_name_is_refused_before_anything_is_copied(stack: Stack, name: str) -> None:
    """The request gives the reason, and the plan gives it in the same words."""
    folder = stack.folder({"a": b"1"}, name=name)

    answer = stack.ask(folder)

    assert answer.status_code == 400, answer.text
    assert "too long" in answer.json()["detail"]
    assert stack.preview(folder)["refusals"] == [answer.json()["detail"]]


def test_a_plan_refuses_what_archive_would_refuse(stack: Stack, tmp_path: Path) -> None:
    """On the command line, both give the true reason, for folders that no scan has seen and for ignored ones (`--ignored` lists them)."""
    reasons = {
        "Only text": ("only one .txt file", "holds only one .txt file"),
        "Empty": ("is empty", "holds no file"),
        "Marked": ("is archived already", "archived already"),
        "n" * 233: ("too long", "its name is too long"),
    }
    stack.folder({"readme.txt": b"x"}, name="Only text", level1="Plans")
    stack.folder({"deep/er": None}, name="Empty", level1="Plans")
    stack.folder({"a": b"x", "Marked-ARCHIVED-TO-GLOBUS.txt": b"x"}, name="Marked", level1="Plans")
    stack.folder({"a": b"x"}, name="n" * 233, level1="Plans")
    stack.folder({"a": b"x"}, name="Good", level1="Plans")
    cli = Cli(tmp_path, f"http://127.0.0.1:{stack.port}")
    cli.store_login("admin", stack.http.headers["Authorization"].removeprefix("Bearer "))

    for name, (words, _) in reasons.items():
        asked = cli.run("archive", f"Plans/Projects/{name}")
        planned = cli.run("plan", f"Plans/Projects/{name}")
        assert (asked.code in {Exit.USAGE, Exit.CONFLICT}, words in asked.err) == (True, True), asked
        assert (planned.code, words in planned.out) == (Exit.CONFLICT, True), planned
    assert cli.run("plan", "Plans/Projects/Good").code == Exit.OK
    missing = cli.run("plan", "Plans/Projects/Goods")
    assert (missing.code, "Goods" in missing.err) == (Exit.NOT_FOUND, True), missing
    assert cli.run("archive", "Plans/Projects/Good").code == Exit.OK
    busy = cli.run("plan", "Plans/Projects/Good")
    assert (busy.code, "already" in busy.out) == (Exit.CONFLICT, True), busy

    rows = [
        line.split("\t") for line in cli.run("folders", "--refresh", "--ignored", "--archived", "-q", "Plans/").out.splitlines()
    ]
    listed = {row[0].removeprefix("Plans/Projects/"): row[-1] for row in rows[1:]}
    assert rows[0][-1] == "IGNORED BECAUSE"
    for name, (_, words) in reasons.items():
        assert words in listed[name], listed


def test_an_archived_folder_is_not_archived_again(stack: Stack) -> None:
    """Its marker makes every later request fail, and the folder list no longer offers it."""
    folder = stack.folder()
    stack.wait(stack.archive(folder), "completed")

    answer = stack.ask(folder)

    assert answer.status_code == 409, answer.text
    listed = stack.http.get("/api/folders", params={"refresh": "true"}).json()
    assert str(folder) not in [each["path"] for each in listed]
    assert Path(stack.marker(folder)).exists()
