"""Every shell block of the tutorials and how-to guides runs here, in page order, on the real stack.

A block's fence is `sh`, or `sh needs-...` where it cannot run on this machine. A `text` block after it is the expected output:
`...` stands for anything, and any run of spaces for any other.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from devstack import ports, postgres, proc
from tests.support.engines import data_dir
from tests.support.stack import PASSWORD, ROOT, running_stack, until

DOCS = ROOT / "docs"
TUTORIAL = sorted((DOCS / "tutorial").glob("*.md"))
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
LONGEST_S = 240.0
_FENCE = re.compile(r"^```(\w+)?( needs-\w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

NOT_RUN = [
    ("back-up.md", "needs-docker", "docker compose exec -T postgres pg_dump -U postgres -Fc cs_archiver > cs_archiver.dump"),
    ("back-up.md", "needs-docker", "docker compose stop scanner compressor uploader gateway"),
    ("globus.md", "needs-globus", "cs-archiver up --env-file globus.env > up.log 2>&1 &"),
    ("globus.md", "needs-globus", "cs-archiver archive Team/2026/Trial --keep-source --wait"),
    ("https-proxy.md", "needs-docker", "docker network inspect cs-archiver_outside --format '{{(index .IPAM.Config 0).Gateway}}'"),
    ("https-proxy.md", "needs-proxy", "curl --fail https://archive.example.org/api/health"),
    ("scale.md", "needs-docker", "docker compose up --detach --scale compressor=2"),
    ("upgrade.md", "needs-docker", "git pull"),
    ("upgrade.md", "needs-systemd", "git pull"),
]


class Block(NamedTuple):
    page: Path
    mark: str
    commands: str
    printed: str | None


def blocks(page: Path) -> list[Block]:
    """Return the shell blocks of a page, each with its expected output if the page has one."""
    found: list[Block] = []
    for match in _FENCE.finditer(page.read_text()):
        language, mark, text = match[1], (match[2] or "").strip(), match[3]
        if language == "sh":
            found.append(Block(page, mark, text, None))
        elif language == "text":
            assert found, f"{page.name}: a text block follows no shell block"
            assert found[-1].printed is None, f"{page.name}: two text blocks follow one shell block"
            found[-1] = found[-1]._replace(printed=text)
    return found


def test_blocks_that_do_not_run_are_listed() -> None:
    """Exactly the blocks that this machine cannot run are marked on their page and named in the list."""
    marked = [(block.page.name, block.mark, block.commands.splitlines()[0]) for page in TUTORIAL + HOW_TO for block in blocks(page)]
    assert sorted(found for found in marked if found[1]) == sorted(NOT_RUN)
    assert len(marked) > 2 * len(NOT_RUN)


def test_tutorials_do_what_they_say() -> None:
    """From a new folder to the end, in one shell. The first page starts the server, and the last one removes it."""
    with scratch() as place:
        port = str(ports.fresh())
        environment = {"GATEWAY_PORT": port, "CS_ARCHIVER_URL": f"http://127.0.0.1:{port}"}
        try:
            run(place, TUTORIAL, environment)
            assert not (place / "try").exists()
        finally:
            postgres.destroy(place / "try" / "data")


def test_how_to_guides_do_what_they_say() -> None:
    """All guides with one server, with folders that they may archive."""
    with scratch() as place, running_stack() as stack:
        for name in ("Interview", "Trailer", "Rushes"):
            stack.folder({"clip.mov": os.urandom(100_000)}, name, "Team", "2026")
        environment = {
            "CS_ARCHIVER_URL": f"http://127.0.0.1:{stack.port}",
            "CS_ARCHIVER_PASSWORD": PASSWORD,
            "DATA_DIR": str(stack.data),
            "QNAP_BASE_PATH": str(stack.nas),
        }
        run(place, HOW_TO, environment)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory like the checkout after `make setup`, which Postgres' own account can reach."""
    with data_dir() as place:
        (place / ".venv").symlink_to(sys.prefix)
        yield place


def run(place: Path, pages: Sequence[Path], environment: Mapping[str, str]) -> None:
    """Run the blocks in one shell, and compare each output with the page."""
    todo = [block for page in pages for block in blocks(page) if not block.mark]
    parts = [f"printf '\\n@@ %d\\n' {number}\n{block.commands}" for number, block in enumerate(todo)]
    output = place / "output"
    usual = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with output.open("wb") as printed:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", "".join(parts)],
            cwd=place,
            env={**usual, "XDG_CONFIG_HOME": str(place / "config"), **environment},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )
        try:
            code = shell.wait(LONGEST_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
            shell.wait(60)
            until(lambda: not proc.marked(str(place / "try" / "data")), "the end of what the pages started", 60)
    said = re.split(r"\n@@ \d+\n", output.read_text(errors="replace"))[1:]
    assert code == 0, (
        f"{todo[len(said) - 1].page.name}: exit code {code} of\n{todo[len(said) - 1].commands}\nIt printed:\n{said[-1]}"
    )
    for block, text in zip(todo, said, strict=True):
        if block.printed is not None:
            assert matches(text, block.printed), (
                f"{block.page.name}:\n{block.commands}\nprinted:\n{text}\nbut the page says:\n{block.printed}"
            )


def matches(text: str, expected: str) -> bool:
    """Return whether a text matches the page's, where `...` stands for anything."""
    pattern = ".*?".join(re.escape(part) for part in plain(expected).split("..."))
    return re.fullmatch(pattern, plain(text), re.DOTALL) is not None


def plain(text: str) -> str:
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.strip().splitlines())
    return "\n".join(lines)
