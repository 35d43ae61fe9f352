"""Uploads: streamed, resumable, whole or not at all, within the quota. Abandoned ones are removed."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest

from services.gateway import gate
from services.gateway.files import uploads
from services.gateway.files.conflicts import Busy
from services.gateway.files.quota import Quotas
from services.gateway.files.uploads import Uploads
from services.gateway.files.workspaces import Workspaces
from services.gateway.records.config import Configuration
from services.gateway.records.store import Store
from tests.services.gateway.conftest import Gateway, problem
from tests.services.gateway.people import GIB, Person, person
from tests.support.kernel import eventually

ADDRESS = "/api/files/content"


@pytest.fixture
async def ada(gateway: Gateway) -> Person:
    return await person(gateway)


async def part(who: Person, path: str, content: bytes, start: int, total: int, **params: Any) -> httpx.Response:
    headers = {"Content-Range": f"bytes {start}-{start + len(content) - 1}/{total}"}
    return await who.ask("PUT", ADDRESS, params={"path": path, **params}, headers=headers, content=content)


async def asked(who: Person, path: str, total: int, **params: Any) -> httpx.Response:
    """Return how many bytes the upload has."""
    return await who.ask("PUT", ADDRESS, params={"path": path, **params}, headers={"Content-Range": f"bytes */{total}"})


async def test_an_upload_in_place_of_a_known_version(ada: Person) -> None:
    """If-Match and If-None-Match follow RFC 9110, at the start and when the file gets its name: 412 replaces nothing."""

    async def put(content: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await ada.ask("PUT", ADDRESS, params={"path": "x", "overwrite": "true"}, headers=named, content=content)

    problem(await put(b"0", if_match="*"), 412, "precondition-failed")
    first = await put(b"1", if_none_match="*")
    assert (first.status_code, (ada.root / "x").read_bytes()) == (201, b"1")
    assert first.headers["etag"] == (await ada.ask("HEAD", ADDRESS, params={"path": "x"})).headers["etag"]
    problem(await put(b"2", if_none_match="*"), 412, "precondition-failed")
    problem(await put(b"2", if_match='"other"'), 412, "precondition-failed")
    assert (await put(b"2", if_match=first.headers["etag"])).status_code == 201
    problem(await put(b"3", if_match=first.headers["etag"]), 412, "precondition-failed")

    async def slowly() -> AsyncIterator[bytes]:
        yield b"4"
        (ada.root / "x").write_bytes(b"somebody else's")
        yield b"4"

    etag = (await ada.ask("HEAD", ADDRESS, params={"path": "x"})).headers["etag"]
    headers = {"If-Match": etag, "Content-Range": "bytes 0-1/2"}
    late = await ada.ask("PUT", ADDRESS, params={"path": "x", "overwrite": "true"}, headers=headers, content=slowly())
    problem(late, 412, "precondition-failed")
    assert (ada.root / "x").read_bytes() == b"somebody else's"


async def test_a_move_comes_between_the_look_and_the_replacement(ada: Person, gateway: Gateway) -> None:
    """Changes of names are waited for before the check. An upload that must replace nothing replaces nothing."""
    owner, key = gateway.kernel.owner, f"names:{ada.id}"

    async def waits() -> bool:
        return bool(
            await owner.fetchval(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND objid::bigint = hashtext($1)::bigint & 4294967295", key
            )
        )

    async with owner.transaction():
        await owner.execute("SELECT pg_advisory_xact_lock_shared(hashtext($1))", key)  # held as a move holds it
        params, headers = {"path": "x", "overwrite": "true"}, {"If-None-Match": "*"}
        upload = asyncio.create_task(ada.ask("PUT", ADDRESS, params=params, headers=headers, content=b"uploaded"))
        await eventually(waits, bool, "the upload waits for the move")
        ada.put("x", b"moved")

    problem(await upload, 412, "precondition-failed")
    assert (ada.root / "x").read_bytes() == b"moved"


async def test_a_handle_is_not_let_go_while_it_is_written_to(tmp_path: Path) -> None:
    """A request that is cancelled during a write ends after the write. By then its handle's number could be another file's."""
    handle = os.open(tmp_path / "slow", os.O_WRONLY | os.O_CREAT | os.O_DSYNC)
    try:
        writing = asyncio.create_task(uploads._append(handle, 0, bytearray(32 << 20)))
        await eventually(lambda: asyncio.to_thread(lambda: os.fstat(handle).st_size), bool, "the write has begun")
        writing.cancel()
        with suppress(asyncio.CancelledError):  # a fast disk may already be done
            await writing
        assert os.fstat(handle).st_size == 32 << 20
    finally:
        os.close(handle)


async def test_the_answer_is_about_what_was_uploaded(ada: Person) -> None:
    """The file is deleted or replaced just after it had its name. The answer is still 201, with the uploaded version."""

    async def meddle() -> None:
        while True:
            await asyncio.to_thread(lambda: (ada.root / "x").unlink(missing_ok=True))

    meddling = asyncio.create_task(meddle())
    try:
        answers = [
            await ada.ask("PUT", ADDRESS, params={"path": "x", "overwrite": "true"}, content=b"x" * size) for size in range(30)
        ]
    finally:
        meddling.cancel()

    assert [answer.status_code for answer in answers] == [201] * 30, answers[-1].text
    assert [answer.headers["etag"].split("-")[1] for answer in answers] == [f"{size:x}" for size in range(30)]


async def test_a_whole_file(ada: Person) -> None:
    """It gets its name when it is complete, replaces nothing unless requested, and is in the audit log. An empty file counts too."""
    content = os.urandom(300_000)
    sent = await ada.send("Größe.bin", content)
    assert (sent.status_code, sent.json()["entry"]["size"], sent.json()["received_bytes"]) == (201, 300_000, 300_000)
    assert (ada.root / "Größe.bin").read_bytes() == content
    assert "only when that is asked for" in problem(await ada.send("Größe.bin", b"new"), 409, "conflict")
    assert (await ada.send("Größe.bin", b"new", overwrite=True)).status_code == 201
    assert (ada.root / "Größe.bin").read_bytes() == b"new"
    assert (await ada.send("empty", b"")).json()["entry"]["size"] == 0
    (ada.root / "folder").mkdir()
    (ada.root / "link").symlink_to("Größe.bin")
    for wrong, status in (
        ("folder", 409),
        ("link", 409),
        ("no/where", 404),
        ("", 400),
        ("../x", 400),
        ("link/x", 404),
        ("a//b", 400),
    ):
        assert (await ada.send(wrong, b"x", overwrite=True)).status_code == status, wrong
    assert await ada.deeds("empty") == ["file_uploaded"]
    assert (await ada.ask("GET", "/api/files/uploads")).json() == []


async def test_in_parts(ada: Person) -> None:
    """In order, each with the same total. The file is hidden until the last part. A query returns where to continue."""
    content = os.urandom(250_000)
    first = await part(ada, "f", content[:100_000], 0, 250_000)
    assert (first.status_code, first.json()["received_bytes"], first.json()["entry"]) == (202, 100_000, None)
    assert not (ada.root / "f").exists()
    gap = await part(ada, "f", content[150_000:], 150_000, 250_000)
    assert "100000" in problem(gap, 409, "wrong-offset")
    assert gap.headers["upload-offset"] == "100000"
    assert (await asked(ada, "f", 250_000)).json()["received_bytes"] == 100_000
    (listed,) = (await ada.ask("GET", "/api/files/uploads")).json()
    assert (listed["path"], listed["total_bytes"], listed["received_bytes"]) == ("f", 250_000, 100_000)
    last = await part(ada, "f", content[100_000:], 100_000, 250_000)
    assert last.status_code == 201
    assert (ada.root / "f").read_bytes() == content
    problem(await part(ada, "new", content[:5], 5, 10), 409, "wrong-offset")


async def test_another_file_of_the_name_is_not_continued(ada: Person) -> None:
    """Another length or tag starts over. So does the first part when it is sent again."""
    await part(ada, "f", b"old", 0, 6, tag="monday")
    assert (await asked(ada, "f", 6, tag="monday")).json()["received_bytes"] == 3
    assert (await asked(ada, "f", 6, tag="tuesday")).json()["received_bytes"] == 0
    problem(await part(ada, "f", b"abc", 3, 6, tag="monday"), 409, "wrong-offset")
    assert (await part(ada, "f", b"new", 0, 6, tag="tuesday")).status_code == 202
    assert (await part(ada, "f", b"NEW", 0, 6, tag="tuesday")).json()["received_bytes"] == 3
    assert (await part(ada, "f", b"est", 3, 6, tag="tuesday")).status_code == 201
    assert (ada.root / "f").read_bytes() == b"NEWest"
    assert len((await ada.ask("GET", "/api/files/uploads")).json()) == 0


async def test_a_broken_connection(gateway: Gateway, ada: Person) -> None:
    """The bytes that arrived before the connection broke are kept, and the upload continues from them."""
    where = urlsplit(gateway.url)
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"PUT {ADDRESS}?path=big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada.token}\r\nContent-Length: 3000000\r\n\r\n"
    content = os.urandom(3_000_000)
    writer.write(head.encode() + content[:2_000_000])
    await writer.drain()

    async def received() -> int:
        return int((await asked(ada, "big", 3_000_000)).json().get("received_bytes", 0))

    async def arrived() -> int:
        return int(await gateway.kernel.owner.fetchval("SELECT count(*) FROM uploads WHERE user_id = $1", ada.id))

    await eventually(arrived, lambda count: count == 1, "the upload has begun")
    writer.close()
    offset = await eventually(received, lambda seen: seen > 0, "what had arrived is known")
    assert offset <= 2_000_000
    assert (await part(ada, "big", content[offset:], offset, 3_000_000)).status_code == 201
    assert (ada.root / "big").read_bytes() == content


async def test_nobody_writes_the_same_file_twice_at_once(gateway: Gateway, ada: Person) -> None:
    """The second of two requests is refused, in any gateway. The first continues."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 10
        begun.set()
        await go_on.wait()
        yield b"y" * 10

    def begin() -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(
            ada.ask("PUT", ADDRESS, params={"path": "f"}, headers={"Content-Length": "20"}, content=slowly())
        )

    async def second() -> httpx.Response:
        return await asked(ada, "f", 20)

    first = begin()
    await asyncio.wait_for(begun.wait(), 60)
    while (await second()).status_code != 409:
        if first.done():
            assert (await first).status_code == 409, "our own question held the file"
            begun.clear()
            first = begin()
            await asyncio.wait_for(begun.wait(), 60)
    upload = (await ada.ask("GET", "/api/files/uploads")).json()[0]["upload_id"]
    problem(await ada.ask("DELETE", f"/api/files/uploads/{upload}"), 409, "conflict")
    go_on.set()
    assert (await first).status_code == 201
    assert (ada.root / "f").read_bytes() == b"x" * 10 + b"y" * 10


