"""A NAS, a staging area and the compressor's tools, for tests of a whole lane."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.compressor import handlers, ledger
from services.compressor.cleanup import Cleaner
from services.compressor.copying import Tiers
from services.compressor.ledger import Ledger
from services.compressor.staging import Places
from shared.archiving.sevenzip import find_binary
from shared.domain.lifecycle import COMPRESS_LANE
from shared.errors import Operation
from shared.files import mount
from shared.service import stagings
from shared.service.rpc import DestinationState
from shared.service.worker import Worker
from tests.services.lanes import peer, running
from tests.support.folders import below
from tests.support.kernel import Kernel

MIB = 1 << 20


class Station:
    """One compressor. `answer`: the uploader's reply about the destination."""

    def __init__(self, kernel: Kernel, root: Path) -> None:
        self.kernel = kernel
        self.base = root / "nas"
        self.places = Places(root / "temp", root / "archives", root / "failed")
        self.answer: DestinationState | Exception = DestinationState("absent")
        self.tools: handlers.ArchiveTools
        self.cleaner: Cleaner

    async def open(self) -> None:
        self.base.mkdir()
        self.places.prepare()
        space = Ledger(self.places, 0, 0.05)
        self.tools = handlers.ArchiveTools(self.base, self.places, space, find_binary(None), "auto", Tiers())
        self.cleaner = Cleaner(await self.kernel.db("compressor"), self.places, space, retention_days=30)
        sentinel = await asyncio.to_thread(mount.ensure_sentinel, self.base, None, may_adopt=False)
        await self.kernel.owner.execute("INSERT INTO nas_bases (path, sentinel) VALUES ($1, $2)", str(self.base), sentinel)

    async def uploader(self) -> None:
        """Answer for the uploader from now on."""

        def answered(_question: bytes) -> msgspec.Struct:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        await peer(self.kernel, "uploader", "destination", answered)

    def folder(self, name: str = "Scans") -> Path:
        folder = self.base / "One" / "Two" / name
        (folder / "deep").mkdir(parents=True)
        (folder / "a.txt").write_text("first\n" * 100)
        (folder / "deep" / "b.bin").write_bytes(bytes(range(256)) * 40)
        return folder

    async def job(self, folder: Path, **columns: Any) -> UUID:
        return await self.kernel.job(folder_name=folder.name, source_path=str(folder), **columns)

    def lane(self, **changes: Any) -> AbstractAsyncContextManager[Worker]:
        changes = {"operation": Operation.COMPRESSION, "pass_hours": 24.0, "archives": self.places.archives, **changes}
        return running(
            self.kernel,
            COMPRESS_LANE,
            lambda work: handlers.archive(work, self.tools),
            self.cleaner.settle,
            **changes,
        )

    def staged(self) -> list[str]:
        """Return every file in temp and archives except the staging's id, by its path in the staging."""
        files = [(root, p) for root in (self.places.temp, self.places.archives) for p in below(root) if not p.is_dir()]
        return sorted(str(p.relative_to(root.parent)) for root, p in files if p.name != stagings.ID_FILE)


def disk(monkeypatch: pytest.MonkeyPatch, free: int, most: int = 1 << 40, inodes: int = 0, free_inodes: int = 0) -> None:
    """Set the free space, in bytes, that the staging's disk reports. With 0 inodes, the disk does not report inodes."""
    facts = SimpleNamespace(f_bavail=free, f_frsize=1, f_blocks=most, f_files=inodes, f_favail=free_inodes)
    monkeypatch.setattr(ledger.os, "statvfs", lambda _path: facts)
