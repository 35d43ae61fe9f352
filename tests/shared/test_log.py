"""Logs: a code for programs, a sentence for people, no secrets, and at most 30 days and 1 GB."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import log

SCRIPT = """
import logging, sys
from pathlib import Path
from shared import log
log.configure("uploader", "uploader@host:1", "INFO", sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None)
lines = log.get("x")
lines.debug("unseen", message="Too quiet.")
lines.info("started", message="At work.", job_id="j1", nats_password="hunter2", database_url="hunter2",
    error="cannot reach postgresql://cs_uploader:hunter2@db/cs", data={"Authorization": "hunter2", "tries": [1, "nats://u:hunter2@n"]})
logging.getLogger("nats").warning("lost nats://u:%s@host", "hunter2")
lines.warning("tokens", message="GET /ws/jobs?token=hunter2&x=1 by csa_hunter2hunter2hunter2 and eyJhbGciOiJI.hunter2.hunter2")
logging.getLogger("httpx").info("unseen")
try:
    raise ValueError("postgresql://cs_uploader:hunter2@db/cs")
except ValueError:
    lines.exception("failed", message="It failed.")
"""


def say(style: str, *arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, style, *arguments], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    assert "hunter2" not in done.stderr
    return done.stderr.splitlines()


def test_json_lines_for_programs(tmp_path: Path) -> None:
    """One JSON object per line on stderr and in the file: action, sentence, ids, level, time. Secrets are redacted, also nested ones."""
    file = tmp_path / "logs" / "uploader.log"

    lines = [json.loads(line) for line in say("json", str(file))]

    assert [(line["event"], line["level"]) for line in lines[:1] + lines[3:]] == [("started", "info"), ("failed", "error")]
    assert lines[2]["message"] == "GET /ws/jobs?token=[redacted]&x=1 by [redacted] and [redacted]"
    first = lines[0]
    assert (first["service"], first["instance"], first["job_id"], first["message"]) == (
        "uploader",
        "uploader@host:1",
        "j1",
        "At work.",
    )
    assert first["timestamp"].endswith("Z")
    assert (first["nats_password"], first["database_url"]) == ("[redacted]", "[redacted]")
    assert first["error"] == "cannot reach postgresql://cs_uploader:[redacted]@db/cs"
    assert first["data"] == {"Authorization": "[redacted]", "tries": [1, "nats://u:[redacted]@n"]}
    assert lines[1]["event"] == "lost nats://u:[redacted]@host"
    assert "Traceback" in lines[3]["exception"]
    timeless = [[{**line, "timestamp": ""} for line in copy] for copy in (lines, map(json.loads, file.read_text().splitlines()))]
    assert timeless[0] == timeless[1]


def test_console_lines_for_people() -> None:
    """The same for people: no JSON, and no colours in a pipe."""
    text = "\n".join(say("console"))

    assert "started" in text
    assert "At work." in text
    assert "unseen" not in text
    assert "\x1b[" not in text
    assert not text.startswith("{")


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[log._RotatingFile]:
    made = log._RotatingFile(tmp_path / "service.log")
    made.rolloverAt += 86_400  # midnight comes only where a test says so
    yield made
    made.close()


def record(text: str = "x") -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "x", 1, text, None, None)


def parts(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_big_file_is_rotated_within_the_day(handler: log._RotatingFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file begins at its maximum size. Several parts of one day exist side by side, and nothing is lost."""
    monkeypatch.setattr(log, "_FILE_BYTES", 1000)
    for number in range(60):
        handler.emit(record(f"{number:03} " + "x" * 95))  # 100 bytes with its line end

    files = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert len(files) == 6
    written = [line[:3] for file in files for line in file.read_text().splitlines()]
    assert sorted(written) == [f"{number:03}" for number in range(60)]
    assert max(file.stat().st_size for file in files) <= 1100


def test_a_new_day_begins_a_new_file(handler: log._RotatingFile, tmp_path: Path) -> None:
    """After the end of the day, the next line goes to a new file."""
    handler.emit(record("yesterday"))
    handler.rolloverAt = 0 + handler.interval  # the day that began in 1970 is over
    handler.emit(record("today"))

    assert parts(tmp_path) == ["service.log", "service.log.1970-01-01"]
    assert (tmp_path / "service.log").read_text() == "today\n"
    assert (tmp_path / "service.log.1970-01-01").read_text() == "yesterday\n"


def test_thirty_days_are_kept(handler: log._RotatingFile, tmp_path: Path) -> None:
    """Parts older than 30 days are removed at the next rotation. Younger ones and other files stay."""
    newest = time.time()
    for days in (0, 29, 30, 31, 400):
        part = tmp_path / f"service.log.{days}"
        part.touch()
        os.utime(part, (newest - days * 86400, newest - days * 86400))
    (tmp_path / "service.log2").touch()
    handler.emit(record())

    handler.doRollover()

    assert {"service.log.0", "service.log.29", "service.log2"} <= set(parts(tmp_path))
    assert not {"service.log.31", "service.log.400"} & set(parts(tmp_path))


def test_one_gigabyte_is_kept(handler: log._RotatingFile, tmp_path: Path) -> None:
    """For any number of days, all parts and the maximum size of the current file stay within 1 GB."""
    now = time.time()
    for number in range(15):
        part = tmp_path / f"service.log.{number:02}"
        with part.open("wb") as file:
            file.truncate(100 << 20)  # sparse: uses no space
        os.utime(part, (now - number - 1, now - number - 1))

    handler.doRollover()

    left = [path for path in tmp_path.iterdir() if path.name != "service.log"]
    assert sum(path.stat().st_size for path in left) + log._FILE_BYTES <= 1 << 30
    assert {f"service.log.{number:02}" for number in range(9)} <= set(parts(tmp_path))
