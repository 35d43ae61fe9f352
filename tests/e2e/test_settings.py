"""Settings that an admin saves over REST change the running services: each one, also after a restart or without NATS."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.infra.runtime_settings import DEFINITIONS
from tests.support.stack import Job, Stack, until

GIB = 1 << 30


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    # Evidence expires at once, so the scanner asks the uploader before each deletion. A test can hold that lane.
    return {"EVIDENCE_FRESH_SECONDS": "0"}


@contextmanager
def saved(stack: Stack, **values: Any) -> Iterator[None]:
    """Save settings as an admin does. Restore the environment's values afterwards."""
    save(stack, **values)
    try:
        yield
    finally:
        save(stack, reset=list(values))


def save(stack: Stack, **values: Any) -> None:
    answer = stack.patiently("PUT", "/api/config", json=values)
    assert answer.status_code == 200, answer.text


def home(stack: Stack) -> Path:
    return stack.data / "storage" / "workspaces" / stack.http.get("/api/auth/me").json()["id"]


def workspace_folder(stack: Stack, name: str, content: bytes = b"some text, " * 2000) -> Path:
    made = home(stack) / name
    made.mkdir(parents=True)
    (made / "notes.txt").write_bytes(content)
    return made


def ask_pack(stack: Stack, name: str) -> Any:
    """Request a pack that keeps its folder. Return any response."""
    answer = stack.patiently("POST", "/api/files/pack", json={"folder_path": name, "keep_source": True})
    if answer.status_code == 201:
        stack.jobs.append(answer.json()["id"])
    return answer


def pack(stack: Stack, name: str) -> str:
    answer = ask_pack(stack, name)
    assert answer.status_code == 201, answer.text
    return stack.jobs[-1]


def go_on(stack: Stack, job: str) -> None:
    for pid in stack.children(job):
        os.kill(pid, signal.SIGCONT)


def packing(stack: Stack) -> str:
    """An archive job whose 7-Zip is suspended. It keeps its place in the lane until the test resumes it."""
    job = stack.archive(stack.folder({"noise.bin": os.urandom(4 << 20)}))
    stack.freeze_children(job)
    return job


# What each setting changes -----------------------------------------------------------------------------------------------------


def pack_format(stack: Stack) -> None:
    workspace_folder(stack, "Format")
    with saved(stack, pack_format="7z"):
        stack.wait(pack(stack, "Format"), "completed")
    assert (home(stack) / "Format.7z").read_bytes().startswith(b"7z\xbc\xaf")


def pack_compression_level(stack: Stack) -> None:
    workspace_folder(stack, "Level", os.urandom(8 << 20))
    with saved(stack, pack_format="7z", pack_compression_level=2):
        job = pack(stack, "Level")
        stack.freeze_children(job)
    commands = list(stack.children(job).values())
    go_on(stack, job)
    stack.wait(job, "completed")
    assert any("-mx=2" in command or "-mx2" in command for command in commands), commands


def pack_retention_days(stack: Stack) -> None:
    workspace_folder(stack, "Expired")
    job = pack(stack, "Expired")
    stack.wait(job, "completed")
    made = home(stack) / "Expired.zip"
    os.utime(made, (made.stat().st_atime, made.stat().st_mtime - 10 * 86400))
    stack.sql("UPDATE jobs SET completed_at = completed_at - interval '9 days' WHERE id = $1::uuid", job)
    with saved(stack, pack_retention_days=2):
        until(lambda: not made.exists(), "the old pack removed", tell=stack.stories)
    assert (home(stack) / "Expired").is_dir()


def refused_by_both(stack: Stack, name: str, **values: Any) -> tuple[Any, Job]:
    """Return the gateway's answer to a pack and how the compressor ends an older one, under settings that allow neither."""
    workspace_folder(stack, name)
    with stack.frozen("compressor"):
        job = pack(stack, name)
        save(stack, **values)
        refused = ask_pack(stack, name)
    found = stack.wait_for(job, lambda seen: seen["status"] == "failed", "the compressor's refusal")
    save(stack, reset=list(values))
    return refused, found


