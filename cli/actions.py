"""The actions behind the commands. `cli.commands` only parses and calls them, and imports nothing here until a command needs it."""

import difflib
import os
import re
import signal
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cli import render, sentences, session
from cli.client import Client, Folder, Job, QueueJob, Retries, Verification
from cli.exits import Exit, Failure
from cli.sentences import Column
from cli.watch import watch
from shared import units
from shared.domain.lifecycle import TERMINAL

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PREFIX = re.compile(r"[0-9a-f-]{6,36}")

T = TypeVar("T")
IGNORED = {
    "archived": "archived already",
    "single_text_file": "holds only one .txt file",
    "empty": "holds no file",
    "name_impossible": "its name is too long, or has a line break",
}
FOLDER_ORDER: dict[str, Callable[[Folder], Any]] = {
    "path": lambda folder: folder.path,
    "name": lambda folder: (folder.name.casefold(), folder.path),
    "size": lambda folder: -(folder.size_bytes or 0),
    "files": lambda folder: -(folder.file_count or 0),
    "modified": lambda folder: -(folder.modified_at.timestamp() if folder.modified_at else 0),
}


class Actions:
    """The commands, run against one server."""

    def __init__(self, server: str | None) -> None:
        self._given = server

    # Login ---------------------------------------------------------------------------------------------------------------------

    def login(self, user: str | None) -> None:
        """Ask for the password, log in, and store the token."""
        server = session.server_address(self._given, self._stored_if_readable())
        username = session.read_username(user or os.environ.get("CS_ARCHIVER_USER"))
        password = session.read_password(f"Password of {username} at {server}", "CS_ARCHIVER_PASSWORD")
        with Client(server) as client:
            self._log_in(client, username, password)

    def logout(self) -> None:
        """Delete the stored token in any case, and revoke it at the server if the server can be reached."""
        stored = self._stored_if_readable()
        session.clear()
        if stored is None:
            render.talk("Nobody was logged in.")
            return
        try:
            with Client(stored.server, stored.token) as client:
                client.logout()
        except Failure as exc:
            if exc.exit_code is not Exit.REFUSED:  # refused: the token is already void
                sentence = (
                    f"The login is forgotten here, but {stored.server} could not be told and honours it until it expires. {exc}"
                )
                raise Failure(exc.exit_code, sentence) from exc
        render.talk(f"Logged out from {stored.server}.")

    def password(self) -> None:
        """Change the password, then log in with the new one, because the server may revoke the old tokens."""
        with self._client() as client:
            stored = session.load()
            assert stored is not None  # `_client` has checked it
            current = session.read_password(f"Present password of {stored.username}", "CS_ARCHIVER_PASSWORD")
            new = session.read_password("New password", "CS_ARCHIVER_NEW_PASSWORD")
            if sys.stdin.isatty() and "CS_ARCHIVER_NEW_PASSWORD" not in os.environ:
                again = session.read_password("New password again", "CS_ARCHIVER_NEW_PASSWORD")
                if again != new:
                    raise Failure(Exit.USAGE, "The two do not agree; nothing was changed.")
            client.change_password(current, new)
            self._log_in(client, stored.username, new)
            render.talk("The password is changed.")

    def _log_in(self, client: Client, username: str, password: str) -> None:
        login = client.login(username, password)
        session.save(session.Session(server=client.server, username=login.user.username, token=login.access_token))
        render.talk(f"Logged in at {client.server} as {sentences.clean(login.user.username)}.")
        if login.user.must_change_password:
            render.talk("This password must be changed before anything else: run `cs-archiver password`.")

    # Folders -------------------------------------------------------------------------------------------------------------------

    def folders(self, q: str | None, refresh: bool, sort: str | None, archived: bool, ignored: bool, as_json: bool) -> None:
        if sort is not None and sort not in FOLDER_ORDER:
            raise Failure(Exit.USAGE, f"--sort is one of {', '.join(FOLDER_ORDER)}.")
        with self._client() as client:
            if refresh and not client.refresh():
                render.talk("The scan is still running: these are the folders as of the last one.")
            doc = client.folders(q, archived=archived, ignored=ignored)
        pairs = list(zip(doc.value, doc.raw, strict=True))
        if sort is not None:
            pairs.sort(key=lambda pair: FOLDER_ORDER[sort](pair[0]))
        if as_json:
            render.emit_json([raw for _, raw in pairs])
            return
        columns = (
            Column("FOLDER"),
            Column("SIZE", right=True, fixed=True),
            Column("FILES", 60, right=True, fixed=True),
            Column("MODIFIED", 80, fixed=True),
            Column("ARCHIVED", 100 if archived else 10_000, fixed=True),
            *([Column("IGNORED BECAUSE")] if ignored else []),
        )
        rows = [
            (
                relative(folder),
                sentences.size(folder.size_bytes),
                "" if folder.file_count is None else str(folder.file_count),
                sentences.when(folder.modified_at),
                "yes" if folder.is_archived else "no",
                *([why_ignored(folder)] if ignored else []),
            )
            for folder, _ in pairs
        ]
        render.table(columns, rows, "No folders to archive.")

    def archive(self, path: str, keep_source: bool, wait: bool, as_json: bool) -> None:
        with self._client() as client:
            doc = self._at_folder(client, path, lambda found: client.create_job(found, keep_source=keep_source))
            job = doc.value
            render.talk(f"Queued: {sentences.clean(job.folder_name)}. See it with `cs-archiver job {job.job_id[:8]}`.")
            if not as_json:
                render.emit(job.job_id + "\n")
            elif not wait:
                render.emit_json(doc.raw)
            if wait:
                self._follow(client, job.job_id, as_json)

    def _at_folder(self, client: Client, path: str, act: Callable[[str], T]) -> T:
        """Act on a folder, given as an absolute path or as Level1/Level2/Folder. The server checks the folder's present state.

        If no folder has exactly this name, look for the same name in another Unicode form, then suggest similar names.
        """
        given = path.rstrip("/") or "/"
        if not given.startswith("/") and len(given.split("/")) != 3:
            raise Failure(Exit.USAGE, f"{path}: give Level1/Level2/Folder as `cs-archiver folders` shows it, or the absolute path.")
        try:
            return act(given)
        except Failure as exc:
            if given.startswith("/") or exc.exit_code is not Exit.NOT_FOUND:
                raise
            refusal = str(exc)
        known = [relative(folder) for folder in client.folders(archived=True, ignored=True).value]
        same = [name for name in known if _folded(name) == _folded(given) and name != given]
        if len(same) == 1:
            return act(same[0])
        close = same or difflib.get_close_matches(given, known, n=3)
        hint = f"Did you mean {' or '.join(map(sentences.clean, close))}?" if close else "See `cs-archiver folders --refresh`."
        raise Failure(Exit.NOT_FOUND, f"{refusal} {hint}")

    # Jobs ----------------------------------------------------------------------------------------------------------------------

    def jobs(self, status: str | None, limit: int, as_json: bool) -> None:
        with self._client() as client:
            doc = client.jobs(status, limit)
        if as_json:
            render.emit_json(doc.raw)
            return
        columns = (
            Column("JOB", fixed=True),
            Column("FOLDER"),
            Column("STATUS", fixed=True),
            Column("%", 60, right=True, fixed=True),
            Column("CREATED", 80, fixed=True),
            Column("BY", 100),
            Column("NOW", 120),
        )
        rows = [
            (
                # Shorten it for people only: piped output has the whole id.
                job.job_id[:8] if sys.stdout.isatty() else job.job_id,
                job.folder_name,
                sentences.shown_status(job),
                str(job.progress_percent),
                sentences.when(job.created_at),
                job.created_by,
                sentences.doing(job),
            )
            for job in doc.value
        ]
        render.table(columns, rows, "No jobs.")

    def history(
        self,
        q: str | None,
        statuses: list[str],
        user: str | None,
        since: str | None,
        before: str | None,
        sort: str,
        reverse: bool,
        limit: int,
        as_json: bool,
    ) -> None:
        """List jobs that have ended. `since` and `before` are days or times, in the local time zone unless they name one."""
        # Names run from A to Z; all other orders start with the newest, largest or longest.
        order = "asc" if (sort == "name") != reverse else "desc"
        times = {"since": _moment("--from", since), "before": _moment("--to", before, end_of_day=True)}
        with self._client() as client:
            doc = client.history(q=q, statuses=statuses, user=user, **times, sort=sort, order=order, limit=limit)
        if as_json:
            render.emit_json(doc.raw)
            return
        columns = (
            Column("JOB", fixed=True),
            Column("FOLDER"),
            Column("STATUS", fixed=True),
            Column("SIZE", 60, right=True, fixed=True),
            Column("TOOK", 100, right=True, fixed=True),
            Column("ENDED", 80, fixed=True),
            Column("BY", 100),
        )
        rows = [
            (
                job.job_id[:8] if sys.stdout.isatty() else job.job_id,
                job.folder_name,
                job.status,
                sentences.size(job.folder_size_bytes),
                units.duration((job.completed_at - job.started_at).total_seconds()) if job.completed_at and job.started_at else "",
                sentences.when(job.completed_at),
                job.created_by,
            )
            for job in doc.value
        ]
        render.table(columns, rows, "No such jobs." if q or statuses or user or since or before else "No job has ended yet.")

    def job(self, given: str, wait: bool, as_json: bool) -> None:
        with self._client() as client:
            job_id = resolve(client, given)
            if wait:
                self._follow(client, job_id, as_json)
                return
            doc = client.job(job_id)
        if as_json:
            render.emit_json(doc.raw)
        else:
            render.facts(job_facts(doc.value))

    def queue(self, as_json: bool) -> None:
        with self._client() as client:
            doc = client.queue()
        if as_json:
            render.emit_json(doc.raw)
            return
        queue = doc.value
        oldest = [job for job in (queue.current_copy_compress_job, queue.current_upload_job) if job is not None]
        groups: tuple[tuple[str, Sequence[QueueJob]], ...] = (
            ("active", oldest if queue.active_jobs is None else queue.active_jobs),
            ("waits for upload", queue.waiting_upload_jobs),
            ("queued", queue.queued_jobs),
        )
        columns = (
            Column("PLACE", fixed=True),
            Column("JOB", fixed=True),
            Column("FOLDER"),
            Column("STATUS", 60, fixed=True),
            Column("%", 60, right=True, fixed=True),
        )
        rows = [
            (
                place if job.position is None else str(job.position),
                job.job_id[:8] if sys.stdout.isatty() else job.job_id,
                job.folder_name,
                job.status,
                str(job.progress_percent),
            )
            for place, jobs in groups
            for job in jobs
        ]
        render.table(columns, rows, "Nothing is queued, nothing is at work.")

    def logs(self, given: str, follow: bool, level: str | None, as_json: bool) -> None:
        with self._client() as client:
            job_id = resolve(client, given)
            if not follow:
                doc = client.logs(job_id, level)
                if as_json:
                    render.emit_json(doc.raw)
                else:
                    render.emit("".join(sentences.log_line(line) + "\n" for line in doc.value))
                return
            after = 0
            while True:
                ended = client.job(job_id).value.status in TERMINAL  # asked first, so that the job's last log line is already there
                doc = client.logs(job_id, level, after=after)
                for line, raw in zip(doc.value, doc.raw, strict=True):
                    after = line.id
                    if as_json:
                        render.emit_json(raw)
                    else:
                        render.emit(sentences.log_line(line) + "\n")
                if ended:
                    return
                time.sleep(_interval_s())

    def cancel(self, given: str) -> None:
        with self._client() as client:
            job_id = resolve(client, given)
            client.cancel(job_id)
        render.talk(f"Cancelled: {job_id[:8]}. What it worked on is not touched.")

    def pause(self, given: str) -> None:
        with self._client() as client:
            job_id = resolve(client, given)
            client.control(job_id, "pause")
        render.talk(f"Paused: {job_id[:8]}. It goes on with `cs-archiver resume {job_id[:8]}`.")

    def resume(self, given: str) -> None:
        with self._client() as client:
            job_id = resolve(client, given)
            client.control(job_id, "resume")
        render.talk(f"Goes on: {job_id[:8]}.")

    def release(self, given: str) -> None:
        with self._client() as client:
            job_id = resolve(client, given)
            client.release(job_id)
        render.talk(f"The destination of {job_id[:8]} is free again.")

    def clear(self, given: str) -> None:
        with self._client() as client:
            job_id = resolve(client, given)
            client.clear(job_id)
        render.talk(f"Cleared: {job_id[:8]}. Nothing is erased: `cs-archiver job {job_id}` still shows it.")

    def retry(self, given: str, as_json: bool) -> None:
        with self._client() as client:
            job_id = resolve(client, given)
            document = client.retry(job_id)
        if as_json:
            render.emit_json(document)
        else:
            render.talk(f"Queued again: {job_id[:8]}. Follow it with `cs-archiver job {job_id[:8]} --wait`.")

    def status(self, as_json: bool) -> None:
        with self._client() as client:
            doc = client.system_status()
            if as_json:
                render.emit_json(doc.raw)
                return
            disk, counts = doc.value.disk_space, doc.value.statistics
            workers = (
                (name.replace("_", " "), f"{worker.status} {(worker.current_job_id or '')[:8]}".strip())
                for name, worker in doc.value.workers.items()
            )
            jobs = (
                f"{counts.total_jobs}: {counts.completed_jobs} completed, {counts.failed_jobs} failed, {counts.queued_jobs} queued"
            )
            sizes = f"{sentences.size(disk.free_gb * units.GB)} of {sentences.size(disk.total_gb * units.GB)}"
            free = f"{sizes} ({disk.percent_used:.0f} % used)"
            destination = "the built-in emulator, not Globus" if doc.value.globus_emulated else "Globus"
            alerts = [("needs you", alert.message) for alert in doc.value.alerts]
            facts = (("server", client.server), ("destination", destination), ("disk free", free), *workers, ("jobs", jobs))
            render.facts((*facts, *alerts))

    # Shared --------------------------------------------------------------------------------------------------------------------

    def _stored_if_readable(self) -> session.Session | None:
        """Return the stored session, or None if it is damaged: `login` and `logout` replace or remove it."""
        try:
            return session.load()
        except Failure:
            return None

    @contextmanager
    def _client(self) -> Iterator[Client]:
        """Yield a logged-in client. A token is only ever sent to the server that issued it."""
        if token := os.environ.get("CS_ARCHIVER_TOKEN"):
            with Client(session.server_address(self._given, self._stored_if_readable()), token) as client:
                yield client
            return
        stored = session.load()
        server = session.server_address(self._given, stored)
        if stored is None or stored.server != server:
            elsewhere = f" (you are at {stored.server})" if stored else ""
            raise Failure(Exit.REFUSED, f"Not logged in at {server}{elsewhere}: run `cs-archiver login --server {server}`.")
        with Client(server, stored.token) as client:
            yield client

    def _follow(self, client: Client, job_id: str, as_json: bool, codes: Mapping[str, Exit] | None = None) -> None:
        """Show a job until it has ended. Raises Failure unless it completed; `codes` maps error codes to their exit codes."""
        again = f"Follow it with `cs-archiver job {job_id[:8]} --wait`"
        try:
            with render.progress(as_json=as_json) as view:
                job = watch(client, job_id, view, interval_s=_interval_s())
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut this message short
            raise Failure(Exit.INTERRUPTED, f"The job goes on. {again}; stop it with `cs-archiver cancel {job_id[:8]}`.") from None
        except Failure as exc:
            raise Failure(exc.exit_code, f"{exc} The job goes on by itself. {again}.") from exc
        if job.status != "completed":
            raise Failure((codes or {}).get(job.error_code or "", Exit.JOB), sentences.ending(job))
        render.talk(sentences.ending(job))


