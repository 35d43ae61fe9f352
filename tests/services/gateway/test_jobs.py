"""Request, list and view archive jobs."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from services.gateway.schemas.jobs import JobDetail, JobSummary, Queue
from services.gateway.schemas.system import SystemStatus
from shared.errors import ARCHIVED_ALREADY, NOT_FOUND
from shared.service.rpc import DestinationState
from tests.services.gateway.conftest import BASE, Gateway, problem
from tests.support.kernel import MD5, PLACE, SHA

_SUMMARY = {
    *("job_id", "folder_name", "status", "progress_percent", "current_operation", "created_by"),
    *("created_at", "started_at", "completed_at", "error_message"),
}
_DETAIL = {
    *(_SUMMARY | {"source_path", "globus_destination_path", "folder_size_bytes", "archive_size_bytes"}),
    *("retry_count", "globus_task_id"),
}


async def _ask_for(gateway: Gateway, path: str, **more: Any) -> httpx.Response:
    return await gateway.ask("POST", "/api/jobs", json={"folder_path": path, **more})


async def test_a_request(gateway: Gateway) -> None:
    """201 with the promised fields. The job is in list, detail and queue, its destination is held, its first event is written."""
    path = gateway.folder("Project_Alpha", size_bytes=123456)

    answer = await _ask_for(gateway, path + "/")

    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert set(made) == {"job_id", "status", "folder_name", "created_at"}
    assert (made["status"], made["folder_name"]) == ("queued", "Project_Alpha")
    assert answer.headers["location"] == f"/api/jobs/{made['job_id']}"
    detail = (await gateway.ask("GET", f"/api/jobs/{made['job_id']}")).json()
    assert set(detail) >= _DETAIL
    assert detail["source_path"] == path
    assert detail["globus_destination_path"] == "/Production/2024/Project_Alpha.tar.7z"
    assert (detail["folder_size_bytes"], detail["created_by"], detail["keep_source"]) == (123456, "admin", False)
    assert [state["status"] for state in detail["state_times"]] == ["queued"]
    listed = (await gateway.ask("GET", "/api/jobs", params={"limit": 1000})).json()
    assert [set(job) >= _SUMMARY for job in listed if job["job_id"] == made["job_id"]] == [True]
    queued = (await gateway.ask("GET", "/api/queue")).json()["queued_jobs"]
    assert [job["position"] for job in queued] == list(range(1, len(queued) + 1))
    assert made["job_id"] in [job["job_id"] for job in queued]
    row = await gateway.kernel.owner.fetchrow("SELECT key, state FROM destinations WHERE job_id = $1", UUID(made["job_id"]))
    assert (row["key"], row["state"]) == (PLACE.key("/Production/2024/Project_Alpha.tar.7z"), "held")
    assert await gateway.kernel.states(UUID(made["job_id"])) == ["queued"]


async def test_keep_source(gateway: Gateway) -> None:
    """The option to keep the source is part of the job. A misspelt option is refused instead of deleting the source."""
    kept = await gateway.request(keep_source=True)
    misspelt = await _ask_for(gateway, gateway.folder(), keepsource=True)

    assert (await gateway.kernel.row(UUID(kept["job_id"])))["keep_source"] is True
    assert "keepsource" in problem(misspelt, 400, "validation-failed")


@pytest.mark.parametrize(
    "path", ["/etc/a/b/c", f"{BASE}/a/b", f"{BASE}/a/b/c/d", f"{BASE}/a/../b/c", f"{BASE}/a/b/..", "relative", f"{BASE}/a/b/c\0d"]
)
async def test_paths_refused(gateway: Gateway, path: str) -> None:
    """Outside the base, not at level 3, or not in plain form: 400 with the reason."""
    problem(await _ask_for(gateway, path), 400, "bad-request")


async def test_the_scanner_refuses(gateway: Gateway) -> None:
    """Its sentence reaches the user: 404 if missing, 409 if archived, 400 if impossible, 503 while the NAS is away."""
    for name, sentence, code, status, kind in (
        ("Done", "{} holds a marker.", ARCHIVED_ALREADY, 409, "conflict"),
        ("Gone", "{} is nowhere to be seen.", NOT_FOUND, 404, "not-found"),
        ("Empty", "{} does not exist.", None, 400, "bad-request"),  # the code decides, never the text
    ):
        path = f"{BASE}/Production/2024/{name}"
        gateway.peers.refusals[path] = sentence.format(path), code
        assert problem(await _ask_for(gateway, path), status, kind) == sentence.format(path)

    gateway.peers.waiting = "The NAS is not mounted."
    try:
        answer = await _ask_for(gateway, gateway.folder())
        assert problem(answer, 503, "unavailable") == "The NAS is not mounted."
        assert answer.headers["retry-after"] == "7"
    finally:
        gateway.peers.waiting = None


async def test_bodies_refused(gateway: Gateway) -> None:
    """The refusal of an invalid body names each wrong field."""
    for body in (b"", b"{", b"[]", b"null", b'{"folder_path": 7}', b'{"folder_path": "\\ud800"}', b"\xff"):
        answer = await gateway.ask("POST", "/api/jobs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, (body, answer.text)
        problem(answer, 400, answer.json()["type"])
    wrong = (await gateway.ask("POST", "/api/jobs", json={"folder_path": 7})).json()
    assert wrong["errors"][0]["field"] == "folder_path"
    large = await gateway.ask("POST", "/api/jobs", json={"folder_path": "x" * 100_000})
    problem(large, 413, "too-large")


async def test_one_live_job_per_folder(gateway: Gateway) -> None:
    """By path and by (device, inode): a second request is 409 and names the first. Ten at once create one job."""
    path = gateway.folder(inode=77)
    answers = await asyncio.gather(*(_ask_for(gateway, path) for _ in range(10)))
    same_inode = gateway.folder(inode=77)

    made = [answer.json()["job_id"] for answer in answers if answer.status_code == 201]
    assert len(made) == 1
    for answer in answers:
        if answer.status_code != 201:
            assert made[0] in problem(answer, 409, "conflict")
    detail = problem(await _ask_for(gateway, same_inode), 409, "conflict")
    assert made[0] in detail
    assert path in detail


async def test_destination_conflicts(gateway: Gateway) -> None:
    """A destination that a live job holds, or that is proven, is 409 with the job, in any letter case. A released one is free."""
    first = await gateway.request(gateway.folder("Summer"))
    other = gateway.folder("SUMMER")
    job_id = UUID(first["job_id"])

    assert first["job_id"] in problem(await _ask_for(gateway, other), 409, "conflict")

    await gateway.ask("DELETE", f"/api/jobs/{job_id}")
    owner = gateway.kernel.owner
    await _force_destination(owner, job_id, "verified")
    assert "never replaced" in problem(await _ask_for(gateway, other), 409, "conflict")
    await _force_destination(owner, job_id, "released")
    assert (await _ask_for(gateway, other)).status_code == 201


@pytest.mark.parametrize("state", ["held", "removing"])
@pytest.mark.parametrize("ended", ["cancelled", "failed"])
async def test_a_request_during_a_clean_up_waits_in_the_queue(gateway: Gateway, state: str, ended: str) -> None:
    """The job is accepted and says whose files must go first. It holds no destination yet, and the destination is not checked."""
    path = gateway.folder()
    first = UUID((await gateway.request(path))["job_id"])
    await gateway.kernel.force(first, status=ended)
    await _force_destination(gateway.kernel.owner, first, state)
    asked = len(gateway.peers.asked)

    answer = await _ask_for(gateway, path)

    assert answer.status_code == 201
    second = answer.json()["job_id"]
    detail = (await gateway.ask("GET", f"/api/jobs/{second}")).json()
    assert (detail["status"], str(first) in detail["wait_reason"]) == ("queued", True)
    assert (await gateway.ask("GET", f"/api/jobs/{second}/logs")).json()[-1]["action"] == "waiting"
    assert await gateway.kernel.owner.fetchval("SELECT count(*) FROM destinations WHERE job_id = $1", UUID(second)) == 0
    assert len(gateway.peers.asked) == asked


async def _force_destination(owner: Any, job_id: UUID, state: str) -> None:
    async with owner.transaction():
        await owner.execute("SET LOCAL session_replication_role = replica")
        await owner.execute("UPDATE destinations SET state = $2 WHERE job_id = $1", job_id, state)


async def test_what_stands_at_the_destination(gateway: Gateway) -> None:
    """Foreign files there are 409. An unclear answer is no obstacle, because the destination is checked again before sending."""
    for state, status in (("foreign", 409), ("own", 409), ("unknown", 201), ("absent", 201)):
        path = gateway.folder()
        place = f"{path.removeprefix(BASE)}.tar.7z"
        gateway.peers.destinations[place] = DestinationState(state, "a file of that name is there")  # type: ignore[arg-type] # from a table

        answer = await _ask_for(gateway, path)

        assert answer.status_code == status
        if status == 409:
            assert "a file of that name is there" in problem(answer, 409, "conflict")
            assert await gateway.kernel.owner.fetchval("SELECT count(*) FROM jobs WHERE source_path = $1", path) == 0


async def test_pages_of_the_history(gateway: Gateway) -> None:
    """Newest first; offset and cursor give the same rows; total and next cursor are headers; filters repeat or use commas."""
    made = [(await gateway.request())["job_id"] for _ in range(7)]
    for job_id in made[:3]:
        await gateway.kernel.force(UUID(job_id), status="failed", error_message="x")
    everything = (await gateway.ask("GET", "/api/jobs?limit=1000")).json()
    ids = [job["job_id"] for job in everything]
    assert ids[:7] == made[::-1]

    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await gateway.ask("GET", "/api/jobs", params={"limit": 3, **cursor})
        assert page.headers["x-total-count"] == str(len(ids))
        seen += [job["job_id"] for job in page.json()]
        if "x-next-cursor" not in page.headers:
            break
        cursor = {"cursor": page.headers["x-next-cursor"]}
    assert seen == ids
    offset = await gateway.ask("GET", "/api/jobs?limit=2&offset=4")
    assert [job["job_id"] for job in offset.json()] == ids[4:6]

    for query in ("status=failed,cancelled", "status=failed&status=cancelled"):
        some = await gateway.ask("GET", f"/api/jobs?limit=1000&{query}")
        expected = [job["job_id"] for job in everything if job["status"] in {"failed", "cancelled"}]
        assert [job["job_id"] for job in some.json()] == expected
        assert some.headers["x-total-count"] == str(len(expected))
    for bad in (
        "status=nonsense",
        "limit=0",
        "limit=1001",
        "limit=x",
        "offset=-1",
        "cursor=nonsense",
        "offset=99999999999999999999",
    ):
        answer = await gateway.ask("GET", f"/api/jobs?{bad}")
        problem(answer, 400, answer.json()["type"])


async def test_detail_of_a_finished_job(gateway: Gateway) -> None:
    """Archive, the three proofs, states with times, retries, warnings, notes, kept files: the complete record."""
    job_id = UUID((await gateway.request())["job_id"])
    kernel = gateway.kernel
    await kernel.archive(job_id, 2, size=1000)
    async with kernel.owner.transaction():
        await kernel.owner.execute("SET LOCAL session_replication_role = replica")
        for kind in ("task", "remote", "content"):
            await kernel.owner.execute(
                "INSERT INTO verifications (job_id, attempt, kind, archive_attempt, archive_sha256, manifest_sha256, evidence)"
                " VALUES ($1, 3, $2, 2, $3, $3, $4)",
                *(job_id, kind, SHA, json.dumps({"seen": kind})),
            )
        for level, action, message in (
            ("WARNING", "preflight", "ACLs are in the sidecar."),
            ("INFO", "preflight", "There are 2 owners."),
            ("WARNING", "retry", "hiccup (retry 1 of 3)"),
            ("INFO", "retry_requested", "ada asked to try again."),
            ("WARNING", "retry", "hiccup (retry 1 of 3)"),
        ):
            await kernel.owner.execute(
                "INSERT INTO job_logs (job_id, level, action, message) VALUES ($1, $2, $3, $4)", job_id, level, action, message
            )
    await kernel.force(job_id, status="completed", progress_percent=100, kept_count=2, archive_size_bytes=1000, attempt=3)

    detail = (await gateway.ask("GET", f"/api/jobs/{job_id}")).json()

    assert {k: detail["archive"][k] for k in ("size", "sha256", "md5")} == {"size": 1000, "sha256": SHA, "md5": MD5}
    assert [(v["kind"], v["evidence"]["seen"], v["voided_at"]) for v in detail["verifications"]] == [
        (kind, kind, None) for kind in ("task", "remote", "content")
    ]
    assert detail["warnings"] == ["ACLs are in the sidecar.", "hiccup (retry 1 of 3)", "hiccup (retry 1 of 3)"]
    assert detail["notes"] == ["There are 2 owners."]
    assert (detail["retries"], detail["retry_count"]) == ({"automatic": 2, "requested": 1}, 0)
    assert (detail["kept_count"], detail["lane_percent"], detail["current_operation"]) == (2, 100, "Completed")


async def test_no_such_job(gateway: Gateway) -> None:
    """An unknown or malformed id is 404 everywhere."""
    for job_id in (str(uuid4()), "not-a-uuid"):
        for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/retry"), ("GET", "/logs")):
            problem(await gateway.ask(method, f"/api/jobs/{job_id}{rest}"), 404, "not-found")


async def test_clearing_hides_and_erases_nothing(gateway: Gateway) -> None:
    """Completed jobs leave the history, not the database. Each can still be viewed."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status="completed", completed_at=datetime.now(UTC))
    hidden = int((await gateway.ask("GET", "/api/jobs?status=completed")).headers["x-total-count"])

    answer = await gateway.ask("DELETE", "/api/jobs/completed")

    assert (answer.status_code, answer.json()["deleted_count"]) == (200, hidden)
    assert (await gateway.ask("GET", "/api/jobs?status=completed")).json() == []
    assert (await gateway.ask("GET", f"/api/jobs/{job_id}")).json()["status"] == "completed"
    assert (await gateway.ask("DELETE", "/api/jobs/completed")).json()["deleted_count"] == 0


