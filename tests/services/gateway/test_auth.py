"""Login, logout, passwords, and access."""

import asyncio
import time
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import jwt
import pytest

from services.gateway.auth import security
from services.gateway.auth.security import Tokens, check_password, hash_password
from tests.services.gateway.conftest import PASSWORD, Gateway, problem, running
from tests.support.engines import NatsEngine, PostgresEngine

_ADDRESSES = [
    ("GET", "/api/auth/me"),
    ("POST", "/api/auth/logout"),
    ("POST", "/api/auth/password"),
    ("GET", "/api/folders"),
    ("GET", "/api/folders?limit=nonsense"),
    ("POST", "/api/jobs"),
    ("GET", "/api/jobs"),
    ("GET", "/api/jobs?cursor=nonsense"),
    ("GET", "/api/jobs/not-a-uuid"),
    ("DELETE", "/api/jobs/completed"),
    ("DELETE", "/api/jobs/00000000-0000-0000-0000-000000000000"),
    ("POST", "/api/jobs/x/retry"),
    ("POST", "/api/control"),
    ("GET", "/api/queue"),
    ("GET", "/api/system/status"),
    ("GET", "/api/no-such-address"),
    ("PATCH", "/api/jobs"),
    ("GET", "/api//jobs"),
    ("GET", "/api/auth/login"),
    ("GET", "/api/jobs/%00"),
]


async def _user(gateway: Gateway, name: str, *, must_change: bool = False) -> UUID:
    """A user with the admin's password hash, which saves a bcrypt run."""
    made: UUID = await gateway.kernel.owner.fetchval(
        "INSERT INTO users (username, password_hash, must_change_password) SELECT $1, password_hash, $2 FROM users"
        " WHERE username = 'admin' RETURNING id",
        name,
        must_change,
    )
    return made


def _token(user: UUID, epoch: int = 0) -> str:
    return Tokens("k" * 40, "HS256", 60).issue(user, epoch)


