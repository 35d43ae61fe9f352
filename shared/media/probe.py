"""The child that reads one media file: `python -m shared.media.probe 5`, where 5 is its end of a socket pair.

It runs under limits (shared/media/reader.py) because FFmpeg's libraries parse untrusted data. One message arrives over the
socket: the question ({"do": "info", "measure": true}) and the open file. The child opens nothing else: FFmpeg may use only the
protocol `fd` and the formats of `limits.FORMATS`, and the child enters a sandbox (shared/files/sandbox.py) before it receives the
file. Its answer on stdout is four bytes of length, a JSON document of that length in the words of `ffprobe -of json`, then the
image if one was requested. It imports only constants of ours, because the caller waits for every import.
"""

import contextlib
import itertools
import json
import math
import re
import socket
import struct
import sys
import time
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import av.logging

# PyAV imports these at the first subtitle. That is too late, because the sandbox opens no more modules.
import av.subtitles.codeccontext
import av.subtitles.stream
import av.subtitles.subtitle
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData

from shared.files import sandbox
from shared.media import hdr, limits

_TRANSFER = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316", 11: "iec61966-2-4",
    12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428", 11: "smpte431",
    12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_SPACE = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc", 10: "bt2020c",
    11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp",
}  # fmt: skip
_RANGE = {1: "tv", 2: "pc"}
_FIELDS = {1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}
_SIDE_DATA = {
    SideData.MASTERING_DISPLAY_METADATA: "Mastering display metadata",
    SideData.CONTENT_LIGHT_LEVEL: "Content light level metadata",
    SideData.DYNAMIC_HDR_PLUS: "HDR Dynamic Metadata SMPTE2094-40 (HDR10+)",
    SideData.DOVI_METADATA: "Dolby Vision Metadata",
    SideData.DOVI_RPU_BUFFER: "Dolby Vision RPU Data",
}
_QUESTION_BYTES = 65_536
_TOLD = re.compile("language|title|bps", re.IGNORECASE)  # the tags of a stream that are reported
_CLOCKWISE = {90: ["clock"], 180: ["clock", "clock"], 270: ["cclock"]}
_FURTHER_BACK_S = 10.0
_FIRST_PACKETS = 200  # read to find a stream's first frame, whose side data has rotation and HDR
_ENCODERS = {
    "jpg": ("mjpeg", "yuvj420p", "image/jpeg"),
    "png": ("png", "rgb24", "image/png"),
    "webp": ("libwebp", "yuv420p", "image/webp"),
}


class Refused(Exception):  # noqa: N818 - says what happened to the file
    """`code`: one of not-media, damaged, no-video, too-big."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def opened(fd: int) -> Any:
    """Open the container behind an open file. Raises Refused."""
    options = {
        "fd": str(fd),
        "protocol_whitelist": "fd",
        "format_whitelist": ",".join(limits.FORMATS),
        "max_pixels": str(limits.PIXELS),
    }
    with av.logging.Capture(local=False) as said:
        try:
            timeout = (limits.TIMEOUT_S, limits.READ_S)
            return av.open("fd:", options=options, timeout=timeout, metadata_encoding="utf-8", metadata_errors="replace")
        except av.error.FFmpegError as exc:
            raise _unreadable(exc, said) from exc


def _unreadable(exc: Exception, said: list[tuple[int, str, str]]) -> Refused:
    """Return why a file cannot be opened.

    A demuxer that recognised its format and then gave up has logged the reason under its name. Without such a line, this is not
    media.
    """
    if isinstance(exc, MemoryError):
        return Refused("too-big", "Reading it takes more memory than a media file may cost.")
    why = [line.strip(" .\n") for _, name, line in said if set(name.split(",")) & set(limits.FORMATS) and "whitelist" not in line]
    if not why:
        return Refused("not-media", "This is not a media file of a kind we know.")
    return Refused("damaged", f"The media file is damaged: {why[-1][:200]}.")


# Info --------------------------------------------------------------------------------------------------------------------------


def info(question: dict[str, Any]) -> dict[str, Any]:
    """Return the document. `measure`: count packets when the header has no bit rate."""
    complaints: list[str] = []
    with opened(question["fd"]) as container, av.logging.Capture(local=False) as said:
        streams = [_stream(stream) for stream in container.streams]
        tags = _tags(container.metadata)
        document = {
            "format": {
                "format_name": container.format.name,
                "duration": None if container.duration is None else container.duration / av.time_base,
                "bit_rate": container.bit_rate or None,
                "tags": tags,
            },
            "chapters": [_chapter(chapter) for chapter in container.chapters()[: limits.CHAPTERS]],
            "streams": streams,
            "measured": {},
        }
        _look_at_frames(container, streams)
        if question.get("measure"):
            document["measured"] = _measured(container, streams)
            _read_end(container)
        complaints = [_sentence(line) for level, _, line in said if level <= av.logging.ERROR and line.strip()]
    if not streams:
        raise Refused("damaged", "No audio or video streams are found in it: the file is damaged.")
    document["complaints"] = list(dict.fromkeys(complaints))[:5]
    return document


def _sentence(line: str) -> str:
    """Return a line of FFmpeg's log without its repeat count."""
    return " ".join(line.partition(" (repeated ")[0].split()).rstrip(".!")


