"""The scanner reads source trees and makes the only deletions on the NAS. Start it with `python -m services.scanner`."""

import asyncio
from pathlib import Path

import msgspec

from services.scanner import browsing, handlers, media
from services.scanner.catalog import Catalog
from services.scanner.media import Media
from services.scanner.preview import Previews
from shared import log
from shared.domain.lifecycle import DELETE_LANE, Role
from shared.errors import Operation
from shared.files import apart, sandbox
from shared.files.listing import Page
from shared.infra.settings import ScannerSettings
from shared.media.reader import Readers, check_installed
from shared.service.rpc import (
    AskPreview,
    Browse,
    ClockSeen,
    FolderMeasured,
    FolderSeen,
    Inspect,
    Inspected,
    MeasureFolder,
    Refreshed,
)
from shared.service.runtime import Runtime, run_service

logger = log.get(__name__)


async def run(runtime: Runtime[ScannerSettings]) -> None:
    settings = runtime.settings
    check_installed()
    logger.info("sandbox", message=sandbox.sentence())
    own = apart.places_of(settings)
    catalog = Catalog(runtime.db, settings.qnap_base_path, settings.scan_interval_seconds, own)
    tools = handlers.ScannerTools(settings.qnap_base_path, catalog, settings.evidence_fresh_seconds, own)

    async def inspect(question: bytes) -> Inspected:
        return await catalog.inspect(msgspec.json.decode(question, type=Inspect))

    async def refresh(_: bytes) -> Refreshed:
        return await catalog.refresh()

    async def clock(_: bytes) -> ClockSeen:
        return await catalog.clock()

    async def browse(question: bytes) -> Page:
        wanted, known = msgspec.json.decode(question, type=Browse), await catalog.known()
        return await asyncio.to_thread(browsing.browse, settings.qnap_base_path, known, wanted)

    async def measure(question: bytes) -> FolderMeasured:
        wanted, known = msgspec.json.decode(question, type=MeasureFolder), await catalog.known()
        return await asyncio.to_thread(browsing.measure, settings.qnap_base_path, known, wanted)

    await runtime.bus.serve("browse", browse)
    await runtime.bus.serve("measure", measure)
    await runtime.bus.serve("clock", clock)

    readers = Readers()
    previews = Previews(catalog, settings.qnap_base_path, readers)

    async def preview(question: bytes) -> FolderSeen:
        return await previews.answer(msgspec.json.decode(question, type=AskPreview))

    await runtime.bus.serve("inspect", inspect)
    await runtime.bus.serve("refresh", refresh)
    await runtime.bus.serve("preview", preview)
    await media.serve(runtime.bus, Media(catalog, settings.qnap_base_path, settings.workspaces, settings, readers))
    worker = runtime.worker(DELETE_LANE, settings.delete_limit, Operation.CONNECTION)

    def tune() -> None:
        catalog.tune(runtime.tuned.get("scan_interval_seconds", settings.scan_interval_seconds))

    runtime.tuned.on_change(tune)
    await runtime.listen(worker)
    async with readers, asyncio.TaskGroup() as tasks:
        tasks.create_task(catalog.keep_fresh())
        tasks.create_task(worker.run(lambda work: handlers.finish(work, tools)))


if __name__ == "__main__":
    run_service(Role.SCANNER, ScannerSettings, Path(__file__).with_name("queries.sql"), run)
