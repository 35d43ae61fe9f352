"""The gateway's decisions, without any I/O: paths, possible actions, the queue's order, alerts, pages, progress."""

import base64
import binascii
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec

from services.gateway.http.http_errors import ProblemError, bad_request, conflict, not_found
from services.gateway.schemas.system import Alert, RelayState, ServiceInstance, SystemStatus
from shared import units
from shared.domain.destinations import ARCHIVE_SUFFIX, Elsewhere, elsewhere_text
from shared.domain.lifecycle import CANCELLABLE, COMPRESS_LANE, DELETE_LANE, PAUSABLE, TERMINAL, UPLOAD_LANE, Kind, Role, Status
from shared.errors import ARCHIVED_ALREADY, DISK_FULL, NOT_FOUND, TAKEN, DatabaseAway, PermanentError
from shared.units import counted


class FailedJob(NamedTuple):
    """A failed job that was neither cleared nor retried."""

    id: UUID
    folder_name: str
    reason: str
    at: datetime | None


# Folders -----------------------------------------------------------------------------------------------------------------------------


def below_base(base: str, path: str) -> str:
    """Return a folder's absolute path. `Level1/Level2/Folder`, as in lists, is taken as below the base. Pure."""
    return path if path.startswith("/") else f"{base.rstrip('/')}/{path}"


def folder_path(base: str, path: str) -> str:
    """Return the normalized form of a requested path. Raises ProblemError 400 if it cannot be a folder on offer."""
    root, text = base.rstrip("/"), below_base(base, path).removesuffix("/")
    if "\0" in text:
        raise bad_request(f"{path!r} is no path.")
    if not text.startswith(f"{root}/"):
        raise bad_request(f"{path!r} is not below {root or '/'}, where the folders to archive are.")
    parts = text[len(root) + 1 :].split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise bad_request(f"{path!r} is not in its plain form: write it without '//', '.' and '..'.")
    if len(parts) != 3:
        raise bad_request(
            f"Only folders exactly three levels below {root or '/'} can be archived; {path!r} is at level {len(parts)}."
        )
    return text


def scanner_refusal(refusal: PermanentError) -> ProblemError:
    """Return the response to a scanner's refusal."""
    by_code = {ARCHIVED_ALREADY: conflict, NOT_FOUND: not_found}
    return by_code.get(refusal.code or "", bad_request)(str(refusal))


def archive_refusal(refusal: PermanentError) -> ProblemError:
    """Return the response to a compressor's refusal. Its code, if any, becomes the problem's type."""
    by_code = {NOT_FOUND: not_found, TAKEN: conflict}
    if refusal.code in by_code:
        return by_code[refusal.code](str(refusal))
    return ProblemError(400, refusal.code or "bad-request", str(refusal))


def destination(level1: str, level2: str, name: str) -> str:
    """Return the archive's path below the destination's base path."""
    return f"/{level1}/{level2}/{name}{ARCHIVE_SUFFIX}"


# Cancel ------------------------------------------------------------------------------------------------------------------------------


