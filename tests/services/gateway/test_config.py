"""Settings that change while the services run, and the audit log."""

import csv
import io
import json
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from services.gateway.records import config
from services.gateway.schemas.admin import ConfigUpdate
from shared.domain.events import ConfigChanged
from shared.infra.runtime_settings import DEFINITIONS
from tests.services.gateway.conftest import Gateway, problem
from tests.services.gateway.test_users import login_token, name_of, user


async def _put(gateway: Gateway, **values: Any) -> dict[str, Any]:
    answer = await gateway.ask("PUT", "/api/config", json=values)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_reading_and_changing(gateway: Gateway) -> None:
    """The promised fields. A level is clamped to its range, file endings are normalised, `reset` restores the environment's value."""
    before = (await gateway.ask("GET", "/api/config")).json()
    assert set(before) == {*DEFINITIONS, "overridden"}
    assert (before["pack_format"], before["pack_compression_level"], before["overridden"]) == ("zip", 5, [])
    assert before["min_free_disk"] == 10 * 2**30

    changed = await _put(gateway, pack_format="7z", pack_compression_level=50, hidden_file_extensions=["TMP", ".tmp", " bak"])
    assert (changed["pack_format"], changed["pack_compression_level"]) == ("7z", 9)
    assert changed["hidden_file_extensions"] == [".bak", ".tmp"]
    assert (await _put(gateway, pack_compression_level=-3))["pack_compression_level"] == 1
    assert (await gateway.ask("GET", "/api/config")).json()["overridden"] == [
        *("hidden_file_extensions", "pack_compression_level", "pack_format")
    ]
    assert await _put(gateway, reset=["hidden_file_extensions", "pack_compression_level", "pack_format"]) == before


async def test_a_form_learns_everything(gateway: Gateway) -> None:
    """Each setting with unit, limits and default, who changed it and when. A wrong value is reported with its field."""
    shown = {setting["name"]: setting for setting in (await gateway.ask("GET", "/api/config/settings")).json()}
    assert set(shown) == set(DEFINITIONS)
    assert (shown["upload_limit"]["kind"], shown["upload_limit"]["low"], shown["upload_limit"]["high"]) == ("whole", 1, 64)
    assert (shown["space_pass_hours"]["unit"], shown["min_free_disk"]["unit"]) == ("hours", "bytes")
    assert shown["pack_format"]["choices"] == ["zip", "7z"]
    assert {setting["changed_by"] for setting in shown.values()} == {None}

    await _put(gateway, upload_limit=3)
    changed = next(s for s in (await gateway.ask("GET", "/api/config/settings")).json() if s["name"] == "upload_limit")
    assert (changed["value"], changed["default"], changed["changed_by"]) == (3, 1, "admin")
    assert changed["changed_at"]
    answer = await gateway.ask("PUT", "/api/config", json={"upload_limit": 65, "max_task_size": -1})
    assert {error["field"] for error in answer.json()["errors"]} == {"upload_limit", "max_task_size"}
    await _put(gateway, reset=["upload_limit"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"pack_format": "rar"}, ["pack_format", "zip, 7z"]),
        ({"compress_limit": 0, "upload_limit": 65}, ["compress_limit", "upload_limit", "from 1 to 64"]),
        ({"min_free_disk": -1}, ["min_free_disk"]),
        ({"max_task_size": 2**70}, ["max_task_size"]),
        ({"hidden_file_extensions": ["a/b"]}, ["hidden_file_extensions"]),
        ({"scan_interval_seconds": 1}, ["scan_interval_seconds", "from 10"]),
        ({"reset": ["colour"]}, ["colour"]),
        ({"reset": ["pack_format"], "pack_format": "zip"}, ["both"]),
    ],
)
async def test_what_is_refused(gateway: Gateway, values: dict[str, Any], words: list[str]) -> None:
    """400 names every wrong value and the allowed ones. Nothing is changed, not even the valid values."""
    answer = await gateway.ask("PUT", "/api/config", json={"failed_retention_days": 7, **values})
    detail = problem(answer, 400, "bad-request")
    assert all(word in detail for word in words), detail
    assert (await gateway.ask("GET", "/api/config")).json()["overridden"] == []
    problem(await gateway.ask("PUT", "/api/config", json={"aria2_rpc_url": "x"}), 400, "validation-failed")


async def test_a_change_is_announced_and_written_down(gateway: Gateway) -> None:
    """A read-only subscriber receives the change and its author. The audit log has old and new value; no change writes no line."""
    subscriber = await gateway.kernel.nats.connect("subscriber")
    heard = await subscriber.subscribe("live.config")
    await subscriber.flush()
    await _put(gateway, retry_delay_seconds=12.5)
    news = msgspec.json.decode((await heard.next_msg(60)).data, type=ConfigChanged)
    assert (news.changed_by, news.values) == ("admin", {"retry_delay_seconds": 12.5})
    await _put(gateway, retry_delay_seconds=12.5)
    rows = (await gateway.ask("GET", "/api/audit?action=settings_changed&limit=1")).json()
    assert rows[0]["data"] == {"retry_delay_seconds": {"from": 30.0, "to": 12.5}}
    assert "retry_delay_seconds from 30.0 to 12.5" in rows[0]["message"]
    await _put(gateway, reset=["retry_delay_seconds"])
    counted = await gateway.ask("GET", "/api/audit?action=settings_changed&q=12.5")
    assert counted.headers["x-total-count"] == "2"


