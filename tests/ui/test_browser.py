"""User actions in a real browser on the real stack. Every page is also checked for content that must never appear."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, StorageState, expect

from tests.support.stack import PASSWORD, Stack
from tests.ui.browser import PHONE, TIME_TO_UNDO, WIDE, login, new_context, said
from tests.ui.conftest import FIRST_PASSWORD, Person, scan

STAGES = ["copying", "compressing", "verifying", "uploading", "upload_verifying", "deleting_source"]


def heading(page: Page, name: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("heading", name=name, level=1)


def live(page: Page) -> None:
    """Wait until the page receives live updates."""
    expect(page.locator('[data-connection="live"]')).to_be_visible()


def archive(page: Page, name: str) -> None:
    """Go from the folder list through the review to the queue."""
    page.goto("/folders")
    page.get_by_label("Search folders").fill(name)
    page.get_by_role("button", name=f"Archive {name}").click()
    looked_into(page)
    page.get_by_role("dialog").get_by_role("button", name="Archive 1 folder").click()
    expect(heading(page, "Queue")).to_be_visible()


def looked_into(page: Page) -> None:
    """Wait until the review knows the folders' content and the cost of archiving them."""
    expect(page.get_by_role("region", name="Contents")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_role("region", name="What will happen")).to_contain_text("about")


def open_job(stack: Stack, page: Page, folder: Path) -> str:
    """Open the page of a folder's newest job."""
    jobs = stack.http.get("/api/jobs", params={"limit": 1000}).json()
    job = next(job["job_id"] for job in jobs if job["source_path"] == str(folder))
    page.goto(f"/jobs/{job}")
    expect(heading(page, folder.name)).to_be_visible()
    return str(job)


def test_from_the_first_login_to_the_proof(browser: Browser, stack: Stack, origin: str) -> None:
    """The main job: every stage is shown live, the log grows, the three proofs appear, the history has it."""
    folder = stack.folder({"film.mov": os.urandom(6 << 20), "notes/read me.txt": b"x" * 1000}, name="First Film & Söhne")
    context, watch = new_context(browser, origin)
    page = context.new_page()
    page.goto("/queue")
    expect(heading(page, "Log in")).to_be_visible()
    watch.expect("/api/auth/login", "401 (Unauthorized)")
    login(page, "admin", "wrong")
    expect(page.get_by_role("alert")).to_contain_text("name or the password is wrong")
    login(page, "admin", FIRST_PASSWORD)
    expect(heading(page, "Set a new password")).to_be_visible()
    page.get_by_label("Current password").fill(FIRST_PASSWORD)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("Repeat password").fill(PASSWORD + "!")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("The new passwords do not match.")).to_be_visible()
    page.get_by_label("Repeat password").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(heading(page, "Folders")).to_be_visible()
    live(page)

    page.get_by_role("button", name="Scan now").click()
    said(page, "Scan finished")
    stack.control.configure(bytes_per_second=20_000)  # minutes, until the test has seen it
    archive(page, folder.name)
    page.get_by_role("link", name=folder.name).first.click()
    expect(heading(page, folder.name)).to_be_visible()
    expect(page.locator('[data-stage="uploading"]')).to_have_attribute("data-state", "active")
    for stage in STAGES[:3]:
        expect(page.locator(f'[data-stage="{stage}"]')).to_have_attribute("data-state", "done")
    stack.control.configure(bytes_per_second=None)
    expect(page.locator('[data-outcome="completed"]')).to_contain_text("Archived and proven in")
    expect(page.locator('[data-stage][data-state="done"]')).to_have_count(len(STAGES))
    expect(page.locator('[data-proven="yes"]')).to_have_count(3)
    page.locator('[data-proof="content"] summary').click()
    expect(page.locator('[data-proof="content"]')).to_contain_text("reported by Globus, matches the local checksum")
    _read_the_log(page)

    page.get_by_role("link", name="History").first.click()
    expect(heading(page, "History")).to_be_focused()
    expect(page.get_by_role("row", name=re.compile(re.escape(folder.name)))).to_contain_text("Completed")
    page.goto("/folders?archived=1&q=First")
    expect(page.get_by_role("row", name=re.compile("First Film"))).to_contain_text("Archived")
    context.close()


