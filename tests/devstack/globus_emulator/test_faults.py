"""Every fault knob has its documented effect on the real SDK."""

import hashlib
import time
from typing import Any

import globus_sdk
import httpx
import pytest
from globus_sdk import TransferAPIError, TransferClient
from globus_sdk.token_storage.validating_token_storage import UnmetScopeRequirementsError

from tests.support.emulator import (
    CLIENT_ID,
    CONTROL_SECRET,
    DESTINATION,
    SOURCE,
    Emulator,
    eventually,
    finished,
    task,
    transfer,
    until,
)


def http(action: str, path: str = "", **fields: Any) -> dict[str, Any]:
    return {"kind": "http", "action": action, "path": path, "times": 1, **fields}


def one(kind: str, action: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "action": action, **fields}


def moved(emulator: Emulator, client: TransferClient, size: int = 1000, **options: Any) -> tuple[bytes, dict[str, Any]]:
    """Return (submission, finished task) of one file called /a."""
    data = emulator.put("a", size)
    return data, finished(client, client.submit_transfer(transfer("/a", **options))["task_id"])


# --- the wire --------------------------------------------------------------------------------------------------------


def test_lost_response_is_answered_duplicate(emulator: Emulator, client: TransferClient) -> None:
    """The work is done, the connection dies, the SDK retries by itself: one task."""
    emulator.put("a", 10)
    emulator.control.set_faults(http("lost_response", "/transfer$", method="POST"))

    answer = client.submit_transfer(transfer("/a"))

    posts = emulator.control.requests(path="/v0.10/transfer")
    assert (answer["code"], len(posts), client.task_list()["total"]) == ("Duplicate", 2, 1)
    assert posts[0]["body"]["submission_id"] == posts[1]["body"]["submission_id"] == answer["submission_id"]
    assert [post["fault"] for post in posts] == ["lost_response", None]


