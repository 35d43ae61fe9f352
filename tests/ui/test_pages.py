"""What holds on every page, in a real browser against the real stack: for every eye, hand, screen and language."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.ui.browser import PHONE, new_context
from tests.ui.conftest import AXE

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def _opened(browser: Browser, origin: str, state: StorageState, **options: Any) -> Iterator[Page]:
    context, _ = new_context(browser, origin, storage_state=state, **options)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(
    browser: Browser, origin: str, login_state: StorageState, pages: dict[str, str], scheme: str
) -> None:
    """axe-core finds nothing on any page in either scheme, nor in the dialogs; for who asked for stillness nothing moves."""
    found: dict[str, list[str]] = {}
    with _opened(browser, origin, login_state, color_scheme=scheme) as page:
        page.add_init_script(path=str(AXE))
        for name, path in pages.items():
            _settled(page, path)
            found[name] = _axe(page) + page.evaluate(_MOVING)
        page.goto("/folders")
        page.get_by_role("button", name=re.compile("^Archive ")).first.click()
        page.get_by_role("dialog").wait_for()
        found["review"] = _axe(page)
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        page.get_by_role("combobox").wait_for()
        found["palette"] = _axe(page)
    with _opened(browser, origin, {"cookies": [], "origins": []}, color_scheme=scheme) as page:
        page.add_init_script(path=str(AXE))
        page.goto("/login")
        page.get_by_role("heading", name="Log in", level=1).wait_for()
        found["login"] = _axe(page)
    assert {name: faults for name, faults in found.items() if faults} == {}


def _settled(page: Page, path: str) -> None:
    """Open a page and wait for its content."""
    page.goto(path)
    page.locator("h1").wait_for()
    expect(page.locator('main [aria-busy="true"]')).to_have_count(0)
    page.evaluate("() => document.fonts.ready.then(() => true)")


def _axe(page: Page) -> list[str]:
    script = """(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}}).then((done) =>
      done.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ') + ' ' + (n.failureSummary || '')).join(' | ')))"""
    return [str(fault) for fault in page.evaluate(script, RULES)]


def test_phones_need_no_sideways_scrolling(browser: Browser, origin: str, login_state: StorageState, pages: dict[str, str]) -> None:
    """At 390 and 320 px no page is wider than the screen, and what a thumb must hit is large enough."""
    faults: list[str] = []
    with _opened(browser, origin, login_state, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        for name, path in pages.items():
            _settled(page, path)
            for width in (PHONE["width"], 320):
                page.set_viewport_size({"width": width, "height": PHONE["height"]})
                wide = page.evaluate("() => document.documentElement.scrollWidth")
                faults += [f"{name} at {width} px is {wide} px wide"] if wide > width else []
                faults += [f"{name} at {width} px: {small}" for small in page.evaluate(_SMALL)]
            page.set_viewport_size(PHONE)
    assert faults == []


_MOVING = """() => document.getAnimations().filter((a) => a.playState === 'running').map((a) => `moving: ${a.animationName}`)"""

# WCAG 2.5.8: 24 px, unless the target is a word in a sentence.
_SMALL = """() => [...document.querySelectorAll('button, a[href], select, summary, [role=button]')]
  .filter((e) => e.checkVisibility() && getComputedStyle(e).display !== 'inline' && !e.closest('.MuiCheckbox-root'))
  .map((e) => [e, e.getBoundingClientRect()])
  .filter(([e, box]) => box.bottom > 0 && (box.width < 24 || box.height < 24))
  .map(([e, box]) => `${e.tagName} ${e.textContent || e.ariaLabel} ${Math.round(box.width)}x${Math.round(box.height)}`)"""
