"""The two families of failures, and their wording for people.

The adapter that meets a failure decides its family, because only the adapter knows it. `shared.domain.retry` only obeys. A
message is written for the person who must act: what happened, to what, and what to do.
"""

import errno
from enum import StrEnum


class Operation(StrEnum):
    """The operation that a retry budget belongs to."""

    COMPRESSION = "compression"
    UPLOAD = "upload"
    CONNECTION = "connection_error"


class ArchiverError(Exception):
    """Base of all errors that this project raises on purpose. `str(error)` can be shown to the user."""


class PermanentError(ArchiverError):
    """Retrying cannot help: bad input, a refused name, no permission. The job fails at once.

    `code`: a stable word that lets a program recognise this refusal; None when no program needs to.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


NOT_FOUND = "not-found"
"""Code of a refusal: the requested object does not exist."""
REFUSED = "refused"
"""Code of a failure without a more specific code: it will recur until the cause in its message is fixed."""
TAKEN = "taken"
"""Code of a refusal: another file or object already has that name."""
ARCHIVED_ALREADY = "archived-already"
"""Code of a refusal: the folder holds a marker."""


class TransientError(ArchiverError):
    """Retrying may help. The budget of `operation` pays for it."""

    def __init__(self, message: str, operation: Operation) -> None:
        super().__init__(message)
        self.operation = operation


class Waiting(ArchiverError):  # noqa: N818 - not a failure: something is not ready yet
    """The work cannot continue yet, and no budget pays: no space, NAS not mounted, the destination's state unknown.

    `retry_after_s`: seconds until the next check. `missing_bytes`: how much space is missing, if that is the reason.
    """

    def __init__(self, reason: str, retry_after_s: float = 60.0, missing_bytes: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.missing_bytes = missing_bytes


DISK_FULL = "disk_full"
"""Kind of a DatabaseAway: the database can read but cannot write."""


class DatabaseAway(ArchiverError):  # noqa: N818 - not a failure of the request: the database is unavailable now
    """The database cannot run a statement now, for a reason that is unrelated to the statement or its job.

    No budget pays for it and no job fails because of it: the call is repeated later. `kind`: a stable word for programs. `lasts`:
    the problem remains until somebody acts (for example, frees space).
    """

    def __init__(self, message: str, kind: str, *, lasts: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.lasts = lasts


class ConfigurationError(ArchiverError):
    """A process cannot start with these settings. The message names every wrong one."""


class Fenced(ArchiverError):  # noqa: N818 - says what happened to the worker
    """Another worker owns the job now (lease lost, attempt taken over). Stop at once and change nothing more."""


class Cancelled(ArchiverError):  # noqa: N818 - says what happened to the job
    """The user cancelled the job. The worker stops at the next safe point."""


class Paused(ArchiverError):  # noqa: N818 - says what happened to the job
    """The user paused the job. The worker stops its children and leaves the state as it is."""


_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
# Errors that a retry cannot fix, such as a missing or forbidden file.
_LASTING = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
    *(errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL, errno.EFBIG),
}


def from_os_error(error: OSError, operation: Operation) -> ArchiverError:
    """Convert an operating system error to an error of its family. A full disk means waiting."""
    if error.errno in _NO_SPACE:
        return Waiting(f"The disk is full: {error}. Free some space; the job goes on by itself.")
    if error.errno in _DENIED and isinstance(error.filename, str | bytes):
        raw = error.filename if isinstance(error.filename, bytes) else error.filename.encode(errors="surrogateescape")
        path = raw.decode(errors="backslashreplace")
        return PermanentError(f"{error.strerror}: {path}. Give the account that runs the service the right to use it, then retry.")
    if error.errno in _LASTING:
        return PermanentError(str(error))
    return TransientError(str(error), operation)
