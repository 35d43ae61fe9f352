"""What a first visit weighs, gzipped as it is served. The limits are those of the design's UI budget."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    """A chunk's files with all that it imports."""
    chunk = manifest[name]
    files = {chunk["file"], *chunk.get("css", [])}
    return files.union(*(_files(manifest, other) for other in chunk.get("imports", [])))


def _kb(files: set[str]) -> float:
    packed = [DIST / f"{file}.gz" for file in files]
    return sum(file.stat().st_size for file in packed) / 1000


def _routes(manifest: Manifest) -> list[str]:
    return [name for name in manifest["index.html"]["dynamicImports"] if name.startswith("src/pages/")]


def _later(manifest: Manifest, name: str) -> Iterator[str]:
    """What a page may fetch when it is asked for, and what that may fetch in turn."""
    for other in manifest[name].get("dynamicImports", []):
        yield other
        yield from _later(manifest, other)


def test_the_entry_is_small() -> None:
    """What the login page must wait for: React, router, query cache, theme."""
    manifest = _manifest()

    assert _kb(_files(manifest, "index.html")) <= ENTRY_KB


def test_every_page_is_small() -> None:
    """The entry, the frame and the page's own code; whatever a page loads later (a dialog, the palette) counts for itself."""
    manifest = _manifest()
    entry = _files(manifest, "index.html") | _files(manifest, SHELL)
    weights = {name: round(_kb(entry | _files(manifest, name)), 1) for name in _routes(manifest)}

    assert len(weights) >= 8
    assert {name: kb for name, kb in weights.items() if kb > ROUTE_KB} == {}


def test_what_a_page_fetches_later_is_small() -> None:
    """A dialog, a menu, a drawer: what it adds to the page that asks for it."""
    manifest = _manifest()
    entry = _files(manifest, "index.html") | _files(manifest, SHELL)
    weights = {
        (page, name): round(_kb(_files(manifest, name) - entry - _files(manifest, page)), 1)
        for page in _routes(manifest)
        for name in _later(manifest, page)
    }

    assert {names: kb for names, kb in weights.items() if kb > LATER_KB} == {}


def test_the_first_font_is_small() -> None:
    """Browsers fetch only the subset that a page needs; for English that is the latin one."""
    fonts = list((DIST / "assets").glob("inter-latin-wght-*.woff2"))

    assert len(fonts) == 1
    assert fonts[0].stat().st_size / 1000 <= FONT_KB


def test_every_script_has_its_packed_twin() -> None:
    """The gateway compresses nothing at run time."""
    assets = DIST / "assets"

    assert [f.name for f in assets.iterdir() if f.suffix in {".js", ".css"} and not f.with_name(f"{f.name}.gz").is_file()] == []
