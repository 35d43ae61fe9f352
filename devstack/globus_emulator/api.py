"""The routes: Auth, Transfer, and the emulator's control plane. One request in, one answer out, no sockets here."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import msgspec

from devstack.globus_emulator import auth, filesystem
from devstack.globus_emulator.auth import AuthError, Token
from devstack.globus_emulator.config import Collection, ConfigError
from devstack.globus_emulator.errors import ApiError, bad_request
from devstack.globus_emulator.faults import FsFault
from devstack.globus_emulator.requestlog import RequestLog
from devstack.globus_emulator.world import Document, World

log = logging.getLogger(__name__)
PREFIX = "/v0.10/"
CONTROL = "/_emulator/"


class Request(NamedTuple):
    """One HTTP request."""

    method: str
    path: str
    """Decoded, without the query string."""
    query: dict[str, list[str]]
    headers: dict[str, str]
    """Header names in lower case."""
    body: bytes
    peer: str

    def json(self) -> Any:
        """Return the decoded body. Raises ApiError."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            raise bad_request("The body is not valid JSON") from None


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(document))


def request_id() -> str:
    return secrets.token_urlsafe(7)[:9]


def refusal(error: ApiError, resource: str) -> Answer:
    """Return the error body of Transfer."""
    document = {"code": error.code, "message": error.message, "request_id": request_id(), "resource": resource}
    return answer({**document, **error.fields}, error.status)


