"""`mediainfo`, `mstats`, `thumbnail` and `plan`: through the API or, with `--local`, on local files without a server."""

import asyncio
import os
import stat
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import msgspec

from cli import render, sentences
from cli.actions import Actions
from cli.client import Doc
from cli.exits import Exit, Failure
from shared import units
from shared.errors import NOT_FOUND, ConfigurationError, PermanentError
from shared.files import handles
from shared.files.manifest import printable
from shared.infra.settings import MediaTools, load
from shared.media import limits, times
from shared.media.model import AudioStream, MediaInfo, SubtitleStream, VideoStream
from shared.service.rpc import FolderSeen

_INFO = "/api/media/info"
_FORMATS: dict[str, limits.ImageFormat] = {".jpg": "jpg", ".jpeg": "jpg", ".png": "png", ".webp": "webp"}
_ENDINGS = {"image/png": "png", "image/webp": "webp"}
_SHOWN = 10
_SLOW_S = 60.0  # the scanner may make us wait for a free slot before it does the work
_LANGUAGES = {
    "eng": "English", "spa": "Spanish", "deu": "German", "ger": "German", "fra": "French", "fre": "French", "ita": "Italian",
    "por": "Portuguese", "rus": "Russian", "jpn": "Japanese", "zho": "Chinese", "chi": "Chinese", "kor": "Korean", "ara": "Arabic",
    "nld": "Dutch", "dut": "Dutch", "pol": "Polish", "swe": "Swedish", "tur": "Turkish", "ukr": "Ukrainian", "hin": "Hindi",
}  # fmt: skip


class Estimate(msgspec.Struct, kw_only=True):
    archive_bytes: int
    seconds: float
    basis_jobs: int
    needed_bytes: int
    available_bytes: int
    fits: bool


class Preview(FolderSeen, kw_only=True):
    estimate: Estimate
    names_hidden: bool = False


class Media(Actions):
    """The commands for media files, and the folder preview before archiving."""

    def info(self, path: str, brief: bool, nas: bool, local: bool, as_json: bool) -> None:
        if local:
            value = _local_info(path, brief=brief)
            raw: Any = msgspec.to_builtins(value)
        else:
            with self._client() as client:
                question = {"path": path, "root": _root(nas), "brief": str(brief).lower()}
                doc = client.read(_INFO, MediaInfo, question, timeout_s=_SLOW_S)
            value, raw = doc.value, doc.raw
        if as_json:
            render.emit_json(raw)
        else:
            render.facts(_brief_facts(value) if brief else _facts(value))

    def thumbnail(
        self,
        path: str,
        timestamp: str,
        width: int | None,
        frames: int | None,
        output: Path | None,
        force: bool,
        nas: bool,
        local: bool,
        as_json: bool,
    ) -> None:
        _checked_time(timestamp)
        stem = f"{Path(path).stem}{'-sheet' if frames else ''}"
        named = None if output is None or output.is_dir() else output
        wanted = None if named is None else _image_format(named)
        if named is not None:
            _refuse_taken(named, force)
        if local:
            image, seconds, notice, kind = _local_picture(path, timestamp, width, frames, wanted)
        else:
            address = "/api/media/thumbnail" if frames is None else "/api/media/contact-sheet"
            question = {"path": path, "root": _root(nas), "width": width, "format": wanted}
            question |= {"timestamp": timestamp} if frames is None else {"frames": frames}
            with self._client() as client:
                answer = client.fetch(address, question, timeout_s=_SLOW_S)
            image, kind = answer.content, answer.headers.get("content-type", "")
            seconds = [float(part) for part in answer.headers.get("X-Media-Seconds", "0").split(",")]
            notice = unquote(answer.headers.get("X-Media-Notice", ""))
        target = named or (output or Path()) / f"{stem}.{_ENDINGS.get(kind, 'jpg')}"
        _save(image, target, force)
        if notice:
            render.talk(sentences.clean(notice))
        asked = [times.parse(timestamp)] if frames is None and not notice else seconds  # a frame starts a moment before it is shown
        shown = ", ".join(times.show(second) for second in asked)
        if as_json:
            source, file = (printable(os.fsencode(name)) for name in (path, target))
            render.emit_json({"source": source, "file": file, "size_bytes": len(image), "seconds": seconds, "notice": notice})
        else:
            render.facts((("Source", path), ("Timestamp", shown), ("Size", sentences.size(len(image))), ("File", str(target))))

    def plan(self, path: str, as_json: bool) -> None:
        with self._client() as client:

            def look(found: str) -> Doc[Preview]:
                return client.read("/api/folders/preview", Preview, {"path": found}, timeout_s=_SLOW_S)

            doc = self._at_folder(client, path, look)
            while not doc.value.complete:
                if sys.stderr.isatty():
                    seen = doc.value
                    print(
                        f"\r{seen.stage}: {units.counted(seen.file_count, 'file')}, {sentences.size(seen.total_bytes)} ",
                        end="",
                        file=sys.stderr,
                        flush=True,
                    )
                time.sleep(0.5)
                doc = look(doc.value.path)
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        if as_json:
            render.emit_json(doc.raw)
        else:
            render.facts(plan_facts(doc.value))
        if doc.value.refusals:
            raise Failure(Exit.CONFLICT, "This folder would be refused as it is; see above.")


