"""The uploader is the only service that talks to Globus. Start it with `python -m services.uploader`."""

import asyncio
from pathlib import Path

import msgspec

from services.uploader import case, cleanup, globus, handlers, paths, pausing, proving
from services.uploader.decide.ownership import Verdict
from services.uploader.decide.running_task import WatchLimits
from services.uploader.model import Endpoint, RecheckPolicy
from services.uploader.rows import Archive, Used
from services.uploader.submissions import Route, Submissions, owns
from shared import log
from shared.domain.destinations import Elsewhere, RemotePlace, elsewhere_text
from shared.domain.lifecycle import TERMINAL, UPLOAD_LANE, Role
from shared.errors import ArchiverError, DatabaseAway, Operation, PermanentError, Waiting
from shared.infra.db import Database
from shared.infra.runtime_settings import RuntimeSettings
from shared.infra.settings import UploaderSettings
from shared.service import jobs
from shared.service.rpc import (
    AskDestination,
    CollectionState,
    DestinationReleased,
    DestinationState,
    GlobusCheck,
    GlobusChecked,
    RecheckSize,
    ReleaseDestination,
    SizeChecked,
)
from shared.service.runtime import Runtime, run_service

logger = log.get(__name__)


def build(settings: UploaderSettings, db: Database, tuned: RuntimeSettings, collections: tuple[str, ...] = ()) -> case.UploadTools:
    """Build everything the handlers need, without any request to Globus. Raises ConfigurationError for settings that cannot work.

    collections: ids of all collections that earlier settings used.
    """
    adapter = globus.Globus(globus.connection(settings, collections))
    place = paths.place(settings.globus_destination_endpoint, settings.globus_destination_base_path)
    route = Route(settings.globus_source_endpoint, place, settings.upload_task_timeout_hours)
    paths.base_parts(settings.globus_source_collection_path, "GLOBUS_SOURCE_COLLECTION_PATH")
    return case.UploadTools(
        globus=adapter,
        submissions=Submissions(db, adapter, route),
        archives=settings.archives,
        source_root=settings.globus_source_local_root or settings.archives,
        source_path=settings.globus_source_collection_path,
        limits=WatchLimits(
            poll_interval_s=settings.upload_task_poll_interval_seconds, hard_fault_s=settings.hard_fault_minutes * 60
        ),
        policy=RecheckPolicy(settings.remote_recheck),
        most_archives=lambda: tuned.get("max_compression_retries", settings.max_compression_retries),
    )


class Answers:
    """Answers questions of the gateway, the compressor and the scanner about the destination."""

    def __init__(self, db: Database, tools: case.UploadTools) -> None:
        self._db = db
        self._tools = tools

    async def destination(self, question: bytes) -> DestinationState:
        asked = msgspec.json.decode(question, type=AskDestination)
        submissions, owned = self._tools.submissions, False
        try:
            place = await self._place(asked)
        except Waiting as exc:
            return DestinationState("busy", str(exc))
        if asked.job_id is not None:
            try:
                owned = owns(await submissions.load(place.key, asked.job_id), asked.job_id)
            except ArchiverError as exc:
                return DestinationState("unknown", str(exc))
        verdict, detail = await submissions.look_at(place, owned=owned)
        return DestinationState(verdict.value, detail)

    async def _place(self, asked: AskDestination) -> paths.Destination:
        """Return where this job's archive goes. A live job holds the destination from now on.

        A job that has ended gets no new one.
        """
        submissions = self._tools.submissions
        job = await jobs.load(self._db, asked.job_id) if asked.job_id is not None else None
        if job is None:
            return submissions.by_settings(asked.path)
        if job.status in TERMINAL:
            return await submissions.held(job.id) or submissions.by_settings(asked.path)
        return await submissions.hold(job)

    async def globus_check(self, question: bytes) -> GlobusChecked:
        """Check that Globus answers, shows both collections and lists both directories.

        It transfers nothing. It makes the destination base when that is missing.
        """
        msgspec.json.decode(question, type=GlobusCheck)
        globus, base = self._tools.globus, self._tools.submissions.place.base
        answer = GlobusChecked(emulated=globus.is_emulated, transfer_url=globus.transfer_url, problems=[])
        try:
            probe = await globus.probe(self._tools.source_path, base)
        except ArchiverError as exc:
            return msgspec.structs.replace(answer, problems=[str(exc)])
        ends = {"source": _collection(probe.source), "destination": _collection(probe.destination)}
        listed = {"source_listed": probe.source_listed, "destination_listed": probe.destination_listed}
        return msgspec.structs.replace(answer, problems=list(probe.problems), **ends, **listed)

    async def release_destination(self, question: bytes) -> DestinationReleased:
        """Release a verified destination when both names are "not found" now. After any other answer the job keeps it."""
        job_id = msgspec.json.decode(question, type=ReleaseDestination).job_id
        job, held = await jobs.load(self._db, job_id), await self._tools.submissions.held(job_id)
        if job is None or held is None:
            raise PermanentError("This job has no place at the destination.")
        verdict, detail = await self._tools.submissions.look_at(held, owned=False)
        if verdict is Verdict.UNKNOWN:
            raise Waiting(f"The destination gives no clear answer: {detail}", 15.0)
        if verdict is not Verdict.ABSENT:
            raise PermanentError(f"The archive's place is not empty, so it stays this job's: {detail}")
        if not await self._db.value("release_verified", job_id):
            raise PermanentError("This job holds no proven place, or has not ended.")
        logger.warning("destination_released", job_id=str(job_id), message=f"{held.archive} is free again.")
        return DestinationReleased(job.destination)

    async def recheck_size(self, question: bytes) -> SizeChecked:
        job_id = msgspec.json.decode(question, type=RecheckSize).job_id
        archive, held = await self._db.one(Archive, "archive", job_id), await self._tools.submissions.held(job_id)
        if archive is None or held is None:
            return SizeChecked(ok=False, detail="No archive and no place at the destination are recorded for this job.")
        try:
            problem = await proving.sizes_now(self._tools, archive, held)
        except ArchiverError as exc:  # without an answer, the sizes are unknown
            raise Waiting(f"The destination gives no clear answer: {exc}", 15.0) from exc
        return SizeChecked(ok=problem is None, detail=problem or "")


