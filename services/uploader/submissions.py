"""Submissions: stored before they are used, found again after any crash, and closed only when their task is terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from services.uploader import paths
from services.uploader.decide.ownership import Presence, Verdict, destination_verdict, presence
from services.uploader.globus import Globus
from services.uploader.globus_errors import ChecksumAlgorithmRefused
from services.uploader.model import (
    DeleteRequest,
    FatalError,
    Item,
    NotFound,
    Purpose,
    Rejection,
    Remote,
    Submission,
    TaskView,
    TransferRequest,
    deadline_text,
    label_for,
)
from services.uploader.rows import Held, Holder, Sent
from shared import faults, units
from shared.domain.destinations import RemotePlace, cleanup_wait
from shared.domain.job import Job
from shared.domain.lifecycle import TERMINAL
from shared.errors import ArchiverError, Fenced, PermanentError, TransientError, Waiting
from shared.files.manifest import SIDECAR_SUFFIX
from shared.infra.db import Database, Session

Request = TransferRequest | DeleteRequest

_PAST_DEADLINE = timedelta(minutes=10)  # how long Globus may take to act on a deadline before we rely on it


class Stored(msgspec.Struct, frozen=True):
    """A stored submission: the document as it was or will be sent, and what is known of its task.

    here: the document names exactly the collection and the two paths of the destination. counts: it must be settled, or may be the
    reason why something is at the destination; False once the destination was seen without anything of this job after it.
    """

    view: Submission
    job_id: UUID
    attempt: int
    request: Request
    is_open: bool
    algorithm_refused: bool
    here: bool = True
    counts: bool = True

    @property
    def is_hopeless(self) -> bool:
        """Return whether its own deadline has passed. Then Globus has ended its task if there was one, and refuses to begin it."""
        return datetime.now(UTC) > datetime.fromisoformat(self.request.deadline) + _PAST_DEADLINE

    @property
    def id(self) -> str:
        return self.view.submission_id


class Route(msgspec.Struct, frozen=True):
    """The route by the settings: the source collection, the place that new jobs use, and how long a task may take."""

    source_endpoint: str
    place: RemotePlace
    timeout_h: float

    def deadline(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=self.timeout_h)


class Submissions:
    """The stored submissions of all jobs, in Postgres and at Globus."""

    def __init__(self, db: Database, globus: Globus, route: Route) -> None:
        self._db = db
        self._globus = globus
        self._route = route

    @property
    def place(self) -> RemotePlace:
        """Return where new jobs go."""
        return self._route.place

    async def hold(self, job: Job) -> paths.Destination:
        """Return the destination of a live job, which holds it afterwards.

        A job that has sent something stays at the place where it began; any other goes where the settings say now. Raises Waiting
        while another job's work on the path is not finished, PermanentError when the path belongs to another job permanently.
        """
        path, place = job.destination, self._route.place
        wanted = paths.destination_of(place, path)
        async with self._db.transaction() as session:
            key = await session.value("take_destination", job.id, place.endpoint, place.base, wanted.key)
            if key is None:
                other = await session.one(Holder, "destination_holder", wanted.key)
        if key is None:
            raise _taken(path, other)
        held = await self.held(job.id)
        if held is None:
            raise Fenced("This job does not hold its destination any more.")
        return held

    async def held(self, job_id: UUID) -> paths.Destination | None:
        """Return the destination that a job holds or has proven. Raises Waiting when its place was never recorded."""
        held = await self._db.one(Held, "destination_of", job_id)
        if held is None:
            return None
        if held.endpoint is None or held.base_path is None:
            raise Waiting(f"Nobody knows on which collection {held.path} is: this job's place was never recorded.", 60.0)
        return paths.destination_of(RemotePlace(held.endpoint, held.base_path), held.path)

    def by_settings(self, path: str) -> paths.Destination:
        """Return where a new job's archive would go."""
        return paths.destination_of(self._route.place, path)

    async def load(self, key: str, job_id: UUID) -> list[Stored]:
        """Return every submission for a destination, oldest first, each with its task as Globus shows it now."""
        return [await self._look(sent, job_id) for sent in await self._db.many(Sent, "submissions", key)]

    async def _look(self, sent: Sent, job_id: UUID) -> Stored:
        stored = _stored(sent, job_id)
        if not stored.is_open:
            return stored
        task = await self.find(stored)
        if task is not None:
            await self.saw(stored, task)
        return msgspec.structs.replace(
            stored,
            view=msgspec.structs.replace(stored.view, task=task),
            is_open=task is None or not task.is_finished,
        )

    async def find(self, stored: Stored) -> TaskView | None:
        """Return the task of a submission, by its id or, when the answer with the id was lost, by its label.

        Raises Waiting while Globus does not answer about a task it has. That task continues without us, so the wait costs no try.
        """
        known = stored.view.task
        if known is not None:
            try:
                return await self._globus.task(known.task_id) or _vanished(stored, known)
            except TransientError as exc:
                if stored.is_hopeless:
                    raise
                raise Waiting(f"Waiting to see the task that is at work at Globus: {exc}", 15.0) from exc
        found = await self._globus.find_tasks(stored.request.label)
        if not found:
            return None
        await self._db.run("store_task", stored.id, found[0].task_id)
        return found[0]

    async def saw(self, stored: Stored, task: TaskView) -> None:
        """Store a task as it is now. A terminal task closes its submission."""
        await self._db.run("see_task", stored.id, task.status, msgspec.to_builtins(task), task.is_finished)

    async def send(self, stored: Stored) -> str:
        """Send a stored document, for the first time or again. Returns its task id.

        A document that Globus itself refuses is marked and never becomes a task. The error is raised to the caller.
        """
        try:
            if isinstance(stored.request, TransferRequest):
                task_id = await self._globus.submit_transfer(stored.request)
            else:
                task_id = await self._globus.submit_delete(stored.request)
        except (ChecksumAlgorithmRefused, PermanentError) as exc:
            if not await self._globus.find_tasks(stored.request.label):
                await self._db.run("refuse_submission", stored.id, isinstance(exc, ChecksumAlgorithmRefused))
            raise
        faults.point(f"uploader.{stored.view.purpose}.sent")
        await self._db.run("store_task", stored.id, task_id)
        return task_id

    async def transfer_request(
        self, job_id: UUID, attempt: int, purpose: Purpose, place: RemotePlace, items: Sequence[Item]
    ) -> TransferRequest:
        """Return a new document for a transfer or a recheck, under an id that was not used yet."""
        submission_id = await self._globus.submission_id()
        return TransferRequest(
            submission_id=submission_id,
            label=label_for(str(job_id), attempt, purpose, submission_id),
            source_endpoint=self._route.source_endpoint,
            destination_endpoint=place.endpoint,
            items=tuple(items),
            deadline=deadline_text(self._route.deadline()),
        )

    async def remove(self, destination: paths.Destination, job_id: UUID, attempt: int) -> Stored:
        """Store a removal of both names (which voids older evidence). The caller sends it."""
        submission_id = await self._globus.submission_id()
        request = DeleteRequest(
            submission_id=submission_id,
            label=label_for(str(job_id), attempt, Purpose.REMOVAL, submission_id),
            endpoint=destination.place.endpoint,
            paths=destination.names,
            deadline=deadline_text(self._route.deadline()),
        )
        async with self._db.transaction() as session:
            if await session.row("begin_removal", destination.key, job_id, attempt) is None:
                raise Fenced("This attempt does not hold its destination any more; nothing there is removed.")
            await self.store(session, request, job_id, attempt, Purpose.REMOVAL, destination.key, None)
        return Stored(Submission(submission_id=submission_id, purpose=Purpose.REMOVAL), job_id, attempt, request, True, False)

    async def store(
        self,
        session: Session,
        request: Request,
        job_id: UUID,
        attempt: int,
        purpose: Purpose,
        key: str,
        archive_attempt: int | None,
    ) -> None:
        """Store a submission id and its whole document. The database refuses it while an older task on the path is open."""
        body = msgspec.to_builtins(request)
        await session.run(
            "store_submission",
            submission_id=UUID(request.submission_id),
            job_id=job_id,
            attempt=attempt,
            purpose=purpose,
            destination_key=key,
            archive_attempt=archive_attempt,
            request=body,
        )

    async def clean(self, key: str, job_id: UUID, attempt: int) -> None:
        """Record that nothing of this job is at its destination. The destination is free from now on if the job has ended."""
        async with self._db.transaction() as session:
            await session.run("lock_destination", key)
            await session.run("clean_destination", key, job_id, attempt)

    async def give_up(self, stored: Stored) -> None:
        """Close a submission that never became a task and, past its deadline, never will."""
        await self._db.run("refuse_submission", stored.id, False)

    async def end(self, stored: Stored) -> None:
        """End a submission's task: cancel it, or let it finish if it is a removal. Raises Waiting while it runs."""
        task = await self.find(stored)
        if task is not None and not task.is_finished and stored.view.purpose is not Purpose.REMOVAL:
            await self._globus.cancel(task.task_id)
            task = await self.find(stored)
        if task is None:
            raise Waiting("Globus shows no task for what was submitted yet.", 5.0)
        await self.saw(stored, task)
        if not task.is_finished:
            raise Waiting(f"Waiting for Globus task {task.task_id} to end.", 1.0)

    async def look_at(self, destination: paths.Destination, *, owned: bool) -> tuple[Verdict, str]:
        """Return who owns the destination now, and what was seen there. Any unclear answer is `unknown`."""
        endpoint = destination.place.endpoint
        archive, said = await self._presence(endpoint, destination.archive)
        sidecar, also = await self._presence(endpoint, destination.sidecar)
        detail = "; ".join(text for text in (said, also) if text)
        return destination_verdict(archive, sidecar, owned_by_job=owned), detail

    async def _presence(self, endpoint: str, path: str) -> tuple[Presence, str]:
        try:
            found = await self._globus.stat(endpoint, path)
        except ArchiverError as exc:
            return presence(exc), str(exc)
        return presence(found), describe(path, found)


