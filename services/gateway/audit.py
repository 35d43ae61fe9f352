"""The audit log: who did what, when and from where. Written in the transaction of the deed; the database refuses to change a row."""

from typing import Any
from uuid import UUID

import msgspec

from shared.db import Session


class Actor(msgspec.Struct, frozen=True):
    """Who acts: the name as it is now, and how they came in. `via`: login, cookie or token:<name>; all empty for nobody known."""

    name: str = ""
    id: UUID | None = None
    via: str = ""
    address: str = ""
    request_id: str = ""


class Deed(msgspec.Struct, frozen=True):
    """What was done: a stable word, what it was done to (an id or a name), a sentence, figures. Never a secret."""

    action: str
    message: str
    target: str = ""
    data: dict[str, Any] = {}


async def note(session: Session, actor: Actor, deed: Deed) -> None:
    """Write one line, in the caller's transaction: the deed and its record stand or fall together."""
    who = (actor.name, actor.id, actor.via, actor.address, actor.request_id)
    await session.run("note_audit", *who, deed.action, deed.target, deed.message, deed.data)
