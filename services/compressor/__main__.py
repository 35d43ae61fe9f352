"""The compressor makes and opens all archives. Start it with `python -m services.compressor`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from services.compressor import emptying, extracting, handlers, making, workspace
from services.compressor.cleanup import Cleaner
from services.compressor.copying import Strategy, Tiers, require_tools
from services.compressor.expiry import Expiry
from services.compressor.ledger import Ledger
from services.compressor.questions import Looking
from services.compressor.room import Room
from services.compressor.staging import Places
from services.compressor.workbench import Workbench
from shared import log
from shared.archiving.sevenzip import find_binary
from shared.domain.lifecycle import COMPRESS_LANE, EMPTY_LANE, WORKSPACE_LANE, Kind, Role
from shared.errors import Operation
from shared.files import apart, sandbox
from shared.infra.runtime_settings import WORKSPACE_ENTRIES
from shared.infra.settings import CompressorSettings
from shared.service.runtime import Runtime, run_service
from shared.service.work import Work

logger = log.get(__name__)
Handler = Callable[[Work, workspace.WorkspaceTools], Awaitable[None]]
HANDLERS: dict[Kind, Handler] = {Kind.PACK: making.make, Kind.COMPRESS: making.make, Kind.EXTRACT: extracting.extract}
"""The handler that takes a workspace job from `queued` on. `emptying.empty` then deletes a pack's source."""
_QUOTA = 100 << 30


@dataclass(frozen=True)
class Parts:
    """The objects that the lanes share."""

    archive: handlers.ArchiveTools
    workspace: workspace.WorkspaceTools
    ledger: Ledger
    places: Places


def build(settings: CompressorSettings) -> Parts:
    """Build everything the handlers need.

    Raises ConfigurationError when a program is missing or a directory does not meet the requirements.
    """
    strategy = cast("Strategy", settings.copy_strategy)
    require_tools(strategy)
    places = Places(settings.temp, settings.archives, settings.failed)
    places.prepare()
    own = apart.places_of(settings)
    storage = settings.storage_base_path
    for place in (storage, *(root for root in (places.temp, places.archives, places.failed) if not root.is_relative_to(storage))):
        apart.mark(place)
    bench = Workbench(settings.workspaces, settings.workbench, settings.qnap_base_path)
    bench.prepare()
    ledger = Ledger(places, settings.min_free_space_gb, settings.space_check_seconds, settings.workspaces)
    sevenzip = find_binary(str(settings.sevenzip_path) if settings.sevenzip_path else None)
    return Parts(
        archive=handlers.ArchiveTools(
            base=settings.qnap_base_path,
            places=places,
            ledger=ledger,
            sevenzip=sevenzip,
            strategy=strategy,
            tiers=Tiers(settings.copy_small_gb, settings.copy_medium_gb, settings.copy_large_gb),
            own=own,
        ),
        workspace=workspace.WorkspaceTools(bench, Room(bench, ledger, _QUOTA), sevenzip),
        ledger=ledger,
        places=places,
    )


async def on_workspace(work: Work, tools: workspace.WorkspaceTools) -> None:
    """Pass a job to the handler of its kind."""
    await HANDLERS[work.job.kind](work, tools)


async def run(runtime: Runtime[CompressorSettings]) -> None:
    settings, db = runtime.settings, runtime.db
    logger.info("sandbox", message=sandbox.sentence())
    parts = build(settings)
    bench = parts.workspace.bench
    cleaner = Cleaner(db, parts.places, parts.ledger, settings.failed_retention_days, bench)
    expiry = Expiry(db, bench, 0)
    _follow_settings(runtime, parts, cleaner, expiry)
    await db.run("place_of", "workspaces", parts.ledger.workspaces)
    await Looking(db, bench, parts.workspace.sevenzip).serve(runtime.bus)

    compress = runtime.worker(
        COMPRESS_LANE, settings.compress_limit, Operation.COMPRESSION, settings.space_pass_hours, settings.archives
    )
    workspaces = runtime.worker(WORKSPACE_LANE, settings.workspace_limit, Operation.COMPRESSION, settings.space_pass_hours)
    empty = runtime.worker(EMPTY_LANE, settings.workspace_limit, Operation.COMPRESSION)
    await runtime.listen(compress, workspaces, empty)

    async def each_round() -> None:
        await cleaner.sweep()
        await expiry.run()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(compress.run(lambda work: handlers.archive(work, parts.archive), cleaner.settle, each_round))
            group.create_task(workspaces.run(lambda work: on_workspace(work, parts.workspace)))
            group.create_task(empty.run(lambda work: emptying.empty(work, parts.workspace)))
    finally:
        cleaner.stop()
        expiry.stop()


def _follow_settings(runtime: Runtime[CompressorSettings], parts: Parts, cleaner: Cleaner, expiry: Expiry) -> None:
    settings, tuned = runtime.settings, runtime.tuned

    def tune() -> None:
        free = tuned.get("min_free_disk", int(settings.min_free_space_gb * (1 << 30)))
        parts.ledger.tune(free, tuned.get("space_check_seconds", settings.space_check_seconds))
        cleaner.keep_for(tuned.get("failed_retention_days", settings.failed_retention_days))
        expiry.keep_for(tuned.get("pack_retention_days", 0))
        parts.workspace.room.quota = tuned.get("workspace_quota", _QUOTA)
        parts.workspace.room.entries = tuned.get("workspace_entries", WORKSPACE_ENTRIES)

    tuned.on_change(tune)


if __name__ == "__main__":
    run_service(Role.COMPRESSOR, CompressorSettings, Path(__file__).with_name("queries.sql"), run)
