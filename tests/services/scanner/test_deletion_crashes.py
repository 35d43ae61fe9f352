"""The promise under kills, second runs and users: nothing unproven is lost, whatever happens at any instant."""

import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.scanner.deletion import Result
from shared.errors import PermanentError

from .emptying import Case, Killed, contents, walk

KEPT = {
    "sub/changed": b"changed by a person",
    "sub/deep/replaced": b"replaced by a person",
    "touched": b"content of touched",
    "new/file": b"new",
    "hard changed 1": b"hard changed",
    "hard changed 2": b"hard changed",
}


def mixed(root: Path) -> Case:
    """A tree with deletable, changed, replaced, touched, new, hard-linked and linked files and empty directories."""
    case = Case(root)
    for name in (
        "one",
        "sub/two",
        "sub/changed",
        "sub/deep/three",
        "sub/deep/replaced",
        "touched",
        "hard changed 1",
        "hard 1",
        "plain/one",
    ):
        case.put(name)
    os.link(case.folder / "hard 1", case.folder / "sub/hard 2")
    os.link(case.folder / "hard changed 1", case.folder / "hard changed 2")
    (case.folder / "sub/link").symlink_to("/etc/passwd")
    (case.folder / "empty/er").mkdir(parents=True)
    case.archive()
    (case.folder / "sub/changed").write_bytes(KEPT["sub/changed"])
    (case.folder / "sub/deep/new").write_bytes(KEPT["sub/deep/replaced"])
    (case.folder / "sub/deep/new").rename(case.folder / "sub/deep/replaced")
    os.utime(case.folder / "touched")
    (case.folder / "hard changed 1").write_bytes(KEPT["hard changed 1"])
    (case.folder / "new").mkdir()
    (case.folder / "new/file").write_bytes(KEPT["new/file"])
    return case


def assert_ended_well(case: Case, result: Result) -> None:
    assert case.left() == KEPT | {"new": b"", "sub": b"", "sub/deep": b""}
    assert [os.fsdecode(kept.path) for kept in result.kept] == sorted(KEPT)
    case.assert_final_marker(result)


def points(root: Path) -> int:
    """Return how many fault points an undisturbed run of `mixed` passes."""
    reached: list[str] = []
    case = mixed(root)
    assert_ended_well(case, case.run(reached.append))
    return len(reached)


def test_killed_at_every_point_and_run_again(tmp_path: Path) -> None:
    """SIGKILL at the k-th instant, for every k: nothing unproven is missing, and the next run ends as if undisturbed."""
    total = points(tmp_path / "undisturbed")
    assert total > 25
    for at in range(total):
        case = mixed(tmp_path / str(at))
        ever = contents(case.folder)

        assert case.run_and_die(at)
        case.assert_nothing_unproven_is_lost(ever)
        # Without a marker, a half-emptied folder would be offered again and replace the good archive.
        assert case.marker.exists() or ever <= contents(case.folder)
        assert_ended_well(case, case.run())
    assert not mixed(tmp_path / "past the end").run_and_die(total)


@pytest.mark.parametrize("seed", range(12))
def test_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    """Each of the first ten runs is killed after a few random steps. The next run completes."""
    chance = random.Random(seed)
    case = mixed(tmp_path)
    ever = contents(case.folder)
    for _ in range(10):
        case.run_and_die(chance.randrange(3, 12))
        case.assert_nothing_unproven_is_lost(ever)
    assert_ended_well(case, case.run())


def test_an_older_run_wakes_up_after_the_next_has_finished(tmp_path: Path) -> None:
    """A run stops at its k-th instant, another does all the work, then the first continues: for every k."""
    total = points(tmp_path / "undisturbed")
    for at in range(total):
        case = mixed(tmp_path / str(at))
        ever = contents(case.folder)
        inner: list[Result] = []
        count = iter(range(total * 2))

        def other_runs(_point: str, case: Case = case, count: Any = count, inner: list[Result] = inner, at: int = at) -> None:
            if next(count) == at:
                inner.append(case.run())

        outer = case.run(other_runs)

        case.assert_nothing_unproven_is_lost(ever)
        assert [kept.path for kept in inner[0].kept] == [kept.path for kept in outer.kept]
        assert_ended_well(case, outer)


def test_an_older_run_wakes_up_after_the_next_was_killed(tmp_path: Path) -> None:
    """The same with the second run killed in the middle: the run that continues finds what the other left."""
    total = points(tmp_path / "undisturbed")
    chance = random.Random(7)
    for at in range(total):
        case = mixed(tmp_path / str(at))
        ever = contents(case.folder)
        count = iter(range(total * 2))

        def other_dies(_point: str, case: Case = case, count: Any = count, at: int = at) -> None:
            if next(count) == at:
                case.run_and_die(chance.randrange(total))

        case.run(other_dies)

        case.assert_nothing_unproven_is_lost(ever)
        assert_ended_well(case, case.run())


@pytest.mark.parametrize("round_", range(4))
def test_two_runs_at_the_same_time(tmp_path: Path, round_: int) -> None:
    """Two processes empty one folder at the same time. Both may fail, and a last run reaches the same result."""
    case = mixed(tmp_path)
    for number in range(150):
        case.put(f"many/{number}")
    (case.folder / "new").rename(tmp_path / "aside")  # `archive` fixes the manifest again, without the new files
    case.archive()
    (tmp_path / "aside").rename(case.folder / "new")
    ever = contents(case.folder)
    for child in [case.run_in_child() for _ in range(2)]:
        os.waitpid(child, 0)

    case.assert_nothing_unproven_is_lost(ever)
    result = case.run()
    assert case.left() == {"new": b"", "new/file": b"new"}
    case.assert_final_marker(result)


