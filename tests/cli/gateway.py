"""A small real HTTP server with the gateway's REST contract. Its jobs follow a script, one step per request."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

import msgspec
import uvicorn
from litestar import Litestar, Request, Response, delete, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody

NOW = "2024-01-15T14:32:01Z"
BASE = "/mnt/qnap/CitySpace Tech Team"
GB = 1024**3

_STEPS: list[dict[str, Any]] = [
    {"status": "queued"},
    {
        "status": "copying", "progress_percent": 16, "current_operation": "Copying", "stage_percent": 50.0, "bytes_done": GB,
        "bytes_total": 2 * GB, "bytes_per_second": 100 * 1024**2, "eta_seconds": 10,
    },
    {"status": "compressing", "progress_percent": 50, "current_operation": "Compressing", "stage_percent": None, "bytes_done": None,
     "bytes_per_second": None, "eta_seconds": None},
    {"status": "verifying", "progress_percent": 70},
    {"status": "uploading", "progress_percent": 80, "globus_task_id": "11111111-2222-3333-4444-555555555555"},
    {"status": "upload_verifying", "progress_percent": 90},
    {"status": "deleting_source", "progress_percent": 97},
    {"status": "completed", "progress_percent": 100, "completed_at": NOW, "archive_size_bytes": GB},
]  # fmt: skip
SCRIPTS = {
    "Alpha": _STEPS,
    "Broken": [*_STEPS[:3], {"status": "failed", "error_message": "7-Zip reports a damaged file.", "completed_at": NOW}],
    "Endless": _STEPS[:2],
}


@dataclass
class Scripted:
    """A job and the number of script steps that it has taken."""

    document: dict[str, Any]
    script: list[dict[str, Any]]
    step: int = 0
    logs: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, change: dict[str, Any]) -> None:
        self.document.update(change)
        self.document["state_times"].append({"status": self.document["status"], "at": NOW})
        level = "ERROR" if change["status"] == "failed" else "INFO"
        self.logs.append({"id": 10 * len(self.logs) + 10, "timestamp": NOW, "level": level, "message": f"-> {change['status']}"})

    def advance(self) -> None:
        if self.step < len(self.script) and self.document["status"] not in {"completed", "failed", "cancelled"}:
            self.enter(self.script[self.step])
            self.step += 1


class RefusalError(Exception):
    def __init__(self, status: int, detail: str, kind: str = "about:blank") -> None:
        self.status, self.detail, self.kind = status, detail, kind


def _problem(_: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    if isinstance(exc, RefusalError):
        status, detail, kind = exc.status, exc.detail, exc.kind
    else:
        status, kind = (exc.status_code if isinstance(exc, HTTPException) else 500), "about:blank"
        detail = exc.detail if isinstance(exc, HTTPException) else "Something broke."
    body = msgspec.json.encode({"type": kind, "title": "Problem", "status": status, "detail": detail})
    return Response(body, status_code=status, media_type="application/problem+json")


class ScriptedGateway:
    """The server's state, which tests read and change. `url` is its address."""

    username: ClassVar = "alice"
    password: ClassVar = "correct horse"

    def __init__(self) -> None:
        self.url = ""
        self.passwords = {self.username: self.password}
        self.must_change: set[str] = set()
        self.tokens: dict[str, str] = {}
        self.jobs: dict[str, Scripted] = {}
        self.requests: list[str] = []
        self.trouble: Response[bytes] | None = None
        self.folders = [
            self.folder("Production", "2024", name, size) for name, size in (("Alpha", 2 * GB), ("Broken", 3), ("Endless", GB))
        ]

    def folder(self, level1: str, level2: str, name: str, size: int, archived: bool = False) -> dict[str, Any]:
        return {
            "path": f"{BASE}/{level1}/{level2}/{name}", "name": name, "level1": level1, "level2": level2, "size_bytes": size,
            "size_human": f"{size / GB:.2f} GB", "modified_at": NOW, "file_count": 42, "is_archived": archived,
        }  # fmt: skip

    def add_job(self, name: str, job_id: str | None = None, **facts: Any) -> Scripted:
        job = Scripted(
            {
                "job_id": job_id or str(uuid4()), "folder_name": name, "source_path": f"{BASE}/Production/2024/{name}",
                "globus_destination_path": f"/Production/2024/{name}.tar.7z", "status": "queued", "progress_percent": 0,
                "current_operation": None, "folder_size_bytes": 2 * GB, "archive_size_bytes": None, "created_by": self.username,
                "created_at": datetime.now(UTC).isoformat(), "started_at": None, "completed_at": None, "error_message": None,
                "retry_count": 0, "globus_task_id": None, "state_times": [], "verifications": [], "x_extra": "kept in --json",
                **facts,
            },
            SCRIPTS.get(name, _STEPS),
        )  # fmt: skip
        self.jobs[job.document["job_id"]] = job
        return job

    # Handlers -------------------------------------------------------------------------------------------------------------------

    def before(self, request: Request[Any, Any, Any]) -> Response[bytes] | None:
        self.requests.append(f"{request.method} {request.url.path}?{request.url.query}")
        if self.trouble is not None:
            return self.trouble
        if request.url.path != "/api/auth/login":
            user = self.user(request)
            if user in self.must_change and not request.url.path.startswith("/api/auth/"):
                raise RefusalError(403, "This password must be changed.", "/problems/password-change-required")
        return None

    def user(self, request: ASGIConnection[Any, Any, Any, Any]) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise RefusalError(401, "No valid token.")
        return self.tokens[token]

    def find(self, job_id: str) -> Scripted:
        if job_id not in self.jobs:
            raise RefusalError(404, f"There is no job {job_id}.")
        return self.jobs[job_id]

    def handlers(self) -> list[Any]:  # one closure per endpoint
        @post("/api/auth/login", status_code=200)
        async def login(data: JSONBody[dict[str, str]]) -> dict[str, Any]:
            name = data["username"]
            if self.passwords.get(name) != data["password"]:
                raise RefusalError(401, "User name or password is wrong.")
            token = f"token-{uuid4()}"
            self.tokens[token] = name
            user = {"id": str(uuid4()), "username": name, "is_admin": False, "must_change_password": name in self.must_change}
            return {"access_token": token, "token_type": "bearer", "user": user}

        @post("/api/auth/logout", status_code=204)
        async def logout(request: Request[Any, Any, Any]) -> None:
            del self.tokens[request.headers["Authorization"].removeprefix("Bearer ")]

        @post("/api/auth/password", status_code=204)
        async def change(request: Request[Any, Any, Any], data: JSONBody[dict[str, str]]) -> None:
            name = self.user(request)
            if self.passwords[name] != data["current_password"]:
                raise RefusalError(403, "The present password is wrong.")
            self.passwords[name] = data["new_password"]
            self.must_change.discard(name)
            self.tokens.clear()

        @get("/api/folders")
        async def folders(
            q: FromQuery[str] = "", include: FromQuery[str] = "", limit: FromQuery[int] = 50, offset: FromQuery[int] = 0
        ) -> Response[list[Any]]:
            shown = [f for f in self.folders if "archived" in include or not f["is_archived"]]
            rows = [f for f in shown if q in f["path"] and ("ignored" in include or not f.get("ignored"))]
            # A server may return less than requested, and says so.
            return Response(rows[offset : offset + min(limit, 2)], headers={"X-Total-Count": str(len(rows))})

        @post("/api/jobs", status_code=201)
        async def create(data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
            path = data["folder_path"] if data["folder_path"].startswith("/") else f"{BASE}/{data['folder_path']}"
            found = next((f for f in self.folders if f["path"] == path), None)
            if found is None:
                raise RefusalError(404, f"{path} does not exist.")
            if found.get("ignored"):
                raise RefusalError(400, f"{path} is empty; there is nothing to archive.")
            if any(j.document["source_path"] == path and j.document["status"] != "failed" for j in self.jobs.values()):
                raise RefusalError(409, f"{path} is being archived already.")
            job = self.add_job(path.rsplit("/", 1)[1], keep_source=data.get("keep_source", False)).document
            return {name: job[name] for name in ("job_id", "status", "folder_name", "created_at")}

        @get("/api/jobs")
        async def jobs(
            request: Request[Any, Any, Any], limit: FromQuery[int] = 100, offset: FromQuery[int] = 0
        ) -> Response[list[Any]]:
            wanted = request.query_params.get("status")
            rows = [j.document for j in self.jobs.values() if wanted in {None, j.document["status"]}]
            return Response(rows[offset : offset + min(limit, 2)], headers={"X-Total-Count": str(len(rows))})

        @get("/api/jobs/{job_id:str}")
        async def job(job_id: FromPath[str]) -> dict[str, Any]:
            found = self.find(job_id)
            found.advance()
            return found.document

        @delete("/api/jobs/{job_id:str}")
        async def cancel(job_id: FromPath[str]) -> None:
            found = self.find(job_id)
            if found.document["status"] in {"completed", "failed", "cancelled", "deleting_source"}:
                raise RefusalError(409, f"This job is {found.document['status']}: it cannot be cancelled.")
            found.enter({"status": "cancelled", "completed_at": NOW})

        @post("/api/tasks/{job_id:str}/control", status_code=200)
        async def control(job_id: FromPath[str], data: JSONBody[dict[str, str]]) -> dict[str, Any]:
            found = self.find(job_id)
            if found.document["status"] in {"completed", "failed", "cancelled", "verified", "deleting_source"}:
                raise RefusalError(409, f"This job is {found.document['status']}: it cannot be paused.")
            found.document["paused"] = data["action"] == "pause"
            return {"task_id": job_id, "paused": found.document["paused"]}

        @post("/api/jobs/{job_id:str}/retry", status_code=200)
        async def retry(job_id: FromPath[str]) -> dict[str, Any]:
            found = self.find(job_id)
            if found.document["status"] != "failed":
                raise RefusalError(409, "Only a failed job can be tried again.")
            found.enter({"status": "queued", "retry_count": 0})
            return {name: found.document[name] for name in ("job_id", "status", "retry_count")}

        @post("/api/jobs/{job_id:str}/clear", status_code=200)
        async def clear(job_id: FromPath[str]) -> dict[str, Any]:
            found = self.find(job_id)
            if found.document["status"] not in {"completed", "failed", "cancelled"}:
                raise RefusalError(409, "This job has not ended.")
            return {"job_id": job_id, "cleared_at": datetime.now(UTC).isoformat()}

        @get("/api/jobs/{job_id:str}/logs")
        async def logs(
            job_id: FromPath[str], level: FromQuery[str] = "", limit: FromQuery[int] = 1000, after: FromQuery[int] = 0
        ) -> Response[list[Any]]:
            rows = [line for line in self.find(job_id).logs if level in {"", line["level"]} and line["id"] > after]
            return Response(rows[: min(limit, 3)], headers={"X-Total-Count": str(len(rows))})

        @get("/api/queue")
        async def queue() -> dict[str, Any]:
            rows = [j.document for j in self.jobs.values()]
            brief = [{name: r[name] for name in ("job_id", "folder_name", "status", "progress_percent")} for r in rows]
            return {
                "current_copy_compress_job": next((b for b in brief if b["status"] == "copying"), None),
                "current_upload_job": next((b for b in brief if b["status"] == "uploading"), None),
                "queued_jobs": [
                    {"job_id": b["job_id"], "folder_name": b["folder_name"], "position": n}
                    for n, b in enumerate((b for b in brief if b["status"] == "queued"), 1)
                ],
            }

        @get("/api/system/status")
        async def status() -> dict[str, Any]:
            return {
                "disk_space": {"total_gb": 100.0, "used_gb": 40.0, "free_gb": 60.0, "percent_used": 40.0},
                "workers": {
                    "copy_compress": {"status": "idle", "current_job_id": None},
                    "upload": {"status": "busy", "current_job_id": str(uuid4())},
                },
                "statistics": {"total_jobs": 3, "completed_jobs": 1, "failed_jobs": 1, "queued_jobs": 1},
            }

        return [login, logout, change, folders, create, jobs, job, cancel, control, retry, clear, logs, queue, status]


class _Delegate:
    """The app that the listening socket serves now: each test starts with a fresh state on the same server."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class Host:
    """One uvicorn in a thread for all tests of a session (a start takes 0.2 s)."""

    def __init__(self, url: str, delegate: _Delegate) -> None:
        self.url, self._delegate = url, delegate

    def fresh(self) -> ScriptedGateway:
        state = ScriptedGateway()
        state.url = self.url
        self._delegate.app = Litestar(
            state.handlers(), before_request=state.before, exception_handlers={Exception: _problem}, openapi_config=None
        )
        return state


@contextmanager
def host() -> Iterator[Host]:
    """Listen on a free port until the end of the block."""
    delegate = _Delegate()
    server = uvicorn.Server(uvicorn.Config(delegate, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < deadline, "the scripted gateway did not start"
        assert thread.is_alive(), "the scripted gateway ended at its start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Host(f"http://127.0.0.1:{port}", delegate)
    finally:
        server.should_exit = True
        thread.join(60)