def workspace_quota(stack: Stack) -> None:
    refused, found = refused_by_both(stack, "Quota", workspace_quota=1)
    assert refused.status_code // 100 == 4 or refused.status_code == 507, refused.text
    assert "space" in found["error_message"], found


def workspace_entries(stack: Stack) -> None:
    refused, found = refused_by_both(stack, "Entries", workspace_entries=1)
    assert (refused.status_code, refused.json()["type"]) == (403, "too-many-entries")
    assert "Too many files" in found["error_message"], found


def nas_browsing(stack: Stack) -> None:
    stack.folder()
    name, password = "browser", "a long enough password"
    made = stack.http.post("/api/users", json={"username": name, "password": password, "must_change_password": False})
    assert made.status_code == 201, made.text
    login = stack.http.post("/api/auth/login", json={"username": name, "password": password}).json()
    headers = {"Authorization": f"Bearer {login['access_token']}"}

    def look() -> int:
        return stack.http.get("/api/files", params={"root": "nas", "path": ""}, headers=headers).status_code

    assert look() == 200
    with saved(stack, nas_browsing="admins"):
        assert look() == 403


def max_task_size(stack: Stack) -> None:
    workspace_folder(stack, "Large")
    with saved(stack, max_task_size=100):
        refused = ask_pack(stack, "Large")
    assert refused.status_code == 400, refused.text
    assert "100" in refused.json()["detail"]


def min_free_disk(stack: Stack) -> None:
    with saved(stack, min_free_disk=1 << 60):
        job = stack.archive(stack.folder())
        found = stack.wait(job, "failed")
    assert "even empty that disk offers" in found["error_message"]


def hidden_file_extensions(stack: Stack) -> None:
    folder = workspace_folder(stack, "Hidden")
    (folder / "notes.tmp").touch()

    def names() -> list[str]:
        listed = stack.http.get("/api/files", params={"path": "Hidden"}).json()
        return sorted(entry["name"] for entry in listed)

    assert names() == ["notes.tmp", "notes.txt"]
    with saved(stack, hidden_file_extensions=["tmp"]):
        assert names() == ["notes.txt"]


def compress_limit(stack: Stack) -> None:
    first = packing(stack)
    second = stack.archive(stack.folder())
    with saved(stack, compress_limit=2):
        stack.wait(second, "completed")
    assert stack.job(first)["status"] == "compressing"
    go_on(stack, first)
    stack.wait(first, "completed")


def workspace_limit(stack: Stack) -> None:
    names = ("Slow 1", "Slow 2", "Quick")
    for name in names[:2]:
        workspace_folder(stack, name, os.urandom(8 << 20))
    workspace_folder(stack, names[2])
    slow = [pack(stack, name) for name in names[:2]]  # as many as run by default
    for job in slow:
        stack.freeze_children(job)
    quick = pack(stack, names[2])
    with saved(stack, workspace_limit=3):
        stack.wait(quick, "completed")
    assert [stack.job(job)["status"] for job in slow] == ["running", "running"]
    for job in slow:
        go_on(stack, job)
        stack.wait(job, "completed")


def upload_limit(stack: Stack) -> None:
    stack.control.configure(bytes_per_second=20_000)
    first = stack.archive(stack.folder({"big.bin": os.urandom(6 << 20)}))
    stack.wait(first, "uploading")
    second = stack.archive(stack.folder({"big.bin": os.urandom(6 << 20)}))
    stack.wait(second, "compressed")
    with saved(stack, upload_limit=2):
        stack.wait(second, "uploading")
        assert stack.job(first)["status"] == "uploading"
    stack.control.configure(bytes_per_second=None)
    for job in (first, second):
        stack.wait(job, "completed")


