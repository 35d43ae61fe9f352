"""User actions on files, packs and archives, in a real browser on the real stack."""

import base64
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
    """The stack with a workspace that is empty before and after each test."""
    _empty(stack)
    yield stack
    _empty(stack)


@pytest.fixture
def person(workspace: Stack, person: Person) -> Person:
    """It leaves before the workspace is emptied, because its page may still be reading files there."""
    assert workspace
    return person


def _empty(stack: Stack) -> None:
    for entry in stack.http.get("/api/files").json():
        stack.http.delete("/api/files", params={"path": entry["path"], "recursive": "true"})


def put(stack: Stack, path: str, content: bytes) -> None:
    """Create a file in the admin's workspace, with its parent folders."""
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
    """A new folder, an upload in several parts, one by drop. A taken name causes a question. The download equals the upload."""
    page = person.page
    content = os.urandom((16 << 20) + 12345)  # two parts
    with page.expect_response("**/api/files/uploads"):  # the drop target loads it on demand
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

    person.watch.expect("/api/media/thumbnail", "422 (Unprocessable")
    page.get_by_role("link", name="größer.mov", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text("This is not a media file of a kind we know.")
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("link", name="Download größer.mov").click()
    page.keyboard.press("Escape")
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
    """Two files and a folder are dropped. One is cancelled; another waits while the server is away and continues after a reload."""
    page, network = person.page, person.page.context.new_cdp_session(person.page)
    (tmp_path / "Shots" / "nothing in it").mkdir(parents=True)
    (tmp_path / "Shots" / "one.txt").write_bytes(b"one")
    (tmp_path / "two.txt").write_bytes(b"two")
    large = tmp_path / "large.mov"
    large.write_bytes(os.urandom((16 << 20) + 9))  # two parts
    with page.expect_response("**/api/files/uploads"):  # the drop target loads it on demand
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
    expect(uploads.locator('[data-upload-state="unfinished"]')).to_contain_text("16.00 MB of 16.00 MB uploaded")
    page.unroute("**/api/files/content*")  # not before: the old page would have continued by itself
    with page.expect_request(lambda request: "bytes 16777216-" in request.headers.get("content-range", "")):
        page.locator('[data-upload="files"]').set_input_files(large)
    expect(page.get_by_text("1 file uploaded")).to_be_visible()
    assert workspace.http.get("/api/files/content", params={"path": "Shots/large.mov"}).content == large.read_bytes()


def test_the_tree_leads_through_the_folders(person: Person, workspace: Stack) -> None:
    """An address opens the path to its folder. Arrows open, close and move; Enter goes there; Back returns; a phone unfolds it."""
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
    expect(page.get_by_role("dialog")).to_have_count(0)  # it was about the previous folder
    expect(tree.locator('[aria-current="page"]')).to_have_text("a")

    page.set_viewport_size(PHONE)
    page.get_by_text("Folder tree").click()
    page.get_by_role("treeitem", name="c", exact=True).click()
    expect(page.get_by_role("link", name="x.txt")).to_be_visible()


def test_entries_are_chosen_as_in_a_file_manager(person: Person, workspace: Stack) -> None:
    """Click, Ctrl and Shift, or the keyboard alone. The keyboard's menu applies to the whole selection. A long press also opens it."""
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


def _pdf(words: str) -> bytes:
    """A PDF page with some text."""
    text = f"BT /F1 40 Tf 20 100 Td ({words}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    made, begins = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        begins.append(b"%010d 00000 n \n" % len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"xref\n0 6\n0000000000 65535 f \n" + b"".join(begins)
    return made + table + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(made)


_PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
_PDF_VIEWER = ("chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai/", "chrome://resources/")  # a part of the browser
_ATTACK = "<script>parent.attacked = window.attacked = true</script>"
_SEEN = "(image) => image.complete && image.naturalWidth > 0"


def test_a_click_previews_a_file(person: Person, workspace: Stack, tmp_path: Path) -> None:
    """Pictures, drawings, text, a PDF and a film are shown. None of them runs code, large texts are cut, keys move between them."""
    page = person.page
    put(workspace, "1 photo.png", _PIXEL)
    put(workspace, "2 drawing.svg", f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{_ATTACK}</svg>'.encode())
    put(workspace, "3 page.html", f"<h1>Größe</h1>{_ATTACK}".encode())
    put(workspace, "4 long.log", b"a line of a log\n" * 40_000)
    put(workspace, "5 plan.pdf", _pdf("Hello"))
    put(workspace, "6 film.mp4", film(tmp_path / "film.mp4"))
    put(workspace, "7 bytes.bin", bytes(range(256)) * 8)
    put(workspace, "8 broken.mov", b"no film")
    put(workspace, "9 empty.txt", b"")
    page.goto("/files")
    page.get_by_role("link", name="1 photo.png").click()
    dialog = page.get_by_role("dialog")
    photo = dialog.get_by_role("img", name="1 photo.png")
    page.wait_for_function(_SEEN, arg=photo.element_handle())
    page.keyboard.press("ArrowRight")
    drawing = dialog.get_by_role("img", name="2 drawing.svg")
    page.wait_for_function(_SEEN, arg=drawing.element_handle())
    page.keyboard.press("ArrowRight")
    source = dialog.get_by_role("group", name="Text of 3 page.html")
    expect(source).to_have_text(f"<h1>Größe</h1>{_ATTACK}")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("status")).to_contain_text("Only the first 256 KB are shown.")
    assert len(dialog.get_by_role("group").inner_text()) <= 256 * 1024
    person.watch.expect(*_PDF_VIEWER)
    page.keyboard.press("ArrowRight")
    frame = dialog.get_by_title("Pages of 5 plan.pdf")
    until(lambda: _dark_pixels(frame) > 100, "the words of the PDF", 60)
    dialog.get_by_role("button", name="Next file").click()
    film_ = dialog.get_by_label("Play 6 film.mp4")
    page.wait_for_function(
        "(film) => film.readyState >= 1 && film.duration > 2 && film.videoWidth === 320", arg=film_.element_handle()
    )
    dialog.get_by_role("button", name="Media information").click()
    expect(page.get_by_role("dialog", name="About 6 film.mp4")).to_contain_text("H.264")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    page.get_by_role("link", name="7 bytes.bin").click()
    expect(dialog.get_by_role("status")).to_contain_text("There is no preview for this kind of file")
    person.watch.expect("/api/media/thumbnail", "422 (Unprocessable")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("status")).to_contain_text("This browser cannot play this file")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("status")).to_contain_text("The file is empty")
    expect(dialog.get_by_role("button", name="Next file")).to_be_disabled()
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download 9 empty.txt").click()
    assert saved(download.value) == b""
    page.keyboard.press("Escape")
    assert page.evaluate("() => window.attacked") is None

    page.locator('[data-row="3 page.html"]').focus()
    page.keyboard.press("Enter")
    expect(source).to_be_visible()
    workspace.http.delete("/api/files", params={"path": "2 drawing.svg"})
    person.watch.expect("/api/files/content?path=2+drawing.svg", "404 (Not Found)")
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("alert")).to_contain_text("2 drawing.svg")  # why there is none, in the gateway's words
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.locator('[data-row="3 page.html"]')).to_be_focused()


