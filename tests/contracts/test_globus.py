"""The Globus adapter with the real SDK and the emulator's process: its requests, its handling of responses, its failures."""

import asyncio
import hashlib
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from services.uploader.decide import ownership, proofs, running_task
from services.uploader.decide.proofs import Expected, ExpectedFile
from services.uploader.decide.running_task import CancelEarly, FailedAttempt, Seen, ShowPaused, WatchLimits
from services.uploader.globus import Connection, Globus, connection
from services.uploader.globus_documents import delete_document, transfer_document
from services.uploader.globus_errors import ChecksumAlgorithmRefused, IdenticalPaths
from services.uploader.model import (
    Algorithm,
    DeleteRequest,
    Item,
    NotFound,
    Purpose,
    RecheckPolicy,
    Rejection,
    Remote,
    TaskView,
    TransferRequest,
    deadline_text,
    label_for,
)
from shared.errors import ArchiverError, ConfigurationError, Operation, PermanentError, TransientError, Waiting
from shared.infra.settings import UploaderSettings, load
from tests.support.emulator import CLIENT_ID, CLIENT_SECRET, DESTINATION, SOURCE, Emulator, running_emulator

SETTINGS = {
    "expires_in_s": 172_800,
    "bytes_per_second": None,
    "retry_first_s": 0.02,
    "retry_max_s": 0.1,
    "max_running": 3,
    "max_pending": 100,
    "cancel_wait_s": 5.0,
}
NAME = "été 日本 + #%&?'.tar.7z"  # possible names of a user's folder
ARCHIVE, SIDECAR = f"/L 1/L2/{NAME}", f"/L 1/L2/{NAME}.manifest.json"
NOWHERE = "00000000-0000-4000-8000-00000000dead"
ANY_TRANSFER = "^/v0.10/(?!endpoint)"  # not the first check of the collections


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("globus") / "emulator", **SETTINGS) as emulator:
        yield emulator


@pytest.fixture
def emulator(process: Emulator, tmp_path: Path) -> Emulator:
    """The shared process, reset, with collections for this test."""
    process.source, process.destination = tmp_path / "source", tmp_path / "destination"
    process.control.reset()
    whole = {"read_only": False, "allowed_prefixes": ["/"], "requires_data_access": False, "quota_bytes": None}
    whole |= {"checksum_algorithms": ["MD5", "SHA1", "SHA256", "SHA512"], "unsupported_algorithm": "fail"}
    whole |= {"entity_type": "GCSv5_guest_collection", "force_verify": False}
    process.control.configure(**SETTINGS, collections=process.collections(source=whole, destination=whole))
    return process


def settings_of(emulator: Emulator, **changes: Any) -> Connection:
    given: dict[str, Any] = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "source_endpoint": SOURCE,
        "destination_endpoint": DESTINATION,
        "auth_url": emulator.url,
        "transfer_url": emulator.url,
        "http_timeout_s": 60.0,
        "max_retries": 1,
    }
    return Connection(**{**given, **changes})


@pytest.fixture
async def globus(emulator: Emulator) -> AsyncIterator[Globus]:
    adapter = Globus(settings_of(emulator))
    yield adapter
    await adapter.close()


async def fails(adapter: Globus, call: Callable[[Globus], Awaitable[object]]) -> ArchiverError:
    """Return the error of a call. It must be one of ours and show no secret or token, not even in a log's traceback."""
    with pytest.raises(ArchiverError) as caught:
        await call(adapter)
    shown = "".join(traceback.format_exception(caught.value))
    assert CLIENT_SECRET not in shown
    assert "emulated-" not in shown  # the prefix of the emulator's tokens
    return caught.value


async def until(globus: Globus, task_id: str, accept: Callable[[TaskView], bool]) -> TaskView:
    """Poll until the task is accepted. A failure names the last value."""
    end = asyncio.get_running_loop().time() + 60
    while True:
        view = await globus.task(task_id)
        assert view is not None
        if accept(view):
            return view
        assert asyncio.get_running_loop().time() < end, f"still {view}"
        await asyncio.sleep(0.02)


async def ended(globus: Globus, task_id: str) -> TaskView:
    return await until(globus, task_id, lambda view: view.is_finished)


def in_future(hours: float = 1.0) -> str:
    return deadline_text(datetime.now(UTC) + timedelta(hours=hours))


