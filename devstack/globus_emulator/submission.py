"""Turn the JSON of a submission into a task, or refuse it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from devstack.globus_emulator.config import Config
from devstack.globus_emulator.errors import ApiError, bad_request
from devstack.globus_emulator.filesystem import normal
from devstack.globus_emulator.tasks import Item, Task

LABEL_MAXIMUM = 128
DAY_S = 86_400.0
_NOT_EMULATED = ("delete_destination_extra", "filter_rules")


class _TransferItem(msgspec.Struct, kw_only=True):
    source_path: str
    destination_path: str
    recursive: bool | None = None
    external_checksum: str | None = None
    checksum_algorithm: str | None = None


class _DeleteItem(msgspec.Struct, kw_only=True):
    path: str


class _Common(msgspec.Struct, kw_only=True):
    DATA_TYPE: str
    submission_id: uuid.UUID
    label: str | None = None
    deadline: str | None = None
    notify_on_succeeded: bool = True
    notify_on_failed: bool = True
    notify_on_inactive: bool = True


class _Transfer(_Common, kw_only=True):
    source_endpoint: str
    destination_endpoint: str
    DATA: list[_TransferItem] = []
    sync_level: int | None = None
    verify_checksum: bool = True
    encrypt_data: bool = False
    preserve_timestamp: bool = False
    skip_source_errors: bool = False
    fail_on_quota_errors: bool = False


class _Delete(_Common, kw_only=True):
    endpoint: str
    DATA: list[_DeleteItem] = []
    recursive: bool = False
    ignore_missing: bool = False
    interpret_globs: bool = False


def submission_id(body: Any) -> str:
    """Return the submission id. It is read first: a repeated submission is answered without reading the rest. Raises ApiError."""
    value = body.get("submission_id") if isinstance(body, dict) else None
    if value is None:
        raise bad_request("Missing required field 'submission_id'")
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise bad_request("submission_id must be a UUID") from None


def label_of(value: str | None) -> str | None:
    """Return the valid label. Raises ApiError."""
    if value is None:
        return None
    if len(value) > LABEL_MAXIMUM:
        raise bad_request(f"label must be at most {LABEL_MAXIMUM} characters")
    if value != value.strip() or "\r" in value or "\n" in value:
        raise bad_request("label must not begin or end with blanks and must not contain line breaks")
    return value


def deadline_of(value: str | None, now: float) -> float | None:
    """Return seconds since the epoch. A time without a zone counts as UTC. Raises ApiError."""
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise bad_request(f"deadline is not an ISO 8601 time: {value!r}") from None
    seconds = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    if seconds <= now:
        raise bad_request("deadline is in the past")
    return seconds


def algorithm_name(value: str | None) -> str | None:
    """Normalize: `sha-256`, `SHA256` and `Sha256` are one algorithm."""
    return None if value is None else value.upper().replace("-", "").replace("_", "")


def _collection(config: Config, endpoint: str) -> str:
    if endpoint not in config.collections:
        raise ApiError(404, "EndpointNotFound", f"No such endpoint '{endpoint}'")
    return endpoint


def _refuse_what_is_not_emulated(body: dict[str, Any]) -> None:
    for field in _NOT_EMULATED:
        if body.get(field):
            # If it were accepted silently, a test would pass here while the real service loses files.
            raise bad_request(f"{field} is not emulated", "NotEmulated")


def transfer(body: dict[str, Any], *, owner: str, config: Config, now: float) -> Task:
    """Return a new transfer task. Raises ApiError."""
    _refuse_what_is_not_emulated(body)
    try:
        document = msgspec.convert(body, type=_Transfer)
    except msgspec.ValidationError as error:
        raise bad_request(str(error)) from None
    if document.DATA_TYPE != "transfer":
        raise bad_request(f"DATA_TYPE must be 'transfer', not '{document.DATA_TYPE}'")
    source = _collection(config, document.source_endpoint)
    destination = _collection(config, document.destination_endpoint)
    if not document.DATA:
        raise bad_request("A transfer requires at least one item", "ClientError.BadRequest.NoTransferItems")
    if document.sync_level not in {None, 0, 1, 2, 3}:
        raise bad_request("sync_level must be 0, 1, 2 or 3")
    items = [_transfer_item(item, config, source, destination) for item in document.DATA]
    given = deadline_of(document.deadline, now)
    return Task(
        task_id=str(uuid.uuid4()),
        submission_id=str(document.submission_id),
        owner=owner,
        kind="TRANSFER",
        request_time=now,
        deadline=given or now + DAY_S,
        deadline_given=given is not None,
        source=source,
        destination=destination,
        items=items,
        label=label_of(document.label),
        sync_level=document.sync_level,
        verify_checksum=document.verify_checksum or config.collections[destination].force_verify,
        encrypt_data=document.encrypt_data,
        preserve_timestamp=document.preserve_timestamp,
        skip_source_errors=document.skip_source_errors,
        fail_on_quota_errors=document.fail_on_quota_errors,
    )


def _transfer_item(item: _TransferItem, config: Config, source: str, destination: str) -> Item:
    for path in (item.source_path, item.destination_path):
        if not path or any(character in path for character in "\r\n\0"):
            raise bad_request(f"Invalid path {path!r}", "InvalidPath")
    if item.external_checksum and item.recursive:
        raise bad_request("external_checksum cannot be used with a directory")
    algorithm = algorithm_name(item.checksum_algorithm)
    for endpoint in (source, destination):
        collection = config.collections[endpoint]
        if algorithm and collection.unsupported_algorithm == "reject" and not supports(config, endpoint, algorithm):
            raise bad_request(f"checksum_algorithm '{item.checksum_algorithm}' is not supported by '{endpoint}'")
    return Item(
        source_path=item.source_path,
        destination_path=item.destination_path,
        recursive=bool(item.recursive),
        external_checksum=item.external_checksum,
        checksum_algorithm=algorithm,
    )


def supports(config: Config, endpoint: str, algorithm: str) -> bool:
    known = {algorithm_name(name) for name in config.collections[endpoint].checksum_algorithms}
    return algorithm in known


def delete(body: dict[str, Any], *, owner: str, config: Config, now: float) -> Task:
    """Return a new delete task. Raises ApiError."""
    try:
        document = msgspec.convert(body, type=_Delete)
    except msgspec.ValidationError as error:
        raise bad_request(str(error)) from None
    if document.DATA_TYPE != "delete":
        raise bad_request(f"DATA_TYPE must be 'delete', not '{document.DATA_TYPE}'")
    endpoint = _collection(config, document.endpoint)
    if not document.DATA:
        raise bad_request("A delete requires at least one item", "ClientError.BadRequest.NoTransferItems")
    for item in document.DATA:
        if normal(item.path) == "/":
            raise bad_request("The root of a collection cannot be deleted", "InvalidPath")
    given = deadline_of(document.deadline, now)
    return Task(
        task_id=str(uuid.uuid4()),
        submission_id=str(document.submission_id),
        owner=owner,
        kind="DELETE",
        request_time=now,
        deadline=given or now + DAY_S,
        deadline_given=given is not None,
        source=endpoint,
        destination=None,
        items=[Item(source_path=item.path) for item in document.DATA],
        label=label_of(document.label),
        recursive=document.recursive,
        ignore_missing=document.ignore_missing,
        interpret_globs=document.interpret_globs,
        verify_checksum=False,
    )


def identical_paths(one: Task, other: Task) -> bool:
    """Return whether both tasks move the same files between the same collections."""
    return (
        one.kind == other.kind == "TRANSFER"
        and (one.source, one.destination) == (other.source, other.destination)
        and {(item.source_path, item.destination_path) for item in one.items}
        == {(item.source_path, item.destination_path) for item in other.items}
    )
