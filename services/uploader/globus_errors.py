"""Decide what a failure of Globus means: permanent or transient, and with which message."""

import re

import msgspec
from globus_sdk import (
    AuthAPIError,
    GlobusAPIError,
    GlobusError,
    NetworkError,
)
from globus_sdk.token_storage import TokenValidationError

from services.uploader.decide.running_task import refuses_algorithm
from shared.errors import ArchiverError, Operation, PermanentError, TransientError, Waiting

MESSAGE_MAXIMUM = 300
PENDING_WAIT_S = 60.0  # 100 unfinished tasks per account are allowed; one ends in minutes, not seconds


class IdenticalPaths(TransientError):  # noqa: N818 - says what Globus found, and the uploader can go on from it
    """Globus refused a new submission: an unfinished task already moves the same paths.

    Find it by its label, adopt or cancel it.
    """


class ChecksumAlgorithmRefused(TransientError):  # noqa: N818 - says what Globus did, and the next algorithm answers it
    """A collection does not know the checksum algorithm. Submit with the next one (`decide.choose_algorithm`)."""


# Exceptions that the SDK raises besides its own errors. All were seen with odd answers of proxies: a JSON list or
# `"code": null` as an error body (TypeError), HTML with status 200 (ValueError), missing fields (KeyError), a
# broken socket below requests (OSError).
FORESEEN = (GlobusError, TypeError, ValueError, LookupError, AttributeError, msgspec.MsgspecError, OSError)
_TOKEN = re.compile(r"(?i)\b(bearer|basic|globus-goauthtoken)\s+[^\s,;]+")
_AUTH_REFUSALS = frozenset({400, 401, 403})


def family(error: Exception, doing: str, *, client_id: str = "", secret: str = "") -> ArchiverError:
    """Return what a failure of the SDK while `doing` something means for the job. Only this function decides about it.

    TransientError(CONNECTION): Globus or the way to it does not work now. PermanentError: somebody has to change something.
    Waiting: too many tasks at once. IdenticalPaths, ChecksumAlgorithmRefused: the uploader itself can resolve it.
    """
    if isinstance(error, ArchiverError):
        return error
    if isinstance(error, TokenValidationError):
        return PermanentError(f"Globus {doing}: the token does not carry the rights we asked for ({type(error).__name__}).")
    if isinstance(error, NetworkError):
        return TransientError(f"Globus cannot be reached ({doing}): {_network_reason(error)}", Operation.CONNECTION)
    if isinstance(error, AuthAPIError):
        return _auth_family(error, doing)
    if isinstance(error, GlobusAPIError):
        return _api_family(error, doing, client_id, secret)
    return TransientError(
        f"Globus gave an answer that could not be read ({doing}): {type(error).__name__}."
        " A proxy or a login page in between is the usual cause.",
        Operation.CONNECTION,
    )


def _auth_family(error: AuthAPIError, doing: str) -> ArchiverError:
    # Its text is left out: it is about credentials, and an answer may repeat what was sent.
    if error.http_status in _AUTH_REFUSALS and isinstance(error.raw_json, dict):
        return PermanentError(
            f"Globus {doing}: the client id or secret was refused (HTTP {error.http_status})."
            " Check GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET."
        )
    return TransientError(f"Globus Auth did not give a token ({doing}): HTTP {error.http_status}.", Operation.CONNECTION)


def _api_family(error: GlobusAPIError, doing: str, client_id: str, secret: str) -> ArchiverError:
    status, code = error.http_status, error.code or ""
    # Without the id of the request: two refusals of one kind must read the same, or a waiting job logs each of them.
    said = f"HTTP {status} {code}: {_clean(error.message or error.http_reason or '', secret)}."
    text = f"Globus refused ({doing}): {said}"
    who = f"{client_id}@clients.auth.globus.org"
    consent = error.info.consent_required
    if not isinstance(error.raw_json, dict) or not code:
        return TransientError(f"Not Globus but something in between answered ({doing}): HTTP {status}.", Operation.CONNECTION)
    if refuses_algorithm(code, error.message) and status < 500:
        return ChecksumAlgorithmRefused(text, Operation.UPLOAD)
    if "TooManyPendingJobs" in code:
        return Waiting(f"{text} The job goes on when some of them have ended.", PENDING_WAIT_S)
    if consent:
        return PermanentError(
            f"{text} The service account {who} lacks a consent: {', '.join(consent.required_scopes or [])}."
            " Check that the collection ids are right, and give the account access to the collection."
        )
    if status == 401:
        return PermanentError(f"{text} A fresh access token was refused too: check the service account {who} at Globus.")
    if "PermissionDenied" in code or status == 403:
        return PermanentError(f"{text} Give the service account {who} the permission at that collection.")
    if status == 409 and (code == "Conflict" or "identical paths" in (error.message or "")):
        return IdenticalPaths(text, Operation.UPLOAD)
    if "SizeLimit" in code:
        return PermanentError(f"{text} The directory has too many entries to be listed: use another GLOBUS_DESTINATION_BASE_PATH.")
    if "EndpointNotFound" in code:
        return PermanentError(f"{text} Check GLOBUS_SOURCE_ENDPOINT and GLOBUS_DESTINATION_ENDPOINT.")
    if status == 429 or status >= 500 or status == 408:
        return TransientError(f"Globus does not work now ({doing}): {said}", Operation.CONNECTION)
    return PermanentError(text)


def _network_reason(error: NetworkError) -> str:
    """Return the reason without addresses, because a proxy's may carry a password.

    The innermost system error is the meaningful one.
    """
    names, reason = type(error.underlying_exception).__name__, ""
    inner: BaseException | None = error.underlying_exception
    for _ in range(10):
        if inner is None:
            break
        if isinstance(inner, OSError) and inner.strerror:
            reason = f", {inner.strerror}"
        inner = inner.__cause__ or inner.__context__
    return f"{error.message} ({names}{reason})"


def _clean(text: str, secret: str) -> str:
    """Return one short line without credentials."""
    hidden = _TOKEN.sub(r"\1 [hidden]", " ".join(text.split()))
    if secret:
        hidden = hidden.replace(secret, "[hidden]")
    return hidden if len(hidden) <= MESSAGE_MAXIMUM else hidden[: MESSAGE_MAXIMUM - 1] + "…"