def test_cut_body_is_a_network_error_and_retried(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(http("cut_body", "task_list"))

    assert client.task_list()["total"] == 0
    emulator.control.set_faults(http("cut_body", "task_list", times=-1))
    with pytest.RaisesExc(globus_sdk.NetworkError):
        client.task_list()


def test_reset_before_does_no_work(emulator: Emulator, client: TransferClient) -> None:
    emulator.put("a", 10)
    emulator.control.set_faults(http("reset_before", "/transfer$"))

    assert client.submit_transfer(transfer("/a"))["code"] == "Accepted"
    emulator.control.set_faults(http("reset_before", times=-1))
    with pytest.RaisesExc(globus_sdk.GlobusConnectionError):
        client.task_list()


def test_delay_runs_into_the_timeout_of_the_client(emulator: Emulator) -> None:
    client = emulator.client(timeout=3, retries=0)
    client.task_list()
    emulator.control.set_faults(http("delay", "task_list", seconds=60))

    with pytest.RaisesExc(globus_sdk.GlobusTimeoutError):
        client.task_list()


def test_stalled_body_runs_into_the_timeout_of_the_client(emulator: Emulator) -> None:
    """In the middle of a body, the SDK sees a connection error, not a timeout."""
    client = emulator.client(timeout=3, retries=0)
    client.task_list()
    emulator.control.set_faults(http("stall_body", "task_list", seconds=60))

    with pytest.RaisesExc(globus_sdk.GlobusConnectionError):
        client.task_list()


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(emulator: Emulator, client: TransferClient, status: int) -> None:
    """One second here, which is also the cap of these clients."""
    client.task_list()
    emulator.control.set_faults(http("status", "task_list", status=status, headers={"Retry-After": "1"}))

    before = time.monotonic()
    client.task_list()

    assert time.monotonic() - before >= 1.0


def test_transient_status_is_retried_and_external_error_is_not(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(http("status", "task_list", status=500))
    client.task_list()
    emulator.control.set_faults(http("status", "task_list", status=502, code="ExternalError.DirListingFailed.GCDisconnected"))

    with pytest.RaisesExc(TransferAPIError, check=lambda error: "GCDisconnected" in error.code):
        client.task_list()
    assert [request["status"] for request in emulator.control.requests(path="task_list")] == [500, 200, 502]


def test_bodies_that_are_not_the_service(emulator: Emulator, client: TransferClient) -> None:
    """HTML with 502, HTML with 200, a JSON list, a null code: the SDK's error for each."""
    client.task_list()
    html = http("status", "task_list", status=502, text="<h1>Bad gateway</h1>", times=-1)
    emulator.control.set_faults(html)
    with pytest.RaisesExc(TransferAPIError, check=lambda error: (error.http_status, error.code) == (502, None)):
        client.task_list()
    emulator.control.set_faults({**html, "status": 200})
    with pytest.RaisesExc(ValueError):
        client.task_list()["DATA"]
    for body in ([], {"code": None, "message": "x"}):
        emulator.control.set_faults(http("status", "task_list", status=500, body=body))
        with pytest.RaisesExc(TypeError):
            client.task_list()


def test_after_and_times_count_matches(emulator: Emulator, client: TransferClient) -> None:
    """Method and path select. The first `after` requests pass, then `times` are affected."""
    client.task_list()
    emulator.control.set_faults(http("status", "task_list", method="GET", status=409, after=1, times=2))
    statuses = []
    for _ in range(5):
        try:
            statuses.append(client.task_list().http_status)
        except TransferAPIError as error:
            statuses.append(error.http_status)
        client.get_submission_id()

    fault = emulator.control.faults()[0]
    assert statuses == [200, 409, 409, 200, 200]
    assert (fault["seen"], fault["fired"]) == (5, 2)


def test_probability_is_the_same_for_the_same_seed(emulator: Emulator, client: TransferClient) -> None:
    def run() -> list[int]:
        after = emulator.control.requests()[-1]["number"]
        emulator.control.set_faults(http("status", "task_list", status=409, times=-1, probability=0.5, seed=7))
        for _ in range(20):
            try:
                client.task_list()
            except TransferAPIError:
                continue
        return [request["status"] for request in emulator.control.requests(after=after, path="task_list")]

    client.task_list()
    first = run()

    assert first == run()
    assert set(first) == {200, 409}


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_revoked_tokens_cost_one_401(emulator: Emulator, client: TransferClient) -> None:
    client.task_list()
    emulator.control.set_faults(one("auth", "revoke_tokens", times=1))

    client.task_list()

    assert [request["status"] for request in emulator.control.requests(path="task_list")] == [200, 401, 200]
    assert len(emulator.control.requests(path="oauth2")) == 2


def test_refused_tokens_are_a_401_error(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("auth", "refuse_tokens"))

    with pytest.RaisesExc(TransferAPIError, check=lambda error: error.http_status == 401):
        client.task_list()
    assert len(emulator.control.requests(path="task_list")) == 2


def test_rejected_secret(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("auth", "reject_secret"))

    with pytest.RaisesExc(globus_sdk.AuthAPIError, check=lambda error: error.http_status == 401):
        client.task_list()


def test_brief_tokens_are_fetched_for_every_call(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("auth", "expires_in", seconds=60))
    for _ in range(3):
        client.task_list()

    assert len(emulator.control.requests(path="oauth2")) >= 3


def test_other_scope_is_noticed_by_the_sdk(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("auth", "scope"))

    with pytest.RaisesExc(UnmetScopeRequirementsError):
        client.task_list()


def test_consent_required(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("auth", "consent_required", path="/ls$", times=1))

    with pytest.RaisesExc(TransferAPIError, check=lambda error: bool(error.info.consent_required)):
        client.operation_ls(DESTINATION)
    assert client.operation_ls(DESTINATION)["DATA"] == []


# --- the life of a task ----------------------------------------------------------------------------------------------


def test_task_made_to_fail(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("task", "fail", code="INTERNAL_ERROR", label="^job 1$", times=1))

    _, first = moved(emulator, client, label="job 1")
    _, second = moved(emulator, client, label="job 1")

    assert (first["status"], first["fatal_error"]["code"]) == ("FAILED", "INTERNAL_ERROR")
    assert second["status"] == "SUCCEEDED"


def test_task_that_is_only_looked_at_uses_up_no_fault(emulator: Emulator, client: TransferClient) -> None:
    """`times` counts only affected tasks."""
    _, before = moved(emulator, client)
    emulator.control.set_faults(one("task", "fail", times=1))
    client.task_list()
    task(client, before["task_id"])

    _, end = moved(emulator, client)

    assert end["status"] == "FAILED"


def test_task_made_to_fault_until_the_fault_is_gone(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("task", "faulting", code="NO_SPACE_LEFT"))
    emulator.put("a", 10)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]

    seen = eventually(lambda: task(client, task_id), lambda seen: seen["faults"] >= 2)
    emulator.control.set_faults()

    assert (seen["nice_status"], seen["is_ok"], seen["status"]) == ("NO_SPACE_LEFT", False, "ACTIVE")
    assert finished(client, task_id)["status"] == "SUCCEEDED"


def test_task_stalled_in_the_middle_shows_no_fault(emulator: Emulator, client: TransferClient) -> None:
    """The worst kind: nothing moves, and no fault is reported."""
    size = 3 << 20
    emulator.control.set_faults(one("task", "stall", at_bytes=1 << 20))
    emulator.put("a", size)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]

    seen = until(client, task_id, bytes_transferred=1 << 20)
    emulator.control.set_faults()

    assert (seen["faults"], seen["nice_status"]) == (0, "OK")
    assert finished(client, task_id)["bytes_transferred"] == size


