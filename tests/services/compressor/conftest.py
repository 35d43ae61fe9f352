"""The compressor's own fixtures."""

from pathlib import Path

import pytest

from tests.services.compressor.station import Station
from tests.services.compressor.workroom import Workroom
from tests.support.kernel import Kernel


@pytest.fixture
async def station(kernel: Kernel, tmp_path: Path) -> Station:
    made = Station(kernel, tmp_path)
    await made.open()
    await made.uploader()
    return made


@pytest.fixture
async def room(kernel: Kernel, tmp_path: Path) -> Workroom:
    made = Workroom(kernel, tmp_path)
    await made.open()
    return made