class Sent:
    """An archive and its sidecar at the source, and requests that move them."""

    def __init__(self, emulator: Emulator, size: int = 200_000) -> None:
        self.emulator = emulator
        content = {"/a.7z": os.urandom(size), "/m.json": b'{"manifest": true}'}
        for path, data in content.items():
            emulator.put(path[1:], data)
        self.expected = Expected(
            *(
                ExpectedFile(
                    source_path=path,
                    destination_path=target,
                    size=len(data),
                    sha256=hashlib.sha256(data).hexdigest(),
                    md5=hashlib.md5(data).hexdigest(),
                )
                for (path, data), target in zip(content.items(), (ARCHIVE, SIDECAR), strict=True)
            )
        )

    async def request(
        self, globus: Globus, purpose: Purpose = Purpose.TRANSFER, algorithm: Algorithm = Algorithm.SHA256, **changes: Any
    ) -> TransferRequest:
        submission_id = await globus.submission_id()
        items = tuple(
            Item(
                source_path=f.source_path,
                destination_path=f.destination_path,
                external_checksum=f.digest(algorithm),
                checksum_algorithm=algorithm,
            )
            for f in self.expected.files
        )
        given: dict[str, Any] = {
            "submission_id": submission_id,
            "label": label_for(str(uuid4()), 1, purpose, submission_id),
            "source_endpoint": SOURCE,
            "destination_endpoint": DESTINATION,
            "items": items,
            "deadline": in_future(),
        }
        return TransferRequest(**{**given, **changes})

    async def carried_out(self, globus: Globus, request: TransferRequest) -> proofs.CarriedOut:
        task = await ended(globus, await globus.submit_transfer(request))
        moved = tuple(await globus.successful_transfers(task.task_id))
        return proofs.CarriedOut(request=request, task=task, moved=moved)

    async def stats(self, globus: Globus) -> tuple[Remote | NotFound, Remote | NotFound]:
        return await globus.stat(DESTINATION, ARCHIVE), await globus.stat(DESTINATION, SIDECAR)


# --- a successful job --------------------------------------------------------------------------------------------------------------


async def test_a_transfer_is_proven_three_times(emulator: Emulator, globus: Globus) -> None:
    """Task, remote and content, with difficult names. The second reading moves nothing."""
    sent = Sent(emulator)
    assert await sent.stats(globus) == (NotFound(), NotFound())

    first = await sent.carried_out(globus, await sent.request(globus))
    second = await sent.carried_out(globus, await sent.request(globus, Purpose.RECHECK))

    assert isinstance(proofs.verify_task(first.task, first.request), proofs.TaskProof)
    stats = await sent.stats(globus)
    assert isinstance(proofs.verify_remote(*stats, sent.expected), proofs.RemoteProof)
    assert [r.name for r in stats if isinstance(r, Remote)] == [NAME, NAME + ".manifest.json"]
    assert proofs.verify_content(sent.expected, [first], second, RecheckPolicy.ALWAYS) == proofs.ContentProof(
        archive=proofs.Standing.REPORTED, sidecar=proofs.Standing.REPORTED, recheck_task_id=second.task.task_id
    )


async def test_a_silent_change_at_the_destination_is_found_and_read_again(emulator: Emulator, globus: Globus) -> None:
    """A byte that flips after Globus verified it passes size and task. The second reading repairs it, and the third proves it."""
    sent = Sent(emulator)
    emulator.control.set_faults({"kind": "data", "action": "flip", "when": "after_verify", "path": r"7z$", "times": 1})

    first = await sent.carried_out(globus, await sent.request(globus))
    assert isinstance(proofs.verify_task(first.task, first.request), proofs.TaskProof)
    assert isinstance(proofs.verify_remote(*await sent.stats(globus), sent.expected), proofs.RemoteProof)
    second = await sent.carried_out(globus, await sent.request(globus, Purpose.RECHECK))
    answer = proofs.verify_content(sent.expected, [first], second, RecheckPolicy.ALWAYS)
    assert isinstance(answer, proofs.RunRecheck)
    assert answer.repaired
    third = await sent.carried_out(globus, await sent.request(globus, Purpose.RECHECK))
    assert isinstance(proofs.verify_content(sent.expected, [first], third, RecheckPolicy.ALWAYS), proofs.ContentProof)


async def test_a_transfer_of_what_is_there_vouches_for_nothing(emulator: Emulator, globus: Globus) -> None:
    """Skipped as equal: SUCCEEDED and exact, but without a digest. The job's own file is therefore removed and sent again."""
    sent = Sent(emulator)
    await sent.carried_out(globus, await sent.request(globus))

    again = await sent.carried_out(globus, await sent.request(globus))

    assert isinstance(proofs.verify_task(again.task, again.request), proofs.TaskProof)
    assert again.moved == ()
    answer = proofs.verify_content(sent.expected, [again], None, RecheckPolicy.ALWAYS)
    assert isinstance(answer, Rejection)
    assert answer.remove_first


async def test_a_removal_removes_both_names_and_nothing_else(emulator: Emulator, globus: Globus) -> None:
    """Only files, patterns are literal names, a missing file is no error, and the same id is the same task."""
    for name in ("a*.7z", "ab.7z", "keep/x"):
        (emulator.destination / name).parent.mkdir(parents=True, exist_ok=True)
        (emulator.destination / name).write_bytes(b"x")
    request = DeleteRequest(
        submission_id=await globus.submission_id(), label="r", endpoint=DESTINATION, paths=("/a*.7z", "/gone"), deadline=in_future()
    )

    task_id = await globus.submit_delete(request)

    assert (await ended(globus, task_id)).status == "SUCCEEDED"
    assert await globus.submit_delete(request) == task_id
    assert [view.task_id for view in await globus.find_tasks("r")] == [task_id]
    assert sorted(p.name for p in emulator.destination.iterdir()) == ["ab.7z", "keep"]


