"""Taking a clearing of the history back finds its jobs at once."""

from shared.migrations.plain_sql import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql("0005_gateway.sql")
