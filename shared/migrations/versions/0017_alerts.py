"""Find out quickly whether a newer job has archived the folder of a failed one."""

from shared.migrations.plain_sql import run_sql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sql("0017_alerts.sql")
