"""Tasks: every kind of job as the dashboard shows it, and the rules of pause, resume and cancel."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from services.gateway.schemas.jobs import TaskStatus
from shared.domain.lifecycle import PAUSABLE, TERMINAL, Kind, Role, Status
from tests.services.gateway.conftest import Gateway, problem
from tests.services.gateway.test_auth import _token, _user

_FIELDS = {"task_id", "kind", "name", "status", "progress", "speed", "eta", "current_size", "total_size", "actions", "paused"}


async def _control(gateway: Gateway, job_id: UUID, action: str, token: str | None = None) -> httpx.Response:
    return await gateway.ask("POST", f"/api/tasks/{job_id}/control", token, json={"action": action})


async def _workspace_job(gateway: Gateway, owner: UUID, kind: Kind = Kind.PACK) -> UUID:
    """Create a job as the pack API does."""
    statement = (
        "INSERT INTO jobs (kind, folder_name, source_path, created_by, created_by_id, keep_source, request)"
        " VALUES ($1, 'thing', '/w/thing', 'x', $2, true, jsonb_build_object('root', 'workspace'))"
        " RETURNING id"
    )
    return UUID(str(await gateway.kernel.owner.fetchval(statement, kind, owner)))


async def _lease(gateway: Gateway, job_id: UUID, **more: Any) -> None:
    until = datetime.now(UTC) + timedelta(seconds=60)
    await gateway.kernel.force(job_id, lease_owner="somebody", lease_until=until, attempt=1, **more)


async def test_a_task(gateway: Gateway) -> None:
    """The task's figures come from the job. A list has its total. A missing task is 404."""
    job_id = UUID((await gateway.request())["job_id"])
    figures = {"bytes_per_second": 5_242_880, "eta_seconds": 120, "bytes_done": 500, "bytes_total": 1000, "progress_percent": 16}
    await _lease(gateway, job_id, status="copying", **figures)

    task = (await gateway.ask("GET", f"/api/tasks/{job_id}")).json()

    assert set(task) >= _FIELDS
    assert (task["status"], task["progress"], task["speed"], task["eta"]) == ("copying", 16, 5_242_880, 120)
    assert (task["current_size"], task["total_size"], task["actions"]) == (500, 1000, ["pause", "cancel"])
    listed = await gateway.ask("GET", "/api/tasks?active=true&limit=1000")
    assert task in listed.json()
    assert int(listed.headers["x-total-count"]) == len(listed.json())
    assert len((await gateway.ask("GET", "/api/tasks?limit=1")).json()) == 1
    problem(await gateway.ask("GET", f"/api/tasks/{uuid4()}"), 404, "not-found")


@pytest.mark.parametrize(
    ("status", "service"), [("queued", Role.COMPRESSOR), ("compressing", Role.COMPRESSOR), ("uploading", Role.UPLOADER)]
)
async def test_pause_and_resume(gateway: Gateway, status: str, service: Role) -> None:
    """The state stays; the task shows `paused`; its service is nudged; the log has both with the user's name. A repeat is no error."""
    job_id = UUID((await gateway.request())["job_id"])
    await _lease(gateway, job_id, status=status, bytes_per_second=1000)
    nudged = asyncio.Event()
    bus = await gateway.kernel.bus(service)
    await bus.on_nudge(nudged.set)
    await bus.connection.flush()

    for _ in range(2):
        paused = await _control(gateway, job_id, "pause")
        assert paused.status_code == 200, paused.text
    task = paused.json()
    assert (task["status"], task["job_status"], task["speed"], task["message"]) == ("paused", status, 0, "Paused")
    assert task["actions"] == ["resume", "cancel"]
    await asyncio.wait_for(nudged.wait(), 60)
    row = await gateway.kernel.row(job_id)
    assert (row["paused"], row["status"]) == (True, status)

    resumed = (await _control(gateway, job_id, "resume")).json()
    assert (resumed["status"], resumed["paused"]) == (status, False)
    assert (await _control(gateway, job_id, "resume")).status_code == 200
    lines = [line["message"] for line in (await gateway.ask("GET", f"/api/jobs/{job_id}/logs")).json()]
    assert [line for line in lines if line.startswith("admin")] == ["admin paused the job.", "admin let the job go on."]


