"""The state machine as the database enforces it: every edge, every role, every condition, tested on the real Postgres."""

from typing import Any
from uuid import UUID

import pytest

from shared.domain.lifecycle import (
    CANCELLABLE,
    COMPRESS_LANE,
    DELETE_LANE,
    EDGES,
    EMPTY_LANE,
    PROGRESS_FLOOR,
    TERMINAL,
    UPLOAD_LANE,
    WORKSPACE_KINDS,
    WORKSPACE_LANE,
    Edge,
    Kind,
    Role,
    Status,
    may,
    overall_percent,
)
from tests.shared.rows import ALL_KINDS, DENIED, EVIDENCE, OWNER, evidence, past_the_guard, proven, tried, uploaded
from tests.support.kernel import MANIFEST_SHA, PLACE, SHA, Kernel

S = Status
ROLES = (*Role, OWNER)
OTHER = "d" * 64

# Each target runs in a sub-transaction that is rolled back: 5,000 tries in a second or two.
TRY_TARGETS = """
CREATE FUNCTION try_targets(job uuid, targets text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  target text;
  answers text[] := '{}';
BEGIN
  FOREACH target IN ARRAY targets LOOP
    BEGIN
      UPDATE jobs SET status = target WHERE id = job;
      RAISE EXCEPTION 'undo' USING ERRCODE = CASE WHEN FOUND THEN 'CS000' ELSE 'CS999' END;
    EXCEPTION WHEN OTHERS THEN
      answers := answers || SQLSTATE::text;
    END;
  END LOOP;
  RETURN answers;
END $$"""
DONE = "CS000"

# The state of a job when an edge is tried: (archive recorded, evidence complete, other columns).
WORLDS: dict[str, tuple[bool, bool, dict[str, Any]]] = {
    "nothing made yet": (False, False, {}),
    "archive recorded": (True, False, {}),
    "proven": (True, True, {}),
    "proven, source kept": (True, True, {"keep_source": True}),
    "proven, cancel asked": (True, True, {"cancel_requested_by": "bob"}),
    "proven, deletion begun": (True, True, {"first_unlink_at": "now"}),
}


def holds(world: str, edge: Edge) -> bool:
    """Return whether the extra conditions of an archive edge (custody 2) hold in that world."""
    archive, evidence_complete, columns = WORLDS[world]
    match (edge.source, edge.target):
        case (_, S.COPYING):
            return not evidence_complete
        case (_, S.COMPRESSED | S.UPLOAD_VERIFYING):
            return archive
        case (_, S.UPLOADING):
            return archive and not evidence_complete
        case (_, S.VERIFIED):
            return evidence_complete
        case (_, S.DELETING_SOURCE):
            return evidence_complete and "keep_source" not in columns and "cancel_requested_by" not in columns
        case (S.VERIFIED, S.COMPLETED):
            return "keep_source" in columns
        case (S.DELETING_SOURCE, S.COMPLETED):
            return "first_unlink_at" in columns
        case (S.DELETING_SOURCE, S.FAILED):
            return "first_unlink_at" not in columns
    return True


# The same for workspace jobs. Only packs may delete at all.
WORKSPACE_WORLDS = ("nothing made yet", "archive recorded", "proven, source kept")


def holds_in_workspace(world: str, edge: Edge, kind: Kind) -> bool:
    """Return whether the extra conditions of a workspace edge hold: only a pack deletes, and only with a recorded archive."""
    keeps = kind is not Kind.PACK or "keep_source" in WORLDS[world][2]
    match (edge.source, edge.target):
        case (_, S.DELETING_SOURCE):
            return not keeps and WORLDS[world][0]
        case (S.VERIFYING, S.COMPLETED):
            return keeps
    return True


async def prepare(kernel: Kernel, kind: Kind, world: str) -> UUID:
    archive, evidence_complete, columns = WORLDS[world]
    kept = columns.get("keep_source", kind in WORKSPACE_KINDS and kind is not Kind.PACK)
    job = await kernel.job(kind=kind, keep_source=kept)
    if archive:
        await kernel.archive(job)
    if evidence_complete and kind is Kind.ARCHIVE:
        await evidence(kernel, job)
    await kernel.force(
        job,
        attempt=1,
        verified_attempt=1 if evidence_complete and kind is Kind.ARCHIVE else None,
        cancel_requested_by=columns.get("cancel_requested_by"),
    )
    if "first_unlink_at" in columns:
        await past_the_guard(kernel, "UPDATE jobs SET first_unlink_at = now() WHERE id = $1", job)
    return job


