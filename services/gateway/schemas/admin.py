"""What goes over the wire about users, personal tokens, settings and the audit log; see schemas.py for the rules."""

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
    """A user as admins see them. `disabled_at`: from when this account may do nothing; null: it may.

    `quota_bytes`: what the workspace may hold; null: what the setting workspace_quota says.
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
    """`must_change_password`: everything but changing it answers 403 until then. `quota_bytes`: null: the setting workspace_quota."""

    username: Annotated[str, Meta(min_length=1, max_length=100)]
    password: Password
    is_admin: bool = False
    must_change_password: bool = False
    quota_bytes: Quota | None = None


class UserChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is absent or null stays as it is. A new `password`, or `disabled`, ends every login and personal token of the user at once.

    `quota_bytes`: what the workspace may hold; null gives the user the setting's quota again, absent stays as it is.
    """

    is_admin: bool | None = None
    disabled: bool | None = None
    password: Password | None = None
    must_change_password: bool | None = None
    quota_bytes: Quota | UnsetType | None = UNSET


# Personal tokens ---------------------------------------------------------------------------------------------------------------------


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`scope`: read looks, operate does what a user does, admin what an admin does (for admins only).

    `expires_in_days`: null lasts until it is revoked.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scope: Scope = "read"
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] | None = None


class Token(msgspec.Struct, kw_only=True):
    """A personal token without its text, which nobody can show again. `last_used_at` is exact to the minute."""

    id: UUID
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewToken(Token, kw_only=True):
    """`token`: shown this once. Send it as `Authorization: Bearer <token>`."""

    token: str


# Settings ----------------------------------------------------------------------------------------------------------------------------


class Config(msgspec.Struct, kw_only=True):
    """What counts now. Sizes in bytes; 0: no limit. `overridden`: what an admin set here; the rest is the environment's or the default."""

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
    """What is absent or null stays as it is; `reset` names what goes back to the environment's value.

    `pack_format`: zip or 7z. `pack_compression_level` is brought into 1 to 9. `hidden_file_extensions`: such as ".tmp".
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
    """One of Config's values with all that a form needs.

    `kind`: whole and number lie between `low` and `high`; choice is one of `choices`; list is words. `default`: the environment's value,
    which counts while nobody set another; `changed_by` and `changed_at` say who did and when, null while nobody has.
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
    """Who did what, when and from where. `via`: login, cookie or token:<name>; `actor` is empty when nobody is known.

    `action` is a stable word for programs, `message` a sentence for people, `target` an id or a name.
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
