"""The service's directories and the NAS never overlap, through any path, link or mount. Every service checks this at its start."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.exits import Exit
from shared.domain.lifecycle import Role
from shared.errors import PermanentError
from shared.files import apart, handles
from shared.files.apart import Mount
from shared.files.preflight import preflight

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("nas/a/b/c", "data/storage", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link to nas").symlink_to("nas")
    (tmp_path / "other" / "link to a").symlink_to(tmp_path / "nas" / "a")
    return tmp_path


@pytest.mark.parametrize(
    ("base", "ours", "words"),
    [
        ("nas", "data", None),
        ("nas", "nas-2", None),
        ("nas", "nas", "DATA_DIR: .* lies in QNAP_BASE_PATH"),
        ("nas", "nas/a/b/c/data", "DATA_DIR: .* lies in QNAP_BASE_PATH"),
        ("nas", "other/../nas/x", "DATA_DIR: .* lies in QNAP_BASE_PATH"),
        ("link to nas", "nas/x", "DATA_DIR: .* lies in QNAP_BASE_PATH"),
        ("nas", "other/link to a/x/y", "DATA_DIR: .* lies in QNAP_BASE_PATH"),
        ("data/storage/nas", "data", "QNAP_BASE_PATH: .* lies in DATA_DIR"),
        ("other/link to a/b", "nas", "QNAP_BASE_PATH: .* lies in DATA_DIR"),
    ],
)
def test_paths_that_overlap(tree: Path, base: str, ours: str, words: str | None) -> None:
    """In both directions, through links and `..`, also for a directory that does not exist yet."""
    wrong = apart.overlaps(tree / base, {"DATA_DIR": tree / ours})

    assert len(wrong) == (0 if words is None else 1)
    if words is not None:
        assert re.search(f"{words}.* Choose ", wrong[0])
        with pytest.raises(PermanentError, match="CS Archiver keeps its own files there"):
            apart.refuse_overlap(tree / base, {"DATA_DIR": tree / ours})


def mounts(*lines: str) -> list[Mount]:
    return apart.parse_mounts("".join(f"{n} 1 {line} rw - ext4 /dev/x rw\n" for n, line in enumerate(lines)).encode())


@pytest.mark.parametrize(
    ("outer", "inner", "lines", "expected"),
    [
        ("/n", "/d", ["8:1 / /", "8:2 / /n"], False),
        ("/n", "/d", ["8:1 / /", "8:2 / /n", "8:2 /x/data /d"], True),
        ("/n", "/d", ["8:1 / /", "8:2 /team /n", "8:2 /own /d"], False),
        ("/n", "/d", ["8:1 / /", "8:2 /team /n", "8:2 /team2 /d"], False),
        ("/n", "/d/deep", ["8:1 / /", "8:2 / /n", "8:2 /x /d"], True),
        ("/n", "/d", ["8:1 / /", "8:1 /d /n/a/b"], True),
        ("/n", "/d/storage", ["8:1 / /", "8:1 /d /n/a/b"], True),
        ("/d", "/n", ["8:1 / /", "8:1 /d /n/a/b"], False),
        ("/my nas", "/d", ["8:1 / /", r"8:2 / /my\040nas", "8:2 /x /d"], True),
        ("/n", "/d", ["8:1 / /", "8:2 /x /d", "8:3 / /d", "8:2 / /n"], False),
    ],
)
def test_mounts_that_lead_to_the_same_directory(outer: str, inner: str, lines: list[str], expected: bool) -> None:
    """A bind mount of a part of the NAS.

    A service directory mounted below the NAS, blanks in names, a mount that hides an earlier one.
    """
    assert apart._holds(Path(outer), Path(inner), mounts(*lines)) is expected


def test_a_real_bind_mount(tree: Path) -> None:
    """Linux's mount list is read correctly, where this machine allows mounting."""
    code = """if True:
        import sys
        from pathlib import Path
        from shared.files import apart
        print(len(apart.overlaps(Path(sys.argv[1]), {"DATA_DIR": Path(sys.argv[2])})))
    """
    script = 'mount --bind "$1/nas/a" "$1/other" && exec "$2" -c "$3" "$1/nas" "$1/other/data"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tree), sys.executable, code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stdout == "1\n" or "permitted" in done.stderr or "denied" in done.stderr, done


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("inside", [True, False])
def test_no_service_starts_with_its_places_on_the_nas(tmp_path: Path, role: Role, *, inside: bool) -> None:
    """Its storage is on the NAS, or the NAS is in its storage. It refuses before it connects to Postgres, and names both settings."""
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "a" / "inner"
    inner.mkdir(parents=True)
    base, storage = (outer, inner) if inside else (inner, outer)
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "NATS_URL": "nats://127.0.0.1:1",
        "QNAP_BASE_PATH": str(base),
        "STORAGE_BASE_PATH": str(storage),
        "JWT_SECRET_KEY": "-" * 32,
        **dict.fromkeys(("GLOBUS_CLIENT_ID", "GLOBUS_CLIENT_SECRET"), "x"),
        **dict.fromkeys(("GLOBUS_SOURCE_ENDPOINT", "GLOBUS_DESTINATION_ENDPOINT"), "x"),
    }
    command = [sys.executable, "-m", f"services.{role}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == Exit.CONFIGURATION, done.stderr
    assert ("STORAGE_BASE_PATH: " if inside else "QNAP_BASE_PATH: ") in done.stderr
    assert "lies in" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_place_is_marked_once(tmp_path: Path) -> None:
    """The mark explains itself to its finder. A directory that cannot be written stops no service."""
    apart.mark(tmp_path)
    file = tmp_path / os.fsdecode(apart.PLACE)
    file.write_text("as it was")
    apart.mark(tmp_path)
    apart.mark(tmp_path / "missing")

    assert file.read_text() == "as it was"
    with handles.root(tmp_path) as handle:
        assert apart.is_marked(handle)


@pytest.mark.parametrize("where", ["", "sub", "sub/deep"])
def test_a_folder_that_holds_a_place_of_ours_is_not_copied(tmp_path: Path, where: str) -> None:
    """At any depth, the check before the copy refuses it."""
    folder = tmp_path / "folder"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "film").write_bytes(b"x")
    apart.mark(folder / where)
    with handles.root(folder) as handle:
        report = preflight(handle, b"folder", lambda: None)

    assert len(report.refusals) == 1
    assert "Places of CS Archiver itself are never archived" in report.refusals[0]


def test_a_nas_that_hangs_keeps_no_service_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An NFS server that is down answers no stat. The start continues, and the comparison runs later, with every folder."""
    answered = threading.Event()
    monkeypatch.setattr(apart, "overlaps", lambda _base, _ours: [] if answered.wait() else ["never"])
    monkeypatch.setattr(apart, "PATIENCE_S", 0.01)
    settings = SimpleNamespace(qnap_base_path=tmp_path, storage_base_path=tmp_path / "storage")
    try:
        assert apart.check_settings(settings) is False
    finally:
        answered.set()
