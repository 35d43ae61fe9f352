"""Descriptions of the API for programs and people: complete, generated from the code, and self-contained."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from services.gateway import documents
from services.gateway.schemas.live import JobUpdate
from shared.domain import events
from shared.domain.lifecycle import Status
from tests.services.gateway.conftest import Gateway, problem

GOLDEN = Path(__file__).parents[2] / "golden" / "events"
UI = Path(__file__).parents[3] / "ui"


def _resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(_references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(_references(item) for item in value))
    return set()


async def test_asyncapi(gateway: Gateway) -> None:
    """One channel per published subject. Every reference resolves, and every field of the Structs is there."""
    document = (await gateway.ask("GET", "/schema/asyncapi.json", token="")).json()

    assert document == json.loads(json.dumps(documents.asyncapi()))
    assert document["asyncapi"] == "3.0.0"
    for reference in _references(document):
        assert _resolve(document, reference)
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses >= {events.subject(status) for status in Status} | {
        "live.progress.{job}",
        "live.log.{job}",
        "live.config",
        "/ws/jobs",
    }
    schemas = document["components"]["schemas"]
    for shape in (events.JobEvent, events.JobData, events.Progress, events.LogLine, events.ConfigChanged, JobUpdate):
        fields = {field.encode_name for field in msgspec.structs.fields(shape)}
        assert set(schemas[shape.__name__]["properties"]) >= fields, shape


def test_golden_events_are_what_the_document_says() -> None:
    """Every recorded event has the required fields of the document's schema, and no others."""
    schemas = documents.asyncapi()["components"]["schemas"]
    for file in GOLDEN.glob("*.json"):
        event = json.loads(file.read_bytes())
        for shape, value in ((schemas["JobEvent"], event), (schemas["JobData"], event["data"])):
            assert set(shape["required"]) <= set(value) <= set(shape["properties"]), file


def test_asyncapi_passes_asyncapis_own_parser() -> None:
    """It runs with the Node that builds the UI. The parser also reports a newer AsyncAPI version, which is no error."""
    found = subprocess.run(
        [Path(sys.executable).with_name("node"), UI / "tools" / "asyncapi.mjs"],
        input=json.dumps(documents.asyncapi()),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (found.returncode, found.stderr) == (0, ""), found.stdout + found.stderr
    assert [line for line in found.stdout.splitlines() if "asyncapi-latest-version" not in line] == []


def test_asyncapis_parser_finds_what_is_wrong() -> None:
    """A test of the check: an OpenAPI-style discriminator is an error, and so is a text that is no document."""
    document = documents.asyncapi()
    document["components"]["schemas"]["JobEvent"]["discriminator"] = {"propertyName": "type"}
    for text, words in ((json.dumps(document), '"discriminator" property type must be string'), ("{}", "asyncapi")):
        program = [Path(sys.executable).with_name("node"), UI / "tools" / "asyncapi.mjs"]
        found = subprocess.run(program, input=text, capture_output=True, text=True, check=False)
        assert (found.returncode, words in found.stdout) == (1, True), found


async def test_openapi(gateway: Gateway) -> None:
    """3.1 with plain names, examples for requests, concrete responses. The live messages are among the types."""
    document = (await gateway.ask("GET", "/schema/openapi.json", token="")).json()
    schemas = document["components"]["schemas"]
    assert document["openapi"].startswith("3.1")
    assert not [name for name in schemas if not re.fullmatch(r"[A-Za-z]+", name)]
    for reference in _references(document):
        assert _resolve(document, reference)
    for name, example in documents.EXAMPLES.items():
        assert schemas[name]["examples"] == [example]
        assert set(schemas[name].get("required", [])) <= set(example) <= set(schemas[name]["properties"])
    for name in ("Snapshot", "JobUpdate", "QueueUpdate", "LogMessage", "JobEntered", "Heartbeat"):
        assert "type" in schemas[name]["properties"], name


async def test_the_page(gateway: Gateway) -> None:
    """Every address is on it. No script, nothing loaded from elsewhere, one style that the response's own nonce allows."""
    page = await gateway.ask("GET", "/schema", token="")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    document = (await gateway.ask("GET", "/schema/openapi.json", token="")).json()
    assert not [path for path in document["paths"] if path not in page.text]
    assert not re.search(r"<script|<link|<img|https?://|\son\w+=|\sstyle=", page.text)
    nonce = re.search(r'<style nonce="([\w-]+)">', page.text)
    assert nonce is not None
    assert f"style-src 'nonce-{nonce[1]}'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    problem(await gateway.ask("GET", "/schema/nothing", token=""), 404, "not-found")


async def test_metrics(gateway: Gateway) -> None:
    """From this machine, or with a token. A proxy's client without a token gets nothing."""
    await gateway.request()
    await gateway.ask("GET", "/api/queue")
    answer = await gateway.ask("GET", "/metrics", token="")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.text
    for wanted in (
        'cs_archiver_jobs{kind="archive",status="queued"}',
        'cs_archiver_http_requests_total{method="GET",route="/api/queue",status="200"}',
        'cs_archiver_http_seconds_bucket{le="0.005",method="GET",route="/api/queue"}',
        'cs_archiver_live_clients{channel="jobs"}',
        "cs_archiver_queue_age_seconds",
        "cs_archiver_relay_lag_seconds",
        "cs_archiver_events_published_total",
    ):
        assert wanted in text, wanted
    behind_proxy = {"X-Forwarded-For": "203.0.113.9"}
    problem(await gateway.ask("GET", "/metrics", token="", headers=behind_proxy), 401, "unauthorized")
    assert (await gateway.ask("GET", "/metrics", headers=behind_proxy)).status_code == 200
    problem(await gateway.ask("GET", "/metrics", token="nonsense"), 401, "unauthorized")
