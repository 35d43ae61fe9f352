"""The real scanner's replies about media files and folders, beside the gateway under test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec

from services.scanner.catalog import Catalog
from services.scanner.media import Media
from services.scanner.media import serve as serve_media
from services.scanner.preview import Previews
from shared.domain.lifecycle import Role
from shared.files import mount, paths
from shared.infra.settings import MediaTools
from shared.service.rpc import AskPreview, FolderSeen
from tests.support.kernel import Kernel


class Scanner(NamedTuple):
    """`base`: the root of its NAS; `workspaces`: the root of the users' workspaces."""

    base: Path
    workspaces: Path

    def folder(self, name: str) -> Path:
        """Create a folder that could be archived."""
        made = self.base / "Production" / "2024" / name
        made.mkdir(parents=True)
        return made

    def workspace(self, owner: UUID) -> Path:
        made = paths.workspace(self.workspaces, owner)
        made.mkdir(parents=True, exist_ok=True)
        return made


@asynccontextmanager
async def scanning(kernel: Kernel, place: Path) -> AsyncIterator[Scanner]:
    """A scanner that replies to requests about media and folders."""
    made = Scanner(place / "nas", place / "workspaces")
    (made.base / "Production" / "2024").mkdir(parents=True)
    sentinel = mount.ensure_sentinel(made.base, None, may_adopt=True)
    await kernel.owner.execute("INSERT INTO nas_bases (path, sentinel) VALUES ($1, $2::text::uuid)", str(made.base), sentinel)
    catalog = Catalog(await kernel.db("scanner"), made.base, 900)
    previews = Previews(catalog, made.base)
    bus = await kernel.bus(Role.SCANNER)

    async def preview(question: bytes) -> FolderSeen:
        return await previews.answer(msgspec.json.decode(question, type=AskPreview))

    await serve_media(bus, Media(catalog, made.base, made.workspaces, MediaTools()))
    await bus.serve("preview", preview)
    yield made
    await bus.close()
