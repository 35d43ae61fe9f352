"""Exact totals at a million jobs: counted when they change, not when somebody looks."""

from shared.migrations.plain_sql import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql("0007_totals.sql")