async def test_login_and_me(gateway: Gateway) -> None:
    """The promised fields, a UUID as id, a token of 24 hours. The name is accepted in any letter case."""
    answer = await gateway.client.post("/api/auth/login", json={"username": "ADMIN", "password": PASSWORD})

    assert answer.status_code == 200
    result = answer.json()
    assert set(result) >= {"access_token", "token_type", "user"}
    assert result["token_type"] == "bearer"
    assert (result["user"]["username"], result["user"]["is_admin"]) == ("admin", True)
    claims = jwt.decode(result["access_token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 24 * 3600
    assert claims["sub"] == str(UUID(result["user"]["id"]))
    UUID(claims["jti"])
    me = await gateway.ask("GET", "/api/auth/me", token=result["access_token"])
    assert me.json() == result["user"]
    assert await gateway.kernel.owner.fetchval("SELECT last_login IS NOT NULL FROM users WHERE username = 'admin'")


async def test_wrong_login_says_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong name and a wrong password get the same answer after the same work: one password hash at the same cost."""
    compare, costs = security.bcrypt.checkpw, list[bytes]()

    def counted(password: bytes, hashed: bytes) -> bool:
        costs.append(hashed[:7])
        return compare(password, hashed)

    monkeypatch.setattr(security.bcrypt, "checkpw", counted)
    answers = []
    for username, password in (("admin", "wrong"), ("nobody", "wrong"), ("admin", "x" * 900), ("ad\0min", "wrong")):
        answers.append(await gateway.client.post("/api/auth/login", json={"username": username, "password": password}))

    details = {problem(answer, 401, "unauthorized") for answer in answers[:3]}
    assert details == {security.BAD_LOGIN}
    assert answers[3].status_code in {400, 401}
    assert costs[:3] == [b"$2b$12$"] * 3


def test_the_hash_nobody_has() -> None:
    """Unknown names use a real hash of the same cost that no password matches. An over-long password never passes."""
    assert security._NOBODY.startswith("$2b$12$")
    assert not check_password("", None)
    hashed = hash_password("a" * 72)
    assert hashed.startswith("$2b$12$")
    assert check_password("a" * 72, hashed)
    assert not check_password("a" * 73, hashed)


@pytest.mark.parametrize(("method", "address"), _ADDRESSES)
async def test_401_comes_before_any_parsing(gateway: Gateway, method: str, address: str) -> None:
    """Without a login, every address below /api answers 401 and nothing else, whatever the path, query and body are."""
    for token in ("", "nonsense"):
        answer = await gateway.ask(method, address, token=token, content=b"{broken", headers={"Content-Type": "application/json"})

        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_tokens_that_do_not_count(gateway: Gateway) -> None:
    """Another key, another algorithm, no signature, expired, unknown user, claims missing or of a wrong type: 401."""
    admin = await gateway.kernel.owner.fetchval("SELECT id FROM users WHERE username = 'admin'")
    good = {"sub": str(admin), "jti": str(uuid4()), "epoch": 0, "exp": int(time.time()) + 60}
    key = "k" * 40
    tokens = [
        jwt.encode(good, "x" * 40, algorithm="HS256"),
        jwt.encode(good, key * 2, algorithm="HS384"),
        jwt.encode(good, "", algorithm="none"),
        jwt.encode(good | {"exp": int(time.time()) - 1}, key, algorithm="HS256"),
        jwt.encode(good | {"sub": str(uuid4())}, key, algorithm="HS256"),
        jwt.encode(good | {"sub": "1"}, key, algorithm="HS256"),
        jwt.encode(good | {"epoch": 1}, key, algorithm="HS256"),
        jwt.encode(good | {"epoch": 2**40}, key, algorithm="HS256"),
        *(jwt.encode({k: v for k, v in good.items() if k != name}, key, algorithm="HS256") for name in good),
    ]
    assert (await gateway.ask("GET", "/api/auth/me", token=jwt.encode(good, key, algorithm="HS256"))).status_code == 200

    for token in tokens:
        problem(await gateway.ask("GET", "/api/auth/me", token=token), 401, "unauthorized")


async def test_logout_ends_this_token_only(gateway: Gateway) -> None:
    """After 204 the token is invalid. Another token of the same user still works."""
    user = await _user(gateway, "logout")
    first, second = _token(user), _token(user)

    answer = await gateway.ask("POST", "/api/auth/logout", token=first)

    assert (answer.status_code, answer.content) == (204, b"")
    problem(await gateway.ask("GET", "/api/auth/me", token=first), 401, "unauthorized")
    assert (await gateway.ask("GET", "/api/auth/me", token=second)).status_code == 200


async def test_password_change(gateway: Gateway) -> None:
    """It is checked and explained. It ends every other login and keeps the one that asked."""
    user = await _user(gateway, "changer", must_change=True)
    token, other = _token(user), _token(user)

    async def change(current: str, new: str) -> httpx.Response:
        return await gateway.ask("POST", "/api/auth/password", token=token, json={"current_password": current, "new_password": new})

    problem(await change("wrong", "long enough"), 403, "wrong-password")
    assert "too short" in problem(await change(PASSWORD, "short"), 400, "bad-request")
    assert "too long" in problem(await change(PASSWORD, "ö" * 37), 400, "bad-request")
    assert "easy" in problem(await change(PASSWORD, "changeme"), 400, "bad-request")
    assert "old one" in problem(await change(PASSWORD, PASSWORD), 400, "bad-request")

    assert (await change(PASSWORD, "a much better one")).status_code == 204

    assert (await gateway.ask("GET", "/api/folders", token=token)).status_code == 200
    problem(await gateway.ask("GET", "/api/auth/me", token=other), 401, "unauthorized")
    assert await gateway.login("changer", "a much better one")


async def test_forced_password_change(pg: PostgresEngine, nats: NatsEngine, tmp_path: Path) -> None:
    """The first run creates admin/changeme. This login allows only the change of that password."""
    async with running(pg, nats, tmp_path, events=False, ADMIN_INITIAL_PASSWORD="") as gateway:
        token = await gateway.login(password="changeme")
        gateway.token = token
        for method, address in (("GET", "/api/folders"), ("POST", "/api/jobs"), ("GET", "/api/nothing"), ("GET", "/api/jobs/x")):
            problem(await gateway.ask(method, address), 403, "password-change-required")
        me = await gateway.ask("GET", "/api/auth/me")
        assert me.json()["must_change_password"] is True
        changed = await gateway.ask(
            "POST", "/api/auth/password", json={"current_password": "changeme", "new_password": "something better"}
        )
        assert changed.status_code == 204
        assert (await gateway.ask("GET", "/api/folders")).status_code == 200
        assert (await gateway.ask("GET", "/api/auth/me")).json()["must_change_password"] is False


async def test_concurrent_changes_have_one_winner(gateway: Gateway) -> None:
    """Two sessions change the same password at once: one wins, the other gets an error, and nobody is locked out."""
    user = await _user(gateway, "racer")
    tokens = [_token(user), _token(user)]

    answers = await asyncio.gather(
        *(
            gateway.ask(
                "POST", "/api/auth/password", token=token, json={"current_password": PASSWORD, "new_password": f"new password {n}"}
            )
            for n, token in enumerate(tokens)
        )
    )

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(204) == 1, statuses
    assert await gateway.login("racer", f"new password {statuses.index(204)}")
