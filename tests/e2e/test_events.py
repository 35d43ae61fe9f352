"""Job events for subscribers, and the order in which jobs are served."""

import asyncio
import json
import os
from datetime import datetime
from itertools import pairwise
from typing import Any

import nats
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError

from shared.infra.nats_permissions import DURABLES, STREAM
from tests.support.engines import eventually
from tests.support.stack import Job, Stack

HAND_OVERS = ["job.queued", "job.compressed", "job.verified", "job.completed"]


async def test_a_subscriber_hears_each_state_once_and_in_order(stack: Stack) -> None:
    """Must-show 4: with nothing but run/subscriber.env, live as it happens; each event a CloudEvent with a gap-free version."""
    client = await stack.connect()
    heard: list[tuple[str, dict[str, Any]]] = []
    try:
        new = ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
        stream = client.jetstream(timeout=60)
        following = await stream.subscribe("job.>", stream=STREAM, ordered_consumer=True, config=new)
        job = await asyncio.to_thread(lambda: stack.archive(stack.folder()))
        while "job.completed" not in {subject for subject, _ in heard}:
            message = await following.next_msg(timeout=120)
            heard.append((message.subject, json.loads(message.data)))
        states = await asyncio.to_thread(stack.states, job)
    finally:
        await client.close()

    assert [subject for subject, _ in heard] == [f"job.{state}" for state in states]
    assert [subject for subject, _ in heard if subject in HAND_OVERS] == HAND_OVERS
    for version, (subject, event) in enumerate(heard, 1):
        assert (event["specversion"], event["type"], event["id"]) == ("1.0", subject, f"{job}:{version}")
        assert (event["data"]["job_id"], event["data"]["version"]) == (job, version)
    assert heard[-1][1]["data"]["progress_percent"] == 100
    assert heard[-1][1]["data"]["archive_sha256"]


def test_history_is_kept_for_who_comes_later(stack: Stack) -> None:
    """A subscriber that connects later reads the same events from the stream."""
    job = stack.archive(stack.folder())
    stack.wait(job, "completed")

    stack.assert_events(job)


async def test_a_subscriber_changes_nothing(stack: Stack) -> None:
    """A subscriber cannot publish an event, a nudge or a request. It cannot change the stream or the services' consumers."""
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error).lower())

    client = await stack.connect(error_cb=note)
    try:
        stream = client.jetstream(timeout=0.5)  # a refused request gets no reply
        before = await _state(client)
        for subject in ("job.completed", "live.log.x", "live.nudge.scanner", "rpc.scanner.refresh", "anything"):
            refused.clear()
            await client.publish(subject, b"{}")
            await client.flush()
            await eventually(lambda: _violations(refused), f"{subject} is refused")
        for durable in DURABLES:
            with pytest.raises((nats.errors.Error, JetStreamError)):
                await stream.delete_consumer(STREAM, durable)
        with pytest.raises((nats.errors.Error, JetStreamError)):
            await stream.delete_stream(STREAM)
        with pytest.raises((nats.errors.Error, JetStreamError)):
            await stream.purge_stream(STREAM)
        assert await _state(client) == before
    finally:
        await client.close()


async def _violations(said: list[str]) -> list[str]:
    return [words for words in said if "permissions violation" in words]


async def _state(client: nats.NATS) -> tuple[int, int]:
    state = (await client.jetstream(timeout=60).stream_info(STREAM)).state
    return state.messages, state.last_seq


def entered(job: Job, state: str) -> datetime:
    return datetime.fromisoformat(next(each["at"] for each in job["state_times"] if each["status"] == state))


def test_three_jobs_are_served_in_turn_on_two_lanes(stack: Stack) -> None:
    """Must-show 5: every state serves jobs first come, first served. The second job is compressed while the first one is transferred."""
    folders = [stack.folder({"a.bin": os.urandom(800_000)}) for _ in range(3)]
    stack.control.set_faults({"kind": "task", "action": "stall", "label": r"\.transfer\."})

    ids = [stack.archive(folder) for folder in folders]
    stack.wait(ids[0], "uploading")
    stack.wait(ids[1], "compressed")
    assert stack.job(ids[0])["status"] == "uploading", "side by side"
    stack.control.set_faults()
    jobs = [stack.wait(job, "completed") for job in ids]

    for state in ("copying", "compressed", "uploading", "verified", "completed"):
        times = [entered(job, state) for job in jobs]
        assert times == sorted(times), state
    for earlier, later in pairwise(jobs):
        assert entered(later, "copying") >= entered(earlier, "compressed"), "one at a time"
        assert entered(later, "uploading") >= entered(earlier, "verified"), "one at a time"
