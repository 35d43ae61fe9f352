"""Decide what to do about a running transfer task: poll again, show a pause, cancel, or accept its end."""

import re
from datetime import datetime, timedelta

import msgspec

from services.uploader.model import (
    TaskView,
)
from shared import units
from shared.errors import Operation

# Globus retries these until the deadline, although only a person can end them (facts: globus-cli#1056, balsam#114, parsl#762).
HARD_FAULTS = frozenset(
    {
        "ACL_CHANGED",
        "AMBIGUOUS_PATH",
        "FILE_NOT_FOUND",
        "GC_PAUSED",
        "INVALID_PATH_NAME",
        "IS_A_DIRECTORY",
        "IS_A_FILE",
        "LIMIT_EXCEEDED",
        "NO_CREDENTIALS",
        "NO_SPACE_LEFT",
        "NOT_A_DIRECTORY",
        "PERMISSION_DENIED",
        "QUOTA_EXCEEDED",
    }
)
QUIET = frozenset({"OK", "Queued"})
_REFUSED_ALGORITHM = re.compile(r"unsupported|not support|unknown|invalid|not available|not implemented", re.IGNORECASE)
# Half of the duration of a 450 MB transfer to the emulator was the wait for the second poll. With a first poll after 0.25 s the
# overshoot is a third of the task's time.
SMALL_TASK_BYTES = 4 << 30
SMALL_FIRST_POLL_S = 0.25


class WatchLimits(msgspec.Struct, frozen=True):
    """Times in seconds, and the growth of the poll interval.

    poll_interval_s: UPLOAD_TASK_POLL_INTERVAL_SECONDS, reached from `first_poll_s` in steps of `poll_growth`. hard_fault_s: how
    long a hard fault may last before the attempt ends. grace_s: how long Globus may take after the deadline to end the task
    itself, before our own timer ends it.
    """

    poll_interval_s: float = 60.0
    first_poll_s: float = 1.0
    poll_growth: float = 1.5
    hard_fault_s: float = 300.0
    grace_s: float = 60.0


class Seen(msgspec.Struct, frozen=True):
    """The results of earlier polls of the same task. They begin empty, also after a restart (the clocks then start again)."""

    polls: int = 0
    hard_fault_since: datetime | None = None
    bytes_transferred: int = 0


class KeepPolling(msgspec.Struct, frozen=True):
    """Poll again after `delay_s` seconds. `note` is Globus's current complaint, for people."""

    delay_s: float
    note: str | None = None
    queued: bool = False


class ShowPaused(msgspec.Struct, frozen=True):
    """Somebody at Globus paused the task: show `text` and poll again after `delay_s` seconds.

    The adapter's pause_info says more.
    """

    text: str
    delay_s: float


class Succeeded(msgspec.Struct, frozen=True):
    """Globus says SUCCEEDED: go and verify."""


class FailedAttempt(msgspec.Struct, frozen=True):
    """The task has ended without success. `operation` pays for another attempt (no budget when the algorithm was refused)."""

    reason: str
    operation: Operation = Operation.UPLOAD
    algorithm_refused: bool = False


class CancelEarly(msgspec.Struct, frozen=True):
    """Cancel the task, wait until it is terminal, then treat it as FailedAttempt with this reason."""

    reason: str
    operation: Operation = Operation.UPLOAD
    algorithm_refused: bool = False


Watch = KeepPolling | ShowPaused | Succeeded | FailedAttempt | CancelEarly


def refuses_algorithm(*texts: str | None) -> bool:
    """Return True if Globus says that a collection does not know the checksum algorithm (no code for it is documented)."""
    text = " ".join(t for t in texts if t).replace("_", " ")
    lower = text.lower()
    return "checksum" in lower and "algorithm" in lower and _REFUSED_ALGORITHM.search(lower) is not None


def observe(seen: Seen, task: TaskView | None, now: datetime) -> Seen:
    """Return what to remember of this poll.

    Moving bytes, a pause, or a fault that only takes time stops the clock of a hard fault.
    """
    if task is None:
        return msgspec.structs.replace(seen, polls=seen.polls + 1)
    moved = task.bytes_transferred or 0
    is_hard = task.nice_status in HARD_FAULTS and not task.is_paused and moved <= seen.bytes_transferred
    since = (seen.hard_fault_since or now) if is_hard else None
    return Seen(seen.polls + 1, since, max(moved, seen.bytes_transferred))


