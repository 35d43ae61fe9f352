"""Shared steps of packs, archives and extractions: their directories, the work of earlier attempts, and publication."""

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.compressor import publication, staging
from services.compressor.publication import Plan
from services.compressor.room import Room
from services.compressor.workbench import Workbench
from shared import faults
from shared.domain.job import Job
from shared.domain.lifecycle import Kind, Status
from shared.domain.requests import PackRequest
from shared.errors import TAKEN, Operation, PermanentError, TransientError, Waiting
from shared.files import digests
from shared.files.children import Children
from shared.files.findings import SourceInUse
from shared.files.paths import Root
from shared.infra.db import Database, Session
from shared.service.work import Work

_MIB = 1 << 20

_NICENESS = 15
"""Packs leave the processor to archive jobs. Between sessions, the kernel gives niceness 15 a weight of 36 beside 1,024.

Niceness 10 has a weight of 110, and with that two packs took a sixth of each core from a job.
"""


class WorkspaceTools(msgspec.Struct, frozen=True):
    """The tools of the handlers, built once per process. sevenzip: the 7zz program."""

    bench: Workbench
    room: Room
    sevenzip: Path


class JobContext:
    """One attempt at one workspace job."""

    def __init__(self, work: Work, tools: WorkspaceTools) -> None:
        self.work = work
        self.tools = tools
        self.owner = work.job.owner
        self.workspace = tools.bench.workspace(self.owner)
        self.directory = tools.bench.attempt(work.id, work.attempt)
        self.children = Children(_NICENESS)
        self._began = time.monotonic()

    async def sentinel(self, root: Root) -> str | None:
        """Return the id of the NAS if the job reads from there. Raises Waiting until a scan has seen the NAS."""
        if root is not Root.NAS:
            return None
        base = self.tools.bench.nas
        sentinel = await self.work.value("nas_sentinel", str(base))
        if sentinel is None:
            raise Waiting(f"The scanner has not seen the NAS at {base} yet.", 2.0)
        return str(sentinel)

    async def password(self) -> str | None:
        """Return the password of the request. Raises PermanentError when it was forgotten."""
        wanted = self.work.job.wanted
        if isinstance(wanted, PackRequest) or not wanted.encrypted:
            return None
        found = await self.work.value("secret", self.work.id)
        if found is None:
            raise PermanentError("The password was forgotten. Ask again with the password.")
        return str(found)

    async def clear(self) -> None:
        """Make a new directory for this attempt and remove those of earlier attempts."""
        work = self.work
        await work.in_thread(staging.remove_attempts, self.tools.bench.work, work.id, work.attempt, work.stop)
        self.directory.mkdir(mode=0o700, parents=True)

    def seconds(self) -> float:
        """Return the seconds since this attempt began."""
        return max(time.monotonic() - self._began, 0.001)

    # What an earlier attempt finished ------------------------------------------------------------------------------------------------

    async def earlier(self) -> "tuple[Finished, list[Path]] | None":
        """Return what an earlier attempt was publishing when it ended, and where its pieces are.

        Returns None if there is nothing. If a piece is missing (its directory was removed, or somebody moved it), the others are
        taken back.
        """
        finished = await self.work.one(Finished, "publication", self.work.id)
        if finished is None:
            return None
        directory = self.tools.bench.attempt(self.work.id, finished.attempt)
        pieces = await self.work.in_thread(publication.located, self.workspace, directory, finished.plan)
        if pieces is None:
            await self.work.warn("pieces_lost", "What an earlier try had finished is not all there; it is made again.")
            await self.withdraw(finished)
            return None
        return finished, pieces

    async def withdraw(self, finished: "Finished") -> None:
        """Take back what an unusable earlier attempt published."""
        await withdraw(self.work.db, self.tools.bench, self.work.job, finished.attempt, finished.plan, self.work.in_thread)

    # Putting in place ----------------------------------------------------------------------------------------------------------------

    async def put_in_place(self, finished: "Finished") -> None:
        """Rename every piece to its place in the workspace.

        Raises as `publication.publish`, TransientError when a piece is missing.
        """
        attempt = self.tools.bench.attempt(self.work.id, finished.attempt)
        self.work.progress("Putting it in place", fraction=1.0)
        lost = await self.work.in_thread(publication.publish, self.workspace, attempt, finished.plan)
        faults.point("workspace.published")
        if lost:
            raise TransientError(f"{len(lost)} finished files or folders vanished on their way into place.", Operation.COMPRESSION)

    async def finish(self, plan: Plan, operation: str = "Completed", *, empty_source: bool = False) -> None:
        """Record the job's result. Then the job is complete, or its source is emptied next."""

        async def facts(session: Session) -> None:
            if empty_source:  # a concurrent rename of the archive has finished before the archive is read again
                await session.run("lock_names", self.owner)
            await session.run("record_result", self.work.id, self.work.attempt, plan.result)
            await session.run("forget_publication", self.work.id)
            await session.run("release_space", self.work.id)
            await session.run("usage_added", self.owner, *plan.adds)

        if empty_source:
            await self.work.advance(Status.DELETING_SOURCE, "Emptying the source folder", facts=facts, keep_lease=False)
            await self.work.bus.nudge("compressor")  # another lane continues
        else:
            await self.work.advance(Status.COMPLETED, operation, facts=facts, keep_lease=False)


class Finished(msgspec.Struct, frozen=True):
    """`publication`: work whose plan is recorded. The directory of `attempt` holds what is not published yet."""

    attempt: int
    plan: Plan


InThread = Callable[..., Awaitable[Any]]


async def withdraw(db: Database, bench: Workbench, job: Job, attempt: int, plan: Plan, in_thread: InThread) -> None:
    """Move what a job published out of the workspace, and forget its plan.

    Files that users changed meanwhile stay and are named.
    """
    aside, owner = bench.attempt(job.id, attempt), job.owner
    async with db.apart() as session:  # everything that the job unpacked is checked meanwhile
        await session.run("lock_names", owner)  # a concurrent rename or deletion there has finished, or waits
        stay = await in_thread(publication.take_back, bench.workspace(owner), aside, plan)
    if stay:
        names = ", ".join(os.fsdecode(name) for name in stay[:20])
        message = f"Left where it is, because it was changed there: {names}."
        await db.value("log", job.id, "WARNING", "left_in_place", message.encode(errors="replace").decode(), None)
    await db.run("forget_attempt_of", job.id, attempt)


def is_intact(parts: Sequence[Path], size: int, sha256: str, stop: Callable[[], None]) -> bool:
    """Return whether these files together are what was recorded."""
    try:
        facts = digests.digest_files(parts, stop)
    except (FileNotFoundError, NotADirectoryError, PermanentError):
        return False
    return (facts.size, facts.sha256) == (size, sha256)


def in_use(exc: SourceInUse) -> TransientError:
    """Return a retryable error for a source that changes. Each retry costs a try."""
    return TransientError(str(exc), Operation.COMPRESSION)


def is_taken(exc: PermanentError) -> bool:
    return exc.code == TAKEN


def speed(total: int, seconds: float) -> float:
    """Return the speed in MB (2^20 bytes) per second."""
    return round(total / _MIB / seconds, 2)


def keeps_source(job: Job) -> bool:
    return job.kind is not Kind.PACK or job.keep_source
