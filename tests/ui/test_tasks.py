"""Tasks of every kind on every page, their controls, and the messages of failed ones, in a real browser."""

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.stack import Stack
from tests.ui.browser import PHONE, WIDE, said
from tests.ui.conftest import Person, scan
from tests.ui.test_browser import heading, live

KEEP_ERRORS = """const soon = window.setTimeout;
window.setTimeout = (call, ms, ...more) => soon(call, ms === 12000 ? 600000 : ms, ...more);"""
"""For a page whose messages about failures have buttons: a loaded machine needs longer than 12 s to press them."""


@pytest.fixture
def stack(stack: Stack) -> Iterator[Stack]:
    """The stack with some files in the workspace and without failures."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside.txt", "content")
    stack.http.post("/api/files/folders", json={"path": "Shoot", "parents": True})
    for path, content in {"Shoot/a.txt": b"a", "old.zip": packed.getvalue()}.items():
        stack.http.put("/api/files/content", params={"path": path, "overwrite": "true"}, content=content)
    yield stack
    for job in stack.http.get("/api/jobs/failures").json():
        stack.http.post(f"/api/jobs/{job['job_id']}/clear")


_ONCE_MORE = """INSERT INTO jobs (kind, folder_name, source_path, created_by, created_by_id, keep_source, request)
SELECT kind, folder_name, source_path, created_by, created_by_id, keep_source, request FROM jobs WHERE id = $1::uuid RETURNING id"""


@contextmanager
def _waiting_tasks(stack: Stack) -> Iterator[dict[str, str]]:
    """Create one waiting task of each kind, by its name in the UI. The compressor is suspended."""
    made = stack.http.post("/api/archives", json={"paths": ["Shoot"], "output": "made.7z"})
    taken = stack.http.post("/api/archives/extract", json={"path": "old.zip", "destination": "out"})
    ended = [answer.json()["job_id"] for answer in (made, taken)]
    for job in ended:
        stack.wait(job, "completed")
    for path in ("made.7z", "out"):
        stack.http.delete("/api/files", params={"path": path, "recursive": "true"})
    with stack.frozen("compressor"):
        pack = stack.http.post("/api/files/pack", json={"folder_path": "Shoot", "keep_source": True}).json()["id"]
        archive, extraction = [str(stack.value(_ONCE_MORE, job)) for job in ended]
        for job in (archive, extraction):  # a row alone has no event: without this the gateway would notice it 2 s later
            for action in ("pause", "resume"):
                stack.http.post(f"/api/tasks/{job}/control", json={"action": action}).raise_for_status()
        yield {"Pack": pack, "Archive": archive, "Extraction": extraction}


def _row(place: Page | Locator, job: str) -> Locator:
    return place.locator(f'[data-job="{job}"]')


def _pause_and_resume(row: Locator) -> None:
    row.get_by_role("button", name=re.compile("^Pause ")).click()
    expect(row.locator("[data-status]")).to_have_text("Paused")
    row.get_by_role("button", name=re.compile("^Resume ")).click()
    expect(row.locator("[data-status]")).not_to_have_text("Paused")


def test_every_kind_of_task_is_shown_and_controlled(person: Person, stack: Stack) -> None:
    """On dashboard, queue, history and in the tray. Each is paused, resumed and cancelled there, and the navigation counts them."""
    page = person.page
    with _waiting_tasks(stack) as tasks:
        page.goto("/dashboard")
        live(page)
        lanes = page.get_by_role("region", name="Running now")
        for word, job in tasks.items():
            expect(_row(lanes, job)).to_contain_text(f"{word} · admin")
        expect(page.get_by_role("link", name=re.compile("^Queue"))).to_contain_text("3")
        _pause_and_resume(_row(lanes, tasks["Pack"]))

        page.goto("/queue")
        _pause_and_resume(_row(page, tasks["Archive"]))

        page.goto("/history")
        running = page.get_by_role("region", name="In progress (3)")
        _pause_and_resume(_row(running, tasks["Extraction"]))
        _row(running, tasks["Extraction"]).get_by_role("button", name=re.compile("^Cancel ")).click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel the task").click()
        expect(page.get_by_role("region", name="In progress (2)")).to_be_visible()
        expect(page.locator(f'[data-row="{tasks["Extraction"]}"]')).to_contain_text("Extraction")

        page.goto("/files")
        page.get_by_role("button", name="Tasks 2 running").click()
        tray = page.get_by_role("dialog", name="Tasks")
        _pause_and_resume(_row(tray, tasks["Pack"]))
        _row(tray, tasks["Archive"]).get_by_role("button", name=re.compile("^Cancel ")).click()
        page.get_by_role("dialog", name="Cancel Shoot?").get_by_role("button", name="Cancel the task").click()
        expect(tray.locator(f'[data-task="{tasks["Archive"]}"]')).to_have_attribute("data-word", "cancelled")
    expect(tray.locator(f'[data-task="{tasks["Pack"]}"]')).to_have_attribute("data-word", "done")


def test_the_tray_shows_archive_jobs(person: Person, stack: Stack) -> None:
    """The user's archive jobs are beside packs and archives, with the same controls."""
    page = person.page
    folder = stack.folder(name="Seen in the tray")
    page.goto("/files")
    live(page)
    with stack.frozen("compressor"):
        job = stack.archive(folder)
        page.get_by_role("button", name="Tasks 1 running").click()
        _pause_and_resume(_row(page.get_by_role("dialog", name="Tasks"), job))
    expect(page.locator(f'[data-task="{job}"]')).to_have_attribute("data-word", "done")


