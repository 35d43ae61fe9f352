"""The uploader's requirements: every promise of the Transfer API that the emulator keeps, tested with the real SDK."""

import hashlib
import os
import uuid
from datetime import UTC, datetime, timedelta

import globus_sdk
import pytest
from globus_sdk import TransferAPIError, TransferClient

from tests.support.emulator import (
    CLIENT_ID,
    DESTINATION,
    OTHER_CLIENT_ID,
    SOURCE,
    Emulator,
    eventually,
    finished,
    task,
    transfer,
    until,
)

KIB = 1024
SLOW = 8 * KIB  # bytes per second: a 1 MiB file takes two minutes, and no test waits for its end
NULL_WHILE_ACTIVE = ("completion_time", "fatal_error")
NULL_WHEN_FINISHED = (
    "is_ok",
    "nice_status",
    "nice_status_details",
    "nice_status_expires_in",
    "nice_status_short_description",
)


def refused(status: int, code: str) -> "pytest.RaisesExc[TransferAPIError]":
    """Expect an API error of this status and code."""
    return pytest.RaisesExc(TransferAPIError, check=lambda error: (error.http_status, error.code) == (status, code))


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def events(client: TransferClient, task_id: str) -> list[str]:
    return [event["code"] for event in client.task_event_list(task_id, limit=1000)]


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_token_is_fetched_once_and_used(emulator: Emulator, client: TransferClient) -> None:
    """Client credentials give a token for two days, and several calls share one."""
    client.get_submission_id()
    client.task_list()

    requests = emulator.control.requests()

    assert [request["path"] for request in requests] == ["/v2/oauth2/token", "/v0.10/submission_id", "/v0.10/task_list"]
    assert requests[0]["body"]["grant_type"] == "client_credentials"


def test_wrong_secret_is_refused(emulator: Emulator) -> None:
    """Auth says 401 UNAUTHORIZED in its own format."""
    with pytest.RaisesExc(globus_sdk.AuthAPIError, check=lambda error: (error.http_status, error.code) == (401, "UNAUTHORIZED")):
        emulator.client(secret="wrong").task_list()


def test_secrets_and_tokens_are_not_in_the_request_log(emulator: Emulator, client: TransferClient) -> None:
    """The log names the kind of credential and nothing more."""
    client.task_list()

    shown = [request["headers"]["authorization"] for request in emulator.control.requests()]

    assert shown == ["Basic [redacted]", "Bearer [redacted]"]


def test_expired_token_is_replaced_without_the_caller_noticing(emulator: Emulator, client: TransferClient) -> None:
    """One 401, one new token, the same request again."""
    client.task_list()
    emulator.control.advance(3 * 24 * 3600)

    client.task_list()

    assert [request["status"] for request in emulator.control.requests(path="task_list")] == [200, 401, 200]


def test_data_access_scope_is_needed_where_the_collection_says_so(emulator: Emulator) -> None:
    """Without it: ConsentRequired with the scope to request. With it: the listing."""
    mapped = {"entity_type": "GCSv5_mapped_collection", "requires_data_access": True}
    emulator.control.configure(collections=emulator.collections(destination=mapped))

    with pytest.RaisesExc(TransferAPIError, check=lambda error: error.http_status == 403) as caught:
        emulator.client().operation_ls(DESTINATION)
    scopes = caught.value.info.consent_required.required_scopes

    assert scopes == [
        f"urn:globus:auth:scope:transfer.api.globus.org:all[*https://auth.globus.org/scopes/{DESTINATION}/data_access]"
    ]
    assert emulator.client(data_access=(DESTINATION,)).operation_ls(DESTINATION)["DATA"] == []


# --- submission ------------------------------------------------------------------------------------------------------


def test_transfer_moves_the_bytes(emulator: Emulator, client: TransferClient) -> None:
    """The task is accepted and ends SUCCEEDED, with the file under its full path and its parents created."""
    data = emulator.put("L1/L2/a b+ü.tar.7z", 3 * 1024 * KIB + 5)

    answer = client.submit_transfer(transfer("/L1/L2/a b+ü.tar.7z", label="job 1"))
    seen = finished(client, answer["task_id"])

    assert (answer.http_status, answer["code"], answer["DATA_TYPE"]) == (202, "Accepted", "transfer_result")
    assert emulator.got("L1/L2/a b+ü.tar.7z") == data
    assert {key: seen[key] for key in ("status", "files", "files_transferred", "files_skipped", "faults", "label")} == {
        "status": "SUCCEEDED",
        "files": 1,
        "files_transferred": 1,
        "files_skipped": 0,
        "faults": 0,
        "label": "job 1",
    }
    assert (seen["bytes_transferred"], seen["bytes_checksummed"]) == (len(data), len(data))
    assert (seen["subtasks_total"], seen["subtasks_succeeded"], seen["subtasks_failed"]) == (2, 2, 0)
    assert all(seen[key] is None for key in NULL_WHEN_FINISHED)
    assert seen["completion_time"] is not None
    assert seen["fatal_error"] is None


def test_active_task_has_no_end_and_a_nice_status(emulator: Emulator, client: TransferClient) -> None:
    """While it runs: OK, counters move, completion_time and fatal_error are null."""
    emulator.control.configure(bytes_per_second=SLOW)
    emulator.put("a", 1024 * KIB)

    task_id = client.submit_transfer(transfer("/a"))["task_id"]
    seen = eventually(lambda: task(client, task_id), lambda seen: seen["bytes_transferred"] > 0)

    assert (seen["status"], seen["nice_status"], seen["is_ok"], seen["is_paused"]) == ("ACTIVE", "OK", True, False)
    assert seen["nice_status_expires_in"] == -1
    assert all(seen[key] is None for key in NULL_WHILE_ACTIVE)


