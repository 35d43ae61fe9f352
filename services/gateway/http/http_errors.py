"""The gateway's refusals: status, code for programs, message for people. No I/O. problems.py turns them into responses."""

from collections.abc import Mapping, Sequence

from shared.errors import ArchiverError


class ProblemError(ArchiverError):
    """A refusal with its status. `str(error)` is the detail. `fields`: the name and the problem of each invalid value."""

    fields: Sequence[tuple[str, str]] = ()

    def __init__(self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.headers = dict(headers or {})


def bad_request(detail: str) -> ProblemError:
    return ProblemError(400, "bad-request", detail)


def bad_fields(wrong: Sequence[tuple[str, str]]) -> ProblemError:
    """Return a 400 that names every invalid value of the body."""
    problem = bad_request("; ".join(f"{name} {what}" for name, what in wrong) + ".")
    problem.fields = wrong
    return problem


def unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})


def forbidden(detail: str) -> ProblemError:
    return ProblemError(403, "forbidden", detail)


def not_found(detail: str) -> ProblemError:
    return ProblemError(404, "not-found", detail)


def conflict(detail: str, retry_after_s: int | None = None) -> ProblemError:
    """Return a 503. `retry_after_s`: the cause is temporary, and the client should retry after this time."""
    return ProblemError(409, "conflict", detail, {} if retry_after_s is None else {"Retry-After": str(retry_after_s)})


def unavailable(detail: str, retry_after_s: float = 5.0) -> ProblemError:
    """Return a 503 because something that this request needs is unavailable. `detail` names it."""
    return ProblemError(503, "unavailable", detail, {"Retry-After": str(max(1, round(retry_after_s)))})


NATS_AWAY = "The message server (NATS) does not answer, so the other services cannot be asked. Try again in a moment."
