"""Packs, archives and extractions as users see them: over REST, by real processes that are killed at every fault point."""

import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.exits import Exit
from tests.cli.runner import Cli, Result
from tests.support.folders import below
from tests.support.stack import Stack, extract, snapshot, until

PACKING = ("transition.running.after", "workspace.created", "transition.verifying.after", "workspace.tested", "workspace.recorded")
PUBLISHING = ("workspace.published", "transition.deleting_source.before", "transition.deleting_source.after", "deletion.begun")
EMPTYING = ("deletion.renamed", "deletion.taken_over", "deletion.unlinked", "workspace.emptied", "transition.completed.before")
MAKING = ("workspace.created", "workspace.recorded", "workspace.published", "transition.completed.after")


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {"MAX_CRASHES": "50"}


def home(stack: Stack) -> Path:
    """Return the workspace of the logged-in user."""
    me = stack.http.get("/api/auth/me").json()["id"]
    found = stack.data / "storage" / "workspaces" / me
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def folder(stack: Stack, name: str) -> Path:
    made = home(stack) / name
    (made / "sub" / "empty").mkdir(parents=True)
    (made / "notes.txt").write_text("some text, " * 2000)
    (made / "sub" / "ünïcode").write_bytes(bytes(range(256)) * 1000)
    (made / "sub" / "nothing").touch()
    return made


def content(found: Any) -> dict[bytes, tuple[str, str]]:
    return {path: (fact.kind, fact.content) for path, fact in found.items()}


def nothing_is_left(stack: Stack) -> None:
    """Check that no work is in progress and no space is reserved."""
    work = stack.data / "storage" / "workspaces" / ".work"
    until(lambda: not below(work), "the clean-up", tell=lambda: str(below(work)))
    until(lambda: promised(stack) == 0, "the promised space given back", tell=lambda: str(promised(stack)))


def promised(stack: Stack) -> int:
    return int(stack.http.get("/api/files/pack/available-space").json()["reserved_bytes"])


