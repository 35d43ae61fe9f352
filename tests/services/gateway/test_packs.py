"""Packs over REST: fields, errors, texts; space reserved exactly once; ownership.

No compressor runs here: its records are written past the guard. docs/files.md lists the behaviour of packs, with the test of
each line.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.auth.limits import Limits
from services.gateway.files import packs
from services.gateway.files.conflicts import Busy
from services.gateway.files.packs import Packs
from services.gateway.files.quota import Quotas
from services.gateway.files.uploads import Target, Uploads
from services.gateway.files.workspaces import Workspaces
from services.gateway.http.http_errors import ProblemError
from services.gateway.http.ranges import Sent
from services.gateway.jobs.jobs import Jobs
from services.gateway.jobs.peers import Peers
from services.gateway.records.audit import Actor
from services.gateway.records.config import Configuration
from services.gateway.records.identity import Claims, Identity
from services.gateway.records.store import Store
from services.gateway.schemas.files import PackRequested
from shared.infra.runtime_settings import RuntimeSettings
from tests.services.gateway.conftest import Gateway, problem
from tests.services.gateway.people import GIB, Person, person
from tests.services.gateway.test_users import NOBODY
from tests.support.kernel import eventually

PACK = "/api/files/pack"
PACK_FIELDS = {
    *("id", "owner_id", "folder_path", "folder_size", "reserved_space", "output_path", "output_size", "status", "progress"),
    *("error_message", "created_at", "updated_at"),
}


@pytest.fixture
async def ada(gateway: Gateway) -> Person:
    return await person(gateway)


async def asked(who: Person, path: str = "folder", **more: Any) -> dict[str, Any]:
    answer = await who.ask("POST", PACK, json={"folder_path": path, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def done(who: Person, pack: str, name: str = "folder.zip", content: bytes = b"PK") -> None:
    """Record a finished pack as the compressor does."""
    who.put(name, content)
    result = {
        "output_path": name, "format": "zip", "original_size": 10, "compressed_size": len(content), "compression_ratio": 80.0,
        "file_count": 1, "seconds": 1.0, "mb_per_s": 1.0,
    }  # fmt: skip
    kernel = who.gateway.kernel
    await kernel.force(UUID(pack), status="completed", progress_percent=100)
    await kernel.owner.execute("UPDATE jobs SET completed_at = now() WHERE id = $1", UUID(pack))
    async with kernel.owner.transaction():
        await kernel.owner.execute("SET LOCAL session_replication_role = replica")
        await kernel.owner.execute("UPDATE jobs SET result = $2::jsonb WHERE id = $1", UUID(pack), _json(result))
    await kernel.owner.execute("DELETE FROM reservations WHERE job_id = $1", UUID(pack))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# Requesting --------------------------------------------------------------------------------------------------------------------------


async def test_create_pack_task_success(gateway: Gateway, ada: Person) -> None:
    """201 with every promised field, pending, its space reserved in the ledger. The folder will be deleted unless requested otherwise."""
    ada.put("Ordner/Größe/a.txt", b"x" * 700)
    ada.put("Ordner/Größe/b/c.txt", b"y" * 300)
    answer = await ada.ask("POST", PACK, json={"folder_path": "Ordner/Größe"})
    pack = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{PACK}/{pack['id']}")
    assert pack.keys() >= PACK_FIELDS
    assert (pack["owner_id"], pack["folder_path"], pack["folder_size"]) == (str(ada.id), "Ordner/Größe", 1000)
    assert (pack["reserved_space"], pack["status"], pack["progress"]) == (1000, "pending", 0)
    assert (pack["output_path"], pack["output_size"], pack["error_message"]) == (None, None, None)
    assert (pack["keep_source"], pack["format"], pack["compression_level"]) == (False, "zip", 5)
    row = await gateway.kernel.row(UUID(pack["id"]))
    assert (row["kind"], row["source_path"], row["folder_name"], row["keep_source"]) == ("pack", "/Ordner/Größe", "Größe", False)
    reserved = await gateway.kernel.owner.fetchrow("SELECT * FROM reservations WHERE job_id = $1", row["id"])
    assert (reserved["bytes"], reserved["written"], reserved["filesystem"]) == (1000, 0, "test:workspaces")
    assert await ada.deeds(pack["id"]) == ["pack_create"]
    assert (await ada.ask("GET", f"{PACK}/{pack['id']}")).json() == pack


async def test_pack_that_keeps_its_source(gateway: Gateway, ada: Person) -> None:
    """On request, a workspace folder stays. A NAS folder always stays, whatever the request says."""
    ada.put("folder/x")
    assert (await asked(ada, keep_source=True))["keep_source"] is True
    (gateway.peers.nas / "Shared").mkdir(exist_ok=True)
    (gateway.peers.nas / "Shared" / "film").write_bytes(b"12345")
    pack = await asked(ada, "Shared", root="nas")
    assert (pack["keep_source"], pack["root"], pack["folder_size"], pack["reserved_space"]) == (True, "nas", 5, 5)
    problem(await ada.ask("POST", PACK, json={"folder_path": "Nothing", "root": "nas"}), 404, "not-found")


async def test_create_pack_task_not_folder(ada: Person) -> None:
    """404: missing. 400: a file, a link, an empty folder (total size 0), the top folder, an invalid path. 401 before all."""
    ada.put("file")
    (ada.root / "empty/deep").mkdir(parents=True)
    ada.put("zero/bytes", b"")
    (ada.root / "link").symlink_to("/etc")
    for path, status, words in (
        ("missing", 404, "Folder not found"),
        ("file/x", 404, "Folder not found"),
        ("file", 400, "Path is not a folder"),
        ("link", 400, "Path is not a folder"),
        ("empty", 400, "Folder is empty"),
        ("zero", 400, "Folder is empty"),
        ("/", 400, "top folder"),
        ("../x", 400, "path"),
    ):
        answer = await ada.ask("POST", PACK, json={"folder_path": path})
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert (await ada.gateway.ask("POST", PACK, token="", json={"folder_path": "file"})).status_code == 401


async def test_create_pack_task_not_enough_space(gateway: Gateway, ada: Person) -> None:
    """403 with both figures in GB if the quota or the server's disk has less than the folder's size. Nothing is reserved."""
    with (ada.root / "placeholder").open("wb") as sparse:
        sparse.truncate(3 * GIB)
    (ada.root / "folder").mkdir()
    (ada.root / "placeholder").rename(ada.root / "folder/big")
    await ada.quota(5 * GIB)
    sentence = problem(await ada.ask("POST", PACK, json={"folder_path": "folder"}), 403, "not-enough-space")
    assert sentence == "Not enough space. Required: 3.00 GB, Available: 2.00 GB (3,221,225,472 and 2,147,483,648 bytes)."
    await ada.quota(7 * GIB)
    await gateway.ask("PUT", "/api/config", json={"min_free_disk": 1 << 60})
    try:
        sentence = problem(await ada.ask("POST", PACK, json={"folder_path": "folder"}), 403, "not-enough-space")
        assert "Available: 0.00 GB" in sentence
        assert (await ada.space())["server_available"] == 0
    finally:
        await gateway.ask("PUT", "/api/config", json={"reset": ["min_free_disk"]})
    assert (await ada.ask("GET", PACK)).json() == []
    await gateway.ask("PUT", "/api/config", json={"max_task_size": GIB})
    try:
        assert "at most" in problem(await ada.ask("POST", PACK, json={"folder_path": "folder"}), 400, "bad-request")
    finally:
        await gateway.ask("PUT", "/api/config", json={"reset": ["max_task_size"]})


async def test_while_the_ledger_is_not_there(gateway: Gateway, ada: Person) -> None:
    """503 with a sentence until a compressor has reported the location of the workspaces."""
    ada.put("folder/x")
    await gateway.kernel.owner.execute("DELETE FROM storage_places")
    try:
        for answer in (
            await ada.ask("POST", PACK, json={"folder_path": "folder"}),
            await ada.ask("GET", f"{PACK}/available-space"),
        ):
            assert "compressor" in problem(answer, 503, "unavailable")
    finally:
        await gateway.kernel.owner.execute("INSERT INTO storage_places VALUES ('workspaces', 'test:workspaces')")


async def test_calculate_folder_size(ada: Person) -> None:
    """The sum of the lengths of all regular files at any depth. Links and folders count as nothing."""
    for path, size in (("folder/a", 10), ("folder/b/c", 200), ("folder/b/d/e", 3000)):
        ada.put(path, b"x" * size)
    (ada.root / "folder/link").symlink_to("a")
    deep = "folder/" + "d/" * 300 + "f"
    ada.put(deep, b"x" * 40000)
    assert (await asked(ada))["folder_size"] == 43210


async def test_get_reserved_space(ada: Person) -> None:
    """The reservations of several packs add up. Ended packs no longer count."""
    await ada.quota(10_000)
    packs = []
    for name in ("one", "two", "three"):
        ada.put(f"{name}/x", b"x" * 1000)
    for count, name in enumerate(("one", "two", "three"), 1):
        packs.append(await asked(ada, name))
        space = await ada.space()
        assert (space["reserved_bytes"], space["user_available"]) == (count * 1000, 7000 - count * 1000)
    await done(ada, packs[0]["id"], content=b"x" * 500)
    space = await ada.space()
    assert (space["reserved_bytes"], space["used_bytes"], space["user_available"]) == (2000, 3500, 4500)


async def test_get_server_available_space(gateway: Gateway, ada: Person) -> None:
    """The disk's free space minus all reservations and the reserve. Bytes that a job reports as written count as used."""
    workspaces = Workspaces(gateway.storage / "workspaces")
    store = Store(await gateway.kernel.db("gateway"))
    room = Quotas(store, Configuration(store, gateway.bus, {}), workspaces, gateway.storage, lambda _: 100 * GIB)
    before = await room.available(ada.id)
    other = await person(gateway)
    other.put("folder/x", b"x" * 5000)
    pack = await asked(other)
    assert (await room.available(ada.id)).server == before.server - 5000
    await gateway.kernel.owner.execute("UPDATE reservations SET written = 2000 WHERE job_id = $1", UUID(pack["id"]))
    assert (await room.available(ada.id)).server == before.server - 3000
    assert before.user == before.server, "the quota is larger than this disk"
    assert (await room.available(other.id)).reserved == 5000, "the quota has all of it until the archive is in the workspace"


