"""Alembic's entry point. It runs on asyncpg, the only Postgres driver that we ship."""

import asyncio
import os
from typing import Any

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.infra.tls import connect_postgres
from shared.migrations.guard import fix_names


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
        driver: Any = connection.connection.dbapi_connection
        driver.run_async(fix_names)


async def _run() -> None:
    url = context.config.attributes.get("database_url") or os.environ["DATABASE_URL"]
    if not url.startswith(("postgres://", "postgresql://")):
        raise SystemExit("DATABASE_URL must begin with postgresql://")
    # asyncpg parses the address itself, because SQLAlchemy does not understand its parameters (`?sslmode=require`).
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect_postgres(url), poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
        await connection.commit()
    await engine.dispose()


asyncio.run(_run())
