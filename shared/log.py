"""Structured logs: a stable `action` word and ids for programs, a sentence for people; JSON or console; a rotated file."""

import logging
import logging.handlers
import os
import re
import sys
from pathlib import Path
from typing import Any

import structlog

_KEEP_DAYS = 30
_KEEP_BYTES = 1 << 30  # logs are kept for 30 days or up to 1 GB, whichever comes first
_FILE_BYTES = 100 << 20
_SECRET_KEY = re.compile(r"password|secret|token|authorization|database_url", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\w+://[^:/@\s]*):[^@/\s]+@")
# Access tokens, personal tokens and tokens in an address, anywhere in a text.
_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+|csa_[\w-]{16,}|(?<=[?&]token=)[^&\s\"']+|(?<=[?&]ticket=)[^&\s\"']+")


class _RotatingFile(logging.handlers.TimedRotatingFileHandler):
    """Rotates daily and at 100 MB. Deletes files older than 30 days or beyond 1 GB."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, when="midnight", utc=True, encoding="utf-8")

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802 - the base class's name
        size = os.path.getsize(self.baseFilename) if os.path.exists(self.baseFilename) else 0  # noqa: PTH110, PTH202 - base works on str
        return int(super().shouldRollover(record) or size > _FILE_BYTES)

    def rotation_filename(self, default_name: str) -> str:
        """Number the files of one day, so that a busy day never overwrites its own earlier file."""
        number, name = 0, default_name
        while os.path.exists(name):  # noqa: PTH110 - base works on str
            number += 1
            name = f"{default_name}.{number}"
        return name

    def doRollover(self) -> None:  # noqa: N802 - the base class's name
        super().doRollover()
        current = Path(self.baseFilename)
        parts = sorted((p for p in current.parent.glob(f"{current.name}.*")), key=lambda p: p.stat().st_mtime, reverse=True)
        newest = parts[0].stat().st_mtime if parts else 0.0
        total = _FILE_BYTES  # the maximum size of the new file
        for part in parts:
            total += part.stat().st_size
            if total > _KEEP_BYTES or newest - part.stat().st_mtime > _KEEP_DAYS * 86400:
                part.unlink(missing_ok=True)


def redact(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Remove secrets from every line, from any source."""
    for key, value in event.items():
        event[key] = _without_secrets(key, value)
    return event


def _without_secrets(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key):
        return "[redacted]"
    if isinstance(value, str):
        return _TOKEN.sub("[redacted]", _URL_PASSWORD.sub(r"\1:[redacted]@", value))
    if isinstance(value, dict):
        return {inner: _without_secrets(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets("", item) for item in value]
    return value


def configure(service: str, instance: str, level: str, style: str, file: Path | None) -> None:
    """Set up logging for this process. Call it once, before everything else."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file is not None:
        handlers.append(_RotatingFile(file))
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=handlers, force=True)
    for noisy in ("httpx", "httpcore", "urllib3", "globus_sdk", "nats", "uvicorn.access", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=instance)


def get(name: str) -> Any:
    """Return a logger: `log.info("action_word", job_id=..., message="A sentence.")`."""
    return structlog.get_logger(name)
