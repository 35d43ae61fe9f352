"""NATS permissions on the real server: one table of (user, action) -> allowed or refused."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, StreamState

from shared.infra.nats_permissions import (
    ACK_PENDING,
    CONSUMERS,
    DURABLES,
    IDLE_S,
    PROVISION,
    READING,
    SERVICES,
    SUBSCRIBER,
    USERS,
    inbox_prefix,
    permissions,
)
from shared.infra.provision import StreamSettings, provision
from tests.support.engines import NatsEngine, eventually

API = "$JS.API"
CREATE = f"{API}.CONSUMER.CREATE.JOBS"
READERS = ("gateway", SUBSCRIBER)


_END = "end.of.table"
"""Refused to everybody, and the server answers in order: with its refusal in hand, all earlier ones are known."""


class Asker:
    """A client that records the server's refusals."""

    def __init__(self) -> None:
        self.client: Client
        self._refusals: list[str] = []
        self._ended = asyncio.Event()

    async def note(self, error: Exception) -> None:
        self._refusals.append(str(error))
        if _END in str(error):
            self._ended.set()

    async def publishes(self, subjects: list[str]) -> dict[str, bool]:
        """Return the subjects on which the server accepts a message."""
        # Harmless if accepted: JetStream refuses `[]` as a request, or replies with information.
        for subject in [*subjects, _END]:
            await self.client.publish(subject, b"[]", reply=f"{self.client._inbox_prefix.decode()}.none")
        return await self._verdict(subjects, "publish to")

    async def subscribes(self, subjects: list[str]) -> dict[str, bool]:
        """Return the subjects to which the server allows a subscription."""
        for subject in [*subjects, _END]:
            await self.client.subscribe(subject)
        return await self._verdict(subjects, "subscription to")

    async def asks(self, subject: str, body: object) -> dict[str, object]:
        """Return the JetStream API's reply. Raise TimeoutError if the request was refused."""
        answer = await self.client.request(subject, json.dumps(body).encode(), timeout=60)
        return dict(json.loads(answer.data))

    async def _verdict(self, subjects: list[str], what: str) -> dict[str, bool]:
        await asyncio.wait_for(self._ended.wait(), 60)
        # nats-py returns the server's text in lower case.
        told = re.findall(rf'{what} "([^"]+)"', "\n".join(self._refusals))
        # The old subject for temporary consumers appears in permission errors with the random name that the server gave it.
        told = [re.sub(r"(\$js\.api\.consumer\.create\.jobs)\.\d+$", r"\1", subject) for subject in told]
        refused = {subject for subject in subjects if subject.lower() in told}
        return {subject: subject not in refused for subject in subjects}


@pytest.fixture(autouse=True)
async def clients_end_with_their_test(nats: NatsEngine) -> AsyncIterator[None]:
    """Responders of this test must not reply to the next test's services."""
    yield
    await nats.close()


async def asker(engine: NatsEngine, user: str, prefix: str | None = None) -> Asker:
    made = Asker()
    made.client = await engine.connect(user, prefix, error_cb=made.note)
    return made


PUBLISH: list[tuple[str, set[str]]] = [
    # subject, who may (besides `provision`, which may do everything)
    *(
        (subject, set(SERVICES))
        for subject in ("job.queued", "job.completed", "live.progress.1", "live.nudge.scanner", "rpc.uploader.size")
    ),
    (f"{API}.STREAM.INFO.JOBS", {*SERVICES, SUBSCRIBER}),
    (f"{API}.STREAM.NAMES", {SUBSCRIBER}),
    (f"{API}.INFO", {SUBSCRIBER}),
    (f"{API}.STREAM.MSG.GET.JOBS", set(SERVICES)),
    *(
        (f"{API}.STREAM.{verb}.JOBS", set())
        for verb in ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
    ),
    (f"{API}.STREAM.CREATE.OTHER", set()),
    (f"{API}.STREAM.INFO.OTHER", set()),
    (f"{API}.CONSUMER.LIST.JOBS", set()),
    (f"{API}.CONSUMER.NAMES.JOBS", set()),
    (CREATE, set(READERS)),
    (f"{CREATE}.anything", set(READERS)),
    (f"{CREATE}.anything.job.queued", set(READERS)),
    (f"{API}.CONSUMER.MSG.NEXT.JOBS.anything", set(READERS)),
    (f"{API}.CONSUMER.DELETE.JOBS.anything", set(READERS)),
    ("$JS.ACK.JOBS.anything.1.1.1.1.0", set(READERS)),
    ("$JS.FC.JOBS.anything.x", set(READERS)),
    (f"{CREATE[:-5]}.OTHER.anything", set()),
    *(
        row
        for durable in DURABLES
        for row in (
            (f"{API}.CONSUMER.MSG.NEXT.JOBS.{durable}", {durable}),
            (f"$JS.ACK.JOBS.{durable}.1.1.1.1.0", {durable}),
            (f"{API}.CONSUMER.INFO.JOBS.{durable}", {durable, *READERS}),
            (f"{CREATE}.{durable}", set()),
            (f"{CREATE}.{durable}.job.queued", set()),
            (f"{API}.CONSUMER.DURABLE.CREATE.JOBS.{durable}", set()),
            (f"{API}.CONSUMER.DELETE.JOBS.{durable}", set()),
            (f"{API}.CONSUMER.PAUSE.JOBS.{durable}", set()),
            (f"{API}.CONSUMER.RESET.JOBS.{durable}", set()),
            (f"{API}.CONSUMER.UNPIN.JOBS.{durable}", set()),
        )
    ),
    *((f"_INBOX_{user}.guess", set()) for user in USERS),
    ("_INBOX.guess", set()),
    ("$SYS.REQ.SERVER.PING", set()),
    ("anything.else", set()),
]

