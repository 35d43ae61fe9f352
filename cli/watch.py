"""Follow one job to its end, for `archive --wait`, `job --wait` and the demo."""

import time
from collections.abc import Callable
from typing import Protocol

from cli.client import Client, Doc, Job, LogLine
from cli.exits import Exit, Failure
from shared.domain.lifecycle import TERMINAL


class View(Protocol):
    """Receives the updates; `cli.render.progress` creates one."""

    def job(self, doc: Doc[Job]) -> None:
        """Show the job. Called after each poll, changed or not, and finally with the job's last state."""

    def log(self, line: LogLine) -> None:
        """Show a new line of the job's log, in order."""

    def notice(self, sentence: str) -> None:
        """Show a message about the watching itself."""


def watch(
    client: Client,
    job_id: str,
    render: View,
    *,
    interval_s: float = 0.7,
    patience_s: float = 120.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Job:
    """Poll every `interval_s` seconds until the job has ended, then return it.

    While the server is away (a restart, a network change), wait up to `patience_s` seconds, then raise `Failure`. The job itself is
    never affected.
    """
    after = 0
    away_since: float | None = None
    while True:
        try:
            doc = client.job(job_id)
            render.job(doc)
            # Read the log after the job: then it includes the line about the job's end.
            for line in client.logs(job_id, after=after).value:
                after = line.id
                render.log(line)
            if away_since is not None:
                away_since = None
                render.notice("The server is back.")
            if doc.value.status in TERMINAL:
                return doc.value
        except Failure as exc:
            if exc.exit_code is not Exit.UNAVAILABLE:
                raise
            if away_since is None:
                away_since = time.monotonic()
                render.notice(f"{exc} Waiting for it; the job does not need us.")
            if time.monotonic() - away_since >= patience_s:
                raise
        sleep(interval_s)
