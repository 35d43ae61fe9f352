"""Limit what one user can hold: queued jobs, entries, login attempts."""

from shared.migrations.plain_sql import run_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql("0015_limits.sql")
