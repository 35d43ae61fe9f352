"""Workspace files: list, search, download, create, move, delete; NAS folders; ownership and life of workspaces."""

import asyncio
import os
import stat
from typing import Any
from uuid import uuid4

import pytest

from services.gateway.files.downloads import content_type
from tests.services.gateway.conftest import Gateway, problem
from tests.services.gateway.people import Person, person
from tests.services.gateway.test_users import NOBODY, audited
from tests.support.kernel import eventually


@pytest.fixture
async def ada(gateway: Gateway) -> Person:
    return await person(gateway)


async def names(who: Person, **params: Any) -> list[str]:
    answer = await who.ask("GET", "/api/files", params=params)
    assert answer.status_code == 200, answer.text
    return [row["path"] for row in answer.json()]


# Browsing ----------------------------------------------------------------------------------------------------------------------------


async def test_a_folder_is_listed(ada: Person) -> None:
    """Folders first, then by name, with file sizes. Links are shown and not followed. Names that no path can hold are escaped."""
    ada.put("b.txt", b"12345")
    ada.put("Äpfel/inner.txt")
    ada.put("a.txt")
    (ada.root / "link").symlink_to("/etc")
    (ada.root / os.fsdecode(b"raw\xe9")).touch()
    (ada.root / "line\nbreak").touch()

    answer = await ada.ask("GET", "/api/files")
    rows = {row["name"]: row for row in answer.json()}
    assert list(rows) == ["Äpfel", "a.txt", "b.txt", "line\\nbreak", "link", "raw\\xe9"]
    assert (rows["b.txt"]["size"], rows["b.txt"]["type"], rows["b.txt"]["is_dir"]) == (5, "file", False)
    assert (rows["Äpfel"]["size"], rows["Äpfel"]["type"], rows["Äpfel"]["is_dir"]) == (None, "folder", True)
    assert rows["link"]["type"] == "link"
    assert [name for name, row in rows.items() if not row["reachable"]] == ["line\\nbreak", "raw\\xe9"]
    assert answer.headers["x-total-count"] == "6"
    assert await names(ada, path="Äpfel") == ["Äpfel/inner.txt"]
    assert await names(ada, path="/Äpfel/") == ["Äpfel/inner.txt"]
    for path in ("missing", "a.txt", "link", "link/passwd"):
        problem(await ada.ask("GET", "/api/files", params={"path": path}), 404, "not-found")


async def test_pages_and_orders(ada: Person) -> None:
    """By name, size, time or file ending, in both directions. A cursor visits every entry once."""
    for number in range(25):
        file = ada.put(f"{number:02}.{'ab'[number % 2]}", b"x" * (100 - number))
        os.utime(file, (1000 + number * 7 % 25, 1000 + number * 7 % 25))
    ada.put("folder/x")
    assert await names(ada, sort="size") == ["folder", *sorted((f"{n:02}.{'ab'[n % 2]}" for n in range(25)), reverse=True)]
    assert (await names(ada, sort="size", order="desc"))[1] == "00.a"
    assert (await names(ada, sort="type"))[1:3] == ["00.a", "02.a"]
    assert (await names(ada, sort="modified", order="desc"))[:2] == ["folder", "07.b"]
    assert (await names(ada, order="desc"))[:2] == ["folder", "24.a"]
    seen, cursor = [], None
    while True:
        answer = await ada.ask("GET", "/api/files", params={"limit": 10, **({"cursor": cursor} if cursor else {})})
        seen += [row["path"] for row in answer.json()]
        cursor = answer.headers.get("x-next-cursor")
        if cursor is None:
            break
    assert seen == ["folder", *(f"{n:02}.{'ab'[n % 2]}" for n in range(25))]
    assert await names(ada, limit=3, offset=25) == ["24.a"]
    problem(await ada.ask("GET", "/api/files", params={"cursor": "nonsense!"}), 400, "bad-request")


async def test_search(ada: Person) -> None:
    """Part of a name in any letter case, in this folder or in all folders below. Links are not followed."""
    for path in ("Report.txt", "a/b/old report.doc", "a/notes.txt", "a/b/REPORTS/x"):
        ada.put(path)
    (ada.root / "loop").symlink_to(".")
    assert await names(ada, q="report") == ["Report.txt"]
    found = await names(ada, q="report", recursive=True)
    assert sorted(found) == ["Report.txt", "a/b/REPORTS", "a/b/old report.doc"]
    assert await names(ada, path="a/b", q="REPORT", recursive=True) == ["a/b/REPORTS", "a/b/old report.doc"]
    assert await names(ada, q="nothing like it", recursive=True) == []