def _collection(end: Endpoint | None) -> CollectionState | None:
    if end is None:
        return None
    return CollectionState(end.id, end.display_name, end.entity_type, end.high_assurance, end.gcp_connected)


async def _probe(tools: case.UploadTools) -> None:
    """Log early what an administrator has to fix. Otherwise only jobs would report it."""
    try:
        for problem in (await tools.globus.probe(tools.source_path, tools.submissions.place.base)).problems:
            logger.error("globus_problem", message=problem)
    except ArchiverError as exc:
        logger.warning("globus_unreachable", message=str(exc))


async def use(db: Database, place: RemotePlace) -> tuple[str, ...]:
    """Record where new jobs go from now on, and log problems at earlier places.

    Returns the ids of all collections that were used so far.
    """
    await db.run("use_place", place.endpoint, place.base)
    for work in await db.many(Elsewhere, "work_elsewhere"):
        logger.warning("work_elsewhere", message=elsewhere_text(work), job_id=str(work.job_id))
    return tuple(used.endpoint for used in await db.many(Used, "endpoints"))


async def _use_with_retry(db: Database, place: RemotePlace) -> tuple[str, ...]:
    while True:
        try:
            return await use(db, place)
        except DatabaseAway as exc:
            logger.warning("place_unknown", message=f"Where archives go is recorded later: {exc}")
            await asyncio.sleep(0.5)


async def run(runtime: Runtime[UploaderSettings]) -> None:
    settings = runtime.settings
    place = paths.place(settings.globus_destination_endpoint, settings.globus_destination_base_path)
    tools = build(settings, runtime.db, runtime.tuned, await _use_with_retry(runtime.db, place))
    answers = Answers(runtime.db, tools)
    worker = runtime.worker(UPLOAD_LANE, runtime.settings.upload_limit, Operation.UPLOAD, archives=runtime.settings.archives)
    await runtime.bus.serve("destination", answers.destination)
    await runtime.bus.serve("globus_check", answers.globus_check)
    await runtime.bus.serve("release_destination", answers.release_destination)
    await runtime.bus.serve("recheck_size", answers.recheck_size)
    await runtime.listen(worker)
    probe = asyncio.create_task(_probe(tools))
    sweep = pausing.Sweep(runtime.db, tools.submissions)

    try:
        await worker.run(
            lambda work: handlers.upload(work, tools), lambda job_id: cleanup.settle(runtime.db, tools, job_id), sweep.begin
        )
    finally:
        sweep.stop()
        probe.cancel()
        await tools.globus.close()


if __name__ == "__main__":
    run_service(Role.UPLOADER, UploaderSettings, Path(__file__).with_name("queries.sql"), run)
