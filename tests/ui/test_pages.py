"""Rules for every page, in a real browser on the real stack: accessibility, touch, screen sizes, languages and long lists."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, StorageState, expect

from tests.support.stack import Stack
from tests.ui.browser import NEXT_FRAME, PHONE, WIDE, Watch, new_context
from tests.ui.conftest import AXE, settled
from tests.ui.dialogs import DIALOGS, opened

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MOST_SHIFT = 0.02
MOST_NODES = 3000
LATENCY_MS = 80  # so that every page is seen while it waits for its data
TOUCH = 44
NARROW = 320

_REMEMBER_SHIFTS = """window.__shifts = [];
new PerformanceObserver((list) => {
  for (const shift of list.getEntries()) {
    if (!shift.hadRecentInput) window.__shifts.push([shift.value, shift.sources.map((s) => s.node?.outerHTML?.slice(0, 120)).join(' | ')]);
  }
}).observe({type: 'layout-shift', buffered: true});"""

_MOVING = """() => document.getAnimations().filter((a) => a.playState === 'running').map((a) => `moving: ${a.animationName}`)"""

# Too small is below 24 px for a pointer (WCAG 2.5.8) and below 44 px for a thumb. Links within a sentence do not count. The
# label or cell around a control counts, because a tap there works.
_SMALL = """(least) => [...document.querySelectorAll('button, a[href], select, summary, input:not([type=hidden]), [role=button]')]
  .filter((e) => e.checkVisibility({visibilityProperty: true}) && getComputedStyle(e).display !== 'inline')
  .map((e) => [e, (e.closest('.MuiCheckbox-root, label, .MuiOutlinedInput-root') ?? e).getBoundingClientRect()])
  .filter(([e, box]) => box.bottom > 0 && box.width > 0 && (box.width < Math.min(least, 24) || box.height < least))
  .map(([e, box]) => `${e.tagName} ${e.textContent || e.ariaLabel} ${Math.round(box.width)}x${Math.round(box.height)}`)"""

# A button, a navigation link, a title or a column heading whose text does not fit.
_CUT = """() => [...document.querySelectorAll('button, nav a, nav a *, th, h1, h2, h3, [role=status] *, label')]
  .filter((e) => e.checkVisibility() && e.clientWidth > 1 && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 8))
  .filter((e) => getComputedStyle(e).display !== 'inline')
  .map((e) => `cut: ${e.tagName} ${e.textContent} ${e.scrollWidth}x${e.scrollHeight} in ${e.clientWidth}x${e.clientHeight}`)"""


@contextmanager
def _opened(browser: Browser, origin: str, state: StorageState, **options: Any) -> Iterator[Page]:
    context, _ = new_context(browser, origin, storage_state=state, **options)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(
    browser: Browser, running: Stack, origin: str, login_state: StorageState, pages: dict[str, str], scheme: str
) -> None:
    """axe-core finds nothing on any page in either scheme. There is no layout shift, and no motion for users who asked for none."""
    found: dict[str, list[str]] = {}
    with _opened(browser, origin, login_state, color_scheme=scheme) as page:
        page.add_init_script(path=str(AXE))
        _slowly(page)
        for name, path in pages.items():
            settled(page, path)
            found[name] = _jumps(page) + _axe(page) + page.evaluate(_MOVING) + page.evaluate(_SMALL, 24)
        page.goto("/folders")
        page.get_by_role("button", name=re.compile("^Archive ")).first.click()
        page.get_by_role("dialog").get_by_text("about").first.wait_for()
        page.get_by_role("dialog").locator("summary").first.click()
        found["review"] = _axe(page)
        page.keyboard.press("Escape")
        page.goto("/files")
        page.get_by_label("Select Shown", exact=True).check()
        Watch.made[-1].expect("/api/files/content", "409 (Conflict)")
        for state in ("done", "taken"):
            page.locator('[data-upload="files"]').set_input_files([{"name": f"{scheme}.txt", "mimeType": "", "buffer": b"1"}])
            page.locator(f'[data-upload-state="{state}"]').wait_for()
        found["upload"] = _axe(page) + page.evaluate(_SMALL, 24)
        page.get_by_role("button", name="Actions for Shown", exact=True).click()
        page.get_by_role("menu").wait_for()
        found["menu"] = _axe(page)
        page.get_by_role("menuitem", name="Pack for download").click()
        page.get_by_role("dialog").wait_for()
        found["pack"] = _axe(page)
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        page.get_by_role("combobox").wait_for()
        found["palette"] = _axe(page)
        page.keyboard.press("Escape")
        page.get_by_role("combobox").wait_for(state="detached")
        with running.frozen("compressor"):
            pack = running.http.post("/api/files/pack", json={"folder_path": "Shown", "keep_source": True}).json()["id"]
            page.get_by_role("button", name="Tasks 1 running").wait_for()
            found["task runs"] = _axe(page)
            page.get_by_role("button", name="Tasks 1 running").click()
            page.get_by_role("dialog").get_by_role("progressbar").wait_for()
            found["tasks"] = _axe(page)
        running.wait(pack, "completed")
    with _opened(browser, origin, {"cookies": [], "origins": []}, color_scheme=scheme) as page:
        page.add_init_script(path=str(AXE))
        page.goto("/login")
        page.get_by_role("heading", name="Log in", level=1).wait_for()
        found["login"] = _axe(page)
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_dialog_is_accessible(
    browser: Browser, origin: str, login_state: StorageState, pages: dict[str, str], scheme: str
) -> None:
    """axe-core finds nothing in any dialog, in either scheme, on a desktop or a phone. Pointer targets are 24 px high."""
    found: dict[str, list[str]] = {}
    with _opened(browser, origin, login_state, color_scheme=scheme) as page:
        page.add_init_script(path=str(AXE))
        for name, (address, opener) in DIALOGS.items():
            page.set_viewport_size(WIDE)
            settled(page, address)
            opened(page, opener)
            found[name] = _axe(page) + page.evaluate(_SMALL, 24)
            _resize(page, PHONE["width"])
            found[f"{name} on a phone"] = _axe(page) + _too_wide(page)
    assert {name: faults for name, faults in found.items() if faults} == {}


def _axe(page: Page) -> list[str]:
    """Return what axe-core finds. An open menu is no part of a landmark: it is above the page, and closes when it loses the focus."""
    script = """(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags},
      rules: {region: {enabled: !document.querySelector('[role=menu]')}}}).then((done) =>
      done.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ') + ' ' + (n.failureSummary || '')).join(' | ')))"""
    return [str(fault) for fault in page.evaluate(script, RULES)]


def _slowly(page: Page) -> None:
    """Delay every response, and record layout shifts when it arrives."""
    page.add_init_script(script=_REMEMBER_SHIFTS)
    network = {"offline": False, "latency": LATENCY_MS, "downloadThroughput": -1, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", network)


def _jumps(page: Page) -> list[str]:
    """Return the page's layout shifts if they exceed the budget in total."""
    shifts: list[tuple[float, str]] = page.evaluate("() => window.__shifts")
    total = sum(value for value, _ in shifts)
    return [f"jumped by {total:.3f}: {shifts}"] if total > MOST_SHIFT else []


_FRAMES_AT_REST = 5  # with no request open: the last response is drawn


@pytest.mark.parametrize("width", [NARROW, PHONE["width"], 1280])
def test_nothing_jumps_when_all_is_late(
    browser: Browser, origin: str, login_state: StorageState, pages: dict[str, str], width: int
) -> None:
    """Scripts and responses arrive one by one, each after the page has drawn the previous one. The fonts come last."""
    faults: list[str] = []
    with _opened(browser, origin, login_state, viewport={"width": width, "height": 844}) as page:
        page.add_init_script(script=_REMEMBER_SHIFTS)
        held = list[Route]()
        late = re.compile(r"/api/|/assets/.*\.(js|woff2)$")
        page.route(late, lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks the function it is given
        for name, path in pages.items():
            held.clear()
            page.goto(path, wait_until="commit")
            at_rest = 0
            while at_rest < _FRAMES_AT_REST:
                page.evaluate(NEXT_FRAME)
                whole = page.locator("h1").count() > 0 and page.locator('main [aria-busy="true"]').count() == 0
                fonts = [route for route in held if route.request.url.endswith("woff2")]
                next_one = next((route for route in held if route not in fonts), fonts[0] if fonts and whole else None)
                at_rest = at_rest + 1 if whole and next_one is None else 0
                if next_one:
                    held.remove(next_one)
                    next_one.continue_()
            faults += [f"{name}: {fault}" for fault in _jumps(page)]
    assert not faults, "\n".join(faults)


def test_phones(browser: Browser, origin: str, login_state: StorageState, pages: dict[str, str]) -> None:
    """At 390 and 320 px no page or drawer is wider than the screen, nothing shifts, and touch targets are 44 px high."""
    faults: list[str] = []
    with _opened(browser, origin, login_state, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        _slowly(page)
        for name, path in pages.items():
            settled(page, path)
            found = _jumps(page)
            for width in (PHONE["width"], NARROW):
                _resize(page, width)
                found += _too_wide(page) + page.evaluate(_SMALL, TOUCH)
            page.set_viewport_size(PHONE)
            faults += [f"{name}: {fault}" for fault in found]
        faults += _open_on_a_phone(page)
    assert not faults, "\n".join(faults)


def _open_on_a_phone(page: Page) -> list[str]:
    """Return the faults of everything that opens on the files page."""
    faults: list[str] = []
    settled(page, "/files?path=Shown")
    page.get_by_text("Folder tree").click()
    page.get_by_role("treeitem", name="Shown", exact=True).wait_for()
    page.evaluate("() => window.scrollTo(0, 0)")
    faults += [f"tree: {fault}" for fault in page.evaluate(_SMALL, TOUCH)]
    for action, entry in {"Media information": "film.mp4", "Show contents": "old.zip", "Create archive": "old.zip"}.items():
        page.get_by_role("button", name=f"Actions for {entry}").click()
        page.get_by_role("menuitem", name=action).click()
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        expect(dialog.locator('[aria-busy="true"]')).to_have_count(0)
        for width in (PHONE["width"], NARROW):
            _resize(page, width)
            wide = dialog.evaluate(
                "(box) => [...box.querySelectorAll('*')].some((e) => e.getBoundingClientRect().right > innerWidth + 1)"
            )
            faults += [f"{action}: wider than {width} px"] if wide else []
        page.set_viewport_size(PHONE)
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
    return faults


def _resize(page: Page, width: int) -> None:
    """Resize, and wait until the page has chosen between tables and cards, which it does before the next frame."""
    page.set_viewport_size({"width": width, "height": PHONE["height"]})
    page.evaluate(NEXT_FRAME)


def _too_wide(page: Page) -> list[str]:
    wide, shown = page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
    return [f"{wide} px wide on {shown} px"] if wide > shown else []


def test_longer_words_fit(browser: Browser, origin: str, login_state: StorageState, pages: dict[str, str]) -> None:
    """All texts are made 40 % longer. No button, link or title is cut off, and no page gets too wide."""
    faults: list[str] = []
    with _opened(browser, origin, login_state) as page:
        page.add_init_script(script="localStorage.setItem('cs-archiver.language', 'pseudo')")
        for name, path in pages.items():
            page.set_viewport_size(WIDE)
            settled(page, path)
            assert page.title().endswith("~"), "the made-up language is not in use"
            for width in (WIDE["width"], 900, PHONE["width"], NARROW):
                _resize(page, width)
                faults += [f"{name} at {width} px: {fault}" for fault in _too_wide(page) + page.evaluate(_CUT)]
    assert not faults, "\n".join(faults)


_OUTLINE = """() => {
  const look = getComputedStyle(document.activeElement);
  return [document.activeElement.tagName, look.outlineStyle, Number.parseFloat(look.outlineWidth)];
}"""

# A state that has a coloured background also needs a border where the system chooses the colours, and always a text.
_PLAIN = """() => [...document.querySelectorAll('[data-status], [role=progressbar], nav .active, [aria-pressed=true]')]
  .filter((e) => e.checkVisibility())
  .filter((e) => { const look = getComputedStyle(e); return look.borderTopWidth === '0px' && look.outlineStyle === 'none'; })
  .map((e) => `no border: ${e.tagName} ${e.textContent || e.ariaLabel}`)"""


def test_forced_colours(browser: Browser, origin: str, login_state: StorageState, pages: dict[str, str]) -> None:
    """Where the system chooses the colours, the focus, every state and the selection are still visible."""
    faults: list[str] = []
    with _opened(browser, origin, login_state, forced_colors="active") as page:
        for name, path in pages.items():
            settled(page, path)
            page.keyboard.press("Tab")
            page.keyboard.press("Tab")
            element, style, width = page.evaluate(_OUTLINE)
            if style != "solid" or width < 2:
                faults.append(f"{name}: no focus to be seen on {element}")
            faults += [f"{name}: {fault}" for fault in page.evaluate(_PLAIN)]
            states = page.locator("main [data-status]")
            faults += [f"{name}: a state without a word" for n in range(min(3, states.count())) if not states.nth(n).inner_text()]
    assert not faults, "\n".join(faults)


MANY = 100_000
_FOLDERS = f"""INSERT INTO folders (path, name, level1, level2, size_bytes, file_count, modified_at, is_archived, scanned_at)
SELECT format('/nas/Team %s/%s/Project %s', n % 40, 2000 + n % 25, n), 'Project ' || n, 'Team ' || n % 40, (2000 + n % 25)::text,
  n * 1048576::bigint, n % 5000, '2026-01-01'::timestamptz - make_interval(mins => n), n % 9 = 0, now()
FROM generate_series(1, {MANY}) AS n"""
_JOBS = f"""INSERT INTO jobs (folder_name, source_path, destination_path, created_by, created_at, status, started_at, completed_at)
SELECT 'Project ' || n, '/nas/Team/2024/Project ' || n, format('/Team/%s.tar.7z', n), 'person' || n % 10,
  '2026-01-01'::timestamptz - make_interval(mins => n), (ARRAY['completed', 'failed', 'cancelled'])[n % 3 + 1],
  '2026-01-01'::timestamptz - make_interval(mins => n), '2026-01-01'::timestamptz FROM generate_series(1, {MANY}) AS n"""
_LINES = f"""INSERT INTO job_logs (job_id, at, level, action, message)
SELECT $1::uuid, now(), (ARRAY['INFO', 'WARNING', 'ERROR'])[n % 3 + 1], 'seeded', 'Line ' || n FROM generate_series(1, {MANY}) AS n"""


def test_lists_of_a_hundred_thousand(
    browser: Browser, running: Stack, origin: str, login_state: StorageState, pages: dict[str, str]
) -> None:
    """Folders, history and a job's log: for any database, a page holds few nodes, also after paging and scrolling."""
    running.sql(_FOLDERS)
    running.sql(_JOBS)
    job = pages["job that completed"]
    running.sql(_LINES, job.rsplit("/", 1)[1])
    nodes: dict[str, int] = {}
    count = "() => document.querySelectorAll('*').length"
    with _opened(browser, origin, login_state) as page:
        for name, path in {"folders": "/folders", "found folders": "/folders?q=Project 1", "history": "/history"}.items():
            settled(page, path)
            expect(page.get_by_role("row").nth(10)).to_be_visible()
            page.get_by_role("button", name="Go to page 3").click()
            expect(page.get_by_role("button", name="page 3", exact=True)).to_have_attribute("aria-current", "page")
            expect(page.get_by_role("row")).to_have_count(51)
            nodes[name] = page.evaluate(count)
        settled(page, "/folders?q=Project")
        largest = page.locator("tbody tr").first
        for column, order, first in (
            ("Size", "desc", "100000"),
            ("Folder", "asc", "Project 1"),
            ("Modified", "asc", "Project 100000"),
        ):
            page.get_by_role("button", name=column, exact=True).click()
            expect(page.locator('th[aria-sort="ascending"]')).to_have_text(column)
            if order == "desc":
                page.get_by_role("button", name=column, exact=True).click()
            expect(largest).to_contain_text(first)
        settled(page, job)
        page.get_by_role("button", name="Load older lines").click()
        expect(page.get_by_text("10,000 of 100,0")).to_be_visible()
        log = page.get_by_role("log")
        log.evaluate("(box) => { box.scrollTop = box.scrollHeight / 2; }")
        expect(page.get_by_role("button", name="Follow")).to_be_visible()
        nodes["log"] = page.evaluate(count)
    assert {name: n for name, n in nodes.items() if n > MOST_NODES} == {}


_WAITING = """INSERT INTO jobs (folder_name, source_path, destination_path, created_by, folder_size_bytes)
SELECT 'Waiting ' || n, '/nas/Team/2026/Waiting ' || n, format('/Team/waiting %s.tar.7z', n), 'person' || n % 10, n * 1048576::bigint
FROM generate_series(1, 10000) AS n"""


def test_ten_thousand_jobs_wait(browser: Browser, running: Stack, origin: str, login_state: StorageState) -> None:
    """The queue shows the total and one page of jobs, and stays live."""
    with running.frozen("compressor"), _opened(browser, origin, login_state) as page:
        running.sql(_WAITING)
        settled(page, "/queue")
        expect(page.get_by_role("heading", name="Waiting (10,000)")).to_be_visible()
        expect(page.locator('[data-connection="live"]')).to_be_visible()
        page.get_by_role("button", name="Go to page 200").click()
        expect(page.get_by_text(re.compile("9,951.10,000 of 10,000"))).to_be_visible()
        assert page.evaluate("() => document.querySelectorAll('*').length") <= MOST_NODES
        running.sql(
            "UPDATE jobs SET status = 'cancelled', version = 2, completed_at = now() WHERE source_path LIKE '/nas/Team/2026/Waiting %'"
        )
        running.archive(running.folder(name="The only one"))
        expect(page.get_by_role("heading", name="Waiting (1)")).to_be_visible()
