# ruff: noqa: INP001 - a script of the UI, outside every package
"""What the UI's types are made from: the gateway's OpenAPI document and, beside its schemas, what it does not describe.

That is the WebSocket's messages, and what stands in lists that can also be had as a file (the document says nothing of their body).

`python ui/tools/apigen/schema.py` prints it; `make ui-types` turns it into ui/src/api/generated.ts, whose first line holds `digest`
of it, so that a test (tests/ui/test_contract.py) can tell whether the file is stale without Node. Words for people are left out:
rewording a sentence changes no type.
"""

import hashlib
import json
import sys
from dataclasses import fields
from typing import Any

import msgspec

from services.gateway.app import Parts, routes
from services.gateway.schemas.admin import AuditEntry
from services.gateway.schemas.jobs import JobLogLine, JobSummary
from services.gateway.schemas.live import LiveMessage

_FOR_PEOPLE = {"description", "summary", "title", "examples", "example", "info", "servers", "tags"}


def document() -> dict[str, Any]:
    """The OpenAPI document without prose, with the live messages among its schemas."""
    parts: Any = {field.name: None for field in fields(Parts)}
    api = _plain(routes(Parts(**parts)).openapi_schema.to_schema())
    missing = [LiveMessage, JobLogLine, JobSummary, AuditEntry]
    (live, *_), more = msgspec.json.schema_components(missing, ref_template="#/components/schemas/{name}")
    api["components"]["schemas"] |= {name: _plain(schema) for name, schema in more.items()} | {"LiveMessage": live}
    return dict(api)


def digest() -> str:
    """Changes whenever a type may have changed."""
    return hashlib.sha256(json.dumps(document(), sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    # A property may be called "title"; then its value is a schema, not a sentence.
    return {key: _plain(item) for key, item in value.items() if key not in _FOR_PEOPLE or not isinstance(item, str | list)}


if __name__ == "__main__":
    if sys.argv[1:] == ["--digest"]:
        print(digest())  # noqa: T201 - its purpose
    else:
        json.dump({"openapi": "3.1.0", "info": {"title": "CS Archiver", "version": "0"}, **document()}, sys.stdout)
