"""Workspace usage: fast answers for any size, and a hanging storage delays no other user."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from services.gateway.files import quota
from services.gateway.records.disk import at_disk, open_at_disk
from shared.files import handles, trees, usage
from shared.files.trees import Found
from tests.services.gateway.conftest import Gateway, problem
from tests.services.gateway.people import Person, person
from tests.services.gateway.test_packs import asked, done
from tests.support.folders import open_below
from tests.support.kernel import eventually
from tests.support.stuck import Stuck

PACK = "/api/files/pack"


@pytest.fixture
async def ada(gateway: Gateway) -> Person:
    return await person(gateway)


def endless(monkeypatch: pytest.MonkeyPatch, who: Person, stuck: Stuck) -> None:
    """Walks of this workspace find many files and then hang. Walks of folders in it work normally."""
    walk, inode = trees.walk, who.root.stat().st_ino

    def slow(top: int, stop: trees.Stop = trees.go_on) -> Iterator[Found]:
        if os.fstat(top).st_ino == inode:
            found = walk(top, stop)
            yield from itertools.repeat(next(found), 20_000)
            stuck()
        yield from walk(top, stop)

    monkeypatch.setattr(trees, "walk", slow)


async def test_a_huge_workspace_answers_at_once(
    gateway: Gateway, ada: Person, monkeypatch: pytest.MonkeyPatch, stuck: Stuck
) -> None:
    """Its owner sees the space, uploads, packs, creates and deletes while a walk of it hangs. So do all other users."""
    ada.put("folder/x", b"x" * 100)
    endless(monkeypatch, ada, stuck)
    async with asyncio.timeout(60):
        space = await ada.space()
        assert space["measuring"] is True
        assert (await ada.send("new", b"12345")).status_code == 201
        assert (await ada.ask("POST", "/api/files/folders", json={"path": "made"})).status_code == 201
        assert (await asked(ada))["folder_size"] == 100
        assert (await ada.ask("DELETE", "/api/files", params={"path": "new"})).status_code == 204
        await eventually(ada.space, lambda s: (s["used_bytes"], s["used_entries"]) == (0, 1), "the deletion to be counted")
        assert (await gateway.ask("GET", "/api/workspaces")).status_code == 200
    await eventually(lambda: asyncio.sleep(0, stuck.waiting), bool, "a walk in the background")
    stuck.go.set()
    await eventually(ada.space, lambda s: not s["measuring"], "the walk to end")


HANGS: dict[str, tuple[Any, str, Callable[[Person], Awaitable[Any]]]] = {
    "statvfs": (os, "statvfs", lambda who: who.space()),
    "walk": (trees, "measure", lambda who: who.ask("POST", PACK, json={"folder_path": "folder"})),
    "links": (
        trees,
        "links",
        lambda who: who.ask("POST", "/api/files/move", json={"source": "folder", "target": "other"}),
    ),
    "rename": (handles, "rename_noreplace", lambda who: who.send("file")),
    "mkdir": (os, "mkdir", lambda who: who.ask("POST", "/api/files/folders", json={"path": "new"})),
}


@pytest.mark.parametrize("what", HANGS)
async def test_storage_that_hangs_keeps_nobody_else_waiting(
    gateway: Gateway, ada: Person, monkeypatch: pytest.MonkeyPatch, stuck: Stuck, what: str
) -> None:
    """More slow requests than pool connections and worker threads: health and logins still get answers."""
    module, name, ask = HANGS[what]
    people = [ada, *[await person(gateway) for _ in range(5)]]
    for one in people:
        one.put("folder/x")
    original = getattr(module, name)

    def slow(*args: Any, **kwargs: Any) -> Any:
        stuck()
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, slow)
    asking = [asyncio.ensure_future(ask(one)) for one in people]
    try:
        await eventually(lambda: asyncio.sleep(0, stuck.waiting), lambda n: n > 1, "requests to hang")
        assert (await gateway.ask("GET", "/api/health", token="")).status_code == 200
        assert await gateway.login()
        assert (await gateway.ask("GET", "/api/jobs")).status_code == 200
    finally:
        stuck.go.set()
        await asyncio.gather(*asking, return_exceptions=True)


# The total ---------------------------------------------------------------------------------------------------------------------------


class Large:
    """A workspace that counts as large: its total is stored, and a walk runs only when the test says so."""

    def __init__(self, gateway: Gateway, who: Person, usages: usage.Usages) -> None:
        self.gateway, self.who, self.usages = gateway, who, usages

    async def walk(self) -> None:
        await self.usages._walk(self.who.id, None, asyncio.to_thread)

    async def total(self) -> tuple[int, int]:
        space = await self.who.space()
        return space["used_bytes"], space["used_entries"]

    async def row(self) -> Any:
        return await self.gateway.kernel.owner.fetchrow("SELECT * FROM workspace_usage WHERE owner_id = $1", self.who.id)


@pytest.fixture
async def large(gateway: Gateway, ada: Person, monkeypatch: pytest.MonkeyPatch) -> Large:
    made = Large(gateway, ada, usage.Usages(await gateway.kernel.db("gateway"), gateway.storage / "workspaces"))
    ada.put("folder/first", b"x" * 1000)
    await made.walk()
    monkeypatch.setattr(usage, "SMALL_ENTRIES", 0)
    # Only this test walks.
    await gateway.kernel.owner.execute("UPDATE workspace_usage SET walk_seconds = 1e6 WHERE owner_id = $1", ada.id)
    return made


async def test_what_is_written_is_counted(large: Large) -> None:
    """Uploads, folders, replacements, moves over a file and deletions update the total as a walk would find it."""
    who = large.who
    assert await large.total() == (1000, 2)
    assert (await who.send("a", b"x" * 500)).status_code == 201
    assert await large.total() == (1500, 3)
    assert (await who.ask("POST", "/api/files/folders", json={"path": "p/q/r", "parents": True})).status_code == 201
    assert await large.total() == (1500, 6)
    assert (await who.send("a", b"x" * 50, overwrite=True)).status_code == 201
    assert await large.total() == (1050, 6)
    assert (await who.send("b", b"x" * 7)).status_code == 201
    move = {"source": "b", "target": "a", "overwrite": True}
    assert (await who.ask("POST", "/api/files/move", json=move)).status_code == 200
    assert await large.total() == (1007, 6)
    assert (await who.ask("DELETE", "/api/files", params={"path": "p/q/r"})).status_code == 204
    assert await large.total() == (1007, 5)
    assert (await who.ask("DELETE", "/api/files", params={"path": "folder", "recursive": "true"})).status_code == 204
    await eventually(large.total, lambda seen: seen == (7, 3), "the deletion to be counted")
    await large.walk()
    assert await large.total() == (7, 3)


async def test_a_walk_finds_what_others_wrote(large: Large) -> None:
    """The next walk counts files that came over SMB, for example."""
    large.who.put("from/outside", b"x" * 300)
    assert await large.total() == (1000, 2)
    await large.walk()
    assert await large.total() == (1300, 4)
    assert (await large.row())["exact"]


class Slow:
    """A walk that is held before or after it has read the workspace."""

    def __init__(self, large: Large, *, before: bool) -> None:
        self._large, self._before = large, before
        self._here, self._go = asyncio.Event(), asyncio.Event()

    async def _thread(self, function: Any, *args: Any) -> Any:
        found = None if self._before else function(*args)
        self._here.set()
        await self._go.wait()
        return function(*args) if self._before else found

    async def during(self, change: Callable[[], Awaitable[Any]]) -> None:
        walking = asyncio.ensure_future(self._large.usages._walk(self._large.who.id, None, self._thread))
        await self._here.wait()
        await change()
        self._go.set()
        await walking


@pytest.mark.parametrize("before", [True, False], ids=["seen", "missed"])
async def test_a_walk_never_loses_an_upload(large: Large, before: bool) -> None:
    """Whether or not the walk saw the file, it counts at least once. The next walk is due at once and exact."""

    async def upload() -> None:
        assert (await large.who.send("new", b"x" * 500)).status_code == 201

    await Slow(large, before=before).during(upload)
    assert (await large.total())[0] == (2000 if before else 1500)
    assert not (await large.row())["exact"]
    await large.walk()
    assert await large.total() == (1500, 3)
    assert (await large.row())["exact"]


@pytest.mark.parametrize("before", [True, False], ids=["seen", "missed"])
async def test_a_walk_never_subtracts_a_deletion_twice(large: Large, before: bool) -> None:
    """Whether or not the walk saw the deletion, the total is never less than the files that exist."""
    large.who.put("old", b"x" * 300)
    await large.walk()

    async def delete() -> None:
        assert (await large.who.ask("DELETE", "/api/files", params={"path": "old"})).status_code == 204
        await eventually(large.total, lambda seen: seen == (1000, 2), "the deletion to be counted")

    await Slow(large, before=before).during(delete)
    assert (await large.total())[0] == (1000 if before else 1300)
    assert not (await large.row())["exact"]


async def test_a_removal_that_a_walk_has_seen_is_not_subtracted(gateway: Gateway, large: Large) -> None:
    """A deletion is recorded after its files are gone, so a walk in between has already left them out."""
    kernel = await gateway.kernel.db("gateway")
    walks = await kernel.value("usage_added", large.who.id, *usage.NOTHING)
    (large.who.root / "folder/first").unlink()
    await large.walk()
    await kernel.run("usage_removed", large.who.id, 1000, 1, 1, walks)
    assert await large.total() == (0, 1)


async def test_a_walk_beside_a_job_is_not_exact(gateway: Gateway, large: Large) -> None:
    """The walk may see a file that a job is publishing, and the job may record it afterwards."""
    job = UUID((await asked(large.who))["id"])
    await gateway.kernel.owner.execute("INSERT INTO publications (job_id, attempt, plan) VALUES ($1, 1, '{}')", job)
    await large.walk()
    assert not (await large.row())["exact"]
    await gateway.kernel.owner.execute("DELETE FROM publications WHERE job_id = $1", job)
    await large.walk()
    assert (await large.row())["exact"]
    await gateway.kernel.force(job, status="deleting_source")
    await large.walk()
    assert not (await large.row())["exact"]


async def test_one_large_workspace_gets_no_more_than_its_quota(large: Large) -> None:
    """Ten uploads at once, room for three: exactly three succeed."""
    await large.who.quota(1000 + 3 * 100)
    sent = await asyncio.gather(*(large.who.send(f"f{number}", b"x" * 100) for number in range(10)))
    assert sorted(answer.status_code for answer in sent) == [201] * 3 + [403] * 7
    assert await large.total() == (1300, 5)


# Entries -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def few(gateway: Gateway) -> AsyncIterator[int]:
    """An admin allows four entries in a workspace."""
    assert (await gateway.ask("PUT", "/api/config", json={"workspace_entries": 4})).status_code == 200
    yield 4
    await gateway.ask("PUT", "/api/config", json={"reset": ["workspace_entries"]})


async def test_a_workspace_holds_so_many_files_and_folders(gateway: Gateway, compressor: Any, ada: Person, few: int) -> None:
    """Files, folders and links count. A request beyond the limit is refused with both figures before anything is written."""
    ada.put("folder/x", b"x" * 10)
    (ada.root / "link").symlink_to("folder/x")
    space = await ada.space()
    figures = [space[name] for name in ("entry_limit", "used_entries", "reserved_entries", "available_entries")]
    assert figures == [few, 3, 0, 1]
    pack = await asked(ada, keep_source=True)
    space = await ada.space()
    assert (space["reserved_entries"], space["available_entries"]) == (1, 0)
    for refused in (
        await ada.send("new"),
        await ada.ask("POST", "/api/files/folders", json={"path": "new"}),
        await ada.ask("POST", PACK, json={"folder_path": "folder", "keep_source": True}),
        await ada.ask("POST", "/api/archives", json={"paths": ["folder"], "output": "new.zip"}),
    ):
        sentence = problem(refused, 403, "too-many-entries")
        assert sentence == (
            "Too many files: this adds 1 file or folder, and 0 more are possible (your workspace may hold 4)."
            " Delete some, or ask an admin for a higher limit."
        )
    assert sorted(path.name for path in ada.root.iterdir()) == ["folder", "link"]
    assert (await ada.ask("DELETE", f"{PACK}/{pack['id']}")).status_code == 200
    await gateway.kernel.owner.execute("DELETE FROM reservations WHERE job_id = $1", UUID(pack["id"]))
    assert (await ada.send("new")).status_code == 201
    assert (await ada.send("new", b"newer", overwrite=True)).status_code == 403, "its bytes arrive beside what it replaces"
    shown = {row["user_id"]: row for row in (await gateway.ask("GET", "/api/workspaces")).json()}[str(ada.id)]
    assert (shown["used_entries"], shown["entry_limit"], shown["file_count"], shown["measuring"]) == (4, 4, 2, False)


async def test_a_file_system_without_inodes(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of inodes that it reports as free is the limit. Without a report there is no limit."""
    facts = os.statvfs("/")
    values = {name: getattr(facts, name) for name in ("f_bavail", "f_frsize", "f_blocks")}
    disk = SimpleNamespace(**values, f_files=1000, f_favail=0)
    monkeypatch.setattr(quota.os, "statvfs", lambda _path: disk)
    sentence = problem(await ada.send("new"), 403, "too-many-entries")
    assert "the server's file system is full" in sentence
    disk.f_files = 0
    assert (await ada.send("new")).status_code == 201