def test_partial_file_is_at_the_final_name(emulator: Emulator, client: TransferClient) -> None:
    """The existence of the name proves nothing while the task is ACTIVE."""
    emulator.control.configure(bytes_per_second=SLOW)
    emulator.put("a", 1024 * KIB)

    client.submit_transfer(transfer("/a"))
    partial = eventually(lambda: (emulator.destination / "a").stat().st_size if (emulator.destination / "a").exists() else 0, bool)

    assert 0 < partial < 1024 * KIB


def test_same_submission_id_is_the_same_task(emulator: Emulator, client: TransferClient) -> None:
    """It is sent twice and accepted once: code Duplicate, whatever the task's state."""
    emulator.put("a", 10)
    document = transfer("/a", submission_id=client.get_submission_id()["value"])

    first = client.submit_transfer(document)
    finished(client, first["task_id"])
    second = client.submit_transfer(document)

    assert (second["code"], second["task_id"]) == ("Duplicate", first["task_id"])
    assert client.task_list()["total"] == 1


def test_identical_paths_conflict_until_the_task_has_ended(emulator: Emulator, client: TransferClient) -> None:
    """A new submission of the same files is a 409 that the SDK does not retry. After the end it is accepted."""
    emulator.control.configure(bytes_per_second=SLOW)
    emulator.put("a", 1024 * KIB)
    first = client.submit_transfer(transfer("/a"))["task_id"]

    with refused(409, "Conflict") as caught:
        client.submit_transfer(transfer("/a"))
    client.cancel_task(first)
    emulator.control.configure(bytes_per_second=None)
    again = client.submit_transfer(transfer("/a"))

    assert "identical paths has not yet completed" in str(caught.value.message)
    assert finished(client, again["task_id"])["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"label": "x" * 129}, "ClientError.BadRequest"),
        ({"label": " x"}, "ClientError.BadRequest"),
        ({"label": "x\n"}, "ClientError.BadRequest"),
        ({"label": "a\rb"}, "ClientError.BadRequest"),
        ({"deadline": "yesterday"}, "ClientError.BadRequest"),
        ({"deadline": "2001-01-01T00:00:00+00:00"}, "ClientError.BadRequest"),
        ({"additional_fields": {"DATA": []}}, "ClientError.BadRequest.NoTransferItems"),
        ({"additional_fields": {"sync_level": 4}}, "ClientError.BadRequest"),
        ({"additional_fields": {"verify_checksum": "yes"}}, "ClientError.BadRequest"),
        ({"additional_fields": {"submission_id": "mine"}}, "ClientError.BadRequest"),
        ({"additional_fields": {"DATA_TYPE": "delete"}}, "ClientError.BadRequest"),
        ({"delete_destination_extra": True}, "NotEmulated"),
    ],
)
def test_bad_submission_is_a_400(emulator: Emulator, client: TransferClient, fields: dict[str, object], code: str) -> None:
    """Label, deadline and fields are validated before a task exists."""
    additional = fields.pop("additional_fields", {})
    document = transfer("/a", **fields)
    document.update(additional)

    with refused(400, code):
        client.submit_transfer(document)
    assert client.task_list()["total"] == 0


def test_longest_label_is_taken(emulator: Emulator, client: TransferClient) -> None:
    """128 characters, blanks inside."""
    label = "x " * 63 + "xx"
    emulator.put("a", 1)

    task_id = client.submit_transfer(transfer("/a", label=label))["task_id"]

    assert task(client, task_id)["label"] == label


def test_line_break_in_a_path_is_invalid(emulator: Emulator, client: TransferClient) -> None:
    with refused(400, "InvalidPath"):
        client.submit_transfer(transfer("/a\nb"))
    with refused(400, "InvalidPath"):
        client.operation_stat(DESTINATION, "/a\nb")


def test_unknown_collection_is_a_404(emulator: Emulator, client: TransferClient) -> None:
    unknown = str(uuid.uuid4())

    with refused(404, "EndpointNotFound"):
        client.operation_ls(unknown)
    with refused(404, "EndpointNotFound"):
        client.get_endpoint(unknown)
    document = transfer("/a")
    document["destination_endpoint"] = unknown
    with refused(404, "EndpointNotFound"):
        client.submit_transfer(document)


def test_unknown_task_and_route_are_404(emulator: Emulator, client: TransferClient) -> None:
    with refused(404, "ClientError.NotFound"):
        client.get_task(uuid.uuid4())
    with refused(404, "ClientError.NotFound"):
        client.get("/v0.10/no_such_thing")


def test_at_most_so_many_tasks_are_pending(emulator: Emulator, client: TransferClient) -> None:
    """The service's limit, reduced."""
    emulator.control.configure(max_pending=2)
    for name in ("/a", "/b"):  # without a source they stay ACTIVE
        client.submit_transfer(transfer(name))

    with refused(409, "TooManyPendingJobs"):
        client.submit_transfer(transfer("/c"))


# --- the life of a task ----------------------------------------------------------------------------------------------


