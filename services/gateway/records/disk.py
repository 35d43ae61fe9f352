"""Threads for storage access. An unresponsive disk blocks only these threads, not logins or other work.

A thread cannot be cancelled. A handle that it opens for a cancelled caller is closed here.
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
    """Wait until the thread has ended, even when cancelled. Then its resources may be closed or handed on."""
    try:
        return await asyncio.shield(running)
    finally:
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({running})


async def open_at_disk(function: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> int:
    """Run a function that returns an open handle, which the caller closes. When cancelled, close the handle once it is open."""
    opening = asyncio.ensure_future(at_disk(function, *args, **kwargs))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opened: "asyncio.Future[int]") -> None:
    if not opened.cancelled() and opened.exception() is None:
        os.close(opened.result())
