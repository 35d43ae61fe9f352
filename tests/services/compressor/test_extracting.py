"""Extractions: unpacked in a hidden place, published by rename, never over an existing file.

Also: the gateway's questions about archives.
"""

import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.compressor.questions import Looking, page
from shared.archiving import engine
from shared.archiving.engine import CreateSpec
from shared.archiving.formats import TOO_BIG, Format
from shared.archiving.protocol import Member
from shared.domain.requests import CompressRequest, ExtractRequest
from shared.errors import NOT_FOUND, TAKEN, PermanentError
from shared.files import mount
from shared.files.children import Children
from shared.files.paths import Root
from shared.service.rpc import AskArchiveStats, ListArchive, PlanArchive, PlanExtraction
from tests.services.compressor.trees import small_disk
from tests.services.compressor.workroom import Workroom
from tests.services.lanes import EXPIRED, cleaned, dies_at, lines, reserved, state_is, waits
from tests.support.folders import tick
from tests.support.kernel import Kernel, eventually
from tests.support.stack import snapshot


def request(path: str = "a.zip", destination: str = "", **more: Any) -> ExtractRequest:
    return ExtractRequest(root=Root.WORKSPACE, path=path, destination=destination, **more)


def zipped(path: Path, **content: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in content.items():
            file.writestr(name.replace("__", "/"), text)
    return path


@pytest.mark.parametrize(
    ("destination", "found"),
    [
        ("", ["a.zip", "one.txt", "sub", "sub/two.txt"]),
        ("there", ["a.zip", "there", "there/one.txt", "there/sub", "there/sub/two.txt"]),
        ("new", ["a.zip", "new", "new/one.txt", "new/sub", "new/sub/two.txt", "there"]),
        ("there/x/y", ["a.zip", "there", "there/x", "there/x/y", "there/x/y/one.txt", "there/x/y/sub", "there/x/y/sub/two.txt"]),
    ],
)
async def test_an_archive_is_unpacked(kernel: Kernel, room: Workroom, destination: str, found: list[str]) -> None:
    """It is extracted into an existing or a new folder, with all states and figures, and leaves no temporary files."""
    zipped(room.home / "a.zip", **{"one.txt": "1" * 1000, "sub__two.txt": "2"})
    (room.home / "there").mkdir()
    job = await room.job(request(destination=destination))

    async with room.lanes():
        row = await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    assert room.files() == sorted({*found, "there"})
    result = msgspec.json.decode(row["result"])
    assert (result["destination"], result["files_extracted"], result["total_size"]) == (destination, 2, 1001)
    assert await kernel.states(job) == ["queued", "running", "verifying", "completed"]
    assert (room.leftovers(), await reserved(kernel, job)) == ([], 0)


async def test_chosen_entries_with_a_password(kernel: Kernel, room: Workroom) -> None:
    """Only the chosen entries and everything below them. A wrong password has its own error and leaves nothing."""
    room.folder("Scans")
    spec = CreateSpec(format=Format.SEVENZIP, password="geheim")
    await engine.create(room.home, [b"Scans"], room.home, "s.7z", spec, Children(), lambda _: None)
    wrong = await room.job(request("s.7z", "wrong", encrypted=True), password="falsch")
    right = await room.job(request("s.7z", "right", entries=["Scans/deep"], encrypted=True), password="geheim")

    async with room.lanes():
        failed = await state_is(kernel, wrong, "failed")
        row = await state_is(kernel, right, "completed")
        await cleaned(kernel, wrong, "compressor")
        await cleaned(kernel, right, "compressor")

    assert "password" in failed["error_message"].lower()
    assert not (room.home / "wrong").exists()
    assert {path for path in room.files() if path.startswith("right/")} == {
        *("right/Scans", "right/Scans/deep", "right/Scans/deep/b.bin", "right/Scans/deep/empty", "right/Scans/deep/nothing"),
    }
    assert (msgspec.json.decode(row["result"])["files_extracted"], room.leftovers()) == (2, [])


async def test_chosen_entries_whose_names_are_no_text(kernel: Kernel, room: Workroom) -> None:
    """The bytes that the listing reports can be requested, a folder with all its content. The other entries are not extracted."""
    (room.home / "odd").mkdir()
    for name in (b"caf\xe9/one", b"tab\there", b"plain", b"other\xe9"):
        path = room.home / "odd" / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name)
    names = [b"caf\xe9", b"tab\there", b"plain", b"other\xe9"]
    await engine.create(
        room.home / "odd", names, room.home, "odd.7z", CreateSpec(format=Format.SEVENZIP), Children(), lambda _: None
    )
    looking = Looking(await kernel.db("compressor"), room.tools.bench, room.tools.sevenzip)
    listed = await looking.list_archive(ListArchive(Root.WORKSPACE, room.owner, "odd.7z"))
    raw = {entry.path: entry.path_base64 for entry in listed.entries}
    chosen = [raw["caf\\xe9"] or "", raw["tab\\there"] or ""]
    job = await room.job(request("odd.7z", "out", entries=["plain"], entries_base64=chosen))

    async with room.lanes():
        await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    found = {
        os.fsencode(path.relative_to(room.home / "out")): path.read_bytes()
        for path in (room.home / "out").rglob("*")
        if path.is_file()
    }
    assert found == {name: name for name in (b"caf\xe9/one", b"tab\there", b"plain")}


