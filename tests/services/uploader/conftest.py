"""The uploader's fixtures: one emulator for all tests of a file, emptied for each test."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.services.uploader.station import Station
from tests.support.emulator import Emulator, running_emulator
from tests.support.kernel import Kernel


@pytest.fixture(scope="module")
def one_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    directory: Path = tmp_path_factory.mktemp("globus")
    with running_emulator(directory, bytes_per_second=None, retry_first_s=0.02, retry_max_s=0.1) as emulator:
        yield emulator


@pytest.fixture
async def station(kernel: Kernel, one_emulator: Emulator) -> AsyncIterator[Station]:
    one_emulator.control.reset()
    one_emulator.control.configure(bytes_per_second=None)
    for root in (one_emulator.source, one_emulator.destination):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
    made = Station(kernel, one_emulator)
    await made.open()
    yield made
    await made.tools.globus.close()
