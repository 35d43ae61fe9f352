"""Which tool supports which part of an archive. The table in docs/archives.md and the cases of test_interop.py both use this.

`python -m tests.shared.archiving.interop_table` writes it into the page.
"""

import re
from pathlib import Path
from typing import NamedTuple

from shared.archiving.formats import Format

PAGE = Path(__file__).parents[3] / "docs" / "archives.md"
ALL = ["files", "links", "unicode", "bytes"]
COLUMNS = {"files": "files, directories, 0 bytes", "links": "links", "unicode": "Unicode names", "bytes": "names that are no UTF-8"}


class Row(NamedTuple):
    """outwards: the tool unpacks trees made here; inwards: the reverse. times: the tool keeps times and modes."""

    form: Format
    tool: str
    outwards: list[str]
    inwards: list[str]
    password: bool = False
    times: bool = True

    def __str__(self) -> str:
        return f"{self.form}-{self.tool}{'-password' if self.password else ''}".replace(" ", "")


TARS = [form for form in Format if form.is_tar]
TABLE = [
    Row(Format.ZIP, "unzip", ALL, []),
    Row(Format.ZIP, "7zz", ALL, ALL),
    Row(Format.ZIP, "7zz", ALL, ALL, password=True),
    Row(Format.ZIP, "Python", ["files", "unicode"], ["files", "unicode"], times=False),
    Row(Format.SEVENZIP, "7zz", ALL, ALL),
    Row(Format.SEVENZIP, "7zz", ALL, ALL, password=True),
    *(Row(form, tool, ALL, ALL) for form in TARS for tool in ("GNU tar", "Python", "7zz")),
]


def render() -> str:
    """Return the table in Markdown."""
    lines = [f"| format | tool | {' | '.join(COLUMNS.values())} |", f"|{'---|' * (len(COLUMNS) + 2)}"]
    for row in TABLE:
        cells = [_cell(kind in row.outwards, kind in row.inwards) for kind in COLUMNS]
        name = f"{row.form}, password" if row.password else row.form.value
        lines.append(f"| {name} | {row.tool} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(outwards: bool, inwards: bool) -> str:
    return {(True, True): "both ways", (True, False): "made here", (False, True): "made there", (False, False): "no"}[
        outwards, inwards
    ]


def main() -> None:
    """Write the table into the page."""
    text = PAGE.read_text()
    PAGE.write_text(re.sub(r"(?m)^\| format \| tool \|.*\n(\|.*\n)+", lambda _: render(), text))


if __name__ == "__main__":
    main()
