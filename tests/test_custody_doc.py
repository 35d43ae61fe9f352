"""docs/custody.md: every rule names its enforcing code and a test, and both exist."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "custody.md").read_text(encoding="utf-8")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_FILE = re.compile(r"`((?:services|shared)/[\w/]+\.(?:py|sql))`")
_ROW = re.compile(r"^\|(?! ?(?:Rule|Instead of|---)).*\|$", re.MULTILINE)


@cache
def _tests_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_named_test_exists() -> None:
    """When a test is renamed, its line in the document must change too."""
    named = _TEST.findall(DOCUMENT)
    missing = [f"{path}::{name}" for path, name in named if not (ROOT / path).exists() or name not in _tests_in(path)]

    assert missing == []
    assert len(set(named)) > 80


def test_every_rule_has_a_test_and_a_place() -> None:
    """Every row has a test, and the enforcing files exist."""
    rows = _ROW.findall(DOCUMENT)
    assert len(rows) > 50
    assert [row for row in rows if not _TEST.search(row)] == []
    assert [path for path in _FILE.findall(DOCUMENT) if not (ROOT / path).exists()] == []
