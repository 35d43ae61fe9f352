"""Output: tables and facts on stdout, messages and progress on stderr.

On a terminal `cli.terminal` draws them to fit its width. In a pipe, a table is tab-separated with one header line, and nothing is
shortened, so that `cut`, `sort` and `awk` work. Names come from other people's folders, so terminal control characters are always
escaped.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from cli.exits import Exit, Failure
from cli.sentences import Column, Rows, clean, doing, figures, log_line, shown_status, size

if TYPE_CHECKING:  # httpx costs 0.1 s, which a command without a server must not pay
    from cli.client import Doc, Job, LogLine
    from cli.watch import View


# Values ------------------------------------------------------------------------------------------------------------------------


# Output ------------------------------------------------------------------------------------------------------------------------


def emit(text: str) -> None:
    """Write data to stdout now. If the reader has gone (`| head`), end the command quietly."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it exits
        raise SystemExit(Exit.PIPE) from None
    except UnicodeEncodeError as exc:
        raise Failure(Exit.CONFIGURATION, "This terminal cannot show these names: use a UTF-8 locale, or --json.") from exc


def emit_json(document: Any) -> None:
    """Write one JSON document on one line, so that several of them are NDJSON."""
    emit(msgspec.json.encode(document).decode() + "\n")


def talk(sentence: str) -> None:
    """Write a message to stderr, for people."""
    print(sentence, file=sys.stderr, flush=True)


def table(columns: Sequence[Column], rows: Rows, empty: str) -> None:
    """Print rows of cells in the order of `columns`. If there are none, print `empty` on stderr."""
    safe = [[clean(cell) for cell in row] for row in rows]
    if not safe:
        talk(empty)
    elif sys.stdout.isatty():
        emit(_terminal().table(columns, safe))
    else:
        emit("".join("\t".join(cells) + "\n" for cells in ([column.title for column in columns], *safe)))


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair per line, without empty values."""
    known = [(name, clean(value)) for name, value in pairs if value]
    if sys.stdout.isatty():
        emit(_terminal().facts(known))
    else:
        emit("".join(f"{name}\t{value}\n" for name, value in known))


# Progress ----------------------------------------------------------------------------------------------------------------------


class Lines:
    """Progress without a terminal: a line for each new state and for each further 10 %."""

    def __init__(self, say: Callable[[str], None] = talk) -> None:
        self._say = say
        self._last: tuple[str, int] | None = None

    def job(self, doc: "Doc[Job]") -> None:
        job = doc.value
        step = (shown_status(job), job.progress_percent // 10)
        if step != self._last:
            self._last = step
            self._say("  ".join(part for part in (f"{step[0]} {job.progress_percent} %", figures(job), doing(job)) if part))

    def log(self, line: "LogLine") -> None:
        self._say(log_line(line))

    def notice(self, sentence: str) -> None:
        self._say(clean(sentence))


class Documents:
    """Progress for programs: the job's document on stdout each time it changes (NDJSON); everything else on stderr."""

    def __init__(self) -> None:
        self._last: Any = None

    def job(self, doc: "Doc[Job]") -> None:
        if doc.raw != self._last:
            self._last = doc.raw
            emit_json(doc.raw)

    def log(self, line: "LogLine") -> None:
        """Do nothing: `logs --follow --json` prints log lines."""

    def notice(self, sentence: str) -> None:
        talk(clean(sentence))


class PercentLines:
    """A percentage without a terminal: a line at the start and for each further 25 %."""

    def __init__(self, say: Callable[[str], None] = talk) -> None:
        self._say = say
        self._last: tuple[str, int] | None = None

    def step(self, what: str, percent: int, _name: str = "") -> None:
        """Report the progress of `what`."""
        step = (what, percent // 25)
        if step != self._last:
            self._last = step
            self._say(f"{what} {percent} %")


@contextmanager
def percent(*, silent: bool = False) -> Iterator[Callable[[str, int, str], None]]:
    """Yield a callback for (operation, percent, current file name). It draws a bar on stderr if that is a terminal."""
    if silent:
        yield lambda _what, _percent, _name: None
    elif sys.stderr.isatty() and os.environ.get("TERM", "") not in {"", "dumb", "unknown"}:
        with _terminal().PercentBar() as bar:
            yield bar.step
    else:
        yield PercentLines().step


@contextmanager
def progress(*, as_json: bool = False) -> "Iterator[View]":
    """Yield the view for `cli.watch.watch`: a bar on stderr if that is a terminal, else lines; with `as_json` NDJSON on stdout."""
    if as_json:
        yield Documents()
    elif sys.stderr.isatty() and os.environ.get("TERM", "") not in {"", "dumb", "unknown"}:
        with _terminal().Bar() as bar:
            yield bar
    else:
        yield Lines()


@contextmanager
def bytes_moving(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a callback for the bytes transferred so far. It draws a bar on a terminal, else a line for each 10 %."""
    if sys.stderr.isatty() and os.environ.get("TERM", "") not in {"", "dumb", "unknown"}:
        with _terminal().moving(name, total) as show:
            yield show
        return
    said = [0]

    def say(done: int) -> None:
        tenth = 10 * done // total if total else 10
        if tenth > said[0]:
            said[0] = tenth
            talk(f"{name} {10 * tenth} %  {size(done)} of {size(total)}")

    yield say


def _terminal() -> Any:
    from cli import terminal  # noqa: PLC0415 - rich costs 0.1 s, which piped output must not pay

    return terminal
