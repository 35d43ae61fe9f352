"""The log of requests, in order, for tests that check what was sent. Bounded, and without secrets."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any
from urllib.parse import parse_qsl

import msgspec

BODY_LIMIT = 64 * 1024
REDACTED = "[redacted]"
_SHOWN_HEADERS = ("content-type", "user-agent", "x-globus-client-info")
_SECRET_FIELDS = frozenset({"client_secret", "token", "refresh_token", "code", "assertion"})


class RequestLog:
    """The last requests. Any thread may call its methods."""

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=size)
        self._count = 0

    def add(
        self,
        *,
        time: float,
        method: str,
        path: str,
        query: dict[str, list[str]],
        headers: dict[str, str],
        body: bytes,
    ) -> dict[str, Any]:
        """Record a request on arrival; the caller fills in `status` and `fault`."""
        shown = {name: headers[name] for name in _SHOWN_HEADERS if name in headers}
        if "authorization" in headers:
            shown["authorization"] = f"{headers['authorization'].partition(' ')[0]} {REDACTED}"
        entry = {
            "time": time,
            "method": method,
            "path": path,
            "query": query,
            "headers": shown,
            "body": _body(headers.get("content-type", ""), body),
            "status": None,
            "fault": None,
        }
        with self._lock:
            self._count += 1
            entry["number"] = self._count
            self._entries.append(entry)
        return entry

    def entries(self, after: int, path: str) -> list[dict[str, Any]]:
        """Return entries with a higher number and this text in their path, oldest first."""
        with self._lock:
            return [dict(entry) for entry in self._entries if entry["number"] > after and path in entry["path"]]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._count = 0


def _body(content_type: str, body: bytes) -> Any:
    if not body:
        return None
    if "form-urlencoded" in content_type:
        pairs = parse_qsl(body.decode(errors="replace"))
        return {name: REDACTED if name in _SECRET_FIELDS else value for name, value in pairs}
    if len(body) <= BODY_LIMIT:
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError:
            pass
    return body[:BODY_LIMIT].decode(errors="replace")