def _root(nas: bool) -> str:
    return "nas" if nas else "workspace"


def _checked_time(timestamp: str) -> float:
    try:
        return times.parse(timestamp)
    except PermanentError as exc:
        raise Failure(Exit.USAGE, str(exc)) from exc


# Local files ---------------------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a local file. Raises Failure."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        code = Exit.REFUSED if isinstance(exc, PermissionError) else Exit.NOT_FOUND
        raise Failure(code, f"{sentences.clean(path)} cannot be read: {exc.strerror}.") from exc
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Failure(Exit.USAGE, f"{sentences.clean(path)} is no file.")
        yield handle
    except ConfigurationError as exc:
        raise Failure(Exit.CONFIGURATION, str(exc)) from exc
    except PermanentError as exc:
        raise Failure(Exit.NOT_FOUND if exc.code == NOT_FOUND else Exit.USAGE, str(exc)) from exc
    finally:
        os.close(handle)


def _local_info(path: str, *, brief: bool) -> MediaInfo:
    from shared.media import reader  # noqa: PLC0415 - asyncio's child processes: only --local needs them

    with _opened(path) as handle:
        reader.check_installed()
        return asyncio.run(reader.info(handle, printable(os.fsencode(Path(path).name)), brief=brief))


def _image_format(output: Path) -> limits.ImageFormat:
    """Return the image format that the file name implies. Raises Failure for any other."""
    found = _FORMATS.get(output.suffix.lower())
    if found is None:
        shown = sentences.clean(str(output))
        raise Failure(Exit.USAGE, f"{shown} does not say what kind of image it is: let it end with .jpg, .png or .webp.")
    return found


def _refuse_taken(target: Path, force: bool) -> None:
    if not force and os.path.lexists(target):
        raise Failure(
            Exit.CONFLICT,
            f"{sentences.clean(str(target))} is there already: say --force to replace it, or name another file with --output.",
        )


def _local_picture(
    path: str, timestamp: str, width: int | None, frames: int | None, kind: limits.ImageFormat | None
) -> tuple[bytes, list[float], str, str]:
    from shared.media import reader  # noqa: PLC0415 - as above

    try:
        tools = load(MediaTools)
    except ConfigurationError as exc:
        raise Failure(Exit.CONFIGURATION, str(exc)) from exc
    across, down = map(int, tools.thumbnail_size.split(":"))
    shape = reader.Shape((across, down), cast("limits.ImageFormat", tools.thumbnail_format)).of_width(width).of_format(kind)
    with _opened(path) as handle:
        reader.check_installed()
        asked = (
            reader.thumbnail(handle, times.parse(timestamp), shape)
            if frames is None
            else reader.contact_sheet(handle, frames, 4, shape)
        )
        made = asyncio.run(asked)
    return made.image, made.seconds, made.notice, made.media_type