def _read_the_log(page: Page) -> None:
    log = page.get_by_role("log")
    expect(log).to_contain_text("completed")
    page.get_by_label("Find in the log").fill("integrity")
    expect(page.get_by_text("1 match")).to_be_visible()
    expect(log).to_contain_text("Archive integrity verified")
    page.get_by_label("Find in the log").fill("")
    page.get_by_label("Level").select_option("ERROR")
    expect(page.get_by_text("No line matches.")).to_be_visible()
    page.get_by_label("Level").select_option("")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".log.txt")
    assert "Archive integrity verified" in Path(download.value.path()).read_text()


def test_cancel_keeps_the_source_and_archive_again_starts_anew(person: Person, stack: Stack) -> None:
    """A waiting job is cancelled in the queue. Its page offers to archive the folder again."""
    folder = stack.folder(name="Cancel me")
    scan(stack, folder.name)
    page = person.page
    with stack.frozen("compressor"):
        archive(page, folder.name)
        page.get_by_role("button", name=f"Cancel {folder.name}").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("The source folder stays unchanged.")
        expect(dialog.get_by_role("button", name="Keep it running")).to_be_focused()
        dialog.get_by_role("button", name="Cancel the job").click()
        expect(dialog).to_be_hidden()
        open_job(stack, page, folder)
        expect(page.locator('[data-outcome="cancelled"]')).to_be_visible()
    # Until the clean-up has released the destination, the answer is a conflict. The page retries by itself.
    person.watch.expect("/api/jobs: 409", "409 (Conflict)")
    page.get_by_role("button", name="Archive again").click()
    expect(page.locator('[data-outcome="completed"]')).to_be_visible()
    assert stack.marker(folder).exists()


def test_a_failed_job_says_why_and_can_be_tried_again(person: Person, stack: Stack) -> None:
    """The cause is named and the source declared safe. After the fix, one click completes the job."""
    folder = stack.folder(name="Pipe inside")
    os.mkfifo(folder / "pipe")
    job = stack.archive(folder)
    stack.wait(job, "failed")
    page = person.page
    page.goto("/history?status=failed")
    page.get_by_role("row", name=re.compile(folder.name)).click()
    expect(page.locator('[data-outcome="failed"]')).to_contain_text("pipe")
    expect(page.get_by_text("The source folder is untouched.")).to_be_visible()

    (folder / "pipe").unlink()
    page.get_by_role("button", name="Retry").click()

    expect(page.locator('[data-outcome="completed"]')).to_be_visible()


def test_two_people_see_the_same(person: Person, browser: Browser, stack: Stack, origin: str, login_state: StorageState) -> None:
    """When one user queues, deselects or cancels a job, the other sees it without a reload."""
    folders = [stack.folder(name=f"Shared {n}") for n in (1, 2)]
    scan(stack, *(folder.name for folder in folders))
    context, _ = new_context(browser, origin, storage_state=login_state)
    other = context.new_page()
    other.goto("/queue")
    live(other)
    expect(other.get_by_text("Nothing is waiting")).to_be_visible()
    page = person.page
    with stack.frozen("compressor"):
        page.goto("/folders?q=Shared")
        page.get_by_label("Select all on this page").check()
        page.get_by_role("button", name="Review and archive").click()
        page.get_by_role("button", name="Archive 2 folders").click()
        for folder in folders:
            expect(other.get_by_role("row", name=re.compile(folder.name))).to_be_visible()
        other.get_by_label("Select all waiting jobs").check()
        other.get_by_role("button", name="Cancel 2 jobs").click()
        other.get_by_role("dialog").get_by_role("button", name="Cancel 2 jobs").click()
        expect(page.get_by_text("Nothing is waiting")).to_be_visible()
    context.close()


_REMEMBER_CONNECTION = """() => {
  window.__seen = [];
  const look = () => window.__seen.push(document.querySelector('[data-connection]')?.dataset.connection);
  new MutationObserver(look).observe(document.body, {subtree: true, attributes: true, childList: true});
}"""


