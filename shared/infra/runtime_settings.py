"""Settings that an admin may change at run time: their names, their valid values, and a process's current view of them.

The environment says how a process starts. A row of `runtime_settings` overrides it as soon as it is written. A process reads the
rows at its start, on every nudge and once a minute, so a lost message causes a delay of at most a minute.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from typing import Any, Literal, NamedTuple, TypeVar

from shared import log
from shared.errors import DatabaseAway
from shared.infra.bus import Bus
from shared.infra.db import Database
from shared.infra.settings import CompressorSettings, Number, ScannerSettings, UploaderSettings, Whole

logger = log.get(__name__)
T = TypeVar("T")

_REFRESH_SECONDS = 60.0
_AGAIN_SECONDS = 1.0  # after a failed read
_GIB = 1 << 30
_MOST_BYTES = 1 << 60
_MOST_ENTRIES = 1_000_000_000
WORKSPACE_ENTRIES = 1_000_000
"""Default limit of entries in a workspace. A walk of that many takes less than a minute on a local disk."""
PACK_FORMATS = ("zip", "7z")
NAS_BROWSING = ("everybody", "admins", "nobody")
LOGIN_LIMIT = 30
USER_JOBS_LIMIT = 1000
USER_STREAMS_LIMIT = 100
_TIMES: tuple[Literal["seconds", "hours", "days"], ...] = ("seconds", "hours", "days")


class Shape(NamedTuple):
    """The shape of a value, for forms. `low` and `high`: for numbers. `choices`: for choices. `unit`: empty for plain counts."""

    kind: Literal["whole", "number", "choice", "list"]
    unit: Literal["bytes", "seconds", "hours", "days", ""] = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


_BYTES = Shape("whole", "bytes", 0, _MOST_BYTES)


class Tunable(NamedTuple):
    """`check` normalises a value or raises ValueError with what it must be. `default` reads an environment."""

    check: Callable[[Any], Any]
    default: Callable[[Mapping[str, str]], Any]
    shape: Shape
    doc: str


def _format(value: Any) -> str:
    if value not in PACK_FORMATS:
        raise ValueError(f"must be one of: {', '.join(PACK_FORMATS)}")
    return str(value)


def _level(value: Any) -> int:
    return max(1, min(9, int(value)))


def _bytes(value: Any) -> int:
    if not 0 <= int(value) <= _MOST_BYTES:
        raise ValueError(f"must be a number of bytes from 0 to {_MOST_BYTES}")
    return int(value)


def _entries(value: Any) -> int:
    if not 1 <= int(value) <= _MOST_ENTRIES:
        raise ValueError(f"must be a number of files and folders from 1 to {_MOST_ENTRIES}")
    return int(value)


def _days(value: Any) -> int:
    if not 0 <= int(value) <= 36_500:
        raise ValueError("must be a number of days from 0 to 36500")
    return int(value)


def _browsing(value: Any) -> str:
    if value not in NAS_BROWSING:
        raise ValueError(f"must be one of: {', '.join(NAS_BROWSING)}")
    return str(value)


def _extensions(value: Any) -> list[str]:
    """Return the extensions in lower case, with their dot, each once."""
    plain = dict.fromkeys(f".{str(item).strip().lower().removeprefix('.')}" for item in value)
    if len(plain) > 200 or any(not 2 <= len(item) <= 32 or not item[1:].isprintable() or "/" in item for item in plain):
        raise ValueError("must be at most 200 endings such as .tmp, each of 1 to 31 characters without '/'")
    return sorted(plain)


def _limit(default: int, high: int, doc: str) -> Tunable:
    """Define a limit per user. An ordinary team never reaches the default."""

    def check(value: Any) -> int:
        if not 1 <= int(value) <= high:
            raise ValueError(f"must be a whole number from 1 to {high}")
        return int(value)

    return Tunable(check, lambda _: default, Shape("whole", low=1, high=high), doc)


_FIELDS = {field.name: field for shape in (ScannerSettings, CompressorSettings, UploaderSettings) for field in fields(shape)}


def _environment(name: str) -> Tunable:
    """Define a setting that processes also read from their environment: same name, same limits."""
    field = _FIELDS[name]
    parse = field.metadata["parse"]
    assert field.default is not MISSING, "only what has a default is changed at run time"

    def default(environment: Mapping[str, str]) -> Any:
        raw = environment.get(name.upper(), "")
        return parse(raw) if raw else field.default

    return Tunable(lambda value: parse(str(value)), default, _shape(name, parse), field.metadata["doc"])


def _shape(name: str, parse: Number | Whole) -> Shape:
    kind: Literal["whole", "number"] = "whole" if isinstance(parse, Whole) else "number"
    unit: Literal["seconds", "hours", "days", ""] = ""
    for known in _TIMES:
        if name.endswith(f"_{known}"):
            unit = known
    return Shape(kind, unit, parse.low, parse.high)


def _min_free(environment: Mapping[str, str]) -> int:
    return int(_FIELDS["min_free_space_gb"].metadata["parse"](environment.get("MIN_FREE_SPACE_GB") or "10") * _GIB)


DEFINITIONS: dict[str, Tunable] = {
    "pack_format": Tunable(
        _format, lambda _: "zip", Shape("choice", choices=PACK_FORMATS), "Format of new packs when the user does not choose one."
    ),
    "pack_compression_level": Tunable(
        _level, lambda _: 5, Shape("whole", low=1, high=9), "Compression of new packs: 1 is fastest, 9 makes the smallest files."
    ),
    "pack_retention_days": Tunable(
        _days,
        lambda _: 0,
        Shape("whole", "days", 0, 36500),
        "Days after which finished packs that kept their source are deleted. 0: never.",
    ),
    "workspace_quota": Tunable(
        _bytes, lambda _: 100 * _GIB, _BYTES, "Largest total size of a user's workspace. A quota set for a user takes precedence."
    ),
    "workspace_entries": Tunable(
        _entries,
        lambda _: WORKSPACE_ENTRIES,
        Shape("whole", "", 1, _MOST_ENTRIES),
        "Largest number of files and folders in a user's workspace. More are refused.",
    ),
    "nas_browsing": Tunable(
        _browsing,
        lambda _: "everybody",
        Shape("choice", choices=NAS_BROWSING),
        "Who can browse, pack and archive NAS folders on the Files page.",
    ),
    "max_task_size": Tunable(_bytes, lambda _: 0, _BYTES, "Larger packs, archives and extractions are refused. 0: no limit."),
    "min_free_disk": Tunable(
        _bytes, _min_free, _BYTES, "Disk space that stays free. Jobs wait and uploads are refused while less would remain."
    ),
    "user_jobs_limit": _limit(
        USER_JOBS_LIMIT, 1_000_000, "Waiting and running jobs of one user. New jobs beyond it are refused until some have ended."
    ),
    "user_streams_limit": _limit(
        USER_STREAMS_LIMIT,
        100_000,
        "Open requests, downloads and live connections of one user at one gateway. More are refused.",
    ),
    "login_limit": _limit(LOGIN_LIMIT, 10_000, "Logins and password changes of one account within five minutes. More are refused."),
    "hidden_file_extensions": Tunable(
        _extensions, lambda _: [], Shape("list"), "File lists do not show files with these extensions. The files stay."
    ),
    **{
        name: _environment(name)
        for name in (
            *("compress_limit", "upload_limit", "delete_limit", "workspace_limit"),
            *("max_compression_retries", "max_upload_retries", "max_connection_error_retries", "retry_delay_seconds"),
            *("scan_interval_seconds", "space_check_seconds", "space_pass_hours", "failed_retention_days"),
        )
    },
}
"""Settings that admins may change at run time. Bytes, seconds, hours, days; `max_task_size` 0: no limit.

