"""Faults along the way, one at a time. No byte is lost, and the job says what happened."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.domain.lifecycle import Status
from tests.support.stack import Stack, Tree, snapshot, until

BIG: Tree = {"a.txt": b"a\n" * 50, "sub/b.bin": bytes(range(256)) * 100, "sub/deep/c.txt": b"c", "empty": None}


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {"HARD_FAULT_MINUTES": "0.01", "MAX_UPLOAD_RETRIES": "2", "SCAN_INTERVAL_SECONDS": "600"}


def stall(**more: Any) -> dict[str, Any]:
    """Stall all transfers until the list of faults is cleared. This opens the window between copy and arrival."""
    return {"kind": "task", "action": "stall", "label": r"\.transfer\.", **more}


@contextmanager
def uploading(stack: Stack, folder: Path, **options: Any) -> Iterator[str]:
    """Yield a job whose transfer is stalled while the block runs. Its source is already copied."""
    stack.control.set_faults(stall())
    job = stack.archive(folder, **options)
    stack.wait(job, "uploading")
    until(lambda: len(transfers(stack, job)) == 1, "one transfer under way", tell=stack.stories)
    yield job
    stack.control.set_faults()


def transfers(stack: Stack, job: str, purpose: str = "transfer") -> list[dict[str, Any]]:
    """Return the job's tasks at Globus."""
    return [task for task in stack.control.tasks() if job in task["label"] and f".{purpose}." in task["label"]]


def assert_untouched(stack: Stack, folder: Path, before: object) -> None:
    assert snapshot(folder) == before
    assert not stack.marker(folder).exists()


def settled(stack: Stack, job: str, folder: Path) -> None:
    """Wait until an ended job has cleaned up: nothing is left in staging or at the destination."""
    until(lambda: stack.staged(job) == [], "staging empty", tell=lambda: f"{stack.staged(job)}\n{stack.stories()}")
    until(lambda: stack.arrived(folder) == [], "destination empty", tell=stack.stories)


# Damage at the destination --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["truncate", "flip", "delete", "grow"])
def test_damage_after_globus_verified_is_found_and_repaired(stack: Stack, action: str) -> None:
    """Half a percent missing, a flipped byte, a missing file, a grown file: the task says SUCCEEDED, but the proof fails."""
    folder = stack.folder({"data.bin": os.urandom(200_000)})
    before = snapshot(folder)
    stack.control.set_faults({"kind": "data", "action": action, "when": "after_verify", "path": r"\.7z$", "times": 1})

    job = stack.archive(folder)
    stack.wait(job, "completed")

    stack.assert_archived(folder, before)
    assert stack.job(job)["warnings"], "it says what happened"
    stack.assert_events(job)