def test_inactive_task_still_conflicts_and_goes_on_when_activated(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("task", "inactive"))
    emulator.put("a", 10)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]
    seen = until(client, task_id, status="INACTIVE")

    with pytest.RaisesExc(TransferAPIError, check=lambda error: error.code == "Conflict"):
        client.submit_transfer(transfer("/a"))
    emulator.control.set_faults()

    assert (seen["is_ok"], seen["completion_time"]) == (False, None)
    assert finished(client, task_id)["status"] == "SUCCEEDED"


def test_inactive_task_can_be_cancelled(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("task", "inactive"))
    emulator.put("a", 10)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]
    until(client, task_id, status="INACTIVE")

    assert client.cancel_task(task_id)["code"] == "Canceled"


def test_paused_task_says_why_and_frees_its_place(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.configure(max_running=1)
    emulator.control.set_faults(one("task", "pause", label="paused", details="tape library maintenance"))
    emulator.put("a", 10)
    emulator.put("b", 10)
    task_id = client.submit_transfer(transfer("/a", label="paused"))["task_id"]

    seen = until(client, task_id, is_paused=True)
    info = client.task_pause_info(task_id).data
    other = finished(client, client.submit_transfer(transfer("/b"))["task_id"])
    emulator.control.set_faults()
    end = finished(client, task_id)

    assert (seen["status"], other["status"], end["status"], end["is_paused"]) == ("ACTIVE", "SUCCEEDED", "SUCCEEDED", False)
    assert [rule["message"] for rule in info["pause_rules"]] == ["tape library maintenance"]
    assert {"PAUSED", "UNPAUSED"} <= {event["code"] for event in client.task_event_list(task_id)}


def test_queued_for_some_seconds(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("task", "queue", seconds=3600))
    emulator.put("a", 10)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]

    seen = task(client, task_id)
    emulator.control.advance(3601)

    assert (seen["status"], seen["nice_status"]) == ("ACTIVE", "Queued")
    assert finished(client, task_id)["status"] == "SUCCEEDED"


def test_task_expired_now(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("task", "expire"))

    _, end = moved(emulator, client)

    assert end["fatal_error"]["code"] == "EXPIRED"


