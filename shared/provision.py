"""Create the stream and its durable consumers, or bring existing ones up to date. Idempotent; run by `up` and by compose.

`python -m shared.provision` with NATS_URL and NATS_PASSWORD (of the user `provision`), for TLS also NATS_TLS_CA, _CERT and _KEY.
"""

import asyncio
import os
import ssl
import sys

import msgspec
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from shared.errors import ConfigurationError
from shared.nats_permissions import DURABLES, PROVISION, STREAM, SUBJECTS, inbox_prefix
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
    """Connect as `provision` and make stream JOBS and the durables what they should be. Raises nats.errors.Error, OSError.

    trusted: for `tls://`, see `connect_nats`, which may raise ConfigurationError.
    """
    connection = await connect_nats(
        nats_url,
        trusted,
        user=PROVISION,
        password=password,
        inbox_prefix=inbox_prefix(PROVISION),
        name="provision",
        max_reconnect_attempts=3,
        connect_timeout=_PATIENCE_S,
    )
    try:
        stream = connection.jetstream(timeout=_PATIENCE_S)
        await _stream(stream, stream_config(settings or StreamSettings()))
        for durable, subject in DURABLES.items():
            # Creating a durable that exists updates it and keeps its place in the stream.
            await stream.add_consumer(STREAM, consumer_config(durable, subject))
    finally:
        await connection.close()


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
