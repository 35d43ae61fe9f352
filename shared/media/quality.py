"""Every threshold of the quality rating, in one place; docs/media.md shows the same tables and a test compares them. Pure."""

from typing import NamedTuple

from shared.media.model import Quality, Rating


class Step(NamedTuple):
    """`below`: shorter sides less than this many pixels get the rating. `low_mbps`: less is warned about (H.264, up to 40 frames/s)."""

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
"""Heights of the picture: 480 and less, 480 to 720, 720, 1080, 2160. The rates are about 0.05 bits per pixel."""

CODEC_FACTOR = {"hevc": 0.6, "vp9": 0.6, "av1": 0.5, "vvc": 0.5, "mpeg4": 1.5, "mpeg2video": 2.0, "mpeg1video": 2.0}
"""What a codec needs for the same picture, beside H.264; others: 1."""
FAST_FPS = 40.0
FAST_FACTOR = 1.5
"""Above FAST_FPS frames per second the warning's rate is this many times as high."""


def step(width: int, height: int) -> Step:
    """The row of the table for a picture of this size."""
    shorter = min(width, height)
    return next(row for row in STEPS if shorter < row.below)


def low_rate_bps(width: int, height: int, codec: str, fps: float | None) -> int:
    """Bits per second under which the picture suffers."""
    factor = CODEC_FACTOR.get(codec, 1.0) * (FAST_FACTOR if (fps or 0) > FAST_FPS else 1.0)
    return round(step(width, height).low_mbps * 1_000_000 * factor)


def rate(width: int, height: int, codec: str, fps: float | None, bit_rate: int | None) -> Quality:
    """The rating of a film; a bit rate nobody knows is not warned about."""
    low = low_rate_bps(width, height, codec, fps)
    warnings = []
    if bit_rate is not None and bit_rate < low:
        rates = f"{bit_rate / 1e6:.3g} Mbps, where {low / 1e6:.3g} Mbps is the least for a good picture"
        warnings.append(f"Low bit rate for {width}x{height}: {rates}.")
    found = step(width, height).rating
    return Quality(rating=found, label=f"{found} ({min(width, height)}p)", warnings=warnings)
