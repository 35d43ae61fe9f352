"""One stack per module. A failing test shows the logs of its jobs."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Settings of a module's stack. A module that needs other settings defines this fixture itself."""
    return {}


@pytest.fixture(scope="module")
def running(environment: dict[str, str]) -> Iterator[Stack]:
    with running_stack(**environment) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    """The module's stack. All faults are cleared before and after each test."""
    running.jobs.clear()
    yield running
    running.plan.unlink(missing_ok=True)
    running.control.set_faults()
    running.control.configure(bytes_per_second=None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and report.when == "call" and stack is not None:
        report.sections.append(("jobs", stack.stories()))
    return report
