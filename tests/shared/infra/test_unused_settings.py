"""No setting is ignored silently: each name that people may try is a setting, or is reported with its replacement."""

import pytest

from shared.infra.unused_settings import INSTEAD, OF_UP, SERVICE_SETTINGS, is_configuration_file, notes, of_configuration_file

ENVIRONMENT = [
    "DATABASE_URL",
    "JWT_SECRET_KEY",
    "JWT_ALGORITHM",
    "JWT_ACCESS_TOKEN_EXPIRE_MINUTES",
    "QNAP_BASE_PATH",
    "STORAGE_BASE_PATH",
    "STORAGE_TEMP_PATH",
    "STORAGE_ARCHIVES_PATH",
    "STORAGE_FAILED_PATH",
    "GLOBUS_CLIENT_ID",
    "GLOBUS_CLIENT_SECRET",
    "GLOBUS_SOURCE_ENDPOINT",
    "GLOBUS_DESTINATION_ENDPOINT",
    "GLOBUS_DESTINATION_BASE_PATH",
    "MAX_COMPRESSION_RETRIES",
    "MAX_UPLOAD_RETRIES",
    "MAX_CONNECTION_ERROR_RETRIES",
    "RETRY_DELAY_SECONDS",
    "UPLOAD_TASK_TIMEOUT_HOURS",
    "UPLOAD_TASK_POLL_INTERVAL_SECONDS",
    "MIN_FREE_SPACE_GB",
    "COMPRESSION_SIZE_ESTIMATE_RATIO",
    "LOG_LEVEL",
    "LOG_FILE",
]
CONFIGURATION_FILE = [
    "database.url",
    "database.pool_size",
    "storage.qnap_base",
    "storage.local_base",
    "storage.temp_subdir",
    "storage.archives_subdir",
    "storage.failed_subdir",
    "globus.client_id",
    "globus.client_secret",
    "globus.source_endpoint",
    "globus.destination_endpoint",
    "globus.destination_base_path",
    "globus.verify_checksum",
    "globus.sync_level",
    "workers.copy_compress.max_retries",
    "workers.copy_compress.retry_delay_seconds",
    "workers.upload.max_retries",
    "workers.upload.retry_delay_seconds",
    "workers.upload.connection_error_max_retries",
    "workers.upload.task_timeout_hours",
    "workers.upload.task_poll_interval_seconds",
    "disk_space.min_free_gb",
    "disk_space.compression_ratio_estimate",
    "disk_space.check_interval_seconds",
    "logging.level",
    "logging.file",
    "logging.max_bytes",
    "logging.backup_count",
    "security.jwt_secret_key",
    "security.jwt_algorithm",
    "security.jwt_expiration_minutes",
    "security.bcrypt_rounds",
]
MEDIA_AND_DASHBOARD = [
    "WEB_DASHBOARD_ENABLED",
    "WEB_DASHBOARD_PORT",
    "WEB_DASHBOARD_HOST",
    "ARCHIVE_DEFAULT_FORMAT",
    "ARCHIVE_DEFAULT_LEVEL",
    "ARCHIVE_TEMP_DIR",
    "FFMPEG_PATH",
    "FFPROBE_PATH",
    "THUMBNAIL_SIZE",
    "THUMBNAIL_FORMAT",
]
PACKS = [
    "PACK_FORMAT",
    "PACK_COMPRESSION_LEVEL",
    "MAX_TASK_SIZE",
    "MIN_FREE_DISK",
    "HIDDEN_FILE_EXTENSIONS",
    "ARIA2_RPC_URL",
    "ARIA2_RPC_SECRET",
]
# Variables of a shell, a container, a cluster and other programs.
USUAL = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TERM",
    "SHELL",
    "USER",
    "LOGNAME",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "HOSTNAME",
    "MAIL",
    "DISPLAY",
    "SSH_AUTH_SOCK",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "PYTHON_VERSION",
    "PYTHON_SHA256",
    "PYTHONUNBUFFERED",
    "PYTHONPATH",
    "GPG_KEY",
    "VIRTUAL_ENV",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_PORT_443_TCP_ADDR",
    "GATEWAY_SERVICE_HOST",
    "GATEWAY_SERVICE_PORT",
    "GATEWAY_PORT_8000_TCP",
    "NATS_PORT_4222_TCP_ADDR",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD",
    "PGHOST",
    "PGPASSWORD",
    "DATABASE_HOST",
    "GLOBUS_CLI_CLIENT_ID",
    "GLOBUS_CLI_CLIENT_SECRET",
    "GLOBUS_SDK_ENVIRONMENT",
    "AWS_SECRET_ACCESS_KEY",
    "INSTANCE_ID",
    "COMPOSE_PROJECT_NAME",
    "DOCKER_HOST",
    "LOG_DIR",
    "CS_ARCHIVER_URL",
    "CS_ARCHIVER_USER",
    "CS_ARCHIVER_TOKEN",
    "CS_ARCHIVER_PASSWORD",
    "CS_ARCHIVER_CRASH_FILE",
    "CS_ARCHIVER_UID",
]