# --- submissions ---------------------------------------------------------------------------------------------------------------


async def test_a_stored_request_is_sent_again_byte_for_byte(emulator: Emulator, globus: Globus) -> None:
    """It survives JSON and a crash: the same body, the same task, once."""
    request = await Sent(emulator).request(globus)
    again = msgspec.json.decode(msgspec.json.encode(request), type=TransferRequest)

    first, second = await globus.submit_transfer(request), await globus.submit_transfer(again)

    bodies = [entry["body"] for entry in emulator.control.requests(path="/v0.10/transfer")]
    assert bodies[0] == bodies[1]
    assert first == second
    assert len(emulator.control.tasks()) == 1


def test_every_option_is_said() -> None:
    """The request relies on no server default."""
    item = Item(source_path="/s", destination_path="/d", external_checksum="ab", checksum_algorithm=Algorithm.MD5)
    request = TransferRequest(
        submission_id="i", label="l", source_endpoint=SOURCE, destination_endpoint=DESTINATION, items=(item,), deadline="2030"
    )

    document = transfer_document(request)

    assert {key: document[key] for key in document if key not in {"DATA", "source_local_user", "destination_local_user"}} == {
        "DATA_TYPE": "transfer",
        "submission_id": "i",
        "label": "l",
        "source_endpoint": SOURCE,
        "destination_endpoint": DESTINATION,
        "deadline": "2030",
        "sync_level": 3,
        "verify_checksum": True,
        "encrypt_data": True,
        "preserve_timestamp": False,
        "skip_source_errors": False,
        "fail_on_quota_errors": True,
        "delete_destination_extra": False,
        "notify_on_succeeded": False,
        "notify_on_failed": False,
        "notify_on_inactive": False,
    }
    deletion = delete_document(DeleteRequest(submission_id="i", label="l", endpoint=DESTINATION, paths=("/d",), deadline="2030"))
    assert (deletion["recursive"], deletion["ignore_missing"], deletion["interpret_globs"]) == (False, True, False)


@pytest.mark.parametrize("label", ["", " l", "l\n", "l" * 129])
def test_a_label_globus_would_refuse_is_never_stored(label: str) -> None:
    """Globus's rules are checked before anything is stored."""
    with pytest.raises(ValueError, match="label"):
        DeleteRequest(submission_id="i", label=label, endpoint=DESTINATION, paths=("/d",), deadline="2030")


def test_labels_fit_and_deadlines_have_a_zone() -> None:
    """The longest label fits with room to spare. A time without a zone is refused."""
    assert len(label_for(str(uuid4()), 99_999, Purpose.TRANSFER, str(uuid4()))) <= 128
    assert deadline_text(datetime(2030, 1, 2, 3, tzinfo=UTC)) == "2030-01-02T03:00:00+00:00"
    assert deadline_text(datetime(2030, 1, 2, 3, 0, 0, 1, tzinfo=UTC)) == "2030-01-02T03:00:01+00:00"
    with pytest.raises(ValueError, match="zone"):
        deadline_text(datetime(2030, 1, 2, 3))  # noqa: DTZ001 - the mistake under test


async def test_a_lost_answer_makes_no_second_task(emulator: Emulator, globus: Globus) -> None:
    """The task was created but the response was lost. The retry (the SDK's, then ours) finds the same one."""
    request = await Sent(emulator).request(globus)
    emulator.control.set_faults({"kind": "http", "action": "lost_response", "method": "POST", "path": "/transfer$", "times": 2})

    error = await fails(globus, lambda g: g.submit_transfer(request))  # both of the SDK's tries are lost
    assert isinstance(error, TransientError)
    by_label = await globus.find_tasks(request.label)
    task_id = await globus.submit_transfer(request)

    assert [view.task_id for view in by_label] == [task_id]
    assert [entry["task_id"] for entry in emulator.control.tasks()] == [task_id]


async def test_identical_paths_are_told_apart_from_other_refusals(emulator: Emulator, globus: Globus) -> None:
    """A new id for paths that an unfinished task moves has its own error. After a cancel the new id is accepted."""
    sent = Sent(emulator)
    emulator.control.set_faults({"kind": "task", "action": "stall"})
    first = await globus.submit_transfer(await sent.request(globus))
    second = await sent.request(globus)

    assert isinstance(await fails(globus, lambda g: g.submit_transfer(second)), IdenticalPaths)
    await globus.cancel(first)
    await globus.cancel(first)  # idempotent
    view = await ended(globus, first)
    assert view.fatal_error is not None
    assert view.fatal_error.code == "CANCELED"
    emulator.control.set_faults()
    assert (await ended(globus, await globus.submit_transfer(second))).status == "SUCCEEDED"


