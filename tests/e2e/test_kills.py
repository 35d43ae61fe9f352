"""Kill -9 anywhere: before and after every transition, at every named fault point between them, and of the engines.

A job's plan lists fault points in order. Each service is killed when it reaches its point, the supervisor restarts it, and the
job continues. The job must end as if nothing had happened.
"""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from shared.domain.lifecycle import ARCHIVE_EDGES
from tests.support.stack import ROOT, Stack, snapshot, until

REACHED = {edge.target for edge in ARCHIVE_EDGES if edge.forward}
"""Every state that a service takes the main job to; `queued` is the gateway's INSERT, which has no point before or after."""

# After a handover, the next service may claim the job at once. A plan therefore holds the points of one service only. Otherwise
# the next service could reach its points before the first service reaches its last one.
COPYING = ("transition.copying.before", "transition.copying.after", "compressor.copied")
PACKING = ("transition.compressing.before", "transition.compressing.after", "compressor.packed")
COMPRESSED = ("transition.compressed.before", "transition.compressed.after")
TESTING = ("transition.verifying.before", "transition.verifying.after", "compressor.published", *COMPRESSED)
SENDING = ("transition.uploading.before", "transition.uploading.after", "uploader.stored")
ARRIVING = ("uploader.transfer.sent", "transition.upload_verifying.before", "transition.upload_verifying.after")
PROVING = ("uploader.recheck_stored", "uploader.recheck.sent", "uploader.proven", "uploader.evidence", "uploader.local_removed")
HANDING = ("transition.verified.before", "transition.verified.after")
DELETING = ("transition.deleting_source.before", "transition.deleting_source.after")
EMPTYING = (*DELETING, "marker.temporary", "deletion.marker_written", "deletion.begun", "deletion.renamed")
RESUMING = (
    "deletion.renamed",
    "deletion.taken_over",
    "deletion.checked",
    "deletion.unlinked",
    "deletion.unlinked#2",
    "deletion.directory",
)
ENDING = ("marker.temporary", "deletion.final_marker", "transition.completed.before", "transition.completed.after")
GROUPS = (COPYING, PACKING, TESTING, SENDING, ARRIVING, PROVING, HANDING, EMPTYING, RESUMING, ENDING)
# Points that a job reaches only after a fault; each has its own test below. Points of packs, archives and extractions:
# tests/services/compressor/test_making.py and test_extracting.py, test_workspaces.py here.
OF_WORKSPACES = {f"workspace.{point}" for point in ("created", "tested", "recorded", "published", "emptied")}
AFTER_TROUBLE = {"uploader.removal_stored", "uploader.removal.sent", "uploader.cleanup_removal_stored", "deletion.restored"}


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {"MAX_CRASHES": "50"}


def test_no_point_is_forgotten() -> None:
    """The plans below contain every fault point of the sources, and before and after every transition of the main job."""
    found = {f"transition.{state}.{when}" for state in REACHED for when in ("before", "after")}
    for file in (*(ROOT / "services").rglob("*.py"), *(ROOT / "shared").rglob("*.py")):
        found |= set(re.findall(r'(?:faults\.point|fault_point)\("([a-z_.]+)"\)', file.read_text()))
    found |= {f"uploader.{purpose}.sent" for purpose in ("transfer", "recheck", "removal")}

    planned = {point.partition("#")[0] for group in GROUPS for point in group} | AFTER_TROUBLE | OF_WORKSPACES

    assert found - planned == set()
    assert planned - found == set()


def ends_right(stack: Stack, job: str, folder: Path, before: Any, kept: set[str] | None = None) -> None:
    """The oracle: job completed, archive identical to the original source, source emptied, no gap in the events, nothing staged."""
    stack.wait(job, "completed")
    stack.plan_is_done()
    stack.assert_archived(folder, before, kept)
    assert stack.staged(job) == []
    stack.assert_events(job)


@pytest.mark.parametrize("points", GROUPS, ids=lambda points: points[0])
def test_killed_at_each_of_these_points(stack: Stack, points: tuple[str, ...]) -> None:
    """One job. Its service is killed at each of these points in turn."""
    folder = stack.folder({"one.txt": b"one", "sub/two.txt": b"two", "sub/three": b"3", "empty": None})
    before = snapshot(folder)
    stack.crash_at(*points)

    job = stack.archive(folder)

    ends_right(stack, job, folder, before)


