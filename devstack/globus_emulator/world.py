"""The world behind the API: collections, tasks, their runs, and the clock. It holds every rule that concerns several tasks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from devstack.globus_emulator import submission, tasks
from devstack.globus_emulator.config import Config, changed
from devstack.globus_emulator.errors import ApiError, FatalError, ObstacleError, bad_request
from devstack.globus_emulator.faults import FaultBook
from devstack.globus_emulator.filesystem import filtered, ordered, window
from devstack.globus_emulator.store import Store
from devstack.globus_emulator.tasks import Outcome, Task

log = logging.getLogger(__name__)
Document = dict[str, Any]
Query = dict[str, list[str]]
PAGE_SIZE = 1000
STOP_WAIT_S = 10.0


class Running(Protocol):
    """What the world needs to know about a running task, which has its own thread."""

    task: Task
    number: int
    working: bool
    """True while the task holds one of its owner's slots."""
    waiting: bool
    """True while the task waits for a slot."""
    stopped: bool

    def main(self) -> None:
        """Work until the task or the program ends."""


class World:
    """All state. Any thread may call its methods, which raise ApiError."""

    def __init__(self, config: Config, store: Store, runner: Callable[[World, Task, int], Running]) -> None:
        self._runner = runner
        self.config = config
        self.store = store
        self.changed = threading.Condition(threading.RLock())
        """Guards everything below. It is notified of every change that a run may wait for."""
        self.faults = FaultBook(store.fact("faults"), lambda document: store.save_fact("faults", document))
        self._offset = float(store.fact("clock") or b"0")
        self._tasks: dict[str, Task] = {}
        self._runs: dict[str, Running] = {}
        self._closed = False
        self._make_roots()

    def _make_roots(self) -> None:
        for collection in self.config.collections.values():
            Path(collection.root).mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Resume the tasks of the last run of the program."""
        with self.changed:
            for task in self.store.load_tasks():
                self._tasks[task.task_id] = task
                if not task.finished:
                    task.status, task.is_paused = "ACTIVE", False
                    if task.nice_status in {"OK", "PAUSED"}:
                        task.nice_status = "Queued"
                    self._run(task)

    def close(self) -> None:
        """Stop all runs where they are. Their tasks stay unfinished in the store."""
        self.wake_for_close()
        self._stop_runs()
        self.store.close()

    def wake_for_close(self) -> None:
        """Release every waiting call, because the program ends."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    def linger(self, seconds: float) -> None:
        """Delay an answer for some seconds, or until the program ends."""
        with self.changed:
            self.changed.wait_for(lambda: self._closed, seconds)

    def _stop_runs(self) -> None:
        with self.changed:
            runs = list(self._runs.values())
            for run in runs:
                run.stopped = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: not any(run.task.task_id in self._runs for run in runs), STOP_WAIT_S)

    # --- the clock -----------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Return the emulator's time in seconds since the epoch."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        with self.changed:
            self._offset += seconds
            self.store.save_fact("clock", str(self._offset).encode())
            self.changed.notify_all()

    def reconfigure(self, patch: bytes) -> None:
        """Apply a patch to the configuration. Raises ConfigError."""
        with self.changed:
            self.config = changed(self.config, patch)
            self._make_roots()
            self.changed.notify_all()

    def replace_faults(self, document: bytes) -> bytes:
        """Replace the list of faults. Raises ValueError."""
        answer = self.faults.replace(document)
        with self.changed:
            self.changed.notify_all()
        return answer

    def reset(self, *, clock: bool) -> None:
        """Forget all tasks, tokens and faults. Files stay."""
        self._stop_runs()
        with self.changed:
            self._tasks.clear()
            self.store.drop_tasks()
            self.store.drop_tokens()
            self.faults.replace(b'{"faults":[]}')
            if clock:
                self._offset = 0.0
                self.store.save_fact("clock", b"0")

    # --- reports of a run ----------------------------------------------------------------------------------------

    def has_place(self, run: Running) -> bool:
        """Return True if the run may start: a slot is free and no run of the same owner and kind has waited longer."""
        group = [
            other
            for other in self._runs.values()
            if other is not run and (other.task.owner, other.task.kind) == (run.task.owner, run.task.kind)
        ]
        if sum(other.working for other in group) >= self.config.max_running:
            return False
        return not any(other.waiting and other.number < run.number for other in group)

    def left(self, run: Running) -> None:
        with self.changed:
            run.working = False
            self._runs.pop(run.task.task_id, None)
            self.changed.notify_all()

    def record(
        self,
        task: Task,
        code: str,
        description: str,
        details: str,
        *,
        is_error: bool = False,
        outcome: Outcome | None = None,
    ) -> None:
        """Save the task with an event and, if given, the outcome of a file, in one transaction."""
        event = tasks.event_document(code, description, details, is_error=is_error, time=self.now())
        with self.store.transaction():
            self.store.save(task)
            self.store.add_event(task.task_id, event)
            if outcome is not None:
                self.store.add_outcome(task.task_id, outcome)

    def met(self, task: Task, obstacle: ObstacleError) -> None:
        """Record a fault before counting it, so that a client that sees the count also sees the reason."""
        task.nice_status, task.nice_details = obstacle.code, obstacle.details
        task.faults += 1
        description = obstacle.code.lower().replace("_", " ")
        self.record(task, obstacle.code, description, obstacle.details, is_error=True)

    def finish(self, task: Task, status: str, fatal: FatalError | None = None) -> None:
        """End the task. The end is stored before any client can see it."""
        with self.changed:
            ended = msgspec.structs.replace(
                task,
                status=status,
                completion_time=self.now(),
                fatal_code=fatal.code if fatal else None,
                fatal_description=fatal.description if fatal else None,
                is_paused=False,
                subtasks_retrying=0,
            )
            if fatal is None:
                if task.errors_skipped:
                    self.record(ended, "SKIPPED_ERRORS", "skipped errors", f"{task.errors_skipped} paths were skipped")
                self.record(ended, "SUCCEEDED", "succeeded", "The task has succeeded")
            else:
                self.record(ended, fatal.code, fatal.description, fatal.details, is_error=fatal.code != "CANCELED")
            self._tasks[task.task_id] = ended
            self.changed.notify_all()

    # --- the API -------------------------------------------------------------------------------------------------

    def submit(self, owner: str, kind: str, body: Any) -> tuple[Task, bool]:
        """Return (task, new). The same submission id means the same task, even if the rest of the body differs."""
        identity = submission.submission_id(body)
        with self.changed:
            for known in self._tasks.values():
                if known.submission_id == identity and known.owner == owner:
                    return known, False
            make = submission.transfer if kind == "TRANSFER" else submission.delete
            task = make(body, owner=owner, config=self.config, now=self.now())
            unfinished = [other for other in self._tasks.values() if other.owner == owner and not other.finished]
            if any(submission.identical_paths(task, other) for other in unfinished):
                raise ApiError(409, "Conflict", "A transfer with identical paths has not yet completed")
            if len(unfinished) >= self.config.max_pending:
                raise ApiError(409, "TooManyPendingJobs", f"There are already {len(unfinished)} pending tasks")
            self.store.save(task)
            self._tasks[task.task_id] = task
            self._run(task)
            return task, True

    def _run(self, task: Task) -> None:
        run = self._runner(self, task, len(self._tasks))
        self._runs[task.task_id] = run
        threading.Thread(target=run.main, name=f"task-{task.task_id[:8]}", daemon=True).start()

    def task(self, owner: str, task_id: str) -> Task:
        task = self._tasks.get(task_id)
        if task is None or task.owner != owner or self.faults.of_task(task, "vanish"):
            raise ApiError(404, "ClientError.NotFound", f"No task found with id '{task_id}'")
        return task

    def document(self, task: Task) -> Document:
        names = {endpoint: collection.display_name for endpoint, collection in self.config.collections.items()}
        this_moment = msgspec.structs.replace(task)  # its thread continues meanwhile, and the document must be consistent
        document = tasks.task_document(this_moment, now=self.now(), names=names)
        if self._history_deleted(task):
            document["history_deleted"] = True
        shown = self.faults.of_task(task, "document")
        return {**document, **shown.fields} if shown else document

    def _history_deleted(self, task: Task) -> bool:
        return self.faults.of_task(task, "history_deleted") is not None

    def raw(self, task_id: str) -> Document:
        """Return all data of a task and its run, for the control plane."""
        with self.changed:
            task = self._tasks.get(task_id)
            if task is None:
                raise ApiError(404, "ClientError.NotFound", f"No task found with id '{task_id}'")
            run = self._runs.get(task_id)
        return {
            "task": msgspec.to_builtins(task),
            "outcomes": msgspec.to_builtins(self.store.outcomes(task_id)),
            "running": run is not None and run.working,
            "document": self.document(task),
        }

    def all_tasks(self) -> list[Document]:
        with self.changed:
            known = list(self._tasks.values())
        return [self.document(task) for task in known]

    def listed(self, owner: str, query: Query) -> Document:
        with self.changed:
            mine = [task for task in self._tasks.values() if task.owner == owner]
        documents = [self.document(task) for task in reversed(mine) if not self.faults.of_task(task, "vanish")]
        documents = filtered(documents, query.get("filter", []))
        documents = ordered(documents, query.get("orderby", [""])[0])
        limit, offset = window(query, default=10, maximum=1000)
        page = documents[offset : offset + limit]
        return {
            "DATA_TYPE": "task_list",
            "DATA": page,
            "length": len(page),
            "limit": limit,
            "offset": offset,
            "total": len(documents),
        }

    def events(self, task: Task, query: Query) -> Document:
        limit, offset = window(query, default=10, maximum=1000)
        known = [] if self._history_deleted(task) else self.store.events(task.task_id)
        known = filtered(known, query.get("filter", []))
        page, total = known[offset : offset + limit], len(known)
        return {
            "DATA_TYPE": "event_list",
            "DATA": page,
            "length": len(page),
            "limit": limit,
            "offset": offset,
            "total": total,
        }

    def successes(self, task: Task, query: Query) -> Document:
        done = [outcome for outcome in self._details(task) if outcome.result == "transferred"]
        return _marked("successful_transfers", [tasks.success_document(outcome) for outcome in done], query)

    def skipped_errors(self, task: Task, query: Query) -> Document:
        skipped = [outcome for outcome in self._details(task) if outcome.result == "skipped_error"]
        return _marked("skipped_errors", [tasks.skipped_document(outcome) for outcome in skipped], query)

    def _details(self, task: Task) -> list[Outcome]:
        if not task.finished:
            raise bad_request(f"Task '{task.task_id}' is still in progress")
        return [] if self._history_deleted(task) else self.store.outcomes(task.task_id)

    def pause_info(self, task: Task) -> Document:
        rules = []
        if task.is_paused:
            rules.append(
                {
                    "DATA_TYPE": "pause_rule_limited",
                    "id": task.task_id,
                    "message": task.pause_message,
                    "endpoint_id": task.destination,
                    "pause_task_transfer_write": True,
                    "modified_by": None,
                    "modified_time": tasks.moment(task.request_time),
                }
            )
        return {
            "DATA_TYPE": "pause_info_limited",
            "pause_rules": rules,
            "source_pause_message": None,
            "source_pause_message_share": None,
            "destination_pause_message": task.pause_message,
            "destination_pause_message_share": None,
        }

    def cancel(self, task: Task) -> Document:
        """Ask the task to end, and wait a short time for its end."""
        slow = self.faults.of_task(task, "slow_cancel")
        with self.changed:
            task = self._tasks.get(task.task_id, task)  # it may have ended since the lookup
            if task.finished:
                return {"code": "TaskComplete", "message": "The task completed before the cancel request was processed."}
            if not task.cancel_requested:
                task.cancel_requested = True
                task.cancel_not_before = self.now() + (slow.seconds if slow else 0.0)
                self.store.save(task)
                self.changed.notify_all()
            wait_s = 0.0 if slow else self.config.cancel_wait_s
            ended = self.changed.wait_for(lambda: self._closed or self._ended(task.task_id), wait_s) and not self._closed
        if ended:
            return {"code": "Canceled", "message": "The task has been cancelled successfully."}
        return {"code": "CancelAccepted", "message": "The cancel request has been accepted and will be processed."}

    def _ended(self, task_id: str) -> bool:
        task = self._tasks.get(task_id)
        return task is None or task.finished

    def update(self, task: Task, body: Any) -> Document:
        """Change the label or deadline of an unfinished task."""
        if not isinstance(body, dict) or set(body) - {"DATA_TYPE", "label", "deadline"}:
            raise bad_request("Only label and deadline can be updated")
        with self.changed:
            task = self._tasks.get(task.task_id, task)
            if task.finished:
                raise ApiError(409, "Conflict", "The task has already completed")
            label = submission.label_of(body["label"]) if "label" in body else task.label
            deadline = submission.deadline_of(body.get("deadline"), self.now())
            task.label = label
            if deadline is not None:
                task.deadline, task.deadline_given = deadline, True
            self.store.save(task)
            self.changed.notify_all()
        return {"code": "Updated", "message": "Updated the task successfully"}


def _marked(data_type: str, documents: list[Document], query: Query) -> Document:
    """Return one page of a list with markers. The marker is an offset, but callers must not rely on that."""
    marker = query.get("marker", ["0"])[0]
    if not marker.isdigit():
        raise bad_request(f"Invalid marker '{marker}'")
    start = int(marker)
    end = start + PAGE_SIZE
    return {
        "DATA_TYPE": data_type,
        "DATA": documents[start:end],
        "marker": start,
        "next_marker": str(end) if end < len(documents) else None,
    }
