"""Rules for every address: documented, guarded, refused in one form, with protective headers."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.gate import PUBLIC, Gate
from services.gateway.pages import Pages, inside
from tests.services.gateway.conftest import Gateway, problem

_PROTECTION = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method.upper(), path, what) for path, item in document["paths"].items() for method, what in item.items()]


async def test_the_document(gateway: Gateway) -> None:
    """Every operation has an id, a sentence, its refusals as problem documents, and needs a login unless it is public."""
    document = (await gateway.ask("GET", "/schema/openapi.json", token="")).json()

    operations = _operations(document)
    assert len(operations) >= 18, sorted(f"{method} {path}" for method, path, _ in operations)
    assert len({what["operationId"] for _, _, what in operations}) == len(operations)
    for method, path, what in operations:
        assert what["description"], path
        public = (method, path) in PUBLIC
        assert (what.get("security") == [{}]) == public, path
        refusals = {status for status in what["responses"] if status >= "400"}
        assert refusals >= ({"400", "503"} if public else {"400", "401", "403", "503"}), path
        for status in refusals:
            schema = what["responses"][status]["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}


async def test_what_is_documented_is_guarded(gateway: Gateway) -> None:
    """Every documented operation except the public ones answers 401 without a login."""
    document = (await gateway.ask("GET", "/schema/openapi.json")).json()
    for method, path, _ in _operations(document):
        if (method, path) not in PUBLIC:
            problem(await gateway.ask(method, path, token=""), 401, "unauthorized")


async def test_unknown_addresses_and_methods(gateway: Gateway) -> None:
    """404 and 405 are problem documents too."""
    for address in ("/api", "/api/", "/api/nothing", "/api/jobs/x/y/z", "/schema/nothing", "/favicon.png"):
        problem(await gateway.ask("GET", address), 404, "not-found")
    for method, address in (("PATCH", "/api/jobs"), ("GET", "/api/auth/login"), ("POST", "/api/queue"), ("POST", "/index.html")):
        problem(await gateway.ask(method, address), 405, "method-not-allowed")


async def test_headers(gateway: Gateway) -> None:
    """Every response has security headers, and API responses are not cached. A harmless request id is adopted, any other is not."""
    for address in ("/", "/app.js", "/api/health", "/api/nothing", "/schema/openapi.json"):
        answer = await gateway.ask("GET", address)
        assert {name: answer.headers.get(name) for name in _PROTECTION} == _PROTECTION, address
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
    assert (await gateway.ask("GET", "/api/queue")).headers["cache-control"] == "no-store"
    for given, taken in (("trace-1.2_3", True), ("a b", False), ("x" * 65, False)):
        answer = await gateway.ask("GET", "/api/nothing", headers={"X-Request-ID": given})
        assert (answer.json()["request_id"] == given) == taken
        assert answer.headers["x-request-id"] == answer.json()["request_id"]


async def test_a_defect_shows_no_internals(gateway: Gateway) -> None:
    """500 has the request id and nothing about tables or code."""
    await gateway.kernel.owner.execute("ALTER TABLE folders RENAME TO folders_away")
    try:
        answer = await gateway.ask("GET", "/api/folders")
    finally:
        await gateway.kernel.owner.execute("ALTER TABLE folders_away RENAME TO folders")

    assert "folders" not in problem(answer, 500, "internal-error")


async def test_health(gateway: Gateway) -> None:
    """Two fields for everyone. 503 without the migrations, which only /ready reports."""
    healthy = await gateway.ask("GET", "/api/health", token="")
    assert (healthy.status_code, set(healthy.json()), healthy.json()["status"]) == (200, {"status", "timestamp"}, "healthy")

    await gateway.kernel.owner.execute("ALTER TABLE alembic_version RENAME TO alembic_away")
    try:
        answer = await gateway.ask("GET", "/api/health", token="")
        ready = await gateway.ask("GET", "/api/health/ready", token="")
    finally:
        await gateway.kernel.owner.execute("ALTER TABLE alembic_away RENAME TO alembic_version")

    assert "migrated" not in problem(answer, 503, "unavailable")
    assert "migrated" in problem(ready, 503, "unavailable")


# Pages -------------------------------------------------------------------------------------------------------------------------------


async def test_the_page_of_its_own(gateway: Gateway) -> None:
    """Without a built UI, a small page is served, also for deep links: no inline script or style, a nonce per response."""
    first, again = await gateway.ask("GET", "/", token=""), await gateway.ask("GET", "/jobs/some-id", token="")

    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.text == again.text
    assert first.headers["content-security-policy"] != again.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|style=", first.text)
    for name in re.findall(r'(?:src|href)="(/[^"]+)"', first.text):
        assert (await gateway.ask("GET", name, token="")).status_code == 200
    head = await gateway.ask("HEAD", "/", token="")
    assert (head.status_code, head.content) == (200, b"")


@asynccontextmanager
async def _built(root: Path) -> AsyncIterator[httpx.AsyncClient]:
    gate = Gate(None, Pages(root), None, None)  # type: ignore[arg-type] # pages need neither API nor login
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://x") as client:
        yield client


async def test_a_built_ui(tmp_path: Path) -> None:
    """Files have their types. Hashed ones are cached permanently, compressed ones are sent on request, and the nonce is inserted."""
    root = tmp_path / "dist"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text('<meta property="csp-nonce" nonce="__CSP_NONCE__">')
    (root / "assets" / "app-1a2b.js").write_text("1")
    (root / "assets" / "app-1a2b.js.gz").write_bytes(b"packed")
    (root / "favicon.svg").write_text("<svg/>")
    async with _built(root) as client:
        page = await client.get("/queue")
        nonce = re.search(r'nonce="([\w-]+)"', page.text)
        assert nonce is not None
        assert f"'nonce-{nonce[1]}'" in page.headers["content-security-policy"]
        for part in ("media-src 'self'", "frame-src 'self'", "object-src 'none'", "script-src 'self'"):
            assert part in page.headers["content-security-policy"].split("; "), (
                "a film plays, a PDF is shown in a frame, from here only"
            )
        plain = await client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "identity"})
        assert (plain.text, plain.headers["content-type"]) == ("1", "text/javascript; charset=utf-8")
        assert "immutable" in plain.headers["cache-control"]
        async with client.stream("GET", "/assets/app-1a2b.js", headers={"Accept-Encoding": "gzip"}) as packed:
            assert packed.headers["content-encoding"] == "gzip"
        assert (await client.get("/favicon.svg")).headers["content-type"].startswith("image/svg+xml")
        problem(await client.get("/assets/gone.js"), 404, "not-found")


@pytest.mark.parametrize(
    "path", ["/../secret", "/a/../../secret", "/%2e%2e/secret", "/..\\secret", "/link", "/\0", "/" + "x" * 5000, "/folder", "//"]
)
def test_nothing_outside_the_directory(tmp_path: Path, path: str) -> None:
    """No dots, no links that lead out, no directories."""
    root = tmp_path / "dist"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")

    assert inside(root, path) is None
