"""Leave the number of the attempt out of the sentences in the log."""

from shared.migrations.plain_sql import run_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_sql("0018_log_sentence.sql")
