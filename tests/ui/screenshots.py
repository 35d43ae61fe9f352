"""`make screenshots`: every page, light and dark, wide and on a phone, of the real stack with a realistic NAS.

Screenshots that the documentation shows go into docs/screenshots. All others are build output in .state/screenshots.
"""

import itertools
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, StorageState

from tests.support.stack import PASSWORD, Stack, running_stack, until
from tests.ui.browser import PHONE, WIDE, chromium, login, new_context
from tests.ui.conftest import film

ROOT = Path(__file__).parents[2]
OUT = ROOT / "docs" / "screenshots"
UNSHOWN = ROOT / ".state" / "screenshots"
SHOWN = frozenset(
    {
        *("dashboard-light-wide", "folders-light-wide", "queue-dark-wide", "job-proof-dark-wide", "review-light-wide"),
        *("files-light-wide", "history-light-wide", "job-failed-light-wide", "media-dark-wide", "system-dark-wide"),
        *("dashboard-dark-phone", "queue-light-phone"),
    }
)
_TAKES = itertools.count(1)  # the same page four times: each upload has its own name
NAMES = {
    ("Production", "2024"): [
        "Harbour Documentary",
        "Interview Mayor Lindqvist",
        "Radio Hour 118",
        "City Marathon, all cameras",
        "Archive Night",
    ],
    ("Production", "2023"): [
        "Opera Gala",
        "Podcast S02E14",
        "River Cleanup",
        "Winter Market, final cut (v12, approved by marketing)",
    ],
    ("Marketing", "Campaigns"): ["Spring_Launch_2024_master_files_with_all_localisations", "Summer Teaser", "Logo Refresh"],
    ("Marketing", "Events"): ["Open House", "Trade Fair Hamburg"],
}


def _nas(stack: Stack, chance: random.Random) -> None:
    for (level1, level2), names in NAMES.items():
        for name in names:
            tree = {f"clip {n:02}.mov": chance.randbytes(chance.randrange(20_000, 900_000)) for n in range(chance.randrange(2, 12))}
            stack.folder(tree, name=name, level1=level1, level2=level2)
    stack.folder(
        {"camera a.mov": os.urandom(24 << 20), "camera b.mov": os.urandom(12 << 20)}, "Concert, 4 cameras", "Production", "2024"
    )


def _path(stack: Stack, name: str) -> Path:
    (found,) = stack.nas.glob(f"*/*/{name}")
    return found


def _history(stack: Stack) -> tuple[str, str]:
    """Create jobs of every ending. Return a completed and a failed one."""
    done = [stack.archive(_path(stack, name)) for name in ("Opera Gala", "Radio Hour 118", "Summer Teaser")]
    broken = _path(stack, "River Cleanup")
    os.mkfifo(broken / "socket of an editor")
    failed = stack.archive(broken)
    for job in done:
        stack.wait(job, "completed")
    stack.wait(failed, "failed")
    with stack.frozen("compressor"):
        cancelled = stack.archive(_path(stack, "Logo Refresh"))
        assert stack.cancel(cancelled).status_code == 204
    stack.wait(cancelled, "cancelled")
    return done[0], failed


def _busy(stack: Stack) -> str:
    """Create one job in each lane and some waiting ones. Return the one that uploads."""
    stack.control.configure(bytes_per_second=400_000)
    uploading = stack.archive(_path(stack, "Concert, 4 cameras"))
    for name in ("City Marathon, all cameras", "Archive Night", "Winter Market*", "Spring_Launch*", "Open House"):
        stack.archive(_path(stack, name))
    stack.wait(uploading, "uploading", timeout_s=120)
    stack.wait_for(uploading, lambda job: (job["bytes_done"] or 0) > 0, "bytes on their way", 60)
    return uploading


