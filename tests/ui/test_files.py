"""What people do with files, packs and archives, in a real browser against the real stack."""

import hashlib
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download, Locator, Page, Route, StorageState, expect

from tests.support.stack import PASSWORD, Stack, until
from tests.ui.browser import PHONE, login, new_context, said
from tests.ui.conftest import Person, film
from tests.ui.test_browser import heading, live


@pytest.fixture
def workspace(stack: Stack) -> Iterator[Stack]:
    """The stack with an empty workspace, before and after."""
    _empty(stack)
    yield stack
    _empty(stack)


@pytest.fixture
def person(workspace: Stack, person: Person) -> Person:
    """Leaves before the workspace is emptied: its page may still be reading what is in there."""
    assert workspace
    return person


def _empty(stack: Stack) -> None:
    for entry in stack.http.get("/api/files").json():
        stack.http.delete("/api/files", params={"path": entry["path"], "recursive": "true"})


def put(stack: Stack, path: str, content: bytes) -> None:
    """A file in the admin's workspace, with the folders above it."""
    if above := path.rpartition("/")[0]:
        assert stack.http.post("/api/files/folders", json={"path": above, "parents": True}).status_code == 201
    assert stack.http.put("/api/files/content", params={"path": path}, content=content).status_code == 201


def menu(page: Page, name: str, action: str | re.Pattern[str]) -> None:
    """Choose from an entry's menu."""
    page.get_by_role("button", name=f"Actions for {name}", exact=True).click()
    page.get_by_role("menu").get_by_role("menuitem", name=action).click()


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_label(f"Select {name}", exact=True))


def saved(download: Download) -> bytes:
    return Path(download.path()).read_bytes()


_DROP = """([name, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name));
  for (const type of ['dragenter', 'dragover', 'drop']) {
    window.dispatchEvent(new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
  }
}"""


def test_files_go_up_and_come_down(person: Person, workspace: Stack) -> None:
    """A new folder, an upload in several parts, one by drop; a name that is taken is asked about; what comes down is what went up."""
    page = person.page
    content = os.urandom((16 << 20) + 12345)  # two parts
    with page.expect_response("**/api/files/uploads"):  # asked for by what takes drops, once it does
        page.goto("/files")
    expect(page.get_by_text("Your workspace is empty")).to_be_visible()
    page.get_by_role("button", name="New folder").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Drehtag 1 & mehr")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    page.get_by_role("link", name="Drehtag 1 & mehr").click()
    expect(page.get_by_role("navigation", name="Breadcrumbs")).to_contain_text("Drehtag 1 & mehr")
    film = {"name": "größer.mov", "mimeType": "video/quicktime", "buffer": content}
    page.locator('[data-upload="files"]').set_input_files([film])
    expect(page.locator('[data-upload-state="done"]')).to_contain_text("größer.mov")
    page.evaluate(_DROP, ["dropped.txt", "from a drop"])
    expect(row(page, "dropped.txt")).to_be_visible()
    expect(page.get_by_text("2 files uploaded")).to_be_visible()

    with page.expect_download() as download:
        page.get_by_role("link", name="Download größer.mov").click()
    assert download.value.suggested_filename == "größer.mov"
    assert hashlib.sha256(saved(download.value)).digest() == hashlib.sha256(content).digest()

    person.watch.expect("/api/files/content", "409 (Conflict)")
    page.evaluate(_DROP, ["dropped.txt", "the second"])
    expect(page.locator('[data-upload-state="taken"]')).to_contain_text("already")
    page.get_by_role("button", name="Replace dropped.txt").click()
    expect(page.locator('[data-upload-state="taken"]')).to_have_count(0)
    expect(page.get_by_text("3 files uploaded")).to_be_visible()
    path = "Drehtag 1 & mehr/dropped.txt"
    assert workspace.http.get("/api/files/content", params={"path": path}).content == b"the second"


