"""Our media information equals ffprobe's: Debian's program, run on the same file in the same test."""

import json
import os
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from shared.media import reader
from shared.media.model import AudioStream, MediaInfo, SubtitleStream, VideoStream
from shared.media.reader import Shape
from tests.support.films import NAMES, run


def ffprobe(file: Path, *more: str) -> Any:
    """Return its JSON about a file."""
    command = ["ffprobe", "-v", "quiet", "-of", "json", "-show_format", "-show_streams", "-show_chapters", *more, str(file)]
    return json.loads(subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout)


async def info(file: Path, *, brief: bool = False) -> MediaInfo:
    handle = os.open(file, os.O_RDONLY)
    try:
        return await reader.info(handle, file.name, brief=brief)
    finally:
        os.close(handle)


async def thumbnail(file: Path, at_s: float, shape: Shape = Shape()) -> Any:  # noqa: B008 - frozen
    handle = os.open(file, os.O_RDONLY)
    try:
        return await reader.thumbnail(handle, at_s, shape)
    finally:
        os.close(handle)


def plain(value: Any) -> Any:
    return None if value in {None, "unknown", "N/A", "und"} else value


def expected_video(stream: dict[str, Any]) -> dict[str, Any]:
    """Return it in our terms."""
    cover = bool(stream["disposition"]["attached_pic"])
    rate = Fraction(stream["avg_frame_rate"]) if stream["avg_frame_rate"] != "0/0" else Fraction(stream["r_frame_rate"])
    rotation = next((data["rotation"] for data in stream.get("side_data_list", []) if "rotation" in data), 0)
    return {
        "width": stream["width"],
        "height": stream["height"],
        "fps": None if cover else round(float(rate), 3),
        "frame_rate": None if cover else f"{rate.numerator}/{rate.denominator}",
        "aspect_ratio": stream.get("display_aspect_ratio"),
        "sample_aspect_ratio": stream.get("sample_aspect_ratio"),
        "field_order": plain(stream.get("field_order")),
        "pixel_format": stream["pix_fmt"],
        "color_space": plain(stream.get("color_space")),
        "color_primaries": plain(stream.get("color_primaries")),
        "color_transfer": plain(stream.get("color_transfer")),
        "color_range": plain(stream.get("color_range")),
        "rotation": -rotation % 360,
        "attached_picture": cover,
    }


def expected_audio(stream: dict[str, Any]) -> dict[str, Any]:
    return {
        "channels": stream["channels"],
        "channel_layout": stream.get("channel_layout"),
        "sample_rate": int(stream["sample_rate"]),
        "bits_per_sample": int(stream.get("bits_per_raw_sample") or stream["bits_per_sample"]) or None,
    }


def expected_common(stream: dict[str, Any]) -> dict[str, Any]:
    return {
        "codec": stream["codec_name"],
        "language": plain(stream.get("tags", {}).get("language")),
        "default": bool(stream["disposition"]["default"]),
        "forced": bool(stream["disposition"]["forced"]),
        "dispositions": [name for name, on in stream["disposition"].items() if on],
    }


def chosen(stream: VideoStream | AudioStream | SubtitleStream, names: Any) -> dict[str, Any]:
    return {name: getattr(stream, name) for name in names}


@pytest.mark.parametrize("name", NAMES)
async def test_fields_agree_with_ffprobe(films: Path, name: str) -> None:
    """Container, every stream, every chapter. Only values that the two may round differently have a tolerance."""
    theirs, ours = ffprobe(films / name), await info(films / name)

    assert ours.format_name == theirs["format"]["format_name"]
    assert ours.size_bytes == int(theirs["format"]["size"])
    assert ours.duration_seconds == pytest.approx(float(theirs["format"]["duration"]), abs=0.05)
    assert ours.bit_rate == pytest.approx(int(theirs["format"]["bit_rate"]), rel=0.05)
    wanted = {"video": expected_video, "audio": expected_audio, "subtitle": lambda _: {}}
    streams = {stream.index: stream for stream in (*ours.video_streams, *ours.audio_streams, *ours.subtitle_streams)}
    assert streams.keys() == {stream["index"] for stream in theirs["streams"]}
    for stream in theirs["streams"]:
        expected = expected_common(stream) | wanted[stream["codec_type"]](stream)
        assert chosen(streams[stream["index"]], expected) == expected
    assert [(c.start_seconds, c.end_seconds, c.title) for c in ours.chapters] == [
        (float(c["start_time"]), float(c["end_time"]), c["tags"]["title"]) for c in theirs["chapters"]
    ]


