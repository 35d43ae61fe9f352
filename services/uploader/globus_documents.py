"""Build the documents that are sent to Globus, and read its answers."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
from globus_sdk import (
    DeleteData,
    GlobusAPIError,
    TransferClient,
    TransferData,
)

from services.uploader.model import (
    DeleteRequest,
    Endpoint,
    NotFound,
    Remote,
    TaskView,
    TransferRequest,
)
from services.uploader.paths import split
from shared.domain.destinations import folded

Answer = TypeVar("Answer")

PAGE_SIZE = 1000  # the most that the task lists return
LIST_SIZE = 100_000  # the most that a directory listing returns


def transfer_document(request: TransferRequest) -> TransferData:
    """Return the body that is sent: the same bytes for the same request, every time."""
    document = TransferData(
        request.source_endpoint,
        request.destination_endpoint,
        label=request.label,
        submission_id=request.submission_id,
        sync_level=request.sync_level,
        verify_checksum=request.verify_checksum,
        preserve_timestamp=request.preserve_timestamp,
        encrypt_data=request.encrypt_data,
        deadline=request.deadline,
        skip_source_errors=request.skip_source_errors,
        fail_on_quota_errors=request.fail_on_quota_errors,
        delete_destination_extra=request.delete_destination_extra,
        # A service account has no mailbox.
        notify_on_succeeded=False,
        notify_on_failed=False,
        notify_on_inactive=False,
    )
    for item in request.items:
        document.add_item(
            item.source_path,
            item.destination_path,
            external_checksum=item.external_checksum,
            checksum_algorithm=item.checksum_algorithm.value,
        )
    return document


def delete_document(request: DeleteRequest) -> DeleteData:
    """Return the body of a removal: files only, never a tree, and no patterns, whatever the names contain."""
    document = DeleteData(
        request.endpoint,
        label=request.label,
        submission_id=request.submission_id,
        recursive=False,
        ignore_missing=True,
        interpret_globs=False,
        deadline=request.deadline,
        notify_on_succeeded=False,
        notify_on_failed=False,
        notify_on_inactive=False,
    )
    for path in request.paths:
        document.add_item(path)
    return document


def text_of(value: Any) -> str:  # Any: JSON of the SDK, checked here
    if not isinstance(value, str) or not value:
        raise TypeError("a text was expected")
    return value


def task_view(data: Any) -> TaskView:  # Any: JSON of the SDK, checked by msgspec
    return msgspec.convert(data, type=TaskView)


def read_endpoint(client: TransferClient, endpoint_id: str) -> Endpoint:
    return msgspec.convert(client.get_endpoint(endpoint_id).data, type=Endpoint)


def unless_missing(ask: Callable[[], Answer]) -> Answer | None:
    """Return the answer, or None when Globus itself says that the thing does not exist (a proxy's 404 says nothing)."""
    try:
        return ask()
    except GlobusAPIError as error:
        if is_missing(error):
            return None
        raise


def is_missing(error: GlobusAPIError) -> bool:
    code = error.code or ""
    return error.http_status == 404 and code.endswith("NotFound") and "Endpoint" not in code and "Collection" not in code


def pages(page: Callable[[int], Any]) -> Iterator[Any]:  # Any: JSON of the SDK, checked by the caller
    """Yield all entries of a list with `offset` and `total`."""
    offset = 0
    while True:
        answer = page(offset)
        entries = answer["DATA"]
        yield from entries
        offset += len(entries)
        if not entries or offset >= int(answer["total"]):
            return


def label_filter(label: str) -> str:
    # The service's default list omits removals when no type is given.
    return f"type:TRANSFER,DELETE/label:{label}"


def pause_text(data: Any) -> str:  # Any: JSON of the SDK, only texts are taken from it
    names = ("source_pause_message", "destination_pause_message", "source_pause_message_share", "destination_pause_message_share")
    messages = [data.get(name) for name in names]
    messages += [rule.get("message") for rule in data.get("pause_rules") or []]
    return "; ".join(dict.fromkeys(m.strip() for m in messages if isinstance(m, str) and m.strip()))


def read_stat(client: TransferClient, endpoint: str, path: str) -> Remote | NotFound:
    try:
        return msgspec.convert(client.operation_stat(endpoint, path).data, type=Remote)
    except GlobusAPIError as error:
        if error.http_status == 404 and error.code == "NotFound":
            return NotFound()
        # An unknown route answers 404 too. Then only a listing says whether the name is there.
        if not _cannot_stat(error) and not is_missing(error):
            raise
    return _find_in_parent(client, endpoint, path)


def _cannot_stat(error: GlobusAPIError) -> bool:
    code = error.code or ""
    return "NotSupported" in code or "NotImplemented" in code or error.http_status in {405, 501}


def _find_in_parent(client: TransferClient, endpoint: str, path: str) -> Remote | NotFound:
    """Return the entry of that name, or one that the destination may not tell apart from it (letter case, accents).

    No filter is used: a filter cannot quote names, and a misunderstood one would look like absence.
    """
    parent, name = split(path)
    listing = unless_missing(
        lambda: list(pages(lambda offset: client.operation_ls(endpoint, path=parent, limit=LIST_SIZE, offset=offset).data))
    )
    entries = msgspec.convert(listing or [], type=list[Remote])
    alike = [entry for entry in entries if folded(entry.name) == folded(name)]
    return next((entry for entry in alike if entry.name == name), alike[0] if alike else NotFound())


def make_directory(client: TransferClient, endpoint: str, path: str) -> None:
    try:
        client.operation_mkdir(endpoint, path)
    except GlobusAPIError as error:
        if not (error.code or "").endswith(".Exists"):
            raise
