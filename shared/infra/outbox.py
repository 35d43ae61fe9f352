"""The relay: the only publisher of stream JOBS, elected among all services. It makes the stream an exact copy of the outbox.

Each message carries its event id (`Nats-Msg-Id`, so a repeat is dropped) and the sequence that it must follow
(`Nats-Expected-Last-Sequence`). If the stream lost its end, or a second leader publishes, the server refuses the message. On any
doubt the relay makes the two agree again: it republishes what the stream lost, and adopts messages whose acknowledgement got
lost.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import nats.errors
from nats.js.api import StreamConfig, StreamInfo, StreamState
from nats.js.errors import BadRequestError, NotFoundError

from shared import log, units
from shared.domain.events import STREAM
from shared.errors import DatabaseAway, TransientError
from shared.infra import metrics
from shared.infra.bus import Bus, heed_cancellation
from shared.infra.db import Database, Session, database_errors
from shared.infra.nats_permissions import REBUILD

logger = log.get(__name__)

_LEADER_LOCK = 4242  # session lock: losing it only lets another relay start, and the sequence check keeps two apart
_BATCH = 200
_LOOK_SECONDS = 5.0
_REFUSALS = 3  # one may come from a lost end, which `_agree` repairs
_YOUNG = 0.8  # of the stream's limits: below them it drops no events by itself


class _OutOfStepError(Exception):
    """The stream is not at the expected sequence."""


class _DamagedError(Exception):
    """The stream lost events that are not at its end, so republishing its end cannot repair it."""


async def relay(db: Database, bus: Bus) -> None:
    """Run permanently: become the leader, publish, start again after any failure; have a damaged stream recreated."""
    refused = 0  # requests that JetStream refused since it last accepted an event
    while True:
        heed_cancellation()
        connection: Any = None

        def taken() -> None:
            nonlocal refused
            refused = 0

        try:
            connection = await db.dedicated()
            await _lead(Session(connection, db.queries), bus, taken)
        except (DatabaseAway, nats.errors.Error, OSError, TransientError, _OutOfStepError) as exc:
            logger.info("relay_restart", message="The relay starts again.", error=repr(exc))
            refused += isinstance(exc, BadRequestError)
            if refused >= _REFUSALS:
                refused = 0
                await _rebuild(bus, repr(exc))
            await asyncio.sleep(0.2)
        except _DamagedError as exc:
            await _rebuild(bus, str(exc))
            await asyncio.sleep(0.2)
        finally:
            if connection is not None:
                connection.terminate()


async def _rebuild(bus: Bus, why: str) -> None:
    """Ask the provisioning process to recreate the stream. It comes back empty, and `_agree` publishes everything."""
    logger.error("stream_damaged", message="The stream of events is damaged; it is rebuilt from the database.", error=why)
    try:
        await bus.connection.request(REBUILD, b"", timeout=60)
    except (nats.errors.Error, OSError) as exc:
        advice = "Nobody could make the stream again. Run `python -m shared.infra.provision --rebuild`."
        logger.error("stream_not_rebuilt", message=advice, error=repr(exc))  # noqa: TRY400 - no defect of ours
        await asyncio.sleep(_LOOK_SECONDS)


async def _lead(session: Session, bus: Bus, taken: Callable[[], None]) -> None:
    wake = asyncio.Event()
    with database_errors(OSError):
        await session.connection.add_listener("outbox", lambda *_: wake.set())
    while not await session.value("lead", _LEADER_LOCK):  # noqa: ASYNC110 - another process holds the lock
        await asyncio.sleep(1)
    jetstream = bus.connection.jetstream(timeout=2)
    last = await _agree(session, jetstream)
    missing = await _check(session, bus)
    while True:
        heed_cancellation()
        wake.clear()
        for event in await session.rows("outbox_todo", _BATCH):
            last = await _publish(session, jetstream, event, last)
            taken()
            heed_cancellation()
        if session.connection.is_closed():
            raise _OutOfStepError
        try:
            async with asyncio.timeout(_LOOK_SECONDS):  # not wait_for: before Python 3.12 it may lose a cancellation
                await wake.wait()
        except TimeoutError:  # a stream that was lost or rolled back is rebuilt even without new events
            state = (await jetstream.stream_info(STREAM)).state
            if (state.last_seq, state.last_seq - state.messages) != (last, missing):
                raise _OutOfStepError from None


async def _publish(session: Session, jetstream: Any, event: Any, last: int) -> int:
    payload = event["payload"]
    headers = {"Nats-Msg-Id": payload["id"], "Nats-Expected-Last-Sequence": str(last)}
    ack = await jetstream.publish(event["subject"], msgspec.json.encode(payload), timeout=2, headers=headers)
    if ack.duplicate or ack.seq != last + 1:
        raise _OutOfStepError
    await session.run("outbox_sent", event["id"], ack.seq)
    metrics.RELAYED.inc()
    return int(ack.seq)


async def _check(session: Session, bus: Bus) -> int:
    """Compare the stream with the outbox by sequence; return how many sequences it does not hold. Raises _DamagedError.

    Sequences are compared, not counts: with counts, a foreign message would compensate for a lost one.
    """
    jetstream = bus.connection.jetstream(timeout=2)
    state, config = await _state(bus)
    young_s = float(config.max_age or 0) * _YOUNG
    known = await session.row("outbox_in_stream", state.first_seq, young_s, state.deleted or [], state.last_seq)
    assert known is not None
    if known["lacking"]:
        raise _DamagedError(
            f"{units.counted(known['lacking'], 'event')} of its middle {units.plural(known['lacking'], 'is', 'are')} missing"
        )
    if known["gone"] and state.bytes < config.max_bytes * _YOUNG:
        raise _DamagedError(
            f"{units.counted(known['gone'], 'event')} of its beginning {units.plural(known['gone'], 'is', 'are')} missing"
        )
    if known["last_id"] is not None:
        message = await jetstream.get_msg(STREAM, seq=state.last_seq)
        if (message.headers or {}).get("Nats-Msg-Id") != known["last_id"]:
            raise _DamagedError("its last message is another than we published")
    return int(state.last_seq - state.messages)


async def _state(bus: Bus) -> tuple[StreamState, StreamConfig]:
    """Return the stream's state with its list of missing sequences, which nats-py does not request. Raises as `stream_info`."""
    await bus.connection.jetstream(timeout=2).stream_info(STREAM)
    reply = await bus.connection.request(f"$JS.API.STREAM.INFO.{STREAM}", b'{"deleted_details": true}', timeout=2)
    info = StreamInfo.from_response(msgspec.json.decode(reply.data))
    return info.state, info.config


async def _agree(session: Session, jetstream: Any) -> int:
    """Make outbox and stream agree; return the stream's last sequence."""
    try:
        last = int((await jetstream.stream_info(STREAM)).state.last_seq)
    except NotFoundError:  # until the stream is recreated every event waits, and the relay's metrics show that
        await session.run("outbox_lost", 0)
        raise
    lost = await session.run("outbox_lost", last)
    if lost != "UPDATE 0":
        logger.warning("stream_lost_events", message="The stream lost its end; publishing it again.", rows=lost)
    for sequence in range(int(await session.value("outbox_last")) + 1, last + 1):
        with suppress(NotFoundError):
            message = await jetstream.get_msg(STREAM, seq=sequence)
            await session.run("outbox_adopt", (message.headers or {}).get("Nats-Msg-Id", ""), sequence)
    return last