async def test_pack_format_config_and_compression_level_bounds(gateway: Gateway, ada: Person) -> None:
    """The admin's settings apply to new packs, with levels clamped to 1 to 9. Other formats are refused. A request may choose its own."""
    for name in ("a", "b", "c"):
        ada.put(f"{name}/x")
    try:
        for given, kept in ((0, 1), (12, 9), (7, 7)):
            answer = await gateway.ask("PUT", "/api/config", json={"pack_format": "7z", "pack_compression_level": given})
            assert (answer.json()["pack_format"], answer.json()["pack_compression_level"]) == ("7z", kept)
        assert (await gateway.ask("PUT", "/api/config", json={"pack_format": "rar"})).status_code == 400
        pack = await asked(ada, "a")
        assert (pack["format"], pack["compression_level"]) == ("7z", 7)
        pack = await asked(ada, "b", format="zip", compression_level=1)
        assert (pack["format"], pack["compression_level"]) == ("zip", 1)
        problem(await ada.ask("POST", PACK, json={"folder_path": "c", "compression_level": 10}), 400, "validation-failed")
    finally:
        await gateway.ask("PUT", "/api/config", json={"reset": ["pack_format", "pack_compression_level"]})
    assert (await asked(ada, "c"))["format"] == "zip"


# Viewing, cancelling, downloading ----------------------------------------------------------------------------------------------------


