"""When a job's figures were last written, for whoever asks when anything of it changed."""

from shared.migrations.plain_sql import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql("0011_progress.sql")
