"""docs/globus-emulator.md shows only accepted faults, and leaves none out."""

import json
import re
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from devstack.globus_emulator import faults
from devstack.globus_emulator.config import Collection, Config, Settings

TEXT = (Path(__file__).parents[3] / "docs/globus-emulator.md").read_text()
KINDS = (faults.HttpFault, faults.AuthFault, faults.TaskFault, faults.DataFault, faults.FsFault)
EXAMPLES = re.findall(r'\{"kind": .*\}', TEXT)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_a_fault(example: str) -> None:
    assert msgspec.json.decode(example, type=faults.Fault)


def test_every_kind_has_an_example() -> None:
    assert {json.loads(example)["kind"] for example in EXAMPLES} == {"http", "auth", "task", "data", "fs"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_action_is_described(kind: type) -> None:
    actions = get_args(get_type_hints(kind)["action"])

    assert [action for action in actions if f"`{action}`" not in TEXT] == []


@pytest.mark.parametrize("part", [Settings, Collection])
def test_every_setting_is_described(part: type) -> None:
    assert [name for name in part.__struct_fields__ if f"`{name}`" not in TEXT] == []


def test_example_configuration_is_one() -> None:
    found = re.search(r"<<'END'\n(.*?)\nEND", TEXT, re.DOTALL)

    assert found
    assert msgspec.json.decode(found.group(1), type=Config)
