"""Loaded by schemathesis itself (schemathesis.toml): it must not saw off the branch it sits on.

An admin who asks thousands of strange things would sooner or later demand a new password of themselves, or close their own account.
Requests about that account go to one that does not exist instead. Ending one's own login is asked under an account of its own, with a
fresh login for every request (test_schemathesis.py, role "session").
"""

import os
from typing import Any
from uuid import UUID

import schemathesis

from services.gateway.auth.security import Tokens

_NOBODY = "00000000-0000-4000-8000-000000000000"
_OWN = os.environ["SCHEMATHESIS_OWN_ID"]


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    if str((case.path_parameters or {}).get("user_id", "")).lower() == _OWN:
        case.path_parameters["user_id"] = _NOBODY


class FreshLogin:
    """Each request with a login of its own, as the one before may have ended its own."""

    def get(self, _case: Any, _context: Any) -> str:
        return Tokens("k" * 40, "HS256", 60).issue(UUID(_OWN), 0)

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


if os.environ["SCHEMATHESIS_FRESH_LOGINS"] == "yes":
    schemathesis.auth(refresh_interval=None)(FreshLogin)
