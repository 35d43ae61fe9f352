"""Figures and notes on the job page and the dashboard, in a real browser on the real stack."""

import os
import re

from playwright.sync_api import expect

from tests.support.stack import Stack, until
from tests.ui.conftest import Person

UNITS = ("KB", "MB", "GB", "TB", "PB")


def test_the_job_page_counts_tries_as_users_do(person: Person, stack: Stack) -> None:
    """Three services each claimed a job once: that is no retry. A manual retry is one. The log shows no attempt number."""
    folder = stack.folder(name="Tried twice")
    os.mkfifo(folder / "pipe")
    job = stack.archive(folder)
    stack.wait(job, "failed")
    page = person.page
    page.goto(f"/jobs/{job}")
    retries = page.locator("dt", has_text="Retries").locator("xpath=following-sibling::dd")
    expect(retries).to_have_text("none")

    (folder / "pipe").unlink()
    page.get_by_role("button", name="Retry").click()

    expect(page.locator('[data-outcome="completed"]')).to_be_visible()
    expect(retries).to_have_text("1 requested")
    log = page.get_by_role("log", name="Job log")
    expect(log).to_contain_text("queued -> copying")
    expect(log).not_to_contain_text("attempt")
    assert "attempt" not in stack.log(job)


def test_owners_are_a_quiet_line_and_only_where_there_are_several(person: Person, stack: Stack) -> None:
    """One owner: no line. Two: a line that is no alert, and the job needs no attention."""
    alone, several = stack.folder(name="One owner"), stack.folder(name="Two owners")
    (several / "foreign.txt").write_text("x")
    os.chown(several / "foreign.txt", 12345, -1)
    jobs = [stack.archive(folder) for folder in (alone, several)]
    for job in jobs:
        stack.wait(job, "completed")
    page = person.page
    owners = page.get_by_text(re.compile("have 2 owners. They are not in the archive; the sidecar keeps them."))

    page.goto(f"/jobs/{jobs[0]}")
    expect(page.locator('[data-outcome="completed"]')).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(owners).to_have_count(0)

    page.goto(f"/jobs/{jobs[1]}")
    expect(page.get_by_role("list", name="Notes").get_by_text(re.compile("2 owners"))).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_half_hour_is_there_when_the_dashboard_opens(person: Person, stack: Stack) -> None:
    """The lines come from the gateway, so a newly opened or reloaded page has them. Each has a scale."""
    until(lambda: len(stack.http.get("/api/stats/history").json()["samples"]) >= 2, "two samples of the gateway's own", 90)
    page = person.page
    page.goto("/dashboard")
    for _ in range(2):
        section = page.get_by_role("region", name="This machine")
        for name in ("Transfer speed", "Processor", "Memory"):
            chart = section.get_by_role("img", name=re.compile(f"^{name} over the last 30m: between"))
            expect(chart.locator("polyline").first).to_have_attribute("points", re.compile(r"^[\d.]+,[\d.]+ [\d.]+,[\d.]+"))
        expect(section.locator("[data-scale]").first).to_have_text(re.compile(r"^1(\.00)? MB/s0$"))
        expect(section.locator("[data-scale]").nth(1)).to_have_text("30m agonow")
        expect(section.locator("[data-scale]").nth(2)).to_have_text(re.compile("^100.%0$"))
        page.reload()


def test_used_and_free_space_add_up(person: Person, stack: Stack) -> None:
    """Each part of the storage is named, and the parts add up to the total."""
    disk = stack.http.get("/api/system/status").json()["disk_space"]
    page = person.page
    page.goto("/dashboard")
    rows = page.locator("section", has=page.get_by_role("heading", name="Staging storage")).locator("dl")
    expect(rows).to_contain_text("Total")
    names, sizes = rows.locator("dt").all_inner_texts(), rows.locator("dd").all_inner_texts()
    shown = {name: _gb(size) for name, size in zip(names, sizes, strict=True)}

    parts = shown["Used"] + shown.get("Reserved by the file system", 0) + shown["Free"]
    step = max(0.01 * 1024.0 ** (UNITS.index(size.split()[1]) - 2) for size in sizes)  # the last decimal of the largest unit shown
    assert abs(parts - shown["Total"]) < 1.5 * step, shown
    assert ("Reserved by the file system" in shown) == (disk["system_reserved_gb"] > 0)


def _gb(size: str) -> float:
    number, unit = size.split()
    return float(number.replace(",", "")) * 1024.0 ** (UNITS.index(unit) - 2)
