"""The size of a first visit, gzipped as it is served. The limits come from the design's UI budget."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, StorageState, expect

from tests.ui.browser import PHONE, WIDE, new_context

DIST = Path(__file__).parents[2] / "ui" / "dist"
ENTRY_KB = 175
ROUTE_KB = 230
LATER_KB = 35
FONT_KB = 60
SHELL = "src/components/Shell.tsx"
Manifest = dict[str, dict[str, Any]]


def _manifest() -> Manifest:
    found: Manifest = json.loads((DIST / "manifest.json").read_text())
    return found


def _files(manifest: Manifest, name: str) -> set[str]:
    """Return a chunk's files with all its imports."""
    chunk = manifest[name]
    files = {chunk["file"], *chunk.get("css", [])}
    return files.union(*(_files(manifest, other) for other in chunk.get("imports", [])))


def _kb(files: set[str]) -> float:
    packed = [DIST / f"{file}.gz" for file in files]
    return sum(file.stat().st_size for file in packed) / 1000


def _routes(manifest: Manifest) -> list[str]:
    return [name for name in manifest["index.html"]["dynamicImports"] if name.startswith("src/pages/")]


def _later(manifest: Manifest, name: str) -> Iterator[str]:
    """Return what a page may fetch on demand, and what that may fetch in turn."""
    for other in manifest[name].get("dynamicImports", []):
        yield other
        yield from _later(manifest, other)


def test_the_entry_is_small() -> None:
    """What the login page needs: React, router, query cache, theme."""
    manifest = _manifest()

    assert _kb(_files(manifest, "index.html")) <= ENTRY_KB


# The scripts and styles of a page, each with its transferred bytes.
_FETCHED = """() => performance.getEntriesByType('resource')
  .filter((one) => /\\.(js|css)$/.test(new URL(one.name).pathname))
  .map((one) => [new URL(one.name).pathname, one.encodedBodySize])"""


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_page_is_small(
    browser: Browser, origin: str, login_state: StorageState, pages: dict[str, str], viewport: dict[str, int]
) -> None:
    """Everything that a browser with an empty cache fetches to open a page, and what the page requests by itself. Dialogs count later."""
    weights: dict[str, float] = {}
    for name, path in {**pages, "login": "/login"}.items():
        state = login_state if name != "login" else None
        context, _ = new_context(browser, origin, storage_state=state, viewport=viewport)
        page = context.new_page()
        page.goto(path)
        page.locator("h1").wait_for()
        expect(page.locator('main [aria-busy="true"]')).to_have_count(0)
        page.wait_for_load_state("networkidle")
        fetched: list[tuple[str, int]] = page.evaluate(_FETCHED)
        context.close()
        assert min(size for _, size in fetched) > 0, f"{name}: not all came through the network: {fetched}"
        weights[name] = round(sum(size for _, size in fetched) / 1000, 1)
    assert {name: kb for name, kb in weights.items() if kb > ROUTE_KB} == {}, weights


def test_what_a_page_fetches_later_is_small() -> None:
    """The bytes that a dialog, a menu or a drawer adds to its page."""
    manifest = _manifest()
    entry = _files(manifest, "index.html") | _files(manifest, SHELL)
    weights = {
        (page, name): round(_kb(_files(manifest, name) - entry - _files(manifest, page)), 1)
        for page in _routes(manifest)
        for name in _later(manifest, page)
    }

    assert {names: kb for names, kb in weights.items() if kb > LATER_KB} == {}


def test_the_first_font_is_small() -> None:
    """Browsers fetch only the subset that a page needs; for English that is Latin."""
    fonts = list((DIST / "assets").glob("inter-latin-wght-*.woff2"))

    assert len(fonts) == 1
    assert fonts[0].stat().st_size / 1000 <= FONT_KB


def test_every_script_has_its_packed_twin() -> None:
    """The gateway compresses nothing at run time."""
    assets = DIST / "assets"

    assert [f.name for f in assets.iterdir() if f.suffix in {".js", ".css"} and not f.with_name(f"{f.name}.gz").is_file()] == []