async def test_packs_are_listed(ada: Person) -> None:
    """Newest first, page by page. `available-space` is no pack's id."""
    made = []
    for number in range(5):
        ada.put(f"f{number}/x")
        made.append((await asked(ada, f"f{number}"))["id"])
    listed = await ada.ask("GET", PACK)
    assert [pack["id"] for pack in listed.json()] == made[::-1]
    assert listed.headers["x-total-count"] == "5"
    first = await ada.ask("GET", PACK, params={"limit": 2})
    rest = await ada.ask("GET", PACK, params={"limit": 10, "cursor": first.headers["x-next-cursor"]})
    assert [pack["id"] for pack in (*first.json(), *rest.json())] == made[::-1]
    assert "x-next-cursor" not in rest.headers
    assert (await ada.ask("GET", f"{PACK}/available-space")).json().keys() >= {"user_available", "server_available"}
    problem(await ada.ask("GET", f"{PACK}/{NOBODY}"), 404, "not-found")
    problem(await ada.ask("GET", f"{PACK}/1"), 404, "not-found")


async def test_a_cancel_answers_when_nothing_is_left(gateway: Gateway, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """DELETE answers once a running pack has ended and released its space. A pack that completed meanwhile gives 400."""
    monkeypatch.setattr(packs, "CANCEL_SECONDS", 60.0)
    ada.put("folder/x")
    owner = gateway.kernel.owner

    async def running() -> UUID:
        job = UUID((await asked(ada))["id"])
        await gateway.kernel.force(job, status="running")
        await owner.execute("UPDATE jobs SET lease_owner = 'c', lease_until = now() + interval '1 hour' WHERE id = $1", job)
        return job

    async def ends(job: UUID, status: str) -> None:
        query = "SELECT cancel_requested_by IS NOT NULL FROM jobs WHERE id = $1"
        await eventually(lambda: owner.fetchval(query, job), bool, "the wish to cancel")
        await gateway.kernel.force(job, status=status, cancel_requested_by=None)
        await owner.execute("DELETE FROM reservations WHERE job_id = $1", job)

    job = await running()
    answer, _ = await asyncio.gather(ada.ask("DELETE", f"{PACK}/{job}"), ends(job, "cancelled"))
    shown = (await ada.ask("GET", f"{PACK}/{job}")).json()
    assert (answer.status_code, shown["status"], shown["reserved_space"]) == (200, "cancelled", 0)
    job = await running()
    answer, _ = await asyncio.gather(ada.ask("DELETE", f"{PACK}/{job}"), ends(job, "completed"))
    problem(answer, 400, "bad-request")


async def test_cancel_pack_task(gateway: Gateway, ada: Person) -> None:
    """At once while it waits. A running pack is asked to stop. 400 if it has ended; 409 while its folder is being deleted."""
    ada.put("folder/x")
    pack = await asked(ada)
    answer = await ada.ask("DELETE", f"{PACK}/{pack['id']}")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "message": "Task cancelled"})
    shown = (await ada.ask("GET", f"{PACK}/{pack['id']}")).json()
    assert (shown["status"], shown["cancelling"]) == ("cancelled", False)
    assert (ada.root / "folder/x").exists()
    cleanup = await gateway.kernel.owner.fetchval("SELECT role FROM cleanups WHERE job_id = $1", UUID(pack["id"]))
    assert cleanup == "compressor", "the reservation ends with the clean-up"
    problem(await ada.ask("DELETE", f"{PACK}/{pack['id']}"), 400, "bad-request")
    problem(await ada.ask("DELETE", f"{PACK}/{NOBODY}"), 404, "not-found")

    running = await asked(ada)
    await gateway.kernel.owner.execute(
        "UPDATE jobs SET lease_owner = 'c', lease_until = now() + interval '1 hour' WHERE id = $1", UUID(running["id"])
    )
    await gateway.kernel.force(UUID(running["id"]), status="running", progress_percent=30)
    assert (await ada.ask("GET", f"{PACK}/{running['id']}")).json()["status"] == "packing"
    assert (await ada.ask("DELETE", f"{PACK}/{running['id']}")).status_code == 200, "it takes its time"
    shown = (await ada.ask("GET", f"{PACK}/{running['id']}")).json()
    assert (shown["status"], shown["cancelling"]) == ("packing", True)
    await gateway.kernel.force(UUID(running["id"]), status="deleting_source", cancel_requested_by=None)
    assert (await ada.ask("GET", f"{PACK}/{running['id']}")).json()["status"] == "packing"
    problem(await ada.ask("DELETE", f"{PACK}/{running['id']}"), 409, "conflict")
    await gateway.kernel.force(UUID(running["id"]), status="failed", error_message="It broke.")
    shown = (await ada.ask("GET", f"{PACK}/{running['id']}")).json()
    assert (shown["status"], shown["error_message"]) == ("failed", "It broke.")
    problem(await ada.ask("DELETE", f"{PACK}/{running['id']}"), 400, "bad-request")


