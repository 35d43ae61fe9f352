"""The CLI's users, tokens and audit commands against the real gateway."""

import asyncio
from pathlib import Path
from uuid import uuid4

from cli.exits import Exit
from tests.cli.runner import Cli
from tests.services.gateway.conftest import Gateway


async def test_users_tokens_and_audit(gateway: Gateway, tmp_path: Path) -> None:
    """Created, changed and deleted by name. A token is printed alone and works in its variable. The audit log has every step."""
    cli = Cli(tmp_path, gateway.url)
    cli.store_login("admin", gateway.token)
    name = f"cli-{uuid4().hex[:6]}"

    def work() -> None:
        assert cli.run("users", "add", name, "--admin", CS_ARCHIVER_NEW_PASSWORD="long enough").code == Exit.OK
        listed = {row["username"]: row for row in cli.run("users", "--json").json()}
        assert (listed[name]["is_admin"], listed[name]["must_change_password"]) == (True, False)
        for action in ("demote", "disable", "enable"):
            assert cli.run("users", action, name.upper()).code == Exit.OK, action
        assert name in cli.run("users").out
        assert cli.run("users", "delete", "admin").code == Exit.CONFLICT
        assert cli.run("users", "delete", "nobody").code == Exit.NOT_FOUND
        assert cli.run("users", "bless", name).code == Exit.USAGE
        assert cli.run("users", "add").code == Exit.USAGE
        assert cli.run("users", "delete", name).code == Exit.OK

        token = cli.run("tokens", "add", name, "--days", "3").out.strip()
        assert token.startswith("csa_")
        cli.session_file.unlink()
        assert cli.run("jobs", CS_ARCHIVER_TOKEN=token).code == Exit.OK
        assert cli.run("audit", CS_ARCHIVER_TOKEN=token).code == Exit.REFUSED
        cli.store_login("admin", gateway.token)
        assert name in cli.run("tokens").out
        assert cli.run("tokens", "revoke", name).code == Exit.OK
        assert cli.run("jobs", CS_ARCHIVER_TOKEN=token).code == Exit.REFUSED
        actions = {row["action"] for row in cli.run("audit", "--actor", "admin", "--json").json()}
        assert actions >= {
            "user_created",
            "user_role",
            "user_disabled",
            "user_enabled",
            "user_deleted",
            "token_created",
            "token_revoked",
        }

    await asyncio.to_thread(work)
