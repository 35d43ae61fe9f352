"""What counts as a proof of arrival. Each table begins with an accepted case; each other row breaks one part of it."""

from typing import Any

import msgspec
import pytest

from services.uploader.decide import proofs
from services.uploader.decide.proofs import (
    CarriedOut,
    ContentProof,
    Expected,
    ExpectedFile,
    RemoteProof,
    RunRecheck,
    Standing,
    TaskProof,
)
from services.uploader.model import (
    Algorithm,
    FatalError,
    Item,
    NotFound,
    RecheckPolicy,
    Rejection,
    Remote,
    TaskView,
    Transferred,
    TransferRequest,
)

ALWAYS, NEVER = RecheckPolicy.ALWAYS, RecheckPolicy.NEVER
ARCHIVE = ExpectedFile(source_path="/s/a", destination_path="/d/a", size=1000, sha256="aa" * 32, md5="ab" * 16)
SIDECAR = ExpectedFile(source_path="/s/m", destination_path="/d/m", size=50, sha256="cc" * 32, md5="cd" * 16)
EXPECTED = Expected(ARCHIVE, SIDECAR)


def request(algorithm: Algorithm = Algorithm.SHA256, **fields: Any) -> TransferRequest:
    items = tuple(
        Item(
            source_path=f.source_path,
            destination_path=f.destination_path,
            external_checksum=f.digest(algorithm),
            checksum_algorithm=algorithm,
        )
        for f in EXPECTED.files
    )
    given = {
        "submission_id": "s",
        "label": "l",
        "source_endpoint": "S",
        "destination_endpoint": "D",
        "deadline": "x",
        "items": items,
    }
    return TransferRequest(**{**given, **fields})


def task(**fields: Any) -> TaskView:
    given: dict[str, Any] = {
        "task_id": "t1",
        "status": "SUCCEEDED",
        "type": "TRANSFER",
        "label": "l",
        "source_endpoint_id": "S",
        "destination_endpoint_id": "D",
        "request_time": "2026-11-21T10:00:00+00:00",
        "completion_time": "2026-11-21T11:00:00+00:00",
        "sync_level": 3,
        "verify_checksum": True,
        "skip_source_errors": False,
        "files_transferred": 2,
        "files_skipped": 0,
        "bytes_transferred": 1050,
        "subtasks_failed": 0,
        "subtasks_canceled": 0,
        "subtasks_expired": 0,
        "subtasks_skipped_errors": 0,
    }
    return TaskView(**{**given, **fields})


def recheck_task(**fields: Any) -> TaskView:
    given = {
        "task_id": "t2",
        "request_time": "2026-11-21T11:00:00+00:00",
        "completion_time": "2026-11-21T12:00:00+00:00",
        "files_transferred": 0,
        "files_skipped": 2,
        "bytes_transferred": 0,
    }
    return task(**{**given, **fields})


def report(file: ExpectedFile, algorithm: str | None = "SHA256", **fields: Any) -> Transferred:
    digest = {"SHA256": file.sha256, "sha-256": file.sha256, "MD5": file.md5}.get(algorithm or "")
    given = {
        "source_path": file.source_path,
        "destination_path": file.destination_path,
        "size": file.size,
        "checksum": digest,
        "checksum_algorithm": algorithm,
    }
    return Transferred(**{**given, **fields})


def done(*moved: Transferred, view: TaskView | None = None, req: TransferRequest | None = None) -> CarriedOut:
    return CarriedOut(request=req or request(), task=view or task(), moved=moved)


GOOD = done(report(ARCHIVE), report(SIDECAR))
RECHECK = CarriedOut(request=request(), task=recheck_task(), moved=())


# --- evidence 1 ---


@pytest.mark.parametrize(("transferred", "skipped"), [(2, 0), (1, 1), (0, 2)])
def test_a_task_that_dealt_with_both_files_is_evidence(transferred: int, skipped: int) -> None:
    """Transferred, or skipped as equal: Globus handled both files."""
    proof = proofs.verify_task(task(files_transferred=transferred, files_skipped=skipped), request())

    assert isinstance(proof, TaskProof)
    assert (proof.task_id, proof.submission_id, proof.files_transferred, proof.files_skipped) == ("t1", "s", transferred, skipped)


@pytest.mark.parametrize(
    "broken",
    [
        {"status": "FAILED"},
        {"status": "ACTIVE"},
        {"status": "INACTIVE"},
        {"type": "DELETE"},
        {"label": "another"},
        {"label": None},
        {"source_endpoint_id": "X"},
        {"destination_endpoint_id": "X"},
        {"destination_endpoint_id": None},
        {"fatal_error": FatalError("X", "y")},
        {"verify_checksum": False},
        {"verify_checksum": None},
        {"sync_level": 0},
        {"sync_level": None},
        {"skip_source_errors": True},
        {"skip_source_errors": None},
        {"files_transferred": 1},
        {"files_transferred": 0},
        {"files_transferred": 3},
        {"files_transferred": None},
        {"files_skipped": 1},
        {"files_skipped": None},
        *({f"subtasks_{name}": count} for name in ("failed", "canceled", "expired", "skipped_errors") for count in (1, None)),
    ],
    ids=str,
)
def test_a_task_with_any_doubt_is_no_evidence(broken: dict[str, Any]) -> None:
    """One wrong or missing figure is enough."""
    assert isinstance(proofs.verify_task(task(**broken), request()), Rejection)


