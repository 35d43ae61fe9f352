"""Settings files: which are read. Files that nothing reads are reported."""

from pathlib import Path

import pytest

from devstack import env_file
from shared.errors import ConfigurationError

COMMENTED = """# Database
DATABASE_URL=postgresql://user:pass@localhost/cs_archiver
# or sqlite:///./cs_archiver.db

JWT_ACCESS_TOKEN_EXPIRE_MINUTES=1440  # 24 hours
QNAP_BASE_PATH=/mnt/qnap/CitySpace Tech Team
GLOBUS_DESTINATION_BASE_PATH=/
"""


def test_comments_and_spaces_are_read() -> None:
    """A comment after a value is not part of it, and spaces need no quotes."""
    assert env_file.parse(COMMENTED) == {
        "DATABASE_URL": "postgresql://user:pass@localhost/cs_archiver",
        "JWT_ACCESS_TOKEN_EXPIRE_MINUTES": "1440",
        "QNAP_BASE_PATH": "/mnt/qnap/CitySpace Tech Team",
        "GLOBUS_DESTINATION_BASE_PATH": "/",
    }


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=", ""),
        ("A= # empty", ""),
        ("A=b#c", "b#c"),
        ("A=b=c", "b=c"),
        ("export A = b ", "b"),
        ("A='b # c' # d", "b # c"),
        ('A="b # c"', "b # c"),
        ("A='it's'", "it's"),
        ("A=$HOME", "$HOME"),
        ("A=b\r", "b"),
    ],
)
def test_values(line: str, value: str) -> None:
    assert env_file.parse(f"{line}\n") == {"A": value}


def test_every_line_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("A=1\nwhat\n2B=3\n")
    with pytest.raises(ConfigurationError, match=r"settings\.env: line 2 is not NAME=VALUE; line 3 is not NAME=VALUE\.$"):
        env_file.read(file)
    with pytest.raises(ConfigurationError, match=r"missing\.env: No such file or directory\.$"):
        env_file.read(tmp_path / "missing.env")


def test_files_that_nobody_reads_are_named(tmp_path: Path) -> None:
    """A .env with unused settings, and the documents' config.yaml. Other programs' files are ignored."""
    assert env_file.unread(tmp_path, {}) == []
    (tmp_path / ".env").write_text(COMMENTED)
    (tmp_path / "config.yaml").write_text("database:\n  pool_size: 10\nstorage: {}\nsecurity: {}\n")

    dotenv, yaml = env_file.unread(tmp_path, {"GLOBUS_DESTINATION_BASE_PATH": "/"})

    assert dotenv == (
        f"{tmp_path}/.env is not read, so its settings have no effect: DATABASE_URL, JWT_ACCESS_TOKEN_EXPIRE_MINUTES, QNAP_BASE_PATH."
        f" To use them, start with --env-file {tmp_path}/.env."
    )
    assert yaml.splitlines()[0].startswith(f"{tmp_path}/config.yaml has no effect.")
    (key,) = yaml.splitlines()[1:]
    assert key.startswith("  database.pool_size: Nothing needs to be set: each process opens at most 11 connections.")
    assert env_file.unread(tmp_path, {}, file_given=True) == [yaml], "a .env is not missed where a file was given"
    (tmp_path / ".env").write_text("OTHER=1\n")
    (tmp_path / "config.yaml").write_text("logging: {}\n")
    assert env_file.unread(tmp_path, {}) == []


def test_a_yaml_file_given_as_settings_is_answered_with_each_setting(tmp_path: Path) -> None:
    """The error does not complain about each of its lines."""
    file = tmp_path / "config.yaml"
    file.write_text('storage:\n  qnap_base: "/nas"\nworkers:\n  upload:\n    max_retries: 5\nsecurity: {}\n')

    with pytest.raises(ConfigurationError) as refused:
        env_file.read(file)

    head, *lines = str(refused.value).splitlines()
    assert head.startswith(f"{file} has no effect. Settings are environment variables")
    assert [line.strip() for line in lines] == [
        "storage.qnap_base: Set QNAP_BASE_PATH.",
        "workers.upload.max_retries: Set MAX_UPLOAD_RETRIES.",
    ]
