"""The names that our functions find, and the rights that keep others from giving them away."""

from pathlib import Path
from typing import Any

PATH = "pg_catalog, public, pg_temp"
"""The `search_path` of every function and role of ours: temporary objects come last."""


async def fix_names(connection: Any) -> None:
    """Run `versions/0016_guard.sql`: every function's path, and no right for a service to make objects. Idempotent.

    connection: asyncpg's, of the owner. Run after every upgrade, too: a database's own rights are in no dump of it, and a later
    migration may add a function.
    """
    text = (Path(__file__).parent / "versions" / "0016_guard.sql").read_text(encoding="utf-8")
    await connection.execute(text)