async def test_the_database_has_the_same_edges(kernel: Kernel) -> None:
    """Table `edges` equals shared/domain/lifecycle.py, row by row."""
    rows = await kernel.owner.fetch("SELECT kind, source, target, role, forward FROM edges")

    assert {tuple(row) for row in rows} == {(kind, e.source, e.target, e.owner, e.forward) for kind in Kind for e in EDGES[kind]}


async def test_every_pair_of_states_for_every_role(kernel: Kernel) -> None:
    """Each (kind, from, to) as each role and as the owner: legal edges pass if their conditions hold, all others are refused."""
    await kernel.owner.execute(TRY_TARGETS)
    wrong: list[str] = []
    tries = 0
    for kind in Kind:
        for world in WORLDS if kind is Kind.ARCHIVE else WORKSPACE_WORLDS:
            job = await prepare(kernel, kind, world)
            for source in Status:
                await kernel.force(job, status=source)
                targets = [target for target in Status if target is not source] + ["exploded"]
                for role in ROLES:
                    if role == OWNER:
                        answers = await kernel.owner.fetchval("SELECT try_targets($1, $2)", job, targets)
                    else:
                        async with (await kernel.db(role)).session() as session:
                            answers = await session.connection.fetchval("SELECT try_targets($1, $2)", job, targets)
                    tries += len(answers)
                    for target, answer in zip(targets, answers, strict=True):
                        edges = [e for e in EDGES[kind] if (e.source, e.target, e.owner) == (source, target, role)]
                        if not edges:
                            wanted = {"CS002"}
                        elif holds(world, edges[0]) if kind is Kind.ARCHIVE else holds_in_workspace(world, edges[0], kind):
                            wanted = {DONE}
                        else:
                            wanted = {"CS002", "CS003"}
                        if answer not in wanted:
                            wrong.append(f"{kind}, {world}: {source} -> {target} as {role}: {answer}, not {' or '.join(wanted)}")
            await kernel.force(job, status="completed")

    assert wrong == []
    assert tries == (len(WORLDS) + len(WORKSPACE_KINDS) * len(WORKSPACE_WORLDS)) * len(Status) * len(ROLES) * len(Status)


async def test_verified_and_deletion_need_three_rows_of_this_very_archive(kernel: Kernel) -> None:
    """Missing or voided evidence, or evidence about another archive, manifest or attempt, allows neither `verified` nor the deletion."""
    cases: dict[str, list[dict[str, Any]]] = {
        "no row": [],
        "two rows": [{"kinds": ("task", "remote")}],
        "another archive's digest": [{"sha": OTHER}],
        "another manifest's digest": [{"manifest_sha": OTHER}],
        "one row about another archive": [{"kinds": ("task", "remote")}, {"kinds": ("content",), "sha": OTHER}],
        "rows of two attempts": [{"kinds": ("task", "remote")}, {"kinds": ("content",), "attempt": 2}],
        "rows of another attempt than recorded": [{"attempt": 2}],
        "rows about an earlier archive": [{"archive_attempt": 3}],
        "rows about two archives": [{"kinds": ("task", "remote")}, {"kinds": ("content",), "archive_attempt": 3}],
    }
    steps = ((Role.UPLOADER, S.UPLOAD_VERIFYING, S.VERIFIED), (Role.SCANNER, S.VERIFIED, S.DELETING_SOURCE))
    answers = {}
    for name, rows in cases.items():
        for role, source, target in steps:
            job = await uploaded(kernel, status=source, verified_attempt=1)
            await kernel.archive(job, attempt=3)
            await kernel.force(job, archive_attempt=1)
            for row in rows:
                await evidence(kernel, job, **row)
            answers[name, target] = await tried(kernel, role, "UPDATE jobs SET status = $2 WHERE id = $1", job, target)
    for role, source, target in steps:
        job = await proven(kernel, status=source)
        await past_the_guard(kernel, "UPDATE verifications SET voided_at = now() WHERE job_id = $1 AND kind = 'task'", job)
        answers["a voided row", target] = await tried(kernel, role, "UPDATE jobs SET status = $2 WHERE id = $1", job, target)
    job = await proven(kernel, verified_attempt=None)
    deleting = S.DELETING_SOURCE
    answers["no recorded attempt", deleting] = await tried(
        kernel, "scanner", "UPDATE jobs SET status = $2 WHERE id = $1", job, deleting
    )

    assert answers == dict.fromkeys(answers, "CS003")
    assert len(answers) == 2 * (len(cases) + 1) + 1


