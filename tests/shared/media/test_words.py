"""Times, thresholds, names: pure functions."""

import re
from pathlib import Path

import pytest

from shared.errors import PermanentError
from shared.media import quality, reading, times

PAGE = (Path(__file__).parents[3] / "docs" / "media.md").read_text()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:00:05", 5), ("00:02:45", 165), ("01:30:00", 5400), ("2:05", 125), ("100:00:00", 360_000), ("00:00:01.5", 1.5)],
)
def test_times(text: str, seconds: float) -> None:
    """Usual examples, minutes alone, and more than a day."""
    assert times.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "00:60:00", "00:00:61", "-1:00", "1:2:3:4", "00:00:05Z", "\u0661:\u0660\u0660"])
def test_no_times(text: str) -> None:
    """Refused with an example."""
    with pytest.raises(PermanentError, match="HH:MM:SS"):
        times.parse(text)


@pytest.mark.parametrize(
    ("width", "height", "label"),
    [
        (640, 480, "Very Low (480p)"), (854, 481, "Low (481p)"), (1279, 719, "Low (719p)"), (1280, 720, "Medium (720p)"),
        (1920, 1079, "Medium (1079p)"), (1920, 1080, "High (1080p)"), (1080, 1920, "High (1080p)"), (3840, 2159, "High (2159p)"),
        (3840, 2160, "Excellent (2160p)"),
    ],
)  # fmt: skip
def test_ratings(width: int, height: int, label: str) -> None:
    """By the shorter side, at each limit. A portrait film gets the same rating as a landscape one."""
    assert quality.rate(width, height, "h264", 25, None).label == label


def test_low_bit_rates_are_warned_about() -> None:
    """Compared with the need of the codec and the frame rate. Without figures there is no warning."""
    assert quality.rate(1920, 1080, "h264", 25, 2_999_999).warnings
    assert not quality.rate(1920, 1080, "h264", 25, 3_000_000).warnings
    assert not quality.rate(1920, 1080, "hevc", 25, 1_800_000).warnings  # 3.0 x 0.6
    assert quality.rate(1920, 1080, "h264", 60, 4_400_000).warnings  # 3.0 x 1.5
    assert not quality.rate(1920, 1080, "h264", 25, None).warnings
    assert "0.00128 Mbps, where 0.4 Mbps" in quality.rate(160, 90, "h264", 1, 1_280).warnings[0]


def test_the_documented_thresholds_are_the_codes() -> None:
    """docs/media.md has the same tables."""
    rows = re.findall(r"^\| (Very Low|Low|Medium|High|Excellent) \| ([^|]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert [(rating, float(mbps)) for rating, _, mbps in rows] == [(step.rating, step.low_mbps) for step in quality.STEPS]
    borders = [int(re.findall(r"\d+", words)[-1]) for _, words, _ in rows]
    assert borders == [480, 720, 1080, 2160, 2160]
    factors = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|$", PAGE, re.MULTILINE))
    assert {name: float(factor) for name, factor in factors.items()} == quality.CODEC_FACTOR


def test_the_documented_tests_exist() -> None:
    """Each line of the page names a test that exists."""
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE):
        assert f"def {name}(" in (Path(__file__).parents[3] / path).read_text(), name


def test_ffprobes_own_words_are_understood() -> None:
    """Its numbers are strings; unknown values are N/A or unknown."""
    document = {
        "format": {"format_name": "matroska,webm", "duration": "8130.5", "bit_rate": "4200000"},
        "streams": [
            {
                "index": 0, "codec_type": "video", "codec_name": "h264", "profile": "High", "width": 1920, "height": 1080,
                "avg_frame_rate": "24000/1001", "display_aspect_ratio": "16:9", "pix_fmt": "yuv420p", "color_space": "bt709",
                "color_transfer": "unknown", "tags": {"BPS": "3800000"}, "disposition": {"default": 1},
            },
            {"index": 1, "codec_type": "audio", "codec_name": "aac", "channels": 6, "channel_layout": "5.1(side)", "sample_rate": "48000"},
            {"index": 2, "codec_type": "attachment", "codec_name": "ttf"},
        ],
    }  # fmt: skip
    found = reading.read(document, name="movie.mkv", size=5_207_647_846, brief=False)

    assert (found.format, found.duration, found.size_human, found.bit_rate) == ("MATROSKA", "02:15:30", "4.85 GB", 4_200_000)
    video, audio = found.video_streams[0], found.audio_streams[0]
    assert (video.fps, video.bit_rate, video.bit_rate_source, video.color_transfer) == (23.976, 3_800_000, "tag", None)
    assert (audio.channel_label, found.other_streams) == ("6 (5.1)", 1)
    assert found.quality is not None
    assert (found.quality.label, found.quality.warnings) == ("High (1080p)", [])


@pytest.mark.parametrize("rate", ["nan", "inf", "1e400", "1e30", "-5", "0", "many"])
def test_rates_that_are_none(rate: str) -> None:
    """Tags are foreign input: without a number there is no rate."""
    stream = {"index": 0, "codec_type": "audio", "codec_name": "aac", "tags": {"BPS": rate}}

    (audio,) = reading.read({"format": {}, "streams": [stream]}, name="", size=0, brief=False).audio_streams

    assert (audio.bit_rate, audio.bit_rate_source) == (None, None)


@pytest.mark.parametrize(
    ("channels", "layout", "label"), [(1, None, "1 (Mono)"), (6, "5.1(side)", "6 (5.1)"), (4, "quad", "4 (Quad)"), (3, None, "3")]
)
def test_channels_as_people_name_them(channels: int, layout: str | None, label: str) -> None:
    """Number and layout, if known."""
    stream = {"index": 0, "codec_type": "audio", "codec_name": "aac", "channels": channels, "channel_layout": layout}

    assert reading.read({"format": {}, "streams": [stream]}, name="", size=0, brief=True).channels == label