class Action(StrEnum):
    """The actions that a user can request for a running job."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class Cancel(StrEnum):
    NOW = "now"
    """No worker holds the job, and the gateway may change its state."""
    REQUEST = "request"
    """The worker that holds the job, or the service that owns the transition, must cancel it."""


# In these states the gateway itself cancels when nobody holds a lease (the edges of shared/domain/lifecycle.py).
UNHELD = {Kind.ARCHIVE: frozenset({Status.QUEUED, Status.COMPRESSED, Status.VERIFIED})}
_UNHELD_WORKSPACE = frozenset({Status.QUEUED})
_ENDED = {Status.COMPLETED: "has completed", Status.FAILED: "has failed", Status.CANCELLED: "is cancelled already"}


def cancel(kind: Kind, status: Status, *, held: bool) -> Cancel:
    """Return how to cancel a job in this state. Raises ProblemError 409 with the reason when it is too late."""
    if status in TERMINAL:
        raise conflict(f"This job {_ENDED[status]}; there is nothing left to cancel.")
    if status not in CANCELLABLE:
        raise conflict(
            "This job's archive is proven at the destination and its source is being deleted; that is finished, not cancelled half-way."
        )
    if not held and status in UNHELD.get(kind, _UNHELD_WORKSPACE):
        return Cancel.NOW
    return Cancel.REQUEST


def pause(status: Status, *, cancelling: bool) -> None:
    """Raise ProblemError 409 with the reason when a job cannot be paused."""
    if status in TERMINAL:
        raise conflict(f"This job {_ENDED[status]}; there is nothing left to pause.")
    if status not in PAUSABLE:
        raise conflict("This job's archive is proven at the destination; from there on it runs to its end and is not paused.")
    if cancelling:
        raise conflict("This job is being cancelled, so it cannot be paused.")


def resume(status: Status) -> None:
    """Raise ProblemError 409 when there is nothing to resume."""
    if status in TERMINAL:
        raise conflict(f"This job {_ENDED[status]}; it cannot go on.")


def clear(status: Status) -> None:
    """Raise ProblemError 409 with the reason when a job cannot be cleared from the history."""
    if status not in TERMINAL:
        raise conflict("This job has not ended, so it cannot be cleared. Cancel it first.")


def actions(status: Status, *, paused: bool, cancelling: bool) -> list[Action]:
    """Return the actions that a job accepts now. The routes refuse all others with 409."""
    if cancelling or status not in CANCELLABLE:
        return []
    if status not in PAUSABLE:
        return [Action.CANCEL]
    return [Action.RESUME if paused else Action.PAUSE, Action.CANCEL]


def owner(status: Status, kind: Kind = Kind.ARCHIVE) -> Role:
    """Return the service that works on a job in this state."""
    if kind is not Kind.ARCHIVE:
        return Role.COMPRESSOR
    for lane in (UPLOAD_LANE, DELETE_LANE):
        if status == lane.ready or status in lane.working:
            return lane.role
    return Role.COMPRESSOR


# The order of the queue -------------------------------------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """A waiting job. Higher `priority` goes first, then lower `seq`."""

    id: UUID
    priority: int
    seq: int


def moved(order: Sequence[Waiting], chosen: Collection[UUID], to: str) -> list[Waiting]:
    """Return `order` with the chosen jobs at the top, one up, one down, or at the bottom. The chosen keep their relative order."""
    rest, moving = [job for job in order if job.id not in chosen], [job for job in order if job.id in chosen]
    if to == "top":
        return [*moving, *rest]
    if to == "bottom":
        return [*rest, *moving]
    new = list(order) if to == "up" else list(reversed(order))
    for place in range(1, len(new)):
        if new[place].id in chosen and new[place - 1].id not in chosen:
            new[place - 1], new[place] = new[place], new[place - 1]
    return new if to == "up" else list(reversed(new))


def priorities(order: Sequence[Waiting]) -> dict[UUID, int]:
    """Return the new priorities that produce this order of the queue. A priority only rises."""
    needed: dict[UUID, int] = {}
    below: Waiting | None = None
    for job in reversed(order):
        least = job.priority if below is None else max(job.priority, below.priority + (job.seq > below.seq))
        if least > job.priority:
            needed[job.id] = least
        below = job._replace(priority=least)
    return needed


# System ------------------------------------------------------------------------------------------------------------------------------

_EVENTS_LATE_SECONDS = 30.0


def postgres_state(refused: DatabaseAway | None) -> Literal["ok", "disk_full", "refusing"]:
    """Return the database state that the status shows."""
    if refused is None:
        return "ok"
    return "disk_full" if refused.kind == DISK_FULL else "refusing"


def events_late(relay: RelayState) -> str | None:
    """Return a message that events are late, or None if they are not."""
    if (relay.oldest_seconds or 0) <= _EVENTS_LATE_SECONDS:
        return None
    return f"{counted(relay.waiting, 'event waits', 'events wait')} to be published. Jobs go on; followers of the events see them late."


def alerts(
    status: SystemStatus,
    failed: Sequence[FailedJob],
    refused: DatabaseAway | None = None,
    elsewhere: Sequence[Elsewhere] = (),
) -> list[Alert]:
    """Return what needs attention, most urgent first.

    refused: the reason why the database does not accept all work now. elsewhere: work at destinations that the settings no
    longer name.
    """
    found = []
    if refused is not None:
        kind: Literal["database_full", "database_refuses"] = (
            "database_full" if status.postgres == "disk_full" else "database_refuses"
        )
        found.append(Alert(kind, str(refused), None, None))
    if status.disk_space.low:
        free = 100 - status.disk_space.percent_used
        found.append(
            Alert(
                "disk_low",
                f"Only {free:.0f} % of the storage is free ({units.size(status.disk_space.free_gb * units.GB)}).",
                None,
                None,
            )
        )
    alive = {instance.service for instance in status.services if instance.alive}
    found += [Alert("service_missing", f"No {role} is running.", None, None) for role in Role if role not in alive]
    found += [
        Alert("service_silent", f"{instance.instance} has given no sign of life lately.", instance.seen_at, None)
        for role in Role
        if role in alive
        for instance in _unreplaced([instance for instance in status.services if instance.service == role])
    ]
    if status.nats == "away":
        found.append(
            Alert("nats_away", "The message server (NATS) does not answer; work goes on, events follow later.", None, None)
        )
    found += [Alert("work_elsewhere", elsewhere_text(work), work.since, work.job_id) for work in elsewhere]
    late = events_late(status.relay)
    if late is not None:
        found.append(Alert("events_late", late, None, None))
    found += [Alert("job_failed", f"{job.folder_name} failed: {job.reason}", job.at, job.id) for job in failed]
    return found


def _unreplaced(instances: Sequence[ServiceInstance]) -> list[ServiceInstance]:
    """Return a service's silent instances without a replacement. Each live instance that started later replaces one of them."""
    silent = sorted((instance for instance in instances if not instance.alive), key=lambda instance: instance.seen_at)
    for started in sorted(instance.started_at for instance in instances if instance.alive):
        if silent and silent[0].seen_at < started:
            del silent[0]
    return silent


