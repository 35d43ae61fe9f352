"""Users and their personal tokens, as changed by admins and owners. Each change and its audit entry share one transaction."""

import secrets
import unicodedata
from contextlib import suppress
from typing import Any
from uuid import UUID

from msgspec import UNSET

from services.gateway.auth.security import TOKEN_PREFIX, Security, digest_of, password_problem
from services.gateway.files.workspaces import Workspaces
from services.gateway.http.http_errors import ProblemError, bad_request, conflict, forbidden, not_found
from services.gateway.records import audit
from services.gateway.records.audit import AuditRecord
from services.gateway.records.disk import at_disk
from services.gateway.records.identity import Identity
from services.gateway.records.store import Store
from services.gateway.schemas.admin import NewUser, TokenRequest, UserChange
from shared import units
from shared.infra.db import Session

TOKENS_EACH = 100
_NOT_YOURSELF = "You cannot {} yourself: another admin has to."


def plain_name(text: str) -> str:
    """Return a user name in its stored form. Raises ProblemError 400 for a name that is ambiguous or breaks a list. Pure."""
    name = unicodedata.normalize("NFC", text)
    if name != name.strip() or not name.isprintable():
        raise bad_request("A user's name has no spaces around it and no invisible characters.")
    return name


def _refuse_password(password: str, username: str) -> None:
    if problem := password_problem(password, username):
        raise bad_request(problem)


class Users:
    """Manage users and personal tokens. Every method raises ProblemError."""

    def __init__(self, store: Store, security: Security, workspaces: Workspaces) -> None:
        self._store = store
        self._workspaces = workspaces
        self._security = security

    # Users

    async def users(self, limit: int | None, offset: int) -> tuple[list[Any], int]:
        """Return one page of users, ordered by name, and the total number of users."""
        async with self._store.transaction() as session:
            rows = await session.rows("users", limit, offset)
            return rows, rows[0]["total"] if rows else int(await session.value("count_users"))

    async def user(self, user_id: UUID) -> Any:
        async with self._store.transaction() as session:
            return await _existing(session, user_id)

    async def create(self, who: Identity, wanted: NewUser) -> Any:
        """Create a user and return its row. Raises 409 when the name is taken, regardless of letter case."""
        name = plain_name(wanted.username)
        _refuse_password(wanted.password, name)
        hashed = await self._security.hash(wanted.password, str(who.id))
        async with self._store.transaction() as session:
            row = await session.row("new_user", name, hashed, wanted.is_admin, wanted.must_change_password, wanted.quota_bytes)
            if row is None:
                raise conflict(f"There is a user {name} already.")
            sentence = f"{who.username} made the user {name}{' (admin)' if wanted.is_admin else ''}."
            await audit.note(
                session, who.actor, AuditRecord("user_created", sentence, str(row["id"]), {"is_admin": wanted.is_admin})
            )
        with suppress(ProblemError):  # storage is unavailable: the workspace is created on first use
            await at_disk(self._workspaces.ensure, row["id"])
        return row

    async def change(self, who: Identity, user_id: UUID, wanted: UserChange) -> Any:
        """Change the role, the password, the quota or the disabled state, and return the row."""
        _refuse_change_of_yourself(who, user_id, wanted)
        if wanted.password is not None:
            _refuse_password(wanted.password, (await self.user(user_id))["username"])
        hashed = None if wanted.password is None else await self._security.hash(wanted.password, str(who.id))
        async with self._store.transaction() as session:
            await session.run("lock_people")
            before = await _existing(session, user_id)
            if wanted.is_admin is False or wanted.disabled:
                await _keep_an_admin(session, before)
            # The user need not change a password that an admin sets, unless the admin requires it.
            must_change = wanted.must_change_password if hashed is None else bool(wanted.must_change_password)
            row = await session.row("change_user", user_id, wanted.is_admin, wanted.disabled, hashed, must_change)
            if wanted.quota_bytes is not UNSET:
                row = await session.row("set_quota", user_id, wanted.quota_bytes)
            if wanted.disabled or hashed is not None:
                await session.run("revoke_tokens_of", user_id)
            for entry in _entries_for(who, before, wanted):
                await audit.note(session, who.actor, entry)
        return row

    async def delete(self, who: Identity, user_id: UUID) -> None:
        """Delete a user. The user's logins and tokens end at once.

        Archive jobs stay because they belong to the team. The workspace stays until an admin removes it. Its running tasks are
        cancelled.
        """
        if user_id == who.id:
            raise conflict(_NOT_YOURSELF.format("delete"))
        has_workspace = await at_disk(self._workspaces.exists, user_id)
        async with self._store.transaction() as session:
            await session.run("lock_people")
            row = await _existing(session, user_id)
            await _keep_an_admin(session, row)
            await session.run("cancel_work_of", user_id, who.username)
            if has_workspace:
                await session.run("leave_workspace", user_id, row["username"])
            await session.run("delete_user", user_id)
            await audit.note(
                session, who.actor, AuditRecord("user_deleted", f"{who.username} deleted the user {row['username']}.", str(user_id))
            )

    # Personal tokens

    async def tokens(self, who: Identity, user_id: UUID | None) -> list[Any]:
        """Return the caller's own tokens or, for an admin, those of any user."""
        if user_id not in {None, who.id} and not who.is_admin:
            raise forbidden("Only admins see the personal tokens of others.")
        async with self._store.transaction() as session:
            return await session.rows("tokens_of", user_id or who.id)

    async def make_token(self, who: Identity, wanted: TokenRequest) -> tuple[str, Any]:
        """Create a token. Return its text, which is not stored, and its row."""
        if wanted.scope == "admin" and not who.is_admin:
            raise forbidden("Only admins make tokens of the scope admin.")
        name = plain_name(wanted.name)
        text = TOKEN_PREFIX + secrets.token_urlsafe(32)
        async with self._store.transaction() as session:
            if len(await session.rows("tokens_of", who.id)) >= TOKENS_EACH:
                raise conflict(f"You have {TOKENS_EACH} personal tokens. Revoke some first.")
            row = await session.row("new_token", who.id, name, wanted.scope, digest_of(text), wanted.expires_in_days)
            if row is None:
                raise conflict(f"You have a token named {name} already.")
            sentence = f"{who.username} made the personal token {name} ({wanted.scope})."
            await audit.note(session, who.actor, AuditRecord("token_created", sentence, str(row["id"]), {"scope": wanted.scope}))
        return text, row

    async def revoke_token(self, who: Identity, token_id: UUID) -> None:
        """Revoke one of the caller's own tokens or, for an admin, any token."""
        async with self._store.transaction() as session:
            row = await session.row("revoke_token", token_id, None if who.is_admin else who.id)
            if row is None:
                raise not_found(f"There is no personal token {token_id}.")
            await audit.note(
                session,
                who.actor,
                AuditRecord("token_revoked", f"{who.username} revoked the personal token {row['name']}.", str(token_id)),
            )