async def test_verified_records_whose_evidence_counts(kernel: Kernel) -> None:
    """The database records the attempt of the evidence, and also that the local archive is gone."""
    job = await proven(kernel, status="upload_verifying", attempt=4, verified_attempt=None, archive_path="/archives/x")

    assert await tried(kernel, "uploader", "UPDATE jobs SET status = 'verified' WHERE id = $1", job) == "ok"
    row = await kernel.row(job)
    assert (row["verified_attempt"], row["archive_path"]) == (1, None)


async def test_the_proven_archive_is_not_exchanged(kernel: Kernel) -> None:
    """With complete evidence the recorded archive cannot change. Without an archives row none can be recorded."""
    job = await proven(kernel, status="compressing")
    await kernel.archive(job, attempt=2)
    await kernel.force(job, archive_attempt=1)

    assert await tried(kernel, "compressor", "UPDATE jobs SET archive_attempt = 2 WHERE id = $1", job) == "CS003"

    other = await uploaded(kernel)
    assert await tried(kernel, "compressor", "UPDATE jobs SET archive_attempt = 7 WHERE id = $1", other) == "CS001"
    assert (
        await tried(kernel, "compressor", "UPDATE jobs SET status = 'copying', archive_attempt = 7 WHERE id = $1", other) == "CS001"
    )


async def test_copying_forgets_the_earlier_archive(kernel: Kernel) -> None:
    """Entering `copying` clears the columns of earlier attempts, so that old and new data cannot mix."""
    job = await uploaded(kernel, status="queued", verified_attempt=1)
    await kernel.force(job, archive_path="/a", archive_size_bytes=5)

    assert await tried(kernel, "compressor", "UPDATE jobs SET status = 'copying' WHERE id = $1", job) == "ok"
    row = await kernel.row(job)
    assert (row["archive_attempt"], row["verified_attempt"], row["archive_path"], row["archive_size_bytes"]) == (None,) * 4


async def test_the_gateway_cancels_only_what_nobody_works_on(kernel: Kernel) -> None:
    """A live lease refuses the gateway's cancel in each of its states. An expired or missing lease does not."""
    for status in ("queued", "compressed", "verified"):
        job = await uploaded(kernel, status=status, lease_owner="x")
        await kernel.owner.execute("UPDATE jobs SET lease_until = now() + interval '1 minute' WHERE id = $1", job)
        assert await tried(kernel, "gateway", "UPDATE jobs SET status = 'cancelled' WHERE id = $1", job) == "CS002", status

        await kernel.owner.execute("UPDATE jobs SET lease_until = now() - interval '1 s' WHERE id = $1", job)
        assert await tried(kernel, "gateway", "UPDATE jobs SET status = 'cancelled' WHERE id = $1", job) == "ok", status


