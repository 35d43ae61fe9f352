"""A job's row has the types that the services expect. A row without them is refused."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from shared.domain.job import Job
from shared.domain.lifecycle import Kind, Status
from shared.domain.requests import PackRequest
from shared.files.paths import Root
from tests.support.kernel import Kernel

REQUEST = {"root": "workspace", "path": "one/Scans", "format": "zip", "level": 1}
ROW: dict[str, Any] = {
    "id": UUID(int=1),
    "kind": "pack",
    "status": "running",
    "attempt": 2,
    "folder_name": "Scans",
    "source_path": "/workspaces/x/one/Scans",
    "destination_path": None,
    "keep_source": True,
    "created_by": "ann",
    "created_by_id": UUID(int=2),
    "request": REQUEST,
    "folder_size_bytes": 5,
    "archive_attempt": None,
    "archive_size_bytes": None,
    "first_unlink_at": None,
    "crash_count": 0,
    "retry_count": 0,
    "connection_retry_count": 0,
    "wait_reason": None,
    "missing_bytes": None,
    "cancel_requested_by": None,
}


def test_words_become_kinds_and_states() -> None:
    """Other columns of the row do not matter."""
    job = Job.of({**ROW, "words": "scans"})

    assert (job.kind, job.status) == (Kind.PACK, Status.RUNNING)
    assert (type(job.kind), type(job.status)) == (Kind, Status)
    assert job.owner == UUID(int=2)
    assert job.wanted == PackRequest(root=Root.WORKSPACE, path="one/Scans", format="zip", level=1)


@pytest.mark.parametrize("column", list(Job.__struct_fields__))
def test_a_missing_column_is_named(column: str) -> None:
    """A query that omits one fails when the job is read, not later when the column is used."""
    with pytest.raises(msgspec.ValidationError, match=f"`{column}`"):
        Job.of({name: value for name, value in ROW.items() if name != column})


@pytest.mark.parametrize("column", list(Job.__struct_fields__))
def test_a_wrong_type_is_named(column: str) -> None:
    """No column accepts several types: each has exactly one."""
    with pytest.raises(msgspec.ValidationError, match=f"\\$.{column}"):
        Job.of({**ROW, column: [1]})


def test_a_bad_request_fails_when_it_is_asked_for() -> None:
    """Only this job fails. The lane that claims it continues."""
    job = Job.of({**ROW, "request": {"root": "moon"}})

    with pytest.raises(msgspec.ValidationError):
        _ = job.wanted


def test_what_a_kind_does_not_have_is_an_error() -> None:
    """A workspace job has no destination, and an archive job may have no user."""
    with pytest.raises(ValueError, match="has no destination"):
        _ = Job.of(ROW).destination
    with pytest.raises(ValueError, match="belongs to no user"):
        _ = Job.of({**ROW, "created_by_id": None}).owner


async def test_a_row_of_the_database_is_a_job(kernel: Kernel) -> None:
    """It has exactly the types that the driver returns."""
    job = Job.of(await kernel.row(await kernel.job(folder_size_bytes=7)))

    assert (job.kind, job.status, job.folder_size_bytes) == (Kind.ARCHIVE, Status.QUEUED, 7)
    assert job.destination
