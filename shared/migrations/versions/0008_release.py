"""Custody 3: an admin's release of a verified destination whose archive is there no more."""

from shared.migrations.plain_sql import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql("0008_release.sql")