async def test_a_deletion_that_has_begun_is_written_once_and_never_fails(kernel: Kernel) -> None:
    """first_unlink_at is set only while deleting and only once. After that the job cannot fail, be cancelled or go back."""
    job = await proven(kernel)
    begin = "UPDATE jobs SET first_unlink_at = now() WHERE id = $1"
    assert await tried(kernel, "scanner", begin, job) == "CS001"
    assert (
        await tried(kernel, "scanner", "UPDATE jobs SET status = 'deleting_source', first_unlink_at = now() WHERE id = $1", job)
        == "CS001"
    )
    assert await tried(kernel, "scanner", "UPDATE jobs SET status = 'deleting_source' WHERE id = $1", job) == "ok"
    assert await tried(kernel, "scanner", "UPDATE jobs SET status = 'completed' WHERE id = $1", job) == "CS002"
    assert (
        await tried(kernel, "scanner", "UPDATE jobs SET status = 'failed', first_unlink_at = now() WHERE id = $1", job) == "CS001"
    )
    assert await tried(kernel, "scanner", begin, job) == "ok"
    for change in ("now() + interval '1 s'", "NULL"):
        assert await tried(kernel, "scanner", f"UPDATE jobs SET first_unlink_at = {change} WHERE id = $1", job) == "CS001", change
    for status in ("failed", "cancelled", "verified", "queued"):
        for role in Role:
            answer = await tried(kernel, role, "UPDATE jobs SET status = $2 WHERE id = $1", job, status)
            assert answer in {"CS002", "CS003"}, (status, role)
    assert await tried(kernel, "scanner", "UPDATE jobs SET attempt = attempt + 1 WHERE id = $1", job) == "ok"
    assert await tried(kernel, "scanner", "UPDATE jobs SET status = 'completed' WHERE id = $1", job) == "ok"


# Columns that no role may write by hand: statement -> the result for each role (the owner's last).
BY_HAND = {
    "attempt = attempt + 2": ("CS001", "CS001", "CS001", DENIED, "CS001"),
    "attempt = attempt - 1": ("CS001", "CS001", "CS001", DENIED, "CS001"),
    "version = version + 1": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "id = gen_random_uuid()": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "kind = 'pack'": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "folder_name = 'x'": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "source_path = '/nas/One/Two/x'": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "source_device = 1": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "source_inode = 1": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "destination_path = '/x'": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "keep_source = true": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "created_by = 'eve'": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "created_at = now()": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "verified_attempt = 9": (DENIED, DENIED, "CS001", DENIED, "CS001"),
    "first_unlink_at = now()": ("CS001", "CS001", DENIED, DENIED, "CS001"),
    "request = '{}'": (DENIED, DENIED, DENIED, DENIED, "CS001"),
    "archive_attempt = 9": (DENIED, "CS001", DENIED, DENIED, "CS001"),
    "cancel_requested_by = NULL": (DENIED, DENIED, DENIED, "ok", "ok"),
}


async def test_columns_that_nobody_writes_by_hand(kernel: Kernel) -> None:
    """A job's subject never changes. attempt goes up by one. version, proof and first unlink have one writer each."""
    job = await uploaded(kernel)
    answers = {
        change: tuple([await tried(kernel, role, f"UPDATE jobs SET {change} WHERE id = $1", job) for role in ROLES])
        for change in BY_HAND
    }

    assert answers == BY_HAND


async def test_history_is_never_deleted_or_rewritten(kernel: Kernel) -> None:
    """jobs, job_logs, archives, verifications, destinations: no role may delete from them or empty them, not even the owner."""
    job = await proven(kernel)
    answers = {}
    for table in ("jobs", "job_logs", "archives", "verifications", "destinations"):
        for role in ROLES:
            for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
                answers[statement, role] = await tried(kernel, role, statement)
    for statement in (
        "UPDATE job_logs SET message = 'nothing happened'",
        f"UPDATE archives SET sha256 = '{OTHER}'",
        f"UPDATE verifications SET archive_sha256 = '{OTHER}'",
        "UPDATE verifications SET evidence = '{\"forged\": true}'",
        "UPDATE verifications SET attempt = 2",
    ):
        for role in ROLES:
            answers[statement, role] = await tried(kernel, role, statement)

    assert {key: answer for key, answer in answers.items() if answer != ("CS001" if key[1] == OWNER else DENIED)} == {}
    assert (await kernel.row(job))["status"] == "verified"