@pytest.mark.parametrize("name", NAMES)
async def test_profiles_and_header_bit_rates_agree_with_ffprobe(films: Path, name: str) -> None:
    """If the file states them. If it does not, we compute them (see below)."""
    theirs, ours = ffprobe(films / name), await info(films / name)
    by_index = {stream["index"]: stream for stream in theirs["streams"]}
    for video in ours.video_streams:
        if video.codec in {"h264", "hevc", "vp9", "prores"}:
            assert video.profile == by_index[video.index]["profile"]
    for stream in (*ours.video_streams, *ours.audio_streams):
        if stream.bit_rate_source == "header":
            assert stream.bit_rate == pytest.approx(int(by_index[stream.index]["bit_rate"]), rel=0.02)


@pytest.mark.parametrize("name", ["hevc10.mkv", "vp9.webm", "subtitles.mkv", "stream.ts", "sound.flac"])
async def test_bit_rates_no_header_tells_are_counted(films: Path, name: str) -> None:
    """The bytes of the stream's packets, as ffprobe lists them, divided by its duration."""
    packets = ffprobe(films / name, "-show_packets")["packets"]
    ours = await info(films / name)
    counted = [s for s in (*ours.video_streams, *ours.audio_streams) if s.bit_rate_source == "measured"]
    assert counted
    for stream in counted:
        own = [packet for packet in packets if packet["stream_index"] == stream.index]
        begin = min(float(packet["pts_time"]) for packet in own)
        end = max(float(packet["pts_time"]) + float(packet.get("duration_time", 0)) for packet in own)
        assert stream.bit_rate == pytest.approx(sum(int(packet["size"]) for packet in own) * 8 / (end - begin), rel=0.05)


async def test_hdr_is_named(films: Path) -> None:
    """HDR10 by its mastering data, HLG by its transfer; SDR has none. Luminances as ffprobe reads them from the first frame."""
    found = {name: (await info(films / name)).video_streams[0] for name in ("hdr10.mkv", "hlg.mp4", "hevc10.mkv")}
    frame = ffprobe(films / "hdr10.mkv", "-show_frames", "-read_intervals", "%+#1")["frames"][0]
    theirs = {name: value for data in frame["side_data_list"] for name, value in data.items()}
    ours = found["hdr10.mkv"]

    assert [ours.min_luminance, ours.max_luminance] == [float(Fraction(theirs[f"{end}_luminance"])) for end in ("min", "max")]
    assert (ours.max_content_light, ours.max_average_light) == (theirs["max_content"], theirs["max_average"]) == (1000, 400)
    assert {name: video.hdr for name, video in found.items()} == {"hdr10.mkv": "HDR10", "hlg.mp4": "HLG", "hevc10.mkv": None}


async def test_subtitles_are_told_apart(films: Path) -> None:
    """Language, forced, default, styled."""
    streams = (await info(films / "subtitles.mkv")).subtitle_streams

    assert [(s.codec_label, s.language, s.default, s.forced, s.styled) for s in streams] == [
        ("SUBRIP", "eng", True, False, False),
        ("SUBRIP", "spa", False, True, False),
        ("ASS", "eng", False, False, True),
    ]


