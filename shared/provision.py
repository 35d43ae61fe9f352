"""Create the stream, its durable consumers and the readers' copy, or bring existing ones up to date. Idempotent; run by `up` and compose.

`python -m shared.provision` with NATS_URL and NATS_PASSWORD (of the user `provision`), for TLS also NATS_TLS_CA, _CERT and _KEY.
"""

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import msgspec
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

from shared.errors import ConfigurationError
from shared.nats_permissions import (
    COPYING,
    DURABLES,
    IDLE_S,
    PROVISION,
    PROVISION_READERS,
    READING,
    STREAM,
    SUBJECTS,
    inbox_prefix,
)
from shared.settings import Nats, load
from shared.tls import connect_nats, nats_context

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


@asynccontextmanager
async def _connected(nats_url: str, user: str, password: str, trusted: ssl.SSLContext | None) -> AsyncIterator[JetStreamContext]:
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
        yield connection.jetstream(timeout=_PATIENCE_S)
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
        asyncio.run(provision(settings.nats_url, settings.nats_password, trusted=nats_context(settings)))
    except ConfigurationError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
