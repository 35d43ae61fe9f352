"""Where archives go: one Globus collection and one folder on it.

Rights at the destination belong to a place. A transfer that was proven at one place proves nothing about the same path at
another.
"""

import unicodedata
from datetime import datetime
from uuid import UUID

import msgspec

ARCHIVE_SUFFIX = ".tar.7z"
"""The suffix that turns a folder's name into its archive's name."""


def folded(path: str) -> str:
    """Return equal values for paths that some destination may not tell apart: accents composed, case folded (custody 3)."""
    return unicodedata.normalize("NFC", path).casefold()


def unplaced_key(path: str) -> str:
    """Return the key of a destination path before its place is known: no uploader has reported yet where archives go."""
    return folded(path)


class RemotePlace(msgspec.Struct, frozen=True):
    """A collection (its id) and the base path on it: `/`, or parts without a trailing slash (`/tape/archives`)."""

    endpoint: str
    base: str

    def __str__(self) -> str:
        return f"{self.base} on collection {self.endpoint}"

    def full(self, path: str) -> str:
        """Return the collection path of a destination path (`/level1/level2/folder.tar.7z`)."""
        return path if self.base == "/" else self.base + path

    def key(self, path: str) -> str:
        """Return the key that reserves a destination path: one per file that this place can hold."""
        return f"{self.endpoint}:{folded(self.full(path))}"


def cleanup_wait(path: str, job_id: object) -> str:
    """Return why a job waits until another job has cleaned up the same destination path."""
    return f"Waiting until what job {job_id} sent to {path} is removed at the destination."


class Elsewhere(msgspec.Struct, frozen=True):
    """Work at a place that the settings do not name (a row of the view `work_elsewhere`). No endpoint: the place is unknown.

    jobs: live jobs that have sent something there. owed: ended jobs whose files there must still be removed.
    """

    endpoint: str | None
    base_path: str | None
    current_endpoint: str
    current_base_path: str
    jobs: int
    owed: int
    job_id: UUID
    since: datetime


def elsewhere_text(work: Elsewhere) -> str:
    """Return a message about what is in the way at an earlier place and how to resolve it."""
    current = RemotePlace(work.current_endpoint, work.current_base_path)
    counts = ((work.jobs, "job", "has sent files to"), (work.owed, "clean-up", "is owed at"))
    words = [f"{n} {noun}{'' if n == 1 else 's'} {verb if n == 1 else _PLURAL[verb]}" for n, noun, verb in counts if n]
    if work.endpoint is None or work.base_path is None:
        return (
            f"{' and '.join(words)} a place that was never recorded (one of them: job {work.job_id}), so nothing is sent or removed"
            f" there. New jobs go to {current}. Cancel these jobs, and look for their files at Globus yourself."
        )
    sooner = " To end a job's work there sooner, run `cs-archiver cancel JOB`: its files there are removed." if work.jobs else ""
    return (
        f"{' and '.join(words)} {RemotePlace(work.endpoint, work.base_path)} (one of them: job {work.job_id}), which the settings no"
        f" longer name; new jobs go to {current}. This work goes on at the earlier place by itself, and needs that the service account"
        f" may use that collection.{sooner} If the change was not meant, set GLOBUS_DESTINATION_ENDPOINT and"
        " GLOBUS_DESTINATION_BASE_PATH back and restart the uploader."
    )


_PLURAL = {"has sent files to": "have sent files to", "is owed at": "are owed at"}
