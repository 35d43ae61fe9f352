"""Actions of administrators and token owners in a real browser on the real stack; the order of the queue; undo."""

import os
import re
from pathlib import Path

import httpx
from playwright.sync_api import Browser, StorageState, expect

from tests.support.stack import Stack
from tests.ui.browser import PHONE, TIME_TO_UNDO, login, new_context, said
from tests.ui.conftest import Person, scan
from tests.ui.test_browser import heading, live, open_job


def test_the_system_shows_what_runs(person: Person, stack: Stack) -> None:
    """Every service with its process, the engines, the storage. A failed job is an alert until it is dismissed. Globus is checked."""
    broken = stack.folder(name="Cannot be packed")
    os.mkfifo(broken / "pipe")
    stack.wait(stack.archive(broken), "failed")
    page = person.page
    page.goto("/admin/system")
    for service in ("scanner", "compressor", "uploader", "gateway"):
        expect(page.locator(f'[data-instance="{service}"]').first).to_contain_text("Running")
    expect(page.get_by_text("All events are published")).to_be_visible()
    expect(page.locator('[data-globus="emulated"]')).to_contain_text("not to a real collection")
    page.get_by_role("button", name="Check connection").click()
    expect(page.get_by_text("All checks passed. Uploads can start.")).to_be_visible()
    expect(page.locator('[data-listed="yes"]')).to_have_count(2)
    alert = page.locator('[data-alert="job_failed"]').filter(has_text=broken.name)
    alert.get_by_role("link", name="Open job").click()
    expect(heading(page, broken.name)).to_be_visible()

    page.get_by_role("button", name="Dismiss").click()
    said(page, "Job dismissed.")
    expect(page.get_by_role("button", name="Dismiss")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Dismiss")).to_be_visible()
    page.goto("/admin/system")
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_have_count(0)


def test_settings_are_changed_and_go_back(person: Person, stack: Stack) -> None:
    """A wrong value has its error beside the field, unsaved changes are guarded, the author is shown, and the default returns."""
    page = person.page
    page.goto("/admin/config")
    uploads = page.locator('[data-setting="upload_limit"]')
    field = uploads.get_by_role("textbox")
    field.fill("65")
    page.get_by_role("button", name="Save").click()
    expect(uploads).to_contain_text("Must be a whole number from 1 to 64.")
    expect(field).to_be_focused()
    field.fill("3")
    page.locator('[data-setting="min_free_disk"]').get_by_role("textbox").fill("90 MB")
    expect(page.get_by_role("region", name="Unsaved changes")).to_contain_text("Uploads: 1 → 3")

    page.get_by_role("link", name="Queue").first.click()
    dialog = page.get_by_role("dialog", name="Leave without saving?")
    dialog.get_by_role("button", name="Stay here").click()
    expect(heading(page, "Configuration")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    said(page, "2 settings saved")
    expect(uploads).to_contain_text("Changed by admin")
    assert stack.http.get("/api/config").json()["upload_limit"] == 3
    assert stack.http.get("/api/config").json()["min_free_disk"] == 90 << 20

    for name in ("Uploads", "Reserved free space"):
        page.get_by_role("button", name=f'Reset "{name}" to its default').click()
    expect(uploads).to_contain_text("Resets to the default: 1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("region", name="Unsaved changes")).to_have_count(0)
    expect(page.get_by_text("Changed by")).to_have_count(0)
    assert stack.http.get("/api/config").json()["overridden"] == []

    page.get_by_role("link", name="Change history").click()
    expect(page.get_by_role("row").filter(has_text="upload_limit from 1 to 3")).to_be_visible()


def test_unsaved_settings_hold_the_way_back(person: Person) -> None:
    """The browser's Back asks as a link does. Staying keeps the typed values. Leaving goes back, and then nothing is held any more."""
    page = person.page
    page.goto("/queue")
    page.get_by_role("link", name="Configuration").first.click()
    field = page.locator('[data-setting="upload_limit"]').get_by_role("textbox")
    field.fill("7")
    dialog = page.get_by_role("dialog", name="Leave without saving?")
    page.evaluate("() => window.history.back()")
    dialog.get_by_role("button", name="Stay here").click()
    expect(dialog).to_have_count(0)
    expect(field).to_have_value("7")
    assert page.url.endswith("/admin/config")
    page.evaluate("() => window.history.back()")
    dialog.get_by_role("button", name="Leave", exact=True).click()
    expect(heading(page, "Queue")).to_be_visible()
    assert page.url.endswith("/queue")
    page.evaluate("() => window.history.forward()")
    expect(heading(page, "Configuration")).to_be_visible()
    expect(field).to_have_value("1")


def test_a_page_whose_code_is_gone_says_so(person: Person) -> None:
    """After an update, its file has another name. The page says what to do, and the others still open."""
    page = person.page
    person.watch.expect("/assets/History-", "net::ERR_FAILED", "Failed to fetch dynamically imported module", "component: ")
    page.route("**/assets/History-*.js", lambda route: route.abort())
    page.goto("/queue")
    page.get_by_role("link", name="History").first.click()
    expect(heading(page, "Something went wrong on this page")).to_be_visible()
    expect(page.get_by_role("button", name="Reload the page")).to_be_visible()
    page.get_by_role("link", name="Queue").first.click()
    expect(heading(page, "Queue")).to_be_visible()


def test_the_audit_log_is_searched_paged_and_taken_away(person: Person, stack: Stack) -> None:
    """Filters are in the address and survive a reload. Pages go by cursor, forward and back. The files contain the matches."""
    for number in range(60):
        stack.http.put("/api/config", json={"delete_limit": number % 2 + 1})
    stack.http.put("/api/config", json={"reset": ["delete_limit"]})
    page = person.page
    page.goto("/admin/audit")
    page.get_by_label("Action", exact=True).select_option("settings_changed")
    page.get_by_label("User", exact=True).fill("admin")
    expect(page).to_have_url(re.compile("action=settings_changed.*actor=admin"))
    page.reload()
    rows = page.locator("tr[data-action]")
    expect(rows).to_have_count(50)
    expect(page.locator('tr[data-action="settings_changed"]')).to_have_count(50)
    page.get_by_role("button", name="Older").click()
    expect(page).to_have_url(re.compile("cursor="))
    expect(rows).not_to_have_count(50)
    page.get_by_role("button", name="Newer").click()
    expect(page.get_by_role("button", name="Newest")).to_have_count(0)
    expect(rows).to_have_count(50)

    for kind, begins in (("CSV", "id,at,actor"), ("NDJSON", '{"id":')):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download as {kind}").click()
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines[0].startswith(begins)
        assert all("settings_changed" in line for line in lines[1:])
        assert len(lines) > 50
    page.get_by_label("Search entries").fill("no such words anywhere")
    expect(page.get_by_text("No matching entries")).to_be_visible()
    page.get_by_role("button", name="Clear the filters").click()
    expect(page).to_have_url(re.compile("/admin/audit$"))


def test_quota_and_rights_of_a_user(person: Person, stack: Stack) -> None:
    """A quota is set at a user's creation, shown, changed and reset. Admin rights need a confirmation."""
    page = person.page
    page.goto("/admin/users")
    page.get_by_role("button", name="Create user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("User name").fill("quota")
    dialog.get_by_label("New password", exact=True).fill("a first password")
    dialog.get_by_label("Quota").fill("much")
    dialog.get_by_role("button", name="Create", exact=True).click()
    expect(dialog.get_by_text("Must be a size such as 20 GB, or empty.")).to_be_visible()
    dialog.get_by_label("Quota").fill("20 GB")
    dialog.get_by_role("button", name="Create", exact=True).click()
    row = page.locator('[data-user="quota"]')
    expect(row).to_contain_text("quota 20 GB")

    def known() -> dict[str, object]:
        return next(user for user in stack.http.get("/api/users").json() if user["username"] == "quota")

    assert known()["quota_bytes"] == 20 << 30
    for typed, shown in (("512 MB", "quota 512 MB"), ("", "default quota")):
        row.get_by_role("button", name="Set quota of quota").click()
        dialog.get_by_label("Quota").fill(typed)
        dialog.get_by_role("button", name="Save").click()
        expect(row).to_contain_text(shown)
    assert known()["quota_bytes"] is None

    row.get_by_role("button", name="Make admin").click()
    question = page.get_by_role("dialog", name="Make quota an administrator?")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    question.get_by_role("button", name="Cancel").click()
    expect(question).to_have_count(0)
    assert known()["is_admin"] is False
    row.get_by_role("button", name="Make admin").click()
    question.get_by_role("button", name="Make administrator").click()
    expect(row).to_contain_text("Administrator")
    assert known()["is_admin"] is True
    row.get_by_role("button", name="Make member").click()
    expect(row).to_contain_text("Member")


def test_a_token_is_made_used_and_revoked(person: Person, stack: Stack) -> None:
    """Its text is shown once. It gives access to the API within its scope, and none after it is revoked."""
    page = person.page
    page.goto("/settings")
    page.get_by_role("button", name="Create token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("nightly report")
    dialog.get_by_role("button", name="Create", exact=True).click()
    token = page.locator("[data-new-token]").inner_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=stack.http.base_url, trust_env=False, timeout=60, headers=headers) as client:
        assert client.get("/api/queue").status_code == 200
        assert client.delete("/api/jobs/completed").status_code == 403
        dialog.get_by_role("button", name="I have copied it").click()
        expect(dialog).to_be_hidden()
        page.reload()
        expect(page.locator('[data-token="nightly report"]')).to_contain_text("last used")
        expect(page.get_by_text(token)).to_have_count(0)
        page.get_by_role("button", name="Revoke nightly report").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke token").click()
        expect(page.locator('[data-token="nightly report"]')).to_have_count(0)
        assert client.get("/api/queue").status_code == 401


def test_a_proven_place_is_released(person: Person, stack: Stack) -> None:
    """Only if the destination is empty. Until then Globus refuses; afterwards the proofs no longer count."""
    folder = stack.folder(name="Given up")
    stack.wait(stack.archive(folder), "completed")
    page = person.page
    open_job(stack, page, folder)
    page.get_by_role("button", name="Release the destination").click()
    dialog = page.get_by_role("dialog", name="Release the destination of Given up?")
    expect(dialog).to_contain_text("no longer valid")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    person.watch.expect("/release-destination", "409 (Conflict)")
    dialog.get_by_role("button", name="Release").click()
    expect(dialog.get_by_role("alert")).to_contain_text("is not empty")
    stack.remote(folder).unlink()
    stack.sidecar(folder).unlink()
    dialog.get_by_role("button", name="Release").click()
    expect(page.get_by_text("No longer valid", exact=True)).to_have_count(3)
    expect(page.get_by_text("the destination path was released")).to_be_visible()
    expect(page.get_by_role("button", name="Release the destination")).to_have_count(0)


def test_the_queue_is_put_in_order(person: Person, browser: Browser, stack: Stack, origin: str, login_state: StorageState) -> None:
    """Down and to the top, visible to the other user as well. Pause and resume one or many; cancel all at once."""
    folders = [stack.folder(name=f"Order {letter}") for letter in "ABC"]
    page = person.page
    context, watch = new_context(browser, origin, storage_state=login_state)
    other = context.new_page()
    other.goto("/queue")
    live(other)
    with stack.frozen("compressor"):
        for folder in folders:
            stack.archive(folder)
        page.goto("/queue")
        live(page)
        for watched in (page, other):
            expect(watched.locator("tr[data-row]")).to_contain_text(["Order A", "Order B", "Order C"])
        page.get_by_role("button", name="Move Order C to the top").click()
        expect(page.locator("tr[data-row]")).to_contain_text(["Order C", "Order A", "Order B"])
        page.get_by_role("button", name="Move Order A down").click()
        for watched in (page, other):
            expect(watched.locator("tr[data-row]")).to_contain_text(["Order C", "Order B", "Order A"])
        page.get_by_role("button", name="Pause Order B").click()
        expect(page.locator("tr[data-row]").nth(1)).to_contain_text("Paused")
        page.get_by_role("button", name="Resume Order B").click()
        expect(page.get_by_role("button", name="Pause Order B")).to_be_visible()
        page.get_by_label("Select all waiting jobs").check()
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(other.get_by_role("button", name=re.compile("^Resume Order"))).to_have_count(3)
        page.get_by_role("button", name="Cancel 3 jobs").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel 3 jobs").click()
        expect(other.get_by_text("Nothing is waiting")).to_be_visible()
    context.close()
    assert watch.complaints == []


def test_places_are_chosen_from_lists(person: Person, stack: Stack) -> None:
    """Level 1, then level 2 below it. Both are in the address."""
    places = [("Choice", "2023", "Old one"), ("Choice", "2024", "New one"), ("Other choice", "2024", "Third one")]
    for level1, level2, name in places:
        stack.folder(name=name, level1=level1, level2=level2)
    scan(stack, *(name for _, _, name in places))
    page = person.page
    page.goto("/folders")
    page.get_by_label("Category", exact=True).select_option("Choice")
    expect(page.locator("tr[data-row]")).to_have_count(2)
    page.get_by_label("Subcategory").select_option("2024")
    expect(page.locator("tr[data-row]")).to_contain_text(["New one"])
    expect(page).to_have_url(re.compile("level1=Choice&level2=2024"))
    page.get_by_label("Category", exact=True).select_option("")
    expect(page.locator("tr[data-row]").filter(has_text="Third one")).to_have_count(1)


def test_a_line_of_the_log_has_an_address(person: Person, stack: Stack) -> None:
    """A click on its time creates the address. Opened again, it leads to that exact line."""
    folder = stack.folder(name="Linked")
    stack.wait(stack.archive(folder), "completed")
    page = person.page
    open_job(stack, page, folder)
    page.get_by_role("log").get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(r"#line-\d+$"))
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    line = page.locator('[aria-current="location"]')
    expect(line).to_be_in_viewport()
    assert line.get_attribute("id") == address.partition("#")[2]


def test_a_clearing_is_taken_back(person: Person, stack: Stack) -> None:
    """Completed jobs disappear for all users, and return with one click."""
    folder = stack.folder(name="Comes back")
    stack.wait(stack.archive(folder), "completed")
    page = person.page
    page.add_init_script(script=TIME_TO_UNDO)
    page.goto("/history?q=Comes")
    expect(page.get_by_role("row", name=re.compile(folder.name))).to_be_visible()
    page.get_by_role("button", name="Clear completed").click()
    dialog = page.get_by_role("dialog")
    number = re.sub(r"\D", "", dialog.locator("label").inner_text())
    dialog.get_by_role("textbox").fill(number)
    dialog.get_by_role("button", name="Clear jobs").click()
    expect(page.get_by_text("No matching jobs")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("row", name=re.compile(folder.name))).to_be_visible()


def test_a_phone_reaches_every_page(browser: Browser, stack: Stack, origin: str, login_state: StorageState) -> None:
    """Pages that do not fit into the bar are under "More". Administrators' pages are refused to other users."""
    context, watch = new_context(browser, origin, storage_state=login_state, viewport=PHONE, has_touch=True)
    page = context.new_page()
    page.goto("/queue")
    page.get_by_role("button", name="More").click()
    page.get_by_role("dialog").get_by_role("link", name="Audit log").click()
    expect(heading(page, "Audit log")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    context.close()
    assert watch.complaints == []

    member = {"username": "member", "password": "a first password", "is_admin": False}
    assert stack.http.post("/api/users", json=member).status_code == 201
    context, watch = new_context(browser, origin)
    page = context.new_page()
    page.goto("/login")
    login(page, "member", "a first password")
    heading(page, "Folders").wait_for()
    for path in ("/admin/system", "/admin/config", "/admin/audit"):
        page.goto(path)
        expect(heading(page, "This page is for administrators")).to_be_visible()
    context.close()
    assert watch.complaints == []