async def test_hidden_endings(gateway: Gateway, ada: Person) -> None:
    """Endings that the admin hides are left out of lists unless requested. Folders are never hidden; the files stay reachable."""
    for path in ("a.TMP", "b.txt", "folder.tmp/c.tmp"):
        ada.put(path)
    assert (await gateway.ask("PUT", "/api/config", json={"hidden_file_extensions": [".tmp"]})).status_code == 200
    try:
        assert await names(ada) == ["folder.tmp", "b.txt"]
        assert await names(ada, hidden=True) == ["folder.tmp", "a.TMP", "b.txt"]
        assert (await ada.ask("GET", "/api/files/content", params={"path": "a.TMP"})).status_code == 200
    finally:
        await gateway.ask("PUT", "/api/config", json={"reset": ["hidden_file_extensions"]})
    assert len(await names(ada)) == 3


async def test_how_much_is_in_a_folder(ada: Person) -> None:
    """`info` returns a file's facts, and the sum of everything below a folder. Links count as nothing."""
    ada.put("f/one", b"123")
    ada.put("f/deep/two", b"4567")
    (ada.root / "f/link").symlink_to("one")
    folder = (await ada.ask("GET", "/api/files/info", params={"path": "f"})).json()
    assert (folder["total_bytes"], folder["file_count"], folder["is_dir"]) == (7, 2, True)
    file = (await ada.ask("GET", "/api/files/info", params={"path": "f/one"})).json()
    assert (file["total_bytes"], file["size"], file["path"]) == (None, 3, "f/one")
    problem(await ada.ask("GET", "/api/files/info", params={"path": "f/none"}), 404, "not-found")


# Downloads ---------------------------------------------------------------------------------------------------------------------------


async def test_a_download(ada: Person) -> None:
    """Whole, in part, not at all if the version is known, refused if it differs. HEAD returns the same without the bytes."""
    content = os.urandom(700_000)
    ada.put("Größe/写真 1.bin", content)
    address, params = "/api/files/content", {"path": "Größe/写真 1.bin"}
    whole = await ada.ask("GET", address, params=params)
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["content-length"] == str(len(content))
    assert whole.headers["content-type"] == "application/octet-stream"
    assert "filename*=UTF-8''%E5%86%99%E7%9C%9F%201.bin" in whole.headers["content-disposition"]
    assert whole.headers["accept-ranges"] == "bytes"
    etag = whole.headers["etag"]

    part = await ada.ask("GET", address, params=params, headers={"Range": "bytes=300000-400000", "If-Range": etag})
    assert (part.status_code, part.content) == (206, content[300000:400001])
    assert part.headers["content-range"] == f"bytes 300000-400000/{len(content)}"
    assert (await ada.ask("GET", address, params=params, headers={"If-None-Match": etag})).status_code == 304
    problem(await ada.ask("GET", address, params=params, headers={"If-Match": '"x"'}), 412, "precondition-failed")
    behind = await ada.ask("GET", address, params=params, headers={"Range": "bytes=700000-"})
    problem(behind, 416, "range-not-satisfiable")
    assert behind.headers["content-range"] == f"bytes */{len(content)}"
    head = await ada.ask("HEAD", address, params=params)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(content)))
    head = await ada.ask("HEAD", address, params=params, headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(content))), "only a GET has ranges"

    ada.put("Größe/写真 1.bin", content[:-1])
    changed = await ada.ask("GET", address, params=params, headers={"Range": "bytes=0-9", "If-Range": etag})
    assert (changed.status_code, len(changed.content)) == (200, len(content) - 1)