def _dark_pixels(frame: Locator) -> int:
    """Return the number of nearly black pixels of the page in the frame."""
    image = frame.screenshot()
    count = """(png) => createImageBitmap(new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))])).then((image) => {
      const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
      canvas.drawImage(image, 0, 0);
      const {data} = canvas.getImageData(0, 0, image.width, image.height);
      let dark = 0;
      for (let at = 0; at < data.length; at += 4) if (data[at] + data[at + 1] + data[at + 2] < 40) dark += 1;
      return dark;
    })"""
    return int(frame.page.evaluate(count, base64.b64encode(image).decode()))


def test_the_size_of_a_folder_is_shown_on_demand(person: Person, workspace: Stack) -> None:
    """No folder is walked without a request. After it, the size follows the changes in the folder."""
    page, walks = person.page, list[str]()
    put(workspace, "Shoot/day 1/a.bin", b"1" * 3000)
    put(workspace, "Shoot/b.bin", b"1" * 72)
    put(workspace, "Other/c.bin", b"1")
    page.on("request", lambda request: walks.append(request.url) if "/api/files/info" in request.url else None)
    page.goto("/files")
    cell = row(page, "Shoot")
    cell.get_by_role("button", name="Show size of Shoot").click()
    expect(cell).to_contain_text("3.00 KB")
    expect(cell).to_contain_text("2 files")
    assert len(walks) == 1
    row(page, "Other").get_by_label("Select Other").check()
    page.get_by_role("region", name="Selected entries").get_by_role("button", name="Move").click()
    page.get_by_role("dialog").get_by_role("button", name="Shoot").click()
    page.get_by_role("dialog").get_by_role("button", name="Move here").click()
    expect(cell).to_contain_text("3 files")
    page.set_viewport_size(PHONE)
    page.get_by_role("button", name="Show size of Shoot").click()
    expect(page.locator('[data-row="Shoot"]')).to_contain_text("3 files")


