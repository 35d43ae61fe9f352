"""Log in, log out, show the current user, change the password."""

import asyncio
from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import JSONBody

from services.gateway.auth.rights import persons_only
from services.gateway.auth.security import Security
from services.gateway.gate import SESSION_COOKIE, WRONG_ORIGIN, address_of, bearer, is_own_origin, session_cookie
from services.gateway.http.http_errors import ProblemError
from services.gateway.http.problems import refusals
from services.gateway.jobs import views
from services.gateway.live.hub import Hub
from services.gateway.records.audit import Actor
from services.gateway.records.identity import Identity
from services.gateway.schemas.auth import LoginRequest, LoginResult, PasswordChange, User

AuthRequest = Request[Identity, Any, Any]


def _cookie(request: Request[Any, Any, Any], value: str, seconds: int) -> Cookie:
    """Make the cookie unreadable for scripts, limit it to our own pages and, once it came over TLS, never send it unencrypted."""
    secure = request.scope["scheme"] == "https"
    return Cookie(SESSION_COOKIE, value=value, max_age=seconds, path="/", httponly=True, samesite="strict", secure=secure)


@post("/login", operation_id="login", status_code=200, security=[{}], responses=refusals(401, 403, 413, 429, public=True))
async def login(
    data: JSONBody[LoginRequest], request: Request[Any, Any, Any], security: NamedDependency[Security]
) -> Response[LoginResult]:
    """Log in.

    The token is valid for 24 hours, or until logout. A wrong name and a wrong password get the same answer after the same time.
    429: within five minutes there were ten failures for this account at this address, fifty from this address, or too many
    logins of this account. If the account has logged in from this address before, failures of other accounts at this address do
    not count. Failures never block a browser that presents a valid login of this account. With `cookie`, the login is kept in a
    cookie that scripts cannot read, and `access_token` is empty. 403: the account is disabled, or a page of another site
    requested a cookie. 503: too many people are logging in at this moment.
    """
    if data.cookie and request.headers.get("origin") and not is_own_origin(request.scope["headers"]):
        raise ProblemError(403, "wrong-origin", WRONG_ORIGIN)
    via, request_id = ("cookie" if data.cookie else "login"), request.scope["state"]["request_id"]
    origin = Actor(via=via, address=address_of(request.scope), request_id=request_id)
    headers = request.scope["headers"]
    gone = asyncio.ensure_future(request.receive())  # the body is already read: the next message is the client's disconnect
    try:
        shown = bearer(headers) or session_cookie(headers)
        token, row = await security.login(data.username, data.password, origin, shown, gone)
    finally:
        gone.cancel()
    if not data.cookie:
        return Response(LoginResult(token, views.user(row)))
    return Response(LoginResult("", views.user(row)), cookies=[_cookie(request, token, security.login_seconds)])


@post("/logout", operation_id="logout", status_code=204, responses=refusals())
async def logout(request: AuthRequest, security: NamedDependency[Security], hub: NamedDependency[Hub]) -> Response[None]:
    """End this login. Its token becomes invalid and its live connections are closed. A personal token is revoked."""
    await security.logout(request.user)
    await hub.review()
    return Response(None, cookies=[_cookie(request, "", 0)] if request.user.via == "cookie" else [])


@get("/me", operation_id="me", responses=refusals())
async def me(request: AuthRequest) -> User:
    """Return the current user."""
    who = request.user
    return User(who.id, who.username, who.is_admin, who.must_change_password)


@post("/password", operation_id="changePassword", status_code=204, guards=[persons_only], responses=refusals(409, 413, 429))
async def change_password(
    data: JSONBody[PasswordChange], request: AuthRequest, security: NamedDependency[Security], hub: NamedDependency[Hub]
) -> None:
    """Change your own password.

    All your other logins end. The login that sent the request stays valid, and so do personal tokens. Wrong and correct
    passwords count as they do at login.
    """
    await security.change_password(request.user, data.current_password, data.new_password)
    await hub.review()


router = Router("/auth", route_handlers=[login, logout, me, change_password], tags=["Authentication"])
