"""Keyboard use: the focus is always visible, and Enter activates the highlighted entry."""

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, Route, StorageState, expect

from tests.support.stack import Stack
from tests.ui.browser import NEXT_FRAME, PHONE, new_context
from tests.ui.conftest import Person, scan, settled
from tests.ui.dialogs import DIALOGS, opened
from tests.ui.test_browser import heading

_FOCUS_IN_DIALOG = "() => !!document.activeElement.closest('[role=dialog], [role=menu]')"
_MOST = 200  # controls of one page; more mean a loop
_AROUND = 5  # px around a control that its ring may use
_LEAST_CONTRAST = 3  # WCAG 2.2, 1.4.11 and 2.4.13
_ABOUT_FOCUS = """(depth) => {
  const focused = document.activeElement;
  if (!focused || focused === document.body || focused.id === 'main' || focused.id === 'page-title') return null;
  // A field and a box to tick show the focus on what is drawn around them.
  const field = /INPUT|TEXTAREA/.test(focused.tagName) && focused.closest('.MuiOutlinedInput-root, .MuiCheckbox-root, .MuiSwitch-root');
  const drawn = field || focused;
  const {x, y, width, height} = drawn.getBoundingClientRect();
  const name = focused.getAttribute('aria-label') || focused.textContent || focused.id;
  const bar = [...document.querySelectorAll('nav')].map((nav) => nav.getBoundingClientRect()).find((box) => box.width === innerWidth);
  const over = document.elementFromPoint(x + width / 2, Math.min(y + height / 2, innerHeight - 1));
  const kind = [];
  for (let e = focused; e && kind.length < depth; e = e.parentElement) kind.push(`${e.tagName} ${e.className}`);
  return {x, y, width, height, kind: kind.join(' < '), name: name.trim().slice(0, 80),
    covered: (!!bar && !focused.closest('nav') && y + height > bar.top) || !(drawn.contains(over) || over?.contains(drawn))};
}"""
# Count the pixels that differ between two pictures by the least contrast.
_CONTRASTING = """async ([one, other, least]) => {
  const pixels = async (png) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))], {type: 'image/png'}));
    const paint = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    paint.drawImage(bitmap, 0, 0);
    return paint.getImageData(0, 0, bitmap.width, bitmap.height).data;
  };
  const part = (value) => value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const light = (all, at) => 0.2126 * part(all[at]) + 0.7152 * part(all[at + 1]) + 0.0722 * part(all[at + 2]) + 0.05;
  const [a, b] = [await pixels(one), await pixels(other)];
  if (a.length !== b.length) throw new Error('pictures of two sizes');
  let found = 0;
  for (let at = 0; at < a.length; at += 4) {
    const [x, y] = [light(a, at), light(b, at)];
    if (Math.max(x, y) / Math.min(x, y) >= least) found += 1;
  }
  return found;
}"""


class Focused(NamedTuple):
    """A control that has the focus: its position, and the properties that distinguish its kind."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    name: str
    covered: bool


def in_focus(page: Page, depth: int) -> Focused | None:
    seen = page.evaluate(_ABOUT_FOCUS, depth)
    return None if seen is None else Focused(**seen)


def focused(page: Page, depth: int = 3) -> Iterator[Focused]:
    """Yield every control that Tab reaches, while it has the focus. `depth`: how many ancestors determine its kind."""
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    first = None
    for _ in range(_MOST):
        page.keyboard.press("Tab")
        seen = in_focus(page, depth)
        if seen is None:
            if first is not None:
                return  # past the last control, in the browser's own controls
            continue
        if first is None:
            first = seen.kind, seen.name
        elif first == (seen.kind, seen.name):
            return
        yield seen


class Eye:
    """Take pictures of controls and compare them on a separate page, where the app's policy does not apply."""

    def __init__(self, page: Page) -> None:
        self._shown = page
        self._camera = page.context.new_cdp_session(page)  # many times as fast as Playwright's
        self._page = page.context.new_page()

    def picture(self, seen: Focused) -> str:
        """Return the control and its surroundings, as far as they are in view."""
        size = self._shown.viewport_size
        assert size is not None
        left, top = max(0.0, seen.x - _AROUND), max(0.0, seen.y - _AROUND)
        right, bottom = min(seen.x + seen.width + _AROUND, size["width"]), min(seen.y + seen.height + _AROUND, size["height"])
        scrolled: dict[str, float] = self._shown.evaluate("() => ({x: window.scrollX, y: window.scrollY})")
        clip = {"x": left + scrolled["x"], "y": top + scrolled["y"], "width": right - left, "height": bottom - top, "scale": 1}
        return str(self._camera.send("Page.captureScreenshot", {"clip": clip, "optimizeForSpeed": True})["data"])

    def faults(self, seen: Focused, with_focus: str, without: str) -> list[str]:
        """A ring must change as many pixels as a line of 1 px around the control has, by the least contrast."""
        found = self._page.evaluate(_CONTRASTING, [with_focus, without, _LEAST_CONTRAST])
        needed = 2 * (seen.width + min(seen.height, 400))
        return [] if found >= needed else [f"{seen.name!r}: {found} pixels of {needed:.0f} ({seen.kind})"]