def test_missing_source_faults_and_recovers(emulator: Emulator, client: TransferClient) -> None:
    """It does not fail: it is ACTIVE with FILE_NOT_FOUND and more and more faults until the file exists."""
    task_id = client.submit_transfer(transfer("/late"))["task_id"]

    seen = eventually(lambda: task(client, task_id), lambda seen: seen["faults"] >= 2)
    data = emulator.put("late", 100)
    end = finished(client, task_id)

    assert (seen["status"], seen["nice_status"], seen["is_ok"]) == ("ACTIVE", "FILE_NOT_FOUND", False)
    assert seen["subtasks_retrying"] == 1
    assert (end["status"], emulator.got("late")) == ("SUCCEEDED", data)
    assert end["faults"] >= 2
    assert "FILE_NOT_FOUND" in events(client, task_id)


def test_deadline_ends_a_task(emulator: Emulator, client: TransferClient) -> None:
    """FAILED with EXPIRED, by the emulator's clock."""
    task_id = client.submit_transfer(transfer("/missing", deadline=in_hours(1)))["task_id"]
    until(client, task_id, nice_status="FILE_NOT_FOUND")

    emulator.control.advance(3601)
    seen = finished(client, task_id)

    assert (seen["status"], seen["fatal_error"]["code"]) == ("FAILED", "EXPIRED")
    assert seen["subtasks_expired"] >= 1
    assert events(client, task_id)[0] == "EXPIRED"


def test_task_without_a_deadline_gets_a_day(emulator: Emulator, client: TransferClient) -> None:
    seen = task(client, client.submit_transfer(transfer("/missing"))["task_id"])

    given = datetime.fromisoformat(seen["deadline"]) - datetime.fromisoformat(seen["request_time"])

    assert given == timedelta(hours=24)


def test_cancel_ends_a_running_copy_and_is_idempotent(emulator: Emulator, client: TransferClient) -> None:
    """FAILED with CANCELED. A second cancel finds it complete. Nothing more is written."""
    emulator.control.configure(bytes_per_second=SLOW)
    emulator.put("a", 1024 * KIB)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]
    eventually(lambda: task(client, task_id), lambda seen: seen["bytes_transferred"] > 0)

    first, seen, second = client.cancel_task(task_id), task(client, task_id), client.cancel_task(task_id)

    assert (first["code"], second["code"]) == ("Canceled", "TaskComplete")
    assert (seen["status"], seen["fatal_error"]) == ("FAILED", {"code": "CANCELED", "description": "canceled"})
    assert seen["subtasks_canceled"] == 1
    assert not emulator.control.raw(task_id)["running"]


def test_three_run_and_the_rest_is_queued(emulator: Emulator, client: TransferClient) -> None:
    """In the order of submission. A free slot is taken at once."""
    emulator.control.configure(bytes_per_second=SLOW)
    ids = []
    for name in ("a", "b", "c", "d", "e"):
        emulator.put(name, 1024 * KIB)
        ids.append(client.submit_transfer(transfer(f"/{name}"))["task_id"])

    for running in ids[:3]:
        eventually(lambda running=running: task(client, running), lambda seen: seen["bytes_transferred"] > 0)
    waiting = [task(client, queued) for queued in ids[3:]]
    client.cancel_task(ids[1])
    eventually(lambda: task(client, ids[3]), lambda seen: seen["bytes_transferred"] > 0)

    assert [(seen["status"], seen["nice_status"], seen["is_ok"], seen["files"]) for seen in waiting] == [
        ("ACTIVE", "Queued", True, 0)
    ] * 2
    assert task(client, ids[4])["nice_status"] == "Queued"


def test_a_task_with_faults_keeps_its_place(emulator: Emulator, client: TransferClient) -> None:
    """Three hopeless tasks block a good one of the same user until one of them ends. Other users are not blocked."""
    hopeless = [client.submit_transfer(transfer(name))["task_id"] for name in ("/x", "/y", "/z")]
    for task_id in hopeless:
        eventually(lambda task_id=task_id: task(client, task_id), lambda seen: seen["faults"] > 3)
    emulator.put("good", 10)
    good = client.submit_transfer(transfer("/good"))["task_id"]
    before = [task(client, task_id)["faults"] for task_id in hopeless]
    for task_id, faults in zip(hopeless, before, strict=True):  # each has retried since, and the good one has not begun
        eventually(lambda task_id=task_id: task(client, task_id), lambda seen, faults=faults: seen["faults"] > faults + 1)
    waiting = task(client, good)
    other = emulator.client(client_id=OTHER_CLIENT_ID)
    emulator.put("other", 10)

    assert (waiting["status"], waiting["nice_status"], waiting["files"]) == ("ACTIVE", "Queued", 0)
    assert [emulator.control.raw(task_id)["running"] for task_id in [*hopeless, good]] == [True, True, True, False]
    assert finished(other, other.submit_transfer(transfer("/other"))["task_id"])["status"] == "SUCCEEDED"
    client.cancel_task(hopeless[1])
    assert finished(client, good)["status"] == "SUCCEEDED"


def test_label_and_deadline_can_be_updated_while_it_runs(emulator: Emulator, client: TransferClient) -> None:
    task_id = client.submit_transfer(transfer("/missing"))["task_id"]

    client.update_task(task_id, {"DATA_TYPE": "task", "label": "new", "deadline": in_hours(2)})
    seen = task(client, task_id)
    client.cancel_task(task_id)

    assert seen["label"] == "new"
    assert datetime.fromisoformat(seen["deadline"]) - datetime.now(UTC) < timedelta(hours=3)
    with refused(409, "Conflict"):
        client.update_task(task_id, {"DATA_TYPE": "task", "label": "late"})