def delete_limit(stack: Stack) -> None:
    def held() -> int:
        query = "SELECT count(*) FROM jobs WHERE status = 'verified' AND lease_until >= clock_timestamp()"
        return int(stack.value(query))

    first, second = stack.archive(stack.folder()), stack.archive(stack.folder())  # the scanner asks about both
    scanner = stack.freeze("scanner")
    try:
        for job in (first, second):
            stack.wait(job, "verified")
        with stack.frozen("uploader"):  # the scanner asks it before it deletes: its jobs stay where they are
            os.kill(scanner, signal.SIGCONT)
            until(lambda: held() == 1, "the first deletion at work", tell=stack.stories)
            with saved(stack, delete_limit=2):
                until(lambda: held() == 2, "both deletions at work", tell=stack.stories)
    finally:
        os.kill(scanner, signal.SIGCONT)
    for job in (first, second):
        stack.wait(job, "completed")


def max_compression_retries(stack: Stack) -> None:
    with saved(stack, max_compression_retries=0):
        job = packing(stack)
        for pid in stack.children(job):
            os.kill(pid, signal.SIGKILL)
        found = stack.wait(job, "failed")
    assert "gave up after 0 retries" in found["error_message"]


def failing_transfer() -> dict[str, Any]:
    return {"kind": "task", "action": "fail", "code": "ENDPOINT_ERROR", "label": r"\.transfer\."}


def max_upload_retries(stack: Stack) -> None:
    stack.control.set_faults(failing_transfer())
    with saved(stack, max_upload_retries=1):
        job = stack.archive(stack.folder())
        found = stack.wait(job, "failed")
    assert "gave up after 1 retry" in found["error_message"]


def max_connection_error_retries(stack: Stack) -> None:
    unreachable = {"kind": "http", "action": "status", "status": 503, "method": "POST", "path": "/transfer$"}
    stack.control.set_faults(unreachable)
    with saved(stack, max_connection_error_retries=0):
        job = stack.archive(stack.folder())
        found = stack.wait(job, "failed")
    assert "gave up after 0 retries" in found["error_message"]


def retry_delay_seconds(stack: Stack) -> None:
    stack.control.set_faults(failing_transfer())
    with saved(stack, retry_delay_seconds=5000):
        job = stack.archive(stack.folder())
        stack.wait_for(job, lambda seen: seen["retry_count"] == 1, "the failed transfer")
        delay = until(lambda: due_in(stack, job) > 0 and due_in(stack, job), "the next try")
    assert 4000 < delay < 5100, delay
    stack.cancel(job)


def due_in(stack: Stack, job: str) -> float:
    """Seconds until a waiting job is checked again."""
    query = (
        "SELECT extract(epoch FROM greatest(not_before, '1970-01-01') - clock_timestamp())::float8 FROM jobs WHERE id = $1::uuid"
    )
    return float(stack.value(query, job))


def scan_interval_seconds(stack: Stack) -> None:
    def known() -> list[str]:
        return [folder["name"] for folder in stack.http.get("/api/folders", params={"limit": 500}).json()]

    stack.patiently("GET", "/api/folders", params={"refresh": "true"})
    with saved(stack, scan_interval_seconds=10):
        made = stack.folder()
        until(lambda: made.name in known(), "a scan without a request", 60.0)


def short_of_space(stack: Stack) -> Job:
    """A job that waits for space: a sparse 2 GiB file while only 1 GiB may be used. The caller resets the settings."""
    free = shutil.disk_usage(stack.data / "storage").free
    save(stack, min_free_disk=free - GIB)
    folder = stack.folder()
    with (folder / "sparse.bin").open("wb") as file:
        file.truncate(2 * GIB)
    job = stack.archive(folder)
    return stack.wait_for(job, lambda seen: seen["missing_bytes"], "a job that lacks space")