async def test_progress_moves_updated_at(gateway: Gateway, ada: Person) -> None:
    """`updated_at` moves with each figure that the compressor records, and with the end."""
    kernel = gateway.kernel
    ada.put("folder/x", b"x")
    pack = await asked(ada)
    job = UUID(pack["id"])
    await kernel.force(job, status="running", lease_owner="c", attempt=1)
    seen = [pack]
    for percent in (30, 60):
        await (await kernel.db("compressor")).run(
            "progress",
            job_id=job,
            attempt=1,
            progress_percent=percent,
            stage_percent=percent,
            operation="Packing",
            bytes_done=percent,
            bytes_total=100,
            bytes_per_second=None,
            eta_seconds=None,
        )
        seen.append((await ada.ask("GET", f"{PACK}/{job}")).json())
    await kernel.force(job, status="completed", status_since=datetime.now(UTC))
    seen.append((await ada.ask("GET", f"{PACK}/{job}")).json())

    assert [one["progress"] for one in seen] == [0, 30, 60, 60]
    moments = [one["updated_at"] for one in seen]
    assert moments == sorted(set(moments))


async def test_download_pack_result(gateway: Gateway, ada: Person) -> None:
    """400 until it is done. Then the archive, whole or in part, counted as one download. 404 if the file is missing or differs."""
    ada.put("Größe/x", b"x" * 10)
    pack = await asked(ada, "Größe")
    address = f"{PACK}/{pack['id']}/download"
    assert problem(await ada.ask("GET", address), 400, "bad-request") == "Pack task not completed."
    await done(ada, pack["id"], "Größe.zip", b"PK0123456789")
    shown = (await ada.ask("GET", f"{PACK}/{pack['id']}")).json()
    assert (shown["status"], shown["output_path"], shown["output_size"], shown["progress"]) == ("done", "Größe.zip", 12, 100)
    assert (shown["reserved_space"], shown["fetched_at"]) == (0, None)
    head = await ada.ask("HEAD", address)
    assert (head.status_code, head.headers["content-length"]) == (200, "12")
    counted = await gateway.kernel.owner.fetchval("SELECT count(*) FROM jobs WHERE fetched_at IS NOT NULL")

    answer = await ada.ask("GET", address)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (
        200,
        b"PK0123456789",
        "application/octet-stream",
    )
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe.zip" in answer.headers["content-disposition"]
    part = await ada.ask("GET", address, headers={"Range": "bytes=2-3"})
    assert (part.status_code, part.content) == (206, b"01")
    fetched = await gateway.kernel.owner.fetchval("SELECT count(*) FROM jobs WHERE fetched_at IS NOT NULL")
    assert fetched == counted + 1, "total_downloads counts packs that were fetched"
    assert (await ada.ask("GET", f"{PACK}/{pack['id']}")).json()["fetched_at"]

    ada.put("Größe.zip", b"something else")
    assert problem(await ada.ask("GET", address), 404, "not-found") == "Pack file not found."
    (ada.root / "Größe.zip").unlink()
    problem(await ada.ask("GET", address), 404, "not-found")
    (ada.root / "Größe.zip").symlink_to("/etc/passwd")
    problem(await ada.ask("GET", address), 404, "not-found")
    problem(await ada.ask("GET", f"{PACK}/{NOBODY}/download"), 404, "not-found")


