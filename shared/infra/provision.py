"""Create or update the stream, its durable consumers and the readers' copy. Idempotent; run by `up` and compose.

`python -m shared.infra.provision` needs NATS_URL and NATS_PASSWORD (of the user `provision`), for TLS also NATS_TLS_CA, _CERT and
_KEY. `--rebuild` removes the stream first. Nothing is lost, because the relay publishes all events again. `--keep FILE` runs
until SIGTERM. It recreates what the server loses and what the relay reports as damaged, and touches FILE whenever it finds the
stream.
"""

import argparse
import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    ExternalStream,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamConsumerLimits,
    StreamInfo,
    StreamSource,
)
from nats.js.errors import NotFoundError

from shared import log, units
from shared.errors import ArchiverError, ConfigurationError
from shared.infra.bus import heed_cancellation
from shared.infra.nats_permissions import (
    COPYING,
    DURABLES,
    IDLE_S,
    PROVISION,
    PROVISION_READERS,
    READING,
    REBUILD,
    STREAM,
    SUBJECTS,
    inbox_prefix,
)
from shared.infra.settings import Nats, load
from shared.infra.tls import connect_nats, nats_context

logger = log.get(__name__)

_KEEP_SECONDS = 2.0
_SETTLED_SECONDS = 60.0  # a failure after this time counts as a new one
_DAY_S = 24 * 3600
_PATIENCE_S = 30  # generous at start-up: the disk for the stream may be busy


class StreamSettings(msgspec.Struct, frozen=True):
    """Settings that may differ between editions. The stream can be rebuilt from Postgres, so its limits lose no truth."""

    replicas: int = 1
    max_bytes: int = 256 * 2**20
    max_age_s: float = 90 * _DAY_S
    duplicate_window_s: float = 3600


async def provision(
    nats_url: str, password: str, settings: StreamSettings | None = None, trusted: ssl.SSLContext | None = None
) -> None:
    """Connect as `provision` and create or update stream JOBS, the durables and the readers' copy.

    trusted: for `tls://`, see `connect_nats`, which may raise ConfigurationError. Raises nats.errors.Error, OSError.
    """
    wanted = settings or StreamSettings()
    async with _connected(nats_url, PROVISION, password, trusted) as original:
        await _provide(original, wanted)
        async with _connected(nats_url, PROVISION_READERS, password, trusted) as copies:
            if await _copy_state(copies, original) is _Copy.STALE:
                await copies.delete_stream(STREAM)
            await _stream(copies, copy_config(wanted))


async def rebuild(
    nats_url: str, password: str, settings: StreamSettings | None = None, trusted: ssl.SSLContext | None = None
) -> None:
    """Recreate the stream, empty. The relay then publishes all events again. Raises as `provision`."""
    async with _connected(nats_url, PROVISION, password, trusted) as stream:
        await _remove(stream)
    await provision(nats_url, password, settings, trusted)


async def keep(
    nats_url: str,
    password: str,
    settings: StreamSettings | None = None,
    trusted: ssl.SSLContext | None = None,
    found: Callable[[], None] | None = None,
) -> None:
    """Until cancelled, recreate what the server lost, and rebuild the stream when the relay requests it. Raises nothing.

    The stream and the readers' copy are maintained separately, so that the services do not wait for the readers' account. `found`
    is called every few seconds while the stream exists.
    """
    wanted = settings or StreamSettings()

    async def stream() -> None:
        async with _client(nats_url, PROVISION, password, trusted) as client:
            await _keep_stream(client, wanted, found or (lambda: None))

    async def copy() -> None:
        async with (
            _connected(nats_url, PROVISION, password, trusted) as original,
            _connected(nats_url, PROVISION_READERS, password, trusted) as copies,
        ):
            await _keep_copy(copies, original, wanted)

    async with asyncio.TaskGroup() as group:
        group.create_task(_again_and_again(stream, "the stream of events"))
        group.create_task(_again_and_again(copy, "the readers' copy of the events"))


async def _again_and_again(work: Callable[[], Awaitable[None]], what: str) -> None:
    """Restart `work` whenever it fails; log each new reason once."""
    said = ""
    while True:
        heed_cancellation()
        started = asyncio.get_running_loop().time()
        try:
            await work()
        except Exception as exc:
            if asyncio.get_running_loop().time() - started > _SETTLED_SECONDS:
                said = ""
            if repr(exc) != said:
                said = repr(exc)
                problem = isinstance(exc, NatsError | OSError | ArchiverError)
                message = f"Nobody looks after {what} now; tried again every {units.duration(_KEEP_SECONDS)}."
                logger.warning("provision_later", message=message, error=said, exc_info=None if problem else exc)
        await asyncio.sleep(_KEEP_SECONDS)


async def _keep_stream(client: Client, wanted: StreamSettings, found: Callable[[], None]) -> None:
    """Maintain the stream. Raises nats.errors.Error, OSError when the server goes away."""
    asked: asyncio.Queue[Msg] = asyncio.Queue()
    await client.subscribe(REBUILD, queue=PROVISION, cb=asked.put)
    stream = client.jetstream(timeout=_PATIENCE_S)
    while True:
        heed_cancellation()
        try:
            await stream.stream_info(STREAM)
        except NotFoundError:
            logger.warning("stream_lost", message="NATS has lost the stream of events; it is made again.")
            await _provide(stream, wanted)
        found()
        try:
            async with asyncio.timeout(_KEEP_SECONDS):
                message = await asked.get()
        except TimeoutError:
            continue
        logger.warning("stream_rebuilt", message="The relay found the stream damaged; it is made again.")
        await _remove(stream)
        await _provide(stream, wanted)
        await message.respond(b"")


