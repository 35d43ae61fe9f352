"""Live updates: WebSockets, server-sent events, their tickets, and missed events."""

import hashlib
import secrets
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, WebSocket, get, post, websocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from services.gateway.auth.limits import Limits
from services.gateway.auth.security import CHANGE_FIRST, Security
from services.gateway.gate import WRONG_ORIGIN, bearer, is_own_origin, session_cookie
from services.gateway.http.http_errors import ProblemError, unauthorized
from services.gateway.http.problems import refusals
from services.gateway.jobs import views
from services.gateway.jobs.jobs import visible
from services.gateway.live.hub import LOGIN_ENDED, PASSWORD_CHANGE, TRY_LATER, Channel, Client, Hub, Message
from services.gateway.records.host_stats import HostStats
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.live import EventPage, Stats, StatsHistory, Ticket
from shared.domain.lifecycle import TERMINAL

LiveRequest = Request[Identity, Any, Any]

TICKET_SECONDS = 30
OLDEST = 10_000
"""A client that missed more events than this must reload everything."""
_PAGE = 1000
TOO_OLD = (
    "Too much has happened since, or the numbers began anew: read the lists again, then follow from `last` of an empty request."
)


async def _identify(socket: "WebSocket[Any, Any, Any]", security: Security, store: Store) -> Identity:
    """Identify the client by ticket, token, header or cookie. Raises ProblemError."""
    headers, query = socket.scope["headers"], socket.query_params
    if ticket := query.get("ticket"):
        return await _redeem(store, ticket)
    token = query.get("token") or bearer(headers)
    if token is None and (cookie := session_cookie(headers)):
        if not is_own_origin(headers):  # a script on a foreign page must not listen with a user's cookie
            raise unauthorized(WRONG_ORIGIN)
        token = cookie
    return await security.identify(token or "")


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()


async def _redeem(store: Store, ticket: str) -> Identity:
    claims = await store.take_ticket(_digest(ticket))
    if claims is None:
        raise unauthorized("This ticket was used, is older than 30 seconds, or never was one. Ask for another.")
    who = msgspec.convert(claims, Identity)
    now = (await store.sessions_now([(who.claims.sub, who.claims.jti, who.claims.epoch)])).get(who.claims.jti)
    if now is None:
        raise unauthorized("The login that asked for this ticket has ended. Log in again.")
    # Use the user's current rights, not those from when the ticket was created.
    return msgspec.structs.replace(who, is_admin=now["is_admin"], must_change_password=now["must_change_password"])


async def _serve(
    socket: "WebSocket[Any, Any, Any]", security: Security, store: Store, hub: Hub, limits: Limits, channel: Channel
) -> None:
    await socket.accept()  # browsers see a close code only after this
    with suppress(WebSocketException):  # the client disconnected meanwhile
        try:
            who = await _identify(socket, security, store)
        except ProblemError as exc:
            await socket.close(LOGIN_ENDED if exc.status == 401 else TRY_LATER, str(exc)[:120])
            return
        if who.must_change_password:
            await socket.close(PASSWORD_CHANGE, CHANGE_FIRST[:120])
            return
        try:
            with limits.holding(who.id):
                async with limits.pace.answering(who.id) as begun:
                    await hub.attend(socket, who, channel, begun)
        except ProblemError as exc:
            await socket.close(TRY_LATER, str(exc)[:120])


@websocket("/ws/jobs")
async def follow(
    socket: WebSocket[Any, Any, Any],
    security: NamedDependency[Security],
    store: NamedDependency[Store],
    hub: NamedDependency[Hub],
    limits: NamedDependency[Limits],
) -> None:
    """Send a snapshot of live jobs and the queue, then every change, until the client leaves or its login ends (code 4401)."""
    await _serve(socket, security, store, hub, limits, "jobs")


@websocket("/ws/dashboard")
async def follow_dashboard(
    socket: WebSocket[Any, Any, Any],
    security: NamedDependency[Security],
    store: NamedDependency[Store],
    hub: NamedDependency[Hub],
    limits: NamedDependency[Limits],
) -> None:
    """Send the same for the dashboard: `task_status` for each task, and `dashboard_stats` every two seconds."""
    await _serve(socket, security, store, hub, limits, "dashboard")


@post("/ws-ticket", operation_id="createTicket", status_code=201, responses=refusals(), tags=["Live"])
async def create_ticket(request: LiveRequest, store: NamedDependency[Store], limits: NamedDependency[Limits]) -> Ticket:
    """Create a ticket for one live connection (`/ws/jobs?ticket=`), so that no token appears in a logged URL.

    The ticket is valid for 30 seconds and for one use, on any gateway. Its connection ends with the login that requested it.
    429: you have as many unused tickets as you may have connections.
    """
    ticket = secrets.token_urlsafe(32)
    async with store.transaction() as session:
        await limits.refuse_more_tickets(session, request.user.id)
        await session.run("add_ticket", _digest(ticket), msgspec.to_builtins(request.user), TICKET_SECONDS, request.user.id)
    return Ticket(ticket, TICKET_SECONDS)


