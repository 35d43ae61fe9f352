"""User actions on jobs: request, cancel, retry. Each is one transaction, and the database's guard has the final say."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from services.gateway.auth.limits import Limits
from services.gateway.http.http_errors import ProblemError, conflict, not_found
from services.gateway.jobs import decide
from services.gateway.jobs.decide import Action, Cancel
from services.gateway.jobs.peers import Peers
from services.gateway.records import audit
from services.gateway.records.audit import AuditRecord
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from shared.domain.destinations import RemotePlace, cleanup_wait, unplaced_key
from shared.domain.events import LogLine
from shared.domain.lifecycle import TERMINAL, Kind, Role, Status
from shared.errors import PermanentError
from shared.infra.db import Session
from shared.service.rpc import Inspected

_WHERE = {"top": "to the top of the queue", "up": "up", "down": "down", "bottom": "to the bottom of the queue"}
_CLEANUP_SECONDS = 2
_REFUSED = {400, 404, 409}
_LIVE_JOB = {"one_live_job_per_source", "one_live_job_per_folder"}


def visible(who: Identity, job_id: UUID, row: Any | None) -> Any:
    """Return a job that this user may see and control: the team's archive jobs, or jobs of the user (for admins: of anyone).

    Raises ProblemError 404, also for another user's job, so that its existence stays private.
    """
    if row is None or (row["kind"] != Kind.ARCHIVE and row["created_by_id"] != who.id and not who.is_admin):
        raise not_found(f"There is no job {job_id}.")
    return row


class Jobs:
    """Every method raises ProblemError, with 503 while a service or the database is unavailable."""

    def __init__(self, store: Store, peers: Peers, base: str, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._peers = peers
        self._base = base

    async def find(self, who: Identity, job_id: UUID) -> Any:
        """Return the row of a job of any kind. Raises ProblemError 404."""
        return visible(who, job_id, await self._store.job(job_id))

    async def create(self, who: Identity, path: str, *, keep_source: bool) -> Any:
        """Queue an archive job for a folder, and return its row."""
        folder, destination = await self._judge(decide.folder_path(self._base, path))
        try:
            async with self._store.transaction() as session:
                await self._limits.refuse_more_jobs(session, who.id)
                names = (folder.name, folder.path, folder.device, folder.inode, destination, keep_source)
                job = await session.row("new_job", *names, who.username, who.id, folder.size_bytes, folder.file_count)
                assert job is not None
                job = await self._acquire(session, destination, job["id"]) or job
                sentence = f"{who.username} asked for {folder.path} to be archived."
                entry = AuditRecord("job_create", sentence, str(job["id"]), {"path": folder.path, "keep_source": keep_source})
                await audit.note(session, who.actor, entry)
                return job
        except asyncpg.UniqueViolationError as exc:
            if exc.constraint_name not in _LIVE_JOB:
                raise
            await self._refuse_live_job(folder)
            raise conflict(
                "This folder was being archived a moment ago. Look at the queue and try again.", _CLEANUP_SECONDS
            ) from exc

    async def refusal(self, path: str) -> str | None:
        """Return why a request for this folder (its absolute path) would be refused now, or None if it would be queued.

        Raises like `create` while the answer is unknown. The user's limits are not checked.
        """
        try:
            await self._judge(path)
        except PermanentError as exc:  # a name that cannot be transferred
            return str(exc)
        except ProblemError as exc:
            if exc.status not in _REFUSED:
                raise
            return str(exc)
        return None

    async def _judge(self, path: str) -> tuple[Inspected, str]:
        """Return the folder and its destination. Raises ProblemError 400, 404 and 409, and PermanentError, when it is refused."""
        folder = await self._peers.inspect(path)
        await self._refuse_live_job(folder)
        destination = decide.destination(folder.level1, folder.level2, folder.name)
        await self._refuse_taken(destination, None)
        return folder, destination

    async def cancel(self, who: Identity, job_id: UUID) -> None:
        """Cancel a job now, or ask the worker that holds it. Return at once."""
        await self.control(who, job_id, Action.CANCEL)

    async def control(self, who: Identity, job_id: UUID, action: Action) -> Any:
        """Pause, resume or cancel a job of any kind, and return its new row. Idempotent."""
        async with self._store.transaction() as session:
            job = visible(who, job_id, await session.row("lock_job", job_id))
            status = Status(job["status"])
            cancelling = job["cancel_requested_by"] is not None
            line = None
            if action is Action.CANCEL:
                how = decide.cancel(Kind(job["kind"]), status, held=job["held"])
                await session.run("cancel_now" if how is Cancel.NOW else "request_cancel", job_id, who.username)
                line = await _note(session, job_id, "cancel_requested", f"{who.username} cancelled the job.", who)
            elif action is Action.PAUSE:
                decide.pause(status, cancelling=cancelling)
                if not job["paused"]:
                    await session.run("pause", job_id)
                    line = await _note(session, job_id, "pause_requested", f"{who.username} paused the job.", who)
            else:
                decide.resume(status)
                if job["paused"]:
                    await session.run("resume", job_id)
                    line = await _note(session, job_id, "resume_requested", f"{who.username} let the job go on.", who)
            after = await session.row("job", job_id)
        if line is not None:
            await self._peers.show_log(job_id, line)
            await self._peers.show_control(job_id)
            await self._peers.nudge(decide.owner(status, Kind(job["kind"])))
            if action is Action.CANCEL:  # it may have ended as a result
                await self._peers.nudge_cleaners()
        return after

    async def move(self, who: Identity, job_ids: Sequence[UUID], to: str) -> None:
        """Change the order of the waiting jobs. Raises ProblemError 409 when one of the jobs is not waiting."""
        async with self._store.transaction() as session:
            await session.run("lock_order")
            order = [decide.Waiting(row["id"], row["priority"], row["seq"]) for row in await session.rows("waiting")]
            if gone := set(job_ids) - {job.id for job in order}:
                raise conflict(f"{len(gone)} of these jobs do not wait any more, so their place cannot be changed.")
            changed = decide.priorities(decide.moved(order, set(job_ids), to))
            await session.run("set_priorities", list(changed), list(changed.values()))
            if changed:
                words = f"{who.username} moved {len(job_ids)} waiting job{'' if len(job_ids) == 1 else 's'} {_WHERE[to]}."
                data = {"job_ids": [str(job_id) for job_id in job_ids], "to": to}
                target = str(job_ids[0]) if len(job_ids) == 1 else ""
                await audit.note(session, who.actor, AuditRecord("queue_moved", words, target, data))
        for job_id in changed:
            await self._peers.show_control(job_id)
        await self._peers.nudge(Role.COMPRESSOR)

    async def retry(self, who: Identity, job_id: UUID) -> Any:
        """Queue a failed job again, and return its row."""
        job = await self.find(who, job_id)
        _refuse_unless_failed(job)
        if job["kind"] != Kind.ARCHIVE:
            return await self._retry_workspace_job(who, job)
        await self._refuse_taken(job["destination_path"], job_id)
        try:
            async with self._store.transaction() as session:
                await self._limits.refuse_more_jobs(session, job["created_by_id"])
                locked = await session.row("lock_job", job_id)
                assert locked is not None  # jobs are never deleted
                _refuse_unless_failed(locked)
                retried = await session.row("retry_job", job_id)
                retried = await self._acquire(session, locked["destination_path"], job_id) or retried
                line = await _note(session, job_id, "retry_requested", f"{who.username} asked to try again.", who)
        except asyncpg.UniqueViolationError as exc:
            if exc.constraint_name not in _LIVE_JOB:
                raise
            other = await self._store.live_job_of_source(job["source_path"], job["source_device"], job["source_inode"])
            raise _live_job_conflict(other, job["source_path"]) from exc
        await self._peers.show_log(job_id, line)
        await self._peers.nudge(Role.COMPRESSOR)
        return retried

    async def clear(self, who: Identity, job_id: UUID) -> Any:
        """Hide an ended job and its alert from the history, and return its row. Idempotent."""
        line = None
        async with self._store.transaction() as session:
            job = visible(who, job_id, await session.row("lock_job", job_id))
            decide.clear(Status(job["status"]))
            if job["cleared_at"] is None:
                await session.run("clear_job", job_id, await session.value("now"))
                line = await _note(session, job_id, "cleared", f"{who.username} cleared the job from the history.", who)
            after = await session.row("job", job_id)
        if line is not None:
            await self._peers.show_log(job_id, line)
        return after

    async def release_destination(self, who: Identity, job_id: UUID) -> Any:
        """Release the destination of a proven archive that was removed there, and return the job's row.

        Raises ProblemError 409 while the archive or anything else exists there, and while a worker holds the job.
        """
        await self.find(who, job_id)
        path = await self._peers.release_destination(job_id)
        async with self._store.transaction() as session:
            text = f"{who.username} released {path}: nothing is there any more, and this job's proofs no longer count."
            line = await _note(session, job_id, "destination_released", text, who)
        await self._peers.show_log(job_id, line)
        return await self._store.job(job_id)

    async def _retry_workspace_job(self, who: Identity, job: Any) -> Any:
        if job["request"].get("encrypted"):
            raise conflict("The password was forgotten when this job ended. Ask again with the password.")
        async with self._store.transaction() as session:
            await self._limits.refuse_more_jobs(session, job["created_by_id"])
            locked = await session.row("lock_job", job["id"])
            _refuse_unless_failed(locked)
            retried = await session.row("retry_job", job["id"])
            line = await _note(session, job["id"], "retry_requested", f"{who.username} asked to try again.", who)
        await self._peers.show_log(job["id"], line)
        await self._peers.nudge(Role.COMPRESSOR)
        return retried

    async def _refuse_live_job(self, folder: Inspected) -> None:
        other = await self._store.live_job_of_source(folder.path, folder.device, folder.inode)
        if other is not None:
            raise _live_job_conflict(other, folder.path)

    async def _refuse_taken(self, destination: str, job_id: UUID | None) -> None:
        """Raise 409 when the destination belongs to another job, or holds something foreign.

        Another job's clean-up is not a reason to refuse. It ends by itself, and the job waits for it in the queue.
        """
        own = await self._store.destination_of(job_id) if job_id is not None else None
        if own is not None and own["state"] == "verified":
            return  # this job's own proven archive is there, and is kept
        if own is None:
            holder = await self._store.destination_holder(_keys(await self._store.remote_place(), destination))
            if holder is not None:
                if _is_cleaning(holder):
                    return
                raise _holder_conflict(holder)
        seen = await self._peers.destination(destination, job_id)
        if seen.state == "foreign" or (seen.state == "own" and job_id is None):
            reason = seen.detail or "something is there already"
            raise conflict(
                f"{destination} cannot be written at the destination: {reason}. Rename the folder, or move what is there."
            )

    async def _acquire(self, session: Session, destination: str, job_id: UUID) -> Any | None:
        """Acquire the destination. During another job's clean-up, let the job wait and return its row. Raises ProblemError 409."""
        if await session.row("keep_destination", job_id) is not None:
            return None
        row = await session.row("remote_place")
        place = None if row is None else RemotePlace(row["endpoint"], row["base_path"])
        named = (None, None) if place is None else (place.endpoint, place.base)
        keys = _keys(place, destination)
        holder = await session.row("destination_holder", keys)
        if holder is None and await session.row("acquire_destination", keys[0], destination, job_id, *named) is not None:
            return None
        holder = holder or await session.row("destination_holder", keys)
        if holder is None:
            raise conflict(f"{destination} was released a moment ago. Try again.", _CLEANUP_SECONDS)
        if not _is_cleaning(holder):
            raise _holder_conflict(holder)
        reason = cleanup_wait(destination, holder["job_id"])
        await session.value("log", job_id, "WARNING", "waiting", reason, None)
        return await session.row("wait_for_cleanup", job_id, reason)


