"""One upload in the hands of one worker: its tools, its archive, and its destination."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.uploader import paths
from services.uploader.decide.claimed_job import LocalArchive
from services.uploader.decide.proofs import Expected, ExpectedFile
from services.uploader.decide.running_task import WatchLimits
from services.uploader.globus import Globus
from services.uploader.model import RecheckPolicy
from services.uploader.rows import Archive
from services.uploader.submissions import Submissions
from shared.files import handles
from shared.files.manifest import SIDECAR_SUFFIX
from shared.service import stagings
from shared.service.work import Work

_BLOCK = 4 << 20


class UploadTools(msgspec.Struct, frozen=True):
    """The tools of the handlers, built once per process."""

    globus: Globus
    submissions: Submissions
    archives: Path
    source_root: Path
    source_path: str
    limits: WatchLimits
    policy: RecheckPolicy
    most_archives: Callable[[], int] = lambda: 3
    """How often an archive that was lost or damaged on staging is made again. Called each time, because an admin may change it."""


class Case(msgspec.Struct):
    """One job in hand: the recorded facts of its archive, and its destination."""

    work: Work
    tools: UploadTools
    archive: Archive
    expected: Expected
    destination: paths.Destination

    @property
    def key(self) -> str:
        return self.destination.key

    @property
    def total(self) -> int:
        return self.archive.total


def expected_files(tools: UploadTools, archive: Archive, destination: paths.Destination) -> Expected:
    """Return what must be at the destination: the archive and its sidecar, with the collection paths of their local files."""
    root = str(tools.source_root)
    local = str(stagings.located(tools.archives, archive.archive_path))
    return Expected(
        ExpectedFile(
            source_path=paths.to_collection(local, root, tools.source_path),
            destination_path=destination.archive,
            size=archive.size,
            sha256=archive.sha256,
            md5=archive.md5,
        ),
        ExpectedFile(
            source_path=paths.to_collection(local + SIDECAR_SUFFIX, root, tools.source_path),
            destination_path=destination.sidecar,
            size=archive.manifest_size,
            sha256=archive.manifest_sha256,
            md5=archive.manifest_md5,
        ),
    )


def is_here(tools: UploadTools, archive: Archive) -> bool:
    """Return whether the staging that holds an archive is mounted here now.

    Archives from before stagings had names are looked for here.
    """
    return archive.staging is None or archive.staging == stagings.read(tools.archives)


def local_archive(case: Case) -> LocalArchive:
    """Hash both local files again, because only what was recorded may be sent."""
    path = stagings.located(case.tools.archives, case.archive.archive_path)
    try:
        for file, expected in zip((path, path.with_name(path.name + SIDECAR_SUFFIX)), case.expected.files, strict=True):
            if _digest(file, case.work) != (expected.size, expected.sha256):
                return LocalArchive.DIFFERENT
    except (FileNotFoundError, NotADirectoryError):
        return LocalArchive.MISSING
    return LocalArchive.INTACT


def _digest(path: Path, work: Work) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with handles.root(path.parent) as parent, handles.file(parent, os.fsencode(path.name)) as file:
        while block := os.read(file, _BLOCK):
            work.stop()
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()
