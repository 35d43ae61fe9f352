"""Create the stream, its durable consumers and the readers' copy, or bring existing ones up to date. Idempotent; run by `up` and compose.

`python -m shared.provision` with NATS_URL and NATS_PASSWORD (of the user `provision`), for TLS also NATS_TLS_CA, _CERT and _KEY.
`--rebuild` removes the stream first: nothing is lost, because the relay publishes all events again.
"""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

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

from shared import log
from shared.errors import ConfigurationError
from shared.nats_permissions import (
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
from shared.settings import Nats, load
from shared.tls import connect_nats, nats_context

logger = log.get(__name__)

_KEEP_SECONDS = 2.0
_DAY_S = 24 * 3600
_PATIENCE_S = 30  # a start is no moment to be hasty: the disk that the stream is made on may be busy


class StreamSettings(msgspec.Struct, frozen=True):
    """What may differ between editions. The stream can be rebuilt from Postgres, so its limits lose no truth."""

    replicas: int = 1
    max_bytes: int = 256 * 2**20
    max_age_s: float = 90 * _DAY_S
    duplicate_window_s: float = 3600


async def provision(
    nats_url: str, password: str, settings: StreamSettings | None = None, trusted: ssl.SSLContext | None = None
) -> None:
    """Connect as `provision` and make stream JOBS, the durables and the readers' copy what they should be.

    trusted: for `tls://`, see `connect_nats`, which may raise ConfigurationError. Raises nats.errors.Error, OSError.
    """
    wanted = settings or StreamSettings()
    async with _connected(nats_url, PROVISION, password, trusted) as stream:
        await _stream(stream, stream_config(wanted))
        for durable, subject in DURABLES.items():
            # Creating a durable that exists updates it and keeps its place in the stream.
            await stream.add_consumer(STREAM, consumer_config(durable, subject))
        original = await stream.stream_info(STREAM)
    async with _connected(nats_url, PROVISION_READERS, password, trusted) as copies:
        with suppress(NotFoundError):
            copy = await copies.stream_info(STREAM)
            # A copy of a stream that was lost or made again would wait for numbers that were given already.
            if copy.state.last_seq > original.state.last_seq or _made(copy) < _made(original):
                await copies.delete_stream(STREAM)
        await _stream(copies, copy_config(wanted))


async def rebuild(
    nats_url: str, password: str, settings: StreamSettings | None = None, trusted: ssl.SSLContext | None = None
) -> None:
    """Remove the stream and make it anew, empty: the relay then publishes all events again. Raises as `provision`."""
    async with _connected(nats_url, PROVISION, password, trusted) as stream:
        with suppress(NotFoundError):
            await stream.delete_stream(STREAM)
    await provision(nats_url, password, settings, trusted)


async def keep(nats_url: str, password: str, settings: StreamSettings | None = None, trusted: ssl.SSLContext | None = None) -> None:
    """Until cancelled, provision again whenever the server comes back without the stream, and rebuild it when the relay asks."""
    while True:
        try:
            async with _client(nats_url, PROVISION, password, trusted) as client:
                await _keep_while_connected(client, nats_url, password, settings, trusted)
        except (NatsError, OSError, TimeoutError) as exc:
            logger.info("provision_later", message="The stream is looked at again soon.", error=repr(exc))
        await asyncio.sleep(_KEEP_SECONDS)


async def _keep_while_connected(
    client: Client, nats_url: str, password: str, settings: StreamSettings | None, trusted: ssl.SSLContext | None
) -> None:
    """Raises nats.errors.Error, OSError when the server goes."""
    asked: asyncio.Queue[Msg] = asyncio.Queue()
    await client.subscribe(REBUILD, cb=asked.put)
    stream = client.jetstream(timeout=_PATIENCE_S)
    while True:
        try:
            await stream.stream_info(STREAM)
        except NotFoundError:
            logger.warning("stream_lost", message="NATS has lost the stream of events; it is made again.")
            await provision(nats_url, password, settings, trusted)
        try:
            async with asyncio.timeout(_KEEP_SECONDS):
                message = await asked.get()
        except TimeoutError:
            continue
        logger.warning("stream_rebuilt", message="The relay found the stream damaged; it is made again.")
        await rebuild(nats_url, password, settings, trusted)
        await message.respond(b"")


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
    """The stream JOBS. Pure."""
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
    """The readers' copy: the same events under the same numbers, and limits for who reads. Pure."""
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
    """A service's wake-up call. Pure."""
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


def main() -> None:
    missing = [name for name in ("NATS_URL", "NATS_PASSWORD") if not os.environ.get(name)]
    if missing:
        sys.exit(f"Set {', '.join(missing)}.")
    try:
        settings = load(Nats)
        make = rebuild if "--rebuild" in sys.argv[1:] else provision
        asyncio.run(make(settings.nats_url, settings.nats_password, trusted=nats_context(settings)))
    except ConfigurationError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
