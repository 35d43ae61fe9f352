"""Workspaces: what packs, archive creations and extractions are about, quotas, uploads, and where a pack may delete its source."""

from shared.migrations.plain_sql import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql("0004_workspaces.sql")
