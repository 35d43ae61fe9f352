"""The description of a media file. Sizes in bytes, times in seconds, rates in bits per second. None: the file does not say.

`dispositions` of a stream: every flag that it carries, in ffprobe's words (default, forced, comment, visual_impaired, ...).
"""

from typing import Literal

import msgspec

Rating = Literal["Very Low", "Low", "Medium", "High", "Excellent"]


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """The best possible picture quality, by its shorter side. `label`: for people, "High (1080p)". `warnings`: what reduces it."""

    rating: Rating
    label: str
    warnings: list[str] = []


class VideoStream(msgspec.Struct, frozen=True, kw_only=True):
    """One video track. `codec`: FFmpeg's name (h264). `codec_label`: the usual name (H.264).

    frame_rate: exact ("24000/1001"). fps: the same, rounded. rotation: degrees clockwise that make it upright. width and height:
    as stored, before rotation. display_width and display_height: upright, with square pixels. field_order: progressive, or which
    field of interlaced video comes first (tt, bb, tb, bt). hdr: HDR10, HDR10+, HLG, Dolby Vision or PQ. min_luminance,
    max_luminance: of the display that it was graded on; max_content_light, max_average_light: of its brightest pixel and frame;
    all in cd/m2. bit_rate_source: header, tag (the muxer's statistics), measured (all packets counted) or sampled (the first ones
    counted). attached_picture: a cover, not a video.
    """

    index: int
    codec: str
    codec_label: str
    profile: str | None = None
    width: int
    height: int
    display_width: int
    display_height: int
    fps: float | None = None
    frame_rate: str | None = None
    aspect_ratio: str | None = None
    sample_aspect_ratio: str | None = None
    field_order: str | None = None
    pixel_format: str | None = None
    bit_depth: int | None = None
    color_space: str | None = None
    color_primaries: str | None = None
    color_transfer: str | None = None
    color_range: str | None = None
    hdr: str | None = None
    min_luminance: float | None = None
    max_luminance: float | None = None
    max_content_light: int | None = None
    max_average_light: int | None = None
    rotation: int = 0
    bit_rate: int | None = None
    bit_rate_source: str | None = None
    duration_seconds: float | None = None
    language: str | None = None
    title: str | None = None
    default: bool = False
    forced: bool = False
    dispositions: list[str] = []
    attached_picture: bool = False


class AudioStream(msgspec.Struct, frozen=True, kw_only=True):
    """One audio track. channel_label: "6 (5.1)". bits_per_sample: of lossless audio."""

    index: int
    codec: str
    codec_label: str
    profile: str | None = None
    channels: int | None = None
    channel_layout: str | None = None
    channel_label: str = ""
    sample_rate: int | None = None
    bits_per_sample: int | None = None
    bit_rate: int | None = None
    bit_rate_source: str | None = None
    duration_seconds: float | None = None
    language: str | None = None
    title: str | None = None
    default: bool = False
    forced: bool = False
    dispositions: list[str] = []


class SubtitleStream(msgspec.Struct, frozen=True, kw_only=True):
    """One subtitle track. styled: the format carries fonts and positions (ASS, SSA)."""

    index: int
    codec: str
    codec_label: str
    language: str | None = None
    title: str | None = None
    default: bool = False
    forced: bool = False
    dispositions: list[str] = []
    hearing_impaired: bool = False
    styled: bool = False


class Chapter(msgspec.Struct, frozen=True, kw_only=True):
    """A chapter. `title` is empty when the file has none."""

    start_seconds: float
    end_seconds: float
    title: str = ""


class MediaInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one file. `brief`: the lists and tags are empty, and nothing is measured.

    format: the container's usual name (MATROSKA). format_name: FFmpeg's name. duration: HH:MM:SS. resolution, video_codec,
    audio_codec, channels: of the first video and audio track, as one line each ("1920x1080 @ 23.976 FPS", "H.264", "AAC", "6
    (5.1)"). quality: None without a video. warnings: what is damaged or unusual. other_streams: data and attachments.
    """

    file: str
    format: str
    format_name: str
    duration_seconds: float | None = None
    duration: str = ""
    size_bytes: int
    size_human: str
    bit_rate: int | None = None
    brief: bool = False
    resolution: str | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    channels: str | None = None
    quality: Quality | None = None
    warnings: list[str] = []
    video_streams: list[VideoStream] = []
    audio_streams: list[AudioStream] = []
    subtitle_streams: list[SubtitleStream] = []
    other_streams: int = 0
    chapters: list[Chapter] = []
    metadata: dict[str, str] = {}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """An image made from a video. `seconds`: the times shown (one for a thumbnail). `notice`: any deviation from the request, or ""."""

    image: bytes
    media_type: str
    width: int
    height: int
    seconds: list[float]
    notice: str = ""
