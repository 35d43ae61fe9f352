"""Strangers' requests: whatever the document allows, and what it does not, is answered as the document says, and never with 5xx.

A small budget here, stateful links among it, as user and as admin; `make schemathesis` asks 2,000 times and more. Left out, with reasons:
- what ends the caller's own session (logout, password): it runs under an account of its own in test_auth;
- streams, which do not end; the sockets are no part of OpenAPI;
- `unsupported_method`, `positive_data_acceptance`: paths and ids that are well-formed but unknown are 404 or 409 on purpose.
The uploader's answer about Globus, and the compressor's about archives, are given by the test.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from shared.questions import GlobusChecked
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.test_auth import _token, _user

BUDGET = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "1"))
PHASES = "examples,coverage,fuzzing,stateful" if BUDGET >= 10 else "examples,fuzzing,stateful"
_SESSION = ("/api/auth/logout", "/api/auth/password", "/api/auth/login")
_ENDLESS = ("/api/stream", "/api/stream/{task_id}")
_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"


@pytest.mark.parametrize("role", ["admin", "user"])
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("compressor")
async def test_the_document_is_kept(gateway: Gateway, role: str, tmp_path: Path) -> None:
    """0 failures."""
    user = await _user(gateway, f"schemathesis-{role}")
    await gateway.kernel.owner.execute("UPDATE users SET is_admin = $2 WHERE id = $1", user, role == "admin")
    excluded = [option for path in (*_SESSION, *_ENDLESS) for option in ("--exclude-path", path)]
    command = [
        *(
            sys.executable,
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
            "run",
            f"{gateway.url}/schema/openapi.json",
        ),
        *("--header", f"Authorization: Bearer {_token(user)}", "--max-examples", str(BUDGET), "--checks", _CHECKS),
        *("--phases", PHASES, "--seed", "1", "--no-color", "--request-timeout", "20", *excluded),
    ]
    uploader = await gateway.kernel.bus("uploader")
    checked = GlobusChecked(emulated=True, transfer_url="http://127.0.0.1:1", problems=[])

    async def globus(_: bytes) -> msgspec.Struct:
        return checked

    await uploader.serve("globus_check", globus)
    await uploader.connection.flush()
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=tmp_path,
            env=dict(os.environ) | {"NO_PROXY": "127.0.0.1"},
        )
        try:
            code = await process.wait()
        finally:
            await uploader.close()
            if process.returncode is None:
                process.kill()
    assert code == 0, output.read_text()[-20000:]