async def test_a_file_that_has_its_name_is_not_written_to(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second request opened the upload just before the first one gave it its name. It is refused, and the file stays whole."""
    await part(ada, "f", b"x" * 10, 0, 20)
    upload = (await ada.ask("GET", "/api/files/uploads")).json()[0]["upload_id"]
    lock = uploads.fcntl.flock

    def published(handle: int, how: int) -> None:
        (ada.root.parent / ".uploads" / upload).rename(ada.root / "f")
        lock(handle, how)

    monkeypatch.setattr(uploads.fcntl, "flock", published)
    problem(await part(ada, "f", b"y" * 10, 0, 20), 409, "conflict")
    assert (ada.root / "f").read_bytes() == b"x" * 10


async def test_a_pack_that_began_while_a_file_arrived(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that began before a pack cannot replace the pack's files: 409 when the file would get its name."""
    ada.put("source/x", b"old")
    write = Uploads._write

    async def meanwhile(*given: Any) -> int:
        assert (await ada.ask("POST", "/api/files/pack", json={"folder_path": "source"})).status_code == 201
        return await write(*given)

    monkeypatch.setattr(Uploads, "_write", meanwhile)
    problem(await ada.send("source/x", b"new", overwrite=True), 409, "conflict")
    assert (ada.root / "source/x").read_bytes() == b"old"


async def test_the_quota_is_taken_at_the_beginning(ada: Person) -> None:
    """403 with both figures before any byte is sent. Unfinished uploads count with their full size. Giving up releases it."""
    await ada.quota(1000)
    ada.put("there", b"x" * 300)
    assert (await ada.space())["user_available"] == 700
    assert "Required: 0.00 GB, Available: 0.00 GB" in problem(await asked(ada, "big", 701), 403, "not-enough-space")
    problem(await asked(ada, "huge", 5 * GIB), 403, "not-enough-space")
    assert (await part(ada, "f", b"x" * 100, 0, 600)).status_code == 202
    space = await ada.space()
    assert (space["user_available"], space["reserved_bytes"], space["used_bytes"]) == (100, 600, 300)
    problem(await ada.send("g", b"x" * 101), 403, "not-enough-space")
    upload = (await ada.ask("GET", "/api/files/uploads")).json()[0]["upload_id"]
    assert (await ada.ask("DELETE", f"/api/files/uploads/{upload}")).status_code == 204
    assert (await ada.space())["user_available"] == 700
    problem(await ada.ask("DELETE", f"/api/files/uploads/{upload}"), 404, "not-found")
    assert (await ada.send("g", b"x" * 700)).status_code == 201
    assert (await ada.space())["user_available"] == 0


async def test_uploads_are_their_owners(gateway: Gateway, ada: Person) -> None:
    """Another user can neither see them nor delete them."""
    other = await person(gateway)
    await part(ada, "f", b"x", 0, 2)
    upload = (await ada.ask("GET", "/api/files/uploads")).json()[0]["upload_id"]
    assert (await other.ask("GET", "/api/files/uploads")).json() == []
    problem(await other.ask("DELETE", f"/api/files/uploads/{upload}"), 404, "not-found")


async def test_more_or_less_than_announced(ada: Person) -> None:
    """Bytes beyond the announced part are refused. A missing length is refused. Both leave no file."""

    async def unsaid() -> AsyncIterator[bytes]:
        yield b"x" * 30

    headers = {"Content-Range": "bytes 0-9/20"}
    answer = await ada.ask("PUT", ADDRESS, params={"path": "f"}, headers=headers, content=unsaid())
    assert "announced" in problem(answer, 400, "bad-request")
    assert "Content-Length" in problem(
        await ada.ask("PUT", ADDRESS, params={"path": "f"}, content=unsaid()), 411, "length-required"
    )
    assert list(ada.root.iterdir()) == []


async def test_a_name_that_was_taken_meanwhile(ada: Person) -> None:
    """The upload is kept and nothing is replaced. It gets the name when that is allowed."""
    await part(ada, "f", b"abc", 0, 6)
    ada.put("f", b"another")
    problem(await part(ada, "f", b"def", 3, 6), 409, "conflict")
    assert (ada.root / "f").read_bytes() == b"another"
    assert (await part(ada, "f", b"def", 3, 6, overwrite=True)).status_code == 201
    assert (ada.root / "f").read_bytes() == b"abcdef"


async def test_a_slow_upload_may_take_long_but_not_stand_still(
    gateway: Gateway, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time-out applies to each piece, not to the whole. Many pieces may take longer than one; a missing piece is 408."""
    monkeypatch.setattr(gate, "BODY_SECONDS", 2.5)
    loop, moments, pauses = asyncio.get_running_loop(), 6, list[float]()

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(moments):
            began, later = loop.time(), loop.create_future()
            loop.call_later(0.5, later.set_result, None)
            await later
            pauses.append(loop.time() - began)
            yield b"x"

    async def sent() -> int:
        """Return the status of an upload whose pieces came in time. If the machine stalled for longer, send it again."""
        while True:
            pauses.clear()
            headers = {"Content-Length": str(moments)}
            answer = await ada.ask("PUT", ADDRESS, params={"path": "slow", "overwrite": "true"}, headers=headers, content=drip())
            if max(pauses) < gate.BODY_SECONDS / 2:
                return answer.status_code

    assert await sent() == 201
    where = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"PUT {ADDRESS}?path=still HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada.token}\r\nContent-Length: 100\r\n\r\nx"
    writer.write(head.encode())
    await writer.drain()
    answer = await asyncio.wait_for(reader.readline(), 60)
    writer.close()
    assert answer == b"HTTP/1.1 408 Request Timeout\r\n"


async def test_a_big_file_takes_no_memory(ada: Person) -> None:
    """64 MiB pass through, and the process grows by far less."""
    piece = os.urandom(1 << 16)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1024):
            yield piece

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    headers = {"Content-Length": str(1024 * len(piece))}
    assert (await ada.ask("PUT", ADDRESS, params={"path": "big"}, headers=headers, content=pieces())).status_code == 201
    received = 0
    async with ada.gateway.client.stream(
        "GET", ADDRESS, params={"path": "big"}, headers={"Authorization": f"Bearer {ada.token}"}
    ) as answer:
        async for chunk in answer.aiter_raw():
            received += len(chunk)
    assert received == 1024 * len(piece)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10, "kilobytes"


async def test_what_nobody_finishes_is_forgotten(gateway: Gateway, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a day the bytes and the reservation are removed. Bytes without a row go at once; a running upload stays."""
    store = Store(await gateway.kernel.db("gateway"))
    workspaces = Workspaces(gateway.storage / "workspaces")
    room = Quotas(store, Configuration(store, gateway.bus), workspaces, gateway.storage / "workspaces")
    mine = Uploads(store, room, workspaces, Busy(store))
    await part(ada, "old", b"x", 0, 2)
    await part(ada, "new", b"x", 0, 2)
    rows = {row["path"]: UUID(row["upload_id"]) for row in (await ada.ask("GET", "/api/files/uploads")).json()}
    await gateway.kernel.owner.execute(
        "UPDATE uploads SET touched_at = now() - make_interval(hours => $2) WHERE id = $1",
        rows["old"],
        int(uploads.STALE_HOURS) + 1,
    )
    arriving = gateway.storage / "workspaces/.uploads"
    orphan = arriving / "00000000-0000-4000-8000-00000000abcd"
    orphan.write_bytes(b"x")

    assert await mine.sweep() >= 2
    there = {path.name for path in arriving.iterdir()}
    assert str(rows["new"]) in there
    assert not there & {str(rows["old"]), orphan.name}
    assert [row["path"] for row in (await ada.ask("GET", "/api/files/uploads")).json()] == ["new"]
    assert await mine.sweep() == 0


async def test_one_upload_that_cannot_be_forgotten_keeps_no_other(gateway: Gateway) -> None:
    """A folder has the path of an orphan's bytes. Every other orphan is removed in the same sweep."""
    store, workspaces = Store(await gateway.kernel.db("gateway")), Workspaces(gateway.storage / "workspaces")
    room = Quotas(store, Configuration(store, gateway.bus), workspaces, gateway.storage / "workspaces")
    arriving = gateway.storage / "workspaces/.uploads"
    arriving.mkdir(exist_ok=True)
    orphans = [arriving / f"00000000-0000-4000-8000-00000000000{n}" for n in range(8)]
    for orphan in orphans:
        orphan.write_bytes(b"x")
    stuck = next(path for path in arriving.iterdir() if path in orphans)
    stuck.unlink()
    stuck.mkdir()

    await Uploads(store, room, workspaces, Busy(store)).sweep()

    assert [path for path in orphans if path.exists()] == [stuck]
    stuck.rmdir()
