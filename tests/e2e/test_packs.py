"""Packs from request to download through the whole stack: real compressor, real 7-Zip, real disk."""

import os
import zipfile
from pathlib import Path
from typing import Any

from tests.support.folders import below
from tests.support.stack import Stack, until

PACK = "/api/files/pack"


def _put(stack: Stack, path: str, content: bytes) -> None:
    folder = path.rpartition("/")[0]
    if folder:
        made = stack.http.post("/api/files/folders", json={"path": folder, "parents": True})
        assert made.status_code == 201, made.text
    sent = stack.http.put("/api/files/content", params={"path": path}, content=content)
    assert sent.status_code == 201, sent.text


def _names(stack: Stack) -> list[str]:
    return [row["path"] for row in stack.http.get("/api/files").json()]


def _pack(stack: Stack, path: str, **more: Any) -> dict[str, Any]:
    def ask() -> dict[str, Any] | None:  # 503 until the compressor has reported the disk
        answer = stack.http.post(PACK, json={"folder_path": path, **more})
        assert answer.status_code in {201, 503}, answer.text
        return dict(answer.json()) if answer.status_code == 201 else None

    made = until(ask, "a pack", tell=stack.stories)
    assert made is not None
    stack.jobs.append(made["id"])
    return made


def _ended(stack: Stack, pack: str, seen: list[int] | None = None) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        shown = stack.http.get(f"{PACK}/{pack}").json()
        if seen is not None:
            seen.append(shown["progress"])
        return dict(shown) if shown["status"] not in {"pending", "packing"} else None

    found = until(look, "the pack's end", tell=stack.stories)
    assert found is not None
    return found


def _released(stack: Stack) -> bool:
    return bool(stack.http.get(f"{PACK}/available-space").json()["reserved_bytes"] == 0)


def test_a_folder_becomes_an_archive_to_download(stack: Stack, tmp_path: Path) -> None:
    """End to end: progress is real, the folder is deleted, the archive holds exactly its content, no space stays reserved."""
    tree = {
        "Projekt Ä/Größe.txt": b"a" * 5000,
        "Projekt Ä/tief/er/x.bin": os.urandom(3 << 20),
        "Projekt Ä/leer.txt": b"",
        "Projekt Ä/写真.jpg": b"\xff\xd8" * 100,
    }
    for path, content in tree.items():
        _put(stack, path, content)
    made = _pack(stack, "Projekt Ä")
    assert made["reserved_space"] == made["folder_size"] == sum(map(len, tree.values()))
    progress: list[int] = []
    done = _ended(stack, made["id"], progress)
    assert (done["status"], done["progress"], done["output_path"], done["kept_count"]) == ("done", 100, "Projekt Ä.zip", 0), done
    assert progress == sorted(progress)
    assert _names(stack) == ["Projekt Ä.zip"]

    with stack.http.stream("GET", f"{PACK}/{made['id']}/download") as answer:
        assert answer.status_code == 200
        (tmp_path / "got.zip").write_bytes(answer.read())
    assert (tmp_path / "got.zip").stat().st_size == done["output_size"]
    with zipfile.ZipFile(tmp_path / "got.zip") as archive:
        held = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    assert held == tree or held == {path.partition("/")[2]: content for path, content in tree.items()}
    until(lambda: _released(stack), "the reservation to end", tell=stack.stories)
    assert stack.http.get(f"{PACK}/{made['id']}").json()["reserved_space"] == 0
    assert stack.http.delete("/api/files", params={"path": "Projekt Ä.zip"}).status_code == 204


def test_a_cancelled_pack_leaves_nothing(stack: Stack) -> None:
    """Cancel while packing: no partial file, the space is released, the folder is unchanged."""
    content = os.urandom(8 << 20).hex().encode() * 3
    _put(stack, "big/data", content)
    made = _pack(stack, "big", format="7z", compression_level=9)

    def packing() -> bool:
        return bool(stack.http.get(f"{PACK}/{made['id']}").json()["status"] == "packing")

    until(packing, "the packing to begin", tell=stack.stories)
    stack.freeze_children(made["id"])
    answer = stack.http.delete(f"{PACK}/{made['id']}")
    assert answer.json() == {"ok": True, "message": "Task cancelled"}, answer.text
    assert _ended(stack, made["id"])["status"] == "cancelled"
    assert _names(stack) == ["big"]
    info = stack.http.get("/api/files/info", params={"path": "big"}).json()
    assert (info["total_bytes"], info["file_count"]) == (len(content), 1)
    until(lambda: _released(stack), "the reservation to end", tell=stack.stories)

    def left() -> list[str]:
        work = stack.data / "storage/workspaces/.work"
        return [str(path) for path in below(work) if path.is_file() and made["id"] in str(path)]

    until(lambda: not left(), "the work in progress to be gone", tell=lambda: str(left()))
    assert stack.http.delete("/api/files", params={"path": "big", "recursive": "true"}).status_code == 204
