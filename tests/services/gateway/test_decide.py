"""The gateway's decisions, as tables."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.gateway.http.http_errors import ProblemError
from services.gateway.jobs import decide
from services.gateway.jobs.decide import Cancel, Key, Place, Sort, Waiting
from shared.domain.lifecycle import EDGES, Kind, Role, Status


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/nas/a/b/c", "/nas/a/b/c"),
        ("/nas/a/b/c/", "/nas/a/b/c"),
        ("/nas/a/b/ c ", "/nas/a/b/ c "),
        ("/nas/a/b/...", "/nas/a/b/..."),
    ],
)
def test_folder_path(path: str, plain: str) -> None:
    """A folder three levels down, with or without a trailing slash."""
    assert decide.folder_path("/nas", path) == plain


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "nas/a/b/c", "/nas", "/nas/", "/nas/a/b", "/nas/a/b/c/d", "/nasty/a/b/c", "/etc/a/b/c"),
        *("/nas/a/b/..", "/nas/a/../b/c", "/nas/./a/b", "/nas//a/b", "/nas/a/b/c//", "/nas/../nas/a/b/c", "/nas/a/b/c\0"),
    ],
)
def test_folder_path_refused(path: str) -> None:
    """A path outside, not at level 3 or not in its plain form is 400, and never reaches another service."""
    with pytest.raises(ProblemError) as caught:
        decide.folder_path("/nas", path)

    assert caught.value.status == 400


def _outcome(kind: Kind, status: Status, *, held: bool) -> Cancel | int:
    try:
        return decide.cancel(kind, status, held=held)
    except ProblemError as exc:
        return exc.status


def test_cancel_agrees_with_the_edges() -> None:
    """The gateway cancels a job by itself exactly where the state machine gives it the edge, and only if nobody holds it."""
    for kind, edges in EDGES.items():
        own = {edge.source for edge in edges if edge.owner is Role.GATEWAY and edge.target is Status.CANCELLED}
        for status in {edge.source for edge in edges} | {edge.target for edge in edges}:
            now = _outcome(kind, status, held=False)
            assert (now is Cancel.NOW) == (status in own), (kind, status)
            assert _outcome(kind, status, held=True) is not Cancel.NOW
            if status in {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.DELETING_SOURCE}:
                assert now == 409


def test_owner_agrees_with_the_edges() -> None:
    """A nudge goes to the service that takes jobs out of this state."""
    for edge in EDGES[Kind.ARCHIVE]:
        if edge.owner is not Role.GATEWAY:
            assert decide.owner(edge.source) is edge.owner


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        (Sort.CREATED, datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)),
        (Sort.ENDED, datetime(1969, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)),
        (Sort.NAME, "größe v1.2; final"),
        (Sort.NAME, ""),
        (Sort.SIZE, -1),
        (Sort.DURATION, timedelta(days=3, microseconds=1)),
        (Sort.DURATION, timedelta(seconds=-1)),
    ],
)
def test_cursor_round_trip(sort: Sort, key: Key) -> None:
    """A cursor returns its exact key and job, in every order."""
    place = Place(sort, key, uuid4())

    assert decide.place_of(decide.cursor_of(place), sort) == place


def test_cursor_of_another_order_is_refused() -> None:
    """It would start at the wrong row. The error names both orders."""
    cursor = decide.cursor_of(Place(Sort.NAME, "a folder", uuid4()))

    with pytest.raises(ProblemError, match="belongs to `sort=name`") as caught:
        decide.place_of(cursor, Sort.ENDED)

    assert caught.value.status == 400


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "????",
        "MTIz",
        "é",
        "OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjA",
        decide.cursor_of(Place(Sort.CREATED, datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1)))[:-3],
        decide.cursor_of(Place(Sort.CREATED, 10**30, UUID(int=1))),
        decide.cursor_of(Place(Sort.SIZE, 2**63, UUID(int=1))),
        decide.cursor_of(Place(Sort.DURATION, 10**30, UUID(int=1))),
        decide.cursor_of(Place(Sort.NAME, "a\0", UUID(int=1))),
    ],
)
def test_cursor_refused(cursor: str) -> None:
    """A cursor that the gateway did not issue is 400, never a crash."""
    for sort in Sort:
        with pytest.raises(ProblemError) as caught:
            decide.place_of(cursor, sort)

        assert caught.value.status == 400


def test_steps_of_workspace_jobs() -> None:
    """Packs, archives and extractions have their own steps. The compressor works on them to the end."""
    assert decide.stage_of(Kind.EXTRACT, Status.RUNNING) != decide.stage_of(Kind.PACK, Status.RUNNING)
    assert decide.lane_percent(Status.RUNNING, 50.0, Kind.COMPRESS) == 33
    assert decide.stage_of(Kind.PACK, Status.QUEUED) is None
    assert decide.owner(Status.DELETING_SOURCE, Kind.PACK) is Role.COMPRESSOR


@pytest.mark.parametrize(
    ("status", "stage_percent", "lane"),
    [
        (Status.QUEUED, None, None),
        (Status.COPYING, None, 16),
        (Status.COPYING, 50.0, 16),
        (Status.COPYING, 100.0, 33),
        (Status.COMPRESSING, None, 50),
        (Status.COMPRESSING, 0.0, 33),
        (Status.VERIFYING, None, 83),
        (Status.COMPRESSED, None, 100),
        (Status.UPLOADING, 50.0, 37),
        (Status.UPLOAD_VERIFYING, None, 82),
        (Status.DELETING_SOURCE, None, 95),
        (Status.COMPLETED, None, 100),
        (Status.FAILED, 40.0, None),
    ],
)
def test_lane_percent(status: Status, stage_percent: float | None, lane: int | None) -> None:
    """Each step has a band. Without figures, the result is a fixed point of the band."""
    assert decide.lane_percent(status, stage_percent) == lane


@pytest.mark.parametrize(
    ("chosen", "to", "expected", "raised"),
    [
        ("c", "top", "cabd", "c"),
        ("c", "up", "acbd", "ac"),  # the job above also rises
        ("bc", "up", "bcad", "bc"),
        ("ab", "up", "abcd", ""),  # at the top already
        ("b", "down", "acbd", "ac"),  # jobs that overtake it rise; none sinks
        ("cd", "down", "abcd", ""),
        ("a", "bottom", "bcda", "bcd"),
        ("ac", "bottom", "bdac", "bd"),
    ],
)
def test_the_order_of_the_queue(chosen: str, to: str, expected: str, raised: str) -> None:
    """Priorities rise just enough that the database's own order becomes the wanted one. A second run changes nothing."""
    ids = {letter: UUID(int=n) for n, letter in enumerate("abcd")}
    before = [Waiting(ids[letter], 0, seq) for seq, letter in enumerate("abcd")]

    order = decide.moved(before, {ids[letter] for letter in chosen}, to)
    needed = decide.priorities(order)
    after = sorted((job._replace(priority=needed.get(job.id, job.priority)) for job in before), key=lambda j: (-j.priority, j.seq))

    assert [job.id for job in after] == [ids[letter] for letter in expected]
    assert set(needed) == {ids[letter] for letter in raised}
    assert decide.priorities(after) == {}
