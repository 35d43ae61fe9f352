"""ui/tools/apigen/schema.py as a module: it lies outside every package."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("ui_apigen_schema", Path(__file__).parents[2] / "ui/tools/apigen/schema.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


def digest() -> str:
    """Changes whenever a type of the API may have changed."""
    return str(_module.digest())
