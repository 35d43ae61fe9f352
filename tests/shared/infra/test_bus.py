"""Requests, nudges and wake-ups on the real NATS, through its restarts."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from shared.domain.events import Progress
from shared.domain.lifecycle import Status
from shared.errors import ArchiverError, Operation, PermanentError, TransientError, Waiting
from shared.infra.bus import Bus
from shared.service.rpc import AskDestination, DestinationState
from tests.support.engines import NatsEngine, nats_server
from tests.support.kernel import eventually

QUESTION = AskDestination("/One/Two/F.tar.7z")
Connect = Callable[[str], Awaitable[Bus]]


@pytest.fixture
async def connect(nats: NatsEngine) -> AsyncIterator[Connect]:
    made: list[Bus] = []

    async def one(service: str, engine: NatsEngine = nats) -> Bus:
        made.append(await Bus.connect(engine.url, service, engine.passwords[service]))
        return made[-1]

    yield one
    for bus in made:
        await bus.close()


async def test_a_question_is_answered_as_a_struct(connect: Connect) -> None:
    """The client gets the type that it requested. A slow reply does not delay the next request."""
    uploader, gateway = await connect("uploader"), await connect("gateway")
    release = asyncio.Event()

    async def answer(raw: bytes) -> DestinationState:
        question = msgspec.json.decode(raw, type=AskDestination)
        if question.path == "/slow":
            await release.wait()
        return DestinationState("absent", question.path)

    await uploader.serve("destination", answer)
    await uploader.connection.flush()
    slow = asyncio.create_task(gateway.ask("uploader", "destination", AskDestination("/slow"), DestinationState))
    assert await gateway.ask("uploader", "destination", QUESTION, DestinationState) == DestinationState("absent", QUESTION.path)
    assert not slow.done()
    release.set()
    assert (await slow).detail == "/slow"


@pytest.mark.parametrize(
    ("raised", "family", "words"),
    [
        (PermanentError("No such folder.", "not-found"), PermanentError, "No such folder."),
        (Waiting("The NAS is not mounted.", 7.0), Waiting, "The NAS is not mounted."),
        (TransientError("Try later.", Operation.UPLOAD), Waiting, "Try later."),
        (ZeroDivisionError("secret detail"), Waiting, "The uploader failed on this question (ZeroDivisionError)."),
    ],
)
async def test_a_refusal_keeps_its_family(connect: Connect, raised: Exception, family: type[ArchiverError], words: str) -> None:
    """An exception of the other service arrives in the same family. A defect is reported at once, without its details."""
    uploader, gateway = await connect("uploader"), await connect("gateway")

    async def answer(_: bytes) -> DestinationState:
        raise raised

    await uploader.serve("destination", answer)
    await uploader.connection.flush()
    with pytest.raises(family) as refused:
        await gateway.ask("uploader", "destination", QUESTION, DestinationState)
    assert str(refused.value) == words
    if isinstance(raised, PermanentError):
        assert isinstance(refused.value, PermanentError)
        assert refused.value.code == "not-found"
    if isinstance(raised, Waiting):
        assert isinstance(refused.value, Waiting)
        assert refused.value.retry_after_s == 7.0


async def test_a_question_that_is_none_is_refused_for_good(connect: Connect) -> None:
    """A malformed request is the client's defect: permanent."""
    uploader, gateway = await connect("uploader"), await connect("gateway")

    async def answer(raw: bytes) -> DestinationState:
        msgspec.json.decode(raw, type=AskDestination)
        return DestinationState("absent")

    await uploader.serve("destination", answer)
    await uploader.connection.flush()
    with pytest.raises(PermanentError, match="path"):
        await gateway.ask("uploader", "destination", DestinationState("absent"), DestinationState)


async def test_nobody_there_and_nobody_answering(connect: Connect) -> None:
    """No service: reported at once. A service that hangs: reported after the time-out. Both are transient."""
    gateway, uploader = await connect("gateway"), await connect("uploader")
    with pytest.raises(TransientError, match="The uploader is not running"):
        await gateway.ask("uploader", "destination", QUESTION, DestinationState, timeout=5)

    async def hang(_: bytes) -> DestinationState:
        await asyncio.Event().wait()
        raise AssertionError

    await uploader.serve("destination", hang)
    await uploader.connection.flush()
    with pytest.raises(TransientError, match=r"did not answer within <1s") as late:
        await gateway.ask("uploader", "destination", QUESTION, DestinationState, timeout=0.2)
    assert late.value.operation is Operation.CONNECTION


