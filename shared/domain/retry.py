"""Decide what follows from a failure. The decision is pure, so one table of tests covers it."""

import msgspec

from shared import units
from shared.errors import REFUSED, DatabaseAway, Operation, PermanentError, TransientError, Waiting


class Limits(msgspec.Struct, frozen=True):
    """Retry budgets and the delay between attempts."""

    compression: int = 3
    upload: int = 5
    connection: int = 10
    delay_s: float = 30.0

    def of(self, operation: Operation) -> int:
        return {
            Operation.COMPRESSION: self.compression,
            Operation.UPLOAD: self.upload,
            Operation.CONNECTION: self.connection,
        }[operation]


class Retry(msgspec.Struct, frozen=True, tag=True):
    """Try again after `delay_s` seconds. `spends` names the budget that pays; None when the wait is free."""

    delay_s: float
    reason: str
    spends: Operation | None
    missing_bytes: int | None = None


class Fail(msgspec.Struct, frozen=True, tag=True):
    """Fail the job with this reason. `code` identifies the refusal when a retry without changes cannot help."""

    reason: str
    code: str | None = None


Decision = Retry | Fail


def decide(error: Exception, spent: int, limits: Limits) -> Decision:
    """Return the decision from the failure and the attempts already `spent` from that operation's budget.

    Permanent errors fail at once. So do unexpected errors: they are defects of ours, and retries would hide them for 90 seconds.
    """
    match error:
        case Waiting():
            return Retry(error.retry_after_s, str(error), None, error.missing_bytes)
        case DatabaseAway():
            return Retry(limits.delay_s, str(error), None)
        case TransientError():
            allowed = limits.of(error.operation)
            if spent < allowed:
                return Retry(limits.delay_s, f"{error} (retry {spent + 1} of {allowed})", error.operation)
            return Fail(f"{error} (gave up after {units.counted(allowed, 'retry', 'retries')})")
        case PermanentError():
            return Fail(str(error), error.code or REFUSED)
        case _:
            return Fail(str(error) or type(error).__name__, getattr(error, "code", None))
