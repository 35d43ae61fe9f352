"""The two families every failure belongs to, and how a person reads them.

The adapter that meets a failure decides its family (it alone knows); `shared.domain.retry` only obeys. A message is written for the
person who has to act: what happened, to what, and what to do.
"""

import errno
from enum import StrEnum


class Operation(StrEnum):
    """What a retry budget belongs to."""

    COMPRESSION = "compression"
    UPLOAD = "upload"
    CONNECTION = "connection_error"


class ArchiverError(Exception):
    """Base of everything this project raises on purpose; `str(error)` is fit for the user."""


class PermanentError(ArchiverError):
    """Trying again cannot help: bad input, a refused name, no permission. The job fails at once.

    `code`: a stable word, where a program has to tell this refusal from others; None where nobody has to.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


NOT_FOUND = "not-found"
"""Code of a refusal: what was asked about does not exist."""
REFUSED = "refused"
"""Code of a failure that has no other: the same happens again until somebody mends what its message names."""
TAKEN = "taken"
"""Code of a refusal: something else has that name."""
ARCHIVED_ALREADY = "archived-already"
"""Code of a refusal: the folder holds a marker."""


class TransientError(ArchiverError):
    """Trying again may help; the budget of `operation` pays for it."""

    def __init__(self, message: str, operation: Operation) -> None:
        super().__init__(message)
        self.operation = operation


class Waiting(ArchiverError):  # noqa: N818 - not a failure: nothing went wrong, something is not there yet
    """Cannot go on yet, and no budget pays for it: no space, NAS not mounted, the destination's state unknown.

    `retry_after_s`: when to look again, in seconds. `missing_bytes`: how much space is lacking, where that is the reason.
    """

    def __init__(self, reason: str, retry_after_s: float = 60.0, missing_bytes: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.missing_bytes = missing_bytes


DISK_FULL = "disk_full"
"""Kind of a DatabaseAway: the database can read, and write nothing."""


class DatabaseAway(ArchiverError):  # noqa: N818 - not a failure of what was asked: the database does not take it now
    """The database does not take a statement now, for a reason that says nothing about the statement or its job.

    No budget pays for it and nothing fails by it: the call is made again later. `kind`: a stable word for programs. `lasts`: somebody
    has to act (free space, say) before the database takes it.
    """

    def __init__(self, message: str, kind: str, *, lasts: bool) -> None:
        super().__init__(message)
        self.kind = kind
        self.lasts = lasts


class ConfigurationError(ArchiverError):
    """A process cannot start with these settings; names every wrong one."""


class Fenced(ArchiverError):  # noqa: N818 - says what happened to the worker
    """Somebody else owns the job now (lease lost, attempt taken over): stop at once, touch nothing more."""


class Cancelled(ArchiverError):  # noqa: N818 - says what happened to the job
    """The user cancelled the job; the worker stops at the next safe point."""


class Paused(ArchiverError):  # noqa: N818 - says what happened to the job
    """The user paused the job; the worker stops its children and leaves the state as it is."""


_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
# What another try cannot change, such as a file that is missing or not permitted.
_LASTING = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
    *(errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL, errno.EFBIG),
}


def from_os_error(error: OSError, operation: Operation) -> ArchiverError:
    """Put an error of the operating system into its family; a full disk is something to wait for."""
    if error.errno in _NO_SPACE:
        return Waiting(f"The disk is full: {error}. Free some space; the job goes on by itself.")
    if error.errno in _DENIED and isinstance(error.filename, str | bytes):
        raw = error.filename if isinstance(error.filename, bytes) else error.filename.encode(errors="surrogateescape")
        path = raw.decode(errors="backslashreplace")
        return PermanentError(f"{error.strerror}: {path}. Give the account that runs the service the right to use it, then retry.")
    if error.errno in _LASTING:
        return PermanentError(str(error))
    return TransientError(str(error), operation)
