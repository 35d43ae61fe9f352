"""Follow every job, past and future: `env $(cat data/run/subscriber.env) .venv/bin/python -m devstack.subscribe`."""

import asyncio
import json
import os

import nats


async def main() -> None:
    secret = {"user": os.environ["NATS_USER"], "password": os.environ["NATS_PASSWORD"]}
    bus = await nats.connect(os.environ["NATS_URL"], inbox_prefix=os.environ["NATS_INBOX_PREFIX"], **secret)
    events = await bus.jetstream().subscribe("job.>", stream="JOBS", ordered_consumer=True)
    async for message in events.messages:
        event = json.loads(message.data)
        print(message.metadata.sequence.stream, event["time"], event["type"], event["data"]["folder_name"], flush=True)


if __name__ == "__main__":
    asyncio.run(main())