async def test_too_many_tasks_wait_without_a_budget(emulator: Emulator, globus: Globus) -> None:
    """Globus allows a hundred unfinished tasks. This does not fail the job."""
    emulator.control.configure(max_pending=0)
    request = await Sent(emulator).request(globus)

    error = await fails(globus, lambda g: g.submit_transfer(request))

    assert isinstance(error, Waiting)
    assert error.retry_after_s == 60
    # The same text each time, or a waiting job would log every response.
    assert str(error) == str(await fails(globus, lambda g: g.submit_transfer(request)))


@pytest.mark.parametrize("way", ["reject", "fail", "fault"])
async def test_a_refused_sha256_is_answered_with_md5(emulator: Emulator, globus: Globus, way: str) -> None:
    """Refused at once, by a failed task, or by a task that makes no progress: all are recognised, and MD5 then proves the content."""
    sent = Sent(emulator)
    only_md5 = {"checksum_algorithms": ["MD5"], "unsupported_algorithm": way}
    emulator.control.configure(collections=emulator.collections(destination=only_md5))
    request = await sent.request(globus)
    if way == "reject":
        assert isinstance(await fails(globus, lambda g: g.submit_transfer(request)), ChecksumAlgorithmRefused)
    else:
        task_id = await globus.submit_transfer(request)
        view = await until(globus, task_id, lambda v: v.is_finished or bool(v.faults))
        answer = running_task.watch(view, Seen(1), datetime.now(UTC), datetime.now(UTC) + timedelta(hours=1), WatchLimits())
        assert isinstance(answer, FailedAttempt if way == "fail" else CancelEarly)
        assert answer.algorithm_refused
        await globus.cancel(task_id)
        await ended(globus, task_id)

    algorithm = proofs.choose_algorithm(["SHA256"])
    assert algorithm is Algorithm.MD5
    first = await sent.carried_out(globus, await sent.request(globus, algorithm=algorithm))
    second = await sent.carried_out(globus, await sent.request(globus, Purpose.RECHECK, algorithm=algorithm))
    assert isinstance(proofs.verify_content(sent.expected, [first], second, RecheckPolicy.ALWAYS), proofs.ContentProof)


# --- unsuccessful tasks ------------------------------------------------------------------------------------------------------------


async def test_a_wrong_local_archive_never_counts(emulator: Emulator, globus: Globus) -> None:
    """The bytes differ from the record. Globus fails the task by our digest, which is no refusal of the algorithm."""
    sent = Sent(emulator)
    emulator.put("a.7z", 200_000)

    done = await sent.carried_out(globus, await sent.request(globus))

    assert isinstance(proofs.verify_task(done.task, done.request), Rejection)
    answer = running_task.watch(done.task, Seen(1), datetime.now(UTC), datetime.now(UTC) + timedelta(hours=1), WatchLimits())
    assert isinstance(answer, FailedAttempt)
    assert "EXTERNAL_CHECKSUM_MISMATCH" in answer.reason
    assert not answer.algorithm_refused


@pytest.mark.parametrize(
    ("fault", "code", "expected"),
    [
        ({"action": "faulting", "code": "PERMISSION_DENIED"}, "PERMISSION_DENIED", CancelEarly),
        ({"action": "inactive"}, "AUTH", CancelEarly),
        ({"action": "pause", "details": "maintenance till noon"}, "PAUSED", ShowPaused),
        ({"action": "fail", "code": "NO_SPACE_LEFT"}, None, FailedAttempt),
        ({"action": "expire"}, None, FailedAttempt),
    ],
)
async def test_what_the_watcher_sees(
    emulator: Emulator, globus: Globus, fault: dict[str, Any], code: str | None, expected: type
) -> None:
    """Each way in which a task can stop is read from the real document and decided."""
    emulator.control.set_faults({"kind": "task", **fault})
    task_id = await globus.submit_transfer(await Sent(emulator).request(globus))

    view = await until(globus, task_id, lambda v: v.is_finished if code is None else v.nice_status == code)

    now = datetime.now(UTC)
    seen = running_task.observe(Seen(1, now - timedelta(minutes=6)), view, now)
    answer = running_task.watch(view, seen, now, now + timedelta(hours=1), WatchLimits())
    assert isinstance(answer, expected)
    if expected is ShowPaused:
        assert await globus.pause_info(task_id) == "maintenance till noon"


async def test_events_are_readable_and_a_skipped_file_is_no_success(emulator: Emulator, globus: Globus) -> None:
    """A task's events can be shown: newest first, as many as requested."""
    sent = Sent(emulator)
    (emulator.source / "m.json").unlink()
    request = await sent.request(globus, skip_source_errors=True)  # never sent by the product; here to cause a skip
    task = await ended(globus, await globus.submit_transfer(request))

    events = await globus.events(task.task_id, limit=2)

    assert [event.code for event in events] == ["SUCCEEDED", "SKIPPED_ERRORS"]
    assert isinstance(proofs.verify_task(task, request), Rejection)