# Pages -------------------------------------------------------------------------------------------------------------------------------


class Sort(StrEnum):
    """Orders of the history. All but the first list only jobs that have ended."""

    CREATED = "created"
    ENDED = "ended"
    NAME = "name"
    SIZE = "size"
    DURATION = "duration"


Key = datetime | timedelta | str | int
_KEYS: dict[Sort, type[Key]] = {Sort.NAME: str, Sort.SIZE: int, Sort.DURATION: timedelta}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Place(msgspec.Struct, frozen=True):
    """The start of a page: after this job in this order. `key` is the job's sort key."""

    sort: Sort
    key: Key
    id: UUID


def cursor_of(place: Place) -> str:
    """Return opaque text for `place`."""
    key = place.key - _EPOCH if isinstance(place.key, datetime) else place.key
    text = str(key // _MICROSECOND) if isinstance(key, timedelta) else str(key)
    return base64.urlsafe_b64encode(f"{place.sort}.{text}.{place.id}".encode()).decode().rstrip("=")


def place_of(cursor: str, sort: Sort) -> Place:
    """Return the place of a cursor. Raises ProblemError 400, also for a cursor of another order."""
    try:
        order, _, rest = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(".")
        text, _, job = rest.rpartition(".")
        place = Place(Sort(order), _key_of(Sort(order), text), UUID(job))
    except (ValueError, OverflowError, binascii.Error) as exc:
        raise bad_request("The cursor is not one that this service gave out for this order.") from exc
    if place.sort is not sort:
        raise bad_request(f"The cursor belongs to `sort={place.sort}`. Ask for the first page of `sort={sort}` without a cursor.")
    return place


def _key_of(sort: Sort, text: str) -> Key:
    """Return the key in a cursor. Raises ValueError or OverflowError if it is invalid."""
    kind = _KEYS.get(sort, datetime)
    if kind is str:
        if "\0" in text:
            raise ValueError(text)
        return text
    number = int(text)
    if kind is int:
        number.to_bytes(8, signed=True)  # like the database column
        return number
    return number * _MICROSECOND if kind is timedelta else _EPOCH + number * _MICROSECOND


def cursor_of_number(number: int) -> str:
    """Return opaque text for a place in a list ordered by number."""
    return base64.urlsafe_b64encode(str(number).encode()).decode().rstrip("=")


def number_of(cursor: str) -> int:
    """Return the number in a cursor. Raises ProblemError 400."""
    try:
        return int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (ValueError, binascii.Error) as exc:
        raise bad_request("The cursor is not one that this service gave out.") from exc


def statuses_of(values: list[str]) -> list[Status]:
    """Return `status=a,b&status=c` as a list. Raises ProblemError 400 that names the unknown ones."""
    words = [word.strip() for value in values for word in value.split(",") if word.strip()]
    unknown = [word for word in words if word not in set(Status)]
    if unknown:
        raise bad_request(f"Unknown status {', '.join(map(repr, unknown))}. Known: {', '.join(sorted(Status))}.")
    return [Status(word) for word in words]


# Progress in the UI ------------------------------------------------------------------------------------------------------------------


class Stage(msgspec.Struct, frozen=True):
    """A step. `name` is for programs, `step` for people. The lane's bar runs from `low` to `high`, or stays at `unknown`."""

    name: str
    step: str
    low: int
    high: int
    unknown: int


# The progress bars in the UI: each lane's bar runs from 0 to 100, and each of its steps has a share.
STAGES: dict[Status, Stage] = {
    Status.COPYING: Stage("copy", "Step 1/3: Copying", 0, 33, 16),
    Status.COMPRESSING: Stage("compress", "Step 2/3: Compressing", 33, 66, 50),
    Status.VERIFYING: Stage("verify_archive", "Step 3/3: Verifying", 66, 100, 83),
    Status.UPLOADING: Stage("upload", "Uploading", 0, 75, 0),
    Status.UPLOAD_VERIFYING: Stage("verify_upload", "Verifying", 75, 90, 82),
    Status.VERIFIED: Stage("delete_source", "Deleting source", 90, 90, 90),
    Status.DELETING_SOURCE: Stage("delete_source", "Deleting source", 90, 100, 95),
}
_WAITING = {
    Status.QUEUED: "Waiting to start",
    Status.COMPRESSED: "Waiting for upload",
    Status.VERIFIED: "Waiting for deletion of the source",
    Status.COMPLETED: "Completed",
    Status.FAILED: "Failed",
    Status.CANCELLED: "Cancelled",
}

COMPRESSING_STATES = frozenset(COMPRESS_LANE.working)
UPLOADING_STATES = frozenset({*UPLOAD_LANE.working, Status.DELETING_SOURCE})


def stage_of(kind: Kind, status: Status) -> Stage | None:
    """Return the step that a job is at, or None when no lane has the job."""
    if kind is Kind.ARCHIVE:
        return STAGES.get(status)
    if status is Status.RUNNING:
        return Stage("extract", "Unpacking", 0, 90, 45) if kind is Kind.EXTRACT else Stage("pack", "Packing", 0, 66, 33)
    if status is Status.VERIFYING:
        return (
            Stage("verify_archive", "Verifying", 66, 95, 80)
            if kind is not Kind.EXTRACT
            else Stage("publish", "Verifying", 90, 100, 95)
        )
    return Stage("delete_source", "Deleting source", 95, 100, 97) if status is Status.DELETING_SOURCE else None


def lane_percent(status: Status, stage_percent: float | None, kind: Kind = Kind.ARCHIVE) -> int | None:
    """Return the lane's own progress in percent, or None when no lane has the job."""
    if status in {Status.COMPRESSED, Status.COMPLETED}:
        return 100
    stage = stage_of(kind, status)
    if stage is None:
        return None
    if stage_percent is None:
        return stage.unknown
    return stage.low + int((stage.high - stage.low) * min(max(stage_percent, 0.0), 100.0) / 100)


def operation(status: Status, recorded: str | None, wait_reason: str | None, *, paused: bool, cancelling: bool) -> str:
    """Return the current activity in words."""
    if cancelling and status not in TERMINAL and status != Status.DELETING_SOURCE:
        return "Cancelling"
    if paused:
        return "Paused"
    if status in TERMINAL:
        return _WAITING[status]
    if wait_reason:
        return f"Waiting: {wait_reason}"
    return recorded or _WAITING.get(status) or status.replace("_", " ").capitalize()
