"""The system's state: instances and their jobs, problems that need a person, Globus, and this gateway's readiness."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.jobs import decide, views
from services.gateway.records.host_stats import SAMPLE_SECONDS, SPAN_SECONDS, HostStats
from services.gateway.records.store import Store
from services.gateway.schemas.system import (
    DiskSpace,
    LaneStatus,
    Ready,
    RelayState,
    ServiceInstance,
    Statistics,
    SystemStatus,
    Workers,
)
from shared.domain.lifecycle import Role
from shared.infra import outbox
from shared.infra.nats_permissions import PROVISION, STREAM
from shared.infra.provision import provision
from shared.service.rpc import CollectionState, GlobusChecked
from tests.services.gateway.conftest import Gateway, problem, running
from tests.services.gateway.test_users import user
from tests.shared.rows import TASK, past_the_guard
from tests.support.engines import PostgresEngine, nats_server
from tests.support.kernel import PLACE, eventually

_EMPTY = SystemStatus(
    disk_space=DiskSpace(
        total_gb=100.0, used_gb=50.0, free_gb=50.0, system_reserved_gb=0.0, job_reserved_gb=0.0, percent_used=50.0, low=False
    ),
    workers=Workers(LaneStatus("idle", None), LaneStatus("idle", None)),
    statistics=Statistics(0, 0, 0, 0, 0, 0),
    globus_emulated=True,
    services=[],
    last_scan=None,
    version="1",
    postgres="ok",
    nats="ok",
    relay=RelayState(0, None),
    alerts=[],
)
_FULL = msgspec.structs.replace(_EMPTY.disk_space, used_gb=90.0, free_gb=10.0, percent_used=90.0, low=True)


async def _status(gateway: Gateway) -> dict[str, Any]:
    return dict((await gateway.ask("GET", "/api/system/status")).json())


async def test_instances_and_what_they_hold(gateway: Gateway) -> None:
    """Each process with version, last heartbeat and its jobs with their leases. A silent one is an alert."""
    job_id = UUID((await gateway.request())["job_id"])
    until = datetime.now(UTC) + timedelta(seconds=60)
    await gateway.kernel.force(job_id, status="copying", attempt=1, lease_owner="compressor@here", lease_until=until)
    statement = (
        "INSERT INTO service_instances (instance, role, version, started_at, seen_at)"
        " VALUES ($1, 'compressor', '0.1', now() - interval '1 week', now() - make_interval(secs => $2))"
    )
    await gateway.kernel.owner.execute(statement, "compressor@here", 1.0)
    await gateway.kernel.owner.execute(statement, "compressor@gone", 100.0)
    await gateway.kernel.owner.execute(statement, "compressor@long gone", 86401.0)
    try:
        status = await _status(gateway)
    finally:
        await gateway.kernel.owner.execute("DELETE FROM service_instances")
        await gateway.kernel.force(job_id, lease_owner=None, lease_until=None)

    here, gone = [next(s for s in status["services"] if s["instance"] == f"compressor@{name}") for name in ("here", "gone")]
    assert (here["version"], here["alive"], gone["alive"]) == ("0.1", True, False)
    assert [(job["job_id"], job["status"]) for job in here["jobs"]] == [(str(job_id), "copying")]
    assert datetime.fromisoformat(here["jobs"][0]["lease_until"]) == until
    assert (status["postgres"], status["nats"]) == ("ok", "ok")
    assert status["relay"]["waiting"] >= 0
    kinds = {alert["kind"]: alert["message"] for alert in status["alerts"]}
    assert "compressor@gone" in kinds["service_silent"]
    assert "compressor@long gone" not in {s["instance"] for s in status["services"]}
    assert "service_missing" in kinds


async def test_failed_jobs_are_alerts_until_somebody_cares(gateway: Gateway) -> None:
    """They are named with the reason. A retry removes them."""
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.force(job_id, status="failed", error_message="The disk broke.")

    failed = [a for a in (await _status(gateway))["alerts"] if a["job_id"] == str(job_id)]
    assert (failed[0]["kind"], "The disk broke." in failed[0]["message"]) == ("job_failed", True)
    assert (await gateway.ask("POST", f"/api/jobs/{job_id}/retry")).status_code == 200
    assert not [a for a in (await _status(gateway))["alerts"] if a["job_id"] == str(job_id)]


async def test_a_failed_job_is_cleared(gateway: Gateway) -> None:
    """Its folder is permanently gone. It leaves alerts and history; its page and log stay, and it can be restored."""
    job_id = UUID((await gateway.request())["job_id"])
    address = f"/api/jobs/{job_id}/clear"
    assert "not ended" in problem(await gateway.ask("POST", address), 409, "conflict")
    await gateway.kernel.force(job_id, status="failed", error_message="The folder is gone.")

    async def shown() -> tuple[bool, bool]:
        alerts = {alert["job_id"] for alert in (await _status(gateway))["alerts"]}
        listed = {job["job_id"] for job in (await gateway.ask("GET", "/api/jobs?status=failed")).json()}
        return str(job_id) in alerts, str(job_id) in listed

    assert await shown() == (True, True)
    first, again = [(await gateway.ask("POST", address)).json() for _ in range(2)]
    assert (again, first["job_id"]) == (first, str(job_id))
    assert await shown() == (False, False)
    assert (await gateway.ask("GET", f"/api/jobs/{job_id}")).json()["cleared_at"] == first["cleared_at"]
    lines = [line["message"] for line in (await gateway.ask("GET", f"/api/jobs/{job_id}/logs")).json()]
    assert lines.count("admin cleared the job from the history.") == 1
    audited = "SELECT count(*) FROM audit WHERE action = 'job_cleared' AND target = $1"
    assert await gateway.kernel.owner.fetchval(audited, str(job_id)) == 1

    moment = {"cleared_at": first["cleared_at"]}
    assert (await gateway.ask("POST", "/api/jobs/completed/restore", json=moment)).json() == {"restored_count": 1}
    assert await shown() == (True, True)


async def test_a_failed_jobs_alert_ends_when_its_folder_is_archived(gateway: Gateway) -> None:
    """A newer job has completed the same folder. An older or cancelled job ends no alert."""
    kernel = gateway.kernel
    now = datetime.now(UTC)

    async def ended(path: str, status: str, hours_ago: int) -> UUID:
        job = await kernel.job(source_path=path, hold=False)
        await kernel.force(job, status=status, created_at=now - timedelta(hours=hours_ago))
        return job

    handled, left = await ended("/nas/a/b/handled", "failed", 2), await ended("/nas/a/b/left", "failed", 2)
    await ended("/nas/a/b/handled", "completed", 1)
    await ended("/nas/a/b/left", "completed", 3)
    await ended("/nas/a/b/left", "cancelled", 1)

    alerts = {alert["job_id"] for alert in (await _status(gateway))["alerts"]}
    failures = {job["job_id"] for job in (await gateway.ask("GET", "/api/jobs/failures?limit=1000")).json()}

    assert alerts & {str(handled), str(left)} == {str(left)}
    assert failures & {str(handled), str(left)} == {str(left)}


async def test_a_failed_pack_is_listed_and_cleared_by_its_owner(gateway: Gateway) -> None:
    """Its owner and admins see it among the failures. Clearing removes it there, from the history and from the list of packs."""
    owner_id, owner = await user(gateway, "failing-owner")
    _, other = await user(gateway, "failing-other")
    statement = (
        "INSERT INTO jobs (kind, folder_name, source_path, created_by, created_by_id, request) VALUES ('pack', 'Broken', '/Broken',"
        ' \'failing-owner\', $1, \'{"root": "workspace", "path": "Broken", "format": "zip", "level": 1}\') RETURNING id'
    )
    job_id = await gateway.kernel.owner.fetchval(statement, owner_id)
    await gateway.kernel.force(job_id, status="failed", error_message="The disk broke.")

    async def listed(path: str, token: str) -> bool:
        jobs = (await gateway.ask("GET", path, token=token)).json()
        return str(job_id) in {job.get("job_id") or job.get("id") for job in jobs}

    lists = ("/api/jobs/failures", "/api/jobs?kind=pack", "/api/files/pack")
    assert [await listed(path, owner) for path in lists] == [True, True, True]
    assert [await listed("/api/jobs/failures", token) for token in (gateway.token, other)] == [True, False]
    assert (await gateway.ask("POST", f"/api/jobs/{job_id}/clear", token=other)).status_code == 404
    cleared = (await gateway.ask("POST", f"/api/jobs/{job_id}/clear", token=owner)).json()
    assert [await listed(path, owner) for path in lists] == [False, False, False]

    moment = {"cleared_at": cleared["cleared_at"]}
    for token, restored in ((other, 0), (owner, 1)):
        answer = await gateway.ask("POST", "/api/jobs/completed/restore", json=moment, token=token)
        assert answer.json() == {"restored_count": restored}
    assert [await listed(path, owner) for path in lists] == [True, True, True]


def test_a_silent_instance_is_replaced_by_a_younger_one() -> None:
    """Each living instance replaces one silent instance that it is younger than. Older ones and other services replace none."""

    def at(minute: int) -> datetime:
        return datetime(2026, 1, 1, 12, minute, tzinfo=UTC)

    def instance(role: Role, name: str, started: int, seen: int, *, alive: bool) -> ServiceInstance:
        return ServiceInstance(f"{role}@{name}", role, "1", at(started), at(seen), alive, [])

    def silent(*services: ServiceInstance) -> list[str]:
        status = msgspec.structs.replace(_EMPTY, services=list(services))
        return [alert.message.split()[0] for alert in decide.alerts(status, []) if alert.kind == "service_silent"]

    one = instance(Role.SCANNER, "one", 0, 10, alive=False)
    two = instance(Role.SCANNER, "two", 0, 12, alive=False)
    before = instance(Role.SCANNER, "before", 0, 30, alive=True)
    between = instance(Role.SCANNER, "between", 11, 30, alive=True)
    after = instance(Role.SCANNER, "after", 13, 30, alive=True)
    other = instance(Role.UPLOADER, "other", 20, 30, alive=True)
    assert silent(one, two, before, other) == ["scanner@one", "scanner@two"]
    assert silent(two, between) == ["scanner@two"]
    assert silent(one, two, between) == ["scanner@two"]
    assert silent(one, two, after) == ["scanner@two"]
    assert silent(two, after, between, one) == []


def test_alerts() -> None:
    """A disk with less than 20 % free, NATS away, late events. If all is well, only the missing instances are named."""
    quiet = decide.alerts(_EMPTY, [])
    assert [alert.kind for alert in quiet] == ["service_missing"] * len(Role)
    bad = msgspec.structs.replace(_EMPTY, disk_space=_FULL, nats="away", relay=RelayState(3, 31.0))
    assert {alert.kind for alert in decide.alerts(bad, [])} == {"disk_low", "nats_away", "events_late", "service_missing"}
    fine = msgspec.structs.replace(_EMPTY, relay=RelayState(3, 5.0))
    assert decide.alerts(fine, []) == quiet


async def test_work_at_an_earlier_place_is_an_alert(gateway: Gateway) -> None:
    """The settings name another base path after a job has sent something. The alert names the job and the fix."""
    job_id = UUID((await gateway.request())["job_id"])
    kernel = gateway.kernel
    await past_the_guard(kernel, TASK, job_id, "transfer", 1)
    used = "INSERT INTO remote_places (endpoint, base_path, used_at) VALUES ($1, '/disk', 'infinity') RETURNING id"
    place = await kernel.owner.fetchval(used, PLACE.endpoint)
    try:
        (alert,) = [a for a in (await _status(gateway))["alerts"] if a["kind"] == "work_elsewhere"]
    finally:
        await kernel.owner.execute("DELETE FROM remote_places WHERE id = $1", place)
        await past_the_guard(kernel, "DELETE FROM globus_tasks WHERE job_id = $1", job_id)

    assert alert["job_id"] == str(job_id)
    for words in ("1 job has sent files", f"/tape on collection {PLACE.endpoint}", "new jobs go to /disk", "cs-archiver cancel"):
        assert words in alert["message"], words


async def test_globus(gateway: Gateway) -> None:
    """The uploader's view: emulated or real, both collections, what to fix. 503 while the uploader is away."""
    assert "uploader is not running" in problem(await gateway.ask("GET", "/api/system/globus"), 503, "unavailable")
    uploader = await gateway.kernel.bus("uploader")
    checked = GlobusChecked(
        emulated=True, transfer_url="http://127.0.0.1:1/v0.10", problems=[], source=CollectionState("a", "NAS"), source_listed=True
    )

    async def answer(_: bytes) -> msgspec.Struct:
        return checked

    await uploader.serve("globus_check", answer)
    await uploader.connection.flush()
    seen = (await gateway.ask("GET", "/api/system/globus")).json()
    assert (seen["ok"], seen["emulated"], seen["source"]["display_name"], seen["destination"]) == (True, True, "NAS", None)
    assert (seen["source_listed"], seen["destination_listed"]) == (True, False)
    checked = msgspec.structs.replace(checked, problems=["Consent is missing."])
    seen = (await gateway.ask("GET", "/api/system/globus")).json()
    assert (seen["ok"], seen["problems"]) == (False, ["Consent is missing."])


