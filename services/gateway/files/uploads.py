"""Uploads into a workspace: streamed to disk, resumable, published atomically.

One row per user and path records the file's length and reserves that much quota and disk space. The bytes are stored beside the
workspaces until the file is complete. Nobody sees a partial file, and a file is replaced only on request.
"""

import asyncio
import errno
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import msgspec
from litestar.exceptions import ClientException

from services.gateway.files.conflicts import Busy, refuse
from services.gateway.files.quota import Quotas
from services.gateway.files.workspaces import Workspaces, disk_refusal, plain_path
from services.gateway.http import ranges
from services.gateway.http.http_errors import ProblemError, bad_request, conflict, not_found
from services.gateway.http.ranges import Sent
from services.gateway.records import audit
from services.gateway.records.audit import AuditRecord
from services.gateway.records.disk import at_disk, open_at_disk, to_its_end
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from shared import units
from shared.files.listing import Item, item
from shared.isolation import Isolation

STALE_HOURS = 24.0
_PIECE = 1 << 20
_NOTE_SECONDS = 1.0


class Target(msgspec.Struct, frozen=True):
    """The target of an upload. `tag` is the client's description of the file, so that a different file never continues it.

    `headers`: If-Match and similar headers, with names in lower case. `batch`: the same for all files that the client sends
    together.
    """

    path: str
    overwrite: bool = False
    tag: str = ""
    headers: Mapping[str, str] = {}
    batch: str = ""


class Arrived(msgspec.Struct, frozen=True):
    """The progress of an upload. `item` and `etag`: the file and its version, once it is published."""

    upload: UUID
    received: int
    total: int
    item: Item | None = None
    etag: str = ""


