"""Who may write to a remote path. Proof and writing exclude each other in either order."""

import asyncio
import unicodedata
from uuid import UUID

import asyncpg
import pytest

from shared.infra.db import Database
from tests.shared.rows import ALL_KINDS, DENIED, EVIDENCE, TASK, evidence, past_the_guard, proven, tried, uploaded
from tests.support.kernel import MANIFEST_SHA, PLACE, SHA, Kernel, eventually

HOLD = "INSERT INTO destinations (key, path, job_id, state) VALUES ($1, $2, $3, 'held')"
SET_STATE = "UPDATE destinations SET state = $2 WHERE job_id = $1"
Statement = tuple[object, ...]  # the SQL and its arguments
END_TASKS = "UPDATE globus_tasks SET ended_at = now() WHERE job_id = $1"


def key(path: str) -> str:
    """Return the key as custody 3 defines it."""
    return unicodedata.normalize("NFC", path).casefold()


async def state(kernel: Kernel, job: UUID) -> str:
    return str(await kernel.owner.fetchval("SELECT state FROM destinations WHERE job_id = $1", job))


async def voided(kernel: Kernel, job: UUID) -> list[bool]:
    rows = await kernel.owner.fetch("SELECT voided_at IS NOT NULL AS v FROM verifications WHERE job_id = $1", job)
    return [row["v"] for row in rows]


async def test_names_that_a_destination_may_take_for_one_are_one_claim(kernel: Kernel) -> None:
    """Upper and lower case, NFC and NFD, ß and SS: the second job is refused."""
    for first, second in (
        ("/A/B/Folder.tar.7z", "/a/b/FOLDER.tar.7z"),
        ("/A/B/café.tar.7z", "/A/B/cafe\u0301.tar.7z"),
        ("/A/B/Straße.tar.7z", "/A/B/STRASSE.tar.7z"),
    ):
        await kernel.job(destination_path=first)
        with pytest.raises(asyncpg.UniqueViolationError):
            await kernel.job(destination_path=second)


async def test_a_released_destination_can_be_had_again_and_no_other(kernel: Kernel) -> None:
    """Held, removing and verified belong to their job. After `released`, another job takes the same row."""
    one, two = await kernel.job(), await kernel.job(destination_path="/other")
    take = "UPDATE destinations SET job_id = $2, path = '/taken', state = 'held' WHERE job_id = $1 AND key <> '/other'"
    for held in ("held", "removing", "verified"):
        await past_the_guard(kernel, SET_STATE, one, held)
        assert await tried(kernel, "gateway", take, one, two) == "CS001", held
    await past_the_guard(kernel, SET_STATE, one, "released")

    assert await tried(kernel, "gateway", take, one, two) == "ok"
    assert await kernel.owner.fetchval("SELECT count(*) FROM destinations WHERE job_id = $1", two) == 2


async def test_a_destination_knows_its_ways(kernel: Kernel) -> None:
    """Only the listed steps. The key never changes, the path only with a new holder. Rows begin as held and are never deleted."""
    job = await uploaded(kernel)
    steps = {}
    for before in ("held", "removing", "released", "verified"):
        for after in ("held", "removing", "released", "verified"):
            await past_the_guard(kernel, SET_STATE, job, before)
            if before != after:
                steps[before, after] = await tried(kernel, "uploader", SET_STATE, job, after)
    allowed = {step for step, answer in steps.items() if answer == "ok"}
    assert allowed == {
        ("held", "removing"),
        ("held", "released"),
        ("removing", "released"),
        ("removing", "held"),
        ("released", "held"),
        ("verified", "released"),  # no evidence counts here; the admin's release below covers the other case
    }
    assert steps["held", "verified"] == "CS003"  # a legal step without its proof

    await past_the_guard(kernel, SET_STATE, job, "held")
    assert await tried(kernel, "gateway", "UPDATE destinations SET key = 'x' WHERE job_id = $1", job) == "CS001"
    assert await tried(kernel, "gateway", "UPDATE destinations SET path = 'x' WHERE job_id = $1", job) == "CS001"
    assert await tried(kernel, "uploader", "UPDATE destinations SET job_id = job_id WHERE job_id = $1", job) == DENIED
    for begin in ("removing", "released", "verified"):
        statement = "INSERT INTO destinations (key, path, job_id, state) VALUES ($2, $2, $1, $3)"
        assert await tried(kernel, "gateway", statement, job, f"/{begin}", begin) == "CS001"
    for role in ("scanner", "compressor", "uploader"):
        assert await tried(kernel, role, HOLD, "/x", "/x", job) == DENIED