async def test_details_of_a_running_task_are_refused(emulator: Emulator, globus: Globus) -> None:
    """A task's transfers are known only after its end. An earlier request is a permanent error, not an empty list."""
    emulator.control.set_faults({"kind": "task", "action": "stall"})
    task_id = await globus.submit_transfer(await Sent(emulator).request(globus))

    assert isinstance(await fails(globus, lambda g: g.successful_transfers(task_id)), PermanentError)


async def test_an_unknown_task_is_none_and_its_details_are_an_error(emulator: Emulator, globus: Globus) -> None:
    """A 404 in Globus's own format is "unknown". Cancelling such a task is no error."""
    task_id = await globus.submit_transfer(await Sent(emulator).request(globus))
    await ended(globus, task_id)
    emulator.control.set_faults({"kind": "task", "action": "vanish"})

    assert await globus.task(task_id) is None
    assert await globus.task(str(uuid4())) is None
    await globus.cancel(str(uuid4()))
    assert isinstance(await fails(globus, lambda g: g.successful_transfers(task_id)), PermanentError)


async def test_tasks_are_found_by_their_exact_label_among_many(emulator: Emulator, globus: Globus) -> None:
    """More tasks than one small page, and labels with the same prefix."""
    sent = Sent(emulator, size=10)
    labels = ["x", "x.1", "X", *(f"x.{n}" for n in range(2, 14))]
    for label in labels:
        request = await sent.request(globus, label=label)
        await ended(globus, await globus.submit_transfer(request))

    assert [view.label for view in await globus.find_tasks("x.1")] == ["x.1"]
    assert await globus.find_tasks("y") == []


async def test_tasks_survive_a_restart_of_the_other_side(tmp_path: Path) -> None:
    """It is killed half-way and restarted: the task id is known, the stored request is a duplicate, the task ends."""
    with running_emulator(tmp_path / "own", **SETTINGS) as emulator:
        adapter = Globus(settings_of(emulator))
        sent = Sent(emulator)
        emulator.control.set_faults({"kind": "task", "action": "stall"})
        request = await sent.request(adapter)
        task_id = await adapter.submit_transfer(request)
        await until(adapter, task_id, lambda view: view.status == "ACTIVE")

        emulator.kill()
        error = await fails(adapter, lambda g: g.task(task_id))
        assert isinstance(error, TransientError)
        assert error.operation is Operation.CONNECTION
        emulator.start()

        assert await adapter.submit_transfer(request) == task_id
        emulator.control.set_faults()
        assert (await ended(adapter, task_id)).status == "SUCCEEDED"
        await adapter.close()


# --- the destination -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stat_works", [True, False], ids=["stat", "ls"])
async def test_stat_and_its_replacement_say_the_same(emulator: Emulator, globus: Globus, stat_works: bool) -> None:
    """File, directory, missing name, missing parent: by stat, and by listing the parent where stat is not supported."""
    (emulator.destination / "L 1/L2").mkdir(parents=True)
    (emulator.destination / ARCHIVE[1:]).write_bytes(b"12345")
    if not stat_works:
        emulator.control.set_faults({"kind": "fs", "action": "unsupported", "operation": "stat"})

    found = await globus.stat(DESTINATION, ARCHIVE)

    assert isinstance(found, Remote)
    assert (found.name, found.type, found.size) == (NAME, "file", 5)
    directory = await globus.stat(DESTINATION, "/L 1/L2")
    assert isinstance(directory, Remote)
    assert directory.type == "dir"
    assert await globus.stat(DESTINATION, "/L 1/L2/absent") == NotFound()
    assert await globus.stat(DESTINATION, "/absent/absent") == NotFound()


async def test_a_listing_finds_what_a_destination_may_not_tell_apart(emulator: Emulator, globus: Globus) -> None:
    """In a listing, another letter case counts as present (the write might replace it), but the exact name comes first."""
    emulator.destination.mkdir(exist_ok=True)
    (emulator.destination / "FILE").write_bytes(b"1")
    emulator.control.set_faults({"kind": "fs", "action": "unsupported", "operation": "stat"})

    other = await globus.stat(DESTINATION, "/file")
    (emulator.destination / "file").write_bytes(b"22")
    exact = await globus.stat(DESTINATION, "/file")

    assert isinstance(other, Remote)
    assert isinstance(exact, Remote)
    assert (other.name, other.size, exact.name, exact.size) == ("FILE", 1, "file", 2)


@pytest.mark.parametrize(
    ("fault", "family"),
    [
        ({"action": "denied"}, PermanentError),
        ({"action": "disconnected"}, TransientError),
        ({"action": "login_failed"}, TransientError),
        ({"action": "connect_failed"}, TransientError),
    ],
)
async def test_no_trouble_looks_like_absence(emulator: Emulator, globus: Globus, fault: dict[str, str], family: type) -> None:
    """Every other response raises, so that the verdict is "unknown" and nothing is sent."""
    emulator.control.set_faults({"kind": "fs", "operation": "stat", **fault})

    error = await fails(globus, lambda g: g.stat(DESTINATION, ARCHIVE))

    assert isinstance(error, family)
    assert ownership.presence(error) is ownership.Presence.UNKNOWN