async def test_the_archive_stays_while_its_folder_is_deleted(gateway: Gateway, ada: Person) -> None:
    """Until the folder is gone, nobody can delete, move or replace the archive. Afterwards they can."""
    ada.put("folder/x", b"x" * 10)
    ada.put("other", b"other")
    pack = (await asked(ada))["id"]
    await done(ada, pack)
    await gateway.kernel.force(UUID(pack), status="deleting_source", completed_at=None)
    problem(await ada.ask("DELETE", "/api/files", params={"path": "folder.zip"}), 409, "conflict")
    for source, target in (("folder.zip", "else.zip"), ("other", "folder.zip")):
        moved = {"source": source, "target": target, "overwrite": True}
        problem(await ada.ask("POST", "/api/files/move", json=moved), 409, "conflict")
    problem(await ada.send("folder.zip", b"new", overwrite=True), 409, "conflict")
    assert (ada.root / "folder.zip").read_bytes() == b"PK"
    await done(ada, pack)
    assert (await ada.ask("DELETE", "/api/files", params={"path": "folder.zip"})).status_code == 204


async def test_when_a_pack_expires(gateway: Gateway, ada: Person) -> None:
    """With a retention, a pack that kept its source shows its expiry. A pack that deleted it is the only copy and never expires."""
    for name in ("kept", "gone"):
        ada.put(f"{name}/x")
    kept, gone = await asked(ada, "kept", keep_source=True), await asked(ada, "gone")
    await done(ada, kept["id"], "kept.zip")
    await done(ada, gone["id"], "gone.zip")
    await gateway.ask("PUT", "/api/config", json={"pack_retention_days": 3})
    try:
        shown = {pack["id"]: pack["expires_at"] for pack in (await ada.ask("GET", PACK)).json()}
    finally:
        await gateway.ask("PUT", "/api/config", json={"reset": ["pack_retention_days"]})
    assert shown[kept["id"]]
    assert shown[gone["id"]] is None