async def _keep_copy(copies: JetStreamContext, original: JetStreamContext, wanted: StreamSettings) -> None:
    """Maintain the copy. Raises nats.errors.Error, OSError when the server goes away."""
    while True:
        heed_cancellation()
        with suppress(NotFoundError):  # no original: `_keep_stream` creates it first
            state = await _copy_state(copies, original)
            if state is not _Copy.FOLLOWS:
                logger.warning("copy_lost", message="The readers' copy of the events is gone or out of date; it is made again.")
                if state is _Copy.STALE:
                    await copies.delete_stream(STREAM)
                await _stream(copies, copy_config(wanted))
        await asyncio.sleep(_KEEP_SECONDS)


class _Copy(Enum):
    FOLLOWS = auto()
    STALE = auto()
    """The copy of a stream that was lost or recreated. It would wait for sequences that were already used."""
    MISSING = auto()


async def _copy_state(copies: JetStreamContext, original: JetStreamContext) -> _Copy:
    """Compare the copy with the original. Raises NotFoundError without an original."""
    try:
        copy = await copies.stream_info(STREAM)  # read first, because the original can only grow in the meantime
    except NotFoundError:
        await original.stream_info(STREAM)
        return _Copy.MISSING
    now = await original.stream_info(STREAM)
    return _Copy.STALE if copy.state.last_seq > now.state.last_seq or _made(copy) < _made(now) else _Copy.FOLLOWS


async def _provide(stream: JetStreamContext, wanted: StreamSettings) -> None:
    """Create or update the stream and its durables."""
    await _stream(stream, stream_config(wanted))
    for durable, subject in DURABLES.items():
        # Creating a durable that exists updates it and keeps its place in the stream.
        await stream.add_consumer(STREAM, consumer_config(durable, subject))


async def _remove(stream: JetStreamContext) -> None:
    with suppress(NotFoundError):
        await stream.delete_stream(STREAM)


@asynccontextmanager
async def _connected(nats_url: str, user: str, password: str, trusted: ssl.SSLContext | None) -> AsyncIterator[JetStreamContext]:
    async with _client(nats_url, user, password, trusted) as client:
        yield client.jetstream(timeout=_PATIENCE_S)


@asynccontextmanager
async def _client(nats_url: str, user: str, password: str, trusted: ssl.SSLContext | None) -> AsyncIterator[Client]:
    connection = await connect_nats(
        nats_url,
        trusted,
        user=user,
        password=password,
        inbox_prefix=inbox_prefix(user),
        name=user,
        max_reconnect_attempts=3,
        connect_timeout=_PATIENCE_S,
    )
    try:
        yield connection
    finally:
        await connection.close()


def _made(info: StreamInfo) -> datetime:
    return info.created or datetime.max.replace(tzinfo=UTC)


def stream_config(settings: StreamSettings) -> StreamConfig:
    """Return the configuration of stream JOBS. Pure."""
    return StreamConfig(
        name=STREAM,
        description="What happened to CS Archiver's jobs; rebuilt from Postgres when lost.",
        subjects=[SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        num_replicas=settings.replicas,
        max_bytes=settings.max_bytes,
        max_age=settings.max_age_s,
        duplicate_window=settings.duplicate_window_s,
        deny_delete=True,
        deny_purge=True,
        allow_direct=True,
    )


def copy_config(settings: StreamSettings) -> StreamConfig:
    """Return the configuration of the readers' copy: the same events with the same sequences, and limits for readers. Pure."""
    return StreamConfig(
        name=STREAM,
        description="A copy of what happened to CS Archiver's jobs, for readers.",
        mirror=StreamSource(name=STREAM, external=ExternalStream(api=READING, deliver=COPYING)),
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        num_replicas=settings.replicas,
        max_bytes=settings.max_bytes,
        max_age=settings.max_age_s,
        deny_delete=True,
        deny_purge=True,
        allow_direct=True,
        consumer_limits=StreamConsumerLimits(inactive_threshold=IDLE_S),
    )


def consumer_config(durable: str, subject: str) -> ConsumerConfig:
    """Return the configuration of a service's wake-up consumer. Pure."""
    return ConsumerConfig(
        durable_name=durable,
        filter_subject=subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=30,
        max_deliver=-1,
        max_ack_pending=100,
    )


async def _stream(stream: JetStreamContext, config: StreamConfig) -> None:
    try:
        await stream.stream_info(STREAM)
    except NotFoundError:
        await stream.add_stream(config)
    else:
        await stream.update_stream(config)


async def _run(settings: Nats, asked: argparse.Namespace) -> None:
    where = (settings.nats_url, settings.nats_password, None, nats_context(settings))
    await (rebuild if asked.rebuild else provision)(*where)
    if asked.keep is None:
        return
    task = asyncio.create_task(keep(*where, asked.keep.touch))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.infra.provision", description="Make the stream of events.")
    parser.add_argument("--rebuild", action="store_true", help="remove the stream first; the relay publishes all events again")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="stay and look after it; FILE is touched with each look")
    asked = parser.parse_args()
    missing = [name for name in ("NATS_URL", "NATS_PASSWORD") if not os.environ.get(name)]
    if missing:
        sys.exit(f"Set {', '.join(missing)}.")
    try:
        settings = load(Nats)
        log.configure(PROVISION, PROVISION, "INFO", "json", None)
        asyncio.run(_run(settings, asked))
    except ConfigurationError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
