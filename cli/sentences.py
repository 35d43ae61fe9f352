"""Jobs, times and sizes in words, as the command line shows them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from shared import units
from shared.errors import REFUSED

if TYPE_CHECKING:  # httpx costs 0.1 s, which a command without a server must not pay
    from cli.client import Job, LogLine

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Column:
    """`from_width`: narrower terminals omit the column. `fixed`: never wrap it."""

    title: str
    from_width: int = 0
    right: bool = False
    fixed: bool = False


def clean(text: str) -> str:
    """Escape every character that is not printable: controls, direction marks, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def size(count: float | None) -> str:
    """Format bytes as everywhere else; empty when unknown."""
    return "" if count is None else units.size(count)


def when(moment: datetime | None) -> str:
    """Format a time in the local time zone, to the second."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def shown_status(job: "Job") -> str:
    if job.cancelling:
        return "cancelling"
    return "paused" if job.paused else job.status


def doing(job: "Job") -> str:
    """Say what happens now. A waiting job shows the reason for its wait instead of the operation."""
    return clean(job.wait_reason or job.error_message or job.current_operation or "")


def figures(job: "Job") -> str:
    """Return bytes, speed and time left of the current stage, as far as known."""
    parts = []
    if job.bytes_done is not None:
        parts.append(f"{size(job.bytes_done)} of {size(job.bytes_total)}" if job.bytes_total else size(job.bytes_done))
    if job.bytes_per_second:
        parts.append(units.rate(job.bytes_per_second))
    if job.eta_seconds is not None:
        parts.append(f"{units.about(job.eta_seconds)} left")
    return "  ".join(parts)


def ending(job: "Job") -> str:
    """Say how the job ended, what is safe, and what to do next."""
    name, short = clean(job.folder_name), job.job_id[:8]
    if job.status == "completed":
        return f"Completed: {name} {_outcome(job)} {_source(job)}".rstrip()
    if job.status == "cancelled":
        return f"Cancelled: {name}. {'The source folder' if job.kind == 'archive' else 'What was there'} was not touched."
    reason = clean(job.error_message or "no reason recorded")
    return f"Failed: {name}: {reason} {_next(job, short)}".rstrip()


def _next(job: "Job", short: str) -> str:
    """Say what to do after a failure. Empty if the same request would fail again anyway."""
    if job.error_code is None:
        return f"Try again: `cs-archiver retry {short}`."
    return f"When that is mended: `cs-archiver retry {short}`." if job.error_code == REFUSED else ""


def _outcome(job: "Job") -> str:
    if job.kind == "extract":
        return "is unpacked."
    if job.kind != "archive":
        return "is packed."
    amount = f" ({size(job.archive_size_bytes)})" if job.archive_size_bytes else ""
    return f"is at {clean(job.globus_destination_path)}{amount}." if job.globus_destination_path else f"is archived{amount}."


def _source(job: "Job") -> str:
    """Say what happened to the source folder. Empty if it was never to be deleted."""
    if job.kept_count:
        were = units.plural(job.kept_count, "was", "were")
        entries = units.counted(job.kept_count, "source entry", "source entries")
        kept = f"{entries} changed, came later or {were} open for writing, and {were} kept"
        return f"{kept}: `cs-archiver job {job.job_id[:8]}`."
    if job.kind == "archive":
        return "The source was kept." if job.keep_source else "The source is empty but for its marker."
    return "" if job.keep_source else "The folder was deleted."


def log_line(line: "LogLine") -> str:
    return f"{when(line.timestamp)}  {line.level:<7}  {clean(line.message)}"
