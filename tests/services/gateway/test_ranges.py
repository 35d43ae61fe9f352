"""The bytes of a file that a response has, and the bytes that an upload brings: RFC 9110, as tables."""

from datetime import UTC, datetime

import pytest

from services.gateway.http import ranges
from services.gateway.http.http_errors import ProblemError
from services.gateway.http.ranges import Answer, Part, Sent, Version

FILE = Version('"a-b"', datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 1000)
SAME, OLDER = "Fri, 02 Jan 2026 03:04:05 GMT", "Fri, 02 Jan 2026 03:04:04 GMT"


@pytest.mark.parametrize(
    ("given", "how", "part"),
    [
        ("bytes=0-99", Answer.PART, (0, 100)), ("bytes=900-", Answer.PART, (900, 1000)), ("bytes=900-5000", Answer.PART, (900, 1000)),
        ("bytes=-100", Answer.PART, (900, 1000)), ("bytes=-5000", Answer.PART, (0, 1000)), ("BYTES = 0 - 0", Answer.PART, (0, 1)),
        ("bytes=1000-", Answer.UNSATISFIABLE, (0, 1000)), ("bytes=-0", Answer.UNSATISFIABLE, (0, 1000)),
        ("bytes=5-4", Answer.WHOLE, (0, 1000)), ("bytes=-", Answer.WHOLE, (0, 1000)), ("bytes=a-b", Answer.WHOLE, (0, 1000)),
        ("items=0-1", Answer.WHOLE, (0, 1000)), ("bytes=0-1,5-6", Answer.WHOLE, (0, 1000)),
        ("bytes=" + "9" * 30 + "-", Answer.UNSATISFIABLE, (0, 1000)), ("bytes=5-" + "9" * 30, Answer.PART, (5, 1000)),
    ],
)  # fmt: skip
def test_ranges(given: str, how: Answer, part: tuple[int, int]) -> None:
    """One range is served, several or invalid ones get the whole file, one behind the end gets 416."""
    assert ranges.answer({"range": given}, FILE) == (how, Part(*part))


def test_an_empty_file_has_no_range() -> None:
    """No part of it can be served."""
    empty = FILE._replace(size=0)
    assert ranges.answer({}, empty)[0] is Answer.WHOLE
    assert ranges.answer({"range": "bytes=0-"}, empty)[0] is Answer.UNSATISFIABLE
    assert ranges.answer({"range": "bytes=-5"}, empty)[0] is Answer.UNSATISFIABLE


@pytest.mark.parametrize(
    ("headers", "how"),
    [
        ({"if-none-match": '"a-b"'}, Answer.NOT_MODIFIED), ({"if-none-match": 'W/"a-b"'}, Answer.NOT_MODIFIED),
        ({"if-none-match": '"x", "a-b"'}, Answer.NOT_MODIFIED), ({"if-none-match": "*"}, Answer.NOT_MODIFIED),
        ({"if-none-match": '"x"'}, Answer.WHOLE), ({"if-none-match": '"x"', "if-modified-since": SAME}, Answer.WHOLE),
        ({"if-modified-since": SAME}, Answer.NOT_MODIFIED), ({"if-modified-since": OLDER}, Answer.WHOLE),
        ({"if-modified-since": "nonsense"}, Answer.WHOLE),
        ({"if-match": '"a-b"'}, Answer.WHOLE), ({"if-match": "*"}, Answer.WHOLE), ({"if-match": '"x"'}, Answer.FAILED),
        ({"if-match": 'W/"a-b"'}, Answer.FAILED), ({"if-unmodified-since": SAME}, Answer.WHOLE),
        ({"if-unmodified-since": OLDER}, Answer.FAILED),
        ({"range": "bytes=0-1", "if-range": '"a-b"'}, Answer.PART), ({"range": "bytes=0-1", "if-range": '"x"'}, Answer.WHOLE),
        ({"range": "bytes=0-1", "if-range": 'W/"a-b"'}, Answer.WHOLE), ({"range": "bytes=0-1", "if-range": SAME}, Answer.PART),
        ({"range": "bytes=0-1", "if-range": OLDER}, Answer.WHOLE), ({"range": "bytes=0-1", "if-range": "nonsense"}, Answer.WHOLE),
    ],
)  # fmt: skip
def test_preconditions(headers: dict[str, str], how: Answer) -> None:
    """In RFC 9110's order: a known version is not sent again, and an unwanted version is refused."""
    assert ranges.answer(headers, FILE)[0] is how


@pytest.mark.parametrize(
    ("content_range", "length", "sent"),
    [
        (None, "5", Sent(0, 5, 5)), (None, "0", Sent(0, 0, 0)), ("bytes 0-4/10", "5", Sent(0, 5, 10)),
        ("bytes 5-9/10", None, Sent(5, 5, 10)),
        ("bytes */10", "0", Sent(0, 0, 10, asks=True)), ("bytes */0", None, Sent(0, 0, 0, asks=True)),
    ],
)  # fmt: skip
def test_what_an_upload_brings(content_range: str | None, length: str | None, sent: Sent) -> None:
    """The whole file, a part, or a status query."""
    assert ranges.sent(content_range, length) == sent


@pytest.mark.parametrize(
    ("content_range", "length"),
    [
        (None, None), (None, "-1"), ("bytes 0-4/10", "6"), ("bytes 5-4/10", None), ("bytes 0-10/10", "11"), ("bytes 0-4/*", "5"),
        ("0-4/10", "5"), ("bytes */10", "5"), ("bytes 0-4/" + "9" * 30, "5"),
    ],
)  # fmt: skip
def test_uploads_that_say_nonsense(content_range: str | None, length: str | None) -> None:
    """400 with a sentence; 411 without any length."""
    with pytest.raises(ProblemError) as refused:
        ranges.sent(content_range, length)
    assert refused.value.status == (411 if content_range is None else 400)


@pytest.mark.parametrize(
    ("name", "plain", "extended"),
    [
        ("report.zip", "report.zip", "report.zip"),
        ("Größe 100%.zip", "Gr__e 100_.zip", "Gr%C3%B6%C3%9Fe%20100%25.zip"),
        ('a"b\\c;d.zip', "a_b_c;d.zip", "a%22b%5Cc%3Bd.zip"),
        ("写真.7z", "__.7z", "%E5%86%99%E7%9C%9F.7z"),
    ],
)
def test_names_of_downloads(name: str, plain: str, extended: str) -> None:
    """RFC 6266: the exact name for clients that read `filename*`, a safe one for the rest. No quote ends the header early."""
    assert ranges.disposition(name) == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"


def test_versions_differ() -> None:
    """Size, either time or another file changes the tag. A time outside the calendar is no error."""
    tags = {ranges.version(*facts).etag for facts in ((1, 2, 3, 4), (9, 2, 3, 4), (1, 9, 3, 4), (1, 2, 9, 4), (1, 2, 3, 9))}
    assert len(tags) == 5
    assert ranges.version(1, 2, -(1 << 62), 4).modified.year == 1823 or ranges.version(1, 2, -(1 << 62), 4).modified.year == 1970
    assert ranges.version(1, 2, 1 << 62, 4).headers["Last-Modified"].endswith("GMT")