async def test_user_isolation(gateway: Gateway, ada: Person) -> None:
    """No user sees, cancels or downloads another's pack (404 hides its existence). An admin may."""
    other, admin = await person(gateway), await person(gateway, admin=True)
    ada.put("folder/x", b"x" * 10)
    pack = await asked(ada)
    await done(ada, pack["id"])
    for method, address in (("GET", ""), ("DELETE", ""), ("GET", "/download")):
        problem(await other.ask(method, f"{PACK}/{pack['id']}{address}"), 404, "not-found")
    assert (await other.ask("GET", PACK)).json() == []
    problem(await other.ask("POST", PACK, json={"folder_path": "folder"}), 404, "not-found")
    assert (await admin.ask("GET", f"{PACK}/{pack['id']}")).json()["owner_id"] == str(ada.id)
    assert (await admin.ask("GET", f"{PACK}/{pack['id']}/download")).content == b"PK"


# Races -------------------------------------------------------------------------------------------------------------------------------

ROUNDS = 200


class Rivals:
    """Two users on a disk of exactly `capacity` bytes, with the real reservation code of packs and uploads."""

    def __init__(self, gateway: Gateway, store: Store, capacity: int) -> None:
        root = gateway.storage / "workspaces"
        workspaces, self.gateway = Workspaces(root), gateway
        configuration = Configuration(store, gateway.bus, {"MIN_FREE_SPACE_GB": "0"})
        self.taken = 0
        self.room = Quotas(store, configuration, workspaces, Path(root), lambda _: capacity + self.taken)
        limits = Limits(RuntimeSettings())
        jobs = Jobs(store, Peers(gateway.bus), "/nas", limits)
        self.packs = Packs(store, configuration, workspaces, Peers(gateway.bus), self.room, jobs, limits)
        self.uploads = Uploads(store, self.room, workspaces, Busy(store))

    async def promised(self) -> int:
        return int(await self.gateway.kernel.owner.fetchval("SELECT unwritten_bytes('test:workspaces', NULL)"))

    async def pack(self, who: Identity) -> bool:
        return await self._got(self.packs.create(who, PackRequested(folder_path="folder")))

    async def upload(self, who: Identity) -> bool:
        async def nothing() -> Any:
            return
            yield b""

        return await self._got(self.uploads.receive(who, Target("f"), Sent(0, 0, 1000, asks=True), nothing()))

    async def _got(self, asking: Any) -> bool:
        try:
            await asking
        except ProblemError as exc:
            if exc.kind != "not-enough-space":
                raise
            return False
        return True


def identity(who: Person) -> Identity:
    claims = Claims(who.id, who.id, 0, 1 << 31)
    return Identity(who.id, "racer", is_admin=False, must_change_password=False, claims=claims)


async def test_two_users_race_for_the_last_space(gateway: Gateway) -> None:
    """200 rounds of packs and uploads: room for one of two, and exactly one gets it. Reservations never exceed the disk."""
    owner = gateway.kernel.owner
    store = Store(await gateway.kernel.db("gateway"))
    rivals = Rivals(gateway, store, 1500)
    people = [await person(gateway), await person(gateway)]
    for one in people:
        one.put("folder/x", b"x" * 1000)
    who = [identity(one) for one in people]
    assert who[0].actor == Actor("racer", people[0].id, "login")
    rivals.taken = await rivals.promised()
    for number in range(ROUNDS):
        first, second = (rivals.pack, rivals.upload) if number % 2 else (rivals.pack, rivals.pack)
        got = await asyncio.gather(first(who[0]), second(who[1]))
        promised = await rivals.promised() - rivals.taken
        assert promised <= 1500, f"round {number}: {promised} bytes promised"
        assert sorted(got) == [False, True], f"round {number}: {got}"
        mine = [one.id for one in people]
        await owner.execute("DELETE FROM uploads WHERE user_id = ANY($1)", mine)
        await owner.execute("DELETE FROM reservations r USING jobs j WHERE j.id = r.job_id AND j.created_by_id = ANY($1)", mine)
        async with owner.transaction():
            await owner.execute("SET LOCAL session_replication_role = replica")
            await owner.execute("UPDATE jobs SET status = 'cancelled' WHERE created_by_id = ANY($1)", mine)


async def test_one_user_races_for_the_rest_of_the_quota(gateway: Gateway, ada: Person) -> None:
    """Ten requests at once, room for three: exactly three succeed."""
    ada.put("there", b"x" * 700)
    for number in range(10):
        ada.put(f"f{number}/x", b"x" * 10)
    await ada.quota(700 + 100 + 3 * 10)
    answers = await asyncio.gather(*(ada.ask("POST", PACK, json={"folder_path": f"f{number}"}) for number in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [403] * 7
    assert (await ada.space())["user_available"] == 0
