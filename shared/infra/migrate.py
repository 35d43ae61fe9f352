"""Migrate the database to the newest schema and set the password of each service's role: `python -m shared.infra.migrate`.

Environment: the owner's DATABASE_URL; CS_SCANNER_PASSWORD, CS_COMPRESSOR_PASSWORD, CS_UPLOADER_PASSWORD, CS_GATEWAY_PASSWORD.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from alembic import command
from alembic.config import Config

from shared.domain.lifecycle import Role
from shared.errors import ConfigurationError
from shared.infra.tls import connect_postgres

_ALTER_ROLE = "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)"


def upgrade(database_url: str) -> None:
    """Run every missing migration. It blocks and starts its own event loop, so call it from a thread inside a running loop."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["database_url"] = database_url
    command.upgrade(config, "head")


async def set_passwords(database_url: str, passwords: Mapping[Role, str]) -> None:
    """Set each role's password. ALTER ROLE takes no parameters, so the server itself quotes the literal."""
    connection = await connect_postgres(database_url)
    try:
        for role, password in passwords.items():
            statement = await connection.fetchval(_ALTER_ROLE, f"cs_{role}", password)
            await connection.execute(statement)
    finally:
        await connection.close()


def main() -> None:
    names = {role: f"CS_{role.upper()}_PASSWORD" for role in Role}
    missing = [name for name in ("DATABASE_URL", *names.values()) if not os.environ.get(name)]
    if missing:
        sys.exit(f"Set {', '.join(missing)}.")
    url = os.environ["DATABASE_URL"]
    try:
        upgrade(url)
        asyncio.run(set_passwords(url, {role: os.environ[name] for role, name in names.items()}))
    except ConfigurationError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
