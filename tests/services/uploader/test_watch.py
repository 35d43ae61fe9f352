"""How a running task is watched."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.uploader.decide import proofs, running_task
from services.uploader.decide.proofs import NoAlgorithm
from services.uploader.decide.running_task import (
    HARD_FAULTS,
    CancelEarly,
    FailedAttempt,
    KeepPolling,
    Seen,
    ShowPaused,
    Succeeded,
    WatchLimits,
)
from services.uploader.model import Algorithm, FatalError, TaskView

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEADLINE = NOW + timedelta(hours=12)
LIMITS = WatchLimits()
ALGORITHM_TEXT = "unsupported checksum algorithm SHA256"


def view(status: str = "ACTIVE", **fields: Any) -> TaskView:
    return TaskView(task_id="t", status=status, **fields)


def at(task: TaskView | None, *, seen: Seen | None = None, now: datetime = NOW) -> running_task.Watch:
    return running_task.watch(task, seen or Seen(polls=1), now, DEADLINE, LIMITS)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (view("SUCCEEDED"), Succeeded),
        (view(nice_status="OK"), KeepPolling),
        (view(nice_status=None), KeepPolling),
        (view(nice_status="Queued"), KeepPolling),
        (view("SOMETHING_NEW"), KeepPolling),
        (view(nice_status="CONNECT_FAILED"), KeepPolling),
        (view(nice_status="GC_NOT_CONNECTED"), KeepPolling),
        (view(nice_status="PERMISSION_DENIED"), KeepPolling),  # the fault's timer has just started
        (view(nice_status="ENDPOINT_ERROR", nice_status_details=ALGORITHM_TEXT), CancelEarly),
        (view(is_paused=True), ShowPaused),
        (view("INACTIVE", nice_status="AUTH"), CancelEarly),
        (view("FAILED", fatal_error=FatalError("CANCELED", "canceled")), FailedAttempt),
        (view("FAILED", fatal_error=FatalError("EXPIRED", "expired")), FailedAttempt),
        (view("FAILED", fatal_error=FatalError("EXTERNAL_CHECKSUM_MISMATCH", "x")), FailedAttempt),
        (view("FAILED"), FailedAttempt),
        (None, FailedAttempt),
    ],
)
def test_each_state_of_a_task_has_one_answer(task: TaskView | None, expected: type) -> None:
    """Every status and complaint that Globus is known to report."""
    assert isinstance(at(task), expected)


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_the_end_counts_even_after_the_deadline(status: str) -> None:
    """A task that ended is judged by its result, however late the check is."""
    assert not isinstance(at(view(status), now=DEADLINE + timedelta(days=1)), CancelEarly)


@pytest.mark.parametrize(
    ("after_s", "cancelled"),
    [(-1, False), (0, False), (59, False), (60, True), (3600, True)],  # grace_s 60
)
def test_our_own_timer_follows_the_deadline(after_s: float, cancelled: bool) -> None:
    """Globus ends a task at its deadline. A minute later the uploader ends it, even if it is paused."""
    for task in (view(), view(is_paused=True)):
        assert isinstance(at(task, now=DEADLINE + timedelta(seconds=after_s)), CancelEarly) is cancelled


@pytest.mark.parametrize("code", sorted(HARD_FAULTS))
@pytest.mark.parametrize(("stood_s", "cancelled"), [(299, False), (300, True)])
def test_a_hard_fault_ends_the_attempt_after_its_time(code: str, stood_s: int, cancelled: bool) -> None:
    """A fault that only a person can fix gets five minutes. Then Globus's text is the reason."""
    task = view(nice_status=code, nice_status_details="Path: /x")
    answer = at(task, seen=Seen(1, NOW - timedelta(seconds=stood_s)))

    assert isinstance(answer, CancelEarly) is cancelled
    text = answer.reason if isinstance(answer, CancelEarly) else getattr(answer, "note", "")
    assert code in text
    assert "Path: /x" in text


@pytest.mark.parametrize(
    ("seen", "task", "since"),
    [
        (Seen(), view(nice_status="FILE_NOT_FOUND"), NOW),
        (Seen(1, NOW - timedelta(1)), view(nice_status="PERMISSION_DENIED"), NOW - timedelta(1)),  # the timer continues
        (Seen(1, NOW - timedelta(1)), view(nice_status="OK"), None),
        (Seen(1, NOW - timedelta(1)), view(nice_status="CONNECTION_RESET"), None),
        (Seen(1, NOW - timedelta(1)), view(nice_status="FILE_NOT_FOUND", is_paused=True), None),
        (Seen(1, NOW - timedelta(1), 5), view(nice_status="FILE_NOT_FOUND", bytes_transferred=6), None),  # bytes move
        (Seen(1, NOW - timedelta(1), 5), view(nice_status="FILE_NOT_FOUND", bytes_transferred=5), NOW - timedelta(1)),
        (Seen(1, NOW - timedelta(1)), None, NOW - timedelta(1)),
    ],
)
def test_the_clock_of_a_hard_fault(seen: Seen, task: TaskView | None, since: datetime | None) -> None:
    """It starts with the first hard fault and stops with any sign of progress."""
    after = running_task.observe(seen, task, NOW)

    assert (after.hard_fault_since, after.polls) == (since, seen.polls + 1)