async def test_the_third_row_makes_the_destination_the_jobs_for_ever(kernel: Kernel) -> None:
    """Two rows leave it held. The third makes it verified: no role can change that or submit a writing task."""
    job = await uploaded(kernel)
    for kind, then in zip(ALL_KINDS, ("held", "held", "verified"), strict=True):
        assert await tried(kernel, "uploader", EVIDENCE, job, 1, kind, 1, SHA, MANIFEST_SHA) == "ok"
        assert await state(kernel, job) == then

    for status in ("verified", "failed", "cancelled", "queued"):  # the rule checks the rows, not the state
        await kernel.force(job, status=status)
        for after in ("held", "removing", "released"):
            for role in ("gateway", "uploader", "owner"):
                assert await tried(kernel, role, SET_STATE, job, after) in {"CS001", "CS003"}, (status, after, role)
        for purpose in ("transfer", "recheck", "removal"):
            assert await tried(kernel, "uploader", TASK, job, purpose, None) == "CS003", (status, purpose)


async def test_complete_evidence_refuses_a_removal_in_every_state_of_the_row(kernel: Kernel) -> None:
    """Even a destination that was forced into another state is not released or removed while the proof is valid."""
    job = await proven(kernel)
    for before in ("held", "removing"):
        await past_the_guard(kernel, SET_STATE, job, before)
        for purpose in ("transfer", "removal"):
            assert await tried(kernel, "uploader", TASK, job, purpose, None) == "CS003", (before, purpose)
        for after in {"removing", "released"} - {before}:
            assert await tried(kernel, "uploader", SET_STATE, job, after) == "CS003", (before, after)


async def test_starting_to_write_voids_older_evidence_in_the_same_transaction(kernel: Kernel) -> None:
    """A removal or another transfer voids the existing rows. After a rollback they count again. A recheck leaves them."""
    for purpose, begin, void in (("removal", "removing", True), ("transfer", "held", True), ("recheck", "held", False)):
        job = await uploaded(kernel)
        await evidence(kernel, job, ("task", "remote"))
        if begin != "held":
            assert await tried(kernel, "uploader", SET_STATE, job, begin) == "ok"
        db = await kernel.db("uploader")

        async def begun_and_undone(db: Database = db, job: UUID = job, purpose: str = purpose) -> None:
            async with db.transaction() as session:
                await session.connection.execute(TASK, job, purpose, None)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await begun_and_undone()
        assert await voided(kernel, job) == [False, False]

        assert await tried(kernel, "uploader", TASK, job, purpose, None) == "ok"
        assert await voided(kernel, job) == [void, void], purpose
        if void:
            unvoid = "UPDATE verifications SET voided_at = NULL WHERE job_id = $1"
            assert await tried(kernel, "uploader", unvoid, job) == DENIED
            assert await tried(kernel, "owner", unvoid, job) == "CS001"


async def test_a_task_needs_the_destination_in_its_state_and_the_attempt_at_work(kernel: Kernel) -> None:
    """Transfers and rechecks need `held`, removals `removing`. Another job's path and an old attempt are refused."""
    wanted = {"transfer": "held", "recheck": "held", "removal": "removing"}
    for purpose, right in wanted.items():
        for now in ("held", "removing", "released", "verified"):
            job = await uploaded(kernel)
            await past_the_guard(kernel, SET_STATE, job, now)
            assert await tried(kernel, "uploader", TASK, job, purpose, None) == ("ok" if now == right else "CS003"), (purpose, now)

    job, other = await uploaded(kernel, attempt=4), await uploaded(kernel)
    for purpose in ("transfer", "recheck"):
        for attempt in (3, 5):
            assert await tried(kernel, "uploader", TASK, job, purpose, attempt) == "CS003"
    stolen = (
        "INSERT INTO globus_tasks (submission_id, job_id, attempt, purpose, destination_key, request)"
        " SELECT gen_random_uuid(), $1, 1, 'transfer', key, '{}' FROM destinations WHERE job_id = $2"
    )
    assert await tried(kernel, "uploader", stolen, other, job) == "CS003"
    for role in ("scanner", "compressor", "gateway"):
        assert await tried(kernel, role, TASK, job, "transfer", None) == DENIED


