"""The scanner's own fixtures."""

from pathlib import Path

import pytest

from tests.services.scanner.station import Station
from tests.support.kernel import Kernel


@pytest.fixture
async def station(kernel: Kernel, tmp_path: Path) -> Station:
    made = Station(kernel, tmp_path)
    await made.open()
    await made.uploader()
    return made