@pytest.mark.parametrize(("scheme", "depth"), [("light", 3), ("dark", 1)])
def test_the_focus_is_visible_on_every_control(
    browser: Browser, stack: Stack, origin: str, login_state: StorageState, pages: dict[str, str], scheme: str, depth: int
) -> None:
    """Pixels of each control on each page, with and without the focus. Of similar controls, such as list rows, only one.

    A clipped ring is clipped in either scheme. In the dark scheme each kind is checked once, on any page.
    """
    context, _ = new_context(browser, origin, storage_state=login_state, color_scheme=scheme)
    page = context.new_page()
    eye, judged, unseen = Eye(page), set[str](), list[str]()
    for name, address in pages.items():
        settled(page, address)
        for seen in focused(page, depth):
            if seen.kind in judged:
                continue
            judged.add(seen.kind)
            page.evaluate(NEXT_FRAME)  # the log scrolls to the focused line
            at_rest = in_focus(page, depth)
            if at_rest is None:
                continue  # it disappears on scrolling, like "Follow" at the end of a log
            with_focus = eye.picture(at_rest)
            page.evaluate("() => document.activeElement.blur()")
            unseen += [f"{name}: {fault}" for fault in eye.faults(at_rest, with_focus, eye.picture(at_rest))]
    context.close()
    assert len(judged) > 20, judged
    assert not unseen, "\n".join(unseen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_dialog_shows_where_its_focus_is(
    browser: Browser, stack: Stack, origin: str, login_state: StorageState, pages: dict[str, str], scheme: str
) -> None:
    """This also holds for a dialog that a click opened: Enter would press the focused button."""
    context, _ = new_context(browser, origin, storage_state=login_state, color_scheme=scheme)
    page = context.new_page()
    eye, unseen = Eye(page), list[str]()
    for name, (address, opener) in DIALOGS.items():
        settled(page, address)
        opened(page, opener)
        page.wait_for_function(_FOCUS_IN_DIALOG)
        if page.evaluate("() => document.activeElement.tabIndex < 0"):  # the box itself: its first control is next
            page.keyboard.press("Tab")
        seen = in_focus(page, 1)
        assert seen is not None, name
        with_focus = eye.picture(seen)
        page.evaluate("() => document.activeElement.closest('.MuiPaper-root[tabindex]').focus()")
        unseen += [f"{name}: {fault}" for fault in eye.faults(seen, with_focus, eye.picture(seen))]
    context.close()
    assert not unseen, "\n".join(unseen)


def test_the_focus_is_never_under_the_bottom_bar(
    browser: Browser, stack: Stack, origin: str, login_state: StorageState, pages: dict[str, str]
) -> None:
    """On a phone's screen, every control that Tab reaches is scrolled clear of the bars."""
    context, _ = new_context(browser, origin, storage_state=login_state, viewport=PHONE)
    page = context.new_page()
    covered = list[str]()
    for name, address in pages.items():
        settled(page, address)
        covered += [f"{name}: {seen.name}" for seen in focused(page) if seen.covered]
    context.close()
    assert not covered, "\n".join(covered)


def test_late_results_do_not_change_what_enter_opens(person: Person, stack: Stack) -> None:
    """Folders arrive after jobs of the same name were listed. Enter still opens the highlighted job."""
    page, held = person.page, list[Route]()
    folder = stack.folder(name="Found late")
    os.mkfifo(folder / "pipe")
    failed = stack.archive(folder)
    stack.wait(failed, "failed")
    scan(stack, folder.name)
    page.goto("/dashboard")
    heading(page, "Dashboard").wait_for()
    page.route("**/api/folders?*", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks the function it is given
    page.keyboard.press("Control+k")
    with page.expect_request("**/api/folders?*"):
        page.get_by_role("combobox").fill("found late")
    job = page.get_by_role("option", name="Found late")
    expect(job).to_have_count(1)
    expect(job).to_have_class(re.compile("Mui-focused"))
    for route in held:
        route.continue_()
    expect(page.get_by_role("option", name="Found late")).to_have_count(2)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{failed}")


def test_leaving_the_configuration_saves_nothing(person: Person, stack: Stack) -> None:
    """The guard dialog's button leaves the page. The form below it is not sent."""
    page, sent = person.page, list[str]()
    page.on("request", lambda request: sent.append(request.method) if request.url.endswith("/api/config") else None)
    before = stack.http.get("/api/config").json()
    page.goto("/admin/config")
    page.locator('[data-setting="upload_limit"]').get_by_role("textbox").fill("9")
    page.get_by_role("link", name="Queue").first.click()
    page.get_by_role("dialog", name="Leave without saving?").get_by_role("button", name="Leave", exact=True).click()
    expect(heading(page, "Queue")).to_be_visible()
    assert "PUT" not in sent
    assert stack.http.get("/api/config").json() == before
