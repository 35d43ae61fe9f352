"""Finished packs are removed after the retention, unless they are the only copy. Also: where temporary work may be stored."""

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.compressor import workspace
from services.compressor.expiry import Expiry
from services.compressor.workbench import Workbench
from shared.domain.requests import PackRequest
from shared.errors import ConfigurationError
from shared.files.paths import Root
from tests.services.compressor.workroom import Workroom
from tests.services.lanes import lines, state_is
from tests.shared.rows import past_the_guard
from tests.support.kernel import Kernel


def test_work_in_progress_lies_beside_the_workspaces(tmp_path: Path) -> None:
    """ARCHIVE_TEMP_DIR on another file system is refused at the start, in one sentence."""
    with pytest.raises(ConfigurationError, match="ARCHIVE_TEMP_DIR: /proc is not on the file system of"):
        Workbench(tmp_path, Path("/proc"), tmp_path / "nas").prepare()


async def test_packs_expire_by_the_setting(kernel: Kernel, room: Workroom) -> None:
    """A pack that is old enough, unchanged and kept its folder is removed and reported. All others stay; 0 days remove nothing."""
    packs = {}
    for name in ("Old", "New", "Only", "Changed", "Own"):
        room.folder(name)
        request = PackRequest(root=Root.WORKSPACE, path=name, format="zip", level=1)
        packs[name] = await room.job(request, keep_source=name != "Only")
    async with room.lanes(limit=4):
        for job in packs.values():
            await state_is(kernel, job, "completed")
    for name, job in packs.items():
        days = 1 if name == "New" else 8
        await kernel.force(job, completed_at=datetime.now(UTC) - timedelta(days=days))
        made = room.home / f"{name}.zip"
        os.utime(made, (made.stat().st_atime, made.stat().st_mtime - days * 86400))
    (room.home / "Changed.zip").write_text("mine now")
    (room.home / "Own.zip").touch()  # the same bytes, written later
    expiry = Expiry(await kernel.db("compressor"), room.tools.bench, days=0)

    await expiry.run()
    assert (room.home / "Old.zip").exists()
    expiry.days = 7
    await expiry.run()
    await expiry.run_now()

    assert {path.name for path in room.home.glob("*.zip")} == {"New.zip", "Only.zip", "Changed.zip", "Own.zip"}
    assert len(await lines(kernel, packs["Old"], "pack_expired")) == 1
    assert "Not removed" in (await lines(kernel, packs["Changed"], "pack_expired"))[0]
    assert await lines(kernel, packs["Only"], "pack_expired") == []


@pytest.mark.parametrize("absolute", [False, True], ids=["as recorded", "an older row"])
async def test_packs_of_a_moved_workspace_expire(kernel: Kernel, room: Workroom, absolute: bool) -> None:
    """DATA_DIR has moved since the pack was made. The pack is still removed after its retention."""
    room.folder("one/two/Scans")
    job = await room.job(PackRequest(root=Root.WORKSPACE, path="one/two/Scans", format="zip", level=1), keep_source=True)
    async with room.lanes():
        await state_is(kernel, job, "completed")
    await kernel.force(job, completed_at=datetime.now(UTC) - timedelta(days=8))
    made = str(next(room.home.rglob("Scans.zip")))
    os.utime(made, (0, 0))
    if absolute:
        await past_the_guard(kernel, "UPDATE archives SET archive_path = $2 WHERE job_id = $1", job, made)
    await room.move()

    await Expiry(await kernel.db("compressor"), room.tools.bench, days=7).run_now()

    assert list(room.home.rglob("*.zip")) == []
    assert (await lines(kernel, job, "pack_expired"))[0].startswith("Removed")


async def test_the_only_copy_never_expires(kernel: Kernel, room: Workroom) -> None:
    """A pack is deleted by hand and its folder is packed again with deletion. The new archive outlives the first pack's retention.

    It has the same bytes and the same name.
    """
    room.folder("Scans")
    request = PackRequest(root=Root.WORKSPACE, path="Scans", format="zip", level=1)
    made, jobs, content = room.home / "Scans.zip", [], []
    for keep in (True, False):
        made.unlink(missing_ok=True)
        jobs.append(await room.job(request, keep_source=keep))
        async with room.lanes():
            await state_is(kernel, jobs[-1], "completed")
        content.append(made.read_bytes())
        os.utime(made, (0, 0))  # whatever the times are
    assert content[0] == content[1]
    assert not (room.home / "Scans").exists()
    await kernel.force(jobs[0], completed_at=datetime.now(UTC) - timedelta(days=8))
    expiry = Expiry(await kernel.db("compressor"), room.tools.bench, days=7)

    await expiry.run_now()

    assert made.read_bytes() == content[1]
    assert "Not removed" in (await lines(kernel, jobs[0], "pack_expired"))[0]


async def test_a_workspace_that_is_gone_keeps_no_other_pack(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest pack's workspace is gone and the next one cannot be read. The third pack is still removed, batch by batch."""
    monkeypatch.setattr("services.compressor.expiry._BATCH", 1)
    packs = {}
    for age, name in enumerate(("Gone", "Damaged", "Old")):
        room.folder(name)
        packs[name] = await room.job(PackRequest(root=Root.WORKSPACE, path=name, format="zip", level=1), keep_source=True)
        async with room.lanes():
            await state_is(kernel, packs[name], "completed")
        await kernel.force(packs[name], completed_at=datetime.now(UTC) - timedelta(days=9 - age))
        os.utime(room.home / f"{name}.zip", (0, 0))
    gone = str(room.home.parent / "nobody" / "Gone.zip")
    await past_the_guard(kernel, "UPDATE archives SET archive_path = $2 WHERE job_id = $1", packs["Gone"], gone)
    damaged, real = room.home / "Damaged.zip", workspace.is_intact

    def read(parts: list[Path], *facts: Any) -> bool:
        if parts == [damaged]:
            raise OSError(errno.EIO, "Input/output error", str(damaged))
        return real(parts, *facts)

    monkeypatch.setattr(workspace, "is_intact", read)
    expiry = Expiry(await kernel.db("compressor"), room.tools.bench, days=5)

    await expiry.run_now()

    assert {path.name for path in room.home.glob("*.zip")} == {"Gone.zip", "Damaged.zip"}
    assert "Not removed" in (await lines(kernel, packs["Gone"], "pack_expired"))[0]
    assert await lines(kernel, packs["Damaged"], "pack_expired") == []
