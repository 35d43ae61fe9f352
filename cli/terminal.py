"""The output of `cli.render`, drawn with rich for a terminal of any width."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli import sentences
from cli.client import Doc, Job, LogLine
from shared.domain.lifecycle import TERMINAL

STYLE = {
    "completed": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "paused": "yellow",
    "ERROR": "bold red",
    "WARNING": "yellow",
}


def table(columns: Sequence[sentences.Column], rows: sentences.Rows) -> str:
    """Return the table as coloured text. Columns that do not fit are omitted, and long names wrap."""
    width = shutil.get_terminal_size().columns
    shown = [index for index, column in enumerate(columns) if column.from_width <= width]
    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index in shown:
        column = columns[index]
        drawn.add_column(
            Text(column.title), justify="right" if column.right else "left", no_wrap=column.fixed, overflow="fold", min_width=3
        )
    for row in rows:
        drawn.add_row(*(Text(row[index], style=STYLE.get(row[index], "")) for index in shown))
    return _text(drawn, width)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return names and values; long values wrap."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(name), Text(value, style=STYLE.get(value, "")))
    return _text(grid, shutil.get_terminal_size().columns)


class Bar:
    """A live bar of two lines on stderr: the operation with its figures, then the bar. Log lines scroll past above it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._spinner = Spinner("dots" if self._console.encoding.startswith("utf") else "line", style="cyan")
        self._live = Live(console=self._console, refresh_per_second=8, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):  # the terminal may be gone
            self._live.stop()

    def job(self, doc: Doc[Job]) -> None:
        self._live.update(self._draw(doc.value), refresh=True)

    def log(self, line: LogLine) -> None:
        self._console.print(Text(sentences.log_line(line), style=STYLE.get(line.level, "dim")))

    def notice(self, sentence: str) -> None:
        self._console.print(Text(sentences.clean(sentence), style="yellow"))

    def _draw(self, job: Job) -> RenderableType:
        ended = job.status in TERMINAL
        status = sentences.shown_status(job)
        words = Text(no_wrap=True, overflow="ellipsis")
        words.append(status, style=STYLE.get(status, "bold cyan"))
        for part in () if ended else (sentences.figures(job), sentences.doing(job)):
            words.append(f"  {part}" if part else "")
        top = Table.grid(padding=(0, 1, 0, 0))
        top.add_row(*(() if ended or job.paused else (self._spinner,)), words)
        # The overall figure is always real; the words above it tell whether the state has its own figures.
        bar = ProgressBar(
            total=100, completed=job.progress_percent, complete_style=STYLE.get(status, "cyan"), finished_style="green"
        )
        bottom = Table.grid(padding=(0, 1, 0, 0), expand=True)
        bottom.add_column(ratio=1)
        bottom.add_column(no_wrap=True, justify="right")
        bottom.add_row(bar, Text(f"{job.progress_percent} %"))
        return Group(top, bottom)


class PercentBar:
    """One line on stderr with the operation, the bar and the current file; it disappears at the end."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):  # the terminal may be gone
            self._live.stop()

    def step(self, what: str, percent: int, name: str) -> None:
        """Redraw the line."""
        line = Table.grid(padding=(0, 1, 0, 0), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True, justify="right")
        line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=100, completed=percent, complete_style="cyan", finished_style="green")
        line.add_row(Text(what, style="bold cyan"), bar, Text(f"{percent} %"), Text(sentences.clean(name), style="dim"))
        self._live.update(line)


@contextmanager
def moving(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with bytes, speed and time left, on stderr."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(escape(name), total=total)

    def show(done: int) -> None:
        bar.update(task, completed=done)

    bar.start()
    try:
        yield show
    finally:
        with suppress(OSError):  # the terminal may be gone
            bar.stop()


def _text(drawn: RenderableType, width: int) -> str:
    # Draw to text instead of printing: only `render.emit` writes to stdout, and it handles closed pipes.
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(drawn)
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())