def _keys(place: RemotePlace | None, destination: str) -> list[str]:
    """Return the keys under which a destination may be held. A new job acquires the first one."""
    return [*([] if place is None else [place.key(destination)]), unplaced_key(destination)]


def _is_cleaning(holder: Any) -> bool:
    """Return whether an ended job holds the destination only until its files there are removed."""
    return holder["state"] != "verified" and holder["status"] in TERMINAL


def _refuse_unless_failed(job: Any) -> None:
    if job["status"] != Status.FAILED:
        raise conflict(f"Only a failed job can be tried again; this one is {job['status']}.")


def _live_job_conflict(other: Any | None, path: str) -> ProblemError:
    if other is None:
        return conflict("This folder was being archived a moment ago. Look at the queue and try again.", _CLEANUP_SECONDS)
    where = "" if other["source_path"] == path else f" under the path {other['source_path']}"
    return conflict(
        f"This folder is being archived already{where}: job {other['id']}, asked for by {other['created_by']}, is {other['status']}."
    )


def _holder_conflict(holder: Any) -> ProblemError:
    who = f"job {holder['job_id']} ({holder['folder_name']}, asked for by {holder['created_by']}, {holder['status']})"
    if holder["state"] == "verified":
        return conflict(
            f"{holder['path']} at the destination holds the proven archive of {who}, and such an archive is never replaced."
            " Rename the folder to archive it again; where that archive was removed on purpose, an admin can release its place."
        )
    return conflict(f"{holder['path']} at the destination is held by {who}. Wait until that job has ended.")


async def _note(session: Session, job_id: UUID, action: str, message: str, who: Identity) -> LogLine:
    """Record the user's action in the job's log and in the audit log."""
    at = await session.value("log", job_id, "INFO", action, message, {"by": who.username, "user_id": str(who.id)})
    await audit.note(session, who.actor, AuditRecord(f"job_{action.removesuffix('_requested')}", message, str(job_id)))
    return LogLine(job_id=job_id, timestamp=at, level="INFO", action=action, message=message)
