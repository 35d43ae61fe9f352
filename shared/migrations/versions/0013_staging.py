"""Record the staging that holds each archive."""

from shared.migrations.plain_sql import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql("0013_staging.sql")