SUBSCRIBE: list[tuple[str, set[str]]] = [
    ("job.>", set(READERS)),
    ("live.progress.>", set(READERS)),
    ("live.log.>", set(READERS)),
    ("live.config", set(READERS)),
    ("live.>", {"gateway"}),
    *((f"live.nudge.{user}", {user, "gateway"}) for user in SERVICES),
    *((f"rpc.{user}.>", {user}) for user in SERVICES),
    *((f"_INBOX_{user}.>", {user}) for user in USERS if user != PROVISION),
    (f"_INBOX_{PROVISION}.>", set()),
    ("_INBOX.>", {SUBSCRIBER}),
    (">", set()),
    ("$JS.>", set()),
    ("$SYS.>", set()),
]


@pytest.mark.parametrize("user", [user for user in USERS if user != PROVISION])
async def test_publishing(nats: NatsEngine, user: str) -> None:
    """Each user may publish exactly as in the table."""
    client = await asker(nats, user)

    found = await client.publishes([subject for subject, _ in PUBLISH])

    assert found == {subject: user in allowed for subject, allowed in PUBLISH}
    await client.client.close()


@pytest.mark.parametrize("user", [user for user in USERS if user != PROVISION])
async def test_subscribing(nats: NatsEngine, user: str) -> None:
    """Each user may subscribe exactly as in the table. Nobody receives another's replies."""
    client = await asker(nats, user)

    found = await client.subscribes([subject for subject, _ in SUBSCRIBE])

    assert found == {subject: user in allowed for subject, allowed in SUBSCRIBE}
    await client.client.close()


def test_an_unknown_user_has_no_permissions() -> None:
    """A typing error creates no user without limits."""
    with pytest.raises(KeyError):
        permissions("scaner")


async def test_a_wrong_password_is_refused(nats: NatsEngine) -> None:
    """Without the password there is no connection."""
    with pytest.raises(NatsError, match="Authorization"):
        await nats.connect("scanner", password="wrong")


async def _history(nats: NatsEngine, count: int = 3) -> list[bytes]:
    """Create a fresh stream with `count` events."""
    await nats.reset()
    publisher = (await nats.connect("scanner")).jetstream(timeout=60)
    bodies = [b'{"n":%d}' % n for n in range(count)]
    for body in bodies:
        await publisher.publish("job.queued", body)
    return bodies


async def _ordered(client: Client, stream: str | None = None) -> Callable[[], Awaitable[Msg]]:
    """A client that names no stream asks the server which one holds the subject."""
    subscription = await client.jetstream(timeout=60).subscribe("job.>", stream=stream, ordered_consumer=True)
    return lambda: subscription.next_msg(timeout=30)


async def _push(client: Client) -> Callable[[], Awaitable[Msg]]:
    subscription = await client.jetstream(timeout=60).subscribe("job.>", stream="JOBS")
    return lambda: subscription.next_msg(timeout=30)


async def _named(client: Client) -> Callable[[], Awaitable[Msg]]:
    """As nats.js, Go and the NATS command line create them: a random name in the subject, followed by the filter."""
    config = ConsumerConfig(name=uuid4().hex, ack_policy=AckPolicy.NONE, inactive_threshold=30)
    subscription = await client.jetstream(timeout=60).subscribe("job.queued", stream="JOBS", config=config)
    return lambda: subscription.next_msg(timeout=30)


