"""WS /ws/jobs: what happens, as it happens."""

from contextlib import suppress
from typing import Any

from litestar import WebSocket, websocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketException

from services.gateway.gate import CHANGE_FIRST, bearer
from services.gateway.live import LOGIN_ENDED, PASSWORD_CHANGE, TRY_LATER, Hub
from services.gateway.refusals import ProblemError
from services.gateway.security import Security


@websocket("/ws/jobs")
async def follow(socket: WebSocket[Any, Any, Any], security: NamedDependency[Security], hub: NamedDependency[Hub]) -> None:
    """Send all live jobs and the queue, then every change, until the client goes or its login ends.

    `?token=` or the Authorization header. A browser sees a close code only after the connection was accepted, so refusals come then.
    """
    token = socket.query_params.get("token") or bearer(socket.scope["headers"]) or ""
    await socket.accept()
    with suppress(WebSocketException):  # gone in the middle of it
        try:
            who = await security.identify(token)
        except ProblemError as exc:
            await socket.close(LOGIN_ENDED if exc.status == 401 else TRY_LATER, str(exc)[:120])
            return
        if who.must_change_password:
            await socket.close(PASSWORD_CHANGE, CHANGE_FIRST[:120])
            return
        await hub.attend(socket, who)
