"""Run-time settings: validated together, stored in Postgres with an audit entry, announced to every service."""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from services.gateway.http.http_errors import bad_fields
from services.gateway.records import audit
from services.gateway.records.audit import AuditRecord
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.admin import Config, ConfigUpdate, Setting
from shared.domain.events import ConfigChanged
from shared.domain.lifecycle import Role
from shared.infra.bus import Bus
from shared.infra.db import Session
from shared.infra.runtime_settings import DEFINITIONS


def checked(update: ConfigUpdate) -> dict[str, Any]:
    """Return the new values in normalized form. Raises ProblemError 400 that names every invalid one. Pure."""
    values: dict[str, Any] = {}
    wrong: list[tuple[str, str]] = []
    for name, tunable in DEFINITIONS.items():
        given = getattr(update, name)
        if given is None:
            continue
        try:
            values[name] = tunable.check(given)
        except (ValueError, TypeError, OverflowError) as exc:
            wrong.append((name, str(exc)))
    wrong += [("reset", f"names {name!r}, which is no setting") for name in update.reset if name not in DEFINITIONS]
    wrong += [(name, "is both set and reset") for name in update.reset if name in values]
    if wrong:
        raise bad_fields(wrong)
    return values


def effective(environment: Mapping[str, str], rows: list[Any]) -> Config:
    """Return the effective settings: rows override this process's environment. Give all services the same environment. Pure."""
    values = {name: tunable.default(environment) for name, tunable in DEFINITIONS.items()}
    known = {row["name"]: row["value"] for row in rows if row["name"] in DEFINITIONS}
    return Config(**(values | known), overridden=sorted(known))


def described(environment: Mapping[str, str], rows: list[Any]) -> list[Setting]:
    """Return every setting as a form shows it, in the order of DEFINITIONS. Pure."""
    known = {row["name"]: row for row in rows}
    found = []
    for name, tunable in DEFINITIONS.items():
        row, default, shape = known.get(name), tunable.default(environment), tunable.shape
        setting = Setting(
            name=name,
            kind=shape.kind,
            unit=shape.unit,
            low=shape.low,
            high=shape.high,
            choices=list(shape.choices),
            about=tunable.doc,
            value=default if row is None else row["value"],
            default=default,
            changed_by=None if row is None else row["set_by"],
            changed_at=None if row is None else row["set_at"],
        )
        found.append(setting)
    return found


class Configuration:
    """Every method raises ProblemError."""

    def __init__(self, store: Store, bus: Bus, environment: Mapping[str, str] = os.environ) -> None:
        self._store = store
        self._bus = bus
        self._environment = environment

    async def read(self) -> Config:
        async with self._store.transaction() as session:
            return await self.of(session)

    async def of(self, session: Session) -> Config:
        """Return the settings as one transaction sees them."""
        return effective(self._environment, await session.rows("runtime_settings"))

    async def describe(self) -> list[Setting]:
        async with self._store.transaction() as session:
            return described(self._environment, await session.rows("runtime_settings"))

    async def change(self, who: Identity, update: ConfigUpdate) -> Config:
        """Write the changed settings and announce them. Return the effective settings."""
        values = checked(update)
        async with self._store.transaction() as session:
            await session.run("lock_settings")
            before = effective(self._environment, await session.rows("runtime_settings"))
            for name, value in values.items():
                await session.run("set_setting", name, value, who.username)
            await session.run("reset_settings", update.reset)
            after = effective(self._environment, await session.rows("runtime_settings"))
            changed = _difference(before, after)
            if changed:
                words = ", ".join(f"{name} from {old} to {new}" for name, (old, new) in changed.items())
                data = {name: {"from": old, "to": new} for name, (old, new) in changed.items()}
                await audit.note(session, who.actor, AuditRecord("settings_changed", f"{who.username} changed {words}.", data=data))
            at: datetime = await session.value("now")
        for role in Role:
            await self._bus.nudge(role)
        if changed:
            news = ConfigChanged(changed_at=at, changed_by=who.username, values={name: new for name, (_, new) in changed.items()})
            await self._bus.publish_live("live.config", news)
        return after


def _difference(before: Config, after: Config) -> dict[str, tuple[Any, Any]]:
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    return {name: (old[name], new[name]) for name in DEFINITIONS if old[name] != new[name]}
