"""Who asks: the user behind a request, and the token that was shown."""

from typing import Annotated
from uuid import UUID

import msgspec

from services.gateway.records.audit import Actor
from services.gateway.schemas.common import Scope

PERSONAL = -1
"""In place of an epoch: this is a personal token."""


class Claims(msgspec.Struct, frozen=True):
    """What a token says."""

    sub: UUID
    jti: UUID
    epoch: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    exp: int


class Identity(msgspec.Struct, frozen=True):
    """The user behind a request, as the database has it now, and the token that was shown.

    `is_admin`: what this request may do; a personal token of a lesser scope takes it away.
    """

    id: UUID
    username: str
    is_admin: bool
    must_change_password: bool
    claims: Claims
    scope: Scope = "admin"
    via: str = "login"
    address: str = ""
    request_id: str = ""

    @property
    def is_person(self) -> bool:
        """A login, not a script with a personal token."""
        return self.claims.epoch != PERSONAL

    @property
    def actor(self) -> Actor:
        return Actor(self.username, self.id, self.via, self.address, self.request_id)
