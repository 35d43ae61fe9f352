"""Every setting of every process, in one place: typed, documented, read once from the environment.

`load` collects all errors and reports them together, so that nobody has to fix one value per start. A test checks the table in
docs/settings.md against this file.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from shared.domain.requests import FORMATS
from shared.domain.retry import Limits
from shared.errors import ConfigurationError

Parser = Callable[[str], Any]


def _text(value: str) -> str:
    return value


def _path(value: str) -> Path:
    path = Path(value)
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


@dataclass(frozen=True)
class Number:
    """Parses a number from `low` to `high`. Raises ValueError with that range."""

    low: float
    high: float

    def __call__(self, value: str) -> float:
        number = float(value)
        if not self.low <= number <= self.high:
            raise ValueError(f"must be from {self.low:g} to {self.high:g}")
        return number


@dataclass(frozen=True)
class Whole:
    """Parses a whole number from `low` to `high`. Raises ValueError with that range."""

    low: int
    high: int

    def __call__(self, value: str) -> int:
        number = int(value)
        if not self.low <= number <= self.high:
            raise ValueError(f"must be a whole number from {self.low} to {self.high}")
        return number


def _one_of(*words: str) -> Parser:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"must be one of: {', '.join(words)}")
        return value

    return parse


def _url(*schemes: str) -> Parser:
    def parse(value: str) -> str:
        if urlsplit(value).scheme not in schemes:
            raise ValueError(f"must begin with {' or '.join(f'{s}://' for s in schemes)}")
        return value

    return parse


_YES_NO = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _flag(value: str) -> bool:
    if value.lower() not in _YES_NO:
        raise ValueError("must be true or false")
    return _YES_NO[value.lower()]


def _setting(parse: Parser, doc: str, default: Any = MISSING, *, secret: bool = False) -> Any:
    metadata = {"parse": parse, "doc": doc, "secret": secret}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


NATS_TLS = ("NATS_TLS_CA", "NATS_TLS_CERT", "NATS_TLS_KEY")


@dataclass(frozen=True, kw_only=True)
class Nats:
    """How to reach NATS."""

    nats_url: str = _setting(_url("nats", "tls"), "NATS address, without user and password; tls:// demands TLS.")
    nats_password: str = _setting(_text, "NATS password.", "", secret=True)
    nats_tls_ca: Path | None = _setting(
        _path, "CA certificates (PEM) that NATS' certificate is verified with; empty: this system's.", None
    )
    nats_tls_cert: Path | None = _setting(_path, "Client certificate (PEM) for a NATS that demands one.", None)
    nats_tls_key: Path | None = _setting(_path, "Private key (PEM) of the client certificate.", None)


@dataclass(frozen=True, kw_only=True)
class Common(Nats):
    """Settings that every service needs."""

    database_url: str = _setting(
        _url("postgresql", "postgres"), "Postgres address, with this service's own role; `sslmode` as in Postgres.", secret=True
    )
    nats_user: str = _setting(_text, "NATS user; empty: the service's name.", "")
    instance: str = _setting(_text, "Name of this process in leases and logs; empty: service@host:pid.", "")
    lease_seconds: float = _setting(Number(1, 3600), "How long a worker may be silent before another takes its job, seconds.", 60.0)
    poll_seconds: float = _setting(Number(0.1, 600), "How often work is looked for when no event came, seconds.", 30.0)
    max_compression_retries: int = _setting(
        Whole(0, 100), "Failed copies, compressions and tests are retried this many times before the job fails.", 3
    )
    max_upload_retries: int = _setting(
        Whole(0, 100), "Failed transfers and verifications are retried this many times before the job fails.", 5
    )
    max_connection_error_retries: int = _setting(
        Whole(0, 1000), "Retries after connection errors, counted apart from the others, before the job fails.", 10
    )
    retry_delay_seconds: float = _setting(
        Number(0, 86400), "Time before an automatic retry, seconds. Higher values give a fault more time to pass.", 30.0
    )
    max_crashes: int = _setting(Whole(1, 100), "Crashes without progress after which a job fails.", 5)
    log_level: str = _setting(_one_of("DEBUG", "INFO", "WARNING", "ERROR"), "Least severe level written.", "INFO")
    log_format: str = _setting(_one_of("json", "console"), "Log lines for programs or for people.", "json")
    log_file: Path | None = _setting(_path, "Also write the log here (rotated: 30 days or 1 GB); empty: only stderr.", None)
    health_port: int = _setting(Whole(0, 65535), "Port on 127.0.0.1 that answers GET /health; 0: none.", 0)


@dataclass(frozen=True, kw_only=True)
class Workspaces:
    """Where users' workspaces are."""

    storage_base_path: Path = _setting(_path, "Root of temp, archives, failed and workspaces.", Path("/storage"))

    @property
    def workspaces(self) -> Path:
        return self.storage_base_path / "workspaces"


