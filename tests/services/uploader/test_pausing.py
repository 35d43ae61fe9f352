"""Paused jobs whose transfers may still run: the sweep continues where a pause could not."""

from typing import Any
from uuid import UUID

import pytest

from services.uploader import pausing
from tests.services.uploader.station import Station
from tests.shared.rows import TASK
from tests.support.kernel import Kernel, eventually


async def test_one_paused_job_that_fails_keeps_no_other(kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two paused jobs have open transfers, and one cannot be read. The sweep still handles the other."""
    jobs = [await station.job(name, paused=True) for name in ("Bad", "Good")]
    for job in jobs:
        await kernel.owner.execute(TASK, job, "transfer", None)
    tried: list[UUID] = []

    async def take_off(_submissions: Any, _key: str, job: UUID, _patience_s: float) -> None:
        tried.append(job)
        if job == jobs[0]:
            raise ValueError("nobody foresaw this")

    monkeypatch.setattr(pausing, "take_off", take_off)
    sweep = pausing.Sweep(await kernel.db("uploader"), station.tools.submissions)

    for _ in range(2):
        await sweep.begin()

        async def done() -> bool:
            return sweep._task is not None and sweep._task.done()

        await eventually(done, bool, "the sweep to end")

    assert sorted(map(str, tried)) == sorted(map(str, [*jobs, jobs[1]]))
