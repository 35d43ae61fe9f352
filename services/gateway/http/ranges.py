"""Ranges of files over HTTP (RFC 9110, 13 and 14): preconditions, byte ranges, and parts of uploads. Pure."""

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

from services.gateway.http.http_errors import ProblemError, bad_request

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,99})\s*-\s*(\d{0,99})", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})", re.IGNORECASE)
_ETAGS = re.compile(r'(W/)?("[^"]*")')


class Part(NamedTuple):
    """The bytes from `start` up to, but not including, `end`."""

    start: int
    end: int


class Answer(StrEnum):
    WHOLE = "whole"
    PART = "part"
    NOT_MODIFIED = "not-modified"
    FAILED = "precondition-failed"
    UNSATISFIABLE = "unsatisfiable"


class Version(NamedTuple):
    """The facts that distinguish two contents of a file."""

    etag: str
    modified: datetime
    size: int

    @property
    def headers(self) -> dict[str, str]:
        return {"ETag": self.etag, "Last-Modified": format_datetime(self.modified, usegmt=True), "Accept-Ranges": "bytes"}


def version_of(found: os.stat_result) -> Version:
    """Return the headers of this version."""
    return version(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def version(inode: int, size: int, mtime_ns: int, ctime_ns: int) -> Version:
    """Return the version from fstat. The tag is strong: ctime changes with the content, even if mtime is set back."""
    try:
        modified = datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC)
        format_datetime(modified, usegmt=True)
    except (ValueError, OverflowError, OSError):
        modified = datetime.fromtimestamp(0, UTC)
    return Version(f'"{inode:x}-{size:x}-{mtime_ns & (1 << 64) - 1:x}-{ctime_ns & (1 << 64) - 1:x}"', modified, size)


def failed(headers: Mapping[str, str] | None = None) -> ProblemError:
    return ProblemError(412, "precondition-failed", "The file is not the version that was asked for.", headers)


def answer(headers: Mapping[str, str], file: Version) -> tuple[Answer, Part]:
    """Return the response to a GET or HEAD. Several ranges and unreadable ranges return the whole file (14.2)."""
    whole = Part(0, file.size)
    if not _may_go_on(headers, file):
        return Answer.FAILED, whole
    if _is_known(headers, file):
        return Answer.NOT_MODIFIED, whole
    given = headers.get("range")
    if given is None or not _if_range(headers.get("if-range"), file):
        return Answer.WHOLE, whole
    found = _RANGE.fullmatch(given.strip())
    if found is None or not (found[1] or found[2]):
        return Answer.WHOLE, whole
    if not found[1]:  # a suffix range: the last N bytes
        last = int(found[2])
        part = Part(max(0, file.size - last), file.size)
        return (Answer.PART, part) if last and file.size else (Answer.UNSATISFIABLE, whole)
    start = int(found[1])
    end = min(int(found[2]) + 1, file.size) if found[2] else file.size
    if found[2] and int(found[2]) < start:
        return Answer.WHOLE, whole
    return (Answer.PART, Part(start, end)) if start < file.size else (Answer.UNSATISFIABLE, whole)


def may_write(headers: Mapping[str, str], file: Version | None) -> bool:
    """Return whether an upload may replace `file`. None: there is no file."""
    if file is None:
        return "if-match" not in headers
    return _may_go_on(headers, file) and not ("if-none-match" in headers and _is_known(headers, file))


def _may_go_on(headers: Mapping[str, str], file: Version) -> bool:
    if (given := headers.get("if-match")) is not None:
        return given.strip() == "*" or any(not weak and tag == file.etag for weak, tag in _ETAGS.findall(given))
    since = _date(headers.get("if-unmodified-since"))
    return since is None or file.modified <= since


def _is_known(headers: Mapping[str, str], file: Version) -> bool:
    if (given := headers.get("if-none-match")) is not None:
        return given.strip() == "*" or any(tag == file.etag for _, tag in _ETAGS.findall(given))
    since = _date(headers.get("if-modified-since"))
    return since is not None and file.modified <= since


def _if_range(given: str | None, file: Version) -> bool:
    """Return whether the client's partial copy is of this same content."""
    if given is None:
        return True
    text = given.strip()
    return text == file.etag if text.startswith(('"', "W/")) else _date(text) == file.modified


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
        return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class Sent(NamedTuple):
    """The part of a file in a request: `length` bytes from `start`, of `total`. `length` 0 only asks for the progress."""

    start: int
    length: int
    total: int
    asks: bool = False


def sent(content_range: str | None, content_length: str | None) -> Sent:
    """Return the part that an upload request carries. Raises ProblemError 400 and 411."""
    length = int(content_length) if content_length is not None and re.fullmatch(r"\d{1,18}", content_length) else None
    if content_range is None:
        if length is None:
            sentence = "Say how long the file is: Content-Length for the whole of it, or Content-Range for a part."
            raise ProblemError(411, "length-required", sentence)
        return Sent(0, length, length)
    found = _CONTENT_RANGE.fullmatch(content_range.strip())
    if found is None:
        raise bad_request("Content-Range must look like `bytes 0-999/5000`, or `bytes */5000` to ask how far an upload got.")
    total = int(found[3])
    if found[1] is None:
        if length not in {None, 0}:
            raise bad_request("`bytes */...` only asks: send nothing with it.")
        return Sent(0, 0, total, asks=True)
    start, last = int(found[1]), int(found[2])
    if not start <= last < total:
        raise bad_request("Content-Range names bytes that the file does not have.")
    if length is not None and length != last - start + 1:
        raise bad_request("Content-Range and Content-Length disagree.")
    return Sent(start, last - start + 1, total)


def disposition(name: str, how: str = "attachment") -> str:
    """Return a Content-Disposition with this exact name, in any script (RFC 6266, RFC 8187). how: attachment or inline."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