async def test_what_people_read(films: Path) -> None:
    """The texts of the report."""
    sound, film = await info(films / "surround.m4a", brief=True), await info(films / "h264.mp4", brief=True)

    assert (sound.format, sound.audio_codec, sound.channels, sound.quality) == ("M4A", "AAC", "6 (5.1)", None)
    assert (film.format, film.duration, film.resolution) == ("MP4", "00:00:02", "320x180 @ 23.976 FPS")
    assert (film.video_codec, film.quality.label if film.quality else "") == ("H.264", "Very Low (180p)")


async def test_how_it_is_shown(films: Path) -> None:
    """Upright, with square pixels."""
    shown = {name: (await info(films / name)).video_streams[0] for name in ("h264.mp4", "rotated.mp4", "anamorphic.mpg")}

    assert {name: (video.display_width, video.display_height) for name, video in shown.items()} == {
        "h264.mp4": (320, 180),
        "rotated.mp4": (180, 320),
        "anamorphic.mpg": (512, 288),
    }


async def test_metadata_is_kept(films: Path) -> None:
    """Title, artist, album."""
    assert {k.lower(): v for k, v in (await info(films / "sound.flac")).metadata.items()}["artist"] == "Nobody"
    assert (await info(films / "cover.mp3")).metadata["album"] == "Tests"


async def test_a_cut_file_is_read_with_a_warning(films: Path) -> None:
    """Its index gives the original length. The demuxer reports that its end is missing."""
    found = await info(films / "cut.mp4")

    assert found.duration == "00:00:02"
    assert any("partial file" in sentence for sentence in found.warnings)


# Pictures ------------------------------------------------------------------------------------------------------------------------


def pixels(file: Path) -> bytes:
    """Return a PNG's pixels in RGB."""
    with av.open(str(file)) as container:
        frame = next(container.decode(video=0)).reformat(format="rgb24")
        plane = frame.planes[0]
        lines = memoryview(plane)
        return b"".join(bytes(lines[y * plane.line_size : y * plane.line_size + frame.width * 3]) for y in range(frame.height))


@pytest.mark.parametrize("name", ["h264.mp4", "rotated.mp4", "anamorphic.mpg", "hevc10.mkv", "stream.ts"])
async def test_a_thumbnail_is_ffmpegs_own_picture(films: Path, tmp_path: Path, name: str) -> None:
    """Upright, with square pixels: equal to ffmpeg's picture, which rotates by itself, scaled to the same size."""
    picture = await thumbnail(films / name, 0.0, Shape((320, -1), "png"))
    (tmp_path / "ours.png").write_bytes(picture.image)
    size = f"scale={picture.width}:{picture.height}:flags=bicubic,setsar=1"
    run("-i", films / name, "-frames:v", "1", "-vf", size, "-pix_fmt", "rgb24", tmp_path / "theirs.png")

    assert apart(pixels(tmp_path / "ours.png"), pixels(tmp_path / "theirs.png")) < 12
    assert (picture.width > picture.height) == (name != "rotated.mp4")


def apart(ours: bytes, theirs: bytes) -> float:
    """Return the average difference of values between two pictures of one size."""
    assert len(ours) == len(theirs)
    return sum(abs(a - b) for a, b in zip(ours[::7], theirs[::7], strict=True)) / len(ours[::7])


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
async def test_hdr_looks_as_it_should(tmp_path: Path, transfer: str) -> None:
    """A picture that ffmpeg's zscale made HDR (white at 203 cd/m2) looks as before.

    Without tone mapping its values would differ by 65 to 85.
    """
    picture = ["-f", "lavfi", "-i", "testsrc=size=320x180:rate=1:duration=1"]
    known = "format=gbrp,setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc"
    to_light = f"{known},zscale=tin=bt709:pin=bt709:min=gbr:rin=pc:t=linear:npl=203,format=gbrpf32le"
    to_hdr = f"zscale=tin=linear:pin=bt709:min=gbr:t={transfer}:p=bt2020:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
    colors = f"log-level=error:qp=4:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    run(*picture, "-frames:v", "1", tmp_path / "sdr.png")
    run(
        *picture,
        "-vf",
        f"{to_light},{to_hdr}",
        "-c:v",
        "libx265",
        "-x265-params",
        colors,
        tmp_path / "hdr.mkv",
    )
    (tmp_path / "ours.png").write_bytes((await thumbnail(tmp_path / "hdr.mkv", 0.0, Shape((320, -1), "png"))).image)

    assert apart(pixels(tmp_path / "ours.png"), pixels(tmp_path / "sdr.png")) < 25


