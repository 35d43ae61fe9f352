"""The HTTP side: a plain ASGI application under uvicorn that can also cut, stall and reset its connections.

The routes are in `api`. This module handles connections, because half of the faults worth testing are broken ones: an answer
lost after the work was done, an answer that stops in the middle, a reset.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from devstack.globus_emulator.api import CONTROL, Answer, Api, Request, parse_query, refusal
from devstack.globus_emulator.errors import ApiError
from devstack.globus_emulator.faults import HttpFault

log = logging.getLogger(__name__)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
TRANSPORT = "devstack.transport"
# l_onoff=1, l_linger=0: close sends RST instead of FIN.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Protocol(H11Protocol):
    """uvicorn's protocol, which also gives the application its transport: ASGI cannot break a connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # same as uvicorn's own
        super().connection_made(transport)
        self.app = functools.partial(_with_transport, self.app, transport)


async def _with_transport(app: Any, transport: asyncio.Transport, scope: Message, receive: Receive, send: Send) -> None:
    scope[TRANSPORT] = transport
    await app(scope, receive, send)


class _Wire(NamedTuple):
    """One exchange: the connection and both of its directions."""

    transport: asyncio.Transport
    receive: Receive
    send: Send


class Application:
    """The ASGI application. Threads do the work, so a slow disk does not delay other calls."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.closing = asyncio.Event()
        """Set when the program ends, so that intentional stalls end."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = await _read(scope, receive)
        if request.path.startswith(CONTROL):
            await _send(send, await asyncio.to_thread(self.api.handle, request))
            return
        entry = self.api.requests.add(
            time=self.api.world.now(),
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
        )
        fault = self.api.world.faults.http(request.method, request.path)
        entry["fault"] = fault.action if fault else None
        if fault is None:
            result = await asyncio.to_thread(self.api.handle, request)
            entry["status"] = result.status
            await _send(send, result)
        else:
            await self._broken(fault, request, entry, _Wire(scope[TRANSPORT], receive, send))

    async def _broken(
        self,
        fault: HttpFault,
        request: Request,
        entry: dict[str, Any],
        wire: _Wire,
    ) -> None:
        """Answer as the fault demands. Every action except `status` and `reset_before` does the work first."""
        if fault.action == "reset_before":
            await _reset(wire)
            return
        if fault.action == "status":
            result = _planned(fault, request)
            entry["status"] = result.status
            await _send(wire.send, result)
            return
        if fault.action == "delay":
            await self._stall(fault.seconds)
        result = await asyncio.to_thread(self.api.handle, request)
        entry["status"] = result.status
        if fault.action == "delay":
            await _send(wire.send, result)
        elif fault.action == "lost_response":
            await _reset(wire)
        else:
            await _send_head(wire.send, result)
            await wire.send({"type": "http.response.body", "body": result.body[: len(result.body) // 2], "more_body": True})
            if fault.action == "stall_body":
                await self._stall(fault.seconds)
            wire.transport.close()
            await _gone(wire.receive)

    async def _stall(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.closing.wait(), seconds)
        except TimeoutError:
            return


async def _read(scope: Message, receive: Receive) -> Request:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=parse_query(scope["query_string"]),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
        peer=client[0] if client else "",
    )


def _planned(fault: HttpFault, request: Request) -> Answer:
    headers = tuple(fault.headers.items())
    if fault.text is not None:
        return Answer(fault.status, fault.text.encode(), "text/html", headers)
    if fault.body is not None:
        return Answer(fault.status, msgspec.json.encode(fault.body), headers=headers)
    plain = refusal(ApiError(fault.status, fault.code, "made by a fault of the emulator"), request.path)
    return plain._replace(headers=headers)


async def _send_head(send: Send, result: Answer) -> None:
    own = (("content-type", result.content_type), ("content-length", str(len(result.body))))
    given = {name.lower() for name, _ in result.headers}
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in (*(pair for pair in own if pair[0] not in given), *result.headers)
    ]
    await send({"type": "http.response.start", "status": result.status, "headers": headers})


async def _send(send: Send, result: Answer) -> None:
    await _send_head(send, result)
    await send({"type": "http.response.body", "body": result.body})


async def _reset(wire: _Wire) -> None:
    raw: socket.socket | None = wire.transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    wire.transport.abort()
    await _gone(wire.receive)


async def _gone(receive: Receive) -> None:
    """Wait until the server knows that the connection is gone; otherwise it would send a 500."""
    while (await receive())["type"] != "http.disconnect":
        pass