def test_events_come_newest_first_and_in_pages(emulator: Emulator, client: TransferClient) -> None:
    emulator.put("a", 10)
    task_id = client.submit_transfer(transfer("/a"))["task_id"]
    finished(client, task_id)

    page = client.task_event_list(task_id, limit=2, offset=1).data

    assert events(client, task_id) == ["SUCCEEDED", "PROGRESS", "STARTED"]
    assert [event["code"] for event in page["DATA"]] == ["PROGRESS", "STARTED"]
    assert (page["limit"], page["offset"], page["total"], page["length"]) == (2, 1, 3, 2)
    assert set(page["DATA"][0]) == {"DATA_TYPE", "code", "description", "details", "is_error", "time"}


def test_events_are_filtered_by_whether_they_are_errors(emulator: Emulator, client: TransferClient) -> None:
    """As the Globus command line requests. Total and pages count only the filtered events."""
    task_id = client.submit_transfer(transfer("/a"))["task_id"]
    until(client, task_id, nice_status="FILE_NOT_FOUND")
    emulator.put("a", 10)
    finished(client, task_id)

    def codes(**query: object) -> tuple[set[str], int]:
        page = client.task_event_list(task_id, limit=1000, query_params=query).data
        return {event["code"] for event in page["DATA"]}, page["total"]

    faults, total = codes(filter="is_error:1")
    assert (faults, total >= 1) == ({"FILE_NOT_FOUND"}, True)
    assert codes(filter="is_error:0") == ({"SUCCEEDED", "PROGRESS", "STARTED"}, 3)
    assert codes(filter=["code:STARTED", "code:SUCCEEDED"]) == ({"SUCCEEDED", "STARTED"}, 2)
    assert codes()[1] == total + 3
    one = client.task_event_list(task_id, limit=1, offset=1, query_params={"filter": "is_error:0"}).data
    assert ([event["code"] for event in one["DATA"]], one["length"], one["total"]) == (["PROGRESS"], 1, 3)
    with refused(400, "ClientError.BadRequest"):
        codes(filter="nonsense:1")


def test_a_directory_without_recursive_fails_after_one_fault(emulator: Emulator, client: TransferClient) -> None:
    """None of it is copied, whether `recursive` is absent or false. Files that were moved before stay."""
    emulator.put("a", 10)
    emulator.put("d/inside", 10)
    for item in ({}, {"recursive": False}):
        data = globus_sdk.TransferData(SOURCE, DESTINATION)
        data.add_item("/a", "/a")
        data.add_item("/d", "/d", **item)

        end = finished(client, client.submit_transfer(data)["task_id"])

        assert (end["status"], end["fatal_error"]["code"], end["faults"]) == ("FAILED", "IS_A_DIRECTORY", 1)
        assert [path.name for path in emulator.destination.iterdir()] == ["a"]


def test_files_of_a_fresh_task(emulator: Emulator, client: TransferClient) -> None:
    """0 until the task has had a slot and listed its files; then all of them."""
    for name in ("d/one", "d/two"):
        emulator.put(name, 10)
    emulator.control.configure(max_running=0)
    fresh = task(client, client.submit_transfer(transfer("/d", item={"recursive": True}))["task_id"])
    emulator.control.configure(max_running=3)

    assert (fresh["status"], fresh["nice_status"], fresh["files"], fresh["directories"]) == ("ACTIVE", "Queued", 0, 0)
    end = finished(client, fresh["task_id"])
    assert (end["files"], end["directories"], end["files_transferred"]) == (2, 1, 2)


def test_task_list_filters_orders_and_pages(emulator: Emulator, client: TransferClient) -> None:
    """By status, label, type and id; newest first."""
    emulator.put("a", 1)
    done = client.submit_transfer(transfer("/a", label="job 1"))["task_id"]
    finished(client, done)
    waiting = client.submit_transfer(transfer("/b", label="job 2"))["task_id"]

    def ids(**query: object) -> list[str]:
        return [seen["task_id"] for seen in client.task_list(**query)]

    assert ids() == [waiting, done]
    assert ids(filter="status:ACTIVE,INACTIVE/label:job 2") == [waiting]
    assert ids(filter={"status": "SUCCEEDED"}) == [done]
    assert ids(filter={"task_id": [done, str(uuid.uuid4())]}) == [done]
    assert ids(filter={"type": "DELETE"}) == []
    assert ids(filter={"label": "~job*"}, orderby="label") == [done, waiting]
    assert ids(limit=1, offset=1) == [done]
    with refused(400, "ClientError.BadRequest"):
        client.task_list(filter="nonsense")


def test_other_clients_do_not_see_the_task(emulator: Emulator, client: TransferClient) -> None:
    """A task belongs to the client that submitted it, and so does its submission id."""
    document = transfer("/missing", submission_id=str(uuid.uuid4()))
    task_id = client.submit_transfer(document)["task_id"]
    other = emulator.client(client_id=OTHER_CLIENT_ID)

    assert task(client, task_id)["owner_id"] == CLIENT_ID
    assert other.task_list()["total"] == 0
    with refused(404, "ClientError.NotFound"):
        other.get_task(task_id)


