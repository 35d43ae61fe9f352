"""Refusals as application/problem+json (RFC 9457), with a `detail` that users understand.

Other code raises `ProblemError` or an error of `shared.errors`. Only this module turns exceptions into responses. An unexpected
error becomes a 500 with the request id and no internals. The log has the details under the same id.
"""

from http import HTTPStatus
from typing import Any

import asyncpg
import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from services.gateway.http.http_errors import ProblemError, bad_request, unavailable
from shared import log
from shared.errors import DatabaseAway, PermanentError, TransientError, Waiting

logger = log.get(__name__)

MEDIA_TYPE = "application/problem+json"


class FieldProblem(msgspec.Struct, frozen=True):
    """One invalid value. `field` is the caller's name for it, `source` is body, query, path or header."""

    field: str
    message: str
    source: str = "body"


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """RFC 9457. `type` is a stable code for programs, `detail` a message for people. Quote `request_id` when you ask for help."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""
    errors: list[FieldProblem] = []


_KINDS = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    411: "length-required",
    413: "too-large",
    415: "unsupported-media-type",
}
_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The request is larger than the gateway accepts.",
}


def encode(error: ProblemError, request_id: str, errors: list[FieldProblem] | None = None) -> bytes:
    """Return the document as it is sent."""
    title = HTTPStatus(error.status).phrase
    detail = str(error)
    return msgspec.json.encode(
        Problem(type=error.kind, title=title, status=error.status, detail=detail, request_id=request_id, errors=errors or [])
    )


def from_exception(exc: Exception) -> ProblemError | None:
    """Return the refusal for an exception, or None for an unexpected one."""
    match exc:
        case ProblemError():
            return exc
        case Waiting():
            return unavailable(str(exc), exc.retry_after_s)
        case TransientError() | DatabaseAway():
            return unavailable(str(exc))
        case PermanentError():
            return bad_request(str(exc))
        case HTTPException() if exc.status_code >= 500:
            return None
        case HTTPException():
            status = exc.status_code
            kind = _KINDS.get(status, "refused")
            return ProblemError(status, kind, _DETAILS.get(status) or _sentence(exc.detail), exc.headers)
        case asyncpg.DataError():
            return bad_request("A value holds characters or numbers that cannot be stored.")
        case _:
            return None


def _sentence(text: str) -> str:
    """Return the text as a sentence. The framework's messages have no final period."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def internal_error() -> ProblemError:
    return ProblemError(500, "internal-error", "Something went wrong on our side; it is in the log under this request id.")


def _field_problems(exc: Exception) -> list[FieldProblem]:
    if not isinstance(exc, ValidationException) or not isinstance(exc.extra, list):
        return []
    found = []
    for item in exc.extra:
        if isinstance(item, dict):
            source = str(getattr(item.get("source"), "value", item.get("source") or "body"))
            field = str(item.get("key") or source)
            found.append(FieldProblem(field if source != "body" else field.removeprefix("data."), str(item.get("message")), source))
    return found


def answer(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """Handle every exception for Litestar."""
    request_id = str(request.scope.get("state", {}).get("request_id", ""))
    error = from_exception(exc)
    if error is None:
        logger.error("request_failed", message="A request failed unexpectedly.", path=request.url.path, exc_info=exc)
        error = internal_error()
    fields = _field_problems(exc)
    if fields:
        error = ProblemError(400, "validation-failed", _sentence("; ".join(f"{f.field}: {f.message}" for f in fields)))
    fields = fields or [FieldProblem(name, what) for name, what in error.fields]
    return Response(encode(error, request_id, fields), status_code=error.status, media_type=MEDIA_TYPE, headers=error.headers)


_MEANINGS = {
    400: "Something in the request is not right; `detail` says what.",
    401: "Not logged in, or not any more.",
    403: "Not allowed; `password-change-required` until the first password is changed.",
    404: "There is no such thing.",
    409: "Not possible in the present state; `detail` says why.",
    408: "The request arrived too slowly.",
    410: "What was asked for is not kept any more; read the lists again.",
    411: "The request does not say how long the file is.",
    412: "The file is not the version that was asked for.",
    413: "The request is too large.",
    415: "The body is not of the documented type.",
    416: "The file has no such bytes; `Content-Range` says how many it has.",
    422: "The file is there, but nothing can be made of it; `type` and `detail` say why.",
    429: "Too much at the same time, or too often; `detail` says of what, and `Retry-After` how many seconds to wait.",
    503: "Something this needs is away; `detail` says what.",
    507: "The server's disk is full.",
}


def refusals(*more: int, public: bool = False) -> dict[int, ResponseSpec]:
    """Return a route's refusals for the API's documentation: the common ones and `more`.

    413 adds the other refusals that a body can cause.
    """
    statuses = {400, 503, *more} | (set() if public else {401, 403, 429}) | ({408, 415} if 413 in more else set())
    return {
        status: ResponseSpec(Problem, generate_examples=False, description=_MEANINGS[status], media_type=MEDIA_TYPE)
        for status in sorted(statuses)
    }
