"""Which signals ask a program to end in order."""

import signal


def asked_to_end() -> list[signal.Signals]:
    """Ctrl-C, SIGTERM, and SIGHUP of a terminal that was closed. What our parent ignores (`nohup`, a shell's `&`) we ignore, too."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def as_interrupts() -> None:
    """Let each of them raise KeyboardInterrupt in the main thread, as Ctrl-C does."""
    for number in asked_to_end():
        signal.signal(number, signal.default_int_handler)
