"""A user's workspace and the compressor's lanes for it: the real worker, 7-Zip, file system and database."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from services.compressor import __main__ as compressor
from services.compressor import emptying, workspace
from services.compressor.cleanup import Cleaner
from services.compressor.ledger import Ledger
from services.compressor.room import Room
from services.compressor.staging import Places
from services.compressor.workbench import Workbench
from shared.archiving.sevenzip import find_binary
from shared.domain.lifecycle import EMPTY_LANE, WORKSPACE_LANE, Kind
from shared.domain.requests import CompressRequest, ExtractRequest, PackRequest
from shared.errors import Operation
from shared.service.worker import Worker
from tests.services.lanes import running
from tests.support.folders import below
from tests.support.kernel import Kernel

QUOTA = 1 << 30
Request = PackRequest | CompressRequest | ExtractRequest
_KINDS = {PackRequest: Kind.PACK, CompressRequest: Kind.COMPRESS, ExtractRequest: Kind.EXTRACT}


class Workroom:
    """One compressor and one user. `home`: that user's workspace; `root`: the parent of workspaces and NAS."""

    def __init__(self, kernel: Kernel, root: Path) -> None:
        self.kernel = kernel
        self.root = root
        self.owner: UUID
        self.home: Path
        self.tools: workspace.WorkspaceTools
        self.cleaner: Cleaner

    async def open(self) -> None:
        await self._equip("workspaces")
        self.owner, self.home = await self.user("ada")

    async def move(self) -> None:
        """Move all workspaces, with running work, to another path, as an operator who moves DATA_DIR."""
        (self.root / "workspaces").rename(self.root / "moved")
        await self._equip("moved")
        self.home = self.tools.bench.workspace(self.owner)

    async def _equip(self, name: str) -> None:
        places = Places(self.root / "temp", self.root / "archives", self.root / "failed")
        places.prepare()
        bench = Workbench(self.root / name, self.root / name / ".work", self.root / "nas")
        bench.prepare()
        ledger = Ledger(places, 0, 0.05, bench.workspaces)
        self.tools = workspace.WorkspaceTools(bench, Room(bench, ledger, QUOTA), find_binary(None))
        self.cleaner = Cleaner(await self.kernel.db("compressor"), places, ledger, retention_days=30, bench=bench)

    async def user(self, name: str) -> tuple[UUID, Path]:
        made: UUID = await self.kernel.owner.fetchval(
            "INSERT INTO users (username, password_hash) VALUES ($1, 'x') RETURNING id", name
        )
        home = self.tools.bench.workspace(made)
        home.mkdir(mode=0o700)
        return made, home

    def folder(self, path: str = "Scans", home: Path | None = None) -> Path:
        """A folder with everything that a workspace can hold."""
        folder = (home or self.home) / path
        (folder / "deep" / "empty").mkdir(parents=True)
        (folder / "a.txt").write_text("first\n" * 1000)
        (folder / "deep" / "b.bin").write_bytes(bytes(range(256)) * 400)
        (folder / "deep" / "nothing").touch()
        (folder / "Ünïcode [x]*.txt").write_text("ü" * 100)
        (folder / "link").symlink_to("deep/b.bin")
        return folder

    async def job(
        self, request: Request, *, keep_source: bool = True, owner: UUID | None = None, password: str | None = None
    ) -> UUID:
        """Queue a job as the gateway does."""
        path = request.paths[0] if isinstance(request, CompressRequest) else request.path
        job = await self.kernel.job(
            kind=_KINDS[type(request)],
            folder_name=path.rpartition("/")[2],
            source_path=f"/{path}",
            request=msgspec.to_builtins(request),
            keep_source=keep_source,
            created_by_id=owner or self.owner,
            destination_path=None,
        )
        if password is not None:
            await self.kernel.owner.execute("INSERT INTO job_secrets VALUES ($1, $2)", job, password)
        return job

    @asynccontextmanager
    async def lanes(self, **changes: Any) -> AsyncIterator[tuple[Worker, Worker]]:
        """Both workspace lanes, with their clean-up."""
        changes = {"operation": Operation.COMPRESSION, "limit": 2, **changes}
        work, settle = (lambda w: compressor.on_workspace(w, self.tools)), self.cleaner.settle
        async with (
            running(self.kernel, WORKSPACE_LANE, work, settle, **changes) as workspaces,
            running(self.kernel, EMPTY_LANE, lambda w: emptying.empty(w, self.tools), **changes) as sources,
        ):
            yield workspaces, sources

    def making(self) -> AbstractAsyncContextManager[Worker]:
        """Only the lane that makes archives: no source is emptied."""
        work, settle = (lambda w: compressor.on_workspace(w, self.tools)), self.cleaner.settle
        return running(self.kernel, WORKSPACE_LANE, work, settle, operation=Operation.COMPRESSION)

    def leftovers(self) -> list[str]:
        """Return files outside the workspaces that should not exist."""
        work = self.tools.bench.work
        return sorted(str(path.relative_to(work)) for path in below(work))

    def files(self, home: Path | None = None) -> list[str]:
        """Return everything in a workspace, by path."""
        top = home or self.home
        return sorted(os.fsencode(path.relative_to(top)).decode() for path in below(top))
