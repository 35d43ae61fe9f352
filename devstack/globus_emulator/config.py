"""The emulator's configuration: one JSON file that only its owner may read, because it holds the secrets."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

import msgspec

TRANSFER_SCOPE = "urn:globus:auth:scope:transfer.api.globus.org:all"
ALGORITHMS = ("MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512")


class ConfigError(Exception):
    """The configuration is unusable; the message says which part, and why."""


class Collection(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One collection: a local directory under a collection id."""

    root: str
    """The directory that is `/` of the collection; created if missing."""
    display_name: str = "Emulated collection"
    read_only: bool = False
    allowed_prefixes: list[str] = msgspec.field(default_factory=lambda: ["/"])
    """The allowed collection paths; the endpoint denies all others."""
    entity_type: str = "GCSv5_guest_collection"
    requires_data_access: bool = False
    """Mapped collections need the data_access scope; calls without it get ConsentRequired."""
    quota_bytes: int | None = None
    checksum_algorithms: list[str] = msgspec.field(default_factory=lambda: list(ALGORITHMS))
    unsupported_algorithm: Literal["fail", "fault", "reject"] = "fail"
    """How to refuse other algorithms: fail the task, retry it until its deadline, or answer the submission with 400."""
    force_verify: bool = False


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Settings that may change at run time (`PUT /_emulator/config`)."""

    expires_in_s: int = 172_800
    """Lifetime of an access token. At 60 or less the SDK fetches a token for every call."""
    bytes_per_second: int | None = None
    """Speed of one task; None: as fast as the disk."""
    tick_s: float = 0.25
    """Longest sleep of a waiting task between two checks; cancels, clock changes and faults wake it at once."""
    retry_first_s: float = 0.05
    """Wait after a task's first fault; it doubles up to `retry_max_s`."""
    retry_max_s: float = 1.0
    max_running: int = 3
    """Number of concurrent tasks per owner, for transfers and deletes each."""
    max_pending: int = 100
    cancel_wait_s: float = 10.0
    """How long a cancel waits for the task to stop before it answers CancelAccepted."""
    request_log_size: int = 10_000


class Config(Settings, kw_only=True, forbid_unknown_fields=True):
    """The configuration file."""

    clients: dict[str, str]
    """Client id -> client secret."""
    control_secret: str
    """The `X-Emulator-Secret` header that the control plane expects."""
    collections: dict[str, Collection]

    def __post_init__(self) -> None:
        """Refuse values that would cause trouble later."""
        if not self.control_secret:
            raise ValueError("control_secret is empty")
        for name, collection in self.collections.items():
            if unknown := set(collection.checksum_algorithms) - set(ALGORITHMS):
                raise ValueError(f"collection {name}: no such algorithm: {', '.join(sorted(unknown))}")
            if not Path(collection.root).is_absolute():
                raise ValueError(f"collection {name}: root must be an absolute path, not {collection.root!r}")


def load(path: Path) -> Config:
    """Read the file. Raises ConfigError, also when other users may read it."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"{path} holds secrets and is readable by others: chmod 600 {path}")
        return msgspec.json.decode(path.read_bytes(), type=Config)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path}: {error}") from error


def changed(config: Config, patch: bytes) -> Config:
    """Return the configuration merged with `patch` (JSON): settings, and fields of known or new collections. Raises ConfigError."""
    try:
        wanted = msgspec.json.decode(patch, type=dict[str, object])
        document = msgspec.to_builtins(config)
        for key, value in wanted.items():
            if key in {"clients", "control_secret"}:
                raise ConfigError(f"{key} cannot change at run time")
            if key == "collections" and isinstance(value, dict):
                for name, fields in value.items():
                    document["collections"][name] = {**document["collections"].get(name, {}), **fields}
            else:
                document[key] = value
        return msgspec.convert(document, type=Config)
    except (msgspec.MsgspecError, TypeError) as error:
        raise ConfigError(str(error)) from error
