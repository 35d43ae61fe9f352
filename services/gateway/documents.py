"""Machine-readable API documents: AsyncAPI generated from the event Structs, OpenAPI examples, and one HTML page."""

from html import escape
from importlib.metadata import version
from inspect import isclass
from typing import Any

import msgspec
from litestar import Litestar
from litestar.openapi.spec import (
    OpenAPI,
    OpenAPIFormat,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.routes import HTTPRoute

from services.gateway.http import bodies
from services.gateway.http.links import links_of
from services.gateway.schemas.live import DashboardMessage, LiveMessage
from shared.domain import events
from shared.domain.lifecycle import Status

EXAMPLES: dict[str, Any] = {
    "LoginRequest": {"username": "ada", "password": "correct horse battery"},
    "PasswordChange": {"current_password": "changeme", "new_password": "correct horse battery"},
    "JobRequest": {"folder_path": "/mnt/qnap/CitySpace Tech Team/Production/2024/Project_Alpha", "keep_source": False},
    "ArchiveRequest": {"paths": ["reports/2026", "notes.txt"], "output": "reports/2026.zip", "format": "zip", "level": 6},
    "ExtractionRequest": {"path": "reports/2026.zip", "destination": "unpacked"},
    "JobCreated": {
        "job_id": "123e4567-e89b-12d3-a456-426614174000",
        "status": "queued",
        "folder_name": "Project_Alpha",
        "created_at": "2026-01-15T14:32:01Z",
    },
    "TaskControl": {"action": "pause"},
    "Ticket": {"ticket": "dGhpcyBpcyBub3QgYSByZWFsIHRpY2tldA", "expires_in": 30},
    "Health": {"status": "healthy", "timestamp": "2026-01-15T14:32:01Z"},
    "Problem": {
        "type": "conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "This job has completed; there is nothing left to cancel.",
        "request_id": "6f1c2d3e4a5b",
    },
}
_FILES = {"application/x-ndjson", "text/csv", "text/plain"}
FILES = {"listJobs": _FILES - {"text/plain"}, "listAudit": _FILES - {"text/plain"}, "getJobLogs": _FILES - {"text/csv"}}
"""Operations that return a file instead when `format=` is given."""
_BYTES = {"application/octet-stream": OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))}
DOWNLOADS = {"downloadFile", "downloadPack"}
UPLOADS = {"uploadFile"}


_COUNTED = {"listJobs", "listTasks", "listUsers", "listFolders", "listAudit", "getJobLogs"}
_PAGED = {"listJobs", "listAudit"}
_MAKERS = {"createJob", "createUser"}


def strict_shapes(app: Litestar) -> set[str]:
    """Return the names of body Structs that reject unknown fields. The framework does not document this."""
    shapes = [bodies.shape_of(handler) for route in app.routes if isinstance(route, HTTPRoute) for handler in route.route_handlers]
    found = [shape for shape in shapes if isclass(shape) and issubclass(shape, msgspec.Struct)]
    return {shape.__name__ for shape in found if shape.__struct_config__.forbid_unknown_fields}


def complete(document: OpenAPI, strict: set[str]) -> None:
    """Add what the framework cannot know: examples, the file formats of some lists, headers, and links."""
    schemas = document.components.schemas
    for name, example in EXAMPLES.items():
        schemas[name].examples = [example]
    for shape in schemas.values():
        for value in (shape.properties or {}).values():
            _say_number_once(value)
    for name in strict:
        schemas[name].additional_properties = False
    for item in (document.paths or {}).values():
        for operation in (item.get, item.post, item.put, item.patch, item.delete):
            if operation is not None:
                _complete(operation)


def _say_number_once(value: Any) -> None:
    """Fix `int | float`. The framework says "exactly one of integer and number", which no whole number satisfies."""
    kinds = {kind.type for kind in getattr(value, "one_of", None) or () if isinstance(kind, Schema)}
    if {OpenAPIType.INTEGER, OpenAPIType.NUMBER} <= kinds:
        value.one_of = [kind for kind in value.one_of if not (isinstance(kind, Schema) and kind.type is OpenAPIType.INTEGER)]


