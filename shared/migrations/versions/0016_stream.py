"""Let the event stream be rebuilt while the services run."""

from shared.migrations.plain_sql import run_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sql("0016_stream.sql")
