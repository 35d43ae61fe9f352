"""List jobs that have ended by their end, name, size or duration."""

from shared.migrations.plain_sql import run_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_sql("0019_ended.sql")
