"""Archives belong to a staging: which service sees it, which one waits for it, and what is left to its own services."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from services.uploader import case, handlers
from services.uploader.decide.claimed_job import LocalArchive
from shared.domain.lifecycle import UPLOAD_LANE, Role
from shared.service import stagings
from shared.service.stagings import Sight
from tests.services.compressor.station import Station as Compressor
from tests.services.lanes import EXPIRED, cleaned, lines, reserved, running, state_is, waits
from tests.services.uploader.station import CONTENT, SIDECAR, Station
from tests.shared.rows import evidence, past_the_guard, tried
from tests.support.kernel import Kernel

LONG_AGO = datetime.now(UTC) - timedelta(minutes=5)
FAR: UUID = uuid4()


async def _far(kernel: Kernel, role: str, seen_at: datetime = LONG_AGO) -> None:
    """A process of this role that sees (or saw) the staging FAR."""
    await kernel.owner.execute(
        "INSERT INTO stagings (id, instance, role, path, seen_at) VALUES ($1, $2, $3, '/far/archives', $4)",
        FAR,
        f"{role}@far",
        role,
        seen_at,
    )


async def _elsewhere(kernel: Kernel, station: Station, **columns: object) -> UUID:
    """A job whose archive is on the staging FAR. The same path here is empty."""
    job = await station.job(staging=FAR, status_since=LONG_AGO, **columns)
    await past_the_guard(kernel, "UPDATE archives SET staging = $2 WHERE job_id = $1", job, FAR)
    for file in (station.archives / str(job) / "1").iterdir():
        file.unlink()
    return job


async def test_services_that_share_no_disk_do_not_loop(kernel: Kernel, station: Station, tmp_path: Path) -> None:
    """The uploader does not see the compressor's disk. The job is archived once, waits, and names the staging."""
    packer = Compressor(kernel, tmp_path)
    await packer.open()
    await packer.uploader()
    job = await packer.job(packer.folder())

    async with packer.lane(), station.lane():
        await state_is(kernel, job, "compressed")
        await kernel.force(job, status_since=LONG_AGO)
        row = await waits(kernel, job, "No uploader ever saw it")

    assert str(packer.tools.ledger.staging) in row["wait_reason"]
    assert f"for compressor-test it is {packer.places.archives}" in row["wait_reason"]
    assert (await kernel.states(job)).count("compressed") == 1
    assert len(await lines(kernel, job, "waiting")) == 1


async def test_a_job_waits_for_its_staging_and_names_who_saw_it_last(kernel: Kernel, station: Station, tmp_path: Path) -> None:
    """Its uploader is gone: the job stays in its state, others continue. When the staging is seen again, the upload continues."""
    await _far(kernel, "uploader")
    job, other = await _elsewhere(kernel, station), await station.job("Other")

    async with station.lane():
        await state_is(kernel, other, "verified")
        row = await waits(kernel, job, f"Waiting for staging {FAR}")
    assert "uploader@far saw it last, as /far/archives" in row["wait_reason"]
    assert row["status"] == "compressed"

    (station.archives / stagings.ID_FILE).write_text(f"{FAR}\n")
    for name in ("Scans.tar.7z", "Scans.tar.7z.manifest.json"):
        made = station.archives / str(job) / "1" / name
        made.write_bytes(station.content(name))
    async with station.lane():
        await state_is(kernel, job, "verified")


async def test_the_reason_goes_when_somebody_sees_the_staging(kernel: Kernel, station: Station) -> None:
    """A waiting job shows no stale reason once its uploader is back."""
    await _far(kernel, "uploader")
    job = await _elsewhere(kernel, station)
    sight = Sight(await kernel.db("uploader"), Role.UPLOADER, "uploader-test", station.archives)
    await sight.look()
    assert "uploader@far" in (await kernel.row(job))["wait_reason"]

    await kernel.owner.execute("UPDATE stagings SET seen_at = clock_timestamp() WHERE instance = 'uploader@far'")
    await sight.look()

    assert (await kernel.row(job))["wait_reason"] is None


async def test_a_staging_that_is_not_mounted_any_more_is_seen_by_nobody(kernel: Kernel, station: Station) -> None:
    """The id is gone with the mount. The uploader says so and claims nothing, and no archive counts as lost."""
    sight = Sight(await kernel.db("uploader"), Role.UPLOADER, "uploader-test", station.archives)
    await sight.look()
    assert sight.ids == [station.staging]

    (station.archives / stagings.ID_FILE).unlink()
    await sight.look()

    assert sight.ids == []
    assert await kernel.owner.fetchval("SELECT is_staging_seen($1, 'uploader')", station.staging) is False


