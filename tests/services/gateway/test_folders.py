"""The folder list: offered folders, filters, order, pages, and a scan on request."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from services.gateway.jobs import peers
from tests.services.gateway.conftest import BASE, Gateway, problem

_FOLDERS = [  # level 1, level 2, name, size, files, archived, ignored
    ("Production", "2024", "Project_Alpha", 2**30, 42, False, None),
    ("Production", "2024", "Project_Beta", 10, 1, False, "single_text_file"),
    ("Production", "2024", "Project_Gamma", 500, 2, True, "archived"),
    ("Production", "2023", "Old_100%", 2**20, 7, False, None),
    ("Trailers", "2024", "äpfel", 5, 3, False, None),
]


@pytest.fixture(scope="module")
async def scanned(gateway: Gateway) -> Gateway:
    now = datetime.now(UTC)
    await gateway.kernel.owner.executemany(
        "INSERT INTO folders (path, name, level1, level2, size_bytes, file_count, modified_at, is_archived, ignored, scanned_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $7)",
        [
            (f"{BASE}/{l1}/{l2}/{name}", name, l1, l2, size, files, now, arch, ign)
            for l1, l2, name, size, files, arch, ign in _FOLDERS
        ],
    )
    await gateway.kernel.owner.execute(
        "INSERT INTO scans (base_path, started_at, finished_at, folder_count, unreadable)"
        """ VALUES ($1, now(), now(), 5, '[{"path": "/nas/Secret", "reason": "permission denied"}]')""",
        BASE,
    )
    return gateway


async def _names(gateway: Gateway, **query: Any) -> list[str]:
    answer = await gateway.ask("GET", "/api/folders", params=query)
    assert answer.status_code == 200, answer.text
    return [folder["name"] for folder in answer.json()]


async def test_fields(scanned: Gateway) -> None:
    """All promised fields. Archived and ignored folders are not offered."""
    answer = await scanned.ask("GET", "/api/folders", params={"q": "alpha"})

    (alpha,) = answer.json()
    assert set(alpha) >= {
        *("path", "name", "level1", "level2", "size_bytes", "size_human", "modified_at", "file_count", "is_archived"),
        *("ignored", "unreadable", "scanned_at"),
    }
    assert (alpha["size_human"], alpha["path"]) == ("1.00 GB", f"{BASE}/Production/2024/Project_Alpha")
    assert answer.headers["x-total-count"] == "1"
    assert "x-scanned-at" in answer.headers
    assert await _names(scanned) == ["Old_100%", "Project_Alpha", "äpfel"]


async def test_filters_order_and_pages(scanned: Gateway) -> None:
    """Every parameter alone and together. A page beyond the end still has the total."""
    assert await _names(scanned, include="archived") == ["Old_100%", "Project_Alpha", "Project_Gamma", "äpfel"]
    assert await _names(scanned, include="ignored") == ["Old_100%", "Project_Alpha", "Project_Beta", "äpfel"]
    assert (
        len(await _names(scanned, include="archived,ignored")) == len(await _names(scanned, include=["archived", "ignored"])) == 5
    )
    assert await _names(scanned, level1="Trailers") == ["äpfel"]
    assert await _names(scanned, level1="Production", level2="2023") == ["Old_100%"]
    assert await _names(scanned, q="%") == ["Old_100%"], "no pattern language"
    assert await _names(scanned, q="production/2024") == ["Project_Alpha"]
    assert await _names(scanned, sort="size", order="desc") == ["Project_Alpha", "Old_100%", "äpfel"]
    assert await _names(scanned, sort="files") == ["äpfel", "Old_100%", "Project_Alpha"]
    assert await _names(scanned, sort="name", order="desc") == ["äpfel", "Project_Alpha", "Old_100%"]
    assert await _names(scanned, limit=1, offset=1) == ["Project_Alpha"]
    beyond = await scanned.ask("GET", "/api/folders?offset=10&limit=2")
    assert (beyond.json(), beyond.headers["x-total-count"]) == ([], "3")
    for bad in ("sort=colour", "order=up", "limit=0", "offset=-1", "refresh=perhaps", "include=secrets", "q=%00"):
        answer = await scanned.ask("GET", f"/api/folders?{bad}")
        problem(answer, 400, answer.json()["type"])


async def test_the_live_job_is_shown(scanned: Gateway) -> None:
    """A folder that is being archived says so, with the job."""
    path = scanned.folder()
    await scanned.kernel.owner.execute(
        "INSERT INTO folders SELECT $1, 'Busy', level1, level2, 1, 1, now(), false, null, null, now() FROM folders LIMIT 1", path
    )
    job = await scanned.request(path)

    (busy,) = (await scanned.ask("GET", "/api/folders", params={"q": "busy"})).json()

    assert (busy["job_id"], busy["job_status"]) == (job["job_id"], "queued")
    everything = {"include": "archived,ignored", "offered": "true"}
    assert await _names(scanned, **everything) == ["Old_100%", "Project_Alpha", "äpfel"], "not archived, not ignored, not at work"
    two = await scanned.ask("GET", "/api/folders?offered=true&level1=Production&limit=1")
    assert ([folder["name"] for folder in two.json()], two.headers["x-total-count"]) == (["Old_100%"], "2")
    assert "Busy" not in await _names(scanned, q="busy", offered="true")
    await scanned.kernel.owner.execute("DELETE FROM folders WHERE path = $1", path)


async def test_refresh(scanned: Gateway) -> None:
    """The scanner scans before the response. The system's status says what hid folders from the scan."""
    before = scanned.peers.scans

    answer = await scanned.ask("GET", "/api/folders?refresh=true")

    assert (answer.status_code, scanned.peers.scans) == (200, before + 1)
    assert "x-scan-running" not in answer.headers
    status = (await scanned.ask("GET", "/api/system/status")).json()
    assert status["last_scan"]["unreadable"] == [{"path": "/nas/Secret", "reason": "permission denied"}]


async def test_a_long_scan(scanned: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """After at most 30 s, the current list is returned and says that the scan continues."""
    monkeypatch.setattr(peers, "REFRESH_SECONDS", 0.2)
    scanned.peers.scanning = asyncio.Event()
    try:
        answer = await scanned.ask("GET", "/api/folders?refresh=true")
    finally:
        scanned.peers.scanning.set()

    assert (answer.status_code, answer.headers["x-scan-running"]) == (200, "true")
    assert answer.json()


async def test_places(scanned: Gateway) -> None:
    """The possible levels 1 and 2, sorted by name, with their number of folders."""
    places = (await scanned.ask("GET", "/api/folders/places")).json()
    assert [(place["level1"], place["level2"], place["folder_count"]) for place in places] == [
        ("Production", "2023", 1),
        ("Production", "2024", 1),
        ("Trailers", "2024", 1),
    ]
    everything = (await scanned.ask("GET", "/api/folders/places?include=archived,ignored")).json()
    assert [place["folder_count"] for place in everything] == [1, 3, 1]
