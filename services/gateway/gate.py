"""The outermost layer: request id, security headers, timeouts and access, checked before path, query and body.

Everything below /api needs a login, except the routes in PUBLIC. An unknown URL below /api returns 401 like any other. Anything
that is neither API nor schema is a page.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit
from uuid import uuid4

import msgspec
import structlog

from services.gateway.auth.limits import Limits
from services.gateway.auth.security import CHANGE_FIRST, NOT_LOGGED_IN, Security
from services.gateway.http import problems
from services.gateway.http.http_errors import ProblemError, bad_request, not_found, unauthorized, unavailable
from services.gateway.records.identity import Identity
from shared import log, units

logger = log.get(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]

PUBLIC = {("POST", "/api/auth/login"), ("GET", "/api/health"), ("GET", "/api/health/ready")}
BEFORE_PASSWORD_CHANGE = {"/api/auth/password", "/api/auth/me", "/api/auth/logout"}
READING = {"GET", "HEAD", "OPTIONS"}
SESSION_COOKIE = "cs_archiver_session"
SCHEMAS = {"/schema", "/schema/openapi.json", "/schema/asyncapi.json"}

BODY_SECONDS = 30.0
ANSWER_SECONDS = 60.0  # a scan is waited for half of this time
REFUSED_SECONDS = 2.0
"""The delay of a 429, so that a program that retries at once does not keep others waiting."""
STREAMED = {("PUT", "/api/files/content")}
"""Bodies of any length. Each piece must arrive in time. The limit for the answer starts with the last piece."""
STOPPING = "This gateway is shutting down and could not finish the request. Send it again in a moment."
WRONG_ORIGIN = (
    "With a cookie, changes are accepted only from this server's own pages. Programs send `Authorization: Bearer <token>`."
)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]
_STAY_ENCRYPTED = (b"strict-transport-security", b"max-age=31536000")
# Defaults for responses that set no policy or caching. API responses are data: never a page, never framed, never stored.
_DEFAULTS = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-frame-options": b"DENY",
    b"cache-control": b"no-store",
}


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the token of `Authorization: Bearer <token>`."""
    for name, value in headers:
        if name.lower() == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else None
    return None


