import pytest

from shared.archiving.space import Verdict, available, decide, estimate_archive_bytes, required_bytes

MIB = 1 << 20


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
    """The configured ratio is only an estimate. Reserved bytes count as used."""
    assert estimate_archive_bytes(1_000, 0.7) == 700
    assert available(free_bytes=100, unwritten_bytes=30, min_free_bytes=20) == 50
    assert available(free_bytes=10, unwritten_bytes=30, min_free_bytes=20) == -40


@pytest.mark.parametrize(
    ("required", "space", "verdict"),
    [
        (4, 10, Verdict("start")),
        (10, 10, Verdict("start")),  # exactly full
        (11, 10, Verdict("wait", 1)),
        (1, -5, Verdict("wait", 6)),
        (100, 10, Verdict("wait", 90)),
        (101, 10, Verdict("never", 1)),  # a job that can never fit fails instead of waiting permanently
    ],
)
def test_decide(required: int, space: int, verdict: Verdict) -> None:
    """An empty file system would give 100."""
    assert decide(required, space, most_bytes=100) == verdict