# --- evidence 2 ---


def remote(size: int, kind: str = "file") -> Remote:
    return Remote(name="n", type=kind, size=size)


@pytest.mark.parametrize(
    ("archive", "sidecar", "proven"),
    [
        (remote(1000), remote(50), True),
        (remote(999), remote(50), False),  # 0.1 % short: no tolerance lets it pass
        (remote(1001), remote(50), False),
        (remote(0), remote(50), False),
        (remote(1000), remote(49), False),
        (remote(1000, "dir"), remote(50), False),
        (remote(1000), remote(50, "link"), False),
        (NotFound(), remote(50), False),
        (remote(1000), NotFound(), False),
        (NotFound(), NotFound(), False),
    ],
)
def test_only_exact_sizes_of_files_are_evidence(archive: Remote | NotFound, sidecar: Remote | NotFound, proven: bool) -> None:
    """No tolerance, both names, files only."""
    answer = proofs.verify_remote(archive, sidecar, EXPECTED)

    assert answer == RemoteProof(archive_size=1000, sidecar_size=50) if proven else isinstance(answer, Rejection)


# --- evidence 3 ---

PROVEN = ContentProof(archive=Standing.REPORTED, sidecar=Standing.REPORTED, recheck_task_id="t2")


def without_recheck(proof: ContentProof) -> ContentProof:
    return msgspec.structs.replace(proof, recheck_task_id=None)


@pytest.mark.parametrize(
    "transfers",
    [
        [GOOD],
        [done(report(ARCHIVE, "MD5"), report(SIDECAR, "MD5"), req=request(Algorithm.MD5))],
        [done(report(ARCHIVE, "sha-256"), report(SIDECAR, checksum=SIDECAR.sha256.upper()))],
        # A task moved the archive and then failed at the sidecar. The next task found it equal and moved the sidecar.
        [
            done(report(ARCHIVE), view=task(status="FAILED", fatal_error=FatalError("CANCELED", ""))),
            done(report(SIDECAR), view=task(files_transferred=1, files_skipped=1)),
        ],
        [GOOD, done(view=task(files_transferred=0, files_skipped=2, bytes_transferred=0))],
        [done(report(ARCHIVE, size=None), report(SIDECAR, size=None))],
    ],
    ids=["moved", "md5", "spelling", "in two tasks", "then all skipped", "without sizes"],
)
def test_reported_digests_and_a_quiet_second_reading_are_the_proof(transfers: list[CarriedOut]) -> None:
    """Globus reported each file's digest once, and the remote was read again."""
    assert proofs.verify_content(EXPECTED, transfers, RECHECK, ALWAYS) == PROVEN
    assert isinstance(proofs.verify_content(EXPECTED, transfers, None, ALWAYS), RunRecheck)
    assert proofs.verify_content(EXPECTED, transfers, None, NEVER) == without_recheck(PROVEN)


@pytest.mark.parametrize(
    "lie",
    [
        report(ARCHIVE, checksum="00" * 32),
        report(ARCHIVE, "MD5", checksum="00" * 16),
        report(ARCHIVE, checksum=ARCHIVE.md5),  # the right digest under the wrong name
        report(ARCHIVE, size=999),
        report(ARCHIVE, None, size=999),
        report(SIDECAR, checksum="00" * 32),
    ],
)
@pytest.mark.parametrize("place", ["transfer", "older transfer", "recheck"])
def test_one_differing_report_rejects(lie: Transferred, place: str) -> None:
    """From any source: the written file is wrong, so it is removed and sent again."""
    transfers = {"transfer": [done(*GOOD.moved, lie)], "older transfer": [done(lie), GOOD], "recheck": [GOOD]}[place]
    recheck = CarriedOut(request=request(), task=recheck_task(), moved=(lie,)) if place == "recheck" else RECHECK

    answer = proofs.verify_content(EXPECTED, transfers, recheck, ALWAYS)

    assert isinstance(answer, Rejection)
    assert answer.remove_first


def test_a_move_without_a_digest_stands_on_the_external_checksum() -> None:
    """An older server confirms only that a task with our digest succeeded. This needs the second reading, even under `never`."""
    transfers = [done(report(ARCHIVE, None), report(SIDECAR, checksum=None))]

    for policy in (ALWAYS, NEVER):
        assert proofs.verify_content(EXPECTED, transfers, RECHECK, policy) == ContentProof(
            archive=Standing.ENFORCED, sidecar=Standing.ENFORCED, recheck_task_id="t2"
        )
        assert isinstance(proofs.verify_content(EXPECTED, transfers, None, policy), RunRecheck)


def test_a_written_digest_outranks_the_promise() -> None:
    """In any order, the stronger statement counts."""
    for transfers in ([done(report(ARCHIVE, None), report(SIDECAR, None)), GOOD], [GOOD, done(report(ARCHIVE, None))]):
        assert proofs.verify_content(EXPECTED, transfers, RECHECK, ALWAYS) == PROVEN


