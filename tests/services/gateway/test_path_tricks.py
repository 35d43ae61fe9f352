"""Ten thousand malicious paths on real directories full of links: every path ends in the caller's own files."""

import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.gateway.files.workspaces import Workspaces
from services.gateway.http.http_errors import ProblemError
from shared.files.listing import Wanted
from tests.services.gateway.conftest import Gateway
from tests.services.gateway.people import person
from tests.support.folders import open_below

ME, OTHER = UUID("00000000-0000-4000-8000-000000000001"), UUID("00000000-0000-4000-8000-000000000002")
MINE, FOREIGN = b"what is mine", b"what is somebody else's"
PATHS = 10_500

PARTS = [
    *("..", ".", "", "...", "a", "b", "file", "up", "out", "top", "etc", "passwd", "other", "self", "deep", "loop"),
    *("file-link", "dangling", "~", "~root", "%2e%2e", "%2f", "..%2f", "..\\..", "\\", "C:", "\0", "a\0b", "\n", "%00", "..;"),
    *("\u202e..", "\uff0e\uff0e", "\u2025", "\u2024\u2024", ".. ", " ..", "é", "e\u0301", "\udc80", "x" * 255, "x" * 256),
    *(str(ME), str(OTHER), ".work", ".uploads", ".deleted", "workspaces", "secret", "a" * 4096),
    *("proc", "fd", "0", "3", "root", "cwd", "dev", "stdin", "NUL", "CON"),
]


def world(root: Path) -> None:
    """The caller's workspace, full of links out, beside another user's and the services' directories."""
    other = root / str(OTHER)
    for place in (other / "a", root / ".work/job/1", root / ".uploads", root / ".deleted"):
        place.mkdir(parents=True)
    for file in (other / "secret", other / "file", other / "a/file", root / ".work/job/1/file", root / ".uploads/file"):
        file.write_bytes(FOREIGN)
    (root.parent / "secret").write_bytes(FOREIGN)
    my_part(root)


def my_part(root: Path) -> None:
    """Return the caller's part."""
    mine = root / str(ME)
    (mine / "a/b/deep").mkdir(parents=True)
    for file in (mine / "file", mine / "a/file", mine / "a/b/file", mine / "a/b/deep/file"):
        file.write_bytes(MINE)
    links = {
        "up": "..", "out": str(root / str(OTHER)), "top": "/", "etc": "/etc", "passwd": "/etc/passwd", "other": f"../{OTHER}",
        "self": "/proc/self", "loop": "loop", "file-link": f"../{OTHER}/secret", "dangling": f"../{OTHER}/made", "a/up": "../..",
        "a/b/out": f"../../../{OTHER}", "a/b/deep/fd": "/proc/self/fd", "a/secret": str(root.parent / "secret"),
    }  # fmt: skip
    for name, target in links.items():
        (mine / name).symlink_to(target)


def tricks() -> Iterator[str]:
    """Return every pair and thousands of longer combinations, joined in several ways. The list is fixed, so a failure is reproducible."""
    chance = random.Random(20260115)
    for one, two in itertools.product(PARTS, PARTS):
        yield f"{one}/{two}"
    while True:
        parts = chance.choices(PARTS, k=chance.randint(1, 7))
        yield chance.choice(["", "/", "//", "./", "../", "/proc/self/cwd/"]) + chance.choice(["/", "//", "/./", "/../"]).join(parts)


def snapshot(storage: Path) -> dict[str, bytes | None]:
    """Return all files that are not the caller's and not about to be removed, with their content."""
    seen: dict[str, bytes | None] = {}
    for folder, folders, files in os.walk(storage):
        folders[:] = [name for name in folders if name not in {str(ME), ".deleted"}]
        for name in (*folders, *files):
            path = Path(folder, name)
            seen[str(path)] = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    return seen


def refusal(deed: Callable[[], Any]) -> int | None:
    """Return the status that refuses an action, or None if it succeeded."""
    try:
        deed()
    except ProblemError as exc:
        return exc.status
    return None


def read(workspaces: Workspaces, path: str) -> bytes:
    handle = workspaces.open_file(ME, path)
    try:
        return os.read(handle, 1000)
    finally:
        os.close(handle)


def _inodes(top: Path) -> set[int]:
    found = {top.lstat().st_ino}
    for folder, folders, files in os.walk(top):
        found |= {Path(folder, name).lstat().st_ino for name in (*folders, *files)}
    return found