async def test_nothing_that_is_there_is_replaced(kernel: Kernel, room: Workroom) -> None:
    """A taken name refuses the whole extraction. The error names it, and no extracted file stays."""
    zipped(room.home / "a.zip", **{"new.txt": "1", "mine.txt": "theirs"})
    (room.home / "mine.txt").write_text("mine")
    job = await room.job(request())
    async with room.lanes():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")
    assert "there is a mine.txt already where it would go" in row["error_message"]
    assert (row["error_code"], await lines(kernel, job, "unpacked")) == (TAKEN, []), "noticed before anything was unpacked"
    assert (room.files(), (room.home / "mine.txt").read_text()) == (["a.zip", "mine.txt"], "mine")
    assert (room.leftovers(), await reserved(kernel, job)) == ([], 0)


async def test_hostile_and_broken_archives_leave_nothing(kernel: Kernel, room: Workroom) -> None:
    """Paths that lead outside, a damaged or cut file, no archive at all: each fails with its own sentence and code."""
    with tarfile.open(room.home / "evil.tar", "w") as file:
        file.addfile(tarfile.TarInfo("../../escaped"))
    damaged = zipped(room.home / "damaged.zip", x="content " * 1000).read_bytes()
    (room.home / "damaged.zip").write_bytes(damaged[:40] + b"\xff" * 8 + damaged[48:])
    (room.home / "cut.zip").write_bytes(damaged[: len(damaged) // 2])
    (room.home / "text.zip").write_text("no archive")
    with tarfile.open(room.home / "huge.tar", "w") as file:  # a sparse file claims 8 TB
        sparse = tarfile.TarInfo("huge")
        sparse.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.map": "0,0", "GNU.sparse.size": str(8 << 40)}
        file.addfile(sparse)
    before = room.files()
    cases = {
        "evil.tar": ("upwards", "unsafe-archive"),
        "damaged.zip": ("damaged", "damaged"),
        "cut.zip": ("cut short", "truncated"),
        "text.zip": ("not an archive", "unknown-format"),
        "huge.tar": ("which is the limit", "too-big"),
        "gone.zip": ("There is no", "not-found"),
    }
    jobs = {name: await room.job(request(name, f"out of {name}")) for name in cases}
    async with room.lanes():
        for name, (words, code) in cases.items():
            row = await state_is(kernel, jobs[name], "failed")
            await cleaned(kernel, jobs[name], "compressor")
            assert (words in row["error_message"], row["error_code"]) == (True, code), (name, row["error_message"])
    assert (room.files(), room.leftovers()) == (before, [])


@pytest.mark.parametrize(
    ("point", "destination"),
    [
        *(("workspace.created", "new"), ("workspace.tested", ""), ("workspace.recorded", "new"), ("workspace.recorded", "")),
        *(("workspace.published", "new"), ("workspace.published", ""), ("transition.completed.before", "")),
    ],
)
async def test_killed_anywhere_everything_is_there_once(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, point: str, destination: str
) -> None:
    """The next attempt publishes the recorded files, or extracts again. A half result never stays."""
    zipped(room.home / "a.zip", **{"one.txt": "1" * 1000, "sub__two.txt": "2"})
    job = await room.job(request(destination=destination))
    await dies_at(monkeypatch, point, room.lanes())
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    below = room.home / destination
    assert [(below / name).read_text() for name in ("one.txt", "sub/two.txt")] == ["1" * 1000, "2"]
    assert len(room.files()) == (4 if destination == "" else 5)
    resumed = point in {"workspace.recorded", "workspace.published", "transition.completed.before"}
    assert len(await lines(kernel, job, "extraction_resumed")) == int(resumed)
    assert (room.leftovers(), await reserved(kernel, job)) == ([], 0)


async def test_an_archive_that_grows_after_it_was_looked_into(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most the reserved size is unpacked. Another archive in its place is refused and leaves nothing."""
    zipped(room.home / "a.zip", **{"one.txt": "1"})
    reserve = room.tools.room.reserve

    async def swapped(work: Any, need: int) -> None:
        await reserve(work, need)
        zipped(room.home / "a.zip", **{"one.txt": "1" * (5 << 20)})

    monkeypatch.setattr(room.tools.room, "reserve", swapped)
    job = await room.job(request())
    async with room.lanes():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")
    assert "which is the limit" in row["error_message"]
    assert (room.files(), room.leftovers()) == (["a.zip"], [])


async def test_a_folder_that_becomes_a_link_meanwhile(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The inspected archive is the one that is unpacked, wherever its path leads later. The next volume is never a link's target."""
    (room.home / "in").mkdir()
    (tmp_path / "secret").mkdir()
    zipped(room.home / "in" / "a.zip", **{"one.txt": "mine"})
    zipped(tmp_path / "secret" / "a.zip", **{"one.txt": "secret"})
    reserve = room.tools.room.reserve

    async def swapped(work: Any, need: int) -> None:
        await reserve(work, need)
        (room.home / "in").rename(room.home / "away")
        (room.home / "in").symlink_to(tmp_path / "secret")

    monkeypatch.setattr(room.tools.room, "reserve", swapped)
    job = await room.job(request("in/a.zip"))
    async with room.lanes():
        await state_is(kernel, job, "completed")
    assert (room.home / "one.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("point", "lost"), [("workspace.recorded", "everything"), ("workspace.published", "sub"), ("workspace.published", "one.txt")]
)
async def test_what_was_unpacked_is_gone(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, point: str, lost: str
) -> None:
    """Between two attempts the work directory was removed, or somebody moved published files: everything is unpacked again."""
    zipped(room.home / "a.zip", **{"one.txt": "1", "sub__two.txt": "2"})
    job = await room.job(request())
    await dies_at(monkeypatch, point, room.lanes())
    if lost == "everything":
        shutil.rmtree(room.tools.bench.work / str(job))
    else:
        (room.home / lost).rename(room.home / "moved")
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        await state_is(kernel, job, "completed")
        await cleaned(kernel, job, "compressor")

    assert [(room.home / name).read_text() for name in ("one.txt", "sub/two.txt")] == ["1", "2"]
    assert (room.home / "moved").exists() == (lost != "everything")
    assert (len(await lines(kernel, job, "pieces_lost")), room.leftovers()) == (1, [])


async def test_what_was_unpacked_is_gone_and_the_rest_was_changed(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job does not complete, and no user's file is removed. The extraction fails and names the obstacle."""
    zipped(room.home / "a.zip", **{"one.txt": "1", "sub__two.txt": "2"})
    job = await room.job(request())
    await dies_at(monkeypatch, "workspace.published", room.lanes())
    tick(room.root / "tick")
    (room.home / "one.txt").unlink()
    (room.home / "sub" / "mine").write_text("mine")
    await kernel.force(job, **EXPIRED)

    async with room.lanes():
        row = await state_is(kernel, job, "failed")
        await cleaned(kernel, job, "compressor")

    assert "sub" in row["error_message"]
    assert room.files() == ["a.zip", "sub", "sub/mine", "sub/two.txt"]


async def test_whoever_changes_a_name_has_done_so_before_it_is_taken_back(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway holds the lock on a workspace's names while it moves or deletes something there."""
    zipped(room.home / "a.zip", **{"one.txt": "1"})
    job = await room.job(request())
    await dies_at(monkeypatch, "workspace.published", room.lanes())
    await kernel.force(job, cancel_requested_by="ada", **EXPIRED)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND mode = 'ExclusiveLock'"

    async with kernel.owner.transaction():
        await kernel.owner.execute("SELECT pg_advisory_xact_lock_shared(hashtext('names:' || $1::text))", str(room.owner))
        lanes = room.lanes()
        await lanes.__aenter__()
        await eventually(lambda: kernel.owner.fetchval(waiting), lambda n: n > 0, "the clean-up to wait for the names")
        assert (room.home / "one.txt").read_text() == "1"
        (room.home / "one.txt").rename(room.home / "renamed.txt")
    try:
        await cleaned(kernel, job, "compressor")
    finally:
        await lanes.__aexit__(None, None, None)

    assert (room.files(), room.leftovers()) == (["a.zip", "renamed.txt"], [])


@pytest.mark.parametrize("touched", [False, True])
async def test_cancelled_after_a_crash_amid_the_renames(
    kernel: Kernel, room: Workroom, monkeypatch: pytest.MonkeyPatch, *, touched: bool
) -> None:
    """Published files are taken back. Where somebody has added a file since, the folder stays and the log says so."""
    zipped(room.home / "a.zip", **{"one.txt": "1", "sub__two.txt": "2"})
    job = await room.job(request())
    await dies_at(monkeypatch, "workspace.published", room.lanes())
    if touched:
        tick(room.root / "tick")
        (room.home / "sub" / "mine").write_text("mine")
    await kernel.force(job, cancel_requested_by="ada", **EXPIRED)

    async with room.lanes():
        await state_is(kernel, job, "cancelled")
        await cleaned(kernel, job, "compressor")

    assert room.files() == (["a.zip", "sub", "sub/mine", "sub/two.txt"] if touched else ["a.zip"])
    assert (room.leftovers(), len(await lines(kernel, job, "left_in_place"))) == ([], int(touched))


async def test_a_disk_that_is_really_full(kernel: Kernel, tmp_path: Path) -> None:
    """On a small file system, packing and unpacking wait with the missing bytes, leave nothing, and end when there is space."""
    with small_disk(tmp_path / "disk", 24) as mounted:
        room = Workroom(kernel, tmp_path / "disk" if mounted else tmp_path)
        await room.open()
        (room.home / "big").write_bytes(b"\0" * (6 << 20))
        packed = CompressRequest(root=Root.WORKSPACE, paths=["big"], output="big.tar", format="tar", level=0)
        job = await room.job(packed)
        if mounted:
            (room.root / "filler").write_bytes(b"x" * (14 << 20))
            async with room.lanes():
                row = await waits(kernel, job, "Waiting for disk space")
                assert (row["status"], row["missing_bytes"] > 0, room.files()) == ("queued", True, ["big"])
                (room.root / "filler").unlink()
                await state_is(kernel, job, "completed")
        else:  # no right to mount here: the same with the user's quota, which is permanent
            await kernel.owner.execute("UPDATE users SET quota_bytes = 1 WHERE id = $1", room.owner)
            async with room.lanes():
                await state_is(kernel, job, "failed")
                await cleaned(kernel, job, "compressor")
                assert room.files() == ["big"]


# Questions ------------------------------------------------------------------------------------------------------------------------------


async def test_listing_and_figures(kernel: Kernel, room: Workroom) -> None:
    """List and statistics: pages, search, ratio. The archive is read once while it is unchanged. Refusals have their codes."""
    zipped(room.home / "a.zip", **{f"sub__{n:02}.txt": "x" * 100 for n in range(30)})
    looking = Looking(await kernel.db("compressor"), room.tools.bench, room.tools.sevenzip)
    ask = ListArchive(Root.WORKSPACE, room.owner, "a.zip", q="SUB/1", limit=3, offset=2)

    first = await looking.list_archive(ask)

    assert (first.total, [entry.path for entry in first.entries]) == (10, ["sub/12.txt", "sub/13.txt", "sub/14.txt"])
    assert (first.entries[0].type, first.entries[0].size, len(first.entries[0].crc32 or "")) == ("file", 100, 8)
    stats = await looking.archive_stats(AskArchiveStats(Root.WORKSPACE, room.owner, "a.zip"))
    assert (stats.format, stats.files, stats.original_size, stats.encrypted, stats.problems) == ("zip", 30, 3000, False, [])
    assert stats.compression_ratio == round((1 - stats.compressed_size / 3000) * 100, 1)
    zipped(room.home / "a.zip", only="new")
    assert (await looking.list_archive(msgspec.structs.replace(ask, q=None, offset=0))).total == 1
    for path, code in (("gone.zip", NOT_FOUND), ("../a.zip", None)):
        with pytest.raises(PermanentError) as refused:
            await looking.list_archive(ListArchive(Root.WORKSPACE, room.owner, path))
        assert refused.value.code == code, path


def test_a_page_of_a_hundred_thousand() -> None:
    """Total and page are exact. Names that are not UTF-8 are sent as bytes. A page never exceeds the message size limit."""
    members = [Member(path=b"d/%06d.bin" % n, kind="file", size=n) for n in range(100_000)]
    found = page(members, "99.BIN", 500, 900)
    assert (found.total, len(found.entries), found.entries[0].path) == (1000, 100, "d/090099.bin")
    odd = page([Member(path=b"caf\xe9", kind="link", size=1)], None, 10, 0).entries[0]
    assert (odd.path, odd.path_base64, odd.type) == ("caf\\xe9", "Y2Fm6Q==", "link")
    for letter in (b"x", b"\xff"):
        long = page([Member(path=letter * 3500, kind="file", size=1) for _ in range(1000)], None, 1000, 0)
        assert (long.total, len(msgspec.json.encode(long)) < 3 << 20) == (1000, True), letter


async def test_more_entries_than_are_kept_in_memory(kernel: Kernel, room: Workroom) -> None:
    """The figures are still reported. A list is refused."""
    zipped(room.home / "many.zip", **{f"{n}.txt": "x" for n in range(30)})
    looking = Looking(await kernel.db("compressor"), room.tools.bench, room.tools.sevenzip, most=29)

    stats = await looking.archive_stats(AskArchiveStats(Root.WORKSPACE, room.owner, "many.zip"))

    assert (stats.files, stats.original_size) == (30, 30)
    with pytest.raises(PermanentError, match="more than 29 entries") as refused:
        await looking.list_archive(ListArchive(Root.WORKSPACE, room.owner, "many.zip"))
    assert refused.value.code == TOO_BIG


async def test_what_may_be_asked_for(kernel: Kernel, room: Workroom) -> None:
    """Before a job is created: sizes, the first free name, what is missing, what blocks it; the NAS only while it is mounted."""
    room.folder("in/Scans")
    (room.home / "in" / "Scans.tar.gz").touch()
    looking = Looking(await kernel.db("compressor"), room.tools.bench, room.tools.sevenzip)

    async def plan(*paths: str, output: str, rename: bool = True) -> Any:
        return await looking.plan_archive(PlanArchive(Root.WORKSPACE, room.owner, list(paths), output, rename))

    planned = await plan("in/Scans", output="in/Scans.tar.gz")
    assert (planned.output, planned.total_bytes, planned.file_count) == ("in/Scans_1.tar.gz", 108_600, 5)
    for paths, output, code in (
        (["gone"], "x.zip", NOT_FOUND),
        (["in"], "in/Scans.tar.gz", TAKEN),
        (["in"], "no/x.zip", NOT_FOUND),
    ):
        with pytest.raises(PermanentError) as refused:
            await plan(*paths, output=output, rename=False)
        assert refused.value.code == code, paths
    extraction = PlanExtraction(Root.WORKSPACE, room.owner, "in/Scans.tar.gz", "in/Scans/a.txt")
    with pytest.raises(PermanentError) as refused:
        await looking.plan_extraction(extraction)
    assert refused.value.code == TAKEN

    nas = room.tools.bench.nas
    (nas / "One").mkdir(parents=True)
    (nas / "One" / "f").write_bytes(b"x" * 10)
    sentinel = mount.ensure_sentinel(nas, None, may_adopt=False)
    await kernel.owner.execute("INSERT INTO nas_bases (path, sentinel) VALUES ($1, $2)", str(nas), sentinel)
    for name in ("n" * 251 + ".zip", "é" * 125 + ".zip"):  # the name of its first part would be too long, so no part can exist
        assert (await looking.plan_archive(PlanArchive(Root.NAS, room.owner, ["One"], name, rename=False))).output == name
    asked = PlanArchive(Root.NAS, room.owner, ["One"], "One.zip", rename=True)
    assert (await looking.plan_archive(asked)).total_bytes == 10
    before = snapshot(nas)
    job = await room.job(CompressRequest(root=Root.NAS, paths=["One"], output="One.zip", format="zip", level=1))
    async with room.lanes():
        await state_is(kernel, job, "completed")
    assert (zipfile.ZipFile(room.home / "One.zip").read("One/f"), snapshot(nas)) == (b"x" * 10, before)