@pytest.mark.parametrize("action", ["truncate", "flip"])
def test_damage_that_comes_back_every_time_fails_the_job(stack: Stack, action: str) -> None:
    """The retry budget runs out. The job gives the reason, the source is whole, and the damaged, unproven remote file is removed."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.control.set_faults({"kind": "data", "action": action, "when": "after_verify", "path": r"\.7z$"})

    job = stack.archive(folder)
    stack.wait(job, "failed")

    assert_untouched(stack, folder, before)
    assert "gave up after 2 retries" in stack.job(job)["error_message"]
    until(lambda: stack.arrived(folder) == [], "destination empty", tell=stack.stories)


# The source after the copy --------------------------------------------------------------------------------------------------------


def test_what_changed_or_came_after_the_copy_stays(stack: Stack) -> None:
    """Added, rewritten and replaced files are kept and counted. The proven rest is deleted."""
    folder = stack.folder({"same": b"same", "changed": b"old", "replaced": b"12345", "sub/same too": b"x", "sub/gone": b"y"})
    before = snapshot(folder)

    with uploading(stack, folder) as job:
        (folder / "changed").write_bytes(b"new")
        times = (folder / "replaced").stat()
        (folder / "other").write_bytes(b"54321")
        os.utime(folder / "other", ns=(times.st_atime_ns, times.st_mtime_ns))
        (folder / "other").rename(folder / "replaced")  # same name, size and time; only the inode differs
        (folder / "added").write_bytes(b"added")
        (folder / "sub" / "gone").unlink()
    done = stack.wait(job, "completed")

    stack.assert_archived(folder, before, {"changed", "replaced", "added"})
    assert done["kept_count"] == 3
    assert [(folder / name).read_bytes() for name in ("changed", "replaced", "added")] == [b"new", b"54321", b"added"]
    assert "kept 3 files" in stack.log(job) or any("Kept" in line for line in done["warnings"])
    assert "Kept in this folder: 3 files" in stack.marker(folder).read_text()


def test_a_source_that_is_another_by_now_is_left_alone(stack: Stack) -> None:
    """If nothing that was copied is there any more, the job fails before it deletes a byte, and leaves no marker."""
    folder = stack.folder({"one": b"1", "two": b"2"})

    with uploading(stack, folder) as job:
        for name in ("one", "two"):
            (folder / name).write_bytes(b"rewritten")
        before = snapshot(folder)
    stack.wait(job, "failed")

    assert_untouched(stack, folder, before)
    assert "Nothing was deleted" in stack.job(job)["error_message"]
    assert len(stack.arrived(folder)) == 2, "a proven archive stays"


def test_a_file_that_changes_during_the_copy_is_copied_again(stack: Stack) -> None:
    """The archive holds the folder as it was at one moment, never a mix of old and new."""
    folder = stack.folder(BIG)
    stack.stops_at("transition.copying.after")

    job = stack.archive(folder)
    with stack.holding("compressor"):  # the job has scanned the folder and copied nothing yet
        (folder / "a.txt").write_bytes(b"changed under its hands")
        (folder / "new.txt").write_bytes(b"new")
        before = snapshot(folder)
    stack.wait(job, "completed")

    stack.assert_archived(folder, before)
    assert "changed while it was copied" in stack.log(job)


def test_a_folder_that_never_rests_fails(stack: Stack) -> None:
    """The folder changes during each of three copies. The job says that the folder is in use."""
    files = 800  # enough files that the writer gets a turn within each copy, even on a busy machine
    folder = stack.folder({**{f"{n}.bin": bytes(100) for n in range(files)}, "log.txt": b""})
    ended = threading.Event()

    def write() -> None:
        with (folder / "log.txt").open("ab", buffering=0) as log:
            while not ended.wait(0.0005):
                log.write(b"line\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        job = stack.archive(folder)
        stack.wait(job, "failed")
    finally:
        ended.set()
        writer.join()

    assert "in use" in stack.job(job)["error_message"]
    assert len(snapshot(folder)) == files + 1
    settled(stack, job, folder)


# Destination names and paths ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".manifest.json"])
def test_an_existing_remote_path_is_refused_at_request(stack: Stack, suffix: str) -> None:
    """An existing archive or sidecar is kept, no matter who created it."""
    folder = stack.folder()
    taken = stack.remote(folder).with_name(stack.remote(folder).name + suffix)
    taken.parent.mkdir(parents=True, exist_ok=True)
    taken.write_bytes(b"somebody else's")

    answer = stack.ask(folder)

    assert answer.status_code == 409, answer.text
    assert taken.read_bytes() == b"somebody else's"


def test_a_remote_file_that_appears_meanwhile_is_never_touched(stack: Stack) -> None:
    """Somebody creates the remote file between request and upload. The job fails with a reason and harms no file."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.stops_at("compressor.packed")

    job = stack.archive(folder)
    with stack.holding("compressor"):
        stack.remote(folder).parent.mkdir(parents=True, exist_ok=True)
        stack.remote(folder).write_bytes(b"somebody else's")
    stack.wait(job, "failed")

    assert_untouched(stack, folder, before)
    assert stack.remote(folder).read_bytes() == b"somebody else's"
    assert stack.arrived(folder) == [stack.remote(folder).name]
    assert "not this job's" in stack.job(job)["error_message"]


def test_two_folders_of_one_name_do_not_meet(stack: Stack) -> None:
    """Folders of the same name in two level 2 folders are archived at the same time. Each gets its own archive."""
    folders = [stack.folder({"which": level2.encode()}, name="Twin", level2=level2) for level2 in ("North", "South")]
    before = [snapshot(folder) for folder in folders]

    jobs = [stack.archive(folder) for folder in folders]

    for job, folder, was in zip(jobs, folders, before, strict=True):
        stack.wait(job, "completed")
        stack.assert_archived(folder, was)