async def test_one_open_task_per_destination(kernel: Kernel) -> None:
    """A path gets no new id until all its older tasks have ended. Until then it is neither released nor held again."""
    job = await uploaded(kernel)
    assert await tried(kernel, "uploader", TASK, job, "transfer", None) == "ok"
    assert await tried(kernel, "uploader", TASK, job, "transfer", None) == "23505"
    assert await tried(kernel, "uploader", TASK, job, "recheck", None) == "23505"
    assert await tried(kernel, "uploader", SET_STATE, job, "released") == "CS003"
    assert await tried(kernel, "uploader", SET_STATE, job, "removing") == "ok"
    assert await tried(kernel, "uploader", TASK, job, "removal", None) == "23505"
    for after in ("held", "released"):
        assert await tried(kernel, "uploader", SET_STATE, job, after) == "CS003"

    assert await tried(kernel, "uploader", END_TASKS, job) == "ok"
    assert await tried(kernel, "uploader", TASK, job, "removal", None) == "ok"
    assert await tried(kernel, "uploader", SET_STATE, job, "released") == "CS003"
    assert await tried(kernel, "uploader", END_TASKS, job) == "ok"
    assert await tried(kernel, "uploader", SET_STATE, job, "released") == "ok"


async def test_what_was_submitted_never_changes(kernel: Kernel) -> None:
    """Identity and request of a task are fixed, a known task id stays, an ended task cannot reopen, none is deleted."""
    job = await uploaded(kernel)
    assert await tried(kernel, "uploader", TASK, job, "transfer", None) == "ok"
    for change in (
        "submission_id = gen_random_uuid()",
        "job_id = gen_random_uuid()",
        "purpose = 'removal'",
        "request = '[]'",
        "destination_key = 'x'",
    ):
        assert await tried(kernel, "uploader", f"UPDATE globus_tasks SET {change}") == "CS001", change
    assert await tried(kernel, "uploader", "UPDATE globus_tasks SET task_id = 'a', status = 'ACTIVE'") == "ok"
    assert await tried(kernel, "uploader", "UPDATE globus_tasks SET task_id = 'b'") == "CS001"
    assert await tried(kernel, "uploader", "UPDATE globus_tasks SET task_id = NULL") == "CS001"
    assert await tried(kernel, "uploader", END_TASKS, job) == "ok"
    assert await tried(kernel, "uploader", "UPDATE globus_tasks SET ended_at = NULL") == "CS001"
    assert await tried(kernel, "uploader", "DELETE FROM globus_tasks") == DENIED


async def test_no_evidence_while_a_task_is_changing_the_destination(kernel: Kernel) -> None:
    """An open transfer refuses every row. An open recheck refuses the row that would complete the proof."""
    job = await uploaded(kernel)
    assert await tried(kernel, "uploader", TASK, job, "transfer", None) == "ok"
    assert await tried(kernel, "uploader", EVIDENCE, job, 1, "task", 1, SHA, MANIFEST_SHA) == "CS003"
    assert await tried(kernel, "uploader", END_TASKS, job) == "ok"
    assert await tried(kernel, "uploader", EVIDENCE, job, 1, "task", 1, SHA, MANIFEST_SHA) == "ok"

    assert await tried(kernel, "uploader", TASK, job, "recheck", None) == "ok"
    assert await tried(kernel, "uploader", EVIDENCE, job, 1, "remote", 1, SHA, MANIFEST_SHA) == "ok"
    assert await tried(kernel, "uploader", EVIDENCE, job, 1, "content", 1, SHA, MANIFEST_SHA) == "CS003"
    assert await tried(kernel, "uploader", END_TASKS, job) == "ok"
    assert await tried(kernel, "uploader", EVIDENCE, job, 1, "content", 1, SHA, MANIFEST_SHA) == "ok"
    assert await state(kernel, job) == "verified"


