"""A small service on the real runtime, for test_runtime.py: it claims a job, holds it, and releases it when stopped."""

import asyncio
import os
from pathlib import Path

from shared.domain.lifecycle import COMPRESS_LANE, Role, Status
from shared.errors import Operation
from shared.infra.settings import CompressorSettings
from shared.service.runtime import Runtime, run_service
from shared.service.work import Work


async def hold(work: Work) -> None:
    await work.advance(Status.COPYING, "Copying")
    await asyncio.Event().wait()


async def body(runtime: Runtime[CompressorSettings]) -> None:
    if os.environ.get("BROKEN"):
        raise RuntimeError("a defect")
    worker = runtime.worker(COMPRESS_LANE, runtime.settings.compress_limit, Operation.COMPRESSION)
    await runtime.listen(worker)
    await worker.run(hold)


if __name__ == "__main__":
    run_service(Role.COMPRESSOR, CompressorSettings, Path(os.environ["QUERIES"]), body)