def test_an_upload_outlives_a_break(person: Person, workspace: Stack, tmp_path: Path) -> None:
    """Two files and a folder are dropped; one is cancelled; another waits while nobody answers, and goes on after a reload."""
    page, network = person.page, person.page.context.new_cdp_session(person.page)
    (tmp_path / "Shots" / "nothing in it").mkdir(parents=True)
    (tmp_path / "Shots" / "one.txt").write_bytes(b"one")
    (tmp_path / "two.txt").write_bytes(b"two")
    large = tmp_path / "large.mov"
    large.write_bytes(os.urandom((16 << 20) + 9))  # two parts
    with page.expect_response("**/api/files/uploads"):  # asked for by what takes drops, once it does
        page.goto("/files")
    expect(page.get_by_text("Your workspace is empty")).to_be_visible()
    dragged = {"items": [], "files": [str(tmp_path / name) for name in ("Shots", "two.txt")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        network.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 500, "data": dragged})
    expect(page.get_by_text("2 files uploaded")).to_be_visible()
    page.get_by_role("link", name="Shots", exact=True).first.click()
    expect(row(page, "nothing in it")).to_be_visible()
    page.get_by_role("button", name="Clear finished").click()

    person.watch.expect("net::ERR_CONNECTION_FAILED")
    ranges: list[str] = []

    def first_part_only(route: Route) -> None:
        ranges.append(route.request.headers["content-range"])
        if len(ranges) <= 2:
            route.continue_()
        else:
            route.abort("connectionfailed")

    page.route("**/api/files/content*", first_part_only)
    for name in (large.name, "waits.bin"):
        other = [{"name": name, "mimeType": "", "buffer": b"1"}]
        page.locator('[data-upload="files"]').set_input_files(large if name == large.name else other)
    uploads = page.get_by_role("region", name="Uploads")
    expect(uploads).to_contain_text("The gateway does not answer.")
    page.get_by_role("button", name="Cancel the upload of waits.bin").click()
    expect(uploads).not_to_contain_text("waits.bin")
    page.on("dialog", lambda asked: asked.accept())  # "leave the page?"
    page.reload()
    expect(uploads.locator('[data-upload-state="unfinished"]')).to_contain_text("16 MB of 16 MB have arrived")
    page.unroute("**/api/files/content*")  # not before: the page that was left would have gone on by itself
    with page.expect_request(lambda request: "bytes 16777216-" in request.headers.get("content-range", "")):
        page.locator('[data-upload="files"]').set_input_files(large)
    expect(page.get_by_text("1 file uploaded")).to_be_visible()
    assert workspace.http.get("/api/files/content", params={"path": "Shots/large.mov"}).content == large.read_bytes()


