"""What the job page and the dashboard say in figures and notes, in a real browser against the real stack."""

import os
import re

from playwright.sync_api import expect

from tests.support.stack import Stack
from tests.ui.conftest import Person


def test_the_job_page_counts_tries_as_users_do(person: Person, stack: Stack) -> None:
    """A job whose three services claimed it once each was never tried again; its retry by hand is one; the log names no attempt."""
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
    """One owner: nothing is said. Two: a line, which is no alert; the job needs nobody's attention."""
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