def why_ignored(folder: Folder) -> str:
    """Return why a folder is not offered or only partly readable; empty for all other folders."""
    if folder.ignored is not None:
        return IGNORED.get(folder.ignored, folder.ignored)
    return f"partly unreadable: {folder.unreadable}" if folder.unreadable else ""


def relative(folder: Folder) -> str:
    """Return the folder as users name it: Level1/Level2/Folder."""
    return f"{folder.level1}/{folder.level2}/{folder.name}"


def resolve(client: Client, given: str) -> str:
    """Return the id of the job whose id is `given` or starts with it. At least six characters must identify one job."""
    wanted = given.lower()
    if _UUID.fullmatch(wanted):
        return wanted
    if not _PREFIX.fullmatch(wanted):
        raise Failure(Exit.USAGE, f"{sentences.clean(given)} is no job id: give it whole, or its first six characters or more.")
    found = [job for job in client.jobs().value if job.job_id.lower().startswith(wanted)]
    if not found:
        raise Failure(Exit.NOT_FOUND, f"No job begins with {given}: see `cs-archiver jobs`.")
    if len(found) > 1:
        those = ", ".join(f"{job.job_id} ({sentences.clean(job.folder_name)})" for job in found[:5])
        raise Failure(Exit.USAGE, f"Several jobs begin with {given}: {those}.")
    return found[0].job_id


