"""The identity behind a request: the user and the token."""

from typing import Annotated
from uuid import UUID

import msgspec

from services.gateway.records.audit import Actor
from services.gateway.schemas.common import Scope

PERSONAL = -1
"""The epoch value of a personal token."""


class Claims(msgspec.Struct, frozen=True):
    """The contents of a token."""

    sub: UUID
    jti: UUID
    epoch: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    exp: int


class Identity(msgspec.Struct, frozen=True):
    """The user behind a request, as the database has it now, and the presented token.

    `is_admin` applies to this request. A personal token with a lower scope removes admin rights.
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
        """Return whether this is a login, not a script with a personal token."""
        return self.claims.epoch != PERSONAL

    @property
    def actor(self) -> Actor:
        return Actor(self.username, self.id, self.via, self.address, self.request_id)