# Handles -----------------------------------------------------------------------------------------------------------------------------


async def test_a_download_that_cannot_be_counted_leaves_no_handle(gateway: Gateway, ada: Person) -> None:
    """The database refuses: the pack file that was opened is closed."""
    ada.put("folder/x", b"x" * 10)
    pack = (await asked(ada))["id"]
    await done(ada, pack)
    owner, file = gateway.kernel.owner, ada.root / "folder.zip"
    await owner.execute("REVOKE UPDATE (fetched_at) ON jobs FROM cs_gateway")
    try:
        answer = await ada.ask("GET", f"{PACK}/{pack}/download")
    finally:
        await owner.execute("GRANT UPDATE (fetched_at) ON jobs TO cs_gateway")
    assert answer.status_code == 500
    assert open_below(file) == []
    assert (await ada.ask("GET", f"{PACK}/{pack}/download")).content == b"PK"


async def test_a_request_that_ends_while_a_file_is_opened_leaves_no_handle(tmp_path: Path, stuck: Stuck) -> None:
    """The thread cannot be stopped. A file that it opens after the request ended is closed."""
    file = tmp_path / "file"
    file.write_bytes(b"x")

    def slowly() -> int:
        stuck()
        return os.open(file, os.O_RDONLY)

    opening = asyncio.ensure_future(open_at_disk(slowly))
    await eventually(lambda: asyncio.sleep(0, stuck.waiting), bool, "the thread")
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    stuck.go.set()
    assert await at_disk(lambda: 1) == 1
    await eventually(lambda: asyncio.sleep(0, open_below(file)), lambda handles: handles == [], "the handle to be closed")