def test_one_folder_has_one_job_and_one_name_one_place(stack: Stack) -> None:
    """A second request for the folder, or for a name that a destination might not tell apart, gets 409 with the job's id."""
    folder, twin = stack.folder(name="Straße"), stack.folder(name="STRASSE")

    with uploading(stack, folder) as job:
        again, other = stack.ask(folder), stack.ask(twin)
    stack.wait(job, "completed")
    late = stack.ask(twin)

    assert [answer.status_code for answer in (again, other, late)] == [409, 409, 409]
    assert all(job in answer.json()["detail"] for answer in (again, other, late))
    assert twin.exists()


# The NAS goes away ----------------------------------------------------------------------------------------------------------------


@contextmanager
def unmounted(stack: Stack) -> Iterator[None]:
    """Yield an empty directory in the place of the NAS, as an unmounted NAS looks."""
    aside = stack.root / "aside"
    stack.nas.rename(aside)
    stack.nas.mkdir()
    try:
        yield
    finally:
        stack.nas.rmdir()  # fails if anything was written there
        aside.rename(stack.nas)


def test_an_unmounted_nas_is_waited_for_before_the_copy(stack: Stack) -> None:
    """The job stays queued and gives the reason. It continues by itself when the NAS is back."""
    folder = stack.folder()
    before = snapshot(folder)

    with ExitStack() as away:
        with stack.frozen("compressor"):
            job = stack.archive(folder)
            away.enter_context(unmounted(stack))
        waits = stack.wait_for(job, lambda seen: seen["wait_reason"], "a reason to wait")
    stack.wait(job, "completed")

    assert "NAS" in waits["wait_reason"]
    assert waits["status"] == "queued"
    assert waits["retry_count"] == 0, "waiting costs no budget"
    stack.assert_archived(folder, before)


def test_an_unmounted_nas_is_waited_for_before_the_deletion(stack: Stack) -> None:
    """An empty mount point does not count as an emptied source: the job waits in `verified`, then empties the real one."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.stops_at("transition.verified.before")

    job = stack.archive(folder)
    with ExitStack() as away:
        with stack.holding("uploader"):
            away.enter_context(unmounted(stack))
        waits = stack.wait_for(job, lambda seen: seen["status"] == "verified" and seen["wait_reason"], "a reason to wait")
    stack.wait(job, "completed")

    assert "NAS" in waits["wait_reason"]
    stack.assert_archived(folder, before)


# Cancel ---------------------------------------------------------------------------------------------------------------------------


def cancelled(stack: Stack, job: str, folder: Path, before: object) -> None:
    """Check that the job ends cancelled, the source is whole, nothing of the job is left anywhere and its path is released."""
    stack.wait(job, "cancelled")
    assert_untouched(stack, folder, before)
    settled(stack, job, folder)
    until(lambda: stack.ask(folder).status_code == 201, "the destination free again", tell=stack.stories)
    stack.wait(stack.jobs[-1], "completed")
    stack.assert_archived(folder, before)  # type: ignore[arg-type]  # a snapshot
    stack.assert_events(job)


def test_cancel_while_queued(stack: Stack) -> None:
    folder = stack.folder()
    before = snapshot(folder)

    with stack.frozen("compressor"):
        job = stack.archive(folder)
        assert stack.cancel(job).status_code == 204
        assert stack.job(job)["status"] == "cancelled", "nobody worked on it: at once"

    cancelled(stack, job, folder, before)


@pytest.mark.parametrize("state", [Status.COPYING, Status.COMPRESSING, Status.VERIFYING])
def test_cancel_while_it_is_packed(stack: Stack, state: Status) -> None:
    folder = stack.folder()
    before = snapshot(folder)
    stack.stops_at(f"transition.{state}.after")

    job = stack.archive(folder)
    with stack.holding("compressor"):
        assert stack.job(job)["status"] == state
        assert stack.cancel(job).status_code == 204

    cancelled(stack, job, folder, before)


def test_cancel_while_it_waits_for_its_upload(stack: Stack) -> None:
    folder = stack.folder()
    before = snapshot(folder)
    stack.stops_at("transition.compressed.before")

    job = stack.archive(folder)
    with stack.holding("compressor"):
        uploader = stack.freeze("uploader")
    stack.wait(job, "compressed")
    try:
        assert stack.cancel(job).status_code == 204
        assert stack.job(job)["status"] == "cancelled", "nobody worked on it: at once"
    finally:
        os.kill(uploader, signal.SIGCONT)

    cancelled(stack, job, folder, before)


@pytest.mark.parametrize("moved", [0, 50_000])
def test_cancel_while_it_is_uploaded(stack: Stack, moved: int) -> None:
    """Before the first byte and half-way: the Globus task is cancelled too, and the files that it wrote are removed."""
    folder = stack.folder({"data.bin": os.urandom(2_000_000)})
    before = snapshot(folder)
    if moved:
        stack.control.configure(bytes_per_second=50_000)  # runs for 40 s

    with uploading(stack, folder) if not moved else slow_upload(stack, folder, moved) as job:
        assert stack.cancel(job).status_code == 204
        stack.wait(job, "cancelled")
        until(lambda: all(task["status"] == "FAILED" for task in transfers(stack, job)), "the task cancelled", tell=stack.stories)
    stack.control.configure(bytes_per_second=None)

    cancelled(stack, job, folder, before)


@contextmanager
def slow_upload(stack: Stack, folder: Path, moved: int) -> Iterator[str]:
    job = stack.archive(folder)
    until(lambda: any(task["bytes_transferred"] >= moved for task in transfers(stack, job)), "some bytes", tell=stack.stories)
    yield job


def test_cancel_while_the_upload_is_verified(stack: Stack) -> None:
    """During the second reading: its task ends, and the files that arrived but were never proven are removed."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.control.set_faults({"kind": "task", "action": "stall", "label": r"\.recheck\."})

    job = stack.archive(folder)
    until(lambda: transfers(stack, job, "recheck"), "the second reading under way", tell=stack.stories)
    assert stack.job(job)["status"] == "upload_verifying"
    assert stack.cancel(job).status_code == 204
    stack.wait(job, "cancelled")
    stack.control.set_faults()

    cancelled(stack, job, folder, before)


