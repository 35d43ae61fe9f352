"""Chromium for browser tests and screenshots. No page may log a warning, fail a request or contact another server."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, WebSocket, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
WIDE = {"width": 1360, "height": 860}
PHONE = {"width": 390, "height": 844}
NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
PATIENCE_MS = 60_000
"""For a machine with much else to do. What takes long without that is measured, not asserted."""
expect.set_options(timeout=PATIENCE_MS)

_REMEMBER_SAID = """window.__said = new Set();
new MutationObserver(() => {
  for (const place of document.querySelectorAll('[role="status"]')) if (place.textContent) window.__said.add(place.textContent);
}).observe(document, {subtree: true, childList: true, characterData: true});"""

TIME_TO_UNDO = """const soon = window.setTimeout;
window.setTimeout = (call, ms, ...more) => soon(call, ms === 8000 ? 600000 : ms, ...more);"""
"""For a page that takes something back: what can be undone is offered for 8 s, and a loaded machine needs longer to press the button."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Return Debian's Chromium. `make setup` installs it where permitted."""
    program = shutil.which("chromium")
    assert program, "The browser tests need Debian's chromium: install the packages that devstack/install_tools.sh names."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS, timeout=2 * PATIENCE_MS)
        yield browser
        browser.close()


class Watch:
    """Record everything that a page must not do. `expect` names messages that a test causes on purpose.

    Every context from `new_context` has one. A fixture (conftest.py) fails the test if its pages reported anything.
    """

    made: ClassVar[list["Watch"]] = []

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.made.append(self)
        self.sockets: list[str] = []
        self._origin = origin
        self._expected: list[str] = []
        self._seen: list[str] = []
        context.on("console", self._console)
        context.on("weberror", lambda error: self._seen.append(f"error: {error.error}"))
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)
        context.on("page", lambda page: page.on("websocket", self._socket))

    def expect(self, *texts: str) -> None:
        """Ignore messages that contain these texts: the test causes them."""
        self._expected += texts

    @property
    def complaints(self) -> list[str]:
        return [seen for seen in self._seen if not any(text in seen for text in self._expected)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._seen.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket.url)
        if socket.url != f"ws{self._origin.removeprefix('http')}/ws/jobs":  # no token, no ticket: the cookie identifies the user
            self._seen.append(f"strange connection: {socket.url}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._origin, "blob:", "data:")):
            self._seen.append(f"foreign request: {request.url}")

    def _failed(self, request: Request) -> None:
        # A page that is left cancels its requests.
        if request.failure != "net::ERR_ABORTED":
            self._seen.append(f"failed request: {request.method} {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self._seen.append(f"failed request: {response.request.method} {response.url}: {response.status}")


def new_context(browser: Browser, url: str, **options: Any) -> tuple[BrowserContext, Watch]:
    """Open a fresh browser for one user on `url`."""
    context = browser.new_context(**{"base_url": url, "viewport": WIDE, "reduced_motion": "reduce", **options})
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(script=_REMEMBER_SAID)
    return context, Watch(context, url)


def said(page: Page, words: str) -> None:
    """Wait until a page message with these words appeared, even if it has already disappeared."""
    try:
        page.wait_for_function("(words) => [...window.__said].some((text) => text.includes(words))", arg=words)
    except PlaywrightTimeout as exc:
        raise AssertionError(f"never said: {words!r}; said: {page.evaluate('() => [...window.__said]')}") from exc


def login(page: Page, username: str, password: str) -> None:
    """Fill in the form of the current login page."""
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in").click()
