"""People, tokens, settings at run time, the audit log, and what the history needs to stay fast."""

from shared.migrations.plain_sql import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql("0002_gateway.sql")