def space_check_seconds(stack: Stack) -> None:
    try:
        save(stack, space_check_seconds=5000)
        job = short_of_space(stack)["job_id"]
        delay = until(lambda: due_in(stack, job) > 0 and due_in(stack, job), "the next look at the disk")
    finally:
        save(stack, reset=["space_check_seconds", "min_free_disk"])
    assert 4000 < delay < 5100, delay
    stack.cancel(job)


def space_pass_hours(stack: Stack) -> None:
    try:
        save(stack, space_check_seconds=0.2)
        head = short_of_space(stack)["job_id"]
        smaller = stack.archive(stack.folder())
        stack.wait(smaller, "completed")  # smaller jobs may overtake it for a day
        save(stack, space_pass_hours=0)
        smaller = stack.archive(stack.folder())

        def looks() -> int:
            return int(stack.value("SELECT attempt FROM jobs WHERE id = $1::uuid", head))

        before = looks()
        until(lambda: looks() > before + 2, "two more rounds of the lane", tell=stack.stories)
        assert stack.job(smaller)["status"] == "queued"
        save(stack, reset=["space_pass_hours"])
        stack.wait(smaller, "completed")
    finally:
        save(stack, reset=["space_check_seconds", "space_pass_hours", "min_free_disk"])
    stack.cancel(head)


def failed_retention_days(stack: Stack) -> None:
    stack.control.set_faults(failing_transfer())
    with saved(stack, max_upload_retries=0):
        job = stack.archive(stack.folder())
        stack.wait(job, "failed")
    until(
        lambda: stack.value("SELECT count(*) FROM cleanups WHERE job_id = $1::uuid", job) == 0, "the clean-ups", tell=stack.stories
    )
    assert stack.staged(job), "a tested archive is kept for a retry"
    stack.sql("UPDATE jobs SET completed_at = completed_at - interval '5 days' WHERE id = $1::uuid", job)
    with saved(stack, failed_retention_days=2):
        until(lambda: not stack.staged(job), "the kept archive removed", tell=stack.stories)


def user_jobs_limit(stack: Stack) -> None:
    with saved(stack, user_jobs_limit=1):
        job = packing(stack)

        def refused() -> bool:
            answer = stack.ask(stack.folder())
            if answer.status_code == 201:  # the gateway has not received the new limit yet
                stack.cancel(answer.json()["job_id"])
            return answer.status_code == 429

        until(refused, "a second job refused")
    go_on(stack, job)
    stack.wait(job, "completed")


def user_streams_limit(stack: Stack) -> None:
    def status() -> int:
        return stack.http.get("/api/auth/me").status_code

    with saved(stack, user_streams_limit=1):
        with stack.http.stream("GET", "/api/stream"):
            until(lambda: status() == 429, "a request beside a stream refused")
        until(lambda: status() == 200, "room for a request")


def login_limit(stack: Stack) -> None:
    body = {"username": "often", "password": "a long enough password"}
    made = stack.http.post("/api/users", json={**body, "must_change_password": False})
    assert made.status_code == 201, made.text

    def status() -> int:
        return stack.http.post("/api/auth/login", json=body).status_code

    with saved(stack, login_limit=1):
        until(lambda: status() == 429, "a second login refused")
    until(lambda: status() == 200, "the usual limit")


