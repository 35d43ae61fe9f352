"""The state that survives a restart: tasks, outcomes of files, events, tokens, faults, the clock.

SQLite in WAL mode with full synchronization. Every change is one transaction. So a `kill -9` at any line loses at most the work
on the current file, never a task, a submission id or a reported end.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from devstack.globus_emulator.tasks import Outcome, Task

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY, task_id TEXT NOT NULL UNIQUE, submission_id TEXT NOT NULL UNIQUE, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS outcomes (
    task_id TEXT NOT NULL, destination_path TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (task_id, destination_path));
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, task_id TEXT NOT NULL, document BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_task ON events (task_id, number);
CREATE TABLE IF NOT EXISTS tokens (hash TEXT PRIMARY KEY, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, document BLOB NOT NULL);
"""


class Store:
    """The state file. Any thread may call its methods."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.RLock()
        # The lock above makes one connection safe for all threads.
        self._db = sqlite3.connect(directory / "emulator.db", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in one transaction. Transactions may be nested."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _write(self, sql: str, *values: object) -> None:
        with self.transaction():
            self._db.execute(sql, values)

    def load_tasks(self) -> list[Task]:
        """Return all tasks, oldest first."""
        return [msgspec.json.decode(row[0], type=Task) for row in self._rows("SELECT document FROM tasks ORDER BY number")]

    def save(self, task: Task) -> None:
        self._write(
            "INSERT INTO tasks (task_id, submission_id, document) VALUES (?, ?, ?) "
            "ON CONFLICT (task_id) DO UPDATE SET document = excluded.document",
            task.task_id,
            task.submission_id,
            msgspec.json.encode(task),
        )

    def add_outcome(self, task_id: str, outcome: Outcome) -> None:
        self._write(
            "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)",
            task_id,
            outcome.destination_path,
            msgspec.json.encode(outcome),
        )

    def outcomes(self, task_id: str) -> list[Outcome]:
        rows = self._rows("SELECT document FROM outcomes WHERE task_id = ? ORDER BY rowid", task_id)
        return [msgspec.json.decode(row[0], type=Outcome) for row in rows]

    def add_event(self, task_id: str, document: dict[str, Any]) -> None:
        self._write("INSERT INTO events (task_id, document) VALUES (?, ?)", task_id, msgspec.json.encode(document))

    def events(self, task_id: str) -> list[dict[str, Any]]:
        """Return the events of a task, newest first."""
        rows = self._rows("SELECT document FROM events WHERE task_id = ? ORDER BY number DESC", task_id)
        return [msgspec.json.decode(row[0]) for row in rows]

    def save_token(self, token_hash: str, document: bytes) -> None:
        self._write("INSERT OR REPLACE INTO tokens VALUES (?, ?)", token_hash, document)

    def token(self, token_hash: str) -> bytes | None:
        rows = self._rows("SELECT document FROM tokens WHERE hash = ?", token_hash)
        return rows[0][0] if rows else None

    def drop_tokens(self, token_hash: str | None = None) -> None:
        """Forget one token, or all tokens."""
        self._write("DELETE FROM tokens WHERE ?1 IS NULL OR hash = ?1", token_hash)

    def fact(self, name: str) -> bytes | None:
        rows = self._rows("SELECT document FROM facts WHERE name = ?", name)
        return rows[0][0] if rows else None

    def save_fact(self, name: str, document: bytes) -> None:
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, document)

    def drop_tasks(self) -> None:
        with self.transaction():
            for table in ("tasks", "outcomes", "events"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - three constant names, no input
