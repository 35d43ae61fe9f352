"""Users of the file tests, each with a workspace on the real file system."""

from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tests.services.gateway.conftest import Gateway
from tests.services.gateway.test_users import user

GIB = 1 << 30


class Person:
    """A user with a login. `root` is the workspace."""

    def __init__(self, gateway: Gateway, user_id: UUID, token: str) -> None:
        self.gateway, self.id, self.token = gateway, user_id, token
        self.root = gateway.storage / "workspaces" / str(user_id)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.gateway.ask(method, path, token=self.token, **more)

    def put(self, path: str, content: bytes = b"content") -> Path:
        """Write a file to the workspace without the gateway."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    async def send(self, path: str, content: bytes = b"content", **params: Any) -> httpx.Response:
        """Upload a whole file."""
        return await self.ask("PUT", "/api/files/content", params={"path": path, **params}, content=content)

    async def deeds(self, target: str) -> list[str]:
        """Return the audit log's entries of this user about a path or a pack."""
        found = "SELECT action FROM audit WHERE actor_id = $1 AND target = $2 ORDER BY id"
        return [row["action"] for row in await self.gateway.kernel.owner.fetch(found, self.id, target)]

    async def quota(self, size: int | None) -> None:
        await self.gateway.kernel.owner.execute("UPDATE users SET quota_bytes = $2 WHERE id = $1", self.id, size)

    async def space(self) -> dict[str, int]:
        answer = await self.ask("GET", "/api/files/pack/available-space")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


async def person(gateway: Gateway, *, admin: bool = False) -> Person:
    return Person(gateway, *await user(gateway, admin=admin))
