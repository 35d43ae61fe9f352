"""Globus Auth, as far as a service account needs it: tokens for client credentials, and what a token allows."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import uuid
from typing import Any
from urllib.parse import parse_qs

import msgspec

from devstack.globus_emulator.config import TRANSFER_SCOPE
from devstack.globus_emulator.errors import ApiError
from devstack.globus_emulator.world import World

_DATA_ACCESS = re.compile(r"https://auth\.globus\.org/scopes/([0-9a-fA-F-]{36})/data_access")
_DEPENDENCIES = re.compile(r"\[[^\]]*\]")


class Token(msgspec.Struct, kw_only=True):
    """The emulator's record of an access token. The token itself is kept only as a hash."""

    client: str
    expires: float
    scope: str
    data_access: list[str]


class AuthError(Exception):
    """A call to Auth was refused, in Auth's own format."""

    def __init__(self, status: int, code: str, detail: str, error: str) -> None:
        super().__init__(detail)
        self.status = status
        self.body: dict[str, Any] = {
            "errors": [{"status": str(status), "id": str(uuid.uuid4()), "code": code, "detail": detail, "title": detail}],
            "error": error,
            "error_description": detail,
        }


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _client(world: World, authorization: str, form: dict[str, list[str]]) -> str:
    """Return the authenticated client. Raises AuthError."""
    refused = AuthError(401, "UNAUTHORIZED", "Call must be authenticated", "unauthorized")
    identity, secret = form.get("client_id", [""])[0], form.get("client_secret", [""])[0]
    if authorization.lower().startswith("basic "):
        try:
            identity, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise refused from None
    known = world.config.clients.get(identity)
    if known is None or not hmac.compare_digest(known.encode(), secret.encode()):
        raise refused
    if world.faults.auth({"reject_secret"}):
        raise refused
    return identity


def grant(world: World, authorization: str, body: bytes) -> dict[str, Any]:
    """Answer `POST /v2/oauth2/token`. Raises AuthError."""
    form = parse_qs(body.decode(errors="replace"))
    client = _client(world, authorization, form)
    if form.get("grant_type", [""])[0] != "client_credentials":
        raise AuthError(400, "UNSUPPORTED_GRANT_TYPE", "Only client_credentials is emulated", "unsupported_grant_type")
    asked = form.get("scope", [TRANSFER_SCOPE])[0]
    data_access = _DATA_ACCESS.findall(asked)
    for collection in data_access:
        known = world.config.collections.get(collection)
        # Only mapped collections have this scope; for all others Auth does not know it.
        if known is None or not (known.requires_data_access or known.entity_type == "GCSv5_mapped_collection"):
            raise AuthError(400, "UNKNOWN_SCOPE_ERROR", "Unknown scope requested", "unknown_scope")
    # The SDK sends the scope twice, with and without its dependent scopes; grant the bare scope.
    scope = " ".join(dict.fromkeys(_DEPENDENCIES.sub("", asked).split()))
    other = world.faults.auth({"scope"})
    brief = world.faults.auth({"expires_in"})
    expires_in = brief.seconds if brief else world.config.expires_in_s
    token = "emulated-" + secrets.token_urlsafe(32)
    kept = Token(client=client, expires=world.now() + expires_in, scope=scope, data_access=data_access)
    world.store.save_token(_hash(token), msgspec.json.encode(kept))
    return {
        "access_token": token,
        "scope": other.scope if other else scope,
        "expires_in": expires_in,
        "token_type": "Bearer",
        "resource_server": "transfer.api.globus.org",
        "other_tokens": [],
    }


def revoke(world: World, authorization: str, body: bytes) -> dict[str, Any]:
    """Answer `POST /v2/oauth2/token/revoke`. Raises AuthError."""
    form = parse_qs(body.decode(errors="replace"))
    _client(world, authorization, form)
    world.store.drop_tokens(_hash(form.get("token", [""])[0]))
    return {"active": False}


def check(world: World, authorization: str, path: str) -> Token:
    """Return the token of a call to Transfer. Raises ApiError (401)."""
    refused = ApiError(401, "AuthenticationFailed", "Token is not active")
    if not authorization.lower().startswith("bearer "):
        raise ApiError(401, "AuthenticationFailed", "No credentials supplied")
    if world.faults.auth({"revoke_tokens"}, path):
        world.store.drop_tokens()
    if world.faults.auth({"refuse_tokens"}, path):
        raise refused
    found = world.store.token(_hash(authorization[7:].strip()))
    if found is None:
        raise refused
    token = msgspec.json.decode(found, type=Token)
    if token.expires <= world.now() or TRANSFER_SCOPE not in token.scope.split() or token.client not in world.config.clients:
        raise refused
    return token


def need_data_access(world: World, token: Token, collection: str, path: str) -> None:
    """Raise ApiError (403 ConsentRequired) when the token does not cover the collection's data."""
    known = world.config.collections.get(collection)
    missing = known is not None and known.requires_data_access and collection not in token.data_access
    if missing or world.faults.auth({"consent_required"}, path):
        raise ApiError(
            403,
            "ConsentRequired",
            "Missing required data_access consent",
            required_scopes=[f"{TRANSFER_SCOPE}[*https://auth.globus.org/scopes/{collection}/data_access]"],
        )
