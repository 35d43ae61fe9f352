"""Keep a running total of each workspace's usage."""

from shared.migrations.plain_sql import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql("0014_usage.sql")
