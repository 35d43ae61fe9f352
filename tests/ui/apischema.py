"""Import ui/tools/apigen/schema.py as a module: it is outside every package."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("ui_apigen_schema", Path(__file__).parents[2] / "ui/tools/apigen/schema.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


def digest() -> str:
    """Return a digest that changes whenever an API type may have changed."""
    return str(_module.digest())