def test_vanished_task_is_a_404(emulator: Emulator, client: TransferClient) -> None:
    _, end = moved(emulator, client)
    emulator.control.set_faults(one("task", "vanish", task_id=end["task_id"]))

    with pytest.RaisesExc(TransferAPIError, check=lambda error: error.http_status == 404):
        client.get_task(end["task_id"])
    assert client.task_list()["DATA"] == []


def test_history_deleted_leaves_the_task_without_its_details(emulator: Emulator, client: TransferClient) -> None:
    _, end = moved(emulator, client)
    emulator.control.set_faults(one("task", "history_deleted"))

    assert task(client, end["task_id"])["history_deleted"] is True
    assert client.task_successful_transfers(end["task_id"])["DATA"] == []
    assert client.task_event_list(end["task_id"])["DATA"] == []


def test_slow_cancel_is_accepted_first(emulator: Emulator, client: TransferClient) -> None:
    """The task stays ACTIVE for a while after the response. No new submission is accepted until it has ended."""
    emulator.control.set_faults(one("task", "slow_cancel", seconds=3600))
    task_id = client.submit_transfer(transfer("/missing"))["task_id"]

    answer = client.cancel_task(task_id)
    seen = task(client, task_id)
    emulator.control.advance(3601)

    assert (answer["code"], seen["status"]) == ("CancelAccepted", "ACTIVE")
    assert finished(client, task_id)["fatal_error"]["code"] == "CANCELED"


def test_document_shows_what_it_is_told(emulator: Emulator, client: TransferClient) -> None:
    """For states that cannot be reached with real requests."""
    emulator.control.set_faults(one("task", "document", fields={"subtasks_failed": 1}))

    _, end = moved(emulator, client)

    assert (end["status"], end["subtasks_failed"]) == ("SUCCEEDED", 1)


# --- the bytes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["truncate", "grow", "flip", "empty", "delete"])
def test_damage_before_the_verification_is_repaired(emulator: Emulator, client: TransferClient, action: str) -> None:
    """A fault, the file sent again, SUCCEEDED with the right bytes, and more bytes moved than the file has."""
    emulator.control.set_faults(one("data", action, times=1))

    data, end = moved(emulator, client)

    assert end["status"] == "SUCCEEDED"
    assert (end["faults"], end["bytes_transferred"]) == (1, 2 * len(data))
    assert emulator.got("a") == data
    codes = [event["code"] for event in client.task_event_list(end["task_id"])]
    assert ("FILE_NOT_FOUND" if action == "delete" else "VERIFY_CHECKSUM") in codes


def test_damage_that_comes_back_never_ends(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("data", "flip"))
    emulator.put("a", 1000)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]

    # While it writes again, no fault is reported.
    seen = eventually(lambda: task(client, task_id), lambda seen: seen["faults"] >= 3 and seen["nice_status"] != "OK")

    assert (seen["status"], seen["nice_status"]) == ("ACTIVE", "VERIFY_CHECKSUM")


def test_without_verification_damage_is_not_seen(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("data", "flip"))

    data, end = moved(emulator, client, verify_checksum=False)

    assert (end["status"], end["faults"], end["bytes_checksummed"]) == ("SUCCEEDED", 0, 0)
    assert emulator.got("a") != data


def test_external_checksum_without_verification_fails_on_damage(emulator: Emulator, client: TransferClient) -> None:
    data = emulator.put("a", 1000)
    emulator.control.set_faults(one("data", "flip"))
    document = transfer("/a", verify_checksum=False, item={"external_checksum": hashlib.md5(data).hexdigest()})

    end = finished(client, client.submit_transfer(document)["task_id"])

    assert end["fatal_error"]["code"] == "EXTERNAL_CHECKSUM_MISMATCH"


