"""The commands for admins and for personal tokens."""

from datetime import datetime
from typing import Any

import msgspec

from cli import render, sentences, session
from cli.actions import Actions
from cli.client import Client
from cli.exits import Exit, Failure
from cli.sentences import Column

USER_ACTIONS = ("list", "add", "delete", "disable", "enable", "promote", "demote", "password")
TOKEN_ACTIONS = ("list", "add", "revoke")
_CHANGES: dict[str, dict[str, Any]] = {
    "disable": {"disabled": True},
    "enable": {"disabled": False},
    "promote": {"is_admin": True},
    "demote": {"is_admin": False},
}
_PASSWORD = "CS_ARCHIVER_NEW_PASSWORD"  # noqa: S105 - the variable's name


class Account(msgspec.Struct, kw_only=True):
    id: str
    username: str
    is_admin: bool
    created_at: datetime
    last_login: datetime | None = None
    disabled_at: datetime | None = None


class Token(msgspec.Struct, kw_only=True):
    id: str
    name: str
    scope: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class Entry(msgspec.Struct, kw_only=True):
    at: datetime
    actor: str
    via: str
    address: str
    action: str
    message: str


class Admin(Actions):
    """The commands, run against one server."""

    def users(self, action: str, name: str | None, admin: bool, must_change: bool, as_json: bool) -> None:
        name = _named(action, name, USER_ACTIONS)
        with self._client() as client:
            if action == "list":
                self._list_users(client, as_json)
            elif action == "add":
                password = session.read_password(f"Password of the new user {name}", _PASSWORD)
                body = {"username": name, "password": password, "is_admin": admin, "must_change_password": must_change}
                _show(client.write("POST", "/api/users", body), f"Made the user {name}.", as_json)
            else:
                self._change_user(client, action, name, must_change, as_json)

    def _list_users(self, client: Client, as_json: bool) -> None:
        doc = client.read("/api/users", list[Account])
        if as_json:
            render.emit_json(doc.raw)
            return
        columns = (
            *(Column("USER"), Column("ROLE", fixed=True), Column("STATE", fixed=True)),
            *(Column("CREATED", 80, fixed=True), Column("LAST LOGIN", 80, fixed=True)),
        )
        rows = [
            (
                user.username,
                "admin" if user.is_admin else "user",
                "disabled" if user.disabled_at else "active",
                sentences.when(user.created_at),
                sentences.when(user.last_login),
            )
            for user in doc.value
        ]
        render.table(columns, rows, "No users.")

    def _change_user(self, client: Client, action: str, name: str, must_change: bool, as_json: bool) -> None:
        users = client.read("/api/users", list[Account]).value
        found = [user for user in users if user.username.casefold() == name.casefold()]
        if not found:
            raise Failure(Exit.NOT_FOUND, f"There is no user {sentences.clean(name)}.")
        path = f"/api/users/{found[0].id}"
        if action == "delete":
            client.write("DELETE", path)
            render.talk(f"Deleted the user {name}; their logins and tokens have ended.")
            return
        if action == "password":
            password = session.read_password(f"New password of {name}", _PASSWORD)
            change: dict[str, Any] = {"password": password, "must_change_password": must_change}
        else:
            change = _CHANGES[action]
        _show(client.write("PATCH", path, change), f"Changed the user {name}.", as_json)

    def tokens(self, action: str, name: str | None, scope: str, days: int | None, as_json: bool) -> None:
        name = _named(action, name, TOKEN_ACTIONS)
        with self._client() as client:
            if action == "add":
                body = {"name": name, "scope": scope, "expires_in_days": days}
                made = client.write("POST", "/api/tokens", body)
                if as_json:
                    render.emit_json(made)
                else:
                    render.talk("This is shown once. Scripts pass it in CS_ARCHIVER_TOKEN, or as `Authorization: Bearer`.")
                    render.emit(f"{made['token']}\n")
                return
            doc = client.read("/api/tokens", list[Token])
            if action == "revoke":
                found = [token for token in doc.value if name in {token.name, token.id}]
                if not found:
                    raise Failure(Exit.NOT_FOUND, f"You have no token {sentences.clean(name)}.")
                client.write("DELETE", f"/api/tokens/{found[0].id}")
                render.talk(f"Revoked: {sentences.clean(found[0].name)}.")
            elif as_json:
                render.emit_json(doc.raw)
            else:
                columns = (
                    Column("TOKEN"),
                    Column("SCOPE", fixed=True),
                    Column("LAST USE", fixed=True),
                    Column("ENDS", 80, fixed=True),
                )
                rows = [(t.name, t.scope, sentences.when(t.last_used_at), sentences.when(t.expires_at)) for t in doc.value]
                render.table(columns, rows, "No personal tokens.")

    def audit(self, actor: str | None, action: str | None, limit: int, as_json: bool) -> None:
        with self._client() as client:
            doc = client.read("/api/audit", list[Entry], {"actor": actor, "action": action, "limit": min(limit, 1000)})
        if as_json:
            render.emit_json(doc.raw)
            return
        columns = (Column("TIME", fixed=True), Column("WHO", 60), Column("FROM", 100), Column("WHAT"))
        rows = [(sentences.when(entry.at), entry.actor, entry.address, entry.message) for entry in doc.value]
        render.table(columns, rows, "Nothing of that kind.")


def _named(action: str, name: str | None, known: tuple[str, ...]) -> str:
    if action not in known:
        raise Failure(Exit.USAGE, f"{action!r} is not one of {', '.join(known)}.")
    if name is None and action != "list":
        raise Failure(Exit.USAGE, f"`{action}` needs a name.")
    return name or ""


def _show(document: Any, sentence: str, as_json: bool) -> None:
    if as_json:
        render.emit_json(document)
    else:
        render.talk(sentence)
