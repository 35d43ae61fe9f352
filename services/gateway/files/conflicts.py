"""Conflicts with running workspace jobs: nobody may change a path that a job reads, writes or will delete."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from services.gateway.http.http_errors import conflict
from services.gateway.records.store import Store
from shared.domain.lifecycle import Status
from shared.domain.requests import CompressRequest, ExtractRequest, PackRequest, request_of
from shared.files.paths import Root
from shared.infra.db import Session


class Used(NamedTuple):
    """The workspace paths that a job uses. `as_is`: the job reads or will delete them. `there`: the job will write them."""

    as_is: list[str]
    there: list[str]


def used_by(row: Any) -> Used:
    """Return the paths that a workspace job uses, from its row. Pure."""
    match request_of(row):
        case PackRequest(root=Root.WORKSPACE, path=path) if row["status"] == Status.DELETING_SOURCE and row["result"]:
            return Used([path, row["result"]["output_path"]], [])  # until the source is deleted, the archive must stay
        case PackRequest(root=Root.WORKSPACE, path=path):
            return Used([path], [])
        case CompressRequest(root=root, paths=paths, output=output):
            return Used(paths if root is Root.WORKSPACE else [], [output])
        case ExtractRequest(root=root, path=path, destination=destination):
            return Used([path] if root is Root.WORKSPACE else [], [destination])
        case _:
            return Used([], [])


def holds(folder: str, path: str) -> bool:
    """Return whether a path is this folder or below it. Pure."""
    return not folder or f"{path}/".startswith(f"{folder}/")


def standing_in_the_way(rows: Iterable[Any], path: str) -> Any | None:
    """Return the first of these jobs that a change of this path would disturb. Pure."""
    for row in rows:
        used = used_by(row)
        if any(holds(path, one) or holds(one, path) for one in used.as_is) or any(holds(path, one) for one in used.there):
            return row
    return None


class Busy:
    """Checks for conflicts in the database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def refuse(self, owner: UUID, *paths: str) -> None:
        """Raise ProblemError 409 while a running job needs one of these paths unchanged."""
        async with self._store.transaction() as session:
            await refuse(session, owner, *paths)


async def refuse(session: Session, owner: UUID, *paths: str) -> None:
    """Work like `Busy.refuse`, in the caller's transaction. Until it ends, no pack starts to delete its source."""
    await session.run("share_names", owner)
    rows = await session.rows("live_work_of", owner)
    for path in paths:
        if (row := standing_in_the_way(rows, path)) is not None:
            job = f"{row['kind']} of {row['folder_name']}"
            raise conflict(f"A running task ({job}) needs {path} as it is. Wait for its end, or cancel it.")
