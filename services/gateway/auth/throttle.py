"""Limits on password attempts, counted in the database and therefore across all gateways.

Wrong passwords count per account at an address, and per address. They never count against an account as a whole, because
strangers who guess an admin's password must not lock out the admin. Where an account has logged in before, the other failures
of that address do not count. A request that presents a login of the account has its own failure counter. Correct passwords
count per account, because hashing a password is expensive.

The limits are checked again during the turn in which the password is hashed. Parallel guesses therefore exceed a limit by at
most the number of turns.
"""

import hashlib
import ipaddress
from uuid import UUID

import msgspec

from services.gateway.auth.turns import Rank
from services.gateway.http.http_errors import ProblemError
from services.gateway.records.store import Store
from shared import units
from shared.infra.runtime_settings import LOGIN_LIMIT, RuntimeSettings

FAILURES = 10
ADDRESS_FAILURES = 50  # a whole office may share one address
WINDOW_SECONDS = 300.0


def account_key(username: str) -> str:
    """Return the counter key of an account. Names are hashed because people type passwords into the wrong field. Pure."""
    return "account:" + hashlib.sha256(username.casefold().encode("utf-8", "surrogatepass")).hexdigest()


def address_key(address: str) -> str:
    """Return the counter key of an address. An IPv6 /64 counts as one address, because one customer has all of it. Pure."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"address:{address[:100]}"
    if isinstance(parsed, ipaddress.IPv6Address):
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"


class Attempt(msgspec.Struct, frozen=True):
    """One password attempt. `is_known`: the account has logged in from this address, or `session` is one of its logins.

    `is_here`: a login of this account is in use.
    """

    username: str
    address: str
    is_known: bool = False
    session: UUID | None = None
    is_here: bool = False

    @property
    def own_key(self) -> str:
        """Return the key of this attempt's failure counter."""
        if self.session is not None:
            return f"session:{self.session}"
        return f"{account_key(self.username)} {address_key(self.address)}"

    @property
    def logins_key(self) -> str:
        """Return the key of the account's counter of correct passwords."""
        return f"logins:{account_key(self.username)}"

    @property
    def failure_keys(self) -> list[str]:
        """Return the keys of all counters of a failure, sorted so that two writers cannot deadlock."""
        return sorted([self.own_key, address_key(self.address)])

    def limits(self, logins: int) -> dict[str, int]:
        """Return the limit of each counter within the window. `logins` is the limit of correct passwords per account."""
        limits = {self.own_key: FAILURES, self.logins_key: logins}
        return limits if self.is_known else limits | {address_key(self.address): ADDRESS_FAILURES}

    def rank(self, counts: dict[str, int]) -> Rank:
        """Return the rank in the hashing queue, from the counts within the window."""
        key = self.logins_key if self.is_known else address_key(self.address)
        return Rank(not self.is_known, self.is_here, counts.get(key, 0) + counts.get(self.own_key, 0))


class Throttle:
    """Count password attempts. Methods raise ProblemError 503 while the database is unavailable."""

    def __init__(self, store: Store, tuned: RuntimeSettings) -> None:
        self._store = store
        self._tuned = tuned

    async def check(self, attempt: Attempt) -> Rank:
        """Return the rank in the queue. Raises ProblemError 429 with Retry-After after too many failures or logins."""
        limits = attempt.limits(self._tuned.get("login_limit", LOGIN_LIMIT))
        rows = await self._store.login_counts([*limits, address_key(attempt.address)], WINDOW_SECONDS)
        over = [row for row in rows if row["failures"] >= limits.get(row["key"], 2**31)]
        if over:
            seconds = max(1, round(max(row["seconds"] for row in over)))
            many = all(row["key"] == attempt.logins_key for row in over)
            what = "logins and changes of the password of this account" if many else "failed logins"
            more = " Programs use personal tokens." if many else ""
            kind = "too-many-logins" if many else "too-many-failures"
            detail = f"Too many {what}. Wait {units.duration(seconds)} and try again.{more}"
            raise ProblemError(429, kind, detail, {"Retry-After": str(seconds)})
        return attempt.rank({row["key"]: row["failures"] for row in rows})

    async def failed(self, attempt: Attempt) -> None:
        await self._store.count_logins(attempt.failure_keys, WINDOW_SECONDS)

    async def succeeded(self, attempt: Attempt) -> None:
        """Count a correct password, and reset this account's failures at this address."""
        await self._store.forgive_logins(attempt.own_key)
        await self._store.count_logins([attempt.logins_key], WINDOW_SECONDS)