async def test_a_pdf_is_shown_in_a_sandbox_and_nothing_else_is_shown(ada: Person) -> None:
    """Only `inline` shows a PDF, and a file that claims to be one gets no more rights.

    Any file that could run in the gateway's origin is downloaded.
    """
    ada.put("plan.pdf", b"%PDF-1.4")
    ada.put("page.pdf", b"<script>alert(1)</script>")
    for method, path in (("GET", "plan.pdf"), ("HEAD", "plan.pdf"), ("GET", "page.pdf")):
        address = f"/api/files/content?path={path}"
        saved, shown = await ada.ask(method, address), await ada.ask(method, f"{address}&inline=true")
        assert saved.headers["content-type"] == "application/octet-stream"
        assert saved.headers["content-disposition"].startswith("attachment; ")
        assert saved.headers["x-frame-options"] == "DENY"
        assert shown.headers["content-type"] == "application/pdf"
        assert shown.headers["content-disposition"].startswith(f'inline; filename="{path}"')
        assert shown.headers["content-security-policy"] == "default-src 'none'; sandbox; frame-ancestors 'self'"
        assert shown.headers["x-frame-options"] == "SAMEORIGIN"
        assert shown.headers["x-content-type-options"] == "nosniff"
    for name in ("a.html", "a.xhtml", "a.svg", "a.js", "a.xml", "a.txt", "a.pdf.gz", "a", "a.mhtml"):
        ada.put(name, b"<script>alert(1)</script>")
        answer = await ada.ask("GET", "/api/files/content", params={"path": name, "inline": "true"})
        assert answer.headers["content-type"] == "application/octet-stream", name
        assert answer.headers["content-disposition"].startswith("attachment; "), name
        assert (answer.headers["x-frame-options"], answer.headers["x-content-type-options"]) == ("DENY", "nosniff"), name
    ada.put("a.png", b"1")
    picture = await ada.ask("GET", "/api/files/content?path=a.png&inline=true")
    assert (picture.headers["content-type"], picture.headers["content-disposition"][:10]) == ("image/png", "attachment")


async def test_a_wish_about_the_nas_never_meets_the_workspace(ada: Person) -> None:
    """Where only workspace files are allowed, `root=nas` is refused, because the same path exists there too."""
    ada.put("Team/x", b"mine")
    ways = [("DELETE", ""), ("GET", "/info"), ("GET", "/content"), ("PUT", "/content")]
    for method, address in ways:
        params = {"path": "Team/x", "root": "nas", "overwrite": "true"}
        answer = await ada.ask(method, f"/api/files{address}", params=params, content=b"other" if method == "PUT" else None)
        assert "NAS" in problem(answer, 403, "forbidden"), method
    assert (await ada.ask("HEAD", "/api/files/content", params={"path": "Team/x", "root": "nas"})).status_code == 403
    assert (ada.root / "Team/x").read_bytes() == b"mine"


async def test_names_that_are_no_text_are_refused(ada: Person) -> None:
    """They are never mistaken for another name. A name that only resembles the service's own is listed normally."""
    for wrong in ("%ff", "a%fe", "%c0%ae%c0%ae/x", "%ed%a0%80"):
        problem(await ada.ask("PUT", f"/api/files/content?path={wrong}", content=b"x"), 400, "bad-request")
    assert list(ada.root.iterdir()) == []
    ada.put(".cs-archiver-notes", b"x")
    assert [entry["name"] for entry in (await ada.ask("GET", "/api/files")).json()] == [".cs-archiver-notes"]


async def test_what_is_no_file_is_not_downloaded(ada: Person) -> None:
    """Folders, links, pipes and missing files give 404 at once."""
    ada.put("folder/x")
    (ada.root / "link").symlink_to("folder/x")
    os.mkfifo(ada.root / "pipe")
    for path in ("folder", "link", "pipe", "none", "folder/x/y"):
        problem(await ada.ask("GET", "/api/files/content", params={"path": path}), 404, "not-found")
    problem(await ada.ask("GET", "/api/files/content", params={"path": ""}), 400, "bad-request")


def test_pages_and_scripts_are_sent_as_bytes() -> None:
    """A browser shows pictures, sound and films of a workspace, and runs none of its files."""
    assert [content_type(name) for name in ("a.jpg", "b.mp4", "c.mp3")] == ["image/jpeg", "video/mp4", "audio/mpeg"]
    assert {content_type(name) for name in ("a.html", "b.js", "c.svg", "d.txt", "e", "f.pdf")} == {"application/octet-stream"}


# Changes -----------------------------------------------------------------------------------------------------------------------------


