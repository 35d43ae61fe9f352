"""Custody 3: an admin's release of a verified destination whose archive is there no more."""

from shared.migrations.plain_sql import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql("0007_release.sql")