def test_reading(tmp_path: Path) -> None:
    """The caller's files open and the caller's folders list. The rest is refused as 400 or 404, and no handle stays open."""
    root = tmp_path / "storage/workspaces"
    world(root)
    workspaces, mine = Workspaces(root), _inodes(root / str(ME))
    outcomes: Counter[int | None] = Counter()
    for path in itertools.islice(tricks(), PATHS):

        def opened(path: str = path) -> None:
            assert read(workspaces, path) == MINE, path

        def listed(path: str = path) -> None:
            items = workspaces.page(ME, path, Wanted()).items
            assert {(root / str(ME) / item.path).lstat().st_ino for item in items} <= mine, path

        outcomes.update((refusal(opened), refusal(listed)))
    assert set(outcomes) == {None, 400, 404}, outcomes
    assert min(outcomes.values()) > 10, outcomes
    assert open_below(tmp_path) == []


def test_changing(tmp_path: Path) -> None:
    """However a path is used to create, move, replace, publish or delete: nothing outside the caller's workspace changes."""
    root = tmp_path / "storage/workspaces"
    world(root)
    workspaces = Workspaces(root)
    before = snapshot(tmp_path)
    chance = random.Random(7)
    upload = UUID("00000000-0000-4000-8000-0000000000aa")

    def publish(path: str) -> None:
        os.close(workspaces.open_upload(upload))
        workspaces.publish(upload, ME, path, overwrite=True)

    deeds: list[Callable[[str, str], Any]] = [
        lambda path, _: workspaces.make_folder(ME, path, parents=False),
        lambda path, _: workspaces.make_folder(ME, path, parents=True),
        lambda path, other: workspaces.move(ME, path, other, overwrite=True),
        lambda path, _: publish(path),
        lambda path, _: workspaces.delete(ME, path, recursive=True),
        lambda path, _: workspaces.check_target(ME, path, {}, overwrite=True),
    ]
    paths, outcomes = list(itertools.islice(tricks(), PATHS)), Counter[int | None]()
    chance.shuffle(paths)
    for number, path in enumerate(paths):
        deed, other = chance.choice(deeds), chance.choice(paths)
        outcomes[refusal(lambda: deed(path, other))] += 1  # noqa: B023 - called at once
        if number % 300 == 0:  # so that a target always exists
            workspaces.leave(ME)
            workspaces.sweep_deleted()
            my_part(root)
    workspaces.forget_upload(upload)
    assert set(outcomes) == {None, 400, 404, 409}, outcomes
    assert outcomes[None] > 100, outcomes
    assert snapshot(tmp_path) == before


async def test_over_http(gateway: Gateway) -> None:
    """A few hundred of them through the whole gateway, in query and body: never another user's bytes, never a 5xx."""
    me, other = await person(gateway), await person(gateway)
    other.put("secret", FOREIGN)
    other.put("folder/secret", FOREIGN)
    me.put("a/file", MINE)
    for name, target in (("up", ".."), ("out", str(other.root)), ("file-link", str(other.root / "secret")), ("top", "/")):
        (me.root / name).symlink_to(target)
    chance = random.Random(11)
    paths = [f"../{other.id}/secret", "out/secret", "file-link", "up/" + str(other.id), f"a/../../{other.id}/secret"]
    paths += [path.replace(str(OTHER), str(other.id)) for path in chance.sample(list(itertools.islice(tricks(), PATHS)), 80)]
    for path in paths:
        if not path.isascii() and any("\ud800" <= c <= "\udfff" for c in path):
            continue  # cannot be written in a URL
        answers = [
            await me.ask("GET", "/api/files/content", params={"path": path}),
            await me.ask("GET", "/api/files", params={"path": path, "recursive": True, "q": "secret"}),
            await me.ask("POST", "/api/files/pack", json={"folder_path": path}),
        ]
        for answer in answers:
            assert answer.status_code < 500, (path, answer.text)
            assert FOREIGN not in answer.content, path
            assert "secret" not in [row["name"] for row in answer.json()] if answer.text.startswith("[") else True, path
    assert (other.root / "secret").read_bytes() == FOREIGN


@pytest.mark.parametrize("path", ["../" + str(OTHER), "a/..", "a/./b", "a//b", "..", ".", "a\0b", "x" * 256])
def test_what_is_refused_before_anything_is_touched(tmp_path: Path, path: str) -> None:
    """400 with a sentence."""
    with pytest.raises(ProblemError) as refused:
        Workspaces(tmp_path).page(ME, path, Wanted())
    assert refused.value.status == 400