def describe(path: str, found: Remote | NotFound) -> str:
    if isinstance(found, NotFound):
        return ""
    return f"{path} is there ({found.type}, {units.exact_size(found.size)}, {found.last_modified or 'time unknown'})"


def owns(submissions: Sequence[Stored], job_id: UUID) -> bool:
    """Return whether the files at the destination may be this job's.

    That is so if Globus accepted one of its transfers to exactly these names, did not say that it moved nothing, and no removal
    has emptied the destination since.
    """
    owned = False
    for stored in submissions:
        if stored.job_id != job_id or stored.view.refused or not (stored.counts and stored.here):
            continue
        task = stored.view.task
        if stored.view.may_have_written:
            owned = True
        if stored.view.purpose is Purpose.REMOVAL and task is not None and task.status == "SUCCEEDED":
            owned = False
    return owned


def _taken(path: str, holder: Holder | None) -> ArchiverError:
    """Return the error for a job whose path another job has."""
    if holder is None:
        return Waiting(f"{path} was released a moment ago; it is taken now.", 1.0)
    if holder.state == "verified":
        return PermanentError(f"{path} at the destination holds the proven archive of job {holder.job_id}. Rename the folder.")
    if holder.status in TERMINAL:
        return Waiting(cleanup_wait(path, holder.job_id), 5.0)
    return Waiting(f"Waiting until job {holder.job_id}, which has {path} at the destination, has ended.", 60.0)


