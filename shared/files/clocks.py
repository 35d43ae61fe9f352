"""What the times of a file prove: a write changes them only if the clock has moved on since they were set.

A file system stamps a change with its own clock, cut down to a unit: nanoseconds, a kernel tick of some milliseconds, a second, or two
seconds on FAT. A file that is saved again within the unit in which it was read keeps size, modification time, ctime and inode. So these
four prove a file only if its times were already history when the copy began. Otherwise its content has to be read again.

Both sides of that comparison are stamps of the file system's own clock: the file's, and one that is taken just before the copy begins.
No other machine's clock takes part. A clock of ours (the database's, the same for every machine) only shows how far the two have moved
apart between copy and deletion, which is what a clock that was set back looks like.
"""

import os
import time

import msgspec

from shared.files.manifest import Clock, Entry

MARGIN_NS = 2 * 10**9
"""Added to every comparison: nodes of one server, and its clock while it is being adjusted, differ by less."""
COARSE_NS = 2 * 10**9
"""The unit of the coarsest clock, FAT's. It is assumed of every time in whole seconds, and where no step of the clock was seen."""
_SECOND_NS = 10**9
_WATCH_SECONDS = 0.05  # the slowest kernel tick is 16 ms


class Stamp(msgspec.Struct, frozen=True):
    """A look at the clock of a file system.

    server_ns: the time it gave just now, nanoseconds since 1970, already cut down to its unit. granularity_ns: the step between two times
    it gave, COARSE_NS when no step was seen.
    """

    server_ns: int
    granularity_ns: int


def must_hash(entry: Entry, copied: Clock | None, now: Clock | None) -> bool:
    """Whether equal size, times and inode do not prove this file, so that its content has to be read again. Pure.

    copied: the clock just before the copy began. now: the clock at the deletion. None, or an entry without the time of its reading
    (a manifest of an older version): nothing is known, so the answer is yes.
    """
    if copied is None or now is None or entry.read_from_ns is None:
        return True
    if now.server_ns < copied.server_ns:  # set back to before the copy: the same times come again
        return True
    newest = max(entry.mtime_ns, entry.ctime_ns)
    unit = max(_unit(entry.mtime_ns), _unit(entry.ctime_ns), copied.granularity_ns, now.granularity_ns)
    return newest + unit + difference(copied, now) + MARGIN_NS >= copied.server_ns


def difference(copied: Clock, now: Clock) -> int:
    """How far the file system's clock and ours have moved apart between two looks, in nanoseconds. Pure."""
    return abs((now.our_ns - copied.our_ns) - (now.server_ns - copied.server_ns))


def could_repeat(mtime_ns: int, since: Stamp, until: Stamp) -> bool:
    """Whether a write between two looks at the clock could be stamped with the very time that the file has already. Pure."""
    first, last = sorted((since, until), key=lambda stamp: stamp.server_ns)
    return not is_past(mtime_ns, first) and mtime_ns <= last.server_ns + MARGIN_NS


def is_past(mtime_ns: int, now: Stamp) -> bool:
    """Whether no write from now on is stamped with this time. Pure."""
    return mtime_ns + max(_unit(mtime_ns), now.granularity_ns) + MARGIN_NS < now.server_ns


def _unit(time_ns: int) -> int:
    """The unit that this time may have been cut down to, as far as the time itself tells."""
    return COARSE_NS if time_ns % _SECOND_NS == 0 else 0


def look(handle: int, before: Stamp | None = None) -> Stamp:
    """Ask the file system for its time, by touching an open file or directory of ours; with an earlier look, its unit is known.

    Raises OSError where we may not touch it.
    """
    first = _touched(handle)
    if before is not None:
        return Stamp(first, before.granularity_ns)
    end = time.monotonic() + _WATCH_SECONDS
    while (latest := _touched(handle)) == first:
        if time.monotonic() >= end:
            return Stamp(latest, COARSE_NS)
    return Stamp(latest, abs(latest - first))


def _touched(handle: int) -> int:
    os.utime(handle)  # "now" is the server's now, over NFS too
    return os.fstat(handle).st_ctime_ns
