"""`mediainfo`, `mstats` and `thumbnail` with `--local`: files on this machine, no server. Also: the output of `plan`."""

import os
import shutil
from pathlib import Path

import pytest

from cli.media import Estimate, Preview, plan_facts, rate
from shared.service.rpc import Branch, FilmSeen, MediaTotals, NamedSize, TypeCount
from tests.cli.runner import Cli

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """No server answers at its configured address."""
    return Cli(tmp_path, NOWHERE)


def facts(text: str) -> dict[str, str]:
    return dict(line.split("\t", 1) for line in text.splitlines())


def test_mediainfo_has_every_field(cli: Cli, films: Path) -> None:
    """The full report, piped: name and value, one per line."""
    done = cli.run("mediainfo", "--local", str(films / "subtitles.mkv"))

    assert done.code == 0, done.err
    found = facts(done.out)
    assert [found[name] for name in ("File", "Format", "Duration")] == ["subtitles.mkv", "MATROSKA", "00:00:02"]
    assert found["Video 1 Codec"].startswith("H.264 (")
    assert found["Video 1 Resolution"] == "320x180 @ 23.976 FPS"
    assert {"Size", "Bitrate", "Video 1 Aspect Ratio", "Video 1 Bitrate", "Video 1 Pixel Format"} <= found.keys()
    assert [found[f"Audio 1 {name}"] for name in ("Codec", "Channels", "Sample Rate")] == ["AAC", "1 (Mono)", "48000 Hz"]
    assert [found[f"Subtitle {n}"] for n in (1, 2, 3)] == [
        "SUBRIP - English",
        "SUBRIP - Spanish [FORCED]",
        "ASS - English (Styled)",
    ]
    assert found["Quality"] == "Very Low (180p)"


def test_mstats_is_the_brief_form(cli: Cli, films: Path) -> None:
    """The brief report. `mediainfo --brief` is the same."""
    done = cli.run("mstats", "--local", str(films / "h264.mp4"))

    assert done.out == cli.run("mediainfo", "--brief", "--local", str(films / "h264.mp4")).out
    assert list(facts(done.out)) == [
        *("File", "Format", "Duration", "Size", "Resolution", "Video Codec", "Audio Codec", "Channels", "Quality"),
    ]


def test_json_is_the_document_of_the_api(cli: Cli, films: Path) -> None:
    """The same fields as GET /api/media/info."""
    document = cli.run("mediainfo", "--local", "--json", str(films / "sound.flac")).json()

    assert (document["format"], document["audio_streams"][0]["bits_per_sample"]) == ("FLAC", 24)


