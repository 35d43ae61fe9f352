"""API types for users, personal tokens, settings and the audit log. See schemas/__init__.py for the rules."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.gateway.schemas.common import Scope

# Users -------------------------------------------------------------------------------------------------------------------------------

Password = Annotated[str, Meta(max_length=1000, description="At least 8 characters, at most 72 bytes.")]


Quota = Annotated[int, Meta(ge=0, le=1 << 60)]


class UserAccount(msgspec.Struct, kw_only=True):
    """A user as admins see it. `disabled_at`: the account is disabled since then. null: it is enabled.

    `quota_bytes`: the user's own limit for the workspace. null: the setting workspace_quota applies.
    """

    id: UUID
    username: str
    is_admin: bool
    created_at: datetime
    last_login: datetime | None
    must_change_password: bool
    disabled_at: datetime | None
    quota_bytes: int | None


class NewUser(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`must_change_password`: all other requests return 403 until the password is changed.

    `quota_bytes`: null means the setting workspace_quota.
    """

    username: Annotated[str, Meta(min_length=1, max_length=100)]
    password: Password
    is_admin: bool = False
    must_change_password: bool = False
    quota_bytes: Quota | None = None


class UserChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An absent or null value stays unchanged. A new `password`, or `disabled`, ends all logins and personal tokens of the user.

    `quota_bytes`: the limit for the workspace. null: the setting workspace_quota applies again. If it is absent, it stays
    unchanged.
    """

    is_admin: bool | None = None
    disabled: bool | None = None
    password: Password | None = None
    must_change_password: bool | None = None
    quota_bytes: Quota | UnsetType | None = UNSET


# Personal tokens ---------------------------------------------------------------------------------------------------------------------


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`scope`: read allows reading, operate all actions of a user, admin all actions of an admin (for admins only).

    `expires_in_days`: null means until it is revoked.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scope: Scope = "read"
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] | None = None


class Token(msgspec.Struct, kw_only=True):
    """A personal token without its text, which cannot be shown again. `last_used_at` is exact to the minute."""

    id: UUID
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewToken(Token, kw_only=True):
    """`token` is shown only this once. Send it as `Authorization: Bearer <token>`."""

    token: str


# Settings ----------------------------------------------------------------------------------------------------------------------------


class Config(msgspec.Struct, kw_only=True):
    """The effective settings. Sizes are bytes, and 0 means no limit.

    `overridden` names the settings that an admin changed. The others come from the environment or the defaults.
    """

    pack_format: Literal["zip", "7z"]
    pack_compression_level: Annotated[int, Meta(ge=1, le=9)]
    pack_retention_days: int
    workspace_quota: int
    workspace_entries: int
    nas_browsing: Literal["everybody", "admins", "nobody"]
    max_task_size: int
    min_free_disk: int
    hidden_file_extensions: list[str]
    compress_limit: int
    upload_limit: int
    delete_limit: int
    workspace_limit: int
    max_compression_retries: int
    max_upload_retries: int
    max_connection_error_retries: int
    retry_delay_seconds: float
    scan_interval_seconds: float
    space_check_seconds: float
    space_pass_hours: float
    failed_retention_days: float
    user_jobs_limit: int
    user_streams_limit: int
    login_limit: int
    overridden: list[str]


class ConfigUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An absent or null value stays unchanged. `reset` names the settings to be reset to the environment's value.

    `pack_format`: zip or 7z. `pack_compression_level` is clamped to 1 to 9. `hidden_file_extensions`: for example ".tmp".
    """

    pack_format: str | None = None
    pack_compression_level: int | None = None
    pack_retention_days: int | None = None
    workspace_quota: int | None = None
    workspace_entries: int | None = None
    nas_browsing: str | None = None
    max_task_size: int | None = None
    min_free_disk: int | None = None
    hidden_file_extensions: list[str] | None = None
    compress_limit: int | None = None
    upload_limit: int | None = None
    delete_limit: int | None = None
    workspace_limit: int | None = None
    max_compression_retries: int | None = None
    max_upload_retries: int | None = None
    max_connection_error_retries: int | None = None
    retry_delay_seconds: float | None = None
    scan_interval_seconds: float | None = None
    space_check_seconds: float | None = None
    space_pass_hours: float | None = None
    failed_retention_days: float | None = None
    user_jobs_limit: int | None = None
    user_streams_limit: int | None = None
    login_limit: int | None = None
    reset: list[str] = []


class Setting(msgspec.Struct, kw_only=True):
    """One of the values in Config, with everything that a form needs.

    `kind`: whole and number lie between `low` and `high`, choice is one of `choices`, list is a list of words. `default`: the
    environment's value, which applies until an admin changes it. `changed_by` and `changed_at`: the last change, null if there
    is none.
    """

    name: str
    kind: Literal["whole", "number", "choice", "list"]
    unit: Literal["bytes", "seconds", "hours", "days", ""]
    low: float | None
    high: float | None
    choices: list[str]
    about: str
    value: float | str | list[str]
    default: float | str | list[str]
    changed_by: str | None
    changed_at: datetime | None


# Audit -------------------------------------------------------------------------------------------------------------------------------


class AuditEntry(msgspec.Struct, kw_only=True):
    """Who did what, when and from where. `via`: login, cookie or token:<name>. `actor` is empty if the user is unknown.

    `action` is a stable code for programs, `message` a sentence for people, `target` an id or a name.
    """

    id: int
    at: datetime
    actor: str
    actor_id: UUID | None
    via: str
    address: str
    request_id: str
    action: str
    target: str
    message: str
    data: dict[str, Any]