@pytest.mark.parametrize("name", [*ENVIRONMENT, *CONFIGURATION_FILE, *MEDIA_AND_DASHBOARD, *PACKS])
def test_each_known_setting_works_or_is_named_with_its_substitute(name: str) -> None:
    """A configuration file's key is recognised as an environment variable too, with and without its sections."""
    if name in SERVICE_SETTINGS:
        assert notes([name]) == []
    elif "." in name:
        assert any(name in names for names in INSTEAD)
        *_, section, key = name.split(".")
        for variable in (key.upper(), f"{section}_{key}".upper()):
            if "_" in key and variable not in {*SERVICE_SETTINGS, "CLIENT_ID", "CLIENT_SECRET", "MAX_RETRIES", "JWT_ALGORITHM"}:
                assert f"{variable} is not a setting" in "".join(notes([variable])), variable
    else:
        (note,) = notes([name])
        assert note.startswith(f"{name} is not a setting. ")


def test_each_substitute_is_a_setting() -> None:
    """Every setting that a sentence recommends exists."""
    for sentence in INSTEAD.values():
        if sentence.startswith("Set "):
            assert sentence.split("`")[1] in SERVICE_SETTINGS, sentence
    assert not SERVICE_SETTINGS & {name for names in INSTEAD for name in names}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("QNAP_BASE_PTH", "QNAP_BASE_PATH"),
        ("MIN_FREE_SPACE", "MIN_FREE_SPACE_GB"),
        ("min_free_space_gb", "MIN_FREE_SPACE_GB"),
        ("CS_ARCHIVER_MIN_FREE_SPACE_GB", "MIN_FREE_SPACE_GB"),
        ("GLOBUS_CLIENTID", "GLOBUS_CLIENT_ID"),
        ("GLOBUS_DEST_ENDPOINT", "GLOBUS_DESTINATION_ENDPOINT"),
        ("UPLOAD_TIMEOUT_HOURS", "UPLOAD_TASK_TIMEOUT_HOURS"),
        ("MAX_COMPRESION_RETRIES", "MAX_COMPRESSION_RETRIES"),
        ("DATABASE_URI", "DATABASE_URL"),
    ],
)
def test_misspelled_settings_are_named_with_what_was_meant(written: str, meant: str) -> None:
    assert notes([written]) == [f"{written} is not a setting and has no effect. Did you mean {meant}?"]


def test_other_programs_variables_are_left_alone() -> None:
    """False warnings teach people to ignore warnings."""
    assert notes(USUAL) == []


def test_what_has_no_effect_for_this_process_is_named() -> None:
    """DATA_DIR belongs to `up`. A caller names the settings that it replaces."""
    assert notes(["DATA_DIR"]) == [f"DATA_DIR has no effect here. {OF_UP['DATA_DIR'].replace('`', '')}"]
    assert notes(["DATA_DIR", "LOG_FILE"], {"LOG_FILE": "Mine."}) == ["LOG_FILE has no effect here. Mine."]


def test_the_documents_configuration_file_is_recognised() -> None:
    assert is_configuration_file("database:\n  url: x\nstorage:\n  qnap_base: /n\nglobus:\n  client_id: y\n")
    assert not is_configuration_file("logging:\n  level: INFO\nserver:\n  port: 1\n")


def test_each_key_of_a_configuration_file_is_named_with_its_substitute() -> None:
    """Any indentation is accepted. Unknown keys are left out."""
    lines: list[str] = []
    written: list[str] = []
    for name in CONFIGURATION_FILE:
        *sections, key = name.split(".")
        for depth, section in enumerate(sections):
            if sections[: depth + 1] != written[: depth + 1]:
                lines.append(f"{'    ' * depth}{section}:")
        written = sections
        lines.append(f'{"    " * len(sections)}{key}: "value: with a colon"  # comment')

    said = of_configuration_file("\n".join(["# config.yaml", *lines, "other:", "    key: 1"]))

    assert [line.split(":")[0] for line in said] == CONFIGURATION_FILE
    assert all(": Set " in line or ": Nothing needs to be set" in line for line in said), said


@pytest.mark.parametrize("name", ["auto_archive_enabled", "max_workers", "Web_Dashboard_Port"])
def test_the_letter_case_of_a_name_does_not_hide_it(name: str) -> None:
    """Programs also write setting names in lower case. No letter case is read as a setting."""
    (note,) = notes([name])
    assert note.startswith(f"{name} is not a setting. ")