class Uploads:
    """Every method raises ProblemError."""

    def __init__(self, store: Store, quotas: Quotas, workspaces: Workspaces, busy: Busy) -> None:
        self._store = store
        self._quotas = quotas
        self._workspaces = workspaces
        self._busy = busy
        self._left_out = Isolation("forgotten upload")

    async def receive(self, who: Identity, target: Target, part: Sent, stream: AsyncIterator[bytes]) -> Arrived:
        """Store one request's bytes. Raises 409 with the next offset when they do not continue the stored bytes."""
        path = plain_path(target.path)
        await self._busy.refuse(who.id, path)
        await self._check(who, path, target)
        row = await self._begin(who, path, target.tag, part)
        async with self._held(row["id"]) as handle:
            received = await at_disk(_size, handle)
            if part.asks and received < part.total:
                return Arrived(row["id"], received, part.total)
            if not part.asks:
                if part.start == 0:
                    received = await _to_its_end(_cut, handle)
                if part.start != received:
                    raise _not_there(received)
                received = await self._write(handle, row["id"], part, stream)
            if received < part.total:
                return Arrived(row["id"], received, part.total)
            await at_disk(os.fsync, handle)
            await self._publish(who, row["id"], path, part.total, target)
            found = os.fstat(handle)  # of this very file, even if the path was replaced meanwhile
        return Arrived(row["id"], part.total, part.total, item(path.encode(), found), ranges.version_of(found).etag)

    async def _check(self, who: Identity, path: str, target: Target) -> None:
        await at_disk(self._workspaces.check_target, who.id, path, target.headers, overwrite=target.overwrite)

    async def _begin(self, who: Identity, path: str, tag: str, part: Sent) -> Any:
        """Return the upload's row: the existing one, or a new one with its space reserved."""
        if (there := await self._going_on(who, path, tag, part)) is not None:
            return there
        if part.start:
            raise _not_there(0)
        async with self._quotas.reserving(who.id) as reserving:
            session = reserving.session
            there = await session.row("upload_at", who.id, path)
            if there is not None and (there["total_bytes"], there["tag"]) == (part.total, tag):
                return there  # another request was faster
            if there is not None:  # a different file with this path: discard its bytes
                await session.run("forget_upload", there["id"])
                reserving.require(part.total - there["total_bytes"], 0)
            else:
                reserving.require(part.total, 1)
            row = await session.row("new_upload", who.id, path, part.total, reserving.filesystem, tag)
            assert row is not None
        if there is not None:
            await at_disk(self._workspaces.forget_upload, there["id"])
        return row

    async def _going_on(self, who: Identity, path: str, tag: str, part: Sent) -> Any | None:
        """Return the row of the upload that this request continues, if any. It needs no more space."""
        async with self._store.transaction() as session:
            there = await session.row("upload_at", who.id, path)
            if there is None or (there["total_bytes"], there["tag"]) != (part.total, tag):
                return None
            await session.run("touch_upload", there["id"], None)
            return there

    @asynccontextmanager
    async def _held(self, upload: UUID) -> AsyncIterator[int]:
        """Open the file and lock it against other writers, in any gateway."""
        handle = await open_at_disk(self._workspaces.open_upload, upload)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise conflict("This file is arriving already, by another request.") from exc
            if not await at_disk(self._workspaces.is_upload, upload, handle):
                # The previous holder has just published this file, so it must not be written any more.
                raise conflict("This file has just arrived by another request, or was given up.")
            yield handle
        finally:
            os.close(handle)

    async def _write(self, handle: int, upload: UUID, part: Sent, stream: AsyncIterator[bytes]) -> int:
        """Append the received bytes. They stay on disk if the rest does not arrive."""
        at, end, noted = part.start, part.start + part.length, time.monotonic()
        waiting = bytearray()
        try:
            async for piece in _whole(stream):
                if at + len(waiting) + len(piece) > end:
                    raise bad_request("More bytes arrived than were announced; they were thrown away.")
                waiting += piece
                if len(waiting) >= _PIECE:
                    at = await _append(handle, at, waiting)
                    if time.monotonic() - noted > _NOTE_SECONDS:
                        noted = time.monotonic()
                        await self._note(upload, at)
        finally:
            at = await _append(handle, at, waiting)
            with suppress(ProblemError):
                await self._note(upload, at)
        if at < end:
            raise bad_request(f"Only {at - part.start} of {units.exact_size(part.length)} arrived. Go on at byte {at}.")
        return at

    async def _note(self, upload: UUID, received: int) -> None:
        async with self._store.transaction() as session:
            await session.run("touch_upload", upload, received)

    async def _publish(self, who: Identity, upload: UUID, path: str, total: int, target: Target) -> None:
        async with self._store.storage_transaction() as session:
            # Delete the row in the transaction that publishes the name: a concurrent sum counts the file twice, never misses
            # it.
            await session.run("lock_quota", who.id)
            await session.run("lock_names", who.id)
            if await session.run("forget_upload", upload) != "DELETE 1":
                raise conflict("Another upload to this path has taken the place of this one.")
            await refuse(session, who.id, path)  # a job may have started while the file arrived
            await self._check(who, path, target)  # and another request may have been faster
            sentence = f"{who.username} uploaded {path} ({units.size(total)})."
            await audit.note(session, who.actor, AuditRecord("file_uploaded", sentence, path, {"size": total}))
            await session.run("note_arrival", who.id, path, total, target.batch)
            walks = await session.value("usage_added", who.id, total, 1, 1)
            replaced = await at_disk(self._workspaces.publish, upload, who.id, path, overwrite=target.overwrite)
            if replaced.entries:
                await session.run("usage_removed", who.id, *replaced, walks)
        await at_disk(self._workspaces.sync_parent, who.id, path)

    # Incomplete uploads

    async def unfinished(self, who: Identity) -> list[Any]:
        """Return the rows of incomplete uploads, newest first."""
        async with self._store.transaction() as session:
            return await session.rows("uploads_of", who.id)

    async def give_up(self, who: Identity, upload: UUID) -> None:
        """Discard an incomplete upload and release its space."""
        async with self._store.transaction() as session:
            row = await session.row("upload", upload)
        if row is None or row["user_id"] != who.id:
            raise not_found(f"There is no upload {upload}.")
        async with self._held(upload):
            async with self._store.transaction() as session:
                gone = await session.run("forget_upload", upload) != "DELETE 1"
            await at_disk(self._workspaces.forget_upload, upload)
            if gone:
                raise conflict("This file has just arrived by another request, or was given up.")

    async def sweep(self) -> int:
        """Remove uploads without progress for a day, and bytes without a row (their user was deleted). Return how many."""
        async with self._store.transaction() as session:
            stale = [row["id"] for row in await session.rows("forget_stale_uploads", STALE_HOURS)]
        await self._forget_all(stale)
        there = await at_disk(self._workspaces.uploads)  # before the rows are read: a new upload creates its row first
        async with self._store.transaction() as session:
            known = {row["id"] for row in await session.rows("known_uploads", there)}
        orphans = [upload for upload in there if upload not in known]
        await self._forget_all(orphans)
        return len(stale) + len(orphans)

    async def _forget_all(self, uploads: list[UUID]) -> None:
        for upload in self._left_out.due(uploads, lambda upload: upload):
            with self._left_out.isolated(upload):
                await at_disk(self._workspaces.forget_upload, upload)


async def _to_its_end(change: Callable[..., int], *args: int) -> int:
    """Change an open file in a thread. Wait for the thread before the handle is closed and reused for another file."""
    return await to_its_end(asyncio.ensure_future(at_disk(change, *args)))


def _not_there(received: int) -> ProblemError:
    return ProblemError(409, "wrong-offset", f"Go on at byte {received}.", {"Upload-Offset": str(received)})


def _size(handle: int) -> int:
    return os.fstat(handle).st_size


def _cut(handle: int) -> int:
    os.ftruncate(handle, 0)
    return 0


async def _append(handle: int, at: int, waiting: bytearray) -> int:
    """Write and clear `waiting`. Return the new end. Raises ProblemError 507 when the disk is full."""
    if not waiting:
        return at
    piece = bytes(waiting)
    waiting.clear()

    def write() -> int:
        done = 0
        while done < len(piece):
            done += os.pwrite(handle, piece[done:], at + done)
        return done

    try:
        return at + await _to_its_end(write)
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            os.ftruncate(handle, at)
        raise disk_refusal(exc) from exc


async def _whole(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces until the client has sent everything or has disconnected."""
    with suppress(ClientException):
        async for piece in stream:
            yield piece