def _complete(operation: Operation) -> None:
    name = operation.operation_id or ""
    if name in UPLOADS:
        operation.request_body = RequestBody(content=_BYTES, description="The bytes; none with `bytes */...`.")
    for parameter in operation.parameters or ():
        _forget_null(parameter)
    for status, answer in (operation.responses or {}).items():
        if not isinstance(answer, OpenAPIResponse):
            continue
        if status == "204":
            answer.content = None
        if status in {"429", "503"}:
            answer.headers = {"Retry-After": _header(OpenAPIType.INTEGER, "Seconds to wait.")}
        if not status.startswith("2"):
            continue
        for kind in FILES.get(name, ()):
            assert answer.content is not None
            answer.content[kind] = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))
        if name in DOWNLOADS and status in {"200", "206"}:
            answer.content = _BYTES
        answer.headers = {**(answer.headers or {}), **_headers(name)}
        answer.links = links_of(name) or None


def _forget_null(parameter: Any) -> None:
    """Fix `list[str] | None`: the framework says "a list or null", but no query is null. One value is a list of one."""
    schema = parameter.schema
    kinds = [kind for kind in schema.one_of or () if kind.type is not OpenAPIType.NULL]
    if len(kinds) == 1 and kinds[0].type is OpenAPIType.ARRAY:
        schema.one_of, schema.type, schema.items = None, OpenAPIType.ARRAY, kinds[0].items


def _headers(name: str) -> dict[str, Any]:
    """Return the headers of an operation's success response."""
    found = {}
    if name in _COUNTED:
        found["X-Total-Count"] = _header(OpenAPIType.INTEGER, "How many match.")
    if name in _PAGED:
        found["X-Next-Cursor"] = _header(OpenAPIType.STRING, "Where the next page begins; absent on the last.")
        found["X-Total-Estimated"] = _header(OpenAPIType.STRING, "`true`: the total is an estimate.")
    if name in _MAKERS:
        found["Location"] = _header(OpenAPIType.STRING, "Where what was made is.")
    return found


def _header(kind: OpenAPIType, text: str) -> OpenAPIHeader:
    return OpenAPIHeader(schema=Schema(type=kind), description=text)


async def name_methods(message: Any, scope: Any) -> None:
    """Fix OPTIONS responses before they are sent. The framework lists only the methods of the URL's first handler."""
    if scope["type"] == "http" and scope["method"] == "OPTIONS" and message["type"] == "http.response.start":
        template = scope.get("path_template")
        routes = [route for route in scope["litestar_app"].routes if isinstance(route, HTTPRoute) and route.path_format == template]
        allowed = ", ".join(sorted({method for route in routes for method in route.methods}))
        rest = [(name, value) for name, value in message["headers"] if name.lower() != b"allow"]
        message["headers"] = [*rest, (b"allow", allowed.encode())]


_REF = "#/components/schemas/{name}"


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document: stream events and live lines on NATS, and the gateway's WebSockets. Pure."""
    shapes = {
        "JobEvent": events.JobEvent,
        "Progress": events.Progress,
        "LogLine": events.LogLine,
        "ConfigChanged": events.ConfigChanged,
        "LiveMessage": LiveMessage,
        "DashboardMessage": DashboardMessage,
    }
    references, components = _without_discriminators(msgspec.json.schema_components(shapes.values(), ref_template=_REF))
    payloads = dict(zip(shapes, references, strict=True))
    states = [status for status in Status if status is not Status.RUNNING] + [Status.RUNNING]
    nats, sockets = [{"$ref": "#/servers/nats"}], [{"$ref": "#/servers/gateway"}]
    job = {"job": {"description": "The job's id."}}
    channels = {
        **{
            f"job_{status}": _channel(events.subject(status), "JobEvent", nats, f"A job has entered the state {status}.")
            for status in states
        },
        "progress": _channel("live.progress.{job}", "Progress", nats, "Figures of a running stage; may get lost.", job),
        "log": _channel(
            "live.log.{job}", "LogLine", nats, "A line of a job's log; may get lost, the log itself is in Postgres.", job
        ),
        "config": _channel("live.config", "ConfigChanged", nats, "An admin changed settings; may get lost."),
        "ws_jobs": _channel("/ws/jobs", "LiveMessage", sockets, "A snapshot, then every change."),
        "ws_dashboard": _channel("/ws/dashboard", "DashboardMessage", sockets, "The same in the dashboard's words."),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CS Archiver events",
            "version": version("cs-archiver"),
            "description": "What happened to jobs. Stream JOBS keeps `job.>`; evolution is additive, unknown fields are ignored.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {"host": "localhost:4222", "protocol": "nats", "description": "User `subscriber` may read."},
            "gateway": {
                "host": "localhost:8000",
                "protocol": "ws",
                "description": "`?ticket=`, `?token=` or the session's cookie.",
            },
        },
        "channels": channels,
        "operations": {
            f"receive_{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}, "summary": channel["description"]}
            for name, channel in channels.items()
        },
        "components": {
            "messages": {
                name: {"name": name, "contentType": "application/json", "payload": shape} for name, shape in payloads.items()
            },
            "schemas": components,
        },
    }