class Racer:
    """A transaction of the uploader or gateway that is held open until released."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.transaction = connection.transaction()

    async def run(self, statements: list[Statement]) -> str:
        try:
            for statement, *args in statements:
                await self.connection.execute(str(statement), *args)
        except asyncpg.PostgresError as exc:
            await self.transaction.rollback()
            return str(exc.sqlstate)
        return "ok"


async def race(kernel: Kernel, first: tuple[str, list[Statement]], second: tuple[str, list[Statement]]) -> tuple[str, str, bool]:
    """Run `first`, then `second` while `first` is uncommitted, then commit. Return both results and whether the second waited."""
    racers = [Racer(await asyncpg.connect(kernel.url(role))) for role in (first[0], second[0])]
    try:
        for racer in racers:
            await racer.transaction.start()
        one = await racers[0].run(first[1])
        pid = racers[1].connection.get_server_pid()
        other = asyncio.ensure_future(racers[1].run(second[1]))

        async def settled() -> tuple[bool, bool]:
            waits = await kernel.owner.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", pid)
            return other.done(), bool(waits)

        done, waited = await eventually(settled, any, "the second transaction to end or to wait")
        if one == "ok":
            await racers[0].transaction.commit()
        two = await asyncio.wait_for(other, 60)
        if two == "ok":
            await racers[1].transaction.commit()
        return one, two, waited and not done
    finally:
        for racer in racers:
            await racer.connection.close()


def third_row(job: UUID) -> tuple[str, list[Statement]]:
    return ("uploader", [(EVIDENCE, job, 1, "content", 1, SHA, MANIFEST_SHA)])


@pytest.mark.parametrize("purpose", ["removal", "transfer"])
@pytest.mark.parametrize("evidence_first", [True, False])
async def test_the_third_row_and_a_writing_task_never_both(kernel: Kernel, purpose: str, evidence_first: bool) -> None:
    """Two open transactions, both orders: the second waits for the first and is then refused."""
    job = await uploaded(kernel)
    await evidence(kernel, job, ("task", "remote"))
    begin: list[Statement] = [(SET_STATE, job, "removing")] if purpose == "removal" else []
    write = ("uploader", [*begin, (TASK, job, purpose, None)])

    one, two, waited = await race(kernel, *((third_row(job), write) if evidence_first else (write, third_row(job))))

    assert waited
    assert one == "ok"
    assert two in {"CS001", "CS003"}
    complete = await kernel.owner.fetchval("SELECT complete_evidence($1)", job)
    tasks = await kernel.owner.fetchval("SELECT count(*) FROM globus_tasks WHERE job_id = $1", job)
    assert (complete, tasks, await state(kernel, job)) == (
        (1, 0, "verified") if evidence_first else (None, 1, "removing" if purpose == "removal" else "held")
    )


@pytest.mark.parametrize("evidence_first", [True, False])
async def test_the_third_row_and_a_cancel_never_both(kernel: Kernel, evidence_first: bool) -> None:
    """Cancel first: the row is refused. Row first: the cancel waits and ends the job, and the proven file keeps its destination."""
    job = await uploaded(kernel)
    await evidence(kernel, job, ("task", "remote"))
    cancel: tuple[str, list[Statement]] = ("uploader", [("UPDATE jobs SET status = 'cancelled' WHERE id = $1", job)])

    one, two, waited = await race(kernel, *((third_row(job), cancel) if evidence_first else (cancel, third_row(job))))

    assert waited
    assert (one, two) == ("ok", "ok" if evidence_first else "CS003")
    assert (await kernel.row(job))["status"] == "cancelled"
    complete = await kernel.owner.fetchval("SELECT complete_evidence($1)", job)
    assert (complete, await state(kernel, job)) == ((1, "verified") if evidence_first else (None, "held"))
    assert (await tried(kernel, "uploader", SET_STATE, job, "removing") == "ok") is not evidence_first


@pytest.mark.parametrize("claim_first", [True, False])
async def test_a_row_of_the_old_attempt_and_a_takeover_never_both(kernel: Kernel, claim_first: bool) -> None:
    """A worker that loses its job adds no evidence once the new attempt is committed."""
    job = await uploaded(kernel)
    await evidence(kernel, job, ("task", "remote"))
    claim: tuple[str, list[Statement]] = ("uploader", [("UPDATE jobs SET attempt = attempt + 1 WHERE id = $1", job)])

    one, two, waited = await race(kernel, *((claim, third_row(job)) if claim_first else (third_row(job), claim)))

    assert waited
    assert (one, two) == ("ok", "CS003" if claim_first else "ok")


async def test_two_claims_of_one_name_at_the_same_time(kernel: Kernel) -> None:
    """Two requests for equivalent names: one waits and is refused."""
    one, two = await kernel.job(), await kernel.job()
    first: tuple[str, list[Statement]] = ("gateway", [(HOLD, key("/A/Café"), "/A/Café", one)])
    second: tuple[str, list[Statement]] = ("gateway", [(HOLD, key("/a/CAFE\u0301"), "/a/CAFE\u0301", two)])

    assert await race(kernel, first, second) == ("ok", "23505", True)


async def test_a_proof_that_was_voided_can_be_made_again_by_the_next_attempt(kernel: Kernel) -> None:
    """Removed, held again, sent again: only rows of the new attempt count."""
    job = await uploaded(kernel)
    await evidence(kernel, job, ("task", "remote"))
    assert await tried(kernel, "uploader", SET_STATE, job, "removing") == "ok"
    assert await tried(kernel, "uploader", TASK, job, "removal", None) == "ok"
    assert await tried(kernel, "uploader", END_TASKS, job) == "ok"
    assert await tried(kernel, "uploader", SET_STATE, job, "held") == "ok"
    assert await tried(kernel, "uploader", EVIDENCE, job, 1, "content", 1, SHA, MANIFEST_SHA) == "ok"
    assert await kernel.owner.fetchval("SELECT complete_evidence($1)", job) is None

    await kernel.force(job, attempt=2)
    for kind in ALL_KINDS:
        assert await tried(kernel, "uploader", EVIDENCE, job, 2, kind, 1, SHA, MANIFEST_SHA) == "ok"
    assert await kernel.owner.fetchval("SELECT complete_evidence($1)", job) == 2


async def test_an_admins_release_takes_the_proof_with_the_place(kernel: Kernel) -> None:
    """Only an ended job gives up its verified destination, only the uploader may do it, and nothing counts as proven afterwards."""
    job = await proven(kernel)
    release = "SELECT release_destination($1)"
    answers = {role: await tried(kernel, role, release, job) for role in ("scanner", "compressor", "gateway")}
    assert set(answers.values()) == {DENIED}
    uploader = await kernel.db("uploader")
    assert await uploader.value("release_verified", job) is False  # it is `verified`, so its source may be deleted at any moment
    assert await tried(kernel, "uploader", SET_STATE, job, "released") == "CS003"

    await kernel.force(job, status="completed")
    assert await uploader.value("release_verified", job) is True
    assert (await state(kernel, job), await voided(kernel, job)) == ("released", [True, True, True])
    assert await kernel.owner.fetchval("SELECT complete_evidence($1)", job) is None
    assert await uploader.value("release_verified", job) is False


async def test_a_task_names_exactly_what_its_job_holds(kernel: Kernel) -> None:
    """Another collection, base path or name, one name too few or too many: neither a transfer nor a removal is stored."""
    job = await uploaded(kernel)
    full = f"{PLACE.base}{await kernel.owner.fetchval('SELECT path FROM destinations WHERE job_id = $1', job)}"
    both = [full, full + ".manifest.json"]
    other = [name.replace(PLACE.base, "/disk") for name in both]
    wrong = {
        "another collection": ("other", both),
        "another base path": (PLACE.endpoint, other),
        "one name only": (PLACE.endpoint, both[:1]),
        "a third name": (PLACE.endpoint, [*both, "/tape/x"]),
        "no name": (PLACE.endpoint, []),
    }
    store = (
        "INSERT INTO globus_tasks (submission_id, job_id, attempt, purpose, destination_key, request)"
        " SELECT gen_random_uuid(), $1, 1, $2, key, $3 FROM destinations WHERE job_id = $1"
    )

    def request(purpose: str, endpoint: str, names: list[str]) -> dict[str, object]:
        if purpose == "removal":
            return {"endpoint": endpoint, "paths": names}
        return {"destination_endpoint": endpoint, "items": [{"destination_path": name} for name in names]}

    for purpose, needed in (("transfer", "held"), ("recheck", "held"), ("removal", "removing")):
        await past_the_guard(kernel, SET_STATE, job, needed)
        for what, (endpoint, names) in wrong.items():
            body = request(purpose, endpoint, names)
            assert await tried(kernel, "uploader", store, job, purpose, body) == "CS003", (purpose, what)
        assert await tried(kernel, "uploader", store, job, purpose, {}) == "CS003"
        assert await tried(kernel, "uploader", store, job, purpose, request(purpose, PLACE.endpoint, both)) == "ok"
        assert await tried(kernel, "uploader", END_TASKS, job) == "ok"


async def test_a_destination_never_moves(kernel: Kernel) -> None:
    """Its place is fixed, also if it is unknown or free. Only the uploader adds places, and no role changes one."""
    job = await uploaded(kernel)
    add = "INSERT INTO remote_places (endpoint, base_path, used_at) VALUES ('other', '/tape', now())"
    move = "UPDATE destinations SET place = (SELECT id FROM remote_places WHERE endpoint = 'other') WHERE job_id = $1"
    rewrite = "UPDATE remote_places SET base_path = '/disk'"
    for role in ("scanner", "compressor", "gateway"):
        assert await tried(kernel, role, add) == DENIED, role
    assert await tried(kernel, "uploader", add) == "ok"
    assert await tried(kernel, "uploader", rewrite) == DENIED
    for state_of_row in ("held", "released"):
        await past_the_guard(kernel, SET_STATE, job, state_of_row)
        assert await tried(kernel, "gateway", move, job) == "CS001", state_of_row
    await past_the_guard(kernel, "UPDATE destinations SET place = NULL WHERE job_id = $1", job)
    assert await tried(kernel, "gateway", move, job) == "CS001"
    take = "SELECT take_destination($1, 'other', '/tape', 'k')"
    assert {await tried(kernel, role, take, job) for role in ("scanner", "compressor", "gateway")} == {DENIED}