async def test_ready(gateway: Gateway) -> None:
    """Public: one word if all is well. test_process checks that it names what is away, and that `/api/health` does not."""
    answer = await gateway.ask("GET", "/api/health/ready", token="")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_late_events_are_said_with_what_they_mean() -> None:
    """The alert and the notes of `/api/health/ready` have the same sentence. Young events give none."""
    late = decide.events_late(RelayState(3, 31.0))
    assert late is not None
    assert late.startswith("3 events wait to be published.")
    assert decide.events_late(RelayState(3, 29.0)) is None
    assert msgspec.json.encode(Ready("ready", [late])) == msgspec.json.encode({"status": "ready", "notes": [late]})


async def test_a_missing_stream_is_said_although_nothing_happens(
    pg: PostgresEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running gateway reports it in the notes of `/api/health/ready` (still 200) and as an alert, until the stream is whole again."""
    monkeypatch.setattr(decide, "_EVENTS_LATE_SECONDS", 0.0)
    monkeypatch.setattr(outbox, "_LOOK_SECONDS", 0.1)
    async with nats_server() as own, running(pg, own, tmp_path) as gateway:
        gateway.token = await gateway.login()
        await gateway.request()

        async def notes() -> list[str] | None:
            answer = await gateway.ask("GET", "/api/health/ready", token="")
            return list(answer.json().get("notes", [])) if answer.status_code == 200 else None

        await eventually(notes, lambda seen: seen == [], "the event to be published")
        provisioner = await own.connect(PROVISION)
        await provisioner.jetstream().delete_stream(STREAM)
        (note,) = await eventually(notes, bool, "a note") or []
        assert "1 event waits to be published." in note
        assert "events_late" in {alert["kind"] for alert in (await _status(gateway))["alerts"]}

        await provision(own.url, own.passwords[PROVISION])
        await eventually(notes, lambda seen: seen == [], "the note to go")
        assert "events_late" not in {alert["kind"] for alert in (await _status(gateway))["alerts"]}


@pytest.mark.parametrize(
    ("total", "used", "free", "promised"),
    [
        (100 << 30, 70 << 30, 25 << 30, 3 << 30),
        (1 << 40, 0, 1 << 40, 0),
        (98_765_432_109, 12_345_678_901, 81_111_111_111, 1 << 50),
        (0, 0, 0, 0),
    ],
)
def test_used_reserved_and_free_space_add_up(total: int, used: int, free: int, promised: int) -> None:
    """Space that the file system reserves for its administrator is named, so the sum is complete. Jobs reserve part of the free space."""
    disk = views.disk_space(total, used, free, promised)

    assert round(disk.used_gb + disk.system_reserved_gb + disk.free_gb, 2) == disk.total_gb
    assert disk.system_reserved_gb == round((total - used - free) / 2**30, 2)
    assert 0 <= disk.job_reserved_gb <= disk.free_gb


async def test_the_status_names_what_jobs_will_still_write(gateway: Gateway) -> None:
    """Reserved bytes that are already on the disk count as used, not as reserved."""
    before = (await gateway.ask("GET", "/api/system/status")).json()["disk_space"]
    job_id = UUID((await gateway.request())["job_id"])
    await gateway.kernel.owner.execute(
        "INSERT INTO reservations (job_id, filesystem, bytes, written) VALUES ($1, 'x:archives', $2, $3)",
        job_id,
        96 << 20,
        32 << 20,
    )

    after = (await gateway.ask("GET", "/api/system/status")).json()["disk_space"]

    assert (before["job_reserved_gb"], after["job_reserved_gb"]) == (0.0, 0.06)


async def test_the_half_hour_is_kept_for_pages_that_open_later(gateway: Gateway) -> None:
    """The gateway samples by itself. The response is bounded, in order, and counts the bytes of uploads, not of copies."""
    states = {"uploading": 1000, "copying": 7, "upload_verifying": 50, "compressing": 9}
    for status, speed in states.items():
        job_id = UUID((await gateway.request())["job_id"])
        lease = {"lease_owner": "x", "lease_until": datetime.now(UTC) + timedelta(minutes=5)}
        await gateway.kernel.force(job_id, status=status, bytes_per_second=speed, **lease)
    machine = HostStats(Store(await gateway.kernel.db("gateway")), Path("/"))

    for _ in range(round(SPAN_SECONDS / SAMPLE_SECONDS) + 5):
        await machine.sample()

    seen = machine.history()
    assert len(seen.samples) == SPAN_SECONDS / SAMPLE_SECONDS
    assert [sample.at for sample in seen.samples] == sorted(sample.at for sample in seen.samples)
    assert {sample.upload_speed for sample in seen.samples} == {1000}
    stats = await machine.stats()
    assert (stats.upload_speed, stats.total_speed) == (1000, 1016)

    async def shown() -> Any:
        return (await gateway.ask("GET", "/api/stats/history")).json()["samples"]

    await eventually(shown, bool, "the gateway's own first sample")
