"""A clock with a large offset is reported and waited for."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.domain.lifecycle import Role
from shared.errors import Waiting
from shared.infra import clock_skew
from shared.infra.bus import Bus
from shared.service import runtime
from tests.support.kernel import Kernel, eventually


async def test_a_clock_hours_behind_is_waited_for(kernel: Kernel) -> None:
    """It is compared with the database's clock. A few minutes are tolerated."""
    db = await kernel.db("uploader")
    await clock_skew.require(db)
    await clock_skew.require(db, datetime.now(UTC) - timedelta(minutes=4))
    with pytest.raises(Waiting, match="h behind the database's"):
        await clock_skew.require(db, datetime.now(UTC) - timedelta(hours=3))
    with pytest.raises(Waiting, match="clock is 10m ahead of"):
        await clock_skew.require(db, datetime.now(UTC) + timedelta(minutes=10))


async def test_a_clock_far_off_is_logged_once(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each heartbeat compares. The log reports the start of the offset, not every ten seconds."""
    looks = 0

    class Late(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            nonlocal looks
            looks += 1
            return datetime.now(tz) - timedelta(hours=3)

    monkeypatch.setattr(runtime, "datetime", Late)
    monkeypatch.setattr(runtime, "_SEEN_SECONDS", 0.02)
    db = await kernel.db("scanner")
    process: runtime.Runtime[Any] = runtime.Runtime(Role.SCANNER, None, db, Bus(None, "scanner"), "scanner@test")

    async def looked() -> int:
        return looks

    with capture_logs() as lines:
        task = asyncio.create_task(runtime._sign_of_life(process))
        try:
            await eventually(looked, lambda n: n >= 4, "four signs of life")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    said = [line["message"] for line in lines if line["event"] == "clock_differs"]
    assert said == ["This machine's clock is 3h behind the database's. Set both by NTP; work then goes on."]