def _stored(sent: Sent, job_id: UUID) -> Stored:
    purpose = sent.purpose
    task = None
    if sent.task_id is not None:
        seen = sent.detail or {"task_id": sent.task_id, "status": "ACTIVE"}
        task = msgspec.convert(seen, TaskView, strict=False)
    rejected = sent.rejected
    view = Submission(
        submission_id=str(sent.submission_id),
        purpose=purpose,
        archive_sha256=sent.archive_sha256 or "",
        manifest_sha256=sent.manifest_sha256 or "",
        task=task,
        refused=sent.status == "REFUSED",
        rejection=msgspec.convert(rejected, Rejection) if rejected else None,
        own=sent.job_id == job_id,
    )
    shape: type[Request] = DeleteRequest if purpose is Purpose.REMOVAL else TransferRequest
    request = msgspec.convert(sent.request, shape)
    is_open, refused = sent.ended_at is None, sent.algorithm_refused
    here = _names(sent) == request.names()
    return Stored(view, sent.job_id, sent.attempt, request, is_open, refused, here, sent.counts and (here or is_open))


def _names(sent: Sent) -> tuple[str, tuple[str, ...]] | None:
    """Return the collection and the two destination paths of a row; None if its place was never recorded."""
    if sent.endpoint is None or sent.base_path is None:
        return None
    archive = RemotePlace(sent.endpoint, sent.base_path).full(sent.path)
    return sent.endpoint, (archive, archive + SIDECAR_SUFFIX)


def _vanished(stored: Stored, known: TaskView) -> TaskView:
    """Return a task that Globus does not know any more: as last seen until its deadline has passed, and failed after that."""
    if not stored.is_hopeless:
        return known
    gone = FatalError("GONE", "Globus does not know this task any more, and its deadline has passed.")
    return msgspec.structs.replace(known, status="FAILED", fatal_error=gone)