def _save(image: bytes, target: Path, force: bool) -> None:
    """Write the image. After a crash the target is either the old or the new file. Without `force` an old file is kept."""
    _refuse_taken(target, force)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".thumbnail-")
        try:
            with os.fdopen(handle, "wb") as new:
                new.write(image)
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)
            if force:
                Path(name).replace(target)
            else:
                with handles.root(target.parent) as folder:
                    handles.rename_noreplace(folder, os.fsencode(Path(name).name), folder, os.fsencode(target.name))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except FileExistsError:
        _refuse_taken(target, force)
        raise
    except OSError as exc:
        raise Failure(Exit.USAGE, f"Cannot write {sentences.clean(str(target))}: {exc.strerror}.") from exc


# Output ------------------------------------------------------------------------------------------------------------------------

Facts = list[tuple[str, str]]


def rate(bits: float | None) -> str:
    """Format bits per second as "4.2 Mbps"; 1 Kbps = 1,000 bit/s, the unit of broadcasters."""
    if bits is None:
        return ""
    return f"{bits / 1e6:.1f} Mbps" if bits >= 1e6 else f"{bits / 1e3:.0f} Kbps"


def language(code: str | None) -> str:
    return _LANGUAGES.get(code or "", code or "")


def _head(info: MediaInfo) -> Facts:
    return [("File", info.file), ("Format", info.format), ("Duration", info.duration), ("Size", info.size_human)]


def _quality(info: MediaInfo) -> Facts:
    warnings = [("Warning", sentence) for sentence in ([] if info.quality is None else info.quality.warnings) + info.warnings]
    return [("Quality", "" if info.quality is None else info.quality.label), *warnings]


def _brief_facts(info: MediaInfo) -> Facts:
    return [
        *_head(info),
        ("Resolution", info.resolution or ""),
        ("Video Codec", info.video_codec or ""),
        ("Audio Codec", info.audio_codec or ""),
        ("Channels", info.channels or ""),
        *_quality(info),
    ]


def _facts(info: MediaInfo) -> Facts:
    facts = [*_head(info), ("Bitrate", rate(info.bit_rate))]
    for number, video in enumerate(info.video_streams, 1):
        facts += _named(f"Video {number}", _video(video))
    for number, audio in enumerate(info.audio_streams, 1):
        facts += _named(f"Audio {number}", _audio(audio))
    facts += [(f"Subtitle {number}", _subtitle(s)) for number, s in enumerate(info.subtitle_streams, 1)]
    facts += [(f"Chapter {n}", f"{times.show(c.start_seconds)} {c.title}".strip()) for n, c in enumerate(info.chapters, 1)]
    facts += [(f"Tag {name}", value) for name, value in info.metadata.items()]
    return facts + _quality(info)


def _named(prefix: str, facts: Facts) -> Facts:
    return [(f"{prefix} {name}", value) for name, value in facts]


def _codec(stream: VideoStream | AudioStream) -> str:
    profile = f" ({stream.profile} Profile)" if stream.profile and isinstance(stream, VideoStream) else ""
    return stream.codec_label + profile


def _flags(stream: VideoStream | AudioStream) -> str:
    return ", ".join(name.replace("_", " ") for name in stream.dispositions if name != "attached_pic")


