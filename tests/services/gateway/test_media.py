"""Media files and previews of folders over REST: the real gateway, the real scanner's replies, real files."""

import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.gateway.files import media
from services.gateway.files.media import estimate, without_names
from shared.archiving import space
from shared.service.rpc import Branch, DestinationState, FolderSeen, MediaTotals, NamedSize
from tests.services.gateway.conftest import Gateway, problem
from tests.services.gateway.looking import Scanner
from tests.services.gateway.test_auth import _token, _user

GIB = 1 << 30


@pytest.fixture
async def admin(gateway: Gateway) -> UUID:
    found: UUID = await gateway.kernel.owner.fetchval("SELECT id FROM users WHERE username = 'admin'")
    return found


@pytest.fixture
def film(scanner: Scanner, films: Path) -> str:
    """Create a film on the NAS. Return its path below the base."""
    place = scanner.base / "Production" / "2024" / "Film"
    place.mkdir(exist_ok=True)
    shutil.copyfile(films / "h264.mp4", place / "h264.mp4")
    return "Production/2024/Film/h264.mp4"


async def test_info_of_a_film_on_the_nas(gateway: Gateway, film: str) -> None:
    """The whole document: container, streams, quality. It is private, so no proxy caches it."""
    answer = await gateway.ask("GET", "/api/media/info", params={"root": "nas", "path": film})

    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "private, no-cache"
    found = answer.json()
    assert (found["file"], found["format"], found["duration"]) == ("h264.mp4", "MP4", "00:00:02")
    assert found["resolution"] == "320x180 @ 23.976 FPS"
    assert found["quality"]["rating"] == "Very Low"
    assert [stream["codec_label"] for stream in found["video_streams"] + found["audio_streams"]] == ["H.264", "AAC"]


async def test_brief_leaves_the_lists_out(gateway: Gateway, film: str) -> None:
    """Only what fits on a card, and no measured values."""
    found = (await gateway.ask("GET", "/api/media/info", params={"root": "nas", "path": film, "brief": "true"})).json()

    assert found["brief"] is True
    assert (found["video_codec"], found["audio_codec"], found["channels"]) == ("H.264", "AAC", "1 (Mono)")
    assert (found["video_streams"], found["metadata"], found["chapters"]) == ([], {}, [])


async def test_a_workspace_is_ones_own(gateway: Gateway, scanner: Scanner, films: Path, admin: UUID) -> None:
    """The same path leads each user to their own workspace. No path leads out of it."""
    shutil.copyfile(films / "sound.flac", scanner.workspace(admin) / "tone.flac")
    other = await _user(gateway, "film-fan")
    scanner.workspace(other)

    mine = await gateway.ask("GET", "/api/media/info", params={"path": "tone.flac"})
    assert (mine.json()["format"], mine.json()["quality"]) == ("FLAC", None)
    theirs = await gateway.ask("GET", "/api/media/info", token=_token(other), params={"path": "tone.flac"})
    assert problem(theirs, 404, "not-found")
    out = await gateway.ask("GET", "/api/media/info", token=_token(other), params={"path": f"../{admin}/tone.flac"})
    assert problem(out, 400, "bad-request")
    (scanner.workspace(other) / "link.flac").symlink_to(scanner.workspace(admin) / "tone.flac")
    (scanner.workspace(other) / "folder").symlink_to(scanner.workspace(admin))
    for path in ("link.flac", "folder/tone.flac", "folder"):
        problem(await gateway.ask("GET", "/api/media/info", token=_token(other), params={"path": path}), 404, "not-found")


async def test_who_may_look_at_the_nas(gateway: Gateway, film: str) -> None:
    """The setting nas_browsing: everybody, admins, nobody."""
    user = _token(await _user(gateway, "media-user"))
    question = {"root": "nas", "path": film}
    try:
        for setting, admins, users in (("admins", 200, 403), ("nobody", 403, 403), ("everybody", 200, 200)):
            changed = await gateway.ask("PUT", "/api/config", json={"nas_browsing": setting})
            assert changed.status_code == 200, changed.text
            for address in ("info", "thumbnail", "contact-sheet"):
                assert (await gateway.ask("GET", f"/api/media/{address}", params=question)).status_code == admins
                assert (await gateway.ask("GET", f"/api/media/{address}", token=user, params=question)).status_code == users
    finally:
        await gateway.ask("PUT", "/api/config", json={"reset": ["nas_browsing"]})


