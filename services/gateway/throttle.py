"""How often a password may be wrong: per account and per address, counted in the database, so for all gateways together.

Only failures count, and a right password forgives those of its account. The look happens in the slot in which the password is
hashed, so parallel guesses pass the limit by no more than the number of slots.
"""

import hashlib
import ipaddress

from services.gateway.refusals import ProblemError
from services.gateway.store import Store

ACCOUNT_FAILURES = 10
ADDRESS_FAILURES = 50  # a whole office may come from one address
WINDOW_SECONDS = 300.0


def account_key(username: str) -> str:
    """Names as digests: people type passwords into the wrong field. Pure."""
    return "account:" + hashlib.sha256(username.casefold().encode("utf-8", "surrogatepass")).hexdigest()


def address_key(address: str) -> str:
    """An IPv6 customer has a whole /64, and counts as one. Pure."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"address:{address[:100]}"
    if isinstance(parsed, ipaddress.IPv6Address):
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"


class Throttle:
    """Methods raise ProblemError 503 while the database is away."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def check(self, username: str, address: str) -> None:
        """Raises ProblemError 429 with Retry-After after too many failures."""
        limits = {account_key(username): ACCOUNT_FAILURES, address_key(address): ADDRESS_FAILURES}
        seconds = await self._store.login_wait(list(limits), list(limits.values()), WINDOW_SECONDS)
        if seconds > 0:
            detail = f"Too many failed logins. Wait {max(1, round(seconds))} seconds and try again."
            raise ProblemError(429, "too-many-failures", detail, {"Retry-After": str(max(1, round(seconds)))})

    async def failed(self, username: str, address: str) -> None:
        await self._store.count_login_failure(sorted([account_key(username), address_key(address)]), WINDOW_SECONDS)

    async def succeeded(self, username: str) -> None:
        await self._store.forgive_logins(account_key(username))