CHECKS: dict[str, Callable[[Stack], None]] = {
    check.__name__: check
    for check in (
        *(pack_format, pack_compression_level, pack_retention_days, workspace_quota, nas_browsing, max_task_size, min_free_disk),
        *(
            workspace_entries,
            hidden_file_extensions,
            compress_limit,
            workspace_limit,
            upload_limit,
            delete_limit,
            max_compression_retries,
        ),
        *(max_upload_retries, max_connection_error_retries, retry_delay_seconds, scan_interval_seconds, space_check_seconds),
        *(space_pass_hours, failed_retention_days, user_jobs_limit, user_streams_limit, login_limit),
    )
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_saved_setting_changes_the_running_service(stack: Stack, name: str) -> None:
    """Each setting has its effect without a restart, through the REST interface alone."""
    CHECKS[name](stack)


# After a restart, and without NATS ---------------------------------------------------------------------------------------------

OTHERS: dict[str, Any] = {
    "pack_format": "7z",
    "pack_compression_level": 3,
    "pack_retention_days": 77,
    "workspace_quota": 77 * GIB,
    "workspace_entries": 77_000,
    "nas_browsing": "admins",
    "max_task_size": 77 * GIB,
    "min_free_disk": 77_000_000,
    "hidden_file_extensions": [".seven"],
    "compress_limit": 2,
    "upload_limit": 2,
    "delete_limit": 7,
    "workspace_limit": 7,
    "max_compression_retries": 7,
    "max_upload_retries": 7,
    "max_connection_error_retries": 77,
    "retry_delay_seconds": 0.7,
    "scan_interval_seconds": 10.0,
    "space_check_seconds": 7.0,
    "space_pass_hours": 7.0,
    "failed_retention_days": 77.0,
    "user_jobs_limit": 777,
    "user_streams_limit": 77,
    "login_limit": 77,
}


def follows(stack: Stack, service: str, offset: int = 0) -> bool:
    """Return whether a service's log, after byte `offset`, says that exactly these values apply now."""
    with (stack.data / "logs" / f"{service}.log").open("rb") as file:
        file.seek(offset)
        lines = [json.loads(line) for line in file if b'"settings_changed"' in line]
    return bool(lines) and lines[-1]["values"] == OTHERS


def written(stack: Stack) -> dict[str, int]:
    return {name: (stack.data / "logs" / f"{name}.log").stat().st_size for name in ("scanner", "compressor", "uploader")}


def test_saved_settings_count_after_a_restart_and_arrive_without_nats(stack: Stack) -> None:
    """Every value reaches every worker within a minute while NATS is stopped. After a restart it applies from the first job."""
    assert set(OTHERS) == set(DEFINITIONS)
    stack.control.configure(bytes_per_second=20_000)
    slow = {"big.bin": os.urandom(6 << 20)}
    uploads = [stack.archive(stack.folder(slow)) for _ in range(2)]
    stack.wait(uploads[0], "uploading")
    stack.wait(uploads[1], "compressed")
    first = packing(stack)
    second = stack.archive(stack.folder(slow))
    before = written(stack)

    nats = stack.signal("nats", signal.SIGSTOP)
    try:
        save(stack, **OTHERS)
        found = stack.folder()
        for service, offset in before.items():
            until(partial(follows, stack, service, offset), f"the {service} following", 90.0, stack.said)
        stack.wait(uploads[1], "uploading")
        stack.wait_for(second, lambda seen: seen["attempt"] == 1, "the second job claimed")  # copying needs the uploader's reply
        assert stack.job(first)["status"] == "compressing"
    finally:
        os.kill(nats, signal.SIGCONT)
    until(lambda: found.name in str(stack.http.get("/api/folders", params={"limit": 500}).json()), "a scan without a request")
    go_on(stack, first)
    stack.control.configure(bytes_per_second=None)
    for job in stack.jobs:
        stack.wait(job, "completed")

    stack.stop()
    before = written(stack)
    stack.start()
    for service, offset in before.items():
        until(partial(follows, stack, service, offset), f"the {service} following", tell=stack.said)
    stack.control.configure(bytes_per_second=20_000)
    first = packing(stack)
    uploads = [stack.archive(stack.folder(slow)) for _ in range(2)]  # past the stalled one in the lane
    until(lambda: [stack.job(job)["status"] for job in uploads] == ["uploading"] * 2, "both uploads at once", tell=stack.stories)
    assert stack.job(first)["status"] == "compressing"
    go_on(stack, first)
    stack.control.configure(bytes_per_second=None)
    for job in stack.jobs:
        stack.wait(job, "completed")
    save(stack, reset=list(OTHERS))