def test_cancel_of_a_verified_job_keeps_the_source_and_the_proven_archive(stack: Stack) -> None:
    """A proven archive at the destination is never removed. The source stays, because the user cancelled."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.stops_at("transition.verified.before")

    job = stack.archive(folder)
    with stack.holding("uploader"):
        scanner = stack.freeze("scanner")
    stack.wait(job, "verified")
    try:
        assert stack.cancel(job).status_code == 204
        stack.wait(job, "cancelled")
    finally:
        os.kill(scanner, signal.SIGCONT)

    assert_untouched(stack, folder, before)
    until(lambda: stack.staged(job) == [], "staging empty", tell=stack.stories)
    assert stack.restored(folder) == before
    assert stack.ask(folder).status_code == 409, "a proven archive keeps its place"


def test_a_deletion_that_has_begun_is_not_cancelled(stack: Stack) -> None:
    """The answer is 409 with the reason, and the job completes."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.stops_at("deletion.renamed")

    job = stack.archive(folder)
    with stack.holding("scanner"):
        answer = stack.cancel(job)
    stack.wait(job, "completed")

    assert answer.status_code == 409
    assert "being deleted" in answer.json()["detail"]
    stack.assert_archived(folder, before)
    assert stack.cancel(job).status_code == 409


# Retry, refusals ------------------------------------------------------------------------------------------------------------------


def test_a_retry_uses_the_tested_archive_again(stack: Stack) -> None:
    """A job that failed during the upload keeps its archive. A retry copies and packs nothing."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.control.set_faults({"kind": "task", "action": "fail", "code": "PERMISSION_DENIED", "label": r"\.transfer\."})

    job = stack.archive(folder)
    stack.wait(job, "failed")
    first = stack.job(job)["archive"]
    assert_untouched(stack, folder, before)
    assert "PERMISSION_DENIED" in stack.job(job)["error_message"]
    stack.control.set_faults()
    stack.retry(job)
    stack.wait(job, "completed")

    assert stack.job(job)["archive"] == first
    assert stack.states(job).count("copying") == 1
    stack.assert_archived(folder, before)
    assert stack.staged(job) == []
    stack.assert_events(job)


def test_what_an_archive_cannot_hold_refuses_before_copying(stack: Stack) -> None:
    """The refusal names the named pipe, and nothing is copied."""
    folder = stack.folder()
    os.mkfifo(folder / "sub" / "pipe")

    job = stack.archive(folder)
    stack.wait(job, "failed")

    assert stack.states(job) == ["queued", "failed"]
    assert "sub/pipe" in stack.job(job)["error_message"]
    assert (folder / "one.txt").exists()


def test_a_foreign_file_with_the_markers_name_fails_before_any_deletion(stack: Stack) -> None:
    """A foreign file has the marker's name. The job fails; the file, the source and the proven archive stay as they are."""
    folder = stack.folder()

    with uploading(stack, folder) as job:
        stack.marker(folder).write_bytes(b"not a marker of ours")
        before = snapshot(folder)
    stack.wait(job, "failed")

    assert snapshot(folder) == before
    assert "marker" in stack.job(job)["error_message"]