@pytest.mark.parametrize("status", sorted(set(Status) - PAUSABLE))
async def test_too_late_to_pause(gateway: Gateway, status: str) -> None:
    """409 from the proof on. The database has the last word if the job advances meanwhile."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status=status)

    problem(await _control(gateway, job_id, "pause"), 409, "conflict")

    db = await gateway.kernel.db("gateway")
    with pytest.raises(asyncpg.PostgresError, match="is not paused"):
        await db.run("pause", job_id)
    if status in TERMINAL:
        problem(await _control(gateway, job_id, "resume"), 409, "conflict")
        problem(await _control(gateway, job_id, "cancel"), 409, "conflict")


async def test_a_pause_that_comes_with_the_proof_ends_there(gateway: Gateway) -> None:
    """The pause comes while the evidence is being recorded. The job does not stay hidden in `verified`."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status="upload_verifying", attempt=1, paused=True)
    async with gateway.kernel.owner.transaction():
        # Only this guard, not the evidence that the test is not about.
        for trigger in ("jobs_guard", "jobs_follow"):
            await gateway.kernel.owner.execute(f"ALTER TABLE jobs DISABLE TRIGGER {trigger}")
        await gateway.kernel.owner.execute("UPDATE jobs SET status = 'verified' WHERE id = $1", job_id)
        for trigger in ("jobs_guard", "jobs_follow"):
            await gateway.kernel.owner.execute(f"ALTER TABLE jobs ENABLE TRIGGER {trigger}")

    assert (await gateway.kernel.row(job_id))["paused"] is False


async def test_cancel_of_a_paused_task(gateway: Gateway) -> None:
    """A job that is paused between two states is cancelled. While the cancel runs, a pause is refused."""
    waiting = UUID((await gateway.request())["job_id"])
    assert (await _control(gateway, waiting, "pause")).status_code == 200
    assert (await _control(gateway, waiting, "cancel")).json()["status"] == "cancelled"

    held = UUID((await gateway.request())["job_id"])
    await _lease(gateway, held, status="copying")
    task = (await _control(gateway, held, "cancel")).json()
    assert (task["cancelling"], task["actions"]) == (True, [])
    problem(await _control(gateway, held, "pause"), 409, "conflict")


@pytest.mark.parametrize("kind", [Kind.PACK, Kind.COMPRESS, Kind.EXTRACT])
async def test_workspace_tasks_belong_to_their_owner(gateway: Gateway, kind: Kind) -> None:
    """Owner and admin see and control them. For every other user they do not exist."""
    owner, other = await _user(gateway, f"owner-{kind}"), await _user(gateway, f"other-{kind}")
    job_id = await _workspace_job(gateway, owner, kind)
    mine, theirs = _token(owner), _token(other)

    assert (await gateway.ask("GET", f"/api/tasks/{job_id}", mine)).json()["kind"] == kind
    assert (await _control(gateway, job_id, "pause", mine)).json()["status"] == "paused"
    assert (await _control(gateway, job_id, "resume", gateway.token)).json()["status"] == "queued"
    problem(await gateway.ask("GET", f"/api/tasks/{job_id}", theirs), 404, "not-found")
    for action in ("pause", "resume", "cancel"):
        problem(await _control(gateway, job_id, action, theirs), 404, "not-found")
    listed = {token: (await gateway.ask("GET", "/api/tasks?limit=1000", token)).json() for token in (mine, theirs)}
    assert [str(job_id) in {task["task_id"] for task in listed[token]} for token in (mine, theirs)] == [True, False]
    assert (await _control(gateway, job_id, "cancel", mine)).json()["status"] == "cancelled"


def test_the_states_a_task_can_show() -> None:
    """All states of the life cycle, and `paused`."""
    assert sorted(get_args(TaskStatus)) == sorted([*Status, "paused"])


async def test_a_task_is_controlled_by_its_id_in_the_body(gateway: Gateway) -> None:
    """`POST /api/control` does the same as the task's own address, with the same refusals."""
    job_id = (await gateway.request())["job_id"]

    paused = await gateway.ask("POST", "/api/control", json={"task_id": job_id, "action": "pause"})
    assert (paused.status_code, paused.json()["task_id"], paused.json()["status"]) == (200, job_id, "paused"), paused.text
    ended = await gateway.ask("POST", "/api/control", json={"task_id": job_id, "action": "cancel"})
    assert ended.json()["status"] == "cancelled"

    assert (await gateway.ask("POST", "/api/control", json={"task_id": job_id, "action": "pause"})).status_code == 409
    problem(await gateway.ask("POST", "/api/control", json={"task_id": str(uuid4()), "action": "pause"}), 404, "not-found")
    for wrong in ({"action": "pause"}, {"task_id": "x", "action": "pause"}, {"task_id": job_id, "action": "stop"}):
        problem(await gateway.ask("POST", "/api/control", json=wrong), 400, "validation-failed")
    pack = str(await _workspace_job(gateway, await _user(gateway, "packs-by-id")))
    other = _token(await _user(gateway, "looks-by-id"))
    problem(await gateway.ask("POST", "/api/control", other, json={"task_id": pack, "action": "cancel"}), 404, "not-found")


async def test_what_is_no_action(gateway: Gateway) -> None:
    """400 that names the field; nothing changes."""
    job_id = UUID((await gateway.request())["job_id"])
    assert "action" in problem(await _control(gateway, job_id, "explode"), 400, "validation-failed")
    answer = await gateway.ask("POST", f"/api/tasks/{job_id}/control", json={"action": "pause", "more": 1})
    problem(answer, 400, "validation-failed")
    assert (await gateway.kernel.row(job_id))["paused"] is False
