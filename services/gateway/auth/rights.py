"""Rights beyond being logged in. They are checked before path, query and body."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from services.gateway.http.http_errors import forbidden
from services.gateway.records.identity import Identity


def admins_only(connection: "ASGIConnection[Any, Any, Any, Any]", _: BaseRouteHandler) -> None:
    """Guard a route (Litestar): admins only. Raises ProblemError 403."""
    who = connection.scope.get("user")
    if who is None or not who.is_admin:
        scoped = who is not None and not who.is_person and who.scope != "admin"
        raise forbidden("This personal token has not the scope admin." if scoped else "Only admins may do this.")


def persons_only(connection: "ASGIConnection[Any, Any, Any, Any]", _: BaseRouteHandler) -> None:
    """Guard a route: it needs a login, or a stolen token could outlive its revocation. Raises ProblemError 403."""
    who = connection.scope.get("user")
    if who is None or not who.is_person:
        raise forbidden("A personal token cannot do this. Log in with name and password.")


def may_browse(who: Identity, browsing: str) -> bool:
    """Return whether this user may see NAS folders in the file views (setting `nas_browsing`). Pure."""
    return browsing == "everybody" or (browsing == "admins" and who.is_admin)


def whose_jobs_to_clear(who: Identity, user: str | None) -> str | None:
    """Return whose completed jobs this user hides. None means everyone's and is for admins. Raises ProblemError 403. Pure."""
    if who.is_admin:
        return user
    if user is not None and user.lower() != who.username.lower():
        raise forbidden(f"Only admins clear jobs that other users asked for. Leave out `user` to clear those of {who.username}.")
    return who.username


def refuse_nas_files(root: str) -> None:
    """Raise ProblemError 403 for an operation that only workspace files support. Pure."""
    if root != "workspace":
        raise forbidden("Folders of the NAS are listed and packed here; nothing in them is changed, and their files are not sent.")


def refuse_nas(who: Identity, browsing: str) -> None:
    """Raise ProblemError 403 unless this user may see NAS folders in the file views. Pure."""
    if not may_browse(who, browsing):
        whom = "only admins" if browsing == "admins" else "nobody"
        raise forbidden(f"The setting nas_browsing lets {whom} look at NAS folders here.")