async def test_nobody_forges_events_evidence_or_log_lines(kernel: Kernel) -> None:
    """Only the trigger writes the outbox.

    Only the uploader writes evidence, in its state and attempt. No log line imitates a transition.
    """
    job = await uploaded(kernel, status="uploading")
    columns = "(job_id, attempt, kind, archive_attempt, archive_sha256, manifest_sha256, evidence)"
    row = f"INSERT INTO verifications {columns} VALUES ($1, 1, 'task', 1, '{SHA}', '{MANIFEST_SHA}', '{{}}')"
    event = "INSERT INTO outbox (job_id, version, subject, payload) VALUES ($1, 99, 'job.verified', '{}')"
    line = "INSERT INTO job_logs (job_id, level, action, message) VALUES ($1, 'INFO', 'transition', 'queued -> verified')"
    late = "INSERT INTO job_logs (job_id, at, level, action, message) VALUES ($1, now() - interval '1 day', 'INFO', 'x', 'x')"
    plain = "INSERT INTO job_logs (job_id, level, action, message) VALUES ($1, 'INFO', 'looked', 'Looked.')"
    archive = f"INSERT INTO archives VALUES ($1, 1, '/a', 5, '{SHA}', '{'c' * 32}', 7, '{SHA}', '{'c' * 32}', 'm', 1, 1)"
    for role in Role:
        assert await tried(kernel, role, event, job) == DENIED, role
        for change in ("payload = '{}'", "subject = 'job.verified'", "id = DEFAULT"):
            assert await tried(kernel, role, f"UPDATE outbox SET {change}") == DENIED, (role, change)
        assert await tried(kernel, role, "DELETE FROM outbox") == DENIED, role
        assert await tried(kernel, role, line, job) == "CS001", role
        assert await tried(kernel, role, late, job) == DENIED, role
        assert await tried(kernel, role, plain, job) == "ok", role
        assert await tried(kernel, role, row, job) == ("CS003" if role is Role.UPLOADER else DENIED), role
        assert await tried(kernel, role, archive, job) == ("CS001" if role is Role.COMPRESSOR else DENIED), role


async def test_evidence_is_taken_only_about_the_archive_in_hand(kernel: Kernel) -> None:
    """Another attempt, archive, manifest or digest is refused. The right one is accepted, and a NULL void stays NULL."""
    job = await uploaded(kernel, attempt=2)
    await kernel.archive(job, attempt=2)
    await kernel.force(job, archive_attempt=1)
    statement = EVIDENCE
    cases = {
        "an old attempt": (1, "task", 1, SHA, MANIFEST_SHA),
        "a coming attempt": (3, "task", 1, SHA, MANIFEST_SHA),
        "an archive that does not count": (2, "task", 2, SHA, MANIFEST_SHA),
        "another digest": (2, "task", 1, OTHER, MANIFEST_SHA),
        "another manifest": (2, "task", 1, SHA, OTHER),
    }
    answers = {name: await tried(kernel, "uploader", statement, job, *values) for name, values in cases.items()}
    assert answers == dict.fromkeys(cases, "CS003")
    assert await tried(kernel, "uploader", statement, job, 2, "guess", 1, SHA, MANIFEST_SHA) == "23514"

    for kind in ALL_KINDS:
        assert await tried(kernel, "uploader", statement, job, 2, kind, 1, SHA, MANIFEST_SHA) == "ok"
    assert await kernel.owner.fetchval("SELECT complete_evidence($1)", job) == 2


async def test_evidence_is_taken_only_about_the_place_that_the_job_holds(kernel: Kernel) -> None:
    """Another collection, another base path or no place at all is refused. Rows without a place prove nothing."""
    job = await uploaded(kernel)
    places = {"another collection": ("other", "/tape"), "another base path": (PLACE.endpoint, "/disk")}
    statement = EVIDENCE.replace("(SELECT place FROM destinations WHERE job_id = $1 ORDER BY since DESC LIMIT 1)", "$7::integer")
    for name, (endpoint, base) in places.items():
        insert = "INSERT INTO remote_places (endpoint, base_path) VALUES ($1, $2) RETURNING id"
        place = await kernel.owner.fetchval(insert, endpoint, base)
        assert await tried(kernel, "uploader", statement, job, 1, "task", 1, SHA, MANIFEST_SHA, place) == "CS003", name
    assert await tried(kernel, "uploader", statement, job, 1, "task", 1, SHA, MANIFEST_SHA, None) == "CS003"

    for kind in ALL_KINDS:
        await past_the_guard(kernel, statement, job, 1, kind, 1, SHA, MANIFEST_SHA, None)
    assert await kernel.owner.fetchval("SELECT complete_evidence($1)", job) is None