async def _pull(client: Client) -> Callable[[], Awaitable[Msg]]:
    subscription = await client.jetstream(timeout=60).pull_subscribe("job.>")

    async def one() -> Msg:
        message = (await subscription.fetch(1, timeout=30))[0]
        await message.ack_sync(timeout=30)
        return message

    return one


@pytest.mark.parametrize("way", [_ordered, _push, _named, _pull])
@pytest.mark.parametrize("prefix", [inbox_prefix(SUBSCRIBER), "_INBOX"])
async def test_a_subscriber_reads_history_and_goes_on_live(
    nats: NatsEngine, way: Callable[[Client], Awaitable[Callable[[], Awaitable[Msg]]]], prefix: str
) -> None:
    """Each kind of consumer delivers past and new events, with and without the inbox prefix."""
    past = await _history(nats)
    client = await nats.connect(SUBSCRIBER, prefix)
    following = await way(client)

    assert [(await following()).data for _ in past] == past

    await (await nats.connect("uploader")).jetstream(timeout=60).publish("job.queued", b"next")
    assert (await following()).data == b"next"
    await client.close()


async def test_a_subscriber_hears_progress(nats: NatsEngine) -> None:
    """A plain subscription receives live subjects."""
    subscriber, service = await nats.connect(SUBSCRIBER), await nats.connect("compressor")
    heard = await subscriber.subscribe("live.progress.>")
    for _ in range(2):  # nats-py sends a flush's PING before its buffered data
        await subscriber.flush()

    await service.publish("live.progress.7", b"42")

    assert (await heard.next_msg(timeout=30)).data == b"42"


ATTACKS = [
    {"name": durable, "ack_policy": "explicit", "filter_subject": "job.never", **extra}
    for durable in DURABLES
    for extra in ({}, {"durable_name": durable}, {"inactive_threshold": 1}, {"max_deliver": 1, "max_ack_pending": 1})
]


@pytest.mark.parametrize("subject", [CREATE, f"{CREATE}.mine", f"{CREATE}.mine.job.never"])
async def test_no_reader_rewrites_a_durable_through_the_body(nats: NatsEngine, subject: str) -> None:
    """A consumer's name in the body never affects a service's durable. Permissions do not see bodies; the mapping does."""
    await nats.reset()
    admin = (await nats.connect(PROVISION)).jetstream(timeout=60)
    before = {durable: (await admin.consumer_info("JOBS", durable)).config for durable in DURABLES}
    client = await asker(nats, SUBSCRIBER)

    for config in ATTACKS:
        await client.asks(subject, {"stream_name": "JOBS", "config": config})
        await client.asks(subject, {"stream_name": "JOBS", "config": config, "action": "update"})

    assert {durable: (await admin.consumer_info("JOBS", durable)).config for durable in DURABLES} == before


INSIDE = [
    "live.nudge.compressor",
    "live.control.1",
    "live.progress.1",
    "rpc.compressor.delete",
    f"{inbox_prefix('gateway')}.reply",
    "job.completed",
]
"""What a reader must reach in no way: subjects on which a service listens, and the stream's own."""
COMMANDS = [
    *(f"{API}.STREAM.{verb}.JOBS" for verb in ("DELETE", "PURGE", "MSG.DELETE", "UPDATE")),
    *(f"{API}.CONSUMER.{verb}.JOBS.{durable}" for verb in ("DELETE", "PAUSE", "RESET") for durable in DURABLES),
    f"{READING}.CONSUMER.CREATE.JOBS",
    f"{READING}.CONSUMER.CREATE.JOBS.mine",
]


async def _heard_inside(nats: NatsEngine) -> tuple[list[str], Callable[[], Awaitable[None]]]:
    """Record the subjects that reach the services, and a call that waits until everything sent has arrived."""
    heard: list[str] = []
    inside = await nats.connect(PROVISION)

    async def hear(message: Msg) -> None:
        heard.append(message.subject)

    for subject in ("live.>", "rpc.>", "job.>", f"{inbox_prefix('gateway')}.>"):
        await inside.subscribe(subject, cb=hear)
    ended = await inside.subscribe("end.of.test")
    await inside.flush()

    async def all_arrived() -> None:
        await inside.publish("end.of.test", b"")
        await ended.next_msg(timeout=60)

    return heard, all_arrived


