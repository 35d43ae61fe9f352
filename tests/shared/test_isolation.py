"""A row that fails does not block other rows."""

import pytest
from structlog.testing import capture_logs

from shared.errors import DatabaseAway, Fenced
from shared.isolation import Isolation


def test_a_failing_row_is_logged_once_and_tried_again_with_growing_pauses() -> None:
    """The other rows are processed each time. The bad one is retried after 60, 120, ... seconds, and at once after it recovers."""
    now, broken, served = 0.0, True, []
    rows = Isolation("row", clock=lambda: now)

    def run_at(moment: float) -> None:
        nonlocal now
        now = moment
        for row in rows.due(["good", "bad"], str):
            with rows.isolated(row):
                served.append((now, row))
                if row == "bad" and broken:
                    raise OSError(5, "Input/output error")

    with capture_logs() as logs:
        for moment in (0.0, 59.0, 60.0, 179.0, 180.0):
            run_at(moment)
        broken = False
        run_at(420.0)
        run_at(420.0)

    assert [at for at, row in served if row == "good"] == [0.0, 59.0, 60.0, 179.0, 180.0, 420.0, 420.0]
    assert [at for at, row in served if row == "bad"] == [0.0, 60.0, 180.0, 420.0, 420.0]
    assert [line["row"] for line in logs] == ["bad"]
    assert "Input/output error" in logs[0]["message"]


@pytest.mark.parametrize(
    "error", [Fenced("The service is stopping."), DatabaseAway("The database does not answer.", "away", lasts=False)]
)
def test_what_concerns_every_row_ends_the_loop(error: Exception) -> None:
    """A stop, or a database that is away, is not one row's failure."""
    rows = Isolation("row")

    with pytest.raises(type(error)), rows.isolated("first"):
        raise error

    assert list(rows.due(["first"], str)) == ["first"]