async def test_a_listing_that_is_too_long_is_not_absence(emulator: Emulator, globus: Globus) -> None:
    """If neither stat nor a listing works, a person has to choose another destination."""
    emulator.control.set_faults(
        {"kind": "fs", "action": "unsupported", "operation": "stat"}, {"kind": "fs", "action": "size_limit", "operation": "ls"}
    )

    error = await fails(globus, lambda g: g.stat(DESTINATION, ARCHIVE))

    assert isinstance(error, PermanentError)
    assert "too many entries" in str(error)


async def test_an_unknown_route_is_not_absence(emulator: Emulator, globus: Globus) -> None:
    """A 404 for the call itself (stat does not exist): the listing decides, and here it finds the file."""
    emulator.destination.mkdir(exist_ok=True)
    (emulator.destination / "f").write_bytes(b"1")
    emulator.control.set_faults(
        {"kind": "http", "action": "status", "path": "/stat$", "status": 404, "code": "ClientError.NotFound"}
    )

    assert isinstance(await globus.stat(DESTINATION, "/f"), Remote)
    assert await globus.stat(DESTINATION, "/g") == NotFound()


async def test_probe_is_content_and_makes_the_destination_base(emulator: Emulator, globus: Globus) -> None:
    """No problem is reported, both collections are described, and the base exists afterwards."""
    (emulator.source / "archives").mkdir(parents=True, exist_ok=True)

    probe = await globus.probe("/archives", "/team/vault")

    assert probe.problems == ()
    assert probe.source is not None
    assert probe.source.display_name == "Archives"
    assert (emulator.destination / "team/vault").is_dir()
    assert (await globus.probe("/archives/", "/")).problems == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"destination": {"read_only": True}}, "GLOBUS_DESTINATION_BASE_PATH: Globus refused"),
        ({"destination": {"allowed_prefixes": ["/other"]}}, f"{CLIENT_ID}@clients.auth.globus.org"),
        ({"source": {"allowed_prefixes": ["/other"]}}, "GLOBUS_SOURCE_COLLECTION_PATH: Globus refused"),
    ],
)
async def test_probe_names_what_is_not_permitted(emulator: Emulator, globus: Globus, change: dict[str, Any], words: str) -> None:
    """The setting, and the account that needs a permission."""
    (emulator.source / "archives").mkdir(parents=True, exist_ok=True)
    emulator.control.configure(collections=emulator.collections(**change))

    (problem,) = (await globus.probe("/archives", "/base")).problems

    assert words in problem


async def test_probe_names_a_missing_source_directory(emulator: Emulator, globus: Globus) -> None:
    """Nothing is created at the source."""
    (problem,) = (await globus.probe("/archives", "/")).problems

    assert "GLOBUS_SOURCE_COLLECTION_PATH" in problem
    assert "does not exist" in problem


async def test_probe_names_an_unknown_collection(emulator: Emulator) -> None:
    """A wrong id is a setting to correct."""
    adapter = Globus(settings_of(emulator, destination_endpoint=NOWHERE))

    problems = (await adapter.probe("/", "/")).problems

    assert any(NOWHERE in problem and "GLOBUS_DESTINATION_ENDPOINT" in problem for problem in problems)
    await adapter.close()


async def test_probe_without_globus_is_transient(emulator: Emulator) -> None:
    """Without a response there is nothing to fix in the settings: retry."""
    adapter = Globus(settings_of(emulator, transfer_url="http://127.0.0.1:9", auth_url="http://127.0.0.1:9"))

    error = await fails(adapter, lambda g: g.probe("/", "/"))

    assert isinstance(error, TransientError)
    assert "Connection refused" in str(error)
    await adapter.close()


async def test_mapped_collections_get_their_scope_before_first_use(emulator: Emulator, globus: Globus) -> None:
    """A mapped collection needs data_access with the first token. The adapter detects this by itself."""
    mapped = {"entity_type": "GCSv5_mapped_collection", "requires_data_access": True}
    emulator.control.configure(collections=emulator.collections(destination=mapped))

    assert await globus.stat(DESTINATION, "/x") == NotFound()
    sent = Sent(emulator)
    assert (await ended(globus, await globus.submit_transfer(await sent.request(globus)))).status == "SUCCEEDED"


async def test_a_missing_consent_names_the_scope(emulator: Emulator, globus: Globus) -> None:
    """A person must resolve ConsentRequired, with the scope and the account."""
    emulator.control.set_faults({"kind": "auth", "action": "consent_required"})

    error = await fails(globus, lambda g: g.stat(DESTINATION, "/x"))

    assert isinstance(error, PermanentError)
    assert f"{DESTINATION}/data_access" in str(error)
    assert f"{CLIENT_ID}@clients" in str(error)


# --- tokens --------------------------------------------------------------------------------------------------------------------


async def test_a_wrong_secret_names_the_settings(emulator: Emulator) -> None:
    """Refused credentials are permanent, and the message does not repeat them."""
    adapter = Globus(settings_of(emulator, client_secret="a very wrong secret"))

    error = await fails(adapter, lambda g: g.submission_id())

    assert isinstance(error, PermanentError)
    assert "GLOBUS_CLIENT_SECRET" in str(error)
    assert "very wrong" not in "".join(traceback.format_exception(error))
    await adapter.close()