async def test_a_staging_that_goes_during_the_work_is_waited_for(
    kernel: Kernel, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unmounted between the claim and the check of the archive. The job waits and is not archived again."""
    job = await station.job()
    hidden, real = station.archives.with_name("hidden"), case.local_archive

    def look(one: case.Case) -> LocalArchive:
        station.archives.rename(hidden)
        return real(one)

    monkeypatch.setattr(handlers, "local_archive", look)
    try:
        async with running(kernel, UPLOAD_LANE, lambda work: handlers.upload(work, station.tools)):
            row = await waits(kernel, job, "does not show it any more")
    finally:
        hidden.rename(station.archives)

    assert row["status"] == "compressed"


async def test_proven_archives_need_no_staging(kernel: Kernel, station: Station) -> None:
    """Any uploader finishes a proven job. Files on the other staging are left to its compressor."""
    await _far(kernel, "uploader", seen_at=datetime.now(UTC))
    job = await _elsewhere(kernel, station)
    sha, manifest_sha = (hashlib.sha256(content).hexdigest() for content in (CONTENT, SIDECAR))
    await evidence(kernel, job, sha=sha, manifest_sha=manifest_sha)
    await past_the_guard(kernel, "UPDATE destinations SET state = 'verified' WHERE job_id = $1", job)

    async with station.lane():
        await state_is(kernel, job, "verified")

    assert f"on staging {FAR}" in (await lines(kernel, job, "delete_archive"))[0]
    assert (station.archives / str(job) / "1").exists()


async def test_a_clean_up_is_left_to_who_sees_the_staging(kernel: Kernel, station: Station) -> None:
    """An uploader that sees a cancelled job's staging does the clean-up. Without one, another does what needs no disk."""
    await _far(kernel, "uploader", seen_at=datetime.now(UTC) + timedelta(hours=1))
    far, near = await _elsewhere(kernel, station), await station.job("Near", status_since=LONG_AGO)
    for job in (far, near):
        await kernel.force(job, cancel_requested_by="ada")

    async with station.lane():
        for job in (far, near):
            await state_is(kernel, job, "cancelled")
        await cleaned(kernel, near, "uploader")
        owed = await kernel.owner.fetchval("SELECT tries FROM cleanups WHERE job_id = $1 AND role = 'uploader'", far)
        assert owed == 0
        await kernel.owner.execute("UPDATE stagings SET seen_at = $1 WHERE instance = 'uploader@far'", LONG_AGO)
        await cleaned(kernel, far, "uploader")

    assert (station.archives / str(far) / "1").exists()
    assert [await reserved(kernel, job) for job in (far, near)] == [1, 0]
    assert await station.destination(far) == "released"


async def test_archives_from_before_stagings_had_names_are_adopted(kernel: Kernel, station: Station) -> None:
    """A row has an absolute path and no staging. It belongs to the staging that has its file, and is sent from there."""
    here, lost = await station.job(staging=None), await station.job("Lost", staging=None, paused=True)
    for job, name in ((here, "Scans"), (lost, "Lost")):
        old = f"/srv/before/storage/archives/{job}/1/{name}.tar.7z"
        await past_the_guard(kernel, "UPDATE archives SET staging = NULL, archive_path = $2 WHERE job_id = $1", job, old)
    (station.archives / str(lost) / "1" / "Lost.tar.7z").unlink()

    async with station.lane():
        await state_is(kernel, here, "verified")

    rows = await kernel.owner.fetch("SELECT job_id, staging FROM archives")
    assert {row["job_id"]: row["staging"] for row in rows} == {here: station.staging, lost: None}
    assert (await kernel.row(here))["staging"] == station.staging


@pytest.mark.parametrize("role", ["compressor", "uploader"])
async def test_the_staging_of_an_archive_is_filled_in_once(kernel: Kernel, station: Station, role: str) -> None:
    """Nothing else in the row ever changes, and the staging changes only once."""
    job = await station.job()
    await past_the_guard(kernel, "UPDATE archives SET staging = NULL WHERE job_id = $1", job)

    assert await tried(kernel, "owner", "UPDATE archives SET staging = $2, size = 1 WHERE job_id = $1", job, FAR) == "CS001"
    assert await tried(kernel, role, "UPDATE archives SET staging = $2 WHERE job_id = $1", job, FAR) == "ok"
    assert await tried(kernel, role, "UPDATE archives SET staging = $2 WHERE job_id = $1", job, station.staging) == "CS001"
    assert await tried(kernel, role, "UPDATE archives SET archive_path = 'x' WHERE job_id = $1", job) == "42501"


async def test_a_compressor_uses_no_archive_of_another_staging(kernel: Kernel, station: Station, tmp_path: Path) -> None:
    """Even if a file exists under the same path, the folder is archived again, here."""
    packer = Compressor(kernel, tmp_path)
    await packer.open()
    await packer.uploader()
    job = await packer.job(packer.folder())
    async with packer.lane():
        await state_is(kernel, job, "compressed")
    await past_the_guard(kernel, "UPDATE archives SET staging = $2 WHERE job_id = $1", job, FAR)
    await kernel.force(job, status="queued", **EXPIRED)

    async with packer.lane():
        await state_is(kernel, job, "compressed")

    rows = await kernel.owner.fetch("SELECT staging FROM archives WHERE job_id = $1 ORDER BY attempt", job)
    assert [row["staging"] for row in rows] == [FAR, packer.tools.ledger.staging]
    assert await lines(kernel, job, "archive_damaged") == []
