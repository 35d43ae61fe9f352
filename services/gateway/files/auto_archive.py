"""Auto-archive: zip new files in a workspace if its user wants that.

Uploads count when they are complete, extractions when they have succeeded.

An upload records its file in the transaction that publishes it. One transaction takes the records of an upload and requests its
zip. There is therefore one zip, even with several gateways or after a crash. The zip is a normal job with the usual checks of
quota and disk. Uploaded archives are not zipped, and neither are files that were extracted from such a zip, so there is no
loop.
"""

import asyncio
import os
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.gateway.auth.limits import Limits
from services.gateway.files.workspaces import Workspaces, plain_path
from services.gateway.http.http_errors import ProblemError, bad_request
from services.gateway.records import audit
from services.gateway.records.audit import Actor, AuditRecord
from services.gateway.records.config import Configuration
from services.gateway.records.disk import at_disk
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.files import AutoArchive, AutoArchiveChange
from shared import units
from shared.domain.lifecycle import Kind
from shared.domain.requests import CompressRequest, ExtractRequest, ExtractResult, is_archive_name
from shared.files.paths import Root
from shared.infra.db import Session
from shared.isolation import Isolation

QUIET_SECONDS = 10.0
"""If no file arrives for this time, files without a batch count as complete."""
STALE_HOURS = 24.0
_LOOK_SECONDS = 2.0
_MOST_PATHS = 10_000
_VIA = "auto-archive"
_TOO_MANY = (
    f"No zip was made: more than {units.counted(_MOST_PATHS, 'file')} arrived beside others. Put them into a folder of their own."
)


class AutoArchiveJob(msgspec.Struct, frozen=True):
    """A zip to be created: its sources and its path."""

    paths: list[str]
    output: str
    total_bytes: int


def output_of(paths: list[str], name: str | None = None) -> str:
    """Return the path of the zip: beside a single source, else in the folder that holds all sources. Pure.

    name: the name of the archive that the sources were extracted from, if any.
    """
    if len(paths) == 1:
        return f"{paths[0]}.zip"
    folder = os.path.commonpath([f"/{path.rpartition('/')[0]}" for path in paths]).strip("/")
    return f"{folder}/{name or folder.rpartition('/')[2] or 'upload'}.zip".lstrip("/")