async def test_instances_share_the_questions(connect: Connect) -> None:
    """One instance of the service answers each request."""
    asked: list[int] = []
    for number in range(2):
        instance = await connect("uploader")

        async def answer(_: bytes, number: int = number) -> DestinationState:
            asked.append(number)
            return DestinationState("absent")

        await instance.serve("destination", answer)
        await instance.connection.flush()
    gateway = await connect("gateway")
    for _ in range(30):
        await gateway.ask("uploader", "destination", QUESTION, DestinationState)

    assert len(asked) == 30
    assert set(asked) == {0, 1}


async def test_a_refused_permission_is_logged(connect: Connect) -> None:
    """NATS reports it only asynchronously. The operator finds it in the log."""
    scanner = await connect("scanner")
    with capture_logs() as logs:
        await scanner.connection.subscribe("rpc.gateway.secret")
        await scanner.connection.publish("$JS.API.STREAM.DELETE.JOBS", b"")

        async def errors() -> list[str]:
            return [str(line["error"]) for line in logs if line["event"] == "nats_error"]

        seen = await eventually(errors, lambda found: len(found) >= 2, "two errors in the log")
    assert any("rpc.gateway.secret" in error for error in seen)
    assert any("stream.delete" in error.lower() for error in seen)


async def test_a_stop_that_comes_with_an_answer_is_heeded(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.12, nats-py loses a cancellation that races with a reply. The caller still ends."""
    uploader, gateway = await connect("uploader"), await connect("gateway")

    async def answer(_: bytes) -> DestinationState:
        return DestinationState("absent")

    await uploader.serve("destination", answer)
    await uploader.connection.flush()
    real = gateway.connection.request

    async def request(*args: Any, **more: Any) -> Any:
        reply = await real(*args, **more)
        task.cancel()
        with suppress(asyncio.CancelledError):  # as `asyncio.wait_for` does
            await asyncio.sleep(0)
        return reply

    monkeypatch.setattr(gateway.connection, "request", request)
    task = asyncio.create_task(gateway.ask("uploader", "destination", QUESTION, DestinationState))
    await asyncio.wait({task}, timeout=60)
    assert task.cancelled()


async def woken(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 60)
    event.clear()


async def test_nudges_events_and_live_lines_arrive_and_survive_a_restart() -> None:
    """After kill -9 of the server, all of them work again by themselves. Publishing meanwhile is no error."""
    async with nats_server() as engine:
        gateway = await Bus.connect(engine.url, "gateway", engine.passwords["gateway"])
        compressor = await Bus.connect(engine.url, "compressor", engine.passwords["compressor"])
        nudged, wakened = asyncio.Event(), asyncio.Event()
        heard: list[bytes] = []

        async def listen(message: object) -> None:
            heard.append(getattr(message, "data", b""))

        async def back() -> list[tuple[int, bool]]:
            return [(bus.connection.stats["reconnects"], bus.connected) for bus in (gateway, compressor)]

        async def times() -> int:
            return len(heard)

        try:
            await compressor.on_nudge(nudged.set)
            compressor.wake_on_events(wakened.set)
            await gateway.connection.subscribe("live.progress.*", cb=listen)
            await gateway.connection.flush()
            await compressor.connection.flush()
            progress = Progress(job_id=uuid4(), status=Status.COPYING, attempt=1, progress_percent=5)
            for round_number in (1, 2):
                await gateway.nudge("compressor")
                await woken(nudged)
                await compressor.connection.jetstream().publish("job.queued", b"{}")
                await woken(wakened)
                await compressor.publish_live(f"live.progress.{progress.job_id}", progress)
                await eventually(times, round_number.__eq__, "the live line")
                if round_number == 1:
                    pid = engine.server.pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
                    # Both have noticed, have not yet, or are back already.
                    await gateway.nudge("scanner")
                    await compressor.publish_live("live.log.x", progress)
                    with pytest.raises(TransientError):
                        await gateway.ask("compressor", "x", QUESTION, DestinationState, timeout=0.1)
                    await eventually(back, lambda seen: seen == [(1, True)] * 2, "both to have reconnected")
                    await gateway.connection.flush()
                    await compressor.connection.flush()
        finally:
            await gateway.close()
            await compressor.close()
    assert msgspec.json.decode(heard[0], type=Progress) == progress
