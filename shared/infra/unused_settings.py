"""Names that look like settings but have no effect: settings of other programs or editions, and misspelled ones.

At its start every process logs the names that it finds, with the correct setting, so that no setting is silently ignored. It
warns and continues, because an environment also holds settings for other programs. docs/settings.md lists `INSTEAD`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches

from shared.infra.settings import CompressorSettings, GatewaySettings, ScannerSettings, UploaderSettings

_NO_FFMPEG = "Nothing needs to be set: media files are read with FFmpeg's libraries, which are installed with CS Archiver."
_LOG_ROTATION = "Nothing needs to be set: log files rotate each day and at 100 MB, and are kept for 30 days or up to 1 GB."
_CHECKSUM = "Nothing needs to be set: every transfer is verified by checksum, and this cannot be turned off."
_PACKS = "An admin sets it on the page Configuration, or with PUT /api/config."
_COPY_RETRIES = "Set `MAX_COMPRESSION_RETRIES`."
_ACCOUNT = "Each user turns it on for their own workspace, on the page Settings."

INSTEAD: dict[tuple[str, ...], str] = {
    ("WEB_DASHBOARD_ENABLED",): "Nothing needs to be set: the gateway always serves the dashboard, at `/dashboard`.",
    ("WEB_DASHBOARD_HOST", "DASHBOARD_HOST"): "Set `GATEWAY_HOST`.",
    ("WEB_DASHBOARD_PORT", "DASHBOARD_PORT"): "Set `GATEWAY_PORT`.",
    ("FFMPEG_PATH", "FFPROBE_PATH"): _NO_FFMPEG,
    ("AUTO_ARCHIVE_ENABLED", "AUTO_ARCHIVE"): _ACCOUNT,
    ("ARCHIVE_MAX_WORKERS", "MAX_WORKERS"): "Set `WORKSPACE_LIMIT`.",
    ("database.url",): "Set `DATABASE_URL`.",
    (
        "database.pool_size",
        "POOL_SIZE",
        "DB_POOL_SIZE",
        "DATABASE_POOL_SIZE",
    ): "Nothing needs to be set: each process opens at most 11 connections. It says at the start when Postgres has too few.",
    ("storage.qnap_base", "QNAP_BASE", "STORAGE_QNAP_BASE", "QNAP_PATH", "NAS_PATH"): "Set `QNAP_BASE_PATH`.",
    ("storage.local_base", "LOCAL_BASE", "STORAGE_LOCAL_BASE"): "Set `STORAGE_BASE_PATH`.",
    ("storage.temp_subdir", "TEMP_SUBDIR", "STORAGE_TEMP_SUBDIR"): "Set `STORAGE_TEMP_PATH` to an absolute path.",
    ("storage.archives_subdir", "ARCHIVES_SUBDIR", "STORAGE_ARCHIVES_SUBDIR"): "Set `STORAGE_ARCHIVES_PATH` to an absolute path.",
    ("storage.failed_subdir", "FAILED_SUBDIR", "STORAGE_FAILED_SUBDIR"): "Set `STORAGE_FAILED_PATH` to an absolute path.",
    ("globus.client_id",): "Set `GLOBUS_CLIENT_ID`.",
    ("globus.client_secret",): "Set `GLOBUS_CLIENT_SECRET`.",
    ("globus.source_endpoint", "SOURCE_ENDPOINT", "LOCAL_ENDPOINT"): "Set `GLOBUS_SOURCE_ENDPOINT`.",
    ("globus.destination_endpoint", "DESTINATION_ENDPOINT", "GLOBUS_ENDPOINT"): "Set `GLOBUS_DESTINATION_ENDPOINT`.",
    ("globus.destination_base_path", "DESTINATION_BASE_PATH"): "Set `GLOBUS_DESTINATION_BASE_PATH`.",
    ("globus.verify_checksum", "GLOBUS_VERIFY_CHECKSUM", "VERIFY_CHECKSUM"): _CHECKSUM,
    ("globus.sync_level", "GLOBUS_SYNC_LEVEL", "SYNC_LEVEL"): _CHECKSUM,
    ("workers.copy_compress.max_retries", "COPY_COMPRESS_MAX_RETRIES"): _COPY_RETRIES,
    ("workers.copy_compress.retry_delay_seconds", "COPY_COMPRESS_RETRY_DELAY_SECONDS"): "Set `RETRY_DELAY_SECONDS`.",
    ("workers.upload.max_retries", "UPLOAD_MAX_RETRIES"): "Set `MAX_UPLOAD_RETRIES`.",
    ("workers.upload.retry_delay_seconds", "UPLOAD_RETRY_DELAY_SECONDS"): "Set `RETRY_DELAY_SECONDS`.",
    (
        "workers.upload.connection_error_max_retries",
        "CONNECTION_ERROR_MAX_RETRIES",
        "UPLOAD_CONNECTION_ERROR_MAX_RETRIES",
    ): "Set `MAX_CONNECTION_ERROR_RETRIES`.",
    ("workers.upload.task_timeout_hours", "TASK_TIMEOUT_HOURS"): "Set `UPLOAD_TASK_TIMEOUT_HOURS`.",
    ("workers.upload.task_poll_interval_seconds", "TASK_POLL_INTERVAL_SECONDS"): "Set `UPLOAD_TASK_POLL_INTERVAL_SECONDS`.",
    ("disk_space.min_free_gb", "MIN_FREE_GB", "DISK_SPACE_MIN_FREE_GB"): "Set `MIN_FREE_SPACE_GB`.",
    (
        "disk_space.compression_ratio_estimate",
        "COMPRESSION_RATIO_ESTIMATE",
        "DISK_SPACE_COMPRESSION_RATIO_ESTIMATE",
    ): "Set `COMPRESSION_SIZE_ESTIMATE_RATIO`.",
    (
        "disk_space.check_interval_seconds",
        "CHECK_INTERVAL_SECONDS",
        "DISK_SPACE_CHECK_INTERVAL_SECONDS",
    ): "Set `SPACE_CHECK_SECONDS`.",
    ("logging.level", "LOGGING_LEVEL"): "Set `LOG_LEVEL`.",
    ("logging.file", "LOGGING_FILE"): "Set `LOG_FILE`.",
    ("logging.max_bytes", "MAX_BYTES", "LOG_MAX_BYTES", "LOGGING_MAX_BYTES"): _LOG_ROTATION,
    ("logging.backup_count", "BACKUP_COUNT", "LOG_BACKUP_COUNT", "LOGGING_BACKUP_COUNT"): _LOG_ROTATION,
    ("security.jwt_secret_key", "JWT_SECRET", "SECURITY_JWT_SECRET_KEY"): "Set `JWT_SECRET_KEY`.",
    ("security.jwt_algorithm", "SECURITY_JWT_ALGORITHM"): "Set `JWT_ALGORITHM`.",
    (
        "security.jwt_expiration_minutes",
        "JWT_EXPIRATION_MINUTES",
        "SECURITY_JWT_EXPIRATION_MINUTES",
    ): "Set `JWT_ACCESS_TOKEN_EXPIRE_MINUTES`.",
    (
        "security.bcrypt_rounds",
        "BCRYPT_ROUNDS",
        "SECURITY_BCRYPT_ROUNDS",
    ): "Nothing needs to be set: passwords are hashed by bcrypt with a cost of 12.",
    ("PACK_FORMAT", "PACK_COMPRESSION_LEVEL", "MAX_TASK_SIZE", "MIN_FREE_DISK", "HIDDEN_FILE_EXTENSIONS"): _PACKS,
    ("DOWNLOAD_DIR",): "Set `STORAGE_BASE_PATH`: workspaces lie in its directory `workspaces`.",
    ("ARIA2_RPC_URL", "ARIA2_RPC_SECRET"): "Nothing needs to be set: CS Archiver does not use aria2.",
}
"""Names in the documents that CS Archiver was made from, and what to use instead. With a dot: a key of their `config.yaml`."""

SERVICE_SETTINGS = frozenset(
    setting.name.upper()
    for shape in (ScannerSettings, CompressorSettings, UploaderSettings, GatewaySettings)
    for setting in fields(shape)
)
OF_UP = {"DATA_DIR": "Only `cs-archiver up` reads it. Set `STORAGE_BASE_PATH`."}
"""Settings that `cs-archiver up` reads and no service does."""

_INSTEAD = {name: sentence for names, sentence in INSTEAD.items() for name in names}
_OTHERS = ("GLOBUS_CLI_", "GLOBUS_SDK_")  # other programs' own settings
_OUR_PREFIX = "CS_ARCHIVER_"
_SAME_FAMILY, _ANYWHERE = 0.85, 0.9
_FILE_KEY = re.compile(r"^( *)(\w+):", re.MULTILINE)
_FILE_SECTIONS = ("database", "storage", "globus", "workers", "disk_space", "logging", "security")


def notes(environment: Iterable[str], elsewhere: Mapping[str, str] = OF_UP) -> list[str]:
    """Return a sentence for each name that looks like a setting but has no effect, sorted. Pure.

    elsewhere: settings that have no effect for this process, and why.
    """
    found = []
    for name in sorted(environment):
        if name in elsewhere:
            found.append(f"{name} has no effect here. {_plain(elsewhere[name])}")
        elif instead := _INSTEAD.get(name) or _INSTEAD.get(name.upper()):
            found.append(f"{name} is not a setting. {_plain(instead)}")
        elif name not in SERVICE_SETTINGS | OF_UP.keys() and (meant := _meant(name)):
            found.append(f"{name} is not a setting and has no effect. Did you mean {meant}?")
    return found


def _plain(sentence: str) -> str:
    return sentence.replace("`", "")


def _meant(name: str) -> str | None:
    """Return the setting that a misspelled name most likely means; None when no setting is close enough."""
    upper = name.upper()
    ours = upper.removeprefix(_OUR_PREFIX)
    if ours in SERVICE_SETTINGS and "_" in ours:
        return ours
    if "_" not in upper or upper.startswith(_OTHERS):
        return None
    family = [setting for setting in SERVICE_SETTINGS if setting.split("_")[0] == upper.split("_")[0] and "_" in setting]
    others = [setting for setting in SERVICE_SETTINGS if "_" in setting]
    close = get_close_matches(upper, family, 1, _SAME_FAMILY) or get_close_matches(upper, others, 1, _ANYWHERE)
    return close[0] if close else None


def is_configuration_file(text: str) -> bool:
    """Return True for a YAML file with the sections of the documents' `config.yaml`. Pure."""
    sections = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    return len(sections & set(_FILE_SECTIONS)) >= 3


def of_configuration_file(text: str) -> list[str]:
    """Return a line for each key of a `config.yaml`, with what to use instead, in the file's order. Pure.

    Only the keys of `INSTEAD` are known; others are omitted. The indentation gives a key's place, as in YAML.
    """
    found: list[str] = []
    sections: list[tuple[int, str]] = []
    for indent, key in _FILE_KEY.findall(text):
        sections = [(depth, name) for depth, name in sections if depth < len(indent)]
        sections.append((len(indent), key))
        path = ".".join(name for _, name in sections)
        if path in _INSTEAD:
            found.append(f"{path}: {_plain(_INSTEAD[path])}")
    return found
