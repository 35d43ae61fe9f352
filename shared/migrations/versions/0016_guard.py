"""Fix the search path of every function and take temporary objects away from every role: env.py runs 0016_guard.sql after each upgrade."""

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Do nothing here: the file is idempotent and runs at the end of this upgrade and of every later one."""
