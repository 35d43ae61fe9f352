"""Close connections that do not finish sending their request headers in time.

uvicorn limits the silence between two requests, but any byte ends that limit. gate.py limits the time for a body that is being
read.
"""

import asyncio
from typing import Any
from uuid import uuid4

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.gateway.http import problems
from services.gateway.http.http_errors import ProblemError
from shared import units


class TimedRequests(H11Protocol):
    """A client's connection. Each request's headers must arrive within `head_seconds` of the connection or the last answer.

    The rest of a body that is not read, because the request was refused early, must arrive within the same time. Requests in
    progress, streams and WebSockets are not limited.
    """

    head_seconds: float
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _watch(self) -> None:
        """Run the timer while headers, or the rest of a refused body, are arriving. Further bytes do not restart it."""
        heads = self.conn.their_state is h11.IDLE
        leftover = self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE
        if not (heads or leftover) or self.transport.is_closing():
            self._stop()
        elif self._due is None:
            self._due = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _too_slow(self) -> None:
        self._due = None
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:  # a client that sent nothing gets no reply
            self._answer_408()
        self.transport.close()

    def _answer_408(self) -> None:
        detail = f"The head of the request did not arrive within {units.duration(self.head_seconds)}."
        request_id = uuid4().hex
        body = problems.encode(ProblemError(408, "too-slow", detail), request_id)
        headers = [
            ("Content-Type", problems.MEDIA_TYPE),
            ("Content-Length", str(len(body))),
            ("X-Request-ID", request_id),
            ("Connection", "close"),
        ]
        response = h11.Response(status_code=408, headers=headers, reason=b"Request Timeout")
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")


def timed(seconds: float) -> type[TimedRequests]:
    """Return the protocol class with this limit, for `uvicorn.Config(http=...)`."""

    class Timed(TimedRequests):
        head_seconds = seconds

    return Timed
