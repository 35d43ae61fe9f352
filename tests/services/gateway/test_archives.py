"""Archives over REST: a request is recorded in its plain form, refused with sentences, and shown only to its owner."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from shared.errors import NOT_FOUND, TAKEN, PermanentError
from tests.services.gateway.conftest import Compressor, Gateway, problem
from tests.services.gateway.test_auth import _token, _user


async def _create(gateway: Gateway, token: str | None = None, **body: Any) -> httpx.Response:
    return await gateway.ask("POST", "/api/archives", token, json=body)


async def _request_of(gateway: Gateway, answer: httpx.Response) -> tuple[UUID, dict[str, Any]]:
    assert answer.status_code == 201, answer.text
    job = UUID(answer.json()["job_id"])
    detail = (await gateway.ask("GET", f"/api/jobs/{job}")).json()
    return job, dict(detail["request"])


async def test_an_archive_is_asked_for(gateway: Gateway, compressor: Compressor) -> None:
    """Format and level come from the settings, the name is beside the first path. The user's job is queued and keeps its sources."""
    answer = await _create(gateway, paths=["/reports/2026/", "notes.txt"])

    job, request = await _request_of(gateway, answer)
    made = answer.json()
    assert (made["kind"], made["status"], made["name"], made["output"]) == ("compress", "queued", "2026", "reports/reports.zip")
    assert answer.headers["location"] == f"/api/jobs/{job}"
    assert request == {
        "root": "workspace",
        "paths": ["reports/2026", "notes.txt"],
        "output": "reports/reports.zip",
        "format": "zip",
        "level": 6,
    }
    row = await gateway.kernel.row(job)
    assert (row["keep_source"], row["source_path"], row["folder_size_bytes"], row["file_count"]) == (
        True,
        "/reports/2026",
        4096,
        3,
    )
    assert (compressor.asked[-1].rename, compressor.asked[-1].owner) == (True, row["created_by_id"])


@pytest.mark.parametrize(
    ("output", "form"), [("a.tgz", "tar.gz"), ("b.TAR.ZST", "tar.zst"), ("c.7z", "7z"), ("d.tar", "tar"), ("e", "zip")]
)
async def test_the_name_says_the_format(gateway: Gateway, compressor: Compressor, output: str, form: str) -> None:
    """The name decides only if nothing else names the format. A zip named .tgz would mislead."""
    _, request = await _request_of(gateway, await _create(gateway, paths=["notes.txt"], output=output))

    assert (request["output"], request["format"]) == (output, form)


async def test_a_name_is_cut_to_what_a_file_system_takes(gateway: Gateway, compressor: Compressor) -> None:
    """The source has the longest possible name. Parts of an archive need four bytes more."""
    _, request = await _request_of(gateway, await _create(gateway, paths=["é" * 127], format="7z"))
    assert request["output"] == "é" * 126 + ".7z"
    _, request = await _request_of(gateway, await _create(gateway, paths=["a"], output="n" * 248 + ".7z", volume_bytes=1 << 20))
    assert len(request["output"]) == 251


async def test_every_choice_is_recorded_and_the_password_nowhere_else(gateway: Gateway, compressor: Compressor) -> None:
    """The password is in its own table until the job ends, never in request, events, log or audit. After that a retry needs it again."""
    secret = "Pärola-Zürich-7"
    choices = {"format": "7z", "level": 0, "output": "deep/x.7z", "volume_bytes": 1 << 20}
    job, request = await _request_of(gateway, await _create(gateway, paths=["a"], password=secret, **choices))

    assert request == {"root": "workspace", "paths": ["a"], "encrypted": True, **choices}
    owner = gateway.kernel.owner
    assert await owner.fetchval("SELECT password FROM job_secrets WHERE job_id = $1", job) == secret
    for table in ("jobs", "outbox", "job_logs", "audit"):
        assert not await owner.fetchval(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%' || $1 || '%'", secret), table
    await gateway.ask("DELETE", f"/api/jobs/{job}")
    assert await owner.fetchval("SELECT count(*) FROM job_secrets WHERE job_id = $1", job) == 0
    await gateway.kernel.force(job, status="failed")
    assert "with the password" in problem(await gateway.ask("POST", f"/api/jobs/{job}/retry"), 409, "conflict")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"paths": []}, "paths"),
        ({"paths": ["a/../b"]}, "'..'"),
        ({"paths": ["/"]}, "top folder"),
        ({"paths": ["a", "a/b"]}, "inside"),
        ({"paths": ["a"], "format": "rar"}, "format"),
        ({"paths": ["a"], "output": "deep/x.rar"}, "deep/x.rar ends with .rar"),
        ({"paths": ["a"], "output": "x.ZIP", "format": "7z"}, "let it end with .7z, or choose zip"),
        ({"paths": ["a"], "level": 10}, "level"),
        ({"paths": ["a"], "format": "tar", "password": "x"}, "no passwords"),
        ({"paths": ["a"], "format": "zip", "password": "Zürich"}, "ASCII"),
        ({"paths": ["a"], "password": "a\nb"}, "control"),
        ({"paths": ["a"], "password": "x" * 100}, "password"),
        ({"paths": ["a"], "format": "tar.gz", "volume_bytes": 1 << 20}, "parts"),
        ({"paths": ["a"], "output": "n" * 248 + ".zip", "volume_bytes": 1 << 20}, "too long for its parts"),
        ({"paths": ["n" * 255], "format": "7z", "volume_bytes": 1 << 20}, "too long for its parts"),
        ({"paths": ["a"], "output": "x\x00"}, "control"),
        ({"paths": ["a"], "surprise": 1}, "surprise"),
    ],
)
async def test_what_cannot_be_made_is_refused(gateway: Gateway, compressor: Compressor, body: dict[str, Any], words: str) -> None:
    """400 with a sentence, before any other service is asked."""
    answer = await _create(gateway, **body)

    assert answer.status_code == 400, answer.text
    assert words in answer.json()["detail"]
    assert compressor.asked == []


