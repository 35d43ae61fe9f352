"""One table: the consequence of each failure."""

import errno
import os

import pytest

from shared.domain.retry import Decision, Fail, Limits, Retry, decide
from shared.errors import (
    ConfigurationError,
    Operation,
    PermanentError,
    TransientError,
    Waiting,
    from_os_error,
)

C, U, N = Operation.COMPRESSION, Operation.UPLOAD, Operation.CONNECTION
LIMITS = Limits(compression=3, upload=5, connection=10, delay_s=30.0)


@pytest.mark.parametrize(
    ("error", "spent", "decision"),
    [
        (TransientError("hiccup", C), 0, Retry(30.0, "hiccup (retry 1 of 3)", C)),
        (TransientError("hiccup", C), 2, Retry(30.0, "hiccup (retry 3 of 3)", C)),
        (TransientError("hiccup", C), 3, Fail("hiccup (gave up after 3 retries)")),
        (TransientError("hiccup", C), 99, Fail("hiccup (gave up after 3 retries)")),
        (TransientError("hiccup", U), 4, Retry(30.0, "hiccup (retry 5 of 5)", U)),
        (TransientError("hiccup", U), 5, Fail("hiccup (gave up after 5 retries)")),
        (TransientError("hiccup", N), 9, Retry(30.0, "hiccup (retry 10 of 10)", N)),
        (TransientError("hiccup", N), 10, Fail("hiccup (gave up after 10 retries)")),
        # Waiting uses no retry, however long it lasts.
        (Waiting("no space", 60.0, 4096), 99, Retry(60.0, "no space", None, 4096)),
        (Waiting("not mounted", 5.0), 0, Retry(5.0, "not mounted", None)),
        # Permanent failures have a code, so that nobody is told to retry the same request.
        (PermanentError("a socket"), 0, Fail("a socket", "refused")),
        (PermanentError("gone", "not-found"), 0, Fail("gone", "not-found")),
        (ConfigurationError("no 7zz"), 0, Fail("no 7zz")),
        # A retry must not hide a defect.
        (ZeroDivisionError("division by zero"), 0, Fail("division by zero")),
        (KeyError(), 0, Fail("KeyError")),
    ],
)
def test_decide(error: Exception, spent: int, decision: Decision) -> None:
    """Each error family and the limits of each budget."""
    assert decide(error, spent, LIMITS) == decision


def test_no_budget_means_no_retry() -> None:
    """A limit of 0 fails at the first transient error."""
    assert decide(TransientError("x", C), 0, Limits(compression=0)) == Fail("x (gave up after 0 retries)")


@pytest.mark.parametrize(
    ("number", "family"),
    [
        (errno.ENOSPC, Waiting),
        (errno.EDQUOT, Waiting),
        (errno.ENOENT, PermanentError),
        (errno.EACCES, PermanentError),
        (errno.ELOOP, PermanentError),
        (errno.EROFS, PermanentError),
        (errno.ENAMETOOLONG, PermanentError),
        (errno.EIO, TransientError),
        (errno.ESTALE, TransientError),
        (errno.ETIMEDOUT, TransientError),
        (errno.EBUSY, TransientError),
    ],
)
def test_errors_of_the_operating_system(number: int, family: type[Exception]) -> None:
    """A full disk waits, a wrong name or missing permission is permanent, any other error may pass."""
    error = from_os_error(OSError(number, os_text := "the system's words", "/some/path"), C)

    assert type(error) is family
    assert os_text in str(error)
    assert "/some/path" in str(error)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_right_that_is_missing_is_said_with_what_to_do(number: int) -> None:
    """The sentence names the path, even if it is not text, and does not use Python's notation."""
    error = from_os_error(OSError(number, os.strerror(number), b"/srv/caf\xe9"), C)

    assert str(error) == (
        f"{os.strerror(number)}: /srv/caf\\xe9. Give the account that runs the service the right to use it, then retry."
    )