async def test_a_revoked_token_is_renewed_unseen(emulator: Emulator, globus: Globus) -> None:
    """One 401 during the work costs nothing."""
    await globus.submission_id()
    emulator.control.set_faults({"kind": "auth", "action": "revoke_tokens", "times": 1})

    assert await globus.submission_id()


@pytest.mark.parametrize(
    ("fault", "words"),
    [({"action": "refuse_tokens"}, "fresh access token"), ({"action": "scope"}, "UnmetScopeRequirementsError")],
)
async def test_tokens_that_do_not_work_are_permanent(emulator: Emulator, globus: Globus, fault: dict[str, str], words: str) -> None:
    """A second 401, or a token of another scope: a person has to check the account."""
    emulator.control.set_faults({"kind": "auth", **fault})

    error = await fails(globus, lambda g: g.submission_id())

    assert isinstance(error, PermanentError)
    assert words in str(error)


async def test_short_lived_tokens_work(emulator: Emulator, globus: Globus) -> None:
    """A token that lives half a minute is fetched for every call, and every call succeeds."""
    emulator.control.set_faults({"kind": "auth", "action": "expires_in", "seconds": 30})

    assert await globus.submission_id() != await globus.submission_id()
    assert len(emulator.control.requests(path="oauth2")) >= 2


@pytest.mark.parametrize(
    ("status", "extra"), [(500, {}), (503, {}), (429, {}), (200, {"text": "<html>"}), (200, {"body": {"access_token": "x"}})]
)
async def test_trouble_at_the_token_server_is_transient(
    emulator: Emulator, globus: Globus, status: int, extra: dict[str, Any]
) -> None:
    """Auth being down, or a login page in its place, is no settings error."""
    fault = {"kind": "http", "action": "status", "path": "/oauth2/token", "status": status, **extra}
    emulator.control.set_faults(fault)

    error = await fails(globus, lambda g: g.submission_id())

    assert isinstance(error, TransientError)
    assert error.operation is Operation.CONNECTION


# --- the wire ------------------------------------------------------------------------------------------------------------------

HTTP_FAULTS: dict[str, tuple[dict[str, Any], type[ArchiverError]]] = {
    "500": ({"status": 500}, TransientError),
    "503 with Retry-After": ({"status": 503, "headers": {"Retry-After": "1"}}, TransientError),
    "429": ({"status": 429, "code": "TooManyRequests"}, TransientError),
    "502 endpoint": ({"status": 502, "code": "ExternalError.DirListingFailed.GCDisconnected"}, TransientError),
    "502 denied by the endpoint": ({"status": 502, "code": "ExternalError.DirListingFailed.PermissionDenied"}, PermanentError),
    "502 HTML": ({"status": 502, "text": "<html>Bad gateway</html>"}, TransientError),
    "503 list": ({"status": 503, "body": ["x"]}, TransientError),
    "500 code null": ({"status": 500, "body": {"code": None, "message": "x"}}, TransientError),
    "200 HTML": ({"status": 200, "text": "<html>Please log in</html>"}, TransientError),
    "200 list": ({"status": 200, "body": ["x"]}, TransientError),
    "200 nothing": ({"status": 200, "body": {}}, TransientError),
    "200 number": ({"status": 200, "body": {"value": 7}}, TransientError),
    "404 HTML of a proxy": ({"status": 404, "text": "<html>Not found</html>"}, TransientError),
    "403 HTML of a proxy": ({"status": 403, "text": "<html>Forbidden</html>"}, TransientError),
    "403": ({"status": 403, "code": "PermissionDenied"}, PermanentError),
    "404 endpoint": ({"status": 404, "code": "EndpointNotFound"}, PermanentError),
    "400": ({"status": 400, "code": "ClientError.BadRequest"}, PermanentError),
    "400 path": ({"status": 400, "code": "InvalidPath"}, PermanentError),
    "409 other": ({"status": 409, "code": "Exists"}, PermanentError),
    "reset": ({"action": "reset_before"}, TransientError),
    "lost": ({"action": "lost_response"}, TransientError),
    "cut": ({"action": "cut_body"}, TransientError),
}


@pytest.mark.parametrize("name", HTTP_FAULTS)
async def test_every_answer_has_a_family(emulator: Emulator, globus: Globus, name: str) -> None:
    """Every network result becomes one of our errors in the right family. Connection errors have their own budget."""
    fault, expected = HTTP_FAULTS[name]
    emulator.control.set_faults({"kind": "http", "action": "status", "path": ANY_TRANSFER, **fault})

    error = await fails(globus, lambda g: g.submission_id())

    assert type(error) is expected
    if isinstance(error, TransientError):
        assert error.operation is Operation.CONNECTION