async def test_each_second_has_its_picture(films: Path) -> None:
    """The frame at that time, not the nearest key frame."""
    pictures = [await thumbnail(films / "h264.mp4", second) for second in (0.0, 0.5, 1.0, 1.5)]

    assert [picture.seconds[0] for picture in pictures] == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=0.05)
    assert len({picture.image for picture in pictures}) == 4


async def test_past_the_end_is_the_last_picture_with_a_notice(films: Path) -> None:
    """The default of 5 s is past the end of a film of 2 s."""
    picture = await thumbnail(films / "h264.mp4", 5.0)

    assert picture.seconds[0] == pytest.approx(1.96, abs=0.05)
    assert picture.notice == "The film ends before 00:00:05: this is its last picture, at 00:00:01."


async def test_a_film_that_does_not_say_how_long_it_is(films: Path) -> None:
    """A recording that was never closed: each time has its frame, past its end the last one. A bare stream has frames too."""
    within, past = await thumbnail(films / "live.mkv", 1.0), await thumbnail(films / "live.mkv", 60.0)
    handle = os.open(films / "live.mkv", os.O_RDONLY)
    try:
        sheet = await reader.contact_sheet(handle, 4, 2, Shape((100, -1)))
    finally:
        os.close(handle)

    assert (within.seconds, within.notice) == (pytest.approx([1.0], abs=0.05), "")
    assert past.seconds[0] > 1.8
    assert past.notice.startswith("The film ends before 00:01:00")
    assert (sheet.seconds[0] < 0.5, sheet.seconds[-1] > 1.5) == (True, True)
    assert (await thumbnail(films / "bare.h264", 0.0)).image


async def test_sound_with_a_cover_shows_it(films: Path) -> None:
    """Audio without a cover has no picture."""
    assert (await thumbnail(films / "cover.mp3", 5.0)).notice == "This file has no film; this is its cover."
    with pytest.raises(Exception, match="no picture") as refused:
        await thumbnail(films / "sound.flac", 0.0)
    assert refused.value.code == reader.NO_VIDEO  # type: ignore[attr-defined]  # a PermanentError


async def test_sizes_and_formats(films: Path) -> None:
    """THUMBNAIL_SIZE: one of the two values may follow the film. THUMBNAIL_FORMAT."""
    wide, high, both = [await thumbnail(films / "h264.mp4", 0.0, Shape(size, "png")) for size in ((160, -1), (-1, 90), (100, 100))]

    assert [(p.width, p.height) for p in (wide, high, both)] == [(160, 90), (160, 90), (100, 100)]
    assert wide.image.startswith(b"\x89PNG")
    assert wide.media_type == "image/png"
    webp = await thumbnail(films / "h264.mp4", 0.0, Shape((160, -1), "webp"))
    assert (webp.image[:4], webp.image[8:12], webp.media_type) == (b"RIFF", b"WEBP", "image/webp")


async def test_a_contact_sheet_shows_the_whole_film(films: Path, tmp_path: Path) -> None:
    """Frames from its beginning to its end, in rows."""
    handle = os.open(films / "h264.mp4", os.O_RDONLY)
    try:
        sheet = await reader.contact_sheet(handle, 6, 3, Shape((100, -1)))
    finally:
        os.close(handle)

    assert sheet.seconds == sorted(sheet.seconds)
    assert (len(sheet.seconds), sheet.seconds[0] < 0.3, sheet.seconds[-1] > 1.7) == (6, True, True)
    assert (sheet.width, sheet.height) == (3 * 100 + 4 * 4, 2 * 56 + 3 * 4)