def test_it_finds_the_gateway_again(person: Person, browser: Browser, stack: Stack, origin: str, login_state: StorageState) -> None:
    """It is killed in front of two users. Every page says so, recovers by itself, shows no old row, and reports what ended meanwhile."""
    folder = stack.folder(name="While away")
    scan(stack, folder.name)
    context, watch = new_context(browser, origin, storage_state=login_state)
    queue, history, detail = person.page, context.new_page(), context.new_page()
    outage = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "ERR_INTERNET_DISCONNECTED", "WebSocket", "/api/", "503")
    for watched in (watch, person.watch):
        watched.expect(*outage)
    row = re.compile(folder.name)
    with stack.frozen("compressor"):
        stack.archive(folder)
        queue.goto("/queue")
        history.goto("/history")
        open_job(stack, detail, folder)
        expect(queue.get_by_role("row", name=row)).to_be_visible()
        for page in (queue, history, detail):
            live(page)
            page.evaluate(_REMEMBER_CONNECTION)
        for browsers in (context, queue.context):
            browsers.set_offline(True)  # open connections stay; new ones wait until the job has ended
        stack.signal("gateway", signal.SIGKILL)
        for page in (queue, history, detail):
            page.wait_for_function("() => window.__seen.includes('reconnecting')")
    stack.wait(stack.jobs[-1], "completed")
    stack.events(stack.jobs[-1])  # a page that reconnects may read all of them
    for browsers in (context, queue.context):
        browsers.set_offline(False)

    for page in (queue, history, detail):
        live(page)
        said(page, "Meanwhile: 1 completed.")
    expect(queue.get_by_role("row", name=row)).to_have_count(0)
    expect(history.get_by_role("row", name=row)).to_contain_text("Completed")
    expect(detail.locator('[data-outcome="completed"]')).to_be_visible()
    context.close()


def test_the_keyboard_alone_is_enough(person: Person, stack: Stack) -> None:
    """Palette, search, rows, review and start without a pointer. The list of shortcuts explains itself."""
    folder = stack.folder(name="Typed away")
    scan(stack, folder.name)
    page = person.page
    page.goto("/history")
    expect(heading(page, "History")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Search or run a command")).to_be_focused()
    page.keyboard.type("folders")
    page.keyboard.press("Enter")
    expect(heading(page, "Folders")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("Typed")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("Search folders").blur()
    for key in ("j", "x", "a"):
        page.keyboard.press(key)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(folder.name)
    looked_into(page)  # no element is added to the Tab order
    start = dialog.get_by_role("button", name="Archive 1 folder")
    for _ in range(12):
        page.keyboard.press("Tab")
        if start.evaluate("(button) => button === document.activeElement"):
            break
    expect(start).to_be_focused()
    page.keyboard.press("Enter")
    expect(heading(page, "Queue")).to_be_visible()
    assert len(person.watch.sockets) == 1, "one connection per tab, whatever page it shows"


def test_the_look_is_kept(person: Person) -> None:
    """Colour scheme and row height survive a reload, in this browser."""
    page = person.page
    page.goto("/settings")
    page.get_by_role("button", name="Dark", exact=True).click()
    page.get_by_role("button", name="Compact").click()
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    page.reload()
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    expect(page.get_by_role("button", name="Compact")).to_have_attribute("aria-pressed", "true")


def test_logging_out_ends_it_everywhere(browser: Browser, stack: Stack, origin: str, login_state: StorageState) -> None:
    """The other tab also shows the login page, and returns to its place after the login."""
    context, _ = new_context(browser, origin)
    page, other = context.new_page(), context.new_page()
    page.goto("/login")
    login(page, "admin", PASSWORD)
    heading(page, "Folders").wait_for()
    other.goto("/history?status=failed")
    heading(other, "History").wait_for()
    expect(page.get_by_role("button", name="Account of admin")).to_have_text("admin")
    page.get_by_role("button", name="Log out").click()
    expect(heading(page, "Log in")).to_be_visible()
    expect(heading(other, "Log in")).to_be_visible()
    login(other, "admin", PASSWORD)
    expect(heading(other, "History")).to_be_visible()
    assert other.url.endswith("/history?status=failed")
    context.close()


def test_a_folder_is_looked_into_before_it_is_archived(person: Person, stack: Stack) -> None:
    """File types, largest files and subfolders; entries that cannot be archived, and why."""
    folder = stack.folder({"day 1/cam a/clip.mov": b"1" * 5000, "day 1/notes": b"1", "sound.wav": b"1" * 300}, name="Looked into")
    os.mkfifo(folder / "pipe")
    scan(stack, folder.name)
    page = person.page
    page.goto("/folders?q=Looked")
    page.get_by_role("button", name="Archive Looked into").click()
    look = page.get_by_role("region", name="Contents")
    expect(look.get_by_role("alert").filter(has_text="cannot be archived as it is")).to_contain_text("pipe")
    expect(look.get_by_role("alert").filter(has_text="2 media files in Looked into")).to_be_visible()
    expect(look).to_contain_text("mov 4.88 KB, wav 300 B, no extension 1 B")
    look.get_by_text("Inside Looked into").click()
    for line in ("mov1 file, 4.88 KB", "day 1/cam a/clip.mov4.88 KB", "day 1/2 files, 4.88 KB", "cam a/1 file, 4.88 KB"):
        expect(look.get_by_role("listitem").filter(has_text=line)).to_have_count(1)


def test_what_happens_to_many_folders_is_beside_the_button(person: Person, stack: Stack) -> None:
    """With 100 folders, warning, choice and totals are in view with the button, at both ends of the list, also on a phone."""
    names = [f"Many {number:03}" for number in range(100)]
    for name in names:
        stack.folder({"clip.mov": os.urandom(10 << 10)}, name=name)
    scan(stack, *names)
    page = person.page
    page.goto("/folders?q=Many")
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Go to page 2").click()
    expect(page.get_by_role("row", name=re.compile("Many 099"))).to_be_visible()
    page.get_by_label("Select all on this page").check()
    page.get_by_role("button", name="Review and archive").click()
    looked_into(page)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Archive 100 folders")).to_be_visible()
    plan = dialog.get_by_role("region", name="What will happen")
    shown = (
        plan.get_by_text("1000.00 KB in 100 files"),
        plan.get_by_text("The archives take about 700.00 KB"),
        plan.get_by_text("All 100 source folders are emptied at the end"),
        plan.get_by_text("Keep all 100 sources"),
        plan.get_by_role("button", name="Archive 100 folders"),
    )
    for viewport in (WIDE, PHONE):
        page.set_viewport_size(viewport)
        for place in (
            dialog.get_by_text("Many 000").first,
            dialog.get_by_text("Only the first 5 of 100 folders were inspected."),
        ):
            place.scroll_into_view_if_needed()
            expect(place).to_be_in_viewport()
            for part in shown:
                expect(part).to_be_in_viewport(ratio=1)
    dialog.get_by_role("button", name="Remove Many 099").click()
    expect(plan).to_contain_text("990.00 KB in 99 files")
    plan.get_by_label("Keep all 99 sources").check()
    expect(plan.get_by_text("Nothing is deleted on the NAS.")).to_be_in_viewport(ratio=1)


def test_pause_and_resume(person: Person, stack: Stack) -> None:
    """A paused job says so and does not advance. Resumed, it runs to the end."""
    folder = stack.folder(name="Hold on")
    scan(stack, folder.name)
    page = person.page
    page.add_init_script(script=TIME_TO_UNDO)
    with stack.frozen("compressor"):
        stack.archive(folder)
        open_job(stack, page, folder)
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("main [data-status]")).to_have_text("Paused")
        page.get_by_role("button", name="Undo").click()
        expect(page.locator("main [data-status]")).to_have_text("Queued")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("main [data-status]")).to_have_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator('[data-outcome="completed"]')).to_be_visible()


