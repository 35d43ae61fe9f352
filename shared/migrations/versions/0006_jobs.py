"""Workspace jobs: what they are about to put in place, packs that outlived their retention, quotas for the compressor."""

from shared.migrations.plain_sql import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql("0006_jobs.sql")
