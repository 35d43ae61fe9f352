"""What happens to jobs, to everybody who watches: one ordered consumer, one set of encoded messages, one bounded queue per client.

The hub knows every live job. An event says which job to read again; figures of the running stage come as they are; every few
seconds the whole set is read again, which also shows what has no event (a reason to wait, a pause) and heals whatever got lost.
A client's queue holds at most one message per job, so a slow client sees fewer steps and never an older state; one that does
not read at all is dropped.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
from litestar import WebSocket
from nats.errors import Error as NatsError
from nats.js.api import DeliverPolicy

from services.gateway import views
from services.gateway.refusals import ProblemError
from services.gateway.schemas import LiveMessage, LogMessage
from services.gateway.security import Identity
from services.gateway.store import Store
from shared import events, log
from shared.bus import Bus
from shared.lifecycle import TERMINAL

logger = log.get(__name__)

LOGIN_ENDED = 4401
"""Close code: the token does not count (any more)."""
PASSWORD_CHANGE = 4403
"""Close code: the password must be changed first."""
TOO_SLOW = 4408
"""Close code: this client did not read what it was sent; connect again."""
TRY_LATER = 1013

_RESYNC_SECONDS = 2.0
_RECHECK_SECONDS = 0.5
_SEND_SECONDS = 10.0
_QUEUE_LENGTH = 5000  # jobs and log lines waiting for one client; 2.5 MB at most
_FIGURES_SECONDS = 5.0  # figures just heard are newer than those just read
_FIGURES = ("progress_percent", "stage_percent", "bytes_done", "bytes_total", "bytes_per_second", "eta_seconds")
_QUEUE = "queue"


class Client:
    """One watching browser or program."""

    def __init__(self, who: Identity) -> None:
        self.who = who
        self._waiting: OrderedDict[Hashable, str] = OrderedDict()
        self._ready = asyncio.Event()
        self._close: tuple[int, str] | None = None

    def offer(self, key: Hashable, text: str) -> None:
        """Queue a message; it takes the place of an unsent one with the same key."""
        self._waiting[key] = text
        self._ready.set()
        if len(self._waiting) > _QUEUE_LENGTH:
            self.end(TOO_SLOW, "You did not read what was sent; connect again.")

    def end(self, code: int, reason: str) -> None:
        self._close = self._close or (code, reason)
        self._waiting.clear()
        self._ready.set()

    async def pump(self, socket: "WebSocket[Any, Any, Any]") -> None:
        """Send until the end."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._waiting and self._close is None:
                _, text = self._waiting.popitem(last=False)
                try:
                    async with asyncio.timeout(_SEND_SECONDS):
                        await socket.send_text(text)
                except TimeoutError:
                    self.end(TOO_SLOW, "You did not read what was sent; connect again.")
            if self._close is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(socket.close(*self._close), 1)
                return


