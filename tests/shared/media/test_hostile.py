"""Malicious files: they open no other file, stay within their limits, and leave no child process."""

import os
import shutil
import signal
import struct
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.errors import PermanentError
from shared.media import limits, reader
from shared.media.model import MediaInfo
from shared.media.reader import DAMAGED, NOT_MEDIA, TOO_BIG, TOO_LONG, Cost, Readers, Shape
from tests.support.films import run

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{target}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{target}'\n"
DASH = '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><BaseURL>file://{target}</BaseURL></MPD>'
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"


async def both(file: Path, cost: Cost = Cost()) -> list[str | None]:  # noqa: B008 - frozen
    """Return the error codes of info and of a thumbnail; "" if there was a result."""
    handle = os.open(file, os.O_RDONLY)
    try:
        return [
            await refusal(reader.info(handle, file.name, readers=Readers(cost))),
            await refusal(reader.thumbnail(handle, 5.0, Shape(), readers=Readers(cost))),
        ]
    finally:
        os.close(handle)


async def told(file: Path) -> MediaInfo:
    handle = os.open(file, os.O_RDONLY)
    try:
        return await reader.info(handle, file.name)
    finally:
        os.close(handle)


async def refusal(work: Awaitable[Any]) -> str | None:
    try:
        await work
    except PermanentError as exc:
        return exc.code
    return ""


def children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # processes other than readers, such as engines, end at any time
            if "shared.media.probe" in child.cmdline():
                found.append(child)
    return found


@pytest.mark.parametrize("name", ["evil.mp4", "evil.m3u8", "evil.mkv", "evil.txt"])
@pytest.mark.parametrize("playlist", [HLS, CONCAT, DASH, SDP], ids=["hls", "concat", "dash", "sdp"])
async def test_a_playlist_opens_nothing(films: Path, tmp_path: Path, playlist: str, name: str) -> None:
    """Under any name, a list that names another file is no media, even if that file is."""
    file = tmp_path / name
    file.write_text(playlist.format(target=films / "h264.mp4"))

    assert await both(file) == [NOT_MEDIA, NOT_MEDIA]


async def test_the_child_can_reach_nothing_but_its_file(films: Path, tmp_path: Path) -> None:
    """A playlist inside a real container: QuickTime's reference to another file is not followed."""
    whole = bytearray((films / "late.mp4").read_bytes())
    where = whole.find(b"url \x00\x00\x00\x01")  # "the data is in this file": flag 1
    assert where > 0
    whole[where + 7] = 0
    file = tmp_path / "reference.mov"
    file.write_bytes(whole)

    codes = await both(file)

    assert set(codes) <= {"", DAMAGED, NOT_MEDIA}


async def test_giant_dimensions_cost_no_memory(films: Path, tmp_path: Path) -> None:
    """A header that claims 30,000 x 30,000 pixels is reported, but never decoded."""
    whole = bytearray((films / "old.avi").read_bytes())
    where = whole.find(b"strf") + 8
    whole[where + 4 : where + 12] = struct.pack("<ii", 30_000, 30_000)
    file = tmp_path / "giant.avi"
    file.write_bytes(whole)

    codes = await both(file)

    assert codes[1] in {TOO_BIG, DAMAGED, ""}  # FFmpeg may know the real size from the stream itself
    assert children() == []


async def test_memory_is_limited(films: Path) -> None:
    """A child with less memory than its libraries need reports this, and nothing is left."""
    assert set(await both(films / "h264.mp4", Cost(memory_bytes=64 << 20))) <= {TOO_BIG, DAMAGED}
    assert children() == []


async def test_time_is_limited(films: Path) -> None:
    """A child that takes too long is ended, with its whole process group."""
    assert await both(films / "h264.mp4", Cost(timeout_s=0.001)) == [TOO_LONG, TOO_LONG]
    assert children() == []


async def test_an_endless_file_ends(tmp_path: Path) -> None:
    """A terabyte of zeros after a good beginning is answered or refused, within its limits."""
    file = tmp_path / "endless.mp3"
    file.write_bytes(b"ID3\x03\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x00" * 100)
    os.truncate(file, 1 << 40)

    codes = await both(file, Cost(timeout_s=20.0))

    assert set(codes) <= {"", NOT_MEDIA, DAMAGED, TOO_LONG, reader.NO_VIDEO}
    assert children() == []


async def test_a_good_beginning_before_gigabytes_of_nothing(films: Path, tmp_path: Path) -> None:
    """The readable part is reported. The search for the next packet is given up."""
    file = tmp_path / "film.mkv"
    shutil.copyfile(films / "subtitles.mkv", file)
    os.truncate(file, 3 << 30)

    assert (await told(file)).resolution == "320x180 @ 23.976 FPS"


