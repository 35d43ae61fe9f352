"""`python -m tests.ui.figures`: page load times on the real stack. They are reported, never asserted, because the machine decides."""

import json
from statistics import median

from tests.support.stack import PASSWORD, running_stack
from tests.ui.browser import chromium, login, new_context

ROUNDS = 5
SLOW = 4  # times slower: simulates a phone
_OBSERVE = """window.__largest = 0;
new PerformanceObserver((list) => { for (const e of list.getEntries()) window.__largest = e.startTime; })
  .observe({type: 'largest-contentful-paint', buffered: true});"""
_READ = """() => new Promise((done) => setTimeout(() => done([window.__largest,
  performance.getEntriesByType('resource').reduce((sum, e) => sum + e.encodedBodySize, 0) / 1000]), 300))"""


def main() -> None:
    """Print each page's median time to the largest paint (ms) in a fresh browser, plain and slowed down, and the kB fetched."""
    with running_stack() as stack, chromium() as browser:
        origin = f"http://127.0.0.1:{stack.port}"
        done = stack.archive(stack.folder(name="Measured"))
        stack.wait(done, "completed")
        context, _ = new_context(browser, origin)
        page = context.new_page()
        page.goto("/login")
        login(page, "admin", PASSWORD)
        page.get_by_role("heading", name="Folders", level=1).wait_for()
        state = context.storage_state()
        context.close()
        for path in ("/login", "/folders", "/queue", "/history", f"/jobs/{done}", "/dashboard", "/settings", "/admin/users"):
            times: dict[int, list[float]] = {1: [], SLOW: []}
            fetched = 0.0
            for slow, found in times.items():
                for _ in range(ROUNDS):
                    context, _ = new_context(browser, origin, **({} if path == "/login" else {"storage_state": state}))
                    context.add_init_script(script=_OBSERVE)
                    page = context.new_page()
                    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slow})
                    page.goto(path)
                    page.locator("h1").wait_for()
                    largest, fetched = page.evaluate(_READ)
                    found.append(largest)
                    context.close()
            name = path.replace(done, "{id}")
            seen = {"page": name, "lcp_ms": median(times[1]), "lcp_slow_ms": median(times[SLOW]), "kB": round(fetched)}
            print(json.dumps(seen))  # noqa: T201 - this is its report


if __name__ == "__main__":
    main()
