"""Every threshold of the quality rating, in one place. docs/media.md shows the same tables and a test compares them. Pure."""

from typing import NamedTuple

from shared.media.model import Quality, Rating


class Step(NamedTuple):
    """`below`: shorter sides of fewer pixels get this rating. `low_mbps`: lower rates give a warning (H.264, up to 40 frames/s)."""

    rating: Rating
    below: float
    low_mbps: float


STEPS = (
    Step("Very Low", 481, 0.4),
    Step("Low", 720, 0.8),
    Step("Medium", 1080, 1.5),
    Step("High", 2160, 3.0),
    Step("Excellent", float("inf"), 12.0),
)
"""Picture heights: 480 and less, 480 to 720, 720, 1080, 2160. The rates are about 0.05 bits per pixel."""

CODEC_FACTOR = {"hevc": 0.6, "vp9": 0.6, "av1": 0.5, "vvc": 0.5, "mpeg4": 1.5, "mpeg2video": 2.0, "mpeg1video": 2.0}
"""The bit rate that a codec needs for the same picture, relative to H.264; others: 1."""
FAST_FPS = 40.0
FAST_FACTOR = 1.5
"""Above FAST_FPS frames per second the rate that causes a warning is multiplied by this."""


def step(width: int, height: int) -> Step:
    """Return the row of the table for a picture of this size."""
    shorter = min(width, height)
    return next(row for row in STEPS if shorter < row.below)


def low_rate_bps(width: int, height: int, codec: str, fps: float | None) -> int:
    """Return the bits per second below which the picture suffers."""
    factor = CODEC_FACTOR.get(codec, 1.0) * (FAST_FACTOR if (fps or 0) > FAST_FPS else 1.0)
    return round(step(width, height).low_mbps * 1_000_000 * factor)


def rate(width: int, height: int, codec: str, fps: float | None, bit_rate: int | None) -> Quality:
    """Return the rating of a video. An unknown bit rate causes no warning."""
    low = low_rate_bps(width, height, codec, fps)
    warnings = []
    if bit_rate is not None and bit_rate < low:
        rates = f"{bit_rate / 1e6:.3g} Mbps, where {low / 1e6:.3g} Mbps is the least for a good picture"
        warnings.append(f"Low bit rate for {width}x{height}: {rates}.")
    found = step(width, height).rating
    return Quality(rating=found, label=f"{found} ({min(width, height)}p)", warnings=warnings)
