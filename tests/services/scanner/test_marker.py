import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.scanner import marker
from services.scanner.marker import MarkerFacts
from shared.errors import PermanentError
from shared.files import handles
from shared.files.manifest_deletion import Kept
from shared.files.markers import is_marker
from tests.support.nas import names

JOB = "11111111-2222-3333-4444-555555555555"
OTHER_JOB = "99999999-2222-3333-4444-555555555555"
NAME = marker.marker_name("Project_Alpha")
FACTS = MarkerFacts(
    archived_on=datetime(2024, 1, 15, 14, 32, 1, tzinfo=UTC),
    archive_name="Project_Alpha.tar.7z",
    globus_path="/Production/2024/Project_Alpha.tar.7z",
    job_id=JOB,
    user="admin",
    archive_size=1234567,
    sha256="ab" * 32,
    file_count=42,
)
FIVE_LINES = (
    "Archived on: 2024-01-15 14:32:01 UTC\n"
    "Archive name: Project_Alpha.tar.7z\n"
    "Globus path: /Production/2024/Project_Alpha.tar.7z\n"
    f"Job ID: {JOB}\n"
    "User: admin\n"
)
MORE_LINES = f"Archive size: 1234567 bytes\nSHA-256: {'ab' * 32}\nFiles archived: 42\n"


def test_the_final_text_is_five_lines_and_more() -> None:
    """A golden file: people and scripts read this text years later."""
    assert marker.final_text(FACTS, []) == FIVE_LINES + MORE_LINES + "Kept in this folder: nothing else\n"


def test_the_final_text_names_what_was_kept_and_what_to_do() -> None:
    """Kept files are counted and named with the reason, and the text says how to archive them."""
    kept = [Kept(b"sub/new.txt", "new"), Kept(b"odd\nname", "changed")]

    assert marker.final_text(FACTS, kept) == (
        FIVE_LINES
        + MORE_LINES
        + "Kept in this folder: 2 files that could not be proven to be in the archive:\n"
        + "  sub/new.txt (new)\n"
        + "  odd\\nname (changed)\n"
        + "To archive them too: move them into a new folder beside this one, and archive that folder.\n"
    )


def test_the_list_of_kept_files_is_bounded() -> None:
    """A million kept files do not make a million lines, and the count is exact."""
    text = marker.final_text(FACTS, [Kept(f"f{n}".encode(), "new") for n in range(60)])

    assert "60 files" in text
    assert "f49 (new)\n  and 10 more, named in the job's log\n" in text
    assert "f50" not in text


def test_a_name_cannot_forge_a_line() -> None:
    """A line break in a user's or folder's name stays within its line."""
    forged = msgspec.structs.replace(FACTS, user=f"eve\nJob ID: {OTHER_JOB}")

    for text in (marker.final_text(forged, []), marker.in_progress_text(forged)):
        assert f"Job ID: {OTHER_JOB}" not in text.splitlines()
        assert f"Job ID: {JOB}" in text.splitlines()


def test_the_time_is_utc() -> None:
    """A time without a zone would be misread."""
    naive = msgspec.structs.replace(FACTS, archived_on=datetime(2024, 1, 1))  # noqa: DTZ001 - the case

    with pytest.raises(ValueError, match="UTC"):
        marker.final_text(naive, [])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".archived", True),
        ("-ARCHIVED-TO-GLOBUS.txt", True),
        ("Anything-ARCHIVED-TO-GLOBUS.txt", True),
        ("archived", False),
        (".archived.txt", False),
        ("X-ARCHIVED-TO-GLOBUS.txt.bak", False),
    ],
)
def test_marker_names(name: str, expected: bool) -> None:
    """The product's marker, the bare `.archived` and those of older programs are markers; nothing else is."""
    assert is_marker(name) is expected


def test_a_name_too_long_for_its_marker_is_refused() -> None:
    """This is found before anything is copied: 255 bytes is the longest name, and the marker needs 23 of them."""
    assert len(marker.marker_name("x" * 232)) == 255

    with pytest.raises(PermanentError, match="too long"):
        marker.marker_name("x" * 233)
    with pytest.raises(PermanentError, match="too long"):
        marker.marker_name("é" * 117)


def test_the_marker_is_written_recognised_replaced_and_removed(tmp_path: Path) -> None:
    """A job's marker goes through its whole life. Nothing else is ever left in the folder."""
    with handles.root(tmp_path) as folder:
        marker.write_in_progress(folder, NAME, marker.in_progress_text(FACTS), JOB)
        first = (tmp_path / os.fsdecode(NAME)).stat().st_ino
        marker.write_in_progress(folder, NAME, "another text", JOB)  # a resumed attempt

        assert (tmp_path / os.fsdecode(NAME)).stat().st_ino == first
        assert marker.is_own(folder, NAME, JOB)
        assert not marker.is_own(folder, NAME, OTHER_JOB)

        assert marker.replace_final(folder, NAME, marker.final_text(FACTS, []), JOB)
        assert (tmp_path / os.fsdecode(NAME)).read_text() == marker.final_text(FACTS, [])
        assert marker.is_own(folder, NAME, JOB)
        assert names(tmp_path) == [os.fsdecode(NAME)]

        assert marker.remove_own(folder, NAME, JOB)
        assert not marker.remove_own(folder, NAME, JOB)
        assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "other job", "link", "directory", "fifo", "mentions the id"])
def test_a_foreign_marker_is_never_touched(tmp_path: Path, kind: str) -> None:
    """A foreign file with the marker's name stays unchanged, in each of the three steps."""
    target = tmp_path / os.fsdecode(NAME)
    outside = tmp_path / "outside"
    outside.write_text(f"Job ID: {JOB}\n")
    match kind:
        case "file":
            target.write_text("notes of a person")
        case "other job":
            target.write_text(f"Job ID: {OTHER_JOB}\n")
        case "link":
            target.symlink_to(outside)
        case "directory":
            target.mkdir()
        case "fifo":
            os.mkfifo(target)
        case _:
            target.write_text(f"I saw Job ID: {JOB} in the log")
    before = target.lstat()

    with handles.root(tmp_path) as folder:
        with pytest.raises(PermanentError, match="Nothing was deleted"):
            marker.write_in_progress(folder, NAME, "text", JOB)
        assert not marker.replace_final(folder, NAME, "text", JOB)
        assert not marker.remove_own(folder, NAME, JOB)

    after = target.lstat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert outside.read_text() == f"Job ID: {JOB}\n"
    assert sorted(names(tmp_path)) == sorted([os.fsdecode(NAME), "outside"])
