"""The commands `files` and `pack` as users run them, against the real gateway."""

import asyncio
import os
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from cli.exits import Exit
from tests.cli.runner import Cli, Result
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.people import Person, person
from tests.services.gateway.test_packs import PACK_FIELDS, done
from tests.support.kernel import eventually


class Shell:
    """A user's command line. Each command runs in a thread, because the gateway runs in this process."""

    def __init__(self, who: Person, home: Path) -> None:
        self.cli = Cli(home, who.gateway.url)
        self.cli.store_login("somebody", who.token)

    async def run(self, *args: str) -> Result:
        return await asyncio.to_thread(self.cli.run, *args)


@pytest.fixture
async def ada(gateway: Gateway) -> Person:
    return await person(gateway)


@pytest.fixture
def shell(ada: Person, tmp_path: Path) -> Shell:
    return Shell(ada, tmp_path)


async def test_auto_archive_from_the_shell(ada: Person, shell: Shell) -> None:
    """On and off, for the workspace and for folders. The last problem is shown."""
    assert (await shell.run("files", "auto")).out == "No zip is made of what arrives.\n"
    assert (await shell.run("files", "auto", "on", "inbox/")).out == "A zip is made of what arrives in inbox.\n"
    assert (await shell.run("files", "auto", "on", "films")).out == "A zip is made of what arrives in inbox, films.\n"
    assert (await shell.run("files", "auto", "off", "inbox", "--json")).json()["folders"] == ["films"]
    assert (await shell.run("files", "auto", "on")).out == "A zip is made of what arrives in the whole workspace.\n"
    await ada.gateway.kernel.owner.execute("UPDATE auto_archive SET problem = 'No zip was made.' WHERE user_id = $1", ada.id)
    assert "No zip was made." in (await shell.run("files", "auto")).err
    assert (await shell.run("files", "auto", "off")).out == "No zip is made of what arrives.\n"
    wrong = await shell.run("files", "auto", "maybe")
    assert (wrong.code, "on or off" in wrong.err) == (Exit.USAGE, True)


async def test_files(ada: Person, shell: Shell, tmp_path: Path) -> None:
    """Put, list, search, move, get, delete. Piped output is plain text; --json gives one document; exit codes follow the error."""
    content = os.urandom(200_000)
    (tmp_path / "Größe.bin").write_bytes(content)
    assert (await shell.run("files", "mkdir", "a/b", "-r", "--json")).json()["path"] == "a/b"
    put = await shell.run("files", "put", "Größe.bin", "a/b/")
    assert (put.code, "Uploaded: a/b/Größe.bin" in put.err, "100 %" in put.err) == (Exit.OK, True, True), put
    assert (ada.root / "a/b/Größe.bin").read_bytes() == content
    listed = await shell.run("files", "ls", "a/b")
    assert listed.out.splitlines()[0].split("\t") == ["NAME", "SIZE", "MODIFIED", "TYPE"]
    assert listed.out.splitlines()[1].startswith("Größe.bin\t195.31 KB\t")
    assert (await shell.run("files", "ls", "-r", "-q", "GRÖ", "--json")).json()[0]["path"] == "a/b/Größe.bin"
    assert (await shell.run("files", "put", "Größe.bin", "a/b/")).code == Exit.CONFLICT
    assert (await shell.run("files", "put", "Größe.bin", "a/b/", "--overwrite", "--json")).json()["entry"]["size"] == 200_000
    assert (await shell.run("files", "mv", "a/b/Größe.bin", "moved")).code == Exit.OK
    got = await shell.run("files", "get", "moved", "here.bin")
    assert (got.code, (tmp_path / "here.bin").read_bytes()) == (Exit.OK, content), got
    assert (await shell.run("files", "get", "moved", "here.bin")).code == Exit.CONFLICT
    ada.put("empty", b"")
    assert (await shell.run("files", "get", "empty", "--json")).json()["size"] == 0
    assert (await shell.run("files", "get", "none")).code == Exit.NOT_FOUND
    folder = await shell.run("files", "get", "a")
    assert (folder.code, "pack it" in folder.err) == (Exit.NOT_FOUND, True)
    wrong = await shell.run("files", "rm", "--nas", "moved")
    assert (wrong.code, "--nas" in wrong.err, (ada.root / "moved").exists()) == (Exit.USAGE, True, True), (
        "never another place's file"
    )
    assert (await shell.run("files", "put", "nothing-here")).code == Exit.USAGE
    full = await shell.run("files", "rm", "a")
    assert (full.code, "say --recursive to delete all" in full.err) == (Exit.CONFLICT, True), "as the option is spelled"
    assert (await shell.run("files", "rm", "a", "-r")).code == Exit.OK
    assert not (ada.root / "a").exists()
    assert (await shell.run("files", "fly")).code == Exit.USAGE
    assert (await shell.run("files", "mv", "one")).code == Exit.USAGE
    assert sorted(path.name for path in tmp_path.iterdir()) == [".config", "Größe.bin", "empty", "here.bin"]