class AutoArchiver:
    """`keep` runs in every gateway. The other methods raise ProblemError."""

    def __init__(self, store: Store, workspaces: Workspaces, configuration: Configuration, limits: Limits, level: int) -> None:
        self._store = store
        self._workspaces = workspaces
        self._configuration = configuration
        self._limits = limits
        self._level = level
        self._left_out = Isolation("auto-archive")

    # Settings

    async def of(self, who: Identity) -> AutoArchive:
        async with self._store.transaction() as session:
            return await _shown(session, who.id)

    async def change(self, who: Identity, change: AutoArchiveChange) -> AutoArchive:
        """Change the given settings. The others stay. Raises ProblemError 400 for an invalid path."""
        folders = None if change.folders is None else list(dict.fromkeys(map(plain_path, change.folders)))
        if folders is not None and "" in folders:
            raise bad_request("For the whole workspace set `everything`.")
        async with self._store.transaction() as session:
            now = await _shown(session, who.id)
            everything = now.everything if change.everything is None else change.everything
            wanted = now.folders if folders is None else folders
            await session.run("set_auto_archive", who.id, everything, wanted)
            await session.run("drop_arrivals_elsewhere", who.id)
            where = "everything" if everything else ", ".join(wanted) or "nothing"
            sentence = f"{who.username} has a zip made of what arrives: {where}."
            entry = AuditRecord("auto_archive_set", sentence, data={"everything": everything, "folders": wanted})
            await audit.note(session, who.actor, entry)
            return await _shown(session, who.id)

    async def close(self, who: Identity, batch: str) -> None:
        """Record that all files of this batch have arrived."""
        async with self._store.transaction() as session:
            await session.run("close_batch", who.id, batch)

    # Work

    async def keep(self) -> None:
        """Look for arrivals until cancelled."""
        while True:
            with self._left_out.isolated("all"), suppress(ProblemError, asyncpg.UndefinedTableError):  # not migrated yet
                await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Request the zip of every complete arrival."""
        async with self._store.transaction() as session:
            for stale in await session.rows("forget_stale_arrivals", STALE_HOURS):
                sentence = f"No zip was made: an upload was never finished. {units.counted(stale['files'], 'file')} of it arrived."
                await session.run("auto_archive_problem", stale["user_id"], sentence)
            batches = await session.rows("due_arrivals", QUIET_SECONDS)
            extractions = await session.rows("due_extractions")
        for row in self._left_out.due(batches, lambda row: (row["user_id"], row["batch"])):
            with self._left_out.isolated((row["user_id"], row["batch"])), suppress(ProblemError):
                await self._after_upload(row["user_id"], row["batch"])
        for row in self._left_out.due(extractions, lambda row: row["id"]):
            with self._left_out.isolated(row["id"]), suppress(ProblemError):
                await self._after_extraction(row["user_id"], row["id"])

    async def _after_upload(self, owner: UUID, batch: str) -> None:
        async with self._store.storage_transaction() as session:
            await session.run("share_names", owner)
            rows = await session.rows("take_arrivals", owner, batch)
            wanted = await session.row("auto_archive", owner)
            if not rows or wanted is None or all(is_archive_name(row["path"]) for row in rows):
                return
            files, total = [row["path"] for row in rows], sum(row["size"] for row in rows)
            paths = await at_disk(self._workspaces.gathered, owner, files, list(wanted["folders"]))
            if paths:
                await self._ask(session, owner, AutoArchiveJob(paths, output_of(paths), total))

    async def _after_extraction(self, owner: UUID, job: UUID) -> None:
        async with self._store.transaction() as session:
            if await session.run("see_extraction", job) != "INSERT 0 1":
                return  # another gateway was faster
            row = await session.row("extraction", job)
            if row is None or row["was_auto"]:
                return
            request, result = msgspec.convert(row["request"], ExtractRequest), msgspec.convert(row["result"], ExtractResult)
            if result.placed is None:
                sentence = f"No zip was made of what {request.path} held: it has too many entries, or names that are no text."
                await session.run("auto_archive_problem", owner, sentence)
            elif result.placed and result.placed != [""]:
                stem = request.path.rpartition("/")[2].partition(".")[0]
                await self._ask(session, owner, AutoArchiveJob(result.placed, output_of(result.placed, stem), result.total_size))

    async def _ask(self, session: Session, owner: UUID, order: AutoArchiveJob) -> None:
        """Queue the job, or record why it is not possible."""
        user = await session.row("user", owner)
        if user is None or user["disabled_at"] is not None:
            return
        largest = (await self._configuration.of(session)).max_task_size
        problem = _TOO_MANY if len(order.paths) > _MOST_PATHS else None
        if 0 < largest < order.total_bytes:
            problem = (
                f"No zip was made: {units.size(order.total_bytes)} arrived, and a task may have at most {units.size(largest)}."
            )
        if problem is None:
            try:
                await self._limits.refuse_more_jobs(session, owner)
            except ProblemError as exc:
                problem = f"No zip was made: {exc}"
        if problem is not None:
            await session.run("auto_archive_problem", owner, problem)
            return
        request = CompressRequest(
            root=Root.WORKSPACE, paths=order.paths, output=order.output, format="zip", level=self._level, auto=True
        )
        name, facts = order.output.rpartition("/")[2].removesuffix(".zip"), (user["username"], owner, order.total_bytes, None)
        document: Any = msgspec.to_builtins(request)
        row = await session.row("new_workspace_job", Kind.COMPRESS, name, f"/{order.paths[0]}", document, *facts)
        assert row is not None
        sentence = f"The archive {order.output} was asked for by the auto-archive of {user['username']}."
        entry = AuditRecord("job_create", sentence, str(row["id"]), {"kind": Kind.COMPRESS, "path": order.paths[0]})
        await audit.note(session, Actor(user["username"], owner, _VIA), entry)


async def _shown(session: Session, owner: UUID) -> AutoArchive:
    row = await session.row("auto_archive", owner)
    waiting = await session.value("count_arrivals", owner)
    if row is None:
        return AutoArchive(everything=False, folders=[], waiting_files=waiting, problem=None, problem_at=None)
    names = ("everything", "folders", "problem", "problem_at")
    return AutoArchive(waiting_files=waiting, **{name: row[name] for name in names})