@pytest.mark.parametrize(
    ("code", "status", "kind"), [(NOT_FOUND, 404, "not-found"), (TAKEN, 409, "conflict"), (None, 400, "bad-request")]
)
async def test_what_the_compressor_refuses(
    gateway: Gateway, compressor: Compressor, code: str | None, status: int, kind: str
) -> None:
    """The response has the compressor's sentence, and no job is created."""
    compressor.refusal = PermanentError("It will not do.", code)
    before = await gateway.kernel.owner.fetchval("SELECT count(*) FROM jobs")

    assert problem(await _create(gateway, paths=["a"]), status, kind) == "It will not do."
    assert problem(await gateway.ask("POST", "/api/archives/extract", json={"path": "a.zip"}), status, kind) == "It will not do."
    assert await gateway.kernel.owner.fetchval("SELECT count(*) FROM jobs") == before


async def test_an_extraction_is_asked_for(gateway: Gateway, compressor: Compressor) -> None:
    """It goes to the archive's own folder unless another is named. From the NAS it goes to the top of the workspace."""
    cases: list[tuple[dict[str, Any], str]] = [
        ({"path": "in/a.zip"}, "in"),
        ({"path": "in/a.zip", "destination": "/out/", "entries": ["x/"]}, "out"),
        ({"path": "One/a.zip", "root": "nas"}, ""),
    ]
    for body, destination in cases:
        answer = await gateway.ask("POST", "/api/archives/extract", json=body)
        _, request = await _request_of(gateway, answer)
        made = answer.json()
        assert (made["kind"], made["name"], made["output"], request["destination"]) == (
            "extract",
            "a.zip",
            destination,
            destination,
        )
        assert request["entries"] == [entry.strip("/") for entry in body.get("entries", [])]


async def test_entries_whose_names_are_no_text_are_chosen_as_they_are_listed(gateway: Gateway, compressor: Compressor) -> None:
    """They are chosen by their bytes, recorded unchanged, each once. Invalid base64 is refused before any other service is asked."""
    body = {"path": "a.zip", "entries": ["x"], "entries_base64": ["Y2Fm6Q==", "Y2Fm6Q=="]}
    _, request = await _request_of(gateway, await gateway.ask("POST", "/api/archives/extract", json=body))
    assert (request["entries"], request["entries_base64"]) == (["x"], ["Y2Fm6Q=="])

    compressor.asked.clear()
    refused = await gateway.ask("POST", "/api/archives/extract", json={"path": "a.zip", "entries_base64": ["caf\u00e9"]})
    assert "path_base64" in problem(refused, 400, "bad-request")
    assert compressor.asked == []


async def test_looking_into_an_archive(gateway: Gateway, compressor: Compressor) -> None:
    """A page with its total, and figures. The password comes in a header and is stored nowhere."""
    path = {"path": "a.zip", "q": "b", "limit": 5, "offset": 2}
    answer = await gateway.ask("GET", "/api/archives/entries", params=path, headers={"X-Archive-Password": "hidden"})

    assert answer.status_code == 200, answer.text
    assert (answer.headers["x-total-count"], answer.json()[0]["path"], answer.json()[0]["crc32"]) == ("7", "a/b.txt", "0badf00d")
    question = compressor.asked[-1]
    assert (question.q, question.limit, question.offset, question.password) == ("b", 5, 2, "hidden")
    for sent in ("Zürich 日本".encode(), "Zürich".encode("latin-1")):
        secret = {"X-Archive-Password": sent}
        await gateway.ask("GET", "/api/archives/stats", params={"path": "a.zip"}, headers=secret)
    assert [question.password for question in compressor.asked[-2:]] == ["Zürich 日本", "Zürich"]
    stats = (await gateway.ask("GET", "/api/archives/stats", params={"path": "a.zip"})).json()
    assert (stats["files"], stats["original_size"], stats["compression_ratio"]) == (2, 100, 25.0)
    compressor.refusal = PermanentError("The password is wrong.", "bad-password")
    problem(await gateway.ask("GET", "/api/archives/stats", params={"path": "a.zip"}), 400, "bad-password")


