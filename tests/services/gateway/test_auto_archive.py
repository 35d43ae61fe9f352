"""Auto-archive: one zip of the files that arrived, never of half an upload, never of archives. Obstacles are reported."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from services.gateway.files import auto_archive
from services.gateway.files.auto_archive import output_of
from shared.domain.requests import ExtractRequest, ExtractResult
from shared.files.paths import Root
from tests.services.gateway.conftest import Gateway, problem
from tests.services.gateway.people import Person, person
from tests.support.kernel import eventually

ADDRESS = "/api/files/auto-archive"
CONTENT = "/api/files/content"


@pytest.fixture
async def ada(gateway: Gateway) -> Person:
    return await person(gateway)


async def wants(who: Person, **change: Any) -> dict[str, Any]:
    answer = await who.ask("PUT", ADDRESS, json=change)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def put(who: Person, path: str, **params: Any) -> None:
    answer = await who.ask("PUT", CONTENT, params={"path": path, **params}, content=b"content")
    assert answer.status_code == 201, answer.text


async def close(who: Person, batch: str) -> None:
    assert (await who.ask("POST", f"{ADDRESS}/batches", json={"batch": batch})).status_code == 204


async def made(gateway: Gateway, who: Person) -> list[dict[str, Any]]:
    """Return the requested archives, oldest first."""
    rows = await gateway.kernel.owner.fetch(
        "SELECT request FROM jobs WHERE kind = 'compress' AND created_by_id = $1 ORDER BY seq", who.id
    )
    return [msgspec.json.decode(row["request"]) if isinstance(row["request"], str) else row["request"] for row in rows]


async def one_made(gateway: Gateway, who: Person, more: Callable[[list[dict[str, Any]]], bool] = bool) -> list[dict[str, Any]]:
    return await eventually(lambda: made(gateway, who), more, "a zip")


async def waits(gateway: Gateway, who: Person) -> int:
    """Wait for two checks, so that everything due has been seen."""
    await auto(gateway)
    return int((await who.ask("GET", ADDRESS)).json()["waiting_files"])


async def auto(gateway: Gateway) -> None:
    """Every gateway checks by itself. Two markers of another user, one after the other, show that it has."""
    other = await person(gateway)
    await wants(other, everything=True)
    for number in (1, 2):
        await put(other, f"{number}.txt", batch="b")
        await close(other, "b")
        await one_made(gateway, other, lambda found: len(found) == number)  # noqa: B023 - called before the number changes


async def test_a_batch_becomes_one_zip_when_it_is_whole(gateway: Gateway, ada: Person) -> None:
    """A folder that arrived stands for its files. No archive is made before the client reports the batch as complete."""
    assert await wants(ada, everything=True) == {
        "everything": True, "folders": [], "waiting_files": 0, "problem": None, "problem_at": None
    }  # fmt: skip
    await ada.ask("POST", "/api/files/folders", json={"path": "Holiday/sub", "parents": True})
    for path in ("Holiday/a.jpg", "Holiday/sub/b.jpg"):
        await put(ada, path, batch="1")
    assert await waits(gateway, ada) == 2
    assert await made(gateway, ada) == []

    await close(ada, "1")

    (request,) = await one_made(gateway, ada)
    assert request == {
        "root": "workspace",
        "paths": ["Holiday"],
        "output": "Holiday.zip",
        "format": "zip",
        "level": 6,
        "encrypted": False,
        "volume_bytes": None,
        "auto": True,
    }
    assert await waits(gateway, ada) == 0
    assert len(await made(gateway, ada)) == 1
    via = await gateway.kernel.owner.fetchval("SELECT via FROM audit WHERE action = 'job_create' AND actor_id = $1", ada.id)
    assert via == "auto-archive"


async def test_what_was_there_before_is_not_zipped_along(gateway: Gateway, ada: Person) -> None:
    """In a folder that holds more, the files that arrived are named one by one. Files that have gone meanwhile are left out."""
    await ada.ask("POST", "/api/files/folders", json={"path": "Holiday"})
    await put(ada, "Holiday/old.jpg")
    await wants(ada, everything=True)
    for path in ("Holiday/a.jpg", "Holiday/b.jpg", "Holiday/gone.jpg"):
        await put(ada, path, batch="1")
    (ada.root / "Holiday" / "gone.jpg").unlink()

    await close(ada, "1")

    (request,) = await one_made(gateway, ada)
    assert (request["paths"], request["output"]) == (["Holiday/a.jpg", "Holiday/b.jpg"], "Holiday/Holiday.zip")


async def test_only_chosen_folders(gateway: Gateway, ada: Person) -> None:
    """Files that arrive elsewhere stay unchanged. The chosen folder itself is never zipped from outside."""
    assert (await wants(ada, folders=["inbox/", "inbox"]))["folders"] == ["inbox"]
    await ada.ask("POST", "/api/files/folders", json={"path": "inbox"})
    await put(ada, "elsewhere.txt", batch="1")
    for name in ("a.txt", "b.txt"):
        await put(ada, f"inbox/{name}", batch="1")

    await close(ada, "1")

    (request,) = await one_made(gateway, ada)
    assert (request["paths"], request["output"]) == (["inbox/a.txt", "inbox/b.txt"], "inbox/inbox.zip")


async def test_files_without_a_batch_wait_for_quiet_and_for_halves(
    gateway: Gateway, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As curl sends them: one zip once nothing has arrived for a while and no upload into such a folder is unfinished."""
    monkeypatch.setattr(auto_archive, "QUIET_SECONDS", 0.0)
    await wants(ada, everything=True)
    begun = await ada.ask("PUT", CONTENT, params={"path": "half.txt"}, headers={"Content-Range": "bytes */7"})
    assert begun.status_code == 202
    await put(ada, "whole.txt")
    assert await waits(gateway, ada) == 1
    assert await made(gateway, ada) == []

    await put(ada, "half.txt")

    (request,) = await one_made(gateway, ada)
    assert (request["paths"], request["output"]) == (["half.txt", "whole.txt"], "upload.zip")


