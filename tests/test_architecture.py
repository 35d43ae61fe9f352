"""Rules of the code base that no reviewer should have to remember. Each names the violation and gives its reason."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = ("compressor", "gateway", "scanner", "uploader")
OURS = ("cli", "devstack", "services", "shared")


def tracked() -> list[Path]:
    """Return every existing file of the project, including new ones. Files that .gitignore names are no sources."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:  # an unpacked archive of the sources
        files = [path for path in ROOT.rglob("*") if not {".venv", "node_modules", ".state"} & set(path.parts)]
    return [path for path in files if path.is_file()]


FILES = tracked()
PYTHON = [path for path in FILES if path.suffix == ".py"]


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def below(*folders: str) -> list[Path]:
    return [path for path in PYTHON if path.relative_to(ROOT).parts[0] in folders]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Return every module that a file imports, anywhere in the file, as `package.module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(path, node.lineno)}: a relative import"
            yield str(node.module), node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_services_import_shared_and_never_each_other() -> None:
    """A service is one process that can be deployed alone. Common code is in `shared`, and requests go over NATS."""
    wrong = []
    for path in below("services"):
        parts = path.relative_to(ROOT).parts
        own = f"services.{parts[1]}" if len(parts) > 2 else "services"
        for module, line in imports(path):
            foreign = within(module, "services") and module != "services" and not within(module, own)
            if foreign or any(within(module, package) for package in ("cli", "devstack", "tests", "benchmarks")):
                wrong.append(f"{place(path, line)} imports {module}")

    assert wrong == []


def test_shared_stands_on_nothing_of_ours_and_the_cli_knows_no_service() -> None:
    """Imports point one way: cli and services to shared. The command line uses HTTP to the gateway like any client."""
    forbidden = {"shared": ("services", "cli", "devstack", "tests"), "cli": ("services", "tests"), "devstack": ("tests",)}
    wrong = [
        f"{place(path, line)} imports {module}"
        for package, others in forbidden.items()
        for path in below(package)
        for module, line in imports(path)
        if any(within(module, other) for other in others)
    ]

    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """A reader can follow a module's imports to an end."""
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in below(*OURS)}
    known = set(names.values())
    graph = {name: {module for module, _ in imports(path) if module in known and module != name} for path, name in names.items()}
    while leaves := {name for name, others in graph.items() if not others}:
        graph = {name: others - leaves for name, others in graph.items() if name not in leaves}
    circle = sorted(
        name for name, others in graph.items() if others and any(name in graph[other] for other in others if other in graph)
    )

    assert circle == [], "these import each other"
    assert sorted(graph) == [], "these import each other, by way of others"


# The sub-packages of `shared`, and what each may import besides itself and the modules directly in `shared`.
ROOMS: dict[str, set[str]] = {
    "files": set(),
    "domain": {"files"},
    "infra": {"files", "domain"},
    "migrations": {"infra"},
    "archiving": {"files"},
    "media": {"files"},
    "service": {"files", "domain", "infra", "archiving", "media"},
}


# The same for the gateway, from the bottom up. The modules directly in it connect the sub-packages.
_GATEWAY = ("http", "schemas", "records", "auth", "jobs", "live", "files", "admin", "api")
GATEWAY_ROOMS: dict[str, set[str]] = {room: set(_GATEWAY[:place]) for place, room in enumerate(_GATEWAY)}
GATEWAY_ROOMS["schemas"] = GATEWAY_ROOMS["http"] = set()
GATEWAY_ROOMS["files"] -= {"live"}
HOUSES = {"shared": (ROOMS, set[str]()), "services.gateway": (GATEWAY_ROOMS, set(GATEWAY_ROOMS))}


def wrong_imports(source: str, room: str, house: str = "shared") -> list[str]:
    """Return a module's imports of a higher sub-package. `room`: its own, "" for directly in the package. Pure."""
    rooms, from_outside = HOUSES[house]
    allowed = rooms[room] | {room} if room else from_outside
    wrong = []
    for node in ast.walk(ast.parse(source)):
        names = [f"{node.module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if not name.startswith(f"{house}."):
                continue
            there = name.removeprefix(f"{house}.").split(".")[0]
            is_above = there not in rooms and house != "shared" and room not in {"", "api"}
            if is_above or (there in rooms and there not in allowed):
                wrong.append(name)
    return wrong


@pytest.mark.parametrize("house", HOUSES)
def test_rooms_point_one_way(house: str) -> None:
    """Files know no jobs, rules know no database. A request knows its user before it knows its subject."""
    top = ROOT / house.replace(".", "/")
    assert {path.parent.name for path in top.glob("*/__init__.py")} == set(HOUSES[house][0])
    wrong = []
    for path in below(top.relative_to(ROOT).parts[0]):
        if path.is_relative_to(top):
            parts = path.relative_to(top).parts
            room = parts[0] if len(parts) > 1 else ""
            found = wrong_imports(path.read_text(encoding="utf-8"), room, house)
            wrong += [f"{path.relative_to(ROOT)} imports {name}" for name in found]

    assert wrong == []


@pytest.mark.parametrize(
    ("source", "room"),
    [
        ("from shared.infra.db import Database", "files"),
        ("from shared.service import work", "infra"),
        ("import shared.media.reader", "domain"),
        ("def late() -> None:\n    from shared.files import handles", ""),
        ("from services.gateway.files.quota import Quota", "records"),
        ("from services.gateway.live import hub", "files"),
        ("from services.gateway.app import assemble", "admin"),
    ],
)
def test_an_import_of_the_wrong_room_is_found(source: str, room: str) -> None:
    """Planted violations: the rule above can fail."""
    assert len(wrong_imports(source, room, "services.gateway" if "gateway" in source else "shared")) == 1


# Every module that may remove, replace or shorten a file or directory, and what it removes. Only the first two do so on the
# NAS.
MAY_DESTROY = {
    "shared/files/manifest_deletion.py": "archived entries, each proven by the manifest",
    "services/scanner/marker.py": "markers that it wrote itself",
    "shared/files/mount.py": "its own file that could not become the NAS's id",
    "shared/files/handles.py": "the old name of a file that was just given a new name",
    "shared/files/trees.py": "trees that a caller names: a job's own in the staging, and deleted folders of a workspace",
    "shared/archiving/engine.py": "archives that it made, when they are incomplete",
    "shared/archiving/sevenzip.py": "archives that it made, when they are incomplete",
    "shared/archiving/volumes.py": "links that it made for 7-Zip",
    "shared/faults.py": "its own file, in tests",
    "shared/log.py": "old log files",
    "shared/service/stagings.py": "its own id file",
    "services/compressor/cleanup.py": "files that it wrote itself; the rest goes through staging.remove",
    "services/compressor/emptying.py": "the emptied folder of a pack",
    "services/compressor/expiry.py": "expired packs whose content is still what was recorded",
    "services/compressor/extracting.py": "renames its own new folder",
    "services/compressor/staging.py": "empty directories of jobs",
    "services/gateway/files/uploads.py": "uploads that are not finished",
    "services/gateway/files/workspaces.py": "what its user deletes, moves or replaces",
}
DESTROYERS = {"unlink", "rmdir", "rename", "renames", "truncate", "ftruncate", "removedirs", "rmtree", "write_text", "write_bytes"}
OF_MODULES = {
    ("os", "remove"),
    ("os", "replace"),
    ("shutil", "move"),
    ("shutil", "copyfile"),
    ("shutil", "copy"),
    ("shutil", "copy2"),
}


def destroys(source: str) -> list[tuple[str, int]]:
    """Return every call that can remove, replace or shorten a file: its name and line. Pure."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "O_TRUNC":
            found.append(("O_TRUNC", node.lineno))
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        module = node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""
        modes = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
        modes += [k.value.value for k in node.keywords if k.arg == "mode" and isinstance(k.value, ast.Constant)]
        writes = name in {"open", "fdopen"} and module != "tarfile" and any(isinstance(mode, str) and "w" in mode for mode in modes)
        alone = name == "replace" and len(node.args) == 1 and not node.keywords  # of a path; the method of a string takes two
        if name in DESTROYERS or (module, name) in OF_MODULES or writes or alone:
            found.append((name, node.lineno))
    return found


def test_only_named_modules_remove_or_replace_files() -> None:
    """One list shows the promise: no other module in services and shared can remove, replace or shorten a file."""
    found = {
        str(path.relative_to(ROOT)): calls
        for path in below("services", "shared")
        if (calls := destroys(path.read_text(encoding="utf-8")))
    }
    unnamed = [f"{path}:{line} calls {name}" for path, calls in found.items() if path not in MAY_DESTROY for name, line in calls]
    assert unnamed == []
    assert sorted(set(MAY_DESTROY) - set(found)) == [], "named here, and does nothing of the kind any more"


@pytest.mark.parametrize(
    "source",
    [
        "os.unlink(name, dir_fd=folder)",
        "Path(name).rename(other)",
        "path.replace(other)",
        "os.open(name, os.O_WRONLY | os.O_TRUNC)",
        "with open(name, 'wb') as file:\n    pass",
        "shutil.rmtree(folder)",
    ],
)
def test_a_call_that_destroys_is_found(source: str) -> None:
    """Planted violations: the rule above can fail."""
    assert len(destroys(source)) == 1


# Modules that reach outside the process. `datetime` and `time` are not here: the caller calls now() and passes it in.
IO = {
    *("asyncio", "concurrent", "ctypes", "http", "io", "multiprocessing", "os", "select", "shutil", "signal", "socket", "sqlite3"),
    *("ssl", "subprocess", "sys", "tempfile", "threading", "urllib.request", "random", "secrets", "time", "glob", "logging"),
    *(
        "alembic",
        "asyncpg",
        "av",
        "globus_sdk",
        "httpx",
        "litestar",
        "nats",
        "psutil",
        "requests",
        "sqlalchemy",
        "structlog",
        "uvicorn",
    ),
}
CLOCK = re.compile(r"\b(datetime\.now|date\.today|datetime\.utcnow|Path\.(cwd|home))\(")


def closure(path: Path, seen: dict[Path, None]) -> dict[Path, None]:
    """Return a file and every project file that it imports, directly or indirectly."""
    if path not in seen:
        seen[path] = None
        for module, _ in imports(path):
            base = ROOT.joinpath(*module.split("."))
            for file in (base.with_suffix(".py"), base / "__init__.py"):
                if module.split(".")[0] in OURS and file.is_file():
                    closure(file, seen)
    return seen


@pytest.mark.parametrize("decide", sorted([*ROOT.glob("services/**/decide.py"), *ROOT.glob("services/**/decide/*.py")]), ids=str)
def test_decisions_do_no_io(decide: Path) -> None:
    """A module of decisions, with all its imports, can be tested by a table: no files, sockets, clocks or threads."""
    wrong = [
        f"{place(path, line)} imports {module}"
        for path in closure(decide, {})
        for module, line in imports(path)
        if any(within(module, forbidden) for forbidden in IO)
    ]
    text = decide.read_text(encoding="utf-8")
    wrong += [f"{place(decide, text.count(chr(10), 0, found.start()) + 1)} asks for the time" for found in CLOCK.finditer(text)]
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    wrong += [
        f"{place(decide, call.lineno)} opens a file" for call in calls if isinstance(call.func, ast.Name) and call.func.id == "open"
    ]

    assert wrong == []


def test_every_service_has_the_same_rooms() -> None:
    """All services have the same structure: `__main__` starts the service, `queries.sql` holds all SQL that it may run."""
    found = {path.name for path in (ROOT / "services").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found == set(SERVICES)
    missing = [
        f"services/{service}/{room}"
        for service in SERVICES
        for room in ("__init__.py", "__main__.py", "queries.sql")
        if not (ROOT / "services" / service / room).is_file()
    ]
    assert missing == []
    for service in SERVICES:
        main = (ROOT / "services" / service / "__main__.py").read_text(encoding="utf-8")
        assert f"run_service(Role.{service.upper()}" in main, f"{service} does not start as the others do"


SQL = re.compile(r"^\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s*\(|LISTEN\s|NOTIFY\s)")
RAW = {"execute", "executemany", "fetch", "fetchrow", "fetchval", "cursor", "copy_records_to_table"}


def docstrings(tree: ast.Module) -> set[int]:
    """Return the identities of the nodes that are docstrings."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, owners)]
    return {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}


def test_services_keep_their_sql_in_sql_files() -> None:
    """A service runs only named statements, so that test_db can check each one's syntax and rights."""
    wrong = []
    for path in below("services", "cli"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documentation = docstrings(tree)
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in documentation
                and SQL.match(node.value)
            ):
                wrong.append(f"{place(path, node.lineno)}: SQL in Python")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in RAW:
                receiver = ast.unparse(node.func.value)
                if re.search(r"connection|session|conn\b|\bdb\b|database|pool", receiver):
                    wrong.append(f"{place(path, node.lineno)}: {receiver}.{node.func.attr}(...) instead of a named query")

    assert wrong == []


LONGEST_POLL_S = 0.1


def test_tests_do_not_sleep() -> None:
    """A test polls a condition with a deadline. A fixed pause is too short on a busy machine or too long on all others."""
    wrong = []
    for path in below("tests"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        polling = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.While) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep", "sleep"}):
                continue
            pause = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
            short = isinstance(pause, int | float) and pause <= LONGEST_POLL_S
            if pause != 0 and not (short and id(node) in polling):
                wrong.append(f"{place(path, node.lineno)}: {ast.unparse(node)}")

    assert wrong == []


# Traces of a developer's machine or a package registry. This file must name them and is the only exception.
MACHINE = re.compile(r"(?<![\w.])/(home|Users)/(?!user\b|you\b|\$)[a-z][\w.-]*/|[A-Z]:\\Users\\|(?<![\w/])/root/\w")
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.(npmjs|yarnpkg)|npmjs\.(org|com)|proxy\.golang\.org|crates\.io|jfrog\.io|artifactory"
    r"|(?<!emit-)(extra-)?index-url\b|^\s*registry\s*=",
    re.IGNORECASE | re.MULTILINE,
)


def texts() -> Iterator[tuple[Path, str]]:
    for path in FILES:
        raw = path.read_bytes()
        if path != Path(__file__).resolve() and b"\0" not in raw[:4096]:
            yield path, raw.decode("utf-8", "replace")


def test_no_file_names_a_developers_machine_or_a_registry() -> None:
    """The sources work in any directory and with any package mirror. This includes lock files."""
    here = re.compile(re.escape(f"{ROOT}/")) if len(ROOT.parts) > 2 else re.compile(r"(?!)")
    wrong = []
    for path, text in texts():
        found = [match for pattern in (here, MACHINE, REGISTRY) for match in pattern.finditer(text)]
        wrong += [f"{place(path, text.count(chr(10), 0, match.start()) + 1)}: {match.group().strip()}" for match in found]

    assert wrong == []


def test_locks_carry_hashes() -> None:
    """Every locked requirement is pinned and hashed, so any mirror must serve the same bytes."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        requirement = ""
        for line in [*lock.read_text(encoding="utf-8").splitlines(), "end"]:
            if line and not line.startswith((" ", "#")):
                assert not requirement or "--hash=sha256:" in requirement, f"{lock.name}: {requirement[:60]}"
                requirement = line
                assert line == "end" or re.match(r"[\w.\[\]-]+==\S+", line), f"{lock.name}: {line}"
            else:
                requirement += line


def test_every_suppression_has_its_reason() -> None:
    """`noqa` and `type: ignore` name the rule and say why."""
    pattern = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<rule>(: ?[A-Z]+\d+(, ?[A-Z]+\d+)*)|(\[[\w, -]+\]))?(?P<rest>[^\n]*)")
    wrong = [
        place(path, text.count("\n", 0, found.start()) + 1)
        for path, text in texts()
        if path.suffix == ".py"
        for found in pattern.finditer(text)
        if not found["rule"] or len(found["rest"].strip(" -#")) < 3
    ]

    assert wrong == []


def test_every_folder_of_tests_is_a_package() -> None:
    """Otherwise two tests of the same name in different folders would collide."""
    folders = {path.parent for path in below("tests")}

    assert [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_no_test_is_skipped_without_a_condition_and_a_reason() -> None:
    """A skipped test hides a gap. Where a machine cannot show the behaviour, the condition and the reason are given."""
    wrong = []
    for path in below("tests"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        conditional = {
            id(node.func)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) == "pytest.mark.skipif"
            and any(keyword.arg == "reason" for keyword in node.keywords)
        }
        wrong += [
            f"{place(path, node.lineno)}: {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and re.fullmatch(r"pytest\.(skip|xfail|mark\.(skip|skipif|xfail))", ast.unparse(node))
            and id(node) not in conditional
        ]

    assert wrong == []
