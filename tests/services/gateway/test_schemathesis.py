"""Random requests: whether the document allows them or not, the response follows the document and is never a 5xx.

All checks of schemathesis run, with its stateful links, as user and as admin. Exceptions and their reasons are in
schemathesis.toml. The two endless streams are not tested here (test_live follows them). Login, logout and the change of the own
password end or create logins, so they run under an account of their own. The three roles run at the same time.

The budget here is small: one example each, and admin operations as admin only (test_users' matrix shows that others are
refused). `make schemathesis` runs everything for everyone, 2,000 times and more, and prints the count.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from shared.service.rpc import DestinationReleased, GlobusChecked
from tests.services.gateway.conftest import Gateway, answering, running
from tests.services.gateway.looking import scanning
from tests.services.gateway.test_users import ADMIN_ONLY, user
from tests.support.engines import PostgresEngine, nats_server

ROOT = Path(__file__).parents[3]
BUDGET = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "1"))
SESSION = ("login", "logout", "changePassword")
ENDLESS = ("streamJobs", "streamJob")
FOLDERS = 6


def _always(answer: msgspec.Struct) -> Callable[[bytes], Awaitable[msgspec.Struct]]:
    async def served(_: bytes) -> msgspec.Struct:
        return answer

    return served


@pytest.fixture(scope="module")
async def own(pg: PostgresEngine, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway with its own engines, because these requests change users and settings. Every list has an entry."""
    async with nats_server() as nats, running(pg, nats, tmp_path_factory.mktemp("storage")) as gateway:
        gateway.token = await gateway.login()
        answers: dict[str, msgspec.Struct] = {
            "globus_check": GlobusChecked(emulated=True, transfer_url="http://127.0.0.1:1", problems=[]),
            "release_destination": DestinationReleased("/archives/Folder 0.tar.7z"),
        }
        uploader = await gateway.kernel.bus("uploader")
        for question, answer in answers.items():
            await uploader.serve(question, _always(answer))
        await uploader.connection.flush()
        for n in range(FOLDERS):
            path = gateway.folder(f"Folder {n}")
            await gateway.kernel.owner.execute(
                "INSERT INTO folders (path, name, level1, level2, size_bytes, file_count, modified_at, is_archived, scanned_at)"
                " VALUES ($1, $2, 'Production', '2024', 4096, 3, now(), false, now())",
                path,
                f"Folder {n}",
            )
        failed = UUID((await gateway.request())["job_id"])
        await gateway.kernel.force(failed, status="failed", error_message="The disk broke.")
        async with answering(gateway), scanning(gateway.kernel, tmp_path_factory.mktemp("scanner")):
            yield gateway
        await uploader.close()


def _choice(role: str) -> list[tuple[str, str]]:
    """Return the operations that a role requests."""
    if role == "session":
        return [("--include-operation-id", name) for name in SESSION]
    left_out = {*SESSION, *ENDLESS, *(ADMIN_ONLY if role == "user" and BUDGET == 1 else ())}
    return [("--exclude-operation-id", name) for name in sorted(left_out)]


def _command(url: str, token: str, role: str, report: Path) -> list[str]:
    session = role == "session"
    return [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
        *("run", f"{url}/schema/openapi.json", "--max-examples", str(BUDGET), "--seed", "1", "--no-color"),
        *("--report-json-path", str(report)),
        *(("--phases", "examples,coverage,fuzzing") if session else ()),  # no link leads from one of the three to another
        *(() if session else ("--header", f"Authorization: Bearer {token}")),  # or schemathesis_hooks gives one to each request
        # A separate address: failed logins are counted by address and must not slow down other tests.
        *(("--header", "X-Forwarded-For: 192.0.2.77") if session else ()),
        *(word for option in _choice(role) for word in option),
    ]


async def _asked(own: Gateway, role: str, login: tuple[UUID, str], directory: Path) -> str:
    """Run schemathesis as this role. Return one line of results. Raise AssertionError with all its findings."""
    made, token = login
    directory.mkdir()
    output, report = directory / "output", directory / "report.json"
    environment = {
        **os.environ,
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_OWN_ID": str(made),
        "SCHEMATHESIS_FRESH_LOGINS": "yes" if role == "session" else "no",
    }
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *_command(own.url, token, role, report),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=directory,
            env=environment,
        )
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert report.exists(), output.read_text()
    seen = json.loads(report.read_text())
    cases = seen["test_cases"]
    assert (code, cases["with_failures"]) == (0, 0), f"as {role}: {output.read_text()[-20000:]}"
    assert seen["operations"]["tested"] == seen["operations"]["selected"]
    assert (await own.ask("GET", "/api/auth/me", token=token)).status_code == 200, "not locked out"
    return f"schemathesis as {role}: {cases['generated']} cases, {cases['with_failures']} failures"


@pytest.mark.timeout(1800)
async def test_the_document_is_kept(own: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 failures and no 5xx, as user, as admin, and around the login. The number of cases is printed."""
    logins = {role: await user(own, f"schemathesis-{role}", admin=role == "admin") for role in ("user", "admin", "session")}
    done = await asyncio.gather(
        *(_asked(own, role, login, tmp_path / role) for role, login in logins.items()), return_exceptions=True
    )

    with capsys.disabled():
        for line in done:
            sys.stdout.write(f"\n{line}" if isinstance(line, str) else "")
    assert [str(failure) for failure in done if isinstance(failure, BaseException)] == []