def _video(video: VideoStream) -> Facts:
    differs = (video.display_width, video.display_height) != (video.width, video.height)
    shown = f"{video.width}x{video.height}" + ("" if video.fps is None else f" @ {video.fps:g} FPS")
    return [
        ("Codec", _codec(video) + (" (cover)" if video.attached_picture else "")),
        ("Resolution", shown),
        ("Shown As", f"{video.display_width}x{video.display_height}" if differs else ""),
        ("Aspect Ratio", video.aspect_ratio or ""),
        ("Field Order", video.field_order or ""),
        ("Bitrate", rate(video.bit_rate)),
        ("Pixel Format", video.pixel_format or ""),
        ("Color Space", video.color_space or ""),
        ("HDR", video.hdr or ""),
        ("Rotation", f"{video.rotation} degrees" if video.rotation else ""),
        ("Language", language(video.language)),
        ("Flags", _flags(video)),
    ]


def _audio(audio: AudioStream) -> Facts:
    return [
        ("Language", language(audio.language)),
        ("Codec", _codec(audio)),
        ("Channels", audio.channel_label),
        ("Sample Rate", f"{audio.sample_rate} Hz" if audio.sample_rate else ""),
        ("Bitrate", rate(audio.bit_rate)),
        ("Flags", _flags(audio)),
    ]


def _subtitle(subtitle: SubtitleStream) -> str:
    words = subtitle.codec_label + (f" - {language(subtitle.language)}" if subtitle.language else "")
    notes = ((" [FORCED]", subtitle.forced), (" (Styled)", subtitle.styled), (" (hearing impaired)", subtitle.hearing_impaired))
    return words + "".join(note for note, true in notes if true)


def plan_facts(seen: Preview) -> Facts:
    """Return what is in a folder and what archiving it will cost, the most important facts first."""
    plan, media = seen.estimate, seen.media
    basis = f"as the last {units.counted(plan.basis_jobs, 'job')}" if plan.basis_jobs else "a rough guess: no job has completed yet"
    lacking = "" if plan.fits else f", {sentences.size(plan.needed_bytes - plan.available_bytes)} too little"
    doubtful = [film for film in seen.films if film.warnings]
    part = "" if media.measured_count == media.file_count else f", of {media.measured_count} of them"
    return [
        ("Folder", seen.path),
        ("Files", f"{seen.file_count:,} in {units.counted(seen.folder_count + 1, 'folder')}"),
        ("Size", sentences.size(seen.total_bytes)),
        ("Archive", f"about {sentences.size(plan.archive_bytes)}"),
        ("Time", f"{units.about(plan.seconds)} ({basis})"),
        ("Space needed", f"{sentences.size(plan.needed_bytes)} of {sentences.size(plan.available_bytes)}{lacking}"),
        (
            "Media",
            f"{units.counted(media.file_count, 'file')}, {times.show(media.duration_seconds)}{part}" if media.file_count else "",
        ),
        *(
            ("Quality", f"{n} of {label}")
            for label, n in Counter(film.quality for film in seen.films if film.quality).most_common()
        ),
        *(
            ("Film", f"{film.path or 'a file'}  {film.quality or 'no rating'}: {'; '.join(film.warnings)}")
            for film in _first(doubtful)
        ),
        ("Film", f"{len(doubtful) - _SHOWN:,} more with warnings: see --json" if len(doubtful) > _SHOWN else ""),
        *(
            ("Type", f"{kind.type or 'no ending'}: {units.counted(kind.file_count, 'file')}, {sentences.size(kind.size_bytes)}")
            for kind in _first(seen.types)
        ),
        *(("Largest", f"{sentences.size(file.size_bytes)}  {file.path}") for file in _first(seen.largest)),
        *(
            ("In", f"{b.path}/  {units.counted(b.file_count, 'file')}, {sentences.size(b.size_bytes)}")
            for b in _first([b for b in seen.tree if b.depth == 1])
        ),
        *(("Refused", sentence) for sentence in seen.refusals),
        *(("Changing", sentence) for sentence in seen.changed),
        *(("Warning", sentence) for sentence in seen.warnings),
    ]


def _first(items: Sequence[Any]) -> Sequence[Any]:
    return items[:_SHOWN]


FRAMES = limits.SHEET_FRAMES
WIDTH = limits.WIDTH