def job_facts(job: Job) -> list[tuple[str, str]]:
    """Return everything known about a job, the most important facts first."""
    return [
        ("job", job.job_id),
        ("folder", job.folder_name),
        ("status", sentences.shown_status(job)),
        ("progress", f"{job.progress_percent} %  {sentences.figures(job)}".strip()),
        ("now", "" if job.status in TERMINAL else job.wait_reason or job.current_operation or ""),
        ("error", job.error_message or ""),
        ("source", job.source_path or ""),
        ("destination", job.globus_destination_path or ""),
        ("folder size", sentences.size(job.folder_size_bytes)),
        ("files", "" if job.file_count is None else str(job.file_count)),
        ("archive size", sentences.size(job.archive_size_bytes)),
        ("SHA-256", job.archive.sha256 if job.archive else ""),
        (
            "kept",
            units.counted(job.kept_count, "entry", "entries") if job.kept_count else ("everything" if job.keep_source else ""),
        ),
        ("created", f"{sentences.when(job.created_at)} by {job.created_by}"),
        ("started", sentences.when(job.started_at)),
        ("ended", sentences.when(job.completed_at)),
        ("retries", _retries(job.retries)),
        ("Globus task", job.globus_task_id or ""),
        *(("state", f"{sentences.when(state.at)}  {state.status}") for state in job.state_times),
        *(("proof", _proof(proof)) for proof in job.verifications),
        *(("warning", sentence) for sentence in job.warnings),
        *(("note", sentence) for sentence in job.notes),
    ]