async def test_a_job_begins_as_queued(kernel: Kernel) -> None:
    """Not even the gateway can insert a job in a later state."""
    for column, value in (
        ("status", "'verified'"),
        ("attempt", "1"),
        ("version", "5"),
        ("verified_attempt", "1"),
        ("first_unlink_at", "now()"),
    ):
        statement = (
            f"INSERT INTO jobs (folder_name, source_path, destination_path, created_by, {column})"
            f" VALUES ('x', '/nas/One/Two/{column}', '/x', 'eve', {value})"
        )
        assert await tried(kernel, "gateway", statement) == "CS001", column
    for path in ("relative", "/nas/../etc", "/nas//x", "/nas/x/", "/nas/./x"):
        statement = "INSERT INTO jobs (folder_name, source_path, destination_path, created_by) VALUES ('x', $1, '/x', 'eve')"
        assert await tried(kernel, "gateway", statement, path) == "23514", path
    for role in (Role.SCANNER, Role.COMPRESSOR, Role.UPLOADER):
        assert await tried(kernel, role, "INSERT INTO jobs (folder_name) VALUES ('x')") == DENIED


async def test_one_live_job_per_source_and_per_folder(kernel: Kernel) -> None:
    """A second live job for the same path, or for the same folder under another path, is refused. A finished one is no obstacle."""
    insert = (
        "INSERT INTO jobs (folder_name, source_path, source_device, source_inode, destination_path, created_by)"
        " VALUES ('x', $1, 5, $2, '/x', 'ada')"
    )
    assert await tried(kernel, "gateway", insert, "/nas/One/Two/x", 7) == "ok"
    first = await kernel.owner.fetchval("SELECT id FROM jobs")
    for status in Status:
        await kernel.force(first, status=status)
        if status in TERMINAL:
            continue
        assert await tried(kernel, "gateway", insert, "/nas/One/Two/x", 8) == "23505", status
        assert await tried(kernel, "gateway", insert, "/nas/One/Two/alias", 7) == "23505", status

    for n, status in enumerate(TERMINAL):
        await kernel.force(first, status=status)
        assert await tried(kernel, "gateway", insert, "/nas/One/Two/x", 7) == "ok", status
        await past_the_guard(kernel, "UPDATE jobs SET status = 'completed', source_inode = $2 WHERE id <> $1", first, 100 + n)
    # A manual retry cannot create a second live job either.
    await kernel.force(first, status="failed")
    assert await tried(kernel, "gateway", insert, "/nas/One/Two/x", 7) == "ok"
    assert await tried(kernel, "gateway", "UPDATE jobs SET status = 'queued' WHERE id = $1", first) == "23505"


async def test_progress_never_goes_back_within_an_attempt(kernel: Kernel) -> None:
    """Lower figures are ignored, a new attempt starts over, and 100 comes only with `completed`."""
    job = await proven(kernel, status="deleting_source")
    await past_the_guard(kernel, "UPDATE jobs SET first_unlink_at = now() WHERE id = $1", job)

    async def write(change: str) -> int:
        assert await tried(kernel, "scanner", f"UPDATE jobs SET {change} WHERE id = $1", job) == "ok"
        return int((await kernel.row(job))["progress_percent"])

    assert await write("progress_percent = 40") == 40
    assert await write("progress_percent = 30") == 40
    assert await write("progress_percent = 100") == 99
    assert await write("attempt = attempt + 1, progress_percent = 95") == 95
    assert await write("status = 'completed', progress_percent = 0") == 100


