"""Lists as files: CSV for spreadsheets, NDJSON for programs. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

CSV = "text/csv"  # the framework adds the character set
NDJSON = "application/x-ndjson"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return a CSV row (RFC 4180). Text that a spreadsheet would run as a formula gets an apostrophe, as names are untrusted."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> Any:
    plain = msgspec.to_builtins(value)
    if isinstance(plain, dict | list):
        plain = msgspec.json.encode(plain).decode()
    return f"'{plain}" if isinstance(plain, str) and plain.startswith(_FORMULA) else plain


def struct_lines(structs: Sequence[msgspec.Struct]) -> bytes:
    """Return one row per Struct, with its fields in their order."""
    return csv_lines([[getattr(one, name) for name in one.__struct_fields__] for one in structs])


def ndjson_lines(structs: Sequence[msgspec.Struct]) -> bytes:
    return b"".join(msgspec.json.encode(one) + b"\n" for one in structs)


def disposition(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
