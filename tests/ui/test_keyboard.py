"""What a person meets who works without a pointer: the focus is always visible, and Enter does what is highlighted."""

import os
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, StorageState, expect

from tests.support.stack import Stack
from tests.ui.browser import PHONE, new_context
from tests.ui.conftest import Person, scan
from tests.ui.test_browser import heading

_MOST = 200  # controls of one page; more are a loop
_ABOUT_FOCUS = """() => {
  const focused = document.activeElement;
  if (!focused || focused === document.body || focused.id === 'main' || focused.id === 'page-title') return null;
  const {x, y, width, height} = focused.getBoundingClientRect();
  const name = focused.getAttribute('aria-label') || focused.textContent || focused.id;
  const bar = [...document.querySelectorAll('nav')].map((nav) => nav.getBoundingClientRect()).find((box) => box.width === innerWidth);
  return {x, y, width, height, kind: `${focused.tagName} ${focused.className}`, name: name.trim().slice(0, 80),
    covered: !!bar && !focused.closest('nav') && y + height > bar.top};
}"""


def focused(page: Page) -> Iterator[dict[str, object]]:
    """Every control that Tab reaches, while it has the focus."""
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    first = None
    for _ in range(_MOST):
        page.keyboard.press("Tab")
        seen = page.evaluate(_ABOUT_FOCUS)
        if seen is None:
            if first is not None:
                return  # past the last control, in the browser's own
            continue
        mark = (seen["kind"], seen["name"])
        if first is None:
            first = mark
        elif mark == first:
            return
        yield seen


def picture(page: Page, seen: dict[str, object]) -> bytes:
    """The control and what is drawn around it."""
    x, y, width, height = (float(str(seen[name])) for name in ("x", "y", "width", "height"))
    size = page.viewport_size
    assert size is not None
    left, top = max(0.0, x - 5), max(0.0, y - 5)
    clip = {"x": left, "y": top, "width": min(width + 10, size["width"] - left), "height": min(height + 10, size["height"] - top)}
    return page.screenshot(clip=clip, animations="disabled")  # type: ignore[arg-type]  # the keys of FloatRect


def test_the_focus_is_visible_on_every_control(person: Person, pages: dict[str, str]) -> None:
    """Each kind of control of each page looks different while it has the focus."""
    page, judged, unseen = person.page, set[str](), list[str]()
    for name, address in pages.items():
        page.goto(address)
        page.get_by_role("heading", level=1).wait_for()
        for seen in focused(page):
            kind = str(seen["kind"])
            if kind in judged:
                continue
            judged.add(kind)
            with_focus = picture(page, seen)
            page.evaluate("() => document.activeElement.blur()")
            if picture(page, seen) == with_focus:
                unseen.append(f"{name}: {seen['name']} ({kind})")
    assert len(judged) > 10, judged
    assert unseen == []


def test_the_safe_button_of_a_dialog_shows_its_focus(person: Person) -> None:
    """A dialog that a click opened as well: Enter would press that button."""
    page = person.page
    page.goto("/settings")
    page.get_by_role("heading", level=1).wait_for()
    page.goto("/admin/config")
    page.locator('[data-setting="upload_limit"]').get_by_role("textbox").fill("7")
    page.get_by_role("link", name="Queue").first.click()
    stay = page.get_by_role("button", name="Stay here")
    expect(stay).to_be_focused()
    assert stay.evaluate("(button) => getComputedStyle(button).outlineStyle") == "solid"


@pytest.mark.parametrize("name", ["history", "files", "settings", "folders"])
def test_the_focus_is_never_under_the_bottom_bar(
    browser: Browser, stack: Stack, origin: str, login_state: StorageState, pages: dict[str, str], name: str
) -> None:
    """On a phone's screen: what Tab reaches is scrolled clear of the bar."""
    context, _ = new_context(browser, origin, storage_state=login_state, viewport=PHONE)
    page = context.new_page()
    page.goto(pages[name])
    page.get_by_role("heading", level=1).wait_for()
    covered = [str(seen["name"]) for seen in focused(page) if seen["covered"]]
    context.close()
    assert covered == []


def test_late_results_do_not_change_what_enter_opens(person: Person, stack: Stack) -> None:
    """Folders arrive after the jobs of the same name were listed: the highlighted job is still the one that opens."""
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
    """The button of the guard's dialog leaves; the form below it is not sent."""
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