def _shoot(browser: Browser, origin: str, state: StorageState, pages: dict[str, tuple[str, Callable[[Page], None] | None]]) -> None:
    for scheme in ("light", "dark"):
        for kind, viewport in (("wide", WIDE), ("phone", PHONE)):
            touch = {"is_mobile": True, "has_touch": True} if kind == "phone" else {}
            options = {"storage_state": state, "color_scheme": scheme, "viewport": viewport, "locale": "en-GB", **touch}
            context, watch = new_context(browser, origin, **options)
            page = context.new_page()
            for name, (path, prepare) in pages.items():
                page.goto(path)
                page.locator("h1").wait_for()
                page.locator('[data-connection="live"]').wait_for()
                page.locator('main [aria-busy="true"]').wait_for(state="detached")
                if prepare is not None:
                    prepare(page)
                page.evaluate("() => document.fonts.ready.then(() => true)")
                page.screenshot(path=_file(f"{name}-{scheme}-{kind}"), animations="disabled")
            context.close()
            assert watch.complaints == []


def _file(name: str) -> Path:
    return (OUT if name in SHOWN else UNSHOWN) / f"{name}.png"


def _review(page: Page) -> None:
    for name in ("Harbour Documentary", "Interview Mayor Lindqvist"):
        page.get_by_label(f"Select {name}").check()
    page.get_by_role("button", name="Review and archive").click()
    page.get_by_role("region", name="What will happen").get_by_text("about").first.wait_for()
    page.locator('[aria-label="Contents"][aria-busy="false"]').wait_for()


def _select(page: Page) -> None:
    for name in ("Harbour Documentary", "Trade Fair Hamburg"):
        page.get_by_label(f"Select {name}").check()
    page.evaluate("() => window.scrollTo(0, 0)")


def _proof(page: Page) -> None:
    page.locator('[data-proof="content"] summary').click()
    page.locator('[data-proof="task"]').scroll_into_view_if_needed()
    page.get_by_role("heading", name="Stages").evaluate("(h) => window.scrollTo(0, h.getBoundingClientRect().top + scrollY - 80)")


def _files(stack: Stack) -> None:
    """Create a workspace as after a week: folders, films, an archive; a finished pack in the tray."""
    chance = random.Random(11)
    for folder in ("Concert selects/Day 1", "Deliveries"):
        stack.http.post("/api/files/folders", json={"path": folder, "parents": True})
    for path, size in {
        "Concert selects/stage left.mov": 3 << 20,
        "Concert selects/Day 1/notes.txt": 900,
        "Deliveries/README.txt": 400,
        "Call sheet.pdf": 80_000,
        "Theme.flac": 900_000,
    }.items():
        stack.http.put("/api/files/content", params={"path": path}, content=chance.randbytes(size))
    shot = film(stack.root / "film.mp4", seconds=90, size="640x360")
    stack.http.put("/api/files/content", params={"path": "Interview, rough cut.mp4"}, content=shot)
    pack = stack.http.post("/api/files/pack", json={"folder_path": "Concert selects", "keep_source": True}).json()["id"]
    stack.wait(pack, "completed")


def _packing(page: Page) -> None:
    page.get_by_role("button", name="Actions for Concert selects", exact=True).click()
    page.get_by_role("menuitem", name="Pack for download").click()
    page.get_by_text("in 2 files").wait_for()


def _rested(page: Page, part: Locator) -> None:
    """Wait until a drawer has slid in, as a click does. Then move the pointer away, so that nothing is highlighted."""
    part.click(trial=True)
    page.mouse.move(1, 1)


def _tasks(page: Page) -> None:
    page.get_by_role("button", name="Tasks").click()
    # The list behind also has a link with this name.
    _rested(page, page.get_by_role("dialog").get_by_role("link", name="Download Concert selects.zip"))


def _ask(name: str, action: str) -> Callable[[Page], None]:
    """Choose an action from an entry's menu, and wait until the dialog has its content and stops moving."""

    def choose(page: Page) -> None:
        page.get_by_role("button", name=f"Actions for {name}", exact=True).click()
        page.get_by_role("menuitem", name=action).click()
        dialog = page.get_by_role("dialog")
        _rested(page, dialog.get_by_role("button", name="Close"))
        dialog.locator('[aria-busy="true"]').wait_for(state="detached")
        for picture in dialog.get_by_role("img").all():
            page.wait_for_function("(image) => image.complete && image.naturalWidth > 0", arg=picture.element_handle())

    return choose


