"""The pages are correct: links work, commands exist, and pictures and tables match the code."""

import re
import subprocess
from itertools import pairwise, product
from pathlib import Path

import msgspec
import pytest
from typer.main import get_command

from cli.commands import app
from shared.domain import events
from shared.domain.lifecycle import ARCHIVE_EDGES, EDGES, TERMINAL, Kind, Role, Status
from shared.infra.nats_permissions import ACK_PENDING, CONSUMERS, IDLE_S
from shared.infra.provision import StreamSettings
from shared.infra.settings import CompressorSettings, GatewaySettings, ScannerSettings, UploaderSettings
from tests.ui.screenshots import SHOWN

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
README = (ROOT / "README.md").read_text()
COMMANDS = set(getattr(get_command(app), "commands", {}))
TEXTS = {".py", ".sql", ".md", ".sh", ".ts", ".tsx", ".toml", ".conf", ".yaml"}
YOURS = {"deploy/settings.env"}  # created by an operator
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _section(text: str, title: str) -> str:
    """Return the text from a heading to the next one of its level."""
    found = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title!r}"
    return found[2]


def _rows(text: str) -> list[list[str]]:
    """Return the cells of every table row below a header."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = {index for index, row in enumerate(cells) if set("".join(row)) <= {"-"} and "".join(row)}
    return [row for index, row in enumerate(cells) if index not in heads and index + 1 not in heads]


def _anchors(text: str) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names an existing file, and every fragment an existing heading."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if fragment:
            assert fragment in _anchors(file.read_text()), f"{page.name}: {target}"


def test_the_index_links_every_page() -> None:
    """The four parts are there, and every page can be found."""
    index = (ROOT / "docs/README.md").read_text()
    linked = {(ROOT / "docs" / target).resolve() for target in re.findall(r"\]\(([^)\s]+)\)", index)}
    records = set((ROOT / "docs/decisions").glob("[0-9]*.md"))  # they are in their own list
    assert re.findall(r"^## (.+)$", index, re.MULTILINE) == ["Tutorial", "How-to guides", "Reference", "Explanation"]
    assert set((ROOT / "docs").rglob("*.md")) - records - linked == {ROOT / "docs/README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_named_exists(page: Path) -> None:
    """Make targets, commands of cs-archiver, modules and project files that a page names."""
    text = page.read_text()
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert target in TARGETS, f"{page.name}: make {target}"
    for command in re.findall(r"cs-archiver ([a-z]+)", text):
        assert command in COMMANDS | {"runs", "is"}, f"{page.name}: cs-archiver {command}"
    for module in re.findall(r"python -m ([a-z_.]+[a-z_])", text):
        path = ROOT / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), f"{page.name}: {module}"
    for name in re.findall(r"`((?:shared|services|cli|devstack|tests|docs|deploy|requirements)/[\w./-]+)`", text):
        assert name in YOURS or (ROOT / name.rstrip("/")).exists(), f"{page.name}: {name}"


def test_twelve_screenshots_are_kept_and_shown() -> None:
    """`make screenshots` puts exactly the shown screenshots into docs/screenshots. In total they stay small."""
    kept = set((ROOT / "docs/screenshots").glob("*"))
    shown = {
        (page.parent / target).resolve() for page in PAGES for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())
    }
    assert kept == shown == {ROOT / "docs/screenshots" / f"{name}.png" for name in SHOWN}
    assert len(kept) == 12
    assert sum(file.stat().st_size for file in kept) <= 2 << 20


def test_nothing_points_to_documents_that_are_not_here() -> None:
    """Reasons are given in place: no file refers to a specification that readers do not have."""
    elsewhere = re.compile(r"\bproduct document\b|\b(seed|design)s?'?s? \d|\bfacts/\w", re.IGNORECASE)
    folders = ("shared", "services", "cli", "devstack", "benchmarks", "deploy", "tests", "docs", "ui/src")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    assert len(files) > 400
    found = [f"{path.relative_to(ROOT)}: {hit[0]}" for path in [*files, *PAGES] for hit in elsewhere.finditer(path.read_text())]
    assert found == []


def test_the_lifecycle_pictures_are_the_state_machine() -> None:
    """Arrows are the forward edges. The table below has every other edge with its service. Nothing is missing."""
    section = _section(ARCHITECTURE, "The life of a job")
    drawn = {tuple(arrow) for arrow in re.findall(r"^ +(\w+) --> (\w+): (\w+)$", section, re.MULTILINE)}
    listed = {
        (source, target, row[2]) for row in _rows(section) for source, target in product(row[0].split(", "), row[1].split(", "))
    }

    assert drawn == {(edge.source, edge.target, edge.owner) for edge in ARCHIVE_EDGES if edge.forward}
    assert listed == {(edge.source, edge.target, edge.owner) for edge in ARCHIVE_EDGES if not edge.forward}


def test_the_readme_shows_the_way_of_an_undisturbed_job() -> None:
    """Every arrow of the picture is a forward edge, and no state is missing."""
    line = next(line for line in README.splitlines() if "→" in line)
    states = [Status(state.strip()) for state in line.split("→")]
    forward = {(edge.source, edge.target) for edge in ARCHIVE_EDGES if edge.forward}
    assert all(pair in forward for pair in pairwise(states))
    assert set(states) | TERMINAL | {Status.RUNNING} == set(Status)


def test_the_quick_start_is_two_commands() -> None:
    block = re.search(r"```\n(.*?)```", _section(README, "Quick start"), re.DOTALL)
    assert block
    assert block[1].splitlines() == ["make demo", "make test"]


def test_the_readme_lists_every_target_and_command() -> None:
    """The lists are exact. `unit` is a part of `test` and has no help."""
    cells = [row[0] for row in _rows(README)]
    named = {target for cell in cells for target in re.findall(r"`make ([a-z-]+)`", cell)}
    explained = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = {name for cell in cells if "make" not in cell for name in re.findall(r"`([a-z-]+)`", cell)}
    assert named == explained
    assert commands == COMMANDS


def test_the_map_shows_every_directory() -> None:
    """Each directory with a file has a line (below tests only those that mirror no source), and each line is a directory."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True)
    if listed.returncode == 0:
        files = [Path(name) for name in listed.stdout.split("\0") if name]
    else:  # an unpacked archive of the sources
        hidden = {".venv", ".state", "node_modules", "__pycache__", "data", "demo"}
        files = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        files = [path for path in files if not hidden & set(path.parts) and not re.match(r"\.\w+_cache", path.parts[0])]
    mapped = set(re.findall(r"^([\w./-]+)/ +\S", _section(ARCHITECTURE, "Map of the tree"), re.MULTILINE))
    present = {str(path.parent) for path in files if path.parent != Path()}
    mirrors = {f"tests/{directory}" for directory in present}
    depth_of_ui = {directory for directory in present if directory.startswith("ui/")}

    assert present - mirrors - depth_of_ui - mapped == set()
    assert {name for name in mapped if not (ROOT / name).is_dir()} == set()