async def test_folders_are_made(ada: Person) -> None:
    """One at a time, or with parents. A taken name gives 409. The audit log names the user."""
    made = await ada.ask("POST", "/api/files/folders", json={"path": "one"})
    assert (made.status_code, made.json()["path"], made.json()["is_dir"]) == (201, "one", True)
    assert stat.S_IMODE((ada.root / "one").stat().st_mode) == 0o700
    problem(await ada.ask("POST", "/api/files/folders", json={"path": "one"}), 409, "conflict")
    problem(await ada.ask("POST", "/api/files/folders", json={"path": "a/b/c"}), 404, "not-found")
    for _ in range(2):
        assert (await ada.ask("POST", "/api/files/folders", json={"path": "a/b/c", "parents": True})).status_code == 201
    ada.put("file")
    problem(await ada.ask("POST", "/api/files/folders", json={"path": "file", "parents": True}), 409, "conflict")
    problem(await ada.ask("POST", "/api/files/folders", json={"path": "file/x", "parents": True}), 409, "conflict")
    for wrong in ("/", "a/../b", "a//b", "x\ny", "x" * 300):
        assert (await ada.ask("POST", "/api/files/folders", json={"path": wrong})).status_code in {400, 409}, wrong
    assert await ada.deeds("a/b/c") == ["folder_made"] * 2


async def test_no_move_makes_a_link_lead_out(ada: Person) -> None:
    """Extracted deep down, `../..` stays inside. Moved up, with or without its folder, it would lead out: 409, and nothing has moved."""
    deep = ada.root / "a/b/c"
    deep.mkdir(parents=True)
    (deep / "up").symlink_to("../../x")
    (ada.root / "a/plain").symlink_to("b/c")
    for source, target in (("a/b/c/up", "up"), ("a/b/c/up", "a/up"), ("a/b/c", "c"), ("a/b", "b/../b")):
        answer = await ada.ask("POST", "/api/files/move", json={"source": source, "target": target})
        assert answer.status_code in {400, 409}, (source, target, answer.text)
    answer = await ada.ask("POST", "/api/files/move", json={"source": "a/b/c", "target": "c"})
    assert "lead out" in problem(answer, 409, "conflict")
    assert (deep / "up").is_symlink()

    for source, target in (("a/plain", "plain"), ("a/b/c", "a/c"), ("a", "z")):
        answer = await ada.ask("POST", "/api/files/move", json={"source": source, "target": target})
        assert answer.status_code == 200, (source, target, answer.text)


async def test_moves(ada: Person) -> None:
    """A move replaces nothing, except a file by a file on request. A folder moves with all its content, never into itself."""
    ada.put("a.txt", b"a")
    ada.put("b.txt", b"b")
    ada.put("folder/c.txt")

    async def move(source: str, target: str, **more: Any) -> Any:
        return await ada.ask("POST", "/api/files/move", json={"source": source, "target": target, **more})

    moved = await move("a.txt", "folder/renamed.txt")
    assert (moved.status_code, moved.json()["path"], moved.json()["size"]) == (200, "folder/renamed.txt", 1)
    assert (ada.root / "folder/renamed.txt").read_bytes() == b"a"
    problem(await move("b.txt", "folder/renamed.txt"), 409, "conflict")
    assert (await move("b.txt", "folder/renamed.txt", overwrite=True)).status_code == 200
    assert (ada.root / "folder/renamed.txt").read_bytes() == b"b"
    problem(await move("folder/renamed.txt", "folder", overwrite=True), 409, "conflict")
    problem(await move("folder", "folder/inside"), 409, "conflict")
    problem(await move("none", "x"), 404, "not-found")
    problem(await move("folder", "no/such/place"), 404, "not-found")
    (ada.root / "link").symlink_to("folder")
    assert (await move("link", "moved link")).status_code == 200
    assert (ada.root / "moved link").is_symlink()
    problem(await move("folder/c.txt", "moved link/c.txt"), 404, "not-found")
    assert (await move("folder", "place")).status_code == 200
    assert sorted(path.name for path in (ada.root / "place").iterdir()) == ["c.txt", "renamed.txt"]
    assert await ada.deeds("place") == ["file_moved"]


