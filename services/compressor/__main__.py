"""The compressor: everything that makes or opens archives. `python -m services.compressor`."""

from pathlib import Path
from typing import cast

from services.compressor import handlers
from services.compressor.cleanup import Cleaner
from services.compressor.copying import Strategy, Tiers, require_tools
from services.compressor.ledger import Ledger
from services.compressor.staging import Places
from shared.archiving.sevenzip import find_binary
from shared.errors import Operation
from shared.lifecycle import COMPRESS_LANE, Role
from shared.runtime import Runtime, run_service
from shared.settings import CompressorSettings


def build(settings: CompressorSettings) -> handlers.Tools:
    """Everything the handlers need. Raises ConfigurationError when a program is missing."""
    strategy = cast("Strategy", settings.copy_strategy)
    require_tools(strategy)
    places = Places(settings.temp, settings.archives, settings.failed)
    places.prepare()
    return handlers.Tools(
        base=settings.qnap_base_path,
        places=places,
        ledger=Ledger(places, settings.min_free_space_gb, settings.space_check_seconds),
        sevenzip=find_binary(str(settings.sevenzip_path) if settings.sevenzip_path else None),
        strategy=strategy,
        tiers=Tiers(settings.copy_small_gb, settings.copy_medium_gb, settings.copy_large_gb),
    )


async def run(runtime: Runtime[CompressorSettings]) -> None:
    settings = runtime.settings
    tools = build(settings)
    cleaner = Cleaner(runtime.db, tools.places, tools.ledger, settings.failed_retention_days)
    worker = runtime.worker(COMPRESS_LANE, settings.compress_limit, Operation.COMPRESSION, settings.space_pass_hours)

    def tune() -> None:
        tuned = runtime.tuned
        free = tuned.get("min_free_disk", int(settings.min_free_space_gb * (1 << 30)))
        tools.ledger.tune(free, tuned.get("space_check_seconds", settings.space_check_seconds))
        cleaner.retention_days = tuned.get("failed_retention_days", settings.failed_retention_days)

    runtime.tuned.on_change(tune)
    await runtime.listen(worker)
    try:
        await worker.run(lambda work: handlers.archive(work, tools), cleaner.settle, cleaner.sweep)
    finally:
        cleaner.stop()


if __name__ == "__main__":
    run_service(Role.COMPRESSOR, CompressorSettings, Path(__file__).with_name("queries.sql"), run)