async def _missed(store: Store, who: Identity, after: int, limit: int) -> EventPage:
    """Return the events after `after`. Raises ProblemError 410 when there are too many."""
    newest = await store.last_seq()
    if after > newest or newest - after > OLDEST:
        raise ProblemError(410, "too-old", TOO_OLD)
    rows = await store.events_after(after, who.id, everything=who.is_admin, limit=limit + 1)
    shown = [views.job_entered(row["stream_seq"], row["payload"]) for row in rows[:limit]]
    return EventPage(events=list(shown), last=shown[-1].seq if shown else max(after, newest), more=len(rows) > limit)


@get("/events", operation_id="listEvents", responses=refusals(410), tags=["Live"])
async def list_events(
    request: LiveRequest,
    store: NamedDependency[Store],
    after: Annotated[
        int | None,
        QueryParameter(ge=0, le=2**62, description="The highest `seq` you saw. Without it: where to begin, and no events."),
    ] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=_PAGE)] = _PAGE,
) -> EventPage:
    """List the events that you missed while you were disconnected, oldest first. 410: there are too many; reload the lists.

    Sequence numbers come from the stream and are the same on every gateway. The type of `events` lists every kind of message
    that `/ws/jobs` sends. This list holds only `job_event`s.
    """
    if after is None:
        return EventPage(events=[], last=await store.last_seq(), more=False)
    return await _missed(store, request.user, after, limit)


def _last_event_id(request: LiveRequest) -> int | None:
    text = request.headers.get("last-event-id", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def _stream(request: LiveRequest, store: Store, hub: Hub, job_id: UUID | None) -> Stream:
    after, missed = _last_event_id(request), list[Message]()
    if after is not None:
        # An outdated event id is not an error here, because a browser would give up: the snapshot that follows is complete.
        with suppress(ProblemError):
            page = await _missed(store, request.user, after, _PAGE)
            missed = [Message(e, e.seq) for e in page.events if hasattr(e, "seq") and job_id in {None, getattr(e, "job_id", None)}]
    client = Client(request.user, "jobs", job_id)
    return Stream(hub.stream(client, missed), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


_STREAM: dict[int, ResponseSpec] = {
    200: ResponseSpec(str, generate_examples=False, media_type="text/event-stream", description="Endless.")
}


@get("/stream", operation_id="streamJobs", responses={**refusals(), **_STREAM}, tags=["Live"], media_type="text/event-stream")
async def stream_all(request: LiveRequest, store: NamedDependency[Store], hub: NamedDependency[Hub]) -> Stream:
    """Stream the messages of `/ws/jobs` as server-sent events. With `Last-Event-ID`, missed events come first, as `job_event`s."""
    return await _stream(request, store, hub, None)


@get(
    "/stream/{task_id:uuid}",
    operation_id="streamJob",
    responses={**refusals(404), **_STREAM},
    tags=["Live"],
    media_type="text/event-stream",
)
async def stream_one(
    task_id: FromPath[UUID], request: LiveRequest, store: NamedDependency[Store], hub: NamedDependency[Hub]
) -> Stream | Response[None]:
    """Stream one job's messages as server-sent events.

    204 tells a browser to stop reconnecting: the job has ended, and the client knows it.
    """
    row = visible(request.user, task_id, await store.job(task_id))
    if row["status"] in TERMINAL:
        if _last_event_id(request) is not None:
            return Response(None, status_code=204)
        seq = await store.last_seq()
        last = Message(msgspec.structs.replace(views.job_update(row), seq=seq), seq)
        return Stream(iter([last.event]), media_type="text/event-stream")
    return await _stream(request, store, hub, task_id)


@get("/stats", operation_id="getStats", responses=refusals(), tags=["Tasks"])
async def get_stats(host_stats: NamedDependency[HostStats]) -> Stats:
    """Return counts, speeds, and the load of the gateway's machine."""
    return await host_stats.stats()


@get("/stats/history", operation_id="getStatsHistory", responses=refusals(), tags=["Tasks"])
async def get_stats_history(host_stats: NamedDependency[HostStats]) -> StatsHistory:
    """Return upload speed, CPU and memory of the last half hour, as recorded by the responding gateway since its start."""
    return host_stats.history()


routes = [create_ticket, list_events, stream_all, stream_one, get_stats, get_stats_history]