def test_the_tree_leads_through_the_folders(person: Person, workspace: Stack) -> None:
    """An address opens the way to its folder; arrows open, close and walk, Enter goes there; back goes back; a phone unfolds it."""
    page = person.page
    put(workspace, "a/b/deep.txt", b"1")
    put(workspace, "c/x.txt", b"1")
    page.goto("/files?path=a")
    tree = page.get_by_role("tree", name="Folder tree")
    item = tree.get_by_role("treeitem")
    expect(item).to_have_text(["Workspace", "a", "b", "c"])
    expect(tree.locator('[aria-current="page"]')).to_have_text("a")
    item.first.focus()
    for key in ("ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    expect(item).to_have_text(["Workspace", "a", "c"])
    for key in ("End", "ArrowLeft", "ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile(r"path=a%2Fb"))
    expect(row(page, "deep.txt")).to_be_visible()
    page.get_by_role("button", name="New folder").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)  # it was about the folder that was left
    expect(tree.locator('[aria-current="page"]')).to_have_text("a")

    page.set_viewport_size(PHONE)
    page.get_by_text("Folder tree").click()
    page.get_by_role("treeitem", name="c", exact=True).click()
    expect(page.get_by_role("link", name="Download x.txt")).to_be_visible()


def test_entries_are_chosen_as_in_a_file_manager(person: Person, workspace: Stack) -> None:
    """Click, Ctrl and Shift; the keyboard alone; the menu of the keyboard is about all that is chosen; a long press opens it, too."""
    page = person.page
    for letter in "abcde":
        put(workspace, f"{letter}.txt", b"1")
    page.goto("/files")
    bar = page.get_by_role("region", name="Selected entries")
    row(page, "b.txt").click()
    row(page, "d.txt").click(modifiers=["Shift"])
    expect(bar).to_contain_text("3 entries")
    row(page, "c.txt").click(modifiers=["ControlOrMeta"])
    row(page, "a.txt").click(modifiers=["ControlOrMeta"])
    expect(bar).to_contain_text("3 entries")
    row(page, "e.txt").click()
    expect(bar).to_contain_text("1 entry")
    page.keyboard.press("Escape")
    expect(bar).to_have_count(0)

    page.get_by_label("Select a.txt").focus()
    page.keyboard.press("Space")
    page.get_by_label("Select c.txt").focus()
    page.keyboard.press("Shift+Space")
    expect(bar).to_contain_text("3 entries")
    page.keyboard.press("j")
    page.keyboard.press("Shift+ArrowDown")
    expect(bar).to_contain_text("5 entries")
    page.keyboard.press("Shift+F10")
    page.get_by_role("menu", name="Actions for 5 entries").get_by_role("menuitem", name="Delete").click()
    expect(page.get_by_role("dialog", name="Delete 5 entries?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    bar.get_by_role("button", name="Clear selection").click()
    page.set_viewport_size(PHONE)
    page.get_by_label("Select b.txt").dispatch_event("contextmenu")  # what a long press sends
    expect(page.get_by_role("menu", name="Actions for b.txt")).to_be_visible()


def test_lists_are_searched_sorted_and_kept_in_the_address(person: Person, workspace: Stack) -> None:
    """Search here and below, sort, rename, move; a reload shows the same; the menu opens by the right button, too."""
    page = person.page
    for path, size in (("a/small.txt", 1), ("a/large.txt", 5000), ("a/b/deep.txt", 10), ("target/x", 1)):
        put(workspace, path, b"." * size)
    page.goto("/files?path=a")
    names = page.locator("tbody [data-row] a")
    expect(names).to_have_text(["b", "large.txt", "small.txt"])
    page.get_by_role("button", name="Size", exact=True).click()
    expect(names).to_have_text(["b", "small.txt", "large.txt"])
    page.get_by_label("Also in folders below").click()
    expect(page.get_by_label("Also in folders below")).to_be_checked()
    page.get_by_label("Search files").fill("deep")
    expect(names).to_have_text(["deep.txt"])
    page.reload()
    expect(names).to_have_text(["deep.txt"])
    page.get_by_label("Search files").fill("nothing like it")
    expect(page.get_by_text("Nothing here is called that")).to_be_visible()
    page.get_by_role("button", name="Clear the search").last.click()

    row(page, "small.txt").click(button="right")
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_role("dialog").get_by_label("Name").fill("tiny.txt")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    menu(page, "tiny.txt", re.compile("^Move"))
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="One folder up").click()
    dialog.get_by_role("button", name="target").click()
    dialog.get_by_role("button", name="Move here").click()
    expect(row(page, "tiny.txt")).to_have_count(0)
    page.goto("/files?path=target")
    expect(row(page, "tiny.txt")).to_be_visible()


def test_deleting_asks_for_the_name(person: Person, workspace: Stack) -> None:
    """How much goes is said, the name or the number must be typed, the safe button has the focus."""
    page = person.page
    for path in ("old/a", "old/b", "1.txt", "2.txt"):
        put(workspace, path, b"12345")
    page.goto("/files")
    menu(page, "old", re.compile("^Delete"))
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 files, 10 B")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    expect(dialog.get_by_role("button", name="Delete for ever")).to_be_disabled()
    dialog.get_by_label("Type old to confirm").fill("old")
    dialog.get_by_role("button", name="Delete for ever").click()
    expect(row(page, "old")).to_have_count(0)

    for name in ("1.txt", "2.txt"):
        page.get_by_label(f"Select {name}").check()
    page.get_by_role("region", name="Selected entries").get_by_role("button", name="Delete").click()
    dialog.get_by_label("Type 2 to confirm").fill("2")
    dialog.get_by_role("button", name="Delete for ever").click()
    expect(page.get_by_text("Your workspace is empty")).to_be_visible()
    assert workspace.http.get("/api/files").json() == []


def test_a_folder_is_packed_and_fetched(person: Person, workspace: Stack) -> None:
    """The question says in red that the folder goes; the tray follows the task live; the archive holds the folder, which is gone."""
    page = person.page
    put(workspace, "Shoot/a.mov", os.urandom(2 << 20))
    put(workspace, "Shoot/notes/read me.txt", b"hello")
    page.goto("/files")
    live(page)
    with workspace.frozen("compressor"):
        menu(page, "Shoot", re.compile("^Pack"))
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("2 MB in 2 files")
        expect(dialog.locator("[data-deletes]")).to_contain_text("THE FOLDER IS DELETED")
        dialog.get_by_role("button", name="Pack, then delete the folder").click()
        page.get_by_role("button", name="Tasks 1 running").click()
        task = page.locator("[data-task]").first
        expect(task).to_have_attribute("data-word", "pending")
        expect(task.get_by_role("progressbar")).to_be_visible()
        expect(task).to_contain_text("2 MB reserved")
    expect(task).to_have_attribute("data-word", "done")
    with page.expect_download() as download:
        task.get_by_role("link", name="Download Shoot.zip").click()
    assert download.value.suggested_filename == "Shoot.zip"
    with zipfile.ZipFile(download.value.path()) as packed:
        assert {name for name in packed.namelist() if not name.endswith("/")} == {"Shoot/a.mov", "Shoot/notes/read me.txt"}
    page.keyboard.press("Escape")
    expect(row(page, "Shoot.zip")).to_be_visible()
    expect(row(page, "Shoot")).to_have_count(0)


def test_a_pack_is_cancelled_and_keeps_its_folder(person: Person, workspace: Stack) -> None:
    """Cancelling asks once; nothing stays but the folder. Too little space is said before anybody asks."""
    page = person.page
    put(workspace, "Stays/a.bin", b"1" * 1000)
    page.goto("/files")
    with workspace.frozen("compressor"):
        menu(page, "Stays", re.compile("^Pack"))
        page.get_by_label("Keep the source folder").check()
        page.get_by_role("dialog").get_by_role("button", name="Pack", exact=True).click()
        page.get_by_role("button", name="Tasks 1 running").click()
        page.get_by_role("button", name="Cancel Stays").click()
        question = page.get_by_role("dialog", name="Cancel Stays?")
        question.get_by_role("button", name="Cancel the task").click()
        expect(question).to_have_count(0)  # the live message may be quicker than the answer
        expect(page.locator("[data-task]").first).to_have_attribute("data-word", "cancelled")
    page.keyboard.press("Escape")
    expect(row(page, "Stays")).to_be_visible()

    admin = workspace.http.get("/api/auth/me").json()["id"]
    workspace.sql("UPDATE users SET quota_bytes = 1500 WHERE id = $1", admin)
    try:
        page.reload()
        menu(page, "Stays", re.compile("^Pack"))
        expect(page.locator("[data-short]")).to_contain_text("Not enough space")
        expect(page.get_by_role("button", name="Pack, then delete the folder")).to_be_disabled()
        workspace.sql("UPDATE users SET quota_bytes = 10 WHERE id = $1", admin)
        page.reload()
        expect(page.locator('[data-full="quota"]')).to_contain_text("Your workspace is full")
    finally:
        workspace.sql("UPDATE users SET quota_bytes = NULL WHERE id = $1", admin)


def test_an_archive_is_made_looked_into_and_extracted(person: Person, workspace: Stack) -> None:
    """7z with a password from two chosen things; its contents open with the password only; one entry is extracted elsewhere."""
    page = person.page
    put(workspace, "Shoot/a.txt", b"first")
    put(workspace, "report.txt", b"second")
    page.goto("/files")
    for name in ("Shoot", "report.txt"):
        page.get_by_label(f"Select {name}", exact=True).check()
    page.get_by_role("region", name="Selected entries").get_by_role("button", name="Create archive").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the archive").fill("both")
    dialog.get_by_label("Format").select_option("7z")
    dialog.get_by_label("Password (optional)").fill("open sesame")
    dialog.get_by_role("button", name="Create archive").click()
    expect(row(page, "both.7z")).to_be_visible()

    person.watch.expect("/api/archives/", "400 (Bad Request)")
    menu(page, "both.7z", "Show contents")
    expect(page.get_by_text("This archive asks for a password.")).to_be_visible()
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("password is wrong")
    page.get_by_label("Password", exact=True).fill("open sesame")
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_text("Shoot/a.txt")).to_be_visible()
    page.get_by_label("Search in the archive").fill("report")
    expect(page.get_by_text("Shoot/a.txt")).to_have_count(0)
    page.get_by_label("Choose report.txt").check()
    page.get_by_role("button", name="Extract 1 entry").click()
    extracting = page.get_by_role("dialog", name="Extract both.7z")
    extracting.get_by_label("Into folder").fill("out/here")
    extracting.get_by_role("button", name="Extract", exact=True).click()
    expect(extracting).to_have_count(0)

    def arrived() -> bool:
        found = workspace.http.get("/api/files/content", params={"path": "out/here/report.txt"})
        return found.status_code == 200 and found.content == b"second"

    until(arrived, "the extracted file", 60, workspace.stories)
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("^Tasks")).click()
    page.locator("[data-task]").filter(has_text="Extraction").get_by_role("link", name="Details").click()
    expect(page.locator('[data-outcome="completed"]')).to_contain_text("Extracted in")

    # Names that are no text can be chosen, too, though they look alike.
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        for name in (b"caf\xe9", b"caf\xe8", "caf\\xe9"):
            file.addfile(tarfile.TarInfo(os.fsdecode(name)))
    put(workspace, "odd.tar", packed.getvalue())
    page.goto("/files")
    live(page)
    menu(page, "odd.tar", "Show contents")
    page.get_by_label("Choose caf\\xe9").first.check()
    expect(page.get_by_label("Choose caf\\xe9").last).not_to_be_checked()
    page.get_by_role("button", name="Extract 1 entry").click()
    page.get_by_role("dialog", name="Extract odd.tar").get_by_role("button", name="Extract", exact=True).click()

    def unpacked() -> bool:
        found = workspace.http.get("/api/files", params={"path": "odd"})
        return found.status_code == 200 and [(one["name"], one["reachable"]) for one in found.json()] == [("caf\\xe9", False)]

    until(unpacked, "the entry whose name is no text", 60, workspace.stories)
    page.keyboard.press("Escape")

    menu(page, "both.7z", "Extract")
    dialog.get_by_label("Password, if it has one").fill("wrong")

    def when_it_has_failed(route: Route) -> None:
        """The list of tasks is read when this one is over already."""
        failed = {"kind": "extract", "status": "failed"}
        until(lambda: workspace.http.get("/api/jobs", params=failed).json(), "a failed extraction", 60, workspace.stories)
        route.continue_()

    page.route("**/api/jobs?*", when_it_has_failed)
    dialog.get_by_role("button", name="Extract", exact=True).click()
    said(page, "password is wrong")  # heard on the page, without the tray
    page.unroute_all(behavior="wait")


