"""Follow one job to its end: what `archive --wait`, `job --wait` and the demo do."""

import time
from collections.abc import Callable
from typing import Protocol

from cli.client import Client, Doc, Job, LogLine
from cli.exits import Exit, Failure
from shared.domain.lifecycle import TERMINAL


class View(Protocol):
    """Where the news goes; `cli.render.progress` makes them."""

    def job(self, doc: Doc[Job]) -> None:
        """The job as it is now; called at each look, changed or not, and at last with its final state."""

    def log(self, line: LogLine) -> None:
        """One new line of the job's log, in order."""

    def notice(self, sentence: str) -> None:
        """Something about the watching itself."""


def watch(
    client: Client,
    job_id: str,
    render: View,
    *,
    interval_s: float = 0.7,
    patience_s: float = 120.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Job:
    """Look every `interval_s` seconds until the job has ended; return it then.

    A server that is away (a restart, a network change) is waited for, `patience_s` seconds at most, then `Failure` is raised.
    Whatever ends the watching, the job is not touched by it.
    """
    after = 0
    away_since: float | None = None
    while True:
        try:
            doc = client.job(job_id)
            render.job(doc)
            # After the job: the line that tells of its end is then already written.
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
