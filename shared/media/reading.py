"""Convert the prober's output (the words of `ffprobe -of json`) to `MediaInfo`: names for people, rates, quality. Pure."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from shared import units
from shared.media import quality, times
from shared.media.model import AudioStream, Chapter, MediaInfo, SubtitleStream, VideoStream

_CODECS = {
    "h264": "H.264", "hevc": "H.265", "vvc": "H.266", "av1": "AV1", "vp8": "VP8", "vp9": "VP9", "mpeg4": "MPEG-4", "prores": "ProRes",
    "mpeg2video": "MPEG-2", "mpeg1video": "MPEG-1", "mjpeg": "JPEG", "png": "PNG", "dnxhd": "DNxHD", "ffv1": "FFV1", "theora": "Theora",
    "wmv3": "WMV 9", "aac": "AAC", "mp3": "MP3", "mp2": "MP2", "ac3": "AC-3", "eac3": "E-AC-3", "dts": "DTS", "truehd": "TrueHD",
    "flac": "FLAC", "alac": "ALAC", "opus": "Opus", "vorbis": "Vorbis", "wmav2": "WMA 2", "subrip": "SUBRIP", "ass": "ASS", "ssa": "SSA",
    "mov_text": "TX3G", "webvtt": "WEBVTT", "hdmv_pgs_subtitle": "PGS", "dvd_subtitle": "VOBSUB", "dvb_subtitle": "DVB",
}  # fmt: skip
_STYLED = {"ass", "ssa"}
_FORMATS = {"matroska,webm": "MATROSKA", "mpegts": "MPEG-TS", "asf": "ASF", "mpeg": "MPEG-PS"}
_LAYOUTS = {1: "Mono", 2: "Stereo"}
_NO_LANGUAGE = {"", "und"}
_LARGEST = 1 << 53  # tags are untrusted data: nan, inf, 1e300
_UNKNOWN = {"", "unknown", "N/A", "reserved", "unspecified", "none"}


def read(document: Mapping[str, Any], *, name: str, size: int, brief: bool) -> MediaInfo:
    """Return everything about the file with that name and size. `document`: from `shared.media.probe.info`, or ffprobe's own."""
    container, streams = document["format"], document.get("streams", [])
    measured = document.get("measured", {})
    videos = [_video(s, measured) for s in streams if s.get("codec_type") == "video"]
    audios = [_audio(s, measured) for s in streams if s.get("codec_type") == "audio"]
    subtitles = [_subtitle(s) for s in streams if s.get("codec_type") == "subtitle"]
    film = next((video for video in videos if not video.attached_picture), None)
    sound = audios[0] if audios else None
    seconds = _number(container.get("duration"))
    return MediaInfo(
        file=name,
        format=_format(container, name),
        format_name=str(container.get("format_name", "")),
        duration_seconds=seconds,
        duration="" if seconds is None else times.show(seconds),
        size_bytes=size,
        size_human=units.size(size),
        bit_rate=_whole(container.get("bit_rate")) or (round(size * 8 / seconds) if seconds else None),
        brief=brief,
        resolution=None if film is None else _resolution(film),
        video_codec=film.codec_label if film else None,
        audio_codec=sound.codec_label if sound else None,
        channels=sound.channel_label if sound else None,
        quality=None if film is None else _quality(film, _whole(container.get("bit_rate"))),
        warnings=[f"The file may be damaged: {line}." for line in document.get("complaints", [])],
        video_streams=[] if brief else videos,
        audio_streams=[] if brief else audios,
        subtitle_streams=[] if brief else subtitles,
        other_streams=len(streams) - len(videos) - len(audios) - len(subtitles),
        chapters=[] if brief else [_chapter(c) for c in document.get("chapters", [])],
        metadata={} if brief else dict(container.get("tags", {})),
    )


def _resolution(film: VideoStream) -> str:
    return f"{film.width}x{film.height}" + ("" if film.fps is None else f" @ {film.fps:g} FPS")


def _quality(film: VideoStream, overall: int | None) -> Any:
    return quality.rate(film.width, film.height, film.codec, film.fps, film.bit_rate or overall)


def _format(container: Mapping[str, Any], name: str) -> str:
    """Return the format. MP4 and QuickTime share a demuxer, as do Matroska and WebM; the brand and the extension decide."""
    raw = str(container.get("format_name", ""))
    if raw.startswith("mov,mp4"):
        brand = str(container.get("tags", {}).get("major_brand", "")).strip()
        return {"qt": "QUICKTIME", "M4A": "M4A"}.get(brand, "3GP" if brand.startswith("3g") else "MP4")
    if raw == "matroska,webm" and name.lower().endswith(".webm"):
        return "WEBM"
    return _FORMATS.get(raw, raw.split(",", maxsplit=1)[0].upper())


