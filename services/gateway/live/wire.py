"""A uvicorn WebSocket that also accepts encoded frames: one encoding for all clients, no task or timer per message.

ASGI's `send` encodes a frame for each client and may wait for a client that does not read. A broadcast can afford neither. The
application finds its wire in the scope's state. uvicorn still does the handshake, the pings and the close.
"""

import socket
import time
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

_STATE = "wire"
_SEND_BUFFER = 128 * 1024
"""The kernel's send buffer per client. The default is megabytes, so a slow client would get outdated messages."""


def frame(text: bytes) -> bytes:
    """Return a text message as a frame for every client. A server does not mask its frames."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def of(scope: Any) -> "Wire":
    """Return the wire of an accepted WebSocket."""
    wire: Wire = scope["state"][_STATE]
    return wire


class Wire(WebSocketsSansIOProtocol):
    """One client's connection. `on_resumed` is called when a stalled client reads again."""

    stalled_at: float | None = None
    """The monotonic time since which this client has not read its messages, or None while it reads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_resumed: Callable[[], None] = lambda: None

    async def run_asgi(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self.scope["state"][_STATE] = self
        try:
            await super().run_asgi()
        finally:
            # Without this, uvicorn waits indefinitely for the client to read what was sent before the close.
            self.loop.call_later(self.close_timeout, self.transport.abort)

    def pause_writing(self) -> None:
        self.stalled_at = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.stalled_at = None
        super().resume_writing()
        self.on_resumed()

    def write(self, ready: bytes) -> None:
        """Send a frame, or do nothing if the connection is closing. Never waits: check `stalled_at` first."""
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(ready)

    def abort(self) -> None:
        """Close the connection now and discard unsent data."""
        self.transport.abort()
