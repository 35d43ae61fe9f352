"""A clock that is far off is said, and waited for."""

from datetime import UTC, datetime, timedelta

import pytest

from shared import clock_skew
from shared.errors import Waiting
from tests.support.kernel import Kernel


async def test_a_clock_hours_behind_is_waited_for(kernel: Kernel) -> None:
    """Compared with the database's own; a few minutes are no matter."""
    db = await kernel.db("uploader")
    await clock_skew.require(db)
    await clock_skew.require(db, datetime.now(UTC) - timedelta(minutes=4))
    with pytest.raises(Waiting, match="hours behind the database's"):
        await clock_skew.require(db, datetime.now(UTC) - timedelta(hours=3))
    with pytest.raises(Waiting, match="clock is 10 minutes ahead of"):
        await clock_skew.require(db, datetime.now(UTC) + timedelta(minutes=10))