async def test_deletes(gateway: Gateway, ada: Person) -> None:
    """A file, an empty folder, or with `recursive` everything at once. A link is removed and its target stays. The root stays."""
    ada.put("keep/x")
    ada.put("full/deep/er/y")
    ada.put("z")
    (ada.root / "full/link").symlink_to("../keep")
    (ada.root / "empty").mkdir()

    async def delete(path: str, **more: Any) -> Any:
        return await ada.ask("DELETE", "/api/files", params={"path": path, **more})

    assert [(await delete(path)).status_code for path in ("z", "empty", "full/link")] == [204, 204, 204]
    assert "recursive" in problem(await delete("full"), 409, "conflict")
    assert (await delete("full", recursive=True)).status_code == 204
    assert [path.name for path in ada.root.iterdir()] == ["keep"]
    assert (ada.root / "keep/x").exists()
    for wrong in ("", "/", "..", "../" + str(ada.id)):
        problem(await delete(wrong, recursive=True), 400, "bad-request")
    problem(await delete("full", recursive=True), 404, "not-found")
    assert await ada.deeds("full") == ["file_deleted"]
    deleted = gateway.storage / "workspaces/.deleted"

    async def left() -> list[str]:
        return [path.name for path in deleted.iterdir()]

    await eventually(left, lambda seen: not seen, "what was deleted leaves the disk")


async def test_what_a_task_needs_stays_as_it_is(ada: Person) -> None:
    """During a pack, its folder, everything in it and its parents cannot be deleted, moved or written. Afterwards they can."""
    ada.put("top/source/x", b"x" * 10)
    ada.put("other/y")
    made = await ada.ask("POST", "/api/files/pack", json={"folder_path": "top/source"})
    assert made.status_code == 201, made.text
    for path in ("top", "top/source", "top/source/x"):
        problem(await ada.ask("DELETE", "/api/files", params={"path": path, "recursive": True}), 409, "conflict")
        problem(await ada.ask("POST", "/api/files/move", json={"source": path, "target": "elsewhere"}), 409, "conflict")
    problem(await ada.send("top/source/new"), 409, "conflict")
    problem(await ada.ask("POST", "/api/files/folders", json={"path": "top/source/new"}), 409, "conflict")
    problem(await ada.ask("POST", "/api/files/pack", json={"folder_path": "top"}), 409, "conflict")
    assert (await ada.send("top/beside")).status_code == 201
    assert (await ada.ask("DELETE", "/api/files", params={"path": "other", "recursive": True})).status_code == 204
    assert (await ada.ask("DELETE", f"/api/files/pack/{made.json()['id']}")).status_code == 200
    assert (await ada.ask("DELETE", "/api/files", params={"path": "top", "recursive": True})).status_code == 204


# The NAS -----------------------------------------------------------------------------------------------------------------------------


async def test_the_nas_is_looked_at(gateway: Gateway, ada: Person) -> None:
    """The scanner lists and searches it and never changes it. A setting decides who may browse. The service's own files are hidden."""
    folder = gateway.peers.nas / "Production" / f"{uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    (folder / "film.mov").write_bytes(b"123")
    (folder / "out").symlink_to("/etc")
    path = f"Production/{folder.name}"
    rows = (await ada.ask("GET", "/api/files", params={"root": "nas", "path": path})).json()
    assert [(row["path"], row["type"], row["size"]) for row in rows] == [
        (f"{path}/film.mov", "file", 3),
        (f"{path}/out", "link", None),
    ]
    assert await names(ada, root="nas", q="FILM", recursive=True, path="Production") == [f"{path}/film.mov"]
    assert ".cs-archiver-nas-id" not in " ".join(await names(ada, root="nas"))
    for wrong, status in (("none", 404), (f"{path}/out", 404), ("../etc", 400)):
        assert (await ada.ask("GET", "/api/files", params={"root": "nas", "path": wrong})).status_code == status
    gateway.peers.waiting = "The NAS is not mounted."
    try:
        assert "not mounted" in problem(await ada.ask("GET", "/api/files", params={"root": "nas"}), 503, "unavailable")
    finally:
        gateway.peers.waiting = None
    try:
        for setting, mine, admins in (("admins", 403, 200), ("nobody", 403, 403)):
            await gateway.ask("PUT", "/api/config", json={"nas_browsing": setting})
            assert (await ada.ask("GET", "/api/files", params={"root": "nas"})).status_code == mine
            assert (await gateway.ask("GET", "/api/files", params={"root": "nas"})).status_code == admins
            refused = await ada.ask("POST", "/api/files/pack", json={"folder_path": path, "root": "nas"})
            problem(refused, 403, "forbidden")
    finally:
        await gateway.ask("PUT", "/api/config", json={"reset": ["nas_browsing"]})


# Users and their workspaces ----------------------------------------------------------------------------------------------------------


