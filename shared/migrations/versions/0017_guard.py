"""Fix the search path of every function and take temporary objects away from every role."""

from shared.migrations.plain_sql import run_sql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sql("0017_guard.sql")