async def test_moving_into_a_folder(ada: Person, shell: Shell) -> None:
    """As with `mv`, `dir/` and an existing folder take the file under its name. Hints spell the options correctly."""
    ada.put("dir/x", b"x")
    ada.put("deep/dir/x", b"x")
    for name, target, found in (
        ("a", "dir/", "dir/a"),
        ("b", "dir", "dir/b"),
        ("c", "./dir/new", "dir/new"),
        ("./d", "/deep/dir/", "deep/dir/d"),
    ):
        ada.put(name.removeprefix("./"), name.encode())
        assert (await shell.run("files", "mv", name, target)).code == Exit.OK
        assert (ada.root / found).read_bytes() == name.encode()
    assert (await shell.run("files", "mv", "dir/a", ".")).code == Exit.OK
    assert (ada.root / "a").read_bytes() == b"a"
    ada.put("dir/a", b"other")
    taken = await shell.run("files", "mv", "a", "dir/")
    assert (taken.code, "dir/a already; say --overwrite to replace it" in taken.err) == (Exit.CONFLICT, True), taken
    assert (await shell.run("files", "mv", "a", "nowhere/")).code == Exit.NOT_FOUND
    (shell.cli.home / "up").write_bytes(b"up")
    assert (await shell.run("files", "put", "up", "dir")).code == Exit.OK
    assert (ada.root / "dir" / "up").read_bytes() == b"up"


async def test_what_broke_off_goes_on(gateway: Gateway, ada: Person, shell: Shell, tmp_path: Path) -> None:
    """An upload continues the existing part and a download appends to it. Another version starts anew."""
    content = os.urandom(100_000)
    (tmp_path / "f").write_bytes(content)
    found = (tmp_path / "f").stat()
    params = {"path": "f", "tag": f"{found.st_size}-{found.st_mtime_ns}"}
    headers = {"Content-Range": "bytes 0-59999/100000"}
    await ada.ask("PUT", "/api/files/content", params=params, headers=headers, content=content[:60_000])
    put = await shell.run("files", "put", "f")
    assert (put.code, (ada.root / "f").read_bytes() == content, "10 %" in put.err.split("60 %")[0]) == (Exit.OK, True, False), put

    assert (await shell.run("files", "get", "f", "first")).code == Exit.OK
    etag = (await ada.ask("GET", "/api/files/content", params={"path": "f"})).headers["etag"]
    partial = tmp_path / f".second.{sha256(etag.encode()).hexdigest()[:12]}.part"
    partial.write_bytes(b"\0" * 70_000)
    assert (await shell.run("files", "get", "f", "second")).code == Exit.OK
    assert (tmp_path / "second").read_bytes() == b"\0" * 70_000 + content[70_000:], "what was there was kept"
    assert not partial.exists()


