"""Strangers' requests: whatever the document allows, and what it does not, is answered as the document says, and never with 5xx.

All checks of schemathesis, with its stateful links, as user and as admin; exceptions and their reasons are in schemathesis.toml. Not
asked: the two endless streams (test_live follows them), and the release of a destination, which only a real uploader answers.
Login, logout and the change of one's password, which end or make logins, are
asked under an account of their own. A small budget here; `make schemathesis` asks 2,000 times and more, and prints how often.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from shared.questions import GlobusChecked
from tests.services.gateway.conftest import Gateway, answering, running
from tests.services.gateway.looking import scanning
from tests.services.gateway.test_users import user
from tests.support.engines import PostgresEngine, nats_server

ROOT = Path(__file__).parents[3]
BUDGET = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "1"))
SESSION = ("login", "logout", "changePassword")
ENDLESS = ("streamJobs", "streamJob", "releaseDestination")
FOLDERS = 6


@pytest.fixture(scope="module")
async def own(pg: PostgresEngine, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway with engines of its own, because what is asked here changes users and settings, and something in every list."""
    async with nats_server() as nats, running(pg, nats, tmp_path_factory.mktemp("storage")) as gateway:
        gateway.token = await gateway.login()
        checked = GlobusChecked(emulated=True, transfer_url="http://127.0.0.1:1", problems=[])

        async def globus(_: bytes) -> msgspec.Struct:
            return checked

        uploader = await gateway.kernel.bus("uploader")
        await uploader.serve("globus_check", globus)
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


def _command(url: str, token: str, role: str, report: Path) -> list[str]:
    only, skip = "--include-operation-id", "--exclude-operation-id"
    session = role == "session"
    choice = [(only if session else skip, name) for name in SESSION] + [(skip, name) for name in ENDLESS if not session]
    return [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
        *("run", f"{url}/schema/openapi.json", "--max-examples", str(BUDGET), "--seed", "1", "--no-color"),
        *("--report-json-path", str(report)),
        *(("--phases", "examples,coverage,fuzzing") if session else ()),  # no link leads from one of the three to another
        *(() if session else ("--header", f"Authorization: Bearer {token}")),  # or schemathesis_hooks gives one to each request
        # Its own address: failed logins are counted by address, and must not hold up other tests.
        *(("--header", "X-Forwarded-For: 192.0.2.77") if session else ()),
        *(word for option in choice for word in option),
    ]


@pytest.mark.parametrize("role", ["user", "admin", "session"])
@pytest.mark.timeout(1800)
async def test_the_document_is_kept(own: Gateway, role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 failures and no 5xx; how many cases there were is printed."""
    made, token = await user(own, f"schemathesis-{role}", admin=role == "admin")
    output, report = tmp_path / "output", tmp_path / "report.json"
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
            cwd=tmp_path,
            env=environment,
        )
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
    assert report.exists(), output.read_text()
    seen = json.loads(report.read_text())
    cases = seen["test_cases"]
    with capsys.disabled():
        sys.stdout.write(f"\nschemathesis as {role}: {cases['generated']} cases, {cases['with_failures']} failures\n")
    assert (code, cases["with_failures"]) == (0, 0), output.read_text()[-20000:]
    assert seen["operations"]["tested"] == seen["operations"]["selected"]
    assert (await own.ask("GET", "/api/auth/me", token=token)).status_code == 200, "not locked out"
