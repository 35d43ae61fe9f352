"""The gateway's REST interface, typed: one method per endpoint, one exception for every refusal.

Structs declare only the fields that this program reads. Unknown fields are ignored, so newer servers stay readable. Every reading
method returns a `Doc`: the typed value, and the server's own document for `--json`. Sizes are in bytes, times are aware datetimes,
and durations are in seconds. Nothing is retried here. Only `cli.watch` retries, because it alone runs for hours.
"""

import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import IO, Any, Generic, Literal, Self, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from cli.exits import Exit, Failure, from_http

# httpx imports its own command-line tool, and with it click, rich and pygments: 60 % of its import time (0.20 of 0.33 s here).
# httpx works without them, so declare them missing.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # None is the documented "import fails"
import httpx  # noqa: E402 - must follow the line above

T = TypeVar("T")
_PAGE = 200


class User(msgspec.Struct, kw_only=True):
    username: str
    is_admin: bool = False
    must_change_password: bool = False


class Login(msgspec.Struct, kw_only=True):
    access_token: str
    user: User


class Folder(msgspec.Struct, kw_only=True):
    path: str
    name: str
    level1: str
    level2: str
    size_bytes: int | None = None
    modified_at: datetime | None = None
    file_count: int | None = None
    is_archived: bool = False
    ignored: str | None = None
    unreadable: str | None = None


class StateTime(msgspec.Struct, kw_only=True):
    """When a job entered a state."""

    status: str
    at: datetime


class Verification(msgspec.Struct, kw_only=True):
    """One of the three proofs of arrival (`task`, `remote`, `content`) and its findings. It is void from `voided_at` on."""

    kind: str
    at: datetime
    evidence: dict[str, Any] = {}
    voided_at: datetime | None = None


class ArchiveFacts(msgspec.Struct, kw_only=True):
    """The job's current archive."""

    size: int
    sha256: str


class Retries(msgspec.Struct):
    """How often the whole job was retried: automatically, and by users."""

    automatic: int = 0
    requested: int = 0


class Job(msgspec.Struct, kw_only=True):
    """A job in a list or, with more fields filled, alone. Percentages are 0-100; `stage_percent` is None when unknown."""

    job_id: str
    folder_name: str
    status: str
    kind: str = "archive"
    progress_percent: int = 0
    current_operation: str | None = None
    created_by: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error_message: str | None = None
    error_code: str | None = None
    source_path: str | None = None
    globus_destination_path: str | None = None
    folder_size_bytes: int | None = None
    archive_size_bytes: int | None = None
    file_count: int | None = None
    kept_count: int = 0
    retries: Retries = msgspec.field(default_factory=Retries)
    globus_task_id: str | None = None
    keep_source: bool = False
    paused: bool = False
    cancelling: bool = False
    wait_reason: str | None = None
    stage_percent: float | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_second: float | None = None
    eta_seconds: float | None = None
    archive: ArchiveFacts | None = None
    state_times: list[StateTime] = []
    verifications: list[Verification] = []
    warnings: list[str] = []
    notes: list[str] = []


class LogLine(msgspec.Struct, kw_only=True):
    """A line of a job's log; `id` increases along the log."""

    id: int
    timestamp: datetime
    level: str
    message: str


class QueueJob(msgspec.Struct, kw_only=True):
    job_id: str
    folder_name: str
    status: str = "queued"
    progress_percent: int = 0
    position: int | None = None


class Queue(msgspec.Struct, kw_only=True):
    current_copy_compress_job: QueueJob | None = None
    current_upload_job: QueueJob | None = None
    queued_jobs: list[QueueJob] = []
    active_jobs: list[QueueJob] | None = None
    waiting_upload_jobs: list[QueueJob] = []


class DiskSpace(msgspec.Struct, kw_only=True):
    """Sizes in GB of 1024**3 bytes."""

    total_gb: float
    used_gb: float
    free_gb: float
    percent_used: float


class WorkerState(msgspec.Struct, kw_only=True):
    status: str
    current_job_id: str | None = None


class Statistics(msgspec.Struct, kw_only=True):
    total_jobs: int
    completed_jobs: int
    failed_jobs: int
    queued_jobs: int


class Alert(msgspec.Struct, kw_only=True):
    kind: str
    message: str