def _other_source(req: TransferRequest) -> TransferRequest:
    items = tuple(msgspec.structs.replace(item, source_path="/elsewhere") for item in req.items)
    return msgspec.structs.replace(req, items=items)


def _no_digest(req: TransferRequest) -> TransferRequest:
    return msgspec.structs.replace(req, items=tuple(msgspec.structs.replace(item, external_checksum="") for item in req.items))


@pytest.mark.parametrize(
    "transfers",
    [
        [done()],
        [done(report(SIDECAR))],
        [done(report(ARCHIVE))],
        [done(report(ARCHIVE, destination_path="/d/other"), report(SIDECAR))],
        [done(report(ARCHIVE, None), report(SIDECAR), view=task(status="FAILED"))],
        [done(report(ARCHIVE, "CRC32", checksum="x"), report(SIDECAR), view=task(status="FAILED"))],
        [done(report(ARCHIVE, None), report(SIDECAR), req=request(verify_checksum=False))],
        [done(report(ARCHIVE, None), report(SIDECAR), req=_other_source(request()))],
        [done(report(ARCHIVE, None), report(SIDECAR), req=_no_digest(request()))],
    ],
    ids=[
        "both skipped",
        "archive skipped",
        "sidecar skipped",
        "moved elsewhere",
        "failed task promises nothing",
        "unknown algorithm of a failed task",
        "moved unverified",
        "moved from elsewhere",
        "moved without our digest",
    ],
)
@pytest.mark.parametrize("policy", [ALWAYS, NEVER])
def test_a_file_nobody_vouches_for_is_sent_again(transfers: list[CarriedOut], policy: RecheckPolicy) -> None:
    """A skip says "as the source", never "as recorded". A quiet second reading cannot replace that."""
    answer = proofs.verify_content(EXPECTED, transfers, RECHECK, policy)

    assert isinstance(answer, Rejection)
    assert answer.remove_first


@pytest.mark.parametrize(
    ("broken", "repaired"),
    [
        ({"files_transferred": 1, "files_skipped": 1, "bytes_transferred": 1000}, True),
        ({"files_transferred": 1, "files_skipped": 1}, True),
        ({"bytes_transferred": 1}, True),
        ({"status": "FAILED"}, False),
        ({"files_skipped": 1}, False),
        ({"files_skipped": None}, False),
        ({"files_transferred": None}, False),
        ({"bytes_transferred": None}, False),
        ({"subtasks_skipped_errors": 1}, False),
        ({"sync_level": 1}, False),
        ({"destination_endpoint_id": "X"}, False),
        ({"request_time": "2026-11-21T10:59:59+00:00"}, False),  # the transfer ended at 11:00:00
        ({"request_time": None}, False),
        ({"request_time": "2026-11-21T11:00:00"}, False),  # without a zone it is no moment
    ],
    ids=str,
)
def test_a_second_reading_with_any_doubt_is_repeated(broken: dict[str, Any], repaired: bool) -> None:
    """It must have read both files, moved nothing, and begun after the transfer."""
    recheck = CarriedOut(request=request(), task=recheck_task(**broken), moved=())

    answer = proofs.verify_content(EXPECTED, [GOOD], recheck, ALWAYS)

    assert isinstance(answer, RunRecheck)
    assert answer.repaired is repaired


def test_a_repair_is_read_again() -> None:
    """A second reading that wrote something proves nothing, even if its digest is right."""
    recheck = CarriedOut(request=request(), task=recheck_task(), moved=(report(ARCHIVE),))

    assert proofs.verify_content(EXPECTED, [GOOD], recheck, ALWAYS) == RunRecheck(
        "The second reading (task t2) found a difference and moved 0 bytes.", repaired=True
    )


@pytest.mark.parametrize(
    "req",
    [
        request(sync_level=1),
        request(items=request().items[:1]),
        request(items=(request().items[0], request().items[0])),
        request(items=(*request().items, request().items[0])),
        _other_source(request()),
        _no_digest(request()),
    ],
    ids=["by size", "one file", "one file twice", "three", "other source", "no digest"],
)
def test_a_second_reading_of_something_else_does_not_count(req: TransferRequest) -> None:
    """It must compare both files by checksum under the recorded digests (else a damaged source could overwrite a good remote)."""
    recheck = CarriedOut(request=req, task=recheck_task(sync_level=req.sync_level), moved=())

    assert isinstance(proofs.verify_content(EXPECTED, [GOOD], recheck, ALWAYS), RunRecheck)


@pytest.mark.parametrize("recheck", [None, CarriedOut(request=request(), task=recheck_task(status="ACTIVE"), moved=())])
def test_running_tasks_are_not_judged(recheck: CarriedOut | None) -> None:
    """Asking too early is a defect, not an answer."""
    transfers = [GOOD] if recheck else []

    with pytest.raises(ValueError, match="finished"):
        proofs.verify_content(EXPECTED, transfers, recheck, ALWAYS)
