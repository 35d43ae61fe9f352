"""Packs: a folder as one archive for download. A compressor job creates it. This module requests, shows and opens it."""

import asyncio
import os
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from services.gateway.auth.limits import Limits
from services.gateway.auth.rights import refuse_nas
from services.gateway.files.conflicts import refuse
from services.gateway.files.quota import Available, Quotas
from services.gateway.files.workspaces import Workspaces, plain_path
from services.gateway.http.http_errors import ProblemError, bad_request, conflict, not_found
from services.gateway.jobs.decide import Action
from services.gateway.jobs.jobs import Jobs
from services.gateway.jobs.peers import Peers
from services.gateway.records import audit
from services.gateway.records.audit import AuditRecord
from services.gateway.records.config import Configuration
from services.gateway.records.disk import at_disk, open_at_disk
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.admin import Config
from services.gateway.schemas.files import PackRequested
from shared import units
from shared.domain.lifecycle import TERMINAL, Status
from shared.domain.requests import ArchiveResult, PackRequest
from shared.files.paths import Root

CANCEL_SECONDS = 5.0
"""The time for which a request waits until a cancelled pack is removed. After that the cancel continues on its own."""
_LOOK_SECONDS = 0.05
ENDED = "Task already completed or cancelled."


class Packed(NamedTuple):
    """The open archive of a finished pack. The caller closes it."""

    handle: int
    name: str


class Packs:
    """Every method raises ProblemError."""

    def __init__(
        self,
        store: Store,
        configuration: Configuration,
        workspaces: Workspaces,
        peers: Peers,
        quotas: Quotas,
        jobs: Jobs,
        limits: Limits,
    ) -> None:
        self._store = store
        self._limits = limits
        self._configuration = configuration
        self._workspaces = workspaces
        self._peers = peers
        self._quotas = quotas
        self._jobs = jobs

    async def available(self, who: Identity) -> Available:
        return await self._quotas.available(who.id)

    async def create(self, who: Identity, wanted: PackRequested) -> Any:
        """Queue a pack, reserve its space, and return its row. Raises ProblemError 404, 400, 403 or 409, checked in this order."""
        config = await self._configuration.read()
        path, root = _folder(wanted.folder_path), Root(wanted.root)
        if root is Root.NAS:
            refuse_nas(who, config.nas_browsing)
        total, files = await self._measured(who, root, path)
        if total == 0:
            raise bad_request("Folder is empty.")
        if 0 < config.max_task_size < total:
            raise bad_request(f"The folder holds {units.size(total)}; a task may have at most {units.size(config.max_task_size)}.")
        request = _request(wanted, root, path, config)
        keep = wanted.keep_source or root is Root.NAS
        name = path.rpartition("/")[2]
        async with self._quotas.reserving(who.id) as reserving:
            session = reserving.session
            if not keep:
                await refuse(session, who.id, path)
            reserving.require(total, 1)
            await self._limits.refuse_more_jobs(session, who.id)
            facts = (name, f"/{path}", keep, who.username, who.id, msgspec.to_builtins(request), total)
            job = await session.row("new_pack", *facts, files)
            assert job is not None
            await session.run("reserve_for", job["id"], reserving.filesystem, total, 1)
            sentence = f"{who.username} asked for {path} to be packed{'' if keep else ' and deleted afterwards'}."
            entry = AuditRecord("pack_create", sentence, str(job["id"]), {"path": path, "root": root, "keep_source": keep})
            await audit.note(session, who.actor, entry)
        return await self.find(who, job["id"])

    async def _measured(self, who: Identity, root: Root, path: str) -> tuple[int, int]:
        """Return the bytes and files of a folder."""
        if root is Root.NAS:
            seen = await self._peers.measure(path)
            return seen.total_bytes, seen.file_count
        try:
            item = await at_disk(self._workspaces.item, who.id, path)
        except ProblemError as exc:
            raise not_found("Folder not found.") if exc.status == 404 else exc from exc
        if item.type != "folder":
            raise bad_request("Path is not a folder.")
        found = await at_disk(self._workspaces.measure, who.id, path)
        return found.total_bytes, found.file_count

    async def mine(self, who: Identity, limit: int, offset: int) -> tuple[list[Any], int]:
        """Return one page of the user's own packs, newest first, and their total number."""
        async with self._store.transaction() as session:
            total = int(await session.value("count_packs", who.id))
            return await session.rows("packs", who.id, limit, offset), total

    async def find(self, who: Identity, pack: UUID) -> Any:
        """Return a pack's row: the user's own or, for an admin, any pack."""
        async with self._store.transaction() as session:
            row = await session.row("pack", pack)
        if row is None or (row["created_by_id"] != who.id and not who.is_admin):
            raise not_found("Task not found.")
        return row

    async def cancel(self, who: Identity, pack: UUID) -> None:
        """Cancel a pack, and wait a moment until its files are removed.

        Raises 400 when it has ended, 409 when its folder is already being deleted.
        """
        row = await self.find(who, pack)
        if row["status"] in TERMINAL:
            raise bad_request(ENDED)
        if row["status"] == Status.DELETING_SOURCE:
            raise conflict(
                "The archive is made and tested, and its folder is being deleted: that is finished, not cancelled half-way."
            )
        await self._jobs.control(who, pack, Action.CANCEL)
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                while row["status"] not in TERMINAL or row["reserved"]:
                    await asyncio.sleep(_LOOK_SECONDS)
                    row = await self.find(who, pack)
        if row["status"] == Status.COMPLETED:  # the pack completed before the cancel
            raise bad_request(ENDED)

    async def fetch(self, who: Identity, pack: UUID, *, is_head: bool) -> Packed:
        """Open the archive of a finished pack. Raises 400 while it is not finished, 404 when the file no longer exists."""
        row = await self.find(who, pack)
        if row["status"] != Status.COMPLETED or row["result"] is None:
            raise bad_request("Pack task not completed.")
        made = msgspec.convert(row["result"], ArchiveResult)
        handle = await open_at_disk(self._open, row["created_by_id"], made)
        try:
            if not is_head:
                async with self._store.transaction() as session:
                    await session.run("fetched", pack)
        except BaseException:
            os.close(handle)
            raise
        return Packed(handle, made.output_path.rpartition("/")[2])

    def _open(self, owner: UUID, made: ArchiveResult) -> int:
        try:
            item = self._workspaces.item(owner, made.output_path)
            if item.size != made.compressed_size:
                raise not_found("Pack file not found.")
            return self._workspaces.open_file(owner, made.output_path)
        except ProblemError as exc:
            raise not_found("Pack file not found.") if exc.status == 404 else exc from exc


def _folder(path: str) -> str:
    relative = plain_path(path)
    if not relative:
        raise bad_request("Choose a folder in it; the top folder itself is not packed.")
    return relative


def _request(wanted: PackRequested, root: Root, path: str, config: Config) -> PackRequest:
    """Return the request, with the admin's settings as defaults. Pure."""
    return PackRequest(
        root=root,
        path=path,
        format=wanted.format or config.pack_format,
        level=config.pack_compression_level if wanted.compression_level is None else wanted.compression_level,
    )