async def test_no_consumer_of_a_reader_delivers_to_the_services(nats: NatsEngine) -> None:
    """However a push consumer is created or changed, it delivers to no service subject and runs no command."""
    past = await _history(nats)
    admin = (await nats.connect(PROVISION)).jetstream(timeout=60)
    before = {info.name: info.config for info in await admin.consumers_info("JOBS")}
    heard, all_arrived = await _heard_inside(nats)
    client = await asker(nats, SUBSCRIBER)
    delivered = await client.client.subscribe(f"{inbox_prefix(SUBSCRIBER)}.last")

    for n, target in enumerate([*INSIDE, *COMMANDS]):
        config = {"deliver_subject": target, "ack_policy": "none"}
        multi = {**config, "filter_subjects": ["job.queued", "job.completed"]}
        body = {"stream_name": "JOBS", "config": config}
        await client.asks(CREATE, body)
        await client.asks(f"{CREATE}.one{n}", {**body, "config": {**config, "name": f"one{n}"}})
        await client.asks(f"{CREATE}.two{n}", {**body, "config": {**multi, "name": f"two{n}"}})
        await client.asks(f"{CREATE}.three{n}", {**body, "config": {**config, "name": f"three{n}", "durable_name": f"three{n}"}})
        four = {"name": f"four{n}", "ack_policy": "none", "deliver_subject": f"{inbox_prefix(SUBSCRIBER)}.delivered"}
        await client.asks(f"{CREATE}.four{n}", {**body, "config": four})
        await client.asks(f"{CREATE}.four{n}", {**body, "config": {**four, **config}, "action": "update"})
        grouped = {**config, "name": f"five{n}", "deliver_group": "compressor"}
        await client.asks(f"{CREATE}.five{n}", {**body, "config": grouped})
        for name in ("one", "two", "three", "four", "five"):
            await client.asks(f"{API}.CONSUMER.DELETE.JOBS.{name}{n}", {})
    # The others may be deleted before they deliver anything. This one stays until the reader has everything.
    last = {"name": "last", "ack_policy": "none", "deliver_subject": f"{inbox_prefix(SUBSCRIBER)}.last"}
    await client.asks(f"{CREATE}.last", {"stream_name": "JOBS", "config": last})
    # A message to the reader itself arrives after everything that was sent before it.
    assert [(await delivered.next_msg(timeout=30)).data for _ in past] == past
    await client.asks(f"{API}.CONSUMER.DELETE.JOBS.last", {})
    await all_arrived()

    assert heard == []
    assert {info.name: info.config for info in await admin.consumers_info("JOBS")} == before
    assert (await admin.stream_info("JOBS")).state.messages == len(past)


async def test_no_answer_to_a_reader_goes_to_the_services(nats: NatsEngine) -> None:
    """A reply goes to the subject that the request names: never to a service's subject, and never into the stream.

    With one shared account, a request with the reply subject `job.completed` put a message into the stream. One with the reply
    subject `rpc.compressor.delete` became a request itself.
    """
    past = await _history(nats)
    admin = (await nats.connect(PROVISION)).jetstream(timeout=60)
    heard, all_arrived = await _heard_inside(nats)
    client = await asker(nats, SUBSCRIBER)
    made = {"stream_name": "JOBS", "config": {"name": "mine", "deliver_subject": "live.nudge.compressor", "ack_policy": "none"}}
    questions: list[tuple[str, object]] = [
        (f"{API}.STREAM.INFO.JOBS", {}),
        (f"{API}.STREAM.NAMES", {}),
        (f"{API}.INFO", {}),
        (CREATE, made),
        (f"{CREATE}.mine", made),
        (f"{API}.CONSUMER.INFO.JOBS.mine", {}),
        (f"{API}.CONSUMER.MSG.NEXT.JOBS.pulled", {"batch": 3, "no_wait": True}),
        (f"{API}.CONSUMER.DELETE.JOBS.mine", {}),
    ]

    for target in [*INSIDE, *COMMANDS]:
        await client.asks(f"{CREATE}.pulled", {"stream_name": "JOBS", "config": {"name": "pulled", "ack_policy": "none"}})
        for subject, body in questions:
            await client.client.publish(subject, json.dumps(body).encode(), reply=target)
        await client.asks(f"{API}.CONSUMER.DELETE.JOBS.pulled", {})
    await all_arrived()

    assert heard == []
    assert (await admin.stream_info("JOBS")).state.messages == len(past)
    assert {info.name for info in await admin.consumers_info("JOBS")} == set(DURABLES)