@dataclass(frozen=True, kw_only=True)
class Storage(Workspaces):
    """Where the service's own files are."""

    storage_temp_path: Path | None = _setting(_path, "Temporary copies; empty: temp below the root.", None)
    storage_archives_path: Path | None = _setting(_path, "Archives waiting for upload; empty: archives below the root.", None)
    storage_failed_path: Path | None = _setting(_path, "What failed jobs leave; empty: failed below the root.", None)

    @property
    def temp(self) -> Path:
        return self.storage_temp_path or self.storage_base_path / "temp"

    @property
    def archives(self) -> Path:
        return self.storage_archives_path or self.storage_base_path / "archives"

    @property
    def failed(self) -> Path:
        return self.storage_failed_path or self.storage_base_path / "failed"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the NAS is mounted."""

    qnap_base_path: Path = _setting(_path, "The folder that holds level 1 (mounted NAS).", Path("/mnt/qnap/CitySpace Tech Team"))


TRUST_NOBODY = "none"


def _proxies(value: str) -> tuple[str, ...]:
    """Parse addresses and networks, separated by commas. An open list such as `*` would let every client choose its address."""
    if value.strip().lower() == TRUST_NOBODY:
        return ()
    parts = tuple(part.strip() for part in value.split(","))
    try:
        return tuple(str(ip_network(part) if "/" in part else ip_address(part)) for part in parts)
    except ValueError as exc:
        raise ValueError(
            f"must be {TRUST_NOBODY}, or addresses and networks separated by commas, such as 127.0.0.1,172.18.0.0/16 ({exc})"
        ) from exc


def _image_size(value: str) -> str:
    parts = value.split(":")
    if (
        len(parts) != 2
        or not all(part == "-1" or (part.isdecimal() and 16 <= int(part) <= 1920) for part in parts)
        or value == "-1:-1"
    ):
        raise ValueError("must be WIDTH:HEIGHT in pixels from 16 to 1920, one of them -1 for as it fits")
    return value


@dataclass(frozen=True, kw_only=True)
class MediaTools:
    """How to make pictures from videos, and how to read media files."""

    thumbnail_size: str = _setting(_image_size, "WIDTH:HEIGHT of thumbnails in pixels; -1: as it fits the film.", "320:-1")
    thumbnail_format: str = _setting(_one_of("jpg", "png", "webp"), "Kind of image that thumbnails and contact sheets are.", "jpg")


@dataclass(frozen=True, kw_only=True)
class ScannerSettings(MediaTools, Workspaces, Source, Common):
    """The scanner: discovery, and the only deletion on the NAS."""

    scan_interval_seconds: float = _setting(
        Number(10, 86400 * 7),
        "Time between scheduled scans, seconds. Lower values find new folders sooner and read the NAS more often.",
        900.0,
    )
    delete_limit: int = _setting(
        Whole(1, 64), "Source folders emptied at the same time. Higher values free the NAS sooner and load it more.", 1
    )
    evidence_fresh_seconds: float = _setting(
        Number(0, 86400), "Evidence older than this is asked for again (size at the destination) before a deletion.", 900.0
    )


@dataclass(frozen=True, kw_only=True)
class CompressorSettings(Storage, Source, Common):
    """The compressor: copy, compress, test."""

    compress_limit: int = _setting(
        Whole(1, 64), "NAS folders processed at the same time. Higher values use more processor, disk and staging space.", 1
    )
    workspace_limit: int = _setting(Whole(1, 64), "Workspace tasks at the same time. Higher values use more processor and disk.", 2)
    copy_strategy: str = _setting(_one_of("auto", "tiered"), "auto: the fastest way; tiered: one of four tools, by size.", "auto")
    copy_small_gb: float = _setting(Number(0, 1e9), "tiered: below this many GB files are copied one by one.", 1.0)
    copy_medium_gb: float = _setting(Number(0, 1e9), "tiered: below this many GB rsync copies.", 100.0)
    copy_large_gb: float = _setting(Number(0, 1e9), "tiered: below this many GB dd copies; above, several at once.", 1000.0)
    min_free_space_gb: float = _setting(Number(0, 1e9), "Space never used by us, GB (1024-based).", 10.0)
    compression_size_estimate_ratio: float = _setting(Number(0.01, 1), "Shown estimate of archive size by folder size.", 0.7)
    space_check_seconds: float = _setting(
        Number(0.1, 86400),
        "Time between checks for free space while a job waits for it, seconds. Lower values start jobs sooner.",
        60.0,
    )
    space_pass_hours: float = _setting(
        Number(0, 10000), "While a job waits for space, smaller jobs may start before it for this many hours. 0: none may.", 24.0
    )
    failed_retention_days: float = _setting(
        Number(0, 36500),
        "Days after which the archive and error.log of a failed job are deleted. Higher values use more disk.",
        30.0,
    )
    sevenzip_path: Path | None = _setting(_path, "The 7zz program; empty: the one that was installed with us, else PATH.", None)
    archive_temp_dir: Path | None = _setting(
        _path, "Work in progress of packs, archives and extractions, on the workspaces' file system; empty: among them.", None
    )

    @property
    def workbench(self) -> Path:
        return self.archive_temp_dir or self.workspaces / ".work"


@dataclass(frozen=True, kw_only=True)
class UploaderSettings(Storage, Source, Common):
    """The uploader: everything that talks to Globus."""

    globus_client_id: str = _setting(_text, "Client id of the service account.", "")
    globus_client_secret: str = _setting(_text, "Its secret.", "", secret=True)
    globus_source_endpoint: str = _setting(_text, "Collection that sees the archives (UUID).", "")
    globus_destination_endpoint: str = _setting(_text, "Collection that keeps them (UUID).", "")
    globus_destination_base_path: str = _setting(
        _text, "Folder on the destination below which level 1 begins. Work that has begun stays at its place.", "/"
    )
    globus_source_local_root: Path | None = _setting(
        _path, "Local directory that the source collection shows; empty: the archives directory.", None
    )
    globus_source_collection_path: str = _setting(_text, "Path under which the source collection shows that directory.", "/")
    globus_auth_url: str = _setting(_url("http", "https"), "Another Globus Auth server (the emulator's).", "")
    globus_transfer_url: str = _setting(_url("http", "https"), "Another Globus Transfer server (the emulator's).", "")
    upload_limit: int = _setting(
        Whole(1, 64), "Archives uploaded or verified at the same time. Higher values use more bandwidth.", 1
    )
    upload_task_timeout_hours: float = _setting(Number(0.001, 10000), "A transfer task's deadline, hours.", 12.0)
    upload_task_poll_interval_seconds: float = _setting(
        Number(1, 3600), "Longest pause between two looks at a task, seconds; the first looks are closer together.", 60.0
    )
    hard_fault_minutes: float = _setting(
        Number(0, 10000), "How long a fault that does not heal by itself may last before the task is cancelled, minutes.", 5.0
    )
    remote_recheck: str = _setting(_one_of("always", "never"), "Read the remote files a second time before they count.", "always")


@dataclass(frozen=True, kw_only=True)
class GatewaySettings(Storage, Source, Common):
    """The gateway: everything that talks to people."""

    gateway_host: str = _setting(_text, "Address to listen on.", "127.0.0.1")
    gateway_port: int = _setting(Whole(0, 65535), "Port to listen on.", 8000)
    forwarded_allow_ips: tuple[str, ...] = _setting(
        _proxies,
        "Proxies that may say who the client is (X-Forwarded-For) and that it uses HTTPS (X-Forwarded-Proto): addresses and"
        " networks separated by commas; none: nobody may.",
        ("127.0.0.1", "::1"),
    )
    request_head_seconds: float = _setting(Number(0.1, 3600), "How long the head of a request may take to arrive, seconds.", 15.0)
    jwt_secret_key: str = _setting(_text, "Signs access tokens; at least 32 characters.", secret=True)
    jwt_algorithm: str = _setting(_one_of("HS256", "HS384", "HS512"), "How tokens are signed.", "HS256")
    jwt_access_token_expire_minutes: int = _setting(Whole(1, 525600), "How long a login lasts, minutes.", 1440)
    admin_initial_password: str = _setting(
        _text, "First password of `admin`, which then needs no change; empty: changeme, to be changed at once.", "", secret=True
    )
    globus_emulated: bool = _setting(_flag, "Set by the embedded edition when Globus is its emulator.", False)
    ui_path: Path | None = _setting(_path, "Directory of the built UI; empty: ui/dist beside the code.", None)
    archive_default_format: str = _setting(_one_of(*FORMATS), "Format of an archive when none was asked for.", "zip")
    archive_default_level: int = _setting(Whole(0, 9), "How hard to compress an archive when nothing was said.", 6)
    min_free_space_gb: float = _setting(Number(0, 1e9), "Space never used by us, GB (1024-based).", 10.0)
    compression_size_estimate_ratio: float = _setting(Number(0.01, 1), "Shown estimate of archive size by folder size.", 0.7)


T = TypeVar("T", bound="Common | MediaTools | Nats")


def load(shape: type[T], environment: Mapping[str, str] | None = None) -> T:
    """Read one process's settings. Raises ConfigurationError that names every wrong or missing value at once."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for setting in fields(shape):
        name = setting.name.upper()
        raw = environment.get(name, "")
        if raw == "":
            if setting.default is MISSING:
                wrong.append(f"{name} is missing: {setting.metadata['doc']}")
            continue
        try:
            values[setting.name] = setting.metadata["parse"](raw)
        except ValueError as exc:
            shown = "" if setting.metadata["secret"] else f" (it is {raw!r})"
            wrong.append(f"{name}{shown}: {exc}")
    wrong += _wrong_together(shape, environment)
    if wrong:
        raise ConfigurationError("These settings need your attention:\n  " + "\n  ".join(wrong))
    return shape(**values)