class Api:
    """The routes over one world. Any thread may call `handle`, which never raises."""

    def __init__(self, world: World, requests: RequestLog) -> None:
        self.world = world
        self.requests = requests

    def handle(self, request: Request) -> Answer:
        try:
            if request.path.startswith(CONTROL):
                return self._control(request)
            if request.path.startswith("/v2/oauth2/"):
                return self._auth(request)
            return self._transfer(request)
        except ApiError as error:
            return refusal(error, request.path)
        except AuthError as error:
            return answer(error.body, error.status)
        except (ConfigError, ValueError) as error:
            return refusal(bad_request(str(error)), request.path)
        except Exception:
            log.exception("%s %s broke the emulator", request.method, request.path)
            return refusal(ApiError(500, "InternalError", "The emulator has a bug; its log says more"), request.path)

    # --- Auth ----------------------------------------------------------------------------------------------------

    def _auth(self, request: Request) -> Answer:
        authorization = request.headers.get("authorization", "")
        if (request.method, request.path) == ("POST", "/v2/oauth2/token"):
            return answer(auth.grant(self.world, authorization, request.body))
        if (request.method, request.path) == ("POST", "/v2/oauth2/token/revoke"):
            return answer(auth.revoke(self.world, authorization, request.body))
        raise AuthError(404, "NOT_FOUND", "Not emulated", "not_found")

    # --- Transfer ------------------------------------------------------------------------------------------------

    def _transfer(self, request: Request) -> Answer:
        for method, pattern, handler in ROUTES:
            found = re.fullmatch(pattern, request.path.removeprefix(PREFIX))
            if method == request.method and found and request.path.startswith(PREFIX):
                token = auth.check(self.world, request.headers.get("authorization", ""), request.path)
                return handler(self, request, token, *found.groups())
        raise ApiError(404, "ClientError.NotFound", f"No such resource: {request.method} {request.path}")

    def submission_id(self, _request: Request, _token: Token) -> Answer:
        return answer({"DATA_TYPE": "submission_id", "value": str(uuid.uuid4())})

    def submit(self, request: Request, token: Token, kind: str) -> Answer:
        body = request.json()
        if not isinstance(body, dict):
            raise bad_request("The body must be an object")
        for field in ("source_endpoint", "destination_endpoint", "endpoint"):
            if isinstance(body.get(field), str):
                auth.need_data_access(self.world, token, body[field], request.path)
        task, new = self.world.submit(token.client, kind.upper(), body)
        document = {
            "DATA_TYPE": f"{kind}_result",
            "code": "Accepted" if new else "Duplicate",
            "message": f"The {kind} has been accepted and a task has been created and queued for execution"
            if new
            else f"A task has already been created for this submission id: {task.task_id}",
            "request_id": request_id(),
            "resource": request.path,
            "submission_id": task.submission_id,
            "task_id": task.task_id,
            "task_link": {
                "DATA_TYPE": "link",
                "href": f"{PREFIX}task/{task.task_id}?format=json",
                "rel": "related",
                "resource": "task",
                "title": "related task",
            },
        }
        return answer(document, 202 if new else 200)

    def task(self, _request: Request, token: Token, task_id: str) -> Answer:
        return answer(self.world.document(self.world.task(token.client, task_id)))

    def update_task(self, request: Request, token: Token, task_id: str) -> Answer:
        result = self.world.update(self.world.task(token.client, task_id), request.json())
        return self._result(request, result)

    def cancel_task(self, request: Request, token: Token, task_id: str) -> Answer:
        return self._result(request, self.world.cancel(self.world.task(token.client, task_id)))

    def _result(self, request: Request, result: Document) -> Answer:
        return answer({"DATA_TYPE": "result", **result, "resource": request.path, "request_id": request_id()})

    def task_part(self, request: Request, token: Token, task_id: str, part: str) -> Answer:
        task = self.world.task(token.client, task_id)
        if part == "event_list":
            return answer(self.world.events(task, request.query))
        if part == "successful_transfers":
            return answer(self.world.successes(task, request.query))
        if part == "skipped_errors":
            return answer(self.world.skipped_errors(task, request.query))
        return answer(self.world.pause_info(task))

    def task_list(self, request: Request, token: Token) -> Answer:
        return answer(self.world.listed(token.client, request.query))

    # --- files ---------------------------------------------------------------------------------------------------

    def _collection(self, endpoint: str) -> Collection:
        try:
            return self.world.config.collections[endpoint]
        except KeyError:
            raise ApiError(404, "EndpointNotFound", f"No such endpoint '{endpoint}'") from None

    def _reach(self, request: Request, token: Token, endpoint: str, operation: str, path: str) -> Collection:
        """Return the collection, if scope and faults let the call reach it. Raises ApiError."""
        collection = self._collection(endpoint)
        auth.need_data_access(self.world, token, endpoint, request.path)
        if any(character in path for character in "\r\n\0"):
            raise bad_request("Path contains characters that are not allowed", "InvalidPath")
        fault = self.world.faults.fs(operation, endpoint, path)
        if fault is not None and fault.action == "slow":
            self.world.linger(fault.seconds)
        elif fault is not None:
            raise _fs_refusal(fault, operation, path)
        if operation in {"mkdir", "rename"} and collection.read_only:
            raise ApiError(502, f"ExternalError.{_FAMILIES[operation]}.PermissionDenied", f"Read-only: {path}")
        return collection

    def _visible(self, endpoint: str, operation: str, path: str) -> Callable[[Path], bool]:
        """Return whether an entry is visible yet. A stale listing shows only entries older than the fault's seconds."""
        seconds = self.world.faults.stale_seconds(operation, endpoint, path)
        if not seconds:
            return lambda _real: True

        def visible(real: Path) -> bool:
            try:
                return real.lstat().st_ctime <= self.world.now() - seconds
            except OSError:
                return True  # the caller reports a missing file

        return visible

    def list_directory(self, request: Request, token: Token, endpoint: str) -> Answer:
        path = request.query.get("path", ["/"])[0]
        collection = self._reach(request, token, endpoint, "ls", path)
        visible = self._visible(endpoint, "ls", path)
        return answer(filesystem.list_document(collection, endpoint, request.query, visible))

    def stat(self, request: Request, token: Token, endpoint: str) -> Answer:
        path = request.query.get("path", ["/"])[0]
        collection = self._reach(request, token, endpoint, "stat", path)
        return answer(filesystem.stat_document(collection, path, self._visible(endpoint, "stat", path)))

    def make_directory(self, request: Request, token: Token, endpoint: str) -> Answer:
        path = _text(request.json(), "path")
        filesystem.make_directory(self._reach(request, token, endpoint, "mkdir", path), path)
        result = {"code": "DirectoryCreated", "message": "The directory was created successfully"}
        return answer({"DATA_TYPE": "mkdir_result", **result, "request_id": request_id(), "resource": request.path})

    def rename(self, request: Request, token: Token, endpoint: str) -> Answer:
        body = request.json()
        old, new = _text(body, "old_path"), _text(body, "new_path")
        filesystem.rename(self._reach(request, token, endpoint, "rename", old), old, new)
        return self._result(request, {"code": "FileRenamed", "message": "File or directory renamed successfully"})

    def endpoint(self, _request: Request, _token: Token, endpoint: str) -> Answer:
        collection = self._collection(endpoint)
        personal = collection.entity_type.startswith("GCP")
        return answer(
            {
                "DATA_TYPE": "endpoint",
                "id": endpoint,
                "display_name": collection.display_name,
                "canonical_name": endpoint,
                "description": "Emulated: a directory of this machine",
                "entity_type": collection.entity_type,
                "high_assurance": False,
                "is_globus_connect": personal,
                "gcp_connected": True if personal else None,
                "gcp_paused": False if personal else None,
                "force_encryption": False,
                "force_verify": collection.force_verify,
                "disable_verify": False,
                "disable_anonymous_writes": False,
                "host_endpoint_id": None,
                "host_path": None,
                "mapped_collection_id": None,
                "default_directory": "/",
                "non_functional": False,
                "public": False,
                "shareable": False,
                "activated": True,
                "expires_in": -1,
                "owner_id": None,
                "owner_string": "emulator",
                "DATA": [],
            }
        )

    # --- the control plane ---------------------------------------------------------------------------------------

    def _control(self, request: Request) -> Answer:
        try:
            local = ipaddress.ip_address(request.peer).is_loopback
        except ValueError:
            local = False
        given = request.headers.get("x-emulator-secret", "")
        if not hmac.compare_digest(given.encode(), self.world.config.control_secret.encode()) or not local:
            raise ApiError(403, "Forbidden", "The control plane needs its secret, from this machine")
        name = request.path.removeprefix(CONTROL)
        task = re.fullmatch(r"tasks/([^/]+)/raw", name)
        match request.method, name:
            case "GET", "requests":
                after = int(request.query.get("after", ["0"])[0])
                return answer({"requests": self.requests.entries(after, request.query.get("path", [""])[0])})
            case "GET", "faults":
                return Answer(200, self.world.faults.document())
            case "PUT", "faults":
                return Answer(200, self.world.replace_faults(request.body))
            case "GET", "config":
                return answer(self._shown_config())
            case "PUT", "config":
                self.world.reconfigure(request.body)
                return answer(self._shown_config())
            case "POST", "clock/advance":
                self.world.advance(msgspec.json.decode(request.body, type=dict[str, float])["seconds"])
                return answer({"now": self.world.now()})
            case "POST", "reset":
                options = msgspec.json.decode(request.body or b"{}", type=dict[str, bool])
                self.world.reset(clock=options.get("clock", True))
                self.requests.clear()
                return answer({"reset": True})
            case "GET", "tasks":
                return answer({"tasks": self.world.all_tasks()})
            case "GET", _ if task:
                return answer(self.world.raw(task.group(1)))
        raise ApiError(404, "ClientError.NotFound", f"No such control: {request.method} {name}")

    def _shown_config(self) -> Document:
        document: Document = msgspec.to_builtins(self.world.config)
        document["clients"] = sorted(self.world.config.clients)
        del document["control_secret"]
        return document


