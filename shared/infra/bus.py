"""NATS: wake-ups, live messages, and requests between services. Nothing here decides about jobs; a lost message only costs time."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from shared import log, units
from shared.domain.events import STREAM
from shared.domain.lifecycle import CLEANERS
from shared.errors import ArchiverError, Operation, PermanentError, TransientError, Waiting
from shared.infra import tls

logger = log.get(__name__)
A = TypeVar("A")

Handler = Callable[[bytes], Awaitable[msgspec.Struct]]


def heed_cancellation() -> None:
    """Raise the CancelledError that was sent to this task but did not arrive.

    nats-py waits for replies with `asyncio.wait_for`, which before Python 3.12 loses a cancellation that races with the reply.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Problem(msgspec.Struct, tag_field="problem", tag="error"):
    """A refusal as a reply. `permanent` tells the caller whether a retry can help, `code` identifies the refusal."""

    message: str
    permanent: bool
    retry_after_s: float = 0.0
    code: str | None = None


class Bus:
    """One service's connection. It reconnects without limit and reports that in the log."""

    def __init__(self, connection: Any, service: str) -> None:
        self.connection = connection
        self.service = service
        self.closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(cls, url: str, service: str, password: str, user: str = "", trusted: ssl.SSLContext | None = None) -> "Bus":
        """Connect; wait for a server that is not up yet.

        trusted: the TLS context with the certificates to trust; None: no TLS. Raises ConfigurationError for a refused
        certificate.
        """
        made: list[Bus] = []

        async def on_error(exc: Exception) -> None:
            # A missing permission is reported only here.
            logger.error("nats_error", message="NATS reported an error.", error=str(exc))

        async def on_disconnect() -> None:
            if not made or not made[0].closing:  # our own close is not reported
                logger.warning("nats_disconnected", message="NATS is gone; work goes on, events follow later.")

        async def on_reconnect() -> None:
            logger.info("nats_reconnected", message="NATS is back.")

        name = user or service
        delay = 0.1
        while True:
            try:
                connect = tls.connect_nats(
                    url,
                    trusted,
                    user=name,
                    password=password,
                    name=service,
                    inbox_prefix=f"_INBOX_{name}",
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.5,
                    ping_interval=5,
                    max_outstanding_pings=2,
                    error_cb=on_error,
                    disconnected_cb=on_disconnect,
                    reconnected_cb=on_reconnect,
                )
                # A bad certificate makes nats-py hang instead of failing.
                made.append(cls(await asyncio.wait_for(connect, 10), service))
                return made[0]
            except (NatsError, OSError, TimeoutError) as exc:
                logger.warning("nats_unreachable", message="NATS does not answer yet; trying again.", error=repr(exc))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)

    @property
    def connected(self) -> bool:
        return bool(self.connection.is_connected)

    async def close(self) -> None:
        self.closing = True
        for task in self._tasks:
            task.cancel()
        with suppress(NatsError, OSError, TimeoutError):
            await asyncio.wait_for(self.connection.drain(), 2)
        with suppress(NatsError, OSError, TimeoutError):
            await self.connection.close()

    async def publish_live(self, subject: str, message: msgspec.Struct) -> None:
        """Publish a message that may get lost."""
        if self.connected:
            with suppress(NatsError, OSError):
                await self.connection.publish(subject, msgspec.json.encode(message))

    async def nudge(self, service: str) -> None:
        """Tell a service that a control (cancel, pause, retry) waits in the database."""
        if self.connected:
            with suppress(NatsError, OSError):
                await self.connection.publish(f"live.nudge.{service}", b"")

    async def nudge_cleaners(self) -> None:
        """Tell the services that may have to clean up that a job has ended, so that its resources are free sooner."""
        for service in CLEANERS:
            await self.nudge(service)

    async def on_nudge(self, wake: Callable[[], None]) -> None:
        async def received(_: Any) -> None:
            wake()

        await self.connection.subscribe(f"live.nudge.{self.service}", cb=received)

    def wake_on_events(self, wake: Callable[[], None]) -> None:
        """Call `wake` for every event of this service's durable consumer. Events are acknowledged at once: they only wake."""
        self._keep(asyncio.create_task(self._consume(wake)))

    async def _consume(self, wake: Callable[[], None]) -> None:
        subscription: Any = None
        while True:
            heed_cancellation()
            try:
                if subscription is None:
                    subscription = await self.connection.jetstream().pull_subscribe_bind(self.service, STREAM)
                # Fetch one event at a time, briefly: a pending fetch does not fail when the server restarts (facts 2).
                for message in await subscription.fetch(1, timeout=5):
                    wake()
                    await message.ack()
            except NatsTimeoutError:
                continue
            except (NatsError, OSError, TimeoutError) as exc:
                logger.warning("consumer_lost", message="No events for now; the database is polled.", error=repr(exc))
                subscription = None
                await asyncio.sleep(1)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask(self, service: str, name: str, question: msgspec.Struct, answer: type[A], timeout: float = 10.0) -> A:
        """Send a request to another service. Raises PermanentError or Waiting as in the reply, TransientError without a reply."""
        try:
            reply = await self.connection.request(f"rpc.{service}.{name}", msgspec.json.encode(question), timeout=timeout)
        except NoRespondersError as exc:
            raise TransientError(f"The {service} is not running.", Operation.CONNECTION) from exc
        except (NatsError, OSError, TimeoutError) as exc:
            raise TransientError(f"The {service} did not answer within {units.duration(timeout)}.", Operation.CONNECTION) from exc
        heed_cancellation()
        try:
            if not (reply.headers or {}).get("Problem"):
                return msgspec.json.decode(reply.data, type=answer)
            problem = msgspec.json.decode(reply.data, type=Problem)
        except msgspec.DecodeError as exc:
            raise TransientError(
                f"The {service} gave an answer that cannot be read: is it of another version?", Operation.CONNECTION
            ) from exc
        if problem.permanent:
            raise PermanentError(problem.message, problem.code)
        raise Waiting(problem.message, problem.retry_after_s or 60.0)

    async def serve(self, name: str, handler: Handler) -> None:
        """Answer `rpc.<this service>.<name>`. Several instances share the requests."""

        async def answer(message: Any) -> None:
            try:
                await message.respond(msgspec.json.encode(await handler(message.data)))
                return
            except Waiting as exc:
                problem = Problem(str(exc), permanent=False, retry_after_s=exc.retry_after_s)
            except (PermanentError, msgspec.ValidationError) as exc:
                problem = Problem(str(exc), permanent=True, code=getattr(exc, "code", None))
            except ArchiverError as exc:
                problem = Problem(str(exc), permanent=False)
            except Exception as exc:  # a defect of ours: report it instead of letting the caller wait
                logger.exception("rpc_failed", name=name)
                problem = Problem(f"The {self.service} failed on this question ({type(exc).__name__}).", permanent=False)
            await self.connection.publish(message.reply, msgspec.json.encode(problem), headers={"Problem": "1"})

        subject = f"rpc.{self.service}.{name}"

        async def received(message: Any) -> None:
            # A subscriber can make its consumer deliver events to this subject. Such events carry their own subject.
            if message.subject == subject:
                self._keep(asyncio.create_task(answer(message)))  # a slow reply must not delay the next request

        await self.connection.subscribe(subject, queue=self.service, cb=received)
        await self._known()

    async def _known(self) -> None:
        """Wait until the server knows our subscriptions. Flush twice: nats-py sends a flush's PING before its remaining buffer."""
        with suppress(NatsError, OSError, TimeoutError):
            await self.connection.flush(timeout=2)
            await self.connection.flush(timeout=2)
