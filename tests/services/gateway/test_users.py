"""Users and admin actions, personal tokens, browser sessions, throttling, and the matrix of rights."""

import asyncio
import contextlib
import threading
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.gateway.auth import security, throttle
from services.gateway.auth.security import TOKEN_PREFIX, Tokens
from services.gateway.auth.turns import Rank, Turns
from services.gateway.gate import PUBLIC, SESSION_COOKIE
from services.gateway.http.http_errors import ProblemError
from shared.infra.runtime_settings import DEFINITIONS
from tests.services.gateway.conftest import PASSWORD, Gateway, problem
from tests.support.kernel import eventually

NOBODY = "00000000-0000-4000-8000-000000000000"


async def user(gateway: Gateway, name: str | None = None, *, admin: bool = False) -> tuple[UUID, str]:
    """A user with the admin's password (which saves a bcrypt run), and a login's token."""
    made: UUID = await gateway.kernel.owner.fetchval(
        "INSERT INTO users (username, password_hash, is_admin) SELECT $1, password_hash, $2 FROM users"
        " WHERE username = 'admin' RETURNING id",
        name or f"user-{uuid4().hex[:8]}",
        admin,
    )
    return made, login_token(made)


def login_token(made: UUID, epoch: int = 0) -> str:
    return Tokens("k" * 40, "HS256", 60).issue(made, epoch)