_FAMILIES = {"ls": "DirListingFailed", "stat": "StatFailed", "mkdir": "MkdirFailed", "rename": "RenameFailed"}
_WORDS = {
    "denied": "PermissionDenied",
    "read_only": "PermissionDenied",
    "unsupported": "NotSupported",
    "not_directory": "NotDirectory",
    "disconnected": "GCDisconnected",
    "login_failed": "LoginFailed",
    "connect_failed": "ConnectFailed",
    "size_limit": "SizeLimit",
}


def _fs_refusal(fault: FsFault, operation: str, path: str) -> ApiError:
    """Return the service's answer: trouble at the endpoint is a 502 ExternalError, which the SDK does not retry."""
    if fault.action == "not_found":
        return ApiError(404, "NotFound" if operation == "stat" else "ClientError.NotFound", f"Path not found: {path}")
    if fault.action == "denied" and operation == "stat":
        return filesystem.denied(path)
    word = _WORDS[fault.action]
    return ApiError(502, f"ExternalError.{_FAMILIES[operation]}.{word}", f"Error ({operation})\n{word}: {path}")


def _text(body: Any, field: str) -> str:
    value = body.get(field) if isinstance(body, dict) else None
    if not isinstance(value, str) or not value:
        raise bad_request(f"Missing required field '{field}'")
    return value


_ID = r"([^/]+)"
ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("GET", r"submission_id", Api.submission_id),
    ("POST", r"(transfer|delete)", Api.submit),
    ("GET", r"task_list", Api.task_list),
    ("GET", rf"task/{_ID}", Api.task),
    ("PUT", rf"task/{_ID}", Api.update_task),
    ("POST", rf"task/{_ID}/cancel", Api.cancel_task),
    ("GET", rf"task/{_ID}/(event_list|successful_transfers|skipped_errors|pause_info)", Api.task_part),
    ("GET", rf"operation/endpoint/{_ID}/ls", Api.list_directory),
    ("GET", rf"operation/endpoint/{_ID}/stat", Api.stat),
    ("POST", rf"operation/endpoint/{_ID}/mkdir", Api.make_directory),
    ("POST", rf"operation/endpoint/{_ID}/rename", Api.rename),
    ("GET", rf"endpoint/{_ID}", Api.endpoint),
)


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """Parse a query as the SDK writes it: `+` is a space."""
    return parse_qs(raw.decode("latin-1"), keep_blank_values=True)
