"""One browser and one stack for all browser tests of a worker. Each test is a user with a fresh browser."""

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.support import films
from tests.support.stack import PASSWORD, Stack, running_stack, until
from tests.ui.browser import Watch, chromium, login, new_context

FIRST_PASSWORD = "changeme"
AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """It ends with its module: Playwright runs an event loop in this thread, and other files' tests need their own."""
    with chromium() as made:
        yield made


@pytest.fixture(autouse=True)
def _nobody_complains() -> Iterator[None]:
    """Fail the test if any page logged a warning or an error, failed a request, or contacted any server but the gateway."""
    Watch.made.clear()
    yield
    assert [complaint for watch in Watch.made for complaint in watch.complaints] == []


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """It has the initial password of every installation."""
    with running_stack(ADMIN_INITIAL_PASSWORD="") as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    """The stack. All faults are cleared before and after each test."""
    running.jobs.clear()
    yield running
    running.control.set_faults()
    running.control.configure(bytes_per_second=None)


@pytest.fixture(scope="module")
def origin(running: Stack) -> str:
    return f"http://127.0.0.1:{running.port}"


@pytest.fixture(scope="module")
def login_state(browser: Browser, running: Stack, origin: str) -> StorageState:
    """A browser's storage after a login. The first password is changed if that has not happened yet."""
    with httpx.Client(base_url=origin, trust_env=False, timeout=60) as client:
        answer = client.post("/api/auth/login", json={"username": "admin", "password": FIRST_PASSWORD})
        if answer.status_code == 200:
            headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            change = {"current_password": FIRST_PASSWORD, "new_password": PASSWORD}
            assert client.post("/api/auth/password", json=change, headers=headers).status_code == 204
    context, _ = new_context(browser, origin)
    page = context.new_page()
    page.goto("/login")
    login(page, "admin", PASSWORD)
    page.get_by_role("heading", name="Folders", level=1).wait_for()
    state = context.storage_state()
    context.close()
    return state


class Person:
    """A logged-in browser: its page, and the messages that it must not log."""

    def __init__(self, page: Page, watch: Watch) -> None:
        self.page = page
        self.watch = watch


@pytest.fixture
def person(browser: Browser, stack: Stack, origin: str, login_state: StorageState) -> Iterator[Person]:
    context, watch = new_context(browser, origin, storage_state=login_state)
    yield Person(context.new_page(), watch)
    context.close()


def settled(page: Page, path: str) -> None:
    """Open a page and wait for its content."""
    page.goto(path)
    page.locator("h1").wait_for()
    expect(page.locator('main [aria-busy="true"]')).to_have_count(0)
    page.evaluate("() => document.fonts.ready.then(() => true)")


def scan(stack: Stack, *names: str) -> None:
    """Let the scanner find new folders on the NAS."""

    def found() -> bool:
        shown = stack.http.get("/api/folders", params={"refresh": "true"}).json()
        return set(names) <= {folder["name"] for folder in shown}

    until(found, f"a scan that finds {names}", 60, stack.stories)


def film(path: Path, seconds: int = 3, size: str = "320x180") -> bytes:
    """A short film."""
    source = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=24:duration={seconds}")
    films.run(*source, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def pages(running: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every page with content on it, by name."""
    long = "Kundenfilm Größe & Söhne, finale Fassung (v12, Freigabe durch Marketing ausstehend) ohne_Leerzeichen_und_sehr_lang"
    running.http  # noqa: B018 - logs in
    done = running.archive(running.folder(name="Shown done"))
    running.folder(name=long)
    failing = running.folder(name=f"{long} zwei")
    os.mkfifo(failing / "pipe")
    failed = running.archive(failing)
    running.wait(done, "completed")
    running.wait(failed, "failed")
    scan(running, long)
    colleague = {"username": "colleague", "password": "a first password", "is_admin": False}
    assert running.http.post("/api/users", json=colleague).status_code == 201
    running.http.post("/api/files/folders", json={"path": f"Shown/{long}", "parents": True})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{long}/read me.txt", "content")
    shown = film(tmp_path_factory.mktemp("films") / "film.mp4")
    photo = b'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="360"><rect width="640" height="360" fill="teal"/></svg>'
    seen = {"film.mp4": shown, "photo.svg": photo, "notes.txt": b"Take 1\nTake 2\n"}
    for name, content in {**seen, "song.flac": b"1", f"{long}.pdf": b"1", "old.zip": packed.getvalue()}.items():
        running.http.put("/api/files/content", params={"path": f"Shown/{name}", "overwrite": "true"}, content=content)
    pack = running.http.post("/api/files/pack", json={"folder_path": "Shown", "keep_source": True}).json()["id"]
    running.wait(pack, "completed")
    return {
        "folders": "/folders",
        "queue": "/queue",
        "files": "/files?path=Shown",
        "NAS files": "/files?root=nas",
        "job of a pack": f"/jobs/{pack}",
        "history": "/history",
        "job that completed": f"/jobs/{done}",
        "job that failed": f"/jobs/{failed}",
        "dashboard": "/dashboard",
        "settings": "/settings",
        "users": "/admin/users",
        "system": "/admin/system",
        "configuration": "/admin/config",
        "audit": "/admin/audit",
        "nothing": "/no/such/page",
    }