@pytest.mark.parametrize("action", ["delay", "stall_body"])
async def test_silence_ends_after_the_timeout(emulator: Emulator, action: str) -> None:
    """A response that does not come, or stops in the middle, times out."""
    adapter = Globus(settings_of(emulator, http_timeout_s=1.0))
    emulator.control.set_faults({"kind": "http", "action": action, "path": ANY_TRANSFER, "seconds": 60})

    error = await fails(adapter, lambda g: g.submission_id())

    assert isinstance(error, TransientError)
    emulator.control.set_faults()
    await adapter.close()


async def test_a_proxys_404_is_not_an_unknown_task(emulator: Emulator, globus: Globus) -> None:
    """Only Globus itself may report an unknown task or path."""
    emulator.control.set_faults(
        {"kind": "http", "action": "status", "path": "/(task|stat|ls)", "status": 404, "text": "<html>Not found</html>"}
    )

    assert isinstance(await fails(globus, lambda g: g.task("t")), TransientError)
    assert isinstance(await fails(globus, lambda g: g.stat(DESTINATION, "/x")), TransientError)


async def test_a_message_that_repeats_credentials_is_cleaned(emulator: Emulator, globus: Globus) -> None:
    """If a server echoes a request, its credentials are not in our messages. Long texts are cut."""
    said = f"bad header Authorization: Bearer abc.def {CLIENT_SECRET} " + "x" * 1000
    emulator.control.set_faults(
        {"kind": "http", "action": "status", "path": ANY_TRANSFER, "status": 400, "body": {"code": "Bad", "message": said}}
    )

    error = await fails(globus, lambda g: g.submission_id())

    assert isinstance(error, PermanentError)
    assert "abc.def" not in "".join(traceback.format_exception(error))
    assert len(str(error)) < 500


async def test_a_short_outage_is_bridged_by_the_sdk(emulator: Emulator, globus: Globus) -> None:
    """One bad response is retried at once and costs the job nothing."""
    emulator.control.set_faults({"kind": "http", "action": "status", "path": ANY_TRANSFER, "status": 503, "times": 1})

    assert await globus.submission_id()


async def test_the_loop_stays_free_while_globus_is_slow(emulator: Emulator, globus: Globus) -> None:
    """Calls wait in the adapter's own thread. Cancelling the waiter frees it at once, and later calls work."""
    emulator.control.set_faults({"kind": "http", "action": "delay", "path": ANY_TRANSFER, "seconds": 0.5, "times": 1})
    slow = asyncio.create_task(globus.submission_id())
    await asyncio.sleep(0)
    slow.cancel()

    with pytest.raises(asyncio.CancelledError):
        await slow
    many = await asyncio.gather(*(globus.submission_id() for _ in range(5)))
    assert len(set(many)) == 5


# --- addresses --------------------------------------------------------------------------------------------------------------------


def test_without_addresses_it_is_the_real_globus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Production ignores the SDK's environment variables, and construction sends no request."""
    from services.uploader import globus as module

    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_TRANSFER", "http://127.0.0.1:9")
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", "http://127.0.0.1:9")
    settings = Connection(client_id=CLIENT_ID, client_secret="s", source_endpoint=SOURCE, destination_endpoint=DESTINATION)
    clients = module._build(settings, [])

    assert clients.transfer.base_url == "https://transfer.api.globus.org/"
    assert clients.auth.base_url == "https://auth.globus.org/"
    assert clients.transfer.transport.session.trust_env  # it uses a site's proxy
    assert not Globus(settings).is_emulated
    clients.close()


async def test_the_emulator_is_said_to_be_one(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With addresses it is emulated and bypasses any proxy of the environment. Settings are passed by name."""
    monkeypatch.setenv("http_proxy", "http://user:pass@127.0.0.1:9")
    environment = {
        "DATABASE_URL": "postgresql://x",
        "NATS_URL": "nats://x",
        "GLOBUS_CLIENT_ID": CLIENT_ID,
        "GLOBUS_CLIENT_SECRET": CLIENT_SECRET,
        "GLOBUS_SOURCE_ENDPOINT": SOURCE,
        "GLOBUS_DESTINATION_ENDPOINT": DESTINATION,
        "GLOBUS_AUTH_URL": emulator.url,
        "GLOBUS_TRANSFER_URL": emulator.url,
    }
    adapter = Globus(connection(load(UploaderSettings, environment)))

    assert adapter.is_emulated
    assert adapter.transfer_url == emulator.url
    assert await adapter.submission_id()
    assert (await adapter.endpoint(DESTINATION)).display_name == "Tape"
    await adapter.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"auth_url": ""},
        {"transfer_url": ""},
        {"auth_url": "http://globus.example/"},
        {"transfer_url": "http://10.0.0.1:1/"},
        {"max_retries": 0},
    ],
)
def test_dangerous_connections_are_refused(process: Emulator, wrong: dict[str, Any]) -> None:
    """One server of two, or a secret without encryption, is refused. A connection never shows its secret."""
    with pytest.raises(ConfigurationError):
        settings_of(process, **wrong)
    assert CLIENT_SECRET not in repr(settings_of(process))