async def _existing(session: Session, user_id: UUID) -> Any:
    row = await session.row("user", user_id)
    if row is None:
        raise not_found(f"There is no user {user_id}.")
    return row


async def _keep_an_admin(session: Session, row: Any) -> None:
    """Keep at least one admin, because only an admin can create another. The caller holds the lock on users."""
    if row["is_admin"] and await session.value("other_admins", row["id"]) == 0:
        raise conflict(f"{row['username']} is the last admin. Make another user an admin first.")


def _refuse_change_of_yourself(who: Identity, user_id: UUID, wanted: UserChange) -> None:
    if user_id != who.id:
        return
    if wanted.is_admin is False:
        raise conflict(_NOT_YOURSELF.format("demote"))
    if wanted.disabled:
        raise conflict(_NOT_YOURSELF.format("disable"))
    if wanted.password is not None:
        raise ProblemError(
            409, "conflict", "Change your own password with POST /api/auth/password, which asks for the present one."
        )


def _entries_for(who: Identity, before: Any, wanted: UserChange) -> list[AuditRecord]:
    """Return the audit entries for this change. Pure."""
    name, target, entries = before["username"], str(before["id"]), []
    if wanted.is_admin is not None and wanted.is_admin != before["is_admin"]:
        role = "an admin" if wanted.is_admin else "an ordinary user"
        entries.append(AuditRecord("user_role", f"{who.username} made {name} {role}.", target, {"is_admin": wanted.is_admin}))
    if wanted.disabled is not None and wanted.disabled != (before["disabled_at"] is not None):
        word = "disabled" if wanted.disabled else "enabled"
        entries.append(AuditRecord(f"user_{word}", f"{who.username} {word} the user {name}.", target))
    if wanted.password is not None:
        entries.append(AuditRecord("password_reset", f"{who.username} set a new password for {name}.", target))
    elif wanted.must_change_password is not None and wanted.must_change_password != before["must_change_password"]:
        must = "must" if wanted.must_change_password else "need not"
        entries.append(AuditRecord("user_must_change", f"{who.username} said that {name} {must} change the password.", target))
    if wanted.quota_bytes is not UNSET and wanted.quota_bytes != before["quota_bytes"]:
        words = "the usual quota" if wanted.quota_bytes is None else f"a quota of {units.size(wanted.quota_bytes)}"
        entries.append(
            AuditRecord("user_quota", f"{who.username} gave {name} {words}.", target, {"quota_bytes": wanted.quota_bytes})
        )
    return entries