async def test_a_file_with_the_longest_name_is_downloaded(gateway: Gateway, ada: Person, shell: Shell, tmp_path: Path) -> None:
    """255 bytes: the name of the unfinished file is cut to fit, between letters."""
    for name in ("n" * 255, "é" * 127, "n" * 237):
        ada.put(name, b"x" * 10)
        got = await shell.run("files", "get", name)
        assert got.code == Exit.OK, got
        assert (tmp_path / name).read_bytes() == b"x" * 10
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


async def test_pack(gateway: Gateway, ada: Person, shell: Shell, tmp_path: Path) -> None:
    """Request, list, cancel, fetch. --json prints the promised fields, and the text says that the folder will be deleted."""
    ada.put("folder/x", b"x" * 10)
    assert (await shell.run("pack")).err == "No packs.\n"
    asked = await shell.run("pack", "folder", "--json")
    assert (asked.code, "DELETED" in asked.err) == (Exit.OK, True)
    assert asked.json().keys() >= PACK_FIELDS
    assert (await shell.run("pack", "--cancel", asked.json()["id"][:8])).code == Exit.OK
    assert (await shell.run("pack", "--cancel", asked.json()["id"])).code == Exit.CONFLICT
    assert (await shell.run("pack", "--output", "mine.zip")).code == Exit.USAGE
    kept = await shell.run("pack", "folder", "--keep-source")
    assert "stays" in kept.err
    pack = kept.out.strip()
    assert (await shell.run("pack", "--download", pack)).code == Exit.USAGE
    await done(ada, pack, "folder.zip", b"PK-content")
    rows = [line.split("\t") for line in (await shell.run("pack")).out.splitlines()]
    assert [(row[0], row[2], row[5]) for row in rows[1:]] == [(pack, "done", "folder.zip"), (asked.json()["id"], "cancelled", "")]
    fetched = await shell.run("pack", "--download", pack, "-o", "mine.zip")
    assert (fetched.code, (tmp_path / "mine.zip").read_bytes()) == (Exit.OK, b"PK-content"), fetched
    assert (await shell.run("pack", "nothing")).code == Exit.NOT_FOUND
    assert (await shell.run("pack", "folder", "--cancel", pack)).code == Exit.USAGE


async def test_pack_and_wait(gateway: Gateway, ada: Person, shell: Shell, tmp_path: Path) -> None:
    """--output waits for the end and saves the archive. A failed pack exits with 1 and the reason."""
    for name in ("good", "bad"):
        ada.put(f"{name}/x", b"x" * 10)

    async def asked() -> list[str]:
        rows = await gateway.kernel.owner.fetch(
            "SELECT id::text FROM jobs WHERE created_by_id = $1 AND status = 'queued' ORDER BY seq", ada.id
        )
        return [row["id"] for row in rows]

    waiting = asyncio.create_task(shell.run("pack", "good", "--output", "good.zip"))
    (pack,) = await eventually(asked, lambda seen: len(seen) == 1, "the pack is queued", 60)
    await done(ada, pack, "good.zip", b"PK-good")
    ended = await waiting
    assert (ended.code, ended.out.strip()) == (Exit.OK, pack), ended
    assert (tmp_path / "good.zip").read_bytes() == b"PK-good"

    early = await shell.run("pack", "bad", "--output", "good.zip")
    assert (early.code, "is there already" in early.err, await asked()) == (Exit.CONFLICT, True, []), (
        "noticed before the folder is packed"
    )

    waiting = asyncio.create_task(shell.run("pack", "bad", "--wait"))
    (pack,) = await eventually(asked, lambda seen: len(seen) == 1, "the pack is queued", 60)
    await gateway.kernel.force(UUID(pack), status="failed", error_message="The folder changed.")
    ended = await waiting
    assert (ended.code, "The folder changed." in ended.err) == (Exit.JOB, True), ended
