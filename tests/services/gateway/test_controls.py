"""Cancel and retry: immediate, refused with a reason when too late, and never with two winners."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from shared.domain.lifecycle import Role
from shared.errors import PermanentError
from shared.service.rpc import DestinationReleased, ReleaseDestination
from tests.services.gateway.conftest import Gateway, problem
from tests.support.kernel import eventually


async def _cancel(gateway: Gateway, job_id: UUID) -> Any:
    return await gateway.ask("DELETE", f"/api/jobs/{job_id}")


async def _retry(gateway: Gateway, job_id: UUID) -> Any:
    return await gateway.ask("POST", f"/api/jobs/{job_id}/retry")


async def _lease(gateway: Gateway, job_id: UUID, seconds: float = 60) -> None:
    await gateway.kernel.force(
        job_id, lease_owner="somebody", lease_until=datetime.now(UTC) + timedelta(seconds=seconds), attempt=1
    )


@pytest.mark.parametrize("status", ["queued", "compressed", "verified"])
async def test_cancel_of_what_nobody_holds(gateway: Gateway, status: str) -> None:
    """204, already cancelled, with the user's name. A second request gets 409."""
    job_id = UUID((await gateway.request())["job_id"])
    if status != "queued":
        await gateway.kernel.force(job_id, status=status)

    answer = await _cancel(gateway, job_id)

    assert (answer.status_code, answer.content) == (204, b"")
    row = await gateway.kernel.row(job_id)
    assert (row["status"], row["cancel_requested_by"], row["current_operation"]) == ("cancelled", "admin", "Cancelled")
    assert "cancelled already" in problem(await _cancel(gateway, job_id), 409, "conflict")
    lines = (await gateway.ask("GET", f"/api/jobs/{job_id}/logs")).json()
    assert "admin cancelled the job." in [line["message"] for line in lines]


@pytest.mark.parametrize(
    ("status", "service"), [("copying", Role.COMPRESSOR), ("uploading", Role.UPLOADER), ("verified", Role.SCANNER)]
)
async def test_cancel_of_held_work_is_a_request(gateway: Gateway, status: str, service: Role) -> None:
    """204 at once. The row records the user, and the working service is nudged."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status=status)
    await _lease(gateway, job_id)
    nudged = asyncio.Event()
    bus = await gateway.kernel.bus(service)
    await bus.on_nudge(nudged.set)
    await bus.connection.flush()

    assert (await _cancel(gateway, job_id)).status_code == 204
    assert (await _cancel(gateway, job_id)).status_code == 204, "asking twice is no mistake"

    row = await gateway.kernel.row(job_id)
    assert (row["status"], row["cancel_requested_by"]) == (status, "admin")
    await asyncio.wait_for(nudged.wait(), 60)
    detail = (await gateway.ask("GET", f"/api/jobs/{job_id}")).json()
    assert (detail["cancelling"], detail["current_operation"]) == (True, "Cancelling")


async def test_what_a_worker_let_go_is_cancelled(gateway: Gateway) -> None:
    """The scanner releases a job in `verified` and nudges. The gateway owns that edge and cancels."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status="verified")
    await _lease(gateway, job_id)
    assert (await _cancel(gateway, job_id)).status_code == 204

    await gateway.kernel.force(job_id, lease_owner=None, lease_until=None)
    await (await gateway.kernel.bus("scanner")).nudge("gateway")

    async def status() -> str:
        return str((await gateway.kernel.row(job_id))["status"])

    await eventually(status, lambda seen: seen == "cancelled", "the cancel")


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "deleting_source"])
async def test_too_late_to_cancel(gateway: Gateway, status: str) -> None:
    """409 with the reason, and nothing changes."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status=status)
    before = await gateway.kernel.row(job_id)

    problem(await _cancel(gateway, job_id), 409, "conflict")

    assert await gateway.kernel.row(job_id) == before


async def test_cancel_against_claim_has_one_winner(gateway: Gateway) -> None:
    """Twenty jobs are cancelled while a worker claims them. Each is either cancelled, or held and asked to stop."""
    jobs = [UUID((await gateway.request())["job_id"]) for _ in range(20)]
    compressor = await gateway.kernel.db("compressor")

    async def claim(job_id: UUID) -> bool:
        async with compressor.transaction() as session:
            claimed = await session.connection.fetchval(
                "UPDATE jobs SET attempt = attempt + 1, lease_owner = 'w', lease_until = clock_timestamp() + interval '60s'"
                " WHERE id = $1 AND status = 'queued' AND cancel_requested_by IS NULL RETURNING id",
                job_id,
            )
            return claimed is not None

    results = await asyncio.gather(*(call for job_id in jobs for call in (claim(job_id), _cancel(gateway, job_id))))

    for n, job_id in enumerate(jobs):
        row = await gateway.kernel.row(job_id)
        assert results[2 * n + 1].status_code == 204
        expected = ("queued", "w") if results[2 * n] else ("cancelled", None)
        assert (row["status"], row["lease_owner"], row["cancel_requested_by"]) == (*expected, "admin")


async def test_retry(gateway: Gateway) -> None:
    """A failed job is queued again with fresh budgets, its destination is held, and the log names the user."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status="failed", retry_count=3, error_message="no space")

    answer = await _retry(gateway, job_id)

    assert (answer.status_code, answer.json()) == (200, {"job_id": str(job_id), "status": "queued", "retry_count": 0})
    row = await gateway.kernel.row(job_id)
    assert (row["status"], row["error_message"], row["current_operation"]) == ("queued", None, "Waiting to start")
    messages = [line["message"] for line in (await gateway.ask("GET", f"/api/jobs/{job_id}/logs")).json()]
    assert "admin asked to try again." in messages
    assert "queued" in problem(await _retry(gateway, job_id), 409, "conflict")