async def test_a_user_gets_a_workspace_and_a_quota(gateway: Gateway) -> None:
    """It is created with the user, private to the service's account. The quota is the setting's, another value, or the setting's again."""
    made = await gateway.ask("POST", "/api/users", json={"username": f"new-{uuid4().hex[:6]}", "password": "a good password"})
    user_id, address = made.json()["id"], f"/api/users/{made.json()['id']}"
    root = gateway.storage / "workspaces" / user_id
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert made.json()["quota_bytes"] is None
    assert (await gateway.ask("PATCH", address, json={"quota_bytes": 5000})).json()["quota_bytes"] == 5000
    assert (await gateway.ask("PATCH", address, json={"must_change_password": False})).json()["quota_bytes"] == 5000
    row = next(row for row in (await gateway.ask("GET", "/api/workspaces")).json() if row["user_id"] == user_id)
    assert (row["quota_bytes"], row["used_bytes"], row["left_at"]) == (5000, 0, None)
    assert (await gateway.ask("PATCH", address, json={"quota_bytes": None})).json()["quota_bytes"] is None
    problem(await gateway.ask("PATCH", address, json={"quota_bytes": -1}), 400, "validation-failed")
    assert await audited(gateway, user_id) == ["user_created", "user_quota", "user_quota"]


async def test_a_deleted_user_leaves_a_workspace(gateway: Gateway) -> None:
    """It is kept and its tasks are cancelled. Only an admin sees and removes it. Unfinished uploads are dropped."""
    gone, other = await person(gateway), await person(gateway)
    gone.put("folder/x", b"12345")
    await gone.ask("PUT", "/api/files/content", params={"path": "half"}, headers={"Content-Range": "bytes 0-1/10"}, content=b"ab")
    pack = (await gone.ask("POST", "/api/files/pack", json={"folder_path": "folder"})).json()
    problem(await gateway.ask("DELETE", f"/api/workspaces/{gone.id}"), 409, "conflict")
    assert (await gateway.ask("DELETE", f"/api/users/{gone.id}")).status_code == 204
    assert (gone.root / "folder/x").exists()

    async def status() -> str:
        return str(await gateway.kernel.owner.fetchval("SELECT status FROM jobs WHERE id = $1::text::uuid", pack["id"]))

    await eventually(status, lambda seen: seen == "cancelled", "the deleted user's pack is cancelled")
    row = next(row for row in (await gateway.ask("GET", "/api/workspaces")).json() if row["user_id"] == str(gone.id))
    assert (row["used_bytes"], row["file_count"]) == (5, 1)
    assert row["left_at"]
    assert row["username"].startswith("user-")
    assert await gateway.kernel.owner.fetchval("SELECT count(*) FROM uploads WHERE user_id = $1", gone.id) == 0
    problem(await other.ask("DELETE", f"/api/workspaces/{gone.id}"), 403, "forbidden")
    assert (await gateway.ask("DELETE", f"/api/workspaces/{gone.id}")).status_code == 204
    assert not gone.root.exists()
    problem(await gateway.ask("DELETE", f"/api/workspaces/{gone.id}"), 404, "not-found")
    problem(await gateway.ask("DELETE", f"/api/workspaces/{NOBODY}"), 404, "not-found")
    assert "workspace_removed" in await audited(gateway, gone.id)


async def test_workspaces_are_apart(gateway: Gateway) -> None:
    """A user cannot see, fetch, move or delete another's files under any name. Two users may have the same names."""
    first, second = await person(gateway), await person(gateway)
    first.put("secret.txt", b"mine")
    second.put("own.txt")
    assert await names(second) == ["own.txt"]
    for path in ("secret.txt", f"{first.id}/secret.txt"):
        problem(await second.ask("GET", "/api/files/content", params={"path": path}), 404, "not-found")
    for path in (f"../{first.id}/secret.txt", f"own/../../{first.id}/secret.txt"):
        problem(await second.ask("GET", "/api/files/content", params={"path": path}), 400, "bad-request")
    assert (await second.send("secret.txt", b"other")).status_code == 201
    assert (first.root / "secret.txt").read_bytes() == b"mine"
    seen = await asyncio.gather(*(who.ask("GET", "/api/files/content", params={"path": "secret.txt"}) for who in (first, second)))
    assert [answer.content for answer in seen] == [b"mine", b"other"]