def test_an_admin_makes_and_deletes_a_user(person: Person, browser: Browser, origin: str) -> None:
    """The new user must choose a password, sees no administration, and is logged out at once when the account is deleted."""
    page = person.page
    page.goto("/admin/users")
    page.get_by_role("button", name="Create user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("User name").fill("jane")
    dialog.get_by_label("New password", exact=True).fill("a first password")
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator('[data-user="jane"]')).to_contain_text("must set a new password")
    expect(page.locator('[data-user="admin"]').get_by_role("button", name="Delete admin")).to_be_disabled()
    made = page.evaluate("() => new Intl.DateTimeFormat(undefined, {dateStyle: 'medium'}).format(new Date())")
    row = page.locator('tr[data-user="jane"]')
    expect(page.get_by_role("columnheader")).to_have_text(["User", "Created", "Last login", "Actions"])
    expect(row.get_by_role("cell").nth(1)).to_have_text(made)
    expect(row.get_by_role("cell").nth(2)).to_have_text("Never")
    page.set_viewport_size(PHONE)
    card = page.locator('li[data-user="jane"]')
    expect(card.get_by_role("term")).to_have_text(["Created", "Last login"])
    expect(card.get_by_role("definition")).to_have_text([made, "Never"])
    page.set_viewport_size(WIDE)

    context, _ = new_context(browser, origin)
    jane = context.new_page()
    jane.goto("/admin/users")
    login(jane, "jane", "a first password")
    jane.get_by_label("Current password").fill("a first password")
    jane.get_by_label("New password", exact=True).fill("a second password")
    jane.get_by_label("Repeat password").fill("a second password")
    jane.get_by_role("button", name="Change password").click()
    expect(heading(jane, "Folders")).to_be_visible()
    expect(jane.get_by_role("link", name="Users")).to_have_count(0)
    jane.goto("/admin/users")
    expect(heading(jane, "This page is for administrators")).to_be_visible()
    live(jane)

    page.get_by_role("button", name="Delete jane").click()
    confirm = page.get_by_role("dialog").get_by_role("button", name="Delete user")
    expect(confirm).to_be_disabled()
    page.get_by_label("Type jane to confirm").fill("jane")
    confirm.click()
    expect(page.locator('[data-user="jane"]')).to_have_count(0)
    expect(heading(jane, "Log in")).to_be_visible()
    context.close()


