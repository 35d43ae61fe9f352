"""A NAS, a scanner on the real engines, and jobs whose archive is proven."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from services.scanner import handlers
from services.scanner.catalog import Catalog
from shared.domain.lifecycle import DELETE_LANE
from shared.errors import Operation
from shared.files import mount
from shared.files.manifest import ArchiveFacts, write_sidecar
from shared.service.rpc import SizeChecked
from shared.service.worker import Worker
from tests.services.lanes import peer, running
from tests.services.scanner.emptying import NAS_ID, Case
from tests.shared.rows import evidence, past_the_guard
from tests.support.folders import below
from tests.support.kernel import MD5, SHA, Kernel

OLD = "UPDATE verifications SET at = at - interval '1 hour' WHERE job_id = $1"


class Station(Case):
    """One scanner and its folder `a/b/Project`. `answer`: the uploader's reply about sizes; `asked`: the number of requests."""

    def __init__(self, kernel: Kernel, root: Path) -> None:
        super().__init__(root)
        self.kernel = kernel
        self.answer: SizeChecked | Exception = SizeChecked(ok=True)
        self.asked = 0
        self.catalog: Catalog
        self.tools: handlers.ScannerTools

    async def open(self) -> None:
        self.put("one")
        self.put("deep/two")
        await self.kernel.owner.execute("INSERT INTO nas_bases (path, sentinel) VALUES ($1, $2)", str(self.base), NAS_ID)
        self.catalog = Catalog(await self.kernel.db("scanner"), self.base, 900)
        self.tools = handlers.ScannerTools(self.base, self.catalog, fresh_s=900)

    async def uploader(self) -> None:
        """Answer for the uploader from now on."""

        def answered(_question: bytes) -> msgspec.Struct:
            self.asked += 1
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        await peer(self.kernel, "uploader", "recheck_size", answered)

    async def job(self, **columns: Any) -> UUID:
        """A verified job for the folder as it is now, with complete evidence."""
        self.archive()
        keep = {"keep_source": columns.pop("keep_source", False)}
        job = await self.kernel.job(
            folder_name="Project", source_path=str(self.folder), destination_path="/a/b/Project.tar.7z", **keep
        )
        sidecar = self.root / f"{job}.json"
        written, packed = write_sidecar(sidecar, self.manifest, ArchiveFacts("Project.tar.7z", 100, SHA, MD5), str(job), 1)
        await self.kernel.archive(job, manifest=packed, file_count=self.manifest.file_count, manifest_sha256=written.sha256)
        await evidence(self.kernel, job, manifest_sha=written.sha256)
        await past_the_guard(self.kernel, "UPDATE destinations SET state = 'verified' WHERE job_id = $1", job)
        await self.kernel.force(job, **{"status": "verified", "attempt": 1, "verified_attempt": 1, **columns})
        return job

    def lane(self, **changes: Any) -> AbstractAsyncContextManager[Worker]:
        changes = {"operation": Operation.CONNECTION, **changes}
        return running(self.kernel, DELETE_LANE, lambda work: handlers.finish(work, self.tools), **changes)

    def names(self) -> list[str]:
        """Return every file in the folder."""
        return sorted(str(path.relative_to(self.folder)) for path in below(self.folder) if not path.is_dir())

    def unmount(self) -> None:
        (self.base / mount.SENTINEL).rename(self.root / "aside")

    def mount(self) -> None:
        (self.root / "aside").rename(self.base / mount.SENTINEL)