@pytest.mark.parametrize(
    ("polls", "delay"),
    [
        (0, 1.0),
        (1, 1.0),
        (2, 1.5),
        (3, 2.25),
        (11, 57.665),  # 1.5 ** 10
        (12, 60.0),
        (10_000, 60.0),
    ],
)
def test_looks_get_rarer_up_to_the_setting(polls: int, delay: float) -> None:
    """1 s at first, half as much again each time, never more than UPLOAD_TASK_POLL_INTERVAL_SECONDS."""
    assert running_task.poll_delay(polls, LIMITS) == pytest.approx(delay, rel=1e-4)


def test_a_short_interval_is_obeyed() -> None:
    """A setting below the first delay wins."""
    assert running_task.poll_delay(1, WatchLimits(poll_interval_s=0.2)) == 0.2


@pytest.mark.parametrize(("total", "first"), [(0, 0.25), (4 << 30, 0.25), ((4 << 30) + 1, 1.0)])
def test_a_small_task_is_looked_at_sooner(total: int, first: float) -> None:
    """Up to 4 GiB, the first polls are closer together. The setting stays the longest pause."""
    limits = running_task.limits_for(total, LIMITS)

    assert running_task.poll_delay(1, limits) == first
    assert running_task.poll_delay(10_000, limits) == LIMITS.poll_interval_s


def test_queued_and_notes_are_shown() -> None:
    """A waiting task says so. A complaint is passed on in Globus's words. Quiet tasks have no note."""
    assert at(view(nice_status="Queued")) == KeepPolling(1.0, None, queued=True)
    assert at(view(nice_status="OK")) == at(view(nice_status=None)) == KeepPolling(1.0)
    assert at(view(nice_status="TIMEOUT")) == KeepPolling(1.0, "Globus reports TIMEOUT: TIMEOUT")
    note = at(view(nice_status="CONNECT_FAILED", nice_status_short_description="connect failed"))
    assert note == KeepPolling(1.0, "Globus reports CONNECT_FAILED: connect failed")


@pytest.mark.parametrize(
    ("task", "refused"),
    [
        (view("FAILED", fatal_error=FatalError("ENDPOINT_ERROR", ALGORITHM_TEXT)), True),
        (view("FAILED", fatal_error=FatalError("EXTERNAL_CHECKSUM_MISMATCH", "checksum differs")), False),
        (view("FAILED", fatal_error=FatalError("VERIFY_CHECKSUM", "the checksum by algorithm SHA256 differs")), False),
        (view("FAILED", fatal_error=FatalError("ENDPOINT_ERROR", "not supported")), False),
        (view("FAILED", fatal_error=FatalError("ENDPOINT_ERROR", "unsupported compression algorithm")), False),
        (view("FAILED", fatal_error=FatalError("ENDPOINT_ERROR", "unknown checksum failure")), False),
        (view("FAILED", fatal_error=FatalError("CANCELED", "canceled")), False),
        (view("INACTIVE"), False),
        (None, False),
    ],
)
def test_only_a_refused_algorithm_is_taken_for_one(task: TaskView | None, refused: bool) -> None:
    """A mismatch must never look like a reason to try a weaker algorithm."""
    answer = at(task)

    assert isinstance(answer, FailedAttempt | CancelEarly)
    assert answer.algorithm_refused is refused


def test_an_administrators_cancel_is_named() -> None:
    """The user sees who cancelled, and why."""
    task = view(
        "FAILED", fatal_error=FatalError("CANCELED", "canceled"), canceled_by_admin="DESTINATION", canceled_by_admin_message="full"
    )

    answer = at(task)

    assert isinstance(answer, FailedAttempt)
    assert "DESTINATION" in answer.reason
    assert "full" in answer.reason


@pytest.mark.parametrize(
    ("refused", "chosen"),
    [
        ((), Algorithm.SHA256),
        (("SHA256",), Algorithm.MD5),
        (("sha-256",), Algorithm.MD5),
        (("MD5",), Algorithm.SHA256),
        (("SHA1",), Algorithm.SHA256),
    ],
)
def test_the_strongest_algorithm_left(refused: tuple[str, ...], chosen: Algorithm) -> None:
    """SHA-256 unless it was refused, then MD5."""
    assert proofs.choose_algorithm(refused) is chosen


def test_no_algorithm_left_names_the_fix() -> None:
    """The job fails and says what to do. It never continues without a digest."""
    answer = proofs.choose_algorithm(("SHA256", "MD5"))

    assert isinstance(answer, NoAlgorithm)
    assert "Update Globus Connect" in answer.reason


def test_progress_never_exceeds_the_archive() -> None:
    """Globus counts retransmitted bytes; the progress bar does not."""
    assert running_task.sent_bytes(view(bytes_transferred=120), 100) == 100
    assert running_task.sent_bytes(view(), 100) == 0


def test_out_of_sight_until_the_deadline() -> None:
    """While the task may continue, polling goes on ever more slowly. Past its deadline there is nothing to wait for."""
    assert running_task.out_of_sight(Seen(polls=1), NOW, DEADLINE, LIMITS) == LIMITS.first_poll_s
    assert running_task.out_of_sight(Seen(polls=500), NOW, DEADLINE, LIMITS) == LIMITS.poll_interval_s
    assert running_task.out_of_sight(Seen(polls=1), DEADLINE + timedelta(seconds=LIMITS.grace_s), DEADLINE, LIMITS) is None
