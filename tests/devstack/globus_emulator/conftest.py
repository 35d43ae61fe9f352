"""One emulator for all tests of this directory, reset for each. Tests that kill it start their own."""

from collections.abc import Iterator
from pathlib import Path

import globus_sdk
import pytest

from tests.support.emulator import Emulator, running_emulator

# Short retries of tasks: the real service needs minutes, these tests milliseconds.
SETTINGS = {
    "expires_in_s": 172_800,
    "bytes_per_second": None,
    "retry_first_s": 0.02,
    "retry_max_s": 0.1,
    "max_running": 3,
    "max_pending": 100,
    "cancel_wait_s": 5.0,
}


@pytest.fixture(scope="session")
def shared_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("globus") / "emulator", **SETTINGS) as emulator:
        yield emulator


@pytest.fixture
def emulator(shared_emulator: Emulator, tmp_path: Path) -> Iterator[Emulator]:
    """The shared process, reset, with two empty collections for this test."""
    shared_emulator.source, shared_emulator.destination = tmp_path / "source", tmp_path / "destination"
    shared_emulator.control.reset()
    # Whole collections, so that changes of an earlier test are gone.
    whole = {"read_only": False, "allowed_prefixes": ["/"], "requires_data_access": False, "quota_bytes": None}
    whole |= {"checksum_algorithms": ["MD5", "SHA1", "SHA256", "SHA512"], "unsupported_algorithm": "fail"}
    whole |= {"entity_type": "GCSv5_guest_collection", "force_verify": False}
    shared_emulator.control.configure(**SETTINGS, collections=shared_emulator.collections(source=whole, destination=whole))
    yield shared_emulator
    shared_emulator.close_clients()


@pytest.fixture
def client(emulator: Emulator) -> globus_sdk.TransferClient:
    return emulator.client()


@pytest.fixture
def own_emulator(tmp_path: Path) -> Iterator[Emulator]:
    """A process for this test only, which may be killed and restarted."""
    with running_emulator(tmp_path / "own", **SETTINGS) as emulator:
        yield emulator