# --- checksums and synchronisation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "name"), [(None, "MD5"), ("MD5", "MD5"), ("SHA256", "SHA256"), ("sha256", "SHA256"), ("sha-512", "SHA512")]
)
def test_external_checksum_that_fits_is_reported(
    emulator: Emulator, client: TransferClient, algorithm: str | None, name: str
) -> None:
    """MD5 unless another is named; size and checksum are in successful_transfers."""
    data = emulator.put("a", 2 * 1024 * KIB + 1)
    digest = hashlib.new(name.lower(), data).hexdigest()
    item = {"external_checksum": digest, **({"checksum_algorithm": algorithm} if algorithm else {})}

    task_id = client.submit_transfer(transfer("/a", item=item))["task_id"]
    end = finished(client, task_id)
    rows = client.task_successful_transfers(task_id).data

    assert end["status"] == "SUCCEEDED"
    assert rows["next_marker"] is None
    assert rows["DATA"] == [
        {
            "DATA_TYPE": "successful_transfer",
            "source_path": "/a",
            "destination_path": "/a",
            "size": len(data),
            "checksum": digest,
            "checksum_algorithm": name,
        }
    ]


def test_external_checksum_that_does_not_fit_fails_the_task(emulator: Emulator, client: TransferClient) -> None:
    emulator.put("a", 100)

    task_id = client.submit_transfer(transfer("/a", item={"external_checksum": "0" * 32}))["task_id"]
    end = finished(client, task_id)

    assert (end["status"], end["fatal_error"]["code"]) == ("FAILED", "EXTERNAL_CHECKSUM_MISMATCH")
    assert end["subtasks_failed"] >= 1
    assert client.task_successful_transfers(task_id)["DATA"] == []


def test_endpoint_may_refuse_an_algorithm(emulator: Emulator, client: TransferClient) -> None:
    """Three ways: the task fails, the task retries endlessly, the submission is refused. MD5 still works."""
    data = emulator.put("a", 100)
    item = {"external_checksum": hashlib.sha256(data).hexdigest(), "checksum_algorithm": "SHA256"}

    def only_md5(way: str) -> None:
        emulator.control.configure(
            collections=emulator.collections(destination={"checksum_algorithms": ["MD5"], "unsupported_algorithm": way})
        )

    only_md5("fail")
    end = finished(client, client.submit_transfer(transfer("/a", item=item))["task_id"])
    only_md5("fault")
    stuck = client.submit_transfer(transfer("/a", item=item))["task_id"]
    seen = until(client, stuck, nice_status="ENDPOINT_ERROR", status="ACTIVE")
    client.cancel_task(stuck)
    only_md5("reject")
    with refused(400, "ClientError.BadRequest"):
        client.submit_transfer(transfer("/a", item=item))
    fallback = transfer("/a", item={"external_checksum": hashlib.md5(data).hexdigest()})

    assert (end["status"], end["fatal_error"]["code"]) == ("FAILED", "ENDPOINT_ERROR")
    assert "Unsupported checksum algorithm: SHA256" in seen["nice_status_details"]
    assert not (emulator.destination / "a").exists()
    assert finished(client, client.submit_transfer(fallback)["task_id"])["status"] == "SUCCEEDED"


def test_external_checksum_cannot_be_used_with_a_directory(emulator: Emulator, client: TransferClient) -> None:
    with refused(400, "ClientError.BadRequest"):
        client.submit_transfer(transfer("/d", item={"recursive": True, "external_checksum": "0" * 32}))


@pytest.mark.parametrize(
    ("level", "there", "moved"),
    [
        ("exists", b"other size", False),
        ("size", b"SOURCE", False),
        ("size", b"other size", True),
        ("mtime", b"SOURCE", False),
        ("mtime", b"before", True),
        ("checksum", b"source", False),
        ("checksum", b"SOURCE", True),
        (None, b"source", True),
    ],
)
def test_sync_levels(emulator: Emulator, client: TransferClient, level: str | None, there: bytes, moved: bool) -> None:
    """A file that compares as equal is skipped: no bytes, no row in successful_transfers, yet SUCCEEDED."""
    emulator.put("a", b"source")
    target = emulator.destination / "a"
    target.write_bytes(there)
    shift = -10 if there == b"before" else 10  # seconds; level mtime looks for an older destination
    modified = (emulator.source / "a").stat().st_mtime + shift
    os.utime(target, (modified, modified))
    options = {"sync_level": level} if level else {}

    task_id = client.submit_transfer(transfer("/a", **options))["task_id"]
    end = finished(client, task_id)

    assert end["status"] == "SUCCEEDED"
    assert (end["files_transferred"], end["files_skipped"]) == ((1, 0) if moved else (0, 1))
    assert end["bytes_transferred"] == (6 if moved else 0)
    assert len(client.task_successful_transfers(task_id)["DATA"]) == int(moved)
    assert target.read_bytes() == (b"source" if moved else there)


def test_recheck_with_sync_checksum_reads_the_destination_again(emulator: Emulator, client: TransferClient) -> None:
    """The uploader's proof: a second task over the same files skips both and moves nothing."""
    for name in ("a.tar.7z", "a.manifest"):
        emulator.put(name, 100 * KIB)
    document = ("/a.tar.7z", "/a.manifest")
    finished(client, client.submit_transfer(transfer(*document))["task_id"])

    end = finished(client, client.submit_transfer(transfer(*document, sync_level="checksum"))["task_id"])

    assert (end["status"], end["files_skipped"], end["bytes_transferred"]) == ("SUCCEEDED", 2, 0)
    assert end["bytes_checksummed"] == 200 * KIB


def test_preserve_timestamp(emulator: Emulator, client: TransferClient) -> None:
    emulator.put("a", 1)
    os.utime(emulator.source / "a", (1_000_000_000, 1_000_000_000))

    finished(client, client.submit_transfer(transfer("/a", preserve_timestamp=True))["task_id"])

    assert (emulator.destination / "a").stat().st_mtime == 1_000_000_000
    assert client.operation_stat(DESTINATION, "/a")["last_modified"] == "2001-09-09 01:46:40+00:00"


