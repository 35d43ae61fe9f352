"""Requests to the other services, and the error that a user gets when a service does not reply."""

import asyncio
from typing import TypeVar
from uuid import UUID

import msgspec

from services.gateway.http.http_errors import NATS_AWAY, conflict, unavailable
from services.gateway.jobs import decide
from shared import log
from shared.domain.events import JobChanged
from shared.domain.lifecycle import Role
from shared.errors import PermanentError, TransientError, Waiting
from shared.files.listing import Page, Wanted
from shared.infra.bus import Bus
from shared.service.rpc import (
    ArchiveListing,
    ArchiveStats,
    AskArchiveStats,
    AskDestination,
    AskMedia,
    AskPicture,
    AskPreview,
    Browse,
    DestinationReleased,
    DestinationState,
    FolderMeasured,
    FolderSeen,
    GlobusCheck,
    GlobusChecked,
    Inspect,
    Inspected,
    ListArchive,
    MeasureFolder,
    MediaAnswer,
    PictureAnswer,
    PlanArchive,
    PlanExtraction,
    PlannedArchive,
    PlannedExtraction,
    Refresh,
    Refreshed,
    ReleaseDestination,
)

logger = log.get(__name__)
A = TypeVar("A")

_INSPECT_SECONDS = 10.0
_DESTINATION_SECONDS = 5.0  # Globus is asked meanwhile; the compressor and the uploader check again before anything is sent
_GLOBUS_SECONDS = 25.0  # four requests to a remote service
REFRESH_SECONDS = 30.0
_ARCHIVE_SECONDS = 50.0  # a large folder is measured, or a long listing is read
_BROWSE_SECONDS = 20.0
_MEASURE_SECONDS = 45.0  # the scanner gives up slightly earlier, with a message

_MEDIA_SECONDS = 45.0  # the scanner waits 20 s for a free slot and gives a file 20 s
_PREVIEW_SECONDS = 15.0


class Peers:
    """Sends requests over NATS."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def _ask(self, service: Role, name: str, question: msgspec.Struct, answer: type[A], timeout: float) -> A:
        if not self._bus.connected:
            raise unavailable(NATS_AWAY)
        return await self._bus.ask(service, name, question, answer, timeout)

    async def inspect(self, path: str) -> Inspected:
        """Return the folder's current state. Raises ProblemError 400, 404, 409 or 503, Waiting while the NAS is not mounted."""
        try:
            return await self._ask(Role.SCANNER, "inspect", Inspect(path), Inspected, _INSPECT_SECONDS)
        except PermanentError as exc:
            raise decide.scanner_refusal(exc) from exc

    async def browse(self, path: str, wanted: Wanted) -> Page:
        """Return one page of a folder on the NAS. Raises ProblemError 400, 404 or 503, Waiting while the NAS is not mounted."""
        try:
            return await self._ask(Role.SCANNER, "browse", Browse(path, wanted), Page, _BROWSE_SECONDS)
        except PermanentError as exc:
            raise decide.scanner_refusal(exc) from exc

    async def measure(self, path: str) -> FolderMeasured:
        """Return the current size of a folder on the NAS. Raises like `browse`."""
        try:
            return await self._ask(Role.SCANNER, "measure", MeasureFolder(path), FolderMeasured, _MEASURE_SECONDS)
        except PermanentError as exc:
            raise decide.scanner_refusal(exc) from exc

    async def media_info(self, question: AskMedia) -> MediaAnswer:
        """Return a file's media information. Raises PermanentError with the scanner's code."""
        return await self._ask(Role.SCANNER, "media_info", question, MediaAnswer, _MEDIA_SECONDS)

    async def picture(self, name: str, question: AskPicture) -> PictureAnswer:
        """Return a `thumbnail` or `contact_sheet`. Raises PermanentError with the scanner's code."""
        return await self._ask(Role.SCANNER, name, question, PictureAnswer, _MEDIA_SECONDS)

    async def preview(self, question: AskPreview) -> FolderSeen:
        """Return a folder's contents, as far as they are read. Raises PermanentError with the scanner's code."""
        return await self._ask(Role.SCANNER, "preview", question, FolderSeen, _PREVIEW_SECONDS)

    async def destination(self, path: str, job_id: UUID | None) -> DestinationState:
        """Return the state of a destination path, or `unknown`. Raises PermanentError for a name that Globus cannot transfer."""
        question = AskDestination(path, job_id)
        try:
            return await self._ask(Role.UPLOADER, "destination", question, DestinationState, _DESTINATION_SECONDS)
        except (TransientError, Waiting) as exc:
            logger.info("destination_unknown", message="The destination will be looked at later.", path=path, error=str(exc))
            return DestinationState("unknown", str(exc))

    async def release_destination(self, job_id: UUID) -> str:
        """Release the destination of a proven archive that no longer exists. Return its path. Raises ProblemError 409 and 503."""
        question = ReleaseDestination(job_id)
        try:
            return (await self._ask(Role.UPLOADER, "release_destination", question, DestinationReleased, _GLOBUS_SECONDS)).path
        except PermanentError as exc:
            raise conflict(str(exc)) from exc

    async def globus(self) -> GlobusChecked:
        """Return whether Globus works, as the uploader sees it. Raises ProblemError 503, and TransientError while it is unknown."""
        return await self._ask(Role.UPLOADER, "globus_check", GlobusCheck(), GlobusChecked, _GLOBUS_SECONDS)

    async def refresh(self) -> bool:
        """Scan now and wait for the end, at most 30 s. Return False if the scan continues after that."""
        try:
            # The scanner may take any time, but the response to the user may not.
            await self._ask(Role.SCANNER, "refresh", Refresh(), Refreshed, REFRESH_SECONDS)
        except TransientError as exc:
            if isinstance(exc.__cause__, asyncio.TimeoutError):
                return False
            raise
        return True

    # Each of these raises ProblemError 400, 404 or 409 when the compressor refuses, and 503 while it is unavailable.

    async def plan_archive(self, question: PlanArchive) -> PlannedArchive:
        return await self._ask_compressor("plan_archive", question, PlannedArchive)

    async def plan_extraction(self, question: PlanExtraction) -> PlannedExtraction:
        return await self._ask_compressor("plan_extraction", question, PlannedExtraction)

    async def list_archive(self, question: ListArchive) -> ArchiveListing:
        return await self._ask_compressor("list_archive", question, ArchiveListing)

    async def archive_stats(self, question: AskArchiveStats) -> ArchiveStats:
        return await self._ask_compressor("archive_stats", question, ArchiveStats)

    async def _ask_compressor(self, name: str, question: msgspec.Struct, answer: type[A]) -> A:
        try:
            return await self._ask(Role.COMPRESSOR, name, question, answer, _ARCHIVE_SECONDS)
        except PermanentError as exc:
            raise decide.archive_refusal(exc) from exc

    async def nudge(self, service: Role) -> None:
        await self._bus.nudge(service)

    async def nudge_cleaners(self) -> None:
        await self._bus.nudge_cleaners()

    async def show_control(self, job_id: UUID) -> None:
        """Tell every gateway to read this job again, because no event reports a pause or cancel request."""
        await self._bus.publish_live(f"live.control.{job_id}", JobChanged(job_id))

    async def show_log(self, job_id: UUID, line: msgspec.Struct) -> None:
        """Show a log line to live clients."""
        await self._bus.publish_live(f"live.log.{job_id}", line)