def test_media_files_say_what_they_are(person: Person, workspace: Stack, tmp_path: Path) -> None:
    """The drawer tells quality, streams and length, shows the picture of a moment and all of the film, or why there is none."""
    page = person.page
    put(workspace, "h264.mp4", film(tmp_path / "h264.mp4"))
    page.goto("/files")
    menu(page, "h264.mp4", "Media information")
    drawer = page.get_by_role("dialog", name="About h264.mp4")
    expect(drawer).to_contain_text("Very Low")
    expect(drawer).to_contain_text("H.264")
    picture = drawer.get_by_role("img", name="Picture at 00:00:02")
    expect(picture).to_be_visible()
    page.wait_for_function("(image) => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    drawer.get_by_role("button", name="Copy time").click()
    until(lambda: page.evaluate("() => navigator.clipboard.readText()") == "00:00:02", "the time in the clipboard", 60)
    drawer.get_by_role("button", name="Contact sheet").click()
    sheet = drawer.get_by_role("img", name="Pictures from all over the film")
    page.wait_for_function("(image) => image.complete && image.naturalWidth > 0", arg=sheet.element_handle())
    drawer.get_by_label("Time of the picture").fill("0")
    first = drawer.get_by_role("img", name="Picture at 00:00:00")
    expect(first).to_be_visible()
    page.wait_for_function("(image) => image.complete && image.naturalWidth > 0", arg=first.element_handle())

    person.watch.expect("/api/media/", "404 (Not Found)")
    workspace.http.delete("/api/files", params={"path": "h264.mp4"})
    drawer.get_by_label("Time of the picture").fill("1")
    expect(drawer.get_by_role("status")).to_contain_text("h264.mp4")  # why there is no picture, in the gateway's words


def test_another_user_sees_nothing_of_it(
    person: Person, browser: Browser, workspace: Stack, origin: str, login_state: StorageState
) -> None:
    """Files, packs and archives are their owner's; NAS folders may be forbidden, which is no empty list."""
    put(workspace, "Secret/a.txt", b"1")
    assert workspace.http.post("/api/archives", json={"paths": ["Secret"], "output": "secret.zip"}).status_code == 201
    account = {"username": "second", "password": PASSWORD, "must_change_password": False}
    made = workspace.http.post("/api/users", json=account)
    assert made.status_code == 201
    assert workspace.http.put("/api/config", json={"nas_browsing": "admins"}).status_code == 200
    context, watch = new_context(browser, origin)
    try:
        page = context.new_page()
        page.goto("/files")
        login(page, "second", PASSWORD)
        expect(heading(page, "Files")).to_be_visible()
        expect(page.get_by_text("Your workspace is empty")).to_be_visible()
        page.get_by_role("button", name="Tasks").click()
        expect(page.get_by_text("Nothing has been packed or archived yet.")).to_be_visible()
        page.keyboard.press("Escape")
        watch.expect("/api/files", "404 (Not Found)", "403 (Forbidden)")
        page.goto("/files?path=Secret")
        expect(page.locator('[data-trouble="404"]')).to_contain_text("This folder is not there any more")
        page.get_by_role("link", name="NAS, to look at").click()
        expect(page.locator('[data-trouble="403"]')).to_contain_text("You may not look at NAS folders here")
    finally:
        context.close()
        workspace.http.put("/api/config", json={"nas_browsing": "everybody"})
        workspace.http.delete(f"/api/users/{made.json()['id']}")
    person.page.goto("/files?root=nas")
    expect(row(person.page, "Team")).to_be_visible()
    expect(person.page.get_by_role("button", name="Upload", exact=True)).to_have_count(0)