def session_cookie(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the browser's login from the cookie that POST /api/auth/login sets on request."""
    for name, value in headers:
        if name.lower() == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, content = pair.strip().partition("=")
                if key == SESSION_COOKIE and content:
                    return content
    return None


def is_own_origin(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether the browser says that the request comes from one of our pages. A cookie alone proves nothing.

    The scheme is not compared, because a proxy may speak HTTPS while this server does not.
    """
    values = {name.lower(): value.decode("latin-1") for name, value in headers}
    if b"origin" in values:
        return urlsplit(values[b"origin"]).netloc == values.get(b"host") != ""
    return values.get(b"sec-fetch-site") == "same-origin"


class Gate:
    """The ASGI application around the API and the pages."""

    def __init__(self, api: Asgi, pages: Asgi, security: Security, limits: Limits, metrics_page: Asgi | None = None) -> None:
        self._limits = limits
        self._metrics_page = metrics_page
        self._api = api
        self._pages = pages
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._api(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        with_headers = _with_headers(send, request_id, encrypted=scope["scheme"] == "https")
        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            begun = True
            await with_headers(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await _in_time(self._route, scope, receive, guarded)
            except asyncio.CancelledError:  # the server is stopping, and its grace period for this request is over
                if begun:
                    raise
                await refuse(guarded, unavailable(STOPPING), request_id)
            except Exception as exc:  # the last place where a defect can become a response
                error = problems.from_exception(exc)
                if error is None:
                    logger.exception("request_failed", message="A request failed unexpectedly.", path=scope["path"])
                    error = problems.internal_error()
                await refuse(guarded, error, request_id)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if _below(path, "/api"):
            if (scope["method"], path) in PUBLIC:
                await self._call(scope, receive, send)
                return
            who = await self._admit(scope, path)
            with self._limits.holding(who.id):  # until the answer has ended, including streams and downloads
                async with self._limits.pace.answering(who.id) as begun:
                    await self._call(scope, receive, _telling(send, begun))
        elif path in SCHEMAS:
            # The framework reserves /schema for pages that load scripts from other sites, so ours has its own path.
            await self._api({**scope, "path": "/schema/index.html"} if path == "/schema" else scope, receive, send)
        elif path == "/metrics" and self._metrics_page is not None:
            await self._metrics_page(scope, receive, send)
        elif _below(path, "/schema"):
            raise not_found("There is nothing at this address.")
        else:
            await self._pages(scope, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        _refuse_bytes(scope["query_string"])
        await self._api(scope, receive, send)

    async def _admit(self, scope: Scope, path: str) -> Identity:
        headers, is_change = scope["headers"], scope["method"] not in READING
        token, cookie = bearer(headers), session_cookie(headers)
        if token is None and cookie is None:
            raise unauthorized(NOT_LOGGED_IN)
        who = await self._security.identify(token if token is not None else str(cookie))
        if token is None:
            if is_change and not is_own_origin(headers):
                raise ProblemError(403, "wrong-origin", WRONG_ORIGIN)
            who = msgspec.structs.replace(who, via="cookie")
        if is_change and who.scope == "read":
            raise ProblemError(403, "scope", "This personal token may only read.")
        if who.must_change_password and path not in BEFORE_PASSWORD_CHANGE:
            raise ProblemError(403, "password-change-required", CHANGE_FIRST)
        who = msgspec.structs.replace(who, address=address_of(scope), request_id=scope["state"]["request_id"])
        scope["user"], scope["auth"] = who, who.claims
        return who


def address_of(scope: Any) -> str:
    """Return the client's address. Only proxies named in FORWARDED_ALLOW_IPS may report it for others."""
    return str((scope.get("client") or ("",))[0])


async def refuse(send: Send, error: ProblemError, request_id: str) -> None:
    """Answer with a problem document."""
    body = problems.encode(error, request_id)
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in error.headers.items()]
    headers += [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refuse_bytes(query: bytes) -> None:
    """Reject a query that is not UTF-8. The framework would replace the invalid bytes, so different names would become equal."""
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise bad_request("The query is no UTF-8 text.") from None


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the caller's own request id if it is harmless, so that a proxy's log can be matched with ours. Else a new one."""
    given = next((value for name, value in headers if name.lower() == b"x-request-id"), b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else uuid4().hex


async def _in_time(route: Asgi, scope: Scope, receive: Receive, send: Send) -> None:
    """Apply the timeouts: slow requests time out, and so do answers that have not started.

    An answer that has started may take as long as its reader needs, because streams stay open.
    """
    loop = asyncio.get_running_loop()
    sent_by = loop.time() + BODY_SECONDS
    is_streamed = (scope["method"], scope["path"]) in STREAMED

    async def timely() -> Message:
        nonlocal sent_by
        try:
            async with asyncio.timeout_at(sent_by):
                message = await receive()
        except TimeoutError as exc:
            raise ProblemError(408, "too-slow", f"The request did not arrive within {units.duration(BODY_SECONDS)}.") from exc
        if not message.get("more_body"):
            sent_by = float("inf")  # from here on, the only message is the client's disconnect
        elif is_streamed:
            sent_by = loop.time() + BODY_SECONDS
        if is_streamed and message["type"] == "http.request":
            limit.reschedule(loop.time() + BODY_SECONDS + ANSWER_SECONDS)
        return message

    try:
        async with asyncio.timeout(ANSWER_SECONDS) as limit:

            async def begin(message: Message) -> None:
                limit.reschedule(None)
                await send(message)

            await route(scope, timely, begin)
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise unavailable(
            f"This took longer than {units.duration(ANSWER_SECONDS)} and was given up. Try again in a moment."
        ) from exc


def _telling(send: Send, begun: Callable[[], None]) -> Send:
    """Call `begun` when the answer begins."""

    async def tell(message: Message) -> None:
        begun()
        await send(message)

    return tell


def _with_headers(send: Send, request_id: str, *, encrypted: bool) -> Send:
    own = [*_HEADERS, (b"x-request-id", request_id.encode()), *([_STAY_ENCRYPTED] if encrypted else [])]

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] == 429:  # delay clients that do not wait by themselves, at no cost
                await asyncio.sleep(REFUSED_SECONDS)
            given = {name.lower() for name, _ in message.get("headers", [])}
            more = [(name, value) for name, value in _DEFAULTS.items() if name not in given]
            message = {**message, "headers": [*message.get("headers", []), *own, *more]}
        await send(message)

    return add