async def test_no_answer_to_a_service_commands_the_stream(nats: NatsEngine) -> None:
    """A service may also choose a reply subject. The stream and the durables obey none."""
    past = await _history(nats)
    admin = (await nats.connect(PROVISION)).jetstream(timeout=60)
    before = {info.name: info.config for info in await admin.consumers_info("JOBS")}
    service = await nats.connect("gateway")

    for target in COMMANDS:
        await service.publish(f"{API}.STREAM.INFO.JOBS", b"", reply=target)
        await service.publish(f"{CREATE}.mine", b'{"stream_name": "JOBS", "config": {"name": "mine"}}', reply=target)
        await service.request(f"{API}.CONSUMER.DELETE.JOBS.mine", b"", timeout=60)

    assert (await admin.stream_info("JOBS")).state.messages == len(past)
    assert {info.name: info.config for info in await admin.consumers_info("JOBS")} == before


async def test_readers_see_and_touch_no_consumer_of_a_service(nats: NatsEngine) -> None:
    """A reader cannot see the durables. No request of a reader changes their position."""
    await _history(nats)
    admin = (await nats.connect(PROVISION)).jetstream(timeout=60)
    before = {info.name: info.config for info in await admin.consumers_info("JOBS")}
    client = await asker(nats, SUBSCRIBER)

    answers = [await client.asks(f"{API}.CONSUMER.INFO.JOBS.{durable}", {}) for durable in DURABLES]
    info = await client.asks(f"{API}.STREAM.INFO.JOBS", {})

    assert [answer["error"]["code"] for answer in answers] == [404] * len(DURABLES)  # type: ignore[index]  # parsed JSON
    assert info["state"]["consumer_count"] == 0  # type: ignore[index]  # parsed JSON
    assert {info.name: info.config for info in await admin.consumers_info("JOBS")} == before


async def test_readers_have_so_many_consumers_and_no_more(nats: NatsEngine) -> None:
    """The limit applies to readers. The services' consumers, and new ones of the gateway, are still created."""
    await _history(nats)
    client = await asker(nats, SUBSCRIBER)
    made: list[object] = []
    for n in range(CONSUMERS + 1):
        config = {"name": f"reader{n}", "durable_name": f"reader{n}", "ack_policy": "explicit"}
        answer = await client.asks(f"{CREATE}.reader{n}", {"stream_name": "JOBS", "config": config})
        made.append(answer.get("error", answer.get("config")))

    greedy = {"name": "greedy", "durable_name": "greedy", "ack_policy": "explicit", "max_ack_pending": ACK_PENDING + 1}
    refused = await client.asks(f"{CREATE}.greedy", {"stream_name": "JOBS", "config": greedy})
    following = await _ordered(await nats.connect("gateway"), "JOBS")

    assert [answer["inactive_threshold"] for answer in made[:-1]] == [IDLE_S * 10**9] * CONSUMERS  # type: ignore[index]  # parsed JSON
    assert "maximum consumers" in json.dumps(made[-1])
    assert "error" in refused
    assert (await following()).data == b'{"n":0}'
    for n in range(CONSUMERS):
        await client.asks(f"{API}.CONSUMER.DELETE.JOBS.reader{n}", {})


async def test_at_the_limit_of_bytes_the_oldest_events_go(nats: NatsEngine) -> None:
    """An event has the same number and id in the copy, also after older ones are removed. A read from the start begins at the oldest."""
    await nats.reset()
    body = (Path(__file__).parents[1] / "golden/events/job.completed.v1.json").read_bytes()
    publisher = (await nats.connect("scanner")).jetstream(timeout=60)
    client = await nats.connect(SUBSCRIBER)
    copy = client.jetstream(timeout=60)

    async def send(first: int, last: int) -> StreamState:
        for n in range(first, last + 1):
            await publisher.publish("job.completed", body, headers={"Nats-Msg-Id": f"{uuid4()}:{n}"})

        async def copied() -> bool:
            return (await copy.stream_info("JOBS")).state.last_seq == last

        await eventually(copied, f"event {last} in the copy")
        return (await copy.stream_info("JOBS")).state

    full = await send(1, 100)
    assert StreamSettings().max_bytes / (full.bytes / full.messages) > 250_000, "what docs/events.md promises"
    try:
        await provision(nats.url, nats.passwords[PROVISION], StreamSettings(max_bytes=full.bytes))
        cut = await send(101, 150)
        assert (cut.last_seq, cut.messages < 150, cut.bytes <= full.bytes) == (150, True, True)
        assert cut.first_seq == (await publisher.stream_info("JOBS")).state.first_seq > 1
        following = await _ordered(client, "JOBS")
        message = await following()
        assert message.metadata.sequence.stream == cut.first_seq
        assert (message.headers or {})["Nats-Msg-Id"].endswith(f":{cut.first_seq}")
    finally:
        await nats.reset()
    await client.close()