def _without_discriminators(schema: Any) -> Any:
    """Return a schema without OpenAPI's `discriminator` objects. In AsyncAPI, `discriminator` is a string, the name of a field.

    Nothing is lost, because each of our variants fixes its `type`.
    """
    if isinstance(schema, dict):
        kept = {name: value for name, value in schema.items() if name != "discriminator" or "propertyName" not in value}
        return {name: _without_discriminators(value) for name, value in kept.items()}
    if isinstance(schema, list | tuple):
        return [_without_discriminators(item) for item in schema]
    return schema


def _channel(
    address: str, message: str, servers: list[dict[str, str]], text: str, parameters: dict[str, Any] | None = None
) -> dict[str, Any]:
    more = {"parameters": parameters} if parameters else {}
    messages = {message: {"$ref": f"#/components/messages/{message}"}}
    return {"address": address, "description": text, "servers": servers, "messages": messages, **more}


# The page ----------------------------------------------------------------------------------------------------------------------------

_STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:0.9rem/1.5 ui-monospace,monospace}
pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:8px}
details{border-bottom:1px solid #8884;padding:.4rem 0}summary{cursor:pointer}
b.m{display:inline-block;min-width:5rem}
table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}
"""


def page(openapi: dict[str, Any], asynchronous: dict[str, Any], nonce: str) -> str:
    """Return both documents as one HTML page. It has no script, and one style that the nonce allows. Pure."""
    groups: dict[str, list[str]] = {}
    for path, item in sorted(openapi["paths"].items()):
        for method, operation in item.items():
            tag = next(iter(operation.get("tags") or ["Other"]))
            groups.setdefault(tag, []).append(_operation(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(rows)}" for tag, rows in sorted(groups.items()))
    channels = "".join(
        f"<tr><td><code>{escape(channel['address'])}</code></td><td>{escape(channel['description'])}</td></tr>"
        for channel in asynchronous["channels"].values()
    )
    schemas = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary><pre>{escape(_pretty(schema))}</pre></details>'
        for name, schema in sorted(openapi["components"]["schemas"].items())
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>CS Archiver: interface</title><style nonce="{nonce}">{_STYLE}</style></head><body><main>'
        f"<h1>CS Archiver {escape(openapi['info']['version'])}</h1><p>{escape(openapi['info'].get('description', ''))}</p>"
        '<p>For programs: <a href="/schema/openapi.json">OpenAPI</a>, <a href="/schema/asyncapi.json">AsyncAPI</a>.</p>'
        f"{sections}<h2>Events</h2><table>{channels}</table><h2>Shapes</h2>{schemas}</main></body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    text, _, more = operation.get("description", "").partition("\n")
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td><td>{escape(p.get('description') or '')}</td></tr>"
        for p in operation.get("parameters", [])
    )
    answers = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(answer.get('description', ''))}</td></tr>"
        for status, answer in sorted(operation["responses"].items())
    )
    return (
        f'<details><summary><b class="m">{escape(method.upper())}</b> <code>{escape(path)}</code> {escape(text)}</summary>'
        f"<p>{escape(more)}</p><table>{parameters}</table><table>{answers}</table></details>"
    )


def _pretty(schema: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
