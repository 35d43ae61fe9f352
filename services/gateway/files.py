"""What people do with the files of their workspace, and what they may see of the NAS. Every change has its line in the audit log."""

import asyncio
from typing import Any
from uuid import UUID

from services.gateway import audit
from services.gateway.audit import Deed
from services.gateway.config import Configuration
from services.gateway.peers import Peers
from services.gateway.refusals import ProblemError, conflict, not_found
from services.gateway.rights import refuse_nas
from services.gateway.security import Identity
from services.gateway.store import Store
from services.gateway.work import refuse
from services.gateway.workspaces import Workspaces, plain_path
from shared import log
from shared.listing import Item, Page, Wanted
from shared.places import Root
from shared.trees import Measured

logger = log.get(__name__)


class Files:
    """Every method raises ProblemError."""

    def __init__(self, store: Store, configuration: Configuration, workspaces: Workspaces, peers: Peers) -> None:
        self._store = store
        self._configuration = configuration
        self._workspaces = workspaces
        self._peers = peers
        self._removing: set[asyncio.Task[None]] = set()

    # Looking

    async def page(self, who: Identity, root: Root, path: str, wanted: Wanted, *, show_hidden: bool) -> Page:
        """One page of a folder. 404 when none is there, 403 for a NAS that this user may not look at."""
        config = await self._configuration.read()
        if not show_hidden:
            wanted = _hiding(wanted, config.hidden_file_extensions)
        if root is Root.NAS:
            refuse_nas(who, config.nas_browsing)
            return await self._peers.browse(plain_path(path), wanted)
        return await asyncio.to_thread(self._workspaces.page, who.id, path, wanted)

    async def info(self, who: Identity, path: str) -> tuple[Item, Measured | None]:
        """One entry of the workspace; of a folder also what is in it."""
        item = await asyncio.to_thread(self._workspaces.item, who.id, path)
        if item.type != "folder":
            return item, None
        return item, await asyncio.to_thread(self._workspaces.measure, who.id, path)

    async def open(self, who: Identity, path: str) -> tuple[int, str]:
        """A file's handle for reading, which the caller closes, and its name."""
        handle = await asyncio.to_thread(self._workspaces.open_file, who.id, path)
        return handle, plain_path(path).rpartition("/")[2]

    # Changing

    async def make_folder(self, who: Identity, path: str, *, parents: bool) -> Item:
        """409 when something has this name."""
        relative = plain_path(path)
        async with self._store.transaction() as session:
            await refuse(session, who.id, relative)
            await audit.note(session, who.actor, Deed("folder_made", f"{who.username} made the folder {relative}.", relative))
            return await asyncio.to_thread(self._workspaces.make_folder, who.id, relative, parents=parents)

    async def move(self, who: Identity, source: str, target: str, *, overwrite: bool) -> Item:
        """Rename or move."""
        old, new = plain_path(source), plain_path(target)
        async with self._store.transaction() as session:
            await refuse(session, who.id, old, new)
            deed = Deed("file_moved", f"{who.username} moved {old} to {new}.", new, {"from": old, "overwrite": overwrite})
            await audit.note(session, who.actor, deed)
            return await asyncio.to_thread(self._workspaces.move, who.id, old, new, overwrite=overwrite)

    async def delete(self, who: Identity, path: str, *, recursive: bool) -> None:
        """Take away a file or folder; what a folder held is removed from the disk afterwards."""
        relative = plain_path(path)
        async with self._store.transaction() as session:
            await refuse(session, who.id, relative)
            await audit.note(session, who.actor, Deed("file_deleted", f"{who.username} deleted {relative}.", relative))
            _, aside = await asyncio.to_thread(self._workspaces.delete, who.id, relative, recursive=recursive)
        if aside is not None:
            removing = asyncio.create_task(self._remove(aside))
            self._removing.add(removing)
            removing.add_done_callback(self._removing.discard)

    async def _remove(self, aside: UUID) -> None:
        try:
            await asyncio.to_thread(self._workspaces.sweep_deleted, aside)
        except ProblemError as exc:
            logger.warning("not_removed", message=f"What was deleted is removed from the disk later: {exc}")

    # Workspaces of all users, for admins

    async def workspaces(self) -> list[dict[str, Any]]:
        """Every workspace that is there: of users, and of those who were deleted."""
        owners = await asyncio.to_thread(self._workspaces.owners)
        async with self._store.transaction() as session:
            rows = await session.rows("owners", owners)
        config = await self._configuration.read()
        made = []
        for row in rows:
            found = await asyncio.to_thread(self._workspaces.measure, row["user_id"], "")
            quota = config.workspace_quota if row["quota_bytes"] is None else row["quota_bytes"]
            made.append({**row, "quota_bytes": quota, "used_bytes": found.total_bytes, "file_count": found.file_count})
        return made

    async def remove_workspace(self, who: Identity, owner: UUID) -> None:
        """Remove what a deleted user left. 409 while the user exists, or a job still works there."""
        async with self._store.transaction() as session:
            if await session.row("user", owner) is not None:
                raise conflict("This workspace has a user. Delete the user first.")
            if await session.rows("live_work_of", owner):
                raise conflict("A task still works in this workspace. Wait for its end.")
            left = await session.row("left_workspace", owner)
            if left is None and not await asyncio.to_thread(self._workspaces.exists, owner):
                raise not_found(f"There is no workspace of {owner}.")
            name = left["username"] if left else str(owner)
            deed = Deed("workspace_removed", f"{who.username} removed the workspace that {name} left.", str(owner))
            await session.run("forget_left_workspace", owner)
            await audit.note(session, who.actor, deed)
            await asyncio.to_thread(self._workspaces.leave, owner)


def _hiding(wanted: Wanted, extensions: list[str]) -> Wanted:
    return Wanted(
        q=wanted.q,
        deep=wanted.deep,
        sort=wanted.sort,
        descending=wanted.descending,
        limit=wanted.limit,
        offset=wanted.offset,
        hidden=extensions,
    )
