"""`rpc.uploader.globus_check` over the real NATS, answered with the real SDK against the emulator."""

from typing import Any

import pytest

from services.uploader.__main__ import Answers
from shared.infra.bus import Bus
from shared.service.rpc import GlobusCheck, GlobusChecked
from tests.services.uploader.station import Station
from tests.support.emulator import CLIENT_ID, CLIENT_SECRET, DESTINATION, SOURCE
from tests.support.kernel import Kernel

DENIED = {"kind": "fs", "action": "denied", "operation": "ls", "collection": SOURCE}
CONSENT = {"kind": "auth", "action": "consent_required", "path": "/ls"}
REFUSED = {"kind": "auth", "action": "reject_secret"}
UNKNOWN = {"kind": "http", "action": "status", "status": 404, "code": "EndpointNotFound", "path": f"/endpoint/{DESTINATION}$"}


async def asking(kernel: Kernel, station: Station) -> Bus:
    """The gateway's connection to the bus. The uploader answers on its own connection."""
    uploader = await kernel.bus("uploader")
    await uploader.serve("globus_check", Answers(await kernel.db("uploader"), station.tools).globus_check)
    await uploader.connection.flush()
    return await kernel.bus("gateway")


async def asked(gateway: Bus) -> GlobusChecked:
    return await gateway.ask("uploader", "globus_check", GlobusCheck(), GlobusChecked, 60.0)


async def test_all_is_well(kernel: Kernel, station: Station) -> None:
    """Both collections by name, both directories listed, no problem. A missing destination base is created."""
    found = await asked(await asking(kernel, station))

    assert (found.emulated, found.transfer_url, found.problems) == (True, station.emulator.url, [])
    assert found.source is not None
    assert found.destination is not None
    assert (found.source.id, found.source.display_name) == (SOURCE, "Archives")
    assert (found.destination.id, found.destination.display_name) == (DESTINATION, "Tape")
    assert (found.source_listed, found.destination_listed) == (True, True)
    assert (station.emulator.destination / "tape").is_dir()


@pytest.mark.parametrize(
    ("fault", "words", "listed"),
    [
        pytest.param(UNKNOWN, ["GLOBUS_DESTINATION_ENDPOINT", "destination collection", DESTINATION], None, id="no such endpoint"),
        pytest.param(CONSENT, ["lacks a consent", f"{CLIENT_ID}@clients.auth.globus.org"], (False, False), id="consent"),
        pytest.param(REFUSED, ["GLOBUS_CLIENT_ID and GLOBUS_CLIENT_SECRET"], None, id="credential"),
        pytest.param(DENIED, ["GLOBUS_SOURCE_COLLECTION_PATH", "permission"], (False, True), id="source not listable"),
    ],
)
async def test_what_is_wrong_is_said(
    kernel: Kernel, station: Station, fault: dict[str, Any], words: list[str], listed: tuple[bool, bool] | None
) -> None:
    """The sentence says what to change and never shows the secret. After the fix, the next check passes without a restart."""
    station.emulator.control.set_faults(fault)
    gateway = await asking(kernel, station)

    found = await asked(gateway)

    said = " ".join(found.problems)
    assert [word for word in words if word not in said] == [], said
    assert CLIENT_SECRET not in said
    assert (found.source_listed, found.destination_listed) == (listed or (False, False))
    assert (found.source is not None and found.destination is not None) == (listed is not None)
    station.emulator.control.set_faults()
    assert (await asked(gateway)).problems == []


async def test_a_source_directory_that_is_not_there(kernel: Kernel, station: Station) -> None:
    """The sentence names its setting. The directory is never created, because that would hide a wrong path."""
    station.change(source_path="/not/there")

    found = await asked(await asking(kernel, station))

    assert "GLOBUS_SOURCE_COLLECTION_PATH: the directory /not/there/ does not exist" in " ".join(found.problems)
    assert (found.source_listed, found.destination_listed) == (False, True)
    assert not (station.emulator.source / "not").exists()