class SystemStatus(msgspec.Struct, kw_only=True):
    disk_space: DiskSpace
    workers: dict[str, WorkerState]
    statistics: Statistics
    globus_emulated: bool = False
    alerts: list[Alert] = []


class Problem(msgspec.Struct, kw_only=True):
    """A problem document, application/problem+json (RFC 9457)."""

    type: str = ""
    title: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Doc(Generic[T]):
    """`value`: the typed part that this program uses; `raw`: the whole document as the server sent it."""

    value: T
    raw: Any


class Client:
    """One connection to one gateway. Every method raises `Failure` with the server's message; none retries."""

    def __init__(self, server: str, token: str | None = None, *, timeout_s: float = 15.0) -> None:
        self.server = server
        parts = urlsplit(server)
        # An empty context trusts no authority and costs nothing; loading the system's certificates takes 80 ms.
        verify: bool | ssl.SSLContext = True if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = httpx.Client(
            base_url=server,
            headers={"Accept": "application/json", "User-Agent": "cs-archiver-cli"},
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            verify=verify,
            trust_env=not _is_loopback(parts.hostname or ""),  # a proxy cannot reach this machine's own ports
        )
        self.use_token(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def use_token(self, token: str | None) -> None:
        """Use this token for all further requests; None: send no token."""
        self._http.headers.pop("Authorization", None)
        if token:
            self._http.headers["Authorization"] = f"Bearer {token}"

    def login(self, username: str, password: str) -> Login:
        """Log in, use the new token for all further requests, and return the token and the user."""
        answer = self._send("POST", "/api/auth/login", body={"username": username, "password": password})
        login = self._parse(answer, Login).value
        self.use_token(login.access_token)
        return login

    def logout(self) -> None:
        self._send("POST", "/api/auth/logout")

    def change_password(self, current: str, new: str) -> None:
        """Replace the logged-in user's password. The server may revoke tokens issued before."""
        self._send("POST", "/api/auth/password", body={"current_password": current, "new_password": new})

    def refresh(self) -> bool:
        """Scan the NAS now. Returns False if the scan is still running when the server stops waiting for it (30 s)."""
        answer = self._send("GET", "/api/folders", {"refresh": "true", "limit": 1}, timeout_s=60.0)
        return "X-Scan-Running" not in answer.headers

    def folders(self, q: str | None = None, *, archived: bool = False, ignored: bool = False) -> Doc[list[Folder]]:
        """Return every folder that can be archived, as of the last scan; on request also archived and ignored folders."""
        included = [word for word, wanted in (("archived", archived), ("ignored", ignored)) if wanted]
        return self._all("/api/folders", {"q": q, "include": ",".join(included) or None}, Folder)

    def create_job(self, folder_path: str, *, keep_source: bool = False) -> Doc[Job]:
        body = {"folder_path": folder_path, **({"keep_source": True} if keep_source else {})}
        return self._parse(self._send("POST", "/api/jobs", body=body), Job)

    def jobs(self, status: str | None = None, limit: int | None = None) -> Doc[list[Job]]:
        """Return at most `limit` jobs, newest first; None: all jobs."""
        return self._all("/api/jobs", {"status": status}, Job, limit)

    def history(
        self,
        *,
        q: str | None = None,
        statuses: Sequence[str] = (),
        user: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        sort: str = "ended",
        order: str = "desc",
        limit: int | None = None,
    ) -> Doc[list[Job]]:
        """Return at most `limit` jobs that have ended (None: all). `since` and `before` filter by the end of the job."""
        params = {
            "sort": sort,
            "order": order,
            "status": ",".join(statuses) or None,
            "user": user,
            "q": q,
            "ended_from": since and since.isoformat(),
            "ended_to": before and before.isoformat(),
        }
        return self._all("/api/jobs", params, Job, limit)

    def job(self, job_id: str) -> Doc[Job]:
        return self._parse(self._send("GET", _job_path(job_id)), Job)

    def logs(self, job_id: str, level: str | None = None, after: int = 0) -> Doc[list[LogLine]]:
        """Return the job's log after line `after` (0: from the beginning), oldest first."""
        lines, raw = list[LogLine](), list[Any]()
        while True:
            answer = self._send("GET", _job_path(job_id, "/logs"), {"level": level, "after": after, "limit": _PAGE})
            page = self._parse(answer, list[LogLine])
            lines += page.value
            raw += page.raw
            # Ask until nothing more comes: a server may return fewer lines than requested.
            if not page.value or page.value[-1].id <= after:
                return Doc(lines, raw)
            after = page.value[-1].id

    def cancel(self, job_id: str) -> None:
        self._send("DELETE", _job_path(job_id))

    def control(self, job_id: str, action: Literal["pause", "resume"]) -> None:
        """Pause or resume a job."""
        self._send("POST", f"/api/tasks/{quote(job_id, safe='')}/control", body={"action": action})

    def release(self, job_id: str) -> None:
        """Release the destination of a proven archive that no longer exists there (admins)."""
        self._send("POST", _job_path(job_id, "/release-destination"))

    def retry(self, job_id: str) -> Any:
        """Queue a failed job again; return the server's document."""
        return _decode(self._send("POST", _job_path(job_id, "/retry")), self.server)

    def clear(self, job_id: str) -> None:
        """Hide a job that has ended from the history."""
        self._send("POST", _job_path(job_id, "/clear"))

    def queue(self) -> Doc[Queue]:
        return self._parse(self._send("GET", "/api/queue"), Queue)

    def system_status(self) -> Doc[SystemStatus]:
        return self._parse(self._send("GET", "/api/system/status"), SystemStatus)

    def read(
        self,
        path: str,
        shape: type[T],
        params: dict[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        headers: dict[bytes, bytes] | None = None,
    ) -> Doc[T]:
        """Read any document."""
        return self._parse(self._send("GET", path, params, timeout_s=timeout_s, headers=headers), shape)

    def fetch(self, path: str, params: dict[str, Any] | None = None, *, timeout_s: float | None = None) -> httpx.Response:
        """Fetch a response that is not a document, such as an image."""
        return self._send("GET", path, params, timeout_s=timeout_s)

    def write(self, method: str, path: str, body: Any = None, params: dict[str, Any] | None = None) -> Any:
        """Send any change; return the server's document, or None if it sends none."""
        answer = self._send(method, path, params, body=body)
        return _decode(answer, self.server) if answer.content else None

    def all(self, path: str, params: dict[str, Any], shape: type[T]) -> Doc[list[T]]:
        """Read a whole list, page by page."""
        return self._all(path, params, shape)

    # Transfers of bytes: a broken connection raises ConnectionError, because the caller resumes there.

    def look(self, address: str) -> tuple[str, int]:
        """Return the version (ETag) and the length of a file."""
        try:
            # Fetch one byte: a reply to HEAD has no body that could explain an error.
            answer = self._http.get(address, headers={"Range": "bytes=0-0", "Accept": "*/*"})
        except httpx.TransportError as exc:
            raise Failure(Exit.UNAVAILABLE, f"Cannot reach {self.server} ({exc}): is the server running?") from exc
        if not answer.is_success and answer.status_code != 416:  # 416: the file is empty
            raise _refusal(answer, self.server, address)
        return answer.headers.get("ETag", ""), int(answer.headers.get("Content-Range", "/0").rpartition("/")[2])

    def append(self, address: str, etag: str, file: IO[bytes], show: Callable[[int], None]) -> None:
        """Append to `file` the bytes that it lacks of this version. Raises Failure when the version has changed."""
        at = file.seek(0, 2)
        headers = {"If-Match": etag, "Accept": "*/*", "Accept-Encoding": "identity"} | ({"Range": f"bytes={at}-"} if at else {})
        try:
            with self._http.stream("GET", address, headers=headers) as answer:
                if answer.status_code == 416:  # nothing is missing
                    return
                if not answer.is_success:
                    answer.read()
                    raise _refusal(answer, self.server, address)
                for piece in answer.iter_raw():
                    file.write(piece)
                    at += len(piece)
                    show(at)
        except httpx.TransportError as exc:
            raise ConnectionError(str(exc)) from exc

    def upload_state(self, path: str, params: dict[str, Any], total: int, shape: type[T]) -> Doc[T]:
        """Start an upload, or ask how much has arrived."""
        return self._bytes(path, params, b"", f"bytes */{total}", shape)

    def send_part(self, path: str, params: dict[str, Any], content: bytes, start: int, total: int, shape: type[T]) -> Doc[T]:
        """Send the bytes from `start` on."""
        return self._bytes(path, params, content, f"bytes {start}-{start + len(content) - 1}/{total}", shape)

    def _bytes(self, path: str, params: dict[str, Any], content: bytes, content_range: str, shape: type[T]) -> Doc[T]:
        given = {name: value for name, value in params.items() if value is not None}
        headers = {"Content-Range": content_range, "Content-Type": "application/octet-stream"}
        try:
            answer = self._http.put(path, params=given, content=content, headers=headers, timeout=httpx.Timeout(120, connect=5))
        except httpx.TransportError as exc:
            raise ConnectionError(str(exc)) from exc
        if not answer.is_success:
            raise _refusal(answer, self.server, path)
        return self._parse(answer, shape)

    def _all(self, path: str, params: dict[str, Any], shape: type[T], limit: int | None = None) -> Doc[list[T]]:
        """Read page by page, up to the total that the server names (without one: until a page is not full)."""
        rows: list[Any] = []
        while limit is None or len(rows) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(rows))
            answer = self._send("GET", path, {**params, "limit": size, "offset": len(rows)})
            page = self._convert(_decode(answer, self.server), list[Any])
            rows += page
            total = answer.headers.get("X-Total-Count", "")
            if not page or (len(rows) >= int(total) if total.isdigit() else len(page) < size):
                break
        return Doc(self._convert(rows, list[shape]), rows)  # type: ignore[valid-type] # a type made at run time

    def _send(
        self,
        method: str,
        path: str,
        params: dict[str, Any] | None = None,
        *,
        body: Any = None,
        timeout_s: float | None = None,
        headers: dict[bytes, bytes] | None = None,
    ) -> httpx.Response:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        extra: dict[str, Any] = {} if timeout_s is None else {"timeout": httpx.Timeout(timeout_s, connect=5.0)}
        try:
            answer = self._http.request(method, path, params=given, json=body, headers=headers, **extra)
        except httpx.TimeoutException as exc:
            raise Failure(Exit.UNAVAILABLE, f"{self.server} does not answer: try again later.") from exc
        except (httpx.TransportError, httpx.InvalidURL) as exc:
            sentence = f"Cannot reach {self.server} ({exc}): is the server running, and is this its address?"
            raise Failure(Exit.UNAVAILABLE, sentence) from exc
        if not answer.is_success:
            raise _refusal(answer, self.server, path)
        return answer

    def _parse(self, answer: httpx.Response, shape: type[T]) -> Doc[T]:
        raw = _decode(answer, self.server)
        return Doc(self._convert(raw, shape), raw)

    def _convert(self, raw: Any, shape: type[T]) -> T:
        try:
            return msgspec.convert(raw, shape)
        except msgspec.ValidationError as exc:
            raise Failure(Exit.UNAVAILABLE, f"{self.server} answers in an unknown form ({exc}): are both of one version?") from exc


def _job_path(job_id: str, rest: str = "") -> str:
    return f"/api/jobs/{quote(job_id, safe='')}{rest}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _decode(answer: httpx.Response, server: str) -> Any:
    try:
        return msgspec.json.decode(answer.content)
    except msgspec.DecodeError as exc:
        raise Failure(Exit.UNAVAILABLE, f"{server} does not answer like CS Archiver: check the address.") from exc


def _refusal(answer: httpx.Response, server: str, path: str) -> Failure:
    """Turn a refusal into a Failure: the server's message if it sent one, and what to do next."""
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except msgspec.MsgspecError:
        problem = Problem()
    detail = problem.detail or problem.title or f"{server} answers with HTTP status {answer.status_code}."
    if answer.status_code == 401 and path != "/api/auth/login":
        detail = f"Not logged in at {server}, or the login has ended: run `cs-archiver login`."
    elif "password-change-required" in problem.type:
        detail = f"{detail} Run `cs-archiver password` first."
    for said, spelled in _SPELLED.items():
        detail = detail.replace(said, spelled)
    return Failure(from_http(answer.status_code), detail)


_SPELLED = {
    "say `recursive` to": "say --recursive to",
    "it is replaced only when that is asked for": "say --overwrite to replace it",
}
"""The server's field names, as the command line spells them."""