def test_every_setting_is_offered() -> None:
    """The tunables of the services, the shown names and the accepted names are equal. The environment gives the initial values."""
    assert set(ConfigUpdate.__struct_fields__) == {*DEFINITIONS, "reset"}
    shown = config.effective({"COMPRESS_LIMIT": "7", "MIN_FREE_SPACE_GB": "0.5"}, [])
    assert (shown.compress_limit, shown.min_free_disk, shown.upload_limit, shown.scan_interval_seconds) == (7, 2**29, 1, 900.0)


# Audit -------------------------------------------------------------------------------------------------------------------------------


async def test_what_is_written_down(gateway: Gateway) -> None:
    """Logins, good and bad, with their address, and user actions on jobs. Never a password or an unknown name."""
    made, token = await user(gateway)
    name = await name_of(gateway, made)
    typed = f"my-secret-{uuid4().hex}"
    for username, password in ((name, "wrong"), (typed, "wrong"), (name, "correct horse battery")):
        body = {"username": username, "password": password}
        await gateway.client.post("/api/auth/login", json=body, headers={"X-Forwarded-For": "203.0.113.9"})
    job = (await gateway.ask("POST", "/api/jobs", token=token, json={"folder_path": gateway.folder()})).json()["job_id"]
    await gateway.ask("DELETE", f"/api/jobs/{job}", token=token, headers={"X-Request-ID": "trace-77"})

    rows = (await gateway.ask("GET", "/api/audit?address=203.0.113.9")).json()
    assert [(row["action"], row["actor"]) for row in rows] == [("login", name), ("login_failed", ""), ("login_failed", name)]
    rows = (await gateway.ask("GET", f"/api/audit?target={job}")).json()
    assert [(row["action"], row["actor"], row["via"]) for row in rows] == [
        ("job_cancel", name, "login"),
        ("job_create", name, "login"),
    ]
    assert (rows[0]["request_id"], rows[0]["address"], rows[0]["actor_id"]) == ("trace-77", "127.0.0.1", str(made))
    everything = await gateway.kernel.owner.fetchval("SELECT string_agg(a::text, ' ') FROM audit AS a")
    assert typed not in everything
    assert "correct horse" not in everything
    assert [
        row["actor"] for row in (await gateway.ask("GET", f"/api/audit?actor={name.upper()}&action=login,job_cancel")).json()
    ] == [*(name, name)]
    problem(await gateway.ask("GET", "/api/audit", token=token), 403, "forbidden")


async def test_pages_and_files(gateway: Gateway) -> None:
    """Newest first, page after page without a gap. CSV and NDJSON have the same lines, and dates limit them."""
    mark = uuid4().hex
    await gateway.kernel.owner.execute(
        "INSERT INTO audit (actor, action, target, message) SELECT '=cmd', 'test', $1, 'Line ' || n FROM generate_series(1, 25) AS n",
        mark,
    )
    query, seen, cursor = f"/api/audit?target={mark}", list[str](), ""
    while True:
        answer = await gateway.ask("GET", f"{query}&limit=10{cursor}")
        seen += [row["message"] for row in answer.json()]
        assert answer.headers["x-total-count"] == "25"
        if "x-next-cursor" not in answer.headers:
            break
        cursor = f"&cursor={answer.headers['x-next-cursor']}"
    assert seen == [f"Line {n}" for n in range(25, 0, -1)]
    rows = list(csv.DictReader(io.StringIO((await gateway.ask("GET", f"{query}&format=csv")).text)))
    lines = [json.loads(line) for line in (await gateway.ask("GET", f"{query}&format=ndjson")).text.splitlines()]
    assert [row["message"] for row in rows] == [line["message"] for line in lines] == seen
    assert rows[0]["actor"] == "'=cmd"
    assert (await gateway.ask("GET", f"{query}&to=2020-01-01T00:00:00Z")).json() == []
    assert len((await gateway.ask("GET", f"{query}&from=2020-01-01T00:00:00Z&q=LINE%2025")).json()) == 1
    problem(await gateway.ask("GET", "/api/audit?cursor=nonsense"), 400, "bad-request")


async def test_nobody_changes_the_log(gateway: Gateway) -> None:
    """Neither the gateway's role nor the owner of the database can change or remove a line. Other services cannot read it."""
    await gateway.kernel.owner.execute("INSERT INTO audit (actor, action, message) VALUES ('x', 'test', 'A line.')")
    for statement in ("UPDATE audit SET actor = 'y'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(asyncpg.PostgresError, match="never changed") as refused:
            await gateway.kernel.owner.execute(statement)
        assert refused.value.sqlstate == "CS001"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with (await gateway.kernel.db("gateway")).transaction() as session:
                await session.connection.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with (await gateway.kernel.db("scanner")).transaction() as session:
            await session.connection.execute("SELECT FROM audit")


async def test_a_personal_token_is_named(gateway: Gateway) -> None:
    """A script's actions are recorded under its owner and its token's name."""
    made, login = await user(gateway)
    assert login_token(made)
    answer = await gateway.ask("POST", "/api/tokens", token=login, json={"name": "nightly", "scope": "operate"})
    await gateway.ask("POST", "/api/jobs", token=answer.json()["token"], json={"folder_path": gateway.folder()})
    rows = (await gateway.ask("GET", f"/api/audit?actor={await name_of(gateway, made)}&action=job_create")).json()
    assert [row["via"] for row in rows] == ["token:nightly"]