def test_names_that_are_no_text(cli: Cli, films: Path, tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are escaped, as in archive lists."""
    film = tmp_path / os.fsdecode(b"bad\xff.mp4")
    shutil.copyfile(films / "h264.mp4", film)

    assert cli.run("mediainfo", "--local", "--json", str(film)).json()["file"] == "bad\\xff.mp4"
    made = cli.run("thumbnail", "--local", "--json", str(film), "--output", str(film.with_suffix(".jpg"))).json()
    assert (made["source"], film.with_suffix(".jpg").stat().st_size) == (f"{tmp_path}/bad\\xff.mp4", made["size_bytes"])


def test_thumbnails_and_contact_sheets(cli: Cli, films: Path, tmp_path: Path) -> None:
    """One image at the requested path. A time past the end is reported on stderr."""
    target = tmp_path / "picture.jpg"
    done = cli.run("thumbnail", "--local", str(films / "h264.mp4"), "--output", str(target))

    assert (done.code, "The film ends before 00:00:05" in done.err) == (0, True), done.err
    assert target.read_bytes().startswith(b"\xff\xd8\xff")
    assert facts(done.out)["Timestamp"] == "00:00:01"
    sheet = cli.run("thumbnail", "--local", str(films / "h264.mp4"), "--sheet", "4", "-o", str(target), "--json", "--force").json()
    assert (len(sheet["seconds"]), sheet["size_bytes"]) == (4, target.stat().st_size)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".thumb")] == []


def test_a_picture_never_replaces_a_file_unasked(cli: Cli, films: Path) -> None:
    """With a given or default name; `--force` allows it. An unsupported file ending is refused with the supported ones."""
    film = str(films / "h264.mp4")
    for name in ("h264.jpg", "mine.png"):
        (cli.home / name).write_text("mine")

    default = cli.run("thumbnail", "--local", film)
    named = cli.run("thumbnail", "--local", film, "-o", "mine.png")
    wrong = [cli.run("thumbnail", "--local", film, "-o", name) for name in ("x.gif", "picture")]
    forced = cli.run("thumbnail", "--local", film, "--force")

    assert (default.code, named.code, [done.code for done in wrong], forced.code) == (5, 5, [2, 2], 0), forced.err
    assert "say --force to replace it, or name another file with --output" in default.err
    assert all("let it end with .jpg, .png or .webp" in done.err for done in wrong)
    assert (cli.home / "mine.png").read_text() == "mine"
    assert (cli.home / "h264.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert sorted(path.name for path in cli.home.iterdir()) == ["h264.jpg", "mine.png"]


@pytest.mark.parametrize(
    ("name", "magic"), [("a.jpg", b"\xff\xd8\xff"), ("a.JPEG", b"\xff\xd8\xff"), ("a.png", b"\x89PNG\r\n"), ("a.webp", b"RIFF")]
)
def test_a_picture_is_of_the_kind_that_its_name_says(cli: Cli, films: Path, name: str, magic: bytes) -> None:
    for more in ((), ("--sheet", "2", "--force")):
        done = cli.run("thumbnail", "--local", str(films / "h264.mp4"), "00:00:01", "-o", name, *more)

        assert done.code == 0, done.err
        assert (cli.home / name).read_bytes().startswith(magic)


def test_brief_may_follow_the_path(cli: Cli, films: Path) -> None:
    """`mediainfo F brief` is `mediainfo F --brief`. Another word is refused."""
    film = str(films / "h264.mp4")

    assert facts(cli.run("mediainfo", "--local", film, "brief").out) == facts(cli.run("mstats", "--local", film).out)
    other = cli.run("mediainfo", "--local", film, "short")
    assert (other.code, "only the word brief" in other.err) == (2, True)


def test_a_thumbnail_names_the_time_that_was_asked_for(cli: Cli, films: Path) -> None:
    """The frame shown at one second begins slightly before it."""
    assert facts(cli.run("thumbnail", "--local", str(films / "h264.mp4"), "00:00:01").out)["Timestamp"] == "00:00:01"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("mediainfo", "missing.mkv"), 4),
        (("mediainfo", "/dev/null"), 2),
        (("thumbnail", "x.mkv", "later"), 2),
        (("mstats", "text.mp4"), 2),
    ],
)
def test_what_cannot_be_shown(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    """A sentence, an exit code, nothing on stdout."""
    (tmp_path / "text.mp4").write_text("no film")
    command, path, *rest = arguments
    done = cli.run(command, "--local", str(tmp_path / path), *rest)

    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("cs-archiver: ")


def test_without_local_the_server_is_asked(cli: Cli) -> None:
    """Not logged in."""
    assert cli.run("mediainfo", "film.mkv").code == 3


def test_rates_are_decimal() -> None:
    """Times are written as HH:MM:SS."""
    assert [rate(4_200_000), rate(320_000), rate(None)] == ["4.2 Mbps", "320 Kbps", ""]


def test_what_a_plan_says() -> None:
    """Size, time with its reason, missing space, all refusals."""
    seen = Preview(
        path="/nas/a/b/c",
        complete=True,
        stage="complete",
        seconds=1.0,
        file_count=1200,
        folder_count=1,
        total_bytes=1 << 30,
        refusals=["Rename it: x"],
        types=[TypeCount("mp4", 2, 1 << 29)],
        largest=[NamedSize("cut/one.mp4", 1 << 29)],
        tree=[Branch("cut", 1, 2, 1 << 29)],
        media=MediaTotals(file_count=2, measured_count=1, duration_seconds=3723),
        films=[
            FilmSeen(path="cut/one.mp4", size_bytes=1, quality="High (1080p)", warnings=["The bit rate is low.", "It is damaged."]),
            FilmSeen(path="cut/two.mp4", size_bytes=1, quality="High (1080p)"),
            FilmSeen(path="cut/sound.flac", size_bytes=1),
        ],
        estimate=Estimate(
            archive_bytes=1 << 29, seconds=60, basis_jobs=0, needed_bytes=3 << 30, available_bytes=1 << 30, fits=False
        ),
    )
    shown = {name: value for name, value in plan_facts(seen) if value}

    assert shown["Files"] == "1,200 in 2 folders"
    assert shown["Time"] == "about 1m (a rough guess: no job has completed yet)"
    assert shown["Space needed"] == "3.00 GB of 1.00 GB, 2.00 GB too little"
    assert shown["Media"] == "2 files, 01:02:03, of 1 of them"
    assert shown["Quality"] == "2 of High (1080p)"
    assert shown["Film"] == "cut/one.mp4  High (1080p): The bit rate is low.; It is damaged."
    assert (shown["Type"], shown["Refused"]) == ("mp4: 2 files, 512.00 MB", "Rename it: x")