def _stream(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    found: dict[str, Any] = {
        "index": stream.index,
        "codec_type": stream.type,
        "codec_name": "unknown" if context is None else context.codec.canonical_name,
        "duration": None if stream.duration is None else float(stream.duration * stream.time_base),
        "disposition": {flag.name: int(bool(stream.disposition & flag)) for flag in type(stream.disposition)},
        "tags": {name: value for name, value in _tags(stream.metadata).items() if _TOLD.match(name)},
    }
    if context is not None:
        found["profile"] = stream.profile
        found["bit_rate"] = getattr(context, "bit_rate", None) or None
    if context is not None and stream.type == "video":
        found |= _video(stream, context)
    elif context is not None and stream.type == "audio":
        found |= _audio(context, found["codec_name"])
    return found


def _video(stream: Any, context: Any) -> dict[str, Any]:
    return {
        "width": context.width,
        "height": context.height,
        "sample_aspect_ratio": _ratio(stream.sample_aspect_ratio),
        "field_order": _FIELDS.get(context.field_order),
        "pix_fmt": context.pix_fmt,
        "bits_per_raw_sample": max((part.bits for part in context.format.components), default=None) if context.format else None,
        "avg_frame_rate": None
        if stream.average_rate is None
        else f"{stream.average_rate.numerator}/{stream.average_rate.denominator}",
        "r_frame_rate": None if stream.base_rate is None else f"{stream.base_rate.numerator}/{stream.base_rate.denominator}",
        "color_range": _RANGE.get(int(context.color_range)),
        "color_space": _SPACE.get(int(context.colorspace)),
        "color_transfer": _TRANSFER.get(int(context.color_trc)),
        "color_primaries": _PRIMARIES.get(int(context.color_primaries)),
    }


def _audio(context: Any, codec: str) -> dict[str, Any]:
    return {
        "sample_rate": context.sample_rate,
        "channels": context.layout.nb_channels,
        "channel_layout": None if context.layout.name.endswith(" channels") else context.layout.name,
        "bits_per_raw_sample": _sample_bits(codec, bytes(context.extradata or b""), context.format and context.format.bits),
    }


def _sample_bits(codec: str, extradata: bytes, decoded: int | None) -> int | None:
    """Return the bits per sample of lossless audio.

    PCM codecs name it (pcm_s24le), FLAC has it in STREAMINFO (RFC 9639, 8.2) and ALAC in its cookie. TrueHD's 24 bits are decoded
    to 32.
    """
    if codec == "flac" and len(extradata) >= 34:
        return ((extradata[12] & 1) << 4 | extradata[13] >> 4) + 1
    if codec == "alac" and len(extradata) >= 36:
        return extradata[17]
    if codec in {"truehd", "mlp"}:
        return {16: 16, 32: 24}.get(decoded or 0)
    named = re.fullmatch(r"pcm_[suf](\d+)(le|be)?", codec)
    return int(named[1]) if named else None


def _ratio(value: Fraction | None) -> str | None:
    return f"{value.numerator}:{value.denominator}" if value else None


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {str(name)[:200]: str(value)[:2000] for name, value in list(metadata.items())[:200]}


def _chapter(chapter: Any) -> dict[str, Any]:
    base = chapter["time_base"]
    return {
        "start_time": float(chapter["start"] * base),
        "end_time": float(chapter["end"] * base),
        "tags": _tags(chapter["metadata"]),
    }


def _look_at_frames(container: Any, streams: list[dict[str, Any]]) -> None:
    """Decode one frame of the first video, whose side data has rotation and HDR. A frame that cannot be decoded is skipped."""
    film = _film(container)
    if film is None or _too_big(film.codec_context):
        return
    try:
        for count, packet in enumerate(container.demux(film)):
            frames = packet.decode()
            if frames:
                streams[film.index]["side_data_list"] = _side_data(frames[0])
                return
            if count > _FIRST_PACKETS:
                return
    except (av.error.FFmpegError, MemoryError):
        return


def _side_data(frame: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if frame.rotation:
        found.append({"side_data_type": "Display Matrix", "rotation": frame.rotation})
    with contextlib.suppress(ValueError):  # PyAV 18 returns none if one has an unnamed type, such as a JPEG's EXIF
        found += [_told(data) for data in frame.side_data if data.type in _SIDE_DATA]
    return found


def _told(data: Any) -> dict[str, Any]:
    """Parse AVMasteringDisplayMetadata or AVContentLightMetadata.

    The first has ten fractions (the last are min and max luminance) and two flags. The second has two numbers.
    """
    told: dict[str, Any] = {"side_data_type": _SIDE_DATA[data.type]}
    raw = bytes(data)
    if data.type is SideData.MASTERING_DISPLAY_METADATA and len(raw) >= 88 and struct.unpack_from("=i", raw, 84)[0]:
        low, low_by, high, high_by = struct.unpack_from("=4i", raw, 64)
        told |= {"min_luminance": f"{low}/{low_by}", "max_luminance": f"{high}/{high_by}"}
    if data.type is SideData.CONTENT_LIGHT_LEVEL and len(raw) >= 8:
        told["max_content"], told["max_average"] = struct.unpack_from("=II", raw)
    return told


def _film(container: Any) -> Any:
    """Return the first video track that is not a cover and can be decoded."""
    return next((stream for stream in container.streams.video if stream.codec_context and not _is_cover(stream)), None)


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _too_big(context: Any) -> bool:
    return bool(context.width * context.height > limits.PIXELS)


def _measured(container: Any, streams: list[dict[str, Any]]) -> dict[str, Any]:
    """Measure the bit rate of each stream that does not give one, by counting packets.

    The result is exact if the end of the file is reached; otherwise it covers the part that was read.
    """
    silent = {
        s["index"]
        for s in streams
        if s["codec_type"] in {"video", "audio"} and not s["disposition"]["attached_pic"]
        if not s.get("bit_rate") and not any(t.startswith("BPS") for t in s["tags"])
    }
    if not silent:
        return {}
    sums: dict[int, int] = dict.fromkeys(silent, 0)
    begins: dict[int, float] = {}
    ends: dict[int, float] = {}
    read, source, give_up = 0, "measured", time.monotonic() + limits.MEASURE_S
    try:
        container.seek(0)
        for packet in container.demux():
            read += packet.size
            index = packet.stream.index
            if index in silent and packet.size:
                sums[index] += packet.size
                if packet.pts is not None:
                    begin, end = (float(t * packet.time_base) for t in (packet.pts, packet.pts + (packet.duration or 0)))
                    begins[index], ends[index] = min(begins.get(index, begin), begin), max(ends.get(index, end), end)
            if read > limits.MEASURE_BYTES or time.monotonic() > give_up:
                source = "sampled"
                break
    except (av.error.FFmpegError, MemoryError):
        source = "sampled"
    spans = {index: ends[index] - begins[index] for index in ends}
    return {str(i): {"bit_rate": round(sums[i] * 8 / span), "source": source} for i, span in spans.items() if span > 0}


def _read_end(container: Any) -> None:
    """Read the last packets. If the end is missing, these two demuxers report it; other demuxers would search for the end."""
    if not container.duration or not container.format.name.startswith(("mov,", "matroska,")):
        return
    try:
        container.seek(max(0, container.duration - av.time_base))
        for count, _ in enumerate(container.demux()):
            if count > _FIRST_PACKETS:
                return
    except (av.error.FFmpegError, MemoryError):
        return


# Images ------------------------------------------------------------------------------------------------------------------------


def thumbnail(question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return the frame at `at` seconds, or the last one before; a file with only a cover shows that.

    `size`: [width, height]; -1: follows from the proportions.
    """
    with opened(question["fd"]) as container:
        film = _film(container)
        if film is None:
            cover = next((stream for stream in container.streams.video if stream.codec_context), None)
            if cover is None:
                raise Refused(
                    "no-video", "This file has no picture, only sound." if container.streams else "This file holds no stream."
                )
            frame, notice, seconds = _first(container, cover), "cover", 0.0
        else:
            _check_size(film.codec_context)
            end = _end(container, film)
            frame = _frame_at(container, film, question["at"], end)
            seconds = _shown_at(film, frame)
            notice = "clamped" if question["at"] > (end or seconds + 1) else ""
        image, width, height = _encoded(frame, (), _size(film or cover, frame, question["size"]), None, question["format"])
        return {"width": width, "height": height, "seconds": [seconds], "notice": notice}, image


def contact_sheet(question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return `frames` pictures spread over the whole video, `columns` in a row."""
    with opened(question["fd"]) as container:
        film = _film(container)
        if film is None:
            raise Refused("no-video", "This file has no film to show.")
        _check_size(film.codec_context)
        end, count = _end(container, film), question["frames"]
        seconds: list[float] = []

        def frame_of(index: int) -> Any:
            frame = _frame_at(container, film, (index + 0.5) * end / count, end)
            seconds.append(_shown_at(film, frame))
            return frame

        first, columns = frame_of(0), min(question["columns"], count)
        tiles = columns, math.ceil(count / columns)
        others = map(frame_of, range(1, count))
        image, width, height = _encoded(first, others, _size(film, first, question["size"]), tiles, question["format"])
        return {"width": width, "height": height, "seconds": seconds, "notice": ""}, image


def _check_size(context: Any) -> None:
    if _too_big(context):
        raise Refused("too-big", f"The picture is {context.width} x {context.height} pixels: too large to be decoded here.")


def _end(container: Any, film: Any) -> float:
    """Return the video's end in seconds after its start. If the file has no duration, search as far as a short time allows."""
    if film.duration:
        return float(film.duration * film.time_base)
    return container.duration / av.time_base if container.duration else _latest(container, film)


def _latest(container: Any, film: Any) -> float:
    """Return the time of the latest packet in seconds after the start; 0 when packets have no times."""
    found, give_up = 0.0, time.monotonic() + limits.MEASURE_S
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(film):
            if packet.pts is not None:
                found = max(found, float((packet.pts - (film.start_time or 0)) * packet.time_base))
            if time.monotonic() > give_up:
                break
    return found


def _shown_at(film: Any, frame: Any) -> float:
    """Return a frame's seconds after the video's start."""
    return max(0.0, round((frame.time or 0.0) - float((film.start_time or 0) * film.time_base), 3))


def _first(container: Any, stream: Any) -> Any:
    try:
        _check_size(stream.codec_context)
        return next(container.decode(stream))
    except (StopIteration, av.error.FFmpegError) as exc:
        raise Refused("damaged", "No picture of it can be decoded: the file is damaged.") from exc


def _frame_at(container: Any, film: Any, at: float, end: float) -> Any:
    """Return the frame shown at this time; past the end, the last one. Raises Refused when none can be decoded."""
    start = float((film.start_time or 0) * film.time_base)
    wanted = start + at
    target = min(wanted, start + max(0.0, end - 0.001))
    late = None
    # Seeking in streams without an index is a guess and usually lands too late; a damaged index misleads.
    for place in (target if target > start else 0.0, target - _FURTHER_BACK_S, 0.0):
        frame = _decoded_to(container, film, max(0.0, place), wanted)
        if frame is not None and (frame.time is None or frame.time <= wanted + 1e-6):
            return frame
        late = late or frame
    if late is None:
        raise Refused("damaged", "No picture of it can be decoded: the file is damaged.")
    return late


def _decoded_to(container: Any, film: Any, place: float, wanted: float) -> Any:
    """Return the last frame up to `wanted`, decoding from `place`; the first one if all are later, None if there is none."""
    last = None
    try:
        _go_to(container, film, place)
        for count, frame in enumerate(container.decode(film)):
            if last is not None and frame.time is not None and frame.time > wanted + 1e-6:
                return last
            last = frame
            if count >= limits.DECODE_FRAMES:
                break
    except MemoryError:
        raise
    except av.error.FFmpegError:
        pass
    return last


def _go_to(container: Any, film: Any, place: float) -> None:
    """Seek. Raises FFmpegError. The beginning is found in any file, even in a raw stream without times."""
    try:
        container.seek(int(place / film.time_base), stream=film)
    except av.error.FFmpegError:
        if place:
            raise
        container.seek(0, unsupported_byte_offset=True)


def _size(stream: Any, frame: Any, size: list[int]) -> tuple[int, int]:
    """Return the image's width and height: upright, with square pixels. -1 follows from the video's proportions."""
    sample = float(stream.sample_aspect_ratio or 1)
    width, height = frame.width * sample, float(frame.height)
    if frame.rotation % 180:
        width, height = height, width
    wide, high = size
    if wide < 0:
        wide = round(high * width / height)
    if high < 0:
        high = round(wide * height / width)
    fit = min(1.0, limits.WIDTH[1] / max(wide, high))
    return max(2, round(wide * fit)), max(2, round(high * fit))


def _encoded(
    first: Any, others: Iterable[Any], size: tuple[int, int], tiles: tuple[int, int] | None, format_: str
) -> tuple[bytes, int, int]:
    """Scale, turn, tile and encode the first frame and the others."""
    encoder, pixels, _ = _ENCODERS[format_]
    turns = _CLOCKWISE.get(-round(first.rotation) % 360, [])
    across, down = (size[1], size[0]) if len(turns) == 1 else size
    graph = Graph()
    chain = [
        graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=Fraction(1, 1000)),
        graph.add("scale", f"{across}:{down}:flags=bicubic"),
        *(graph.add(*told) for told in hdr.filters(int(first.color_trc))),
        *(graph.add("transpose", turn) for turn in turns),
        graph.add("setsar", "1"),
        *([graph.add("tile", f"{tiles[0]}x{tiles[1]}:padding=4:margin=4")] if tiles else []),
        graph.add("scale", "in_range=auto:out_range=pc" if encoder == "mjpeg" else "iw:ih"),
        graph.add("format", f"pix_fmts={pixels}"),
        graph.add("buffersink"),
    ]
    for source, target in itertools.pairwise(chain):
        source.link_to(target)
    graph.configure()
    made: Any = None
    for count, frame in enumerate(itertools.chain((first,), others)):
        if (frame.width, frame.height, frame.format.name) != (first.width, first.height, first.format.name):
            frame = frame.reformat(first.width, first.height, first.format.name)  # noqa: PLW2901 - films may change their size
        frame.pts, frame.time_base = count, Fraction(1, 1000)
        graph.push(frame)
        with contextlib.suppress(BlockingIOError):  # needs more input; pulled now, to hold only one large frame at a time
            made = graph.pull()
    if made is None:
        graph.push(None)
        made = graph.pull()
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt, context.time_base = made.width, made.height, pixels, Fraction(1, 25)
    if encoder == "mjpeg":
        context.options = {"qmin": "3", "qmax": "3"}
    made.pts, made.time_base = 0, Fraction(1, 25)
    return b"".join(bytes(packet) for packet in (*context.encode(made), *context.encode(None))), made.width, made.height


# Program -----------------------------------------------------------------------------------------------------------------------


def answer(question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return the answer to a question. A refusal is an answer, too."""
    try:
        if question["do"] == "info":
            return info(question), b""
        document, image = (contact_sheet if question["do"] == "contact_sheet" else thumbnail)(question)
        return {**document, "media_type": _ENCODERS[question["format"]][2]}, image
    except Refused as exc:
        return {"refused": exc.code, "message": str(exc)}, b""
    except MemoryError:
        return {"refused": "too-big", "message": "Reading it takes more memory than a media file may cost."}, b""
    except av.error.FFmpegError as exc:
        return {"refused": "damaged", "message": f"The media file is damaged: {exc.strerror}."}, b""


def main() -> None:
    """Answer the one question that arrives with the open file over the socket of the command line. End when no question comes."""
    av.logging.set_level(av.logging.ERROR)
    sandbox.enter_as_reader()
    with socket.socket(fileno=int(sys.argv[1])) as line:
        said, files, _, _ = socket.recv_fds(line, _QUESTION_BYTES, 1)
    if not files:
        return
    document, image = answer({**json.loads(said), "fd": files[0]})
    head = json.dumps(document).encode()
    if len(head) > limits.INFO_BYTES:
        head = json.dumps({"refused": "too-big", "message": "It says more about itself than a media file may."}).encode()
    sys.stdout.buffer.write(len(head).to_bytes(4, "big") + head + image)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