@pytest.mark.parametrize(
    ("fault", "size"),
    [
        ({"action": "truncate", "fraction": 0.005}, 99_500),
        ({"action": "truncate", "fraction": 0.05}, 95_000),
        ({"action": "grow", "fraction": 0.01}, 101_000),
        ({"action": "flip"}, 100_000),
        ({"action": "empty"}, 0),
    ],
)
def test_damage_after_the_verification_is_silent(
    emulator: Emulator, client: TransferClient, fault: dict[str, Any], size: int
) -> None:
    """SUCCEEDED but wrong: the size or a second task with sync_level checksum finds it, and the second task repairs it."""
    emulator.control.set_faults({"kind": "data", "when": "after_verify", "times": 1, **fault})

    data, end = moved(emulator, client, size=100_000)
    found = client.operation_stat(DESTINATION, "/a")["size"]
    assert (end["status"], end["faults"], found) == ("SUCCEEDED", 0, size)
    assert emulator.got("a") != data
    recheck = finished(client, client.submit_transfer(transfer("/a", sync_level="checksum"))["task_id"])

    assert (recheck["status"], recheck["files_skipped"], recheck["bytes_transferred"]) == ("SUCCEEDED", 0, 100_000)
    assert emulator.got("a") == data


def test_destination_deleted_or_replaced_by_a_directory(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(
        one("data", "delete", when="after_verify", times=1), one("data", "directory", when="after_verify", times=1)
    )

    moved(emulator, client)
    with pytest.RaisesExc(TransferAPIError, check=lambda error: error.code == "NotFound"):
        client.operation_stat(DESTINATION, "/a")
    moved(emulator, client)

    assert client.operation_stat(DESTINATION, "/a")["type"] == "dir"


def test_wrong_mtime(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("data", "mtime", when="after_verify"))

    moved(emulator, client)

    assert client.operation_stat(DESTINATION, "/a")["last_modified"] == "1970-01-01 00:00:00+00:00"


# --- file operations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "operation", "answer"),
    [
        ("denied", "ls", (502, "ExternalError.DirListingFailed.PermissionDenied")),
        ("denied", "stat", (403, "EndpointPermissionDenied")),
        ("unsupported", "stat", (502, "ExternalError.StatFailed.NotSupported")),
        ("not_directory", "ls", (502, "ExternalError.DirListingFailed.NotDirectory")),
        ("disconnected", "ls", (502, "ExternalError.DirListingFailed.GCDisconnected")),
        ("login_failed", "ls", (502, "ExternalError.DirListingFailed.LoginFailed")),
        ("connect_failed", "stat", (502, "ExternalError.StatFailed.ConnectFailed")),
        ("size_limit", "ls", (502, "ExternalError.DirListingFailed.SizeLimit")),
        ("not_found", "stat", (404, "NotFound")),
    ],
)
def test_file_operation_refused(
    emulator: Emulator, client: TransferClient, action: str, operation: str, answer: tuple[int, str]
) -> None:
    """Once. Another collection and the next call are served."""
    emulator.control.set_faults(one("fs", action, operation=operation, collection=DESTINATION, times=1))
    call = client.operation_ls if operation == "ls" else client.operation_stat
    call(SOURCE, "/")

    with pytest.RaisesExc(TransferAPIError, check=lambda error: (error.http_status, error.code) == answer):
        call(DESTINATION, "/")
    call(DESTINATION, "/")


def test_slow_listing(emulator: Emulator, client: TransferClient) -> None:
    client.task_list()
    emulator.control.set_faults(one("fs", "slow", operation="ls", seconds=0.2))

    before = time.monotonic()
    client.operation_ls(DESTINATION)

    assert time.monotonic() - before >= 0.2


def test_stale_listing_hides_what_is_new(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("fs", "stale", seconds=3600))
    moved(emulator, client)

    with pytest.RaisesExc(TransferAPIError, check=lambda error: error.code == "NotFound"):
        client.operation_stat(DESTINATION, "/a")
    emulator.control.advance(3601)

    assert client.operation_stat(DESTINATION, "/a")["size"] == 1000
    assert [entry["name"] for entry in client.operation_ls(DESTINATION)] == ["a"]


