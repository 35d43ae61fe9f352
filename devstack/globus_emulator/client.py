"""The remote control of a running emulator: faults, request log, clock. For tests, the demo and benchmarks."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

TIMEOUT_S = 60.0


class EmulatorControl:
    """The control plane of the emulator at `url`. Raises httpx.HTTPStatusError when a call is refused."""

    def __init__(self, url: str, secret: str) -> None:
        # Ignore proxies of the environment: a proxy cannot reach the emulator on loopback.
        self._http = httpx.Client(base_url=url, headers={"X-Emulator-Secret": secret}, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def _call(self, method: str, resource: str, body: object = None, **params: str | int) -> Any:
        response = self._http.request(method, f"/_emulator/{resource}", json=body, params=params)
        response.raise_for_status()
        return response.json()

    def set_faults(self, *faults: dict[str, Any]) -> list[dict[str, Any]]:
        """Replace the list of faults. Without arguments, remove all faults."""
        return list(self._call("PUT", "faults", {"faults": list(faults)})["faults"])

    def faults(self) -> list[dict[str, Any]]:
        """Return the active faults with the counters `seen` and `fired`."""
        return list(self._call("GET", "faults")["faults"])

    def requests(self, *, after: int = 0, path: str = "") -> list[dict[str, Any]]:
        """Return the logged requests, oldest first: number, method, path, query, body, status, fault."""
        return list(self._call("GET", "requests", after=after, path=path)["requests"])

    def advance(self, seconds: float) -> float:
        """Move the clock and return the new time."""
        return float(self._call("POST", "clock/advance", {"seconds": seconds})["now"])

    def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings (`bytes_per_second=...`) or collections (`collections={id: {...}}`) at run time."""
        return dict(self._call("PUT", "config", settings))

    def reset(self, *, clock: bool = True) -> None:
        """Forget tasks, tokens, faults and requests. Files stay."""
        self._call("POST", "reset", {"clock": clock})

    def tasks(self) -> list[dict[str, Any]]:
        """Return the task documents of all owners, oldest first."""
        return list(self._call("GET", "tasks")["tasks"])

    def raw(self, task_id: str) -> dict[str, Any]:
        """Return all data of a task: `task`, `outcomes`, `running`, `document`."""
        return dict(self._call("GET", f"tasks/{task_id}/raw"))
