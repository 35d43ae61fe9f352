"""Files of settings for `cs-archiver up --env-file FILE`: NAME=VALUE lines, as `docker --env-file` and compose's .env have them."""

import re
from collections.abc import Mapping
from pathlib import Path

from shared.errors import ConfigurationError
from shared.infra import unused_settings

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=(?P<value>.*)")
_QUOTED = re.compile(r"(?P<quote>['\"])(?P<text>.*)(?P=quote)(?:\s+#.*)?")
_COMMENT = re.compile(r"(?:^|\s+)#.*$")


def parse(text: str) -> dict[str, str]:
    """Return the settings of a file's text. Raises ConfigurationError that names every line that is none. Pure.

    A value may hold spaces without quotes. A `#` after a space begins a comment, except between quotes.
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
    """Return the settings of a file. Raises ConfigurationError that names the file."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ConfigurationError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise ConfigurationError(f"Cannot read the settings of {path}: {reason}.") from exc


def unread(directory: Path, environment: Mapping[str, str]) -> list[str]:
    """Name the files of settings in `directory` that nobody reads and that say something else than `environment`."""
    found = []
    env = directory / ".env"
    try:
        theirs = parse(env.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ConfigurationError):
        theirs = {}  # none, or another program's
    names = [name for name in theirs if name in unused_settings.SERVICE_SETTINGS and theirs[name] != environment.get(name, "")]
    if names:
        found.append(
            f"{env} is not read, so its settings have no effect: {', '.join(names)}. To use them, start with --env-file {env}."
        )
    for name in ("config.yaml", "config.yml"):
        file = directory / name
        try:
            ours = unused_settings.is_configuration_file(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
        if ours:
            found.append(f"{file} has no effect. Settings are environment variables; docs/settings.md has the name of each.")
    return found
