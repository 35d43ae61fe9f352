"""Types that several subjects use."""

from typing import Annotated, Literal

from msgspec import Meta

Percent = Annotated[int, Meta(ge=0, le=100)]
Scope = Literal["read", "operate", "admin"]
"""The scope of a personal token: what a script may do with it."""
Level = Literal["INFO", "WARNING", "ERROR"]
