"""The order when several users' jobs wait: users take turns, and archive jobs keep the team's order."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.domain.lifecycle import COMPRESS_LANE, WORKSPACE_LANE, Lane, Status
from shared.service.jobs import Transition, transition
from tests.support.kernel import Kernel


class Claims:
    """The compressor's claims of one lane, as its workers make them."""

    def __init__(self, kernel: Kernel, lane: Lane) -> None:
        self._kernel, self._lane = kernel, lane

    async def next(self, pass_hours: float | None = None) -> Any:
        """Claim one job and begin its work. Return its row, or None if nothing is due."""
        db = await self._kernel.db("compressor")
        row = await db.row(
            "claim",
            kinds=list(self._lane.kinds),
            states=[self._lane.ready],
            owner="compressor@test",
            lease_s=60.0,
            pass_hours=pass_hours,
            floor=0,
            taken_over=None,
            stagings=None,
            reliable_s=None,
        )
        if row is not None:
            await self._go(row, self._lane.ready, self._lane.working[0], keep_lease=True)
        return row

    async def end(self, row: Any) -> None:
        await self._go(row, self._lane.working[0], Status.FAILED, keep_lease=False)

    async def _go(self, row: Any, source: Status, target: Status, *, keep_lease: bool) -> None:
        db = await self._kernel.db("compressor")
        change = Transition(
            job_id=row["id"],
            attempt=row["attempt"],
            was=source,
            to=target,
            keep_lease=keep_lease,
            progress_percent=0,
            operation="At work",
            error="Failed on purpose" if target is Status.FAILED else None,
        )
        async with db.transaction() as session:
            assert await transition(session, change)


async def waiting(kernel: Kernel, owner: UUID | None, count: int = 1, kind: str = "pack", **columns: Any) -> list[UUID]:
    owned = {"destination_path": None} if kind != "archive" else {}
    return [await kernel.job(kind=kind, created_by_id=owner, **owned, **columns) for _ in range(count)]


@pytest.mark.parametrize("slots", [1, 2])
async def test_users_take_turns(kernel: Kernel, slots: int) -> None:
    """Many packs of one user came first. A pack of a second user, and then one of a third, each wait for only one other job to end."""
    ada, bob, cyd = uuid4(), uuid4(), uuid4()
    many = await waiting(kernel, ada, 12)
    claims = Claims(kernel, WORKSPACE_LANE)
    running = [await claims.next() for _ in range(slots)]
    assert [row["id"] for row in running] == many[:slots]

    (other,) = await waiting(kernel, bob)
    await claims.end(running.pop(0))
    running.append(await claims.next())
    assert running[-1]["id"] == other
    (third,) = await waiting(kernel, cyd, kind="extract")
    more = await waiting(kernel, bob, 2)
    order = []
    for _ in range(5):
        await claims.end(running.pop(0))
        running.append(await claims.next())
        order.append(running[-1]["id"])

    assert order[0] == third
    assert set(order) >= set(more)
    assert [job for job in order if job in many] == many[slots : slots + 2]


async def test_a_users_own_jobs_keep_their_order(kernel: Kernel) -> None:
    """One after the other, in the order of their requests."""
    mine = await waiting(kernel, uuid4(), 4)
    claims, order = Claims(kernel, WORKSPACE_LANE), []
    for _ in mine:
        row = await claims.next()
        order.append(row["id"])
        await claims.end(row)
    assert order == mine
    assert await claims.next() is None


async def test_archive_jobs_are_the_teams(kernel: Kernel) -> None:
    """Priority, then age, for any requester and any number of running jobs of the same user."""
    ada, bob = uuid4(), uuid4()
    first, second = await waiting(kernel, ada, 2, "archive")
    (late,) = await waiting(kernel, bob, kind="archive")
    (urgent,) = await waiting(kernel, ada, kind="archive", priority=5)
    claims = Claims(kernel, COMPRESS_LANE)

    assert [(await claims.next())["id"] for _ in range(4)] == [urgent, first, second, late]


async def test_a_pack_that_waits_for_space_blocks_its_owner_only(kernel: Kernel) -> None:
    """After the time in which smaller jobs may overtake, the same user's other jobs wait. Those of other users continue."""
    ada, bob = uuid4(), uuid4()
    (large,) = await waiting(kernel, ada)
    await waiting(kernel, ada, 2)
    (other,) = await waiting(kernel, bob)
    await kernel.owner.execute(
        "UPDATE jobs SET missing_bytes = 5, waiting_for_space_since = clock_timestamp() - interval '2 days',"
        " not_before = clock_timestamp() + interval '1 hour' WHERE id = $1",
        large,
    )
    claims = Claims(kernel, WORKSPACE_LANE)

    assert (await claims.next(24.0))["id"] == other
    assert await claims.next(24.0) is None