async def test_a_manual_retry_starts_over_and_forward_edges_forgive_crashes(kernel: Kernel) -> None:
    """Failed -> queued resets budgets, reasons and cancel. A forward edge resets the crash count. Terminal states release the lease."""
    job = await kernel.job()
    spent = {"retry_count": 3, "connection_retry_count": 2, "crash_count": 4}
    await kernel.force(job, status="failed", attempt=4, error_message="no", cancel_requested_by="bob", progress_percent=70, **spent)

    assert await tried(kernel, "gateway", "UPDATE jobs SET status = 'queued' WHERE id = $1", job) == "ok"
    row = await kernel.row(job)
    assert [row[name] for name in (*spent, "error_message", "cancel_requested_by", "progress_percent", "attempt")] == [
        0,
        0,
        0,
        None,
        None,
        0,
        4,
    ]

    await kernel.force(job, crash_count=4, wait_reason="no space", missing_bytes=5)
    assert await tried(kernel, "compressor", "UPDATE jobs SET status = 'copying' WHERE id = $1", job) == "ok"
    row = await kernel.row(job)
    assert (row["crash_count"], row["wait_reason"], row["missing_bytes"]) == (0, None, None)

    await kernel.force(job, lease_owner="x", crash_count=4)
    assert await tried(kernel, "compressor", "UPDATE jobs SET status = 'queued' WHERE id = $1", job) == "ok"
    assert (await kernel.row(job))["crash_count"] == 4
    assert await tried(kernel, "compressor", "UPDATE jobs SET status = 'failed' WHERE id = $1", job) == "ok"
    row = await kernel.row(job)
    assert (row["lease_owner"], row["completed_at"] is None) == (None, False)


async def test_every_transition_is_one_event_and_one_log_line(kernel: Kernel) -> None:
    """Versions count from 1 without gaps. A refused transition writes neither."""
    job = await kernel.job()
    await tried(kernel, "compressor", "UPDATE jobs SET status = 'copying' WHERE id = $1", job)
    await tried(kernel, "scanner", "UPDATE jobs SET status = 'verified' WHERE id = $1", job)
    await tried(kernel, "compressor", "UPDATE jobs SET status = 'failed', error_message = 'a socket' WHERE id = $1", job)

    events = await kernel.owner.fetch(
        "SELECT version, subject, payload ->> 'id' AS id FROM outbox WHERE job_id = $1 ORDER BY id", job
    )
    assert [tuple(e) for e in events] == [(n, f"job.{s}", f"{job}:{n}") for n, s in enumerate(("queued", "copying", "failed"), 1)]
    lines = await kernel.owner.fetch("SELECT level, message FROM job_logs WHERE job_id = $1 ORDER BY id", job)
    assert [tuple(line) for line in lines] == [
        ("INFO", "Queued by ada."),
        ("INFO", "queued -> copying"),
        ("ERROR", "Failed: a socket"),
    ]


def test_lanes_and_tables_agree_with_the_edges() -> None:
    """Each lane's retry edge exists and belongs to its role. Every live state has a floor. `may` reads the table."""
    for lane in (COMPRESS_LANE, UPLOAD_LANE, DELETE_LANE, WORKSPACE_LANE, EMPTY_LANE):
        for kind, working in [(kind, working) for kind in lane.kinds for working in lane.working]:
            assert working == lane.back or may(kind, working, lane.back, lane.role), (lane.name, kind, working)
    archive_states = {status for edge in EDGES[Kind.ARCHIVE] for status in (edge.source, edge.target)}
    assert archive_states - TERMINAL | {S.RUNNING} <= set(PROGRESS_FLOOR)
    assert set(Status) - TERMINAL - CANCELLABLE == {S.DELETING_SOURCE}
    assert not may(Kind.ARCHIVE, S.QUEUED, S.COPYING, Role.GATEWAY)


@pytest.mark.parametrize(
    ("status", "fraction", "percent"),
    [
        (S.QUEUED, None, 0),
        (S.COPYING, 0.5, 16),  # 0 + 33 * 0.5
        (S.COMPRESSING, 1.0, 66),
        (S.COMPRESSING, 7.0, 66),  # never beyond its stage
        (S.VERIFYING, -1.0, 66),
        (S.UPLOADING, 0.5, 80),  # 75 + 10 * 0.5
        (S.DELETING_SOURCE, 1.0, 99),  # only completed has 100
        (S.COMPLETED, None, 100),
        (S.FAILED, None, 0),
    ],
)
def test_overall_percent(status: Status, fraction: float | None, percent: int) -> None:
    """Each stage has its part of the progress bar."""
    assert overall_percent(status, fraction) == percent
