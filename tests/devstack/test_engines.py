"""The fixtures that all other tests use."""

import asyncpg

from tests.support.engines import NatsEngine, PostgresEngine


async def test_databases_come_from_a_template_made_once(pg: PostgresEngine) -> None:
    """A template is built once, and each database made from it is a separate copy."""
    built = 0

    async def build(dsn: str) -> None:
        nonlocal built
        built += 1
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE things AS SELECT 1 AS n")
        await connection.close()

    for _ in range(2):
        name = await pg.template("engines_test", build)
        dsn = await pg.create_database(name)
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("DELETE FROM things RETURNING n") == 1
        await connection.close()
        await pg.drop_database(dsn)

    assert built == 1


def test_plain_functions_may_use_a_database(database: str) -> None:
    """The fixtures also serve tests that are not coroutines."""
    assert database.startswith("postgresql://postgres:")


async def test_nats_is_provisioned_and_can_be_emptied(nats: NatsEngine) -> None:
    """A service publishes to the stream; reset() empties it."""
    stream = (await nats.connect("scanner")).jetstream(timeout=60)
    await stream.publish("job.queued", b"{}")
    assert (await stream.stream_info("JOBS")).state.messages >= 1

    await nats.reset()

    assert (await stream.stream_info("JOBS")).state.messages == 0
