"""Storage that does not answer until a test lets it."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest


class Stuck:
    """A call that does not return until `go` is set. `waiting`: how many calls were made."""

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