def _video(stream: Mapping[str, Any], measured: Mapping[str, Any]) -> VideoStream:
    width, height = _whole(stream.get("width")) or 0, _whole(stream.get("height")) or 0
    rate = _fraction(stream.get("avg_frame_rate")) or _fraction(stream.get("r_frame_rate"))
    cover = _flag(stream, "attached_pic")
    side = [data for data in stream.get("side_data_list", []) if isinstance(data, dict)]
    told = {name: value for data in side for name, value in data.items()}
    rotation = -round(_number(told.get("rotation")) or 0.0) % 360
    sample = _fraction(str(stream.get("sample_aspect_ratio")).replace(":", "/")) or Fraction(1)
    shown = round(width * sample), height
    return VideoStream(
        **_common(stream),
        **_rate(stream, measured),
        profile=_text(stream.get("profile")),
        width=width,
        height=height,
        display_width=shown[1] if rotation % 180 else shown[0],
        display_height=shown[0] if rotation % 180 else shown[1],
        fps=None if rate is None or cover else round(float(rate), 3),
        frame_rate=None if rate is None or cover else f"{rate.numerator}/{rate.denominator}",
        aspect_ratio=_text(stream.get("display_aspect_ratio")) or _shape(width * sample, height),
        sample_aspect_ratio=_text(stream.get("sample_aspect_ratio")),
        field_order=_text(stream.get("field_order")),
        pixel_format=_text(stream.get("pix_fmt")),
        bit_depth=_whole(stream.get("bits_per_raw_sample")) or _depth(str(stream.get("pix_fmt") or "")),
        color_space=_text(stream.get("color_space")),
        color_primaries=_text(stream.get("color_primaries")),
        color_transfer=_text(stream.get("color_transfer")),
        color_range=_text(stream.get("color_range")),
        hdr=_hdr(_text(stream.get("color_transfer")), [str(data.get("side_data_type", "")) for data in side]),
        min_luminance=_value(told.get("min_luminance")),
        max_luminance=_value(told.get("max_luminance")),
        max_content_light=_whole(told.get("max_content")),
        max_average_light=_whole(told.get("max_average")),
        rotation=rotation,
        duration_seconds=_number(stream.get("duration")),
        attached_picture=cover,
    )


def _audio(stream: Mapping[str, Any], measured: Mapping[str, Any]) -> AudioStream:
    channels, layout = _whole(stream.get("channels")), _text(stream.get("channel_layout"))
    return AudioStream(
        **_common(stream),
        **_rate(stream, measured),
        profile=_text(stream.get("profile")),
        channels=channels,
        channel_layout=layout,
        channel_label=_channels(channels, layout),
        sample_rate=_whole(stream.get("sample_rate")),
        bits_per_sample=_whole(stream.get("bits_per_raw_sample")) or _whole(stream.get("bits_per_sample")) or None,
        duration_seconds=_number(stream.get("duration")),
    )


def _subtitle(stream: Mapping[str, Any]) -> SubtitleStream:
    common = _common(stream)
    return SubtitleStream(**common, hearing_impaired=_flag(stream, "hearing_impaired"), styled=common["codec"] in _STYLED)


def _chapter(chapter: Mapping[str, Any]) -> Chapter:
    return Chapter(
        start_seconds=_number(chapter.get("start_time")) or 0.0,
        end_seconds=_number(chapter.get("end_time")) or 0.0,
        title=str(chapter.get("tags", {}).get("title", "")),
    )


def _common(stream: Mapping[str, Any]) -> dict[str, Any]:
    tags = {name.lower(): value for name, value in stream.get("tags", {}).items()}
    codec = str(stream.get("codec_name") or "unknown")
    language = str(tags.get("language", ""))
    return {
        "index": int(stream["index"]),
        "codec": codec,
        "codec_label": _CODECS.get(codec, codec.upper()),
        "language": None if language in _NO_LANGUAGE else language,
        "title": _text(tags.get("title")),
        "default": _flag(stream, "default"),
        "forced": _flag(stream, "forced"),
        "dispositions": [name for name, on in stream.get("disposition", {}).items() if on],
    }


def _rate(stream: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stream's bit rate: from the header, else from the muxer's statistics, else from our count."""
    if header := _whole(stream.get("bit_rate")):
        return {"bit_rate": header, "bit_rate_source": "header"}
    statistic = next((_whole(value) for name, value in stream.get("tags", {}).items() if name.upper().startswith("BPS")), None)
    if statistic and statistic > 0:
        return {"bit_rate": statistic, "bit_rate_source": "tag"}
    found = measured.get(str(stream["index"]))
    return {"bit_rate": found["bit_rate"], "bit_rate_source": found["source"]} if found else {}


def _flag(stream: Mapping[str, Any], name: str) -> bool:
    return bool(stream.get("disposition", {}).get(name))


def _channels(count: int | None, layout: str | None) -> str:
    if not count:
        return ""
    name = _LAYOUTS.get(count) or (layout.split("(")[0].capitalize() if layout else None)
    return f"{count} ({name})" if name else str(count)


def _hdr(transfer: str | None, side: Sequence[str]) -> str | None:
    if any("dovi" in word.lower() or "dolby vision" in word.lower() for word in side):
        return "Dolby Vision"
    if any("SMPTE2094-40" in word for word in side):
        return "HDR10+"
    if transfer == "arib-std-b67":
        return "HLG"
    if transfer == "smpte2084":
        return "HDR10" if any("Mastering" in word or "Content light" in word for word in side) else "PQ"
    return None


def _depth(pixels: str) -> int | None:
    found = re.search(r"(?:p|gray|rgb|bgr)(9|10|12|14|16)(?:le|be)$", pixels)
    return int(found[1]) if found else (8 if pixels else None)


def _shape(width: Fraction, height: int) -> str | None:
    if not width or not height:
        return None
    shape = width / height
    return f"{shape.numerator}:{shape.denominator}"


def _text(value: Any) -> str | None:
    return None if value is None or str(value) in _UNKNOWN else str(value)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _value(value: Any) -> float | None:
    fraction = _fraction(value)
    return None if fraction is None else float(fraction)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or not abs(number) < _LARGEST else round(number)


def _fraction(value: Any) -> Fraction | None:
    try:
        return Fraction(str(value)) or None
    except (ValueError, ZeroDivisionError):
        return None