def test_the_queue_shows_what_is_at_work(person: Person, stack: Stack) -> None:
    """One card per lane: folder, step, and a bar with a number if there is one. Below it are the waiting jobs, in order."""
    stack.control.configure(bytes_per_second=20_000)  # minutes, until the test has seen it
    first = stack.archive(stack.folder({"film.mov": os.urandom(4 << 20)}, name="On its way"))
    stack.wait(first, "uploading")
    stack.stops_at("transition.compressing.after")
    second = stack.archive(stack.folder(name="Being packed"))
    with stack.holding("compressor"):
        third = stack.archive(stack.folder(name="In line"))
        page = person.page
        page.goto("/queue")
        lanes = page.get_by_role("region", name="Running now")
        packed, sent = lanes.locator(f'[data-job="{second}"]'), lanes.locator(f'[data-job="{first}"]')
        expect(packed).to_contain_text("Step 2/3: Compressing")
        expect(packed.get_by_role("progressbar")).to_be_visible()
        expect(sent).to_contain_text("Uploading")
        expect(sent.get_by_role("progressbar")).to_have_attribute("aria-valuenow", re.compile(r"\d+"))
        expect(sent).to_contain_text(" of ")
        waiting = page.get_by_role("row", name=re.compile("In line"))
        expect(waiting).to_contain_text("1")
        expect(waiting).to_contain_text("admin")
        expect(waiting.get_by_role("button", name="Cancel In line")).to_be_enabled()
    stack.control.configure(bytes_per_second=None)
    page.get_by_role("link", name="View history").click()
    expect(heading(page, "History")).to_be_visible()
    for job in (first, second, third):
        stack.wait(job, "completed")


