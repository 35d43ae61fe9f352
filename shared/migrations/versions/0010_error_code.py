"""Why a job failed, for programs: the code of the refusal beside its sentence."""

from shared.migrations.plain_sql import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql("0010_error_code.sql")