@pytest.mark.parametrize(("fail", "status"), [(True, "FAILED"), (False, "ACTIVE")])
def test_quota(emulator: Emulator, client: TransferClient, fail: bool, status: str) -> None:
    emulator.control.set_faults(one("fs", "quota"))
    emulator.put("a", 10)

    task_id = client.submit_transfer(transfer("/a", fail_on_quota_errors=fail))["task_id"]
    seen = eventually(lambda: task(client, task_id), lambda seen: seen["faults"] or seen["fatal_error"])

    assert seen["status"] == status
    assert "QUOTA_EXCEEDED" in (seen["nice_status"], (seen["fatal_error"] or {}).get("code"))


def test_destination_turned_read_only(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("fs", "read_only", collection=DESTINATION))
    emulator.put("a", 10)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]

    until(client, task_id, nice_status="PERMISSION_DENIED")
    with pytest.RaisesExc(TransferAPIError, check=lambda error: "PermissionDenied" in error.code):
        client.operation_mkdir(DESTINATION, "/d")
    emulator.control.set_faults()

    assert finished(client, task_id)["status"] == "SUCCEEDED"


# --- the control plane -----------------------------------------------------------------------------------------------


def test_control_needs_its_secret(emulator: Emulator) -> None:
    """A valid token of the service is not enough. A refused call changes nothing."""
    for headers in ({}, {"X-Emulator-Secret": "wrong"}, {"Authorization": f"Bearer {CONTROL_SECRET}"}):
        answer = httpx.get(f"{emulator.url}/_emulator/requests", headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["code"]) == (403, "Forbidden")


def test_nonsense_faults_are_refused_and_change_nothing(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.set_faults(one("task", "stall"))
    for fault in ({"kind": "http", "action": "explode"}, {"kind": "http", "action": "delay", "path": "("}, {"kind": "x"}):
        with pytest.RaisesExc(httpx.HTTPStatusError, check=lambda error: error.response.status_code == 400):
            emulator.control.set_faults(fault)

    assert [fault["action"] for fault in emulator.control.faults()] == ["stall"]


def test_faults_survive_a_crash(own_emulator: Emulator) -> None:
    """They persist like the problems that they simulate."""
    own_emulator.control.set_faults(one("task", "faulting", code="ENDPOINT_ERROR"))
    own_emulator.put("a", 10)
    client = own_emulator.client()
    task_id = client.submit_transfer(transfer("/a"))["task_id"]
    until(client, task_id, nice_status="ENDPOINT_ERROR")

    own_emulator.kill()
    own_emulator.start()
    eventually(lambda: task(client, task_id), lambda seen: seen["faults"] >= 2)
    own_emulator.control.set_faults()

    assert finished(client, task_id)["status"] == "SUCCEEDED"


def test_raw_task_and_shown_config(emulator: Emulator, client: TransferClient) -> None:
    """The complete stored task, and a configuration without its secrets."""
    _, end = moved(emulator, client)

    raw = emulator.control.raw(end["task_id"])
    shown = emulator.control.configure(bytes_per_second=123)

    assert (raw["document"], raw["running"], raw["task"]["owner"]) == (end, False, CLIENT_ID)
    assert [outcome["result"] for outcome in raw["outcomes"]] == ["transferred"]
    assert shown["bytes_per_second"] == 123
    assert CLIENT_ID in shown["clients"]
    assert "control_secret" not in shown


def test_reset_forgets_tasks_and_leaves_files(emulator: Emulator, client: TransferClient) -> None:
    data, _ = moved(emulator, client)
    client.submit_transfer(transfer("/missing"))

    emulator.control.reset()

    assert emulator.control.tasks() == []
    assert emulator.got("a") == data
    assert client.task_list()["total"] == 0