def test_the_failure_matrix_names_tests_that_exist() -> None:
    rows = _rows(_section(ARCHITECTURE, "What happens when it breaks"))
    assert len(rows) >= 15
    for _, _, named in rows:
        file, _, test = named.strip("`").partition("::")
        assert re.search(rf"def {test}\(", (ROOT / file).read_text()), named


def test_the_table_of_decisions_is_the_files() -> None:
    """Number, title and status of each record are the same in the list and in the file."""
    listed = [tuple(row) for row in _rows((ROOT / "docs/decisions/README.md").read_text())]
    found = []
    for file in sorted((ROOT / "docs/decisions").glob("[0-9]*.md")):
        head = re.match(r"# (\d{4}): (.+)\n\nStatus: (accepted|replaced by \d{4})\n", file.read_text())
        assert head, f"{file.name}: begins with `# NNNN: Title` and a status"
        assert file.name.startswith(head[1])
        found.append((f"[{head[1]}]({file.name})", head[2], head[3]))
    assert listed == found


def test_the_page_of_events_is_the_code() -> None:
    """Subjects and their publishers, fields, limits of the stream. The subscriber is the program of tests/devstack/test_demo.py."""
    page = (ROOT / "docs/events.md").read_text()
    subjects = [row[0].strip("`") for row in _rows(_section(page, "Subjects"))]
    fields = [name for row in _rows(_section(page, "Fields")) for name in re.findall(r"`(\w+)`", row[0])]
    program = re.search(r"```python\n(.*?)```", page, re.DOTALL)

    whose = {"every": set(Kind), "archive": {Kind.ARCHIVE}, "workspace": set(Kind) - {Kind.ARCHIVE}}
    entered = {kind: {Status.QUEUED, *(edge.target for edge in edges)} for kind, edges in EDGES.items()}
    stream, day = StreamSettings(), 24 * 3600

    assert set(subjects) == {events.subject(status) for status in Status}
    for row in _rows(_section(page, "Subjects")):
        reached = {kind for kind, states in entered.items() if row[0].strip("`").removeprefix("job.") in states}
        assert whose[row[1]] == reached, row
    for limit in (
        f"for {stream.max_age_s / day:g} days and up to\n{stream.max_bytes >> 20} MiB",
        f"{CONSUMERS} consumers",
        f"{ACK_PENDING:,} unacknowledged",
        f"used for {IDLE_S // day} days",
    ):
        assert limit in page
    assert len(subjects) == len(set(subjects))
    assert set(fields) == set(msgspec.structs.asdict(_sample().data))
    assert program
    assert program[1] == (ROOT / "devstack/subscribe.py").read_text()