# Globus misbehaves ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fail", "fault", "reject"])
def test_md5_is_used_where_sha256_is_refused(stack: Stack, how: str) -> None:
    """However an endpoint rejects SHA-256, the next algorithm that both sides support proves the arrival."""
    folder = stack.folder()
    before = snapshot(folder)
    config = stack.control._call("GET", "config")
    (destination,) = [name for name, c in config["collections"].items() if c["root"].endswith("/destination")]
    known = config["collections"][destination]
    only_md5 = {"checksum_algorithms": ["MD5"], "unsupported_algorithm": how}
    stack.control.configure(collections={destination: only_md5})
    try:
        job = stack.archive(folder)
        stack.wait(job, "completed")
    finally:
        usual = {name: known[name] for name in only_md5}
        stack.control.configure(collections={destination: usual})

    stack.assert_archived(folder, before)
    assert "MD5" in stack.log(job)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "auth", "action": "revoke_tokens", "times": 1},
        {"kind": "http", "action": "lost_response", "method": "POST", "path": "/transfer$", "times": 1},
        {"kind": "http", "action": "cut_body", "path": "/task/", "times": 2},
        {"kind": "http", "action": "status", "status": 503, "path": "/(stat|ls|task)", "times": 3},
        {"kind": "task", "action": "fail", "code": "ENDPOINT_ERROR", "label": r"\.transfer\.", "times": 1},
        {"kind": "task", "action": "inactive", "label": r"\.transfer\.", "times": 1},
        {"kind": "task", "action": "faulting", "code": "PERMISSION_DENIED", "label": r"\.transfer\.", "times": 1},
    ],
    ids=lambda fault: fault["action"],
)
def test_trouble_at_globus_that_passes(stack: Stack, fault: dict[str, Any]) -> None:
    """Token expired, reply lost, reply cut, service down, task failed, suspended or stuck: the job still ends correctly."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.control.set_faults(fault)

    job = stack.archive(folder)
    stack.wait(job, "completed")

    assert stack.control.faults()[0]["fired"], "the fault was met"
    stack.assert_archived(folder, before)
    if fault["action"] == "lost_response":
        assert len(transfers(stack, job)) == 1, "sent again under its own id, it is no second task"
    stack.assert_events(job)


def test_a_transfer_that_nobody_vouches_for_is_sent_again(stack: Stack) -> None:
    """The task's history is gone, so nothing confirms its digest. The job removes the file, which is its own, and sends it again."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.stops_at("transition.compressed.before")

    job = stack.archive(folder)
    with stack.holding("compressor"):
        # Only for its first task: the history of older jobs is read too and must not use up the fault.
        fault = {"kind": "task", "action": "history_deleted", "label": rf"{job}\.\d+\.transfer\.", "times": 1}
        stack.control.set_faults(fault)
    stack.wait(job, "completed")

    stack.assert_archived(folder, before)
    assert (len(transfers(stack, job)), len(transfers(stack, job, "removal"))) == (2, 1)


def test_globus_is_away_for_a_while(stack: Stack) -> None:
    """The job waits and gives the reason. It continues by itself when Globus responds again."""
    folder = stack.folder()
    before = snapshot(folder)
    stack.control.set_faults({"kind": "http", "action": "status", "status": 503, "path": "^/v0|^/(transfer|task|operation)"})

    job = stack.archive(folder)
    waits = stack.wait_for(job, lambda seen: seen["wait_reason"], "a reason to wait")
    stack.control.set_faults()
    stack.wait(job, "completed")

    assert waits["wait_reason"]
    stack.assert_archived(folder, before)