def _uploading(page: Page) -> None:
    """Show one finished, one slow and one waiting upload."""
    slow = {"offline": False, "latency": 20, "downloadThroughput": -1, "uploadThroughput": 700_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    take = next(_TAKES)
    sizes = {f"Release form {take}.pdf": 90_000, f"B-roll harbour {take}.mov": 9 << 20, f"Atmosphere {take}.wav": 700_000}
    files = [{"name": name, "mimeType": "", "buffer": os.urandom(size)} for name, size in sizes.items()]
    page.locator('[data-upload="files"]').set_input_files(files)
    progress = page.get_by_role("progressbar", name="Upload of B-roll")
    until(
        lambda: progress.count() > 0 and int(progress.get_attribute("aria-valuenow") or 0) >= 30, "a third of the second file", 60
    )


def _globus(page: Page) -> None:
    page.get_by_role("button", name="Check connection").click()
    page.get_by_text("All checks passed. Uploads can start.").wait_for()


def _palette(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").wait_for()
    page.keyboard.type("ra")
    page.get_by_role("option", name=re.compile("Radio|Marathon|Archive")).first.wait_for()


def main() -> None:
    """Create all screenshots again."""
    for folder in (OUT, UNSHOWN):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.png"):
            old.unlink()
    with running_stack() as stack, chromium() as browser:
        origin = f"http://127.0.0.1:{stack.port}"
        _nas(stack, random.Random(7))
        until(lambda: len(stack.http.get("/api/folders", params={"refresh": "true"}).json()) >= 15, "the folders")
        context, _ = new_context(browser, origin)
        page = context.new_page()
        page.goto("/login")
        page.get_by_role("heading", name="Log in").wait_for()
        page.screenshot(path=_file("login-light-wide"))
        login(page, "admin", PASSWORD)
        page.get_by_role("heading", name="Folders", level=1).wait_for()
        state = context.storage_state()
        context.close()
        for name, admin in (("jane.doe", False), ("m.lindqvist", True), ("trainee", False)):
            account = {"username": name, "password": "a first password", "is_admin": admin, "must_change_password": True}
            assert stack.http.post("/api/users", json=account).status_code == 201
        assert stack.http.put("/api/config", json={"compress_limit": 2, "scan_interval_seconds": 600}).status_code == 200
        assert stack.http.post("/api/tokens", json={"name": "nightly report", "scope": "read"}).status_code == 201
        _files(stack)
        done, failed = _history(stack)
        uploading = _busy(stack)
        _shoot(
            browser,
            origin,
            state,
            {
                "queue": ("/queue", None),
                "job-running": (f"/jobs/{uploading}", None),
                "folders": ("/folders", _select),
                "review": ("/folders", _review),
                "files": ("/files", None),
                "nas": ("/files?root=nas&path=Production/2024", None),
                "pack": ("/files", _packing),
                "tasks": ("/files", _tasks),
                "contents": ("/files", _ask("Concert selects.zip", "Show contents")),
                "media": ("/files", _ask("Interview, rough cut.mp4", "Media information")),
                "dashboard": ("/dashboard", None),
                "history": ("/history", None),
                "job-proof": (f"/jobs/{done}", _proof),
                "job-failed": (f"/jobs/{failed}", None),
                "settings": ("/settings", None),
                "users": ("/admin/users", None),
                "system": ("/admin/system", _globus),
                "configuration": ("/admin/config", None),
                "audit": ("/admin/audit", None),
                "palette": ("/queue", _palette),
            },
        )
        _shoot(browser, origin, state, {"uploads": ("/files", _uploading)})  # separate: it leaves traces on the page


if __name__ == "__main__":
    main()
