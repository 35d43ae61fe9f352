"""Authentication: passwords (bcrypt), access tokens (JWT), and whether a token is still valid.

A login's token carries `sub` (user id), `jti` (its own id) and `epoch`. Logout records the `jti`. Raising a user's
`token_epoch` ends every login of that user at once, except `kept_token`, the login that changed the password. A personal token
is random text, and the database stores only its digest.
"""

import asyncio
import hashlib
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import bcrypt
import jwt
import msgspec

from services.gateway.auth.throttle import Attempt, Throttle, address_key
from services.gateway.auth.turns import PATIENT, REST, Rank, Turns
from services.gateway.http.http_errors import ProblemError, bad_request, unauthorized
from services.gateway.records import audit
from services.gateway.records.audit import Actor, AuditRecord
from services.gateway.records.identity import PERSONAL, Claims, Identity
from services.gateway.records.store import Store
from shared import units
from shared.infra.runtime_settings import RuntimeSettings

BCRYPT_COST = 12
HERE_SECONDS = 60.0
"""A user whose login was used within this time queues behind users without one."""
PASSWORD_MINIMUM = 8
PASSWORD_MAXIMUM_BYTES = 72  # bcrypt ignores further bytes, so part of a longer password would have no effect

TOKEN_PREFIX = "csa_"  # noqa: S105 - the prefix of personal tokens, so that people and scanners recognize them

BAD_LOGIN = "The name or the password is wrong."
NOT_LOGGED_IN = "Log in first: send the header `Authorization: Bearer <token>`."
TOKEN_OVER = "This personal token is not valid, or not any more."  # noqa: S105 - a sentence
CHANGE_FIRST = "Change your password first (POST /api/auth/password); until then nothing else is possible."
LOGIN_OVER = "Your login has ended or is not valid. Log in again."


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def hash_password(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_COST)).decode()


_NOBODY = f"$2b${BCRYPT_COST}$" + "." * 53
"""The hash for an unknown name, so that the comparison takes equally long. No password matches it."""


def check_password(password: str, hashed: str | None) -> bool:
    """Compare a password with a hash. It takes equally long when the user does not exist (`hashed` is None)."""
    raw = password.encode("utf-8", "surrogatepass")
    fits = len(raw) <= PASSWORD_MAXIMUM_BYTES
    equal = bcrypt.checkpw(raw[:PASSWORD_MAXIMUM_BYTES], (hashed or _NOBODY).encode())
    return equal and fits and hashed is not None


def password_problem(new: str, username: str) -> str | None:
    """Return why this password is not acceptable, or None. Pure."""
    if len(new) < PASSWORD_MINIMUM:
        return f"The new password is too short: at least {units.counted(PASSWORD_MINIMUM, 'character')}."
    if len(new.encode("utf-8", "surrogatepass")) > PASSWORD_MAXIMUM_BYTES:
        most = units.exact_size(PASSWORD_MAXIMUM_BYTES)
        return f"The new password is too long: at most {most}, and letters with accents take two or more."
    if new.casefold() in {username.casefold(), "changeme"}:
        return "The new password is too easy to guess: choose another one."
    return None


class Tokens:
    """Issue and read access tokens. Pure except for the clock."""

    def __init__(self, key: str, algorithm: str, minutes: int) -> None:
        self._key = key
        self._algorithm = algorithm
        self._lifetime = timedelta(minutes=minutes)

    @property
    def seconds(self) -> int:
        return int(self._lifetime.total_seconds())

    def issue(self, user_id: UUID, epoch: int) -> str:
        now = datetime.now(UTC)
        claims = {"sub": str(user_id), "jti": str(uuid4()), "epoch": epoch, "iat": now, "exp": now + self._lifetime}
        return jwt.encode(claims, self._key, algorithm=self._algorithm)

    def read(self, token: str) -> Claims:
        """Return a token's claims. Raises ProblemError 401 unless it is one of our tokens within its lifetime."""
        try:
            # Another gateway's clock may be slightly ahead, so the issue time is not checked.
            options: Any = {"require": ["sub", "jti", "epoch", "exp"], "verify_iat": False}
            payload = jwt.decode(token, self._key, algorithms=[self._algorithm], options=options)
            return msgspec.convert(payload, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError) as exc:
            raise unauthorized(LOGIN_OVER) from exc


