"""Job updates for live clients: one ordered consumer, each message encoded once, one bounded queue per client.

The hub knows every live job. An event names a job to be read again. Progress figures of the running stage are used directly.
Every few seconds, the hub reads each changed row again. This also shows changes without an event (a wait reason, a pause) and
repairs lost ones. A client's queue holds at most one message per job. A slow client therefore skips steps and never gets an
older state. A client that does not read at all is dropped, without effect on others.

`seq` is the JetStream sequence of the newest event that the shown state includes. It is the same on every gateway. A client may
reconnect to another gateway and ask there for missed events (`GET /api/events?after=`).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import WebSocket
from nats.errors import Error as NatsError
from nats.js.api import DeliverPolicy

from services.gateway.auth.security import CHANGE_FIRST
from services.gateway.http.http_errors import ProblemError
from services.gateway.jobs import views
from services.gateway.live import wire
from services.gateway.live.wire import Wire
from services.gateway.records.host_stats import HostStats
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.live import Heartbeat, JobUpdate, LogMessage, Snapshot
from shared import log
from shared.domain import events
from shared.domain.lifecycle import TERMINAL, Kind
from shared.infra.bus import Bus
from shared.isolation import Isolation

logger = log.get(__name__)

LOGIN_ENDED = 4401
"""Close code: the token is not valid, or no longer."""
PASSWORD_CHANGE = 4403
"""Close code: the password must be changed first."""
TOO_SLOW = 4408
"""Close code: this client did not read its messages. It should reconnect."""
RIGHTS_CHANGED = 4409
"""Close code: this user became an admin or ceased to be one. Reconnect with the new rights."""
TRY_LATER = 1013

HEARTBEAT_SECONDS = 2.0
"""A client that hears nothing for more than twice this time has lost its connection (browsers hide the protocol's own pings)."""

Channel = Literal["jobs", "dashboard"]
CHANNELS: tuple[Channel, ...] = ("jobs", "dashboard")

_RESYNC_SECONDS = 2.0
_REVIEW_SECONDS = 0.5
_AGAIN_SECONDS = 1.0  # after a failed read
_SEND_SECONDS = 10.0  # without reading anything
_CLOSE_SECONDS = 1.0
_BATCH = 50  # snapshot messages written at once
_NOT_READ = (TOO_SLOW, "You did not read what was sent; connect again.")
_STATS_SECONDS = 2.0
_QUEUE_LENGTH = 5000  # jobs and log lines waiting for one client beyond its snapshot; the message texts are shared
_CLIENTS = 5000
_ENDED_JOBS = 10_000  # whose owners are recorded: a job's last log lines arrive after its end
_FIGURES_SECONDS = 5.0  # for this time, live figures are newer than those of the database row
_FIGURES = ("progress_percent", "stage_percent", "bytes_done", "bytes_total", "bytes_per_second", "eta_seconds")
_QUEUE, _HEARTBEAT, _STATS, _SNAPSHOT = "queue", "heartbeat", "stats", "snapshot"


class Message:
    """A message that is encoded once for all clients."""

    def __init__(self, message: msgspec.Struct, seq: int = 0) -> None:
        self.text = msgspec.json.encode(message)
        self.seq = seq

    @cached_property
    def frame(self) -> bytes:
        """Return the message as a WebSocket text frame."""
        return wire.frame(self.text)

    @cached_property
    def event(self) -> bytes:
        """Return the message as a server-sent event. It has no name, so `onmessage` gets every type and checks `type`."""
        return (b"id: %d\n" % self.seq if self.seq else b"") + b"data: %s\n\n" % self.text


class Audience:
    """The users who may see a job: everyone for archive jobs, else its owner and the admins."""

    __slots__ = ("_owner", "_team")

    def __init__(self, kind: str, owner: UUID | None) -> None:
        self._team = kind == Kind.ARCHIVE
        self._owner = owner

    def holds(self, who: Identity) -> bool:
        return self._team or who.is_admin or self._owner == who.id


class Client:
    """A connected browser or program. `job_id`: it follows only this job. `line`: its WebSocket, or None if it reads `events`."""

    def __init__(self, who: Identity, channel: Channel = "jobs", job_id: UUID | None = None, line: Wire | None = None) -> None:
        self.who = who
        self.channel = channel
        self.job_id = job_id
        self.sent = 0
        self.over: tuple[int, str] | None = None
        self._line = line
        self._quotas = _QUEUE_LENGTH
        self._waiting: OrderedDict[Hashable, Message] = OrderedDict()
        self._ready = asyncio.Event()
        self._finishing = False
        if line is not None:
            line.on_resumed = self._flush

    def begin(self, snapshot: Iterable[tuple[Hashable, Message]]) -> None:
        """Queue the snapshot. The client's queue always has space for it."""
        self._waiting.update(snapshot)
        self._quotas = _QUEUE_LENGTH + len(self._waiting)
        self._flush()

    def offer(self, key: Hashable, message: Message) -> None:
        """Send a message at once if the client reads. Otherwise queue it, in place of a queued message with the same key."""
        if self.over is not None:
            return
        self._waiting[key] = message
        self._flush()
        if len(self._waiting) > self._quotas:
            self.end(*_NOT_READ)

    def end(self, code: int, reason: str) -> None:
        self.over = self.over or (code, reason)
        self._waiting.clear()
        self._ready.set()

    @property
    def is_slow(self) -> bool:
        """Return whether the client was dropped because it did not read."""
        return self.over == _NOT_READ

    def finish(self) -> None:
        """Send what is queued, then end the stream."""
        self._finishing = True
        self._ready.set()

    def drop_if_stalled(self, now: float) -> None:
        """Drop a client that has read nothing for too long."""
        since = self._line.stalled_at if self._line is not None else None
        if since is not None and now - since > _SEND_SECONDS:
            self.end(*_NOT_READ)

    def _flush(self) -> None:
        if self._line is None:
            self._ready.set()
            return
        while self._waiting and self._line.stalled_at is None:
            batch = [self._waiting.popitem(last=False)[1].frame for _ in range(min(len(self._waiting), _BATCH))]
            self._line.write(b"".join(batch))
            self.sent += len(batch)

    async def closing(self, socket: "WebSocket[Any, Any, Any]") -> None:
        """Wait until the hub ends this client, then close its WebSocket."""
        while self.over is None:
            await self._ready.wait()
            self._ready.clear()
        try:
            await asyncio.wait_for(socket.close(*self.over), _CLOSE_SECONDS)
        except TimeoutError:  # the client does not read, so it does not confirm the close either
            wire.of(socket.scope).abort()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield server-sent events until the end. The framework stops reading when the client does not read."""
        while self.over is None:
            await self._ready.wait()
            self._ready.clear()
            while self._waiting and self.over is None:
                _, message = self._waiting.popitem(last=False)
                self.sent += 1
                yield message.event
            if self._finishing:
                return


class Hub:
    """Distributes updates to clients. `run` does the work; `attend` and `stream` serve one client."""

    def __init__(self, store: Store, bus: Bus, host_stats: HostStats) -> None:
        self._store = store
        self._bus = bus
        self._machine = host_stats
        self.clients: set[Client] = set()
        self.seq = 0
        self.sent = 0
        self.dropped = 0
        self._known: dict[UUID, dict[str, Any]] = {}
        self._versions: dict[UUID, str] = {}  # of the rows at the last full read
        self._shown: dict[UUID, JobUpdate] = {}
        self._messages: dict[tuple[Channel, Hashable], Message] = {}
        self._audiences: OrderedDict[UUID, Audience] = OrderedDict()
        self._queue: msgspec.Struct | None = None
        self._heard_at: dict[UUID, float] = {}
        self._dirty: set[UUID] = set()
        self._entered: list[tuple[UUID, int]] = []
        self._heard_seq = 0
        self._lines = 0
        self._wake = asyncio.Event()
        self._synced_at = float("-inf")
        self._left_out = Isolation("job in the live view")

    async def run(self) -> None:
        """Follow the events until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (self._consume, self._refresh, self._watch_clients, self._beat, self._tell_stats):
                group.create_task(work())

    @property
    def is_following(self) -> bool:
        """Return whether the shown state was read within the last few seconds."""
        return time.monotonic() - self._synced_at < 5 * _RESYNC_SECONDS

    async def attend(self, socket: "WebSocket[Any, Any, Any]", who: Identity, channel: Channel, begun: Callable[[], None]) -> None:
        """Serve an accepted socket until it ends. Call `begun` when the snapshot is sent or queued."""
        if len(self.clients) >= _CLIENTS:
            await socket.close(TRY_LATER, "Too many are watching here already.")
            return
        client = Client(who, channel, line=wire.of(socket.scope))
        if channel == "dashboard":
            await self._read_stats()
        self._begin(client)
        begun()
        tasks = [asyncio.create_task(client.closing(socket)), asyncio.create_task(_until_gone(socket))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._forget(client)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stream(self, client: Client, missed: Iterable[Message]) -> AsyncIterator[bytes]:
        """Yield server-sent events for a client: missed events, the current state, then updates."""
        for message in missed:
            yield message.event
        self._begin(client)
        if client.job_id is not None and client.job_id not in self._known:
            # The job may have ended after the lookup. No later message would say so, and this stream would never end.
            self._dirty.add(client.job_id)
            self._wake.set()
        try:
            async for event in client.events():
                yield event
        finally:
            self._forget(client)

    async def review(self) -> None:
        """Close the connections whose login is no longer valid or whose rights have changed."""
        with suppress(ProblemError):  # Postgres is unavailable: nobody can log out now either
            await self._end_logins()

    def _begin(self, client: Client) -> None:
        mine = [job_id for job_id in self._shown if self._hears(client, job_id)]
        snapshot: list[tuple[Hashable, Message]] = []
        if client.channel == "jobs":
            snapshot.append((_SNAPSHOT, Message(Snapshot(seq=self.seq, job_ids=mine), self.seq)))
        snapshot += [(job_id, self._message(client.channel, job_id)) for job_id in mine]
        if client.job_id is None:
            last = (client.channel, _QUEUE if client.channel == "jobs" else _STATS)
            snapshot += [(last[1], self._messages[last])] if last in self._messages else []
        client.begin(snapshot)
        self.clients.add(client)

    def _forget(self, client: Client) -> None:
        self.clients.discard(client)
        self.sent += client.sent
        self.dropped += client.is_slow

    def _hears(self, client: Client, job_id: UUID) -> bool:
        if client.job_id is not None and client.job_id != job_id:
            return False
        audience = self._audiences.get(job_id)
        return client.who.is_admin if audience is None else audience.holds(client.who)

    # Events ------------------------------------------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        """Subscribe once. nats-py then renews the ordered consumer and the core subscriptions by itself."""
        connection = self._bus.connection
        await connection.subscribe("live.progress.>", cb=_quietly(self._on_progress))
        await connection.subscribe("live.log.>", cb=_quietly(self._on_log))
        await connection.subscribe("live.control.>", cb=_quietly(self._on_control))
        while True:
            try:
                await connection.jetstream().subscribe(
                    events.SUBJECTS,
                    stream=events.STREAM,
                    ordered_consumer=True,
                    idle_heartbeat=1,
                    deliver_policy=DeliverPolicy.NEW,
                    cb=_quietly(self._on_event),
                )
                return
            except (NatsError, OSError, TimeoutError) as exc:
                logger.warning("no_events", message="No events for now; jobs are read again every few seconds.", error=repr(exc))
                await asyncio.sleep(1)

    def _on_event(self, message: Any) -> None:
        event = events.decode(message.data)
        self._heard_seq = max(self._heard_seq, message.metadata.sequence.stream)
        self._dirty.add(event.data.job_id)
        self._entered.append((event.data.job_id, event.data.version))
        self._wake.set()

    def _on_control(self, message: Any) -> None:
        self._dirty.add(msgspec.json.decode(message.data, type=events.JobChanged).job_id)
        self._wake.set()

    def _on_progress(self, message: Any) -> None:
        figures = msgspec.json.decode(message.data, type=events.Progress)
        job = self._known.get(figures.job_id)
        if job is None or job["paused"] or (job["attempt"], job["status"]) != (figures.attempt, figures.status):
            return  # for a state that is over, or whose event has not arrived yet
        job |= {name: getattr(figures, name) for name in _FIGURES}
        if figures.current_operation:
            job["current_operation"] = figures.current_operation
        self._heard_at[figures.job_id] = time.monotonic()
        self._show(figures.job_id)

    def _on_log(self, message: Any) -> None:
        line = msgspec.json.decode(message.data, type=events.LogLine)
        self._say_line(LogMessage(line.job_id, line.timestamp, line.level, line.message))

    # State ---------------------------------------------------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RESYNC_SECONDS):  # wait_for could swallow a shutdown that coincides with the wake-up
                    await self._wake.wait()
            self._wake.clear()
            dirty, entered = self._dirty, self._entered
            self._dirty, self._entered = set(), []
            try:
                await self._read(dirty, entered)
            except ProblemError:  # Postgres is unavailable
                self._dirty |= dirty
                self._entered = entered + self._entered
                await asyncio.sleep(_AGAIN_SECONDS)
            except Exception:
                logger.exception("live_failed", message="A change could not be shown; all jobs are read again.")
                self._versions, self._synced_at = {}, float("-inf")
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _read(self, dirty: set[UUID], entered: list[tuple[UUID, int]]) -> None:
        seq = self._heard_seq  # before the rows are read: they include everything received so far
        versions, synced_at = self._versions, self._synced_at
        if time.monotonic() - synced_at >= _RESYNC_SECONDS:
            seq = max(seq, await self._store.last_seq())
            versions = await self._store.live_versions()
            synced_at = time.monotonic()
            # Live figures differ from those in the row. A job that has ended has no version any more.
            dirty = dirty | self._heard_at.keys() | (self._known.keys() - versions.keys())
            dirty |= {key for key, version in versions.items() if key not in self._shown or self._versions.get(key) != version}
        rows = await self._store.some_jobs(list(dirty)) if dirty else []
        lines = await self._store.transition_lines(entered) if entered and self.clients else []
        self._versions, self._synced_at = versions, synced_at
        self.seq = max(self.seq, seq)
        for row in self._left_out.due(rows, lambda row: row["id"]):
            with self._left_out.isolated(row["id"]):
                self._take(row)
        for row in lines:
            self._say_line(LogMessage(row["job_id"], row["at"], row["level"], row["message"]))
        ended = {row["id"] for row in rows if row["status"] in TERMINAL}
        for client in self.clients:
            if client.job_id in ended:
                client.finish()
        queue = views.queue_update([job for key, job in self._known.items() if key in self._shown and job["kind"] == Kind.ARCHIVE])
        if queue != self._queue:
            self._queue = queue
            self._broadcast("jobs", _QUEUE, Message(queue))

    def _take(self, row: Any) -> None:
        """Store a job's row that was just read."""
        job_id, job = row["id"], dict(row)
        known = self._known.get(job_id)
        if known is not None and (known["version"], known["attempt"]) > (job["version"], job["attempt"]):
            return  # the row is older than the known state
        same = known is not None and (known["version"], known["attempt"]) == (job["version"], job["attempt"])
        if known is not None and same and time.monotonic() - self._heard_at.get(job_id, float("-inf")) < _FIGURES_SECONDS:
            job |= {name: known[name] for name in (*_FIGURES, "current_operation")}
        self._known[job_id] = job
        if job_id not in self._audiences:
            self._audiences[job_id] = Audience(job["kind"], job["created_by_id"])
            while len(self._audiences) > len(self._known) + _ENDED_JOBS:
                oldest = next(iter(self._audiences))
                if oldest in self._known:
                    self._audiences.move_to_end(oldest)
                else:
                    del self._audiences[oldest]
        self._show(job_id)
        if job["status"] in TERMINAL:
            for memory in (self._known, self._shown, self._heard_at):
                memory.pop(job_id, None)
            for channel in CHANNELS:
                self._messages.pop((channel, job_id), None)

    def _show(self, job_id: UUID) -> None:
        update = views.job_update(self._known[job_id])
        if self._shown.get(job_id) == update:
            return
        self._shown[job_id] = update
        for channel in CHANNELS:
            self._messages.pop((channel, job_id), None)
            hearers = [c for c in self.clients if c.channel == channel and self._hears(c, job_id)]
            if hearers:
                message = self._message(channel, job_id)
                for client in hearers:
                    client.offer(job_id, message)

    def _message(self, channel: Channel, job_id: UUID) -> Message:
        """Return a job's current message for a channel. It is created on first use."""
        if (channel, job_id) not in self._messages:
            if channel == "jobs":
                shown: msgspec.Struct = msgspec.structs.replace(self._shown[job_id], seq=self.seq)
            else:
                shown = views.task_status(self._known[job_id], datetime.now(UTC))
            self._messages[channel, job_id] = Message(shown, self.seq)
        return self._messages[channel, job_id]

    def _say_line(self, line: LogMessage) -> None:
        hearers = [c for c in self.clients if c.channel == "jobs" and self._hears(c, line.job_id)]
        if hearers:
            self._lines += 1
            message = Message(line)
            for client in hearers:
                client.offer(("log", self._lines), message)

    def _broadcast(self, channel: Channel, key: Hashable, message: Message) -> None:
        self._messages[channel, key] = message
        for client in self.clients:
            if client.channel == channel and client.job_id is None:
                client.offer(key, message)

    # Periodic work --------------------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            message = Message(Heartbeat(seq=self.seq, timestamp=datetime.now(UTC)), self.seq)
            for client in self.clients:
                client.offer(_HEARTBEAT, message)

    async def _tell_stats(self) -> None:
        """Send the dashboard's figures. Read them only while a client is connected."""
        while True:
            if any(client.channel == "dashboard" for client in self.clients):
                with suppress(ProblemError):  # Postgres is unavailable
                    self._broadcast("dashboard", _STATS, Message(views.dashboard_stats(await self._machine.stats())))
            await asyncio.sleep(_STATS_SECONDS)

    async def _read_stats(self) -> None:
        """Read the first figures for a new dashboard client. Without Postgres it gets none rather than outdated ones."""
        self._messages.pop(("dashboard", _STATS), None)
        with suppress(ProblemError):
            self._messages["dashboard", _STATS] = Message(views.dashboard_stats(await self._machine.stats(current=True)))

    # Logins --------------------------------------------------------------------------------------------------------------------------

    async def _watch_clients(self) -> None:
        while True:
            await asyncio.sleep(_REVIEW_SECONDS)
            for client in self.clients:
                client.drop_if_stalled(time.monotonic())
            await self.review()

    async def _end_logins(self) -> None:
        clients = list(self.clients)
        if not clients:
            return
        claims = {client.who.claims for client in clients}
        counts = await self._store.sessions_now([(c.sub, c.jti, c.epoch) for c in claims])
        for client in clients:
            now = counts.get(client.who.claims.jti)
            if now is None or client.who.claims.exp <= time.time():
                client.end(LOGIN_ENDED, "Your login has ended. Log in again.")
            elif now["must_change_password"]:
                client.end(PASSWORD_CHANGE, CHANGE_FIRST[:120])
            elif now["is_admin"] != client.who.is_admin:
                client.end(RIGHTS_CHANGED, "Your rights have changed; connect again.")


def _quietly(handle: Callable[[Any], None]) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """Return a subscription callback that survives messages that it cannot decode."""

    async def received(message: Any) -> None:
        try:
            handle(message)
        except msgspec.DecodeError as exc:
            logger.warning("strange_message", message="A message could not be read.", subject=message.subject, error=str(exc))

    return received


async def _until_gone(socket: "WebSocket[Any, Any, Any]") -> None:
    """Read and discard the client's messages until it disconnects."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
