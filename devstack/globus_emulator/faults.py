"""Faults, with which tests break the emulator. A fault says what it matches, how often it fires, and what happens then.

The field `kind` names one of five kinds: `http` (the connection), `auth` (tokens and scopes), `task` (the life of a task),
`data` (the bytes at the destination) and `fs` (file operations and the storage behind them). The list and its counters are kept
in the state directory, so a fault survives a restart, as a real failure would.
"""

from __future__ import annotations

import os
import random
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from devstack.globus_emulator.tasks import Task


class _Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """When to fire: skip the first `after` matches, then hit the next `times` (-1: all), each with `probability`."""

    after: int = 0
    times: int = -1
    probability: float = 1.0
    seed: int = 0
    seen: int = 0
    """Matches so far; set by the emulator."""
    fired: int = 0
    """Hits so far; set by the emulator."""


class HttpFault(_Fault, kw_only=True, tag="http"):
    """The connection. `method` and `path` select the request (regular expression, searched in the path without the query)."""

    action: Literal["status", "delay", "stall_body", "reset_before", "lost_response", "cut_body"]
    method: str = "*"
    path: str = ""
    status: int = 500
    headers: dict[str, str] = {}
    body: Any = None
    """JSON body of `status`; None: a body in the style of the service."""
    text: str | None = None
    """Raw body of `status`, sent as text/html."""
    code: str = "InternalError"
    """`code` in the default body."""
    seconds: float = 1.0
    """For delay and stall_body."""


class AuthFault(_Fault, kw_only=True, tag="auth"):
    """Tokens. revoke_tokens acts on the next matching call: that call gets 401, and the next token is good."""

    action: Literal["reject_secret", "revoke_tokens", "refuse_tokens", "expires_in", "scope", "consent_required"]
    path: str = ""
    """For calls with a token: regular expression, searched in the path."""
    seconds: int = 1
    """For expires_in."""
    scope: str = "urn:globus:auth:scope:transfer.api.globus.org:none"
    """For scope: the scope to grant instead."""


class TaskFault(_Fault, kw_only=True, tag="task"):
    """The life of a task. Counted once per task; active while it is in the list."""

    action: Literal[
        "fail",
        "faulting",
        "stall",
        "inactive",
        "pause",
        "queue",
        "expire",
        "history_deleted",
        "vanish",
        "slow_cancel",
        "document",
    ]
    label: str = ""
    """Regular expression, searched in the label."""
    task_id: str | None = None
    type: Literal["TRANSFER", "DELETE"] | None = None
    at_bytes: int = 0
    """Act once the task has moved this many bytes."""
    code: str = "PERMISSION_DENIED"
    details: str = "made by a fault of the emulator"
    seconds: float = 60.0
    """For queue and slow_cancel."""
    fields: dict[str, Any] = {}
    """For document: fields to replace in the task document."""
    tasks: list[str] = []
    """Tasks it was applied to; set by the emulator."""
    passed: list[str] = []
    """Tasks it let pass; set by the emulator."""


class DataFault(_Fault, kw_only=True, tag="data"):
    """The bytes at the destination. A checksum finds damage before the verification, nothing later does. Counted per file."""

    action: Literal["truncate", "grow", "flip", "delete", "directory", "empty", "mtime"]
    when: Literal["before_verify", "after_verify"] = "before_verify"
    path: str = ""
    """Regular expression, searched in the destination path."""
    fraction: float = 0.005
    """For truncate and grow: fraction of the size."""
    offset: int | None = None
    """For flip: position of the byte; None: the middle."""


class FsFault(_Fault, kw_only=True, tag="fs"):
    """File operations of a collection, and the storage behind them."""

    action: Literal[
        "denied",
        "unsupported",
        "not_found",
        "not_directory",
        "disconnected",
        "login_failed",
        "connect_failed",
        "size_limit",
        "slow",
        "stale",
        "quota",
        "read_only",
    ]
    operation: Literal["*", "ls", "stat", "mkdir", "rename", "write"] = "*"
    collection: str | None = None
    path: str = ""
    """Regular expression, searched in the collection path."""
    seconds: float = 1.0
    """For slow and stale."""


Fault = HttpFault | AuthFault | TaskFault | DataFault | FsFault
_Kind = TypeVar("_Kind", HttpFault, AuthFault, DataFault, FsFault)
# These faults change what a call shows instead of answering it. Counting them as hits would use them up unnoticed.
_STANDING = frozenset({"stale"})