class Hub:
    """Fans out what happens. `run` does the work; `attend` serves one client."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self.clients: set[Client] = set()
        self._known: dict[UUID, dict[str, Any]] = {}
        self._texts: dict[UUID, str] = {}
        self._queue_text = ""
        self._heard_at: dict[UUID, float] = {}
        self._dirty: set[UUID] = set()
        self._entered: list[tuple[UUID, int]] = []
        self._lines = 0
        self._wake = asyncio.Event()
        self._recheck = asyncio.Event()
        self._synced_at = float("-inf")

    async def run(self) -> None:
        """Follow the events until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._consume())
            group.create_task(self._refresh())
            group.create_task(self._watch_logins())

    async def attend(self, socket: "WebSocket[Any, Any, Any]", who: Identity) -> None:
        """Serve an accepted socket until it ends."""
        client = Client(who)
        for job_id, text in self._texts.items():
            client.offer(job_id, text)
        if self._queue_text:
            client.offer(_QUEUE, self._queue_text)
        self.clients.add(client)
        tasks = [asyncio.create_task(client.pump(socket)), asyncio.create_task(_until_gone(socket))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.clients.discard(client)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def recheck(self) -> None:
        """Look now whether the watchers' logins still count."""
        self._recheck.set()

    # Events ------------------------------------------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        """Subscribe once; nats-py renews the ordered consumer and the core subscriptions by itself afterwards."""
        connection = self._bus.connection
        await connection.subscribe("live.progress.>", cb=_quietly(self._on_progress))
        await connection.subscribe("live.log.>", cb=_quietly(self._on_log))
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

    def _on_event(self, payload: bytes) -> None:
        event = events.decode(payload)
        self._dirty.add(event.data.job_id)
        self._entered.append((event.data.job_id, event.data.version))
        self._wake.set()

    def _on_progress(self, payload: bytes) -> None:
        figures = msgspec.json.decode(payload, type=events.Progress)
        job = self._known.get(figures.job_id)
        if job is None or (job["attempt"], job["status"]) != (figures.attempt, figures.status):
            return  # of a state that is over, or whose event is on its way
        job |= {name: getattr(figures, name) for name in _FIGURES}
        if figures.current_operation:
            job["current_operation"] = figures.current_operation
        self._heard_at[figures.job_id] = time.monotonic()
        self._show(figures.job_id)

    def _on_log(self, payload: bytes) -> None:
        line = msgspec.json.decode(payload, type=events.LogLine)
        self._say_line(LogMessage(line.job_id, line.timestamp, line.level, line.message))

    # What is known -------------------------------------------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _RESYNC_SECONDS)
            self._wake.clear()
            dirty, entered = self._dirty, self._entered
            self._dirty, self._entered = set(), []
            try:
                await self._read(dirty, entered)
            except ProblemError:  # Postgres is away
                self._dirty |= dirty
                self._entered = entered + self._entered
                await asyncio.sleep(1)
            except Exception:
                logger.exception("live_failed", message="A change could not be shown; all jobs are read again.")
                self._synced_at = float("-inf")
                await asyncio.sleep(1)

    async def _read(self, dirty: set[UUID], entered: list[tuple[UUID, int]]) -> None:
        if time.monotonic() - self._synced_at >= _RESYNC_SECONDS:
            live = await self._store.live_jobs()
            self._synced_at = time.monotonic()
            dirty = (dirty | self._known.keys()) - {row["id"] for row in live}
            for row in live:
                self._take(row)
        if dirty:
            for row in await self._store.some_jobs(list(dirty)):
                self._take(row)
        if entered and self.clients:
            for row in await self._store.transition_lines(entered):
                self._say_line(LogMessage(row["job_id"], row["at"], row["level"], row["message"]))
        text = _encode(views.queue_update(list(self._known.values())))
        if text != self._queue_text:
            self._queue_text = text
            self._broadcast(_QUEUE, text)

    def _take(self, row: Any) -> None:
        """Learn a job's row as just read."""
        job_id, job = row["id"], dict(row)
        known = self._known.get(job_id)
        if known is not None and (known["version"], known["attempt"]) > (job["version"], job["attempt"]):
            return  # read before what we know
        same = known is not None and (known["version"], known["attempt"]) == (job["version"], job["attempt"])
        if known is not None and same and time.monotonic() - self._heard_at.get(job_id, float("-inf")) < _FIGURES_SECONDS:
            job |= {name: known[name] for name in (*_FIGURES, "current_operation")}
        self._known[job_id] = job
        self._show(job_id)
        if job["status"] in TERMINAL:
            for memory in (self._known, self._texts, self._heard_at):
                memory.pop(job_id, None)

    def _show(self, job_id: UUID) -> None:
        text = _encode(views.job_update(self._known[job_id]))
        if self._texts.get(job_id) != text:
            self._texts[job_id] = text
            self._broadcast(job_id, text)

    def _say_line(self, line: LogMessage) -> None:
        self._lines += 1
        self._broadcast(("log", self._lines), _encode(line))

    def _broadcast(self, key: Hashable, text: str) -> None:
        for client in self.clients:
            client.offer(key, text)

    # Logins --------------------------------------------------------------------------------------------------------------------------

    async def _watch_logins(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._recheck.wait(), _RECHECK_SECONDS)
            self._recheck.clear()
            with suppress(ProblemError):  # Postgres is away: nobody can log out now either
                await self._end_logins()

    async def _end_logins(self) -> None:
        if not self.clients:
            return
        claims = {client.who.claims for client in self.clients}
        over = await self._store.sessions_ended([(c.sub, c.jti, c.epoch) for c in claims])
        for client in self.clients:
            if client.who.claims.jti in over or client.who.claims.exp <= time.time():
                client.end(LOGIN_ENDED, "Your login has ended. Log in again.")


def _encode(message: LiveMessage) -> str:
    return msgspec.json.encode(message).decode()


def _quietly(handle: Callable[[bytes], None]) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """A subscription's callback that survives what is not one of our messages."""

    async def received(message: Any) -> None:
        try:
            handle(message.data)
        except msgspec.DecodeError as exc:
            logger.warning("strange_message", message="A message could not be read.", subject=message.subject, error=str(exc))

    return received


async def _until_gone(socket: "WebSocket[Any, Any, Any]") -> None:
    """Read, and forget, what the client sends, until it is gone."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
