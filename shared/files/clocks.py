"""What a file's times prove. A write changes them only if the clock has moved on since they were set.

A file system stamps a change with its own clock, rounded down to a unit: nanoseconds, a kernel tick of some milliseconds, a
second, or two seconds on FAT. If a file is saved again within the unit in which it was read, its size, modification time, ctime
and inode stay the same. So these four prove a file only if its times were already in the past when the copy began. Otherwise its
content must be read again.

Both sides of that comparison are stamps of the file system's own clock: the file's times, and a stamp taken just before the copy
begins. No other machine's clock takes part. Our own clock (the database's, the same for every machine) only shows how far the two
have drifted apart between copy and deletion. A large drift means that a clock was set back.
"""

import os
import time

import msgspec

from shared.files.manifest import Clock, Entry

MARGIN_NS = 2 * 10**9
"""Added to every comparison. The nodes of one server differ by less, and so does a clock while it is adjusted."""
COARSE_NS = 2 * 10**9
"""The unit of the coarsest clock, FAT's. It is assumed for every time in whole seconds, and when no clock step was seen."""
_SECOND_NS = 10**9
_WATCH_SECONDS = 0.05  # the slowest kernel tick is 16 ms


class Stamp(msgspec.Struct, frozen=True):
    """A reading of a file system's clock.

    server_ns: the time that it reported, in nanoseconds since 1970, already rounded down to its unit. granularity_ns: the step
    between two reported times, or COARSE_NS when no step was seen.
    """

    server_ns: int
    granularity_ns: int


def must_hash(entry: Entry, copied: Clock | None, now: Clock | None) -> bool:
    """Return whether equal size, times and inode fail to prove this file, so that its content must be read again. Pure.

    copied: the clock just before the copy began. now: the clock at the deletion. If either is None, or the entry lacks the time
    of its reading (a manifest of an older version), nothing is known and the answer is True.
    """
    if copied is None or now is None or entry.read_from_ns is None:
        return True
    if now.server_ns < copied.server_ns:  # set back to before the copy: the same times occur again
        return True
    newest = max(entry.mtime_ns, entry.ctime_ns)
    unit = max(_unit(entry.mtime_ns), _unit(entry.ctime_ns), copied.granularity_ns, now.granularity_ns)
    return newest + unit + difference(copied, now) + MARGIN_NS >= copied.server_ns


def difference(copied: Clock, now: Clock) -> int:
    """Return how far the file system's clock and ours have drifted apart between two readings, in nanoseconds. Pure."""
    return abs((now.our_ns - copied.our_ns) - (now.server_ns - copied.server_ns))


def could_repeat(mtime_ns: int, since: Stamp, until: Stamp) -> bool:
    """Return whether a write between two clock readings could get exactly the time that the file already has. Pure."""
    first, last = sorted((since, until), key=lambda stamp: stamp.server_ns)
    return not is_past(mtime_ns, first) and mtime_ns <= last.server_ns + MARGIN_NS


def is_past(mtime_ns: int, now: Stamp) -> bool:
    """Return whether no write from now on can get this time. Pure."""
    return mtime_ns + max(_unit(mtime_ns), now.granularity_ns) + MARGIN_NS < now.server_ns


def _unit(time_ns: int) -> int:
    """Return the unit that this time may have been rounded down to, as far as the time itself shows."""
    return COARSE_NS if time_ns % _SECOND_NS == 0 else 0


def look(handle: int, before: Stamp | None = None) -> Stamp:
    """Read the file system's clock by touching one of our open files or directories. With an earlier reading, its unit is known.

    Raises OSError when we may not touch it.
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
    os.utime(handle)  # "now" is the server's time, over NFS too
    return os.fstat(handle).st_ctime_ns