async def test_logs(gateway: Gateway) -> None:
    """The last lines by default, pages by `after`, one level on request, and the whole log as text or NDJSON."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.owner.executemany(
        "INSERT INTO job_logs (job_id, level, action, message, data) VALUES ($1, $2, 'step', $3, NULL)",
        [(job_id, ("INFO", "WARNING", "ERROR")[n % 3], f"line {n}\nsecond") for n in range(2500)],
    )
    address = f"/api/jobs/{job_id}/logs"

    last = await gateway.ask("GET", address)
    assert last.headers["x-total-count"] == "2501"
    assert (len(last.json()), last.json()[-1]["message"]) == (1000, "line 2499\nsecond")
    assert set(last.json()[0]) >= {"timestamp", "level", "message"}
    walked: list[Any] = []
    while page := (await gateway.ask("GET", address, params={"after": walked[-1]["id"] if walked else 0, "limit": 900})).json():
        walked += page
    assert [line["message"] for line in walked[1:]] == [f"line {n}\nsecond" for n in range(2500)]
    errors = await gateway.ask("GET", address, params={"level": "ERROR", "limit": 5})
    assert {line["level"] for line in errors.json()} == {"ERROR"}
    text = await gateway.ask("GET", address, params={"format": "txt"})
    assert text.headers["content-type"].startswith("text/plain")
    assert len(text.text.splitlines()) == 2501
    assert "attachment" in text.headers["content-disposition"]
    ndjson = await gateway.ask("GET", address, params={"format": "ndjson", "level": "WARNING"})
    assert [json.loads(line)["level"] for line in ndjson.text.splitlines()] == ["WARNING"] * 833
    for bad in ("level=DEBUG", "format=xml", "limit=0", "after=-1"):
        problem(await gateway.ask("GET", f"{address}?{bad}"), 400, "validation-failed")


async def test_queue_and_status(gateway: Gateway) -> None:
    """The oldest of each lane, jobs that wait for upload, positions, and busy lanes."""
    await gateway.kernel.owner.execute("SET session_replication_role = replica")
    await gateway.kernel.owner.execute("UPDATE jobs SET status = 'cancelled'")
    await gateway.kernel.owner.execute("SET session_replication_role = origin")
    states = ("compressing", "copying", "compressed", "uploading", "deleting_source", "verified", "queued", "queued")
    made = [UUID((await gateway.request())["job_id"]) for _ in states]
    for job_id, status in zip(made, states, strict=True):
        if status != "queued":
            await gateway.kernel.force(job_id, status=status)

    queue = msgspec.json.decode((await gateway.ask("GET", "/api/queue")).content, type=Queue)
    system = msgspec.json.decode((await gateway.ask("GET", "/api/system/status")).content, type=SystemStatus)

    assert queue.current_copy_compress_job is not None
    assert queue.current_upload_job is not None
    assert (queue.current_copy_compress_job.job_id, queue.current_upload_job.job_id) == (made[0], made[3])
    assert [job.job_id for job in queue.active_jobs] == [made[n] for n in (0, 1, 3, 4, 5)]
    assert [job.job_id for job in queue.waiting_upload_jobs] == [made[2]]
    assert [(job.job_id, job.position) for job in queue.queued_jobs] == [(made[6], 1), (made[7], 2)]
    assert (system.workers.copy_compress.status, system.workers.copy_compress.current_job_id) == ("busy", made[0])
    assert (system.workers.upload.status, system.workers.upload.current_job_id) == ("busy", made[3])
    assert (system.statistics.queued_jobs, system.statistics.active_jobs) == (2, 6)
    assert system.disk_space.total_gb > 0
    assert 0 <= system.disk_space.percent_used <= 100
    for job_id in made:
        msgspec.json.decode((await gateway.ask("GET", f"/api/jobs/{job_id}")).content, type=JobDetail)
    msgspec.json.decode((await gateway.ask("GET", "/api/jobs")).content, type=list[JobSummary])