def test_killed_while_its_own_unproven_file_is_removed(stack: Stack) -> None:
    """An unconfirmed transfer is removed and sent again. The service is killed before and after it requests the removal."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.stops_at("transition.compressed.before")
    job = stack.archive(folder)
    with stack.holding("compressor"):
        # Only for its first task: the history of older jobs is read too and must not use up the fault.
        fault = {"kind": "task", "action": "history_deleted", "label": rf"{job}\.\d+\.transfer\.", "times": 1}
        stack.control.set_faults(fault)
    stack.crash_at("uploader.removal_stored", "uploader.removal.sent")

    ends_right(stack, job, folder, before)


def test_killed_while_a_cancelled_upload_is_cleaned_up(stack: Stack) -> None:
    """The removal continues and runs once. Nothing of the job is left, and the source is untouched."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.control.set_faults({"kind": "task", "action": "stall", "label": r"\.recheck\."})
    job = stack.archive(folder)
    stack.wait(job, "upload_verifying")
    until(lambda: any(".recheck." in task["label"] for task in stack.control.tasks()), "the second reading", tell=stack.stories)
    stack.crash_at("uploader.cleanup_removal_stored", "uploader.removal.sent")

    assert stack.cancel(job).status_code == 204
    stack.wait(job, "cancelled")

    stack.plan_is_done()
    until(lambda: stack.arrived(folder) == [] and stack.staged(job) == [], "nothing left", tell=stack.stories)
    assert snapshot(folder) == before
    stack.assert_events(job)


def test_killed_after_giving_back_what_was_written_to_at_the_last_moment(stack: Stack) -> None:
    """Somebody writes to a file between its check and its unlink. The file gets its name back and stays, whatever happens next."""
    folder = stack.folder({"held open": b"archived", "other": b"other"})
    before = snapshot(folder)
    stack.stops_at("deletion.renamed")

    with (folder / "held open").open("ab") as writer:
        job = stack.archive(folder)
        with stack.holding("scanner"):
            written = next(path for path in folder.iterdir() if path.name.startswith(".csa-"))
            if written.read_bytes() != b"archived":  # the other one was first: let it continue
                stack.stops_at("deletion.renamed")
                os.kill(stack.pid("scanner"), signal.SIGCONT)
                stack.stands_still("scanner")
            writer.write(b", and more")
            writer.flush()
            stack.crash_at("deletion.restored")
            os.kill(stack.pid("scanner"), signal.SIGCONT)
            stack.plan_is_done()

    ends_right(stack, job, folder, before, {"held open"})
    assert (folder / "held open").read_bytes() == b"archived, and more"


@pytest.mark.parametrize(
    ("victim", "state"),
    [
        *(("postgres", state) for state in ("copying", "uploading", "verified")),
        *(("nats", state) for state in ("copying", "verified")),
        ("globus_emulator", "uploading"),
        ("gateway", "copying"),
    ],
)
def test_an_engine_dies_under_a_job(stack: Stack, victim: str, state: str) -> None:
    """Kill -9 of Postgres, NATS, the emulator or the gateway while a service is working."""
    folder = stack.folder()
    before = snapshot(folder)
    owner = {"copying": "compressor", "uploading": "uploader", "verified": "uploader"}[state]
    stack.stops_at(f"transition.{state}.after")

    job = stack.archive(folder)
    with stack.holding(owner):
        pid = stack.signal(victim, signal.SIGKILL)
    until(lambda: stack.pid(victim) != pid, f"another {victim}")

    ends_right(stack, job, folder, before)


@pytest.mark.parametrize(
    ("point", "everything"),
    [("compressor.packed", True), ("uploader.transfer.sent", True), ("deletion.renamed", True), ("uploader.transfer.sent", False)],
)
def test_the_whole_stack_is_killed_and_started_again(stack: Stack, point: str, *, everything: bool) -> None:
    """Kill -9 of `up`, alone or with all its processes, during a job. The next `up` in the same directory completes the job."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.stops_at(point)
    job = stack.archive(folder)
    owner = {"compressor": "compressor", "uploader": "uploader", "deletion": "scanner"}[point.partition(".")[0]]
    stack.stands_still(owner)
    held = stack.pid(owner)

    stack.kill9(everything=everything)
    if not everything:  # the supervisor's death tells its children to end, and they may do so
        os.kill(held, signal.SIGCONT)
    stack.start()

    ends_right(stack, job, folder, before)
    assert json.loads((stack.data / "run" / "scanner.pid").read_bytes())["pid"] in stack.alive()
