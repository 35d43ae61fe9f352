"""Threads for the storage: a disk that hangs holds these, and neither logins nor anything else that needs a thread.

A thread cannot be cancelled. What a thread has opened is closed here when nobody waits for it any more.
"""

import asyncio
import contextvars
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 16
_EXECUTOR = ThreadPoolExecutor(_THREADS, thread_name_prefix="disk")


async def at_disk(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that reads or writes the storage."""
    call = functools.partial(contextvars.copy_context().run, functools.partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_EXECUTOR, call)


async def to_its_end(running: "asyncio.Future[T]") -> T:
    """Wait for work in a thread until the thread has ended, also when cancelled: then what it works with may be closed or given on."""
    try:
        return await asyncio.shield(running)
    finally:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({running})


async def open_at_disk(function: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> int:
    """Run a function that returns an open handle, which the caller closes. Cancelled, the handle is closed as soon as it is open."""
    opening = asyncio.ensure_future(at_disk(function, *args, **kwargs))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opened: "asyncio.Future[int]") -> None:
    if not opened.cancelled() and opened.exception() is None:
        os.close(opened.result())