def watch(task: TaskView | None, seen: Seen, now: datetime, deadline: datetime, limits: WatchLimits) -> Watch:
    """Return how a submitted task continues. `seen` is the result of `observe` for this very poll; `deadline` is the one we sent.

    A task of None (Globus does not know a task it once gave us, because its history is gone) is never a success.
    """
    if task is None:
        return FailedAttempt("Globus does not know this task any more; whether it arrived will be found out by checking.")
    if task.status == "SUCCEEDED":
        return Succeeded()
    if task.status == "FAILED":
        return _failed(task)
    if task.status == "INACTIVE":
        return CancelEarly(
            "Globus suspended the task and will not continue it by itself (credentials at a collection expired): "
            "renew them at the collection."
        )
    if now >= deadline + timedelta(seconds=limits.grace_s):
        return CancelEarly(f"Not finished before its deadline ({deadline:%Y-%m-%d %H:%M} UTC). {trouble(task) or ''}".rstrip())
    delay = poll_delay(seen.polls, limits)
    if task.is_paused:
        return ShowPaused(trouble(task) or "Paused at Globus by an administrator of a collection.", delay)
    if refuses_algorithm(task.nice_status, task.nice_status_short_description, task.nice_status_details):
        return CancelEarly(trouble(task) or "The checksum algorithm was refused.", algorithm_refused=True)
    if seen.hard_fault_since is not None and now - seen.hard_fault_since >= timedelta(seconds=limits.hard_fault_s):
        return CancelEarly(f"{trouble(task)} (stood for {units.duration(limits.hard_fault_s)}, so it will not go away by itself)")
    return KeepPolling(delay, trouble(task), queued=task.nice_status == "Queued")


def out_of_sight(seen: Seen, now: datetime, deadline: datetime, limits: WatchLimits) -> float | None:
    """Return the seconds until the next poll when Globus did not answer; None once Globus must have ended the task by itself.

    Until then this costs no try. The task continues without us, and giving up would cancel a healthy transfer of
    hours because of our own bad connection.
    """
    return None if now >= deadline + timedelta(seconds=limits.grace_s) else poll_delay(seen.polls, limits)


def limits_for(total: int, limits: WatchLimits) -> WatchLimits:
    """Return the limits for a task of `total` bytes.

    A task that may end within seconds is polled sooner, at the cost of a few more polls.
    """
    return msgspec.structs.replace(limits, first_poll_s=SMALL_FIRST_POLL_S) if total <= SMALL_TASK_BYTES else limits


def poll_delay(polls: int, limits: WatchLimits) -> float:
    """Return the seconds until the next poll, after the `polls`-th one: 1, 1.5, 2.25 ... up to the setting."""
    # The exponent is bounded: a float to the power of a week's polls overflows.
    grown = limits.first_poll_s * limits.poll_growth ** min(max(polls - 1, 0), 40)
    return min(limits.poll_interval_s, grown)


def trouble(task: TaskView) -> str | None:
    """Return Globus's current complaint in words; None if there is none."""
    if task.nice_status is None or task.nice_status in QUIET:
        return None
    words = task.nice_status_short_description or task.nice_status
    details = " ".join((task.nice_status_details or "").split())
    text = f"Globus reports {task.nice_status}: {words}"
    return f"{text} ({details[:300]})" if details else text


def sent_bytes(task: TaskView, total: int) -> int:
    """Return the bytes for the progress bar. Globus counts retransmissions too, so the result is capped at `total`."""
    return min(task.bytes_transferred or 0, total)


def _failed(task: TaskView) -> FailedAttempt:
    code = task.fatal_error.code if task.fatal_error else ""
    description = task.fatal_error.description if task.fatal_error else ""
    if code == "CANCELED":
        by = (
            f" by {task.canceled_by_admin} ({task.canceled_by_admin_message or 'no reason given'})"
            if task.canceled_by_admin
            else ""
        )
        return FailedAttempt(f"The task was cancelled at Globus{by}.")
    if code == "EXPIRED":
        return FailedAttempt("The task did not finish before its deadline (UPLOAD_TASK_TIMEOUT_HOURS).")
    refused = refuses_algorithm(code, description)
    return FailedAttempt(
        f"Globus ended the task with {code or 'no code'}: {description or 'no reason given'}", algorithm_refused=refused
    )
