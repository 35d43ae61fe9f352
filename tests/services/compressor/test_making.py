"""Packs and archives in a workspace: made, tested, recorded, published. The source is emptied by its manifest."""

import asyncio
import hashlib
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from services.compressor import __main__ as compressor
from shared import faults
from shared.archiving import contents
from shared.archiving.protocol import Limits
from shared.domain.lifecycle import WORKSPACE_LANE
from shared.domain.requests import CompressRequest, ExtractRequest, PackRequest
from shared.errors import Paused
from shared.files import manifest
from shared.files.paths import Root
from tests.services.compressor.station import disk
from tests.services.compressor.workroom import Workroom
from tests.services.lanes import EXPIRED, cleaned, dies_at, lines, reserved, running, state_is, waits
from tests.shared.rows import past_the_guard
from tests.support.clocked import SimulatedClock
from tests.support.kernel import Kernel, eventually
from tests.support.stack import extract, snapshot

DAY_NS = 24 * 3600 * 10**9


def pack(path: str = "Scans", **more: Any) -> PackRequest:
    return PackRequest(**({"root": "workspace", "path": path, "format": "zip", "level": 5} | more))


@pytest.mark.parametrize("kind", ["zip", "7z"])
async def test_a_pack_replaces_its_folder(kernel: Kernel, room: Workroom, tmp_path: Path, kind: str) -> None:
    """All states; the archive holds exactly the folder; the folder is gone; nothing else is left or reserved."""
    folder = room.folder("in/Scans")
    before = snapshot(folder)
    job = await room.job(pack("in/Scans", format=kind), keep_source=False)

    async with room.lanes():
        row = await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    assert await kernel.states(job) == ["queued", "running", "verifying", "deleting_source", "completed"]
    assert room.files() == [f"Scans.{kind}", "in"]
    archive = room.home / f"Scans.{kind}"
    after = snapshot(extract(archive, tmp_path / "out"))
    assert {path: (fact.kind, fact.content) for path, fact in after.items()} == {
        path: (fact.kind, fact.content) for path, fact in before.items()
    }
    result = msgspec.json.decode(row["result"])
    assert (result["output_path"], result["format"], result["volumes"]) == (f"Scans.{kind}", kind, 1)
    assert (result["original_size"], result["file_count"]) == (6000 + 102400 + 200, 5)
    assert result["compressed_size"] == archive.stat().st_size == row["archive_size_bytes"]
    assert result["compression_ratio"] == round((1 - result["compressed_size"] / result["original_size"]) * 100, 1) > 0
    assert result["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (room.leftovers(), await reserved(kernel, job), row["kept_count"]) == ([], 0, 0)
    recorded = await kernel.owner.fetchrow("SELECT * FROM archives WHERE job_id = $1", job)
    assert len(manifest.unpack(recorded["manifest"], recorded["manifest_sha256"]).entries) == len(before) + 1
    deleted = await lines(kernel, job, "delete_file")
    assert sorted(deleted)[:1] == ["a.txt: deleted"]


@pytest.mark.parametrize("kind", ["zip", "7z"])
async def test_what_a_pack_deletes_our_own_unzip_brings_back(kernel: Kernel, room: Workroom, kind: str) -> None:
    """Names that differ only in case or in Unicode form, and other odd names: the pack warns, and unpacking works."""
    folder = room.folder()
    for name in (
        "README",
        "readme",
        "\u00f1",
        "n\u0303",
        "CON",
        "trailing.",
        "trailing ",
        "a:b",
        "return\r",
        "\x1b[31m",
        "x" * 255,
    ):
        (folder / name).write_text(name)
    (folder / os.fsdecode(b"latin1-\xe9")).write_text("bytes")
    before = snapshot(folder)
    job = await room.job(pack(format=kind), keep_source=False)

    async with room.lanes():
        row = await state_is(kernel, job, "completed")
        assert not folder.exists()
        back = await room.job(ExtractRequest(root=Root.WORKSPACE, path=f"Scans.{kind}", destination=""))
        await state_is(kernel, back, "completed")

    after = snapshot(folder)
    assert {path: (fact.kind, fact.content) for path, fact in after.items()} == {
        path: (fact.kind, fact.content) for path, fact in before.items()
    }
    (warning,) = msgspec.json.decode(row["result"])["warnings"]
    assert "Windows and macOS: Scans/README, Scans/readme, Scans/n\u0303, Scans/\u00f1" in warning


async def test_what_our_own_unzip_would_refuse_is_not_packed_away(kernel: Kernel, room: Workroom) -> None:
    """A link that leads out of the folder fails the pack with the reason, and the folder stays. A link that stays inside warns."""
    folder = room.folder()
    (folder / "out").symlink_to("../../elsewhere")
    before = snapshot(room.home)
    job = await room.job(pack(), keep_source=False)
    async with room.lanes():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")

    assert (row["error_code"], row["retry_count"]) == ("unsafe-archive", 0)
    assert "Scans is not packed and stays as it is" in row["error_message"]
    assert "Scans/out is a link that leads outside: ../../elsewhere" in row["error_message"]
    assert (snapshot(room.home), room.leftovers()) == (before, [])

    kept = await room.job(pack(), keep_source=True)
    async with room.lanes():
        row = await state_is(kernel, kept, "completed")
        refused = await room.job(ExtractRequest(root=Root.WORKSPACE, path="Scans.zip", destination="back"))
        assert "leads outside" in (await state_is(kernel, refused, "failed"))["error_message"]
    assert "cannot be unpacked here as a whole" in msgspec.json.decode(row["result"])["warnings"][-1]


async def test_what_packs_like_a_trap_is_not_packed_away(kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is known only after packing: the folder stays, and its archive is removed."""
    monkeypatch.setattr(contents, "Limits", lambda: Limits(ratio_from=1 << 20))
    (room.home / "Scans").mkdir()
    (room.home / "Scans" / "zeros").write_bytes(bytes(2 << 20))
    job = await room.job(pack(), keep_source=False)

    async with room.lanes():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")

    assert "more than 200 times as big" in row["error_message"]
    assert (room.files(), room.leftovers()) == (["Scans", "Scans/zeros"], [])


def archive(*paths: str, output: str = "out.zip", **more: Any) -> CompressRequest:
    values = {"root": "workspace", "paths": list(paths), "output": output, "format": "zip", "level": 6}
    return CompressRequest(**(values | more))


@pytest.mark.parametrize("kind", ["zip", "7z", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
async def test_archives_of_every_format(kernel: Kernel, room: Workroom, kind: str) -> None:
    """Chosen paths of several folders go to the chosen place. Sources are untouched, and the result has its figures."""
    room.folder("a/Scans")
    (room.home / "b").mkdir()
    (room.home / "b" / "note.txt").write_text("note " * 100)
    before = snapshot(room.home)
    job = await room.job(archive("a/Scans", "b/note.txt", output=f"b/all.{kind}", format=kind))

    async with room.lanes():
        row = await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    made = room.home / "b" / f"all.{kind}"
    result = msgspec.json.decode(row["result"])
    assert (result["output_path"], result["file_count"], result["compressed_size"]) == (f"b/all.{kind}", 6, made.stat().st_size)
    assert (result["compression_ratio"] > 0) == (kind != "tar")
    assert await kernel.states(job) == ["queued", "running", "verifying", "completed"]
    made.unlink()
    assert snapshot(room.home) == before
    assert (room.leftovers(), await reserved(kernel, job)) == ([], 0)


async def test_a_password_and_volumes(kernel: Kernel, room: Workroom, tmp_path: Path) -> None:
    """Encrypted with the request's password, which is then erased. Parts of the requested size join to one archive."""
    (room.home / "noise").write_bytes(os.urandom(300_000))
    request = archive("noise", output="x.7z", format="7z", encrypted=True, volume_bytes=65_536)
    job = await room.job(request, password="geheim")

    async with room.lanes():
        row = await state_is(kernel, job, "completed")

    parts = sorted(room.home.glob("x.7z.*"))
    result = msgspec.json.decode(row["result"])
    assert [part.name for part in parts] == [f"x.7z.00{n}" for n in range(1, 6)]
    assert (result["volumes"], result["output_path"]) == (5, "x.7z.001")
    assert result["compressed_size"] == sum(part.stat().st_size for part in parts)
    joined = b"".join(part.read_bytes() for part in parts)
    assert (result["sha256"], b"noise" in joined) == (hashlib.sha256(joined).hexdigest(), False)
    assert await kernel.owner.fetchval("SELECT count(*) FROM job_secrets") == 0


async def test_a_password_that_was_forgotten_fails(kernel: Kernel, room: Workroom) -> None:
    """An archive that should be encrypted is never made without encryption."""
    room.folder()
    job = await room.job(archive("Scans", encrypted=True))
    async with room.lanes():
        row = await state_is(kernel, job, "failed")
    assert "Ask again with the password" in row["error_message"]
    assert not (room.home / "out.zip").exists()


async def test_a_name_that_is_taken_is_never_replaced(kernel: Kernel, room: Workroom) -> None:
    """A pack takes the next number. An archive with a chosen name fails, before packing or when the name is taken later."""
    room.folder()
    (room.home / "Scans.zip").write_text("mine")
    first = await room.job(pack())
    second = await room.job(archive("Scans", output="Scans.zip"))

    async with room.lanes():
        row = await state_is(kernel, first, "completed")
        failed = await state_is(kernel, second, "failed")
        await cleaned(kernel, first, "compressor")
        await cleaned(kernel, second, "compressor")

    assert msgspec.json.decode(row["result"])["output_path"] == "Scans_1.zip"
    assert "already" in failed["error_message"]
    assert ((room.home / "Scans.zip").read_text(), room.leftovers()) == ("mine", [])


async def test_two_packs_of_one_folder(kernel: Kernel, room: Workroom) -> None:
    """Both at the same time: two whole archives with different names."""
    room.folder()
    jobs = [await room.job(pack()) for _ in range(4)]

    async with room.lanes(limit=4):
        rows = [await state_is(kernel, job, "completed") for job in jobs]

    names = {msgspec.json.decode(row["result"])["output_path"] for row in rows}
    assert names == {"Scans.zip", "Scans_1.zip", "Scans_2.zip", "Scans_3.zip"}
    for name in names:
        assert zipfile.ZipFile(room.home / name).testzip() is None


async def test_a_name_taken_at_the_last_moment(kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody takes the chosen name just before the rename. Their file stays, and the pack takes the next name without packing again."""
    room.folder()
    real = faults.point

    def uploaded(name: str) -> None:
        real(name)
        if name == "workspace.recorded" and not (room.home / "Scans.zip").exists():
            (room.home / "Scans.zip").write_text("uploaded")

    monkeypatch.setattr(faults, "point", uploaded)
    job = await room.job(pack())
    async with room.lanes():
        row = await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    assert (room.home / "Scans.zip").read_text() == "uploaded"
    assert msgspec.json.decode(row["result"])["output_path"] == "Scans_1.zip"
    assert zipfile.ZipFile(room.home / "Scans_1.zip").testzip() is None
    assert len(await lines(kernel, job, "tested")) == 1
    assert room.leftovers() == []


POINTS = ["workspace.created", "workspace.tested", "workspace.recorded", "workspace.published"]
AROUND = ["transition.running.after", "transition.completed.before"]  # tests/e2e/test_workspaces.py has the others


@pytest.mark.parametrize("point", [*POINTS, *AROUND])
async def test_killed_anywhere_an_archive_is_made_once(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The next attempt continues from the record or starts anew: one whole archive, nothing else left, nothing reserved."""
    room.folder()
    before = snapshot(room.home)
    job = await room.job(archive("Scans", output="x.7z", format="7z", volume_bytes=65_536))
    await dies_at(monkeypatch, point, room.lanes())
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        row = await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    parts = sorted(room.home.glob("x.7z.*"))
    result = msgspec.json.decode(row["result"])
    assert hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest() == result["sha256"]
    recorded = point in {"workspace.recorded", "workspace.published", "transition.completed.before"}
    assert len(await lines(kernel, job, "archive_reused")) == int(recorded)
    for part in parts:
        part.unlink()
    assert snapshot(room.home) == before
    assert (room.leftovers(), await reserved(kernel, job)) == ([], 0)


@pytest.mark.parametrize(
    "point",
    [
        *("transition.deleting_source.before", "deletion.renamed", "deletion.unlinked", "workspace.emptied"),
    ],
)
async def test_killed_anywhere_a_packs_source_goes_whole(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, point: str
) -> None:
    """Files that the dead run renamed are settled by content first. In the end the folder is gone and the archive holds all of it."""
    folder = room.folder()
    before = snapshot(folder)
    job = await room.job(pack(), keep_source=False)
    await dies_at(monkeypatch, point, room.lanes())
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        row = await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    assert (room.files(), row["kept_count"], room.leftovers()) == (["Scans.zip"], 0, [])
    after = snapshot(extract(room.home / "Scans.zip", tmp_path / "out"))
    assert {path: fact.content for path, fact in after.items()} == {path: fact.content for path, fact in before.items()}


async def test_a_damaged_archive_of_an_earlier_attempt_is_made_again(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record is not enough: the archive is hashed again and removed if it differs. Only the good one stays."""
    room.folder()
    job = await room.job(pack(), keep_source=False)
    await dies_at(monkeypatch, "workspace.published", room.lanes())
    made = room.home / "Scans.zip"
    written = made.stat().st_mtime_ns
    with made.open("r+b") as file:
        file.write(b"damage")
    os.utime(made, ns=(written, written))  # nobody wrote it: a disk that lost data
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    assert (room.files(), room.leftovers()) == (["Scans.zip"], [])
    assert zipfile.ZipFile(room.home / "Scans.zip").testzip() is None
    assert len(await lines(kernel, job, "archive_damaged")) == 1


def once_created(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Run this when the first archive has been written but not yet tested."""
    real, done = faults.point, False

    def reached(name: str) -> None:
        nonlocal done
        real(name)
        if name == "workspace.created" and not done:
            done = True
            act()

    monkeypatch.setattr(faults, "point", reached)


@pytest.mark.parametrize("form", ["zip", "7z"])
async def test_an_archive_that_is_damaged_while_it_is_made(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """The test finds the damage and the archive is made again. The folder is deleted only for a good one."""
    room.folder()

    def damage() -> None:
        (made,) = room.tools.bench.work.glob("*/*/archive.*")
        content = made.read_bytes()
        third = len(content) // 3
        made.write_bytes(content[:third] + bytes(third) + content[2 * third :])

    once_created(monkeypatch, damage)
    job = await room.job(pack(format=form), keep_source=False)
    async with room.lanes():
        row = await state_is(kernel, job, "completed")

    assert (row["retry_count"], room.files()) == (1, [f"Scans.{form}"])


@pytest.mark.parametrize("absolute", [False, True], ids=["as recorded", "an older row"])
async def test_the_source_of_a_pack_is_deleted_after_a_move(kernel: Kernel, room: Workroom, absolute: bool) -> None:
    """DATA_DIR moves while a pack is about to delete its folder. The archive is found at the new path and the folder is deleted."""
    room.folder()
    job = await room.job(pack(), keep_source=False)
    async with running(kernel, WORKSPACE_LANE, lambda work: compressor.on_workspace(work, room.tools)):
        await state_is(kernel, job, "deleting_source")
    if absolute:
        made = str(room.home / "Scans.zip")
        await past_the_guard(kernel, "UPDATE archives SET archive_path = $2 WHERE job_id = $1", job, made)
    await room.move()

    async with room.lanes():
        row = await state_is(kernel, job, "completed")

    assert (room.files(), row["kept_count"]) == (["Scans.zip"], 0)


@pytest.mark.parametrize("absolute", [False, True], ids=["as recorded", "an older row"])
async def test_a_name_stays_promised_after_a_move(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, absolute: bool
) -> None:
    """DATA_DIR moves when an archive is about to get its name. No other pack takes that name meanwhile."""
    room.folder()
    first = await room.job(pack())
    await dies_at(monkeypatch, "workspace.recorded", room.lanes())
    if absolute:
        made = str(room.home / "Scans.zip")
        await past_the_guard(kernel, "UPDATE archives SET archive_path = $2 WHERE job_id = $1", first, made)
    await room.move()
    second = await room.job(pack())

    async with room.lanes():
        row = await state_is(kernel, second, "completed")
        await kernel.force(first, **EXPIRED)
        await state_is(kernel, first, "completed")

    assert msgspec.json.decode(row["result"])["output_path"] == "Scans_1.zip"
    assert sorted(path.name for path in room.home.glob("*.zip")) == ["Scans.zip", "Scans_1.zip"]


# Sources that change --------------------------------------------------------------------------------------------------------------------


async def test_a_source_that_changes_while_it_is_packed(kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """No archive is published if the folder differs from the manifest. Once the folder is quiet, the new archive has the new content."""
    folder = room.folder()
    once_created(monkeypatch, lambda: (folder / "a.txt").write_text("changed"))
    job = await room.job(pack(), keep_source=False)
    async with room.lanes():
        row = await state_is(kernel, job, "completed")

    assert row["retry_count"] == 1
    assert zipfile.ZipFile(room.home / "Scans.zip").read("Scans/a.txt") == b"changed"
    assert not folder.exists()


async def test_a_source_that_never_rests_fails(kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its retries the job fails with the reason. The folder is there, and nothing else."""
    folder = room.folder()
    real, times = faults.point, 0

    def written(name: str) -> None:
        nonlocal times
        real(name)
        if name == "workspace.created":
            times += 1
            (folder / "a.txt").write_text(f"changed {times}")

    monkeypatch.setattr(faults, "point", written)
    job = await room.job(pack(), keep_source=False)
    async with room.lanes():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")

    assert "in use" in row["error_message"]
    assert (folder / "a.txt").read_text() == f"changed {times}"
    assert (room.leftovers(), await reserved(kernel, job), (room.home / "Scans.zip").exists()) == ([], 0, False)


async def test_what_changed_or_came_after_the_record_is_kept(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between record and deletion, a changed file, a new one and a file that became a folder stay. They are counted and named."""
    folder = room.folder()
    job = await room.job(pack(), keep_source=False)
    await dies_at(monkeypatch, "transition.deleting_source.after", room.making())
    (folder / "a.txt").write_text("changed after packing")
    (folder / "deep" / "new").write_text("came later")
    (folder / "deep" / "nothing").unlink()
    (folder / "deep" / "nothing").mkdir()
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        row = await state_is(kernel, job, "completed")

    assert room.files() == ["Scans", "Scans.zip", "Scans/a.txt", "Scans/deep", "Scans/deep/new", "Scans/deep/nothing"]
    assert (folder / "a.txt").read_text() == "changed after packing"
    assert row["kept_count"] == 2
    assert await lines(kernel, job, "source_kept") == [
        "Kept a.txt: changed after the copy.",
        "Kept deep/new: added after the copy.",
    ]
    assert "a.txt: kept: changed after the copy" in await lines(kernel, job, "delete_file")


@pytest.mark.parametrize("fate", ["deleted", "damaged", "moved"])
async def test_without_its_archive_nothing_of_a_source_is_deleted(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    """The archive is read once more before the first unlink. If it is missing or changed, the folder stays and the job says so."""
    folder = room.folder()
    before = snapshot(folder)
    job = await room.job(pack(), keep_source=False)
    await dies_at(monkeypatch, "transition.deleting_source.after", room.making())
    made = room.home / "Scans.zip"
    if fate == "deleted":
        made.unlink()
    elif fate == "moved":
        made.rename(room.home / "elsewhere.zip")
    else:
        made.write_bytes(made.read_bytes()[:-1] + b"x")
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        row = await state_is(kernel, job, "completed")

    assert snapshot(folder) == before
    assert row["kept_count"] == 5
    assert len(await lines(kernel, job, "archive_missing")) == 1
    assert "its archive was moved or changed" in row["current_operation"], "not that files were changed after packing"


async def test_a_file_saved_in_the_clock_unit_of_its_reading_is_kept(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a coarse clock, a file saved after packing has the same size, times and inode as the packed one, but other content."""
    folder = room.folder()
    clock = SimulatedClock(monkeypatch, room.root, DAY_NS, only_ctime=True)
    job = await room.job(pack(), keep_source=False)
    await dies_at(monkeypatch, "transition.deleting_source.before", room.lanes())
    before = (folder / "a.txt").stat()
    with (folder / "a.txt").open("r+b") as file:
        file.write(b"SAVED\n")
    os.utime(folder / "a.txt", ns=(before.st_mtime_ns, before.st_mtime_ns))
    after = (folder / "a.txt").stat()
    assert (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (after.st_size, after.st_mtime_ns, after.st_ctime_ns)
    clock.set_forward(2 * DAY_NS)  # the deletion comes later, so it need not wait until a save would show
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        row = await state_is(kernel, job, "completed")

    assert (row["kept_count"], room.files()) == (1, ["Scans", "Scans.zip", "Scans/a.txt"])
    assert (folder / "a.txt").read_bytes()[:12] == b"SAVED\nfirst\n"
    assert await lines(kernel, job, "source_kept") == ["Kept a.txt: changed after the copy."]


async def test_another_manifest_than_the_recorded_one_deletes_nothing(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest is not the digest recorded with the archive: the whole folder stays, and the job says so."""
    folder = room.folder()
    before = snapshot(folder)
    job = await room.job(pack(), keep_source=False)
    await dies_at(monkeypatch, "transition.deleting_source.before", room.lanes())
    await past_the_guard(kernel, "UPDATE archives SET manifest_sha256 = $2 WHERE job_id = $1", job, "0" * 64)
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        row = await state_is(kernel, job, "completed")

    assert snapshot(folder) == before
    assert row["kept_count"] == 5
    assert "SHA-256" in (await lines(kernel, job, "manifest_damaged"))[0]
    assert "list of what was packed is damaged" in row["current_operation"]


async def test_a_packs_folder_with_other_attributes_stays(kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are deleted. The folder itself differs from the packed one, so it stays and is named."""
    folder = room.folder()
    folder.chmod(0o755)
    job = await room.job(pack(), keep_source=False)
    await dies_at(monkeypatch, "transition.deleting_source.before", room.lanes())
    folder.chmod(0o700)
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        row = await state_is(kernel, job, "completed")

    assert (row["kept_count"], room.files()) == (1, ["Scans", "Scans.zip"])
    assert await lines(kernel, job, "source_kept") == ["Kept ./: attributes changed after the copy."]


async def test_a_pack_that_keeps_its_folder_leaves_it_alone(kernel: Kernel, room: Workroom) -> None:
    """`keep_source`: straight from verifying to completed; nothing in the folder is touched."""
    folder = room.folder()
    before = snapshot(folder)
    job = await room.job(pack())
    async with room.lanes():
        await state_is(kernel, job, "completed")
    assert await kernel.states(job) == ["queued", "running", "verifying", "completed"]
    assert snapshot(folder) == before


# Controls -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["workspace.created", "workspace.tested", "workspace.recorded", "workspace.published"])
async def test_cancelled_anywhere_nothing_is_left(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """No partial file, no published file, nothing reserved, the folder unchanged."""
    folder = room.folder()
    before, files = snapshot(folder), room.files()
    job = await room.job(pack(), keep_source=False)
    real, asked = faults.point, 0

    def held(name: str) -> None:
        nonlocal asked
        real(name)
        if name == point:
            asked += 1
            _cancel_at_once(kernel, job)

    monkeypatch.setattr(faults, "point", held)
    async with room.lanes():
        row = await state_is(kernel, job, "cancelled")
        await cleaned(kernel, job, "compressor")

    assert asked == 1
    assert (room.files(), snapshot(folder), row["error_message"]) == (files, before, None)
    assert (room.leftovers(), await reserved(kernel, job)) == ([], 0)


def _cancel_at_once(kernel: Kernel, job: UUID) -> None:
    """Cancel as the gateway does, before the worker takes another step."""

    async def asked() -> None:
        connection = await asyncpg.connect(kernel.url("gateway"))
        await connection.execute("UPDATE jobs SET cancel_requested_by = 'ada' WHERE id = $1", job)
        await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(asked()))
    thread.start()
    thread.join(60)


async def test_a_running_job_is_cancelled_in_the_middle(kernel: Kernel, room: Workroom) -> None:
    """While 7-Zip is running: it is stopped and its output is removed; `cancelled`, never `failed`."""
    with (room.home / "big").open("wb") as file:
        for _ in range(48):
            file.write(os.urandom(1 << 20))
    job = await room.job(archive("big", output="big.7z", format="7z", level=9))
    async with room.lanes():
        await state_is(kernel, job, "running")
        await asyncio.to_thread(_cancel_at_once, kernel, job)
        await state_is(kernel, job, "cancelled")
        await cleaned(kernel, job, "compressor")
    assert (room.files(), room.leftovers(), await reserved(kernel, job)) == (["big"], [], 0)


async def test_pause_and_resume(kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """While paused, its lane is free. On resume its recorded archive is used, and no retry is spent."""
    room.folder()
    real, paused = faults.point, 0

    def pausing(name: str) -> None:
        nonlocal paused
        real(name)
        if name == "workspace.recorded" and not paused:
            paused += 1
            raise Paused("Paused.")

    monkeypatch.setattr(faults, "point", pausing)
    job = await room.job(pack())
    gateway = await kernel.db("gateway")
    async with room.lanes():
        await eventually(lambda: kernel.row(job), lambda row: paused and row["lease_owner"] is None, "to let go")
        row = await state_is(kernel, job, "completed")
        await gateway.run("resume", job)
    assert (row["retry_count"], len(await lines(kernel, job, "tested"))) == (0, 1)
    assert len(await lines(kernel, job, "archive_reused")) == 1


# Space ----------------------------------------------------------------------------------------------------------------------------------


async def test_a_quota_that_does_not_suffice_fails_with_both_figures(kernel: Kernel, room: Workroom) -> None:
    """Permanent: used space, other jobs' reservations and the need exceed the user's quota."""
    (room.home / "big").write_bytes(b"x" * 3_000_000)
    await kernel.owner.execute("UPDATE users SET quota_bytes = 5000000 WHERE id = $1", room.owner)
    job = await room.job(archive("big"))
    async with room.lanes():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")
    assert "Not enough space: 2.93 MB needed, 1.91 MB of your 4.77 MB available" in row["error_message"]
    assert (room.files(), await reserved(kernel, job)) == (["big"], 0)


async def test_a_full_disk_is_waited_for(kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is queued with the missing bytes, retried, and done as soon as there is space. Its reservation is kept meanwhile."""
    room.folder()
    disk(monkeypatch, free=1000)
    job = await room.job(pack())
    async with room.lanes():
        row = await waits(kernel, job, "Waiting for disk space")
        assert row["status"] == "queued"
        assert 108_600 - 1000 < row["missing_bytes"] < 300_000  # the files and the archive's overhead
        disk(monkeypatch, free=1 << 30)
        await state_is(kernel, job, "completed")


async def test_another_users_workspace_is_out_of_reach(kernel: Kernel, room: Workroom) -> None:
    """Paths that lead there, also through links, are refused. None of its files gets into an archive."""
    other, home = await room.user("eve")
    room.folder("secret", home)
    (room.home / "door").symlink_to(home)
    (room.home / "mine").mkdir()
    (room.home / "mine" / "window").symlink_to(home / "secret" / "a.txt")
    blocked = [await room.job(archive("door/secret", output="a.zip")), await room.job(archive("mine", output="door/b.zip"))]
    allowed = await room.job(archive("mine", "door", output="c.zip"))
    async with room.lanes():
        for job in blocked:
            assert "There is no folder" in (await state_is(kernel, job, "failed"))["error_message"]
        await state_is(kernel, allowed, "completed")
    stored = zipfile.ZipFile(room.home / "c.zip")
    assert sorted(stored.namelist()) == ["door", "mine/", "mine/window"]
    assert stored.read("mine/window").decode() == str(home / "secret" / "a.txt")
    assert other != room.owner
