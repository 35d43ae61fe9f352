"""Media files and folder previews: access rights, the scanner's replies, and estimates of the archiving cost."""

import asyncio
from pathlib import Path

import msgspec
import psutil

from services.gateway.auth.rights import may_browse, refuse_nas
from services.gateway.http.http_errors import ProblemError, bad_request, not_found
from services.gateway.jobs import decide
from services.gateway.jobs.jobs import Jobs
from services.gateway.jobs.peers import Peers
from services.gateway.records.config import Configuration
from services.gateway.records.host_stats import existing
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.media import FolderPreview, PreviewEstimate
from shared.archiving import space
from shared.errors import NOT_FOUND, PermanentError
from shared.files.paths import Root, plain
from shared.media import limits, reader, times
from shared.service.rpc import AskMedia, AskPicture, AskPreview, FolderSeen, MediaAnswer, PictureAnswer, Place

USUAL_BYTES_PER_SECOND = 20 << 20
"""Speed from copy to last proof when no job has completed yet: a gigabit network with other users."""


def refusal(exc: PermanentError) -> ProblemError:
    """Return the response to a scanner error: 404 for a missing file, 422 for a file that is not media or is damaged. Pure."""
    if exc.code == NOT_FOUND:
        return not_found(str(exc))
    return ProblemError(422, exc.code, str(exc)) if exc.code in reader.CODES else bad_request(str(exc))


def estimate(
    total: int, largest: int, ratio: float, rate: float | None, jobs: int, free: int, unwritten: int, least_free: int
) -> PreviewEstimate:
    """Estimate the cost of archiving `total` bytes, of which one folder holds `largest`. Pure.

    rate: bytes per second of the last `jobs` jobs.
    """
    per_second = rate if rate and jobs else float(USUAL_BYTES_PER_SECOND)
    available = space.available(free, unwritten, least_free)
    needed = space.required_bytes(largest)
    return PreviewEstimate(
        archive_bytes=space.estimate_archive_bytes(total, ratio),
        seconds=round(total / per_second, 1),
        bytes_per_second=round(per_second, 1),
        basis_jobs=jobs if rate else 0,
        needed_bytes=needed,
        available_bytes=max(0, available),
        free_bytes=free,
        fits=needed <= available,
    )


def without_names(seen: FolderSeen) -> FolderSeen:
    """Remove names for users who may not see NAS folders. Pure.

    The pre-flight messages would name files, so only their number stays.
    """
    hidden = "{count} kinds of trouble; their files are named to those who may look at NAS folders (setting nas_browsing)."
    return msgspec.structs.replace(
        seen,
        largest=[],
        tree=[],
        tree_complete=not seen.tree,
        films=[msgspec.structs.replace(film, path="") for film in seen.films],
        refusals=[hidden.format(count=len(seen.refusals))] if seen.refusals else [],
        warnings=[hidden.format(count=len(seen.warnings))] if seen.warnings else [],
        changed=["Something changes in this folder now."] if seen.changed else [],
    )


class Media:
    """Every method raises ProblemError, and Waiting while the NAS is not mounted."""

    def __init__(
        self, store: Store, peers: Peers, configuration: Configuration, jobs: Jobs, base: str, storage: Path, ratio: float
    ) -> None:
        self._store = store
        self._peers = peers
        self._configuration = configuration
        self._jobs = jobs
        self._base = base
        self._storage = storage
        self._ratio = ratio

    async def info(self, who: Identity, root: Root, path: str, *, brief: bool) -> MediaAnswer:
        """Return a file's media information."""
        question = AskMedia(place=await self._place(who, root, path), brief=brief)
        try:
            return await self._peers.media_info(question)
        except PermanentError as exc:
            raise refusal(exc) from exc

    async def thumbnail(
        self,
        who: Identity,
        root: Root,
        path: str,
        timestamp: str | None,
        width: int | None,
        kind: limits.ImageFormat | None,
        known: list[str],
    ) -> PictureAnswer:
        """Return one frame of a video."""
        try:
            at_s = times.DEFAULT_S if timestamp is None else times.parse(timestamp)
        except PermanentError as exc:
            raise bad_request(str(exc)) from exc
        question = AskPicture(place=await self._place(who, root, path), at_s=at_s, width=width, format=kind, known=known)
        return await self._picture("thumbnail", question)

    async def contact_sheet(
        self,
        who: Identity,
        root: Root,
        path: str,
        frames: int,
        columns: int,
        width: int | None,
        kind: limits.ImageFormat | None,
        known: list[str],
    ) -> PictureAnswer:
        """Return frames from the whole video in one image."""
        place = await self._place(who, root, path)
        question = AskPicture(place=place, frames=frames, columns=columns, width=width, format=kind, known=known)
        return await self._picture("contact_sheet", question)

    async def _picture(self, name: str, question: AskPicture) -> PictureAnswer:
        try:
            return await self._peers.picture(name, question)
        except PermanentError as exc:
            raise refusal(exc) from exc

    async def _place(self, who: Identity, root: Root, path: str) -> Place:
        """Return the location of a file. Raises ProblemError 400, and 403 when this user may not see the NAS."""
        try:
            relative = plain(path)
        except PermanentError as exc:
            raise bad_request(str(exc)) from exc
        if root is Root.NAS:
            refuse_nas(who, (await self._configuration.read()).nas_browsing)
            return Place(root=root, path=relative)
        return Place(root=root, path=relative, owner=who.id)

    async def preview(self, who: Identity, path: str, *, refresh: bool) -> FolderPreview:
        """Return a folder's contents as far as they are read. When all are read, add the reasons that would block a request."""
        try:
            seen = await self._peers.preview(AskPreview(path=decide.below_base(self._base, path), refresh=refresh))
        except PermanentError as exc:
            raise refusal(exc) from exc
        config = await self._configuration.read()
        allowed = may_browse(who, config.nas_browsing)
        shown = seen if allowed else without_names(seen)
        refused = await self._jobs.refusal(seen.path) if seen.complete else None
        if refused is not None and refused not in shown.refusals:
            shown = msgspec.structs.replace(shown, refusals=[refused, *shown.refusals])
        return FolderPreview(
            **{name: getattr(shown, name) for name in FolderSeen.__struct_fields__},
            estimate=await self.estimate(seen.total_bytes, seen.total_bytes),
            names_hidden=not allowed,
        )

    async def estimate(self, total: int, largest: int) -> PreviewEstimate:
        """Estimate the cost of archiving folders of `total` bytes, and say whether the largest fits into the free space now."""
        rate, jobs, unwritten = await self._store.throughput()
        free = (await asyncio.to_thread(lambda: psutil.disk_usage(str(existing(self._storage))))).free
        least_free = (await self._configuration.read()).min_free_disk
        return estimate(total, largest, self._ratio, rate, jobs, free, unwritten, least_free)
