"""The browser's files: the built UI if it exists, else the gateway's small built-in page.

Deep links return index.html. A nonce per request replaces __CSP_NONCE__ in it, so that the policy does not need
'unsafe-inline'.
"""

import asyncio
import mimetypes
import secrets
from pathlib import Path

from services.gateway.gate import Message, Receive, Scope, Send
from services.gateway.http.http_errors import ProblemError, not_found

MINIMAL = Path(__file__).with_name("minimal_ui")
BUILT = Path(__file__).parents[2] / "ui" / "dist"
_NONCE = b"__CSP_NONCE__"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; font-src 'self';"
    " media-src 'self'; frame-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'"
)
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2"}


def content_type(name: str) -> str:
    kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or kind.endswith(("json", "svg+xml")) else kind


def inside(root: Path, path: str) -> Path | None:
    """Return the file of a request path below `root`. None for outside paths, links that lead outside, and directories."""
    parts = [part for part in path.split("/") if part]
    if any(part in {".", ".."} or "\0" in part or "\\" in part for part in parts):
        return None
    try:
        file = root.joinpath(*parts).resolve()
        return file if file.is_file() and file.is_relative_to(root.resolve()) else None
    except OSError:  # the name is too long for the file system
        return None


class Pages:
    """An ASGI application. `ui_path` is the directory of the built UI. None: ui/dist beside the code."""

    def __init__(self, ui_path: Path | None) -> None:
        self._built = ui_path or BUILT

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            raise ProblemError(405, "method-not-allowed", "Pages can only be read.", {"Allow": "GET, HEAD"})
        accepts = b" ".join(value for name, value in scope["headers"] if name.lower() == b"accept-encoding")
        headers, body = await asyncio.to_thread(self._find, scope["path"], gzip=b"gzip" in accepts)
        start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _find(self, path: str, *, gzip: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
        root = self._built if (self._built / "index.html").is_file() else MINIMAL
        file = inside(root, path)
        if file is None and "." not in path.rpartition("/")[2]:
            file = inside(root, "index.html")  # a deep link: the UI resolves it
        if file is None:
            raise not_found("There is nothing at this address.")
        if file.name == "index.html":
            return _page(file.read_bytes())
        # Only the build gives its files names that change with their content.
        keep = b"public, max-age=31536000, immutable" if "/assets/" in path else b"no-cache"
        headers = [(b"content-type", content_type(file.name).encode()), (b"cache-control", keep), (b"vary", b"accept-encoding")]
        packed = file.with_name(f"{file.name}.gz")
        if gzip and packed.is_file():
            headers.append((b"content-encoding", b"gzip"))
            file = packed
        body = file.read_bytes()
        return [*headers, (b"content-length", str(len(body)).encode())], body


def _page(html: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    nonce = secrets.token_urlsafe(16)
    body = html.replace(_NONCE, nonce.encode())
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", _POLICY.format(nonce=nonce).encode()),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(body)).encode()),
    ]
    return headers, body
