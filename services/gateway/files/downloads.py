"""Send files in pieces from an open handle. This keeps memory use low, and a renamed file does not matter."""

import mimetypes
import os
from collections.abc import AsyncIterator, Mapping
from io import FileIO
from typing import Any

from litestar import Response
from litestar.response import Stream

from services.gateway.http import ranges
from services.gateway.http.http_errors import ProblemError
from services.gateway.http.ranges import Answer, Part
from services.gateway.records.disk import at_disk
from shared import units

_PIECE = 1 << 18
_SHOWN = ("image/", "audio/", "video/")
_PLAIN = "application/octet-stream"
_PDF = "application/pdf"
_BOXED = {
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}
"""Headers of a document that our pages show in a frame: own origin, no scripts, and other sites cannot show it."""


def content_type(name: str) -> str:
    """Return the type of images, audio and video by extension, else bytes, because a page or script would run with our rights."""
    kind = mimetypes.guess_type(name)[0] or _PLAIN
    return kind if kind.startswith(_SHOWN) and kind != "image/svg+xml" else _PLAIN


def shown_type(name: str) -> str | None:
    """Return the content type for a file that our pages may show in a frame, by extension. None: download only. Pure."""
    return _PDF if mimetypes.guess_type(name) == (_PDF, None) else None


def send(handle: int, name: str, headers: Mapping[str, str], kind: str | None = None, shown: str | None = None) -> Response[Any]:
    """Answer a GET with an open file, and close it at the end. Raises ProblemError 412 and 416.

    shown: the content type for display in a sandbox. None: the browser saves the file.
    """
    file = FileIO(handle, closefd=True)
    try:
        status, own, part = _answer(handle, name, headers, shown)
    except BaseException:
        file.close()
        raise
    if status == 304:
        file.close()
        return _Headers(None, status_code=status, headers=own, media_type=_PLAIN)
    own["Content-Type"] = shown or kind or content_type(name)  # set as a header: the framework gives a stream the type of its route
    return Stream(_Pieces(file, part), status_code=status, headers=own)


def look(handle: int, name: str, headers: Mapping[str, str], kind: str | None = None, shown: str | None = None) -> Response[None]:
    """Answer a HEAD like `send`, without content and never with a range (RFC 9110, 14.2)."""
    try:
        status, own, _ = _answer(handle, name, {key: value for key, value in headers.items() if key != "range"}, shown)
    finally:
        os.close(handle)
    return _Headers(None, status_code=status, headers=own, media_type=shown or kind or content_type(name))


class _Headers(Response[None]):
    """A response with headers only. Its content type is that of the file."""

    def render(self, content: Any, media_type: str, enc_hook: Any = None) -> bytes:  # noqa: ARG002 - the framework's signature
        return b""


def _answer(handle: int, name: str, headers: Mapping[str, str], shown: str | None) -> tuple[int, dict[str, str], Part]:
    version = ranges.version_of(os.fstat(handle))
    how, part = ranges.answer(headers, version)
    if how is Answer.FAILED:
        raise ranges.failed(version.headers)
    if how is Answer.UNSATISFIABLE:
        more = {**version.headers, "Content-Range": f"bytes */{version.size}"}
        raise ProblemError(416, "range-not-satisfiable", f"The file has {units.exact_size(version.size)}.", more)
    disposition = ranges.disposition(name, "inline" if shown else "attachment")
    own = {**version.headers, "Content-Disposition": disposition, "Cache-Control": "private, no-cache", **(_BOXED if shown else {})}
    if how is Answer.NOT_MODIFIED:
        return 304, own, part
    own["Content-Length"] = str(part.end - part.start)
    if how is Answer.WHOLE:
        return 200, own, part
    return 206, {**own, "Content-Range": f"bytes {part.start}-{part.end - 1}/{version.size}"}, part


class _Pieces:
    """Iterate over a part of a file. The file is closed at the end, even if no piece is ever requested."""

    def __init__(self, file: FileIO, part: Part) -> None:
        self._file = file
        self._at, self._end = part

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._read()

    async def _read(self) -> AsyncIterator[bytes]:
        try:
            while self._at < self._end:
                piece = await at_disk(os.pread, self._file.fileno(), min(_PIECE, self._end - self._at), self._at)
                if not piece:
                    return  # the file was truncated meanwhile: the response ends before its Content-Length, so the client notices
                self._at += len(piece)
                yield piece
        finally:
            self._file.close()

    def __del__(self) -> None:
        self._file.close()
