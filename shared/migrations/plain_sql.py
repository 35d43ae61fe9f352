"""Run a whole .sql file inside alembic's transaction."""

from pathlib import Path
from typing import Any

from alembic import op


def run_sql(name: str) -> None:
    """Execute `versions/<name>`: one text with many statements, which only the driver itself (not SQLAlchemy) accepts."""
    text = (Path(__file__).parent / "versions" / name).read_text(encoding="utf-8")

    async def execute(driver: Any) -> None:  # asyncpg's connection, untyped behind SQLAlchemy's adapter
        await driver.execute(text)

    adapted: Any = op.get_bind().connection.dbapi_connection
    adapted.run_async(execute)