def test_entries_are_dragged_onto_folders(person: Person, workspace: Stack) -> None:
    """Onto a row, the breadcrumbs and the tree: one entry or the whole selection, never into itself. Undo restores them."""
    page = person.page
    for path in ("one.txt", "two.txt", "three.txt", "into/x.txt", "into/deeper/y.txt"):
        put(workspace, path, path.encode())
    page.set_viewport_size({"width": 1360, "height": 860})
    with page.expect_response("**/DragMove*"):  # the drag handlers load after the list
        page.goto("/files")
    row(page, "one.txt").drag_to(row(page, "into"))
    expect(row(page, "one.txt")).to_have_count(0)
    assert workspace.http.get("/api/files/content", params={"path": "into/one.txt"}).content == b"one.txt"
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "one.txt")).to_be_visible()

    page.get_by_label("Select one.txt").check()
    page.get_by_label("Select two.txt").check()
    tree = page.get_by_role("tree", name="Folder tree")
    tree.get_by_role("treeitem", name="into").locator("[data-toggle]").click()
    row(page, "two.txt").drag_to(tree.get_by_role("treeitem", name="deeper"))
    expect(row(page, "two.txt")).to_have_count(0)
    expect(row(page, "three.txt")).to_be_visible()
    said(page, "Moved 2 entries to into/deeper")
    row(page, "into").drag_to(tree.get_by_role("treeitem", name="deeper"))  # refused without a request: into itself
    expect(row(page, "into")).to_be_visible()

    tree.get_by_role("treeitem", name="deeper").click()
    row(page, "one.txt").get_by_role("link", name="one.txt").drag_to(
        page.get_by_role("navigation", name="Breadcrumbs").get_by_role("link", name="into")
    )
    expect(row(page, "one.txt")).to_have_count(0)
    person.watch.expect("/api/files/move", "409 (Conflict)")
    put(workspace, "into/y.txt", b"in the way")
    row(page, "y.txt").drag_to(page.get_by_role("navigation", name="Breadcrumbs").get_by_role("link", name="into"))
    said(page, "could not be moved")
    expect(row(page, "y.txt")).to_be_visible()
    found = sorted(one["path"] for one in workspace.http.get("/api/files", params={"path": "into"}).json())
    assert found == ["into/deeper", "into/one.txt", "into/x.txt", "into/y.txt"]

    page.set_viewport_size({"width": 700, "height": 860})
    page.get_by_role("navigation", name="Breadcrumbs").get_by_role("link", name="into").click()
    card = page.locator('[data-row="into/one.txt"]')
    card.drag_to(page.locator('[data-row="into/deeper"]'))
    expect(card).to_have_count(0)