GLOBUS_SET = ("GLOBUS_CLIENT_ID", "GLOBUS_CLIENT_SECRET", "GLOBUS_SOURCE_ENDPOINT", "GLOBUS_DESTINATION_ENDPOINT")


def globus_is_real(environment: Mapping[str, str]) -> bool:
    """Return True when the environment names a Globus service account. Raises ConfigurationError when it names only part of one."""
    present = [name for name in GLOBUS_SET if environment.get(name)]
    if present and len(present) < len(GLOBUS_SET):
        missing = [name for name in GLOBUS_SET if name not in present]
        raise ConfigurationError(f"Globus is set up only in part: {', '.join(missing)} missing. Set all of them, or none.")
    return bool(present)


def _wrong_together(shape: type[Any], environment: Mapping[str, str]) -> list[str]:
    """Return errors that concern several settings together."""
    wrong: list[str] = []
    if issubclass(shape, Nats):
        wrong += _wrong_tls(environment)
    if issubclass(shape, UploaderSettings):
        try:
            if not globus_is_real(environment):
                wrong.append(f"{', '.join(GLOBUS_SET)} are missing: where archives go.")
        except ConfigurationError as exc:
            wrong.append(str(exc))
    if issubclass(shape, GatewaySettings) and 0 < len(environment.get("JWT_SECRET_KEY", "")) < 32:
        wrong.append("JWT_SECRET_KEY: must have at least 32 characters")
    return wrong


def _wrong_tls(environment: Mapping[str, str]) -> list[str]:
    given = [name for name in NATS_TLS if environment.get(name)]
    wrong = []
    if given and not environment.get("NATS_URL", "").startswith("tls://"):
        wrong.append(f"{', '.join(given)}: set, but NATS_URL does not begin with tls://, so that nothing would be encrypted")
    if bool(environment.get("NATS_TLS_CERT")) != bool(environment.get("NATS_TLS_KEY")):
        wrong.append("NATS_TLS_CERT, NATS_TLS_KEY: set both, or none")
    return wrong


def retry_limits(settings: Common) -> Limits:
    """Return the retry budgets of one process."""
    return Limits(
        compression=settings.max_compression_retries,
        upload=settings.max_upload_retries,
        connection=settings.max_connection_error_retries,
        delay_s=settings.retry_delay_seconds,
    )