def asked(stack: Stack, address: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a job and return it. A killed compressor needs time to restart: until then the answer is 503."""

    def ask() -> httpx.Response | None:
        answer = stack.http.post(address, json=body)
        return None if answer.status_code == 503 else answer

    answer = until(ask, "an answer of the compressor", tell=stack.stories)
    assert answer is not None
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def pack(stack: Stack, path: str, **more: Any) -> str:
    stack.jobs.append(asked(stack, "/api/files/pack", {"folder_path": path, **more})["id"])
    return stack.jobs[-1]


def job(stack: Stack, address: str, **body: Any) -> str:
    stack.jobs.append(asked(stack, address, body)["job_id"])
    return stack.jobs[-1]


def test_a_folder_is_packed_fetched_and_gone(stack: Stack, tmp_path: Path) -> None:
    """End to end: requested, completed, folder deleted. The downloaded archive equals the folder's content."""
    source = folder(stack, "Fetched")
    before = content(snapshot(source))
    task = pack(stack, "Fetched")

    detail = stack.wait(task, "completed")

    assert not source.exists()
    nothing_is_left(stack)
    shown = stack.http.get(f"/api/files/pack/{task}").json()
    assert (shown["status"], shown["progress"], shown["reserved_space"], shown["output_path"]) == ("done", 100, 0, "Fetched.zip")
    assert (detail["result"]["output_path"], detail["kind"], detail["kept_count"]) == ("Fetched.zip", "pack", 0)
    fetched = tmp_path / "fetched.zip"
    fetched.write_bytes(stack.http.get(f"/api/files/pack/{task}/download").content)
    assert content(snapshot(extract(fetched, tmp_path / "out"))) == before


def test_a_pack_is_killed_at_every_point(stack: Stack, tmp_path: Path) -> None:
    """The compressor is killed fourteen times in one job. The result is one whole archive; the folder is gone, nothing else."""
    source = folder(stack, "Killed")
    before = content(snapshot(source))
    others = {path.name for path in home(stack).iterdir()} - {"Killed"}
    stack.crash_at(*PACKING, *PUBLISHING, *EMPTYING)

    task = pack(stack, "Killed")
    stack.wait(task, "completed", timeout_s=240)

    stack.plan_is_done()
    assert {path.name for path in home(stack).iterdir()} - others == {"Killed.zip"}
    assert content(snapshot(extract(home(stack) / "Killed.zip", tmp_path / "out"))) == before
    nothing_is_left(stack)


def test_an_archive_is_made_and_unpacked_through_kills(stack: Stack) -> None:
    """Both kinds; the compressor is killed at every point. The source is untouched, with one archive and one extracted copy."""
    source = folder(stack, "Twice")
    before = snapshot(source)
    stack.crash_at(*MAKING)
    stack.wait(job(stack, "/api/archives", paths=["Twice"], output="twice.tar.zst", format="tar.zst"), "completed")
    stack.plan_is_done()
    stack.crash_at(*MAKING)
    stack.wait(job(stack, "/api/archives/extract", path="twice.tar.zst", destination="again"), "completed")
    stack.plan_is_done()

    assert snapshot(source) == before
    assert content(snapshot(home(stack) / "again" / "Twice")) == content(before)
    stats = until(
        lambda: "files" in (seen := stack.http.get("/api/archives/stats", params={"path": "twice.tar.zst"}).json()) and seen,
        "the archive's figures",
    )
    assert (stats["files"], stats["format"]) == (3, "tar.zst")
    nothing_is_left(stack)


def test_what_arrives_becomes_a_zip(stack: Stack) -> None:
    """Auto-archive: an upload and an extraction each become one zip. Nothing is deleted, and no zip is zipped again."""
    auto = "/api/files/auto-archive"
    assert stack.http.put(auto, json={"folders": ["inbox"]}).status_code == 200
    files = {"inbox/Tour/a.txt": b"a" * 1000, "inbox/Tour/b.txt": b"b"}
    assert stack.http.post("/api/files/folders", json={"path": "inbox/Tour", "parents": True}).status_code == 201
    for path, held in files.items():
        answer = stack.http.put("/api/files/content", params={"path": path, "batch": "tour"}, content=held)
        assert answer.status_code == 201, answer.text
    assert stack.http.post(f"{auto}/batches", json={"batch": "tour"}).status_code == 204

    made = home(stack) / "inbox" / "Tour.zip"
    until(made.is_file, "the zip of the upload", tell=stack.stories)
    with zipfile.ZipFile(made) as archive:
        assert {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")} == {
            path.removeprefix("inbox/"): held for path, held in files.items()
        }
    assert {path: (home(stack) / path).read_bytes() for path in files} == files

    # An extracted auto-archive zip is not zipped again. Content of another kind of archive is, under a free name.
    stack.wait(job(stack, "/api/archives/extract", path="inbox/Tour.zip", destination="inbox/again"), "completed")
    stack.wait(job(stack, "/api/archives", paths=["inbox/Tour"], output="tour.7z"), "completed")
    stack.wait(job(stack, "/api/archives/extract", path="tour.7z", destination="inbox/Tour_2"), "completed")
    second = home(stack) / "inbox" / "Tour_2.zip"
    until(second.is_file, "the zip of the extraction", tell=stack.stories)
    with zipfile.ZipFile(second) as archive:
        assert "Tour_2/Tour/a.txt" in archive.namelist()
    assert {path.name for path in (home(stack) / "inbox").iterdir()} == {"Tour", "Tour.zip", "again", "Tour_2", "Tour_2.zip"}
    assert stack.http.put(auto, json={"folders": []}).json()["problem"] is None
    nothing_is_left(stack)


def test_admin_settings_take_effect(stack: Stack) -> None:
    """A new format and level apply from the next pack on."""
    folder(stack, "RuntimeSettings")
    try:
        changed = stack.http.put("/api/config", json={"pack_format": "7z", "pack_compression_level": 9})
        assert changed.status_code == 200, changed.text
        task = pack(stack, "RuntimeSettings", keep_source=True)
        stack.wait(task, "completed")
    finally:
        stack.http.put("/api/config", json={"reset": ["pack_format", "pack_compression_level"]})
    assert (home(stack) / "RuntimeSettings.7z").read_bytes().startswith(b"7z\xbc\xaf")
    assert (home(stack) / "RuntimeSettings").is_dir()
    assert not zipfile.is_zipfile(home(stack) / "RuntimeSettings.7z")


def test_the_command_line(stack: Stack, tmp_path: Path) -> None:
    """Commands on workspace paths create, show, list and extract with all fields. Refusals have their exit codes."""
    folder(stack, "Commanded")
    cli = Cli(tmp_path, f"http://127.0.0.1:{stack.port}")
    token = stack.http.headers["Authorization"].removeprefix("Bearer ")

    def run(*words: str, **more: str) -> Result:
        return cli.run(*words, CS_ARCHIVER_TOKEN=token, **more)

    secret = {"CS_ARCHIVER_ARCHIVE_PASSWORD": "Geheimnis ü 日本"}
    made = run("zip", "Commanded", "--output", "commanded.7z", "--password", **secret)
    assert made.code == 0, made.err
    facts = dict(line.split("\t") for line in made.out.splitlines())
    assert (facts["Format"], facts["Filename"], facts["Location"]) == ("7Z", "commanded.7z", "commanded.7z")
    assert {"Original size", "Compressed size", "Compression ratio", "Time taken", "Speed"} <= set(facts)
    shown = run("zipinfo", "commanded.7z", "--list", "--password", **secret)
    assert "Commanded/notes.txt" in shown.out
    assert "Use `cs-archiver unzip commanded.7z --password` to extract this archive." in shown.err
    assert run("zipinfo", "commanded.7z", "--password", CS_ARCHIVER_ARCHIVE_PASSWORD="falsch").code != 0
    wrong = run("unzip", "commanded.7z", "wrong", "--password", CS_ARCHIVER_ARCHIVE_PASSWORD="falsch")
    assert (wrong.code, "password" in wrong.err) == (Exit.REFUSED, True), wrong.err
    back = run("unzip", "commanded.7z", "unpacked", "--password", **secret)
    facts = dict(line.split("\t") for line in back.out.splitlines())
    assert (back.code, facts["Files extracted"], facts["Destination"]) == (0, "3", "unpacked")
    assert content(snapshot(home(stack) / "unpacked" / "Commanded")) == content(snapshot(home(stack) / "Commanded"))
    job_id = run("zip", "Commanded", "--no-wait").out.strip()
    stack.wait(job_id, "completed")
    assert (home(stack) / "Commanded.zip").exists()
    taken = run("zip", "Commanded", "--output", "Commanded.zip")
    assert (taken.code, "already" in taken.err) == (Exit.CONFLICT, True)
    assert run("unzip", "gone.zip").code == Exit.NOT_FOUND
    there = run("unzip", "Commanded.zip")
    assert (there.code, "there is a Commanded already" in there.err) == (Exit.CONFLICT, True), there.err
    with tarfile.open(home(stack) / "odd.tar", "w") as file:
        for name in (b"caf\xe9", b"caf\xe8"):
            file.addfile(tarfile.TarInfo(os.fsdecode(name)))
    assert "caf\\xe9" in run("zipinfo", "odd.tar", "--list").out
    back = run("unzip", "odd.tar", "odd", "--entry", os.fsdecode(b"caf\xe9"))
    assert (back.code, list((home(stack) / "odd").iterdir())) == (0, [home(stack) / "odd" / os.fsdecode(b"caf\xe9")]), back.err
