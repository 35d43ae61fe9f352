"""Record the endpoint and base path of every destination and submission."""

import unicodedata

from alembic import op
from sqlalchemy import text

from shared.migrations.plain_sql import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql("0012_places.sql")
    _name_places_in_keys()
    run_sql("0012_places_guard.sql")


def _name_places_in_keys() -> None:
    """Put endpoint and base path before the key of every destination whose place is known. SQL cannot fold case as the keys do."""
    database = op.get_bind()
    for place in database.execute(text("SELECT id, endpoint, base_path FROM remote_places")).all():
        base = "" if place.base_path == "/" else unicodedata.normalize("NFC", place.base_path).casefold()
        prefix = {"id": place.id, "prefix": f"{place.endpoint}:{base}"}
        database.execute(text("UPDATE destinations SET key = :prefix || key WHERE place = :id"), prefix)
