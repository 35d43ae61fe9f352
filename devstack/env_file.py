"""Settings files for `cs-archiver up --env-file FILE`: NAME=VALUE lines, as in `docker --env-file` and compose's .env."""

import re
from collections.abc import Mapping
from pathlib import Path

from shared.errors import ConfigurationError
from shared.infra import unused_settings

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=(?P<value>.*)")
_QUOTED = re.compile(r"(?P<quote>['\"])(?P<text>.*)(?P=quote)(?:\s+#.*)?")
_COMMENT = re.compile(r"(?:^|\s+)#.*$")


def parse(text: str) -> dict[str, str]:
    """Return the settings in the text of a file. Raises ConfigurationError that names every invalid line. Pure.

    A value may contain spaces without quotes. A `#` after a space starts a comment, except between quotes.
    """
    found: dict[str, str] = {}
    wrong = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        setting = _LINE.fullmatch(line)
        if setting is None:
            wrong.append(f"line {number} is not NAME=VALUE")
            continue
        value = setting["value"].strip()
        quoted = _QUOTED.fullmatch(value)
        found[setting["name"]] = quoted["text"] if quoted else _COMMENT.sub("", value)
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return found


def read(path: Path) -> dict[str, str]:
    """Return the settings of a file. Raises ConfigurationError that names the file, and the replacement for a `config.yaml`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise _unreadable(path, exc) from exc
    if unused_settings.is_configuration_file(text):
        raise ConfigurationError(_configuration_file(path, text))
    try:
        return parse(text)
    except ConfigurationError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: Exception) -> ConfigurationError:
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return ConfigurationError(f"Cannot read the settings of {path}: {reason}.")


def unread(directory: Path, environment: Mapping[str, str], *, file_given: bool = False) -> list[str]:
    """Name the settings files in `directory` that nothing reads and that contradict `environment`.

    file_given: settings already come from a file, so a `.env` beside it is ignored on purpose.
    """
    found = []
    env = directory / ".env"
    try:
        theirs = {} if file_given else parse(env.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ConfigurationError):
        theirs = {}  # no file, or another program's
    names = [name for name in theirs if name in unused_settings.SERVICE_SETTINGS and theirs[name] != environment.get(name, "")]
    if names:
        found.append(
            f"{env} is not read, so its settings have no effect: {', '.join(names)}. To use them, start with --env-file {env}."
        )
    for name in ("config.yaml", "config.yml"):
        file = directory / name
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if unused_settings.is_configuration_file(text):
            found.append(_configuration_file(file, text))
    return found


def _configuration_file(file: Path, text: str) -> str:
    """Return the message about a `config.yaml`: it has no effect, and each of its keys has a setting."""
    head = f"{file} has no effect. Settings are environment variables, or lines of NAME=VALUE in a file for --env-file:"
    return "\n  ".join([head, *unused_settings.of_configuration_file(text)])