async def test_a_plain_subscription_hears_the_answers_that_another_reader_sends_there(nats: NatsEngine) -> None:
    """Readers share one login. Only a consumer of the stream is certain to deliver nothing but events."""
    past = await _history(nats, 1)
    other, plain = await asker(nats, SUBSCRIBER), await nats.connect(SUBSCRIBER)
    heard = await plain.subscribe("job.>")
    await plain.flush()
    await plain.flush()
    following = await _ordered(plain, "JOBS")

    await other.client.publish(f"{API}.STREAM.INFO.JOBS", b"", reply="job.forged")

    assert (await heard.next_msg(timeout=30)).subject == "job.forged"
    assert [(await following()).data for _ in past] == past


async def test_the_readers_copy_follows_a_stream_that_was_made_again(nats: NatsEngine) -> None:
    """The stream is deleted, provisioned again and begins at 1. So does the copy, with only the new events."""
    await _history(nats, 5)
    past = await _history(nats, 2)
    client = await nats.connect(SUBSCRIBER)
    following = await _ordered(client)

    messages = [await following() for _ in past]

    assert [message.data for message in messages] == past
    assert [message.metadata.sequence.stream for message in messages] == [1, 2]


async def test_a_service_works_through_its_durable(nats: NatsEngine) -> None:
    """The wake-up reaches its service and is acknowledged."""
    await _history(nats, 1)
    client = await nats.connect("compressor")
    durable = await client.jetstream(timeout=60).pull_subscribe_bind("compressor", "JOBS")

    [message] = await durable.fetch(1, timeout=30)
    await message.ack_sync(timeout=30)

    info = await durable.consumer_info()
    assert (message.subject, info.num_ack_pending, info.num_pending) == ("job.queued", 0, 0)


async def test_a_request_is_answered_between_services(nats: NatsEngine) -> None:
    """Request and reply work across users although inboxes are private."""
    scanner, gateway = await nats.connect("scanner"), await nats.connect("gateway")

    async def answer(message: Msg) -> None:
        await message.respond(b"pong")

    await scanner.subscribe("rpc.scanner.>", cb=answer)
    await scanner.flush()

    assert (await gateway.request("rpc.scanner.ping", b"", timeout=30)).data == b"pong"


async def test_provision_is_idempotent_and_mends_what_changed(nats: NatsEngine) -> None:
    """A second run changes nothing. An altered durable is restored and keeps its position."""
    await _history(nats)
    admin = (await nats.connect(PROVISION)).jetstream(timeout=60)
    before = await admin.stream_info("JOBS")
    await admin.add_consumer(
        "JOBS",
        ConsumerConfig(durable_name="compressor", filter_subject="job.queued", ack_policy=AckPolicy.EXPLICIT, max_ack_pending=1),
    )

    for _ in range(2):
        await provision(nats.url, nats.passwords[PROVISION])

    after = await admin.stream_info("JOBS")
    compressor = await admin.consumer_info("JOBS", "compressor")
    assert (after.config, after.state.messages) == (before.config, 3)
    assert (compressor.config.max_ack_pending, compressor.config.ack_wait, compressor.config.max_deliver) == (100, 30, -1)
    assert after.config.deny_delete
    assert after.config.deny_purge
    assert (after.config.max_bytes, after.config.max_age, after.config.duplicate_window) == (256 * 2**20, 90 * 86400, 3600)


async def test_even_the_administrator_cannot_rewrite_history(nats: NatsEngine) -> None:
    """The stream itself refuses to purge and delete events."""
    await _history(nats)
    admin = await asker(nats, PROVISION)

    purge = await admin.asks(f"{API}.STREAM.PURGE.JOBS", {})
    delete = await admin.asks(f"{API}.STREAM.MSG.DELETE.JOBS", {"seq": 1})

    assert [purge["error"]["err_code"], delete["error"]["err_code"]] == [10110, 10057]  # type: ignore[index]  # parsed JSON