async def test_endless_chapters_are_cut_off(films: Path, tmp_path: Path) -> None:
    """A response of several megabytes would not pass between services."""
    (tmp_path / "chapters.txt").write_text(
        ";FFMETADATA1\n" + "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}\nEND={n + 1}\ntitle=x\n" for n in range(1200))
    )
    run("-i", films / "h264.mp4", "-i", tmp_path / "chapters.txt", "-map_chapters", "1", "-c", "copy", tmp_path / "film.mkv")

    assert len((await told(tmp_path / "film.mkv")).chapters) == limits.CHAPTERS


async def test_endless_titles_are_refused(films: Path, tmp_path: Path) -> None:
    """A response with many long titles would not pass either."""
    title = "\N{SNOWMAN}" * 2000
    chapters = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}\nEND={n + 1}\ntitle={title}\n" for n in range(1100))
    (tmp_path / "chapters.txt").write_text(f";FFMETADATA1\n{chapters}", "utf-8")
    run("-i", films / "h264.mp4", "-i", tmp_path / "chapters.txt", "-map_chapters", "1", "-c", "copy", tmp_path / "film.mkv")

    assert await both(tmp_path / "film.mkv") == [TOO_BIG, ""]


async def test_side_data_nobody_has_a_name_for(films: Path, tmp_path: Path) -> None:
    """PyAV does not know a JPEG's EXIF. The film is still read, and its orientation counts."""
    run("-i", films / "h264.mp4", "-frames:v", "1", tmp_path / "plain.jpg")
    jpeg = (tmp_path / "plain.jpg").read_bytes()
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)  # orientation: a quarter turn
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    run("-f", "mjpeg", "-i", tmp_path / "turned.jpg", "-c", "copy", tmp_path / "film.mkv")

    video = (await told(tmp_path / "film.mkv")).video_streams[0]
    assert (video.width, video.height, video.rotation) == (320, 180, 90)


async def test_a_container_of_nothing_is_damaged(tmp_path: Path) -> None:
    """A file with no audio or video stream is damaged."""
    header = bytes(12) + struct.pack(">II", 1000, 0) + bytes(80)
    movie = struct.pack(">I4s", 8 + len(header), b"mvhd") + header
    file = tmp_path / "empty.mp4"
    file.write_bytes(struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + struct.pack(">I4s", 8 + len(movie), b"moov") + movie)

    with pytest.raises(PermanentError, match="No audio or video streams") as refused:
        await told(file)
    assert refused.value.code == DAMAGED


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"plain text\n" * 100, bytes(range(256)) * 50], ids=["empty", "zeros", "text", "bytes"]
)
async def test_what_is_no_media(tmp_path: Path, content: bytes) -> None:
    """By content, whatever the name."""
    file = tmp_path / "film.mp4"
    file.write_bytes(content)

    assert await both(file) == [NOT_MEDIA, NOT_MEDIA]


async def test_what_was_media_once(films: Path) -> None:
    """A beginning without its index, which was at the end."""
    assert await both(films / "headless.mp4") == [DAMAGED, DAMAGED]


async def test_bytes_turned_over_harm_nobody(films: Path, tmp_path: Path) -> None:
    """In each file, one byte in a thousand is damaged: a result or a refusal, never a defect of ours."""
    for name in ("h264.mp4", "vp9.webm", "stream.ts", "cover.mp3"):
        whole = bytearray((films / name).read_bytes())
        for place in range(137, len(whole), 997):
            whole[place] ^= 0xFF
        (tmp_path / name).write_bytes(whole)
        assert set(await both(tmp_path / name)) <= {"", *reader.CODES}


def test_a_child_that_ends_badly_is_explained() -> None:
    """Killed by its time-out, crashed, out of memory: each has its own sentence and code."""
    from shared.files.children import Outcome

    for outcome, code in (
        (Outcome(-signal.SIGXCPU, b""), TOO_LONG),
        (Outcome(-signal.SIGSEGV, b""), DAMAGED),
        (Outcome(1, b"MemoryError"), TOO_BIG),
        (Outcome(1, b"?"), DAMAGED),
    ):
        with pytest.raises(PermanentError) as refused:
            reader._check(outcome, Cost())
        assert refused.value.code == code
    reader._check(Outcome(0, b"[mp4] noise"), Cost())


def test_no_format_names_other_files() -> None:
    """Playlists and protocols are never on the list."""
    assert not set(limits.FORMATS) & {
        "hls",
        "applehttp",
        "concat",
        "dash",
        "sdp",
        "rtsp",
        "webm_dash_manifest",
        "image2",
        "tty",
        "lavfi",
    }