def test_lists_are_searched_sorted_and_kept_in_the_address(person: Person, workspace: Stack) -> None:
    """Search here and below, sort, rename, move. A reload shows the same. A right click also opens the menu."""
    page = person.page
    for path, size in (("a/small.txt", 1), ("a/large.txt", 5000), ("a/b/deep.txt", 10), ("target/x", 1)):
        put(workspace, path, b"." * size)
    page.goto("/files?path=a")
    names = page.locator("tbody [data-row] a")
    expect(names).to_have_text(["b", "large.txt", "small.txt"])
    page.get_by_role("button", name="Size", exact=True).click()
    expect(names).to_have_text(["b", "small.txt", "large.txt"])
    page.get_by_label("Include subfolders").click()
    expect(page.get_by_label("Include subfolders")).to_be_checked()
    page.get_by_label("Search files").fill("deep")
    expect(names).to_have_text(["deep.txt"])
    page.reload()
    expect(names).to_have_text(["deep.txt"])
    page.get_by_label("Search files").fill("nothing like it")
    expect(page.get_by_text("No matching entries")).to_be_visible()
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
    """The dialog shows how much is deleted, the name or the number must be typed, and the safe button has the focus."""
    page = person.page
    for path in ("old/a", "old/b", "1.txt", "2.txt"):
        put(workspace, path, b"12345")
    page.goto("/files")
    menu(page, "old", re.compile("^Delete"))
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 files, 10 B")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    expect(dialog.get_by_role("button", name="Delete permanently")).to_be_disabled()
    dialog.get_by_label("Type old to confirm").fill("old")
    dialog.get_by_role("button", name="Delete permanently").click()
    expect(row(page, "old")).to_have_count(0)

    for name in ("1.txt", "2.txt"):
        page.get_by_label(f"Select {name}").check()
    page.get_by_role("region", name="Selected entries").get_by_role("button", name="Delete").click()
    dialog.get_by_label("Type 2 to confirm").fill("2")
    dialog.get_by_role("button", name="Delete permanently").click()
    expect(page.get_by_text("Your workspace is empty")).to_be_visible()
    assert workspace.http.get("/api/files").json() == []


def test_a_folder_is_packed_and_fetched(person: Person, workspace: Stack) -> None:
    """The question says in red that the folder is deleted. The tray follows the task live. The archive holds the folder's content."""
    page = person.page
    put(workspace, "Shoot/a.mov", os.urandom(2 << 20))
    put(workspace, "Shoot/notes/read me.txt", b"hello")
    page.goto("/files")
    live(page)
    with workspace.frozen("compressor"):
        menu(page, "Shoot", re.compile("^Pack"))
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("2.00 MB in 2 files")
        expect(dialog.locator("[data-deletes]")).to_contain_text("THE FOLDER IS DELETED")
        dialog.get_by_role("button", name="Pack, then delete the folder").click()
        page.get_by_role("button", name="Tasks 1 running").click()
        task = page.locator("[data-task]").first
        expect(task).to_have_attribute("data-word", "pending")
        expect(task.get_by_role("progressbar")).to_be_visible()
        expect(task).to_contain_text("2.00 MB reserved")
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
    """One question for the cancel, and only the folder stays. Too little space is reported before any request."""
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
        expect(question).to_have_count(0)  # the live message may arrive before the response
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
    """7z with a password from two selected entries. Its content needs the password, and one entry is extracted elsewhere."""
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
    expect(page.get_by_text("This archive needs a password.")).to_be_visible()
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

    # Names that are not text can be selected too, although they look alike.
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
    dialog.get_by_label("Password (if required)").fill("wrong")

    def when_it_has_failed(route: Route) -> None:
        """The list of tasks is read after this one has ended."""
        failed = {"kind": "extract", "status": "failed"}
        until(lambda: workspace.http.get("/api/jobs", params=failed).json(), "a failed extraction", 60, workspace.stories)
        route.continue_()

    page.route("**/api/jobs?*", when_it_has_failed)
    dialog.get_by_role("button", name="Extract", exact=True).click()
    said(page, "password is wrong")  # a message on the page, without the tray
    page.unroute_all(behavior="wait")