def test_skip_source_errors_succeeds_with_nothing_moved(emulator: Emulator, client: TransferClient) -> None:
    """This option's trap: SUCCEEDED, and the file is missing."""
    task_id = client.submit_transfer(transfer("/missing", skip_source_errors=True))["task_id"]
    end = finished(client, task_id)
    rows = client.task_skipped_errors(task_id).data["DATA"]

    assert (end["status"], end["files_transferred"], end["subtasks_skipped_errors"]) == ("SUCCEEDED", 0, 1)
    assert [(row["source_path"], row["error_code"]) for row in rows] == [("/missing", "FILE_NOT_FOUND")]
    assert not (emulator.destination / "missing").exists()


def test_recursive_transfer_copies_the_tree_without_links(emulator: Emulator, client: TransferClient) -> None:
    emulator.put("d/one", b"1")
    emulator.put("d/sub/two", b"22")
    (emulator.source / "d/link").symlink_to("one")

    end = finished(client, client.submit_transfer(transfer("/d", item={"recursive": True}))["task_id"])

    assert (end["status"], end["files"], end["directories"]) == ("SUCCEEDED", 2, 2)
    assert sorted(path.name for path in (emulator.destination / "d").rglob("*")) == ["one", "sub", "two"]


def test_details_are_refused_while_it_runs(emulator: Emulator, client: TransferClient) -> None:
    task_id = client.submit_transfer(transfer("/missing"))["task_id"]

    with refused(400, "ClientError.BadRequest"):
        client.task_successful_transfers(task_id)
    with refused(400, "ClientError.BadRequest"):
        client.task_skipped_errors(task_id)


def test_quota_of_the_collection(emulator: Emulator, client: TransferClient) -> None:
    """It is retried until there is space, or FAILED at once if requested."""
    emulator.control.configure(collections=emulator.collections(destination={"quota_bytes": 50}))
    emulator.put("a", 100)

    patient = client.submit_transfer(transfer("/a"))["task_id"]
    until(client, patient, nice_status="QUOTA_EXCEEDED")
    document = transfer("/a", fail_on_quota_errors=True)
    document["DATA"][0]["destination_path"] = "/b"
    end = finished(client, client.submit_transfer(document)["task_id"])
    emulator.control.configure(collections=emulator.collections(destination={"quota_bytes": None}))

    assert (end["status"], end["fatal_error"]["code"]) == ("FAILED", "QUOTA_EXCEEDED")
    assert finished(client, patient)["status"] == "SUCCEEDED"


def test_read_only_collection_takes_nothing(emulator: Emulator, client: TransferClient) -> None:
    emulator.control.configure(collections=emulator.collections(destination={"read_only": True}))
    emulator.put("a", 1)

    until(client, client.submit_transfer(transfer("/a"))["task_id"], status="ACTIVE", nice_status="PERMISSION_DENIED")
    with refused(502, "ExternalError.MkdirFailed.PermissionDenied"):
        client.operation_mkdir(DESTINATION, "/d")


# --- files -----------------------------------------------------------------------------------------------------------


def test_stat_is_one_bare_file_document(emulator: Emulator, client: TransferClient) -> None:
    emulator.put("L1/a b.tar.7z", 123)

    seen = client.operation_stat(SOURCE, "/L1/a b.tar.7z").data

    assert {key: seen[key] for key in ("DATA_TYPE", "name", "type", "size", "link_target")} == {
        "DATA_TYPE": "file",
        "name": "a b.tar.7z",
        "type": "file",
        "size": 123,
        "link_target": None,
    }
    assert datetime.strptime(seen["last_modified"], "%Y-%m-%d %H:%M:%S%z").tzinfo is not None
    assert client.operation_stat(SOURCE, "/L1")["type"] == "dir"


def test_stat_of_nothing_is_not_found(emulator: Emulator, client: TransferClient) -> None:
    with refused(404, "NotFound"):
        client.operation_stat(DESTINATION, "/nothing/here")


@pytest.mark.parametrize("path", ["/../x", "/a/../../x", "/~/../x", "/link/secret", "/outside"])
def test_escape_is_denied_by_the_endpoint(emulator: Emulator, client: TransferClient, path: str) -> None:
    """Neither dots nor symbolic links lead out of a collection."""
    (emulator.source.parent / "secret").write_text("x")
    (emulator.source / "link").symlink_to(emulator.source.parent)
    (emulator.source / "outside").symlink_to(emulator.source.parent / "secret")

    with refused(403, "EndpointPermissionDenied"):
        client.operation_stat(SOURCE, path)
    seen = until(client, client.submit_transfer(transfer(path))["task_id"], nice_status="PERMISSION_DENIED")
    assert seen["status"] == "ACTIVE"


def test_only_allowed_prefixes_are_reached(emulator: Emulator, client: TransferClient) -> None:
    emulator.put("in/a", 1)
    emulator.put("inside/a", 1)
    emulator.control.configure(collections=emulator.collections(source={"allowed_prefixes": ["/in"]}))

    assert client.operation_stat(SOURCE, "/in/a")["size"] == 1
    with refused(403, "EndpointPermissionDenied"):
        client.operation_stat(SOURCE, "/inside/a")


def test_home_and_dots_are_resolved(emulator: Emulator, client: TransferClient) -> None:
    emulator.put("~/a", 1)
    emulator.put("b", 22)

    assert client.operation_stat(SOURCE, "/~/b")["size"] == 22
    assert client.operation_stat(SOURCE, "/x/../b")["size"] == 22
    assert client.operation_stat(SOURCE, "/./~/a")["size"] == 1