def test_an_upload_is_seen_beside_the_other_tasks(person: Person, stack: Stack) -> None:
    """This browser's uploads continue while the user is on the queue or the dashboard, and can be cancelled there."""
    page = person.page
    with page.expect_response("**/api/files/uploads"):  # the upload code loads it on demand
        page.goto("/files")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 40_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    page.locator('[data-upload="files"]').set_input_files([{"name": "long.bin", "mimeType": "", "buffer": os.urandom(16 << 20)}])
    for name in ("Queue", "Dashboard"):
        page.get_by_role("navigation", name="Main").get_by_role("link", name=re.compile(f"^{name}")).first.click()
        expect(heading(page, name)).to_be_visible()
        expect(page.get_by_role("progressbar", name="Upload of long.bin")).to_be_visible()
    person.watch.expect("/api/files/uploads/", "409 (Conflict)")  # the arriving part may still hold it when it is cancelled
    page.get_by_role("button", name="Cancel the upload of long.bin").click()
    expect(page.locator("[data-upload-state]")).to_have_count(0)


def test_the_four_counters(person: Person, stack: Stack) -> None:
    """Active tasks, total speed, downloads and uploads, equal to the gateway's figures. They update without a reload."""
    page = person.page
    before = stack.http.get("/api/stats").json()
    page.goto("/dashboard")
    counters = page.get_by_role("region", name="Summary")
    expect(counters.get_by_role("link", name=re.compile("Active tasks"))).to_contain_text("waiting")
    expect(counters.get_by_role("link", name=re.compile("Total speed"))).to_contain_text("/s")
    pack = stack.http.post("/api/files/pack", json={"folder_path": "Shoot", "keep_source": True}).json()["id"]
    stack.wait(pack, "completed")
    assert stack.http.get(f"/api/files/pack/{pack}/download").status_code == 200
    stack.wait(stack.archive(stack.folder(name="Counted")), "completed")
    for label, field in (("Total downloads", "total_downloads"), ("Total uploads", "total_uploads")):
        expect(counters.get_by_role("link", name=re.compile(label))).to_contain_text(
            re.compile(rf"{label}{before[field] + 1}(?!\d)")
        )


def _fail(stack: Stack, name: str) -> str:
    folder = stack.folder(name=name)
    os.mkfifo(folder / "pipe")
    scan(stack, name)
    job = stack.archive(folder)
    stack.wait(job, "failed")
    return job


def test_a_failure_is_told_everywhere_until_it_is_dismissed(person: Person, stack: Stack) -> None:
    """In a message, the navigation, the title and the dashboard. A dismissal, in the message or there, survives a reload."""
    page = person.page
    page.add_init_script(script=KEEP_ERRORS)
    page.goto("/settings")
    live(page)
    first = _fail(stack, "Breaks first")
    said(page, "Archive job Breaks first failed: ")
    badge = page.get_by_role("navigation", name="Main").locator("[data-failed]:visible")
    expect(badge).to_have_text("1 failed")
    expect(page).to_have_title("(1) Settings · CS Archiver")
    page.reload()
    expect(badge).to_have_text("1 failed")
    expect(page.get_by_role("status").filter(has_text="failed:")).to_have_count(0)  # told once
    live(page)
    _fail(stack, "Breaks second")
    expect(badge).to_have_text("2 failed")
    page.get_by_role("button", name="Dismiss", exact=True).click()
    said(page, "Job dismissed.")
    expect(badge).to_have_text("1 failed")

    page.set_viewport_size(PHONE)
    expect(page.get_by_role("link", name=re.compile("1 failed *History"))).to_be_visible()
    page.set_viewport_size(WIDE)
    page.goto("/dashboard")
    failure = page.locator(f'[data-failure="{first}"]')
    expect(failure).to_contain_text("pipe")
    failure.get_by_role("button", name="Dismiss Breaks first").click()
    expect(failure).to_have_count(0)
    expect(badge).to_have_count(0)
    expect(page).to_have_title("Dashboard · CS Archiver")
    page.reload()
    expect(heading(page, "Dashboard")).to_be_visible()
    expect(page.get_by_role("group", name="Failed jobs")).to_have_count(0)
    expect(badge).to_have_count(0)


def test_a_failed_pack_is_dismissed_in_the_history(person: Person, stack: Stack) -> None:
    """Failures of other kinds are shown, listed and dismissed as those of archive jobs, and all at once on the dashboard."""
    page = person.page
    failed = "UPDATE jobs SET status = 'failed', version = 2, error_message = 'The disk broke.', completed_at = now() WHERE id = $1::uuid"
    with _waiting_tasks(stack) as tasks:
        page.goto("/history")
        live(page)
        expect(page.get_by_role("region", name="In progress (3)")).to_be_visible()
        for job in tasks.values():
            stack.sql(failed, job)
        expect(page.locator("nav [data-failed]:visible")).to_have_text("3 failed")
        said(page, "The disk broke.")
        page.locator(f'[data-row="{tasks["Extraction"]}"]').get_by_role("button", name="Dismiss old.zip").click()
        expect(page.locator(f'[data-row="{tasks["Extraction"]}"]')).to_have_count(0)
        page.goto("/dashboard")
        expect(page.get_by_role("heading", name="2 jobs have failed")).to_be_visible()
        page.get_by_role("button", name="Dismiss all").click()
        expect(page.get_by_role("group", name="Failed jobs")).to_have_count(0)
        expect(page.locator("nav [data-failed]")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 320])
def test_the_header_says_who_is_logged_in(person: Person, width: int) -> None:
    """A phone's header also has the name and Log out. On screens narrower than 360 px the name is only in its label."""
    page = person.page
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/queue")
    header = page.get_by_role("banner").first
    expect(header.get_by_role("button", name="Log out")).to_be_visible()
    expect(header.get_by_role("button", name="Account of admin").get_by_text("admin")).to_be_visible(visible=width >= 360)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