async def test_archives_are_not_zipped_again(gateway: Gateway, ada: Person) -> None:
    await wants(ada, everything=True)
    for name in ("a.ZIP", "b.tar.gz", "c.rar"):
        await put(ada, name, batch="1")
    await close(ada, "1")

    assert await waits(gateway, ada) == 0
    assert await made(gateway, ada) == []


async def extraction(gateway: Gateway, who: Person, path: str, placed: list[str] | None, destination: str = "") -> UUID:
    """An extraction that completed."""
    request = msgspec.to_builtins(ExtractRequest(root=Root.WORKSPACE, path=path, destination=destination))
    result = ExtractResult(destination=destination, files_extracted=1, total_size=7, seconds=1, mb_per_s=1, placed=placed)
    job = uuid4()
    async with gateway.kernel.owner.transaction():
        await gateway.kernel.owner.execute("SET LOCAL session_replication_role = replica")
        await gateway.kernel.owner.execute(
            "INSERT INTO jobs (id, kind, folder_name, source_path, request, result, created_by, created_by_id, status, keep_source,"
            " completed_at) VALUES ($1, 'extract', 'x', '/x', $2, $3, $4, $5, 'completed', true, clock_timestamp())",
            job, msgspec.json.encode(request).decode(), msgspec.json.encode(result).decode(), "ada", who.id,
        )  # fmt: skip
    return job


async def test_an_extraction_becomes_a_zip_once(gateway: Gateway, ada: Person) -> None:
    """A zip of the new content, in the folder that holds it. An extraction that ended before the setting does not count."""
    await extraction(gateway, ada, "early.7z", ["early"])
    await wants(ada, everything=True)
    await extraction(gateway, ada, "in/photos.7z", ["in/a", "in/b"], "in")

    (request,) = await one_made(gateway, ada)
    assert (request["paths"], request["output"], request["auto"]) == (["in/a", "in/b"], "in/photos.zip", True)
    await auto(gateway)
    assert len(await made(gateway, ada)) == 1


async def test_what_is_unpacked_from_such_a_zip_is_not_zipped_again(gateway: Gateway, ada: Person) -> None:
    """Otherwise packing and extracting would repeat endlessly."""
    await wants(ada, everything=True)
    await put(ada, "notes.txt", batch="1")
    await close(ada, "1")
    await one_made(gateway, ada)
    job = await gateway.kernel.owner.fetchval("SELECT id FROM jobs WHERE created_by_id = $1", ada.id)
    await gateway.kernel.force(job, status="completed", result='{"output_path": "notes.txt.zip"}')
    await extraction(gateway, ada, "notes.txt.zip", ["notes"], "notes")
    await auto(gateway)

    assert len(await made(gateway, ada)) == 1


async def test_what_stands_in_the_way_is_told(gateway: Gateway, ada: Person) -> None:
    """A task that would be too large, a batch that was never finished, names that are not text. The next change clears the message."""
    admin = await gateway.login()
    await gateway.ask("PUT", "/api/config", admin, json={"max_task_size": 3})
    try:
        await wants(ada, everything=True)
        await put(ada, "large.txt", batch="1")
        await close(ada, "1")

        async def told() -> str:
            return str((await ada.ask("GET", ADDRESS)).json()["problem"])

        assert "7 B arrived, and a task may have at most 3 B" in await eventually(told, lambda said: said != "None", "a problem")
    finally:
        await gateway.ask("PUT", "/api/config", admin, json={"reset": ["max_task_size"]})
    assert (await wants(ada))["problem"] is None
    await put(ada, "left.txt", batch="2")
    await gateway.kernel.owner.execute(
        "UPDATE arrivals SET arrived_at = arrived_at - interval '25 hours' WHERE user_id = $1", ada.id
    )
    said = await eventually(told, lambda said: said != "None", "a problem")
    assert said == "No zip was made: an upload was never finished. 1 file of it arrived."
    await wants(ada)
    await extraction(gateway, ada, "odd.7z", None)
    assert "names that are no text" in await eventually(told, lambda said: said != "None", "a problem")
    assert await made(gateway, ada) == []


async def test_wrong_wishes(ada: Person) -> None:
    problem(await ada.ask("PUT", ADDRESS, json={"folders": ["a/../b"]}), 400, "bad-request")
    assert "everything" in problem(await ada.ask("PUT", ADDRESS, json={"folders": ["/"]}), 400, "bad-request")
    problem(await ada.ask("PUT", ADDRESS, json={"folder": ["a"]}), 400, "validation-failed")


@pytest.mark.parametrize(
    ("paths", "name", "output"),
    [
        (["film.mp4"], None, "film.mp4.zip"),
        (["in/Holiday"], None, "in/Holiday.zip"),
        (["a", "b"], None, "upload.zip"),
        (["in/a", "in/sub/b"], None, "in/in.zip"),
        (["in/a", "inner/b"], None, "upload.zip"),
        (["in/a", "in/b"], "photos", "in/photos.zip"),
    ],
)
def test_where_the_zip_goes(paths: list[str], name: str | None, output: str) -> None:
    assert output_of(paths, name) == output