def test_ls_shape_order_filter_and_window(emulator: Emulator, client: TransferClient) -> None:
    for name, size in (("b", 2), ("a b.7z", 30), (".hidden", 1)):
        emulator.put(f"d/{name}", size)

    def names(**query: object) -> list[str]:
        return [entry["name"] for entry in client.operation_ls(SOURCE, "/d", **query)]

    document = client.operation_ls(SOURCE, "/d").data

    assert {key: document[key] for key in ("DATA_TYPE", "endpoint", "path", "absolute_path", "length", "total")} == {
        "DATA_TYPE": "file_list",
        "endpoint": SOURCE,
        "path": "/d/",
        "absolute_path": "/d/",
        "length": 3,
        "total": 3,
    }
    assert names() == [".hidden", "a b.7z", "b"]
    assert names(show_hidden=False) == ["a b.7z", "b"]
    assert names(orderby=["size DESC"]) == ["a b.7z", "b", ".hidden"]
    assert names(limit=1, offset=1) == ["a b.7z"]
    assert names(filter="name:=a b.7z") == ["a b.7z"]
    assert names(filter={"name": "~*.7z", "type": "file"}) == ["a b.7z"]
    assert names(filter="size:>1/size:<30") == ["b"]
    assert names(filter=["size:>1", "size:<30"]) == [".hidden", "a b.7z", "b"]
    assert names(filter=[{"name": "b"}, {"name": "~*.7z", "size": ">29"}], orderby="size DESC") == ["a b.7z", "b"]
    assert names(filter=[{"name": "nothing"}, {"size": ">30"}]) == []
    with refused(400, "ClientError.BadRequest"):
        names(filter=["name:b", "nonsense"])
    assert names(filter={"last_modified": ["2001-01-01", ""]}) == [".hidden", "a b.7z", "b"]
    assert names(filter={"last_modified": ["", "2001-01-01"]}) == []


def test_ls_errors(emulator: Emulator, client: TransferClient) -> None:
    emulator.put("file", 1)

    with refused(404, "ClientError.NotFound"):
        client.operation_ls(SOURCE, "/nothing")
    with refused(502, "ExternalError.DirListingFailed.NotDirectory"):
        client.operation_ls(SOURCE, "/file")


def test_mkdir_and_rename(emulator: Emulator, client: TransferClient) -> None:
    made = client.operation_mkdir(DESTINATION, "/d")
    renamed = client.operation_rename(DESTINATION, "/d", "/e")

    assert (made["DATA_TYPE"], made["code"], renamed["code"]) == ("mkdir_result", "DirectoryCreated", "FileRenamed")
    assert [path.name for path in emulator.destination.iterdir()] == ["e"]
    with refused(502, "ExternalError.MkdirFailed.Exists"):
        client.operation_mkdir(DESTINATION, "/e")
    with refused(502, "ExternalError.RenameFailed.NotFound"):
        client.operation_rename(DESTINATION, "/d", "/f")


def test_endpoint_document(emulator: Emulator, client: TransferClient) -> None:
    seen = client.get_endpoint(DESTINATION).data

    assert (seen["id"], seen["display_name"], seen["entity_type"], seen["high_assurance"]) == (
        DESTINATION,
        "Tape",
        "GCSv5_guest_collection",
        False,
    )


# --- deletes ---------------------------------------------------------------------------------------------------------


def delete(*paths: str, **options: object) -> globus_sdk.DeleteData:
    document = globus_sdk.DeleteData(DESTINATION, **options)
    for path in paths:
        document.add_item(path)
    return document


def test_delete_removes_files_and_trees(emulator: Emulator, client: TransferClient) -> None:
    (emulator.destination / "d/sub").mkdir(parents=True)
    (emulator.destination / "d/sub/a").write_text("x")
    (emulator.destination / "b").write_text("x")

    answer = client.submit_delete(delete("/d", "/b", recursive=True))
    end = finished(client, answer["task_id"])

    assert (answer["DATA_TYPE"], answer["code"]) == ("delete_result", "Accepted")
    assert (end["type"], end["status"], end["destination_endpoint_id"]) == ("DELETE", "SUCCEEDED", None)
    assert list(emulator.destination.iterdir()) == []


def test_delete_of_nothing(emulator: Emulator, client: TransferClient) -> None:
    """It is an error, unless the submission allows it."""
    strict = finished(client, client.submit_delete(delete("/nothing"))["task_id"])
    lenient = finished(client, client.submit_delete(delete("/nothing", ignore_missing=True))["task_id"])

    assert (strict["status"], strict["fatal_error"]["code"]) == ("FAILED", "FILE_NOT_FOUND")
    assert lenient["status"] == "SUCCEEDED"


def test_delete_of_a_directory_must_be_recursive(emulator: Emulator, client: TransferClient) -> None:
    (emulator.destination / "d").mkdir()

    end = finished(client, client.submit_delete(delete("/d"))["task_id"])

    assert (end["status"], end["fatal_error"]["code"]) == ("FAILED", "IS_A_DIRECTORY")
    assert (emulator.destination / "d").is_dir()


def test_delete_removes_a_link_and_not_what_it_points_to(emulator: Emulator, client: TransferClient) -> None:
    (emulator.destination / "a").write_text("x")
    (emulator.destination / "link").symlink_to("a")

    finished(client, client.submit_delete(delete("/link"))["task_id"])

    assert [path.name for path in emulator.destination.iterdir()] == ["a"]