class Security:
    """Logins and the tokens that they issue."""

    def __init__(self, store: Store, tokens: Tokens, tuned: RuntimeSettings) -> None:
        self._store = store
        self._tokens = tokens
        self._throttle = Throttle(store, tuned)
        self._turns_back, self._turns = Turns(), Turns(1, niceness=PATIENT, rest=REST)
        self._used: dict[UUID, float] = {}  # when each user last used a login, by the monotonic clock

    @property
    def login_seconds(self) -> int:
        """Return the lifetime of a login in seconds."""
        return self._tokens.seconds

    async def hash(self, password: str, asker: str = "") -> str:
        """Hash a password that is being set. `asker` is the queue key. Raises ProblemError 429 and 503 like `Turns.turn`."""
        async with self._turns.turn(asker, Rank(is_stranger=False, is_here=True, lately=0)):
            return await self._turns.run(hash_password, password)

    async def _try(self, attempt: Attempt, password: str, hashed: str | None, gone: "asyncio.Future[Any] | None" = None) -> bool:
        """Return whether the password is correct, and count the attempt. `gone`: see `Turns.turn`. Raises ProblemError 429, 503."""
        rank = await self._throttle.check(attempt)
        turns = self._turns_back if rank.is_back else self._turns
        async with turns.turn(attempt.own_key, rank, gone):
            await self._throttle.check(attempt)
            good = await turns.run(check_password, password, hashed)
            await (self._throttle.succeeded(attempt) if good else self._throttle.failed(attempt))
        return good

    async def identify(self, token: str) -> Identity:
        """Return the user of a token. Raises ProblemError 401 for an invalid token, 503 while the database is unavailable."""
        if token.startswith(TOKEN_PREFIX):
            return await self._identify_script(token)
        claims = self._tokens.read(token)
        user = await self._store.session_user(claims.sub, claims.jti, claims.epoch)
        if user is None:
            raise unauthorized(LOGIN_OVER)
        self._used[user["id"]] = time.monotonic()
        return Identity(user["id"], user["username"], user["is_admin"], user["must_change_password"], claims)

    async def _identify_script(self, token: str) -> Identity:
        found = await self._store.token_user(digest_of(token))
        if found is None:
            raise unauthorized(TOKEN_OVER)
        if found["is_stale"]:
            with suppress(ProblemError):  # reading continues while the database cannot write
                await self._store.token_used(found["token_id"])
        ends = int(found["expires_at"].timestamp()) if found["expires_at"] else 2**62
        return Identity(
            found["id"],
            found["username"],
            found["is_admin"] and found["scope"] == "admin",
            found["must_change_password"],
            Claims(found["id"], found["token_id"], PERSONAL, ends),
            scope=found["scope"],
            via=f"token:{found['token_name']}",
        )

    async def login(
        self,
        username: str,
        password: str,
        origin: Actor,
        shown: str | None = None,
        gone: "asyncio.Future[Any] | None" = None,
    ) -> tuple[str, Any]:
        """Return a new token and the user's row. Raises ProblemError 401, 403 (disabled), 429, 503.

        `origin` is the address and request. `shown` is a token that came with the request. If it is a login of this account,
        the attempt is trusted. `gone` is done when the client has disconnected. A password that still waits then is not
        checked.
        """
        address = address_key(origin.address)
        user = await self._store.login_user(username, address)
        login = await self._session_of(user, shown)
        is_known = login is not None or (user is not None and user["is_known"])
        is_here = user is not None and time.monotonic() - self._used.get(user["id"], float("-inf")) < HERE_SECONDS
        attempt = Attempt(username, origin.address, is_known, login, is_here)
        good = await self._try(attempt, password, user["password_hash"] if user else None, gone)
        if user is None or not good:
            # Unknown names are not logged: people type passwords into the wrong field.
            entry = AuditRecord("login_failed", "A login failed." if user is None else f"A login as {user['username']} failed.")
            async with self._store.transaction() as session:
                await audit.note(session, msgspec.structs.replace(origin, name=user["username"] if user else ""), entry)
            raise unauthorized(BAD_LOGIN)
        if user["disabled_at"] is not None:
            raise ProblemError(403, "account-disabled", "This account is disabled. Ask an admin.")
        actor = msgspec.structs.replace(origin, name=user["username"], id=user["id"])
        async with self._store.transaction() as session:
            await session.run("logged_in", user["id"])
            await session.run("know_address", user["id"], address)
            await audit.note(session, actor, AuditRecord("login", f"{user['username']} logged in."))
        return self._tokens.issue(user["id"], user["token_epoch"]), user

    async def _session_of(self, user: Any | None, shown: str | None) -> UUID | None:
        """Return the id of the login that came with a request, if it belongs to this user."""
        if user is None or not shown:
            return None
        with suppress(ProblemError):
            who = await self.identify(shown)
            return who.claims.jti if who.id == user["id"] and who.is_person else None
        return None

    async def logout(self, who: Identity) -> None:
        """End this login, or revoke this personal token."""
        async with self._store.transaction() as session:
            if who.is_person:
                await session.run("revoke", who.claims.jti, datetime.fromtimestamp(who.claims.exp, UTC))
            else:
                await session.run("revoke_token", who.claims.jti, who.id)
            await audit.note(session, who.actor, AuditRecord("logout", f"{who.username} logged out."))

    async def change_password(self, who: Identity, current: str, new: str) -> None:
        """Set a new password. The user's other logins end. Raises ProblemError 400, 403, 409, 429, 503."""
        if new == current:
            raise bad_request("The new password is the old one: choose another one.")
        if problem := password_problem(new, who.username):
            raise bad_request(problem)
        user = await self._store.user_by_name(who.username)
        attempt = Attempt(who.username, who.address, is_known=True, session=who.claims.jti, is_here=True)
        if user is None or not await self._try(attempt, current, user["password_hash"]):
            raise ProblemError(403, "wrong-password", "The current password is wrong.")
        hashed = await self.hash(new, attempt.own_key)
        async with self._store.transaction() as session:
            if await session.value("set_password", who.id, hashed, user["password_hash"], who.claims.jti) is None:
                raise ProblemError(409, "conflict", "The password was changed by somebody else at the same moment. Log in again.")
            await audit.note(session, who.actor, AuditRecord("password_changed", f"{who.username} changed their password."))