def _sample() -> events.JobEvent:
    return events.decode(next((ROOT / "tests/golden/events").glob("*.json")).read_bytes())


def test_every_waiting_reason_is_explained() -> None:
    """The first words of each reason in the code are in the table of operations.md. Each row begins a reason of the code."""
    page = (ROOT / "docs/operations.md").read_text()
    explained = {row[0].strip("`") for row in _rows(_section(page, "When a job waits"))}
    sources = [path.read_text() for folder in ("shared", "services") for path in (ROOT / folder).rglob("*.py")]
    said = "\n".join(sources)
    for beginning in explained:
        # A text may be built from parts: `The scanner {reason}` and `may not write`.
        assert all(part in said for part in re.split(r"(?<=scanner) |(?<=Globus) ", beginning)), beginning
    reasons = re.findall(r'Waiting\(\s*f?"([^"{]+)', said)
    assert len(reasons) > 15
    for reason in reasons:
        assert any(reason.startswith(known) or known.startswith(reason.strip()) for known in explained), f"not explained: {reason}"


def test_settings_that_pages_name_exist() -> None:
    """Words in capitals with an underscore, on the operations pages, are settings or variables of the files beside."""
    shapes = (ScannerSettings, CompressorSettings, UploaderSettings, GatewaySettings)
    known = {name.upper() for shape in shapes for name in shape.__dataclass_fields__} | {"DATA_DIR"}
    known |= set(re.findall(r"[A-Z]+_[A-Z_]+", (ROOT / "compose.yaml").read_text()))
    for page in (ROOT / "docs/operations.md", ROOT / "README.md", ROOT / "ARCHITECTURE.md"):
        named = set(re.findall(r"`([A-Z]+_[A-Z_]+)", page.read_text()))
        assert named <= known, f"{page.name}: {named - known}"


def test_each_role_is_in_the_table_of_who_touches_what() -> None:
    rows = _rows(_section(ARCHITECTURE, "Who touches what"))
    assert [row[0] for row in rows] == [Role.SCANNER, Role.COMPRESSOR, Role.UPLOADER, Role.GATEWAY]


def test_the_checklist_names_tests_that_exist() -> None:
    """Every line of docs/ui-checklist.md has a test, and each exists: Python's by name, Vitest's by sentence."""
    files = {"B": "tests/ui/test_browser.py", "P": "tests/ui/test_pages.py"}
    rows = [row for row in _rows((ROOT / "docs/ui-checklist.md").read_text()) if not row[0].startswith("**")]
    assert len(rows) > 40
    for line, tests in rows:
        named = re.findall(r"(?:\b([BP])|`(tests/[\w/.]+)`) `(test_\w+)`", tests)
        said = re.findall(r'`(ui/[\w/.]+)` "([^"]+)"', tests)
        assert named or said, f"no test: {line}"
        for letter, file, name in named:
            assert f"def {name}(" in (ROOT / (file or files[letter])).read_text(), f"{line}: {name}"
        for file, sentence in said:
            assert f'it("{sentence}"' in (ROOT / file).read_text(), f"{line}: {sentence}"


def test_the_page_of_security_names_tests_that_exist() -> None:
    """Each refusal on the page has a test of that name."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) >= 15
    assert [test for file, test in named if f"def {test}(" not in (ROOT / file).read_text()] == []


def _said_by_the_program() -> str:
    """Return all messages of the program: its sources, with texts of several lines joined."""
    folders = ("shared", "services", "cli", "devstack", "ui/src/text")
    files = [path for folder in folders for kind in ("py", "ts") for path in (ROOT / folder).rglob(f"*.{kind}")]
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in files))


def test_the_messages_of_troubleshooting_are_the_programs() -> None:
    """Every quoted message is in the code, between its `…`. The page names each usual problem."""
    page = (ROOT / "docs/troubleshooting.md").read_text()
    said = _said_by_the_program()
    tables = ("Starting", "Archives", "Media files", "The web page and its live updates")
    quoted = [message for title in tables for row in _rows(_section(page, title)) for message in re.findall(r"`([^`]+)`", row[0])]

    assert len(quoted) > 25
    for message in quoted:
        parts = [part for part in message.split("…") if re.search(r"\w{2}", part)]
        assert parts, message
        assert [part for part in parts if part.strip() not in said] == [], message
    for problem in (
        *("7z command not found", "unrar: command not found", "Permission denied when extracting", "FFprobe not found"),
        *("No audio/video streams found", "Thumbnail extraction failed", "Connection refused"),
        *("WebSocket connection drops frequently", "Dashboard shows no tasks"),
    ):
        assert problem in page, problem
