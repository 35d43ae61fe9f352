"""Files of workspaces: what an upload says it is, what a quota has promised already, and workspaces whose users are gone."""

from shared.migrations.plain_sql import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql("0009_files.sql")