async def test_a_thumbnail_is_an_image_that_is_asked_for_once(gateway: Gateway, film: str) -> None:
    """JPEG of the requested width. A second request with the ETag gets 304 and no bytes. A changed width is another image."""
    question = {"root": "nas", "path": film, "timestamp": "00:00:01", "width": 200}
    answer = await gateway.ask("GET", "/api/media/thumbnail", params=question)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
    assert answer.content[:3] == b"\xff\xd8\xff"
    assert answer.headers["cache-control"].startswith("private")
    assert float(answer.headers["x-media-seconds"]) == pytest.approx(1.0, abs=0.05)
    assert "x-media-notice" not in answer.headers
    tag = answer.headers["etag"]
    again = await gateway.ask("GET", "/api/media/thumbnail", params=question, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    wider = await gateway.ask("GET", "/api/media/thumbnail", params={**question, "width": 300}, headers={"If-None-Match": tag})
    assert (wider.status_code, wider.headers["etag"] != tag) == (200, True)


async def test_a_time_past_the_end_is_clamped_with_a_notice(gateway: Gateway, film: str) -> None:
    """The default, 5 s, is past the end of this film of 2 s."""
    answer = await gateway.ask("GET", "/api/media/thumbnail", params={"root": "nas", "path": film})

    assert answer.status_code == 200
    assert answer.headers["x-media-notice"].startswith("The film ends before 00:00:05")
    assert float(answer.headers["x-media-seconds"]) > 1.8


async def test_a_contact_sheet(gateway: Gateway, film: str) -> None:
    """One image, and the time of each of its frames."""
    question = {"root": "nas", "path": film, "frames": 6, "columns": 3, "width": 100}
    answer = await gateway.ask("GET", "/api/media/contact-sheet", params=question)

    assert (answer.status_code, answer.content[:3]) == (200, b"\xff\xd8\xff"), answer.text
    seconds = [float(part) for part in answer.headers["x-media-seconds"].split(",")]
    assert (len(seconds), seconds) == (6, sorted(seconds))


@pytest.mark.parametrize(
    ("name", "address", "kind"),
    [
        ("headless.mp4", "info", "damaged"),
        ("forced.srt", "info", "not-media"),
        ("sound.wav", "thumbnail", "no-video"),
        ("cover.mp3", "contact-sheet", "no-video"),
    ],
)
async def test_what_is_wrong_with_a_file_is_said(
    gateway: Gateway,
    scanner: Scanner,
    films: Path,
    name: str,
    address: str,
    kind: str,
) -> None:
    """422, with a code for programs and a sentence for people."""
    shutil.copyfile(films / name, scanner.base / name)

    problem(await gateway.ask("GET", f"/api/media/{address}", params={"root": "nas", "path": name}), 422, kind)


@pytest.mark.parametrize(
    ("address", "question"),
    [
        ("thumbnail", {"timestamp": "five"}),
        ("thumbnail", {"timestamp": "00:99:00"}),
        ("thumbnail", {"width": "9"}),
        ("contact-sheet", {"frames": "0"}),
        ("contact-sheet", {"columns": "99"}),
        ("info", {"root": "elsewhere"}),
        ("info", {"path": "a//b"}),
    ],
)
async def test_questions_that_make_no_sense(gateway: Gateway, film: str, address: str, question: dict[str, str]) -> None:
    """400, before any file is opened."""
    answer = await gateway.ask("GET", f"/api/media/{address}", params={"root": "nas", "path": film, **question})

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


# Previews ----------------------------------------------------------------------------------------------------------------------


async def _previewed(gateway: Gateway, folder: Path, token: str | None = None) -> Any:
    """Return the preview once the whole folder has been scanned."""
    while True:
        answer = await gateway.ask("GET", "/api/folders/preview", token=token, params={"path": str(folder)})
        if answer.status_code != 202:
            assert answer.status_code == 200, answer.text
            return answer.json()
        assert answer.headers["retry-after"] == "1"


async def test_a_preview_of_a_folder(gateway: Gateway, scanner: Scanner, films: Path) -> None:
    """Counts by type, largest files, tree, media length, refusals, and the cost of archiving."""
    folder = scanner.folder("Previewed")
    (folder / "cut").mkdir()
    shutil.copyfile(films / "h264.mp4", folder / "cut" / "one.mp4")
    (folder / "notes.txt").write_bytes(b"x" * 1000)
    (folder / "two\nlines.txt").write_bytes(b"")

    found = await _previewed(gateway, folder)
    size = (folder / "cut" / "one.mp4").stat().st_size + 1000
    assert (found["complete"], found["stage"], found["names_hidden"]) == (True, "complete", False)
    assert (found["file_count"], found["folder_count"], found["total_bytes"]) == (3, 1, size)
    assert found["types"] == [
        {"type": "mp4", "file_count": 1, "size_bytes": size - 1000},
        {"type": "txt", "file_count": 2, "size_bytes": 1000},
    ]
    assert found["largest"][0] == {"path": "cut/one.mp4", "size_bytes": size - 1000}
    assert found["tree"] == [{"path": "cut", "depth": 1, "file_count": 1, "size_bytes": size - 1000}]
    assert found["media"]["duration_seconds"] == pytest.approx(2.0, abs=0.05)
    assert [sentence.startswith("Names with a line break") for sentence in found["refusals"]] == [True]
    assert found["estimate"]["archive_bytes"] == round(size * 0.7)
    assert found["estimate"]["needed_bytes"] == space.required_bytes(size)


async def test_a_preview_refuses_what_a_request_would_be_refused_for(gateway: Gateway, scanner: Scanner) -> None:
    """A single text file, an empty folder, a marker, a name too long, a taken destination."""
    text, empty, marked, long, taken, busy = (
        scanner.folder(name) for name in ("Text", "Bare", "Marked", "n" * 233, "Taken", "Busy")
    )
    (text / "only.txt").write_bytes(b"x")
    (marked / "Marked-ARCHIVED-TO-GLOBUS.txt").write_bytes(b"x")
    for folder in (marked, long, taken, busy):
        (folder / "film.mov").write_bytes(b"x")
    gateway.peers.destinations["/Production/2024/Taken.tar.7z"] = DestinationState("foreign", "somebody's file")
    await gateway.kernel.job(source_path=str(busy), destination_path="/Production/2024/Busy.tar.7z")

    for folder, words in (
        (text, "only one .txt file"),
        (empty, "is empty"),
        (marked, "archived already"),
        (long, "too long"),
        (taken, "somebody's file"),
        (busy, "being archived already"),
    ):
        (sentence,) = (await _previewed(gateway, folder))["refusals"]
        assert words in sentence


async def test_previews_tell_no_names_to_those_who_may_not_see_them(gateway: Gateway, scanner: Scanner) -> None:
    """Figures stay: a user who may archive a folder may know its size."""
    folder = scanner.folder("Quiet")
    (folder / "secret\nname.txt").write_bytes(b"x")
    user = _token(await _user(gateway, "preview-user"))
    try:
        await gateway.ask("PUT", "/api/config", json={"nas_browsing": "admins"})
        found = await _previewed(gateway, folder, user)
    finally:
        await gateway.ask("PUT", "/api/config", json={"reset": ["nas_browsing"]})

    assert (found["names_hidden"], found["file_count"]) == (True, 1)
    assert found["refusals"]
    assert "secret" not in str(found)


async def test_an_estimate_of_many_folders(gateway: Gateway) -> None:
    """Archives and time of all together, space of the largest, without scanning any."""
    tb = 1 << 40
    one = (await gateway.ask("GET", "/api/folders/estimate", params={"size_bytes": 1 << 20})).json()
    many = (await gateway.ask("GET", "/api/folders/estimate", params={"size_bytes": 100 << 20, "largest_bytes": 1 << 20})).json()
    huge = (await gateway.ask("GET", "/api/folders/estimate", params={"size_bytes": 8000 * tb})).json()

    assert one["archive_bytes"] == pytest.approx(0.7 * (1 << 20), abs=1)
    assert many["archive_bytes"] == pytest.approx(100 * one["archive_bytes"], abs=100)
    assert many["seconds"] == pytest.approx(100 * (1 << 20) / one["bytes_per_second"], abs=0.1)
    assert (many["needed_bytes"], many["fits"]) == (one["needed_bytes"], one["fits"])
    assert not huge["fits"]
    for wrong in ({}, {"size_bytes": -1}, {"size_bytes": 2**63}, {"size_bytes": "x"}):
        assert (await gateway.ask("GET", "/api/folders/estimate", params=wrong)).status_code == 400, wrong


async def test_what_is_no_folder_has_no_preview(gateway: Gateway, scanner: Scanner) -> None:
    """404 for a missing folder, 400 for a path that no archive could have."""
    missing = {"path": str(scanner.base / "Production" / "2024" / "Missing")}
    problem(await gateway.ask("GET", "/api/folders/preview", params=missing), 404, "not-found")
    problem(await gateway.ask("GET", "/api/folders/preview", params={"path": str(scanner.base)}), 400, "bad-request")
    problem(await gateway.ask("GET", "/api/folders/preview", params={"path": "/etc"}), 400, "bad-request")


def test_estimates() -> None:
    """From past jobs, else from the constant. Space is the amount that the ledger reserves."""
    usual = estimate(GIB, GIB, 0.7, None, 0, free=10 * GIB, unwritten=GIB, least_free=GIB)
    assert (usual.bytes_per_second, usual.basis_jobs) == (media.USUAL_BYTES_PER_SECOND, 0)
    assert usual.seconds == pytest.approx(51.2)  # 1024 MiB at 20 MiB/s
    assert (usual.available_bytes, usual.free_bytes, usual.fits) == (8 * GIB, 10 * GIB, True)

    known = estimate(GIB, GIB, 0.7, 100e6, 7, free=GIB, unwritten=0, least_free=2 * GIB)
    assert (known.seconds, known.basis_jobs) == (pytest.approx(10.7, abs=0.05), 7)
    assert (known.available_bytes, known.fits) == (0, False)


def test_figures_without_names() -> None:
    """Paths, and sentences that contain paths, are removed. Counts stay."""
    seen = FolderSeen(
        path="/nas/a/b/c",
        complete=True,
        stage="complete",
        seconds=1.0,
        file_count=3,
        refusals=["Rename it: x"],
        warnings=["Kept: y", "Kept: z"],
        changed=["changed: w"],
        largest=[NamedSize("x", 1)],
        tree=[Branch("d", 1, 1, 1)],
        media=MediaTotals(file_count=2),
    )
    shown = without_names(seen)

    assert (shown.largest, shown.tree, shown.tree_complete) == ([], [], False)
    assert [sentence[:7] for sentence in shown.refusals + shown.warnings] == ["1 kinds", "2 kinds"]
    assert (shown.file_count, shown.media) == (3, seen.media)
