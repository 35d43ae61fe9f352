"""The files of one archive: itself, and where it was cut into volumes those that 7-Zip looks for beside it, by their names."""

import errno
import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack

from shared import handles
from shared.archiving.formats import UNSAFE
from shared.errors import PermanentError
from shared.manifest import printable

_PART = re.compile(rb"(?is)(.+\.part)(\d+)(\.rar)")


def following(first: bytes) -> Iterator[bytes]:
    """The names under which 7-Zip looks for more of an archive, in their order. Pure.

    `name.7z.001`, `.002`; `name.part1.rar`, `name.part2.rar`; `name.rar`, `.r00` to `.z99`; `name.zip` or `.z01` with `.z02` and so on.
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
    """Open an archive in the open directory `folder` with its volumes, links never followed; names and handles.

    Raises PermanentError "unsafe-archive" where a volume is no plain file, OSError where the archive itself cannot be opened.
    """
    found = [(first, stack.enter_context(handles.file(folder, first)))]
    for name in following(first):
        try:
            found.append((name, stack.enter_context(handles.file(folder, name))))
        except FileNotFoundError:
            break
        except (OSError, PermanentError) as exc:
            if isinstance(exc, OSError) and exc.errno != errno.ELOOP:
                raise
            raise PermanentError(f"{printable(name)}, which belongs to the archive, is no plain file.", UNSAFE) from exc
    return found
