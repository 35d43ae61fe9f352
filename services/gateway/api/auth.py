"""Login, logout, who am I, change of password."""

from typing import Any

from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from services.gateway import views
from services.gateway.live import Hub
from services.gateway.problems import refusals
from services.gateway.schemas import LoginRequest, LoginResult, PasswordChange, User
from services.gateway.security import Identity, Security

AuthRequest = Request[Identity, Any, Any]


@post("/login", operation_id="login", status_code=200, security=[{}], responses=refusals(401, 413, public=True))
async def login(data: JSONBody[LoginRequest], security: NamedDependency[Security]) -> LoginResult:
    """Log in.

    The token counts for 24 hours, or until logout. A wrong name and a wrong password are answered alike, and take equally long.
    """
    token, row = await security.login(data.username, data.password)
    return LoginResult(token, views.user(row))


@post("/logout", operation_id="logout", status_code=204, responses=refusals())
async def logout(request: AuthRequest, security: NamedDependency[Security], hub: NamedDependency[Hub]) -> None:
    """End this login: the token counts no more, and live connections made with it are closed."""
    await security.logout(request.user)
    hub.recheck()


@get("/me", operation_id="me", responses=refusals())
async def me(request: AuthRequest) -> User:
    """Who is logged in."""
    who = request.user
    return User(who.id, who.username, who.is_admin, who.must_change_password)


@post("/password", operation_id="changePassword", status_code=204, responses=refusals(409, 413))
async def change_password(
    data: JSONBody[PasswordChange], request: AuthRequest, security: NamedDependency[Security], hub: NamedDependency[Hub]
) -> None:
    """Change your own password.

    Every other login of yours ends; the one that asked goes on.
    """
    await security.change_password(request.user, data.current_password, data.new_password)
    hub.recheck()


router = Router("/auth", route_handlers=[login, logout, me, change_password], tags=["Authentication"])
