"""A NAS that can be unmounted, and ordinary users: fixtures `nas`, `ordinary_user`, `public_path`."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


def names(folder: Path) -> list[str]:
    """Return all names directly in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that every user may enter (pytest's own are private to its user)."""
    path = Path(tempfile.mkdtemp(prefix="csa-scanner-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def ordinary_user() -> Callable[[], AbstractContextManager[None]]:
    """Inside this block permissions apply: root becomes nobody, and any other user stays the same."""

    @contextmanager
    def step_down() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return step_down


class Nas:
    """A base that can be removed: a real tmpfs mount where mounting is allowed, else a directory that is moved aside."""

    def __init__(self, root: Path) -> None:
        self.base = root / "nas"
        self._aside = root / "aside"
        self.base.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "cs-archiver-test", str(self.base)]
        self.real = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        self._mounted = True

    def unmount(self) -> None:
        """Leave an empty directory in its place, as an unmounted NAS does (also under open handles)."""
        if not self._mounted:
            return
        self._mounted = False
        if self.real:
            # Lazy: it also removes mounts below and ignores open handles.
            subprocess.run(["umount", "--lazy", str(self.base)], check=True)
        else:
            self.base.rename(self._aside)
            self.base.mkdir()


@pytest.fixture
def nas(tmp_path: Path) -> Iterator[Nas]:
    mounted = Nas(tmp_path)
    yield mounted
    mounted.unmount()
