"""The kernel: users, jobs, evidence, destinations, outbox, guard."""

from shared.migrations.plain_sql import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("0001_kernel.sql")
