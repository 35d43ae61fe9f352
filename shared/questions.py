"""What services ask each other over NATS request/reply: the question and the answer of each, in one file.

`Bus.ask(service, name, question, Answer)` on one side, `Bus.serve(name, handler)` on the other. A refusal comes back as the error
family it was raised as.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec


class Inspect(msgspec.Struct):
    """`rpc.scanner.inspect`: may this folder be archived? Refused (permanent) with a sentence for the user when not."""

    path: str


class Inspected(msgspec.Struct):
    """The folder as it is now; sizes in bytes as of the last scan, None when no scan has seen it."""

    path: str
    name: str
    level1: str
    level2: str
    device: int
    inode: int
    size_bytes: int | None = None
    file_count: int | None = None


class Refresh(msgspec.Struct):
    """`rpc.scanner.refresh`: scan now, or join the scan that is running; answered when it has ended."""


class Refreshed(msgspec.Struct):
    scan_id: int
    finished_at: datetime
    folder_count: int


class AskDestination(msgspec.Struct):
    """`rpc.uploader.destination`: what stands under this path, archive and sidecar.

    `job_id`: whose own unverified file is no obstacle.
    """

    path: str
    job_id: UUID | None = None


class DestinationState(msgspec.Struct):
    """absent: "not found" for both names. own: this job's unverified file. foreign: anything else is there. unknown: no clear answer."""

    state: Literal["absent", "own", "foreign", "unknown"]
    detail: str = ""


class RecheckSize(msgspec.Struct):
    """`rpc.uploader.recheck_size`: do both remote files still have the recorded sizes? Asked before an old proof is used."""

    job_id: UUID


class SizeChecked(msgspec.Struct):
    ok: bool
    detail: str = ""


class GlobusCheck(msgspec.Struct):
    """`rpc.uploader.globus_check`: say whether the connection to Globus works now."""


class CollectionState(msgspec.Struct):
    """A collection as Globus describes it. `connected`: only of those on a personal machine."""

    id: str
    display_name: str | None = None
    entity_type: str | None = None
    high_assurance: bool | None = None
    connected: bool | None = None


class GlobusChecked(msgspec.Struct):
    """`problems`: sentences for the administrator (a missing consent, a directory that cannot be listed); none: all is well.

    A side is None when Globus does not show it to us; `..._listed`: its directory can be read, which takes the consents as well.
    """

    emulated: bool
    transfer_url: str
    problems: list[str]
    source: CollectionState | None = None
    destination: CollectionState | None = None
    source_listed: bool = False
    destination_listed: bool = False
