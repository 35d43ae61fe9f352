"""Taking published files back out of a workspace never removes a user's file."""

import os
import time
from pathlib import Path

from services.compressor import publication
from services.compressor.publication import Plan


def test_what_a_killed_run_took_aside_goes_back(tmp_path: Path) -> None:
    """A user's file was moved along when a folder was taken aside, and the folder's name is taken again. Both stay, under two names."""
    home, attempt = tmp_path / "home", tmp_path / "attempt"
    (attempt / "out").mkdir(parents=True)
    (attempt / "out" / "ours").write_text("ours")
    piece = publication.piece_of(attempt, b"out", b"new")
    plan = Plan(directory="", pieces=[piece], newest_ns=publication.newest_change(attempt, [b"out"]), result={})
    home.mkdir()
    assert publication.publish(home, attempt, plan) == []
    (attempt / "taken-back").mkdir()
    (home / "new").rename(attempt / "taken-back" / "new")
    theirs = attempt / "taken-back" / "new" / "theirs"
    theirs.write_text("theirs")
    while theirs.stat().st_ctime_ns <= plan.newest_ns:  # file systems record time in ticks
        theirs.write_text("theirs")
    (home / "new").mkdir()

    assert publication.take_back(home, attempt, plan) == [b"new_1"]

    assert (home / "new_1" / "theirs").read_text() == "theirs"
    assert list((home / "new").iterdir()) == []


def test_what_is_ours_alone_is_taken_back(tmp_path: Path) -> None:
    """Nothing stays in the workspace."""
    home, attempt = tmp_path / "home", tmp_path / "attempt"
    home.mkdir()
    attempt.mkdir()
    (attempt / "archive.zip").write_text("ours")
    piece = publication.piece_of(attempt, b"archive.zip", b"a.zip")
    plan = Plan(directory="", pieces=[piece], newest_ns=publication.newest_change(attempt, [b"archive.zip"]), result={})
    publication.publish(home, attempt, plan)

    assert publication.take_back(home, attempt, plan) == []

    assert list(home.iterdir()) == []


def test_a_time_to_come_hides_no_change(tmp_path: Path) -> None:
    """A file was unpacked with a time in the next year and written to since. The written file stays."""
    home, attempt = tmp_path / "home", tmp_path / "attempt"
    home.mkdir()
    attempt.mkdir()
    (attempt / "notes").write_text("ours")
    next_year = time.time_ns() + 365 * 86_400 * 10**9
    os.utime(attempt / "notes", ns=(next_year, next_year))
    piece = publication.piece_of(attempt, b"notes", b"notes")
    plan = Plan(directory="", pieces=[piece], newest_ns=publication.newest_change(attempt, [b"notes"]), result={})
    publication.publish(home, attempt, plan)
    placed = time.time_ns()
    with (home / "notes").open("a") as file:
        file.write(" and theirs")
    while (home / "notes").stat().st_mtime_ns <= placed:  # file systems record time in ticks
        os.utime(home / "notes")

    assert publication.take_back(home, attempt, plan) == [b"notes"]

    assert (home / "notes").read_text() == "ours and theirs"
