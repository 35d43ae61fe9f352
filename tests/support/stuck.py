"""Storage that does not respond until a test releases it."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest


class Stuck:
    """A call that blocks until `go` is set. `waiting`: the number of calls so far."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.waiting = 0

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.waiting += 1
        self.go.wait()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck()
    yield made
    made.go.set()
