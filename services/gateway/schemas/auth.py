"""API types for logins and the current user."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta


class LoginRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`cookie`: for browsers, store the login in an httpOnly cookie instead of returning a token."""

    username: Annotated[str, Meta(min_length=1, max_length=200)]
    password: Annotated[str, Meta(max_length=1000)]
    cookie: bool = False


class User(msgspec.Struct):
    """`must_change_password`: all other requests return 403 until the password is changed."""

    id: UUID
    username: str
    is_admin: bool
    must_change_password: bool


class LoginResult(msgspec.Struct):
    """Send `access_token` as `Authorization: Bearer <token>`. It is empty when the login is in a cookie."""

    access_token: str
    user: User
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - RFC 6750's word, not a secret


class PasswordChange(msgspec.Struct, forbid_unknown_fields=True):
    """A password change. The new password: at least 8 characters, at most 72 bytes, not the old one, not the user's name."""

    current_password: Annotated[str, Meta(max_length=1000)]
    new_password: Annotated[str, Meta(max_length=1000)]
