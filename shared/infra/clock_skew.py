"""Compare this machine's clock with the database's, because we send deadlines elsewhere that are based on our clock."""

from datetime import UTC, datetime

from shared import units
from shared.errors import Waiting
from shared.infra.db import Database

TOLERATED_SECONDS = 300.0


def problem(ours: datetime, theirs: datetime) -> str | None:
    """Return how far our clock is from the database's, and what to do; None when it is close enough. Pure."""
    off = (ours - theirs).total_seconds()
    if abs(off) <= TOLERATED_SECONDS:
        return None
    size = units.duration(round(abs(off) / 60) * 60)
    return (
        f"This machine's clock is {size} {'ahead of' if off > 0 else 'behind'} the database's. Set both by NTP; work then goes on."
    )


async def require(db: Database, now: datetime | None = None) -> None:
    """Raise Waiting while our clock is far from the database's. `now` replaces our clock in tests. Also raises DatabaseAway."""
    wrong = problem(now or datetime.now(UTC), await db.value("now"))
    if wrong is not None:
        raise Waiting(wrong, 60.0)
