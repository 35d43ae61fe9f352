"""Hooks that schemathesis loads (schemathesis.toml), so that it does not lock itself out.

An admin who sends thousands of random requests would at some point demand a new password for their own account, or close it.
Requests about that account go to an account that does not exist instead. Logout is tested under a separate account, with a
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
    """Give each request its own login, because the previous request may have ended its login."""

    def get(self, _case: Any, _context: Any) -> str:
        return Tokens("k" * 40, "HS256", 60).issue(UUID(_OWN), 0)

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


if os.environ["SCHEMATHESIS_FRESH_LOGINS"] == "yes":
    schemathesis.auth(refresh_interval=None)(FreshLogin)