async def test_retry_takes_its_destination_back(gateway: Gateway) -> None:
    """A released destination is claimed again. If another job has it, the answer is 409 and the job stays failed.

    The job's own proof is no obstacle.
    """
    path = gateway.folder()
    job_id = UUID((await gateway.request(path))["job_id"])
    await gateway.kernel.force(job_id, status="failed")
    owner = gateway.kernel.owner
    await owner.execute("UPDATE destinations SET state = 'released' WHERE job_id = $1", job_id)
    assert (await _retry(gateway, job_id)).status_code == 200
    assert await owner.fetchval("SELECT state FROM destinations WHERE job_id = $1", job_id) == "held"

    await gateway.kernel.force(job_id, status="failed")
    await owner.execute("UPDATE destinations SET state = 'released' WHERE job_id = $1", job_id)
    other = await gateway.request(gateway.folder(path.rpartition("/")[2].upper()))
    assert other["job_id"] in problem(await _retry(gateway, job_id), 409, "conflict")
    assert (await gateway.kernel.row(job_id))["status"] == "failed"

    proven = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(proven, status="failed")
    async with owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        await owner.execute("UPDATE destinations SET state = 'verified' WHERE job_id = $1", proven)
    asked = len(gateway.peers.asked)
    assert (await _retry(gateway, proven)).status_code == 200
    assert len(gateway.peers.asked) == asked


async def test_retry_of_a_folder_in_other_hands(gateway: Gateway) -> None:
    """Another live job has the same folder: 409 that names it."""
    path = gateway.folder()
    job_id = UUID((await gateway.request(path))["job_id"])
    await gateway.kernel.force(job_id, status="failed")
    await gateway.kernel.owner.execute("UPDATE destinations SET state = 'released' WHERE job_id = $1", job_id)
    other = await gateway.request(path)
    async with gateway.kernel.owner.transaction():
        await gateway.kernel.owner.execute("SET LOCAL session_replication_role = replica")
        await gateway.kernel.owner.execute("UPDATE destinations SET state = 'released'")

    assert other["job_id"] in problem(await _retry(gateway, job_id), 409, "conflict")


async def test_retries_at_once_have_one_winner(gateway: Gateway) -> None:
    """Ten users press Retry at once: one 200, nine 409, one event."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status="failed")

    answers = await asyncio.gather(*(_retry(gateway, job_id) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 9]
    assert await gateway.kernel.states(job_id) == ["queued", "queued"]


async def test_retry_against_cancel(gateway: Gateway) -> None:
    """A cancel that races with a retry is either too early (409) or cancels the queued job. A failed job never becomes cancelled."""
    for _ in range(5):
        job_id = UUID((await gateway.request())["job_id"])
        await gateway.kernel.force(job_id, status="failed")

        retried, cancelled = await asyncio.gather(_retry(gateway, job_id), _cancel(gateway, job_id))

        assert retried.status_code == 200
        status = (await gateway.kernel.row(job_id))["status"]
        assert (cancelled.status_code, status) in {(204, "cancelled"), (409, "queued")}


async def test_moving_in_the_queue(gateway: Gateway) -> None:
    """The order changes for all users, and the audit log records it. A job that is not waiting is refused, and nothing changes."""

    async def names() -> list[str]:
        waiting = (await gateway.ask("GET", "/api/queue")).json()["queued_jobs"]
        return [job["job_id"] for job in waiting if job["job_id"] in made]

    made = [(await gateway.request())["job_id"] for _ in range(3)]
    answer = await gateway.ask("POST", "/api/queue/move", json={"job_ids": [made[2]], "to": "top"})
    assert answer.json()["queued_jobs"][0]["job_id"] == made[2]
    assert await names() == [made[2], made[0], made[1]]
    await gateway.ask("POST", "/api/queue/move", json={"job_ids": [made[0]], "to": "down"})
    assert await names() == [made[2], made[1], made[0]]

    await gateway.ask("DELETE", f"/api/jobs/{made[1]}")
    gone = await gateway.ask("POST", "/api/queue/move", json={"job_ids": [made[0], made[1]], "to": "top"})
    assert "do not wait any more" in problem(gone, 409, "conflict")
    assert await names() == [made[2], made[0]]
    lines = (await gateway.ask("GET", "/api/audit?action=queue_moved")).json()
    assert [line["message"] for line in lines] == [
        "admin moved 1 waiting job down.",
        "admin moved 1 waiting job to the top of the queue.",
    ]


async def test_an_admin_releases_a_place_that_is_empty(gateway: Gateway) -> None:
    """A refusal by the uploader is 409 with its reason. A release is a line of the job's log with the admin's name."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status="completed")
    uploader = await gateway.kernel.bus(Role.UPLOADER)
    full = True

    async def release(question: bytes) -> DestinationReleased:
        assert msgspec.json.decode(question, type=ReleaseDestination).job_id == job_id
        if full:
            raise PermanentError("The archive's place is not empty.")
        return DestinationReleased("/One/Two/x.tar.7z")

    await uploader.serve("release_destination", release)
    await uploader.connection.flush()
    address = f"/api/jobs/{job_id}/release-destination"
    assert "not empty" in problem(await gateway.ask("POST", address), 409, "conflict")
    full = False
    answer = await gateway.ask("POST", address)

    assert (answer.status_code, answer.json()["job_id"]) == (200, str(job_id))
    lines = (await gateway.ask("GET", f"/api/jobs/{job_id}/logs")).json()
    assert any("admin released /One/Two/x.tar.7z" in line["message"] for line in lines)
