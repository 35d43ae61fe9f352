"""Workspace file operations, and read access to the NAS. Every change has an audit entry."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

from services.gateway.auth.rights import refuse_nas
from services.gateway.files.conflicts import refuse
from services.gateway.files.quota import Quotas
from services.gateway.files.workspaces import Workspaces, plain_path
from services.gateway.http.http_errors import ProblemError, conflict, not_found
from services.gateway.jobs.peers import Peers
from services.gateway.records import audit
from services.gateway.records.audit import AuditRecord
from services.gateway.records.config import Configuration
from services.gateway.records.disk import at_disk, open_at_disk
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from shared import log
from shared.files.listing import Item, Page, Wanted
from shared.files.paths import Root
from shared.files.trees import Measured

logger = log.get(__name__)

_MOVE_TRIES = 3
_EMPTY_FOLDER = Measured(0, 0, 1)


class Files:
    """Every method raises ProblemError."""

    def __init__(self, store: Store, configuration: Configuration, workspaces: Workspaces, peers: Peers, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas
        self._configuration = configuration
        self._workspaces = workspaces
        self._peers = peers
        self._removing: set[asyncio.Task[None]] = set()

    # Reading

    async def page(self, who: Identity, root: Root, path: str, wanted: Wanted, *, show_hidden: bool) -> Page:
        """Return one page of a folder. Raises 404 when it does not exist, 403 for a NAS that this user may not see."""
        config = await self._configuration.read()
        if not show_hidden:
            wanted = _hiding(wanted, config.hidden_file_extensions)
        if root is Root.NAS:
            refuse_nas(who, config.nas_browsing)
            return await self._peers.browse(plain_path(path), wanted)
        return await at_disk(self._workspaces.page, who.id, path, wanted)

    async def info(self, who: Identity, path: str) -> tuple[Item, Measured | None]:
        """Return one entry of the workspace and, for a folder, the totals of its contents."""
        item = await at_disk(self._workspaces.item, who.id, path)
        if item.type != "folder":
            return item, None
        return item, await at_disk(self._workspaces.measure, who.id, path)

    async def open(self, who: Identity, path: str) -> tuple[int, str]:
        """Return a file's read handle, which the caller closes, and its name."""
        handle = await open_at_disk(self._workspaces.open_file, who.id, path)
        return handle, plain_path(path).rpartition("/")[2]

    # Changing

    async def make_folder(self, who: Identity, path: str, *, parents: bool) -> Item:
        """Create a folder. Raises 409 when the path is taken, 403 when the workspace may not hold more."""
        relative = plain_path(path)
        async with self._store.storage_transaction() as session:
            await refuse(session, who.id, relative)
            await self._quotas.require_entries(session, who.id, 1)
            await audit.note(
                session, who.actor, AuditRecord("folder_made", f"{who.username} made the folder {relative}.", relative)
            )
            await session.run("usage_added", who.id, 0, 0, 0)
            item, made = await at_disk(self._workspaces.make_folder, who.id, relative, parents=parents)
            await session.run("usage_added", who.id, 0, 0, made)
            return item

    async def move(self, who: Identity, source: str, target: str, *, overwrite: bool) -> Item:
        """Rename or move an entry."""
        old, new = plain_path(source), plain_path(target)
        for _ in range(_MOVE_TRIES):
            unpacked = await self._store.count_extractions(who.id)
            await at_disk(self._workspaces.refuse_links_out, who.id, old, new)
            async with self._store.storage_transaction() as session:
                await refuse(session, who.id, old, new)
                if await session.value("count_extractions", who.id) != unpacked:
                    continue  # it may have brought in links that are not checked yet
                entry = AuditRecord(
                    "file_moved", f"{who.username} moved {old} to {new}.", new, {"from": old, "overwrite": overwrite}
                )
                await audit.note(session, who.actor, entry)
                walks = await session.value("usage_added", who.id, 0, 0, 0)
                item, replaced = await at_disk(self._workspaces.move, who.id, old, new, overwrite=overwrite)
                if replaced.entries:
                    await session.run("usage_removed", who.id, *replaced, walks)
                return item
        raise conflict(f"Archives are being unpacked in your workspace all the time. Move {old} when that has ended.")

    async def delete(self, who: Identity, path: str, *, recursive: bool) -> None:
        """Remove a file or folder. Its disk space is released afterwards."""
        relative = plain_path(path)
        async with self._store.storage_transaction() as session:
            await refuse(session, who.id, relative)
            await audit.note(session, who.actor, AuditRecord("file_deleted", f"{who.username} deleted {relative}.", relative))
            walks = await session.value("usage_added", who.id, 0, 0, 0)
            aside = await at_disk(self._workspaces.delete, who.id, relative, recursive=recursive)
            if aside is None:
                await session.run("usage_removed", who.id, *_EMPTY_FOLDER, walks)
        if aside is not None:
            removing = asyncio.create_task(self._remove(who.id, aside, walks))
            self._removing.add(removing)
            removing.add_done_callback(self._removing.discard)

    async def _remove(self, owner: UUID, aside: UUID, walks: int) -> None:
        try:
            removed = await at_disk(self._workspaces.measure_deleted, aside)
            async with self._store.transaction() as session:
                await session.run("usage_removed", owner, *removed, walks)
            await at_disk(self._workspaces.sweep_deleted, aside)
        except ProblemError as exc:
            logger.warning("not_removed", message=f"What was deleted is removed from the disk later: {exc}")

    # Workspaces of all users, for admins

    async def workspaces(self) -> list[dict[str, Any]]:
        """Return every workspace, including those of deleted users."""
        owners = await at_disk(self._workspaces.owners)
        async with self._store.transaction() as session:
            rows = await session.rows("owners", owners)
        config = await self._configuration.read()
        made = []
        for row in rows:
            with suppress(ProblemError):  # the disk is unavailable: show the recorded values
                await self._quotas.refresh(row["user_id"])
            known = await self._store.usage_of(row["user_id"])
            made.append(
                {
                    **row,
                    "quota_bytes": config.workspace_quota if row["quota_bytes"] is None else row["quota_bytes"],
                    "used_bytes": known.amount.total_bytes,
                    "file_count": known.amount.file_count,
                    "entry_limit": config.workspace_entries,
                    "used_entries": known.amount.entries,
                    "measuring": not known.is_measured,
                }
            )
        return made

    async def remove_workspace(self, who: Identity, owner: UUID) -> None:
        """Remove a deleted user's workspace. Raises 409 while the user exists or a job still works in it."""
        async with self._store.storage_transaction() as session:
            if await session.row("user", owner) is not None:
                raise conflict("This workspace has a user. Delete the user first.")
            if await session.rows("live_work_of", owner):
                raise conflict("A task still works in this workspace. Wait for its end.")
            left = await session.row("left_workspace", owner)
            if left is None and not await at_disk(self._workspaces.exists, owner):
                raise not_found(f"There is no workspace of {owner}.")
            name = left["username"] if left else str(owner)
            entry = AuditRecord("workspace_removed", f"{who.username} removed the workspace that {name} left.", str(owner))
            await session.run("forget_left_workspace", owner)
            await session.run("forget_usage", owner)
            await audit.note(session, who.actor, entry)
            await at_disk(self._workspaces.leave, owner)


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
