"""A WebSocket of uvicorn's that also takes frames which are ready: one encoding for all clients, no task and no timer per message.

ASGI's `send` makes each client's frame anew and may wait for a client that does not read; a broadcast can afford neither. The
application finds its wire in the scope's state. Everything else, the handshake, pings and the close, stays uvicorn's.
"""

import socket
import time
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

_STATE = "wire"
_SEND_BUFFER = 128 * 1024
"""Bytes that the kernel holds for a client. Left alone it takes megabytes: what is in there is old before a slow client sees it."""


def frame(text: bytes) -> bytes:
    """A text message as every client gets it; a server's frames are not masked."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def of(scope: Any) -> "Wire":
    """The wire of an accepted WebSocket."""
    wire: Wire = scope["state"][_STATE]
    return wire


class Wire(WebSocketsSansIOProtocol):
    """One client's connection. `on_resumed` is called when a client that did not read reads again."""

    stalled_at: float | None = None
    """Since when (monotonic) this client has not read what it was sent; None: it reads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_resumed: Callable[[], None] = lambda: None

    async def run_asgi(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.scope["state"][_STATE] = self
        try:
            await super().run_asgi()
        finally:
            # uvicorn waits without end for a client to read what was sent before the close.
            self.loop.call_later(self.close_timeout, self.transport.abort)

    def pause_writing(self) -> None:
        self.stalled_at = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.stalled_at = None
        super().resume_writing()
        self.on_resumed()

    def write(self, ready: bytes) -> None:
        """Send a frame; nothing happens when the connection is about to end. Never waits: look at `stalled_at` first."""
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(ready)

    def abort(self) -> None:
        """End it now, whatever was not sent yet."""
        self.transport.abort()
