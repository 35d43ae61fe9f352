"""The files of one archive: the archive itself and, if it was split, the volumes that 7-Zip finds beside it by their names."""

import errno
import fcntl
import itertools
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from shared import units
from shared.archiving.formats import TOO_BIG, UNSAFE
from shared.errors import PermanentError
from shared.files import handles
from shared.files.manifest import printable

_LINKS = "cs-archiver-volumes-"
_NEW_S = 60.0
"""For this many seconds a folder of links counts as new: its reader may not have locked it yet."""
_PART = re.compile(rb"(?is)(.+\.part)(\d+)(\.rar)")


def following(first: bytes) -> Iterator[bytes]:
    """Yield the names under which 7-Zip looks for further volumes, in order. Pure.

    `name.7z.001`, `.002`; `name.part1.rar`, `name.part2.rar`; `name.rar`, `.r00` to `.z99`; `name.zip` or `.z01` with `.z02`
    and so on.
    """
    stem, _, ending = first.rpartition(b".")
    if part := _PART.fullmatch(first):
        start, digits, end = part.groups()
        return (start + str(number).zfill(len(digits)).encode() + end for number in itertools.count(int(digits) + 1))
    if not stem:
        return iter(())
    if ending == b"001":
        return (b"%s.%03d" % (stem, number) for number in itertools.count(2))
    if ending.lower() == b"rar":
        return (b"%s.%c%02d" % (stem, ending[0] + number // 100, number % 100) for number in range(900))
    if ending.lower() in {b"zip", b"z01"}:
        others = (b"%s.%c%02d" % (stem, ending[0], number) for number in itertools.count(1))
        last = stem + (b".ZIP" if ending.isupper() else b".zip")
        return (name for name in itertools.chain([last], others) if name != first)
    return iter(())


def opened(stack: ExitStack, folder: int, first: bytes) -> list[tuple[bytes, int]]:
    """Open an archive and its volumes in the open directory `folder`, never following links. Return names and handles.

    Raises PermanentError "unsafe-archive" when a volume is not a regular file and "too-big" when there are too many volumes,
    OSError when the archive itself cannot be opened.
    """
    found = [(first, stack.enter_context(handles.file(folder, first)))]
    for name in following(first):
        try:
            found.append((name, stack.enter_context(handles.file(folder, name))))
        except FileNotFoundError:
            break
        except (OSError, PermanentError) as exc:
            if isinstance(exc, OSError) and exc.errno == errno.EMFILE:
                sentence = f"The archive is not read: more than {units.counted(len(found), 'volume')} cannot be open at once here."
                raise PermanentError(sentence, TOO_BIG) from exc
            if isinstance(exc, OSError) and exc.errno != errno.ELOOP:
                raise
            raise PermanentError(f"{printable(name)}, which belongs to the archive, is no plain file.", UNSAFE) from exc
    return found


def linked(stack: ExitStack, files: Sequence[tuple[bytes, int]]) -> Path:
    """Make a temporary folder with links to open files under their names. It exists until `stack` closes.

    Its reader holds a lock on it. This call also removes the folders of readers that were killed.
    """
    remove_dead_links()
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_LINKS)))
    fcntl.flock(stack.enter_context(handles.root(place)), fcntl.LOCK_SH)
    for name, handle in files:
        (place / os.fsdecode(name)).symlink_to(handles.path_of(handle))
    return place


def remove_dead_links() -> None:
    """Remove the folders of links whose readers were killed: their locks are free."""
    temporary = Path(tempfile.gettempdir())
    with handles.root(temporary) as place:
        for path in temporary.glob(f"{_LINKS}*"):
            with suppress(OSError), handles.directory(place, os.fsencode(path.name)) as folder:
                _remove_if_dead(place, path.name, folder)


def _remove_if_dead(place: int, name: str, folder: int) -> None:
    """Remove the folder unless its reader is alive. Raises OSError when it is."""
    facts = os.fstat(folder)
    if facts.st_uid != os.geteuid() or time.time() - facts.st_mtime < _NEW_S:
        return
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with os.scandir(folder) as links:
        for link in links:
            os.unlink(link.name, dir_fd=folder)
    os.rmdir(name, dir_fd=place)