async def personal(gateway: Gateway, token: str, scope: str, **more: Any) -> dict[str, Any]:
    body = {"name": f"script {uuid4().hex[:6]}", "scope": scope, **more}
    answer = await gateway.ask("POST", "/api/tokens", token=token, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def audited(gateway: Gateway, target: object) -> list[str]:
    rows = await gateway.kernel.owner.fetch("SELECT action FROM audit WHERE target = $1 ORDER BY id", str(target))
    return [row["action"] for row in rows]


# Users -------------------------------------------------------------------------------------------------------------------------------


async def test_an_admin_makes_a_user(gateway: Gateway) -> None:
    """The promised fields. The password needs no change unless the admin ticks it. A name is taken in any letter case."""
    body = {"username": "Carol", "password": "carols password", "is_admin": False}
    answer = await gateway.ask("POST", "/api/users", json=body)

    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/api/users/{made['id']}"
    assert (made["username"], made["is_admin"], made["must_change_password"], made["last_login"]) == ("Carol", False, False, None)
    await gateway.login("carol", "carols password")
    listed = await gateway.ask("GET", "/api/users")
    mine = next(row for row in listed.json() if row["id"] == made["id"])
    assert set(mine) >= {"id", "username", "is_admin", "created_at", "last_login"}
    assert mine["last_login"]
    assert int(listed.headers["x-total-count"]) == len(listed.json())
    assert (await gateway.ask("GET", f"/api/users/{made['id']}")).json() == mine
    assert "already" in problem(await gateway.ask("POST", "/api/users", json=body | {"username": "CAROL"}), 409, "conflict")
    ticked = await gateway.ask("POST", "/api/users", json=body | {"username": "dora", "must_change_password": True})
    assert ticked.json()["must_change_password"] is True
    for wrong in ({"username": " x"}, {"username": "a\u200bb"}, {"password": "short"}, {"password": "carol"}):
        problem(await gateway.ask("POST", "/api/users", json=body | {"username": "new"} | wrong), 400, "bad-request")
    assert await audited(gateway, made["id"]) == ["user_created"]


async def test_nobody_removes_themselves_or_the_last_admin(gateway: Gateway) -> None:
    """409 with a sentence: for oneself, by any of three ways, and for the last admin, even when two act at once."""
    admin_id = await gateway.kernel.owner.fetchval("SELECT id FROM users WHERE username = 'admin'")
    address = f"/api/users/{admin_id}"
    for change in ({"is_admin": False}, {"disabled": True}, {"password": "another password"}):
        problem(await gateway.ask("PATCH", address, json=change), 409, "conflict")
    assert "yourself" in problem(await gateway.ask("DELETE", address), 409, "conflict")

    first, first_token = await user(gateway, admin=True)
    second, second_token = await user(gateway, admin=True)
    await gateway.kernel.owner.execute("UPDATE users SET is_admin = false WHERE id <> ALL($1::uuid[])", [first, second])
    try:
        answers = await asyncio.gather(
            gateway.ask("PATCH", f"/api/users/{second}", token=first_token, json={"is_admin": False}),
            gateway.ask("DELETE", f"/api/users/{first}", token=second_token),
        )
        left = await gateway.kernel.owner.fetchval("SELECT count(*) FROM users WHERE is_admin")
    finally:
        await gateway.kernel.owner.execute("UPDATE users SET is_admin = true WHERE username = 'admin'")
    assert left == 1, [answer.text for answer in answers]
    assert sum(answer.is_success for answer in answers) == 1, [answer.text for answer in answers]
    for gone in (first, second):
        await gateway.kernel.owner.execute("DELETE FROM users WHERE id = $1", gone)


@pytest.mark.parametrize("how", ["disable", "delete", "reset", "logout"])
async def test_an_end_is_at_once(gateway: Gateway, how: str) -> None:
    """Disabled, deleted, a new password, logged out: the next request is 401, and open WebSockets are closed."""
    made, token = await user(gateway)
    script = (await personal(gateway, token, "operate"))["token"]
    url = gateway.url.replace("http", "ws")
    watched = [token] if how == "logout" else [token, script]
    sockets = [await connect(f"{url}/ws/jobs?token={text}", proxy=None) for text in watched]
    for socket in sockets:
        await asyncio.wait_for(socket.recv(), 60)

    if how == "logout":
        done = await gateway.ask("POST", "/api/auth/logout", token=token)
    elif how == "delete":
        done = await gateway.ask("DELETE", f"/api/users/{made}")
    else:
        change: dict[str, Any] = {"disabled": True} if how == "disable" else {"password": "set by the admin"}
        done = await gateway.ask("PATCH", f"/api/users/{made}", json=change)
    assert done.is_success, done.text
    for text in watched:
        problem(await gateway.ask("GET", "/api/auth/me", token=text), 401, "unauthorized")
    for socket in sockets:
        async with asyncio.timeout(60):
            await drained(socket)
        assert socket.close_code == 4401
    if how == "disable":
        answer = await gateway.client.post("/api/auth/login", json={"username": await name_of(gateway, made), "password": PASSWORD})
        problem(answer, 403, "account-disabled")
        back = await gateway.ask("PATCH", f"/api/users/{made}", json={"disabled": False})
        assert back.json()["disabled_at"] is None
        problem(await gateway.ask("GET", "/api/auth/me", token=token), 401, "unauthorized")
        await gateway.login(await name_of(gateway, made))
        assert await audited(gateway, made) == ["user_disabled", "user_enabled"]


async def drained(socket: ClientConnection) -> None:
    """Read until the server closes."""
    with contextlib.suppress(ConnectionClosed):
        async for _ in socket:
            pass


async def name_of(gateway: Gateway, made: UUID) -> str:
    return str(await gateway.kernel.owner.fetchval("SELECT username FROM users WHERE id = $1", made))


async def test_role_and_reset(gateway: Gateway) -> None:
    """A role applies from the next request on. A reset requires a new password only when ticked."""
    made, token = await user(gateway)
    assert (await gateway.ask("GET", "/api/users", token=token)).status_code == 403
    assert (await gateway.ask("PATCH", f"/api/users/{made}", json={"is_admin": True})).json()["is_admin"] is True
    assert (await gateway.ask("GET", "/api/users", token=token)).status_code == 200
    assert (await gateway.ask("PATCH", f"/api/users/{made}", json={"is_admin": False})).json()["is_admin"] is False
    assert (await gateway.ask("GET", "/api/users", token=token)).status_code == 403

    plain = await gateway.ask("PATCH", f"/api/users/{made}", json={"password": "set by the admin"})
    assert plain.json()["must_change_password"] is False
    ticked = await gateway.ask("PATCH", f"/api/users/{made}", json={"password": "set again by admin", "must_change_password": True})
    assert ticked.json()["must_change_password"] is True
    fresh = await gateway.login(await name_of(gateway, made), "set again by admin")
    problem(await gateway.ask("GET", "/api/queue", token=fresh), 403, "password-change-required")
    problem(await gateway.ask("PATCH", f"/api/users/{NOBODY}", json={"disabled": True}), 404, "not-found")
    assert await audited(gateway, made) == ["user_role", "user_role", "password_reset", "password_reset"]


# Personal tokens ---------------------------------------------------------------------------------------------------------------------


async def test_personal_tokens(gateway: Gateway) -> None:
    """Named, scoped, shown once, last use shown, revocable. The database stores a digest."""
    made, login = await user(gateway)
    token = await personal(gateway, login, "read", name="backup script", expires_in_days=7)
    assert token["token"].startswith(TOKEN_PREFIX)
    stored = await gateway.kernel.owner.fetchval("SELECT row_to_json(t)::text FROM api_tokens t WHERE id = $1", UUID(token["id"]))
    assert token["token"] not in stored

    assert (await gateway.ask("GET", "/api/tokens", token=login)).json()[0]["last_used_at"] is None
    assert (await gateway.ask("GET", "/api/queue", token=token["token"])).status_code == 200
    (listed,) = (await gateway.ask("GET", "/api/tokens", token=login)).json()
    assert "token" not in listed
    assert listed["last_used_at"]
    problem(await gateway.ask("POST", "/api/jobs", token=token["token"], json={"folder_path": "/x"}), 403, "scope")
    taken = await gateway.ask("POST", "/api/tokens", token=login, json={"name": "Backup Script"})
    problem(taken, 409, "conflict")
    _, other = await user(gateway)
    problem(await gateway.ask("DELETE", f"/api/tokens/{token['id']}", token=other), 404, "not-found")
    problem(await gateway.ask("GET", f"/api/tokens?user_id={made}", token=other), 403, "forbidden")
    assert (await gateway.ask("GET", f"/api/tokens?user_id={made}")).json()[0]["id"] == token["id"]

    assert (await gateway.ask("DELETE", f"/api/tokens/{token['id']}", token=login)).status_code == 204
    problem(await gateway.ask("GET", "/api/queue", token=token["token"]), 401, "unauthorized")
    assert (await gateway.ask("GET", "/api/tokens", token=login)).json() == []
    await personal(gateway, login, "read", name="backup script")
    assert await audited(gateway, token["id"]) == ["token_created", "token_revoked"]


async def test_what_a_token_cannot_become(gateway: Gateway) -> None:
    """Only admins get admin tokens, a token cannot create one or change a password. Expired and demoted ones give no access."""
    made, login = await user(gateway)
    problem(await gateway.ask("POST", "/api/tokens", token=login, json={"name": "x", "scope": "admin"}), 403, "forbidden")
    operate = (await personal(gateway, login, "operate"))["token"]
    problem(await gateway.ask("POST", "/api/tokens", token=operate, json={"name": "y"}), 403, "forbidden")
    change = {"current_password": PASSWORD, "new_password": "a new password"}
    problem(await gateway.ask("POST", "/api/auth/password", token=operate, json=change), 403, "forbidden")

    lesser = (await personal(gateway, gateway.token, "operate"))["token"]
    assert "scope admin" in problem(await gateway.ask("GET", "/api/users", token=lesser), 403, "forbidden")
    assert (await gateway.ask("GET", "/api/auth/me", token=lesser)).json()["is_admin"] is False
    await gateway.ask("PATCH", f"/api/users/{made}", json={"is_admin": True})
    greater = (await personal(gateway, login, "admin"))["token"]
    assert (await gateway.ask("GET", "/api/users", token=greater)).status_code == 200
    await gateway.ask("PATCH", f"/api/users/{made}", json={"is_admin": False})
    problem(await gateway.ask("GET", "/api/users", token=greater), 403, "forbidden")

    ending = await personal(gateway, login, "read", expires_in_days=1)
    await gateway.kernel.owner.execute("UPDATE api_tokens SET expires_at = now() WHERE id = $1", UUID(ending["id"]))
    problem(await gateway.ask("GET", "/api/queue", token=ending["token"]), 401, "unauthorized")


# Browser sessions --------------------------------------------------------------------------------------------------------------------


async def test_a_browser_session(gateway: Gateway) -> None:
    """The login is in a cookie that scripts cannot read. Only the gateway's own pages may use it for changes. Logout removes it."""
    made, _ = await user(gateway)
    own = {"Origin": gateway.url}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as browser:
        body = {"username": await name_of(gateway, made), "password": PASSWORD, "cookie": True}
        foreign = await browser.post("/api/auth/login", json=body, headers={"Origin": "https://evil.example"})
        problem(foreign, 403, "wrong-origin")
        answer = await browser.post("/api/auth/login", json=body, headers=own)
        assert answer.json()["access_token"] == ""
        flags = answer.headers["set-cookie"].lower()
        assert all(flag in flags for flag in ("httponly", "samesite=strict", "path=/", f"max-age={24 * 3600}"))
        assert "secure" not in flags
        claims = jwt.decode(browser.cookies[SESSION_COOKIE], options={"verify_signature": False})
        assert claims["sub"] == str(made)

        assert (await browser.get("/api/auth/me")).json()["id"] == str(made)
        clear = ("DELETE", "/api/jobs/00000000-0000-4000-8000-000000000000")
        for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            problem(await browser.request(*clear, headers=headers), 403, "wrong-origin")
        for headers in (own, {"Sec-Fetch-Site": "same-origin"}):
            problem(await browser.request(*clear, headers=headers), 404, "not-found")
        assert (await browser.post("/api/auth/logout", headers=own)).status_code == 204
        assert SESSION_COOKIE not in browser.cookies
        browser.cookies.set(SESSION_COOKIE, answer.cookies[SESSION_COOKIE])
        problem(await browser.get("/api/auth/me"), 401, "unauthorized")


async def test_the_cookie_is_secure_behind_https(gateway: Gateway) -> None:
    """If a proxy on this machine reports HTTPS, the cookie is Secure and the response sends HSTS."""
    made, _ = await user(gateway)
    body = {"username": await name_of(gateway, made), "password": PASSWORD, "cookie": True}
    answer = await gateway.client.post("/api/auth/login", json=body, headers={"X-Forwarded-Proto": "https"})
    gateway.client.cookies.clear()

    assert "secure" in answer.headers["set-cookie"].lower()
    assert answer.headers["strict-transport-security"].startswith("max-age=")


# Throttling --------------------------------------------------------------------------------------------------------------------------


async def _fail(gateway: Gateway, name: str, address: str, password: str = "wrong") -> httpx.Response:
    headers = {"X-Forwarded-For": address}
    return await gateway.client.post("/api/auth/login", json={"username": name, "password": password}, headers=headers)


async def _failures(gateway: Gateway, key: str, count: int) -> None:
    """Record failures as if they had just happened: ten real ones would cost three seconds of bcrypt."""
    await gateway.kernel.owner.execute(
        "INSERT INTO login_failures VALUES ($1, $2, now()) ON CONFLICT (key) DO UPDATE SET failures = $2, since = now()", key, count
    )


def _own(name: str, address: str) -> str:
    return throttle.Attempt(name, address).own_key


async def test_login_throttling(gateway: Gateway) -> None:
    """Too many failures of an account at an address, or from an address: 429 with Retry-After, also for unknown names. Time resets it."""
    made, _ = await user(gateway)
    name = await name_of(gateway, made)
    first = _own(name, "192.0.2.1")
    await _failures(gateway, first, throttle.FAILURES - 1)
    assert (await _fail(gateway, name, "192.0.2.1", PASSWORD)).status_code == 200
    assert await gateway.kernel.owner.fetchval("SELECT count(*) FROM login_failures WHERE key = $1", first) == 0

    await _failures(gateway, first, throttle.FAILURES - 1)
    assert (await _fail(gateway, name.upper(), "192.0.2.1")).status_code == 401
    blocked = await _fail(gateway, name, "192.0.2.1", PASSWORD)
    problem(blocked, 429, "too-many-failures")
    assert 0 < int(blocked.headers["retry-after"]) <= throttle.WINDOW_SECONDS
    await gateway.kernel.owner.execute("UPDATE login_failures SET since = now() - interval '10 minutes' WHERE key = $1", first)
    assert (await _fail(gateway, name, "192.0.2.1", PASSWORD)).status_code == 200

    await _failures(gateway, _own("nobody at all", "192.0.2.4"), throttle.FAILURES)
    problem(await _fail(gateway, "Nobody at all", "192.0.2.4"), 429, "too-many-failures")
    await _failures(gateway, throttle.address_key("2001:db8::1"), throttle.ADDRESS_FAILURES)
    problem(await _fail(gateway, name, "2001:db8::ffff", PASSWORD), 429, "too-many-failures")
    assert (await _fail(gateway, name, "2001:db8:1::1", PASSWORD)).status_code == 200


async def test_strangers_keep_nobody_out(gateway: Gateway) -> None:
    """Guesses from many addresses, and other users' failures from the same address, lock out no admin who logged in there before."""
    made, token = await user(gateway, admin=True)
    name = await name_of(gateway, made)
    assert (await _fail(gateway, name, "198.51.100.10", PASSWORD)).status_code == 200

    for stranger in range(1, 30):
        await _failures(gateway, _own(name, f"203.0.113.{stranger}"), throttle.FAILURES)
    problem(await _fail(gateway, name, "203.0.113.1", PASSWORD), 429, "too-many-failures")
    assert (await _fail(gateway, name, "198.51.100.10", PASSWORD)).status_code == 200
    assert (await _fail(gateway, name, "198.51.100.11", PASSWORD)).status_code == 200, "from an address nobody knows"

    await _failures(gateway, throttle.address_key("198.51.100.10"), throttle.ADDRESS_FAILURES)
    assert (await _fail(gateway, name, "198.51.100.10", PASSWORD)).status_code == 200
    other = await name_of(gateway, (await user(gateway))[0])
    problem(await _fail(gateway, other, "198.51.100.10", PASSWORD), 429, "too-many-failures")

    await _failures(gateway, _own(name, "198.51.100.10"), throttle.FAILURES)
    problem(await _fail(gateway, name, "198.51.100.10", PASSWORD), 429, "too-many-failures")
    headers = {"X-Forwarded-For": "198.51.100.10", "Authorization": f"Bearer {token}"}
    body = {"username": name, "password": PASSWORD}
    assert (await gateway.client.post("/api/auth/login", json=body, headers=headers)).status_code == 200
    foreign = headers | {"Authorization": f"Bearer {gateway.token}"}
    problem(await gateway.client.post("/api/auth/login", json=body, headers=foreign), 429, "too-many-failures")


async def test_right_passwords_are_not_free(gateway: Gateway) -> None:
    """Logins and password changes of one account share a limit, from any address. Other accounts are not affected."""
    made, token = await user(gateway)
    name, other = await name_of(gateway, made), await name_of(gateway, (await user(gateway))[0])
    most = DEFINITIONS["login_limit"].default({})
    await _failures(gateway, throttle.Attempt(name, "").logins_key, most - 1)
    change = {"current_password": PASSWORD, "new_password": "a much better one"}

    assert (await _fail(gateway, name, "192.0.2.50", PASSWORD)).status_code == 200
    refused = await _fail(gateway, name, "192.0.2.51", PASSWORD)
    assert "personal tokens" in problem(refused, 429, "too-many-logins")
    assert 0 < int(refused.headers["retry-after"]) <= throttle.WINDOW_SECONDS
    changed = await gateway.ask("POST", "/api/auth/password", token=token, json=change)
    problem(changed, 429, "too-many-logins")
    assert changed.headers["retry-after"]
    assert (await _fail(gateway, other, "192.0.2.51", PASSWORD)).status_code == 200


async def test_wrong_current_passwords_count(gateway: Gateway) -> None:
    """A stolen login guesses the password no faster than a stranger. The account's other logins may still change it."""
    made, token = await user(gateway)
    change = {"current_password": "wrong", "new_password": "a much better one"}
    claims = jwt.decode(token, options={"verify_signature": False})
    await _failures(gateway, f"session:{claims['jti']}", throttle.FAILURES - 1)

    problem(await gateway.ask("POST", "/api/auth/password", token=token, json=change), 403, "wrong-password")
    right = change | {"current_password": PASSWORD}
    problem(await gateway.ask("POST", "/api/auth/password", token=token, json=right), 429, "too-many-failures")
    assert (await gateway.ask("POST", "/api/auth/password", token=login_token(made), json=right)).status_code == 204


async def test_parallel_guesses(gateway: Gateway) -> None:
    """Simultaneous guesses get no further than successive ones, except those that are hashed at the same time."""
    name = f"target-{uuid4().hex[:6]}"
    await _failures(gateway, _own(name, "198.51.100.1"), throttle.FAILURES - 2)
    answers = await asyncio.gather(*(_fail(gateway, name, "198.51.100.1") for _ in range(8)))

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(401) <= 3, statuses
    assert statuses.count(429) >= 5, statuses


async def test_who_comes_back_waits_for_nobody_who_is_here(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login of an account without a login in use passes. A waiting client that has disconnected is skipped."""
    names = {}
    for who in ("here", "back"):
        made, token = await user(gateway)
        names[who] = await name_of(gateway, made)
        assert (await _fail(gateway, names[who], "192.0.2.60", PASSWORD)).status_code == 200
        if who == "here":
            assert (await gateway.ask("GET", "/api/auth/me", token=token)).status_code == 200
    hashing, end, looked_at = threading.Event(), threading.Event(), list[str]()
    waiting, left = asyncio.Event(), asyncio.Event()
    check, take = security.check_password, Turns._take

    def held(password: str, hashed: str | None) -> bool:
        looked_at.append(password)
        if password == "held":
            hashing.set()
            end.wait(60)
        return check(password, hashed)

    async def told(turns: Turns, key: str, rank: Rank, gone: "asyncio.Future[Any] | None") -> None:
        if hashing.is_set() and rank.is_here:
            waiting.set()
        try:
            await take(turns, key, rank, gone)
        except ProblemError:
            left.set()
            raise

    monkeypatch.setattr(security, "check_password", held)
    monkeypatch.setattr(Turns, "_take", told)
    async with asyncio.timeout(60):
        try:
            first = asyncio.create_task(_fail(gateway, names["here"], "192.0.2.60", "held"))
            await asyncio.to_thread(hashing.wait, 60)
            assert (await _fail(gateway, names["back"], "192.0.2.60", PASSWORD)).status_code == 200
            second = asyncio.create_task(_fail(gateway, names["here"], "192.0.2.60", "given up"))
            await waiting.wait()
            second.cancel()
            await left.wait()
            assert not first.done()
        finally:
            end.set()
        assert (await first).status_code == 401
    assert looked_at == ["held", PASSWORD]


def test_what_counts_as_one_address() -> None:
    """An IPv6 customer has a whole /64. A name is stored as a digest in one letter case."""
    assert throttle.address_key("2001:db8::1") == throttle.address_key("2001:db8::2") != throttle.address_key("2001:db8:0:1::1")
    assert throttle.address_key("192.0.2.1") != throttle.address_key("192.0.2.2")
    assert throttle.address_key("") == "address:"
    assert throttle.account_key("Straße") == throttle.account_key("STRASSE")
    assert "stra" not in throttle.account_key("Straße")


# The matrix --------------------------------------------------------------------------------------------------------------------------

# Every documented operation is in exactly one of these. An operation that is in none fails the matrix, so that no rights are
# granted by accident. This covers access only. Behind it, archive jobs are the team's, and workspace content is its owner's
# (matrix of owners).
ADMIN_ONLY = {
    *("listUsers", "createUser", "getUser", "changeUser", "deleteUser"),
    *("releaseDestination", "getConfig", "listSettings", "changeConfig", "listAudit"),
    *("listWorkspaces", "removeWorkspace"),
}
PERSONS_ONLY = {"createToken", "changePassword"}
ENDS_LOGIN = {"logout"}
STREAMS = {"streamJobs", "streamJob"}
STRANGERS = {"login", "getHealth", "getReady"}
EVERYBODYS = {
    *("me", "listTokens", "revokeToken", "createTicket", "listEvents", "getStats", "getStatsHistory"),
    *("listFolders", "listFolderPlaces", "previewFolder", "estimateFolders"),
    *("getQueue", "moveQueuedJobs", "getSystemStatus", "checkGlobus"),
    *("createJob", "listJobs", "getJob", "cancelJob", "retryJob", "getJobLogs"),
    *("clearJob", "clearCompletedJobs", "restoreCompletedJobs", "listFailures"),
    *("listTasks", "getTask", "controlTask", "controlNamedTask"),
}
OWN_WORKSPACE = {
    *(
        "listFiles",
        "getFileInfo",
        "deleteFile",
        "downloadFile",
        "uploadFile",
        "listUploads",
        "giveUpUpload",
        "makeFolder",
        "moveFile",
        "getAutoArchive",
        "setAutoArchive",
        "closeUploadBatch",
    ),
    *("createPack", "listPacks", "getPackAvailableSpace", "getPack", "cancelPack", "downloadPack"),
    *("createArchive", "extractArchive", "listArchiveEntries", "getArchiveStats"),
    *("getMediaInfo", "getMediaThumbnail", "getMediaContactSheet"),
}
TABLE = (ADMIN_ONLY, PERSONS_ONLY, ENDS_LOGIN, STREAMS, STRANGERS, EVERYBODYS, OWN_WORKSPACE)


def _rights(operation: dict[str, Any], method: str) -> dict[str, bool]:
    """Return whether each role has access. The table is in docs/gateway.md."""
    name, reads = operation["operationId"], method == "GET"
    admin, person = name in ADMIN_ONLY, name in PERSONS_ONLY
    return {
        "nobody": False,
        "disabled user": False,
        "disabled admin's admin token": False,
        "user": not admin,
        "admin": True,
        "user's read token": reads and not admin,
        "user's operate token": not admin and not person,
        "admin's read token": reads and not admin,
        "admin's operate token": not admin and not person,
        "admin's admin token": not person,
    }


async def _roles(gateway: Gateway) -> dict[str, str]:
    """Return a token of each role in the matrix."""
    (_, login), (_, admin_login) = await user(gateway), await user(gateway, admin=True)
    tokens = {"nobody": "", "user": login, "admin": admin_login}
    for role, owner, scopes in (("user", login, ("read", "operate")), ("admin", admin_login, ("read", "operate", "admin"))):
        tokens |= {f"{role}'s {scope} token": (await personal(gateway, owner, scope))["token"] for scope in scopes}
    (gone, gone_login), (former, former_login) = await user(gateway), await user(gateway, admin=True)
    tokens |= {
        "disabled user": gone_login,
        "disabled admin's admin token": (await personal(gateway, former_login, "admin"))["token"],
    }
    for disabled in (gone, former):
        assert (await gateway.ask("PATCH", f"/api/users/{disabled}", json={"disabled": True})).status_code == 200
    return tokens


async def test_the_matrix_of_rights(gateway: Gateway) -> None:
    """Every documented address with every role: 401 or 403 exactly where the table says, whatever else the answer is."""
    document = (await gateway.ask("GET", "/schema/openapi.json")).json()
    tokens = await _roles(gateway)
    wrong, known = [], []
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            method, name = verb.upper(), operation["operationId"]
            known.append(name)
            assert ((method, path) in PUBLIC) == (name in STRANGERS), name
            if name in STRANGERS:
                continue
            refused_only = name in ENDS_LOGIN | STREAMS  # one would end this login, the other never answers
            address = path
            for parameter in operation.get("parameters", []):
                address = address.replace("{" + parameter["name"] + "}", NOBODY)
            for role, expected in _rights(operation, method).items():
                if expected and refused_only:
                    continue
                # No body: an admitted request is refused as incomplete and changes nothing.
                answer = await gateway.ask(method, address, token=tokens[role])
                passed = answer.status_code not in {401, 403}
                if passed != expected:
                    wrong.append(f"{name} as {role}: {answer.status_code} {answer.text[:100]}")

    assert wrong == []
    assert sorted(known) == sorted(name for group in TABLE for name in group), "every operation stands in the table, once"
    await eventually(
        lambda: gateway.ask("GET", "/api/auth/me", token=tokens["user"]), lambda seen: seen.status_code == 200, "still logged in"
    )


async def test_the_matrix_of_owners(gateway: Gateway) -> None:
    """Workspace content belongs to its owner and to admins. For another user it does not exist, at any address."""
    (owner, login), (_, other) = await user(gateway), await user(gateway)
    request = {"root": "workspace", "path": "film", "format": "zip", "level": 5}
    job = await gateway.kernel.job(kind="pack", created_by_id=owner, destination_path=None, request=request)
    ways = [("GET", "/api/jobs/{}"), ("GET", "/api/jobs/{}/logs"), ("GET", "/api/tasks/{}"), ("GET", "/api/stream/{}")]
    ways += [("POST", "/api/jobs/{}/retry"), ("POST", "/api/tasks/{}/control"), ("DELETE", "/api/jobs/{}")]
    ways += [("GET", "/api/files/pack/{}"), ("GET", "/api/files/pack/{}/download"), ("DELETE", "/api/files/pack/{}")]
    for method, way in ways:
        body = {"json": {"action": "cancel"}} if way.endswith("control") else {}
        problem(await gateway.ask(method, way.format(job), token=other, **body), 404, "not-found")
    assert await gateway.kernel.owner.fetchval("SELECT status FROM jobs WHERE id = $1", job) == "queued"
    for token in (login, gateway.token):
        assert (await gateway.ask("GET", f"/api/jobs/{job}", token=token)).status_code == 200
        assert (await gateway.ask("GET", f"/api/tasks/{job}", token=token)).status_code == 200
    for path in ("/api/jobs?kind=pack", "/api/jobs?kind=pack&format=csv", "/api/tasks", "/api/files/pack"):
        assert str(job) not in (await gateway.ask("GET", path, token=other)).text
        assert str(job) in (await gateway.ask("GET", path, token=login)).text

    (gateway.storage / "workspaces" / str(owner)).mkdir(mode=0o700, parents=True, exist_ok=True)
    begun = await gateway.ask(
        "PUT", "/api/files/content?path=film.mp4", token=login, headers={"Content-Range": "bytes */10", "Content-Length": "0"}
    )
    assert begun.status_code == 202, begun.text
    upload = f"/api/files/uploads/{begun.json()['upload_id']}"
    assert (await gateway.ask("GET", "/api/files/uploads", token=other)).json() == []
    problem(await gateway.ask("DELETE", upload, token=other), 404, "not-found")
    assert (await gateway.ask("DELETE", upload, token=login)).status_code == 204
