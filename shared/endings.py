"""Which signals ask a program to end in order, and what they do.

A program may hear of one ending twice: of a closed terminal the kernel tells both the session's leader and the foreground processes.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def asked_to_end() -> list[signal.Signals]:
    """Ctrl-C, SIGTERM, and SIGHUP of a terminal that was closed. What our parent ignores (`nohup`, a shell's `&`) we ignore, too."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def ignore_from_now_on() -> None:
    """Ignore each of them: what tidies up must not be cut short."""
    for number in asked_to_end():
        signal.signal(number, signal.SIG_IGN)


def as_interrupts() -> None:
    """Let each of them raise KeyboardInterrupt in the main thread, as Ctrl-C does; SIGTERM and SIGHUP only once."""

    def once(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in asked_to_end():
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else once)


@contextmanager
def calling(stop: Callable[[], object]) -> Iterator[None]:
    """Within the block, call `stop` in the main thread on the first of them. All further ones are ignored, also after the block.

    (A signal handler of an event loop would not do: closing the loop lets the next signal kill the program while it tidies up.)
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
