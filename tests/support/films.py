"""Small media files of every relevant kind, made once per test run with Debian's ffmpeg (devstack/install_tools.sh).

`films` is the directory that holds them, and `NAMES` describes each. Without ffmpeg the tests fail; they are not skipped.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

_SRC = ("-f", "lavfi", "-i", "testsrc2=size={size}:rate={rate}:duration={seconds}")
_TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration={seconds}")
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")

SUBTITLE = "1\n00:00:00,000 --> 00:00:01,000\nHello\n"
CHAPTERS = """;FFMETADATA1
title=Two chapters
artist=Nobody
[CHAPTER]
TIMEBASE=1/1000
START=0
END=800
title=First
[CHAPTER]
TIMEBASE=1/1000
START=800
END=2000
title=Second
"""
HDR = "hdr10-opt=1:repeat-headers=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
MASTER = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"


def _video(size: str = "320x180", rate: str = "24000/1001", seconds: int = 2) -> list[str]:
    return [part.format(size=size, rate=rate, seconds=seconds) for part in _SRC]


def _sound(seconds: int = 2) -> list[str]:
    return [part.format(seconds=seconds) for part in _TONE]


def _recipes(place: Path) -> dict[str, list[str]]:
    """Map each file name to the ffmpeg arguments before it."""
    (place / "forced.srt").write_text(SUBTITLE)
    (place / "chapters.txt").write_text(CHAPTERS)
    quiet = ["-x265-params", "log-level=error"]
    hdr = ["-x265-params", f"log-level=error:{HDR}:{MASTER}"]
    subtitles = ["-i", str(place / "forced.srt")]
    return {
        "h264.mp4": [*_video(), *_sound(), *_X264, "-g", "12", "-c:a", "aac", "-metadata:s:a:0", "language=eng", "-movflags", "+faststart"],
        "hevc10.mkv": [*_video(), "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", *quiet],
        "hdr10.mkv": [
            *_video(), "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", *hdr,
            "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc",
        ],
        "hlg.mp4": [
            *_video(seconds=1), "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", *quiet, "-tag:v", "hvc1",
            "-color_primaries", "bt2020", "-color_trc", "arib-std-b67", "-colorspace", "bt2020nc",
        ],
        "vp9.webm": [*_video(rate="30"), *_sound(), "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"],
        "prores.mov": [*_video(rate="25", seconds=1), "-c:v", "prores_ks", "-profile:v", "3", "-vendor", "apl0"],
        "surround.m4a": [*_sound(), "-c:a", "aac", "-ac", "6", "-b:a", "256k"],
        "sound.flac": [*_sound(), "-c:a", "flac", "-sample_fmt", "s32", "-metadata", "title=Tone", "-metadata", "artist=Nobody"],
        "sound.m4a": [*_sound(), "-c:a", "alac", "-sample_fmt", "s32p", "-disposition:a:0", "default+comment"],
        "quad.wav": [*_sound(), "-af", "pan=quad|c0=c0|c1=c0|c2=c0|c3=c0", "-c:a", "pcm_s24le"],
        "interlaced.mkv": [*_video("720x576", "25", 1), "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-top", "1", "-b:v", "2M"],
        "sound.wav": [*_sound(), "-c:a", "pcm_s16le"],
        "cover.mp3": [
            *_sound(), *_video("200x200", "1", 1), "-map", "0:a", "-map", "1:v", "-c:a", "libmp3lame", "-c:v", "mjpeg",
            "-pix_fmt", "yuvj420p",
            "-frames:v", "1", "-disposition:v:0", "attached_pic", "-id3v2_version", "3", "-metadata", "album=Tests",
        ],
        "subtitles.mkv": [
            *_video(), *_sound(), *subtitles, *subtitles, *subtitles, "-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map", "4",
            *_X264, "-c:a", "aac", "-c:s:0", "srt", "-c:s:1", "srt", "-c:s:2", "ass",
            "-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=spa", "-metadata:s:s:2", "language=eng",
            "-disposition:s:0", "default", "-disposition:s:1", "forced", "-disposition:s:2", "0",
        ],
        "chapters.mkv": [
            *_video(), "-i", str(place / "chapters.txt"), "-map", "0", "-map_metadata", "1", "-map_chapters", "1", *_X264,
        ],
        "anamorphic.mpg": [*_video("352x288", "25", 1), "-c:v", "mpeg2video", "-vf", "setsar=16/11", "-b:v", "500k"],
        "stream.ts": [*_video(), *_sound(), *_X264, "-c:a", "mp2"],
        "old.avi": [*_video(), *_sound(), "-c:v", "mpeg4", "-c:a", "libmp3lame"],
    }  # fmt: skip


NAMES = (
    *("h264.mp4", "hevc10.mkv", "hdr10.mkv", "hlg.mp4", "vp9.webm", "prores.mov", "surround.m4a", "sound.flac", "sound.wav"),
    *("sound.m4a", "quad.wav", "interlaced.mkv"),
    *("cover.mp3", "subtitles.mkv", "chapters.mkv", "anamorphic.mpg", "stream.ts", "old.avi", "rotated.mp4", "cut.mp4"),
)
"""Every file that a reader can say something of; `headless.mp4` beside them is too damaged for that, `live.mkv` and `bare.h264` do
not say how long they are."""


def run(*arguments: str | Path) -> None:
    """Run ffmpeg once. Its error output is the failure's text."""
    program = shutil.which("ffmpeg")
    assert program, "ffmpeg is missing: run devstack/install_tools.sh as root, or install Debian's ffmpeg."
    done = subprocess.run(
        [program, "-v", "error", "-y", "-nostdin", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def make(place: Path) -> Path:
    """Create all of them in a directory."""
    for name, recipe in _recipes(place).items():
        run(*recipe, "-threads", "1", place / name)
    # A camera held upright: FFmpeg 5 writes the display matrix from this tag.
    run("-i", place / "h264.mp4", "-c", "copy", "-metadata:s:v:0", "rotate=90", place / "rotated.mp4")
    run("-i", place / "h264.mp4", "-c", "copy", "-live", "1", place / "live.mkv")  # its length is not recorded
    run("-i", place / "h264.mp4", "-c", "copy", place / "bare.h264")
    whole = (place / "h264.mp4").read_bytes()
    (place / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])  # its index was at the front
    run("-i", place / "h264.mp4", "-c", "copy", place / "late.mp4")
    late = (place / "late.mp4").read_bytes()
    (place / "headless.mp4").write_bytes(late[: len(late) // 2])  # its index was at the end
    return place


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of every file in NAMES. Tests must not change it."""
    return make(tmp_path_factory.mktemp("films"))
