"""An uploader on the real SDK and the emulator's process, and jobs that are ready to be sent."""

import asyncio
import hashlib
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

from services.uploader import case, cleanup, handlers
from services.uploader.__main__ import use
from services.uploader.decide.running_task import WatchLimits
from services.uploader.globus import Connection, Globus
from services.uploader.model import RecheckPolicy
from services.uploader.submissions import Route, Submissions
from shared.domain.destinations import RemotePlace
from shared.domain.lifecycle import UPLOAD_LANE
from shared.errors import Operation
from shared.service import stagings
from shared.service.worker import Worker
from tests.services.lanes import running
from tests.support.emulator import CLIENT_ID, CLIENT_SECRET, DESTINATION, SOURCE, Emulator
from tests.support.folders import below
from tests.support.kernel import PLACE, Kernel

CONTENT = b"an archive, as far as Globus is concerned\n" * 500
SIDECAR = b'{"manifest": true}\n'


class Station:
    """One uploader. A test may replace `tools`."""

    def __init__(self, kernel: Kernel, emulator: Emulator) -> None:
        self.kernel = kernel
        self.emulator = emulator
        self.archives = emulator.source
        self.tools: case.UploadTools
        self.staging: UUID

    async def open(self) -> None:
        self.staging = await asyncio.to_thread(stagings.ensure, self.archives, self.archives)
        settings = Connection(
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            source_endpoint=SOURCE,
            destination_endpoint=DESTINATION,
            auth_url=self.emulator.url,
            transfer_url=self.emulator.url,
            http_timeout_s=60.0,
            max_retries=1,
        )
        globus = Globus(settings)
        self.tools = case.UploadTools(
            globus=globus,
            submissions=Submissions(await self.kernel.db("uploader"), globus, Route(SOURCE, PLACE, 12)),
            archives=self.archives,
            source_root=self.archives,
            source_path="/",
            limits=WatchLimits(poll_interval_s=0.1, first_poll_s=0.02, hard_fault_s=0.3, grace_s=0.2),
            policy=RecheckPolicy.ALWAYS,
        )

    async def move(self, place: RemotePlace) -> None:
        """Start again with settings that name another destination."""
        db = await self.kernel.db("uploader")
        await use(db, place)
        self.change(submissions=Submissions(db, self.tools.globus, Route(SOURCE, place, 12)))

    def content(self, name: str) -> bytes:
        """Return the content that `job` writes under this name."""
        return CONTENT if name.endswith(".tar.7z") else SIDECAR

    def change(self, **changes: Any) -> None:
        self.tools = msgspec.structs.replace(self.tools, **changes)

    async def job(self, name: str = "Scans", *, hold: bool = True, **columns: Any) -> UUID:
        """A job in `compressed` with archive and sidecar on the disk, recorded and reserved. `hold`: it also holds its destination."""
        names = {"folder_name": name, "destination_path": f"/One/Two/{name}.tar.7z", "source_path": f"/nas/{uuid4().hex}/{name}"}
        job = await self.kernel.job(**names, hold=hold)
        archive = self.archives / str(job) / "1" / f"{name}.tar.7z"
        archive.parent.mkdir(parents=True)
        archive.write_bytes(CONTENT)
        archive.with_name(archive.name + ".manifest.json").write_bytes(SIDECAR)
        await self.kernel.archive(
            job,
            archive_path=stagings.recorded(self.archives, archive),
            staging=self.staging,
            size=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            md5=hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
            manifest_size=len(SIDECAR),
            manifest_sha256=hashlib.sha256(SIDECAR).hexdigest(),
            manifest_md5=hashlib.md5(SIDECAR, usedforsecurity=False).hexdigest(),
        )
        await self.kernel.owner.execute("INSERT INTO reservations VALUES ($1, 'x', 1, 1)", job)
        await self.kernel.force(job, **{"status": "compressed", "attempt": 1, "staging": self.staging, **columns})
        return job

    def staged(self) -> list[Path]:
        """Return the archive files left in the staging."""
        return [path for path in below(self.archives) if path.name != stagings.ID_FILE]

    def lane(self, **changes: Any) -> AbstractAsyncContextManager[Worker]:
        return running(
            self.kernel,
            UPLOAD_LANE,
            lambda work: handlers.upload(work, self.tools),
            self._settle,
            archives=self.archives,
            operation=Operation.UPLOAD,
            **changes,
        )

    async def _settle(self, job: UUID) -> None:
        await cleanup.settle(await self.kernel.db("uploader"), self.tools, job)

    async def tasks(self, job: UUID) -> list[Any]:
        """Return the stored submissions of a job, oldest first."""
        return list(await self.kernel.owner.fetch("SELECT * FROM globus_tasks WHERE job_id = $1 ORDER BY seq", job))

    async def purposes(self, job: UUID) -> list[str]:
        return [row["purpose"] for row in await self.tasks(job)]

    async def destination(self, job: UUID) -> str:
        return str(await self.kernel.owner.fetchval("SELECT state FROM destinations WHERE job_id = $1", job))

    def remote(self, name: str = "Scans") -> Path:
        """Return the archive at the destination."""
        return self.emulator.destination / "tape" / "One" / "Two" / f"{name}.tar.7z"

    def foreign(self, name: str = "Scans", content: bytes = b"somebody else's") -> Path:
        """Put another user's file under the archive's name at the destination."""
        path = self.remote(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path
