"""Settings: all errors are reported at once, secrets are not shown, and the documented table equals the code's."""

from dataclasses import MISSING, FrozenInstanceError, fields
from pathlib import Path

import pytest

from shared.domain.retry import Limits
from shared.errors import ConfigurationError
from shared.infra.settings import (
    Common,
    CompressorSettings,
    GatewaySettings,
    ScannerSettings,
    UploaderSettings,
    globus_is_real,
    load,
    retry_limits,
)
from tests.shared.settings_table import PAGE, SERVICES, page

NEEDED = {"DATABASE_URL": "postgresql://cs_x:pw@db/cs", "NATS_URL": "nats://nats:4222"}
GLOBUS = {
    "GLOBUS_CLIENT_ID": "id",
    "GLOBUS_CLIENT_SECRET": "hidden-globus",
    "GLOBUS_SOURCE_ENDPOINT": "source",
    "GLOBUS_DESTINATION_ENDPOINT": "destination",
}
JWT = {"JWT_SECRET_KEY": "k" * 32}
ALL = NEEDED | GLOBUS | JWT


def refused(shape: type[Common], environment: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as wrong:
        load(shape, environment)
    return str(wrong.value)


@pytest.mark.parametrize("shape", SERVICES)
def test_the_needed_values_are_enough(shape: type[Common]) -> None:
    """Every other setting has a default. An empty value counts as unset. The object is immutable."""
    settings = load(shape, ALL | {"LOG_LEVEL": "", "LEASE_SECONDS": ""})

    assert (settings.log_level, settings.lease_seconds) == ("INFO", 60.0)
    for field in fields(shape):
        if field.default is not MISSING and field.name.upper() not in ALL:
            assert getattr(settings, field.name) == field.default, field.name
    with pytest.raises(FrozenInstanceError):
        settings.log_level = "DEBUG"  # type: ignore[misc] # that is the point


@pytest.mark.parametrize("shape", SERVICES)
def test_every_missing_value_is_named_at_once(shape: type[Common]) -> None:
    """An empty environment: the single message has each required name."""
    message = refused(shape, {})

    required = [field.name.upper() for field in fields(shape) if field.default is MISSING]
    required += list(GLOBUS) if shape is UploaderSettings else []
    assert [name for name in required if name not in message] == []


WRONG = {
    "DATABASE_URL": "mysql://root:hidden-db@db/cs",
    "NATS_URL": "http://nats",
    "LEASE_SECONDS": "0.5",
    "POLL_SECONDS": "soon",
    "MAX_UPLOAD_RETRIES": "-1",
    "MAX_CRASHES": "2.5",
    "RETRY_DELAY_SECONDS": "nan",
    "LOG_LEVEL": "LOUD",
    "LOG_FILE": "relative.log",
    "HEALTH_PORT": "70000",
    "STORAGE_BASE_PATH": "storage",
    "QNAP_BASE_PATH": "./nas",
    "JWT_SECRET_KEY": "hidden-jwt",
    "JWT_ALGORITHM": "none",
    "GLOBUS_EMULATED": "perhaps",
    "GATEWAY_PORT": "http",
    "MIN_FREE_SPACE_GB": "inf",
    "COMPRESSION_SIZE_ESTIMATE_RATIO": "0",
    "FORWARDED_ALLOW_IPS": "*",
}


def test_every_wrong_value_is_named_at_once_and_no_secret_is_shown() -> None:
    """Nineteen errors, one message. Values that are not secret are quoted, so that the error is visible."""
    message = refused(GatewaySettings, WRONG)

    assert [name for name in WRONG if name not in message] == []
    assert "hidden" not in message
    for shown in ("soon", "LOUD", "./nas", "perhaps"):
        assert shown in message


def test_secrets_are_marked() -> None:
    """Every setting whose name sounds secret is marked, so that it is never quoted."""
    for shape in SERVICES:
        for field in fields(shape):
            sounds = field.name.endswith(("password", "secret", "secret_key", "database_url"))
            assert field.metadata["secret"] == sounds, field.name


@pytest.mark.parametrize("missing", GLOBUS)
def test_a_partial_globus_set_is_an_error(missing: str) -> None:
    """Three of four: the missing one is named. None at all is allowed. A secret is not shown."""
    environment = {name: value for name, value in (NEEDED | GLOBUS).items() if name != missing}

    message = refused(UploaderSettings, environment)
    assert f"in part: {missing} missing" in message
    assert "hidden" not in message
    with pytest.raises(ConfigurationError):
        globus_is_real(environment)
    assert globus_is_real(NEEDED) is False
    assert globus_is_real(GLOBUS) is True


def test_values_are_typed() -> None:
    """Numbers, paths, flags and derived directories."""
    compressor = load(
        CompressorSettings, NEEDED | {"STORAGE_BASE_PATH": "/data", "STORAGE_TEMP_PATH": "/fast", "COMPRESS_LIMIT": "2"}
    )
    assert (compressor.temp, compressor.archives, compressor.failed) == (
        Path("/fast"),
        Path("/data/archives"),
        Path("/data/failed"),
    )
    assert compressor.compress_limit == 2
    for word, value in (("true", True), ("ON", True), ("1", True), ("no", False), ("False", False)):
        assert load(GatewaySettings, ALL | {"GLOBUS_EMULATED": word}).globus_emulated is value


@pytest.mark.parametrize(
    ("text", "trusted"),
    [
        ("none", ()),
        ("10.0.0.1", ("10.0.0.1",)),
        ("10.0.0.1, 172.18.0.0/16,::1", ("10.0.0.1", "172.18.0.0/16", "::1")),
    ],
)
def test_trusted_proxies_are_addresses(text: str, trusted: tuple[str, ...]) -> None:
    """Addresses and networks. Without the setting, this machine's proxies."""
    assert load(GatewaySettings, ALL | {"FORWARDED_ALLOW_IPS": text}).forwarded_allow_ips == trusted
    assert load(GatewaySettings, ALL).forwarded_allow_ips == ("127.0.0.1", "::1")


@pytest.mark.parametrize("text", ["*", "proxy.example", "10.0.0.1/8", "10.0.0.1,", "none,10.0.0.1"])
def test_unclear_proxies_are_refused(text: str) -> None:
    """A name or a star would trust more than intended."""
    assert "FORWARDED_ALLOW_IPS" in refused(GatewaySettings, ALL | {"FORWARDED_ALLOW_IPS": text})


def test_retry_limits_follow_the_settings() -> None:
    """Each budget comes from its own setting."""
    names = {
        "MAX_COMPRESSION_RETRIES": "1",
        "MAX_UPLOAD_RETRIES": "2",
        "MAX_CONNECTION_ERROR_RETRIES": "3",
        "RETRY_DELAY_SECONDS": "4",
    }

    assert retry_limits(load(ScannerSettings, NEEDED | names)) == Limits(compression=1, upload=2, connection=3, delay_s=4.0)


def test_the_environment_of_the_process_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, os.environ is read."""
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)

    assert load(ScannerSettings).nats_url == NEEDED["NATS_URL"]


def test_the_documented_table_is_the_codes() -> None:
    """docs/settings.md names every setting. `python -m tests.shared.settings_table` writes it again."""
    assert PAGE.read_text(encoding="utf-8") == page()
    for shape in SERVICES:
        for field in fields(shape):
            assert f"| `{field.name.upper()}` |" in page()