class FaultBook:
    """The active faults. Any thread may call its methods."""

    def __init__(self, saved: bytes | None, save: Callable[[bytes], None]) -> None:
        self._lock = threading.RLock()
        self._save = save
        self._faults: list[Fault] = []
        self._dice: list[random.Random] = []
        if saved is not None:
            self._install(msgspec.json.decode(saved, type=list[Fault]))

    def _install(self, faults: list[Fault]) -> None:
        for fault in faults:
            for pattern in (getattr(fault, "path", ""), getattr(fault, "label", "")):
                re.compile(pattern)
        self._faults = faults
        # The same seed must give the same run.
        self._dice = [random.Random(fault.seed) for fault in faults]  # noqa: S311 - not secrets: a seed makes faults repeatable

    def replace(self, document: bytes) -> bytes:
        """Replace the list of faults and return it as JSON. Raises ValueError."""
        faults = msgspec.json.decode(document, type=dict[str, list[Fault]])["faults"]
        try:
            with self._lock:
                self._install(faults)
                self._store()
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return self.document()

    def document(self) -> bytes:
        with self._lock:
            return msgspec.json.encode({"faults": self._faults})

    def _store(self) -> None:
        self._save(msgspec.json.encode(self._faults))

    def _hits(self, index: int, fault: Fault) -> bool:
        fault.seen += 1
        if fault.seen <= fault.after or (fault.times >= 0 and fault.fired >= fault.times):
            return False
        if fault.probability < 1.0 and self._dice[index].random() >= fault.probability:
            return False
        fault.fired += 1
        return True

    def _first(self, kind: type[_Kind], matches: Callable[[_Kind], bool]) -> _Kind | None:
        """Return the first matching fault that is due, and save the counters. The usual empty list costs nothing."""
        if not self._faults:
            return None
        with self._lock:
            for index, fault in enumerate(self._faults):
                if isinstance(fault, kind) and fault.action not in _STANDING and matches(fault):
                    hit = self._hits(index, fault)
                    self._store()
                    if hit:
                        return fault
        return None

    def http(self, method: str, path: str) -> HttpFault | None:
        return self._first(
            HttpFault,
            lambda fault: fault.method in {"*", method} and re.search(fault.path, path) is not None,
        )

    def auth(self, actions: set[str], path: str = "") -> AuthFault | None:
        return self._first(AuthFault, lambda fault: fault.action in actions and re.search(fault.path, path) is not None)

    def data(self, when: str, path: str) -> DataFault | None:
        return self._first(DataFault, lambda fault: fault.when == when and re.search(fault.path, path) is not None)

    def fs(self, operation: str, collection: str, path: str) -> FsFault | None:
        return self._first(FsFault, lambda fault: _fs_matches(fault, operation, collection, path))

    def stale_seconds(self, operation: str, collection: str, path: str) -> float:
        """Return for how many seconds new entries stay hidden."""
        if not self._faults:
            return 0.0
        with self._lock:
            found = [
                fault.seconds
                for fault in self._faults
                if isinstance(fault, FsFault) and fault.action == "stale" and _fs_matches(fault, operation, collection, path)
            ]
        return max(found, default=0.0)

    def of_task(self, task: Task, *actions: str) -> TaskFault | None:
        """Return the first fault with one of these actions that applies to the task now, or None."""
        if not self._faults:
            return None
        with self._lock:
            return next(self._for(task, actions), None)

    def _for(self, task: Task, actions: tuple[str, ...]) -> Iterator[TaskFault]:
        for index, fault in enumerate(self._faults):
            # Count only the requested actions: a look at a finished task must not use up a `fail`.
            if not isinstance(fault, TaskFault) or fault.action not in actions or task.bytes_transferred < fault.at_bytes:
                continue
            if fault.task_id not in {None, task.task_id} or fault.type not in {None, task.kind}:
                continue
            if re.search(fault.label, task.label or "") is None:
                continue
            if task.task_id not in fault.tasks and task.task_id not in fault.passed:
                if self._hits(index, fault):
                    fault.tasks = [*fault.tasks, task.task_id]
                else:
                    fault.passed = [*fault.passed, task.task_id]
                self._store()
            if task.task_id in fault.tasks:
                yield fault


def _fs_matches(fault: FsFault, operation: str, collection: str, path: str) -> bool:
    # Only faults that can affect a write match a write; `*` means the calls of the API.
    if operation == "write":
        fits = fault.operation == "write" or (fault.operation == "*" and fault.action in {"quota", "read_only"})
    else:
        fits = fault.operation in {"*", operation} and fault.action != "quota"
    return fits and fault.collection in {None, collection} and re.search(fault.path, path) is not None


def damage(fault: DataFault, real: Path) -> None:
    """Damage a file at the destination as the fault says."""
    size = real.stat().st_size
    if fault.action == "truncate":
        os.truncate(real, max(0, size - max(1, int(size * fault.fraction))))
    elif fault.action == "grow":
        with real.open("ab") as file:
            file.write(b"\0" * max(1, int(size * fault.fraction)))
    elif fault.action == "empty":
        os.truncate(real, 0)
    elif fault.action == "flip" and size:
        position = size // 2 if fault.offset is None else fault.offset % size
        with real.open("r+b") as file:
            file.seek(position)
            byte = file.read(1)[0]
            file.seek(position)
            file.write(bytes([byte ^ 0xFF]))
    elif fault.action == "mtime":
        os.utime(real, (0, 0))
    elif fault.action in {"delete", "directory"}:
        real.unlink()
        if fault.action == "directory":
            real.mkdir()
