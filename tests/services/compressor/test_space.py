import pytest

from services.compressor.space import Request, available, decide, estimate_archive_bytes, required_bytes

MIB = 1 << 20
DAY = 24 * 3600


@pytest.mark.parametrize(
    ("total", "required"),
    [
        (0, 64 * MIB),
        (1, 1 + 2 + 64 * MIB),  # 1.01 bytes are 2
        (100, 100 + 101 + 64 * MIB),
        (101, 101 + 103 + 64 * MIB),
        (10**18, 10**18 + 1_010_000_000_000_000_000 + 64 * MIB),  # exact, no float
    ],
)
def test_required_bytes(total: int, required: int) -> None:
    """Size + 1.01 x size + 64 MiB, rounded up."""
    assert required_bytes(total) == required


def test_what_is_shown_and_what_is_left() -> None:
    """The seed's ratio is only an estimate; what is promised counts as used."""
    assert estimate_archive_bytes(1_000, 0.7) == 700
    assert available(free_bytes=100, unwritten_bytes=30, min_free_bytes=20) == 50
    assert available(free_bytes=10, unwritten_bytes=30, min_free_bytes=20) == -40


@pytest.mark.parametrize(
    ("requests", "space", "verdicts"),
    [
        ([], 10, []),
        ([(4, 0), (6, 0)], 10, ["start", "start"]),  # exactly full
        ([(4, 0), (7, 0)], 10, ["start", "wait 1"]),
        ([(11, 0), (4, 0)], 10, ["wait 1", "start"]),  # a smaller one passes
        ([(11, DAY - 1), (4, 0)], 10, ["wait 1", "start"]),
        ([(11, DAY), (4, 0)], 10, ["wait 1", "behind 0"]),  # after a day it goes first
        ([(11, 0), (12, DAY), (4, 0)], 10, ["wait 1", "wait 2", "behind 0"]),
        ([(4, 0), (11, DAY), (4, 0)], 10, ["start", "wait 5", "behind 0"]),  # what stands before it is not held back
        ([(10, DAY), (4, 0)], 10, ["start", "wait 4"]),
        ([(101, DAY), (4, 0)], 10, ["never 1", "start"]),  # one that can never fit blocks nobody
        ([(1, 0)], -5, ["wait 6"]),
    ],
)
def test_decide(requests: list[tuple[int, float]], space: int, verdicts: list[str]) -> None:
    """Requests are (bytes, seconds waited); an empty file system would give 100."""
    made = decide([Request(str(n), size, waited) for n, (size, waited) in enumerate(requests)], space, most_bytes=100)

    assert [v.job_id for v in made] == [str(n) for n in range(len(requests))]
    assert [v.kind if v.kind == "start" else f"{v.kind} {v.missing_bytes}" for v in made] == verdicts