# Users at work while the folder is emptied, at random

NAMES = ["a", "b", "sub/c", "sub/d", "sub/deep/e", "sub/deep/f"]
ACTIONS = ["write", "append", "replace", "remove", "create", "move", "link", "touch", "write private", "run", "die", "make room"]


class World:
    """A user in the folder. Remembers every content that ever existed and those that the user destroyed."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.ever = contents(case.folder)
        self.destroyed: set[bytes] = set()
        self.count = 0

    def write(self, path: Path, mode: Literal["wb", "xb"], old: bytes = b"") -> None:
        with path.open(mode) as file:
            self.count += 1
            content = old + f"written by a person, {self.count}".encode()
            file.write(content)
        self.ever.add(content)

    def lose(self, path: Path) -> None:
        """The user is about to destroy this file. Other names keep its content only if it is replaced, not overwritten."""
        if path.is_file() and not path.is_symlink():
            self.destroyed.add(path.read_bytes())

    def act(self, action: str, name: str, other: str, point: str) -> None:
        path, target = self.case.folder / name, self.case.folder / other
        with suppress(OSError):  # the user's own errors, as a shell would report them; a run raises none
            self._act(action, path, target, point)

    def _act(self, action: str, path: Path, target: Path, point: str) -> None:
        match action:
            case "write" | "append":
                if path.is_symlink():
                    return
                self.lose(path)
                self.write(path, "wb", path.read_bytes() if action == "append" else b"")
            case "replace":
                other = path.with_name("temporary")
                self.write(other, "wb")
                self.lose(path)
                other.rename(path)
            case "remove":
                self.lose(path)
                path.unlink()
            case "create":
                path.parent.mkdir(parents=True, exist_ok=True)
                self.write(path, "xb")
            case "move":
                path.lstat()
                self.lose(target)
                path.rename(target)
            case "link":
                os.link(path, target, follow_symlinks=False)
            case "touch":
                os.utime(path, follow_symlinks=False)
            case "write private":
                self._write_private(point)
            case "run":
                self._run_another(self.case.run)
            case "die":
                self._run_another(lambda: self.case.run(_die_at(self.count % 7)))
            case _:
                for directory in (d for d in walk(self.case.folder) if d.is_dir() and not d.is_symlink()):
                    directory.rename(directory.with_name(f"{directory.name}x"))
                    break

    def _write_private(self, point: str) -> None:
        """A writer that had the file open all the time. The engine cannot see the instant between check and unlink."""
        if point == "deletion.checked":
            return
        for path in walk(self.case.folder):
            if path.name.startswith(".csa-") and "marker" not in path.name and path.is_file() and not path.is_symlink():
                self.lose(path)
                self.write(path, "wb")

    def _run_another(self, run: Callable[[], object]) -> None:
        with suppress(Killed, PermanentError):
            run()


def _die_at(count: int) -> Callable[[str], None]:
    left = iter(range(count))

    def die(_point: str) -> None:
        if next(left, None) is None:
            raise Killed

    return die


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
    hard=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["h1", "sub/h2"])), max_size=2),
    links=st.lists(st.sampled_from(["l1", "sub/l2"]), unique=True),
    before=st.lists(st.tuples(st.sampled_from(ACTIONS[:8]), st.sampled_from(NAMES), st.sampled_from([*NAMES, "g"])), max_size=3),
    during=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(ACTIONS), st.sampled_from(NAMES), st.sampled_from([*NAMES, "g"])), max_size=6
    ),
)
def test_people_and_other_runs_at_random_instants(
    tmp_path: Path,
    files: list[str],
    hard: list[tuple[str, str]],
    links: list[str],
    before: list[tuple[str, str, str]],
    during: list[tuple[int, str, str, str]],
) -> None:
    """Random trees, random actions, other runs and kills: every content is still there, proven, or destroyed by the user."""
    root = tmp_path / "case"
    shutil.rmtree(root, ignore_errors=True)
    case = Case(root)
    outside = root / "outside"
    outside.write_text("outside")
    for name in files:
        case.put(name)
    (case.folder / "sub").mkdir(exist_ok=True)
    for name, extra in hard:
        if (case.folder / name).exists() and not (case.folder / extra).exists():
            os.link(case.folder / name, case.folder / extra)
    for name in links:
        (case.folder / name).symlink_to(outside)
    case.archive()
    world = World(case)
    for action, name, other in before:
        world.act(action, name, other, "")
    at = 0

    def fault_point(point: str) -> None:
        nonlocal at
        for when, action, name, other in during:
            if when == at:
                world.act(action, name, other, point)
        at += 1

    try:
        case.run(fault_point)
    except PermanentError:
        assert not case.committed.exists()
    result = case.run() if case.committed.exists() else None

    case.assert_nothing_unproven_is_lost(world.ever - world.destroyed)
    assert outside.read_text() == "outside"
    if result is not None:
        # The result names what is there: no report names less than what is left.
        there = {os.fsencode(p.relative_to(case.folder)) for p in walk(case.folder) if p.is_symlink() or not p.is_dir()}
        named = {kept.path for kept in result.kept} | {os.fsencode(case.marker.name)}
        assert {path for path in there if b"-marker-" not in path} <= named