def test_media_files_say_what_they_are(person: Person, workspace: Stack, tmp_path: Path) -> None:
    """The drawer shows quality, streams and length, the frame at a time and a contact sheet, or the reason why there is none."""
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
    sheet = drawer.get_by_role("img", name="Pictures from the whole film")
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
    """Files, packs and archives belong to their owner. If NAS folders are forbidden, the list says so and is not just empty."""
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
        expect(page.locator('[data-trouble="404"]')).to_contain_text("This folder no longer exists")
        page.get_by_role("link", name="NAS (read-only)").click()
        expect(page.locator('[data-trouble="403"]')).to_contain_text("You cannot browse NAS folders here")
    finally:
        context.close()
        workspace.http.put("/api/config", json={"nas_browsing": "everybody"})
        workspace.http.delete(f"/api/users/{made.json()['id']}")
    person.page.goto("/files?root=nas")
    expect(row(person.page, "Team")).to_be_visible()
    expect(person.page.get_by_role("button", name="Upload", exact=True)).to_have_count(0)


def test_finished_tasks_name_what_they_made(person: Person, workspace: Stack) -> None:
    """The tray downloads an archive. For an archive in parts, and for an extraction, it opens the folder."""
    page = person.page
    put(workspace, "Shoot/a.bin", os.urandom(300_000))
    assert workspace.http.post("/api/files/folders", json={"path": "out"}).status_code == 201
    made = [
        workspace.http.post("/api/archives", json={"paths": ["Shoot"], "output": "out/whole.zip"}),
        workspace.http.post("/api/archives", json={"paths": ["Shoot"], "output": "out/cut.7z", "volume_bytes": 100_000}),
    ]
    for answer in made:
        assert answer.status_code == 201, answer.text
        workspace.wait(answer.json()["job_id"], "completed")
    unpacked = workspace.http.post("/api/archives/extract", json={"path": "out/whole.zip", "destination": "back/here"})
    workspace.wait(unpacked.json()["job_id"], "completed")
    page.goto("/files")
    page.get_by_role("button", name=re.compile("^Tasks")).click()
    drawer = page.get_by_role("dialog")
    whole, cut = (drawer.locator(f'[data-task="{answer.json()["job_id"]}"]') for answer in made)
    expect(whole).to_contain_text("whole.zip, 29")
    with page.expect_download() as download:
        whole.get_by_role("link", name="Download whole.zip").click()
    assert download.value.suggested_filename == "whole.zip"
    with zipfile.ZipFile(download.value.path()) as packed:
        assert "Shoot/a.bin" in packed.namelist()
    expect(cut).to_contain_text("cut.7z.001 and 3 more parts")
    task = drawer.locator(f'[data-task="{unpacked.json()["job_id"]}"]')
    expect(task).to_contain_text("Extracted into back/here")
    task.get_by_role("link", name="Open the folder of").click()
    expect(drawer).to_have_count(0)
    expect(row(page, "Shoot")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Tasks")).click()
    cut.get_by_role("link", name="Open the folder of cut.7z.001").click()
    expect(row(page, "cut.7z.001")).to_be_visible()


@pytest.fixture
def auto_archive_is_off(workspace: Stack) -> Iterator[None]:
    yield
    workspace.http.put("/api/files/auto-archive", json={"everything": False, "folders": []}).raise_for_status()


@pytest.mark.usefixtures("auto_archive_is_off")
def test_auto_archive_zips_what_is_uploaded(person: Person, workspace: Stack) -> None:
    """First for one folder, then for the whole workspace. The zips hold the files, and the uploads stay."""
    page = person.page
    for folder in ("Inbox", "Elsewhere"):
        workspace.http.post("/api/files/folders", json={"path": folder}).raise_for_status()
    page.goto("/settings")
    section = page.get_by_role("region", name="Auto-archive")
    section.get_by_label("Folder", exact=True).fill("Inbox")
    section.get_by_role("button", name="Add folder").click()
    expect(section.get_by_role("button", name="Remove Inbox")).to_be_visible()
    expect(section.get_by_label("Folder", exact=True)).to_have_value("")
    _upload(page, "Elsewhere", "early.txt")
    _upload(page, "Inbox", "report.txt")
    expect(row(page, "report.txt.zip")).to_be_visible()
    expect(row(page, "report.txt")).to_be_visible()
    made = workspace.http.get("/api/files/content", params={"path": "Inbox/report.txt.zip"}).content
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.read("report.txt") == b"content of report.txt"

    page.goto("/settings")
    switch = section.get_by_label("In the whole workspace")
    switch.click()
    expect(switch).to_be_checked()
    expect(section.get_by_role("button", name="Remove Inbox")).to_be_disabled()  # stored, without effect
    page.reload()
    expect(switch).to_be_checked()
    _upload(page, "Elsewhere", "late.txt")
    expect(row(page, "late.txt.zip")).to_be_visible()
    expect(row(page, "early.txt.zip")).to_have_count(0)

    page.goto("/settings")
    switch.click()
    expect(switch).not_to_be_checked()
    section.get_by_role("button", name="Remove Inbox").click()
    expect(section.get_by_role("listitem")).to_have_count(0)
    now = workspace.http.get("/api/files/auto-archive").json()
    assert (now["everything"], now["folders"]) == (False, [])


def _upload(page: Page, folder: str, name: str) -> None:
    """Upload a file in the browser, and wait until it has arrived."""
    page.goto(f"/files?path={folder}")
    page.locator('[data-upload="files"]').set_input_files(
        [{"name": name, "mimeType": "text/plain", "buffer": f"content of {name}".encode()}]
    )
    expect(page.locator('[data-upload-state="done"]')).to_contain_text(name)


@pytest.mark.usefixtures("auto_archive_is_off")
def test_auto_archive_keeps_its_value_when_saving_fails(person: Person, workspace: Stack) -> None:
    """A refused path and a lost request are both reported, and the page shows the gateway's value."""
    workspace.http.put("/api/files/auto-archive", json={"folders": ["Inbox"]}).raise_for_status()
    page = person.page
    page.goto("/settings")
    section = page.get_by_role("region", name="Auto-archive")
    switch = section.get_by_label("In the whole workspace")
    person.watch.expect("/api/files/auto-archive", "400 (Bad Request)", "net::ERR_FAILED")
    section.get_by_label("Folder", exact=True).fill("../outside")
    section.get_by_role("button", name="Add folder").click()
    said(page, "'..'")
    expect(section.get_by_label("Folder", exact=True)).to_have_value("../outside")
    expect(section.get_by_role("listitem")).to_have_text(["Inbox"])

    page.route("**/api/files/auto-archive", lambda route: route.abort())
    switch.click()
    said(page, "The gateway does not answer.")
    expect(switch).not_to_be_checked()
    expect(switch).to_be_enabled()
    section.get_by_role("button", name="Remove Inbox").click()
    expect(section.get_by_role("button", name="Remove Inbox")).to_be_enabled()
    page.unroute("**/api/files/auto-archive")
    page.reload()
    expect(switch).not_to_be_checked()
    expect(section.get_by_role("listitem")).to_have_text(["Inbox"])
    switch.click()
    expect(switch).to_be_checked()


@pytest.mark.usefixtures("auto_archive_is_off")
def test_auto_archive_says_when_it_cannot_be_read(person: Person) -> None:
    """Without a response no switch is shown as off. A second try shows it."""
    page = person.page
    person.watch.expect("/api/files/auto-archive", "net::ERR_FAILED")
    page.route("**/api/files/auto-archive", lambda route: route.abort())
    page.goto("/settings")
    section = page.get_by_role("region", name="Auto-archive")
    expect(section.get_by_role("alert")).to_contain_text("This could not be loaded")
    expect(section.get_by_role("switch")).to_have_count(0)
    page.unroute("**/api/files/auto-archive")
    section.get_by_role("button", name="Try again").click()
    expect(section.get_by_role("switch")).to_be_enabled()
