"""The place where packs, archives and extractions are made: outside the workspaces, hidden from users, on the same file system.

The layout is `{work}/{job}/{attempt}/` as in staging. Two attempts never share a path, and finished work gets its name by one
rename.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from uuid import UUID

import msgspec

from shared.errors import ConfigurationError, Waiting
from shared.files import mount, paths
from shared.files.paths import Root


def below_workspace(owner: UUID, archive_path: str) -> str:
    """Return the path of a recorded archive below its user's workspace. Older rows have an absolute path through it. Pure."""
    parts = PurePath(archive_path).parts
    return str(PurePath(*parts[parts.index(str(owner)) + 1 :])) if parts[0] == "/" and str(owner) in parts else archive_path


class Workbench(msgspec.Struct, frozen=True):
    """The directories. workspaces: their root. work: ARCHIVE_TEMP_DIR. nas: QNAP_BASE_PATH."""

    workspaces: Path
    work: Path
    nas: Path

    def prepare(self) -> None:
        """Make the roots. No other account may read them.

        Raises ConfigurationError if finished work could not be published from there.
        """
        for root in (self.workspaces, self.work):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.work.stat().st_dev != self.workspaces.stat().st_dev:
            raise ConfigurationError(
                f"ARCHIVE_TEMP_DIR: {self.work} is not on the file system of {self.workspaces}, where finished archives are put by"
                " renaming them. Choose a directory there, or leave it empty."
            )

    def attempt(self, job: UUID, attempt: int) -> Path:
        return self.work / str(job) / str(attempt)

    def workspace(self, owner: UUID) -> Path:
        return paths.workspace(self.workspaces, owner)

    def located(self, owner: UUID, archive_path: str) -> Path:
        """Return where a recorded archive is now, even after the workspaces have moved."""
        return self.workspace(owner) / below_workspace(owner, archive_path)

    @contextmanager
    def opened(self, root: Root, owner: UUID, path: str, sentinel: str | None) -> Iterator[int]:
        """Open a folder for reading. sentinel: the id of the NAS that belongs there, for `Root.NAS`.

        Raises PermanentError "not-found", Waiting while the NAS is not mounted.
        """
        if root is Root.WORKSPACE:
            with paths.opened(self.workspace(owner), path) as folder:
                yield folder
            return
        if sentinel is None:
            raise Waiting(f"The scanner has not seen the NAS at {self.nas} yet.", 2.0)
        with mount.opened(self.nas) as base:
            mount.check_mounted(base, self.nas, sentinel)
            with paths.opened(self.nas, path) as folder:
                if not mount.same_device(base, folder):
                    raise Waiting(f"{path} is not on the file system that is mounted at {self.nas}.")
                yield folder
