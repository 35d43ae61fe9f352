"""Users (admins only) and personal tokens (for every user)."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from services.gateway.admin.users import Users
from services.gateway.auth.rights import admins_only, persons_only
from services.gateway.http.problems import refusals
from services.gateway.live.hub import Hub
from services.gateway.records.identity import Identity
from services.gateway.schemas.admin import NewToken, NewUser, Token, TokenRequest, UserAccount, UserChange

AdminRequest = Request[Identity, Any, Any]


def _account(row: Any) -> UserAccount:
    return UserAccount(**{name: row[name] for name in UserAccount.__struct_fields__})


@get("/", operation_id="listUsers", responses=refusals())
async def list_users(
    users: NamedDependency[Users],
    limit: Annotated[int | None, QueryParameter(ge=1, le=10_000, description="Default: all.")] = None,
    offset: Annotated[int, QueryParameter(ge=0, le=2**31)] = 0,
) -> Response[list[UserAccount]]:
    """List all users, ordered by name. `X-Total-Count` is their number."""
    rows, total = await users.users(limit, offset)
    return Response([_account(row) for row in rows], headers={"X-Total-Count": str(total)})


@post("/", operation_id="createUser", status_code=201, responses=refusals(409, 413))
async def create_user(data: JSONBody[NewUser], request: AdminRequest, users: NamedDependency[Users]) -> Response[UserAccount]:
    """Create a user. 409: the name is taken, regardless of letter case."""
    row = await users.create(request.user, data)
    return Response(_account(row), headers={"Location": f"/api/users/{row['id']}"})


@get("/{user_id:uuid}", operation_id="getUser", responses=refusals(404))
async def get_user(user_id: FromPath[UUID], users: NamedDependency[Users]) -> UserAccount:
    """Return one user."""
    return _account(await users.user(user_id))


@patch("/{user_id:uuid}", operation_id="changeUser", status_code=200, responses=refusals(404, 409, 413))
async def change_user(
    user_id: FromPath[UUID],
    data: JSONBody[UserChange],
    request: AdminRequest,
    users: NamedDependency[Users],
    hub: NamedDependency[Hub],
) -> UserAccount:
    """Change the role, set a new password, disable or enable a user.

    A new password or disabling ends the user's logins, personal tokens and live connections at once. A new role ends live
    connections; they reconnect with the new rights. 409: you cannot demote or disable yourself or the last admin.
    """
    row = await users.change(request.user, user_id, data)
    await hub.review()
    return _account(row)


@delete("/{user_id:uuid}", operation_id="deleteUser", status_code=204, responses=refusals(404, 409))
async def delete_user(
    user_id: FromPath[UUID], request: AdminRequest, users: NamedDependency[Users], hub: NamedDependency[Hub]
) -> None:
    """Delete a user. The user's logins, personal tokens and live connections end at once.

    The user's archive jobs stay because they belong to the team. 409: you cannot delete yourself or the last admin.
    """
    await users.delete(request.user, user_id)
    await hub.review()


@get("/", operation_id="listTokens", responses=refusals())
async def list_tokens(
    request: AdminRequest,
    users: NamedDependency[Users],
    user_id: Annotated[UUID | None, QueryParameter(description="Another user's; for admins.")] = None,
) -> list[Token]:
    """List your personal tokens, newest first, with their last use. The tokens themselves cannot be shown again."""
    rows = await users.tokens(request.user, user_id)
    return [Token(**{name: row[name] for name in Token.__struct_fields__}) for row in rows]


@post("/", operation_id="createToken", status_code=201, guards=[persons_only], responses=refusals(409, 413))
async def create_token(data: JSONBody[TokenRequest], request: AdminRequest, users: NamedDependency[Users]) -> NewToken:
    """Create a personal token for a script. Only this response shows its text. 409: you have a token with this name."""
    text, row = await users.make_token(request.user, data)
    return NewToken(token=text, **{name: row[name] for name in Token.__struct_fields__})


@delete("/{token_id:uuid}", operation_id="revokeToken", status_code=204, responses=refusals(404))
async def revoke_token(
    token_id: FromPath[UUID], request: AdminRequest, users: NamedDependency[Users], hub: NamedDependency[Hub]
) -> None:
    """Revoke one of your personal tokens or, for an admin, any token. Requests with it fail from then on."""
    await users.revoke_token(request.user, token_id)
    await hub.review()


users = Router(
    "/users",
    route_handlers=[list_users, create_user, get_user, change_user, delete_user],
    guards=[admins_only],
    tags=["Users"],
)
tokens = Router("/tokens", route_handlers=[list_tokens, create_token, revoke_token], tags=["Personal tokens"])
