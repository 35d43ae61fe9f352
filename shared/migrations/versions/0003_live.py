"""Live updates and controls: tickets for sockets, and where a pause ends."""

from shared.migrations.plain_sql import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("0003_live.sql")