def test_the_history_is_filtered_and_searched(person: Person, stack: Stack) -> None:
    """By result and by text. Each has its colour, icon, word and duration. The address keeps the filter, and it can be exported."""
    good, bad = stack.folder(name="Kept for good"), stack.folder(name="Kept out")
    os.mkfifo(bad / "pipe")
    stack.wait(stack.archive(good), "completed")
    stack.wait(stack.archive(bad), "failed")
    page = person.page
    page.goto("/history")
    page.get_by_label("Search the history").fill("Kept")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Completed", exact=True).click()
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text(re.compile(r"Kept for good.*Completed.*\d+(s|m)", re.DOTALL))
    expect(row.locator("[data-status] svg")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Failed")).click()
    expect(row).to_have_count(2)
    page.get_by_role("button", name="Completed", exact=True).click()
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Kept out")
    page.reload()
    expect(row).to_contain_text("Kept out")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    assert "Kept out" in Path(download.value.path()).read_text()
    page.get_by_role("button", name=re.compile("^Failed")).click()
    page.get_by_role("button", name="Cancelled", exact=True).click()
    expect(page.get_by_text("No matching jobs")).to_be_visible()


def test_the_history_is_by_end_and_can_be_sorted(person: Person, stack: Stack) -> None:
    """A retried job is sorted by its end, here and on the dashboard. Columns, days and users are in the address; so is the export."""
    retried = stack.folder({"a.bin": os.urandom(90_000)}, name="By end B retried")
    later = stack.folder({"a.bin": os.urandom(50_000)}, name="By end A later")
    os.mkfifo(retried / "pipe")
    first = stack.archive(retried)
    stack.wait(first, "failed")
    stack.wait(stack.archive(later), "completed")
    (retried / "pipe").unlink()
    assert stack.http.post(f"/api/jobs/{first}/retry").status_code == 200
    stack.wait(first, "completed")
    page = person.page
    page.goto("/dashboard")
    expect(page.locator("tbody tr").first).to_contain_text(retried.name)
    page.goto("/history?q=By end")
    rows = page.locator("tbody tr")
    expect(rows).to_contain_text([retried.name, later.name])
    expect(page.get_by_role("columnheader", name="Ended")).to_have_attribute("aria-sort", "descending")
    for column, by, expected in (
        ("Folder", "sort=name", [later.name, retried.name]),
        ("Folder", "sort=name&order=desc", [retried.name, later.name]),
        ("Size", "sort=size", [retried.name, later.name]),
        ("Size", "sort=size&order=asc", [later.name, retried.name]),
        ("Ended", "q=By", [retried.name, later.name]),
        ("Ended", "order=asc", [later.name, retried.name]),
    ):
        page.get_by_role("button", name=column, exact=True).click()
        expect(page).to_have_url(re.compile(by))
        expect(rows).to_contain_text(expected)
    page.reload()
    expect(rows).to_contain_text([later.name, retried.name])
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()[1:]
    assert [name in line for name, line in zip(expected, lines, strict=True)] == [True, True]

    page.get_by_label("Ended to").fill("2020-01-31")
    expect(page.get_by_text("No matching jobs")).to_be_visible()
    page.get_by_label("Ended to").fill("2099-01-31")
    page.get_by_label("Ended from").fill("2020-02-01")
    expect(rows).to_have_count(2)
    page.get_by_label("User", exact=True).fill("nobody-else")
    expect(page.get_by_text("No matching jobs")).to_be_visible()
    page.get_by_label("User", exact=True).fill("ADMIN")
    expect(rows).to_have_count(2)
    expect(page).to_have_url(re.compile("user=ADMIN"))
    page.get_by_role("button", name="Clear the filters").click()
    expect(page).to_have_url(re.compile(r"/history\?order=asc$"))
    page.set_viewport_size(PHONE)
    page.goto("/history?q=By end")
    cards = page.locator("li[data-row]")
    page.get_by_label("Sort by").select_option("name")
    expect(cards).to_contain_text([later.name, retried.name])
    page.get_by_role("button", name="Reverse the order").click()
    expect(cards).to_contain_text([retried.name, later.name])


def test_members_clear_only_their_own(browser: Browser, stack: Stack, origin: str) -> None:
    """No other option exists: the button and the question name the owner, and other users' jobs stay."""
    others = stack.folder(name="Others keep")
    stack.wait(stack.archive(others), "completed")
    member = {"username": "clearing member", "password": "a first password", "is_admin": False}
    assert stack.http.post("/api/users", json=member).status_code == 201
    own = stack.folder(name="Own goes")
    with httpx.Client(base_url=origin, trust_env=False, timeout=60) as client:
        login_as = {"username": member["username"], "password": member["password"]}
        token = client.post("/api/auth/login", json=login_as).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        scan(stack, own.name)
        made = client.post("/api/jobs", json={"folder_path": str(own)}, headers=headers)
        assert made.status_code == 201, made.text
    stack.wait(made.json()["job_id"], "completed")
    context, _ = new_context(browser, origin)
    page = context.new_page()
    page.goto("/login?next=/history")
    login(page, member["username"], member["password"])
    expect(page.get_by_role("row", name=re.compile(own.name))).to_be_visible()
    expect(page.get_by_role("button", name="Clear completed")).to_have_count(0)
    expect(page.get_by_label("User", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Clear my completed").click()
    dialog = page.get_by_role("dialog", name="Clear your completed jobs from the history?")
    expect(dialog).to_contain_text("1 completed job that you requested disappears")
    dialog.get_by_label("Type 1 to confirm").fill("1")
    dialog.get_by_role("button", name="Clear jobs").click()
    expect(page.get_by_role("row", name=re.compile(own.name))).to_have_count(0)
    expect(page.get_by_role("row", name=re.compile(others.name))).to_be_visible()
    expect(page.get_by_role("button", name="Clear my completed")).to_be_disabled()
    context.close()


def test_while_the_gateway_is_silent_nothing_can_be_pressed(person: Person, stack: Stack) -> None:
    """It is suspended with open sockets. Every page's actions are disabled with the reason, also in an open dialog. Then they return."""
    folder, waiting = stack.folder(name="Not now"), stack.folder(name="Waits meanwhile")
    scan(stack, folder.name, waiting.name)
    context = person.page.context
    pages = {name: context.new_page() for name in ("folders", "queue", "files", "users", "dialog")}
    person.watch.expect("/api/", "WebSocket")
    with stack.frozen("compressor"):
        job = stack.archive(waiting)
        for name, path in {
            "folders": "/folders?q=Not now",
            "queue": "/queue",
            "files": "/files",
            "users": "/admin/users",
            "dialog": "/folders?q=Not now",
        }.items():
            pages[name].goto(path)
            live(pages[name])
        pages["dialog"].get_by_role("button", name="Archive Not now").click()
        looked_into(pages["dialog"])
        actions = [
            pages["folders"].get_by_role("button", name="Archive Not now"),
            pages["folders"].get_by_role("button", name="Scan now"),
            pages["queue"].get_by_role("button", name=f"Cancel {waiting.name}"),
            pages["queue"].get_by_role("button", name=f"Pause {waiting.name}"),
            pages["files"].get_by_role("button", name="Upload", exact=True),
            pages["users"].get_by_role("button", name="Create user"),
            pages["dialog"].get_by_role("button", name="Archive 1 folder"),
        ]
        for action in actions:
            expect(action).to_be_enabled()
        with stack.frozen("gateway"):
            for action in actions:
                action.page.bring_to_front()
                expect(action).to_be_disabled()
                expect(action).to_have_attribute("title", re.compile("The gateway does not answer"))
                expect(action.page.get_by_text("The gateway does not answer. Actions are disabled until it does.")).to_be_visible()
        for action in actions:
            action.page.bring_to_front()
            expect(action).to_be_enabled()
            expect(action.page.get_by_text("The gateway does not answer. Actions are disabled until it does.")).to_have_count(0)
        assert stack.http.delete(f"/api/jobs/{job}").status_code == 204


def test_completed_jobs_are_cleared(person: Person, stack: Stack) -> None:
    """After a question that states their number, they leave the list. Failed ones stay."""
    stack.wait(stack.archive(stack.folder(name="Cleared away")), "completed")
    page = person.page
    page.goto("/history")
    row = page.get_by_role("row", name=re.compile("Cleared away"))
    expect(row).to_be_visible()
    page.get_by_role("button", name="Clear completed").click()
    dialog = page.get_by_role("dialog")
    confirm = dialog.get_by_role("button", name="Clear jobs")
    expect(confirm).to_be_disabled()
    number = re.sub(r"\D", "", dialog.locator("label").inner_text())
    dialog.get_by_label(re.compile("^Type")).fill(number)
    confirm.click()
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Completed", exact=True).click()
    expect(page.get_by_text("No matching jobs")).to_be_visible()


def test_folders_that_are_never_offered_are_shown_with_the_reason(person: Person, stack: Stack) -> None:
    """On request, beside the archived ones: only a text file, nothing at all, a name that no marker could have."""
    level2 = "Left out"
    stack.folder({"film.mov": b"x"}, name="Offered one", level2=level2)
    stack.folder({"readme.txt": b"x"}, name="Only a note", level2=level2)
    stack.folder({"sub": None}, name="Nothing in it", level2=level2)
    stack.folder({"film.mov": b"x"}, name="n" * 233, level2=level2)
    scan(stack, "Offered one")
    page = person.page
    page.goto("/folders")
    page.get_by_label("Search folders").fill(level2)
    expect(page.get_by_role("button", name="Archive Offered one")).to_be_visible()
    expect(page.get_by_text("Only a note")).to_have_count(0)

    page.get_by_label("Show archived and ignored").check()

    for name, reason in (("Only a note", "Only a text file"), ("Nothing in it", "Empty"), ("n" * 233, "Unsupported name")):
        row = page.get_by_role("row").filter(has_text=name)
        expect(row).to_contain_text(reason)
        expect(row.get_by_role("button", name=re.compile("^Archive "))).to_have_count(0)
    expect(page.get_by_role("button", name="Archive Offered one")).to_be_visible()


_MANY = """INSERT INTO folders (path, name, level1, level2, size_bytes, file_count, modified_at, is_archived, scanned_at)
SELECT '/nas/Many/2024/Reel ' || n, 'Reel ' || n, 'Many', '2024', 1048576, 1, now(), n > 130, now() FROM generate_series(1, 140) AS n"""


@pytest.fixture
def many(stack: Stack) -> Iterator[None]:
    """130 offered folders in one category, and ten archived ones."""
    stack.sql(_MANY)
    yield
    stack.sql("DELETE FROM folders WHERE level1 = 'Many'")


@pytest.mark.usefixtures("many")
def test_all_that_match_are_selected_and_a_reload_keeps_them(person: Person, stack: Stack) -> None:
    """Across all pages, by the current filter, without folders that cannot be archived. A new login begins without a selection."""
    page = person.page
    page.goto("/folders?level1=Many&archived=1&q=Reel")
    bar = page.get_by_role("region", name="Selected folders")
    page.get_by_label("Select Reel 1", exact=True).check()
    bar.get_by_role("button", name="Select all that match").click()
    expect(bar).to_contain_text("130 folders, 130.00 MB")
    page.get_by_role("button", name="Go to page 2").click()
    expect(page.get_by_label("Select Reel 50", exact=True)).to_be_checked()
    page.get_by_label("Select Reel 50", exact=True).uncheck()
    expect(bar).to_contain_text("129 folders")
    page.reload()
    expect(bar).to_contain_text("129 folders")
    expect(page.get_by_label("Select Reel 50", exact=True)).not_to_be_checked()
    page.goto("/folders?q=Reel 13&archived=1")  # on every page, the selection stays
    expect(bar).to_contain_text("129 folders")
    stack.sql("UPDATE folders SET is_archived = true WHERE name = 'Reel 13'")
    page.reload()
    expect(bar).to_contain_text("128 folders")
    person.watch.expect("/api/folders/preview")  # only the list has these folders
    bar.get_by_role("button", name="Review and archive").click()
    expect(page.get_by_role("dialog", name="Archive 128 folders")).to_be_visible()
    page.keyboard.press("Escape")
    page.evaluate("() => localStorage.setItem('cs-archiver.login', new Date().toISOString())")
    page.reload()
    expect(page.get_by_label("Select Reel 130", exact=True)).not_to_be_checked()
    expect(bar).to_have_count(0)


@pytest.mark.usefixtures("many")
def test_more_than_can_be_selected_at_once_is_said(person: Person, stack: Stack) -> None:
    """The first thousand are selected, and a message gives the total."""
    page = person.page
    stack.sql(_MANY.replace("2024/Reel", "2025/Reel").replace("1, 140", "1, 1200").replace("n > 130", "false"))
    page.goto("/folders?level1=Many")
    page.get_by_label("Select all on this page").check()
    bar = page.get_by_role("region", name="Selected folders")
    bar.get_by_role("button", name="Select all that match").click()
    said(page, "1,000 of 1,330 folders are selected, the first in this order.")
    expect(bar).to_contain_text("1,000 folders")


_CONTAINED = """() => [...document.querySelectorAll('main .MuiButton-contained')]
  .filter((e) => e.checkVisibility({visibilityProperty: true})).length"""


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("width", [1280, 1024, 390])
def test_the_list_of_folders_keeps_its_head_its_rows_and_one_main_action(person: Person, width: int) -> None:
    """The column headings stay below the top bar. Rows stay rows on a small laptop. One button is filled, with or without a selection."""
    page = person.page
    page.set_viewport_size({"width": width, "height": 768})
    page.goto("/folders?level1=Many")
    expect(page.locator("[data-row]")).to_have_count(50)
    wide = page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]
    assert page.evaluate(_CONTAINED) == 1
    page.get_by_role("button", name="Review and archive").click()
    said(page, "Select the folders to archive first.")
    expect(page.get_by_label("Select Reel 1", exact=True)).to_be_focused()
    if width >= 1024:
        page.locator("[data-row]").last.scroll_into_view_if_needed()
        head = page.get_by_role("columnheader", name="Size")
        box, bar = head.bounding_box(), page.locator("header").first.bounding_box()
        assert box is not None
        assert bar is not None
        assert abs(box["y"] - bar["y"] - bar["height"]) <= 1, (box, bar)
        assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).closest('th')?.textContent", _middle(box)) == "Size"
    else:
        expect(page.get_by_role("table")).to_have_count(0)
    page.keyboard.press("Space")
    expect(page.get_by_role("region", name="Selected folders")).to_be_visible()
    assert page.evaluate(_CONTAINED) == 1


def _middle(box: FloatRect) -> list[float]:
    return [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
