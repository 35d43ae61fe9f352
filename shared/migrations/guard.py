"""Protect the names that our functions resolve, and the rights that keep others from redefining them."""

from pathlib import Path
from typing import Any

PATH = "pg_catalog, public, pg_temp"
"""The `search_path` of every function and role of ours: temporary objects come last."""


async def fix_names(connection: Any) -> None:
    """Run `versions/0016_guard.sql`: set every function's path, and take from services the right to create objects. Idempotent.

    connection: asyncpg's, as the owner. Run this after every upgrade, too: a dump does not contain a database's own rights, and a
    later migration may add a function.
    """
    text = (Path(__file__).parent / "versions" / "0016_guard.sql").read_text(encoding="utf-8")
    await connection.execute(text)
