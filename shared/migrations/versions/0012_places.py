"""Record the endpoint and base path of every destination and submission."""

from shared.migrations.plain_sql import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql("0012_places.sql")
