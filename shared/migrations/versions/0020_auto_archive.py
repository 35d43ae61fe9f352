"""A zip of what arrives in a workspace, where its user wants one."""

from shared.migrations.plain_sql import run_sql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_sql("0020_auto_archive.sql")
