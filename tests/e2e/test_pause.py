"""Pause and resume real work: while compressing, while uploading, and across a restart of everything."""

import os
from typing import Any

from tests.support.stack import Stack, snapshot, until


def _control(stack: Stack, job: str, action: str) -> dict[str, Any]:
    answer = stack.http.post(f"/api/tasks/{job}/control", json={"action": action})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _running_tasks(stack: Stack) -> list[str]:
    return [task["task_id"] for task in stack.control.tasks() if task["status"] == "ACTIVE"]


def test_a_paused_upload_leaves_globus_and_goes_on_after_a_restart(stack: Stack) -> None:
    """Its task is cancelled and the lane is free. The job stays paused across a restart of everything; after a resume it arrives."""
    folder = stack.folder({"big.bin": os.urandom(6 << 20)})
    before = snapshot(folder)
    stack.control.configure(bytes_per_second=50_000)  # runs for two minutes
    job = stack.archive(folder)
    stack.wait(job, "uploading")
    stack.wait_for(job, lambda seen: seen["globus_task_id"] and (seen["bytes_done"] or 0) > 0, "bytes on their way")
    budget = stack.job(job)["retry_count"]

    _control(stack, job, "pause")
    until(lambda: not _running_tasks(stack), "the task to be off Globus", tell=stack.stories)
    assert [task["status"] for task in stack.control.tasks() if job in task["label"]] == ["FAILED"], "cancelled, not done"
    stack.control.configure(bytes_per_second=None)
    other = stack.archive(stack.folder())
    stack.wait(other, "completed")  # the lane is free

    stack.stop()
    stack.start()
    paused = stack.job(job)
    assert (paused["paused"], paused["status"], paused["current_operation"]) == (True, "uploading", "Paused")
    third = stack.archive(stack.folder())
    stack.wait(third, "completed")
    assert stack.job(job)["status"] == "uploading"

    _control(stack, job, "resume")
    done = stack.wait(job, "completed")
    assert done["retry_count"] == budget
    stack.assert_archived(folder, before)


def test_a_paused_compression_stops_and_begins_again(stack: Stack) -> None:
    """The child processes end, the state stays and another job overtakes. A resume completes the job and uses no retry."""
    folder = stack.folder({"notes.log": os.urandom(16 << 20).hex().encode()})  # packs for several seconds
    before = snapshot(folder)
    job = stack.archive(folder)
    stack.freeze_children(job)

    _control(stack, job, "pause")
    until(lambda: not stack.children(job), "7-Zip gone", tell=stack.stories)
    other = stack.archive(stack.folder())
    stack.wait(other, "completed")
    paused = stack.job(job)
    assert (paused["status"], paused["paused"]) == ("compressing", True)
    answer = stack.http.post(f"/api/tasks/{other}/control", json={"action": "pause"})
    assert answer.status_code == 409

    _control(stack, job, "resume")
    done = stack.wait(job, "completed")
    assert done["retry_count"] == 0
    stack.assert_archived(folder, before)
