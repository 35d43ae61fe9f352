"""The API's description for programs and people. It is public because it reveals nothing about jobs."""

import secrets
from typing import Any

from litestar import MediaType, Request, Response, get

from services.gateway import documents

_ASYNC = documents.asyncapi()


@get("/schema/asyncapi.json", include_in_schema=False, sync_to_thread=False)
def asyncapi() -> dict[str, Any]:
    return _ASYNC


@get("/schema/index.html", include_in_schema=False, sync_to_thread=False, media_type=MediaType.HTML)
def page(request: Request[Any, Any, Any]) -> Response[str]:
    nonce = secrets.token_urlsafe(16)
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    html = documents.page(request.app.openapi_schema.to_schema(), _ASYNC, nonce)
    return Response(html, media_type=MediaType.HTML, headers={"Content-Security-Policy": policy})
