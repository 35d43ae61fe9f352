"""Signals that ask a program to shut down in an orderly way, and their handlers.

A program may get two signals for one shutdown. When a terminal closes, the kernel signals both the session leader and the
foreground processes.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def asked_to_end() -> list[signal.Signals]:
    """Return SIGINT (Ctrl-C), SIGTERM and SIGHUP (closed terminal), without those that our parent ignores (`nohup`, `&`)."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def ignore_from_now_on() -> None:
    """Ignore each of these signals from now on, so that clean-up is not interrupted."""
    for number in asked_to_end():
        signal.signal(number, signal.SIG_IGN)


def as_interrupts() -> None:
    """Let each signal raise KeyboardInterrupt in the main thread, as Ctrl-C does; SIGTERM and SIGHUP only once."""

    def once(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in asked_to_end():
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else once)


@contextmanager
def calling(stop: Callable[[], object]) -> Iterator[None]:
    """Within the block, call `stop` in the main thread on the first signal. Later signals are ignored, even after the block.

    An event loop's signal handler would not work: once the loop is closed, the next signal kills the program during clean-up.
    """
    before = {number: signal.getsignal(number) for number in asked_to_end()}

    def first(_number: int, _frame: FrameType | None) -> None:
        ignore_from_now_on()
        stop()

    for number in before:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is first:
                signal.signal(number, handler)
