"""Assumptions of the browser's code about other parts, compared with those parts. No browser is needed."""

import json
from pathlib import Path

from services.gateway.files.views import PACK_WORDS
from shared.domain.lifecycle import ARCHIVE_EDGES, CANCELLABLE, PAUSABLE, TERMINAL, Role, Status
from shared.infra.runtime_settings import DEFINITIONS
from tests.ui.apischema import digest

UI = Path(__file__).parents[2] / "ui"


def test_the_types_are_those_of_the_gateway() -> None:
    """generated.ts was generated from the current API."""
    first = (UI / "src" / "api" / "generated.ts").read_text().splitlines()[0]

    assert first.endswith(f"Digest: {digest()}"), "ui/src/api/generated.ts is stale: run `make ui-types`, then `make ui-check`."


def test_actions_are_offered_in_the_states_that_allow_them() -> None:
    """jobCan.json matches the single state machine."""
    table = json.loads((UI / "src" / "api" / "jobCan.json").read_text())
    retries = {edge.source for edge in ARCHIVE_EDGES if edge.owner is Role.GATEWAY and edge.target is Status.QUEUED}

    assert set(table["cancel"]) == CANCELLABLE
    assert set(table["pause"]) == PAUSABLE
    assert set(table["retry"]) == retries
    assert set(table["ended"]) == TERMINAL


def test_packs_have_the_words_of_the_gateway() -> None:
    """packWords.json, which translates live messages, matches the gateway's table."""
    table = json.loads((UI / "src" / "api" / "packWords.json").read_text())

    assert table == {status.value: word for status, word in PACK_WORDS.items()}


def test_the_lock_names_no_registry() -> None:
    """`npm ci` uses the registry that its machine is configured for."""
    for lock in (UI / "package-lock.json", UI / "tools" / "apigen" / "package-lock.json"):
        packages = json.loads(lock.read_text())["packages"]

        assert [name for name, package in packages.items() if "resolved" in package] == []
        assert all("integrity" in package for name, package in packages.items() if name)


def test_every_setting_has_its_words() -> None:
    """The form has a text for each setting that the gateway serves."""
    words = (UI / "src" / "text" / "enAdmin.ts").read_text()

    assert [name for name in DEFINITIONS if f"{name}: " not in words] == []