def test_delete_is_idempotent_by_submission_id(emulator: Emulator, client: TransferClient) -> None:
    (emulator.destination / "a").write_text("x")
    document = delete("/a")

    first, second = client.submit_delete(document), client.submit_delete(document)

    assert (second["code"], second["task_id"]) == ("Duplicate", first["task_id"])


def test_delete_of_the_root_and_without_items_is_refused(emulator: Emulator, client: TransferClient) -> None:
    with refused(400, "InvalidPath"):
        client.submit_delete(delete("/x/..", recursive=True))
    with refused(400, "ClientError.BadRequest.NoTransferItems"):
        client.submit_delete(delete())


def test_delete_with_globs(emulator: Emulator, client: TransferClient) -> None:
    for name in ("a.7z", "b.7z", "c.txt"):
        (emulator.destination / name).write_text("x")

    finished(client, client.submit_delete(delete("/*.7z", interpret_globs=True))["task_id"])

    assert [path.name for path in emulator.destination.iterdir()] == ["c.txt"]


# --- a crash of the service ------------------------------------------------------------------------------------------


def test_tasks_go_on_after_a_crash(own_emulator: Emulator) -> None:
    """Killed in the middle of a copy: the task is ACTIVE again with the same id, and ends with the right bytes."""
    emulator, client = own_emulator, own_emulator.client()
    emulator.control.configure(bytes_per_second=SLOW)
    data = emulator.put("a", 1024 * KIB)
    document = transfer("/a", label="job")
    task_id = client.submit_transfer(document)["task_id"]
    eventually(lambda: task(client, task_id), lambda seen: seen["bytes_transferred"] > 0)

    emulator.kill()
    emulator.start()
    again = client.submit_transfer(document)
    end = finished(client, task_id)

    assert (again["code"], again["task_id"]) == ("Duplicate", task_id)
    assert (end["status"], end["label"], emulator.got("a")) == ("SUCCEEDED", "job", data)


def test_finished_tasks_are_remembered_after_a_crash(own_emulator: Emulator) -> None:
    """With their end, events and details. The first process's token is still valid."""
    emulator, client = own_emulator, own_emulator.client()
    emulator.put("a", 10)
    emulator.put("b", 10)
    done = client.submit_transfer(transfer("/a"))["task_id"]
    before = finished(client, done)
    cancelled = client.submit_transfer(transfer("/missing"))["task_id"]
    client.cancel_task(cancelled)

    emulator.kill()
    emulator.start()

    assert task(client, done) == before
    assert task(client, cancelled)["fatal_error"]["code"] == "CANCELED"
    assert events(client, done) == ["SUCCEEDED", "PROGRESS", "STARTED"]
    assert len(client.task_successful_transfers(done)["DATA"]) == 1
    assert [request["path"] for request in emulator.control.requests(path="oauth2")] == []


def test_submission_id_of_a_lost_answer_survives_a_crash(own_emulator: Emulator) -> None:
    """The work was done, the reply was lost, the service died: the id still finds the task."""
    emulator, client = own_emulator, own_emulator.client(retries=0)
    emulator.put("a", 10)
    document = transfer("/a", submission_id=client.get_submission_id()["value"])
    emulator.control.set_faults({"kind": "http", "path": "/transfer$", "action": "lost_response", "times": 1})
    with pytest.RaisesExc(globus_sdk.NetworkError):
        client.submit_transfer(document)

    emulator.kill()
    emulator.start()
    answer = client.submit_transfer(document)

    assert answer["code"] == "Duplicate"
    assert finished(client, answer["task_id"])["status"] == "SUCCEEDED"
    assert client.task_list()["total"] == 1


def test_delete_goes_on_after_a_crash(own_emulator: Emulator) -> None:
    """It does not report the files that it removed before the crash as missing."""
    emulator, client = own_emulator, own_emulator.client()
    for name in ("a", "b"):
        (emulator.destination / name).write_text("x")
    emulator.control.set_faults({"kind": "fs", "operation": "write", "action": "read_only", "path": "/b"})
    task_id = client.submit_delete(delete("/a", "/b"))["task_id"]
    until(client, task_id, nice_status="PERMISSION_DENIED")

    emulator.kill()
    emulator.start()
    emulator.control.set_faults()

    assert finished(client, task_id)["status"] == "SUCCEEDED"
    assert list(emulator.destination.iterdir()) == []


def test_crash_at_any_moment_loses_and_doubles_nothing(own_emulator: Emulator) -> None:
    """It is killed repeatedly under load. Each submission is one task, and each file arrives whole."""
    emulator, client = own_emulator, own_emulator.client(retries=0)
    emulator.control.configure(bytes_per_second=2 * 1024 * KIB)  # lost with the first crash: the last copies are fast
    content = {f"file{number}": emulator.put(f"file{number}", 512 * KIB) for number in range(6)}
    documents = {name: transfer(f"/{name}", submission_id=str(uuid.uuid4())) for name in content}
    accepted: dict[str, str] = {}

    for victim in content:  # kill it while this one is being submitted or copied
        for name, document in documents.items():
            accepted.setdefault(name, client.submit_transfer(document)["task_id"])
            if name == victim:
                break
        emulator.kill()
        emulator.start()
    ends = {name: finished(client, client.submit_transfer(document)["task_id"]) for name, document in documents.items()}

    assert {name: end["task_id"] for name, end in ends.items()} == accepted
    assert {end["status"] for end in ends.values()} == {"SUCCEEDED"}
    assert {name: emulator.got(name) for name in content} == content
    assert client.task_list()["total"] == len(content)
