"""Show folders of the NAS to users: read-only, below the base, without following links, and only while the NAS is mounted."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from shared import units
from shared.errors import NOT_FOUND, Operation, PermanentError, TransientError
from shared.files import handles, listing, mount, trees
from shared.files.listing import Page
from shared.files.paths import plain
from shared.service.rpc import Browse, FolderMeasured, MeasureFolder

_MEASURE_SECONDS = 40.0
_NO_FOLDER = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


@contextmanager
def opened(base: Path, nas_id: str, path: str) -> Iterator[int]:
    """Open a folder below the mounted base, on the base's file system.

    Raises PermanentError (code "not-found") if there is no such folder, Waiting while the NAS is not there.
    """
    with mount.opened(base) as top, ExitStack() as stack:
        mount.check_mounted(top, base, nas_id)
        try:
            folder = stack.enter_context(handles.directory(top, os.fsencode(path)))
        except OSError as exc:
            if exc.errno in _NO_FOLDER:
                raise PermanentError(f"There is no folder {path or '/'} on the NAS.", NOT_FOUND) from exc
            raise _refused(exc, path) from exc
        if not mount.same_device(top, folder):
            raise PermanentError(f"{path} is on another file system, which is mounted into the NAS.", NOT_FOUND)
        yield folder


def browse(base: Path, nas_id: str, question: Browse) -> Page:
    """Return one page of a folder. Raises as `opened`."""
    with opened(base, nas_id, plain(question.path)) as folder:
        try:
            return listing.listed(folder, plain(question.path), question.wanted)
        except OSError as exc:
            raise _refused(exc, question.path) from exc


def measure(base: Path, nas_id: str, question: MeasureFolder) -> FolderMeasured:
    """Return how much is in a folder. Raises as `opened`, TransientError when counting takes too long for a request."""
    with opened(base, nas_id, plain(question.path)) as folder:
        try:
            found = trees.measure(folder, _within(_MEASURE_SECONDS))
        except OSError as exc:
            raise _refused(exc, question.path) from exc
    return FolderMeasured(found.total_bytes, found.file_count)


def _within(seconds: float) -> Callable[[], None]:
    ends = time.monotonic() + seconds

    def stop() -> None:
        if time.monotonic() > ends:
            raise TransientError(
                f"Adding up this folder takes longer than {units.duration(seconds)}; choose smaller ones.", Operation.CONNECTION
            )

    return stop


def _refused(error: OSError, path: str) -> PermanentError | TransientError:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return PermanentError(f"The scanner may not read {path or '/'} on the NAS.")
    return TransientError(f"{path or '/'} on the NAS cannot be read now: {error.strerror}.", Operation.CONNECTION)