async def test_nas_folders_by_setting(gateway: Gateway, compressor: Compressor) -> None:
    """A user who may not browse NAS folders cannot make archives of them, extract their archives or list them."""
    user = _token(await _user(gateway, "nas-reader"))
    asks: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/api/archives", {"json": {"paths": ["One/Two"], "root": "nas"}}),
        ("POST", "/api/archives/extract", {"json": {"path": "One/a.zip", "root": "nas"}}),
        ("GET", "/api/archives/entries", {"params": {"path": "One/a.zip", "root": "nas"}}),
        ("GET", "/api/archives/stats", {"params": {"path": "One/a.zip", "root": "nas"}}),
    ]
    try:
        for setting, mine, admins in (("everybody", True, True), ("admins", False, True), ("nobody", False, False)):
            assert (await gateway.ask("PUT", "/api/config", json={"nas_browsing": setting})).status_code == 200
            for method, address, body in asks:
                for token, allowed in ((user, mine), (None, admins)):
                    answer = await gateway.ask(method, address, token, **body)
                    assert (answer.status_code != 403) == allowed, (setting, address, answer.text)
    finally:
        await gateway.ask("PUT", "/api/config", json={"reset": ["nas_browsing"]})


async def test_a_job_of_a_workspace_belongs_to_its_owner_and_the_admins(gateway: Gateway, compressor: Compressor) -> None:
    """Detail, log, retry and cancel work for owner and admins as for any job. Every other user gets 404."""
    owner, other = _token(await _user(gateway, "archive-owner")), _token(await _user(gateway, "archive-other"))
    job = (await _create(gateway, owner, paths=["mine"])).json()["job_id"]
    addresses = [("GET", f"/api/jobs/{job}"), ("GET", f"/api/jobs/{job}/logs"), ("GET", f"/api/tasks/{job}")]
    for method, address in [*addresses, ("POST", f"/api/jobs/{job}/retry"), ("DELETE", f"/api/jobs/{job}")]:
        problem(await gateway.ask(method, address, other), 404, "not-found")
    for token in (owner, None):
        for method, address in addresses:
            assert (await gateway.ask(method, address, token)).status_code == 200, address
        listed = (await gateway.ask("GET", "/api/jobs?kind=compress&limit=1000", token)).json()
        assert job in [row["job_id"] for row in listed]
    assert job not in [row["job_id"] for row in (await gateway.ask("GET", "/api/jobs?kind=compress", other)).json()]
    assert job not in [row["task_id"] for row in (await gateway.ask("GET", "/api/tasks?limit=1000", other)).json()]

    result = {"output_path": "mine.zip", "format": "zip", "original_size": 10, "compressed_size": 5, "compression_ratio": 50.0}
    result |= {"file_count": 1, "seconds": 1.5, "mb_per_s": 2.0, "volumes": 1, "sha256": "a" * 64, "warnings": []}
    await gateway.kernel.force(UUID(job), status="failed", result=msgspec.json.encode(result).decode())
    assert (await gateway.ask("GET", f"/api/jobs/{job}", owner)).json()["result"] is None
    assert (await gateway.ask("POST", f"/api/jobs/{job}/retry", owner)).json()["status"] == "queued"
    await gateway.kernel.force(UUID(job), status="completed", completed_at=datetime.now(UTC) - timedelta(seconds=1))
    detail = (await gateway.ask("GET", f"/api/jobs/{job}", owner)).json()
    assert {name: detail["result"][name] for name in result if name != "warnings"} == {
        k: v for k, v in result.items() if k != "warnings"
    }
    assert detail["globus_destination_path"] is None
    await _lists_its_output(gateway, job, owner, ("mine.zip", 5, 1))
    unpacked = {"destination": "", "files_extracted": 7, "total_size": 70, "seconds": 1.5, "mb_per_s": 2.0, "warnings": []}
    await gateway.kernel.force(UUID(job), kind="extract", result=msgspec.json.encode(unpacked).decode())
    await _lists_its_output(gateway, job, owner, ("", 70, 7))
    await gateway.kernel.force(UUID(job), status="cancelled")
    await _lists_its_output(gateway, job, owner, (None, None, None))


async def _lists_its_output(gateway: Gateway, job: str, token: str, output: tuple[str | None, int | None, int | None]) -> None:
    listed = (await gateway.ask("GET", "/api/jobs?kind=compress&kind=extract&limit=1000", token)).json()
    (row,) = [row for row in listed if row["job_id"] == job]
    assert (row["output_path"], row["output_size"], row["output_files"]) == output