`pack_retention_days`: age at which finished packs that kept their source are removed; 0: never. A pack that deleted its source is
the only copy and is never removed. `workspace_quota`: limit of each user's workspace, unless the user has a quota of their own.
`nas_browsing`: who may browse NAS folders in the file views.
"""


class RuntimeSettings:
    """The values that an admin set, as this process knows them. Empty until `loaded` is set."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._listeners: list[Callable[[], None]] = []
        self.loaded = asyncio.Event()

    def get(self, name: str, default: T) -> T:
        """Return the current value; `default` is the process's own setting. Raises KeyError for a name that cannot be set."""
        assert name in DEFINITIONS, name
        value: T = self._values.get(name, default)
        return value

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` now, and after every change of a value."""
        self._listeners.append(listener)
        listener()

    async def load(self, db: Database) -> None:
        """Read the rows. Raises the database's errors."""
        values = {}
        for row in await db.rows("runtime_settings"):
            try:
                values[row["name"]] = DEFINITIONS[row["name"]].check(row["value"])
            except (KeyError, ValueError, TypeError) as exc:  # written by another version
                logger.warning("setting_ignored", message=f"{row['name']} is not known here.", error=str(exc))
        if values != self._values:
            self._values = values
            logger.info("settings_changed", message="Settings were changed while running.", values=values)
            for listener in self._listeners:
                listener()
        self.loaded.set()

    async def keep(self, db: Database, bus: Bus) -> None:
        """Stay up to date until cancelled. The tables must exist."""
        wake = asyncio.Event()
        await bus.on_nudge(wake.set)
        while True:
            wake.clear()
            try:
                await self.load(db)
                pause = _REFRESH_SECONDS
            except DatabaseAway as exc:
                logger.warning("settings_unread", message="Saved settings could not be read; trying again.", error=repr(exc))
                pause = _AGAIN_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):  # wait_for could lose a stop that races with the wake-up
                    await wake.wait()