def _retries(retries: Retries) -> str:
    kinds = ((retries.automatic, "automatic"), (retries.requested, "requested"))
    return ", ".join(f"{number:,} {kind}" for number, kind in kinds if number)


def _proof(proof: Verification) -> str:
    void = (f"VOID since {sentences.when(proof.voided_at)}",) if proof.voided_at else ()
    return "  ".join((proof.kind, *void, sentences.when(proof.at), *(f"{name}={value}" for name, value in proof.evidence.items())))


def _folded(path: str) -> str:
    # Macs write decomposed names to a NAS, and keyboards type composed ones.
    return unicodedata.normalize("NFC", path)


def _moment(option: str, text: str | None, *, end_of_day: bool = False) -> datetime | None:
    """Parse a time, or a day (its start or its end). The local time zone applies unless the text names one."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if end_of_day and re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", text):
            moment += timedelta(days=1)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError) as exc:
        sentence = f"{option} is a day such as 2026-01-15, or a time such as 2026-01-15T14:30, not {sentences.clean(text)}."
        raise Failure(Exit.USAGE, sentence) from exc


def _interval_s() -> float:
    """Return the seconds between two polls of a job, from CS_ARCHIVER_POLL_SECONDS."""
    text = os.environ.get("CS_ARCHIVER_POLL_SECONDS", "0.7")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0.01 <= seconds <= 3600:
        raise Failure(Exit.CONFIGURATION, f"CS_ARCHIVER_POLL_SECONDS is a number from 0.01 to 3600, not {sentences.clean(text)}.")
    return seconds
