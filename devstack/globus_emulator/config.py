"""What the emulator is told at its start: one JSON file, readable by its owner only, because the secrets are in it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

import msgspec

TRANSFER_SCOPE = "urn:globus:auth:scope:transfer.api.globus.org:all"
ALGORITHMS = ("MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512")


class ConfigError(Exception):
    """The configuration cannot be used; the message says which part and why."""


class Collection(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One collection: a directory of this machine under a collection id."""

    root: str
    """Directory that is `/` of the collection; created when absent."""
    display_name: str = "Emulated collection"
    read_only: bool = False
    allowed_prefixes: list[str] = msgspec.field(default_factory=lambda: ["/"])
    """Collection paths that may be used; everything else is denied by the endpoint."""
    entity_type: str = "GCSv5_guest_collection"
    requires_data_access: bool = False
    """Mapped collections ask for the data_access scope; without it a call is answered ConsentRequired."""
    quota_bytes: int | None = None
    checksum_algorithms: list[str] = msgspec.field(default_factory=lambda: list(ALGORITHMS))
    unsupported_algorithm: Literal["fail", "fault", "reject"] = "fail"
    """How another algorithm is refused: the task fails, the task retries until its deadline, or the submission is a 400."""
    force_verify: bool = False


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What may change at run time (`PUT /_emulator/config`)."""

    expires_in_s: int = 172_800
    """Life of an access token. At 60 or less the SDK fetches a token for every call."""
    bytes_per_second: int | None = None
    """Speed of one task; None is as fast as the disk."""
    tick_s: float = 0.25
    """Longest time a waiting task sleeps before it looks around; cancels, clock and faults wake it at once."""
    retry_first_s: float = 0.05
    """Wait after a task's first fault; it doubles up to `retry_max_s`."""
    retry_max_s: float = 1.0
    max_running: int = 3
    """Tasks worked on at a time, per owner, transfers and deletes each."""
    max_pending: int = 100
    cancel_wait_s: float = 10.0
    """How long a cancel waits for the task to stop before it answers CancelAccepted."""
    request_log_size: int = 10_000


class Config(Settings, kw_only=True, forbid_unknown_fields=True):
    """The configuration file."""

    clients: dict[str, str]
    """Client id -> client secret."""
    control_secret: str
    """What `X-Emulator-Secret` must carry for the control plane."""
    collections: dict[str, Collection]

    def __post_init__(self) -> None:
        """Refuse what would only surprise later."""
        if not self.control_secret:
            raise ValueError("control_secret is empty")
        for name, collection in self.collections.items():
            if unknown := set(collection.checksum_algorithms) - set(ALGORITHMS):
                raise ValueError(f"collection {name}: no such algorithm: {', '.join(sorted(unknown))}")
            if not Path(collection.root).is_absolute():
                raise ValueError(f"collection {name}: root must be an absolute path, not {collection.root!r}")


def load(path: Path) -> Config:
    """Read the file; raises ConfigError, also when others may read it."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"{path} holds secrets and is readable by others: chmod 600 {path}")
        return msgspec.json.decode(path.read_bytes(), type=Config)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path}: {error}") from error


def changed(config: Config, patch: bytes) -> Config:
    """The configuration with a JSON merge of `patch`: settings, and fields of known or new collections. Raises ConfigError."""
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
